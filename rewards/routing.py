"""Nodes that choose who judges a response: the first that decides, or the one that its problem calls for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from medrl.errors import did_you_mean
from medrl.rewards.combining import as_tuple, widest
from medrl.rewards.signals import left_by, paid_unjudged
from medrl.rewards.tree import Reward, RewardContext, Scores, not_a, settle, together
from medrl.types import KINDS, Group, Part, Problem, Score

OnFailure = Literal["mask", "next"]


@dataclass(frozen=True)
class FirstDecided(Reward):
    """The value of the first part that has one. A part is asked only about what those before it left open.

    An abstention goes to the next part. A failure (error, timeout, invalid) does so only where `on_failure` says it: a
    later part is mostly the laxer one, and what brings a judge down must not choose who judges.
    """

    type_name: ClassVar[str] = "first_decided"

    parts: tuple[Reward, ...]
    """Who is asked, in this order: cheap and sure ones first. The last should always decide."""
    on_failure: OnFailure = "mask"
    """What a failure of a part does: `mask` leaves the rollout without a number; `next` asks the next part, for a second
    judge of the same strictness that stands in when the first is down."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `first_decided`."""

    def __post_init__(self) -> None:
        faults = as_tuple(self, "parts", "rewards")
        if not faults:
            faults += not_a(Reward, **{f"parts[{i}]": part for i, part in enumerate(self.parts)})
            faults += [] if self.parts else ["`parts` is empty; give at least one reward"]
        if self.on_failure not in get_args(OnFailure):
            faults.append(
                f"`on_failure` is {self.on_failure!r}{did_you_mean(str(self.on_failure), get_args(OnFailure))}"
            )
        settle(self, "first_decided", faults)

    def bounds(self) -> tuple[float, float]:
        return widest(self.parts)

    def own_faults(self) -> list[str]:
        found = []
        for place, part in enumerate(self.parts[:-1]):
            payers = [one for one in self._asked_after(place) if not one.is_judged() and one.bounds()[1] > 0]
            if payers and (verifier := left_by(part)):
                found.append(paid_unjudged(verifier, payers))
        return found

    def _asked_after(self, place: int) -> Iterator[Reward]:
        """The parts that are asked about what the part at this place leaves open, up to the first that decides."""
        for part in self.parts[place + 1 :]:
            yield part
            if not part.may_abstain():
                return

    def is_judged(self) -> bool:
        return all(part.is_judged() for part in self.parts)

    def in_part(self, parts: Mapping[str, Part]) -> bool:
        decided = (part for part in self.parts if (own := parts.get(part.name)) and own.value is not None)
        return (chosen := next(decided, None)) is not None and chosen.in_part(parts)

    def may_abstain(self) -> bool:
        return all(part.may_abstain() for part in self.parts)

    def excuses(self, place: str) -> bool:
        return place != f"parts[{len(self.parts) - 1}]"

    @property
    def verifies(self) -> bool:
        return all(part.verifies for part in self.parts)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        found: list[list[Score | None]] = [[None] * len(group) for group in groups]
        for part in self.parts:
            still = [[self._open(score) for score in row] for row in found]
            for (g, r), score in (await some(part, groups, still, context)).items():
                found[g][r] = _after(self.name, found[g][r], _as_part(self, part, score))
        return [[score for score in row if score is not None] for row in found]

    def _open(self, score: Score | None) -> bool:
        if score is None:
            return True
        return score.value is None and (score.status == "abstain" or self.on_failure == "next")


def _as_part(node: Reward, chosen: Reward, score: Score) -> Score:
    """The score of the chosen part as that of the node that chose it, the verdict included."""
    part = Part(score.value, score.status, score.parts[chosen.name].verdict, score.reason)
    return replace(score, parts={node.name: part, **score.parts})


def _after(name: str, before: Score | None, score: Score) -> Score:
    """`score` of the node `name` with the parts of the one before; a failure stays told where the later only abstained."""
    if before is None:
        return score
    told = before if score.status == "abstain" and before.status != "abstain" else score
    return replace(told, parts={**before.parts, **score.parts, name: told.parts[name]})


