"""`RayEngines`: several vLLM engines, each in a Ray actor, behind the one `Engine` protocol.

A group goes to one engine as a whole, the least loaded, so that its prompt is computed once, and a later turn of an episode
to the engine that has the earlier ones in its cache, unless it is much busier; rollouts come back as they end. An engine that
dies or hangs is replaced and given the present weights, and what it had not finished is sampled again elsewhere: of each
request exactly one rollout is yielded. Requests keep their seeds, so a request that is sampled again is drawn as before, as
far as rounding allows.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from medrl.cluster.engine_desk import Desk
from medrl.cluster.engine_slots import Ticket
from medrl.cluster.fleet import FleetFigures, FleetSettings, Proof
from medrl.engines.base import Request, Sampling
from medrl.engines.stream import Inbox
from medrl.engines.vllm_requests import check_prompts, exact, longest
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import need
from medrl.types import Rollout

T = TypeVar("T")
ray: Any = need("ray", "ray")


class RayEngines:
    """N engines in N actors. Ray must have been initialised."""

    desk_cls = Desk

    def __init__(
        self,
        served: ServedModel,
        settings: EngineSettings | None = None,
        fleet: FleetSettings | None = None,
        *,
        version: int = 0,
        strategies: Sequence[Any] | None = None,
    ) -> None:
        """Start the engines, all at once, and wait until they are loaded.

        Args:
            served: The policy, in a folder that every node can read.
            settings: Knobs of each engine.
            fleet: How many, on what, and when one is given up.
            version: The policy version of the weights in the folder.
            strategies: Ray's scheduling strategy for each engine (a bundle of a placement group, a node); None leaves
                it to Ray.

        Raises:
            EngineFailed: An engine does not start.
        """
        self.served, self.settings, self.fleet = served, settings or EngineSettings(), fleet or FleetSettings()
        if strategies is not None and len(strategies) != self.fleet.engines:
            raise ValueError(f"{len(strategies)} strategies were given for {self.fleet.engines} engines")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="medrl-engines", daemon=True)
        self._thread.start()
        self._desk = self.desk_cls(served, self.settings, self.fleet, version, strategies)
        try:
            self._run(self._desk.start())
        except BaseException:
            self.close()
            raise

    @property
    def version(self) -> int:
        """The policy version that was published last."""
        return self._desk.version

    @property
    def longest(self) -> int:
        """Most tokens of a prompt and its response together. See `context_of`."""
        return longest(self.served, self.settings)

    def exact(self, sampling: Sampling) -> bool:
        """See `VLLMEngine.exact`."""
        return exact(self.served, self.settings, sampling)

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        """Yield one rollout for each request, the moment it ends, whichever engine wrote it.

        Raises:
            ProblemError: A prompt is too long.
            EngineFailed: The weights of that version were not published, or more engines were lost than
                `max_restarts` replaces.
        """
        check_prompts(requests, self.served, self.settings)
        inbox: Inbox[Rollout] = Inbox()
        tickets = [Ticket(request, version, inbox.put) for request in requests]
        groups = [list(group) for _, group in groupby(tickets, key=_group)]
        self._loop.call_soon_threadsafe(self._desk.take_in, groups)
        left = len(tickets)
        try:
            while left:
                rollout = await inbox.get()
                left -= 1
                yield rollout
        finally:
            if left and not self._loop.is_closed():
                asyncio.run_coroutine_threadsafe(self._desk.drop(tickets), self._loop)

    def abort(self, problem_ids: Iterable[str]) -> int:
        """End the unfinished rollouts of these problems now; each is still yielded, with what it has, as "abort"."""
        return self._run(self._desk.abort(tuple(problem_ids)))

    def update(self, refs: Sequence[Any], version: int, proof: Proof | None = None, scale: float | None = None) -> None:
        """Give all engines the buckets behind these object references; an engine that starts later gets them too, and must
        pass the proof before it samples. With a scale they are adapters, see `merged_weights`.

        Raises:
            LearnerLost: The buckets died with the rank or the machine that had them.
        """
        self._run(self._desk.update(tuple(refs), version, proof, scale))

    def probe(self, token_ids: Sequence[int]) -> dict[str, list[float]]:
        """Engine to log-probabilities of `token_ids` but the first; see `VLLMEngine.probe`."""
        return self._run(self._desk.ask_all("probe", tuple(token_ids)))

    def sleep(self) -> None:
        """All engines give their GPU's memory back, for a learner that has the same GPUs; see `VLLMEngine.sleep`.

        An engine that is coming up is waited for. Whatever is asked of the engines next wakes them.
        """
        self._run(self._desk.sleep())

    def wake(self) -> None:
        """All engines take their memory again."""
        self._run(self._desk.wake())

    def figures(self) -> FleetFigures:
        """Load, tokens and speed of each engine, and what was lost so far."""
        return self._desk.figures()

    def queues(self) -> dict[str, float]:
        """Requests that wait, and that each engine has, since the last call; see `Placement.figures`."""
        return self._desk.queues.read()

    def close(self) -> None:
        """End all engines; what is unfinished gets an `EngineFailed`."""
        if self._loop.is_closed():
            return
        self._run(self._desk.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _group(ticket: Ticket) -> tuple[Any, ...]:
    request = ticket.request
    return request.problem_id, request.prompt_ids, request.images
