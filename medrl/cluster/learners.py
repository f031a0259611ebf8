"""A learner whose ranks are Ray actors: what the trainer sees is one `Learner`.

Batches go to the ranks through the object store, once; weights leave rank 0 as references to buckets there, so tensors of
the model never pass the driver. A rank that dies or hangs breaks its group: every call then raises `LearnerLost` until
`restart` has made the group anew from a checkpoint. Weights and moments in memory are not rescued: with ZeRO the dead rank
held parts that no other has.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medrl.algorithms import Algorithm, Batch
from medrl.cluster.carrier import Members
from medrl.cluster.environment import learner_environment
from medrl.cluster.learner_actor import Beat, LearnerActor, LearnerSpec, end_rank
from medrl.errors import LearnerLost, MedrlError, UpdateBrokenOff, need
from medrl.knobs import out_of_range
from medrl.learners import Optimization
from medrl.learners.deepspeed_learner import ELSEWHERE
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.models import Policy, PolicySpec
from medrl.models.buckets import AnyBucket

GRACE_S = 15.0  # how long after a rank's error another rank's death may show
LEAVE_S = 4.0  # how long ranks may take to leave an update that is broken off
# These gather a weight at a time, so that engines on the same GPUs need not sleep.
ASIDE = ("save", "save_policy", "join", "send")
MOVING = ("start", "update", "load")  # leave other weights behind
SLICE_S = 0.5  # how long the driver waits without a look at whether it was


@dataclass(frozen=True)
class LearnerGroup:
    """Which machines a learner takes, and when it is given up."""

    ranks: int = 1
    """Processes that share the policy out; one for each GPU, or for each few cores."""

    cpus: int = 1
    """Cores of each rank, which are also its threads."""

    gpus: int = 0
    """GPUs of each rank: 1, or 0 to compute on the CPU. With `cluster.colocate` it is that of an engine, too."""

    patience_s: float = 600.0
    """Seconds without a pass through the model on any rank after which the group counts as hanging. Longer than the
    slowest micro-batch, and than writing a checkpoint."""

    start_s: float = 900.0
    """Seconds for ranks to be placed, to import their libraries and to read the policy."""

    beat_s: float = 10.0
    """Seconds between two looks at ranks that are at work. Typical 1 to 30."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("ranks", "cpus", "patience_s", "start_s", "beat_s"), from_0=("gpus",))
        if self.gpus > 1:
            faults.append(f"gpus is {self.gpus}; a rank has one GPU or none, take more ranks")
        if faults:
            raise ValueError("learners: " + "; ".join(faults))

    @property
    def collective_s(self) -> float:
        """Seconds after which a rank stops waiting for the others: later than the watcher, who can say which one hangs."""
        return max(self.start_s, 2 * self.patience_s)


