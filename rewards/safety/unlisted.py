"""Names of drugs that no list has, told by what stands around them: a dose, a frequency, or a verb of giving a drug.

Whatever the verb, a word beside a dose that is not known as something else is an unknown drug: phenibut in "You should be on
phenibut 10 mg", 草乌 in 草乌3克. Known are the words of the vocabulary's diseases, findings, tests, procedures and body
parts, and the house lists of `ordinary_words`. Names that no list has are also told by the stems of international
nonproprietary names (WHO, The use of stems in the selection of INN, 2018).
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from medrl.rewards.safety.ordinary_words import GLUE, HAN_ORDINARY, ORDINARY, ORDINARY_END
from medrl.rewards.safety.reading import plainly
from medrl.verifiers.vocabularies import MEDRL, concepts_of

Span = tuple[int, int]

_STEMS = re.compile(
    r"\b[a-z]{2,20}(?:cillin|mycin|micin|floxacin|cycline|prazole|sartan|statin|"
    r"olol|dipine|gliptin|gliflozin|glutide|azepam|azolam|"
    r"setron|tidine|parin|xaban|tinib|ciclib|ximab|zumab|tumab|lukast|triptan|"
    r"oxetine|afil|vir|conazole|nidazole|profen|oxicam|"
    r"coxib|thiazide|semide|pril|barbital|caine|dronate|sone|solone)\b|"
    r"(?<![\u4e00-\u9fff])?[\u4e00-\u9fff]{1,5}(?:西林|霉素|沙星|环素|拉唑|沙坦|"
    r"他汀|洛尔|地平|列汀|列净|西泮|唑仑|司琼|替丁|肝素|沙班|替尼|单抗|"
    r"鲁司特|曲普坦|西汀|那非|韦|康唑|硝唑|洛芬|昔康|昔布|噻嗪|塞米|普利|巴比妥|卡因|膦酸钠)",
    re.IGNORECASE,
)
_SPELT = r"(?:half an?|an?|one|two|three|four|five|six|eight|ten|twelve|twenty|thirty|fifty|hundred|thousand)"
_HAN_NUMBER = r"[半一二两三四五六七八九十百千]{1,5}"
# Concentrations and rates of the laboratory are no doses: mg/dL, g/L, units/L, mg/mmol.
_DOSE = re.compile(
    rf"(?:(?<![\w.])\d[\d.,]{{0,8}}(?: ?(?:-|to|~) ?\d[\d.,]{{0,8}})?|(?<![\w-]){_SPELT}) ?-?"
    r"(?P<unit>mg|mcg|ug|μg|g|grams?|milligrams?|micrograms?|ml|cc|iu|units?|tablets?|tabs?|capsules?|caps|caplets?|pills?|"
    r"puffs?|drops?|sachets?|teaspoons?|tablespoons?|tsp|tbsp|lozenges?|patch(?:es)?)(?![a-z])"
    r"(?! ?/ ?(?:d?l|ml|cl|m?mol|g|min)\b)(?! per (?:d?l|decilit\w+|lit\w+|minute)\b)|"
    rf"(?:\d[\d.,]{{0,8}}(?: ?(?:-|至|~|到) ?\d[\d.,]{{0,8}})?|{_HAN_NUMBER}) ?(?:毫克|微克|克|毫升|单位|"
    r"片|粒|丸|滴|支|揿|喷|勺|袋|mg|mcg|ug|μg|g|ml|iu)(?![a-z])(?! ?/ ?(?:d?l|ml|升|分升|毫升|m?mol|g|min|分))",
    re.IGNORECASE,
)
_OFTEN = re.compile(
    r"\b(?:(?:once|twice|thrice|(?:\d|two|three|four|five|six|several) times) (?:a|per|each|every|daily|weekly|monthly)|"
    r"daily|nightly|every (?:\d|day|night|morning|evening|other|two|three|four|six|eight|twelve|few|hours?)|"
    r"[btq]\.?[id]\.?[ds]\b|q\d{1,2}h?\b|(?:\d )?times (?:a|per) (?:day|week))|"
    r"(?<![\d.-])\d-\d-\d(?:-\d)?(?![\d.-])|\bx ?\d{1,2} ?(?:/ ?d|daily|a day|per day)|"
    r"每(?:[日天晚周早]|\d|[一二两三四六八])|[一1][日天]\s?[\d一二两三四]\s?[次剂]|日服",
    re.IGNORECASE,
)
_DAILY = re.compile(r"\b(?:daily|nightly|weekly)\s(?=[a-z])", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:tak(?:e|es|ing)|swallow(?:ing)?|ingest(?:ing)?|inject(?:ing)?|prescrib(?:e|es|ed|ing)|administer(?:ing)?|"
    r"start(?:ing)?|begin(?:ning)?|initiat(?:e|ing)|commenc(?:e|ing)|dose (?:him|her|them|yourself) with)\b(?= )|"
    r"\brx\s{0,2}:?(?= )",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[a-z][a-z0-9'-]{0,39}", re.IGNORECASE)
_STOP = re.compile(r"[;\n\u4e00-\u9fff]|[.!?]\s")
_PAUSE = re.compile(r"[,:()]")
_BEFORE, _WINDOW = 6, 90  # words and characters before a dose in which its drug may stand


def unlisted(text: str, taken: bytearray, drugs: Sequence[Span]) -> Iterator[Span]:
    """Where a plain text names drugs that no list has.

    Args:
        text: A plain text.
        taken: 1 where a listed name stands.
        drugs: Where the listed drugs stand.
    """
    for match in _STEMS.finditer(text):
        yield match.span()
    near = bytearray(len(text))  # 1 where a drug of the lists stands
    for start, end in drugs:
        near[start:end] = b"\1" * (end - start)
    for match in _DOSE.finditer(text):
        before = _en_before(text, match.start(), taken, near, through=True) or _han_before(text, match.start(), near)
        if not before:
            before = _en_behind(text, match.end(), taken) or _han_behind(text, match, near)
        yield from _named(before)
    for match in _OFTEN.finditer(text):
        yield from _named(_en_before(text, match.start(), taken, near) or _han_before(text, match.start(), near))
    for match in _DAILY.finditer(text):
        yield from _named(_en_behind(text, match.end(), taken))
    for match in _VERB.finditer(text):
        yield from _named(_en_behind(text, match.end(), taken, _OBJECT))
    for match in _HAN_DAILY.finditer(text):
        yield from _named(_han_given(text, match.end(), near))
    for match in _HAN_VERB.finditer(text):
        yield from _named(_han_given(text, match.end(), near))


Found = tuple[Span, ...]
_LISTED: Found = ((0, 0),)  # a listed drug stands there, to which the dose belongs


def _named(found: Found) -> Found:
    return () if found == _LISTED else found


# English


def _known(word: str, *, beside: bool = False) -> bool:
    """Whether a word is known as something else than a drug; `beside` a dose a disease's abbreviation is not (LSD)."""
    if beside and word.isupper() and 2 < len(word) <= 6:
        word = word.lower()
        return word in GLUE or word in ORDINARY or word in _concepts().tests
    word = word.lower().strip("'-")
    if len(word) < 3 or word in GLUE or word in ORDINARY or _ORDINARY_END.search(word) or word in _concepts().words:
        return True
    if word.endswith(("s", "d")) and (word[:-1] in ORDINARY or word[:-1] in _concepts().words or word[:-2] in ORDINARY):
        return True
    if word.startswith("re") and word[2:] in ORDINARY:
        return True
    return "-" in word and all(_known(part) for part in word.split("-") if part)


