"""In which order problems (or demonstrations) come: shuffled epochs, or HuatuoGPT-II's priority schedule.

Both are deterministic and resume exactly: `state_dict()` says where they stand, and `load_state_dict` refuses a state
that was made for other items. Items only need an `id`.
"""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from medrl.errors import CheckpointError, DataError


class HasId(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=HasId)


def fingerprint(items: Sequence[HasId]) -> str:
    """A hash of the ids in their order."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{len(item.id)}:{item.id}".encode())
    return digest.hexdigest()[:16]


def _draws(*key: object) -> random.Random:
    return random.Random(hashlib.sha256(repr(key).encode()).digest())


def _check(state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, value in expected.items():
        if state.get(name) != value:
            raise CheckpointError(
                f"the data order was saved with {name} {state.get(name)!r}, but this run has {value!r}; "
                "resume with the same data and seed, or start a new run"
            )


class ProblemSampler(Generic[Item]):
    """Endless epochs, each a shuffle that depends on seed and epoch alone."""

    def __init__(self, problems: Sequence[Item], seed: int = 0) -> None:
        if not problems:
            raise DataError("there are no problems to sample from; load or generate at least one")
        self._problems, self._seed = tuple(problems), seed
        self._fingerprint = fingerprint(self._problems)
        self.epoch = self.position = self.consumed = 0
        self._order = self._shuffled()

    def __len__(self) -> int:
        return len(self._problems)

    def next(self, count: int) -> list[Item]:
        """The next `count` items; an epoch ends in the middle of them where it must."""
        if count < 1:
            raise DataError(f"asked for {count} problems; ask for at least one")
        taken = []
        for _ in range(count):
            if self.position == len(self._order):
                self.epoch, self.position = self.epoch + 1, 0
                self._order = self._shuffled()
            taken.append(self._problems[self._order[self.position]])
            self.position += 1
        self.consumed += count
        return taken

    def state_dict(self) -> dict[str, Any]:
        return {
            "fingerprint": self._fingerprint,
            "seed": self._seed,
            "epoch": self.epoch,
            "position": self.position,
            "consumed": self.consumed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _check(state, {"fingerprint": self._fingerprint, "seed": self._seed})
        self.epoch, self.position, self.consumed = (int(state[name]) for name in ("epoch", "position", "consumed"))
        self._order = self._shuffled()

    def _shuffled(self) -> list[int]:
        order = list(range(len(self._problems)))
        _draws("epoch", self._seed, self.epoch).shuffle(order)
        return order


class PriorityMixture(Generic[Item]):
    """Every item once, those of sources with high priority mostly first (HuatuoGPT-II, arXiv 2311.09774).

    P_t(x) = pi(x) / sum of pi over the items not yet drawn, pi being the priority of the item's source. Drawn as one
    order with exponential races (Efraimidis and Spirakis 2006), which is the same distribution: item x comes at time
    E / pi(x), with E exponential of rate 1. The published priorities are web 32, literature 16, encyclopedia 8,
    books 4 and SFT 1, with three copies (epochs) of the SFT data.
    """

    def __init__(
        self,
        sources: Mapping[str, Sequence[Item]],
        priorities: Mapping[str, float],
        *,
        epochs: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        """Mix the sources.

        Args:
            sources: Items by the name of their source.
            priorities: Weight of each source, above 0; only ratios matter, typically powers of two.
            epochs: Copies of each source's items, 1 where not named.
            seed: Another seed gives another order.
        """
        epochs = epochs or {}
        for name in {*sources, *priorities, *epochs}:
            if name not in sources or name not in priorities:
                raise DataError(f"source {name!r} needs both items and a priority; give the two the same names")
            if not (math.isfinite(priorities[name]) and priorities[name] > 0) or epochs.get(name, 1) < 1:
                raise DataError(
                    f"source {name!r} has priority {priorities[name]} and {epochs.get(name, 1)} epochs; "
                    "both must be above 0"
                )
        self._seed, self._items = seed, []
        rng = _draws("priority", seed)
        for name in sorted(sources):
            for copy in range(epochs.get(name, 1)):
                for item in sources[name]:
                    # 1 - random() lies in (0, 1], so the logarithm is finite.
                    time = -math.log(1.0 - rng.random()) / priorities[name]
                    self._items.append((time, name, copy, item))
        if not self._items:
            raise DataError("the sources hold no items; give at least one")
        self._items.sort(key=lambda entry: entry[0])
        self._fingerprint = fingerprint([entry[3] for entry in self._items])
        self.consumed = 0

    def __len__(self) -> int:
        return len(self._items)

    def next(self, count: int) -> list[Item]:
        """The next `count` items, fewer at the end, none when all are drawn."""
        if count < 1:
            raise DataError(f"asked for {count} items; ask for at least one")
        taken = [entry[3] for entry in self._items[self.consumed : self.consumed + count]]
        self.consumed += len(taken)
        return taken

    def sources(self) -> list[str]:
        """The source of every item in the order of drawing."""
        return [entry[1] for entry in self._items]

    def state_dict(self) -> dict[str, Any]:
        return {"fingerprint": self._fingerprint, "seed": self._seed, "consumed": self.consumed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _check(state, {"fingerprint": self._fingerprint, "seed": self._seed})
        self.consumed = int(state["consumed"])
