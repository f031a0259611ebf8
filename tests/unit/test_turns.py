"""Whose turn it is on shared GPUs: what is awaited by whom, in which order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from medrl.cluster.turns import Turns


class Diary:
    """What happened, in order."""

    def __init__(self) -> None:
        self.turns, self.lines = Turns(), list[str]()

    def noted(self, what: str, after: Awaitable[Any] | None = None) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            self.lines.append(f"{what} begins")
            await (after if after is not None else asyncio.sleep(0))
            self.lines.append(f"{what} ends")

        return work

    async def come_up(self, name: str, after: Awaitable[Any]) -> None:
        async with self.turns.coming_up():
            await self.noted(name, after)()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_learner_waits_for_an_engine_that_is_coming_up_and_a_later_one_waits_for_its_turn() -> None:
    async def main() -> list[str]:
        diary, loaded = Diary(), asyncio.Event()
        first = asyncio.create_task(diary.come_up("first", loaded.wait()))
        await settle()
        sleeping = asyncio.create_task(diary.turns.sleep(diary.noted("falling asleep")))
        await settle()
        later = asyncio.create_task(diary.come_up("later", asyncio.sleep(0)))
        await settle()
        assert diary.lines == ["first begins"] and diary.turns.asleep and not sleeping.done()
        loaded.set()
        await asyncio.gather(first, sleeping)
        await settle()
        assert not later.done(), "nobody comes up in the learner's turn"
        await diary.turns.wake(diary.noted("waking"))
        await later
        return diary.lines

    assert asyncio.run(main()) == [
        "first begins", "first ends", "falling asleep begins", "falling asleep ends",
        "waking begins", "waking ends", "later begins", "later ends",
    ]  # fmt: skip


def test_changes_of_turn_come_in_the_order_in_which_they_were_asked_for_and_once_each() -> None:
    async def main() -> tuple[list[str], float]:
        diary, slow = Diary(), asyncio.sleep(0.05)
        await diary.turns.wake(diary.noted("nobody sleeps"))
        sleep, wake = diary.turns.sleep, diary.turns.wake
        await asyncio.gather(
            sleep(diary.noted("sleep", slow)),
            sleep(diary.noted("again")),
            wake(diary.noted("wake")),
            wake(diary.noted("twice")),
        )
        assert not diary.turns.asleep
        return diary.lines, diary.turns.seconds

    lines, seconds = asyncio.run(main())
    assert lines == ["sleep begins", "sleep ends", "wake begins", "wake ends"] and seconds >= 0.05


def test_one_that_waited_comes_up_between_a_waking_and_a_sleep_that_follows_at_once() -> None:
    async def main() -> list[str]:
        diary, nothing = Diary(), Diary().noted("")
        await diary.turns.sleep(nothing)
        late = asyncio.create_task(diary.come_up("late", asyncio.sleep(0.01)))
        await settle()
        await asyncio.gather(diary.turns.wake(nothing), diary.turns.sleep(diary.noted("falling asleep")))
        assert late.done()
        return diary.lines

    assert asyncio.run(main()) == ["late begins", "late ends", "falling asleep begins", "falling asleep ends"]