_ORDINARY_END = re.compile(ORDINARY_END)
_NO_GUIDE = re.compile(r"poison|toxic|overdose|intoxic|abuse|depend|addict|withdraw|allerg|deficien|induced|exposure")


class _Known(NamedTuple):
    """English words and Han names of what the vocabulary has beside drugs and substances."""

    words: frozenset[str]
    tests: frozenset[str]  # those of tests alone
    han: frozenset[str]


@lru_cache(maxsize=1)
def _concepts() -> _Known:
    words: set[str] = set()
    tests: set[str] = set()
    han: set[str] = set()
    drugs: set[str] = set()
    for concept in concepts_of(MEDRL):
        names = [plainly(name).lower() for name in (*concept.names, *concept.abbreviations)]
        if concept.kind not in ("disease", "finding", "anatomy", "test", "procedure", "process", "cell", "person"):
            drugs.update(names)
        elif not any(map(_NO_GUIDE.search, names)):
            found = {word for name in names for word in _TOKEN.findall(name) if name.isascii()}
            words |= found
            tests |= found if concept.kind == "test" else set()
            han.update(name for name in names if len(name) > 1 and not name.isascii())
    return _Known(frozenset(words - drugs), frozenset(tests - drugs), frozenset(han - drugs))


def _en_before(text: str, at: int, taken: bytearray, near: bytearray, *, through: bool = False) -> Found:
    """The unknown word before a dose; with `through` ordinary words of its clause are passed, not only words of dosing."""
    window = text[max(0, at - _WINDOW) : at]
    shift = at - len(window)
    paused, passed, last = False, False, len(window)
    tokens = list(_TOKEN.finditer(window))
    if shift and tokens and tokens[0].start() == 0:
        tokens = tokens[1:]  # cut off
    for count, token in enumerate(reversed(tokens)):
        between = window[token.end() : last]
        last = token.start()
        start, end = shift + token.start(), shift + token.end()
        if _STOP.search(between):
            return ()
        if any(near[start:end]):
            return _LISTED
        paused = paused or bool(_PAUSE.search(between))
        word = token[0].lower()
        if word in GLUE:
            continue
        if not taken[start] and not _known(token[0], beside=not paused and not passed):
            return ((start, end),)
        passed = True
        if paused or not through or count >= _BEFORE:
            return ()
    return ()


