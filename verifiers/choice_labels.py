"""Which options a text chooses: by letter, by option text, by place, or by leaving the others out."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from medrl.verifiers.exclusions import by_place_or_exclusion
from medrl.verifiers.normalise import normal, without_heaps
from medrl.verifiers.scripts import is_latin
from medrl.verifiers.wording import before_differential

OPEN = "an open choice between several options"
NEITHER = "neither a letter nor an option's text"
NUMBER_AMONG_WORDS = "a number among other words"

_NEGATED = re.compile(
    r"\b(?:not|wrong|incorrect|except|eliminate[ds]?|rule[sd]? out|excluded?|neither|nor|unlikely|never|cannot|worst|"
    r"anything but|other than|distract\w+|traps?|lure|tempting|red herring|mimics?|doubt\w*|improbable|implausible|"
    r"misdiagnos\w+|mistak\w+|less likely|(?:second|worse) choice|history of)\b|\?\W*(?:no|nope)\b|干扰项|陷阱|误诊|"
    r"n't\b|不(?![，,])|错误|排除|待[排除鉴]|非|(?<![清切摘去])除|以外|之外",
    re.IGNORECASE,
)
_JOINS = re.compile(r"[\s,、;，；和及&+]|AND")
_LABELLED = re.compile(r"\(?([A-Z])\s?[.):、]")
_LABEL = re.compile("[A-Z]")
_MARKUP = re.compile(r"\*\*|<br ?/?>")
_CHOOSES = re.compile("(?<![不未])选[择为]? ?[A-Z]")
CLOSED = re.compile(r"[.:)\]】、]$")
# Chinese marks among labels as ASCII's: a set with both takes re a millisecond to compile, for each set of labels.
_ASCII_MARKS = str.maketrans("【】、，；", "[],,;")
_COMMAS = " \n,，。：:"
_SET_OFF = re.compile(r"[.:)\]】项]$")
_AFTER_LABEL = frozenset("项选是对为正错不和或与及也都因由故均但更的吧啊呢呀了，。；：、！？（")
_WORD_FOLLOWS, _LOWER_FOLLOWS = re.compile(" [A-Za-z]"), re.compile(" [a-z]")
_JOINED_BY = re.compile(r"\b(?:or|and)\b")
_STATEMENTS = re.compile(r"[\n;；。!?！？]+|(?<=\w)[.](?= |$)")
_SPARE = re.compile(r"[a-z]{2,}|[\u3400-\u9fff]{2}")
BETWEEN = re.compile(r"\b(?:or|versus|vs)\b|或|还是", re.IGNORECASE)
_FIGURE = re.compile(r"\W*\d")
_CHANGES = re.compile(
    r"[\d<>=%+-]|\b(?:than|least|most|below|above|over|under|minu|to|half|double|twice|within)\b|[多少倍半]"
)
# In a piece that names another option these words offer it; without them, and with a few words, it explains.
_OFFERS = re.compile(
    r"\b(?:or|also|too|as well|both|either|equally|maybe|perhaps|possibl[ey]|could|may|might|correct|right|true|"
    r"yes|answer|option|likely)\b|也|或|都|对|可能|可以|还|选|[→>=~|]",
    re.IGNORECASE,
)
_LIMITS = re.compile(r"[只仅]|\b(?:only|merely|just|whereas|while)\b", re.IGNORECASE)
_EXCEPT = re.compile(
    r"(?:all (?:of them |options )?(?:but|except)|"
    r"除了?)\s*(?P<labels>[A-Z、,，和 ]{1,20}?)(?:项)?\s*(?P<rest>以外都选|之外都选|外都选|以外全选|外全选|$)"
)
# All but these are wrong.
_ONLY = re.compile(
    r"(?:ALL (?:OF THEM |OPTIONS |CHOICES )?(?:BUT|EXCEPT)|EVERYTHING (?:BUT|EXCEPT)|除了?)\s*"
    r"\(?(?P<labels>[A-Z](?:[、,，和 ]{1,3}[A-Z]){0,4})\)?(?:项|以外|之外|外|,|，| )*\s*"
    r"(?:其余|其他|其它|的|选项|均|都|全|是|为|ARE|IS)*\s*(?:错误|错|不正确|不对|WRONG|INCORRECT|FALSE)的?[.。]?$"
)
AFFIRMED = re.compile(
    r"(?:[Tt]he )?(?:[Oo]ption|[Cc]hoice|[Aa]nswer|选项)? ?\(?(?P<label>[A-Z])\)?(?: is|项?是?)"
    r"(?:(?: the)? ?(?:most )?(?:correct|right|best|true|appropriate)(?: (?:answer|choice|option|one))?|"
    r"正确的?(?:答案|选项)?)[.。]?"
)
# "Not A but" the rest: 不是A，是; 并非A，也非C或D，而是; "It is not A, C or D."
_NOT_THOSE = re.compile(
    r"(?:(?:it is |it's )?not (?:[A-Z]|either)[^.;\n]{0,30}?(?:, but |[.;] )(?:it is )?|"
    r"(?:不是|并非)[^，。；\n]{1,20}(?:[，,]?(?:也|亦|更)?(?:非|不是)[^，。；\n]{1,20}){0,3}[，,。；]?(?:而是|应为|应是|"
    r"是|选))",
    re.IGNORECASE,
)
BECAUSE = re.compile(r",? (?:because|since|as)\b|\. (?=[A-Z])|[。；;\n]|，因为", re.IGNORECASE)
_PIECES = re.compile(r"\n|(?<=[.。;；])(?<!\b[A-Z]\.)\s+")  # lines and sentences
LEAD = re.compile(
    r"^(?:so |thus |therefore |hence |either |only )?"
    r"(?:(?:i |my |the )?(?:would )?(?:(?:single )?(?:most )?(?:correct|best|right|"
    r"appropriate|likely|final|probable) )?(?:answer|ans|choice|choose|pick|select|option|letter|one|it)s?"
    r"(?:'s| is| are| would be| must be| should be)?[:.]? ?)*"
    r"(?:故|因此|所以|本题|应该?|我|大概|可能|多半|估计|(?:只有|只能|仅)(?=选|[A-Z](?:[，,。]|$)))*(?:选择?|认为是|认为|"
    r"是|(?<=应)为|(?:正确|最佳|最终|最合适的?)?(?:答案|选项)(?:是|为|应?选)?)?[:：]?\s*",
    re.IGNORECASE,
)


def wanted_labels(reference: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """The label or labels that a reference means, or None."""
    text = unicodedata.normalize("NFKC", without_heaps(reference)).strip().strip(".()[]").upper()
    if text in options:
        return frozenset({text})
    by_text = [label for label, option in options.items() if normal(option) == normal(reference)]
    if len(by_text) == 1:
        return frozenset(by_text)
    letters = _JOINS.sub("", text)
    if letters and all(letter in options for letter in letters) and len(set(letters)) == len(letters):
        return frozenset(letters)
    match = _LABELLED.match(text)
    return frozenset({match[1]}) if match and match[1] in options else None


def chosen_labels(text: str, options: Mapping[str, str]) -> frozenset[str] | str:
    """The labels that an answer commits to, or in words why none can be read.

    A reason that starts with "the letter" is the answer's own fault (letter and text in conflict).
    """
    whole = tidy(text)
    text = before_differential(whole)
    if _CHOOSES.search(whole, len(text)):
        text = whole  # "C排除后选B"
    chosen = read_labels(text, options)
    if isinstance(chosen, frozenset) and (others := _beside(text, chosen, options)):
        return f"{shown(others)} is named beside {shown(chosen)}"
    return chosen


def tidy(text: str) -> str:
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKC", without_heaps(text)) if unicodedata.category(c) != "Cf")
    return _MARKUP.sub(lambda m: "\n" if m[0][0] == "<" else "", text).strip()


def read_labels(text: str, options: Mapping[str, str]) -> frozenset[str] | str:
    meant = by_place_or_exclusion(text, options)
    if meant:
        return meant
    denied = _NOT_THOSE.match(text) if len(text) < 300 else None
    if denied and isinstance(other := read_labels(text[denied.end() :], options), frozenset):
        return other
    affirmed = AFFIRMED.fullmatch(text[:60])
    if affirmed and affirmed["label"] in options:
        return frozenset(affirmed["label"])
    opened = LEAD.sub("", text, count=1)
    letters, rest = leading_letters(opened, options)
    if len(letters) == 1 and (CLOSED.search(opened[: len(opened) - len(rest)]) or rest[:1] in _COMMAS):
        written = _PIECES.split(rest.strip(_COMMAS))[0]
        named = _whole(written, options)
        if named and letters.isdisjoint(named):
            return f"the letter {shown(letters)} and the text of {shown(named)} are in conflict"
    by_text = _whole(text, options)
    if len(by_text) == 1:
        return by_text
    excepted = _EXCEPT.search(text.upper())
    if excepted and excepted["rest"]:
        left_out = set(_LABEL.findall(excepted["labels"]))
        return frozenset(set(options) - left_out) if left_out <= set(options) else "labels that are not options"
    only = _ONLY.search(text.upper())
    if only and set(_LABEL.findall(only["labels"])) <= set(options):
        return frozenset(_LABEL.findall(only["labels"]))
    listed = _listed(text, options)
    if len(listed) > 1:
        return listed
    head = BECAUSE.split(text)[0]
    bare = _without(head, options)
    if _NEGATED.search(bare):
        return "the answer speaks of what is not right"
    head = LEAD.sub("", head, count=1)
    letters, rest = leading_letters(head, options)
    named = named_options(rest if letters else head, options)
    if letters:
        if len(letters) == 1 and named and named != letters and _LIMITS.search(_without(rest, options)):
            return "another option is spoken of behind the letter"
        if len(letters) == 1 and named and named != letters:
            return f"the letter {shown(letters)} and the text of {shown(named)} are in conflict"
        return letters
    if named:
        if any(_FIGURE.match(options[label]) and not _alone(head, options[label]) for label in named):
            return NUMBER_AMONG_WORDS
        return (OPEN if len(named) > 1 else "an open choice") if BETWEEN.search(bare) else named
    return NEITHER


def leading_letters(text: str, options: Mapping[str, str]) -> tuple[frozenset[str], str]:
    """The letters that an answer opens with ("B", "(B)", "B, D", "ACD", "A或B"), and what follows them."""
    labels = _single(options)
    if not labels:
        return frozenset(), text
    one, several = _letters(labels, len(text) <= 3)
    written = text.translate(_ASCII_MARKS)
    first = one.match(written)
    label = "".join(c.upper() for c in first[0] if c.upper() in options) if first else ""
    own = normal(options.get(label, ""))
    if first and own and f"{normal(text[first.end() :])} ".startswith(f"{own} "):
        return frozenset({label}), text[first.end() :]  # a label with its own text, which may hold letters too
    match = several.match(written)
    if not match:
        return frozenset(), text
    rest, written = text[match.end() :], match["letters"]
    if _TELLS_OF.match(rest) and _MARK.search(written):
        return frozenset(), text  # "AC，B和D为革兰阳性菌", or what is asked
    alone = len(written) == 1
    if alone and rest[:1] > "\u3400" and rest[:1] not in _AFTER_LABEL:
        return frozenset(), text  # B型流感, B超, D二聚体
    word = _WORD_FOLLOWS if written in "AI" and not named_options(rest, options) else _LOWER_FOLLOWS
    if alone and word.match(rest) and not _SET_OFF.search(written):
        return frozenset(), text  # "A patient with …" is no label
    bare = _JOINED_BY.sub(" ", written)
    return frozenset(c.upper() for c in bare if c.upper() in labels), rest


# Labels of which something is said may belong to no list before them.
_TELLS_OF = re.compile(r"[均都则]?(?:为|是|属于?|系)(?!正确|对的|答案|应选|本题)[^，,。；;]{2}")
_MARK = re.compile("[,;]")


def _single(options: Mapping[str, str]) -> str:
    """The labels of one character, in order."""
    return "".join(sorted(label for label in options if len(label) == 1))


@lru_cache(maxsize=256)  # most problems have the labels A to D or A to E
def _letters(labels: str, any_case: bool) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds one label, and several of them, at the start of an answer whose marks are those of ASCII."""
    label = f"(?i:[{re.escape(labels)}])" if any_case else f"[{re.escape(labels)}]"
    one = rf"(?:[(\[]?{label}(?:[)\].:]|项|选项)?|(?i:[{re.escape(labels)}])选?项)"
    several = rf"(?P<letters>{one}(?:\s?(?:[,/&+;]|or|and|或|和|及)?\s?{one})*)(?![A-Za-z0-9'-])"
    return re.compile(one), re.compile(several)


