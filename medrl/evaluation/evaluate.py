"""Evaluate a policy on held-out problems: several samples per problem at temperature 1, and one greedy answer.

Accuracy is the mean over samples of the verifier's score, and its standard error is taken over problems (samples of one
problem are not independent). A response that the judge could not score is left out and counted, never taken as wrong; when
too many are left out there is no accuracy, since what remains is no fair sample (malformed responses need no judge). A
verifier that abstains is counted too: what such a response is worth, the reward's `otherwise` says.
"""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medrl.engines import Engine, Sampling
from medrl.evaluation.consultation import consultation_row
from medrl.models import Policy
from medrl.rewards import Format, Reward, RewardContext, Scorer, verified_leaf
from medrl.rollouts import collect
from medrl.types import Part, Problem, ScoredGroup

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

    max_unscored: float = 0.1
    """No accuracy or reward is reported when the judge failed on more than this share of the responses that it was to
    judge. Typical 0.0 to 0.2."""

    def __post_init__(self) -> None:
        faults = [f"samples is {self.samples}; it must be at least 1"] if self.samples < 1 else []
        if self.temperature < 0:
            faults.append(f"temperature is {self.temperature}; it must be 0 or more")
        if self.limit is not None and self.limit < 1:
            faults.append(f"limit is {self.limit}; it must be at least 1, or empty for all")
        if not 0.0 <= self.max_unscored < 1.0:
            faults.append(f"max_unscored is {self.max_unscored}; it must be at least 0 and below 1")
        if faults:
            raise ValueError("evaluation: " + "; ".join(faults))


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        name: Name of the problem set.
        accuracy: Mean verifier score over samples; None when nothing, or too little, could be scored, or no problem was the
            verifier's (all have a rubric).
        accuracy_stderr: Its standard error, over problems.
        greedy_accuracy: The same of the likeliest answers, or None, under the same bound.
        format: Share of well-formed responses, None when the reward has no format part.
        reward: Mean reward; None where accuracy is, and where too many samples have none.
        unscored: Share of the samples that the verifier was to judge for which it has no value (the judge failed).
        unrewarded: Share of the samples without a reward: some judge of it failed.
        abstained: Share of samples on which the verifier abstained, whatever the reward then took them for.
        length: Mean tokens of a response.
        language_kept: Share of answers in the language of their question (English or Chinese).
        problems: How many problems.
        samples: Samples per problem.
        seconds: Wall time.
        sampled: The scored samples.
        greedy: The scored greedy answers, empty where none were asked for.
        consultation: Figures of consultations with their intervals, see `medrl.evaluation.consultation`; empty for others.
    """

    name: str
    accuracy: float | None
    accuracy_stderr: float | None
    greedy_accuracy: float | None
    format: float | None
    reward: float | None
    unscored: float
    unrewarded: float
    abstained: float
    length: float
    language_kept: float
    problems: int
    samples: int
    seconds: float
    sampled: tuple[ScoredGroup, ...] = ()
    greedy: tuple[ScoredGroup, ...] = ()
    consultation: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The figures as a row for evaluations.jsonl."""
        apart = ("sampled", "greedy", "seconds", "name", "consultation")
        numbers = {k: v for k, v in vars(self).items() if k not in apart}
        return {**numbers, **self.consultation, "time/evaluation": self.seconds}


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
    context: RewardContext | None = None,
    scorer: Scorer | None = None,
    on_rollout: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Ask and score. The seeds do not depend on the training step, so two evaluations differ by the policy alone.

    A reward that changes with the step or keeps a running state is asked as at the step and state of `context`; accuracy
    depends on neither. `scorer` scores in place of the reward itself, with the same numbers: actors that have it.

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
        engine, policy, problems, scorer or reward, samples=settings.samples, sampling=plain,
        seed=(*seed, "evaluate"), version=version, context=context, on_rollout=on_rollout,
    )  # fmt: skip
    greedy: list[ScoredGroup] = []
    if settings.greedy:
        greedy = await collect(
            engine, policy, problems, scorer or reward, samples=1, sampling=replace(plain, temperature=0.0),
            seed=(*seed, "evaluate"), version=version, context=context, on_rollout=on_rollout,
        )  # fmt: skip
    accuracy = accuracy_of(sampled, correct, settings.max_unscored)
    by_problem = [mean for g in sampled if (mean := _mean(_values(_due([g], correct)))) is not None]
    rewards = [score.value for g in sampled for score in g.scores]
    unrewarded = rewards.count(None) / len(rewards)
    lengths = [r.token_count or 0 for g in sampled for r in g.group.rollouts]
    return Evaluation(
        name=name,
        accuracy=accuracy,
        accuracy_stderr=_standard_error(by_problem) if accuracy is not None else None,
        greedy_accuracy=accuracy_of(greedy, correct, settings.max_unscored),
        format=_mean(_values(_named(sampled, form.name))) if form else None,
        reward=_mean([value for value in rewards if value is not None])
        if accuracy is not None and unrewarded <= settings.max_unscored
        else None,
        unscored=failed_share(sampled, correct),
        unrewarded=unrewarded,
        abstained=abstained_share(sampled, correct),
        length=sum(lengths) / len(lengths),
        language_kept=language_kept(sampled),
        problems=len(problems),
        samples=settings.samples,
        seconds=time.perf_counter() - started,
        sampled=tuple(sampled),
        greedy=tuple(greedy),
        consultation=consultation_row(sampled, correct, settings.max_unscored),
    )


