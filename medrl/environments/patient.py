"""A patient who answers what is asked, by rules, from a structured case (`medrl.data.patient_cases`): no language model.

The patient tells nothing unasked, does not know what only an examination or a test shows, and cannot be talked into a
diagnosis: who asks for it, puts words into the patient's mouth, asks too much at once or speaks to whoever plays the
patient learns nothing by it. What was asked before is answered again and gains nothing. Test results come when the test
is ordered. The consultation ends with the doctor's diagnosis. All that is measured is in `PatientEpisode.measured`.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from medrl.data.clinic.concepts import Finding
from medrl.data.clinic.consulting import source_of
from medrl.data.clinic.mentions import plain
from medrl.data.clinic.templates import capital
from medrl.data.clinic.world import load_world
from medrl.data.patient_cases import Fact, PatientCase, case_of
from medrl.data.patient_prose import findings_in
from medrl.environments.base import Environment, Episode
from medrl.environments.patient_words import WORDS
from medrl.environments.questions import READ, Sentence, names_fact, pieces_of, read_turn
from medrl.types import Problem

FLAT = ("else", "complaint")  # questions that ask for everything, and so for nothing
_VERB = re.compile(r"(?<=[a-z]{3})(?:ing?|ed)$")


@dataclass(frozen=True, kw_only=True)
class PatientSimulator(Environment):
    """A patient from a case, by rules. Deterministic from the problem, the seed and what was said."""

    type_name: ClassVar[str] = "patient"

    questions: int = 3
    """Things that a turn may ask for or order at once; of more, only the first is answered. Typical 2 to 4."""

    def faults(self) -> list[str]:
        return super().faults() + (
            [f"questions is {self.questions}; it must be at least 1"] if self.questions < 1 else []
        )

    def reset(self, problem: Problem, seed: int) -> "PatientEpisode":
        return PatientEpisode(problem, case_of(problem), seed, self.questions)


@dataclass(frozen=True)
class Item:
    """One thing that a turn asks for: a finding or other fact (its key), a topic, or a test to be done."""

    kind: str  # fact, topic, test
    key: str
    examines: bool = False


class PatientEpisode(Episode):
    """One consultation under way."""

    def __init__(self, problem: Problem, case: PatientCase, seed: int, most: int) -> None:
        self.case, self.rng, self.most = case, random.Random(seed), most
        self.language = "zh" if problem.language == "zh" else "en"  # the patient has no words of other languages
        self.facts = {fact.key: fact for fact in case.facts}
        # What is recognised by its words: facts and tests that the tables do not name.
        self.worded = [(f.key, tuple(map(_pieces, (f.said, *f.names)))) for f in case.facts if _needs_words(f)]
        self.worded_tests = [(key, _pieces(key)) for key in case.tests if ":" not in key]
        # Key to what became of it: told, denied, unknown, shown; of a test: done.
        self.asked: dict[str, str] = dict.fromkeys(case.opening, "told")
        self.counts = dict.fromkeys(("turns", "asked", "repeats", "refused", "tests", "needless_tests"), 0)
        self.concluded = False

    async def answer(self, reply: str) -> str | None:
        return self.respond(reply)

    def respond(self, reply: str) -> str | None:
        """`answer` without waiting."""
        self.counts["turns"] += 1
        if len(reply) > READ:
            return self._refuse("too_long")
        sentences = read_turn(reply)
        if concludes(sentences):
            self.concluded = True
            return None
        items, refusal = self._items(sentences)
        if not items:
            return self._refuse(refusal) if refusal else self._say("nothing")
        said = [self._refuse(refusal)] if refusal else []
        if len(items) > self.most:
            said.append(self._refuse("too_many"))
            items = items[:1]
        said += [self._told(item) for item in items]
        return (" " if self.language == "en" else "").join(said)

    def measured(self) -> Mapping[str, Any]:
        """Figures of the consultation.

        `gain` is the sum of the weights of the facts found out, as a share of the weights of all; `asked_gain` the same
        of what the patient told alone; `red_flags` the share of the danger signs that were asked for, None where the
        case has none. A case in which nothing tells the diagnosis from its rivals has gain 0, whatever is asked.
        """
        found = {key for key, became in self.asked.items() if became in ("told", "denied", "shown")} - set(
            self.case.opening
        )
        total = sum(fact.weight for fact in self.case.facts)
        gained = sum(fact.weight for fact in self.case.facts if fact.key in found)
        told = sum(fact.weight for fact in self.case.facts if fact.key in found and fact.source == "patient")
        flags = [fact.key for fact in self.case.facts if fact.red_flag]
        return {
            "gain": gained / total if total else 0.0,
            "asked_gain": told / total if total else 0.0,
            "red_flags": sum(key in self.asked for key in flags) / len(flags) if flags else None,
            "answered": sum(became in ("told", "denied") for became in self.asked.values()) - len(self.case.opening),
            "concluded": self.concluded,
            **self.counts,
        }

    # What a turn asks for

    def _items(self, sentences: tuple[Sentence, ...]) -> tuple[list[Item], str]:
        """Everything that the turn asks for, in its order, and how the patient turns down the rest."""
        if any(sentence.role for sentence in sentences):
            return [], "role"
        items: dict[tuple[str, str], Item] = {}
        refusal = ""
        for sentence in sentences:
            why = _refused(sentence)
            refusal = refusal or why
            for item in () if why else self._asked_by(sentence):
                items.setdefault((item.kind, item.key), item)
            if not why and sentence.question and sentence.diseases and not sentence.findings and not sentence.topics:
                refusal = refusal or "diagnosis"  # "Do you have appendicitis?"
        return list(items.values()), refusal

    def _asked_by(self, sentence: Sentence) -> list[Item]:
        ordered = (
            self._tests_in_words(sentence) if not sentence.question or sentence.orders or sentence.examines else []
        )
        if ordered or (not sentence.question and not sentence.examines) or sentence.orders:
            return [Item("test", key) for key in ordered or (sentence.tests if sentence.orders else ())]
        worded = self._in_words(sentence) or ([] if self.case.complete else self._in_other_words(sentence))
        if worded:
            return [Item("fact", key, sentence.examines) for key in worded]
        new = [key for key in sentence.findings if key not in self.case.opening or not sentence.topics]
        found = [Item("fact", key, sentence.examines) for key in new]
        if not found:  # "How long have you had the cough?" asks for the time
            found = [Item("topic", topic) for topic in sentence.topics if topic not in FLAT][:1]
            found = found or [Item("topic", topic) for topic in sentence.topics[:1]]
        if not found and sentence.tests:
            found = [Item("fact", key) for key in sentence.tests]  # "What was your troponin?"
        return found or _bare(sentence)

    def words(self, key: str) -> tuple[frozenset[str], ...]:
        """The words of each name of a fact that the tables do not name."""
        return next((wanted for known, wanted in self.worded if known == key), ())

    def _in_words(self, sentence: Sentence) -> list[str]:
        """Facts of the case that the tables do not name, if the sentence names them: of "pain" and "knee pain" the latter."""
        said, named = sentence.pieces, dict[str, frozenset[str]]()
        for key, wanted in self.worded:
            for one in wanted:
                part = not self.case.complete and len(said) > 1 and said <= one
                if (part or names_fact(said, one)) and len(said & one) > len(named.get(key, ())):
                    named[key] = said & one
        best = [key for key, words in named.items() if not any(words < others for others in named.values())]
        return [key for key in best if not self._retells(key, named, best)]

    def _retells(self, key: str, named: Mapping[str, frozenset[str]], best: list[str]) -> bool:
        """Whether a fact in the script's own words tells nothing that one with a name, or a shorter one, does not."""
        fact = self.facts[key]
        others = [self.facts[other] for other in best if other != key and named[key] <= named[other]]
        return fact.prose and any(
            (one.present or not fact.present) and (not one.prose or (len(one.said), one.key) < (len(fact.said), key))
            for one in others
        )

    def _in_other_words(self, sentence: Sentence) -> list[str]:
        """For each finding that the sentence names and the case has in other words ("recent cough"), the shortest fact that
        tells of it, one that is there before one that is denied; the same for the only word of a question ("Did you vomit?"
        finds "vomited twice").
        """
        own = [fact for fact in self.case.facts if fact.source == "patient"]
        own.sort(key=lambda fact: (not fact.present, len(fact.said)))
        found = []
        for finding in sentence.findings:
            told = (fact.key for fact in own if finding.removeprefix("finding:") in findings_in(fact.said))
            found.append(finding if finding in self.facts else next(told, ""))
        if not any(found) and len(sentence.pieces) == 1 and not set(sentence.topics) - set(FLAT):
            word = _stems(sentence.pieces)
            found.append(next((fact.key for fact in own if word <= _stems(_pieces(fact.said))), ""))
        return [key for key in dict.fromkeys(found) if key]

    def _tests_in_words(self, sentence: Sentence) -> list[str]:
        return [key for key, wanted in self.worded_tests if names_fact(sentence.pieces, wanted)]

    # What the patient says to one thing

    def _told(self, item: Item) -> str:
        if item.kind == "test":
            return self._result(item.key)
        self.counts["asked"] += 1
        if item.kind == "topic":
            return self._topic(item.key)
        fact, it = self.facts.get(item.key), self._named(item.key)
        before = self.asked.get(item.key)
        if before in ("told", "denied", "shown") or (before == "unknown" and not item.examines):
            self.counts["repeats"] += 1
            if before == "unknown":
                return self._say("cannot_know", it=it)
            if fact is not None and fact.prose:
                return self._say("again", it=fact.said)
            has = fact is not None and fact.present
            return self._say("again", it=self._say("again_yes" if has else "again_no", it=it, start=False))
        if fact is None and not self.case.complete:  # the script does not say
            self.asked[item.key] = "unknown"
            return self._say("unknown")
        source = fact.source if fact else source_of_key(item.key)
        present = fact is not None and fact.present
        if source == "patient":
            self.asked[item.key] = "told" if present else "denied"
            if fact is not None and fact.prose:
                return capital(fact.said.rstrip(".")) + "."
            return self._say("yes" if present else "no", it=it)
        if source == "examination" and item.examines:
            self.asked[item.key] = "shown"
            return self._say("found" if present else "not_found", it=it)
        self.asked[item.key] = "unknown"
        return self._say("cannot_know", it=it)

    def _topic(self, topic: str) -> str:
        key = f"topic:{topic}"
        if topic in FLAT:
            return self._say("else")
        if topic == "examine":
            return self._say("look_where")
        told = self.case.topics.get(topic)
        if key in self.asked:
            self.counts["repeats"] += 1
        self.asked[key] = "told" if told else "unknown"
        return told or self._say("unknown")

    def _result(self, test: str) -> str:
        self.counts["tests"] += 1
        shown, before = self.case.tests.get(test), self.asked.get(test)
        if shown is None or before == "done":
            self.counts["needless_tests"] += 1
        self.asked[test] = "done"
        self.asked |= dict.fromkeys([key for key in shown or () if key in self.facts], "shown")
        it, name = _listed([self._named(key) for key in shown or ()], self.language), self._named(test)
        if not shown:  # a test of the diagnosis whose result the case does not hold cannot be called normal
            return self._say("normal" if shown is None else "nothing_new", test=name)
        return self._say("result", test=name, it=it)

    def _named(self, key: str) -> str:
        fact = self.facts.get(key)
        return fact.said if fact else _concept_name(key, self.language)

    def _refuse(self, piece: str) -> str:
        self.counts["refused"] += 1
        return self._say(piece)

    def _say(self, piece: str, *, start: bool = True, **blanks: str) -> str:
        wordings = WORDS[piece][self.language == "zh"]
        text = wordings[int(self.rng.random() * len(wordings))].format(**blanks)
        return capital(text) if start else text


