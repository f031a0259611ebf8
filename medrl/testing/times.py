"""The laws of time, shared by verifiers and rewards: what each call takes, and how it grows with the text."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeAlias

from medrl.testing.calls import Endless, timed
from medrl.testing.cases import Limits
from medrl.testing.hostile import GROWING
from medrl.testing.laws import CannotTell

BATCH = 32  # answers, about as many as a step's groups give a verifier at once
TRIES = 3  # a busy machine slows one of them, hardly all
NOTABLE = 0.1  # seconds below which a growth of time is noise
CLEARLY = 0.75  # share of the growth allowed below which no other try is needed
Work: TypeAlias = Callable[[], Awaitable[Any]]


def keeps_loop(work: Callable[[int], Work], limits: Limits) -> str:
    """What is seen where `work(attempt)`, on `BATCH` answers, keeps the event loop too long; "" where it does not."""
    blocked = []
    for attempt in range(TRIES):
        try:
            blocked.append(timed(limits.seconds_at_most, work(attempt))[1])
        except Endless:
            raise CannotTell("the call does not end; see the law `fast_enough`") from None
        if blocked[-1] <= limits.seconds_blocked:
            return ""
    return (
        f"{BATCH} answers kept the event loop for {min(blocked):.2f} s, the best of {TRIES}; "
        f"{limits.seconds_blocked:g} s are allowed (Limits.seconds_blocked)"
    )


def is_slow(work: Callable[[int], Work], limits: Limits) -> str:
    """What is seen where `work(attempt)`, on `BATCH` answers, takes too long for each; "" where it does not."""
    taken = []
    for attempt in range(TRIES):
        try:
            taken.append(timed(limits.seconds_at_most, work(attempt))[0] / BATCH)
        except Endless as error:
            return f"a batch of {BATCH}: {error} (Limits.seconds_at_most)"
        if taken[-1] <= limits.seconds_per_answer:
            return ""
    return (
        f"{min(taken):.3f} s per answer in a batch of {BATCH}, the best of {TRIES}; "
        f"{limits.seconds_per_answer:g} s are allowed (Limits.seconds_per_answer)"
    )


def grows(work: Callable[[str], Work], limits: Limits) -> str:
    """What is seen where the time for a text grows faster than the text; "" where it does not."""
    for name, text in GROWING.items():
        try:
            if fault := _growth(work, text, limits):
                return f"the text `{name}`: {fault}"
        except Endless as error:
            return f"the text `{name}`: {error}"
    return ""


def _growth(work: Callable[[str], Work], text: Callable[[int], str], limits: Limits) -> str:
    """Double the text until its time can be measured, then hold it against that of a quarter."""
    tried = count()

    def seconds(size: int, tries: int) -> float:
        # Spaces at the end, so that no cache answers for the plugin.
        return min(timed(limits.seconds_at_most, work(text(size) + " " * next(tried)))[0] for _ in range(tries))

    size = 1000
    while size <= limits.longest:
        if seconds(size, 1) > NOTABLE and (whole := seconds(size, TRIES)) > NOTABLE:
            quarter = whole
            for _ in range(TRIES):  # what else runs on the machine may slow one of the two
                # A quarter is tried so often that both take as long: the short one is the one that noise lengthens.
                quarter = min(quarter, seconds(size // 4, 4 * TRIES))
                if whole <= CLEARLY * limits.growth * quarter:
                    return ""
                whole = min(whole, seconds(size, TRIES))
            if whole <= limits.growth * quarter:
                return ""
            return (
                f"{whole:.2f} s for {size:,} characters, {quarter:.4f} s for a quarter of them: {whole / quarter:.0f} "
                f"times as long, where {limits.growth:g} times are allowed (Limits.growth)"
            )
        size *= 2
    return ""
