"""A rater that reads replies beside what the real doctor said, or without it: a rule in the place of RLAIF's AI judge.

HuatuoGPT's judge (arXiv 2305.15075, section 3.2) scores each reply for informativeness, coherence, adherence and accuracy,
*given the real doctor's diagnosis*. Here `reference` is what a doctor said at this point of the visit, and a reply is
accurate as far as it does what the doctor did: asks for the same, names the same disease, drug or test, sends to hospital.
Without the reference nobody tells the rater which of these is due, so a reply is as accurate as what it names is plausible:
diseases that the findings told allow. All else is the same with and without, so what a reward model learns from the two
differs by the reference alone. The rater errs as AI judges do: towards length, and at random.

It knows nothing of the case behind a visit, has no code in common with `evaluation.visit_oracle` but the lexicon that finds
names in a text and the table of what can be asked, and other weights.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from medrl.construct.feedback_prompt import DIMENSIONS
from medrl.data.clinic.patients import carriers
from medrl.data.feedback import Candidate, FeedbackRecord, Rater, Ratings
from medrl.knobs import out_of_range
from medrl.rewards.consultation import asked_in, text_of
from medrl.rewards.consultation_lexicon import Lexicon, lexicon
from medrl.rewards.consultation_words import URGENT
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers.protocol import digest

NAMED = ("disease", "drug", "test", "procedure")


@dataclass(frozen=True)
class ReferenceRater:
    """Rates each of several replies to one visit on four dimensions from 0 to 1."""

    name: ClassVar[str] = "clinic-reference"

    show_reference: bool = True
    """Whether it knows what the real doctor said."""
    accuracy: float = 4.0
    """Weight of accuracy beside the three others, by whose mean preference pairs are made. Typical 2 to 6."""
    enough: int = 5
    """Things named (diseases, drugs, tests, pieces of advice) from which on a reply is fully informative. Typical 3 to 6."""
    length_bias: float = 0.1
    """What a reply gains in adherence for each 100 characters, at most 0.4. 0 for none."""
    noise: float = 0.1
    """Standard deviation of a normal error of each rating. 0 for none; typical 0.05 to 0.2."""
    seed: int = 0
    """Of the errors."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("accuracy", "enough"), from_0=("length_bias", "noise"))
        if faults:
            raise ValueError("reference rater: " + "; ".join(faults))

    @property
    def rater(self) -> Rater:
        name = self.name if self.show_reference else f"{self.name}-blind"
        return Rater("rule", name, fingerprint=digest([1, asdict(self)]))

    def rate(self, problem: Problem, replies: Sequence[Candidate]) -> FeedbackRecord:
        """One record with a rating of every reply."""
        values = tuple(self.ratings(problem, one.text) for one in replies)
        return FeedbackRecord(
            f"{self.rater.name}-{problem.id}", problem, tuple(replies), self.rater, Ratings(values), consent="not_needed"
        )  # fmt: skip

    def ratings(self, problem: Problem, reply: str) -> dict[str, float]:
        """A reply on each dimension."""
        words = lexicon("clinic")
        patient = [text_of(one) for one in problem.messages if one["role"] == "user"]
        acts = acts_of(reply, words, patient)
        sentences = [sentence.text for sentence in words.sentences(reply)]
        statements = sum(not sentence.question for sentence in words.sentences(reply))
        known = findings_of("\n".join(patient), words)
        named = sum(act.startswith(NAMED) for act in acts)
        values = {
            "informativeness": min(1.0, (named + 0.5 * statements + 0.5 * (len(acts) - named)) / self.enough),
            "coherence": len(set(sentences)) / max(1, len(sentences)),
            "adherence": 0.6 + min(0.4, self.length_bias * len(reply) / 100) if sentences else 0.0,
            "accuracy": self._accuracy(problem, acts, known, words, patient),
        }
        rng = random.Random(seed_of("reference-rater", self.seed, problem.id, reply))
        return {name: min(1.0, max(0.0, values[name] + rng.gauss(0.0, self.noise))) for name in DIMENSIONS}

    def _accuracy(
        self, problem: Problem, acts: frozenset[str], known: frozenset[str], words: Lexicon, patient: Sequence[str]
    ) -> float:
        if self.show_reference and problem.reference:
            return agreement(acts, acts_of(problem.reference, words, patient))
        diseases = [act.partition(":")[2] for act in acts if act.startswith("disease:")]
        having = carriers(words.world)
        plausible = [one for one in diseases if any(one in having.get(finding, ()) for finding in known)]
        return len(plausible) / len(diseases) if diseases else 0.5


def acts_of(text: str, words: Lexicon, patient: Sequence[str] = ()) -> frozenset[str]:
    """What a reply does: `ask:TOPIC`, `ask:FINDING`, `disease:KEY`, `drug:KEY`, `test:KEY`, `procedure:KEY`, `urgent`."""
    found: set[str] = set()
    for sentence in words.sentences(text):
        if sentence.question:
            found |= {f"ask:{topic}" for topic in asked_in(sentence, patient)}
            found |= {f"ask:{one.key}" for one in sentence.of("finding")}
        else:
            found |= {f"{one.kind}:{one.key}" for one in sentence.named if one.kind in NAMED and not one.denied}
    return frozenset(found | ({"urgent"} if URGENT.search(text) else set()))


def agreement(acts: frozenset[str], doctor: frozenset[str]) -> float:
    """How far a reply does what the doctor did: the mean over the doctor's kinds of act, less for a wrong or early disease.

    Which of several questions a doctor asks is chance, so any question counts a half where the doctor asks, and the same one
    full. A disease, drug or test counts only as the same.
    """
    if not doctor:
        return 0.5
    kinds = {act.partition(":")[0] for act in doctor}
    credits = []
    for kind in kinds:
        wanted = {act for act in doctor if act.partition(":")[0] == kind}
        given = {act for act in acts if act.partition(":")[0] == kind}
        some = 0.5 * bool(given) if kind == "ask" else 0.0
        credits.append(max(some, len(wanted & given) / max(len(wanted), len(given), 1)))
    stray = {act for act in acts - doctor if act.startswith(("disease:", "drug:"))}
    return max(0.0, sum(credits) / len(credits) - min(0.5, 0.25 * len(stray)))


def findings_of(text: str, words: Lexicon) -> frozenset[str]:
    """Findings that a text names and does not deny."""
    named = (one for sentence in words.sentences(text) for one in sentence.of("finding"))
    return frozenset(one.key for one in named if not one.denied)
