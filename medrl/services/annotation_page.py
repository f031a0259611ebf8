"""The annotation page: a small web server for two raters and a third who settles what they disagree on (`medrl annotate`).

Each rater has a link with a key of their own, behind its `#`, where no server's log and no Referer header ever sees it. The
page is served from the package and loads nothing from anywhere else; what models or patients wrote is shown as text and never
as markup. Who asks by another name than this machine's, or without a key, is refused before a byte of the body is read.
"""

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from medrl.data.annotation import PRIVATE, Answer, Session
from medrl.data.feedback import Preferred
from medrl.errors import DataError
from medrl.files import write_atomic
from medrl.services.framework import bounded_routes, error_handlers
from medrl.services.guard import App, Message, Receive, Scope, Send, asked_host, refusal
from medrl.services.reading import Refused
from medrl.services.settings import ServiceSettings, is_local

PAGES = files("medrl.services") / "pages"
KINDS = {"annotation.html": "text/html", "annotation.js": "text/javascript", "annotation.css": "text/css"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
BOUNDS = ServiceSettings(max_body=1, max_values=200, max_depth=6)  # of what the page sends


class Said(BaseModel):
    """What the page sends for an item."""

    model_config = ConfigDict(extra="forbid", strict=True)

    preferred: Preferred | None = None
    strength: int | None = None
    ratings: list[dict[str, float]] = Field(default_factory=list, max_length=2)
    phi: list[str] = Field(default_factory=list, max_length=len(PRIVATE))
    comment: str = Field("", max_length=4000)
    seconds: float = Field(0.0, ge=0.0, le=1e6, allow_inf_nan=False)


def keys_of(folder: Path, raters: list[str]) -> dict[str, str]:
    """Rater to key; kept in the task's folder, readable by its owner only, so that links survive a restart."""
    path = folder / "keys.json"
    kept: dict[str, str] = {}
    if path.is_file():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} cannot be read ({error}); remove it, and every rater gets a new link") from error
        os.chmod(path, 0o600)
    keys = {**{rater: secrets.token_urlsafe(16) for rater in raters}, **kept}
    if keys != kept:
        write_atomic(path, json.dumps(keys, indent=1) + "\n", 0o600)
    return {rater: keys[rater] for rater in raters}


class Gate:
    """An ASGI application around the page's: who may ask, and the headers of every answer."""

    def __init__(self, app: App, sessions: Mapping[str, Session], host: str) -> None:
        self._app, self._sessions, self._host = app, sessions, host.strip("[]").lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request.state.id = secrets.token_hex(8)

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *ours]
            await send(message)

        try:
            name = asked_host(request)
            if not is_local(name) and name != self._host:
                raise Refused(403, "forbidden", "this page is asked for by a name that is not its own")
            if scope["path"].startswith("/api/"):
                request.state.session = self._session(request.headers.get("x-key", ""))
            await self._app(scope, receive, answered)
        except Refused as error:
            await refusal(error, request.state.id)(scope, receive, answered)

    def _session(self, key: str) -> Session:
        for known, session in self._sessions.items():
            if hmac.compare_digest(known.encode(), key.encode()):
                return session
        raise Refused(401, "unauthorized", "this link is not, or no longer, valid; ask for a new one")


def make_app(sessions: Mapping[str, Session], host: str = "127.0.0.1") -> Gate:
    """The server; `sessions` are the raters' by their keys, `host` is the name that it is bound to."""
    app = FastAPI(title="medrl annotate", openapi_url=None)
    app.router.route_class = bounded_routes(BOUNDS)
    error_handlers(app)

    @app.get("/")
    @app.get("/{name}")
    def page(name: str = "annotation.html") -> Response:
        if name not in KINDS:
            raise Refused(404, "no_such_route", "there is no such page")
        return Response(PAGES.joinpath(name).read_bytes(), media_type=KINDS[name])

    @app.get("/api/task")
    def task(request: Request) -> dict[str, Any]:
        session: Session = request.state.session
        return {"rater": session.rater, "items": len(session.items), "next": session.first_open, "private": PRIVATE}

    @app.get("/api/items/{place}")
    def item(place: int, request: Request) -> dict[str, Any]:
        session: Session = request.state.session
        if not 0 <= place < len(session.items):
            raise Refused(404, "no_such_item", f"there is no item {place}")
        return session.view(place)

    @app.post("/api/items/{place}")
    def answer(place: int, said: Said, request: Request) -> dict[str, Any]:
        session: Session = request.state.session
        try:
            given = {**said.model_dump(), "ratings": tuple(said.ratings), "phi": tuple(said.phi)}
            session.answer(place, Answer(**given))
        except DataError as error:
            raise Refused(422, "invalid", str(error)) from None
        return {"next": session.first_open, "done": session.done}

    return Gate(app, sessions, host)
