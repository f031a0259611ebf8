"""Reads a consultation: sentences, the concepts that they name, what is known, what was asked, what is still missing.

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
from medrl.rewards.consultation_topics import SAFETY, TOPICS
from medrl.rewards.consultation_words import (
    GENERIC_NAMES,
    LIST_LINE,
    NO,
    NO_QUESTION_EN,
    NO_QUESTION_ZH,
    QUESTION_EN,
    QUESTION_ZH,
    YES,
)
from medrl.types import Message
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
_BREAK = re.compile(r"(?<=[。！？；!?;\n])|(?<=[.])(?=\s)")
_CLAUSE = re.compile(r"[,，、;；:：]| but | though ")
_NEGATORS = frozenset(
    "no not without deny denies denied never none neither nor haven hasn don doesn 不 没 无 未 否".split()
)
SALAD = 4  # concepts of three kinds in one clause are words in a row
HISTORY = frozenset({"onset", "severity", "site", "character", "triggers", "tests", "past", "else"})
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
            for piece in _BREAK.split(line[marker.end() :] if marker else line):
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


@dataclass(frozen=True)
class Consultation:
    """What is known before a reply, read from the turns so far.

    Attributes:
        told: Topics that the patient has spoken of, or was asked and has answered.
        asked: Topics that were asked before, answered or not.
        positives: Findings and conditions that the patient has.
        heard: Every concept that a turn before has named, whoever did; and every finding that was asked.
        diagnosed: Diseases that the doctor has named before.
        sex, age: As told; "" and None where unknown.
        patient: What the patient said, one text a turn.
        previous: What the doctor said, one text a turn.
    """

    told: frozenset[str]
    asked: frozenset[str]
    positives: frozenset[str]
    heard: frozenset[str]
    diagnosed: frozenset[str]
    sex: str
    age: float | None
    patient: tuple[str, ...]
    previous: tuple[str, ...]

    def missing(self, topic: str) -> bool:
        return topic not in self.told and topic not in self.asked

    @property
    def evidence(self) -> float:
        """What a diagnosis can rest on: each finding counts 1, each topic of the history that was told a half, up to 1."""
        return len(self.positives) + min(1.0, 0.5 * len(self.told & HISTORY))

    @property
    def may_be_pregnant(self) -> bool:
        """Unless she is known to be a man, a child or past the age; unknown counts as possible."""
        return self.sex != "male" and (self.age is None or 12 <= self.age <= 55)


def text_of(message: Message) -> str:
    """The text of a message; parts that are no text are left out."""
    content = message["content"]
    if isinstance(content, str):
        return content
    parts = (part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text")
    return "\n".join(part for part in parts if isinstance(part, str))


def read_consultation(messages: Sequence[Message], words: Lexicon) -> Consultation:
    """The state of a consultation after `messages`; the user is the patient, the assistant is the doctor."""
    told: set[str] = set()
    asked: set[str] = set()
    positives: set[str] = set()
    heard: set[str] = set()
    diagnosed: set[str] = set()
    patient, previous = [], []
    waiting: tuple[set[str], list[Named]] = (set(), [])  # what the doctor's last turn asked
    for message in messages:
        text = text_of(message)
        sentences = words.sentences(text)
        if message["role"] == "assistant":
            previous.append(text)
            waiting = (topics_asked(sentences), [one for s in sentences if s.question for one in s.named])
            asked |= waiting[0]
            heard |= {one.key for s in sentences for one in s.named}
            diagnosed |= {one.key for s in sentences if not s.question for one in s.of("disease") if not one.denied}
            continue
        patient.append(text)
        named = [one for sentence in sentences for one in sentence.named]
        told |= waiting[0] | topics_told(text)
        positives |= {one.key for one in named if one.kind in ("finding", "disease") and not one.denied}
        if len(waiting[1]) == 1 and YES.match(text) and not NO.match(text):
            positives.add(waiting[1][0].key)
        heard |= {one.key for one in named}
        waiting = (set(), [])
    said = "\n".join(patient)
    return Consultation(
        frozenset(told), frozenset(asked), frozenset(positives), frozenset(heard), frozenset(diagnosed),
        sex_of(said), age_of(said, previous), tuple(patient), tuple(previous),
    )  # fmt: skip


def topics_asked(sentences: Sequence[Sentence]) -> set[str]:
    """The topics that the questions among these sentences ask for."""
    return {name for s in sentences if s.question for name in asked_in(s)}


def asked_in(sentence: Sentence) -> set[str]:
    return {name for name, topic in TOPICS.items() if topic.asked.search(sentence.text)}


def topics_told(text: str) -> set[str]:
    return {name for name, topic in TOPICS.items() if topic.told.search(text)}


_FEMALE = re.compile(
    r"\b(?:female|woman|girl|pregnan|lady|my periods?|menopaus|breast-?feed)"
    r"|女(?!儿)|怀孕|月经|哺乳|绝经",
    re.IGNORECASE,
)
_MALE = re.compile(r"(?<!fe)\bmale\b|\b(?:man|boy)\b|男(?!朋友)|prostate", re.IGNORECASE)
_AGE = re.compile(
    r"\b(\d{1,3})[- ]?(?:years?|yrs?)[- ]?old|\b(?:i'm|i am|aged?:?|she is|he is|she's|he's) (\d{1,3})\b"
    r"|(\d{1,3})\s{0,2}岁",
    re.IGNORECASE,
)
_BARE_AGE = re.compile(r"^\W{0,3}(?:i'm |i am |我)?(\d{1,3})\b", re.IGNORECASE)


def sex_of(said: str) -> str:
    """The sex that the patient tells, female or male; "" where both or neither are told."""
    found = [name for name, pattern in (("female", _FEMALE), ("male", _MALE)) if pattern.search(said)]
    return found[0] if len(found) == 1 else ""


def age_of(said: str, previous: Sequence[str]) -> float | None:
    """The first age that is told; a bare number counts where an age was asked for."""
    found = _AGE.search(said)
    if found:
        return float(next(group for group in found.groups() if group))
    if any(TOPICS["age"].asked.search(text) for text in previous):
        for line in said.split("\n"):
            if bare := _BARE_AGE.match(line):
                return float(bare[1])
    return None


__all__ = [
    "SAFETY", "Consultation", "Lexicon", "Named", "Sentence", "asked_in", "lexicon", "read_consultation", "text_of",
    "topics_asked", "topics_told",
]  # fmt: skip
