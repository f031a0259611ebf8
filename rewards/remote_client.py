"""A client of the reward service (`medrl serve`): the scores that the tree would give here, or why there are none.

Scoring keeps no state on the server, so a request may be sent again: where no connection came about or one broke, and
where the server says to come back (408, 429, 502, 503). Never after an answer: a score that came is the score. An answer is
read strictly: one score for each response, in order, of the tree that was there at first. A server that was restarted
with another tree would change what a run is paid for in its middle, so that is a failure.

All work is done in one thread with an event loop of its own, so that connections are shared by all callers, plain code
and any event loop alike.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar
from uuid import uuid4

from medrl.chat.connections import is_loopback
from medrl.chat.limits import Gate
from medrl.chat.retry import seconds_before
from medrl.errors import RecipeError, need
from medrl.rewards.remote_wire import (
    Fault,
    ServiceFailed,
    ServiceRefused,
    ServiceTimedOut,
    client_faults,
    read_answer,
    read_response,
    request_body,
)
from medrl.rewards.tree import Scores
from medrl.types import Group, Score, Status

LONGEST_WAIT = 5.0  # seconds before a request is sent again
VARIABLE = "MEDRL_REWARD_TOKEN"
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardClient:
    """Asks one reward service. Safe to use from many threads and event loops at once."""

    url: str
    """Where the service is, such as http://127.0.0.1:8480."""
    token_env: str = VARIABLE
    """Environment variable with the token; unset, none is sent."""
    timeout: float = 120.0
    """Seconds for one request, answer included; above the service's own `deadline`."""
    patience: float = 90.0
    """Seconds, from when a request is first sent, for which it is sent again where the service cannot be reached or is
    busy; 0 for never. Above what a restart takes, which is 5 to 30, and more where a model is loaded."""
    concurrency: int = 16
    """Requests under way; others wait. About twice the service's workers, or more for a tree that itself waits."""
    batch: int = 64
    """Responses in one request where many groups are asked about; a group is never cut."""
    fingerprint: str = ""
    """Fingerprint that the service's tree must have (`GET /v1/reward`). Empty: the one that it has at first contact."""
    _state: "_State" = field(default_factory=lambda: _State(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = client_faults(self)
        if faults:
            raise RecipeError("the reward client", faults)

    async def score(self, groups: Sequence[Group], step: int = 0) -> Scores:
        """What every rollout of every group is worth, in order, as `Reward.score` gives it.

        Where the service fails there is no number: `timeout` where no answer came in time, else `error`.

        Raises:
            RewardFailed: A node of the tree was told to raise.
        """
        return await asyncio.wrap_future(self._submit(self._score(groups, step)))

    def score_sync(self, groups: Sequence[Group], step: int = 0) -> Scores:
        """`score` for plain code."""
        return self._submit(self._score(groups, step)).result()

    async def stream(self, groups: Sequence[Group], step: int = 0) -> AsyncIterator[tuple[int, list[Score]]]:
        """The place of each group and its scores, in the order in which they are had.

        Each group is a request of its own, so that one that breaks is sent again alone.
        """
        futures = [self._submit(self._score([group], step)) for group in groups]
        tasks = {asyncio.ensure_future(asyncio.wrap_future(one)): place for place, one in enumerate(futures)}
        try:
            waiting = set(tasks)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield tasks[task], task.result()[0]
        finally:
            for task in tasks:
                task.cancel()

    def reward(self) -> dict[str, Any]:
        """The service's tree: `config`, `description`, `fingerprint`, `version`.

        Raises:
            ServiceFailed: It does not say.
        """
        found: dict[str, Any] = self._submit(self._get("/v1/reward")).result()
        return found

    def close(self) -> None:
        """Let go of the connections; the client may be used again after."""
        self._submit(self._close()).result()

    def __getstate__(self) -> dict[str, Any]:
        return {knob.name: getattr(self, knob.name) for knob in fields(self) if knob.init}

    def __setstate__(self, knobs: dict[str, Any]) -> None:
        for name, value in {**knobs, "_state": _State()}.items():
            object.__setattr__(self, name, value)

    # Everything below runs in the client thread.

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, _loop())

    async def _score(self, groups: Sequence[Group], step: int) -> Scores:
        tasks = [asyncio.ensure_future(self._tried(some, step)) for some in self._batches(groups)]
        try:
            return [row for rows in await asyncio.gather(*tasks) for row in rows]
        finally:
            for task in tasks:
                task.cancel()

    async def _tried(self, groups: Sequence[Group], step: int) -> Scores:
        """The scores of some groups, or a status for each rollout of those that the service gave none for."""
        try:
            return await self._ask(groups, step)
        except ServiceRefused as error:
            if len(groups) > 1:  # one of them is what it refuses; the others are not to pay for it
                return [row for group in groups for row in await self._tried([group], step)]
            failed = Score(None, "error", reason=str(error)[:500])
        except ServiceFailed as error:
            status: Status = "timeout" if isinstance(error, ServiceTimedOut) else "error"
            log.warning("the reward service at %s failed on %d groups", self.url, len(groups))
            failed = Score(None, status, reason=str(error)[:500])
        return [[failed] * len(group) for group in groups]

    def _batches(self, groups: Sequence[Group]) -> list[list[Group]]:
        found: list[list[Group]] = []
        size = 0
        for group in groups:
            if not found or size + len(group) > self.batch:
                found.append([])
                size = 0
            found[-1].append(group)
            size += len(group)
        return found

    async def _ask(self, groups: Sequence[Group], step: int) -> Scores:
        asked = [group for group in groups if len(group)]
        if not asked:
            return [[] for _ in groups]
        try:
            body = request_body(asked, step)
        except (TypeError, ValueError, RecursionError) as error:
            raise ServiceRefused(f"the groups cannot be written as JSON: {error}") from error
        answer = await self._send("POST", "/v1/score", body, {200, 504})
        rows = read_answer(answer, asked)
        self._same_tree(answer)
        scored = iter(rows)
        return [next(scored) if len(group) else [] for group in groups]

    def _same_tree(self, answer: dict[str, Any]) -> None:
        found = str(answer.get("fingerprint"))
        wanted = self.fingerprint or self._state.fingerprint or found
        if found != wanted:
            raise ServiceFailed(
                f"{self.url} serves the tree {found} now, and {wanted} was expected; a run must be paid by one tree: "
                "serve that one again, or begin anew"
            )
        self._state.fingerprint = found

    async def _get(self, path: str) -> dict[str, Any]:
        return await self._send("GET", path, None, {200})

    async def _send(self, method: str, path: str, body: bytes | None, good: set[int]) -> dict[str, Any]:
        """The JSON object that answers a request, sent as often as it may be."""
        name = uuid4().hex
        attempt, end = 0, time.monotonic() + self.patience
        while True:
            async with self._state.place(self.concurrency, again=attempt > 0):
                answer, fault = await self._once(method, path, body, good, name)
            if answer is not None:
                return answer
            attempt += 1
            left = end - time.monotonic()
            if not fault.again or left <= 0:
                break
            await asyncio.sleep(min(left, seconds_before(attempt, name, 0.25, LONGEST_WAIT, fault.after)))
        tried = f" (sent {attempt} times)" if attempt > 1 else ""
        kind = ServiceTimedOut if fault.late else ServiceRefused if fault.refused else ServiceFailed
        raise kind(f"{self.url}: {fault.message}{tried}")

    async def _once(
        self, method: str, path: str, body: bytes | None, good: set[int], name: str
    ) -> "tuple[dict[str, Any] | None, Fault]":
        httpx = need("httpx2", "serve")
        try:
            async with asyncio.timeout(self.timeout):
                headers = {**self._headers(), "X-Request-ID": name}
                client = self._state.client(httpx, self.url, self.concurrency)
                response = await client.request(method, path, content=body, headers=headers)
        except TimeoutError:
            return None, Fault(f"no answer within {self.timeout:g} s", again=True, late=True)
        except httpx.HTTPError as error:
            return None, Fault(f"{type(error).__name__}: {error}"[:300], again=True)
        return read_response(response, good)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        token = os.environ.get(self.token_env, "").strip()
        if token:
            if not (token.isascii() and token.isprintable()):
                raise ServiceFailed(f"the token in {self.token_env} has characters that no HTTP header can carry")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def _close(self) -> None:
        await self._state.close()


class _State:
    """What a client holds between calls; used in the client thread alone."""

    def __init__(self) -> None:
        self.fingerprint = ""
        self._gate: Gate | None = None
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def place(self, width: int, *, again: bool) -> "_Place":
        if self._gate is None or self._loop is not asyncio.get_running_loop():  # new, or in a forked child
            self._gate, self._client, self._loop = Gate(width), None, asyncio.get_running_loop()
        return _Place(self._gate, again)

    def client(self, httpx: Any, url: str, width: int) -> Any:
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=url.rstrip("/"),
                timeout=None,  # `timeout` is for all of a request
                limits=httpx.Limits(max_connections=width, max_keepalive_connections=width, keepalive_expiry=10.0),
                trust_env=not is_loopback(url),
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


@dataclass
class _Place:
    gate: Gate
    again: bool

    async def __aenter__(self) -> None:
        await self.gate.enter(ahead=self.again)

    async def __aexit__(self, *_: object) -> None:
        self.gate.leave()


_running: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of the client thread, started when it is first asked for."""
    global _running
    with _lock:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(target=_running.run_forever, name="medrl-reward-client", daemon=True).start()
        return _running


def _forget() -> None:
    """In a forked child: the parent's thread is not there."""
    global _running, _lock
    _running, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
