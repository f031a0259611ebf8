"""A veto: where a guard tells danger the value is the floor, whatever the rest of the tree would add.

A leaf tells danger by a value below 0 (`Reward.tells_danger`). In a weighted sum such a value is one summand among
others, and a bonus can outweigh it; behind a veto nothing can. So a veto belongs at the root: `offset_dangers` finds
vetoes and dangers that something above them may lift, and `Reward.faults` reports them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from medrl.rewards.signals import Format, Verified
from medrl.rewards.tree import Reward, RewardContext, Scores, not_a, not_finite, settle, together
from medrl.types import Group, Part, Score


@dataclass(frozen=True)
class Veto(Reward):
    """The value of `then`, or `floor` where `unless` is below 0.

    Both are scored on every rollout, so that accuracy is measured on vetoed responses too. A guard without a number
    leaves the rollout without one: it is never let through. A guard that fires settles the value even where `then`, or
    another guard, failed. Nothing is worth less than the floor, else a veto would pay.
    """

    type_name: ClassVar[str] = "veto"

    unless: Reward
    """The guard: a reward that is below 0 where the response endangers somebody, such as `acuity`, `medication`,
    `harmful_request`, or the `min` of several."""
    then: Reward
    """The reward of responses that pass."""
    floor: float = -1.0
    """Value of a vetoed response, at most 0, and the least value of any response. Typical -1."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `veto`."""

    def __post_init__(self) -> None:
        faults = not_finite(floor=self.floor)
        if not faults and self.floor > 0:
            faults.append(f"`floor` is {self.floor}; a veto must not pay, so it is at most 0")
        settle(self, "veto", not_a(Reward, unless=self.unless, then=self.then) + faults)

    def lifts(self, place: str) -> bool:
        return False

    def own_faults(self) -> list[str]:
        if not isinstance(self.unless, Verified | Format):
            return []
        return [
            f"its guard `unless` ({self.unless.name!r}) is never below 0, so nothing is vetoed; use acuity, medication, "
            "harmful_request, or a reward of your own that is below 0 where there is danger"
        ]

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        guard, worth = await together([self.unless.score(groups, context), self.then.score(groups, context)])
        return [
            [self._one(*pair) for pair in zip(guards, rest, strict=True)]
            for guards, rest in zip(guard, worth, strict=True)
        ]

    def _one(self, guard: Score, worth: Score) -> Score:
        parts = {**worth.parts, **guard.parts}
        if guard.value is not None and guard.value < 0:
            return Score(float(self.floor), parts=parts, reason=f"vetoed by {self.unless.name}: {guard.reason}")
        if guard.value is None:
            return self._unsure(guard, parts)
        if worth.value is None or worth.value >= self.floor:
            return replace(worth, parts=parts)
        return Score(float(self.floor), parts=parts, reason=f"not below the floor: {worth.reason}")

    def _unsure(self, guard: Score, parts: Mapping[str, Part]) -> Score:
        """No number, but the floor where one of several guards tells danger, whatever became of the others."""
        for node in self.unless.walk():
            part = parts.get(node.name)
            if node.tells_danger and part is not None and part.value is not None and part.value < 0:
                return Score(float(self.floor), parts=parts, reason=f"vetoed by {node.name}: {part.reason}")
        return Score(None, guard.status, parts, f"{self.unless.name} has no number: {guard.reason}")


def offset_dangers(tree: Reward, path: str = "reward") -> list[str]:
    """A fault for each veto that something above it may lift, and for each danger that other rewards may outweigh."""
    return _offset(tree, path, "", frozenset())


def _offset(node: Reward, path: str, lifter: str, guarded: frozenset[type[Reward]]) -> list[str]:
    faults = []
    if lifter and isinstance(node, Veto):
        faults.append(
            f"{path}: {lifter} may lift what this vetoes; make the veto the root of the tree and put the rest into its "
            "`then`"
        )
    if lifter and node.tells_danger and type(node) not in guarded:
        faults.append(
            f"{path}: {lifter} may outweigh the danger that {node.name!r} tells; make the root {{type: veto, unless: "
            f"{{type: {node.kind()}, name: guard}}, then: ...}} and put the tree into its `then`"
        )
    for place, child in node.children():
        if isinstance(node, Veto) and place == "unless":
            faults += _offset(child, f"{path}.{place}", "", frozenset(type(one) for one in child.walk()))
            continue
        if isinstance(node, Veto) and not lifter:
            guarded |= {type(one) for one in node.unless.walk() if one.tells_danger}
        above = lifter or (f"{node.name!r} ({path})" if node.lifts(place) else "")
        faults += _offset(child, f"{path}.{place}", above, guarded)
    return faults
