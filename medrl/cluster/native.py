"""The driver's side of vLLM's own weight transfers (`engine.transfer: nccl` or `ipc`): who takes part, and what if one dies.

Weights go from the ranks to the engines and lie nowhere else. So an engine that takes another's place waits, loaded, and
rank 0 sends it the weights at once if they are still those that were published; else the next publication is under way.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from medrl.cluster.carrier import Members
from medrl.cluster.engine_desk import Desk
from medrl.cluster.engine_slots import Slot, last_words
from medrl.cluster.engines import RayEngines
from medrl.cluster.fleet import ProbeSettings, Proof
from medrl.cluster.learners import RayLearners
from medrl.cluster.weights import Kind, RaySync
from medrl.errors import EngineFailed, LearnerLost, MedrlError, need

ray: Any = need("ray", "ray")
log = logging.getLogger("medrl.cluster")
PATIENCE = 0.8  # of `hang_after`: the sender breaks off first, and only the engine that hangs stays in the step


class NativeDesk(Desk):
    """A desk of engines that get weights from the ranks themselves, and then are told of here."""

    hungry: Callable[[], None] = staticmethod(lambda: None)

    async def members(self, hungry: bool) -> Members:
        """Engines to send weights to: all that are up, at least one; or those alone that wait for weights, if any."""
        self._check()
        await self.wake()
        while not (there := [slot for slot in self.slots if slot.loaded or (slot.ready and not hungry)]) and not hungry:
            await asyncio.sleep(0.2)  # the last that was up is being replaced
            self._check()
        engines = tuple((slot.name, slot.actor) for slot in there)
        patience = PATIENCE * self.fleet.hang_after
        return Members(self.settings.transfer, engines, self.settings.tensor_parallel, patience)

    async def received(self, members: Members, version: int, proof: Proof | None) -> None:
        """They all have the weights of a version; those that have waited for some get work, once they are proved."""
        self.target, self.proof, self.starved = version, proof or self.proof, None
        if version != self.version:
            self._now(version)
        there = [slot for slot in self.slots if slot.name in members.names]
        waited = [slot for slot in there if slot.loaded]
        for slot in there:
            slot.version, slot.loaded = version, False
        await asyncio.gather(*(self._replace(slot, slot.actor) for slot in waited))

    async def settle(self, members: Members) -> bool:
        """After a transfer that failed: all leave it, and one that does not is replaced. Whether an engine of it is gone."""

        async def look(slot: Slot) -> None:
            actor = slot.actor
            try:
                async with asyncio.timeout(self.fleet.hang_after):
                    await actor.break_off.remote()
                    await actor.native.remote("medrl_give_up", (), None)
            except TimeoutError:
                await self._hangs(slot, actor, f"did not come back from a transfer within {self.fleet.hang_after:g} s")
            except ray.exceptions.RayError as error:
                self._lost(slot, actor, f"did not come back from a transfer: {last_words(error)}")

        await asyncio.gather(
            *(look(slot) for slot in self.slots if slot.name in members.names and slot.actor is not None)
        )
        return not {slot.name for slot in self.slots}.issuperset(members.names)

    async def unfed(self, error: MedrlError) -> None:
        """Whoever waits for rollouts must hear that engines cannot be given their weights."""
        if isinstance(error, LearnerLost):
            self.starved = error
            self._starve()
        else:
            self._fail(error)

    async def _put_to_work(self, slot: Slot, actor: object) -> None:
        proof = self.proof
        if slot.version == self.version and proof is not None and not await self._passes(slot, actor, proof):
            return
        if slot.actor is not actor:
            return
        if slot.version == self.version:
            self._let_work(slot, actor)
        else:
            slot.loaded = True
            threading.Thread(target=self.hungry, name="medrl-feed", daemon=True).start()


class NativeEngines(RayEngines):
    """`RayEngines` whose weights come from the ranks themselves."""

    desk_cls = NativeDesk
    _desk: NativeDesk

    def feed_by(self, feed: Callable[[], None]) -> None:
        """What is called, in a thread of its own, when an engine is up and waits for weights."""
        self._desk.hungry = feed

    def members(self, *, hungry: bool = False) -> Members:
        """See `NativeDesk.members`."""
        return self._run(self._desk.members(hungry))

    def received(self, members: Members, version: int, proof: Proof | None) -> None:
        """See `NativeDesk.received`."""
        self._run(self._desk.received(members, version, proof))

    def settle(self, members: Members) -> bool:
        """See `NativeDesk.settle`."""
        return self._run(self._desk.settle(members))

    def unfed(self, error: MedrlError) -> None:
        """See `NativeDesk.unfed`."""
        self._run(self._desk.unfed(error))


class NativeSync(RaySync):
    """`WeightSync` from ranks to engines, without a stop in between. Whole weights, with adapters added."""

    learner: RayLearners
    engines: NativeEngines

    def __init__(
        self, learner: RayLearners, engines: NativeEngines, probe: ProbeSettings | None = None, *, summed: bool = False
    ) -> None:
        super().__init__(learner, engines, probe, summed=summed)
        self._moves = -1  # of the learner, when its weights were published
        engines.feed_by(self._feed)

    def _carry(self, version: int, kind: Kind, proof: Proof) -> int:
        with self.learner.calls:
            size = self._send(version, proof, hungry=False)
            self._moves = self.learner.moves
        return size

    def _feed(self) -> None:
        """Give an engine that takes another's place the weights that the others have."""
        with contextlib.suppress(CancelledError):  # the engines were closed meanwhile
            try:
                with self.learner.calls:
                    if self.learner.moves == self._moves:
                        self._send(self.version, None, hungry=True)
            except MedrlError as error:
                self.engines.unfed(error)

    def _send(self, version: int, proof: Proof | None, *, hungry: bool) -> int:
        """Send to engines until none dies of it, which `max_restarts` bounds; bytes of the weights."""
        while (members := self.engines.members(hungry=hungry)).engines:
            try:
                size = self.learner.send(members, version)
            except (EngineFailed, LearnerLost) as failed:
                gone = self.engines.settle(members)
                if isinstance(failed, LearnerLost) or not gone:
                    raise
                log.warning("%s\nThe weights are sent again to the engines that are left.", failed)
            else:
                self.engines.received(members, version, proof)
                return size
        return 0