@lru_cache(maxsize=256)
def _alone_standing(labels: str) -> re.Pattern[str]:
    """What finds a label anywhere that stands by itself and is not the article of a sentence."""
    return re.compile(rf"(?<![A-Za-z0-9'-])(?<!’)(?!A [a-z]{{4}})[{re.escape(labels or chr(0))}](?![A-Za-z0-9'-])(?!’)")


def _listed(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options of an answer that is a list of them: pieces that are a label alone, or a label with its own text."""
    return frozenset().union(*(bare_labels(piece, options) for piece in _PIECES.split(text)))


def bare_labels(piece: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options that a piece of text is and nothing else: labels, an option's text, or both."""
    letters, rest = leading_letters(LEAD.sub("", piece.strip(), count=1), options)
    own = frozenset(label for label in letters if normal(options[label]) == normal(rest))
    return (letters if not normal(rest) else own) or _whole(piece, options)


def _whole(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options whose text is all of the answer."""
    whole = normal(text)
    return frozenset(label for label, option in options.items() if normal(option) == whole) if whole else frozenset()


def _without(text: str, options: Mapping[str, str]) -> str:
    """The text with the options' own words blanked, whole words only: an option "no" is not part of "not"."""
    for option in sorted(filter(None, options.values()), key=len, reverse=True):
        low, wanted, at = text.lower(), option.lower(), 0
        while len(low) == len(text) and (at := low.find(wanted, at)) >= 0:
            end = at + len(wanted)
            if not (is_latin(low[at - 1 : at]) or is_latin(low[end : end + 1])):
                text, low = f"{text[:at]} {text[end:]}", f"{low[:at]} {low[end:]}"
            at += 1
    return text


def _alone(text: str, option: str) -> bool:
    """Whether a number that is an option stands at the text's end, with nothing before it that changes it."""
    before, found, after = f" {normal(text)} ".rpartition(f" {normal(option)} ")
    return bool(found) and not after.strip() and not _CHANGES.search(before)


def _beside(text: str, chosen: frozenset[str], options: Mapping[str, str]) -> frozenset[str]:
    """Other options that the answer names without denying them or saying something of them."""
    label = _alone_standing(_single(options))
    found: set[str] = set()
    for piece in _STATEMENTS.split(text):
        rest = _without(piece, options)
        others = (named_options(piece, options) | frozenset(label.findall(rest))) - chosen
        spare = _SPARE.findall(label.sub(" ", rest))
        if others and not _NEGATED.search(rest) and (len(spare) < 3 or _OFFERS.search(rest)):
            found |= others
    return frozenset(found)


def named_options(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options whose text stands in the answer as whole words; an option inside a longer one does not count."""
    found: set[str] = set()
    remaining = f" {normal(text)} "
    needles = [(label, f" {normal(option)} ") for label, option in options.items()]
    for label, needle in sorted(needles, key=lambda pair: -len(pair[1])):
        if needle.strip() and needle in remaining:
            found.add(label)
            remaining = remaining.replace(needle, "  ")
    return frozenset(found)


def shown(labels: frozenset[str]) -> str:
    return "".join(sorted(labels))