class RayLearners:
    """`Learner` over the ranks of a DeepSpeed group. Ray must be up."""

    def __init__(
        self,
        policy: Policy,
        optimization: Optimization,
        deepspeed: DeepSpeedSettings | None = None,
        group: LearnerGroup | None = None,
        *,
        reference: bool = False,
        source: PolicySpec | None = None,
        options: Callable[[int], Mapping[str, Any]] = lambda rank: {},
        turn: Callable[[], None] | None = None,
    ) -> None:
        """Start the ranks.

        Args:
            policy: The driver's own copy: its weights are sent to the ranks, and stay as they are here.
            optimization: How gradients become weights.
            deepspeed: How the policy is shared out.
            group: Which machines it takes.
            reference: Keep the start policy for the KL to it.
            source: Where each rank reads the policy itself, in place of being sent it: for large ones.
            options: Options of Ray for the actor of a rank, such as a placement group, beside and before those of `group`.
            turn: Called before all that the ranks compute, where others have the same GPUs in turn; ranks then free what
                they need not keep after every call.
        """
        self._ray: Any = need("ray", "ray")
        self.policy, self.group = policy, group or LearnerGroup()
        self._options, self._turn, self._actors, self._lost = options, turn, list[Any](), ""
        self._spec = LearnerSpec(
            optimization, deepspeed or DeepSpeedSettings(), reference, source,
            self.group.cpus, self.group.collective_s, in_turn=turn is not None,
        )  # fmt: skip
        self._sent = None if source is not None else self._ray.put(policy)
        self.beats: dict[int, Beat] = {}  # the last that each rank answered
        self._broken_off: float | None = None  # when an update was, until it may go on
        self._silent: set[int] = set()  # who did not answer when last asked
        self.calls = threading.RLock()  # held by a call to all ranks; ranks must not hear two in different orders
        self.moves = 0  # how often the weights may have changed
        self._joined: tuple[str, ...] = ()  # the engines of the ranks' group
        self._start()

    # What `Learner` promises ------------------------------------------------------------------------------------------

    def forward(self, batch: Batch, want: Set[str], *, exact_rollouts: bool = False) -> Batch:
        """See `Learner.forward`."""
        if exact_rollouts and "old_logprobs" in want:  # nothing to compute, so nothing to send
            batch, want = batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT), want - {"old_logprobs"}
        if not want:
            return batch
        filled: dict[str, Any] = self._all("forward", self._ray.put(batch), want, False)[0]
        return batch.with_(**filled)

    def update(self, batch: Batch, algorithm: Algorithm, seed: int) -> dict[str, float]:
        """See `Learner.update`."""
        metrics: dict[str, float] = self._all("update", self._ray.put(batch), algorithm, seed)[0]
        return metrics

    def peak_flops(self) -> float:
        """See `Learner.peak_flops`: of all ranks, measured at the same time, since they may share cores."""
        return float(sum(self._all("peak_flops").values()))

    def interrupt(self, on: bool = True) -> None:
        """See `Learner.interrupt`. Ranks that do not leave within seconds, for they hang or a micro-batch takes longer, are
        given up: the learner is lost, and the update not undone.
        """
        self._broken_off = time.monotonic() if on else None
        for actor in self._actors:
            actor.interrupt.options(concurrency_group="watch").remote(on)

    def save(self, folder: Path) -> None:
        """See `Learner.save`; rank 0 writes, so the folder must be on a disk that its machine shares."""
        self._all("save", Path(folder).absolute())

    def load(self, folder: Path) -> None:
        """See `Learner.load`; every rank reads the folder, whoever wrote it, with any number of ranks."""
        self._all("load", Path(folder).absolute())

    def save_policy(self, folder: Path) -> None:
        """See `Learner.save_policy`; rank 0 writes."""
        self._all("save_policy", Path(folder).absolute())

    def weights(self, kind: Literal["full", "adapter"] = "full") -> Iterator[AnyBucket]:
        """See `Learner.weights`; this opens them in the driver. What sends them on takes `weight_refs`."""
        refs, _ = self.weight_refs(kind)
        for ref in refs:
            try:
                yield self._ray.get(ref)
            except self._ray.exceptions.ObjectLostError as error:
                raise self._dead([0], "weights", error) from error

    def weight_refs(self, kind: Literal["full", "adapter"] = "full") -> tuple[list[Any], int]:
        """References to the buckets of the present weights, in order, and their bytes in all.

        They lie in the object store of rank 0's machine.
        """
        put: list[tuple[Any, int]] = self._all("weights", kind)[0]
        return [ref for ref, _ in put], sum(size for _, size in put)

    def send(self, members: Members, version: int) -> int:
        """The present weights to these engines by vLLM's own transfer; returns their bytes.

        The group that the ranks form with engines is made anew, on a port of its own, for others than the last.

        Raises:
            EngineFailed: An engine did not take them, or died; it is named.
        """
        joined, self._joined = self._joined, ()
        if joined != members.names:
            self._all("join", members)
        size: int = self._all("send", version)[0]
        self._joined = members.names
        return size

    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """See `Learner.probe_logprobs`."""
        logprobs: list[float] = self._all("probe_logprobs", tuple(token_ids))[0]
        return logprobs

    # The group --------------------------------------------------------------------------------------------------------

    def restart(self, folder: Path | None = None, *, ranks: int | None = None) -> None:
        """Make the group anew, from the checkpoint in `folder`, or from the start policy where there is none yet.

        The trainer's counters must go back to the same checkpoint (`Trainer.resume` does both).

        Args:
            folder: What `save` wrote.
            ranks: How many ranks from now on; as many as before when empty.
        """
        with self.calls:
            self.close()
            if ranks is not None:
                self.group = replace(self.group, ranks=ranks)
            self._start()
            if folder is not None:
                self.load(folder)

    def close(self) -> None:
        """End the ranks and free what they held, those too that no longer listen."""
        for actor in self._actors:
            self._ray.kill(actor)
        for rank in self._silent & self.beats.keys():
            self._end(self.beats[rank])
        self._actors, self.beats, self._silent = [], {}, set()

    def _end(self, beat: Beat) -> None:
        """Kill a process that does not hear Ray, from another on its machine."""
        affinity: Any = need("ray.util.scheduling_strategies", "ray").NodeAffinitySchedulingStrategy(
            beat.node, soft=False
        )
        kill = self._ray.remote(end_rank).options(num_cpus=0, scheduling_strategy=affinity, max_retries=0)
        try:
            self._ray.get(kill.remote(beat.process), timeout=GRACE_S)
        except self._ray.exceptions.RayError:
            return  # its machine is gone too

    def _start(self) -> None:
        ranks, cpus, gpus = self.group.ranks, self.group.cpus, self.group.gpus
        remote = self._ray.remote(concurrency_groups={"watch": 1})(LearnerActor)
        options: dict[str, Any] = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "max_restarts": 0,  # a rank alone cannot come back: the group restarts together
            "runtime_env": {"env_vars": learner_environment(cpus, gpus)},
        }
        self._actors = [
            remote.options(**{**options, **self._options(rank)}).remote(rank, ranks) for rank in range(ranks)
        ]
        self._lost, self._joined = "", ()
        address = self._wait({self._actors[0].open_store.remote(): 0}, "open_store")[0]
        self._all("start", address, self._spec, self._sent)

    def _all(self, method: str, *arguments: Any) -> dict[int, Any]:
        """Call a method on all ranks and wait for all of them; results by rank."""
        with self.calls:
            if self._lost:
                raise LearnerLost(f"the learner was lost ({self._lost}); restart it from a checkpoint first")
            if self._turn is not None and method not in ASIDE:
                self._turn()
            self.moves += method in MOVING
            refs = {getattr(actor, method).remote(*arguments): rank for rank, actor in enumerate(self._actors)}
            return self._wait(refs, method)

    def _wait(self, refs: dict[Any, int], method: str) -> dict[int, Any]:
        patience = self.group.start_s if method in ("open_store", "start") else self.group.patience_s
        pending, results = dict(refs), dict[int, Any]()
        began = moved = looked = time.monotonic()
        seen = -1
        while pending:
            done, _ = self._ray.wait(list(pending), timeout=min(SLICE_S, self.group.beat_s))
            for ref in done:
                rank = pending.pop(ref)
                try:
                    results[rank] = self._ray.get(ref)
                except self._ray.exceptions.RayError as error:
                    raise self._told(error, rank, pending, method) from error
            if done or not pending:
                moved = time.monotonic()
                continue
            off = self._broken_off
            if off is not None and method in ("forward", "update") and time.monotonic() - max(off, began) > LEAVE_S:
                self._loses(f"an update was broken off, and rank {min(pending.values())} did not leave it", [])
                raise UpdateBrokenOff(whole=False)
            if time.monotonic() - looked < self.group.beat_s:
                continue
            passes, looked = self.look(), time.monotonic()
            if passes != seen:
                moved, seen = time.monotonic(), passes
            if time.monotonic() - moved > patience:
                raise self._hanging(sorted(pending.values()), method, patience)
        return results

    def _told(self, error: Any, rank: int, pending: dict[Any, int], method: str) -> BaseException:
        """The error of one rank as what it is: its own, or that another has died."""
        exceptions = self._ray.exceptions
        if not isinstance(error, exceptions.RayTaskError):
            return self._dead([rank], method, error)
        cause: BaseException = error.cause
        # Ranks that raise alike end together. Where one died, the others' errors speak of their connection to it.
        others, _ = self._ray.wait(list(pending), num_returns=len(pending), timeout=GRACE_S) if pending else ([], [])
        for ref in others:
            try:
                self._ray.get(ref)
            except exceptions.RayTaskError as other:
                cause = other.cause if ELSEWHERE in str(cause) else cause
            except exceptions.RayError as death:
                return self._dead([pending[ref]], method, death)
        if isinstance(cause, MedrlError) and len(others) == len(pending):
            return cause
        dead = [r for r in range(len(self._actors)) if self._died(r)]
        if dead:
            return self._dead(dead, method, cause)
        self.look()
        if silent := [r for r in pending.values() if r in self._silent]:
            return self._hanging(silent, method, GRACE_S)
        if len(others) < len(pending):  # they wait for a rank that has left the step
            left = f"{type(cause).__name__}: {cause}"
            return self._loses(f"rank {rank} of {self.group.ranks} failed in {method}: {left}", [rank])
        return cause

    def _died(self, rank: int) -> bool:
        beat = self._actors[rank].beat.options(concurrency_group="watch").remote()
        try:
            self._ray.get(beat, timeout=GRACE_S)
        except self._ray.exceptions.GetTimeoutError:
            return False
        except self._ray.exceptions.RayActorError:
            return True
        return False

    def look(self) -> int:
        """Ask every rank where it is; returns the passes of all together."""
        asked = {
            actor.beat.options(concurrency_group="watch").remote(): rank for rank, actor in enumerate(self._actors)
        }
        answered, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=self.group.beat_s)
        self._silent = set(asked.values()) - {asked[ref] for ref in answered}
        for ref in answered:
            try:
                self.beats[asked[ref]] = self._ray.get(ref)
            except self._ray.exceptions.RayError:
                self._silent.add(asked[ref])
        return sum(beat.passes for beat in self.beats.values())

    def _hanging(self, pending: list[int], method: str, patience: float) -> LearnerLost:
        """Names who keeps the others waiting: who does not even answer, else who has done the fewest passes."""
        silent = [rank for rank in pending if rank in self._silent]
        fewest = min((self.beats[r].passes for r in pending if r in self.beats), default=0)
        ranks = silent or [r for r in pending if r not in self.beats or self.beats[r].passes == fewest]
        shown = ""
        if method in ("open_store", "start") and (unseen := [r for r in pending if r not in self.beats]):
            names, needs = ", ".join(map(str, unseen)), f"{self.group.cpus} CPUs and {self.group.gpus} GPUs"
            return self._loses(
                f"rank {names} of {self.group.ranks} did not come up within {patience:g} s. Each needs {needs} of one "
                "machine; `ray status` says whether others have them, `ray logs` what its process said",
                unseen,
            )
        for rank in ranks:
            beat = self.beats.get(rank)
            where = f" ({beat.host}, process {beat.process}) after {beat.passes} passes" if beat else ""
            state = "does not answer; its last stack" if rank in silent else "stands still; its stack"
            shown += f"\nrank {rank}{where} {state}:\n{beat.stack if beat else '(none was seen)'}"
        names = ", ".join(map(str, ranks))
        return self._loses(
            f"rank {names} of {self.group.ranks} hangs in {method}: no pass in {patience:g} s{shown}", ranks
        )

    def _dead(self, ranks: Sequence[int], method: str, error: BaseException) -> LearnerLost:
        names = ", ".join(map(str, ranks))
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return self._loses(f"rank {names} of {self.group.ranks} died in {method}: {why}", ranks)

    def _loses(self, what: str, ranks: Sequence[int]) -> LearnerLost:
        self._lost = what.splitlines()[0]
        return LearnerLost(f"{what}\nrestart the learner from the run's last checkpoint", ranks)