def accuracy_of(scored: Sequence[ScoredGroup], correct: Reward, max_unscored: float) -> float | None:
    """Mean value of the verifier's part, or None where it has no value for more than `max_unscored` of the rollouts.

    Where the whole score failed the part may still stand: accuracy asks the verifier alone.
    """
    values = _values(_due(scored, correct))
    return _mean(values) if failed_share(scored, correct) <= max_unscored else None


def failed_share(scored: Sequence[ScoredGroup], correct: Reward) -> float:
    """Share of rollouts without a value of the verifier's part, among those that it was to judge.

    A malformed response has a value (0) without a verdict; counting it in would hide a judge that fails on all others.
    """
    judged = [p for p in _due(scored, correct) if p is None or p.value is None or p.verdict is not None]
    return sum(part is None or part.value is None for part in judged) / len(judged) if judged else 0.0


def abstained_share(scored: Sequence[ScoredGroup], correct: Reward) -> float:
    """Share of rollouts that the verifier did not decide, among those of its problems."""
    parts = _due(scored, correct)
    verdicts = [part.verdict for part in parts if part is not None]
    return sum(v is not None and v.status == "abstain" for v in verdicts) / len(parts) if parts else 0.0


def _due(scored: Sequence[ScoredGroup], correct: Reward) -> list[Part | None]:
    """The verifier's part of every rollout of its problems.

    Those with a rubric are not its own, unless the reward showed it one: without a verdict another branch had the problem,
    or a gate closed before either, whose 0 is nothing that right answers to rubrics could make up for.
    """
    parts = [(g.group.problem, s.parts.get(correct.name)) for g in scored for s in g.scores]
    return [part for problem, part in parts if problem.kind != "rubric" or _was_shown(part)]


def _was_shown(part: Part | None) -> bool:
    return part is not None and (part.verdict is not None or part.status not in ("ok", "abstain"))


def _values(parts: Sequence[Part | None]) -> list[float]:
    return [part.value for part in parts if part is not None and part.value is not None]


def part_means(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """Mean of every named part over the rollouts where it has a value."""
    names = dict.fromkeys(name for g in scored for s in g.scores for name in s.parts)
    means = {name: _mean(_values(_named(scored, name))) for name in names}
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


def _named(scored: Sequence[ScoredGroup], name: str) -> list[Part | None]:
    return [s.parts.get(name) for g in scored for s in g.scores]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _standard_error(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
