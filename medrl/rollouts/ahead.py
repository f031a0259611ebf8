"""Rollouts of coming steps, sampled and scored while the learner is busy with the present one.

With `staleness` k the groups of step s are begun as soon as the policy has version s - 1 - k, so that no token is written by
a policy more than k versions older than the one that trains on it (arXiv 2505.24298, section 5.1). k = 0 samples each step
when it is asked for: exactly on-policy. Never more than k steps are under way beside the present one, which is the
back-pressure: a learner that falls behind stops the sampling, not the other way round.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from medrl.rewards import RewardContext
from medrl.types import Problem, ScoredGroup

T = TypeVar("T")


@dataclass
class Ordered:
    """A step whose rollouts are ordered.

    Attributes:
        step: Which step will train on them, counted from 1.
        problems: P problems, in the order in which they were drawn; more where an algorithm samples dynamically.
        context: What its rewards are told.
        kept: Groups that have their scores, by the place of their problem.
        rounds: How often problems were drawn for it.
    """

    step: int
    problems: list[Problem]
    context: RewardContext
    kept: dict[int, ScoredGroup] = field(default_factory=dict)
    rounds: int = 1


class Ahead:
    """Orders steps of rollouts, at most `staleness` before they are needed."""

    def __init__(
        self,
        draw: Callable[[int], Ordered],
        gather: Callable[[Ordered], Awaitable[list[ScoredGroup]]],
        staleness: int = 0,
    ) -> None:
        """Sample nothing yet.

        Args:
            draw: Draws the problems of a step; called once for each step, in order.
            gather: Samples and scores what `Ordered.kept` lacks.
            staleness: k, versions by which rollouts may be behind the policy that trains on them.
        """
        self._draw, self._gather, self.staleness = draw, gather, staleness
        self._ordered: list[Ordered] = []
        self._tasks: dict[int, asyncio.Task[list[ScoredGroup]]] = {}

    @property
    def ordered(self) -> tuple[Ordered, ...]:
        """Steps that are drawn but not yet handed out, oldest first."""
        return tuple(self._ordered)

    async def next(self, step: int, last: int) -> tuple[list[ScoredGroup], Ordered]:
        """The groups of `step`, in the order of its problems; later steps, up to `last`, are begun as far as they may be."""
        for number in range(step, min(step + self.staleness, last) + 1):
            if all(one.step != number for one in self._ordered):
                self._ordered.append(self._draw(number))
        for one in self._ordered:
            if one.step not in self._tasks and one.step <= last:
                self._tasks[one.step] = asyncio.ensure_future(self._gather(one))
        scored = await self._tasks[step]
        del self._tasks[step]
        return scored, self._ordered.pop(0)

    async def close(self) -> None:
        """Stop sampling. What is ordered, and the groups that are finished, stay: `next` goes on from them."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def put_back(self, ordered: Sequence[Ordered]) -> None:
        """Stand where another stood: `ordered` was its."""
        if self._tasks:
            raise RuntimeError("rollouts are under way; close() first")
        self._ordered = list(ordered)


async def undisturbed(work: Awaitable[T]) -> T:
    """Await `work` to its end even where the task is cancelled meanwhile; then the cancellation goes on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.result()  # an error of its own goes first
        raise
