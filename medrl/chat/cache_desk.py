"""One cache file and the requests under way for it, for all clients, threads and event loops of a process.

The same request asked twice at the same time is one flight. It runs in a task of its own, so that it goes on when the
one who started it goes away, and is called off when nobody waits for it any more. What came back is written by one
thread, so that no event loop waits for the disk.
"""

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from medrl.chat.base import ChatReply
from medrl.chat.cache_file import CacheFile, CacheUnusable
from medrl.errors import DataError

T = TypeVar("T")
log = logging.getLogger(__name__)
HITS_AT_ONCE = 256


class Flight:
    """One request under way, and how many wait for its reply."""

    def __init__(self) -> None:
        self.reply: Future[ChatReply] = Future()
        self.task: asyncio.Task[ChatReply] | None = None
        self.waiting = 1
        self.paid = False


class Desk:
    """One file and the requests under way for it, for all clients, threads and event loops of this process."""

    def __init__(self, path: Path) -> None:
        self.file = CacheFile(path)
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._warned = False
        self._writer: tuple[int, ThreadPoolExecutor] | None = None
        # A program that never calls `close` still writes down how often its entries were used.
        weakref.finalize(self, self.file.close)

    def get(self, key: str) -> ChatReply | None:
        try:
            reply = self.file.get(key)
        except CacheUnusable as error:
            self._warn(error)
            return None
        if self.file.unwritten_hits >= HITS_AT_ONCE:
            self._submit(self.file.write_hits)
        return reply

    def join(self, key: str) -> tuple[Flight, bool]:
        """The flight of a request, and whether the caller is the one who must start it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = Flight()
                return flight, True
            flight.waiting += 1
            return flight, False

    def leave(self, key: str, flight: Flight) -> None:
        """One waits no more; a request for which nobody waits is called off, unless its reply is there."""
        with self._lock:
            flight.waiting -= 1
            if flight.waiting or flight.paid or flight.reply.done():
                return
            self._forget(key, flight)
        if flight.task is not None and not flight.task.get_loop().is_closed():
            flight.task.get_loop().call_soon_threadsafe(flight.task.cancel)

    def arrived(self, key: str, flight: Flight, client: str, task: "asyncio.Task[ChatReply]") -> None:
        """The request has ended: store its reply, then tell all who wait."""
        with self._lock:
            error = None if task.cancelled() else task.exception()
            flight.paid = not task.cancelled() and error is None
            if not flight.paid:
                self._forget(key, flight)
        if flight.paid:
            self._submit(self._store, key, flight, client, task.result())
        elif error is not None:
            flight.reply.set_exception(error)
        else:
            flight.reply.cancel()

    async def forget(self, key: str, text: str) -> None:
        """Keep this reply no longer. What another has stored under the key meanwhile stays."""
        await outcome(self._submit(self._drop, key, text))

    def close(self) -> None:
        """Finish writing and let go of the file; it opens again when it is needed."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None and writer[0] == os.getpid():
            writer[1].shutdown(wait=True)
        self.file.close()

    def _store(self, key: str, flight: Flight, client: str, reply: ChatReply) -> None:
        try:
            stored = self.file.put(key, client, reply)
            if stored.text != reply.text:  # another process stored its own first: all go on with that one
                reply = replace(reply, text=stored.text, model=stored.model)
        except (CacheUnusable, DataError) as error:
            self._warn(error)
        finally:
            with self._lock:
                self._forget(key, flight)
            flight.reply.set_result(reply)

    def _drop(self, key: str, text: str) -> None:
        try:
            self.file.drop(key, text)
        except (CacheUnusable, DataError) as error:
            self._warn(error)

    def _forget(self, key: str, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _submit(self, work: Callable[..., None], *arguments: Any) -> "Future[None]":
        """Hand work to the one thread that writes, so that no event loop waits for the disk or another process."""
        with self._lock:
            if self._writer is None or self._writer[0] != os.getpid():  # threads do not survive a fork
                self._writer = os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="medrl-chat-cache")
            job = self._writer[1].submit(work, *arguments)
        job.add_done_callback(_report)
        return job

    def _warn(self, error: Exception) -> None:
        with self._lock:
            first, self._warned = not self._warned, True
        if first:
            log.warning("%s. Chat replies are used all the same, but not all of them are kept", error)


_DESKS: "weakref.WeakValueDictionary[Path, Desk]" = weakref.WeakValueDictionary()
_DESKS_LOCK = threading.Lock()


def desk_of(path: Path) -> Desk:
    """The desk of the file at `path`; there is one for each file in a process."""
    place = Path(os.path.abspath(path.expanduser()))
    with _DESKS_LOCK:
        desk = _DESKS.get(place)
        if desk is None:
            desk = _DESKS[place] = Desk(place)
        return desk


async def outcome(future: "Future[T]") -> T:
    """The result of `future`, waited for on the running loop; whoever stops waiting leaves it as it is.

    `asyncio.wrap_future` would cancel it, and would speak to a loop that is closed.
    """
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()

    def wake(_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: None if turn.done() else turn.set_result(None))

    future.add_done_callback(wake)
    await turn
    return future.result()


def _report(job: "Future[None]") -> None:
    error = job.exception()
    if error is not None:
        log.error("the cache of chat replies failed: %s: %s", type(error).__name__, error, exc_info=error)
