"""The annotation page: a small web server for two raters and a third who settles what they disagree on (`medrl annotate`).

Each rater has a link with a key of their own. The page is served from the package and loads nothing from anywhere else; what
models or patients wrote is shown as text and never as markup.
"""

import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from medrl.data.annotation import Answer, Session
from medrl.data.feedback import Preferred
from medrl.errors import DataError
from medrl.files import write_atomic

PAGES = files("medrl.services") / "pages"
KINDS = {"annotation.html": "text/html", "annotation.js": "text/javascript", "annotation.css": "text/css"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PRIVATE = (
    "name",
    "address",
    "phone",
    "id number",
    "date",
    "other",
)  # kinds of personal information that can be flagged


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
    keys = {**{rater: secrets.token_urlsafe(16) for rater in raters}, **kept}
    if keys != kept:
        write_atomic(path, json.dumps(keys, indent=1) + "\n")
    os.chmod(path, 0o600)
    return {rater: keys[rater] for rater in raters}


def make_app(sessions: Mapping[str, Session]) -> FastAPI:
    """The server; `sessions` are the raters' by their keys."""
    app = FastAPI(title="medrl annotate", openapi_url=None)

    def session_of(key: str) -> Session:
        for known, session in sessions.items():
            if hmac.compare_digest(known.encode(), key.encode()):
                return session
        raise HTTPException(401, "this link is not, or no longer, valid; ask for a new one")

    @app.middleware("http")
    async def headers(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await go_on(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/")
    @app.get("/{name}")
    def page(name: str = "annotation.html") -> Response:
        if name not in KINDS:
            raise HTTPException(404, "there is no such page")
        return Response(PAGES.joinpath(name).read_bytes(), media_type=KINDS[name])

    @app.get("/api/task")
    def task(key: Annotated[str, Header(alias="X-Key")]) -> dict[str, Any]:
        session = session_of(key)
        return {"rater": session.rater, "items": len(session.items), "next": session.first_open, "private": PRIVATE}

    @app.get("/api/items/{place}")
    def item(place: int, key: Annotated[str, Header(alias="X-Key")]) -> dict[str, Any]:
        session = session_of(key)
        if not 0 <= place < len(session.items):
            raise HTTPException(404, f"there is no item {place}")
        return session.view(place)

    @app.post("/api/items/{place}")
    def answer(place: int, said: Said, key: Annotated[str, Header(alias="X-Key")]) -> dict[str, Any]:
        session = session_of(key)
        try:
            given = {**said.model_dump(), "ratings": tuple(said.ratings), "phi": tuple(said.phi)}
            session.answer(place, Answer(**given))
        except DataError as error:
            raise HTTPException(422, str(error)) from None
        return {"next": session.first_open, "done": len(session.records)}

    return app
