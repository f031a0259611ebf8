"""What a reward is: a tree whose nodes give every rollout a number, or say why there is none.

`Reward.score` is the one way in. It guards each node (an exception in a node is an error of that node, never a crash
and never a 0), checks that one score came back per rollout, and sees to it that each `Score` holds a `Part` for every
node of the tree. A node itself only writes `assess`.
"""

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeVar

from medrl.errors import RecipeError, RewardFailed
from medrl.types import Group, Part, Score, ScoredGroup
from medrl.verifiers.cascade_counts import Counting
from medrl.verifiers.protocol import Verifier, run_sync

if TYPE_CHECKING:
    from medrl.rewards.combining import WeightedSum
    from medrl.rewards.gates import Gate

GROUP = "medrl.rewards"
Scores: TypeAlias = list[list[Score]]
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardContext:
    """What a tree may know beside the groups."""

    step: int = 0
    """Training step the groups belong to; 0 outside training."""
    state: dict[str, Any] = field(default_factory=dict)
    """Running state of the nodes, by node name; JSON-able, saved and restored with the run. Scoring only reads it, so that
    the groups of a step may be scored in any order; `Reward.learn` writes it when the step's scores are complete."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Filled while scoring: wall-clock seconds from question to answer under `reward/NAME` of each node, its children
    included, summed over calls. Groups are scored at the same time, so the sum may exceed the time that has passed."""


