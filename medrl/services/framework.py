"""What the web framework is told: errors in our own shape, bodies that are read in bounds, clients that go away."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from medrl.services.guard import refusal
from medrl.services.reading import Refused, faults_of, read_json
from medrl.services.schema import ErrorResponse
from medrl.services.settings import ServiceSettings

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text}
    for status, text in {
        400: "The body is not JSON, or was cut off.",
        401: "No good token.",
        408: "The body did not come in time.",
        413: "The body is too large.",
        415: "The body is not sent as JSON.",
        422: "The body is not what is asked for; `faults` say where.",
        429: "Too many requests are pending; Retry-After.",
        500: "The service failed, or a node of the tree was told to raise.",
        503: "The service is stopping; Retry-After.",
    }.items()
}
T = TypeVar("T")


def error_handlers(app: FastAPI) -> None:
    """Answer every fault as `ErrorResponse`."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return refusal(error, request.state.id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = faults_of(list(error.errors()))
        first = f"{faults[0]['where']}: {faults[0]['message']}".removeprefix(": ") if faults else "?"
        return refusal(Refused(422, "invalid", first), request.state.id, faults)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        code = {404: "no_such_route", 405: "method"}[status]
        return refusal(Refused(status, code, f"there is no {request.method} here; see /openapi.json"), request.state.id)


def bounded_routes(settings: ServiceSettings) -> type[APIRoute]:
    """Routes whose JSON is read by `read_json`, and not by the framework, which knows no bounds."""

    class Read(Request):
        value: Any

        async def body(self) -> bytes:
            return b"read"  # the framework looks whether there is one

        async def json(self) -> Any:
            return self.value

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def read_and_handle(request: Request) -> Response:
                read = Read(request.scope, request.receive)
                read.value = await read_json(request, settings)
                return await handle(read)

            return read_and_handle if self.body_field is not None else handle

    return Route


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; cancelled where the client goes away before."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # the body has been read, so only a disconnect can come
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused(499, "gone", "the client has gone")
        return task.result()
    finally:
        for one in (task, gone):
            if not one.done():
                one.cancel()
                with suppress(asyncio.CancelledError):
                    await one
