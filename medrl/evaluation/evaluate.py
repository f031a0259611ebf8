"""Evaluate a policy on held-out problems: several samples per problem at temperature 1, and one greedy answer.

Accuracy is the mean over samples of the verifier's score, and its standard error is taken over problems (samples of one
problem are not independent). A response that the judge could not score is left out and counted, never taken as wrong.
"""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medrl.engines import Engine, Sampling
from medrl.models import Policy
from medrl.rewards import Format, Reward, verified_leaf
from medrl.rollouts import collect, unscored_share
from medrl.types import Problem, ScoredGroup

_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class EvaluationSettings:
    """How held-out problems are asked."""

    samples: int = 4
    """Sampled answers per problem; accuracy is their mean. Typical 1 to 16."""

    temperature: float = 1.0
    """Temperature of those samples."""

    greedy: bool = True
    """Also take the likeliest answer to each problem."""

    limit: int | None = None
    """At most so many of the held-out problems, the first ones; empty for all."""


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        name: Name of the problem set.
        accuracy: Mean verifier score over samples, None when nothing could be scored.
        accuracy_stderr: Its standard error, over problems.
        greedy_accuracy: The same of the likeliest answers, or None.
        format: Share of well-formed responses, None when the reward has no format part.
        reward: Mean reward.
        unscored: Share of samples without a score.
        length: Mean tokens of a response.
        language_kept: Share of answers in the language of their question (English or Chinese).
        problems: How many problems.
        samples: Samples per problem.
        seconds: Wall time.
        sampled: The scored samples.
    """

    name: str
    accuracy: float | None
    accuracy_stderr: float | None
    greedy_accuracy: float | None
    format: float | None
    reward: float | None
    unscored: float
    length: float
    language_kept: float
    problems: int
    samples: int
    seconds: float
    sampled: tuple[ScoredGroup, ...] = ()

    def row(self) -> dict[str, Any]:
        """The figures as a row for evaluations.jsonl."""
        numbers = {k: v for k, v in vars(self).items() if k not in ("sampled", "seconds", "name")}
        return {**numbers, "time/evaluation": self.seconds}


async def evaluate(
    engine: Engine,
    policy: Policy,
    problems: Sequence[Problem],
    reward: Reward,
    *,
    settings: EvaluationSettings,
    sampling: Sampling,
    seed: Sequence[str | int],
    version: int = 0,
    name: str = "held_out",
    on_rollout: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Ask and score. The seeds do not depend on the training step, so two evaluations differ by the policy alone.

    Raises:
        ValueError: There are no problems, or the reward has no verifier to measure accuracy with.
    """
    problems = problems[: settings.limit]
    correct, form = verified_leaf(reward), reward.first(Format)
    if not problems:
        raise ValueError("there are no held-out problems to evaluate on")
    if correct is None:
        raise ValueError("the reward has no `verified` part, so there is no accuracy to measure; add one")
    started = time.perf_counter()
    plain = replace(sampling, temperature=settings.temperature, top_k=0, top_p=1.0)
    sampled = await collect(
        engine, policy, problems, reward, samples=settings.samples, sampling=plain,
        seed=(*seed, "evaluate"), version=version, on_rollout=on_rollout,
    )  # fmt: skip
    greedy_accuracy = None
    if settings.greedy:
        greedy = await collect(
            engine, policy, problems, reward, samples=1, sampling=replace(plain, temperature=0.0),
            seed=(*seed, "evaluate"), version=version, on_rollout=on_rollout,
        )  # fmt: skip
        greedy_accuracy = _mean(_parts(greedy, correct.name))
    by_problem = [mean for g in sampled if (mean := _mean(_parts([g], correct.name))) is not None]
    lengths = [r.token_count or 0 for g in sampled for r in g.group.rollouts]
    return Evaluation(
        name=name,
        accuracy=_mean(_parts(sampled, correct.name)),
        accuracy_stderr=_standard_error(by_problem),
        greedy_accuracy=greedy_accuracy,
        format=_mean(_parts(sampled, form.name)) if form else None,
        reward=_mean([s.value for g in sampled for s in g.scores if s.value is not None]),
        unscored=unscored_share(sampled),
        length=sum(lengths) / len(lengths),
        language_kept=language_kept(sampled),
        problems=len(problems),
        samples=settings.samples,
        seconds=time.perf_counter() - started,
        sampled=tuple(sampled),
    )


def part_means(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """Mean of every named part over the rollouts where it has a value."""
    names = dict.fromkeys(name for g in scored for s in g.scores for name in s.parts)
    means = {name: _mean(_parts(scored, name)) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def language_kept(scored: Sequence[ScoredGroup]) -> float:
    """Share of responses in the language of their question; one without any letter keeps it."""
    kept = [
        _is_chinese(r.text, default=g.group.problem.language == "zh") == (g.group.problem.language == "zh")
        for g in scored
        for r in g.group.rollouts
    ]
    return sum(kept) / len(kept)


def _is_chinese(text: str, default: bool) -> bool:
    letters = [c for c in text if c.isalpha()]
    return default if not letters else len(_CHINESE.findall(text)) > len(letters) / 4


def _parts(scored: Sequence[ScoredGroup], name: str) -> list[float]:
    """Values of one part. Where the whole score failed the part may still stand: accuracy asks the verifier alone."""
    parts: list[Mapping[str, Any]] = [s.parts for g in scored for s in g.scores]
    return [p[name].value for p in parts if name in p and p[name].value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _standard_error(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
