"""Answers that leave out what the question or the rest of the sentence says.

"Indirect" for "indirect inguinal hernia" where the question asks which inguinal hernia; "NYHA 3" for "class III"; and
"bacterial, viral or fungal meningitis", which offers three.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from medrl.types import Verdict
from medrl.verifiers.asides import is_measure
from medrl.verifiers.claims import OPEN_CHOICE
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import ROMAN, compact, normal, tokens
from medrl.verifiers.opposites import NEGATIONS, POLES
from medrl.verifiers.parts import Reference
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wanted import Wanted
from medrl.verifiers.wording import (
    ALSO,
    LIST,
    MARKS,
    OR,
    Asked,
    before_differential,
    is_glue,
    last_sentence,
    peel,
    says_nothing,
)

_NUMBERING = frozenset(
    "type class stage grade factor group phase category degree nyha killip mobitz tanner level subtype figo bethesda child "
    "pugh score nerve cranial lead number coagulation 型 级 期 度 类 第 因 子 凝 血 分".split()
)
_THINGS = frozenset(map(normal, "syndrome disease disorder infection virus organism bacterium drug agent".split()))
_FIGURE = re.compile(r"\d{1,3}[a-e]?|[a-e]")
# References that leave out what the question says: 4型, where it asks 哪型肾小管酸中毒; "III", "which cranial nerve?".
_SHORT = re.compile(
    r"(?P<han>第?(?:[ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫ]|[IVX]{1,4}|\d{1,2}|[一二三四五六七八九十]{1,2})|[甲乙丙丁戊A-E])(?P<sort>[型期度级类对]?)|"
    r"(?:(?:type|stage|CN) )?(?P<figure>\d{1,2}|[IVXivx]{1,4}|[A-E])",
    re.IGNORECASE,
)
_ASKS_HAN = re.compile(
    r"(?:第?几|哪一?|何|什么)(?P<sort>[型期度级类对])的?(?P<noun>[\u3400-\u9fff]{2,10}?)(?:受损|损伤|麻痹)?[？?。]?$"
)
_ASKS = re.compile(
    r"\b(?:which|what) (?:(?P<sort>type|stage) of (?P<noun>[a-z][a-z -]{3,40}?)(?= (?:is|does|do|has|best|would|most|are)\b|"
    r" ?\?)|(?P<nerve>cranial nerve)\b)",
    re.IGNORECASE,
)


def in_full(question: str, reference: str, known: Vocabulary) -> str:
    """A reference that is a figure with the noun that its question asks it of, where that names one thing; else ""."""
    short = _SHORT.fullmatch(reference.strip()) if len(reference) < 12 else None
    last = last_sentence(question).strip() if short else ""
    name = ""
    if short and (asks := _ASKS_HAN.search(last)) and short["han"] and short["sort"] in ("", asks["sort"]):
        name = f"{short['han']}{asks['sort']}{asks['noun']}"
    elif short and not short["sort"] and (asks := _ASKS.search(last)):
        figure = short["han"] or short["figure"]
        name = f"cranial nerve {figure}" if asks["nerve"] else f"{asks['sort']} {figure} {asks['noun']}"
    return name if name and known.find(name) is not None else ""


@lru_cache(maxsize=1024)
def spoken_of(question: str, known: Vocabulary) -> frozenset[int]:
    """The concepts that a question names."""
    return frozenset[int]().union(*(m.ids for m in known.mentions(tokens(question), question) if len(m.ids) == 1))


_SHORTENED = re.compile(r"(?<![A-Za-z0-9])[A-Z][A-Za-z]{0,2}[A-Z](?![A-Za-z0-9-])")


def spelt_by_question(question: str, text: str, known: Vocabulary) -> str:
    """A text whose one abbreviation is of a thing that the question spells out, with that in its place: Ⅳ型RTA; else ""."""
    found = _SHORTENED.findall(text) if len(text) < 80 else []
    if len(found) != 1 or found[0] in question:
        return ""
    spoken = known.abbreviated(found[0]) & spoken_of(question, known)
    names = [name for one in spoken for name in known.concepts[one].names if name in question]
    return text.replace(found[0], max(names, key=len)) if len(spoken) == 1 and names else ""


def by_ellipsis(head: str, term: str, asked: Asked) -> Verdict | None:
    """The verdict on a head that is a part of the reference, with the question for the rest, or None."""
    sided = _SIDED.fullmatch(head)
    if sided and (sided[1] or sided[2]).lower() in asked.words:
        return None  # the question has another thing on that side
    if _BOTH.fullmatch(head) and len(asked.either) == 2 and len(asked.either & set(tokens(term))) == 1:
        return Verdict.wrong(f"names {head!r:.20} where {term!r:.40} is right")
    answer, reference = tokens((sided[1] or sided[2]) if sided else head), tokens(term)
    if not answer or len(answer) > 12 or len(reference) > 12:
        return None
    return _figure(answer, reference, asked) or _part(answer, reference, asked) or _numbered(head, term)


_SIDED = re.compile(
    r"(?:the )?(left|right)(?:[- ](?:hand )?(?:sided?|one))?|(?:the )?(?:one )?on the (left|right)(?: side)?",
    re.IGNORECASE,
)


_BOTH = re.compile(r"(?:it is )?(?:both|neither)(?: of (?:them|these|the two))?", re.IGNORECASE)


def _numbered(head: str, term: str) -> Verdict | None:
    """Of "Stage IB2" the figure with its letters alone, without the word that numbers."""
    first = tokens(term)[0]
    if first not in _NUMBERING or not _CODE.fullmatch(head):
        return None
    whole = tokens(f"{first} {head}")
    if whole == tokens(term):
        return Verdict.right("the figure with its word left out")
    return Verdict.wrong(f"names {head} where {term!r:.40} is right") if len(whole) == len(tokens(term)) else None


_CODE = re.compile(r"[IVX]{1,4}[A-E]?[1-4]?|[1-9][A-E]?[1-4]?", re.IGNORECASE)
_NONE = re.compile(r"(?:none|no|nothing|nil|无|没有|不需要|无需)[.。]?", re.IGNORECASE)
_SAYS_NONE = re.compile(
    r"(?P<no>(?:no|none|nothing|not)\b|不需要?|无需|无须|不用|不必|没有|无)(?P<what>[^.,;。，；]{0,60})(?:[.,;。，；].*)?",
    re.IGNORECASE | re.DOTALL,
)
AFTER_NONE = re.compile(
    r"\b(?:followed|then|after\w*|later|but|only|except|unless|until|just|first|before|instead|rather|surgery|\w+ectomy|"
    r"operat\w+|drain\w*|resect\w*)\b|然后|再|后|但|只|仅|除非|直到|手术|切除|引流",
    re.IGNORECASE,
)
_NEEDED = frozenset(
    "is are was be need needed required indicated necessary warranted treatment therapy drug medication of them the any "
    "药 物 治 疗 用 处 理 特 殊 任 何 进 行 给 予".split()
)


def by_none(reference: str, head: str, known: Vocabulary | None, asked: Asked) -> Verdict | None:
    """The verdict where the reference is none: right where the answer says so, wrong where it names what to give or do."""
    if not _NONE.fullmatch(reference.strip()):
        return None
    match = _SAYS_NONE.fullmatch(head.strip())
    if match:
        rest = [word for word in tokens(match["what"]) if word not in _NEEDED]
        return Verdict.right("says that there is none") if says_nothing(rest, asked) else None
    found = known.mentions(tokens(head), head) if known else []
    given = found and known and all(known.family(i) in ("drug", "procedure") for m in found for i in m.ids)
    return Verdict.wrong("names one where there is none") if given and NEGATIONS.isdisjoint(tokens(head)) else None


def _figure(answer: Sequence[str], reference: Sequence[str], asked: Asked) -> Verdict | None:
    """Of references that are a figure with its word: Class III, 3期, factor VIII."""
    wanted = [word for word in reference if word not in _NUMBERING]
    if len(wanted) == len(reference) or "".join(wanted) == "" or not _FIGURE.fullmatch("".join(wanted)):
        return None
    rest = [word for word in answer if word not in _NUMBERING or word in wanted]
    rest = [ROMAN.get(word, word) for word in rest]
    figures = [word for word in rest if _FIGURE.fullmatch(word) and not (word == "a" and len(rest) > 1)]
    beside = [word for word in rest if word not in figures]
    silent = says_nothing(beside, asked)
    if not _THINGS.isdisjoint(set(beside) - set(reference) - asked.words):
        return None  # syndrome X is no factor X
    if not figures or (not silent and len(beside) > 3) or not NEGATIONS.isdisjoint(answer):
        return None
    answer = ["degree" if word == "grade" else word for word in answer]
    reference = ["degree" if word == "grade" else word for word in reference]
    numbering = set(reference) & _NUMBERING
    same_word = not set(answer) & _NUMBERING or numbering & set(answer) or set(answer) & _NUMBERING <= asked.words
    given, right = "".join(figures), "".join(wanted)
    if len(given) > 4:
        return None
    if not same_word:
        return None if given == right else Verdict.wrong(f"names {given} of another scale")
    if given == right:
        return Verdict.right(f"names {right}, which the question asks for") if silent else None
    if given[0].isdigit() == right[0].isdigit() and not (given.startswith(right) or right.startswith(given)):
        return Verdict.wrong(f"names {given} where {right} is right")
    return None


def _part(answer: Sequence[str], reference: Sequence[str], asked: Asked) -> Verdict | None:
    """Right where the question has every word that the answer leaves out, and no contrast is left out."""
    own = [word for word in answer if not is_glue(word) or word in reference or word in asked.either]
    strange = [word for word in own if word not in reference]
    if len(strange) == 1 and _turns(strange[0], own, reference, asked):
        return Verdict.wrong(f"names {strange[0]}, the opposite")
    missing = [word for word in reference if word not in own]
    if not own or not missing or strange or len(set(own)) < len(own):
        return None
    telling = [
        word for word in own if word in POLES or word[0].isdigit() or word not in asked.words or word in asked.either
    ]
    offered = asked.either.issuperset(own)  # "upper", of the upper or lower motor neuron
    if not telling or any(
        (word in POLES and not offered) or len(word) < 3 or word[0].isdigit() or word in NEGATIONS for word in missing
    ):
        return None
    if any(len(word) == 1 and word > "\u3400" for word in (*own, *missing)):
        return None  # a Chinese character is no word
    return (
        Verdict.right("with the words of the question it is the reference")
        if all(word in asked.words for word in missing)
        else None
    )


def _turns(strange: str, own: Sequence[str], reference: Sequence[str], asked: Asked) -> bool:
    """Whether an answer's one strange word is a pole where the reference has another, all else being the question's.

    So is the word that the question itself offers beside the reference's: "typical or atypical".
    """
    if strange in asked.either and len(own) == 1:
        offered = [word for word in reference if word in asked.either]
        missing = [word for word in reference if word not in offered]
        return len(offered) == 1 and all(word in asked.words for word in missing)
    if strange not in POLES:
        return False
    row, pole = POLES[strange]
    against = [word for word in reference if word in POLES and POLES[word][0] == row and POLES[word][1] != pole]
    missing = [word for word in reference if word not in own and word not in against]
    return len(against) == 1 and all(word in asked.words for word in missing)


def by_asked_noun(question: str, head: str, reference: Reference, known: Vocabulary) -> Verdict | None:
    """What a few words name together with what is asked: "incomplete" where it is asked which type of miscarriage."""
    part = _ONE.sub("", head)
    if not reference.ids or not 2 < len(part) <= 40 or not _FEW_WORDS.fullmatch(part) or known.ids(part):
        return None
    numbers = _NUMBERING.intersection(tokens(part))
    if numbers and not any(numbers.issubset(name) for one in reference.ids for name in known.index.spelt[one]):
        return None  # "type VII", of the seventh nerve
    for noun in _asked_nouns(question):
        ids = known.ids(f"{part} {noun}") or known.ids(f"{noun} {part}")
        if len(ids) == 1:
            if ids <= reference.ids:
                return Verdict.right(f"it is {reference.terms[0]!r:.60} with the words of the question")
            one = next(iter(ids))
            if all(known.apart(one, wanted) for wanted in reference.ids):
                name = known.concepts[one].names[0]
                return Verdict.wrong(f"it is {name!r:.60}, known as something else than {reference.terms[0]!r:.60}")
            return None
    return None


_ONE = re.compile(r"^(?:the|an?) | (?:one|type|kind|form|fraction|variety|variant|sort)$", re.IGNORECASE)
_FEW_WORDS = re.compile(r"[A-Za-z-]{3,20}(?: [A-Za-z-]{3,20}){0,2}")
_ASKED_NOUN = re.compile(
    r"\b(?:which|what)(?: (?:type|kind|form|sort|variety|variant|class|subtype)s?(?: of)?)? "
    r"(?P<noun>[a-z][a-z-]*(?: [a-z-]+){0,2})",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def _asked_nouns(question: str) -> tuple[str, ...]:
    """What may be the noun that a question asks for: up to three words behind its last "which", longest first."""
    found = list(_ASKED_NOUN.finditer(question))
    words = found[-1]["noun"].split() if found else []
    return tuple(" ".join(words[:count]) for count in range(len(words), 0, -1))


def offers_several(core: str, names: Sequence[str]) -> bool:
    """Whether an answer offers the reference among others whose common word stands once, at the end."""
    if not OR.search(core):
        return False
    pieces = [compact(piece) for piece in LIST.split(core) if compact(piece)]
    if len(pieces) < 2:
        return False
    for name in names:
        for piece in pieces[:-1]:
            rest = name.removeprefix(piece) if name.startswith(piece) else ""
            if rest and pieces[-1].endswith(rest) and pieces[-1] != name:
                return True
        if pieces[-1] == name and any(len(piece) > 2 for piece in pieces[:-1]) and len(pieces[0]) < len(name):
            return all(not name.startswith(piece) for piece in pieces[:-1])
    return False


# Two things that are offered outright, and lists that call themselves a differential.
_TWO = re.compile(
    r"(?:要么|不是)(?:是)?(?P<han>[^，。；]{2,30})[，,]?(?:要么|就是)(?P<next>[^，。；]{2,30})(?:[，。；].*)?|"
    r"(?:it (?:is|could be|may be) )?either (?P<one>[^,.;:]{3,50}),? or (?P<other>[^,.;:]{3,50})(?:[,.;].*)?",
    re.IGNORECASE | re.DOTALL,
)
_DIFFERENTIAL = re.compile(
    r"(?:(?:the |my )?(?:differential(?: diagnos[ie]s)?|ddx|possibilities|possible diagnoses)(?: here)?"
    r"(?: is| are| includes?| would include| list)?:? |consider(?::| the following:?)? |"
    r"(?:(?:可能的?|鉴别|疑似)诊断|可能性|需(?:要)?(?:考虑|鉴别)的?(?:疾病)?)(?:主要)?(?:有|包括|为|"
    r"是)?[:：]?)(?P<list>[^.;。；\n]{5,300})[.。]?",
    re.IGNORECASE,
)
_COMMITTED = re.compile(
    r"\b(?:most|likel\w+|favou?r\w*|best|first|above all|then|rather|not|exclud\w+|because|since|given)\b|最|首|"
    r"倾向|尤|但|排除|除外|不",
    re.IGNORECASE,
)


def leaves_open(core: str, names: Collection[str]) -> bool:
    """Whether an answer offers two things outright ("either X or Y"), or a list that it calls a differential.

    Args:
        core: The answer.
        names: The reference's names, as `compact` writes them. Two things of which both or none is one are left to others.
    """
    match = _TWO.fullmatch(core) if len(core) < 300 else None
    if match:
        two = [compact(part) for part in (match["han"] or match["one"], match["next"] or match["other"])]
        return two[0] != two[1] and not all(one in names for one in two)
    listed = _DIFFERENTIAL.fullmatch(core) if len(core) < 400 else None
    if listed is None or _COMMITTED.search(listed["list"]):
        return False
    items = [item for item in LIST.split(listed["list"]) if compact(item)]
    several = len(items) > (2 if core[:8].lower() == "consider" else 1)
    return several and len({compact(item) for item in items}) == len(items)


def several_of(core: str, wanted: Wanted, text: str) -> Verdict | None:
    """An open choice or a list that holds the reference among other things; `text` is what the core was taken from."""
    names = wanted.names
    if wanted.listed:
        return None
    if leaves_open(core, names):
        return Verdict.wrong(OPEN_CHOICE)
    if not MARKS.search(core) or ALSO.search(core):
        return None
    choice = [compact(peel(part)) for part in OR.split(core) if compact(part)]
    if len(choice) > 1 and any(part in names for part in choice) and not all(part in names for part in choice):
        return Verdict.wrong(OPEN_CHOICE)
    if offers_several(core, tuple(names)):
        return Verdict.wrong("an open choice between several answers, their last word said once")
    if _ALL_MAY.search(text) and any(compact(peel(part)) in names for part in LIST.split(core)):
        return Verdict.wrong(OPEN_CHOICE)
    head = before_differential(core)
    parts = [compact(peel(part)) for part in LIST.split(head) if compact(part) and not is_measure(part)]
    if len(parts) > 2 and any(part in names for part in parts) and not all(part in names for part in parts):
        return Verdict.abstain("the reference is one of several things listed")
    return None


_ALL_MAY = Pattern(
    r"[都均皆]有?可能|必居其一|不能确定是哪|\b(?:are all|are both|all are|both are) possible\b", re.IGNORECASE
)
