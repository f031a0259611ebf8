"""Knobs and figures of engines, actors that score, shards, and the probe that compares engines with their learner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medrl.knobs import out_of_range


@dataclass(frozen=True)
class FleetSettings:
    """How many engines there are, what each may use, and when one is given up."""

    engines: int = 1
    """Engines, each with a whole copy of the model. Typical 1 to 64."""

    cpus: float = 1.0
    """CPU cores that Ray sets aside for each engine."""

    gpus: float = 0.0
    """GPUs that Ray sets aside for each engine: `tensor_parallel` of them; with `cluster.colocate` the one that it shares
    with a rank. 0 computes on the CPU."""

    threads: int = 1
    """Threads of each engine's CPU kernels. Typical: `cpus`."""

    ahead: int = 16
    """Requests that an engine may hold beyond what it writes at once, so that a place never stays empty; all others
    wait for whichever engine is free first. Typical 8 to 64."""

    heartbeat: float = 2.0
    """Seconds after which an engine with nothing to hand out still says that it lives."""

    hang_after: float = 120.0
    """Seconds without a sign of life, or without a step while there is work, after which an engine is taken to hang: its
    stack is shown and it is replaced. Longer than its longest step or weight update. Typical 60 to 600."""

    start_timeout: float = 600.0
    """Seconds that an engine may take to load its model."""

    max_restarts: int = 8
    """How many engines may be replaced in the whole run before it ends with an error."""

    def __post_init__(self) -> None:
        positive = ("engines", "threads", "heartbeat", "hang_after", "start_timeout")
        faults = out_of_range(self, above_0=positive, from_0=("cpus", "gpus", "ahead", "max_restarts"))
        if faults:
            raise ValueError("engines: " + "; ".join(faults))


@dataclass(frozen=True)
class RewardFleet:
    """How many actors score, what each may use, and when one is given up."""

    actors: int = 0
    """Actors that score; 0 scores in the driver, which is right for rules and for judges behind HTTP. Typical 1 to 8 for
    classifiers, reward models and slow rules."""

    cpus: float = 1.0
    """CPU cores that Ray sets aside for each."""

    gpus: float = 0.0
    """GPUs that Ray sets aside for each; a share for a small model."""

    timeout: float = 600.0
    """Seconds that a group may take. Longer than the slowest judge with all its retries."""

    start_timeout: float = 600.0
    """Seconds that an actor may take to start, models of its verifiers not included."""

    attempts: int = 3
    """How often a group is scored anew, each time by a fresh actor, before it has no score. Typical 2 to 5."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("timeout", "start_timeout", "attempts"), from_0=("actors", "cpus", "gpus"))
        if faults:
            raise ValueError("rewards: " + "; ".join(faults))


@dataclass(frozen=True)
class ShardSettings:
    """Where the shards of a construction run, and how often a lost one is begun again."""

    address: str | None = None
    """A Ray cluster that runs: `auto` or `HOST:6379`. Empty takes the one that RAY_ADDRESS names, and without it starts one
    on this machine."""

    cpus: float = 1.0
    """CPU cores that Ray sets aside for each shard. Typical 1; a shard waits mostly for its servers."""

    gpus: float = 0.0
    """GPUs that Ray sets aside for each shard, where its chat models run in its own process (`type: vllm`)."""

    max_restarts: int = 4
    """How often each shard may be begun again after its process or node was lost. Typical 2 to 10."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, from_0=("cpus", "gpus", "max_restarts"))
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True)
class ProbeSettings:
    """How an engine's weights are compared with the learner's."""

    tokens: int = 96
    """Length of the prompt; longer than a block of the cache, so that a stale cache shows. Typical 64 to 256."""

    tolerance: float | None = None
    """Largest difference of a token's log-probability (nats). Empty is 1e-4 where engine and learner compute in float32
    (1e-6 is usual), and 0.5 where either has 16 bits. What smaller steps show: docs/cluster.md."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("tolerance",) if self.tolerance is not None else ())
        if self.tokens < 8:
            faults.append(f"tokens is {self.tokens}; a probe of fewer than 8 tells little")
        if faults:
            raise ValueError("probe: " + "; ".join(faults))


@dataclass(frozen=True)
class Proof:
    """What an engine must say of the weights of a version, so that it may sample from them.

    Attributes:
        token_ids: The probe's prompt.
        logprobs: The learner's log-probability of each of them but the first.
        tolerance: Largest difference, in nats.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    tolerance: float

    def gap(self, answer: Sequence[float]) -> float:
        """The largest difference of an engine's answer; NaN where either side has one."""
        gaps = [abs(one - other) for one, other in zip(self.logprobs, answer, strict=True)]
        return math.nan if any(map(math.isnan, gaps)) else max(gaps)


@dataclass(frozen=True)
class EngineFigures:
    """One engine, for tables.

    Attributes:
        name: Its name.
        ready: Whether it samples; False while it is being replaced.
        version: The policy version that it samples from.
        load: Requests that it holds.
        tokens: Tokens of the responses that it finished.
        busy: Seconds that it was at work.
    """

    name: str
    ready: bool
    version: int
    load: int
    tokens: int
    busy: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens by the second that it was at work."""
        return self.tokens / self.busy if self.busy else 0.0


@dataclass(frozen=True)
class FleetFigures:
    """All engines.

    Attributes:
        engines: Each of them.
        waiting: Requests that no engine has yet.
        restarts: Engines that were replaced.
        resampled: Requests that were sampled again because their engine was lost, or had to sleep.
        turning: Seconds that engines took to fall asleep and to wake.
    """

    engines: tuple[EngineFigures, ...]
    waiting: int
    restarts: int
    resampled: int
    turning: float = 0.0
