"""The thread that owns a vLLM engine of rollouts and steps it, so that all callers share one batch.

Requests wait here, not in vLLM, until there is a place: what has not begun when weights change then begins under the new
version. Whatever touches the engine from outside (an update, a probe, a halt) runs between two steps.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from medrl.engines.base import Request
from medrl.engines.vllm_requests import Finished, enter, finished, written_so_far
from medrl.engines.vllm_settings import EngineSettings, ServedModel, arguments
from medrl.engines.vllm_start import collect, end, on_cpu, prepare, start
from medrl.errors import EngineFailed, MedrlError, ProblemError
from medrl.types import Rollout

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One request and who waits for it.

    Attributes:
        ticket: Its number, unique in this engine.
        request: What is asked.
        deliver: Takes the rollout, or the error that ended it; called once, from the engine's thread.
    """

    ticket: int
    request: Request
    deliver: Callable[[Rollout | BaseException], None]


@dataclass(frozen=True)
class Pulse:
    """How an engine is doing.

    Attributes:
        version: The policy version that writes.
        running: Responses being written.
        waiting: Requests that wait for a place.
        quiet: Seconds since the thread last showed that it lives; counts only while it has work.
        steps: Engine steps so far.
        tokens: Tokens of finished responses so far.
        busy: Seconds spent stepping so far.
    """

    version: int
    running: int
    waiting: int
    quiet: float
    steps: int
    tokens: int
    busy: float


