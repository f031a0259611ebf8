"""`CachedChat`: a chat client that pays for each request once, on this machine, over all runs and processes.

Replies are kept in a file (`cache_file.py`) under a digest of the client's fingerprint and the whole request, its seed
included. The same request asked twice at the same time in one process is one call, also when the first who asked goes
away. A `ChatError` is never kept, nor is a reply that its reader could make nothing of (`forget`): else it would be an
error for good. A reply is stored before it is given out, so that a run that is killed and resumed does not meet another
one. Where the disk is full or read-only the reply is given out all the same, after one warning, for it has been paid for.
"""

import asyncio
import concurrent.futures
import hashlib
import os
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from medrl.chat.base import ChatClient, ChatReply, ChatRequest
from medrl.chat.cache_desk import Desk, desk_of, outcome
from medrl.chat.cache_upkeep import CacheFigures, clear, inspect, prune
from medrl.chat.config import KnobbedChat, canonical

__all__ = ["CacheFigures", "CacheStatistics", "CachedChat", "clear", "default_path", "inspect", "prune", "request_key"]

FORM = 1  # of the key; another one makes strangers of all entries


@dataclass(frozen=True)
class CacheStatistics:
    """What one `CachedChat` has done in this process."""

    hits: int = 0
    """Requests that the file answered."""
    joined: int = 0
    """Requests that waited for the same request, already under way."""
    misses: int = 0
    """Requests that were passed on."""


@dataclass(frozen=True)
class CachedChat(KnobbedChat):
    """Another client behind a cache on disk."""

    client: ChatClient
    """Who answers what is not in the cache."""
    path: str | Path | None = None
    """The file; None is `$MEDRL_CACHE`, or else `~/.cache/medrl/chat.sqlite`. It lies on a disk of this machine, not on a
    network file system."""
    _counts: "_Counts" = field(init=False, repr=False, compare=False)
    _desk: Desk = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        object.__setattr__(self, "_counts", _Counts())
        object.__setattr__(self, "_desk", desk_of(default_path() if self.path is None else Path(self.path)))

    @property
    def model(self) -> str:
        return self.client.model

    @property
    def file(self) -> Path:
        """Where the replies are."""
        return self._desk.file.path

    @property
    def statistics(self) -> CacheStatistics:
        """The counts of this client in this process."""
        return self._counts.snapshot()

    def fingerprint(self) -> str:
        return self.client.fingerprint()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reply to one request.

        Raises:
            ChatError: There is none, and none is in the cache.
            DataError: The file is no cache, or it is damaged.
        """
        desk, key = self._desk, request_key(self.client, request)
        while True:
            kept = desk.get(key)
            if kept is not None:
                self._counts.add("hits")
                return kept
            flight, first = desk.join(key)
            self._counts.add("misses" if first else "joined")
            try:
                if first:  # in a task of its own, which goes on when this caller goes away and others wait
                    flight.task = asyncio.create_task(self.client.complete(request))
                    flight.task.add_done_callback(partial(desk.arrived, key, flight, self.fingerprint()))
                reply = await outcome(flight.reply)
            except concurrent.futures.CancelledError:
                continue  # the event loop that asked has ended, and this one has not: ask from here
            finally:
                desk.leave(key, flight)
            return reply if first else replace(reply, attempts=0, cached=True)

    async def kept(self, request: ChatRequest) -> ChatReply | None:
        found = self._desk.get(request_key(self.client, request))
        if found is not None:
            self._counts.add("hits")
        return found

    async def forget(self, request: ChatRequest, text: str) -> None:
        await self.client.forget(request, text)
        await self._desk.forget(request_key(self.client, request), text)

    async def close(self) -> None:
        await self.client.close()
        await asyncio.get_running_loop().run_in_executor(None, self._desk.close)


class _Counts:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statistics = CacheStatistics()

    def add(self, name: str) -> None:
        with self._lock:
            self._statistics = replace(self._statistics, **{name: getattr(self._statistics, name) + 1})

    def snapshot(self) -> CacheStatistics:
        with self._lock:
            return self._statistics


def request_key(client: ChatClient, request: ChatRequest) -> str:
    """The SHA-256 of who is asked and of all that is asked."""
    asked = {
        "messages": [[one.role, one.content] for one in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": float(request.temperature),
        "seed": request.seed,
        "json_schema": request.json_schema if request.json_schema is None else dict(request.json_schema),
    }
    return hashlib.sha256(canonical([FORM, client.fingerprint(), asked]).encode()).hexdigest()


def default_path() -> Path:
    """`$MEDRL_CACHE`, or `~/.cache/medrl/chat.sqlite`."""
    named = os.environ.get("MEDRL_CACHE", "").strip()
    return Path(named or "~/.cache/medrl/chat.sqlite").expanduser()
