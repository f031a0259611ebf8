"""A judge that is down for a while: what it could not score waits for it, and nothing of the run is lost.

Groups that failed as a whole are scored again after a pause, for at most `patience` seconds an outage, and keep the scores
of the try with the fewest failures: all of one try, for parts that compare a group's rollouts speak of those it judged. An
outage is over when all groups that waited have their scores. What waited in vain goes on without, and what fails soon after
does not wait again: a reward that can never score a problem may cost a tenth of a run's time and not each step its patience.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medrl.rewards import RewardContext, Scorer
from medrl.rewards.tree import Scores
from medrl.rollouts.unscored import asked_of
from medrl.types import Group, Score

FIRST, LONGEST = 0.5, 15.0  # seconds of the first pause, and of later ones, each twice the one before
REST = 10  # patiences without a loss, after which the next one begins an outage of its own


class Patient:
    """A scorer that outlasts outages of the one in it.

    Args:
        scorer: What scores.
        bound: A group waits when more than this share of it has no score because its judge failed (error or timeout).
        patience: Seconds of an outage; 0 never waits. Nothing waits before anything was scored, so that a judge that was
            never up is told at once.
        say: Prints a line.
    """

    def __init__(self, scorer: Scorer, bound: float, patience: float, say: Callable[[str], None]) -> None:
        self.scorer, self.bound, self.patience, self.say = scorer, bound, patience, say
        self.worked = False
        self.waiting = 0  # calls that wait
        self.down = False  # nothing was scored again since the latest loss, and there is patience left
        self.began: float | None = None  # the first loss of this outage, by the monotonic clock
        self.latest = 0.0  # and its latest

    async def score(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
        """As `Scorer.score`, after any outage."""
        scores, pause = list(await self.scorer.score(groups, context)), FIRST
        self.waiting += 1
        try:
            while (lost := self._lost(groups, scores)) and (left := self._left(scores[lost[0]])) > 0:
                await asyncio.sleep(min(pause, left))
                pause = min(2 * pause, LONGEST)
                again = await self.scorer.score([groups[at] for at in lost], context)
                for at, row in zip(lost, again, strict=True):
                    if _failed(groups[at], row) < _failed(groups[at], scores[at]):
                        scores[at], self.down = row, False
                if self.waiting == 1 and not self._lost(groups, scores):
                    self._over()
        finally:
            self.waiting -= 1
        self.worked |= len(lost) < len(groups)
        return scores

    def statistics(self) -> Mapping[str, Mapping[str, Any]]:
        return self.scorer.statistics()

    def _lost(self, groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[int]:
        """Places of groups that a judge failed on, while it is down by one rollout."""
        bound = 0.0 if self.down else self.bound
        rows = enumerate(zip(groups, scores, strict=True))
        return [at for at, (group, row) in rows if _failed(group, row) > bound * asked_of(row)]

    def _left(self, row: Sequence[Score]) -> float:
        """Seconds for which what has these scores may wait, from now on."""
        if not self.worked or self.patience <= 0:
            return 0.0
        now = time.monotonic()
        if self.began is None or now - self.latest > REST * self.patience:
            self.began = now
            reason = next(score.reason for score in row if score.value is None)
            self.say(f"the judge fails; scoring again for at most {self.patience:g} seconds: {reason}")
        self.latest = now
        left = self.began + self.patience - now
        self.down = left > 0
        return left

    def _over(self) -> None:
        """The last group that waited has its scores; an outage in which one was given up stays what it is."""
        if self.began is not None and self.latest < self.began + self.patience:
            self.say(f"scored again, {time.monotonic() - self.began:.0f} seconds after the judge failed")
            self.began = None


def _failed(group: Group, row: Sequence[Score]) -> int:
    """How many rollouts a judge failed on. What an engine broke off, no judge can mend."""
    return sum(
        score.value is None and score.status in ("error", "timeout") and rollout.finish_reason != "abort"
        for rollout, score in zip(group.rollouts, row, strict=True)
    )
