"""Calls of a stranger's code, which may hang, block, or raise anything."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from medrl.testing.laws import CannotTell

T = TypeVar("T")
TICK = 0.005  # seconds between two heartbeats


class Endless(Exception):
    """A call did not end in time; its thread is left behind."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """`work()` in a thread of its own, so that one which never ends does not take the tests with it.

    Raises:
        Endless: It did not end within `seconds`.
        Exception: Whatever `work` raised.
    """
    results: list[T] = []
    faults: list[BaseException] = []

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed to the caller below
            faults.append(error)

    thread = threading.Thread(target=target, name="medrl-testing", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Endless(f"it did not end within {seconds:g} s")
    if faults:
        raise faults[0]
    return results[0]


def awaited(seconds: float, work: Callable[[], Awaitable[T]]) -> T:
    """The result of a coroutine, in an event loop of its own; see `within`."""

    async def main() -> T:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work()
        except TimeoutError as error:
            if limit.expired():  # else the plugin raised it
                raise Endless(f"it did not end within {seconds:g} s") from error
            raise

    return within(seconds + 1.0, lambda: asyncio.run(main()))


def clock() -> float:
    """Seconds of the wall clock, less those for which this thread was ready and others had the processor.

    So a busy machine slows nobody, and what computes or waits counts in full. Linux alone tells of such seconds.
    """
    try:
        waited = int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        waited = 0.0
    return time.perf_counter() - waited


def timed(seconds: float, work: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """Seconds that a coroutine took, and the longest time for which it kept the event loop from anything else; by `clock`."""

    async def main() -> tuple[float, float]:
        ticks = [clock()]

        async def heart() -> None:
            while True:
                await asyncio.sleep(TICK)
                ticks.append(clock())

        beating = asyncio.create_task(heart())
        await asyncio.sleep(0)  # the heart beats before the work begins
        ticks[:] = [clock()]
        start = ticks[0]
        try:
            await work()
        finally:
            end = clock()
            beating.cancel()
        ticks.append(end)
        return end - start, max(b - a for a, b in pairwise(ticks))

    return awaited(seconds, main)


def told(name: str, work: Callable[[], T]) -> T:
    """`work()`, where what it raises is the matter of the law `name` and hides whether another is kept."""
    try:
        return work()
    except Exception as error:  # a stranger's code may raise anything
        raise CannotTell(
            f"cannot be told before the law `{name}` is kept: {type(error).__name__}: {error}"[:300]
        ) from error


def one_line(error: BaseException) -> str:
    """`ValueError: what it says`, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
