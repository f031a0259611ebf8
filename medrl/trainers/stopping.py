"""Ctrl-C while an update is under way: it may still end by itself for a while, then it is broken off."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from medrl.learners import Learner


@contextmanager
def bounded_by(grace: float, learner: Callable[[], Learner]) -> Iterator[None]:
    """In the block Ctrl-C does what it did before, and `grace` seconds later `learner().interrupt()` is called.

    The signal's handler runs in the main thread even while that computes an update, between two of its instructions, so a
    timer's thread is what is left to act in time. This does nothing outside the main thread, where no signal arrives, and
    where the signal is ignored, as in what a shell runs in the background.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    fired = threading.Event()
    timers: list[threading.Timer] = []

    def interrupt() -> None:
        fired.set()
        learner().interrupt()

    def on_sigint(number: int, frame: FrameType | None) -> None:
        if not timers:
            timers.append(threading.Timer(grace, interrupt))
            timers[0].daemon = True
            timers[0].start()
        before(number, frame)

    signal.signal(signal.SIGINT, on_sigint)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for timer in timers:
            timer.cancel()
            timer.join()
        if fired.is_set():
            learner().interrupt(False)  # whoever trains on in this process may
