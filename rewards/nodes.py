"""The inner nodes of a reward tree: a weighted sum, a gate, and the three levels of HuatuoGPT-o1.

`Levels` is the reward of HuatuoGPT-o1 (Chen et al. 2024, arXiv:2412.18925): 1.0 for a right answer, 0.1 for a wrong
one, 0.0 without think-then-answer. What differs: a judge that fails gives no number, never 0.1; malformed responses are
not judged at all; and the format is read by `Format`, which does more than count headers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from medrl.errors import RewardFailed, did_you_mean
from medrl.rewards.signals import Format, Verified
from medrl.rewards.tree import Reward, RewardContext, Scores, not_a, not_finite, number, settle, together
from medrl.types import Group, Part, Score
from medrl.verifiers.protocol import Verifier

Missing = Literal["mask", "renormalise", "raise"]
MISSING: tuple[str, ...] = get_args(Missing)
OPEN = 0.5  # a gate is open from this value on
GRAVITY = ("error", "timeout", "invalid", "abstain")  # which status a sum reports when several parts have no number


@dataclass(frozen=True)
class WeightedSum(Reward):
    """Sum of weight times value over the parts, which are scored at the same time."""

    type_name: ClassVar[str] = "weighted_sum"

    parts: tuple[Reward, ...]
    """The rewards to add."""
    weights: tuple[float, ...]
    """One per part; negative for a penalty, 0 to watch a part without paying for it (such a part never masks)."""
    missing: Missing = "mask"
    """Where a part has no number: `mask` gives the rollout none; `renormalise` rescales the other weights to the same
    total where the part abstained, and masks where it failed; `raise` stops the run."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `sum`."""

    def __post_init__(self) -> None:
        faults: list[str] = []
        for knob, wanted in (("parts", "rewards"), ("weights", "numbers")):
            if isinstance(getattr(self, knob), list):
                object.__setattr__(self, knob, tuple(getattr(self, knob)))
            if not isinstance(getattr(self, knob), tuple):
                faults.append(f"`{knob}` is {getattr(self, knob)!r:.80}; it must be a list of {wanted}")
        if not faults:
            faults += not_finite(**{f"weights[{i}]": weight for i, weight in enumerate(self.weights)})
            faults += not_a(Reward, **{f"parts[{i}]": part for i, part in enumerate(self.parts)})
            if len(self.parts) != len(self.weights):
                faults.append(
                    f"it has {len(self.parts)} parts and {len(self.weights)} weights; give each part its weight"
                )
        if self.missing not in MISSING:
            faults.append(f"`missing` is {self.missing!r}{did_you_mean(str(self.missing), MISSING)}")
        settle(self, "sum", faults)

    def own_faults(self) -> list[str]:
        return [] if any(self.weights) else ["no part has a weight other than 0, so every reward would be 0"]

    def lifts(self, place: str) -> bool:
        counted = {f"parts[{i}]": weight for i, weight in enumerate(self.weights) if weight}
        return not (list(counted) == [place] and counted[place] > 0)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        columns = await together([part.score(groups, context) for part in self.parts])
        return [
            [self._summed([column[g][r] for column in columns], group, r) for r in range(len(group))]
            for g, group in enumerate(groups)
        ]

    def _summed(self, scores: Sequence[Score], group: Group, index: int) -> Score:
        parts = {name: part for score in scores for name, part in score.parts.items()}
        counted = [(w, part, s) for w, part, s in zip(self.weights, self.parts, scores, strict=True) if w]
        lost = [(part, score) for _, part, score in counted if score.value is None]
        if lost and self.missing == "raise":
            part, score = lost[0]
            raise RewardFailed(
                f"reward {part.name!r} has no number for rollout {index} of problem {group.problem.id!r} "
                f"({score.status}: {score.reason}); mend it, or set missing: mask in {self.name!r}"
            )
        broken = any(score.status != "abstain" for _, score in lost)  # rescaling these would pay for crashing a judge
        if lost and (self.missing == "mask" or broken or len(lost) == len(counted)):
            worst = min((score for _, score in lost), key=lambda score: GRAVITY.index(score.status))
            return Score(None, worst.status, parts, worst.reason)
        kept = [(w, score) for w, _, score in counted if score.value is not None]
        scale = sum(abs(w) for w, _, _ in counted) / sum(abs(w) for w, _ in kept) if lost else 1.0
        tokens = _summed_tokens([(scale * w, score) for w, score in kept])
        reason = f"without {', '.join(part.name for part, _ in lost)}: {lost[0][1].reason}" if lost else ""
        value = sum(scale * w * (score.value or 0.0) for w, score in kept)
        return number(value, self.name, parts, reason=reason, token_values=tokens)


def _summed_tokens(weighted: Sequence[tuple[float, Score]]) -> tuple[float, ...] | None:
    rows = [[w * value for value in score.token_values] for w, score in weighted if score.token_values is not None]
    return tuple(map(math.fsum, zip(*rows, strict=True))) if rows else None


@dataclass(frozen=True)
class Gate(Reward):
    """`then` where the gate is open (0.5 or more), `otherwise` where it is closed.

    Nobody judges a rollout behind a closed gate. A gate without a number leaves the rollout without one. `then` sees
    only the rollouts that passed, so a reward that compares a group's rollouts compares those.
    """

    type_name: ClassVar[str] = "gate"

    gate: Reward
    """What opens: mostly a format."""
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
    """An answer is right from this value of `correct` on. HuatuoGPT-o1's code takes 0.4 of its classifier."""
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

    def _level(self, judged: Score) -> Score:
        if judged.value is None:
            return judged
        value = self.right if judged.value >= self.threshold else self.wrong
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
    through = [[score.value is not None and score.value >= OPEN for score in row] for row in gated]
    passed = [
        replace(group, rollouts=tuple(r for r, is_open in zip(group.rollouts, row, strict=True) if is_open))
        for group, row in zip(groups, through, strict=True)
    ]
    asked = [group for group in passed if group.rollouts]
    judged = iter([score for row in (await then.score(asked, context) if asked else []) for score in row])

    def one(at_gate: Score, is_open: bool) -> Score:
        if is_open:
            score = opened(next(judged))
        elif at_gate.value is not None:
            score = closed(at_gate)
        else:
            score = replace(at_gate, parts=then.unjudged(f"{gate.name} has no number", None))
        return replace(score, parts={**at_gate.parts, **score.parts})

    rows = zip(gated, through, strict=True)
    return [[one(*pair) for pair in zip(scores, opens, strict=True)] for scores, opens in rows]


def added(left: Reward, right: Reward) -> WeightedSum:
    """`left + right`, with plain sums on either side opened up: a + b + c has three parts."""
    terms = [term for side in (left, right) for term in _terms(side)]
    return WeightedSum(tuple(reward for reward, _ in terms), tuple(weight for _, weight in terms))


def weighted(reward: Reward, weight: float) -> WeightedSum:
    """`weight * reward`; the weights of a plain sum are multiplied."""
    terms = _terms(reward)
    return WeightedSum(tuple(one for one, _ in terms), tuple(weight * old for _, old in terms))


def _terms(reward: Reward) -> list[tuple[Reward, float]]:
    plain = isinstance(reward, WeightedSum) and reward.missing == "mask" and reward.name == "sum"
    if plain and isinstance(reward, WeightedSum):
        return list(zip(reward.parts, reward.weights, strict=True))
    return [(reward, 1.0)]


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
