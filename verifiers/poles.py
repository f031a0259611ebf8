"""References that are one pole of a contrast: increased or decreased, left or right, benign or malignant.

Such an answer may be worded in many ways (it falls, is low, on the same side), all of which name the pole.
"""

import re
from functools import lru_cache

from medrl.types import Verdict
from medrl.verifiers.levels import level_asked
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import DENIES, PARENS

# Each contrast: its poles with the words that name them. A word inside another is not it ("direct", "indirect").
_CONTRASTS: tuple[dict[str, str], ...] = (
    {
        "increased": r"↑|increas\w*|elevat\w*|rais\w+|ris(?:e|es|en|ing)|high(?:er)?|up|grows?|above (?:the )?normal|"
        r"prolong\w*|lengthen\w*|延长|上升|升高|增高|增加|增多|增强|上调|偏高|变大",
        "decreased": r"↓|decreas\w*|suppress\w*|reduc\w+|low(?:er|ered|ers)?|falls?|fell|drops?|"
        r"declin\w+|diminish\w*|depress\w+|down|"
        r"shorten\w*|缩短|下降|降低|减低|减少|减弱|下调|偏低|变小",
        "unchanged": r"unchanged|preserved|no (?:(?:significant|appreciable|substantial|notable|real|major) )?"
        r"(?:change|effect)|not (?:(?:significantly|appreciably|substantially) )?(?:changed|altered|affected)|normal|"
        r"没有变化|无明显(?:变化|改变|影响)|无显著(?:变化|改变|影响)|基本不变|不受影响|"
        r"unaffected|stays? the same|不变|无变化|正常",
    },
    {
        "left": r"left(?:ward)?|左",
        "right": r"right(?:ward)?|右",
        "both": r"bilateral(?:ly)?|both sides|双侧?|两侧",
        "neither": r"neither(?: side)?(?! (?:the )?(?:left|right))",
        "same": r"ipsilateral(?:ly)?|(?:the )?same side|(?:to(?:wards?)? )?the side of the lesion|"
        r"to(?:wards?) the lesion|与?(?:病[灶变]|患处)?的?同侧|患侧|病变侧|病灶侧",
        "other": r"away from the (?:side of the )?lesion|contralateral(?:ly)?|(?:the )?opposite side|"
        r"(?:the )?other side|(?:病[灶变]|患侧)?的?对侧|健侧",
    },
    {"benign": r"benign|良性", "malignant": r"malignan\w+|恶性"},
    {"positive": r"positive|阳性", "negative": r"negative|阴性"},
    {"present": r"present|存在", "absent": r"absent|不存在|缺如"},
    {"direct": r"direct|直接型?", "indirect": r"indirect|间接型?"},
    {"acute": r"acute|急性", "chronic": r"chronic|慢性", "subacute": r"subacute|亚急性"},
)
_WORD_STARTS = r"(?:(?<![A-Za-z])|(?=[^A-Za-z]))"  # TSH降低, T3↑
_PATTERNS = tuple(
    Pattern(
        "|".join(rf"(?P<{pole}>{_WORD_STARTS}(?:{words})(?![A-Za-z]))" for pole, words in contrast.items()),
        re.IGNORECASE,
    )
    for contrast in _CONTRASTS
)
_SIDES = 1
_IS_THERE = re.compile(
    r"(?:it is |是)?(?:(?:definitely|clearly|certainly) )?(?:present|absent|存在|不存在|缺如)[.。]?", re.IGNORECASE
)
_LEVELS = frozenset(_CONTRASTS[0])
# What a reference may hold besides its pole.
_BARE = re.compile(
    r"[\s()（）,，.。、]|\b(?:it|is|the|on|to|towards?|side|sided|level|levels|tumou?r|lesion)\b|侧|性|水平|型|肿瘤|"
    r"病变|[了的]",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:no|not|non|without|never|absence of|neither)\b|n't\b|不是|并非|没有|无|非|未|不", re.IGNORECASE
)
_LEVEL_NAME = re.compile("(?P<way>[高低])(?P<what>[\u3400-\u9fff]{1,6}?)血症")
_CLAUSE = re.compile("[，,。；;]")
_REASONED = re.compile("(?:由于|因为|因)[^。；或]{4,80}[，,](?P<rest>[^，。；,]{2,30})")  # what the reason comes to
_LONGEST = 160  # characters of a head that names a pole


