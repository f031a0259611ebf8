"""Who scores: worker processes, or a thread of the server's own process.

Rules compute, and one process computes one thing at a time; so they run beside the process that answers, which goes on
answering health checks, and one that hangs or crashes takes a worker and not the service. A worker that ends is
replaced. The pieces that it held are tried once more, each alone in a worker: the one that ends that too has no number
(`error`), and the others lose nothing.
"""

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from medrl.errors import RewardFailed
from medrl.rewards import Reward, RewardContext
from medrl.services.lines import ScoredLine, failed_line, line_of
from medrl.services.settings import ServiceSettings
from medrl.services.turns import Piece, Turns, cut
from medrl.services.worker_process import TreeRaised, WorkerEnded, WorkerProcess
from medrl.types import Group, Problem, Response, ask

PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds before a worker is started again, after so many failures in a row
WELL_FORMED = "## Thinking\n\nTwo and two make four.\n\n## Final Response\n\nYes"
log = logging.getLogger("medrl.services")


def check_group() -> Group:
    """What every tree is asked before it serves: a question of no weight, answered well and not at all."""
    problem = Problem("self-check", ask("Is 2 + 2 equal to 4? Answer yes or no."), reference="yes")
    return Group(problem, (Response(WELL_FORMED), Response("")))


class Scorer(ABC):
    """Scores pieces of work that wait their turn in `turns`."""

    def __init__(self, tree: Reward, settings: ServiceSettings) -> None:
        self.tree, self.settings = tree, settings
        self.turns = Turns()
        self.running = 0
        self.on_lost: Callable[[], None] = lambda: None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    @abstractmethod
    def ready(self) -> int:
        """Workers that can score now."""

    async def start(self) -> str:
        """Begin, and ask the tree one question; what came of it, in a word: `ok`, or the statuses that it gave.

        Raises:
            WorkerEnded: It cannot begin.
        """
        await self._begin()
        checks = [self.score([check_group()], 0, self.settings.deadline) for _ in range(max(1, self.ready))]
        found = [line for lines in await asyncio.gather(*checks) for line in lines]
        statuses = sorted({status for line in found for _, status in line.values if status != "ok"})
        return ", ".join(statuses) or "ok"

    @abstractmethod
    async def _begin(self) -> None: ...

    async def score(self, groups: Sequence[Group], step: int, seconds: float, parts: bool = True) -> list[ScoredLine]:
        """A line for each group, in order; `timeout` for each rollout of those that took longer than `seconds`.

        The clock of a piece starts with the work on it, and anew where the work is taken up again because a neighbour has
        hung; all has an end after twice `seconds`.

        Raises:
            TreeRaised: A node of the tree was told to raise.
        """
        pieces = cut(groups, object(), step, parts)
        if not pieces:
            return []
        await self.turns.put(pieces)
        futures = [piece.lines for piece in pieces]
        try:
            await _until_late(pieces, seconds)
            found: list[ScoredLine] = []
            for piece in pieces:
                if piece.lines.done() and not piece.lines.cancelled():
                    found += piece.lines.result()
                else:
                    reason = f"no score within {seconds:g} s; the service is too busy or its judge too slow"
                    found += [replace(failed_line(len(g), "timeout", reason), late=True) for g in piece.groups]
            return found
        finally:
            for future in futures:
                future.cancel()  # tells the workers that nobody waits; does nothing to what is done
                if future.done() and not future.cancelled():
                    future.exception()  # seen

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _until_late(pieces: Sequence[Piece], seconds: float) -> None:
    """Wait until every piece has its lines or is late, or one has failed."""
    now = asyncio.get_running_loop().time
    last = now() + 2 * seconds
    while True:
        ends = [last if p.began is None else min(p.began + seconds, last) for p in pieces if not p.lines.done()]
        ahead = [end for end in ends if end > now()]
        if not ahead:
            return
        # Not beyond `seconds`: the end of a piece that waits comes nearer when work on it begins.
        waited = [piece.lines for piece in pieces if not piece.lines.done()]
        timeout = min(min(ahead) - now(), seconds / 4)
        done, _ = await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if any(future.cancelled() or future.exception() for future in done):
            return


