"""Nodes that change the scale of one reward: bounds, a weight that moves with the step, a running scale.

Each passes a missing number on as it is. `normalise` reads its statistics while a step is scored and writes them when the
step's scores are complete, so that a value depends on earlier steps alone and never on the order in which groups end.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from medrl.errors import did_you_mean
from medrl.rewards.tree import (
    Reward,
    RewardContext,
    Scores,
    failure,
    not_a,
    not_finite,
    number,
    one_number,
    settle,
    times,
)
from medrl.types import Group, Score, ScoredGroup

Shape = Literal["linear", "cosine", "step"]
LARGEST = 1e100  # beyond it squares overflow; such a step says nothing of a scale
ALIKE = 1e-9  # a spread below it is rounding: the rollouts are equal


class Shaped(Reward):
    """A node over one reward, `of`, that writes `reshape`: a value from a value."""

    of: Reward

    @abstractmethod
    def reshape(self, score: Score, context: RewardContext) -> Score:
        """The new score of one that has a value; the parts of the old one are added."""

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self._shaped(score, context) for score in row] for row in await self.of.score(groups, context)]

    def _shaped(self, score: Score, context: RewardContext) -> Score:
        if score.value is None:
            return score
        try:
            made = self.reshape(score, context)
            return replace(made, parts={**score.parts, **made.parts})
        except (ArithmeticError, TypeError, ValueError) as error:
            return replace(failure(self.name, error), parts=score.parts)


@dataclass(frozen=True)
class Clip(Shaped):
    """Its reward, not below `low` and not above `high`.

    A bound makes all beyond it equal: where a whole group lies beyond, the group teaches nothing. Clipping a sum of signed
    points at 0 does that to every bad answer.
    """

    type_name: ClassVar[str] = "clip"

    of: Reward
    """The reward to bound."""
    low: float | None = None
    """Smallest value; empty for no bound."""
    high: float | None = None
    """Largest value; empty for no bound."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `clip`."""

    def __post_init__(self) -> None:
        bounds = {k: v for k, v in (("low", self.low), ("high", self.high)) if v is not None}
        faults = not_a(Reward, of=self.of) + not_finite(**bounds)
        if not bounds:
            faults.append("it has neither `low` nor `high`; give one of them")
        elif not faults and self.low is not None and self.high is not None and self.low >= self.high:
            faults.append(f"`low` {self.low:g} is not below `high` {self.high:g}, so every value would be the same")
        settle(self, "clip", faults)

    def bounds(self) -> tuple[float, float]:
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        least, most = (min(max(value, low), high) for value in self.of.bounds())
        return least, most

    def reshape(self, score: Score, context: RewardContext) -> Score:
        value = one_number(score, self.name)
        value = value if self.low is None else max(value, self.low)
        return number(value if self.high is None else min(value, self.high), self.name, reason=score.reason)


@dataclass(frozen=True)
class Anneal(Shaped):
    """Its reward times a weight that goes from `start` to `end` between two training steps: for hints that must fade."""

    type_name: ClassVar[str] = "anneal"
    needs_step: ClassVar[bool] = True

    of: Reward
    """The reward whose weight moves."""
    end: float
    """Weight from step `until` on; 0.0 to let it vanish."""
    until: int
    """Step at which the weight has arrived."""
    start: float = 1.0
    """Weight up to step `since`."""
    since: int = 0
    """Last step with the first weight."""
    shape: Shape = "linear"
    """The way between: `linear`, `cosine` (slow at both ends), or `step` (the first weight before `until`, then the last)."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `anneal`."""

    def __post_init__(self) -> None:
        faults = not_a(Reward, of=self.of) + not_finite(start=self.start, end=self.end)
        if not self.since >= 0 or not self.until > self.since:
            faults.append(f"`since` is {self.since} and `until` {self.until}; they are steps, 0 or more, in this order")
        if self.shape not in get_args(Shape):
            faults.append(f"`shape` is {self.shape!r}{did_you_mean(str(self.shape), get_args(Shape))}")
        settle(self, "anneal", faults)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        if self.weight(context.step) != 0:
            return await super().assess(groups, context)
        reason = f"its weight is 0 at step {context.step}"
        faded = Score(0.0, parts=self.of.unjudged(reason, None), reason=reason)  # nobody is asked, so nobody can fail
        return [[faded] * len(group) for group in groups]

    def bounds(self) -> tuple[float, float]:
        ends = [times(weight, value) for weight in (self.start, self.end) for value in self.of.bounds()]
        return min(ends), max(ends)

    def weight(self, step: int) -> float:
        """The weight at a training step."""
        way = min(max((step - self.since) / (self.until - self.since), 0.0), 1.0)
        if self.shape == "cosine":
            way = (1 - math.cos(math.pi * way)) / 2
        elif self.shape == "step":
            way = math.floor(way)
        return self.start + (self.end - self.start) * way

    def reshape(self, score: Score, context: RewardContext) -> Score:
        weight = self.weight(context.step)
        tokens = score.token_values and tuple(weight * value for value in score.token_values)
        assert score.value is not None
        return number(
            weight * score.value, self.name, reason=f"{weight:g} of it at step {context.step}", token_values=tokens
        )


