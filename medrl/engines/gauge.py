"""A count over time: requests that wait, rows under way, groups whose scores are awaited. Safe from any thread."""

import threading
from collections.abc import Callable
from time import perf_counter


class Gauge:
    """Whoever counts says what the count is now; whoever logs reads its mean and its peak."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._count = self._peak = 0
        self._begun = self._last = clock()
        self._area = 0.0  # count times seconds, since it began

    def to(self, count: int) -> None:
        """From now on it is `count`."""
        with self._lock:
            self._move(count)

    def add(self, more: int) -> None:
        """From now on it is `more` above what it was."""
        with self._lock:
            self._move(self._count + more)

    def read(self, name: str) -> dict[str, float]:
        """`name`, the mean over the time since the last call, and `name/peak`."""
        with self._lock:
            self._move(self._count)
            seconds = self._last - self._begun
            mean = self._area / seconds if seconds > 0 else float(self._count)
            found = {name: mean, f"{name}/peak": float(self._peak)}
            self._begun, self._area, self._peak = self._last, 0.0, self._count
        return found

    def _move(self, count: int) -> None:
        now = self._clock()
        self._area += self._count * (now - self._last)
        self._last, self._count, self._peak = now, count, max(self._peak, count)
