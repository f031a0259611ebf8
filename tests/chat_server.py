"""A chat server of our own on a loopback port: real HTTP in the OpenAI wire format, and it fails in each way on demand.

`ChatServer(behaviour)` runs in a thread. `behaviour(request, n)` says what the n-th request (from 0, in the order of
arrival) gets: a text, or a `Reply` that may be slow, cut off, malformed or a refusal, or never come.

    def twice_down(request, n):
        return failing(503) if n < 2 else "True"

    with ChatServer(twice_down) as server:
        client = OpenAIChat(model="judge", base_url=server.url)

Tests take the fixture `chat_server` (a function that starts servers and closes them) and import the rest with
`from chat_server import Reply, failing`.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass(frozen=True)
class Reply:
    """What one request gets."""

    text: str | None = "True"
    """Content of the one choice; None sends `"content": null`."""
    status: int = 200
    """Any other than 200 sends an error object with `text` as its message."""
    finish_reason: str = "stop"
    delay: float = 0.0
    """Seconds before the first byte."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers, such as Retry-After."""
    body: bytes | None = None
    """This instead of the JSON that the other fields make."""
    cut: float = 1.0
    """Share of the body that is sent before the connection is closed; 1 is all, and the connection stays."""
    trickle: float = 0.0
    """Seconds between any two bytes of the body."""
    silent: bool = False
    """The connection is closed without a byte."""
    raw: bytes | None = None
    """These bytes in place of a response, after which the connection is closed."""
    usage: bool = True
    """Whether the token counts are there."""


Behaviour: TypeAlias = Callable[[dict[str, Any], int], Reply | str]


def failing(status: int, message: str = "no", retry_after: str | None = None) -> Reply:
    """A refusal with this HTTP status."""
    return Reply(message, status, headers={} if retry_after is None else {"Retry-After": retry_after})


def garbled(body: bytes) -> Reply:
    """Status 200 with a body that is not what was asked for."""
    return Reply(body=body)


HANGS = Reply(delay=3600.0)
DROPS = Reply(silent=True)
CUT = Reply("a reply that nobody reads to its end", cut=0.5)


def always(text: str) -> Behaviour:
    """The same text for each request."""
    return lambda request, n: text


class ChatServer:
    """The server; `close` it, after which connections are refused."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = always("True") if behaviour is None else behaviour
        """May be replaced while the server runs."""
        self.requests: list[dict[str, Any]] = []
        """The JSON of each chat request, in the order of arrival."""
        self.headers: list[dict[str, str]] = []
        """Their headers, names in lower case."""
        self.under_way = 0
        """Requests that came and were neither answered nor given up by the client."""
        self.peak = 0
        """The most requests that were under way at once."""
        self.connections = 0
        """Connections that were ever opened."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat-server", daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self._server: asyncio.Server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    @property
    def count(self) -> int:
        """How many chat requests came."""
        return len(self.requests)

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._tasks)

    def prompts(self) -> list[str]:
        """The last message of each request."""
        return [request["messages"][-1]["content"] for request in self.requests]

    def close(self) -> None:
        """Drop all connections and free the port; may be called twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _shut(self) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            # A client that goes away in the middle is none of the server's business; `close` cancels.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays."""
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest if one)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        if line.split()[:2] != ["POST", "/v1/chat/completions"]:
            return await self._send(writer, failing(404, f"there is no {line}"), {})
        request = json.loads(content)
        number = len(self.requests)
        self.requests.append(request)
        self.headers.append(headers)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            answer = self.behaviour(request, number)
            reply = Reply(answer) if isinstance(answer, str) else answer
            if reply.delay and not await _waited(reader, reply.delay):
                return False
            return await self._send(writer, reply, request)
        finally:
            self.under_way -= 1

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply, request: dict[str, Any]) -> bool:
        if reply.silent:
            return False
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        body = wire(reply, request)
        head = [
            f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Status')}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        writer.write("\r\n".join((*head, "", "")).encode("latin-1"))
        for byte in body if reply.trickle else b"":
            writer.write(bytes([byte]))
            await asyncio.sleep(reply.trickle)
        writer.write(b"" if reply.trickle else body[: int(len(body) * reply.cut)])
        await writer.drain()
        return reply.cut >= 1.0


async def _waited(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Wait so long; False as soon as the client has hung up. A client sends nothing while it waits for a reply."""
    try:
        await asyncio.wait_for(reader.read(1), seconds)
    except TimeoutError:
        return True
    return False


def wire(reply: Reply, request: Mapping[str, Any]) -> bytes:
    """The body of a reply, as `/v1/chat/completions` sends it."""
    if reply.body is not None:
        return reply.body
    if reply.status != 200:
        error = {"message": reply.text, "type": "error", "param": None, "code": reply.status}
        return json.dumps({"error": error}).encode()
    message = {"role": "assistant", "content": reply.text}
    row: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason, "logprobs": None}],
    }
    if reply.usage:
        read = sum(len(str(message["content"]).split()) for message in request.get("messages", ()))
        wrote = len((reply.text or "").split())
        row["usage"] = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
    return json.dumps(row).encode()
