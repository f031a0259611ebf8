"""Nodes that make one number of several parts: sum, product, smallest, largest, vote.

What they share is the law of missing numbers, knob `missing`. A part that *abstained* may be left out where the recipe
says so (`renormalise`); a part that *failed* (error, timeout, invalid) always takes the rollout's number with it, since
leaving it out would pay the policy for bringing its judge down.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from medrl.errors import RewardFailed, did_you_mean
from medrl.rewards.signals import left_by, paid_unjudged
from medrl.rewards.tree import (
    Reward,
    RewardContext,
    Scores,
    failure,
    not_a,
    not_finite,
    number,
    one_number,
    settle,
    times,
    together,
)
from medrl.types import Group, Part, Score

Missing = Literal["mask", "renormalise", "raise"]
MISSING: tuple[str, ...] = get_args(Missing)
GRAVITY = ("error", "timeout", "invalid", "abstain")  # which status is reported when several parts have no number
Counted: TypeAlias = Sequence[tuple[int, Score]]  # scores that have a value, with the place of their part


class Combination(Reward):
    """A node whose value is computed from those of its parts, which are scored at the same time.

    A subclass is a frozen dataclass with the fields `parts`, `missing` and `name`; it writes `combine`, and calls
    `parts_faults` at the end of its making.
    """

    parts: tuple[Reward, ...]
    missing: Missing

    @abstractmethod
    def combine(self, kept: Counted, lost: Sequence[int]) -> Score:
        """The score of the parts that have a value, `kept`; those at the places `lost` abstained and are left out."""

    def counts(self, place: int) -> bool:
        """Whether the part at this place takes part in the value, and so may leave the rollout without one."""
        return True

    def parts_faults(self) -> list[str]:
        """What is wrong with `parts` and `missing`; makes a tuple of a list."""
        faults = as_tuple(self, "parts", "rewards")
        if not faults:
            faults += not_a(Reward, **{f"parts[{i}]": part for i, part in enumerate(self.parts)})
            faults += [] if self.parts else ["`parts` is empty; give at least one reward"]
        if self.missing not in MISSING:
            faults.append(f"`missing` is {self.missing!r}{did_you_mean(str(self.missing), MISSING)}")
        return faults

    def excuses(self, place: str) -> bool:
        this = next(i for i in range(len(self.parts)) if place == f"parts[{i}]")
        others = [part for i, part in enumerate(self.parts) if i != this and self.counts(i)]
        left_out = self.missing == "renormalise" and any(not part.undecided() for part in others)
        return left_out or not self.counts(this)

    def own_faults(self) -> list[str]:
        if self.missing != "renormalise":
            return []
        found = []
        for place, part in enumerate(self.parts):
            others = [one for i, one in enumerate(self.parts) if i != place and self.counts(i)]
            verifier = left_by(part) if self.counts(place) and self.excuses(f"parts[{place}]") else ""
            if verifier and not any(one.is_judged() for one in others):
                found.append(paid_unjudged(verifier, others))
        return found

    def in_part(self, parts: Mapping[str, Part]) -> bool:
        return any(part.in_part(parts) for i, part in enumerate(self.parts) if self.counts(i))

    def is_judged(self) -> bool:
        return any(part.is_judged() for i, part in enumerate(self.parts) if self.counts(i))

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        columns = await together([part.score(groups, context) for part in self.parts])
        return [
            [self._one([column[g][r] for column in columns], group, r) for r in range(len(group))]
            for g, group in enumerate(groups)
        ]

    def _one(self, scores: Sequence[Score], group: Group, index: int) -> Score:
        parts = {
            name: part if self.counts(i) else replace(part, confidence=1.0)  # what is only watched weighs nothing
            for i, score in enumerate(scores)
            for name, part in score.parts.items()
        }
        counted = [(i, score) for i, score in enumerate(scores) if self.counts(i)]
        lost = [(i, score) for i, score in counted if score.value is None]
        if lost and self.missing == "raise":
            i, score = lost[0]
            raise RewardFailed(
                f"reward {self.parts[i].name!r} has no number for rollout {index} of problem {group.problem.id!r} "
                f"({score.status}: {score.reason}); mend it, or set missing: mask in {self.name!r}"
            )
        broken = any(score.status != "abstain" for _, score in lost)
        if lost and (self.missing == "mask" or broken or len(lost) == len(counted)):
            worst = min((score for _, score in lost), key=lambda score: GRAVITY.index(score.status))
            return Score(None, worst.status, parts, worst.reason)
        kept = [(i, score) for i, score in counted if score.value is not None]
        try:
            made = self.combine(kept, [i for i, _ in lost])
        except (ArithmeticError, TypeError, ValueError) as error:  # becomes the status of this rollout alone
            made = failure(self.name, error)
        names = ", ".join(self.parts[i].name for i, _ in lost)
        without = f"without {names}: {lost[0][1].reason}" if lost else ""
        reason = "; ".join(filter(None, (made.reason, without)))
        return Score(made.value, made.status, parts, reason, made.token_values)


def as_tuple(node: Reward, knob: str, of: str) -> list[str]:
    """Makes a tuple of the list that a knob holds; a fault where it holds neither."""
    value: Any = getattr(node, knob)
    if isinstance(value, list):
        object.__setattr__(node, knob, tuple(value))
    return [] if isinstance(value, list | tuple) else [f"`{knob}` is {value!r:.80}; it must be a list of {of}"]


@dataclass(frozen=True)
class WeightedSum(Combination):
    """Sum of weight times value over the parts."""

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
        faults = self.parts_faults() + as_tuple(self, "weights", "numbers")
        if isinstance(self.weights, tuple):
            faults += not_finite(**{f"weights[{i}]": weight for i, weight in enumerate(self.weights)})
            if isinstance(self.parts, tuple) and len(self.parts) != len(self.weights):
                faults.append(
                    f"it has {len(self.parts)} parts and {len(self.weights)} weights; give each part its weight"
                )
        settle(self, "sum", faults)

    def own_faults(self) -> list[str]:
        if not any(self.weights):
            return ["no part has a weight other than 0, so every reward would be 0"]
        faults = super().own_faults()
        pay = (
            [part.name for i, part in enumerate(self.parts) if self._spared(i)] if self.missing == "renormalise" else []
        )
        if pay:
            told = f"with `missing: renormalise` a penalty that abstains would pay ({', '.join(map(repr, pay))})"
            faults.append(f"{told}; set missing: mask")
        weighed = [(part.kind(), weight) for part, weight in zip(self.parts, self.weights, strict=True)]
        sure = sum(weight for kind, weight in weighed if kind == "confidence")
        right = sum(weight for kind, weight in weighed if kind == "verified")
        if sure >= right > 0:
            faults.append(
                f"`confidence` weighs {sure:g} and `verified` {right:g}, so that a wrong answer that says how unsure it is "
                "can earn as much as a right one; give `confidence` less weight"
            )
        return faults

    def _spared(self, place: int) -> bool:
        """Whether this part can only take away, and may abstain: then its weight would go to what pays."""
        weight, part = self.weights[place], self.parts[place]
        return weight < 0 or (weight > 0 and part.bounds()[1] <= 0 and part.may_abstain())

    def bounds(self) -> tuple[float, float]:
        ends = [
            sorted(times(weight, bound) for bound in part.bounds())
            for part, weight in zip(self.parts, self.weights, strict=True)
            if weight
        ]
        if self.missing != "renormalise":
            return sum(low for low, _ in ends), sum(high for _, high in ends)
        total = sum(map(abs, self.weights))  # one part alone may have the weight of all
        each = [
            [end * (total / abs(w)) for end in pair] for pair, w in zip(ends, filter(None, self.weights), strict=True)
        ]
        return min((low for low, _ in each), default=0.0), max((high for _, high in each), default=0.0)

    def counts(self, place: int) -> bool:
        return self.weights[place] != 0

    def lifts(self, place: str) -> bool:
        counted = {f"parts[{i}]": weight for i, weight in enumerate(self.weights) if weight}
        return not (list(counted) == [place] and counted[place] > 0)

    def combine(self, kept: Counted, lost: Sequence[int]) -> Score:
        total = sum(abs(self.weights[i]) for i, _ in kept)
        scale = (total + sum(abs(self.weights[i]) for i in lost)) / total if lost else 1.0
        weighted = [(scale * self.weights[i], score) for i, score in kept]
        value = sum(
            weight * score.value for weight, score in weighted if score.value is not None
        )  # all of them have one
        return number(value, self.name, token_values=_summed_tokens(weighted))


def widest(parts: Sequence[Reward]) -> tuple[float, float]:
    """The least and the most that any of the parts may be worth."""
    ends = [part.bounds() for part in parts]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _summed_tokens(weighted: Sequence[tuple[float, Score]]) -> tuple[float, ...] | None:
    rows = [[w * value for value in score.token_values] for w, score in weighted if score.token_values is not None]
    return tuple(map(math.fsum, zip(*rows, strict=True))) if rows else None


@dataclass(frozen=True)
class Product(Combination):
    """Product of the parts: one that is 0 leaves nothing of the others. For parts from 0 to 1.

    A part below 0 would turn the sign of the others, so that two penalties made a reward; it is an error.
    """

    type_name: ClassVar[str] = "product"

    parts: tuple[Reward, ...]
    """The rewards to multiply, none below 0."""
    missing: Missing = "mask"
    """Where a part has no number: `mask` gives the rollout none; `renormalise` takes the others' geometric mean to the
    power of all parts where it abstained (so that leaving a part out is no gain), and masks where it failed; `raise`
    stops the run."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `product`."""

    def __post_init__(self) -> None:
        settle(self, "product", self.parts_faults())

    def bounds(self) -> tuple[float, float]:
        return 0.0, 0.0 if any(part.bounds()[1] <= 0 for part in self.parts) else math.inf

    def combine(self, kept: Counted, lost: Sequence[int]) -> Score:
        values = [one_number(score, self.name) for _, score in kept]
        if min(values) < 0:
            part = self.parts[kept[values.index(min(values))][0]].name
            raise ValueError(f"the part {part!r} is {min(values):g}; a product takes parts from 0 on, clip or add it")
        whole = math.prod(values)
        return number(whole if not lost else whole ** ((len(kept) + len(lost)) / len(kept)), self.name)


