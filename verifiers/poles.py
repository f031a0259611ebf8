"""References that are one pole of a contrast: increased or decreased, left or right, benign or malignant.

Such an answer may be worded in many ways (it falls, is low, on the same side), all of which name the pole.
"""

import re
from functools import lru_cache

from medrl.types import Verdict
from medrl.verifiers.levels import level_asked, named_level
from medrl.verifiers.normalise import tokens
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import DENIES, PARENS, Asked, last_sentence, says_nothing

# Each contrast: its poles with the words that name them. A word inside another is not it ("direct", "indirect").
_CONTRASTS: tuple[dict[str, str], ...] = (
    {
        "increased": r"↑|increas\w*|elevat\w*|rais\w+|ris(?:e|es|en|ing)|high(?:er)?|up|grows?|above (?:the )?normal|"
        r"prolong\w*|lengthen\w*|延长|上升|升高|增高|增加|增多|增强|上调|偏高|变大",
        "decreased": r"↓|decreas\w*|suppress\w*|reduc\w+|low(?:er|ered|ers)?|falls?|fell|drops?|"
        r"declin\w+|diminish\w*|depress(?:ed|es|ing)|down|"
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
# What a reference may hold besides its pole: no noun, which would make it the name of a thing (恶性肿瘤).
_BARE = re.compile(
    r"[\s()（）,，.。、]|\b(?:to|from) the lesion\b|\b(?:it|is|the|on|to|towards?|side|sided|level|levels)\b|"
    r"侧|性|水平|型|[了的]",
    re.IGNORECASE,
)
_A_THING = re.compile(r"\bmalignanc(?:y|ies)\b", re.IGNORECASE)  # as a reference it is a tumour, not a pole
# What an answer may hold besides its pole, whatever is asked.
_BESIDE = re.compile(
    r"\b(?:as|to|of|from) the (?:\w+ )?(?:lesion|injury|stroke|infarct|loss|deficit)\b|"
    r"\b(?:i\.e|it|they|its|their|the|an?|patient's|goes|go|going|went|be|been|becomes?|became|"
    r"will|would|can|tends|to|towards?|on|or|and|of|so|that is|sides?|sided|body|levels?|concentrations?|"
    r"results?|onset|(?<!of )course|undetectable|very|markedly|slightly|significantly|substantially|mildly|moderately|"
    r"severely|greatly|profoundly|strongly|abnormally|gradually|evidence|signs? of|no|not|non|without)\b|"
    r"也就是|半身|边|侧|上肢重于下肢|下肢重于上肢|明显|显著|[轻中重]度|略|稍|逐渐|水平|浓度|含量|结果|通常|一般|往往|"
    r"进行性|异常|表现|出现|[其它会将呈可则了与向或且在不非无未]",
    re.IGNORECASE,
)
_FALSELY = re.compile(
    r"\b(?:false\w*|pseudo\w*|weak\w*|previous\w*|prior|past|formerly)\b|假|弱|既往|曾", re.IGNORECASE
)
# What a question says beside the thing that it asks about: when it is, and what acts on it.
_ASIDE = re.compile(
    r"^.*(?:\b(?:effects?|impact)\b.*\bon\b|\b(?:affect|influence|do to)\b)|"
    r"^(?:in|with|after|during|following) .*(?=\b(?:what|how|which)\b)|"
    r"(?<=.)\b(?:in|with|after|during|when|if|because|due to|by|following|among)\b.*|"
    r"^.*(?:时(?!间|相)|(?<=.)后(?!负荷)|患者|对(?!光|侧|比)|[使，,；;])(?=.)",
    re.IGNORECASE | re.DOTALL,
)
# Words without which the rest of a thing's name is another thing: calcium is not the excretion of calcium.
_TURNS = re.compile(
    r"excretion|clearance|resistance|reabsorption|degradation|sensitivity|urin(?:ary|e)|排泄|清除|抵抗|重吸收|敏感|尿(?![酸素])",
    re.IGNORECASE,
)
# Nouns that a name may leave out, but not a pole: an acute infection is not an acute bleeding.
_NOUNS = frozenset(
    "infection disease condition syndrome disorder organism bacterium bacteria species virus drug medication agent answer "
    "choice option type picture finding presentation tablet capsule".split()
)
_ELSEWHERE = re.compile(
    rf"{_TURNS.pattern}|\b(?:csf|cerebrospinal|intracellular|total|stool|sweat)\b|脑脊液|细胞内", re.IGNORECASE
)
# Words that name one thing, and the word for it.
_SAME = re.compile(
    r"(?P<serum>\b(?:serum|plasma|blood)\b)|(?P<血>血[清浆液中])|(?P<肢>(?:上下肢|肢体|偏瘫|瘫痪)+)|(?P<肿>肿[瘤块物]|病变|结节)|"
    r"(?P<tumor>\b(?:tumou?r|neoplasm|mass|lesion|growth|nodule)\b)",
    re.IGNORECASE,
)
# What acts, before what it does to the thing.
_ACTS = re.compile(
    r"(?P<agent>[\w -]{2,40}?) (?P<does>(?:increases|raises|elevates|decreases|lowers|reduces|suppresses) .+)|"
    r"(?P<han>[\u3400-\u9fff]{2,10}?)[可会能]?使(?P<makes>.+)",
    re.IGNORECASE,
)
# Why it is so; and what follows a sentence of which "it" is the subject.
_REASON = re.compile(
    r"(?:,? |^)\b(?:because|since|due to|owing to|as a result of|by|through|via|secondary to)\b.*|"
    r"(?<=^it )[^,:;]*(?P<so>[,:;]).*|(?<=^they )[^,:;]*(?P<thus>[,:;]).*",
    re.DOTALL | re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:no|not|non|without|never|absence of|neither)\b|n't\b|不是|并非|没有|无|非|未|不", re.IGNORECASE
)
# With these a pole that is denied is not the other one: "not very malignant".
_QUALIFIES = re.compile(
    r"\b(?:very|without|signs?|features?|quite|too|so|as|that|yet|may|might|could|perhaps|seems?|appears?|looks?|"
    r"(?:possib|probab|un)?like\w*|possible|probable|[a-z]{3,}ly)\b|[太很甚略稍]|明显|显著|可能|大概|完全|肯定|确定|一定|十分|非常|典型|征象",
    re.IGNORECASE,
)
_LEVEL_NAME = re.compile("(?P<way>[高低])(?P<what>[\u3400-\u9fff]{1,6}?)血症")
_REASONED = re.compile("(?:由于|因为|因)[^。；或]{4,80}[，,](?P<rest>[^，。；,]{2,30})")  # what the reason comes to
_LONGEST = 160  # characters of a head that names a pole


# What a whole answer says is done to the thing that is asked about.
_EFFECT = re.compile(
    r"(?:it |they )?(?:directly |strongly )?(?:(?P<down>inhibit(?:s|ed|ion)?|reduces)|"
    r"stimulat(?:es?|ed|ion)|enhanc(?:es?|ed|ement)|"
    r"augment(?:s|ed|ation)?)(?: it| them)?",
    re.IGNORECASE,
)


def by_pole(question: str, reference: str, head: str, said: str = "") -> Verdict | None:
    """The verdict where the reference is a pole and the answer's head names poles of the same contrast, else None.

    What was `said` around the head may qualify a denial: "possibly not benign" is not malignant.
    """
    if len(reference) > 60 or len(head) > _LONGEST:
        return None
    number, wanted = _pole_of(reference)
    if not wanted:
        return None
    effect = _EFFECT.fullmatch(head.strip(" ."))
    thing = _thing(question)
    in_blood = "" if _ELSEWHERE.search(thing) else thing
    level = level_asked(named_level(head) or head, in_blood)  # "K+ falls"
    head = ("decreased" if effect["down"] else "increased") if effect else level or head
    head = PARENS.sub(lambda aside: level_asked(aside[1], in_blood) or aside[0], head)  # "decreased (hypocalcemia)"
    acts = _ACTS.fullmatch(head)
    if acts and says_nothing(tokens(acts["agent"] or acts["han"]), _asked(question)):
        head = acts["does"] or acts["makes"]
    if number == 0 and not head.isascii():
        if named := _LEVEL_NAME.fullmatch(head):  # 高磷血症, where it is asked how phosphate changes
            pole = frozenset({"increased" if named["way"] == "高" else "decreased"})
            return _compare(wanted, pole, "", two=False) if named["what"] in in_blood else None
        reasoned = _REASONED.fullmatch(head)
        head = reasoned["rest"] if reasoned else head
    given = _poles(_PATTERNS[number], head)
    if not given:
        return None
    if wanted | given <= {"present", "absent"} and not _IS_THERE.fullmatch(head):
        return None
    if number == _SIDES:
        wanted, given = _on_a_side(wanted, question), _on_a_side(given, question)
    rest = _PATTERNS[number].sub(" ", head)  # "no change" denies nothing
    if _FALSELY.search(rest):
        return None
    verdict = _compare(wanted, given, rest, two=len(_CONTRASTS[number]) == 2)
    if verdict is None or verdict.score != 1.0:
        return verdict
    if given != wanted and _QUALIFIES.search(f"{said} {rest}"):
        return None
    outside = PARENS.sub(" ", rest) if number == _SIDES else ""  # "right lobe (posterior artery)"
    return verdict if _names(outside if _BESIDE.sub("", outside).strip(" .") else rest, thing) else None


def _names(rest: str, thing: str) -> bool:
    """Whether what stands beside a pole says nothing or names the thing asked about: not "decreased phosphate"."""
    left = _same(_BESIDE.sub(" ", _REASON.sub("", rest.strip())))
    initials = "".join(word[0] for word in tokens(thing))  # SVR
    words = [word for word in tokens(left) if len(word) < 3 or word not in initials]
    short = "".join(word[0] for word in words) if len(words) > 2 else ""  # of the glomerular filtration rate
    turns = {word.lower() for word in _TURNS.findall(thing)} if words else ()
    if _NOUNS & set(words) - _asked(thing).words or (turns and not any(word in left.lower() for word in turns)):
        return False
    return says_nothing(words, _asked(thing)) or short in tokens(thing)


@lru_cache(maxsize=1024)
def _thing(question: str) -> str:
    """What a question asks about: its last clause, without when it is and what acts on it."""
    end = max(question.rfind("?"), question.rfind("？")) + 1
    thing = last_sentence(question[:end] or question)[-300:]
    for _ in range(3):
        thing = _ASIDE.sub("", thing.strip())
    return thing


@lru_cache(maxsize=1024)
def _asked(thing: str) -> Asked:
    return Asked.of(_same(thing))


def _same(text: str) -> str:
    return _SAME.sub(lambda found: found.lastgroup or "", text)


@lru_cache(maxsize=4096)
def _pole_of(reference: str) -> tuple[int, frozenset[str]]:
    """Which contrast a reference is a pole of, and which pole; no pole where it is more than that."""
    for number, pattern in enumerate(_PATTERNS):
        wanted = _poles(pattern, reference)
        if wanted and not _A_THING.search(reference) and not _BARE.sub("", pattern.sub("", reference)):
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
