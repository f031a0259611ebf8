"""Rewards that tests of other frameworks name: one that compares a group, and two that a tiny policy can be trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from medrl.rewards import Reward, RewardContext, Scores, reward
from medrl.types import Group, Problem, Response, Score


@dataclass(frozen=True)
class Ranks(Reward):
    """How many responses of its group a response is longer than."""

    compares: ClassVar[bool] = True
    name: str = "ranks"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        lengths = [[len(rollout.text) for rollout in group.rollouts] for group in groups]
        return [[Score(float(sum(mine > one for one in row))) for mine in row] for row in lengths]


@reward("letters")
def letters(problem: Problem, response: Response) -> float:
    """The share of the response that is letters."""
    return sum(map(str.isalpha, response.text)) / max(len(response.text), 1)


calls = count()


@reward("sometimes")
def sometimes(problem: Problem, response: Response) -> float | None:
    """No number for every fourth response that it is asked about."""
    return None if next(calls) % 4 == 0 else 1.0
