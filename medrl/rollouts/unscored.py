"""How many rollouts have no score, and what that means for a step and for a run.

A step of whose rollouts too many went unscored trains nothing: what is left of it is what the judge happened to manage. A run
stops when the share passes the bound over a window of steps: short outages are waited for (`outage`), longer ones cost idle
steps, and a judge that is down for good stops the run.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from medrl.errors import RewardFailed
from medrl.rollouts.teacher import policy_written
from medrl.types import Score, ScoredGroup


def unscored_share(scored: Sequence[ScoredGroup], bound: float = 1.0) -> float:
    """Share of rollouts without a score, among those that a verifier was asked about (all, where none was asked).

    A malformed response needs no judge: counting it among the scored would hide a judge that fails on all others.

    Raises:
        RewardFailed: It is above `bound`; the message counts the failures by status and quotes the commonest reasons.
    """
    failed, asked = _failed(scored), _asked(scored)
    share = len(failed) / asked if asked else 0.0
    if share > bound:
        raise RewardFailed(_message(failed, len(failed), asked, bound, "") + _reasons(failed))
    return share


def believable(scored: Sequence[ScoredGroup], past: list[list[int]], bound: float, window: int) -> list[ScoredGroup]:
    """What a step may train on: its groups, or the same without any score where more than `bound` of them have none.

    Args:
        scored: The step's groups.
        past: [without a score, asked] of the steps before, oldest first; this step is added and those before the window
            are dropped. Saved with the run.
        bound: As of `unscored_share`.
        window: Steps over which the run's share is taken.

    Raises:
        RewardFailed: More than `bound` of what was asked over the window, this step included, has no score.
    """
    failed, asked = _failed(scored), _asked(scored)
    past[:] = [*past, [len(failed), asked]][-window:]
    lost, total = (sum(step[i] for step in past) for i in (0, 1))
    if total and lost / total > bound:
        over = f" over the last {len(past)} steps" if len(past) > 1 else ""
        raise RewardFailed(_message(failed, lost, total, bound, over) + _reasons(failed))
    if not asked or len(failed) / asked <= bound:
        return list(scored)
    reason = f"{len(failed)} of {asked} rollouts of the step have no score, so the others train nothing either"

    def without(score: Score) -> Score:
        return (
            score
            if score.value is None
            else replace(score, value=None, status="error", reason=reason, token_values=None)
        )

    return [replace(group, scores=tuple(map(without, group.scores))) for group in scored]


def _failed(scored: Sequence[ScoredGroup]) -> list[Score]:
    return [score for group in policy_written(scored) for score in group.scores if score.value is None]


def _asked(scored: Sequence[ScoredGroup]) -> int:
    return asked_of([score for group in policy_written(scored) for score in group.scores])


def asked_of(scores: Sequence[Score]) -> int:
    """Of how many rollouts with these scores a verifier was asked; all, where none was asked."""
    judged = [any(part.verdict is not None for part in score.parts.values()) for score in scores]
    return sum(j or s.value is None for j, s in zip(judged, scores, strict=True)) if any(judged) else len(scores)


def _message(failed: Sequence[Score], lost: int, asked: int, bound: float, over: str) -> str:
    by_status = ", ".join(f"{count} {status}" for status, count in Counter(s.status for s in failed).most_common())
    return (
        f"{lost} of {asked} rollouts{over} have no score ({by_status}), above the bound of {bound:.0%}; training on the "
        "rest would mislead. Mend the reward, or raise max_unscored. Commonest reasons:"
    )


def _reasons(failed: Sequence[Score]) -> str:
    return "".join(f"\n  {count} x {reason}" for reason, count in Counter(s.reason for s in failed).most_common(3))