@dataclass(frozen=True)
class Normalise(Shaped):
    """(x - mean) / std with the mean and standard deviation of its reward in the training steps before this one.

    For rewards without a scale of their own, such as a preference model's, beside others that have one. Every rollout of
    every step counts alike, or less and less where `memory` says so. Inside a group use `per_group`, which needs no state.
    """

    type_name: ClassVar[str] = "normalise"
    stateful: ClassVar[bool] = True

    of: Reward
    """The reward to normalise."""
    mean: float = 0.0
    """Mean before there are statistics; that of a reference set where it is known."""
    std: float = 1.0
    """Standard deviation before there are statistics."""
    memory: float = 1.0
    """What a step's weight is multiplied by at each later step, above 0, at most 1; 1.0 forgets nothing, 0.99 remembers
    about 100 steps."""
    limit: float = 5.0
    """The result is kept within this many standard deviations; above 0."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `normalise`."""

    def __post_init__(self) -> None:
        faults = not_finite(mean=self.mean, std=self.std, memory=self.memory, limit=self.limit)
        if not faults:
            faults += [f"`{name}` must be above 0" for name in ("std", "memory", "limit") if getattr(self, name) <= 0]
            faults += ["`memory` is above 1; earlier steps would count ever more"] if self.memory > 1 else []
        settle(self, "normalise", not_a(Reward, of=self.of) + faults)

    def bounds(self) -> tuple[float, float]:
        return -self.limit, self.limit

    def reshape(self, score: Score, context: RewardContext) -> Score:
        mean, std = self.scale(context.state)
        z = (one_number(score, self.name) - mean) / std
        return number(min(max(z, -self.limit), self.limit), self.name, reason=score.reason)

    def scale(self, state: dict[str, Any]) -> tuple[float, float]:
        """Mean and standard deviation by the statistics so far; the first ones where these say nothing yet."""
        kept = state.get(self.name)
        if not kept or kept["count"] < 2:
            return self.mean, self.std
        spread = math.sqrt(max(kept["squares"], 0.0) / kept["count"])
        return kept["mean"], spread if spread > ALIKE else self.std

    def learn_from(self, scored: Sequence[ScoredGroup], kept: Any) -> Any:
        """Weighted mean and sum of squared deviations (Chan et al. 1983, eq. 2.1), updated by one step's values."""
        parts = [score.parts for group in scored for score in group.scores]
        ours = [
            one for one in parts if self.name in one and one[self.name].value is not None
        ]  # what it was asked about
        values = [part.value for one in ours if (part := one.get(self.of.name)) is not None and part.value is not None]
        if not values or max(map(abs, values)) > LARGEST:
            return kept
        kept = kept or {"count": 0.0, "mean": 0.0, "squares": 0.0}
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        before, delta = self.memory * kept["count"], mean - kept["mean"]
        count = before + len(values)
        return {
            "count": count,
            "mean": kept["mean"] + delta * len(values) / count,
            "squares": self.memory * kept["squares"] + squares + delta**2 * before * len(values) / count,
        }
