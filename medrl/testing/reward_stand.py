"""A reward on trial: how the laws call it, and when two scores are the same."""

import copy
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from medrl.rewards import Reward, RewardContext, Scores, build
from medrl.rewards.config import Config
from medrl.testing import fresh
from medrl.testing.calls import Endless, awaited
from medrl.testing.cases import GroupCase, Limits, check_groups
from medrl.testing.laws import Stand
from medrl.types import Group, Response, Score


class RewardStand(Stand):
    """A reward with its groups. Every call is given copies of its own.

    Attributes:
        failing: The same reward with a judge behind it that is down, or None.
    """

    def __init__(
        self, reward: Config, groups: Sequence[GroupCase], limits: Limits, failing: Reward | None = None
    ) -> None:
        super().__init__()
        check_groups(groups)
        self.reward, self.cases, self.limits, self.failing = build(reward), tuple(groups), limits, failing
        self.plugin = f"the reward {self.reward.name!r}"

    def groups(self) -> list[Group]:
        """The cases as groups, new copies."""
        return [copy.deepcopy(one.group) for one in self.cases]

    def raw(self, groups: Sequence[Group], context: RewardContext | None = None) -> Any:
        """What `assess` itself returns or raises, without the guard."""
        given = context or RewardContext()
        return awaited(self.limits.seconds_at_most, lambda: self.reward.assess(groups, given))

    def scored(
        self, groups: Sequence[Group], reward: Reward | None = None, context: RewardContext | None = None
    ) -> Scores:
        """The scores as medrl gets them, under the guard; a call without end is a `timeout` on each."""
        scoring, given = reward or self.reward, context or RewardContext()
        try:
            return awaited(self.limits.seconds_at_most, lambda: scoring.score(groups, given))
        except Endless as error:
            return [[Score(None, "timeout", reason=str(error))] * len(group) for group in groups]

    def alone(self, reward: Reward | None = None) -> Scores:
        """The scores of every group, each scored by itself, with a context of its own."""
        return [self.scored([group], reward)[0] for group in self.groups()]

    @cached_property
    def expected(self) -> Scores:
        """What the reward says of each group: what every other way of asking must give."""
        return self.alone()

    def same(self, one: Score, other: Score) -> bool:
        """Whether two scores say the same; reasons may differ."""
        return one.status == other.status and self._near(one.value, other.value) and self._tokens(one, other)

    def _tokens(self, one: Score, other: Score) -> bool:
        a, b = one.token_values or (), other.token_values or ()
        return len(a) == len(b) and all(map(self._near, a, b))

    def _near(self, a: float | None, b: float | None) -> bool:
        return a == b or (a is not None and b is not None and abs(a - b) <= self.limits.tolerance)

    def difference(self, wanted: Scores, found: Scores, where: str) -> str:
        """The first response whose score differs, in words; "" where none does."""
        for one, row, other in zip(self.cases, wanted, found, strict=True):
            for index, (a, b) in enumerate(zip(row, other, strict=True)):
                if not self.same(a, b):
                    return f"{of(one, index)}: {brief(a)}, but {where} {brief(b)}"
        return ""

    def as_many(self, wanted: Scores, found: Scores) -> bool:
        """Whether two lists hold the same scores, in whatever order."""
        left = [score for row in found for score in row]
        for one in (score for row in wanted for score in row):
            match = next((i for i, other in enumerate(left) if self.same(one, other)), None)
            if match is None:
                return False
            del left[match]
        return not left

    def elsewhere(self) -> list[dict[str, Any]]:
        """What two fresh programs say: each group alone in order, then in the reverse order.

        Raises:
            fresh.NotThere: The reward cannot be built there, or the groups cannot travel.
        """
        forward = list(range(len(self.cases)))
        try:
            task = {"kind": "reward", "config": self.reward.to_config(), "orders": [forward, forward[::-1]]}
            task["groups"] = [[c.problem.to_json(), [fresh.response_json(r) for r in c.responses]] for c in self.cases]
            json.dumps(task)
        except Exception as error:  # a stranger's knobs, a stranger's metadata
            raise fresh.NotThere(f"it cannot be sent there as JSON: {error}") from error
        return self.in_fresh_processes(task, self.limits.seconds_at_most + 60.0)

    def with_texts(self, texts: Sequence[str]) -> Group:
        """A group of these responses to the first problem."""
        return Group(copy.deepcopy(self.cases[0].problem), tuple(map(Response, texts)))


def of(case: GroupCase, index: int) -> str:
    """How messages call a response."""
    return f"problem {case.problem.id!r}, response {index} {case.responses[index].text!r:.60}"


def brief(score: Score) -> str:
    """A score in a few words."""
    return f"{score.value:g}" if score.value is not None else f"no number ({score.status}: {score.reason:.120})"
