"""Worker processes shared by all `isolated` verifiers of one plan, each owned by a thread that waits for it.

Plain threads and pipes, so that it does not matter who asks: the main thread, another thread, an event loop that lives
for one call, a spawned process or a Ray actor. A pool starts when it is first asked and ends with the program.
"""

import atexit
import os
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from medrl.types import Judged, Problem, Response, Verdict
from medrl.verifiers.frames import pack, problem_row, response_row
from medrl.verifiers.protocol import digest, failure
from medrl.verifiers.worker_process import Heard, Spent, WorkerLost, WorkerProcess

Exhausted = Literal["wrong", "timeout"]
# The reference as a response in each layout that a rule may read.
CONTROLS = (
    "{}",
    "## Thinking\n\nBy what is known of it.\n\n## Final Response\n\n{}",
    "<think>\nBy what is known of it.\n</think>\n\n{}",
)


class Request:
    """The items of one call, and their verdicts as they come in; `heard` gets what cascades counted for an item."""

    def __init__(self, items: Judged, deadline: float, exhausted: Exhausted, heard: Heard) -> None:
        self.items, self.deadline, self.exhausted, self.heard = items, deadline, exhausted, heard
        self.future: Future[list[Verdict]] = Future()
        self._verdicts: dict[int, Verdict] = {}
        self._lock = threading.Lock()

    def answer(self, index: int, verdict: Verdict) -> None:
        with self._lock:
            if index in self._verdicts:
                return
            self._verdicts[index] = verdict
            whole = len(self._verdicts) == len(self.items)
        if whole and self.future.set_running_or_notify_cancel():
            self.future.set_result([self._verdicts[i] for i in range(len(self.items))])


@dataclass(frozen=True)
class Chunk:
    """Some items of a request, for one worker."""

    request: Request
    indexes: Sequence[int]
    again: bool = False  # a worker has ended before it began with it; one item then


@dataclass(eq=False)
class Slot:
    """A thread and the worker that it owns at present."""

    worker: WorkerProcess | None = None