# What a whole answer says is done to the thing that is asked about.
_EFFECT = re.compile(
    r"(?:it |they )?(?:directly |strongly )?(?:(?P<down>inhibit(?:s|ed|ion)?|reduces)|"
    r"stimulat(?:es?|ed|ion)|enhanc(?:es?|ed|ement)|"
    r"augment(?:s|ed|ation)?)(?: it| them)?",
    re.IGNORECASE,
)


def by_pole(question: str, reference: str, head: str) -> Verdict | None:
    """The verdict where the reference is a pole and the answer's head names poles of the same contrast, else None."""
    if len(reference) > 60 or len(head) > _LONGEST:
        return None
    effect = _EFFECT.fullmatch(head.strip(" ."))
    head = ("decreased" if effect["down"] else "increased") if effect else level_asked(head, question) or head
    number, wanted = _pole_of(reference)
    if number == 0 and wanted and not head.isascii():
        if named := _LEVEL_NAME.fullmatch(head):  # 高磷血症, where it is asked how phosphate changes
            pole = frozenset({"increased" if named["way"] == "高" else "decreased"})
            return _compare(wanted, pole, "", two=False) if named["what"] in _CLAUSE.split(question)[-1] else None
        reasoned = _REASONED.fullmatch(head)
        head = reasoned["rest"] if reasoned else head
    given = _poles(_PATTERNS[number], head) if wanted else frozenset()
    if not given:
        return None
    if wanted | given <= {"present", "absent"} and not _IS_THERE.fullmatch(head):
        return None
    if number == _SIDES:
        wanted, given = _on_a_side(wanted, question), _on_a_side(given, question)
    rest = _PATTERNS[number].sub(" ", head)  # "no change" denies nothing
    return _compare(wanted, given, rest, two=len(_CONTRASTS[number]) == 2)


@lru_cache(maxsize=4096)
def _pole_of(reference: str) -> tuple[int, frozenset[str]]:
    """Which contrast a reference is a pole of, and which pole; no pole where it is more than that."""
    for number, pattern in enumerate(_PATTERNS):
        wanted = _poles(pattern, reference)
        if wanted and not _BARE.sub("", pattern.sub("", reference)):
            return number, wanted
    outside = PARENS.sub("", reference).strip()  # "Increased (by vasoconstriction)"
    return _pole_of(outside) if outside != reference.strip() else (0, frozenset())


def _poles(pattern: Pattern, text: str) -> frozenset[str]:
    return frozenset(match.lastgroup for match in pattern.finditer(text) if match.lastgroup)


def _on_a_side(sides: frozenset[str], question: str) -> frozenset[str]:
    """Same and other side as left and right, where the question names one side."""
    named = _poles(_PATTERNS[_SIDES], question) & {"left", "right"}
    if len(named) != 1:
        return sides
    here = next(iter(named))
    there = "left" if here == "right" else "right"
    return frozenset({"same": here, "other": there}.get(side, side) for side in sides)


def _compare(wanted: frozenset[str], given: frozenset[str], rest: str, two: bool) -> Verdict | None:
    if len(wanted) == 1 and len(given) > 1 and given <= _LEVELS - wanted and not _NOT.search(rest):
        return Verdict.wrong(f"names {' and '.join(sorted(given))} where {next(iter(wanted))} is right")
    if len(wanted) != 1 or len(given) != 1:
        return None
    denied = bool(_NOT.search(rest)) or bool(DENIES.search(rest))
    pole, other = next(iter(given)), next(iter(wanted))
    if {pole, other} & {"same", "other"} and {pole, other} & {"left", "right"}:
        return None  # on which side the lesion is, is not known
    if denied:
        return Verdict.right(f"not {pole}, so {other}") if two and pole != other else None
    return Verdict.right(f"names {pole}") if pole == other else Verdict.wrong(f"names {pole} where {other} is right")
