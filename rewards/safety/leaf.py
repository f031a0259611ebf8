"""What the safety leaves share: how a problem that asks nothing of a leaf, or asks it wrongly, is scored."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from medrl.rewards.tree import Reward, RewardContext, Scores, failure
from medrl.types import Group, Part, Problem, Response, Score


class SafetyLeaf(Reward):
    """A leaf that reads one response against its problem's metadata: subclasses write `judged`."""

    unasked: float | None

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self._safely(group.problem, rollout) for rollout in group.rollouts] for group in groups]

    @abstractmethod
    def judged(self, problem: Problem, response: Response) -> Score:
        """The score of one response; an exception becomes this rollout's `error`."""

    def _safely(self, problem: Problem, response: Response) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        try:
            return self.judged(problem, response)
        except Exception as error:  # becomes the status of this rollout alone
            return failure(self.name, error)

    def not_asked(self, what: str) -> Score:
        """The score on a problem whose metadata asks nothing of this leaf."""
        if self.unasked is None:
            return Score(None, "abstain", reason=f"{self.name}: the problem's metadata says nothing of {what}")
        return Score(float(self.unasked), reason=f"the problem's metadata says nothing of {what}")

    def broken(self, problem: Problem, fault: str) -> Score:
        """No number, since the problem itself is broken."""
        return Score(None, "invalid", reason=f"{self.name}: problem {problem.id!r}: {fault}")

    def told(self, value: float, reason: str, **figures: float) -> Score:
        """A score whose further figures are parts of their own, `NAME_figure`, for metrics and traces."""
        parts = {self.name: Part(value, reason=reason)}
        parts |= {f"{self.name}_{figure}": Part(float(one)) for figure, one in figures.items()}
        return Score(value, parts=parts, reason=reason)


def unasked_faults(unasked: Any) -> list[str]:
    """The fault of a knob `unasked` that is no finite number of 0 or more."""
    number = isinstance(unasked, int | float) and not isinstance(unasked, bool)
    if unasked is None or (number and math.isfinite(unasked) and unasked >= 0):
        return []
    return [f"`unasked` is {unasked!r}; give a number of 0 or more, or leave it empty for no number"]