class ProcessScorer(Scorer):
    """Workers in processes; each takes up to `in_flight` pieces."""

    def __init__(self, tree: Reward, settings: ServiceSettings) -> None:
        super().__init__(tree, settings)
        self.workers: dict[int, WorkerProcess] = {}
        self._starting = 0.0  # seconds until all workers had started
        self._first = settings.deadline  # seconds that the first score of a worker may take: a tree may load a model

    async def start(self) -> str:
        begun = asyncio.get_running_loop().time()
        found = await super().start()
        self._first = 2 * (asyncio.get_running_loop().time() - begun - self._starting)
        return found

    def _patience(self, worker: WorkerProcess) -> float:
        return self.settings.patience if worker.answered else max(self.settings.patience, self._first)

    @property
    def ready(self) -> int:
        return sum(worker.alive for worker in self.workers.values())

    async def _begin(self) -> None:
        begun = asyncio.get_running_loop().time()
        config = self.tree.to_config()
        log_texts = self.settings.log_texts
        starts = [WorkerProcess.start(config, log_texts) for _ in range(self.settings.workers)]
        found = await asyncio.gather(*starts, return_exceptions=True)
        self.workers = {place: one for place, one in enumerate(found) if isinstance(one, WorkerProcess)}
        for one in found:
            if isinstance(one, BaseException):
                await self.close()
                raise one
        self._starting = asyncio.get_running_loop().time() - begun
        for place in self.workers:
            self._tasks.append(asyncio.create_task(self._keep(place)))

    async def _keep(self, place: int) -> None:
        """Keep a worker in one place: where it ends, start another."""
        failures = 0
        while True:
            worker = self.workers[place]
            if worker.alive:
                failures = 0
                lanes = [asyncio.create_task(self._lane(worker)) for _ in range(self.settings.in_flight)]
                try:
                    await asyncio.gather(*lanes)
                finally:
                    for lane in lanes:
                        lane.cancel()
                    await asyncio.gather(*lanes, return_exceptions=True)
            await worker.close()
            if failures or not worker.hung:
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            self.on_lost()
            log.warning("a worker has ended; another one is started")
            try:
                self.workers[place] = await WorkerProcess.start(self.tree.to_config(), self.settings.log_texts)
            except WorkerEnded as error:
                failures += 1
                log.error("no worker could be started: %s", error if self.settings.log_texts else "see its own log")

    async def _lane(self, worker: WorkerProcess) -> None:
        """One after the other, for as long as the worker lives."""
        while worker.alive:
            take = asyncio.create_task(self.turns.take())
            waited: list[asyncio.Future[Any]] = [take, worker.gone]
            try:
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not take.done():
                    take.cancel()
            if not take.done() or take.cancelled():
                return
            piece = take.result()
            if worker.alive:
                await self._handle(worker, piece)
            else:
                await self.turns.put([piece], first=True)

    async def _handle(self, worker: WorkerProcess, piece: Piece) -> None:
        self.running += 1
        try:
            async with worker.turn(alone=piece.crashes > 0):
                if not worker.alive:  # it ended while this one waited, which is no fault of it
                    piece.began = None
                    await self.turns.put([piece], first=True)
                    return
                piece.began = asyncio.get_running_loop().time()
                lines = await worker.ask(piece, self._patience(worker))
            if lines is not None and not piece.lines.done():
                piece.lines.set_result(lines)
        except TreeRaised as error:
            if not piece.lines.done():
                piece.lines.set_exception(error)
        except Exception as error:  # WorkerEnded, or a fault of this file: nobody may be left waiting
            piece.crashes += worker.stuck or not worker.hung
            piece.began = asyncio.get_running_loop().time()
            if piece.crashes < 2 and not piece.lines.done():
                await self.turns.put([piece], first=True)
            elif not piece.lines.done():
                piece.lines.set_result(self._lost(piece, worker, str(error)))
        finally:
            self.running -= 1

    def _lost(self, piece: Piece, worker: WorkerProcess, reason: str) -> list[ScoredLine]:
        """The lines of a piece that has ended two workers, the last of them alone."""
        if not worker.stuck:
            return [failed_line(len(group), "error", reason) for group in piece.groups]
        reason = f"the reward computed for more than {self.settings.patience:g} s without an end, and was stopped"
        return [replace(failed_line(len(group), "timeout", reason), late=True) for group in piece.groups]

    async def close(self) -> None:
        await super().close()
        await asyncio.gather(*(worker.close() for worker in self.workers.values()))


class ThreadScorer(Scorer):
    """A thread of this process with an event loop of its own, for a tree that cannot be built twice."""

    def __init__(self, tree: Reward, settings: ServiceSettings) -> None:
        super().__init__(tree, settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="medrl-score", daemon=True)

    @property
    def ready(self) -> int:
        return int(self._thread.is_alive())

    async def _begin(self) -> None:
        self._thread.start()
        self._tasks = [asyncio.create_task(self._lane()) for _ in range(self.settings.in_flight)]

    async def _lane(self) -> None:
        while True:
            piece = await self.turns.take()
            piece.began = asyncio.get_running_loop().time()
            self.running += 1
            work = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._lines(piece), self._loop))
            waited: list[asyncio.Future[Any]] = [work, piece.lines]
            try:
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    work.cancel()
                elif not piece.lines.done():
                    piece.lines.set_result(work.result())
            except RewardFailed as error:
                piece.lines.set_exception(TreeRaised(str(error)))
            except Exception as error:  # nobody may be left waiting
                reason = f"{type(error).__name__}: {error}"[:300]
                piece.lines.set_result([failed_line(len(group), "error", reason) for group in piece.groups])
            finally:
                work.cancel()
                self.running -= 1

    async def _lines(self, piece: Piece) -> list[ScoredLine]:
        scores = await self.tree.score(piece.groups, RewardContext(step=piece.step))
        return [line_of(row, piece.parts) for row in scores]

    async def close(self) -> None:
        await super().close()
        self._loop.call_soon_threadsafe(self._loop.stop)


def make_scorer(tree: Reward, settings: ServiceSettings) -> Scorer:
    """Workers in processes, or a thread where `workers` is 0."""
    return ProcessScorer(tree, settings) if settings.workers else ThreadScorer(tree, settings)
