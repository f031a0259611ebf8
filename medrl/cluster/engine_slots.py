"""What the desk of the engines deals in: requests on their way, places for engines and how one is filled, last words."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medrl.cluster.engine_actor import EngineActor
from medrl.cluster.environment import engine_environment
from medrl.cluster.fleet import EngineFigures, FleetSettings
from medrl.cluster.stacks import Card
from medrl.engines.base import Request
from medrl.engines.gauge import Gauge
from medrl.engines.vllm_loop import Pulse
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import EngineFailed, need
from medrl.types import Rollout

ray: Any = need("ray", "ray")
STILL = Pulse(version=-1, running=0, waiting=0, quiet=0.0, steps=0, tokens=0, busy=0.0)


@dataclass(eq=False)
class Ticket:
    """One request on its way.

    Attributes:
        request: What is asked.
        version: The policy version that it is asked of, at least.
        deliver: Takes the rollout or the error; called once.
        done: Whether it was called, or nobody waits any more.
    """

    request: Request
    version: int
    deliver: Callable[[Rollout | BaseException], None]
    done: bool = False

    def end(self, result: Rollout | BaseException) -> None:
        """Deliver, unless that has happened: a request that was sampled twice is heard of once."""
        if not self.done:
            self.done = True
            self.deliver(result)


@dataclass(eq=False)
class Slot:
    """A place for an engine: whichever actor is in it, it has one number."""

    index: int
    actor: Any = None
    card: Card | None = None
    pump: "asyncio.Task[None] | None" = None
    held: dict[int, Ticket] = field(default_factory=dict)
    pulse: Pulse = STILL
    ready: bool = False
    loaded: bool = False  # whether its engine is there, and waits for weights that can be had
    version: int = -1
    refs: tuple[Any, ...] | None = None  # of the weights that it has; None where they are the folder's
    past_tokens: int = 0  # of the actors that were here before
    past_busy: float = 0.0
    lives: int = 0

    @property
    def name(self) -> str:
        return f"engine-{self.index}" + (f".{self.lives}" if self.lives else "")

    def figures(self) -> EngineFigures:
        """As they are, of all actors that were here."""
        tokens, busy = self.past_tokens + self.pulse.tokens, self.past_busy + self.pulse.busy
        return EngineFigures(self.name, self.ready, self.version, len(self.held), tokens, busy)

    def end(self) -> None:
        """Kill the actor that is here, if any."""
        if self.actor is not None:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(self.actor)
        self.actor = None

    def empty(self) -> None:
        """The actor that was here is lost; what it counted stays."""
        self.end()
        self.ready, self.loaded, self.held, self.version = False, False, {}, -1
        self.past_tokens, self.past_busy = self.past_tokens + self.pulse.tokens, self.past_busy + self.pulse.busy
        self.pulse = STILL


class Queues:
    """How many requests wait for an engine, and how many each engine has, over time."""

    def __init__(self, engines: int) -> None:
        self._waiting, self._held = Gauge(), [Gauge() for _ in range(engines)]

    def note(self, waiting: Iterable[Sequence[Ticket]], slots: Iterable[Slot]) -> None:
        """They are so many now."""
        self._waiting.to(sum(map(len, waiting)))
        for gauge, slot in zip(self._held, slots, strict=True):
            gauge.to(len(slot.held))

    def read(self) -> dict[str, float]:
        """See `Placement.figures`."""
        found = self._waiting.read("time/queue")
        for number, gauge in enumerate(self._held):
            found |= gauge.read(f"time/engine/{number}/load")
        return found


def place(
    group: Sequence[Ticket], ready: Sequence[Slot], homes: Mapping[tuple[str, int], Slot], room: int, ahead: int
) -> Slot:
    """Who gets a group: the engine with the fewest requests; for a later turn of an episode the one that wrote the last.

    Args:
        group: What is asked, together.
        ready: Engines that are up.
        homes: Who wrote the last turn of an episode and has it in its cache, by problem and index.
        room: Requests that an engine may hold; an engine that is full is nobody's home.
        ahead: By how many requests a home may be busier than the others.
    """
    least = min(ready, key=lambda one: len(one.held))
    home = homes.get((group[0].request.problem_id, group[0].request.index)) if group else None
    if home is None or not home.ready or len(home.held) + len(group) > room:
        return least
    return home if len(home.held) - len(least.held) <= ahead else least


async def load_engine(
    slot: Slot, served: ServedModel, settings: EngineSettings, fleet: FleetSettings, version: int, where: Any
) -> Any:
    """An actor in a slot, with its engine loaded.

    Raises:
        EngineFailed: It does not start, or not within `fleet.start_timeout`.
    """
    options: dict[str, Any] = {
        "num_cpus": fleet.cpus,
        "num_gpus": fleet.gpus,
        "max_restarts": 0,  # it is replaced by the desk, with the present weights
        "max_concurrency": 1000,
        "runtime_env": {"env_vars": engine_environment(fleet.threads)},
    }
    if where is not None:
        options["scheduling_strategy"] = where
    actor = slot.actor = ray.remote(**options)(EngineActor).remote(slot.name, served, settings)
    try:
        async with asyncio.timeout(fleet.start_timeout):
            slot.card = await actor.load.remote(version)
    except TimeoutError as error:
        slot.end()
        raise EngineFailed(
            f"{slot.name} was not loaded within {fleet.start_timeout:g} s. If Ray has no free resources for it "
            f"({fleet.cpus:g} CPUs, {fleet.gpus:g} GPUs), `ray status` says so; else raise start_timeout"
        ) from error
    except ray.exceptions.RayActorError as error:
        raise EngineFailed(f"{slot.name} died while it was loading: {last_words(error)}") from error
    except ray.exceptions.RayTaskError as error:
        raise cause_of(error) from error
    return actor


def cause_of(error: Any) -> Exception:
    """What was raised in the actor, as the error that it was."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error


def last_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:1500]


def regrouped(tickets: Sequence[Ticket]) -> list[list[Ticket]]:
    """Tickets of one problem together again, in the order in which they were given out."""
    groups: dict[tuple[Any, ...], list[Ticket]] = {}
    for ticket in tickets:
        groups.setdefault((ticket.request.problem_id, ticket.request.prompt_ids), []).append(ticket)
    return list(groups.values())