@dataclass(frozen=True)
class Minimum(Combination):
    """The smallest of the parts: a response is worth what its worst side is worth."""

    type_name: ClassVar[str] = "min"

    parts: tuple[Reward, ...]
    """The rewards to compare, on one scale."""
    missing: Missing = "mask"
    """Where a part has no number: `mask` gives the rollout none; `raise` stops the run. What is left out might be the
    smallest, so `renormalise` has no meaning here."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `min`."""

    def __post_init__(self) -> None:
        settle(self, "min", self.parts_faults())

    def own_faults(self) -> list[str]:
        unsafe = (
            "with `missing: renormalise` a part that abstains might be the smallest, so abstaining would pay; use mask"
        )
        return [unsafe] if self.missing == "renormalise" else []

    def bounds(self) -> tuple[float, float]:
        return widest(self.parts)[0], min(part.bounds()[1] for part in self.parts)

    def lifts(self, place: str) -> bool:
        return False

    def combine(self, kept: Counted, lost: Sequence[int]) -> Score:
        return _extreme(self, min, kept)


@dataclass(frozen=True)
class Maximum(Combination):
    """The largest of the parts: for several ways of being right. Each adds its own false accepts."""

    type_name: ClassVar[str] = "max"

    parts: tuple[Reward, ...]
    """The rewards to compare, on one scale."""
    missing: Missing = "mask"
    """Where a part has no number: `mask` gives the rollout none; `renormalise` compares the others where it abstained,
    and masks where it failed; `raise` stops the run."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `max`."""

    def __post_init__(self) -> None:
        settle(self, "max", self.parts_faults())

    def bounds(self) -> tuple[float, float]:
        return widest(self.parts)

    def in_part(self, parts: Mapping[str, Part]) -> bool:
        found = [(own.value, part) for part in self.parts if (own := parts.get(part.name)) and own.value is not None]
        most = max((value for value, _ in found), default=None)
        return bool(found) and all(part.in_part(parts) for value, part in found if value == most)

    def combine(self, kept: Counted, lost: Sequence[int]) -> Score:
        return _extreme(self, max, kept)


