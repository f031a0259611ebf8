"""One rank's part in sending weights by vLLM's own transfers (`engine.transfer: nccl` or `ipc`).

vLLM's trainer side does the sending; on rank 0 it tells the engines each step through `EngineSteps`. An engine that dies or
hangs leaves the others of its group waiting inside a collective, where no error reaches them. So the first fault breaks the
group off, and what does not come back from it is not waited for.
"""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from medrl.engines.vllm_start import prepare
from medrl.errors import EngineFailed, LearnerLost, need
from medrl.learners.deepspeed_learner import DeepSpeedLearner

GRACE_S = 10.0  # how long after one engine's fault the others' may show, and the collective may end


@dataclass(frozen=True)
class Members:
    """Engines to which weights are sent.

    Attributes:
        transfer: "nccl" or "ipc".
        engines: Name and actor of each.
        gpus: That each has (`tensor_parallel`).
        patience: Seconds that one step may take in an engine.
    """

    transfer: str
    engines: tuple[tuple[str, Any], ...]
    gpus: int
    patience: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.engines)


class EngineSteps:
    """vLLM's `VLLMWeightSyncClient` over engines in actors: each of its steps in all of them at the same time.

    It raises nothing, for vLLM would leave its collectives on this rank alone: the first fault is kept, and no step is
    carried out after it.
    """

    def __init__(self, members: Members, break_off: Callable[[], None]) -> None:
        self.members, self.version = members, 0
        self.fault, self.fault_at = "", 0.0
        self.idle = threading.Event()
        self.idle.set()
        self._break_off = break_off

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """NCCL's group has rank 0 of the learner first, then the GPUs of each engine."""
        first = [1 + place * self.members.gpus for place in range(len(self.members.engines))]
        infos = [init_info | {"rank_offset": rank} if "rank_offset" in init_info else init_info for rank in first]
        self._all("init_weight_transfer_engine", [(info,) for info in infos])

    def start_weight_update(self) -> None:
        self._all("start_weight_update")

    def update_weights(self, update_info: Any) -> None:
        """Ends when the weights have arrived; vLLM sends them meanwhile."""
        self._all("update_weights", [(update_info,)] * len(self.members.engines))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._all("finish_weight_update", version=self.version)

    def _all(self, step: str, payloads: list[tuple[Any, ...]] | None = None, version: int | None = None) -> None:
        if self.fault:
            return
        self.idle.clear()
        try:
            each = payloads or [()] * len(self.members.engines)
            asked = {
                actor.native.remote(step, payload, version): name
                for (name, actor), payload in zip(self.members.engines, each, strict=True)
            }
            self._wait(asked, step)
        finally:
            self.idle.set()

    def _wait(self, asked: dict[Any, str], step: str) -> None:
        """Until all have ended a step. The first fault breaks it off; whoever does not leave it then hangs."""
        patience = self.members.patience
        first = self._faults(asked, step, patience, enough=1)
        if not (first or asked):
            return
        slow = (
            f"{', '.join(asked.values())} did not end {step} within {patience:g} s (engines.hang_after says how long)"
        )
        self.fault, self.fault_at = first[0][1] if first else slow, time.monotonic()
        for _, actor in self.members.engines:
            actor.break_off.remote()
        self._break_off()
        both = first + self._faults(asked, step, GRACE_S, enough=len(asked))
        died = [text for dead, text in both if dead]  # what the others say may come of it
        hanging = [f"{name} hangs in {step}" for name in asked.values()]
        self.fault = "; ".join(died or (not first and hanging) or [self.fault])

    def _faults(self, asked: dict[Any, str], step: str, seconds: float, enough: int) -> list[tuple[bool, str]]:
        """Of those that fail within so many seconds: whether they died, and what they said. Who ends is asked no more."""
        ray: Any = need("ray", "ray")  # here, for the light installation imports this module too
        found, until = list[tuple[bool, str]](), time.monotonic() + seconds
        while asked and len(found) < enough and (left := until - time.monotonic()) > 0:
            for ref in ray.wait(list(asked), timeout=left)[0]:
                name = asked.pop(ref)
                try:
                    ray.get(ref)
                except ray.exceptions.RayTaskError as error:
                    found.append((False, f"{name} failed in {step}: {type(error.cause).__name__}: {error.cause}"))
                except ray.exceptions.RayError as error:
                    found.append((True, f"{name} died in {step}: {' '.join(str(error).split())[:300]}"))
        return found


class Carrier:
    """Sends a learner's weights; the same calls come to all ranks."""

    def __init__(self, learner: DeepSpeedLearner) -> None:
        prepare()
        from medrl.engines.vllm_sender import Weights

        self.rank, self._trainer, self._learner = learner.rank, None, learner
        self.source = Weights(lambda: learner.gathered("full"))

    def join(self, members: Members, host: str) -> None:
        """Meet these engines, in place of those before.

        Raises:
            EngineFailed: One of them does not come; it is named.
            LearnerLost: This rank is caught in the meeting.
        """
        from medrl.engines.vllm_sender import open_trainer

        self.leave()
        self.nbytes = sum(self.source.sizes())
        self.steps = steps = EngineSteps(members, self.leave)
        with socket.socket() as free:
            free.bind(("", 0))
            address = host, int(free.getsockname()[1])
        world = 1 + len(members.engines) * members.gpus

        def meet() -> None:
            self._trainer = open_trainer(members.transfer, self.source, steps, self.rank, address, world)

        self._bounded(meet)

    def send(self, version: int) -> int:
        """Send the present weights, which are this version; their bytes. Raises as `join` does."""
        trainer: Any = self._trainer
        self.steps.version = version
        self.source.begin()
        self._bounded(trainer.send_weights)
        return self.nbytes

    def leave(self) -> None:
        """Break the group off, also while it is at work in another thread."""
        trainer, self._trainer = self._trainer, None
        if trainer is not None:
            trainer.shutdown()

    def _bounded(self, work: Callable[[], None]) -> None:
        """On rank 0 in a thread of its own, which is left behind where it does not come back from a group that broke."""
        if self.rank:
            return work()
        ended, steps = Future[None](), self.steps
        threading.Thread(target=self._within, args=(work, ended), name="medrl-carrier", daemon=True).start()
        moved, passes = 0.0, -1
        while not ended.done():
            wait([ended], timeout=0.5)
            if passes != self._learner.passes:  # it still gathers, with the other ranks
                moved, passes = time.monotonic(), self._learner.passes
            if steps.fault and not ended.done() and time.monotonic() > max(steps.fault_at, moved) + 2 * GRACE_S:
                raise LearnerLost(f"rank 0 is caught in a transfer of weights, in which {steps.fault}", [0])
        if steps.fault:
            own = f"; rank 0 said: {ended.exception()}" if ended.exception() else ""
            raise EngineFailed(f"the weights did not arrive: {steps.fault}{own}") from ended.exception()
        ended.result()

    def _within(self, work: Callable[[], None], ended: "Future[None]") -> None:
        try:
            work()
        except BaseException as error:
            self.leave()
            self.steps.idle.wait()  # its own word on what happened is the better one
            if self.steps.fault:
                self.source.finish()
            ended.set_exception(error)
        else:
            ended.set_result(None)
