"""Knobs and figures of several engines."""

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
    """GPUs that Ray sets aside for each engine; `tensor_parallel` of them, or a share of one for an engine that takes
    turns with a learner. 0 computes on the CPU."""

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
class EngineFigures:
    """One engine, for tables.

    Attributes:
        name: Its name.
        ready: Whether it samples; False while it is being replaced.
        version: The policy version that it samples from.
        load: Requests that it holds.
        tokens: Tokens of the responses that it finished.
        tokens_per_second: The same, by the second that it was at work.
    """

    name: str
    ready: bool
    version: int
    load: int
    tokens: int
    tokens_per_second: float


@dataclass(frozen=True)
class FleetFigures:
    """All engines.

    Attributes:
        engines: Each of them.
        waiting: Requests that no engine has yet.
        restarts: Engines that were replaced.
        resampled: Requests that were sampled again because their engine was lost.
    """

    engines: tuple[EngineFigures, ...]
    waiting: int
    restarts: int
    resampled: int
