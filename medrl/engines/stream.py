"""From threads to coroutines: results that any thread puts in and one coroutine takes out."""

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue made inside a running event loop. Every entry wakes the loop at most once, however many there are."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._entries: deque[T | BaseException] = deque()
        self._filled = asyncio.Event()

    def put(self, entry: T | BaseException) -> None:
        """From any thread; an exception is raised where it is taken out. A loop that is gone hears of nothing."""
        with self._lock:
            first = not self._entries
            self._entries.append(entry)
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._filled.set)

    async def get(self) -> T:
        """The next entry, in the order in which they came."""
        while True:
            with self._lock:
                if self._entries:
                    entry = self._entries.popleft()
                    break
                self._filled.clear()
            await self._filled.wait()
        if isinstance(entry, BaseException):
            raise entry
        return entry

    async def get_all(self, seconds: float) -> list[T]:
        """All entries as soon as there is one, and none after so many seconds; an exception is raised as in `get`."""
        try:
            async with asyncio.timeout(seconds):
                found = [await self.get()]
        except TimeoutError:
            return []
        with self._lock:
            rest, self._entries = self._entries, deque()
        for entry in rest:
            if isinstance(entry, BaseException):
                raise entry
            found.append(entry)
        return found
