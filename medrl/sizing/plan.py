"""How to split GPUs between engines and learner: what fits, what it would take, and which split is fastest."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from medrl.errors import MedrlError
from medrl.knobs import out_of_range
from medrl.sizing.loop import Simulated, simulate
from medrl.sizing.machines import Achieved, Machine
from medrl.sizing.memory import Training, cache_tokens, learner_room
from medrl.sizing.rates import Rates, engine_rates, learner_rates, sync_seconds
from medrl.sizing.shapes import Shape
from medrl.sizing.workload import Workload


class DoesNotFit(MedrlError, ValueError):
    """A model, its training and its cache are larger than the GPUs."""


@dataclass(frozen=True)
class Site:
    """What is the same for every split: model, GPUs, shares of their peaks, work, and how it is done."""

    shape: Shape
    """The policy."""

    machine: Machine
    """Each GPU."""

    workload: Workload = field(default_factory=Workload)
    """A step of training."""

    achieved: Achieved = field(default_factory=Achieved)
    """What is reached of the GPUs' peaks."""

    training: Training = field(default_factory=Training)
    """How the learner trains."""

    slots: int = 256
    """Responses that an engine writes at the same time (`max_num_seqs`)."""

    share: float = 0.9
    """Share of a GPU's memory that an engine may use (`gpu_memory_utilization`)."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("slots", "share"))
        if self.share > 1:
            faults.append(f"share is {self.share}; it is at most 1")
        if faults:
            raise ValueError("site: " + "; ".join(faults))

    @property
    def longest(self) -> int:
        """Tokens of the longest rollout with its prompt."""
        return self.workload.prompt + self.workload.lengths.limit


@dataclass(frozen=True)
class Split:
    """Who has which GPUs.

    Attributes:
        engines: Engines.
        tensor_parallel: GPUs of each.
        ranks: GPUs of the learner.
        together: Whether they are the same GPUs, in turn.
    """

    engines: int
    tensor_parallel: int
    ranks: int
    together: bool = False

    @property
    def gpus(self) -> int:
        return self.ranks if self.together else self.engines * self.tensor_parallel + self.ranks

    def __str__(self) -> str:
        engines = f"{self.engines} x tp{self.tensor_parallel}"
        return f"{engines} in turn with {self.ranks}" if self.together else f"{engines} + {self.ranks}"


@dataclass(frozen=True)
class Plan:
    """A split and what it is predicted to do.

    Attributes:
        split: Who has which GPUs.
        simulated: What the loop does with it.
        learner_bytes: What a rank needs of its GPU's memory.
        cache_tokens: Tokens whose keys and values fit into an engine.
    """

    split: Split
    simulated: Simulated
    learner_bytes: float
    cache_tokens: float

    def gpu_hours(self, steps: int) -> float:
        """Of a run of so many steps, evaluations and checkpoints left out."""
        return self.split.gpus * self.simulated.step * steps / 3600

    def cost(self, steps: int, price: float) -> float:
        """The same at a price per GPU and hour."""
        return self.gpu_hours(steps) * price


def rates_of(site: Site, split: Split) -> Rates:
    """What the simulator is fed with for a split.

    Raises:
        DoesNotFit: The learner's states, or weights and one rollout on an engine, are larger than their GPUs.
    """
    room = learner_room(site.shape, site.training, split.ranks)
    if room.total > site.machine.memory:
        raise DoesNotFit(
            f"a rank of {split.ranks} needs {room.total / 1e9:.0f} GB and has {site.machine.memory / 1e9:.0f}: take more "
            "ranks with ZeRO 3, smaller micro-batches, or offload the optimizer"
        )
    taken = room.states + site.training.reserve if split.together else 0.0
    cache = cache_tokens(site.shape, site.machine, split.tensor_parallel, site.share, taken)
    if cache < site.longest:
        raise DoesNotFit(
            f"an engine over {split.tensor_parallel} GPUs has room for {max(0.0, cache):,.0f} tokens of cache, and a rollout "
            f"may have {site.longest:,}: split the model over more GPUs"
        )
    engine_nodes = math.ceil(split.engines * split.tensor_parallel / site.machine.gpus_per_node)
    return Rates(
        engine=engine_rates(site.shape, site.machine, site.achieved, split.tensor_parallel, site.slots, cache),
        learner=learner_rates(site.shape, site.machine, site.achieved, site.training, split.ranks),
        sync=sync_seconds(site.shape, site.achieved, engine_nodes),
        switch=site.achieved.switch if split.together else 0.0,
    )


def predict(site: Site, split: Split, staleness: int = 0, *, steps: int = 5, warmup: int = 2, seed: int = 0) -> Plan:
    """What a split would do.

    Raises:
        DoesNotFit: See `rates_of`.
    """
    rates = rates_of(site, split)
    simulated = simulate(
        rates,
        site.workload,
        engines=split.engines,
        staleness=staleness,
        together=split.together,
        steps=steps,
        warmup=max(warmup, staleness + 1),
        seed=seed,
    )
    return Plan(split, simulated, learner_room(site.shape, site.training, split.ranks).total, rates.engine.cache)


def splits(site: Site, gpus: int, *, together: bool = False) -> Iterator[Split]:
    """Every split of so many GPUs worth a thought: ranks and engines over whole nodes, or any of few GPUs.

    With `together` also those in which engines and learner have the same GPUs in turn; one GPU has no other.
    """
    if gpus < 1:
        raise ValueError(f"gpus is {gpus}; a cluster has at least 1")
    node = site.machine.gpus_per_node
    unit = 1 if gpus <= node else max(node // 2, gpus // 64) if gpus <= 4 * node else node * max(1, gpus // (node * 32))
    for tensor_parallel in (2**n for n in range(node.bit_length())):
        if tensor_parallel > min(node, gpus) or site.shape.heads % tensor_parallel:
            continue
        for ranks in range(unit, gpus, unit):
            if (gpus - ranks) % tensor_parallel == 0 and gpus > ranks:
                yield Split((gpus - ranks) // tensor_parallel, tensor_parallel, ranks)
        if (together or gpus == 1) and gpus % tensor_parallel == 0:
            yield Split(gpus // tensor_parallel, tensor_parallel, gpus, together=True)


def best_split(
    site: Site, gpus: int, staleness: int = 0, *, together: bool = False, tried: int = 5, seed: int = 0
) -> Plan:
    """The fastest split of so many GPUs.

    All that fit are ranked by an estimate; the best `tried` of them are simulated.

    Args:
        site: What is the same for all.
        gpus: How many there are.
        staleness: k.
        together: Whether GPUs may sample and learn in turn, which only k = 0 allows; `cluster.colocate` does so with engines
            of one GPU each.
        tried: Splits that are simulated.
        seed: Decides the lengths.

    Raises:
        DoesNotFit: None of them fits; the message says what the largest lacks.
    """
    if staleness < 0:
        raise ValueError(f"staleness is {staleness}; rollouts cannot be younger than the policy, take at least 0")
    ranked: list[tuple[float, int, Split]] = []
    last = DoesNotFit(f"{gpus} GPU cannot be split between an engine and a learner, and k is {staleness}")
    for split in splits(site, gpus, together=together):
        if split.together and staleness:
            continue
        try:
            ranked.append((_estimate(site, split, staleness, seed), len(ranked), split))
        except DoesNotFit as error:
            last = error
    if not ranked:
        raise last
    plans = [predict(site, split, staleness, seed=seed) for _, _, split in sorted(ranked)[:tried]]
    return min(plans, key=lambda plan: plan.simulated.step)


def _estimate(site: Site, split: Split, staleness: int, seed: int) -> float:
    """About how many seconds a step takes: full batches for as long as there are rows enough, then the longest row alone."""
    rates, lengths = rates_of(site, split), site.workload.draw(0, seed)
    drawn = [length for group in lengths for length in group]
    mean, longest = sum(drawn) / len(drawn), max(drawn)
    rows = min(site.slots, len(drawn) / split.engines, rates.engine.cache / (site.workload.prompt + mean))
    full = len(drawn) * mean / split.engines / rows  # steps
    context = rows * (site.workload.prompt + mean / 2)
    sampling = full * rates.engine.decode(rows, context) + max(0.0, longest - full) * rates.engine.decode(1, longest)
    learning = rates.learner.seconds(site.workload.rows(lengths))
    learning += (site.workload.minibatches - 1) * rates.learner.update
    fixed = rates.sync + rates.switch
    if staleness == 0:
        return sampling + learning + fixed
    return max(full * rates.engine.decode(rows, context), learning, (sampling + learning) / (staleness + 1)) + fixed
