"""How long groups wait for their scores, and how many do: what a slow judge looks like from the loop."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from medrl.engines.gauge import Gauge
from medrl.rewards import RewardContext, Scorer
from medrl.rewards.tree import Scores
from medrl.types import Group


class Timed:
    """A scorer, with a clock beside it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._queue = Gauge()
        self._seconds: list[float] = []

    async def score(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
        """As `Scorer.score`."""
        began = perf_counter()
        self._queue.add(len(groups))
        try:
            scores = await self.scorer.score(groups, context)
        finally:
            self._queue.add(-len(groups))
        self._seconds.append(perf_counter() - began)
        return scores

    def statistics(self) -> Mapping[str, Mapping[str, Any]]:
        return self.scorer.statistics()

    def figures(self) -> dict[str, float]:
        """Since the last call: `time/queue/scoring`, groups whose scores are awaited, mean over time and peak, and
        `time/reward_latency`, seconds from a whole group to its scores, queue and outages included, mean and longest.

        The latency is left out where no group got its scores.
        """
        seconds, self._seconds = self._seconds, []
        found = self._queue.read("time/queue/scoring")
        if seconds:
            found |= {"time/reward_latency": sum(seconds) / len(seconds), "time/reward_latency/longest": max(seconds)}
        return found
