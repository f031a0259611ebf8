"""What an answer says in terms of known concepts, and whether that is the reference.

An answer is read as concepts, each affirmed or denied, and the words beside them. It is right where it affirms the
reference's concept and everything else says nothing more; it is wrong where it affirms others that exclude the
reference's, or less than was asked. Words that are neither known nor empty leave it to the next stage.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.concepts import NOTHING, Mention, Vocabulary
from medrl.verifiers.normalise import joined, tokens
from medrl.verifiers.wording import AFTER_NEGATION, BEFORE_NEGATION, OR, Asked, says_nothing

REFERENCE = -1  # the concept of the reference's own words, whether or not the vocabulary knows it
_PARTS = re.compile(
    r"(\s*(?:,? \b(?:or|and|i\.e\.)(?= )|或者?|和|及|还是|又称|又名|也称|即|[,;、，；:：()（）\n/])\s*)", re.IGNORECASE
)
_LEAST = frozenset(
    "acute primary essential idiopathic classic classical typical common simple 急 性 原 发 典 型".split()
)
# Kinds of thing, which answer no question that has a more special reference.
_GENERIC = frozenset(
    joined(tokens(name))
    for name in (
        "cancer|carcinoma|tumor|neoplasm|malignancy|infection|inflammation|syndrome|disease|fracture|hernia|anemia|shock|"
        "poisoning|bacteria|virus|fungus|parasite|antibiotic|drug|surgery|"
        "癌|癌症|肿瘤|恶性肿瘤|感染|炎症|综合征|疾病|骨折|疝|贫血|休克|中毒|细菌|病毒|真菌|寄生虫|抗生素|药物|手术"
    ).split("|")
)
MOST = 60  # words of a head that are read; a longer one commits to nothing


class Part(NamedTuple):
    """A piece of an answer between two separators."""

    before: str
    affirmed: tuple[Mention, ...]
    denied: tuple[Mention, ...]
    rest: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """The reference as concepts: its names, which concepts they may be, and how its own words stand in a text."""

    terms: tuple[str, ...]
    ids: frozenset[int]
    words: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, terms: Sequence[str], known: Vocabulary) -> "Reference":
        found = [known.ids(term) for term in terms]
        ids = next((one for one in found if len(one) == 1), NOTHING)  # a name of several concepts is none
        return cls(tuple(terms), ids, tuple(dict.fromkeys(tuple(tokens(term)) for term in terms)))

    @property
    def generic(self) -> bool:
        """Whether the reference itself is no more than a kind of thing."""
        return any(joined(words) in _GENERIC for words in self.words)

    def at(self, words: Sequence[str], position: int) -> int:
        """How many words of a text from `position` on are one of the reference's names; 0 for none."""
        return max(
            (len(own) for own in self.words if own and tuple(words[position : position + len(own)]) == own), default=0
        )


def parts_of(text: str, known: Vocabulary, reference: Reference) -> list[Part]:
    """The pieces of an answer's head with the concepts that each names."""
    pieces = _PARTS.split(text)
    found: list[Part] = []
    for i in range(0, len(pieces), 2):
        words = tokens(pieces[i])
        if not words:
            continue
        mentions = _mentions(words, pieces[i], known, reference)
        denied = [m for m in mentions if _denied(words, m)]
        covered = {i for m in mentions for i in range(m.start, m.end)}
        rest = tuple(word for i, word in enumerate(words) if i not in covered)
        found.append(
            Part(pieces[i - 1] if i else "", tuple(m for m in mentions if m not in denied), tuple(denied), rest)
        )
    return found


def _mentions(words: list[str], text: str, known: Vocabulary, reference: Reference) -> list[Mention]:
    """Concepts that words name; the whole of them may be a name that is written loosely."""
    found = known.mentions(words, text)
    if len(found) != 1 or found[0].end - found[0].start < len(words):
        whole = known.ids(text)
        if whole:
            found = [Mention(0, len(words), whole)]
    own: list[Mention] = []
    at = 0
    while at < len(words):
        length = reference.at(words, at)
        if length:
            own.append(Mention(at, at + length, reference.ids | {REFERENCE}))
        at += length or 1
    for mention in own:  # the reference's own words win over what stands inside them, and lose to a longer name
        over = [m for m in found if m.start < mention.end and mention.start < m.end]
        if all(mention.start <= m.start and m.end <= mention.end for m in over):
            found = [m for m in found if m not in over] + [mention]
    return sorted(found)


