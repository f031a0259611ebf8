"""Whose turn it is on GPUs that engines share with a learner (`cluster.colocate`).

Each call of the learner that computes has the engines sleep first, and whoever asks the engines wakes them first; so no call
knows of the other side. An engine that dies while it sleeps is replaced when it is the engines' turn again, and the
learner waits for one that is coming up, since that one has the memory already.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any


class Turns:
    """Asleep or awake, for all engines of a desk; at home in the desk's event loop."""

    def __init__(self) -> None:
        self.asleep = False
        self.seconds = 0.0  # spent on falling asleep and waking
        self.order = asyncio.Lock()  # one change at a time, in the order in which they were asked for
        self._dawn = asyncio.Event()
        self._coming = set[asyncio.Task[Any]]()

    async def sleep(self, lay_down: Callable[[], Awaitable[Any]]) -> None:
        """The learner's turn: nobody comes up from here on, and `lay_down` puts those that are up to sleep."""
        async with self.order:
            if self.asleep:
                return
            self.asleep = True
            while self._coming:
                await asyncio.wait(self._coming)
            begun = time.monotonic()
            await lay_down()
            self.seconds += time.monotonic() - begun

    async def wake(self, rouse: Callable[[], Awaitable[Any]]) -> None:
        """The engines' turn: `rouse` wakes those that sleep, then others may come up beside them."""
        async with self.order:
            if not self.asleep:
                return
            begun = time.monotonic()
            await rouse()
            self.asleep = False
            self._dawn.set()
            self._dawn.clear()
            self.seconds += time.monotonic() - begun

    @asynccontextmanager
    async def coming_up(self) -> AsyncIterator[None]:
        """Around all that starts an engine: waits for the engines' turn, and the learner's waits for this task's end."""
        while self.asleep:
            await self._dawn.wait()
        task = asyncio.current_task()
        assert task is not None
        self._coming.add(task)
        try:
            yield
        finally:
            self._coming.discard(task)
