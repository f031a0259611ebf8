"""Nodes that judge behind a gate: `Gate`, and `Levels`, the three levels of HuatuoGPT-o1.

`Levels` is the reward of HuatuoGPT-o1 (Chen et al. 2024, arXiv:2412.18925): 1.0 for a right answer, 0.1 for a wrong
one, 0.0 without think-then-answer. What differs: a judge that fails gives no number, never 0.1; malformed responses are
not judged at all; and the format is read by `Format`, which does more than count headers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from medrl.rewards.routing import some
from medrl.rewards.signals import Format, Verified
from medrl.rewards.tree import Reward, RewardContext, Scores, not_a, not_finite, settle
from medrl.types import Group, Part, Score
from medrl.verifiers.protocol import Verifier

OPEN = 0.5  # a gate is open from this value on


@dataclass(frozen=True)
class Gate(Reward):
    """`then` where the gate is open (0.5 or more), `otherwise` where it is closed.

    Nobody judges a rollout behind a closed gate. A gate without a number leaves the rollout without one. `then` sees
    only the rollouts that passed, so a reward that compares a group's rollouts compares those.
    """

    type_name: ClassVar[str] = "gate"

    gate: Reward
    """What opens: mostly a format. Where it verifies, part of the answer, such as half a list, opens nothing."""
    then: Reward
    """The reward behind the gate."""
    otherwise: float = 0.0
    """Value of a rollout behind a closed gate."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `gate`."""

    def __post_init__(self) -> None:
        settle(self, "gate", not_a(Reward, gate=self.gate, then=self.then) + not_finite(otherwise=self.otherwise))

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return await behind(self.gate, self.then, groups, context, self._closed, lambda score: score)

    def bounds(self) -> tuple[float, float]:
        low, high = self.then.bounds()
        return min(low, self.otherwise), max(high, self.otherwise)

    def _closed(self, opened: Score) -> Score:
        reason = f"{self.gate.name} closed the gate"
        return Score(float(self.otherwise), parts=self.then.unjudged(f"{reason} ({opened.reason})", 0.0), reason=reason)


@dataclass(frozen=True)
class Levels(Reward):
    """One of three values: right, wrong, malformed. Malformed responses are not judged."""

    type_name: ClassVar[str] = "levels"

    correct: Reward
    """What says whether the answer is right, mostly `verified`. Where it has no number, neither has the rollout."""
    format: Reward | None = None
    """What says whether the response is well formed; without it every response is judged."""
    right: float = 1.0
    """Value of a right answer."""
    wrong: float = 0.1
    """Value of a wrong answer in the right format; 0.0 to 0.1."""
    malformed: float = 0.0
    """Value of a malformed response; 0.0, or -1.0 to punish it."""
    threshold: float = 0.5
    """An answer is right from this value of `correct` on, but for a part of it, such as half a list (`Verdict.partial`).
    HuatuoGPT-o1's code takes 0.4 of its classifier."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `levels`."""

    def __post_init__(self) -> None:
        faults = not_a(Reward, correct=self.correct)
        faults += not_a(Reward, format=self.format) if self.format is not None else []
        values = not_finite(right=self.right, wrong=self.wrong, malformed=self.malformed)
        if not values and not self.right >= self.wrong >= self.malformed:
            values.append(
                f"`right` {self.right}, `wrong` {self.wrong} and `malformed` {self.malformed} go up where they must go "
                "down; the policy would be paid for a worse response"
            )
        settle(self, "levels", faults + values + not_finite(threshold=self.threshold))

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        if self.format is None:
            return [[self._level(score) for score in row] for row in await self.correct.score(groups, context)]
        return await behind(self.format, self.correct, groups, context, self._malformed, self._level)

    def bounds(self) -> tuple[float, float]:
        return self.wrong if self.format is None else self.malformed, self.right

    def _level(self, judged: Score) -> Score:
        if judged.value is None:
            return judged
        value = self.right if self.correct.says_right(judged, self.threshold) else self.wrong
        return Score(float(value), parts=judged.parts, reason=judged.reason)

    def _malformed(self, opened: Score) -> Score:
        parts = self.correct.unjudged(f"malformed, {opened.reason}", 0.0)
        parts[self.correct.name] = Part(0.0, reason=parts[self.correct.name].reason)
        return Score(float(self.malformed), parts=parts, reason=f"malformed: {opened.reason}")


async def behind(
    gate: Reward,
    then: Reward,
    groups: Sequence[Group],
    context: RewardContext,
    closed: Callable[[Score], Score],
    opened: Callable[[Score], Score],
) -> Scores:
    """Score `gate`, then `then` on the rollouts that it lets through; each score has the parts of both."""
    gated = await gate.score(groups, context)
    through = [[gate.says_right(score, OPEN) for score in row] for row in gated]
    judged = await some(then, groups, through, context)

    def one(at_gate: Score, behind_it: Score | None) -> Score:
        if behind_it is not None:
            score = opened(behind_it)
        elif at_gate.value is not None:
            score = closed(at_gate)
        else:
            score = replace(at_gate, parts=then.unjudged(f"{gate.name} has no number", None))
        return replace(score, parts={**at_gate.parts, **score.parts})

    return [[one(score, judged.get((g, r))) for r, score in enumerate(row)] for g, row in enumerate(gated)]


def gated(gate: Reward | str, then: Reward | Verifier, otherwise: float = 0.0) -> Gate:
    """`Gate`, with a format by its preset's name and a verifier as it is: `gated("o1", then=verifier)`."""
    return Gate(Format(gate) if isinstance(gate, str) else gate, _judge(then), otherwise)


def levels(
    correct: Reward | Verifier,
    format: Reward | str | None = "o1",
    right: float = 1.0,
    wrong: float = 0.1,
    malformed: float = 0.0,
    threshold: float = 0.5,
    otherwise: float | None = None,
) -> Levels:
    """`Levels`, with a format by its preset's name and a verifier as it is: `levels(verifier, "o1", otherwise=0.0)`."""
    form = Format(format) if isinstance(format, str) else format
    return Levels(_judge(correct, otherwise), form, right, wrong, malformed, threshold)


def _judge(reward: Reward | Verifier, otherwise: float | None = None) -> Reward:
    return Verified(reward, otherwise=otherwise) if isinstance(reward, Verifier) else reward
