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
        reward: Mean reward, None where accuracy is.
        unscored: Share of the samples that the verifier was to judge for which it has no value (the judge failed).
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
    by_problem = [mean for g in sampled if (mean := _mean(_parts([g], correct.name))) is not None]
    lengths = [r.token_count or 0 for g in sampled for r in g.group.rollouts]
    return Evaluation(
        name=name,
        accuracy=accuracy,
        accuracy_stderr=_standard_error(by_problem) if accuracy is not None else None,
        greedy_accuracy=accuracy_of(greedy, correct, settings.max_unscored),
        format=_mean(_parts(sampled, form.name)) if form else None,
        reward=_mean([s.value for g in sampled for s in g.scores if s.value is not None])
        if accuracy is not None
        else None,
        unscored=failed_share(sampled, correct),
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
    """Mean value of the verifier's part, or None where it has no value for more than `max_unscored` of the rollouts."""
    values = _parts(scored, correct.name)
    return _mean(values) if failed_share(scored, correct) <= max_unscored else None


def failed_share(scored: Sequence[ScoredGroup], correct: Reward) -> float:
    """Share of rollouts without a value of the verifier's part, among those that it was to judge.

    A malformed response has a value (0) without a verdict; counting it in would hide a judge that fails on all others. Nor
    is it to judge problems with a rubric that the reward never shows it; one that was shown such a problem, and failed, was.
    """
    parts = [(g.group.problem, s.parts.get(correct.name)) for g in scored for s in g.scores]
    due = [part for problem, part in parts if _was_to_judge(problem, part)]
    return sum(part is None or part.value is None for part in due) / len(due) if due else 0.0


def _was_to_judge(problem: Problem, part: Part | None) -> bool:
    if problem.kind == "rubric" and (part is None or (part.status == "abstain" and part.verdict is None)):
        return False  # "not judged": another branch of the reward had it
    return part is None or part.value is None or part.verdict is not None


def abstained_share(scored: Sequence[ScoredGroup], correct: Reward) -> float:
    """Share of rollouts that the verifier was asked about and did not decide."""
    parts = [s.parts.get(correct.name) for g in scored for s in g.scores]
    verdicts = [part.verdict for part in parts if part is not None]
    return sum(v is not None and v.status == "abstain" for v in verdicts) / len(parts) if parts else 0.0


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
