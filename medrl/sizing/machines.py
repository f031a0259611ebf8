"""What GPUs can do at most, as published, and which share of it is reached, which is assumed until it is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from medrl.errors import did_you_mean
from medrl.knobs import out_of_range


@dataclass(frozen=True)
class Machine:
    """Peak figures of one GPU and its links."""

    flops: float
    """Dense bfloat16 operations per second, without sparsity."""

    memory: float
    """Bytes of its memory."""

    bandwidth: float
    """Bytes per second between its memory and its cores."""

    inside: float
    """Bytes per second in one direction to the other GPUs of its node."""

    between: float
    """Bytes per second in one direction to other nodes, per GPU."""

    gpus_per_node: int = 8
    """GPUs of a node."""

    source: str = ""
    """Where the figures are published."""

    def __post_init__(self) -> None:
        numbers = ("flops", "memory", "bandwidth", "inside", "between", "gpus_per_node")
        if faults := out_of_range(self, above_0=numbers):
            raise ValueError("machine: " + "; ".join(faults))


MACHINES: Mapping[str, Machine] = {
    "A100": Machine(
        312e12, 80e9, 2.039e12, 300e9, 25e9, source="NVIDIA A100 80GB SXM data sheet; DGX A100: 8 x HDR 200 Gb/s"
    ),
    "H100": Machine(
        989e12, 80e9, 3.35e12, 450e9, 50e9, source="NVIDIA H100 SXM data sheet; DGX H100: 8 x NDR 400 Gb/s"
    ),
    "H200": Machine(
        989e12, 141e9, 4.8e12, 450e9, 50e9, source="NVIDIA H200 SXM data sheet; DGX H200: 8 x NDR 400 Gb/s"
    ),
}


def machine_of(name: str) -> Machine:
    """A GPU by its name.

    Raises:
        ValueError: It is not in the table.
    """
    if name not in MACHINES:
        raise ValueError(f"no figures are known of a GPU {name!r}{did_you_mean(name, MACHINES)}")
    return MACHINES[name]


@dataclass(frozen=True)
class Achieved:
    """Which share of the peaks is reached, and what does not scale with them. Replace what you have measured."""

    learning: float = 0.40
    """Share of peak operations in forward and backward passes, recomputation counted as work. Published: 0.40 to 0.59 for
    7B to 70B on 8 to 64 H100 with full sharding at 1,024 to 8,192 tokens (LLM Foundry's training benchmarks, column HFU), in
    pretraining; rows of varied length reach less."""

    multiplying: float = 0.50
    """Share of peak operations of an engine's matrix products when it is bound by them: prompts, and steps of many rows.
    Assumed; 0.4 to 0.7."""

    reading: float = 0.60
    """Share of peak memory bandwidth in a decoding step. Assumed; 0.5 to 0.8 for compiled engines."""

    linking: float = 0.60
    """Share of the links' bandwidth in collectives. Assumed; 0.5 to 0.9 for large messages, less on shared networks."""

    step: float = 0.003
    """Seconds of an engine's step that are not the model: scheduling, sampling, launching. Assumed; 0.001 to 0.01."""

    all_reduce: float = 12e-6
    """Seconds of an all-reduce of few bytes inside a node; two per layer where a model is split. Assumed; 8 to 30 us."""

    update: float = 0.5
    """Seconds of an optimizer update beside its arithmetic: packing, metrics, the trainer. Assumed; 0.1 to 2."""

    transport: float = 4e9
    """Bytes of weights per second from the learner to an engine. Assumed for an object store over a network; over NCCL
    `linking` times the network's. 1e9 to 30e9; `benchmarks/weight_sync.py` measures it."""

    sync: float = 1.0
    """Seconds of a weight sync whatever the size: calls, resets, the probe. Assumed; 0.2 to 3."""

    switch: float = 8.0
    """Seconds in which GPUs that sample and learn in turn change from one to the other and back. Assumed; 3 to 30."""

    def __post_init__(self) -> None:
        names = [f.name for f in fields(self)]
        shares = ("learning", "multiplying", "reading", "linking")
        faults = out_of_range(self, above_0=(*shares, "transport"), from_0=[n for n in names if n not in shares])
        faults += [
            f"{name} is {getattr(self, name)}; it is a share, at most 1" for name in shares if getattr(self, name) > 1
        ]
        if faults:
            raise ValueError("achieved: " + "; ".join(faults))
