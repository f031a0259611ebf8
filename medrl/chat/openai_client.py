"""`OpenAIChat`: a chat model behind an OpenAI-compatible server (OpenAI, vLLM, SGLang, llama.cpp and many others).

It is the `openai` package's `AsyncOpenAI` for the transport, with that package's retries switched off, and around it
what a judge in training needs: every attempt under its own deadline that does not count the queue, retries only of
what a retry can mend, a rate limit, a budget that is never overdrawn, a circuit breaker, and strict reading of what
comes back (`openai_wire.py`). A request ends in a whole reply or in a `ChatError`.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from medrl.chat.base import ChatBadReply, ChatError, ChatReply, ChatRequest
from medrl.chat.config import KnobbedChat, digest
from medrl.chat.connections import Connections, Endpoint
from medrl.chat.counts import ChatStatistics, Counts
from medrl.chat.limits import Breaker, Budget, Gate, Pace
from medrl.chat.openai_wire import body_of, most_tokens, read_reply
from medrl.chat.retry import Fault, seconds_before
from medrl.errors import RecipeError
from medrl.knobs import out_of_range


class _Shared:
    """What all threads and event loops that use one client share. Never pickled: a copy begins anew."""

    def __init__(self, chat: "OpenAIChat") -> None:
        self.gate = Gate(chat.concurrency)
        self.pace = Pace(chat.requests_per_minute)
        self.budget = Budget(chat.budget_calls, chat.budget_tokens)
        self.breaker = Breaker(chat.breaker_failures, chat.breaker_seconds)
        self.counts = Counts()
        endpoint = Endpoint(chat.base_url, chat.api_key_env, chat.timeout, chat.concurrency)
        self.connections = Connections(endpoint)


@dataclass(frozen=True)
class OpenAIChat(KnobbedChat):
    """One model behind one server."""

    model: str = ""  # the default takes the place of the abstract property, and is refused
    """The model's name, as the server knows it; it must be given."""
    base_url: str | None = None
    """The server's address, up to and with `/v1`; None is `$OPENAI_BASE_URL`, or else the OpenAI API itself."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key (never the key). A server on a loopback address needs none."""
    revision: str = ""
    """Which weights the server has loaded, in your own words; verdicts in a cache are kept apart by it."""
    timeout: float = 120.0
    """Seconds for one attempt, from when it is sent to the end of its reply; the queue does not count. 10 to 600."""
    max_retries: int = 6
    """How often a request is sent again after a failure that may pass. 0 to 10."""
    backoff: float = 0.5
    """Seconds that the first retry waits at most; each further one may wait twice as long. 0.1 to 2."""
    longest_backoff: float = 8.0
    """Seconds that a retry waits at most by itself. 5 to 60."""
    longest_retry_after: float = 60.0
    """Seconds that a retry waits at most where the server says how long (Retry-After). 10 to 300."""
    concurrency: int = 32
    """The most requests under way at once in this process, over all threads. 8 to 512 for a server of one's own."""
    requests_per_minute: float | None = None
    """The most HTTP requests a minute in this process, evenly spread; None is no limit."""
    budget_calls: int | None = None
    """The most HTTP requests in this process, retries included; None is no limit."""
    budget_tokens: int | None = None
    """The most tokens, read and written, in this process. A request under way counts with the most that it may take
    (bytes of its text and max_tokens), and after its reply with what the server says; None is no limit."""
    breaker_failures: int | None = 10
    """After so many requests in a row that failed with all their retries, none is sent for a while; None is never."""
    breaker_seconds: float = 30.0
    """For how long; then one request without retries probes the server. 10 to 300."""
    structured: Literal["json_schema", "none"] = "json_schema"
    """`json_schema` sends a request's schema as `response_format` (OpenAI, vLLM, SGLang, llama.cpp) and checks that the
    reply keeps it; `none` does neither, so that the prompt must ask for the form and the reader must check it."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the limit of a reply; reasoning models of OpenAI know only the second."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request, such as `{chat_template_kwargs: {enable_thinking: false}}`; no secrets."""
    _shared: _Shared = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = out_of_range(
            self,
            above_0=("timeout", "concurrency", "breaker_seconds"),
            from_0=("max_retries", "backoff", "longest_backoff", "longest_retry_after"),
        )
        limits = ("requests_per_minute", "budget_calls", "budget_tokens", "breaker_failures")
        faults += out_of_range(self, above_0=[name for name in limits if getattr(self, name) is not None])
        if not self.model:
            faults.append("model is empty; name one that the server has")
        faults += _faults_of_address(self.base_url)
        for name in ("model", "messages", "stream", "n"):
            if name in self.extra_body:
                faults.append(f"extra_body sets {name!r}, which is not its to set")
        try:
            json.dumps(dict(self.extra_body))
        except (TypeError, ValueError) as error:
            faults.append(f"extra_body cannot be written as JSON: {error}")
        for name, known in (
            ("structured", ("json_schema", "none")),
            ("token_limit", ("max_tokens", "max_completion_tokens")),
        ):
            if getattr(self, name) not in known:
                faults.append(f"{name} is {getattr(self, name)!r}; it is one of: {', '.join(known)}")
        if faults:
            raise RecipeError("OpenAIChat", faults)
        self._begin()

    def _begin(self) -> None:
        object.__setattr__(self, "_shared", _Shared(self))

    def fingerprint(self) -> str:
        return digest(["openai", self.model, self.revision, self.structured, dict(self.extra_body)])

    @property
    def statistics(self) -> ChatStatistics:
        """The counts of this client in this process."""
        return self._shared.counts.snapshot()

    async def complete(self, request: ChatRequest) -> ChatReply:
        counts = self._shared.counts
        try:
            reply = await self._complete(request)
        except ChatError as error:
            counts.ended(error.kind)
            raise
        counts.ended()
        return reply

    async def close(self) -> None:
        await self._shared.connections.close()

    async def _complete(self, request: ChatRequest) -> ChatReply:
        """Send it until there is a reply, a fault that no retry mends, or no retry left."""
        shared = self._shared
        shared.connections.endpoint.key()  # raises where there is none, before anything is counted or sent
        body = body_of(request, self.model, self.structured == "json_schema", self.token_limit, self.extra_body)
        attempt = 0
        while True:
            outcome, probe = await self._attempt(request, body, retry=attempt > 0)
            if isinstance(outcome, ChatReply):
                return replace(outcome, attempts=attempt + 1)
            shared.counts.fault(outcome.name)
            if probe or not outcome.again or attempt == self.max_retries:
                break
            attempt += 1
            longest = self.longest_backoff if outcome.after is None else self.longest_retry_after
            wait = seconds_before(attempt, json.dumps(body), self.backoff, longest, outcome.after)
            shared.counts.backing_off(wait)
            await asyncio.sleep(wait)
        if outcome.down:
            shared.breaker.failed(outcome.message, probe=probe)
        else:
            shared.breaker.succeeded()
        times = f" ({attempt + 1} attempts)" if attempt else ""
        error = outcome.error(f"{self.model}: {outcome.message}{times}{self._advice(outcome)}")
        raise error.of(outcome.name, outcome.text) if isinstance(error, ChatBadReply) else error

    async def _attempt(
        self, request: ChatRequest, body: Mapping[str, Any], *, retry: bool
    ) -> tuple[ChatReply | Fault, bool]:
        """Wait for a place, then send once; what came of it, and whether it was the breaker's probe."""
        shared, tokens = self._shared, most_tokens(request)
        began = time.monotonic()
        shared.breaker.check()
        await shared.gate.enter(ahead=retry)
        try:
            shared.breaker.check()
            if pause := shared.pace.seconds_to_wait():
                await asyncio.sleep(pause)
            shared.budget.take(tokens)
            try:
                probe = shared.breaker.admit()
            except ChatError:
                shared.budget.give_back(tokens, calls=1)
                raise
            shared.counts.sending(time.monotonic() - began, retry)
            try:
                outcome = await self._send(request, body)
            except BaseException:
                if probe:
                    shared.breaker.forget_probe()
                raise
            self._settle(outcome, tokens)
            return outcome, probe
        finally:
            shared.gate.leave()

    async def _send(self, request: ChatRequest, body: Mapping[str, Any]) -> ChatReply | Fault:
        content = await self._shared.connections.send(body)
        if isinstance(content, Fault):
            return content
        return read_reply(content, request, self.model, self.structured == "json_schema")

    def _settle(self, outcome: ChatReply | Fault, set_aside: int) -> None:
        """Count what an attempt cost. What nobody knows (a timeout, a reply without usage) stays charged in full."""
        shared = self._shared
        if isinstance(outcome, ChatReply):
            shared.breaker.succeeded()
            shared.counts.read(outcome.prompt_tokens, outcome.completion_tokens)
            cost = outcome.prompt_tokens + outcome.completion_tokens or None
        else:
            cost = outcome.tokens
        if cost is not None:
            sent = not isinstance(outcome, Fault) or outcome.sent
            shared.budget.give_back(set_aside - cost, calls=0 if sent else 1)

    def _advice(self, fault: Fault) -> str:
        where = self._shared.connections.endpoint.url() or "the OpenAI API"
        match fault.name:
            case "401" | "403":
                return f"; see whether {self.api_key_env} holds a key that {where} takes"
            case "404":
                return f"; see whether {where} is the right address (with /v1) and has that model"
            case "connection" | "timeout" | "garbled":
                return f"; see whether the server at {where} runs and is not overloaded"
        return ""


def _faults_of_address(url: str | None) -> list[str]:
    if url is None:
        return []
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ["base_url is no address; write it as https://host/v1"]
    if parts.username or parts.password or parts.query:
        return ["base_url holds more than an address; keys belong into an environment variable (api_key_env)"]
    return []
