"""References that relate two things: "X causes Y", X先于Y. The same words in another order say something else.

Both ends and the direction are read: in the passive ("Y is caused by X", Y由X引起), as a reverse ("Y follows X"), and as
first and second ("X first, then Y").
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import peel


class Relation(NamedTuple):
    """Two ends and what the first does to the second: cause, order, more, blocks, drives, raises or lowers."""

    kind: str
    first: str
    second: str


_THING = r"[^,.;:，。；：()（）\n]{2,60}"
_BE = r"(?: (?:is|are|was|were|can be|being|usually|often|then|always|typically)){1,3}"
# A forward verb has the first thing before it, a backward one behind it.
_ENGLISH = (
    ("cause", r"causes?|leads? to|results? in|produces?|gives? rise to|brings? about|brings? on|triggers?|induces?",
     rf"{_BE} (?:caused|produced|triggered|induced|brought (?:about|on)) by|results? from|arises? from|stems? from|"
     rf"{_BE} (?:due|secondary) to|{_BE} (?:the|an?) (?:result|consequence|effect|complication) of"),
    ("order", r"precedes?|comes? before|occurs? before|antedates?|predates?",
     rf"{_BE} preceded by|follows?|comes? after|occurs? after"),
    ("more", r"exceeds?|(?:is |are )?(?:greater|higher|larger|more|stronger) than",
     r"(?:is |are )?(?:less|lower|smaller|fewer|weaker) than|(?:is|are) exceeded by"),
    ("blocks", r"inhibits?|blocks?|suppresses|suppress|antagoni[sz]es?", rf"{_BE} (?:inhibited|blocked|suppressed|"
     rf"antagoni[sz]ed) by"),
    ("drives", r"stimulates?|activates?|promotes?", rf"{_BE} (?:stimulated|activated|promoted) by"),
)  # fmt: skip
_CHINESE = (
    ("cause", "引起|导致|造成|诱发|引发", "所致|引起的?|导致的?|造成的?|诱发的?|引发的?"),
    ("order", "先于|早于", ""),
    ("more", "大于|高于|多于|强于", ""),
    ("blocks", "抑制|阻断|拮抗", "抑制|阻断|拮抗"),
    ("drives", "激活|促进|刺激", "激活|促进|刺激"),
)
_FORWARD = Pattern(
    "|".join(
        rf"(?P<{kind}>\b(?:{forward})\b|(?:可|会|能|可以|常)?(?:{han}))"
        for (kind, forward, _), (_, han, _) in zip(_ENGLISH, _CHINESE, strict=True)
    ),
    re.IGNORECASE,
)
# These also stand in the ends of other relations, so they count where there is no other.
_CHANGES_FORWARD = Pattern(
    r"(?P<raises>\b(?:raises|increases|elevates|up-?regulates)\b|升高|增加|提高|上调)|"
    r"(?P<lowers>\b(?:lowers|decreases|reduces|down-?regulates)\b|降低|减少|下调)",
    re.IGNORECASE,
)
_CHANGES_BACKWARD = Pattern(
    rf"(?P<raises>{_BE} (?:raised|increased|elevated) by\b)|(?P<lowers>{_BE} (?:lowered|decreased|reduced) by\b)",
    re.IGNORECASE,
)
_HAN_BACKWARD = {"order": "|晚于|后于", "more": "|小于|低于|少于|弱于"}
_BACKWARD = Pattern(
    "|".join(rf"(?P<{kind}>\b(?:{backward})\b{_HAN_BACKWARD.get(kind, '')})" for kind, _, backward in _ENGLISH),
    re.IGNORECASE,
)
# 由X引起 stands behind its subject: Y由X引起, Y是(由)X所致的.
_BY = Pattern(
    rf"(?P<second>{_THING}?)(?:是|常|多|可)?(?:由于?|因|被|受)(?P<first>{_THING}?)"
    rf"(?:{'|'.join(f'(?P<{kind}>{han})' for kind, _, han in _CHINESE if han)})",
    re.IGNORECASE,
)
_FIRST = Pattern(
    rf"(?P<first>{_THING}?) (?:(?:comes|occurs|appears|develops|happens|is) )?(?:first|earlier)(?: and|,|;|\.)+ ?"
    rf"(?:(?:then|and|while|whereas|with) ?)?(?P<second>{_THING}?)(?: (?:(?:comes|occurs|appears|develops|happens|is) )?"
    r"(?:follows?|following|later|second|after(?:wards)?)\b[^.;]{0,40})?|"
    rf"先(?:有|出现|发生)?(?P<before>{_THING}?)[，,]?(?:再|然后|之?后|继而|才)(?:有|出现|发生)?(?P<after>{_THING})",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:not|never|no|neither|nor|without|rather|instead)\b|n't\b|不|非|无|未|没|并非", re.IGNORECASE)
_ADVERB = re.compile(
    r"(?: (?:usually|often|then|directly|always|typically|can|may|will|eventually|gradually))+$", re.IGNORECASE
)


def relation_of(text: str) -> Relation | None:
    """What a sentence relates, or None where it denies, relates more than two things, or none: it has three words or more."""
    text = text.strip(" .。")
    if len(text) > 200 or (text.isascii() and text.replace(" ", "", 1).isalpha()) or _NOT.search(text):
        return None
    if by := _BY.fullmatch(text):
        return _made(next(kind for kind in _KINDS if by.groupdict().get(kind)), by["first"], by["second"])
    if first := _FIRST.fullmatch(text):
        return _made("order", first["first"] or first["before"], first["second"] or first["after"])
    for pattern, backward in _DIRECTIONS:
        found = list(pattern.finditer(text))
        if len(found) > 1:
            return None
        if found and found[0].lastgroup:
            one, other = text[: found[0].start()], text[found[0].end() :]
            return _made(found[0].lastgroup, *((other, one) if backward else (one, other)))
    return None


_DIRECTIONS = ((_BACKWARD, True), (_FORWARD, False), (_CHANGES_BACKWARD, True), (_CHANGES_FORWARD, False))
_KINDS = tuple(kind for kind, _, _ in _CHINESE)


def _made(kind: str, first: str, second: str) -> Relation | None:
    ends = [peel(_ADVERB.sub("", end.strip())) for end in (first, second)]
    return Relation(kind, *ends) if all(len(end) > 1 and not _CUT.search(end) for end in ends) else None


_CUT = re.compile(r"[,.;，。；\n]")
_relation = lru_cache(maxsize=4096)(relation_of)  # of references


def by_relation(reference: str, text: str, same: Callable[[str, str], bool]) -> Verdict | None:
    """Right or wrong where reference and answer relate the same two things in the same or the other direction.

    Args:
        reference: The reference; None comes back unless it is a relation.
        text: The answer.
        same: Whether two names mean one thing.
    """
    wanted = _relation(reference)
    given = relation_of(text) if wanted else None
    if wanted is None or given is None or given.kind != wanted.kind:
        return None
    if same(wanted.first, wanted.second):
        return None
    if same(given.first, wanted.first) and same(given.second, wanted.second):
        return Verdict.right(f"it relates {wanted.first!r:.40} to {wanted.second!r:.40} as the reference does")
    if same(given.first, wanted.second) and same(given.second, wanted.first):
        return Verdict.wrong(f"it relates {wanted.first!r:.40} to {wanted.second!r:.40} the other way round")
    return None
