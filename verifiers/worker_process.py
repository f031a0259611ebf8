"""One worker process as its owner sees it: start it, give it a chunk, read its verdicts against the clock, end it."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from medrl.errors import MedrlError
from medrl.types import Verdict
from medrl.verifiers.frames import HEAD, LARGEST, hello, pack, unpack

Heard: TypeAlias = Callable[[Sequence[Any]], None]
START = 120.0  # seconds that a worker may take to start, and to read a chunk: a slow disk, not a verifier


class WorkerLost(MedrlError, RuntimeError):
    """A worker could not be started, or ended before it began with what it was given."""


@dataclass(frozen=True)
class Spent:
    """An item on which the worker's time, memory or life ended."""

    how: Literal["time", "memory", "life"]
    reason: str

    def verdict(self, why: str) -> Verdict:
        """No number: `timeout` where the time ended, else `error`."""
        return Verdict.failed(f"{self.reason}; {why}", "timeout" if self.how == "time" else "error")


class WorkerProcess:
    """A running `python -m medrl.verifiers.worker`. Used by one thread, except for `kill`, which any may call."""

    def __init__(self, config: Mapping[str, Any], memory: int | None) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # what can be imported here, can be there
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "medrl.verifiers.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # so that it can be killed with what it started, and Ctrl-C is not for it
            )
        except OSError as error:
            raise WorkerLost(f"a verifier worker cannot be started: {error}") from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        self._buffer = bytearray()
        self.pid = self._process.pid
        self.alive = True
        self._start(config, memory)

    def _start(self, config: Mapping[str, Any], memory: int | None) -> None:
        try:
            self._write(pack(hello(config, memory)))
            answer = self._receive(START)
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            how = f"took longer than {START:g} s to start" if isinstance(error, TimeoutError) else self._ending()
            self.kill()
            raise WorkerLost(f"a verifier worker {how}; what it wrote to standard error says more") from error
        if "ready" not in answer:
            self.kill()
            raise WorkerLost(f"a verifier worker cannot build its verifier: {answer.get('failed')}")

    def ask(self, chunk: bytes, count: int, deadline: float, heard: Heard | None = None) -> list[Verdict | Spent]:
        """What became of the chunk's items, in order, up to the first with which the worker ended.

        Args:
            chunk: The frame.
            count: Items in it.
            deadline: Seconds for each item, from when the worker starts it.
            heard: Called with what the worker's cascades counted for an item; None where nothing is to be counted.

        Raises:
            WorkerLost: It ended, or hung, before it began with the first item.
        """
        try:
            self._write(chunk)
            self._receive(START)
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            how = self._ending()
            self.kill()
            raise WorkerLost(f"a verifier worker {how} before it began") from error
        found: list[Verdict | Spent] = []
        while len(found) < count and self.alive:
            try:
                row = self._receive(deadline)
                verdict = _read(row)
                if heard is not None and "counted" in row:
                    heard(row["counted"])
                found.append(verdict)
            except TimeoutError:
                found.append(Spent("time", f"the verifier had not ended after {deadline:g} s"))
                self.kill()
            except (OSError, EOFError, ValueError, TypeError) as error:
                broken = f"broke its frames ({error})" if isinstance(error, ValueError | TypeError) else self._ending()
                found.append(Spent("life", f"the verifier's worker {broken}"))
                self.kill()
        return found

    def kill(self) -> None:
        """End the process, and what it started, and wait until it is gone."""
        self.alive = False
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self.disown()

    def disown(self) -> None:
        """Close the pipes: for a forked child, which must not keep its parent's workers alive."""
        self.alive = False
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ending(self) -> str:
        """How the process ended, in words."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _write(self, data: bytes) -> None:
        view, limit, gate = memoryview(data), time.monotonic() + START, select.poll()
        gate.register(self._to, select.POLLOUT)
        while view:
            if not gate.poll(1000 * max(0.0, limit - time.monotonic())):
                raise TimeoutError("the worker does not read")
            with suppress(BlockingIOError):
                view = view[os.write(self._to, view) :]

    def _receive(self, seconds: float) -> Any:
        """The next frame, which must be whole within `seconds` from now."""
        limit, gate = time.monotonic() + seconds, select.poll()
        gate.register(self._from, select.POLLIN)
        while (frame := self._frame()) is None:
            if not gate.poll(1000 * max(0.0, limit - time.monotonic())):
                raise TimeoutError("no answer in time")
            piece = os.read(self._from, 1 << 16)
            if not piece:
                raise EOFError("the worker has closed its output")
            self._buffer += piece
        return unpack(frame)

    def _frame(self) -> bytearray | None:
        """The first whole frame of what has arrived, taken out of it."""
        if len(self._buffer) < HEAD.size:
            return None
        (length,) = HEAD.unpack_from(self._buffer)
        if length > LARGEST:
            raise ValueError(f"a frame of {length} bytes was announced")
        end = HEAD.size + length
        if len(self._buffer) < end:
            return None
        frame = self._buffer[HEAD.size : end]
        del self._buffer[:end]
        return frame


def _read(row: Mapping[str, Any]) -> Verdict | Spent:
    if "exhausted" in row:
        reason = str(row["exhausted"])
        how: Literal["memory", "life"] = "memory" if reason.startswith("MemoryError") else "life"
        return Spent(how, f"the verifier gave up with {reason}")
    if "verdict" not in row:
        raise ValueError("a frame without a verdict")
    return Verdict.from_json(row["verdict"])
