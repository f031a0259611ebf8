"""One rank of a learner as a Ray actor: a thin shell that joins the process group, and that can be watched from outside."""

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
import transformers

from medrl.algorithms import Algorithm, Batch
from medrl.cluster.carrier import Carrier, Members
from medrl.errors import need
from medrl.learners import Optimization
from medrl.learners.deepspeed_learner import DeepSpeedLearner
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.models import Policy, PolicySpec

_store: Any = dist.TCPStore  # type: ignore[attr-defined]
FIELDS = {"old_logprobs": "old_logprobs_BT", "ref_logprobs": "ref_logprobs_BT", "values": "values_BT"}


@dataclass(frozen=True)
class LearnerSpec:
    """What each rank makes its learner of.

    Attributes:
        optimization: How gradients become weights.
        deepspeed: How the policy is shared out.
        reference: Keep the start policy for the KL to it.
        source: Where each rank reads the policy; None where it is sent one.
        cpus: Threads of each rank.
        collective_s: Seconds after which a rank gives up waiting for the others.
        in_turn: Whether its GPU is another's too, between two calls.
    """

    optimization: Optimization
    deepspeed: DeepSpeedSettings
    reference: bool
    source: PolicySpec | None
    cpus: int
    collective_s: float
    in_turn: bool = False


@dataclass(frozen=True)
class Beat:
    """What a rank answers while it works.

    Attributes:
        rank: Which.
        node: Ray's id of its machine.
        host: The machine's name.
        process: Its process id.
        doing: The method it is in, "" when idle.
        since: Seconds it has been in it.
        passes: Passes through the model and gathered weights so far; what stands still is hanging.
        stack: Where its working thread is.
    """

    rank: int
    node: str
    host: str
    process: int
    doing: str
    since: float
    passes: int
    stack: str


class LearnerActor:
    """One rank. Its methods are those of `Learner`, called on all ranks alike; `beat` answers beside them."""

    def __init__(self, rank: int, ranks: int) -> None:
        self.rank, self.ranks = rank, ranks
        self.learner: DeepSpeedLearner | None = None
        self._carrier: Carrier | None = None
        self._store: Any = None
        self._in_turn = False
        self._doing, self._since, self._thread = "", time.monotonic(), 0

    def open_store(self) -> tuple[str, int]:
        """On rank 0: a store where the ranks meet, on a free port; returns its address."""
        host = str(need("ray", "ray").util.get_node_ip_address())
        self._store = _store(host, 0, self.ranks, is_master=True, wait_for_workers=False)
        return host, int(self._store.port)

    def start(self, address: tuple[str, int], spec: LearnerSpec, policy: Policy | None) -> None:
        """Join the group and make the learner."""
        self._in_turn = spec.in_turn
        with self._busy("start"):
            transformers.utils.logging.disable_progress_bar()
            torch.set_num_threads(spec.cpus)
            host, port = address
            store = self._store or _store(host, port, self.ranks, is_master=False)
            # Each actor sees its own GPU only, so it is the first for all of them.
            os.environ.update(RANK=str(self.rank), WORLD_SIZE=str(self.ranks), LOCAL_RANK="0")
            os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port))
            gpu = torch.cuda.is_available() and os.environ.get("DS_ACCELERATOR") != "cpu"
            limit = timedelta(seconds=spec.collective_s)
            dist.init_process_group(
                "nccl" if gpu else "gloo", store=store, rank=self.rank, world_size=self.ranks, timeout=limit
            )
            if policy is None:
                assert spec.source is not None and spec.source.path is not None
                policy = Policy.load(spec.source.path, spec.source)
            policy.move(torch.device("cuda", 0) if gpu else torch.device("cpu"))
            policy.model.eval()
            self.learner = DeepSpeedLearner(policy, spec.optimization, spec.deepspeed, reference=spec.reference)

    def forward(self, batch: Batch, want: Set[str], exact_rollouts: bool) -> dict[str, torch.Tensor]:
        """Rank 0 returns what was filled in; the others have the same and return nothing."""
        with self._busy("forward") as learner:
            filled = learner.forward(batch, want, exact_rollouts=exact_rollouts)
            return {FIELDS[name]: getattr(filled, FIELDS[name]) for name in want} if self.rank == 0 else {}

    def update(self, batch: Batch, algorithm: Algorithm, seed: int) -> dict[str, float]:
        with self._busy("update") as learner:
            metrics: dict[str, float] = learner.update(batch, algorithm, seed)
            return metrics

    def save(self, folder: Path) -> None:
        with self._busy("save") as learner:
            learner.save(folder)

    def load(self, folder: Path) -> None:
        with self._busy("load") as learner:
            learner.load(folder)

    def save_policy(self, folder: Path) -> None:
        with self._busy("save_policy") as learner:
            learner.save_policy(folder)

    def weights(self, kind: Literal["full", "adapter"]) -> list[tuple[Any, int]]:
        """Rank 0 puts each bucket into the object store; references and bytes of each. The others help to gather."""
        put = need("ray", "ray").put
        with self._busy("weights") as learner:
            return [(put(bucket), bucket.nbytes) for bucket in learner.weights(kind)]

    def join(self, members: Members) -> None:
        """Meet the engines to which `send` sends; see `Carrier.join`."""
        with self._busy("join") as learner:
            self._carrier = self._carrier or Carrier(learner)
            self._carrier.join(members, str(need("ray", "ray").util.get_node_ip_address()))

    def send(self, version: int) -> int:
        """See `Carrier.send`."""
        with self._busy("send"):
            assert self._carrier is not None
            return self._carrier.send(version)

    def probe_logprobs(self, token_ids: tuple[int, ...]) -> list[float]:
        with self._busy("probe_logprobs") as learner:
            logprobs: list[float] = learner.probe_logprobs(token_ids)
            return logprobs

    def peak_flops(self) -> float:
        with self._busy("peak_flops") as learner:
            peak: float = learner.peak_flops()
            return peak

    def interrupt(self, on: bool) -> None:
        """Break off the update under way; called beside it."""
        if self.learner is not None:
            self.learner.interrupt(on)

    def beat(self) -> Beat:
        """Where this rank is, asked in a thread of its own."""
        frame = sys._current_frames().get(self._thread)
        stack = "".join(traceback.format_stack(frame)[-12:]) if frame is not None and self._doing else ""
        passes = self.learner.passes if self.learner is not None else 0
        node = need("ray", "ray").get_runtime_context().get_node_id()
        since = time.monotonic() - self._since
        return Beat(self.rank, node, socket.gethostname(), os.getpid(), self._doing, since, passes, stack)

    @contextmanager
    def _busy(self, what: str) -> Iterator[Any]:
        self._doing, self._since, self._thread = what, time.monotonic(), threading.get_ident()
        try:
            yield self.learner
        finally:
            if self._in_turn and torch.cuda.is_available():
                torch.cuda.empty_cache()  # torch keeps freed memory for itself, and the engine is to have it now
            self._doing, self._since = "", time.monotonic()


def end_rank(process: int) -> None:
    """Kill a rank by its process id, run on its machine; a process of that id that is no rank is left alone."""
    try:
        title = Path(f"/proc/{process}/cmdline").read_bytes()
        if title.startswith(b"ray::LearnerAct"):
            os.kill(process, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended
