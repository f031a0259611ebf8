"""What the prose of a patient's script says is so and is not so, for AgentClinic's cases.

Only a plain list of names behind one denial ("Denies fever, chills, or a sore throat.") is taken apart, into things that
are not there. Whatever else a script says is kept in its own words, for the patient to tell as it stands: what is told
may then be less than what is known, and is never the contrary of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SENTENCES = re.compile(r"(?<=[.;!?])\s+|;|\n+")
_SUBJECT = (
    r"(?:(?:the|his|her|their) )?(?:patient|child|baby|boy|girl|infant|newborn|mother|father|parents?|family|caregiver|"
    r"wife|husband|daughter|son|he|she|they|there)(?:'s (?:mother|father|parents?|family|wife|husband|daughter|son))?"
)
_LIGHTLY = r"(?:(?:also|otherwise|currently|specifically|further) )?"
_REPORTS = (
    r"(?:reports?|reported|complains? of|complained of|endorses?|admits?|notes?|mentions?|describes?|states?|experiences?|"
    r"positive for|presents? with|says?)"
)
_SAYS = rf"(?:{_REPORTS}|has|have|had|is|are|was|were)"
_DENIAL = (
    r"(?:denies|denied|deny|denying|no|without|negative for|free of|absence of|"
    r"(?:does|do|did) not (?:report|have|describe|note|notice|mention|experience|endorse)|"
    r"(?:has|have|had) not (?:had|noticed|experienced|reported|noted))"
)
# A new clause with a polarity of its own: what stands before it is not what it says.
_CLAUSES = re.compile(
    r",?\s+(?:but|however|although|though|whereas|yet)\s+|"
    rf",\s+(?=(?:also )?(?:{_REPORTS}|{_DENIAL})\b)|"
    rf",?\s+and\s+(?=(?:{_SUBJECT} )?{_LIGHTLY}(?:has no\b|(?:{_REPORTS}|{_DENIAL})\b))",
    re.IGNORECASE,
)
_DENIES = re.compile(
    rf"^(?:{_SUBJECT} )?{_LIGHTLY}(?:{_SAYS} )?{_DENIAL}\b"
    r"(?: (?:any|having|had|experiencing|taking|a|an|history of|known))*\s+",
    re.IGNORECASE,
)
_LATER = re.compile(
    r"\s+(?:(?:is|are|was|were|has been|have been) )?(?:reported|noted|mentioned|observed|described|provided)"
    r"(?: by (?:the |his |her )?\w+)?$",
    re.IGNORECASE,
)
_ITEMS = re.compile(r",\s*(?:or|and|nor)\s+|,\s*")
_PARTS = re.compile(r"\s+(?:or|and|nor)\s+")
_ARTICLE = re.compile(r"^(?:any|a|an|the)\s+", re.IGNORECASE)
# In a list of things that are denied these say that it is no mere list.
_NO_NAME = re.compile(
    rf"\b(?:{_DENIAL}|{_SAYS}|not|never|none|nor|longer|only|except|apart|other than|aside|besides|unless|until|that|which|"
    r"who|ago|yesterday|started|began|for (?:the )?(?:past|last)|since (?:yesterday|last|this)|be|been|does|do|did|can|could|"
    r"will|would|may|might|he|she|they|it|despite|because|then|now|developed|gained|lost|feels?|felt|complaining|present|"
    r"appears?|seems?|remains?|remained|becomes?|became|begins|began|continues?|continued|persists?|persisted|persisting|"
    r"improve[sd]?|worsens?|worsened|resolved|normal|unremarkable|negative|positive)\b|n't\b|[()\[\]:\"“”—–]",
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
    rf"\b(?:{_DENIAL}|not|never|none|unaware|unable|inability|absent|asymptomatic|negative|unremarkable|within normal)\b|"
    r"n't\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\w+")
_SMALL = frozenset("a an and any at by for from her his in is it my of on or other the their to with".split())
LONGEST = 200  # characters of a name


@dataclass(frozen=True)
class Statement:
    """One thing that a script says.

    Attributes:
        text: The name of what is denied, or the script's own words.
        present: False where it is denied.
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
        return [f"{key}: {one}" if len(one.split()) < 3 else one for key, one in found]
    if isinstance(section, list | tuple):
        return [one for value in section for one in prose(value)]
    text = "" if section is None else str(section)
    return [one for part in _SENTENCES.split(text) if (one := part.strip().rstrip(".;").strip())]


def statements(section: Any) -> list[Statement]:
    """What a section of a script says, clause by clause."""
    return [
        one
        for sentence in prose(section)
        for clause in _CLAUSES.split(sentence)
        if (text := clause.strip(" ,.—–"))
        for one in _read(text)
    ]


def _read(clause: str) -> list[Statement]:
    denial = _DENIES.match(clause)
    if not denial:
        return [Statement(clause, not _NEGATIVE.search(clause), False, clause=clause)]
    items = [_ARTICLE.sub("", one.strip(" .")) for one in _ITEMS.split(_LATER.sub("", clause[denial.end() :]))]
    if any(_NO_NAME.search(one) or _HEALTHY.match(one) or not 2 < len(one) < LONGEST for one in items):
        return [Statement(clause, False, False, clause=clause)]
    return [
        Statement(one, False, True, tuple(parts) if len(parts) > 1 else (), clause)
        for one in items
        for parts in [[part for part in _PARTS.split(one) if len(part) > 2]]
    ]


def is_plain(name: str) -> bool:
    """Whether yes or no can be said to a symptom by its name: it denies nothing itself."""
    return not _NEGATIVE.search(name)


def content(text: str) -> frozenset[str]:
    """The words of a text that mean something, as stems."""
    return frozenset(word.rstrip("s")[:7] for word in _WORDS.findall(text.casefold()) if word not in _SMALL)
