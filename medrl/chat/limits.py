"""What bounds a chat client: requests under way, requests a minute, a budget, and a circuit breaker.

Each is shared by all threads and event loops that use the client, and each is exact: what is counted is counted under
a lock, before anything is sent. Nothing here knows HTTP.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from medrl.chat.base import BudgetSpent, CircuitOpen

Clock = Callable[[], float]


class Gate:
    """Lets so many in at once, in the order in which they came, across threads and event loops.

    `asyncio.Semaphore` belongs to one loop, so that two threads would let twice as many in.
    """

    def __init__(self, width: int) -> None:
        self._free = width
        self._lock = threading.Lock()
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    async def enter(self, *, ahead: bool = False) -> None:
        """Wait for a place; `ahead` of all others for what has waited once, as a retry has."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[turn] = None
            if ahead:
                self._waiting.move_to_end(turn, last=False)
        try:
            await turn
        except BaseException:
            with self._lock:
                still_waiting = self._waiting.pop(turn, True) is None
            if not still_waiting:  # the place came together with the cancellation: hand it on
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the next one."""
        with self._lock:
            while self._waiting:
                turn, _ = self._waiting.popitem(last=False)
                try:
                    turn.get_loop().call_soon_threadsafe(_wake, turn)
                except RuntimeError:  # its loop has been closed, so nobody waits there any more
                    continue
                return
            self._free += 1


class Pace:
    """Spreads requests evenly over time: no bursts, whatever the number of callers."""

    def __init__(self, per_minute: float | None, clock: Clock = time.monotonic) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0

    def seconds_to_wait(self) -> float:
        """Take the next moment at which a request may be sent; how far off it is."""
        if not self._gap:
            return 0.0
        with self._lock:
            now = self._clock()
            at = max(now, self._next)
            self._next = at + self._gap
        return at - now


class Budget:
    """How many calls and tokens may still be spent in this process."""

    def __init__(self, calls: int | None, tokens: int | None) -> None:
        self._limits = calls, tokens
        self._calls = self._tokens = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> tuple[int, int]:
        """Calls and tokens that are spent or set aside."""
        with self._lock:
            return self._calls, self._tokens

    def take(self, tokens: int) -> None:
        """Set one call and so many tokens aside.

        Raises:
            BudgetSpent: They are not there; nothing was taken.
        """
        most_calls, most_tokens = self._limits
        with self._lock:
            if most_calls is not None and self._calls >= most_calls:
                raise BudgetSpent(f"all of budget_calls={most_calls} is spent; nothing was sent; raise it to go on")
            if most_tokens is not None and self._tokens + tokens > most_tokens:
                left = most_tokens - self._tokens
                raise BudgetSpent(
                    f"this request may take {tokens} tokens and {left} of budget_tokens={most_tokens} are left; "
                    "nothing was sent; raise it to go on"
                )
            self._calls += 1
            self._tokens += tokens

    def give_back(self, tokens: int, *, calls: int = 0) -> None:
        """What was set aside and not spent; a negative number where more was spent than set aside."""
        with self._lock:
            self._calls -= calls
            self._tokens -= tokens


class Breaker:
    """Stops sending after so many failed requests in a row; after a while one probe goes out, and decides.

    A request that was sent before the breaker opened and succeeds closes it, for it shows that the server is back.
    """

    def __init__(self, failures: int | None, seconds: float, clock: Clock = time.monotonic) -> None:
        self._limit, self._seconds = failures, seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._open_until: float | None = None
        self._probing = False
        self._why = ""

    def check(self) -> None:
        """Raise CircuitOpen where `admit` would; takes nothing."""
        with self._lock:
            self._check()

    def admit(self) -> bool:
        """Whether the request that may now be sent is the probe.

        Raises:
            CircuitOpen: None may be sent.
        """
        with self._lock:
            self._check()
            self._probing = self._open_until is not None
            return self._probing

    def succeeded(self) -> None:
        """The server works."""
        with self._lock:
            self._in_a_row, self._open_until, self._probing = 0, None, False

    def failed(self, why: str, *, probe: bool) -> None:
        """A request failed, after all its retries, in a way that says that the server is down."""
        with self._lock:
            self._in_a_row += 1
            self._why = why
            opens = self._limit is not None and self._in_a_row >= self._limit and self._open_until is None
            if probe or opens:
                self._open_until, self._probing = self._clock() + self._seconds, False

    def forget_probe(self) -> None:
        """The probe was called off, and so says nothing: the next request is the probe."""
        with self._lock:
            self._probing = False

    def _check(self) -> None:
        if self._open_until is None:
            return
        left = self._open_until - self._clock()
        if left > 0 or self._probing:
            wait = f"for {left:.0f} more seconds" if left > 0 else "until a probe has come back"
            raise CircuitOpen(
                f"{self._in_a_row} requests in a row failed, so nothing is sent {wait}; the last one: {self._why}"
            )


def _wake(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
