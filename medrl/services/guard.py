"""What stands before every route: an id for the request, the token, room for it, its figures and its line in the log."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from medrl.services.auth import Tokens
from medrl.services.metrics import Metrics
from medrl.services.reading import Refused
from medrl.services.settings import ServiceSettings, is_local

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/healthz", "/readyz", "/openapi.json")
"""What everyone may read: none of it says anything of the tree."""
ROUTES = (*OPEN, "/v1/score", "/v1/score/stream", "/get_reward", "/v1/reward", "/metrics")
GIVEN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
log = logging.getLogger("medrl.services")


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, settings: ServiceSettings, tokens: Tokens, metrics: Metrics) -> None:
        self._app, self._settings, self._tokens, self._metrics = app, settings, tokens, metrics
        self.pending = 0
        self.stopping = False
        self.idle = asyncio.Event()
        self.idle.set()
        metrics.pending.set_function(lambda: float(self.pending))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = request.headers.get("x-request-id", "")
        request.state.id = given if GIVEN.fullmatch(given) else secrets.token_hex(8)
        route = scope["path"] if scope["path"] in ROUTES else "other"
        begun, answered = time.perf_counter(), _Answer(send, request.state.id, self._settings.body_timeout)
        work = scope["method"] == "POST" and route not in OPEN  # not by name: a router may know more spellings
        try:
            self._admit(request, route, work)
            self._enter(work)
            try:
                await self._app(scope, receive, answered)
            finally:
                self._leave(work)
        except Refused as error:
            await refusal(error, request.state.id)(scope, receive, answered)
        except TimeoutError:
            log.warning("request %s: the client does not read its answer", request.state.id)
        except Exception as error:
            log.error("request %s: %s", request.state.id, type(error).__name__, exc_info=True)
            if answered.status is None:
                fault = Refused(500, "internal", "the service failed; its log says more under the request's id")
                await refusal(fault, request.state.id)(scope, receive, answered)
        finally:
            seconds = time.perf_counter() - begun
            status = str(answered.status or 499)
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            level = logging.DEBUG if route in OPEN or route == "/metrics" else logging.INFO
            counts = getattr(request.state, "counts", "")
            log.log(level, "request %s %s %s %.1f ms %s", request.state.id, route, status, 1000 * seconds, counts)

    def _admit(self, request: Request, route: str, work: bool) -> None:
        """Refuse, before a byte of the body is read, whom nobody serves.

        Raises:
            Refused: With 401, 403, 429 or 503.
        """
        if route in OPEN:
            return
        if self._tokens:
            if not self._tokens.accept(request.headers.get("authorization", "")):
                raise Refused(401, "unauthorized", "send a good token: Authorization: Bearer TOKEN")
        elif is_local(self._settings.host) and not is_local(asked_host(request)):
            raise Refused(403, "forbidden", "this service is for its own machine, and was asked for by another name")
        if work:
            if self.stopping:
                raise Refused(503, "stopping", "the service is stopping; ask its successor", retry_after=2)
            if self.pending >= self._settings.pending:
                raise Refused(429, "busy", f"{self.pending} requests are pending; ask again later", retry_after=1)

    def _enter(self, work: bool) -> None:
        if work:
            self.pending += 1
            self.idle.clear()

    def _leave(self, work: bool) -> None:
        if work:
            self.pending -= 1
            if not self.pending:
                self.idle.set()


class _Answer:
    """`send` that adds the id, keeps the status, and does not wait forever for a client that does not read."""

    def __init__(self, send: Send, id: str, seconds: float) -> None:
        self._send, self._id, self._seconds = send, id.encode(), seconds
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self._id)]
        async with asyncio.timeout(self._seconds):
            await self._send(message)


def asked_host(request: Request) -> str:
    """The name by which the client asked; "" where it is none. A client that gave none is no browser."""
    try:
        return urlsplit(f"//{request.headers.get('host', 'localhost')}").hostname or ""
    except ValueError:
        return ""


def refusal(error: Refused, id: str, faults: list[dict[str, str]] | None = None) -> Response:
    """The answer to a request that was refused."""
    where = [{"where": error.where, "message": error.message}] if error.where else []
    body = {"code": error.code, "message": error.message, "faults": faults or where, "request_id": id}
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="medrl", charset="UTF-8"'
    if error.status in (401, 403, 408, 413, 415):
        headers["Connection"] = "close"  # the rest of the body is not read
    return JSONResponse({"error": body}, error.status, headers)