def _extreme(node: Combination, choose: Any, kept: Counted) -> Score:
    place, score = choose(kept, key=lambda one: one_number(one[1], node.name))
    return number(score.value, node.name, reason=f"{node.parts[place].name}: {score.reason}" if score.reason else "")


@dataclass(frozen=True)
class Vote(Combination):
    """1.0 where more than half of the parts say yes, 0.0 where more than half say no, no number where they are even.

    Judges of different families make different mistakes; three that agree are worth more than their mean.
    """

    type_name: ClassVar[str] = "vote"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    parts: tuple[Reward, ...]
    """The judges; an odd number of them cannot be even."""
    threshold: float = 0.5
    """A part says yes from this value on, but where the value is for a part of the answer, such as half a list."""
    quorum: int = 0
    """With `missing: renormalise`, how many parts must have voted; 0 for more than half of them."""
    missing: Missing = "mask"
    """Where a part has no number: `mask` gives the rollout none; `renormalise` counts the other votes where it abstained,
    and masks where it failed; `raise` stops the run."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `vote`."""

    def __post_init__(self) -> None:
        faults = self.parts_faults() + not_finite(threshold=self.threshold)
        if isinstance(self.parts, tuple) and not 0 <= self.quorum <= len(self.parts):
            faults.append(f"`quorum` is {self.quorum}; it must be from 0 to the number of parts, {len(self.parts)}")
        settle(self, "vote", faults)

    def may_abstain(self) -> bool:
        return len(self.parts) % 2 == 0 or super().may_abstain()

    def excuses(self, place: str) -> bool:
        return False  # one abstention less may make the votes even, or miss the quorum

    def in_part(self, parts: Mapping[str, Part]) -> bool:
        return False  # what is right in part only has voted no

    def open_faults(self) -> list[str]:
        even = f"it has {len(self.parts)} parts, so their votes may be even, which gives no number; make them odd"
        return [even] if len(self.parts) % 2 == 0 else []

    def combine(self, kept: Counted, lost: Sequence[int]) -> Score:
        large = [(i, score) for i, score in kept if one_number(score, self.name) >= self.threshold]
        yes = sum(not self.parts[i].in_part(score.parts) for i, score in large)
        said = f"{yes} of {len(kept)} say yes"
        if len(kept) < (self.quorum or len(self.parts) // 2 + 1):
            return Score(None, "abstain", reason=f"{self.name}: {said}, fewer votes than the quorum")
        if 2 * yes == len(kept):
            return Score(None, "abstain", reason=f"{self.name}: {said}, which is even")
        return Score(float(2 * yes > len(kept)), reason=said)


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
