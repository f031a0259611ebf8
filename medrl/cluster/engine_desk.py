"""The driver's side of the engines: who has which request, and what happens when an engine is lost.

All of it runs in one event loop of a thread of its own (`RayEngines` has it), so nothing here needs a lock.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from medrl.cluster.engine_actor import Harvest
from medrl.cluster.engine_slots import (
    Queues,
    Slot,
    Ticket,
    cause_of,
    last_words,
    load_engine,
    place,
    regrouped,
)  # fmt: skip
from medrl.cluster.fleet import FleetFigures, FleetSettings, Proof
from medrl.cluster.stacks import stack_on_its_node
from medrl.cluster.turns import Turns
from medrl.engines.base import Request
from medrl.engines.vllm_requests import finished
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import EngineFailed, LearnerLost, MedrlError, WeightDrift, need

ray: Any = need("ray", "ray")
log = logging.getLogger("medrl.cluster")


class Desk:
    """Gives out groups of requests, takes in rollouts, replaces engines."""

    def __init__(
        self,
        served: ServedModel,
        settings: EngineSettings,
        fleet: FleetSettings,
        version: int,
        strategies: Sequence[Any] | None,
    ) -> None:
        self.served, self.settings, self.fleet, self.strategies = served, settings, fleet, strategies
        self.first_version = version  # of the folder
        self.version = version  # published last, and in all engines that are ready
        self.target = version  # being published
        self.refs: tuple[Any, ...] | None = None  # of the weights of `target`; None until something is published
        self.slots = [Slot(index) for index in range(fleet.engines)]
        self.waiting: deque[list[Ticket]] = deque()
        self.queues = Queues(fleet.engines)
        self.homes: dict[tuple[str, int], Slot] = {}  # who wrote the last turn of an episode, with these weights
        self.count = self.restarts = self.resampled = 0
        self.proof: Proof | None = None  # of the weights of `target`
        self.scale: float | None = None  # of adapters, where those are what is sent
        self.failed: MedrlError | None = None
        self.starved: LearnerLost | None = None  # why an engine has no weights, until the next are published
        self.tasks: set[asyncio.Task[None]] = set()
        self.turns = Turns()

    async def start(self) -> None:
        """Bring all engines up at the same time; the first that cannot start ends it."""
        await asyncio.gather(*(self._bring_up(slot) for slot in self.slots))

    async def close(self) -> None:
        """Kill the actors; whoever still waits hears that the engines were closed."""
        self._fail(EngineFailed("the engines were closed before all rollouts were there"))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        for slot in self.slots:
            slot.end()
        await asyncio.gather(*others, return_exceptions=True)

    # Requests

    def take_in(self, groups: Sequence[list[Ticket]]) -> None:
        """Queue groups of requests."""
        late = next((t for group in groups for t in group if t.version > self.version), None)
        failed = self.failed
        if failed is None and not any(slot.ready for slot in self.slots):
            failed = self.starved
        if failed is None and late is not None:
            failed = EngineFailed(
                f"rollouts of policy version {late.version} are asked for and version {self.version} was published "
                "last; publish the weights first"
            )
        if failed is not None:
            for ticket in (ticket for group in groups for ticket in group):
                ticket.end(failed)
            return
        self.waiting.extend(groups)
        if self.turns.asleep:
            self._task(self.wake())
        self._give_out()

    def _give_out(self) -> None:
        """Hand groups to engines while any has room."""
        room = self.settings.max_num_seqs + self.fleet.ahead
        while self.waiting and not self.turns.asleep and (ready := [slot for slot in self.slots if slot.ready]):
            group = [ticket for ticket in self.waiting[0] if not ticket.done]
            slot = place(group, ready, self.homes, room, self.fleet.ahead)
            if slot.held and len(slot.held) + len(group) > room:
                break
            self.waiting.popleft()
            jobs = []
            for ticket in group:
                self.count += 1
                slot.held[self.count] = ticket
                self.homes[ticket.request.problem_id, ticket.request.index] = slot
                jobs.append((self.count, ticket.request))
            if jobs:
                # What was asked of an older version is answered by the present one, and its spans say so.
                self._task(self._submit(slot, slot.actor, jobs, max(ticket.version for ticket in group)))
        self.queues.note(self.waiting, self.slots)

    async def _submit(self, slot: Slot, actor: Any, jobs: list[tuple[int, Request]], version: int) -> None:
        try:
            await actor.submit.remote(jobs, version)
        except ray.exceptions.RayActorError as error:
            self._lost(slot, actor, f"died: {last_words(error)}")
        except ray.exceptions.RayTaskError as error:
            for number, _ in jobs:
                if (ticket := slot.held.pop(number, None)) is not None:
                    ticket.end(cause_of(error))

    async def drop(self, tickets: Sequence[Ticket]) -> None:
        """Nobody waits for these any more."""
        gone = {id(ticket) for ticket in tickets if not ticket.done}
        for ticket in tickets:
            ticket.done = True
        self._clear_done()
        async with self.turns.order:  # an engine has ended them before it falls asleep
            for slot in self.slots:
                numbers = [number for number, ticket in slot.held.items() if id(ticket) in gone]
                for number in numbers:
                    del slot.held[number]
                if numbers and slot.ready:
                    with contextlib.suppress(ray.exceptions.RayError):  # a dead engine is dealt with by its pump
                        await slot.actor.abort.remote(numbers)
        self._give_out()

    async def abort(self, problem_ids: tuple[str, ...]) -> int:
        """End these problems' requests, wherever they are."""
        chosen, count = set(problem_ids), 0
        for group in self.waiting:
            for ticket in group:
                if ticket.request.problem_id in chosen and not ticket.done:
                    count += 1
                    ticket.end(finished(None, ticket.request, self.served))
        self._clear_done()
        running: dict[str, int] = {} if self.turns.asleep else await self.ask_all("abort_problems", problem_ids)
        return count + sum(running.values())

    def _clear_done(self) -> None:
        self.waiting = deque(left for group in self.waiting if (left := [t for t in group if not t.done]))

    # Turns with a learner on the same GPUs

    async def sleep(self) -> None:
        """All engines give their memory back; what is unfinished is sampled again when they wake."""
        await self.turns.sleep(lambda: self._turn("sleep"))

    async def wake(self) -> None:
        """All engines take their memory again, and those that were lost meanwhile are replaced."""
        await self.turns.wake(lambda: self._turn("wake"))
        self._give_out()

    async def _turn(self, method: str) -> None:
        await asyncio.gather(*(self._turn_one(slot, method) for slot in self.slots if slot.ready or slot.loaded))

    async def _turn_one(self, slot: Slot, method: str) -> None:
        """One that does not fall asleep or wake is replaced: its memory is free then in any case."""
        actor, numbers = slot.actor, list(slot.held)
        going, slot.held = [ticket for ticket in slot.held.values() if not ticket.done], {}
        self.waiting.extendleft(reversed(regrouped(going)))
        self.resampled += len(going)
        self.queues.note(self.waiting, self.slots)
        try:
            async with asyncio.timeout(self.fleet.hang_after):
                if numbers:
                    await actor.abort.remote(numbers)
                await getattr(actor, method).remote()
        except TimeoutError:
            await self._hangs(slot, actor, f"did not {method} within {self.fleet.hang_after:g} s")
        except ray.exceptions.RayError as error:
            self._lost(slot, actor, f"did not {method}: {last_words(cause_of(error))}")

    # Weights and questions to all

    async def update(
        self, refs: tuple[Any, ...], version: int, proof: Proof | None = None, scale: float | None = None
    ) -> None:
        """New weights for all that are up; those that are coming up take them, and are proved, before they get work."""
        self._check()
        await self.wake()
        self.refs, self.target, self.proof, self.scale, self.starved = refs, version, proof, scale, None
        await asyncio.gather(*(self._update(slot) for slot in self.slots if slot.ready))
        self._now(version)
        for slot in self.slots:
            if slot.loaded:
                slot.loaded = False
                self._task(self._replace(slot, slot.actor))

    async def _update(self, slot: Slot) -> None:
        actor, refs, version = slot.actor, self.refs, self.target
        try:
            await actor.update.remote(list(refs or ()), version, self.scale)
            slot.refs, slot.version = refs, version
        except ray.exceptions.RayActorError as error:
            self._lost(slot, actor, f"died during the update to version {version}: {last_words(error)}")
        except ray.exceptions.RayTaskError as error:
            cause = cause_of(error)
            if isinstance(cause, ray.exceptions.ObjectLostError):  # its owner's death is one, too
                gone = f"the weights of version {version} are gone with the rank or the machine that had them"
                raise LearnerLost(f"{gone}: {last_words(cause)}", [0]) from error
            raise cause from error

    def _now(self, version: int) -> None:
        """Engines have the weights of a version; what they cached of older ones serves nobody."""
        self.version = version
        self.homes.clear()

    async def ask_all(self, method: str, *arguments: Any) -> dict[str, Any]:
        """Call a method of every engine that is up; their answers by name. One that dies meanwhile has none."""

        async def ask(slot: Slot) -> tuple[str, Any] | None:
            actor, name = slot.actor, slot.name
            try:
                return name, await getattr(actor, method).remote(*arguments)
            except ray.exceptions.RayActorError as error:
                self._lost(slot, actor, f"died while it was asked to {method}: {last_words(error)}")
                return None
            except ray.exceptions.RayTaskError as error:
                raise cause_of(error) from error

        self._check()
        await self.wake()
        answers = await asyncio.gather(*(ask(slot) for slot in self.slots if slot.ready))
        return dict(answer for answer in answers if answer is not None)

    # Lives of engines

    async def _bring_up(self, slot: Slot) -> None:
        """Start an actor in a slot, load its engine, give it the present weights, and let it work."""
        where = None if self.strategies is None else self.strategies[slot.index]
        actor = await load_engine(slot, self.served, self.settings, self.fleet, self.first_version, where)
        slot.refs, slot.version = None, self.first_version
        await self._put_to_work(slot, actor)

    async def _put_to_work(self, slot: Slot, actor: Any) -> None:
        """Give an engine that is loaded the present weights, see that it computes with them, and let it sample."""
        proved = self.refs is None  # the folder's own
        while slot.refs is not self.refs or not proved:  # more may be published while it takes in the last
            refs, proof = self.refs, self.proof
            try:
                async with asyncio.timeout(self.fleet.hang_after):
                    await self._update(slot)
            except LearnerLost:
                if refs is self.refs:
                    raise
                continue  # of others than those that are to be had now
            if slot.actor is not actor:
                return
            proved = proof is None or await self._passes(slot, actor, proof)
            if slot.actor is not actor:
                return
            proved = proved and refs is self.refs
        self._let_work(slot, actor)

    def _let_work(self, slot: Slot, actor: Any) -> None:
        slot.ready = True
        slot.pump = self._task(self._pump(slot, actor))
        self._give_out()

    async def _passes(self, slot: Slot, actor: Any, proof: Proof) -> bool:
        """Whether an engine that took weights by itself computes with them what the learner does.

        Raises:
            WeightDrift: It does not.
        """
        try:
            async with asyncio.timeout(self.fleet.hang_after):
                gap = proof.gap(await actor.probe.remote(proof.token_ids))
        except ray.exceptions.RayActorError as error:
            self._lost(slot, actor, f"died while it was probed: {last_words(error)}")
            return False
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error) from error
        if proof is self.proof and not gap <= proof.tolerance:
            raise WeightDrift(
                f"{slot.name}, which took another's place, does not compute what the learner does at version {slot.version}: "
                f"the log-probabilities of the probe differ by up to {gap:.2g} nats, and {proof.tolerance:g} is allowed"
            )
        return True

    async def _pump(self, slot: Slot, actor: Any) -> None:
        """Take what ends, until the engine is lost."""
        while slot.actor is actor:
            try:
                async with asyncio.timeout(self.fleet.heartbeat + self.fleet.hang_after):
                    harvest: Harvest = await actor.take.remote(self.fleet.heartbeat)
            except TimeoutError:
                return await self._hangs(slot, actor, f"has given no sign of life for {self.fleet.hang_after:g} s")
            except ray.exceptions.RayError as error:
                return self._lost(slot, actor, f"died: {last_words(error)}")
            slot.pulse = harvest.pulse
            for number, result in harvest.ended:
                if isinstance(result, EngineFailed):
                    return self._lost(slot, actor, f"failed: {result}")
                if (ticket := slot.held.pop(number, None)) is not None:
                    ticket.end(result)
            if harvest.pulse.quiet > self.fleet.hang_after:
                return await self._hangs(slot, actor, f"has made no step for {harvest.pulse.quiet:.0f} s")
            self._give_out()

    async def _hangs(self, slot: Slot, actor: Any, what: str) -> None:
        assert slot.card is not None
        stack = await stack_on_its_node(slot.card)
        where = f"process {slot.card.pid} on node {slot.card.node[:8]}"
        self._lost(slot, actor, f"{what} ({where}) while it held {len(slot.held)} requests; its last stack:\n{stack}")

    def _lost(self, slot: Slot, actor: Any, why: str) -> None:
        """An engine is gone: its requests go back to the head of the queue, and another takes its place."""
        if slot.actor is not actor or self.failed is not None:  # known already
            return
        name, going = slot.name, [ticket for ticket in slot.held.values() if not ticket.done]
        slot.empty()
        self.waiting.extendleft(reversed(regrouped(going)))
        self.resampled += len(going)
        if self.restarts >= self.fleet.max_restarts:
            self._fail(
                EngineFailed(
                    f"{name} {why}\nThat is one engine more than max_restarts={self.fleet.max_restarts} replaces; see "
                    "what ends them (memory, most often) before raising it"
                )
            )
            return
        self.restarts += 1
        slot.lives += 1
        log.warning(
            "%s %s\nIt is replaced (%d of at most %d), and %d requests are sampled again.",
            *(name, why, self.restarts, self.fleet.max_restarts, len(going)),
        )
        self._task(self._replace(slot))
        self._starve()
        self._give_out()

    async def _replace(self, slot: Slot, loaded: Any = None) -> None:
        """Another engine in a slot; with `loaded`, the one that is there and has no weights yet."""
        try:
            async with self.turns.coming_up():
                await (self._put_to_work(slot, loaded) if loaded is not None else self._bring_up(slot))
        except LearnerLost as lost:  # no other engine would fare better; a new learner's weights will be published
            slot.loaded, self.starved = True, lost
            self._starve()
        except TimeoutError:  # nobody else watches it yet, and a learner may wait for it
            await self._hangs(slot, slot.actor, f"did not take the weights within {self.fleet.hang_after:g} s")
        except WeightDrift as drift:
            self._fail(drift)
        except (MedrlError, ValueError, ray.exceptions.RayError) as error:
            self._lost(slot, slot.actor, f"could not be replaced: {last_words(error)}")

    def _starve(self) -> None:
        """Where no engine has weights, tell those who wait, for nobody else would."""
        if self.starved is None or any(slot.ready for slot in self.slots):
            return
        for ticket in [ticket for group in self.waiting for ticket in group]:
            ticket.end(self.starved)
        self.waiting.clear()

    def _check(self) -> None:
        if self.failed is not None:
            raise self.failed

    def _fail(self, error: MedrlError) -> None:
        self.failed = self.failed or error
        for ticket in [t for slot in self.slots for t in slot.held.values()] + [t for g in self.waiting for t in g]:
            ticket.end(error)
        self.waiting.clear()

    def _task(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # a fault of this file: nobody may hang
            self._fail(EngineFailed(f"the desk of the engines failed: {type(error).__name__}: {error}"))

    def figures(self) -> FleetFigures:
        """As they are; read from any thread."""
        engines = tuple(slot.figures() for slot in self.slots)
        waiting = sum(map(len, list(self.waiting)))
        return FleetFigures(engines, waiting, self.restarts, self.resampled, self.turns.seconds)