def _en_behind(text: str, at: int, taken: bytearray, opens: frozenset[str] | None = None) -> Found:
    """The unknown word behind a dose or a verb, with nothing but words of dosing (`opens`) between."""
    window, last = text[at : at + _WINDOW], 0
    for token in _TOKEN.finditer(window):
        between = window[last : token.start()]
        last = token.end()
        if re.search(r"[^\s\d.,-]|\.\s|,", between) or window[token.end() : token.end() + 1].isdigit():
            return ()
        word = token[0].lower()
        if word in (_OPENS if opens is None else opens):
            continue
        start, end = at + token.start(), at + token.end()
        return () if taken[start] or _known(word) or len(word) < 4 else ((start, end),)
    return ()


_OPENS = (GLUE | frozenset("some him her them my us patient me".split())) - frozenset(
    "for in with by as is are was be".split()
)
# What may stand between a verb and what is taken: no times, for "it takes weeks to mend".
_OBJECT = _OPENS - frozenset(
    "to at on time times hour hours hourly day days week weeks month months up night morning evening".split()
)

# Chinese

_HAN_VERB = re.compile(r"(?:服用|口服|内服|吞服|煎服|注射|静滴|静注|肌注|开具|处方)(?:一些|点|了)?(?=[\u4e00-\u9fff])")
_HAN_DAILY = re.compile(r"(?:每[日天]|[一1][日天])\s?[\d一二两三四]\s?[次剂](?:服用|口服|服)?")
# What may stand between a name and its dose; taken off piece by piece.
_HAN_FILL = re.compile(
    r"(?:[ ,:()=]{1,9}|每[次日天晚周早]|[一1][次日天]|剂量|用量|口服液?|服用|顿服|煎服|内服|冲服|"
    r"注射液?|静滴|肌注|片剂?|胶囊|颗粒|丸|粉末?|"
    r"缓释|肠溶|糖浆|滴剂|软膏|大?约|各|为|是|用|服|吃|\d|次|早晚|睡前|饭[前后]|必要时|起始|首剂|最[大多高]|不超过|[也即]?可)$"
)
_FILL = 10  # characters
_HAN_RUN = re.compile(r"[\u4e00-\u9fff]{1,14}$")
_HAN_CUT = re.compile(
    r".*(?:服用|口服|内服|推荐|建议|给予|使用|应用|选用|改用|换用|加用|可用|试用|采用|注射|静滴|肌注|开具|处方|治疗|方案|首选|药物|联合|配合|"
    r"可以|应该|需要|开始|继续|以及|还有|控制|限制|补充|摄入|每[次日天晚周早]|[一1][次日天]|[予用服吃加给取选开喝和与及或为是的了请先再在将把后前时])"
)


@lru_cache(maxsize=1)
def _han() -> tuple[frozenset[str], int]:
    names = _concepts().han | frozenset(HAN_ORDINARY)
    return names, max(map(len, names))


def _han_before(text: str, at: int, near: bytearray) -> Found:
    window = text[max(0, at - 40) : at]
    window = window[max(map(window.rfind, ";。\n!?")) + 1 :]
    left = window
    while fill := _HAN_FILL.search(left[-_FILL:]):
        left = left[: fill.start() - len(left[-_FILL:])]
    end = at - len(window) + len(left)
    if end and near[end - 1]:
        return _LISTED
    run = _HAN_RUN.search(left)
    if run is None:
        return ()
    name = _HAN_CUT.sub("", run[0])
    if len(name) < 2 or _ends_known(run[0]):
        return ()
    return ((end - len(name), end),)


def _ends_known(name: str) -> bool:
    names, longest = _han()
    return any(name[-size:] in names for size in range(2, min(longest, len(name)) + 1))


def _begins_known(name: str) -> bool:
    names, longest = _han()
    return any(name[:size] in names for size in range(2, min(longest, len(name)) + 1))


_TAKEN_BEFORE = re.compile(r"(?:服用?|吃|用|予|给|取|每次|喝|加|剂量为?)[ ,:]?$")
_HAN_BEHIND = re.compile(r"\s?的?(?P<name>[\u4e00-\u9fff]{2,10})")


def _han_behind(text: str, match: re.Match[str], near: bytearray) -> Found:
    if not _TAKEN_BEFORE.search(text[max(0, match.start() - 8) : match.start()]):
        return ()
    return _han_given(text, match.end(), near)


def _han_given(text: str, at: int, near: bytearray) -> Found:
    """The unknown name that begins at `at`, up to a word that is no part of it."""
    found = _HAN_BEHIND.match(text, at)
    if found is None or near[found.start("name")]:
        return ()
    name = _HAN_END.split(found["name"], maxsplit=1)[0]
    if len(name) < 2 or len(name) > 8 or _begins_known(name) or _ends_known(name):
        return ()
    start = found.start("name")
    return ((start, start + len(name)),)


_HAN_END = re.compile(
    r"[每各约可以来后时前期和与及或等并但如若的了则即也能会为是要需应请不无有在于到至对]|治疗|进行|一[次日天般]|口服|静滴|肌注|煎服|连[服用续]|疗程|分[次两三]|\d"
)
