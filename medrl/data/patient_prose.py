"""What the prose of a patient's script denies, for AgentClinic's cases, in English and Chinese.

A sentence is taken apart only where it is, from its first character to its last, one denial and what it denies: a finding of
the clinic's tables ("Denies chest pain on exertion."), or a closed list of such findings of one word each ("No fever,
nausea, or vomiting."). A name of several words may share some with its neighbours ("no leg swelling or pain", "no vomiting
or coughing blood"), so no list that holds one is taken apart; nor is "she has no fever", for she may be the wife.
Every other sentence is kept whole, for the patient to tell as it stands, and whatever governs several sentences (a key,
a heading) stays with each of them. What is told may then be less than what is known, and is never the contrary of it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from medrl.data.clinic.mentions import mentions, plain
from medrl.data.clinic.world import load_world

# A stop that ends a sentence, and not an abbreviation: "e.g. HIV", "Dr. Lee"; "... Or fever" goes on.
_SENTENCES = re.compile(r"(?<=[^\s.]{3}[.!])\s+(?=[A-Z])(?!N?[Oo]r\b)|(?<=[。！])")
_HEADING = re.compile(r"[:：](?!\d)")
_WORD = r"(?:(?:any|an?) )?[\w-]+"
_DENIAL = re.compile(
    r"(?:(?:the )?patient )?(?:denie[sd]|(?:(?:has|reports|there is) )?no|does not (?:have|report)) "
    rf"(?P<list>(?:{_WORD}, )*{_WORD},? n?or )?(?P<last>{_WORD}(?(list)|(?: [\w-]+)*))",
    re.IGNORECASE,
)
_DENIAL_ZH = re.compile(
    "(?:患者)?(?:否认|没有|未诉|无)(?P<list>(?:[\u3400-\u9fff]{2}[、或及])+)?(?P<last>(?(list)[\u3400-\u9fff]{2}|[\u3400-\u9fff]+))"
)
_BETWEEN = re.compile(r",? n?or |, |[、或及]", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:any|an?) ", re.IGNORECASE)
_NEGATIVE = re.compile(
    r"\b(?:den(?:y|ie[sd]|ying)|no|not|never|none|nil|neither|nor|without|free of|absence|absent|lack(?:s|ed|ing)?|unaware|"
    r"unable|inability|asymptomatic|negatives?|unremarkable|within normal)\b|n['’]t\b|[无没未不否非]|阴性",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\w+")
_SMALL = frozenset("a an and any at by for from her his in is it my of on or other the their to with".split())


def prose(section: Any) -> list[str]:
    """The sentences of a section, whether it is a text, a list, or an object of either, each with the keys above it.

    Lines and items are read as a text where each but the last ends as a sentence does. Else, or where a colon announces
    something, nobody can tell how far a line reaches ("Denies:", "Mother"), and all of them are one sentence.
    """
    if isinstance(section, Mapping):
        return [f"{str(key).replace('_', ' ')}: {one}" for key, value in section.items() for one in prose(value)]
    parts = section if isinstance(section, list | tuple) else str(section).splitlines() if section is not None else []
    found = (
        "; ".join(prose(one)) if isinstance(one, Mapping | list | tuple) else str(one)
        for one in parts
        if one is not None
    )
    lines = [line for one in found if (line := " ".join(one.split()))]
    sentences = ["; ".join(lines).replace(":; ", ": ")]
    if all(one[-1] in ".!。！" for one in lines[:-1]) and not _HEADING.search(sentences[0]):
        sentences = _SENTENCES.split(" ".join(lines))
    return [text for one in sentences if (text := one.rstrip(" .。"))]


def denied(sentence: str) -> list[str]:
    """The findings that a sentence denies, each by its name; none where it may say anything else."""
    denial = _DENIAL.fullmatch(sentence) or _DENIAL_ZH.fullmatch(sentence)
    if not denial:
        return []
    names = [_ARTICLE.sub("", one) for one in [*_BETWEEN.split(denial["list"] or "")[:-1], denial["last"]]]
    return names if all(map(finding_of, names)) else []


def is_plain(text: str) -> bool:
    """Whether a text denies nothing, so that yes or no can be said to it."""
    return not _NEGATIVE.search(text)


def tells(sentence: str) -> bool:
    """Whether a sentence says, up to its first comma, that something is there."""
    return is_plain(re.split("[,，]", sentence, maxsplit=1)[0])


def speaks_of(text: str, name: str) -> bool:
    """Whether a text has all words of a name, or names the same finding."""
    return content(name) <= content(text) or finding_of(name) in findings_in(text)


@lru_cache(maxsize=1 << 14)
def findings_in(text: str) -> frozenset[str]:
    """The findings of the clinic's tables that a text names, in every meaning."""
    return frozenset(key for one in mentions(load_world(), plain(text)) for key in one.of("finding"))


@lru_cache(maxsize=1 << 14)
def finding_of(name: str) -> str:
    """The finding of the clinic's tables of which `name` is the whole name; "" where there is none, or several."""
    text = plain(name).strip()
    named = mentions(load_world(), text)
    if len(named) == 1 and named[0].start == 0 and named[0].end == len(text) and (found := named[0].of("finding")):
        return found[0]
    return ""


@lru_cache(maxsize=1 << 14)
def content(text: str) -> frozenset[str]:
    """The words of a text that mean something, as stems."""
    return frozenset(word.rstrip("s")[:7] for word in _WORDS.findall(text.casefold()) if word not in _SMALL)
