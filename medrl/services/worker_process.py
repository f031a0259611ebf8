"""One worker process as the server sees it: start it, hand it pieces of work, see what became of each, end it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from medrl.errors import MedrlError
from medrl.services.lines import ScoredLine, group_row, read_lines
from medrl.services.turns import Piece
from medrl.verifiers.frames import HEAD, LARGEST, pack, unpack

START = 180.0  # seconds that a worker may take to start: a model is loaded, a slow disk
GRACE = 1.0  # seconds that a tree may take to see that it is cancelled


class WorkerEnded(MedrlError, RuntimeError):
    """A worker could not be started, or ended while it held work."""


class TreeRaised(MedrlError, RuntimeError):
    """A node of the tree was told to raise where a part has no number (`missing: raise`)."""


class WorkerProcess:
    """A running `python -m medrl.services.worker`; make it with `start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._to, self._from = process, process.stdin, process.stdout
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0
        self._reader: asyncio.Task[None] | None = None
        self.alive = True
        self.hung = False
        self.answered = False  # it has scored something, so that what is loaded at the first score is there
        self.stuck = False  # hung, and found out by its silence: any piece that it held may be the cause
        self._asked: float | None = None  # when it was asked for a sign of life that it has not given yet
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._places = asyncio.Condition()
        self._inside = 0
        self._alone = False

    @classmethod
    async def start(cls, config: Mapping[str, Any], log_texts: bool) -> "WorkerProcess":
        """A worker that has built the tree.

        Raises:
            WorkerEnded: It could not; the reason is the tree's own.
        """
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # what can be imported here, can be there
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "medrl.services.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # so that it can be killed with what it started, and Ctrl-C is not for it
            )
        except OSError as error:
            raise WorkerEnded(f"a worker cannot be started: {error}") from error
        worker = cls(process)
        try:
            worker._to.write(pack({"config": dict(config), "log_texts": log_texts}))
            async with asyncio.timeout(START):
                answer = await worker._frame()
        except (TimeoutError, EOFError, OSError, ValueError) as error:
            how = f"took longer than {START:g} s" if isinstance(error, TimeoutError) else await worker._ending()
            worker.kill()
            raise WorkerEnded(f"a worker {how} to start; what it wrote to standard error says more") from error
        except BaseException:
            worker.kill()
            raise
        if "ready" not in answer:
            worker.kill()
            raise WorkerEnded(f"a worker cannot build the reward: {answer.get('failed')}")
        worker._reader = asyncio.create_task(worker._read())
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @asynccontextmanager
    async def turn(self, *, alone: bool) -> AsyncIterator[None]:
        """The right to ask: beside others, or `alone`, so that it is known which piece ended the worker."""
        async with self._places:
            await self._places.wait_for(lambda: not self._alone)
            if alone:
                self._alone = True
                await self._places.wait_for(lambda: self._inside == 0)
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if alone:
                self._alone = False
            async with self._places:
                self._places.notify_all()

    async def ask(self, piece: Piece, patience: float) -> list[ScoredLine] | None:
        """A line of scores for each group of a piece; None where nobody waits for them any more.

        Where the piece is given up while the tree computes and cannot be interrupted, the worker is killed (`hung`). So it
        is where it gives no sign of life for `patience` seconds (`stuck`); a tree that only waits for a judge gives them.

        Raises:
            WorkerEnded: The worker has ended.
            TreeRaised: The tree raised on purpose.
        """
        self._count += 1
        number = self._count
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            work = {"id": number, "groups": [group_row(group) for group in piece.groups]}
            self._to.write(pack({**work, "step": piece.step, "parts": piece.parts}))
            waited: list[asyncio.Future[Any]] = [answer, piece.lines]
            while True:
                done, _ = await asyncio.wait(waited, timeout=patience / 4, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    break
                self._watch(patience)
            if not answer.done():
                await self._give_up(number, answer)
                return None
            return self._result(answer.result(), len(piece.groups))
        finally:
            self._answers.pop(number, None)

    def _watch(self, patience: float) -> None:
        """Ask for a sign of life, or end a worker that has given none for `patience` seconds since it was asked to work."""
        now = asyncio.get_running_loop().time()
        if self._asked is None:
            self._asked = now - patience / 4  # it may have been silent since the work was handed over
            with suppress(OSError, RuntimeError):
                self._to.write(pack({"beat": 0}))
        elif now - self._asked >= patience and self.alive:
            self.hung = self.stuck = True
            self.kill()

    def _result(self, answer: Mapping[str, Any], count: int) -> list[ScoredLine] | None:
        if "raised" in answer:
            raise TreeRaised(answer["raised"])
        if "broken" in answer:
            raise WorkerEnded(f"a worker could not score: {answer['broken']}")
        if "cancelled" in answer:
            return None
        lines = read_lines(answer["lines"])
        if len(lines) != count:
            raise WorkerEnded(f"a worker was given {count} groups and scored {len(lines)}")
        return lines

    async def _give_up(self, number: int, answer: "asyncio.Future[dict[str, Any]]") -> None:
        with suppress(OSError, RuntimeError):
            self._to.write(pack({"cancel": number}))
        done, _ = await asyncio.wait([answer], timeout=GRACE)
        if not done:
            self.hung = True
            self.kill()
        else:
            answer.exception()  # seen

    async def _read(self) -> None:
        try:
            while True:
                answer = await self._frame()
                self._asked = None  # any word of it is a sign of life
                if "beat" in answer:
                    continue
                self.answered = True
                waiting = self._answers.get(answer["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except (EOFError, OSError, ValueError, KeyError, TypeError):
            how = await self._ending()
            self.kill()
            for waiting in self._answers.values():
                if not waiting.done():
                    waiting.set_exception(WorkerEnded(f"a worker {how}"))

    async def _frame(self) -> Any:
        try:
            (length,) = HEAD.unpack(await self._from.readexactly(HEAD.size))
            if length > LARGEST:
                raise ValueError("the worker does not write frames")
            return unpack(await self._from.readexactly(length))
        except asyncio.IncompleteReadError as error:
            raise EOFError("the worker has closed its output") from error

    async def _ending(self) -> str:
        if self.hung:
            return "hung and was killed"
        try:
            async with asyncio.timeout(1.0):
                code = await self._process.wait()
        except TimeoutError:
            return "stopped answering"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def kill(self) -> None:
        """End the process, and what it started."""
        self.alive = False
        if not self.gone.done():
            self.gone.set_result(None)
        if self._process.returncode is None:  # else its number may be another's by now
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._to.close()

    async def close(self) -> None:
        """End it and wait until it is gone."""
        self.kill()
        await self._process.wait()
        if self._reader is not None:
            await self._reader