class Scorer(Protocol):
    """Whatever scores as a reward tree does: the tree itself, or actors that have it (`cluster/rewards.py`)."""

    async def score(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
        """See `Reward.score`."""
        ...

    def statistics(self) -> Mapping[str, Mapping[str, Any]]:
        """See `Reward.statistics`."""
        ...


class Reward(ABC):
    """A node of a reward tree. Concrete nodes are frozen dataclasses: their fields are their knobs.

    A field that holds a reward, or a tuple of rewards, makes those the children of the node. To write a node of your
    own, subclass, give it a `name` field and write `assess`; for a plain function see `@reward`.
    """

    name: str
    type_name: ClassVar[str] = ""  # what a recipe calls this class; empty: module:attribute
    gates: ClassVar[bool] = False  # whether `this * other` reads as a gate
    tells_danger: ClassVar[bool] = False  # whether a value below 0 says that the response endangers somebody
    compares: ClassVar[bool] = False  # whether a rollout's value depends on the others of its group
    stateful: ClassVar[bool] = False  # whether its values depend on `RewardContext.state`
    needs_step: ClassVar[bool] = False  # whether its values depend on `RewardContext.step`
    limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)  # least and most value, where the class alone tells

    @abstractmethod
    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        """One `Score` per rollout of each group, in order. Callers use `score`, which guards this.

        `Score.parts` needs the parts of the children (from their scores); the node's own part is added where missing.
        """

    async def score(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
        """What every rollout of every group is worth, in order.

        Raises:
            RewardFailed: Only where a node was told to raise (`missing="raise"`).
        """
        context = context if context is not None else RewardContext()
        began = perf_counter()
        try:
            scores = await self.assess(groups, context)
            self._check_shape(groups, scores)
        except RewardFailed:
            raise
        except Exception as error:  # becomes the status of these rollouts, which the trainer counts by name
            log.warning("reward %r failed on %d groups", self.name, len(groups), exc_info=True)
            failed = failure(self.name, error)
            scores = [[failed] * len(group) for group in groups]
        phase = f"reward/{self.name}"
        context.seconds[phase] = context.seconds.get(phase, 0.0) + perf_counter() - began
        below = [node.name for node in self.walk()][1:]
        return [[self._with_parts(score, below) for score in row] for row in scores]

    def score_sync(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
        """`score` for plain code; also works inside a running event loop."""
        return run_sync(self.score(groups, context))

    def learn(self, scored: Sequence[ScoredGroup], state: dict[str, Any]) -> None:
        """Update the running state of the tree with the complete scores of a training step, in the order of its problems.

        `state` is the `RewardContext.state` of the following steps. What one node keeps is written by `learn_from`.
        """
        for node in self.walk():
            kept = node.learn_from(scored, state.get(node.name))
            if kept is not None:
                state[node.name] = kept

    def learn_from(self, scored: Sequence[ScoredGroup], kept: Any) -> Any:
        """What this node, apart from its children, keeps after a step, given what it kept before (None at first).

        JSON data; None for a node that keeps nothing.
        """
        return None

    def _check_shape(self, groups: Sequence[Group], scores: Scores) -> None:
        wanted, got = [len(group) for group in groups], [len(row) for row in scores]
        if wanted != got:
            raise ValueError(f"it was given groups of {wanted} rollouts and returned {got} scores; one is due for each")
        every: list[Any] = [score for row in scores for score in row]
        for score in every:
            if not isinstance(score, Score):
                raise TypeError(f"it returned {score!r:.80}, which is not a Score")

    def _with_parts(self, score: Score, below: Sequence[str]) -> Score:
        parts = {self.name: Part(score.value, score.status, reason=score.reason)}
        silent = Part(None, "abstain", reason=f"not judged: {self.name!r} gave no part for it")
        return replace(score, parts={**parts, **dict.fromkeys(below, silent), **score.parts})

    def unjudged(self, reason: str, value: float | None) -> dict[str, Part]:
        """The parts of this subtree for a rollout that was not judged: no number, except what `unjudged_part` says."""
        return {node.name: node.unjudged_part(f"not judged: {reason}", value) for node in self.walk()}

    def unjudged_part(self, reason: str, value: float | None) -> Part:
        """`value` is 0.0 where the policy is to blame (malformed), None where the gate itself failed."""
        return Part(None, "abstain", reason=reason)

    # The tree

    @property
    def verifies(self) -> bool:
        """Whether its value says if the answer is right, and its part holds the verdict: what is called accuracy."""
        return False

    def says_right(self, score: Score, threshold: float = 0.5) -> bool:
        """Whether its score takes the answer for right: `threshold` or more, and not for a part of what was asked."""
        return score.value is not None and score.value >= threshold and not self.in_part(score.parts)

    def in_part(self, parts: Mapping[str, Part]) -> bool:
        """Whether a verdict on a part of what was asked (`Verdict.partial`) is among what its value is made of.

        Args:
            parts: Those of a score of this node, or of one above it.
        """
        verdict = parts[self.name].verdict if self.name in parts else None
        return bool(verdict and verdict.partial) or any(child.in_part(parts) for _, child in self.children())

    def children(self) -> list[tuple[str, "Reward"]]:
        """The nodes right below, each with its place (`then`, `parts[1]`)."""
        found: list[tuple[str, Reward]] = []
        for knob in knobs_of(self):
            value = getattr(self, knob.name)
            if isinstance(value, Reward):
                found.append((knob.name, value))
            elif isinstance(value, tuple):
                found += [(f"{knob.name}[{i}]", one) for i, one in enumerate(value) if isinstance(one, Reward)]
        return found

    def paths(self, path: str = "reward") -> Iterator[tuple[str, "Reward"]]:
        """Every node with its path, parents before children."""
        yield path, self
        for place, child in self.children():
            yield from child.paths(f"{path}.{place}")

    def walk(self) -> Iterator["Reward"]:
        """Every node, parents before children."""
        return (node for _, node in self.paths())

    def first(self, kind: type[T]) -> T | None:
        """The first node of a kind, parents before children, or None."""
        return next((node for node in self.walk() if isinstance(node, kind)), None)

    def verifiers(self) -> list[tuple[str, Verifier]]:
        """Every verifier that a node asks, with the name of the node."""
        knobs = [(node.name, getattr(node, knob.name)) for node in self.walk() for knob in knobs_of(node)]
        listed = [(name, one) for name, held in knobs for one in (held if isinstance(held, tuple) else (held,))]
        return [(name, one) for name, one in listed if isinstance(one, Verifier)]

    def statistics(self) -> dict[str, dict[str, Any]]:
        """What the verifiers of the tree counted in this process, by the name of the node that asks them.

        Only verifiers that count are there (`cascade`, isolated ones too); JSON data, see `Cascade.statistics`.
        """
        counted = {name: one.statistics() for name, one in self.verifiers() if isinstance(one, Counting)}
        return {name: found for name, found in counted.items() if found}

    def own_faults(self) -> list[str]:
        """Why this node, apart from its children, would mislead a training run."""
        return []

    def open_faults(self) -> list[str]:
        """Why this node, apart from its children, may leave a response undecided, which it needs a parent to settle."""
        return []

    def excuses(self, place: str) -> bool:
        """Whether the child at `place` may leave a response undecided, because this node has another answer then."""
        return False

    def is_judged(self) -> bool:
        """Whether a verifier has a say in all that it may be worth."""
        return any(child.is_judged() for _, child in self.children())

    def undecided(self, path: str = "reward") -> list[tuple[str, str]]:
        """Where and why the tree may abstain with nothing to say what the response is then worth."""
        found = [(path, fault) for fault in self.open_faults()]
        for place, child in self.children():
            found += [] if self.excuses(place) else child.undecided(f"{path}.{place}")
        return found

    def faults(self, path: str = "reward") -> list[str]:
        """Everything that is wrong with the tree, each fault with its path; empty for a sound tree."""
        from medrl.rewards.veto import offset_dangers

        found: list[str] = []
        taken: dict[str, str] = {}
        left_open = self.undecided(path)
        for place, node in self.paths(path):
            found += [f"{place}: {fault}" for fault in node.own_faults()]
            found += [f"{place}: {fault}" for where, fault in left_open if where == place]
            first = taken.setdefault(node.name, place) if node.name else place
            if first != place:
                found.append(f"{place}: the name {node.name!r} is taken by {first}; give one of the two another `name`")
        return found + offset_dangers(self, path)

    def lifts(self, place: str) -> bool:
        """Whether this node may be worth more than its lowest where its child at `place` is at its own lowest.

        A veto below such a node, or a danger without a veto above it, is a fault of the tree (`medrl.rewards.veto`). A
        node that hands on the order of its child's values may say False.
        """
        return True

    def bounds(self) -> tuple[float, float]:
        """The least and the most that this node may be worth; infinite where nobody can tell."""
        return self.limits

    def may_abstain(self) -> bool:
        """Whether it may leave a response without a number though nothing failed; True where nobody can tell."""
        below = [child.may_abstain() for _, child in self.children()]
        return any(below) if below else True

    def to_config(self) -> dict[str, Any]:
        """`{"type": ..., knob: value}` in plain lists, mappings and numbers; `rewards.build` reads it back."""
        kind = self.kind()
        if "<locals>" in kind:
            raise RecipeError(f"reward {self.name!r}", [f"{kind} is inside a function; move it to the top of a module"])
        return {"type": kind, **{knob.name: _plain(getattr(self, knob.name)) for knob in knobs_of(self)}}

    def kind(self) -> str:
        """What a recipe calls it: its registered name, else `module:attribute`."""
        return type(self).__dict__.get("type_name") or f"{type(self).__module__}:{type(self).__qualname__}"

    def describe(self) -> str:
        """The tree as indented text, one node per line."""
        return "\n".join(self._lines("", 0))

    def _lines(self, place: str, depth: int) -> Iterator[str]:
        inner = {where.partition("[")[0] for where, _ in self.children()} | {"name"}
        knobs = [f"{k.name} {shown(getattr(self, k.name))}" for k in knobs_of(self) if k.name not in inner]
        yield f"{'  ' * depth}{place}{': ' if place else ''}{self.name} ({', '.join([self.kind(), *knobs])})"
        for where, child in self.children():
            yield from child._lines(where, depth + 1)

    # Operators: 0.9 * Verified(v) + 0.1 * Format("o1") - Repetition(), Format("o1") * Verified(v)

    def __add__(self, other: object) -> "WeightedSum":
        from medrl.rewards.combining import added

        return added(self, other) if isinstance(other, Reward) else NotImplemented

    def __radd__(self, other: object) -> "Reward":
        return self if isinstance(other, int) and other == 0 else NotImplemented  # so that sum([...]) works

    def __sub__(self, other: object) -> "WeightedSum":
        from medrl.rewards.combining import added, weighted

        return added(self, weighted(other, -1.0)) if isinstance(other, Reward) else NotImplemented

    def __neg__(self) -> "WeightedSum":
        from medrl.rewards.combining import weighted

        return weighted(self, -1.0)

    def __mul__(self, other: object) -> "WeightedSum | Gate":
        from medrl.rewards.combining import weighted
        from medrl.rewards.gates import Gate

        if isinstance(other, Reward):
            if self.gates:
                return Gate(self, other)
            raise TypeError(
                f"{self.name!r} * {other.name!r}: only a format is a gate by itself; write Gate(gate, then)"
            )
        return weighted(self, other) if isinstance(other, int | float) else NotImplemented

    def __rmul__(self, other: object) -> "WeightedSum":
        from medrl.rewards.combining import weighted

        return weighted(self, other) if isinstance(other, int | float) else NotImplemented


def times(weight: float, bound: float) -> float:
    """A weight times a bound that may be infinite; 0 of infinity is 0."""
    return weight * bound if weight else 0.0


def number(value: float, name: str, parts: Mapping[str, Part] | None = None, **more: Any) -> Score:
    """A score of `value`; NaN and infinity are an error of the reward called `name`, not a crash and not a 0."""
    if math.isfinite(value):
        return Score(value, parts=parts or {}, **more)
    return Score(None, "error", parts or {}, f"{name}: invalid, {value} is not a finite number")


def one_number(score: Score, name: str) -> float:
    """The value of a score that has one, for a node that cannot say what its token values would become.

    Raises:
        TypeError: It has token values; only a weighted sum, a gate and `anneal` pass these on.
    """
    if score.token_values is not None:
        raise TypeError(f"{name!r} cannot pass on values of single tokens; put such a part under a weighted sum")
    assert score.value is not None
    return score.value


def failure(name: str, error: Exception) -> Score:
    """No number, because the reward called `name` raised `error`."""
    message = " ".join(str(error).split())
    reason = f"{name}: {type(error).__name__}: {message}"[:500]
    return Score(None, "timeout" if isinstance(error, TimeoutError) else "error", reason=reason)


def knobs_of(node: Any) -> list[Field[Any]]:
    """The fields of a node, or of its class, that a recipe may set."""
    return [one for one in fields(node) if one.init and one.metadata.get("knob", True)] if is_dataclass(node) else []


def default_name(base: str, node: Reward) -> str:
    """`base`, or `base_2`, `base_3`, ... where a node below has that name already."""
    taken = {below.name for below in node.walk()}
    return next(name for name in [base, *(f"{base}_{i}" for i in range(2, len(taken) + 3))] if name not in taken)


def settle(node: Reward, base: str, faults: Sequence[str]) -> None:
    """End of a node's `__post_init__`: its default name, and all its faults in one error."""
    name: Any = node.name
    if not isinstance(name, str):
        faults = [*faults, f"`name` is {name!r}; it must be text"]
    elif not name:
        object.__setattr__(node, "name", default_name(base, node))
    if faults:
        raise RecipeError(f"reward {name!r} ({type(node).__name__})", faults)


def not_finite(**knobs: Any) -> list[str]:
    """A fault for each knob that is no finite number."""
    return [
        f"`{name}` is {value!r}; it must be a finite number"
        for name, value in knobs.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    ]


def not_a(kind: type, **knobs: Any) -> list[str]:
    """A fault for each knob that is not a `kind`."""
    return [
        f"`{name}` is {value!r:.80}; give a {kind.__name__}"
        + ("; wrap it: Verified(verifier)" if isinstance(value, Verifier) else "")
        for name, value in knobs.items()
        if not isinstance(value, kind)
    ]


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; when one raises, the others are cancelled before it goes on."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()  # does nothing to a task that has ended


def _plain(value: Any) -> Any:
    if isinstance(value, Reward | Verifier):
        return value.to_config()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def shown(value: Any) -> str:
    """A knob as a person reads it."""
    return value.name if isinstance(value, Verifier) else str(list(value) if isinstance(value, tuple) else value)
