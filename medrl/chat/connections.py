"""One `AsyncOpenAI` per event loop, closed when its loop ends, and how one request goes out over it.

The body goes through the package's own `post`: it is ours already, and reading the reply is ours too, so the package's
models of both would only take time.

Connections belong to the loop that opened them, and `run_sync` makes a loop for each call. So each loop gets a client of
its own; an async generator, which `asyncio.run` closes before the loop, closes it without being told.
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from medrl.chat.base import ChatRefused, ChatTimedOut, ChatUnavailable
from medrl.chat.retry import Fault, of_status
from medrl.errors import need

NEVER_SENT = ("ClientConnector", "ConnectError", "UnsupportedProtocol", "InvalidURL")
"""How the errors of aiohttp and httpx2 begin after which the server has seen nothing."""


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and whose key they carry."""

    base_url: str | None
    api_key_env: str
    timeout: float
    concurrency: int

    def url(self) -> str | None:
        """The address now; None is the `openai` package's own."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or None

    def key(self) -> str:
        """The key.

        Raises:
            ChatRefused: There is none, and the server is not on this machine; or no HTTP header could carry it.
        """
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            if is_loopback(self.url()):
                return "none"  # a server of one's own asks for no key, but the package wants one
            where = self.url() or "the OpenAI API"
            raise ChatRefused(
                f"the environment variable {self.api_key_env}, which should hold the key for {where}, is not set; "
                f"set it, or name another one with api_key_env"
            )
        if not (key.isascii() and key.isprintable()):
            raise ChatRefused(f"the key in {self.api_key_env} has characters that no HTTP header can carry")
        return key

    def hide(self, text: str) -> str:
        """`text` without the key, which some servers repeat in their error messages."""
        return self.hide_in(text.encode("utf-8", "replace")).decode()

    def hide_in(self, content: bytes) -> bytes:
        """The same for a body, so that no excerpt of it shows a part of the key, and no cache keeps it."""
        key = os.environ.get(self.api_key_env, "").strip().encode("utf-8", "surrogateescape")
        return content.replace(key, b"[key]") if key else content


class Connections:
    """The clients of one `OpenAIChat`, one per event loop; safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[None]]] = (
            WeakKeyDictionary()
        )

    async def send(self, body: Mapping[str, Any]) -> bytes | Fault:
        """The body of the response to one HTTP request, which has status 200; or what went wrong. Never retries."""
        openai, httpx, aiohttp = need("openai", "judge"), need("httpx2", "judge"), need("aiohttp", "judge")
        client = await self._client(openai, httpx)
        try:
            async with _deadline(self.endpoint.timeout):
                response = await client.post("/chat/completions", body=body, cast_to=httpx.Response)
            return self.endpoint.hide_in(response.content)
        except TimeoutError:
            message = f"no reply within {self.endpoint.timeout:g} s"
            return Fault("timeout", ChatTimedOut, message, again=True, down=True, tokens=None)
        except openai.APIStatusError as error:
            said = " ".join(self.endpoint.hide(str(error.message)).split())[:300]
            message = f"HTTP {error.status_code}: {said}"
            return of_status(error.status_code, message, error.response.headers, error.code, error.type)
        except (openai.APIConnectionError, aiohttp.ClientError) as error:
            # The package calls a dropped connection a timeout; the innermost cause knows better.
            causes = list(_causes(error))
            said = f"{type(causes[-1]).__name__}: {self.endpoint.hide(str(causes[-1]))[:200]}"
            sent = not any(type(cause).__name__.startswith(NEVER_SENT) for cause in causes)
            return Fault("connection", ChatUnavailable, said, again=True, down=True, sent=sent)

    async def close(self) -> None:
        """Close what was opened in the running loop, and ask the other loops to close theirs."""
        here = asyncio.get_running_loop()
        with self._lock:
            found = dict(self._clients)
            self._clients.clear()
        for loop, (_, lifetime) in found.items():
            if loop is here:
                await lifetime.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(_aclose(lifetime), loop)

    async def _client(self, openai: Any, httpx: Any) -> Any:
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._clients.get(loop)
        if found is not None:
            return found[0]
        client = self._new(openai, httpx)
        lifetime = self._lifetime(client, loop)
        with self._lock:
            for other in [one for one in self._clients if one.is_closed()]:
                del self._clients[other]
            self._clients[loop] = client, lifetime
        await anext(lifetime)  # now the loop knows it, and closes it at its own end
        return client

    def _new(self, openai: Any, httpx: Any) -> Any:
        url, key = self.endpoint.url(), self.endpoint.key()
        http = openai.DefaultAioHttpClient(  # over aiohttp, which takes half the time of the package's default
            limits=httpx.Limits(max_connections=self.endpoint.concurrency),
            timeout=None,
            verify=_certificates(),
            trust_env=not is_loopback(url),  # a proxy is for the world outside, not for a server on this machine
        )
        return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=None, http_client=http)

    async def _lifetime(self, client: Any, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                if self._clients.get(loop, (None,))[0] is client:
                    del self._clients[loop]
            await client.close()


@cache
def _certificates() -> Any:
    """The authorities that are trusted; to read them takes 25 ms, which every event loop would pay."""
    return need("httpx2", "judge").create_ssl_context()


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncGenerator[None]:
    """Raise TimeoutError where the block takes longer, all of it; the package's own timeouts are per step.

    A loop that was held up (by the trainer's arithmetic, say) meets its timers late, while the reply may long be there
    unread. So it gets as long to catch up as it was late.
    """
    loop = asyncio.get_running_loop()
    when, scope = loop.time() + seconds, asyncio.timeout(None)
    timer = loop.call_at(when, lambda: scope.reschedule(2 * loop.time() - when))
    try:
        async with scope:
            yield
    finally:
        timer.cancel()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


async def _aclose(lifetime: AsyncGenerator[None]) -> None:
    await lifetime.aclose()


def is_loopback(url: str | None) -> bool:
    """Whether an address is of this machine alone."""
    host = urlsplit(url).hostname if url else None
    if host is None:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
