"""One vLLM engine in a Ray actor: a thin shell around `VLLMEngine`, with what a driver needs to watch it.

Results are taken in handfuls by one long call (`take`), which is the heartbeat too: it returns when something has ended,
or after the heartbeat's seconds with nothing but a pulse.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from medrl.cluster.stacks import Card, card_of_this_process
from medrl.engines.adapters import merged_weights
from medrl.engines.base import Request
from medrl.engines.stream import Inbox
from medrl.engines.vllm_engine import VLLMEngine
from medrl.engines.vllm_loop import Pulse
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.models.buckets import lend
from medrl.types import Rollout


@dataclass(frozen=True)
class Harvest:
    """What ended since the last call, by ticket, and how the engine is doing."""

    ended: tuple[tuple[int, Rollout | Exception], ...]
    pulse: Pulse


class EngineActor:
    """The methods that a driver calls; all are coroutines, so that none waits for another."""

    def __init__(self, name: str, served: ServedModel, settings: EngineSettings) -> None:
        self.name, self.served, self.settings = name, served, settings
        self._tickets: dict[int, int] = {}  # the driver's to the engine's
        self._card = card_of_this_process(name)

    async def load(self, version: int) -> Card:
        """Start the engine; the errors of `VLLMEngine` come to the driver as they are."""
        self._ended: Inbox[tuple[int, Rollout | Exception]] = Inbox()
        self._engine = await asyncio.to_thread(VLLMEngine, self.served, self.settings, version)
        return self._card

    async def submit(self, jobs: Sequence[tuple[int, Request]], version: int) -> None:
        """Sample these, each under the driver's ticket."""
        for ticket, request in jobs:
            (self._tickets[ticket],) = self._engine.submit([request], version, partial(self._end, ticket))

    def _end(self, ticket: int, result: Any) -> None:
        self._tickets.pop(ticket, None)
        self._ended.put((ticket, result))

    async def take(self, seconds: float) -> Harvest:
        """What has ended, as soon as anything has, and at the latest after so many seconds."""
        ended = await self._ended.get_all(seconds)
        return Harvest(tuple(ended), self._engine.pulse())

    async def abort(self, tickets: Sequence[int]) -> None:
        """Drop these; nothing more is heard of them."""
        chosen = [self._tickets.pop(ticket) for ticket in tickets if ticket in self._tickets]
        await asyncio.to_thread(self._engine.abort_tickets, chosen)

    async def abort_problems(self, problem_ids: Sequence[str]) -> int:
        """End these now; each is still handed out, with what it has."""
        return await asyncio.to_thread(self._engine.abort, problem_ids)

    async def update(self, refs: Sequence[Any], version: int, scale: float | None = None) -> None:
        """New weights, out of the object store: on the learner's node their bytes are read where they lie.

        With a scale they are adapters alone, which are added to the weights of the folder.
        """
        buckets: Any = await asyncio.gather(*refs)
        if scale is not None:
            adapters = {name: tensor for bucket in buckets for name, tensor in bucket.tensors()}
            dtype: torch.dtype = getattr(torch, self.served.dtype)
            buckets = lend(merged_weights(self.served.folder, dtype, adapters, scale))
        await asyncio.to_thread(self._engine.update, buckets, version)

    async def native(self, step: str, payload: tuple[Any, ...], version: int | None) -> None:
        """A step of vLLM's own transfer; see `VLLMEngine.native`."""
        await asyncio.to_thread(partial(self._engine.native, step, *payload, version=version))

    async def break_off(self) -> None:
        """See `VLLMEngine.break_off`."""
        await asyncio.to_thread(self._engine.break_off)

    async def probe(self, token_ids: Sequence[int]) -> list[float]:
        """See `VLLMEngine.probe`."""
        return await asyncio.to_thread(self._engine.probe, token_ids)

    async def sleep(self) -> None:
        """See `VLLMEngine.sleep`."""
        await asyncio.to_thread(self._engine.sleep)

    async def wake(self) -> None:
        """See `VLLMEngine.wake`."""
        await asyncio.to_thread(self._engine.wake)
