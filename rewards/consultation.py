"""Reads a consultation: what is known, what was asked, what is still missing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medrl.rewards.consultation_lexicon import Lexicon, Named, Sentence
from medrl.rewards.consultation_topics import TOPICS
from medrl.rewards.consultation_words import NO, OTHERS, RELATIVE, RELATIVES, YES
from medrl.types import Message

HISTORY = frozenset({"onset", "severity", "site", "character", "triggers", "tests", "past", "else"})


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
    patient: list[str] = []
    previous: list[str] = []
    waiting: tuple[set[str], list[Named]] = (set(), [])  # what the doctor's last turn asked
    for message in messages:
        text = text_of(message)
        sentences = words.sentences(text)
        if message["role"] == "assistant":
            previous.append(text)
            waiting = (
                topics_asked(sentences, patient),
                [one for s in sentences if s.question and not of_others(s, patient) for one in s.named],
            )
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


def topics_asked(sentences: Sequence[Sentence], patient: Sequence[str] = ()) -> set[str]:
    """The topics that the questions among these sentences ask for; `patient` as in `of_others`."""
    return {name for s in sentences if s.question for name in asked_in(s, patient)}


def asked_in(sentence: Sentence, patient: Sequence[str] = ()) -> set[str]:
    """The topics that a question asks for, of the patient; of others only what runs in the family."""
    found = {name for name, topic in TOPICS.items() if topic.asked.search(sentence.text)}
    return found & {"family"} if of_others(sentence, patient) else found


def of_others(sentence: Sentence, patient: Sequence[str] = ()) -> bool:
    """Whether a sentence is about somebody else than the patient: a dog, a neighbour, the universe.

    A relative may be the patient, where what the patient's side said (`patient`) speaks of one.
    """
    if OTHERS.search(sentence.text):
        return True
    return bool(RELATIVES.search(sentence.text)) and not any(RELATIVE.search(said) for said in patient)


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
_BARE_AGE = re.compile(
    r"(?:^|[.!。！，,] {0,2})\W{0,3}(?:i'm |i am |我)?(\d{1,3})"
    r"(?!\.?\d|\s{0,2}(?:days?|weeks?|months?|hours?|minutes?|times|mg|kg|cm|degrees|天|周|个?月|小时|分钟|次|度|℃|°|%))",
    re.IGNORECASE,
)


def sex_of(said: str) -> str:
    """The sex that the patient tells, female or male; "" where both or neither are told."""
    found = [name for name, pattern in (("female", _FEMALE), ("male", _MALE)) if pattern.search(said)]
    return found[0] if len(found) == 1 else ""


def age_of(said: str, previous: Sequence[str]) -> float | None:
    """The first age that is told; a bare number counts where an age was asked for."""
    found = _AGE.search(said)
    if found:
        return float(next(group for group in found.groups() if group))
    if any(TOPICS["age"].asked.search(text) and not OTHERS.search(text) for text in previous):
        for line in said.split("\n"):
            if bare := _BARE_AGE.search(line):
                return float(bare[1])
    return None
