"""What an algorithm is: a frozen dataclass whose fields are its knobs and whose methods answer three questions.

Which groups train (`select`), what each token's advantage is (`advantages`), and what the loss is (`loss`). The learner
calls `loss` on micro-batches and adds the results up; so that the sum over micro-batches, ranks and accumulation equals
the loss of one big batch, every mean is taken with `Denominators` counted over the whole minibatch.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from medrl.algorithms.batch import Batch
from medrl.types import ScoredGroup


@dataclass(frozen=True)
class Outputs:
    """What a learner's forward pass gives for a micro-batch, each (B, T), 0 where there is nothing to say."""

    logprobs_BT: Tensor
    values_BT: Tensor | None = None
    entropy_BT: Tensor | None = None


@dataclass(frozen=True)
class Denominators:
    """What the means of a minibatch divide by, over all its micro-batches and ranks.

    Attributes:
        tokens: Trained tokens.
        sequences: Sequences that have any.
        computed: Trained tokens in the rows that the learner computes (see `Algorithm.gradient_rows`): what figures for
            the log are means over.
    """

    tokens: float
    sequences: float
    computed: float

    @classmethod
    def of(cls, batch: Batch, rows: Sequence[int] | None = None) -> "Denominators":
        """Counts of a minibatch of which only `rows` are computed; all of them when empty."""
        mask_BT = batch.loss_mask_BT
        computed = mask_BT if rows is None else mask_BT[list(rows)]
        return cls(float(mask_BT.sum()), float(mask_BT.any(-1).sum()), float(computed.sum()))


@dataclass(frozen=True)
class Loss:
    """A micro-batch's share of a minibatch's loss.

    Attributes:
        policy: Scalar to call `backward` on; shares add up over micro-batches.
        value: A critic's loss, or None.
        parts: Detached scalars for the log; shares add up too.
    """

    policy: Tensor
    value: Tensor | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Algorithm(ABC):
    """The base of all algorithms."""

    kind: ClassVar[str]

    epochs: int = 1
    """Passes over each step's rollouts. More reuse the samples but move further off-policy. Typical 1 to 4."""

    minibatches: int = 1
    """Optimizer updates per pass; whole groups are dealt out to them. From the second on, clipping bounds how far the
    policy strays from the one that sampled. Typical 1 to 8."""

    def __post_init__(self) -> None:
        for name in ("epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{self.kind}: {name} is {getattr(self, name)}; it must be at least 1")

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """Which of "old_logprobs", "ref_logprobs", "values" the batch must carry."""

    @property
    def outputs(self) -> frozenset[str]:
        """Which of "values", "entropy" the loss reads beside the log-probabilities."""
        return frozenset()

    @property
    def rounds(self) -> int:
        """How often a step may sample problems until `select` leaves as many groups as a step has."""
        return 1

    def select(self, groups: Sequence[ScoredGroup]) -> list[ScoredGroup]:
        """The groups to train on; by default all."""
        return list(groups)

    @abstractmethod
    def advantages(self, batch: Batch, state: dict[str, Any]) -> Batch:
        """The batch with `advantages_BT` (and `returns_BT`) filled in. `state` is the algorithm's own, serialisable."""

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Batch, denominators: Denominators) -> Loss:
        """The loss of one micro-batch, as a share of its minibatch's."""

    def gradient_rows(self, batch: Batch) -> Tensor:
        """Rows that can give a gradient at all, (B,) bool; learners skip the others. They still count in the means."""
        return batch.loss_mask_BT.any(-1)

    def figures(self, batch: Batch) -> dict[str, float]:
        """Figures of a whole step with its advantages, for the log."""
        return {}