def _denied(words: Sequence[str], mention: Mention) -> bool:
    before = _joined(" ".join(words[max(0, mention.start - 8) : mention.start]))
    after = _joined(" ".join(words[mention.end : mention.end + 8]))
    return bool(BEFORE_NEGATION.search(before) or AFTER_NEGATION.match(after))


def _joined(text: str) -> str:
    """Chinese characters without the spaces that tokens have between them."""
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", text.strip())


def names_reference(text: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether a text affirms the reference somewhere."""
    affirmed = [m for part in parts_of(text, known, reference) for m in part.affirmed]
    return any(ids & (reference.ids | {REFERENCE}) for ids in _resolved(affirmed))


def by_concepts(head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """What the concepts in the head of an answer decide, or None."""
    if len(head) > 12 * MOST:
        return None
    parts = parts_of(head, known, reference)
    if not parts or sum(len(part.rest) for part in parts) > MOST:
        return None
    affirmed = _resolved([m for part in parts for m in part.affirmed])
    if not affirmed:
        return None
    wanted = reference.ids | {REFERENCE}
    hits = [m for m in affirmed if m & wanted]
    if any(m & wanted for part in parts for m in (d.ids for d in part.denied)) and hits:
        return None
    silent = all(says_nothing(part.rest, asked) for part in parts)
    if len(parts) == 1 and joined(tokens(head)) in _GENERIC and not reference.generic:
        return Verdict.wrong(f"less specific than {reference.terms[0]!r:.60}")
    if not hits:
        return _wrong(affirmed, reference, known) if silent else None
    if not all(m <= wanted for m in hits) or not silent:
        return None
    others = [m for m in affirmed if m not in hits]
    if all(_glosses(m, reference, known) for m in others):
        return Verdict.right(f"names {reference.terms[0]!r:.60}")
    between = [f" {part.before.strip()} " for part in parts[1:] if part.affirmed]
    offered = any(map(OR.search, between)) and all(OR.fullmatch(b) or b.strip() in ("、", ",", "，") for b in between)
    if offered and all(_apart(m, reference, known) for m in others):
        return Verdict.wrong("an open choice between several answers")
    return None


def _resolved(mentions: list[Mention]) -> list[frozenset[int]]:
    """The concepts of each mention; one that may be several is the one that another mention names outright."""
    sure = frozenset().union(*(m.ids for m in mentions if len(m.ids - {REFERENCE}) == 1))
    return [m.ids & sure if len(m.ids) > 1 and len(m.ids & sure) == 1 else m.ids for m in mentions]


def _glosses(ids: frozenset[int], reference: Reference, known: Vocabulary) -> bool:
    """Whether a concept beside the reference's says nothing new: the reference's is a kind of it."""
    return bool(reference.ids) and all(any(one in known.broader(wanted) for one in ids) for wanted in reference.ids)


def _apart(ids: frozenset[int], reference: Reference, known: Vocabulary) -> bool:
    return bool(reference.ids) and all(
        known.apart(one, wanted) for one in ids for wanted in reference.ids if one != REFERENCE
    )


def _wrong(affirmed: list[frozenset[int]], reference: Reference, known: Vocabulary) -> Verdict | None:
    """Wrong where every concept that is affirmed excludes the reference's, or the only one says less than it."""
    if not reference.ids:
        return None
    if all(_apart(ids, reference, known) for ids in affirmed):
        name = known.concepts[min(affirmed[0])].names[0]
        return Verdict.wrong(f"it is {name!r:.60}, known as something else than {reference.terms[0]!r:.60}")
    pairs = [(i, w) for i in affirmed[0] for w in reference.ids] if len(affirmed) == 1 else []
    if pairs and all(i in known.broader(w) and _says_less(known, i, w) for i, w in pairs):
        return Verdict.wrong(f"less specific than {reference.terms[0]!r:.60}")
    return None


def _says_less(known: Vocabulary, broad: int, narrow: int) -> bool:
    """Whether a broader concept leaves out more than what goes without saying (acute, primary, classical)."""
    wide = {word for name in known.concepts[broad].names for word in tokens(name)}
    return not any(set(tokens(name)) - wide <= _LEAST for name in known.concepts[narrow].names)
