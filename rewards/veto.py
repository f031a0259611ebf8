"""A veto: where a guard tells danger the value is the floor, whatever the rest of the tree would add.

A leaf tells danger by a value below 0 (`Reward.tells_danger`). In a weighted sum such a value is one summand among
others, and a bonus can outweigh it; behind a veto nothing can. So a veto belongs at the root: `offset_dangers` finds
vetoes and dangers that something above them may lift, and `Reward.faults` reports them.

A guard is held to a short list of nodes, `guard_faults`: leaves that tell danger and what hands on their danger. Every other
node may be 0 or more where a leaf below it tells danger (a clip, a sum, a vote), and then danger would be paid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from medrl.rewards.combining import Minimum
from medrl.rewards.remote import Remote
from medrl.rewards.routing import Where
from medrl.rewards.safety.triage import Triage
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
    `harmful_request`, the `min` of several, or `where` with a guard for either kind of problem."""
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

    def bounds(self) -> tuple[float, float]:
        return self.floor, max(self.floor, self.then.bounds()[1])

    def own_faults(self) -> list[str]:
        return guard_faults(self.unless)

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


WAYS_OUT = (
    "guard with acuity, medication, harmful_request or another leaf that tells danger (`tells_danger`), with triage or a "
    "veto, with the min of several such (missing: mask), or with where that has one for either kind of problem"
)


def guard_faults(guard: Reward, place: str = "unless") -> list[str]:
    """Why a guard, given by its place below the veto, may be 0 or more where a leaf in it tells danger, or never below 0."""
    its = f"its guard `{place}` ({guard.name!r})"
    if isinstance(guard, Remote):
        if guard.dangers == "told":
            return []
        return [
            f"{its} runs elsewhere, and nothing is known of what its values below 0 mean; put the guard itself here, or "
            "write `dangers: told` if the remote tree is below 0 exactly where there is danger"
        ]
    if guard.tells_danger:
        return []
    if isinstance(guard, Veto):
        low = (
            [] if guard.floor < 0 else [f"{its} has the floor 0, which vetoes nothing here; give it a `floor` below 0"]
        )
        return low  # its own guard is its own matter
    if isinstance(guard, Triage):
        return guard_faults(guard.acuity, f"{place}.acuity")
    if isinstance(guard, Where):
        if guard.otherwise is None:
            return [f"{its} has no `otherwise`, so other problems have no guard; {WAYS_OUT}"]
        return guard_faults(guard.then, f"{place}.then") + guard_faults(guard.otherwise, f"{place}.otherwise")
    if isinstance(guard, Minimum):
        lax = guard.missing == "renormalise"
        found = [f"{its} leaves out a part that has no number; write `missing: mask`"] if lax else []
        return found + [
            fault for i, part in enumerate(guard.parts) for fault in guard_faults(part, f"{place}.parts[{i}]")
        ]
    below = [node.name for node in guard.walk() if node.tells_danger]
    if below:
        return [f"{its}, a {guard.kind()}, need not be below 0 where {below[0]!r} tells danger; {WAYS_OUT}"]
    return [f"{its}, a {guard.kind()}, is never below 0 for danger's sake, so nothing is vetoed; {WAYS_OUT}"]


def guarded_kinds(guard: Reward) -> frozenset[str]:
    """The kinds of leaves (`Reward.kind`) whose danger makes this guard fire on every problem."""
    if isinstance(guard, Veto):
        return guarded_kinds(guard.unless) if guard.floor < 0 else frozenset()
    if isinstance(guard, Triage):
        return guarded_kinds(guard.acuity)
    if isinstance(guard, Where):
        both = [guard.then, *([guard.otherwise] if guard.otherwise is not None else [])]
        return frozenset.intersection(*map(guarded_kinds, both)) if len(both) == 2 else frozenset()
    if isinstance(guard, Minimum):
        return frozenset().union(*map(guarded_kinds, guard.parts)) if guard.missing != "renormalise" else frozenset()
    return frozenset({guard.kind()}) if guard.tells_danger else frozenset()


def offset_dangers(tree: Reward, path: str = "reward") -> list[str]:
    """A fault for each veto that something above it may lift, and for each danger that other rewards may outweigh."""
    return _offset(tree, path, "", frozenset())


def _offset(node: Reward, path: str, lifter: str, guarded: frozenset[str]) -> list[str]:
    faults = []
    if lifter and isinstance(node, Veto):
        faults.append(
            f"{path}: {lifter} may lift what this vetoes; make the veto the root of the tree and put the rest into its "
            "`then`"
        )
    if lifter and isinstance(node, Remote) and node.dangers != "none":
        faults.append(
            f"{path}: {lifter} may lift what {node.name!r} vetoes elsewhere, of which nothing is known here; write "
            "`dangers: none` if no value of the remote tree tells danger, else let it be the whole tree or a guard"
        )
    if lifter and node.tells_danger and node.kind() not in guarded:
        faults.append(
            f"{path}: {lifter} may outweigh the danger that {node.name!r} tells; make the root {{type: veto, unless: "
            f"{{type: {node.kind()}, name: guard}}, then: ...}} and put the tree into its `then`"
        )
    for place, child in node.children():
        if isinstance(node, Veto) and place == "unless":
            faults += _offset(child, f"{path}.{place}", "", frozenset(one.kind() for one in child.walk()))
            continue
        if isinstance(node, Veto) and not lifter:
            guarded |= guarded_kinds(node.unless)
        above = lifter or (f"{node.name!r} ({path})" if node.lifts(place) else "")
        faults += _offset(child, f"{path}.{place}", above, guarded)
    return faults