def _refused(sentence: Sentence) -> str:
    """The piece by which the patient turns a sentence down; "" where it may be answered."""
    if sentence.answer_asked:
        return "diagnosis"
    return "leading" if sentence.leading else ""


def _bare(sentence: Sentence) -> list[Item]:
    """A question that asks for something nobody here knows; an examination without saying of what."""
    return [Item("topic", "examine" if sentence.examines else "unclear")] if not sentence.diseases else []


def concludes(sentences: tuple[Sentence, ...]) -> bool:
    """Whether the doctor says what it is: after a marker, or naming a disease in a turn that neither asks nor orders."""
    if any(one.concludes for one in sentences):
        return True
    busy = any(one.question or one.orders or one.examines for one in sentences)
    return not busy and any(one.diseases for one in sentences)


def _needs_words(fact: Fact) -> bool:
    """Whether it is told by its words: the tables do not name it, and it is no report of a test."""
    return bool(fact.names) or (fact.source == "patient" and not fact.key.startswith("finding:"))


@lru_cache(maxsize=1 << 14)
def _pieces(name: str) -> frozenset[str]:
    return pieces_of(plain(name))


def _stems(pieces: frozenset[str]) -> frozenset[str]:
    """Pieces without what a verb ends on; they are cut off at seven letters."""
    return frozenset(_VERB.sub("", piece) for piece in pieces)


@lru_cache(maxsize=1 << 12)
def _concept_name(key: str, language: str) -> str:
    """A concept of the tables in words; what is no concept stands for itself."""
    world = load_world()
    table, _, name = key.partition(":")
    tables: Mapping[str, Mapping[str, Any]] = {
        "finding": world.findings, "test": world.tests, "lab": world.labs, "procedure": world.procedures,
    }  # fmt: skip
    row: Finding | None = tables.get(table, {}).get(name)
    return row.name.of(language) if row is not None else key


@lru_cache(maxsize=1 << 12)
def source_of_key(key: str) -> str:
    """Who could know a thing that is not in the case."""
    table, _, name = key.partition(":")
    return source_of(load_world(), name) if table == "finding" else "test"


def _listed(names: list[str], language: str) -> str:
    return ("、" if language == "zh" else "; ").join(names)
