"""What the simulator is fed with: seconds of an engine's steps and of a learner's update, measured, or worked out."""

import math
from dataclasses import dataclass, fields

from medrl.knobs import out_of_range
from medrl.sizing.machines import Achieved, Machine
from medrl.sizing.memory import Training
from medrl.sizing.shapes import BF16, Shape


@dataclass(frozen=True)
class EngineRates:
    """Seconds of one engine.

    A decoding step of n rows over c tokens of context takes `step + max(weights, row * n) + context * c`: weights are read
    once however many rows there are, until arithmetic takes longer (the roofline of arXiv 2402.16363); the cache is
    read for each row.
    """

    step: float
    """Seconds of a decoding step whatever is in it."""

    row: float = 0.0
    """Seconds per row of a decoding step."""

    weights: float = 0.0
    """Seconds in which the weights are read; what a step takes at least beside `step`."""

    context: float = 0.0
    """Seconds per token in the cache of the rows of a step."""

    prompt: float = 0.0
    """Seconds per token of a prompt; prompts of a group are computed once."""

    rollout: float = 0.0
    """Seconds per rollout: what is done for each when it begins and ends."""

    call: float = 0.0
    """Seconds per step of training, whatever it holds: rendering, the first request, gathering."""

    slots: int = 256
    """Rows written at the same time."""

    cache: float = math.inf
    """Tokens whose keys and values fit."""

    gate: float = 0.0
    """Share of the slots that must be free before waiting rows come in, unless nothing runs. 0 is any; the engine in
    process takes 0.25."""

    def __post_init__(self) -> None:
        seconds = [f.name for f in fields(self) if f.name not in ("slots", "cache")]
        faults = out_of_range(self, above_0=("slots", "cache"), from_0=seconds)
        if not self.step + self.row + self.weights + self.context > 0:
            faults.append("step, row, weights and context are all 0; writing a token takes time")
        if faults:
            raise ValueError("engine rates: " + "; ".join(faults))

    def decode(self, rows: float, context: float) -> float:
        """Seconds of one decoding step of `rows` rows that have `context` tokens together."""
        return self.step + max(self.weights, self.row * rows) + self.context * context


@dataclass(frozen=True)
class LearnerRates:
    """Seconds of all ranks together for the forward passes and the update of a step."""

    token: float
    """Seconds per token (prompt and response) of one rank, for all passes."""

    squared: float = 0.0
    """Seconds per squared length of a row: attention."""

    update: float = 0.0
    """Seconds of an update whatever its size."""

    gather: float = 0.0
    """Seconds in which ranks exchange weights and gradients for one micro-batch; it runs beside the arithmetic, so that the
    longer of the two counts."""

    microbatch_tokens: int = 8192
    """Tokens of a micro-batch."""

    ranks: int = 1
    """Ranks over which rows are dealt, balanced by tokens."""

    def __post_init__(self) -> None:
        faults = out_of_range(
            self, above_0=("microbatch_tokens", "ranks"), from_0=("token", "squared", "update", "gather")
        )
        if faults:
            raise ValueError("learner rates: " + "; ".join(faults))

    def seconds(self, lengths: list[int]) -> float:
        """Seconds of a step whose rows have these lengths, prompts included. No rank has less than the longest row."""
        if not lengths:
            return self.update
        work = [self.token * n + self.squared * n * n for n in lengths]
        arithmetic = max(sum(work) / self.ranks, max(work))
        microbatches = math.ceil(max(sum(lengths) / self.ranks, max(lengths)) / self.microbatch_tokens)
        return self.update + max(arithmetic, self.gather * microbatches)


@dataclass(frozen=True)
class Rates:
    """All of them."""

    engine: EngineRates
    """Of one engine."""

    learner: LearnerRates
    """Of the learner."""

    sync: float = 0.0
    """Seconds from the learner's new weights to engines that sample from them."""

    switch: float = 0.0
    """Seconds in which GPUs that sample and learn in turn change over, per step."""

    def __post_init__(self) -> None:
        if faults := out_of_range(self, from_0=("sync", "switch")):
            raise ValueError("rates: " + "; ".join(faults))


def engine_rates(
    shape: Shape, machine: Machine, achieved: Achieved, tensor_parallel: int, slots: int, cache: float
) -> EngineRates:
    """Of an engine over `tensor_parallel` GPUs: bytes over bandwidth, operations over peak, two all-reduces per layer."""
    flops = achieved.multiplying * machine.flops * tensor_parallel
    bandwidth = achieved.reading * machine.bandwidth * tensor_parallel
    split = tensor_parallel > 1
    # A ring passes 2 (t - 1) / t of what it reduces: the activations of a token, twice per layer.
    passed = 4 * (tensor_parallel - 1) / tensor_parallel * shape.layers * shape.hidden * BF16
    link = passed / (achieved.linking * machine.inside)
    per_token = 2.0 * shape.matmul_parameters / flops + link
    heads = min(tensor_parallel, shape.kv_heads)
    return EngineRates(
        step=achieved.step + (2 * shape.layers * achieved.all_reduce if split else 0.0),
        row=per_token,
        weights=BF16 * shape.matmul_parameters / bandwidth,
        context=shape.cache_bytes / (bandwidth * heads / tensor_parallel),
        prompt=per_token,
        slots=slots,
        cache=cache,
    )


def learner_rates(shape: Shape, machine: Machine, achieved: Achieved, training: Training, ranks: int) -> LearnerRates:
    """Of `ranks` GPUs: a forward pass costs 1, an update 3 (backward twice the forward), checkpointing 1 more.

    ZeRO 3 gathers the weights in the forward and in the backward pass and scatters gradients, for each micro-batch
    (arXiv 1910.02054, section 7.2.2); stage 2 scatters gradients for each micro-batch; stages 0 and 1 reduce them once.
    """
    passes = training.forwards + training.epochs * (3 + training.checkpointing)
    flops = achieved.learning * machine.flops
    size = BF16 * shape.parameters
    once = size * _seconds_per_byte(machine, achieved, ranks)
    adam = (2 * training.optimizer_bytes + 2 * BF16) * shape.parameters / (ranks if training.zero else 1)
    return LearnerRates(
        token=passes * shape.forward_flops(1, 0) / flops,
        squared=passes * shape.forward_flops(0, 1) / flops,
        update=achieved.update
        + adam / (achieved.reading * machine.bandwidth)
        + once * {0: 2, 1: 2, 2: 1, 3: 0}[training.zero],
        gather=once * {0: 0, 1: 0, 2: training.epochs, 3: 3 * training.epochs + training.forwards}[training.zero],
        microbatch_tokens=training.microbatch_tokens,
        ranks=ranks,
    )


def _seconds_per_byte(machine: Machine, achieved: Achieved, ranks: int) -> float:
    """Of a gather or a scatter: every GPU takes in all bytes, and every node takes them in by all its links."""
    if ranks == 1:
        return 0.0
    inside = (ranks - 1) / ranks / machine.inside
    nodes = math.ceil(ranks / machine.gpus_per_node)
    between = (nodes - 1) / nodes / (machine.between * machine.gpus_per_node)
    return max(inside, between) / achieved.linking


def sync_seconds(shape: Shape, achieved: Achieved, engine_nodes: int) -> float:
    """Of a weight sync: one copy of the weights to a node; nodes pass buckets on, each to two others at most."""
    return achieved.sync + BF16 * shape.parameters / achieved.transport * min(2, engine_nodes)
