"""How a policy consults held-out patients: diagnosis, what it found out, danger signs, turns, each with its 95 % interval.

Intervals are of the percentile bootstrap over patients (Efron and Tibshirani 1993, chapter 13): consultations of one patient
stay together, since they are not independent. A consultation without a score (its judge or environment failed) is left out
and counted; with more than `max_unscored` of them there are no figures, and where a language alone has more, none of it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from medrl.engines import Engine, Sampling
from medrl.environments import Environment, check_problems
from medrl.models import Policy
from medrl.rewards import Reward, verified_leaf
from medrl.rollouts import Episodes, collect
from medrl.seeds import seed_of
from medrl.types import Problem, Response, Score, ScoredGroup

RESAMPLES = 1000
FIGURES = ("score", "diagnosis", "gain", "red_flags", "turns", "refused", "concluded")


@dataclass(frozen=True)
class Interval:
    """A mean over patients and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Consultations:
    """What came out of consulting.

    Attributes:
        figures: Of `FIGURES` those that could be measured: mean score of the reward, share of right diagnoses,
            information gain, share of danger signs asked for, turns of the doctor, refusals, share with a diagnosis.
        by_language: The same for each language; nothing for one of which too much has no score.
        patients: How many patients have a scored consultation.
        unscored: Share of consultations without a score.
        scored: The consultations themselves.
    """

    figures: Mapping[str, Interval]
    by_language: Mapping[str, Mapping[str, Interval]]
    patients: int
    unscored: float
    scored: tuple[ScoredGroup, ...] = ()


async def consult(
    engine: Engine,
    policy: Policy,
    environment: Environment,
    patients: Sequence[Problem],
    reward: Reward,
    *,
    sampling: Sampling,
    samples: int = 1,
    seed: Sequence[str | int] = (0,),
    version: int = 0,
    max_unscored: float = 0.1,
) -> Consultations:
    """Let a policy consult each patient `samples` times, and measure.

    Raises:
        ProblemError: Some problems have no patient.
        ValueError: There are no patients, or the reward has no verifier to tell right diagnoses with.
    """
    correct = verified_leaf(reward)
    if not patients:
        raise ValueError("there are no patients to consult")
    if correct is None:
        raise ValueError("the reward has no `verified` part, so there is no accuracy of diagnoses to measure; add one")
    check_problems(environment, patients)
    episodes = Episodes(engine, policy, environment, patients)
    scored = await collect(
        episodes, policy, patients, reward, samples=samples, sampling=replace(sampling, top_k=0, top_p=1.0),
        seed=(*seed, "consult"), version=version,
    )  # fmt: skip
    return summarise(scored, correct, max_unscored)


def summarise(scored: Sequence[ScoredGroup], correct: Reward | None, max_unscored: float = 0.1) -> Consultations:
    """The figures of scored consultations, of whatever doctor."""
    unscored = _unscored(scored)
    kept = [group for group in scored if any(score.value is not None for score in group.scores)]
    if unscored > max_unscored:
        return Consultations({}, {}, len(kept), unscored, tuple(scored))
    by_language: dict[str, dict[str, Interval]] = {}
    for one in sorted({group.group.problem.language for group in scored}):
        of_one = [group for group in scored if group.group.problem.language == one]
        by_language[one] = _intervals(of_one, correct) if _unscored(of_one) <= max_unscored else {}
    return Consultations(_intervals(kept, correct), by_language, len(kept), unscored, tuple(scored))


def _unscored(scored: Sequence[ScoredGroup]) -> float:
    every = [score for group in scored for score in group.scores]
    return sum(score.value is None for score in every) / len(every) if every else 0.0


def consultation_row(scored: Sequence[ScoredGroup], correct: Reward | None, max_unscored: float) -> dict[str, float]:
    """The figures as flat numbers for an evaluation's row; none where nothing was measured, as without an environment."""
    if not any(response.measured for group in scored for response in group.group.rollouts):
        return {}
    row: dict[str, float] = {}
    for name, one in summarise(scored, correct, max_unscored).figures.items():
        row |= {
            f"consultation/{name}": one.mean,
            f"consultation/{name}_low": one.low,
            f"consultation/{name}_high": one.high,
        }
    return row


def interval(values: Sequence[float], *seed: str | int) -> Interval:
    """Mean of the patients' means with its bootstrap interval; of a single patient the interval says nothing."""
    rng = random.Random(seed_of("bootstrap", *seed))
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return Interval(fmean(values), means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1])


def _intervals(groups: Sequence[ScoredGroup], correct: Reward | None) -> dict[str, Interval]:
    found = {}
    for name in FIGURES:
        of_patients = [mean for group in groups if (mean := _mean(group, name, correct)) is not None]
        if of_patients:
            found[name] = interval(of_patients, name)
    return found


def _mean(group: ScoredGroup, name: str, correct: Reward | None) -> float | None:
    """One figure of one patient, over the consultations that have it."""
    pairs = zip(group.group.rollouts, group.scores, strict=True)
    values = [value for response, score in pairs if (value := _value(response, score, name, correct)) is not None]
    return fmean(values) if values else None


def _value(response: Response, score: Score, name: str, correct: Reward | None) -> float | None:
    if score.value is None:
        return None
    if name == "score":
        return score.value
    if name == "diagnosis":
        part: Any = score.parts.get(correct.name) if correct is not None else None
        # what was cut off names no diagnosis, whatever its last words are
        right = part.value if part is not None else None
        return right if right is None or response.finish_reason == "stop" else 0.0
    value = response.measured.get(name)
    return None if value is None else float(value)
