"""What fits on a GPU: a learner's states under ZeRO (arXiv 1910.02054), activations (arXiv 2205.05198), an engine's cache."""

from dataclasses import dataclass
from typing import Literal

from medrl.knobs import out_of_range
from medrl.sizing.machines import Machine
from medrl.sizing.shapes import BF16, Shape

Stage = Literal[0, 1, 2, 3]


@dataclass(frozen=True)
class Training:
    """How the learner trains, as far as memory and time depend on it."""

    zero: Stage = 3
    """DeepSpeed's ZeRO stage: 0 keeps all states on each rank, 1 splits the optimizer's, 2 gradients too, 3 weights too."""

    microbatch_tokens: int = 16_384
    """Tokens in one forward and backward pass of a rank. Typical 4,096 to 32,768."""

    checkpointing: bool = True
    """Whether activations are computed again in the backward pass: a third more work, far less memory."""

    optimizer_bytes: int = 12
    """Bytes of optimizer state per parameter: 12 is Adam with a float32 copy (K in the ZeRO paper)."""

    gradient_bytes: int = 4
    """Bytes of accumulated gradient per parameter: 4 is float32, as medrl's DeepSpeed learner has it; in the ZeRO paper 2."""

    offload: bool = False
    """Whether optimizer states live in the memory of the host. The time of their transfer is not modelled."""

    forwards: int = 1
    """Forward passes beside the update: 1 computes the old log-probabilities again (engines in bfloat16), 2 those of a
    reference model too; 0 takes the engine's."""

    epochs: int = 1
    """Passes of updates over each step's rollouts."""

    reserve: float = 4e9
    """Bytes of a GPU that nobody may count on: context, communication buffers, fragments. Assumed; 2e9 to 8e9."""

    def __post_init__(self) -> None:
        faults = out_of_range(
            self,
            above_0=("microbatch_tokens", "epochs"),
            from_0=("optimizer_bytes", "gradient_bytes", "forwards", "reserve"),
        )
        if self.zero not in (0, 1, 2, 3):
            faults.append(f"zero is {self.zero}; the stages are 0 to 3")
        if faults:
            raise ValueError("training: " + "; ".join(faults))


@dataclass(frozen=True)
class Room:
    """Bytes on one GPU of the learner."""

    weights: float
    gradients: float
    optimizer: float
    reference: float
    activations: float
    reserve: float

    @property
    def states(self) -> float:
        """What stays between updates."""
        return self.weights + self.optimizer + self.reference

    @property
    def total(self) -> float:
        return self.states + self.gradients + self.activations + self.reserve

    def __str__(self) -> str:
        return ", ".join(f"{name} {size / 1e9:.1f}" for name, size in vars(self).items() if size)  # GB


def zero_bytes(
    parameters: float, stage: Stage, ranks: int, optimizer_bytes: int = 12, gradient_bytes: int = 2
) -> tuple[float, float, float]:
    """Bytes of weights, gradients and optimizer states on a rank in mixed precision (arXiv 1910.02054, figure 1)."""
    weights, gradients, optimizer = BF16 * parameters, gradient_bytes * parameters, optimizer_bytes * parameters
    return (
        weights / (ranks if stage >= 3 else 1),
        gradients / (ranks if stage >= 2 else 1),
        optimizer / (ranks if stage >= 1 else 1),
    )


def learner_room(shape: Shape, training: Training, ranks: int) -> Room:
    """What a rank of the learner needs.

    Activations of s tokens: 34 s h bytes per layer without the attention matrix, which fused kernels never store; with
    checkpointing 2 s h per layer and one whole layer (arXiv 2205.05198, sections 4.1 and 5). Logits come in chunks, and a
    layer that ZeRO 3 has gathered is small beside the rest; both are in the reserve.
    """
    if ranks < 1:
        raise ValueError(f"ranks is {ranks}; a learner has at least 1")
    weights, gradients, optimizer = zero_bytes(
        shape.parameters, training.zero, ranks, training.optimizer_bytes, training.gradient_bytes
    )
    layer = 34.0 * training.microbatch_tokens * shape.hidden
    inputs = 2.0 * training.microbatch_tokens * shape.hidden * shape.layers
    return Room(
        weights=weights,
        gradients=gradients,
        optimizer=0.0 if training.offload else optimizer,
        reference=weights if training.forwards > 1 else 0.0,
        activations=inputs + layer if training.checkpointing else layer * shape.layers,
        reserve=training.reserve,
    )


def cache_tokens(
    shape: Shape, machine: Machine, tensor_parallel: int, share: float = 0.9, taken: float = 0.0, work: float = 3e9
) -> float:
    """Tokens whose keys and values fit into an engine; below 0 where not even its weights do.

    Args:
        shape: The model.
        machine: Each of its GPUs.
        tensor_parallel: GPUs over which each layer is split.
        share: Of the memory that the engine may use.
        taken: Bytes of each GPU that a learner holds beside it.
        work: Bytes of each GPU for activations and graphs; assumed.
    """
    left = share * machine.memory - work - taken - BF16 * shape.parameters / tensor_parallel
    heads = min(tensor_parallel, shape.kv_heads)  # beyond that, heads of keys and values are repeated
    return left / (shape.cache_bytes / heads)