@dataclass(frozen=True)
class Where(Reward):
    """`then` for the problems that match, `otherwise` for all others. It looks at the problem, never at the response."""

    type_name: ClassVar[str] = "where"

    problem: Mapping[str, Any]
    """What must hold: `kind`, `language`, `id` or `metadata.NAME`, each with a value or a list of values."""
    then: Reward
    """The reward of a problem that matches."""
    otherwise: Reward | None = None
    """The reward of all other problems; empty: this node abstains for them."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `where`."""

    def __post_init__(self) -> None:
        faults = not_a(Reward, then=self.then)
        faults += not_a(Reward, otherwise=self.otherwise) if self.otherwise is not None else []
        settle(self, "where", faults + self._condition_faults())

    def _condition_faults(self) -> list[str]:
        if not isinstance(self.problem, Mapping) or not self.problem:
            return [f"`problem` is {self.problem!r:.80}; write what must hold, for example {{kind: choice}}"]
        known = ("id", "kind", "language")
        faults = [
            f"`problem` has {name!r}; it can ask for {', '.join(known)} or metadata.NAME"
            f"{did_you_mean(str(name), known)}"
            for name in self.problem
            if name not in known and not (str(name).startswith("metadata.") and len(str(name)) > len("metadata."))
        ]
        faults += [
            f"`problem` asks for the id {one!r}; an id is text"
            for one in _values(self.problem.get("id", []))
            if not isinstance(one, str)
        ]
        unknown = [kind for kind in _values(self.problem.get("kind", [])) if kind not in KINDS]
        return faults + [f"`problem` asks for the kind {one!r}{did_you_mean(str(one), KINDS)}" for one in unknown]

    def open_faults(self) -> list[str]:
        if self.otherwise is not None:
            return []
        return [
            "nothing says what a problem that does not match is worth; give `otherwise`, or put it in first_decided"
        ]

    def bounds(self) -> tuple[float, float]:
        return widest([part for part in (self.then, self.otherwise) if part is not None])

    def may_abstain(self) -> bool:
        return self.otherwise is None or super().may_abstain()

    def lifts(self, place: str) -> bool:
        return False  # what the problem decides, no response can choose

    def matches(self, problem: Problem) -> bool:
        """Whether every condition holds; a problem without the metadata does not match."""
        for name, wanted in self.problem.items():
            place, _, key = name.partition(".")
            if place == "metadata" and key not in problem.metadata:
                return False
            found = problem.metadata[key] if place == "metadata" else getattr(problem, name)
            if found not in _values(wanted):
                return False
        return True

    def is_judged(self) -> bool:
        return self.then.is_judged() and (self.otherwise is None or self.otherwise.is_judged())

    @property
    def verifies(self) -> bool:
        return self.then.verifies and (self.otherwise is None or self.otherwise.verifies)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        ours = [[self.matches(group.problem)] * len(group) for group in groups]
        theirs = [[not one for one in row] for row in ours]
        sides = [(self.then, ours)] + ([(self.otherwise, theirs)] if self.otherwise is not None else [])
        scored = await together([some(part, groups, rows, context) for part, rows in sides])
        found = {
            place: _as_part(self, part, score)
            for (part, _), side in zip(sides, scored, strict=True)
            for place, score in side.items()
        }
        silent = Score(None, "abstain", reason=f"{self.name}: the problem does not match, and there is no otherwise")
        return [[found.get((g, r), silent) for r in range(len(group))] for g, group in enumerate(groups)]


def _values(wanted: Any) -> Sequence[Any]:
    """A value, or a list of values, as a list."""
    return wanted if isinstance(wanted, list | tuple) else (wanted,)


async def some(
    reward: Reward, groups: Sequence[Group], wanted: Sequence[Sequence[bool]], context: RewardContext
) -> dict[tuple[int, int], Score]:
    """The scores of the wanted rollouts by (group, rollout); nothing is asked about the others, nor about empty groups."""
    places = [[r for r, one in enumerate(row) if one] for row in wanted]
    asked = [
        (g, replace(group, rollouts=tuple(group.rollouts[r] for r in rows)))
        for g, (group, rows) in enumerate(zip(groups, places, strict=True))
        if rows
    ]
    scores = await reward.score([group for _, group in asked], context) if asked else []
    return {
        (g, r): score
        for (g, _), row in zip(asked, scores, strict=True)
        for r, score in zip(places[g], row, strict=True)
    }