@dataclass(eq=False)
class Pool:
    """Workers of one plan: equal config, count, memory limit and place."""

    config: Mapping[str, Any]
    workers: int
    memory: int | None
    _chunks: "queue.SimpleQueue[Chunk | None]" = field(default_factory=queue.SimpleQueue)
    _slots: list[Slot] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def submit(self, request: Request, chunk: int) -> "Future[list[Verdict]]":
        """Judge the request's items, `chunk` at a time; the future's list is in their order."""
        count = len(request.items)
        size = max(1, min(chunk, -(-count // self.workers)))
        with self._lock:
            while len(self._slots) < min(self.workers, -(-count // size)):
                self._slots.append(Slot())
                threading.Thread(
                    target=self._work, args=(self._slots[-1],), name="medrl-verifier-worker", daemon=True
                ).start()
        for start in range(0, count, size):
            self._chunks.put(Chunk(request, range(start, min(start + size, count))))
        return request.future

    def pids(self) -> list[int]:
        """The processes that run now."""
        return [slot.worker.pid for slot in self._slots if slot.worker is not None and slot.worker.alive]

    def close(self) -> None:
        """End the workers and their threads; what is still asked fails."""
        self._closed = True
        for _ in self._slots:
            self._chunks.put(None)
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.kill()

    def disown(self) -> None:
        """Let go of the workers without ending them."""
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.disown()

    def _work(self, slot: Slot) -> None:
        while (chunk := self._chunks.get()) is not None:
            if chunk.request.future.cancelled():
                continue
            try:
                self._handle(slot, chunk)
            except Exception as error:  # no worker can be started, or a fault of this file: nobody may be left waiting
                for index in chunk.indexes:
                    chunk.request.answer(index, failure(error, "isolated"))

    def _handle(self, slot: Slot, chunk: Chunk) -> None:
        request = chunk.request
        indexes, frame = _packed(request, chunk.indexes)
        if not indexes:
            return
        worker = self._worker(slot)
        try:
            found = worker.ask(frame, len(indexes), request.deadline, request.heard)
        except WorkerLost as error:
            if not chunk.again:  # one item may be what kills a worker that only reads it, so each comes alone
                for index in indexes:
                    self._chunks.put(Chunk(request, [index], again=True))
                return
            found = [Spent("life", str(error))]
        rest = indexes[len(found) :]
        if rest:  # never started, so nothing is judged twice
            self._chunks.put(Chunk(request, rest))
        for index, outcome in zip(indexes, found, strict=False):
            if isinstance(outcome, Spent):
                outcome = self._settle(slot, request, request.items[index], outcome)
            request.answer(index, outcome)

    def _worker(self, slot: Slot) -> WorkerProcess:
        if self._closed:
            raise WorkerLost("the program is ending, so verifier workers are not started any more")
        if slot.worker is None or not slot.worker.alive:
            slot.worker = None
            slot.worker = WorkerProcess(self.config, self.memory)
        return slot.worker

    def _settle(self, slot: Slot, request: Request, item: tuple[Problem, Response], spent: Spent) -> Verdict:
        """Whose fault it is that an item spent its worker: see `medrl.verifiers.isolated`."""
        problem, response = item
        if spent.how == "memory" and slot.worker is not None:
            slot.worker.kill()  # it runs, but nobody knows what it lost
        if request.exhausted == "timeout":
            return spent.verdict("the knob `exhausted` gives that no number")
        if not (problem.reference or "").strip():
            return spent.verdict("the problem has no reference to try instead")
        again = self._alone(slot, request, (problem, response), request.heard)
        if isinstance(again, Verdict):  # the machine was slow, or an earlier item had harmed the worker
            return again
        if not self._is_sound(slot, request, problem):
            return again.verdict("so does the problem with its own reference for an answer")
        return Verdict.wrong(f"the response exhausts the verifier, and the reference does not: {again.reason}")

    def _is_sound(self, slot: Slot, request: Request, problem: Problem) -> bool:
        """Whether the problem's own reference is judged in time, in every layout, now.

        Nothing is remembered: a machine that was fast a minute ago says nothing of one that is slow now.
        """
        for layout in CONTROLS:
            control = self._alone(slot, request, (problem, Response(layout.format(problem.reference))))
            if isinstance(control, Spent) or control.status not in ("ok", "abstain"):
                return False
        return True

    def _alone(
        self, slot: Slot, request: Request, item: tuple[Problem, Response], heard: Heard | None = None
    ) -> Verdict | Spent:
        frame = pack({"problems": [problem_row(item[0])], "items": [[0, response_row(item[1])]]})
        try:
            worker = self._worker(slot)
        except WorkerLost as error:  # no worker to be had says nothing of the item
            return failure(error, "isolated")
        try:
            outcome = worker.ask(frame, 1, request.deadline, heard)[0]
        except WorkerLost as error:
            return Spent("life", str(error))
        if isinstance(outcome, Spent) and outcome.how == "memory":
            worker.kill()
        return outcome


def _packed(request: Request, indexes: Sequence[int]) -> tuple[Sequence[int], bytes]:
    """A chunk's frame, each problem in it once. Items that JSON cannot hold are answered here and left out."""
    try:
        return indexes, _frame(request, indexes)
    except (TypeError, ValueError, RecursionError):
        good = []
        for index in indexes:
            try:
                _frame(request, [index])
                good.append(index)
            except (TypeError, ValueError, RecursionError) as error:
                request.answer(index, failure(error, "isolated"))
        return good, _frame(request, good)


def _frame(request: Request, indexes: Sequence[int]) -> bytes:
    places: dict[int, int] = {}
    problems: list[dict[str, Any]] = []
    items = []
    for index in indexes:
        problem, response = request.items[index]
        if id(problem) not in places:
            places[id(problem)] = len(problems)
            problems.append(problem_row(problem))
        items.append([places[id(problem)], response_row(response)])
    return pack({"problems": problems, "items": items})


_pools: dict[str, Pool] = {}
_lock = threading.Lock()


def pool(config: Mapping[str, Any], workers: int, memory: int | None) -> Pool:
    """The pool of a plan in this process, made when it is first asked for."""
    place = [os.getpid(), os.getcwd(), sys.path]
    key = digest([dict(config), workers, memory, place])
    with _lock:
        if key not in _pools:
            _pools[key] = Pool(config, workers, memory)
        return _pools[key]


@atexit.register
def close_all() -> None:
    """End every worker of this process."""
    for one in list(_pools.values()):
        one.close()
    _pools.clear()


def _forget() -> None:
    """In a forked child: the parent's workers, threads and locks are not its own."""
    global _lock
    _lock = threading.Lock()
    for one in _pools.values():
        one.disown()
    _pools.clear()


os.register_at_fork(after_in_child=_forget)
