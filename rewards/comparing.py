"""Rewards that compare the rollouts of a group: how one stands among the others, and functions over a whole group."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from medrl import plugins
from medrl.errors import PluginError, did_you_mean
from medrl.rewards.tree import GROUP, Reward, RewardContext, Scores, failure, not_a, number, one_number, settle
from medrl.types import Group, Problem, Response, Score

How = Literal["centre", "standardise", "rank", "best"]
ALIKE = 1e-9  # a spread below it is rounding: the rollouts are equal


@dataclass(frozen=True)
class PerGroup(Reward):
    """How a rollout's reward stands among those of its group; rollouts without a number are not compared."""

    type_name: ClassVar[str] = "per_group"
    compares: ClassVar[bool] = True

    of: Reward
    """The reward to compare by."""
    how: How = "standardise"
    """`centre`: minus the group's mean. `standardise`: that over its standard deviation (of the population), 0.0 where all
    are equal. `rank`: from 0.0 (worst) to 1.0 (best), equal ones in the middle of their ranks. `best`: 1.0 for the best
    and all that equal it, else 0.0."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `per_group`."""

    def __post_init__(self) -> None:
        faults = not_a(Reward, of=self.of)
        if self.how not in get_args(How):
            faults.append(f"`how` is {self.how!r}{did_you_mean(str(self.how), get_args(How))}")
        settle(self, "per_group", faults)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [self._compared(row) for row in await self.of.score(groups, context)]

    def _compared(self, row: Sequence[Score]) -> list[Score]:
        try:
            known = [one_number(score, self.name) for score in row if score.value is not None]
            values = iter(compare(known, self.how))
        except (ArithmeticError, TypeError) as error:  # becomes the status of this group alone
            lost = failure(self.name, error)
            return [score if score.value is None else replace(lost, parts=score.parts) for score in row]

        def one(score: Score) -> Score:
            return number(next(values), self.name, score.parts, reason=score.reason)

        return [score if score.value is None else one(score) for score in row]


def compare(values: Sequence[float], how: How) -> list[float]:
    """The values of a group (G,) set against each other, in order (G,); see `PerGroup.how`."""
    if not values:
        return []
    if how == "rank":
        last = len(values) - 1
        below = [sum(other < value for other in values) for value in values]
        equal = [sum(other == value for other in values) - 1 for value in values]
        return [(b + e / 2) / last if last else 0.5 for b, e in zip(below, equal, strict=True)]
    if how == "best":
        return [float(value == max(values)) for value in values]
    mean = math.fsum(values) / len(values)
    centred = [value - mean for value in values]
    if how == "centre":
        return centred
    spread = math.sqrt(math.fsum(value**2 for value in centred) / len(values))
    return [value / spread if spread > ALIKE else 0.0 for value in centred]


GroupWorth: TypeAlias = Callable[[Problem, Sequence[Response]], Sequence[float | None]]


@dataclass(frozen=True)
class GroupFunctionReward(Reward):
    """A plain function over a whole group as a leaf; made by `@group_reward`. It pickles as the name it is found under."""

    compares: ClassVar[bool] = True

    function: GroupWorth = field(metadata={"knob": False})
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree."""

    def __post_init__(self) -> None:
        settle(self, self.function.__name__, [])

    def __call__(self, problem: Problem, responses: Sequence[Response]) -> Sequence[float | None]:
        return self.function(problem, responses)

    def kind(self) -> str:
        return f"{self.function.__module__}:{self.function.__qualname__}"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [self._scored(group) for group in groups]

    def _scored(self, group: Group) -> list[Score]:
        """The group's scores; an aborted response is an error of its own, and the function does not see it."""
        seen = [response for response in group.rollouts if response.finish_reason != "abort"]
        aborted = Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        try:
            values = list(self.function(group.problem, seen)) if seen else []
            if len(values) != len(seen):
                raise ValueError(f"the function returned {len(values)} values for {len(seen)} responses")
            scores = iter([self._score(value) for value in values])
        except Exception as error:  # becomes the status of this group alone
            scores = iter([failure(self.name, error)] * len(seen))
        return [aborted if one.finish_reason == "abort" else next(scores) for one in group.rollouts]

    def _score(self, value: Any) -> Score:
        if value is None:
            return Score(None, "abstain", reason=f"{self.name}: the function returned None")
        if not isinstance(value, Real):
            raise TypeError(f"the function returned {value!r:.80}; return a number or None for each response")
        return number(float(value), name=self.name)

    def __reduce__(self) -> tuple[Callable[..., Reward], tuple[str, str]]:
        return _found_again, (self.to_config()["type"], self.name)


def _found_again(target: str, name: str) -> Reward:
    found = plugins.load(GROUP, target)
    if not isinstance(found, GroupFunctionReward):
        raise PluginError(f"{GROUP}: {target} is {found!r:.80}, not the reward {name!r}; write @group_reward above it")
    return found if found.name == name else GroupFunctionReward(found.function, name)


def group_reward(name: str) -> Callable[[GroupWorth], GroupFunctionReward]:
    """Make a reward of a module-level function `(problem, responses) -> one float or None for each response`.

    For what only a whole group shows, such as how different its answers are. Otherwise as `@reward`.
    """

    def wrap(function: GroupWorth) -> GroupFunctionReward:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"@group_reward({name!r}): {function.__qualname__} is async; subclass Reward instead")
        return GroupFunctionReward(function, name)

    return wrap
