"""What the prose of a patient's script says is so and is not so, for AgentClinic's cases, in English and Chinese.

Only a plain list of names behind one denial ("Denies fever, chills, or a sore throat.", 否认发热、咳嗽) is taken apart, into
things that are not there. Where commas alone follow a denial ("No fever, cough since May"), nobody can tell what it reaches.
That, and whatever else a script says, is kept in its own words, for the patient to tell as it stands: what is told may then
be less than what is known, and is never the contrary of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from medrl.data.clinic.mentions import mentions, plain
from medrl.data.clinic.world import load_world

_SENTENCES = re.compile(r"(?<=[.!?])(?<!\.\.)\s+(?!n?or\b)|(?<=[。！？])", re.IGNORECASE)
_LINES = re.compile(r"[;；\n]+")
_SUBJECT = r"(?:(?:the )?(?:patient|child|baby|boy|girl|infant|newborn)|he|she|there)"
_LIGHTLY = r"(?:(?:also|otherwise|currently|specifically|further) )?"
_REPORTS = (
    r"(?:reports?|reported|complains? of|complained of|endorses?|admits?|notes?|mentions?|describes?|states?|experiences?|"
    r"positive for|presents? with|says?)"
)
_SAYS = rf"(?:{_REPORTS}|has|have|had|is|are|was|were)"
_DENIAL = (
    r"(?:denies|denied|deny|denying|no|negative for|free of|absence of|"
    r"(?:does|do|did) not (?:report|have|describe|note|notice|mention|experience|endorse)|"
    r"(?:has|have|had) not (?:had|noticed|experienced|reported|noted))"
)
_DENIAL_ZH = r"(?:否认|没有|未诉|未出现|无)"
# A new clause with a polarity of its own: what stands before it is not what it says. "No pain but on walking" has none.
_CLAUSES = re.compile(
    r",?\s+(?:but|although|though|whereas)\s+(?!(?:for|in|on|at|with|when|while|during|after|by|if|only)\b)|"
    r",\s+(?:however|yet),?\s+|"
    rf",\s+(?=(?:also )?(?:{_REPORTS}|{_DENIAL})\b)|"
    rf",?\s+and\s+(?=(?:{_SUBJECT} )?{_LIGHTLY}(?:has no\b|(?:{_REPORTS}|{_DENIAL})\b))|"
    rf"[,，]\s*(?={_DENIAL_ZH}|未|[有伴诉但])",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(
    rf"\b(?:{_SAYS}|{_DENIAL}|not|never|without|with|or|and|nor|of|to|does|do|did|can|could|will|would|may|might)$|n't$",
    re.IGNORECASE,
)
_CLOSED = re.compile(r",\s*n?or\b", re.IGNORECASE)  # the end of a list that began before: "though it aches, or chills"
_COMMA = re.compile("[,，;；]")
_LED = re.compile(rf"(?:(?:{_SUBJECT} )?{_LIGHTLY}(?:{_SAYS}|{_DENIAL})\b|{_DENIAL_ZH}|有)", re.IGNORECASE)
# Whose complaints are these? A sentence that names one of them is kept whole, and so is "she ..." right after it.
_RELATIVES = re.compile(
    r"\b(?:(?:grand|step)?(?:mother|father|parent|son|daughter)s?|mom|dad|brothers?|sisters?|siblings?|wife|husband|spouse|"
    r"partner|twin|uncle|aunt|cousins?|friends?|roommates?|neighbou?rs?|co-?workers?|colleagues?|relatives?|caregivers?|"
    r"family|families)\b|[父母爸妈妻夫兄弟姐妹]|儿子|女儿|家人|家属|家族|同事|朋友",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"(?:he|she|they|his|her|their)\b|[他她]", re.IGNORECASE)
_DENIES = re.compile(
    rf"^(?:{_SUBJECT} )?{_LIGHTLY}(?:{_SAYS} )?{_DENIAL}\b"
    r"(?: (?:any|having|had|experiencing|taking|a|an|known))*\s+",
    re.IGNORECASE,
)
_LATER = re.compile(
    r"\s+(?:(?:is|are|was|were|has been|have been) )?(?:reported|noted|mentioned|observed|described|provided)"
    r"(?: by (?:the |his |her )?\w+)?$",
    re.IGNORECASE,
)
_ITEMS = re.compile(r",\s*")
_LAST = re.compile(r"^(?:or|nor)\s+", re.IGNORECASE)
_PARTS = re.compile(r"\s+(?:or|nor)\s+")
_ARTICLE = re.compile(r"^(?:any|a|an|the)\s+", re.IGNORECASE)
# In a list of things that are denied these say that it is no mere list.
_NO_NAME = re.compile(
    rf"\b(?:{_DENIAL}|{_SAYS}|without|not|never|none|nor|and|with|plus|but|though|although|yet|however|longer|only|except|"
    r"apart|other than|aside|besides|unless|until|that|which|who|ago|yesterday|started|began|for (?:the )?(?:past|last)|"
    r"since (?:yesterday|last|this)|at (?:first|onset|the time)|initially|previously|earlier|be|been|does|do|did|can|could|"
    r"will|would|may|might|he|she|they|it|despite|because|if|then|now|developed|gained|lost|feels?|felt|complaining|present|"
    r"appears?|seems?|remains?|remained|becomes?|became|begins|began|continues?|continued|persists?|persisted|persisting|"
    r"improve[sd]?|worsens?|worsened|resolved|normal|unremarkable|negative|positive|worse|better|more|less|fewer|later|sooner|"
    r"twice|takes|took|smokes|smoked|drinks|drank|eats|ate|uses|vapes|vomits|vomited|coughs|coughed|hit|hits|fell|falls|went|"
    r"goes|got|gets|came|comes|woke|wakes|slept|sleeps|walks|works|lives|tried|tries|needs|needed)\b|n't\b|"
    r"^(?:in|on|at|after|before|during|when|while|by|for|from|to|of|as|if|even|so|especially|particularly|mostly|mainly|"
    r"doubt|question|one)\b|[()\[\]:;\"“”—–+…]|\s[-/]|[.!?]\s|\.\.|--",
    re.IGNORECASE,
)
# Behind these a list may go on within an item: "no pain in the arm, leg, or back" denies no leg.
_OPEN = re.compile(
    r"\b(?:in|of|on|to|at|for|from|by|during|after|when|while|difficulty|trouble|problems?)\b", re.IGNORECASE
)
# Said once for all of a list: "no history of pain, cough, or fever", "no pain, cough, or fever at rest".
_BEFORE = re.compile(r"^(?:history of|previous|prior|past)\b", re.IGNORECASE)
_WHEN = re.compile(
    r"^(?!(?:changes?|difficulty|trouble|problems?) ).*\b(?:at|on|in|to|during|after|before|since|while|when|for|from|by|"
    r"over|around|within|between)\b",
    re.IGNORECASE,
)
# What names a complaint of its own, wherever it stands in a list.
_HEAD = re.compile(
    r"^(?:recent|recurrent|previous|prior|other|similar|new|changes?|difficulty|trouble|problems?|loss|pains?|symptoms?)\s|"
    r"\b(?:symptoms?|complaints?|pains?|ill(?:ness|nesses)|infections?|disorders?|diseases?|episodes?|changes?|loss|injur(?:y|ies)|"
    r"trauma|discharge|bleeding|swelling|stiffness|weakness|numbness)$",
    re.IGNORECASE,
)
# To have none of these is itself a complaint.
_HEALTHY = re.compile(
    r"^(?:(?:real|much|significant) )?(?:appetite|energy|sensation|feeling|strength|relief|improvement|interest|recollection|"
    r"memory|response|vision|hearing|movement|motivation|urine output|bowel movements?|sleep|pulse)\b"
    r"(?! (?:loss|change|problem|difficult|disturbance|disorder|impairment))",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(
    rf"\b(?:{_DENIAL}|without|not|never|none|nil|neither|nor|lack(?:s|ed|ing)?|unaware|unable|inability|absent|asymptomatic|"
    r"negatives?|unremarkable|within normal)\b|n't\b|[无没未不否非]|阴性",
    re.IGNORECASE,
)
# A key without which its text cannot be read ("Denies", "Mother"), and an item that speaks of those after it ("Denies:").
_OF_ITS_OWN = re.compile(f"{_NEGATIVE.pattern}|{_RELATIVES.pattern}", re.IGNORECASE)
_HEADING = re.compile(f"[:：]$|{_UNFINISHED.pattern}", re.IGNORECASE)
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_DENIES_ZH = re.compile(
    rf"^(?:患者|病人|患儿|孩子|我|他|她)?(?:自诉)?(?:目前|近期|平时)?({_DENIAL_ZH})(?:明显|任何|出现|伴有|伴|有|过)?"
)
_NAME_ZH = re.compile(
    r"(?:(?![一二两三四五六七八九十几天周月年日次时后前现加减重缓仍但只仅除外却而反且不未无没非有是吃服抽喝用差明剧厉常伴诉近来])[\u3400-\u9fff]){2,8}"
)
_ITEMS_ZH = re.compile(r"[、或和及与]|或者|以及")
_LATER_ZH = re.compile(r"等?(?:症状|不适|表现)?$")
_WORDS = re.compile(r"\w+")
_SMALL = frozenset("a an and any at by for from her his in is it my of on or other the their to with".split())
LONGEST = 200  # characters of a name


@dataclass(frozen=True)
class Statement:
    """One thing that a script says.

    Attributes:
        text: The name of what is denied, or the script's own words.
        present: False where it is denied, or where the script's own words deny something.
        named: Whether `text` is a name, to which yes or no can be said; else it is told as it stands.
        names: Parts of a name of several ("bowel or bladder trouble") by which it may be asked for.
        clause: The script's words that it was read from.
    """

    text: str
    present: bool
    named: bool
    names: tuple[str, ...] = ()
    clause: str = ""


def prose(section: Any) -> list[str]:
    """The sentences of a section, whether it is a text, a list, or an object of either; see `statements`."""
    if isinstance(section, Mapping):
        found = [(str(key).replace("_", " "), one) for key, value in section.items() for one in prose(value)]
        return [f"{key}: {one}" if len(one.split()) < 3 or _OF_ITS_OWN.search(key) else one for key, one in found]
    if isinstance(section, list | tuple):
        if any(_HEADING.search(str(value).rstrip()) for value in section):
            return prose("\n".join(map(str, section)))
        return [one for value in section for one in prose(value)]
    text = "" if section is None else str(section)
    parts = (part for sentence in _SENTENCES.split(text) for part in _lines(sentence))
    return [one for part in parts if (one := " ".join(part.split()).rstrip(".;。； "))]


def _lines(sentence: str) -> Iterator[str]:
    """The lines of a sentence, and what stands between its semicolons. What follows a denial may be denied with it."""
    before = ""
    for line in map(str.strip, _LINES.split(sentence)):
        if before and _NEGATIVE.search(before) and not _LED.match(line):
            before = f"{before}{' ' if before[-1] in ',:，：' else '; '}{line}" if line else before
        else:
            yield before
            before = line
    yield before


def statements(section: Any) -> list[Statement]:
    """What a section of a script says, clause by clause."""
    found: list[Statement] = []
    others = False  # whether somebody else is spoken of
    for sentence in prose(section):
        others = _RELATIVES.search(_LATER.sub("", sentence)) is not None or (others and bool(_PRONOUN.match(sentence)))
        if others:
            found.append(_told(sentence))
        else:
            found += [one for clause in _clauses(sentence) for one in _read(clause)]
    return found


def _clauses(sentence: str) -> list[str]:
    parts = [text for part in _CLAUSES.split(sentence) if (text := part.strip(" ,，.—–"))]
    cut = any(_UNFINISHED.search(part) for part in parts[:-1])  # "has not, although in pain, vomited"
    cut = cut or any(_CLOSED.search(part) and not _DENIES.match(part) for part in parts[1:])
    return [sentence] if cut else parts


def _read(clause: str) -> list[Statement]:
    names = _denied_zh(clause) if _CHINESE.search(clause) else _denied(clause)
    if not names:
        return [_told(clause)]
    return [
        Statement(one, False, True, tuple(parts) if len(parts) > 1 else (), clause)
        for one in names
        for parts in [[part for part in _PARTS.split(one) if len(part) > 2]]
    ]


def _told(clause: str) -> Statement:
    return Statement(clause, not _NEGATIVE.search(clause), False, clause=clause)


def _denied(clause: str) -> list[str]:
    """The names that a clause denies, each for itself; none where it may say anything else."""
    denial = _DENIES.match(clause)
    if not denial:
        return []
    items = _ITEMS.split(_LATER.sub("", clause[denial.end() :]))
    parts = _PARTS.split(items[-1])
    if len(items) > 1 and not _LAST.match(items[-1]) and not (len(parts) > 1 and all(map(finding_of, parts))):
        return []  # "No fever, vomited": nothing says that the denial goes on
    names = [_ARTICLE.sub("", _LAST.sub("", one.strip(" ."))) for one in items]
    if len(names) > 1 and (_BEFORE.match(names[0]) or _WHEN.match(names[-1])):
        return []
    if any(_NO_NAME.search(one) or _HEALTHY.match(one) or not 2 < len(one) < LONGEST for one in names):
        return []
    first = next((n for n, one in enumerate(names) if _OPEN.search(one)), len(names))
    return names if all(_HEAD.search(one) or _names_any(one) for one in names[first + 1 :]) else []


def _denied_zh(clause: str) -> list[str]:
    """The same in Chinese: short names behind 否认, else names that the tables know: 无力 and 无诱因发热 deny nothing."""
    denial = _DENIES_ZH.match(clause)
    names = _ITEMS_ZH.split(_LATER_ZH.sub("", clause[denial.end() :])) if denial else []
    sure = denial is not None and denial[1] in ("否认", "未诉")
    return names if all(finding_of(one) or (sure and _NAME_ZH.fullmatch(one)) for one in names) else []


@lru_cache(maxsize=1 << 14)
def finding_of(name: str) -> str:
    """The finding of the clinic's tables of which `name` is the whole name; "" where there is none, or several."""
    text = plain(name).strip()
    named = mentions(load_world(), text)
    if len(named) == 1 and named[0].start == 0 and named[0].end == len(text) and (found := named[0].of("finding")):
        return found[0]
    return ""


def _names_any(text: str) -> bool:
    return any(one.of("finding") or one.of("disease") for one in mentions(load_world(), plain(text)))


def is_plain(name: str) -> bool:
    """Whether yes or no can be said to a symptom by its name: it denies nothing itself."""
    return not _NEGATIVE.search(name)


def may_affirm(one: Statement) -> bool:
    """Whether a statement may say that something is there, as a denial with commas may that does not end as a list."""
    return one.present or not (one.named or _CLOSED.search(one.text) or not _COMMA.search(one.text))


def content(text: str) -> frozenset[str]:
    """The words of a text that mean something, as stems."""
    return frozenset(word.rstrip("s")[:7] for word in _WORDS.findall(text.casefold()) if word not in _SMALL)
