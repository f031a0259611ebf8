"""A rater that knows what each sentence of a reply was meant to be: a stand-in for the AI judge of RLAIF, without a model.

HuatuoGPT's judge (arXiv 2305.15075, section 3.2) is a language model that is given the real doctor's diagnosis. This one is
a rule: it is told the `Quality` that a reply was made with, and never reads its text. It shares nothing with the oracle,
neither code nor weights nor what it looks at, so a reward model that learns from it can be held against the oracle. It errs
as raters do: towards the longer reply, towards the one shown first, and on a share of the pairs at random.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from medrl.data.clinic.consultations import Quality, generate_consultations, generate_reply, random_quality
from medrl.data.clinic.patients import fraction
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.data.feedback import Candidate, Comparison, FeedbackRecord, Preferred, Rater
from medrl.seeds import seed_of
from medrl.types import Problem

# What each sort of sentence is worth to this rater, as a share of its dimension's weight; sorts not named are worth 0.
WORTH: Mapping[str, Mapping[str, float]] = {
    "diagnosis": {"right": 1.0, "listed": 0.3, "vague": 0.1},
    "findings": {"own": 1.0, "absent": 0.3},
    "test": {"right": 1.0, "wrong": 0.2},
    "treatment": {"right": 1.0, "absent": 0.3, "banned": -0.5},
    "precautions": {"right": 1.0, "generic": 0.3},
}


@dataclass(frozen=True)
class IntentRater:
    """Compares two replies by what they were meant to be."""

    name: ClassVar[str] = "clinic-intent"

    diagnosis: float = 0.35
    """Weight of the diagnosis. The weights are shares of 1; those of the oracle are others."""
    findings: float = 0.1
    """Weight of the findings that the diagnosis rests on."""
    test: float = 0.15
    """Weight of the test."""
    treatment: float = 0.25
    """Weight of the treatment."""
    precautions: float = 0.15
    """Weight of when to come back."""
    boilerplate: float = 0.1
    """What a sentence about being an AI costs."""
    length_bias: float = 0.05
    """What a reply gains for each 100 characters that it is longer than the other, at most 0.15. 0 for none."""
    position_bias: float = 0.04
    """What the reply that is shown first gains. 0 for none."""
    noise: float = 0.15
    """Share of the pairs that are misjudged, in either order alike, since a rater errs about a case. 0 to 0.5."""
    tie: float = 0.05
    """A smaller difference is a tie."""

    def __post_init__(self) -> None:
        low = [name for name, value in asdict(self).items() if not value >= 0]
        if low or not self.noise <= 0.5:
            raise ValueError(
                f"intent rater: {', '.join(low) or 'noise'} is out of range; all are 0 or more, noise to 0.5"
            )

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all that decides a judgement."""
        told = json.dumps([asdict(self), {name: dict(worth) for name, worth in WORTH.items()}], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def worth(self, quality: Quality) -> float:
        """sum over dimensions of weight * worth of the sentence, less the cost of boilerplate."""
        total: float = sum(
            getattr(self, name) * worth.get(getattr(quality, name), 0.0) for name, worth in WORTH.items()
        )
        return total - self.boilerplate * quality.boilerplate

    def prefers(
        self, case: str, first: tuple[Quality, str], second: tuple[Quality, str], shown_first: int = 0
    ) -> tuple[Preferred, float]:
        """Which of two replies, and by how much.

        Args:
            case: Name of the pair; what the noise hangs on.
            first: Quality and text; of the text only the length counts.
            second: The same of the other reply.
            shown_first: 0 where the rater sees `first` first, 1 where `second`.
        """
        longer = self.length_bias * (len(first[1]) - len(second[1])) / 100
        difference = self.worth(first[0]) - self.worth(second[0]) + max(-0.15, min(0.15, longer))
        difference += -self.position_bias if shown_first else self.position_bias
        if fraction(f"{self.name}/{case}") < self.noise:
            difference = -difference
        if abs(difference) < self.tie:
            return "tie", 0.0
        return ("first" if difference > 0 else "second"), min(1.0, abs(difference))


def generate_feedback(
    *, split: str, count: int, rater: IntentRater | None = None, seed: int = 0, known: bool = False,
    languages: Sequence[str] = LANGUAGES, world: World | None = None,
) -> list[FeedbackRecord]:  # fmt: skip
    """`count` questions with two replies each, compared in both orders: two records a question.

    Args:
        split: Which diseases and wordings, as in `generate_consultations`.
        count: How many questions.
        rater: Who compares; the default one when empty.
        seed: Another seed draws other questions and replies of the same side.
        known: Training's diseases with the wordings of `split`.
        languages: "en", "zh" or both.
        world: Other tables than the bundled ones.
    """
    rater, world = rater or IntentRater(), world or load_world()
    who = Rater("rule", rater.name, fingerprint=rater.fingerprint)
    problems = generate_consultations(
        split=split, count=count, seed=seed, known=known, languages=languages, world=world
    )  # fmt: skip
    records = []
    for problem in problems:
        qualities, replies = _replies(problem, seed, world)
        sides = list(zip(qualities, (reply.text for reply in replies), strict=True))
        for shown in ((0, 1), (1, 0)):
            preferred, margin = rater.prefers(problem.id, sides[0], sides[1], shown[0])
            judgement = Comparison(preferred, 0, 1, margin, shown)
            name = f"{problem.id}-{shown[0]}{shown[1]}"
            records.append(FeedbackRecord(name, problem, replies, who, judgement, consent="not_needed"))
    return records


def _replies(problem: Problem, seed: int, world: World) -> tuple[list[Quality], tuple[Candidate, ...]]:
    qualities, replies = [], []
    for place in range(2):
        draw = seed_of("clinic-feedback", seed, problem.id, place)
        quality = random_quality(random.Random(draw))
        text = generate_reply(problem, quality, seed=draw, world=world)
        about = {"quality": asdict(quality)}
        qualities.append(quality)
        replies.append(Candidate(text, "assistant", "clinic", seed=place, metadata=about))
    return qualities, tuple(replies)
