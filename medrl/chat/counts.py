"""What a chat client has done so far, counted across threads."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ChatStatistics:
    """A snapshot of the counts of one client in this process."""

    calls: int = 0
    """Requests that were made of the client and have ended, well or not."""
    sent: int = 0
    """HTTP requests, retries included."""
    retries: int = 0
    """HTTP requests that were a second try or a later one."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Calls that ended without a reply, by the `kind` of their ChatError."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """HTTP requests that failed, by what happened: an HTTP status, `timeout`, `connection`, `garbled`, `length`, ..."""
    prompt_tokens: int = 0
    """Tokens read, as the server counts them, over all replies."""
    completion_tokens: int = 0
    """Tokens written."""
    waited: float = 0.0
    """Seconds that calls stood in the queue or waited for the rate limit, added up over calls."""
    backed_off: float = 0.0
    """Seconds between a failure and its retry, added up over calls."""


class Counts:
    """The counters behind `ChatStatistics`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = self._sent = self._retries = self._prompt = self._completion = 0
        self._waited = self._backed_off = 0.0
        self._failures: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def sending(self, waited: float, retry: bool) -> None:
        with self._lock:
            self._sent += 1
            self._retries += retry
            self._waited += waited

    def fault(self, name: str) -> None:
        with self._lock:
            self._faults[name] += 1

    def backing_off(self, seconds: float) -> None:
        with self._lock:
            self._backed_off += seconds

    def read(self, prompt_tokens: int, completion_tokens: int) -> None:
        with self._lock:
            self._prompt += prompt_tokens
            self._completion += completion_tokens

    def ended(self, failure: str | None = None) -> None:
        with self._lock:
            self._calls += 1
            if failure is not None:
                self._failures[failure] += 1

    def snapshot(self) -> ChatStatistics:
        with self._lock:
            return ChatStatistics(
                self._calls,
                self._sent,
                self._retries,
                dict(self._failures),
                dict(self._faults),
                self._prompt,
                self._completion,
                self._waited,
                self._backed_off,
            )
