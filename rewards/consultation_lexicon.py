"""The concepts that the sentences of a consultation name, and what the clinic's tables know of them.

Concepts come from a vocabulary (`medrl.verifiers.vocabularies`); diseases, findings and drugs that the clinic's tables have
(`medrl.data.clinic`) are also known by their rows, so that a finding can be relevant and a diagnosis supported. What the
tables do not have is unknown, and unknown is neither relevant nor wrong.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from medrl.data.clinic.concepts import Drug
from medrl.data.clinic.patients import carriers
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.rewards.consultation_words import (
    GENERIC_NAMES,
    LIST_LINE,
    NO_QUESTION_EN,
    NO_QUESTION_ZH,
    QUESTION_EN,
    QUESTION_ZH,
)
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import tokens
from medrl.verifiers.vocabularies import Sources, vocabulary

KINDS = (
    "drug",
    "finding",
    "disease",
    "test",
    "procedure",
    "anatomy",
)  # where names are shared, the first kind is meant
BREAK = re.compile(r"(?<=[。！？；!?;\n])|(?<=[.])(?=\s)")  # where a sentence of a turn ends, also in environments
_CLAUSE = re.compile(r"[,，、;；:：]| but | though ")
_NEGATORS = frozenset(
    "no not without deny denies denied never none neither nor haven hasn don doesn 不 没 无 未 否".split()
)
SALAD = 4  # concepts of three kinds in one clause are words in a row
_SCOPE = 4  # words before a finding that may deny it
_CJK = re.compile(r"[\u3400-\u9fff]")


class Named(NamedTuple):
    """A concept that a text names: its kind, its key (of the clinic's tables where they have it), and whether denied."""

    kind: str
    key: str
    denied: bool = False
    at: int = 0  # word of its sentence


@dataclass(frozen=True)
class Sentence:
    """One sentence of a turn."""

    text: str
    named: tuple[Named, ...]
    question: bool
    listed: bool

    def of(self, *kinds: str) -> list[Named]:
        return [one for one in self.named if one.kind in kinds]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """A vocabulary, with the clinic's rows for those of its concepts that they describe."""

    known: Vocabulary
    world: World
    kinds: Mapping[int, tuple[str, str]] = field(repr=False)
    numbers: Mapping[str, int] = field(repr=False)

    def sentences(self, text: str) -> tuple[Sentence, ...]:
        """The sentences of a turn, in order. Linear in the text."""
        found = []
        for line in text.split("\n"):
            marker = LIST_LINE.match(line)
            for piece in BREAK.split(line[marker.end() :] if marker else line):
                if any(map(str.isalnum, piece)) or "?" in piece or "？" in piece:
                    found.append(Sentence(piece.strip(), tuple(self._named(piece)), is_question(piece), bool(marker)))
        return tuple(found)

    def _named(self, piece: str) -> list[Named]:
        found, before = [], 0
        for clause in _CLAUSE.split(piece):
            words = tokens(clause)
            named = []
            for start, end, ids in self.known.mentions(words, clause):
                kinds = [self.kinds[number] for number in ids if number in self.kinds]
                if kinds and not _only_a_word(words[start:end], clause):
                    kind, key = min(kinds, key=lambda one: (KINDS.index(one[0]), one[1]))
                    denied = not _NEGATORS.isdisjoint(words[max(0, start - _SCOPE) : start])
                    named.append(Named(kind, key, denied, before + start))
            if len(named) < SALAD or len({one.kind for one in named}) < 3:
                found += named
            before += len(words)
        return found

    def candidates(self, findings: frozenset[str]) -> frozenset[str]:
        """Diseases of the tables that two of these findings speak for (one, where only one is of the tables)."""
        return frozenset(_candidates(self.world, findings.intersection(self.world.findings)))

    def support(self, findings: frozenset[str]) -> Mapping[str, float]:
        """Candidate to how many of the findings speak for it, as a share of those that speak for the best one.

        Empty where no disease explains two findings, and more than half of them: then the tables have no say.
        """
        counted = _candidates(self.world, findings.intersection(self.world.findings))
        most = max(counted.values(), default=0)
        explained = most > 1 and 2 * most > len(findings)
        return {key: count / most for key, count in counted.items()} if explained else {}

    def related(self, one: str, other: str) -> bool:
        """Whether the vocabulary knows one concept as a kind of the other."""
        numbers = (self.numbers.get(one), self.numbers.get(other))
        return numbers[0] is not None and numbers[1] is not None and self.known.related(numbers[0], numbers[1])

    def drug(self, key: str) -> Drug | None:
        return self.world.drugs.get(key)


@lru_cache(maxsize=4096)
def _candidates(world: World, told: frozenset[str]) -> Mapping[str, int]:
    having = carriers(world)
    counted = Counter(key for finding in told for key in having[finding])
    return {key: count for key, count in counted.items() if count >= min(2, len(told))}


def _only_a_word(words: Sequence[str], clause: str) -> bool:
    """Whether a short Latin word was taken for an abbreviation that its capitals do not show ("Hmm")."""
    word = words[0]
    return len(words) == 1 and word.isascii() and word.isalpha() and len(word) <= 3 and word.upper() not in clause


@lru_cache(maxsize=4)
def _lexicon(sources: tuple[str, ...], known: Vocabulary) -> Lexicon:
    world = load_world()
    kinds: dict[int, tuple[str, str]] = {
        number: (one.kind, one.names[0].casefold())
        for number, one in enumerate(known.concepts)
        if one.kind in KINDS and GENERIC_NAMES.isdisjoint(name.casefold() for name in one.names)
    }
    tables: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("procedure", world.procedures),
        ("test", {**world.tests, **world.labs}),
        ("disease", world.diseases),
        ("drug", world.drugs),
        ("finding", world.findings),
    )
    for kind, table in tables:
        for key, concept in table.items():
            for language in LANGUAGES:
                for form in concept.forms(language):
                    found = known.ids(form)
                    if len(found) == 1:
                        kinds[next(iter(found))] = (kind, key)
    return Lexicon(known, world, kinds, {key: number for number, (_, key) in kinds.items()})


def lexicon(sources: Sources = "medrl") -> Lexicon:
    """The lexicon over a vocabulary; `clinic` is small and read at once, `medrl` knows real consultations better."""
    known = vocabulary(sources)
    if known is None:
        raise ValueError("a consultation cannot be read without a vocabulary; name medrl, clinic or files")
    several = (sources,) if isinstance(sources, str) else tuple(sources or ())
    return _lexicon(several, known)


def is_question(piece: str) -> bool:
    """Whether a sentence asks, with or without a question mark: doctors who type often leave it out."""
    text = piece.strip()
    if text.endswith(("?", "？")):
        return True
    if _CJK.search(text):
        return bool(QUESTION_ZH.search(text[-400:])) and not NO_QUESTION_ZH.search(text[-400:])
    return bool(QUESTION_EN.match(text)) and not NO_QUESTION_EN.search(text[:200])