class EngineLoop:
    """Starts vLLM in a thread and steps it while there is work."""

    def __init__(self, served: ServedModel, settings: EngineSettings, version: int = 0) -> None:
        self.served, self.settings, self.version = served, settings, version
        self.unfit = "" if settings.from_checkpoint else "its weights are made up until a first update"
        self._wake = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: dict[str, Job] = {}
        self._commands: deque[Callable[[Any], None]] = deque()
        self._tickets = 0
        self._stopping = self._paused = self._commanded = False
        self._why: BaseException | None = None  # of its end
        self._broken: BaseException | None = None  # what a step died of
        self._beat = time.monotonic()
        self._steps = self._tokens = 0
        self._busy = 0.0
        self.ready: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, name="medrl-vllm", daemon=True)
        self.thread.start()

    # From any thread

    def submit(self, requests: Sequence[Request], deliver: Callable[[Rollout | BaseException], None]) -> list[int]:
        """Queue requests; `deliver` gets exactly one rollout or error for each. Returns their tickets."""
        with self._wake:
            self._check()
            jobs = [Job(self._tickets + i, request, deliver) for i, request in enumerate(requests)]
            self._tickets += len(jobs)
            self._rouse()
            self._waiting.extend(jobs)
            self._wake.notify()
        return [job.ticket for job in jobs]

    def call(self, work: Callable[[Any], T]) -> "Future[T]":
        """Run `work(engine)` between two steps."""
        future: Future[T] = Future()

        def command(engine: Any) -> None:
            try:
                future.set_result(work(engine))
            except BaseException as error:  # handed to whoever waits for the future
                future.set_exception(error)

        with self._wake:
            self._check()
            self._rouse()
            self._commands.append(command)
            self._wake.notify()
        return future

    def abort(self, tickets: Iterable[int], *, deliver: bool) -> "Future[int]":
        """End requests now; with `deliver` each yields what it has, as "abort". How many were still unfinished."""
        chosen = set(tickets)
        return self.call(lambda engine: self._abort(engine, lambda job: job.ticket in chosen, deliver))

    def abort_problems(self, problem_ids: Iterable[str]) -> "Future[int]":
        """End all requests of some problems, with what they have."""
        chosen = set(problem_ids)
        return self.call(lambda engine: self._abort(engine, lambda job: job.request.problem_id in chosen, True))

    def pulse(self) -> Pulse:
        """How it is doing; asks nothing of the thread, so it answers when the engine hangs."""
        running, waiting = len(self._running), len(self._waiting)
        has_work = self._commanded or bool(self._commands) or (bool(running or waiting) and not self._paused)
        quiet = time.monotonic() - self._beat if has_work else 0.0
        return Pulse(self.version, running, waiting, quiet, self._steps, self._tokens, self._busy)

    def stop(self) -> None:
        """End the thread and free the model; what is unfinished gets an error."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self.thread.join()

    def _check(self) -> None:
        if self._why is not None:
            raise EngineFailed(f"the vLLM engine of {self.served.folder} has died: {_in_words(self._why)}")
        if self._stopping:
            raise EngineFailed(f"the vLLM engine of {self.served.folder} is being closed; nothing was sampled")

    def _rouse(self) -> None:
        """Work comes to a thread that may have slept for long: its silence counts from now."""
        if self._paused or not (self._running or self._waiting or self._commands):
            self._beat = time.monotonic()

    # In the thread

    def _run(self) -> None:
        engine: Any = None
        try:
            prepare()
            engine = start(**arguments(self.served, self.settings, on_cpu()))
            engine.set_weight_version(str(self.version))
            self.ready.set_result(None)
            while self._tend(engine):
                if self._running:
                    self.step(engine)
        except BaseException as error:  # whatever an engine dies of, those who wait must hear of it
            self._why = error
            if not self.ready.done():
                self.ready.set_exception(error)
        finally:
            if engine is not None:
                end(engine)
            del engine
            self._hang_up()
            collect()

    def _hang_up(self) -> None:
        """Fail all that wait or run."""
        with self._wake:
            said = "was closed" if self._why is None else f"has died: {_in_words(self._why)}"
            self._why = self._why or EngineFailed("it was closed")
            jobs, commands = [*self._running.values(), *self._waiting], [*self._commands]
            self._running.clear()
            self._waiting.clear()
            self._commands.clear()
        failed = EngineFailed(f"the vLLM engine of {self.served.folder} {said}")
        for job in jobs:
            job.deliver(failed)
        for command in commands:
            command(_Gone(failed))

    def _tend(self, engine: Any) -> bool:
        """Run commands, admit what waits, sleep where nothing is to be done; False when it is time to stop."""
        while True:
            with self._wake:
                while not (self._stopping or self._commands or self._can_step()):
                    self._wake.wait()
                    self._beat = time.monotonic()
                if self._stopping:
                    return False
                command = self._commands.popleft() if self._commands else None
            if command is None:
                break
            self._beat, self._commanded = time.monotonic(), True
            command(engine)
            self._beat, self._commanded = time.monotonic(), False
            if self._broken is not None:
                raise self._broken
        self._admit(engine)
        return True

    def _can_step(self) -> bool:
        return bool(self._running or self._waiting) and not self._paused

    def _admit(self, engine: Any) -> None:
        """Hand waiting requests to vLLM while it has places."""
        while len(self._running) < self.settings.max_num_seqs:
            with self._wake:
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                name = str(job.ticket)
                self._running[name] = job
            try:
                enter(engine, name, job.request, self.served, self.settings, self.version)
            except (MedrlError, ValueError, OSError) as error:  # this request's fault, and no other's
                del self._running[name]
                said = f"vLLM does not take a prompt of problem {job.request.problem_id!r}: {error}"
                job.deliver(error if isinstance(error, MedrlError) else ProblemError(said))

    def step(self, engine: Any) -> dict[str, Any]:
        """One step of all that runs; what ends with it is handed out. Outputs that belong to no job, by name."""
        begun, others = time.monotonic(), dict[str, Any]()
        try:
            outputs = engine.step()
        except BaseException as error:  # also within a command, which would hand it to its caller alone
            self._broken = error
            raise
        for output in outputs:
            if output.finished and (job := self._running.pop(output.request_id, None)) is not None:
                self._deliver(job, finished(output, job.request, self.served))
            elif output.finished:
                others[output.request_id] = output
        self._beat = time.monotonic()
        self._busy += self._beat - begun
        self._steps += 1
        return others

    def step_until(self, engine: Any, names: set[str]) -> dict[str, Any]:
        """Step until the requests of these names, which are no jobs, have ended; for commands. Their outputs by name."""
        outputs: dict[str, Any] = {}
        while names - outputs.keys():
            outputs |= self.step(engine)
        return outputs

    def _deliver(self, job: Job, end: Finished) -> None:
        if not isinstance(end, BaseException):
            self._tokens += len(end.token_ids)
        job.deliver(end)

    def _abort(self, engine: Any, chosen: Callable[[Job], bool], deliver: bool) -> int:
        with self._wake:
            waiting = [job for job in self._waiting if chosen(job)]
            self._waiting = deque(job for job in self._waiting if not chosen(job))
        running = {name: job for name, job in self._running.items() if chosen(job)}
        parts = {name: written_so_far(engine, name, job.request, self.served) for name, job in running.items()}
        engine.abort_request(list(running))
        for name in running:
            del self._running[name]
        if deliver:
            for name, job in running.items():
                self._deliver(job, parts[name])
            for job in waiting:
                self._deliver(job, finished(None, job.request, self.served))
        return len(waiting) + len(running)

    def spoil(self, engine: Any, why: str) -> None:
        """The weights are a mixture: whatever is unfinished fails, and nothing is sampled. For commands."""
        self.unfit = why
        failed = EngineFailed(f"the vLLM engine of {self.served.folder} cannot sample: {why}")
        with self._wake:
            jobs = [*self._running.values(), *self._waiting]
            self._waiting.clear()
        engine.abort_request(list(self._running))
        self._running.clear()
        for job in jobs:
            job.deliver(failed)

    def pause(self) -> None:
        """No further steps until `resume`; for a turn of the learner. Call it as a command."""
        self._paused = True

    def resume(self) -> None:
        """Go on after `pause`. Call it as a command."""
        self._paused = False

    @property
    def unfinished(self) -> int:
        """Responses being written now; for commands."""
        return len(self._running)


class _Gone:
    """Stands in for an engine that is no more, so that a command which waited fails with the reason."""

    def __init__(self, why: EngineFailed) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise self._why


def _in_words(error: BaseException) -> str:
    """What it says, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"[:1000]
