"""A stream of groups: lines of JSON in, and a line of scores out for each group as soon as it has them.

Reading never waits for writing, so that a client may send everything before it reads anything. A line that is no group
is answered with an error and costs its neighbours nothing. The last line, `{"done": true, ...}`, says that the answer is
whole; without it something was cut off.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError

from medrl.services.metrics import Metrics
from medrl.services.reading import Refused, faults_of, parse, pieces
from medrl.services.schema import StreamGroupIn, group_of
from medrl.services.scorer import Scorer
from medrl.services.settings import MEBI, ServiceSettings
from medrl.services.worker_process import TreeRaised
from medrl.types import Group

KINDS = ("application/x-ndjson", "application/jsonl", "application/ndjson")
AT_ONCE = 64  # groups of one stream that wait for workers; the others wait as bytes


class Stream(Response):
    """The answer to one request to /v1/score/stream, which reads and writes at the same time."""

    def __init__(self, request: Request, scorer: Scorer, settings: ServiceSettings, metrics: Metrics) -> None:
        super().__init__(media_type="application/x-ndjson")
        del self.headers["content-length"]
        self._request, self._scorer, self._settings, self._metrics = request, scorer, settings, metrics
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._groups = self._refused = self._responses = 0

    @classmethod
    def of(cls, request: Request, scorer: Scorer, settings: ServiceSettings, metrics: Metrics) -> "Stream":
        """The answer to a request that says that it sends lines of JSON.

        Raises:
            Refused: It says something else.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in KINDS:
            raise Refused(415, "not_ndjson", f"send lines of JSON, with the header Content-Type: {KINDS[0]}")
        return cls(request, scorer, settings, metrics)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        reader = asyncio.create_task(self._read())
        try:
            while (line := await self._out.get()) is not None:
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._request.state.counts = f"{self._groups} groups {self._responses} responses"
            for task in [reader, *self._tasks]:
                task.cancel()
            await asyncio.gather(reader, *self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        whole = True
        number = 0
        try:
            async for line in self._split():
                number += 1
                if line.strip():
                    self._begin(line, number)
                    await asyncio.sleep(0)  # a large piece of many lines must not hold up the others
        except Refused as error:
            whole = False
            self._refuse(error, number + 1, None)
        gone = asyncio.ensure_future(self._request.receive()) if whole else None  # after the body: a disconnect
        while self._tasks and not (gone and gone.done()):
            await asyncio.wait([*self._tasks, *([gone] if gone else [])], return_when=asyncio.FIRST_COMPLETED)
        if gone is not None:
            gone.cancel()
        if whole:
            self._put({"done": True, "groups": self._groups, "refused": self._refused})
        self._out.put_nowait(None)

    async def _split(self) -> AsyncIterator[bytes]:
        limit, rest = self._settings.max_body * MEBI, bytearray()
        size, seconds = self._settings.max_stream * MEBI, self._settings.body_timeout + 2 * self._settings.deadline
        async for piece in pieces(self._request, size, seconds):
            first, *others = piece.split(b"\n")
            rest += first
            for other in others:
                yield bytes(rest)
                rest = bytearray(other)
            if len(rest) > limit:
                raise Refused(413, "too_large", f"a line is longer than {limit} bytes")
        yield bytes(rest)

    def _begin(self, line: bytes, number: int) -> None:
        id: str | None = None
        try:
            value = parse(line, self._settings)
            if isinstance(value, dict) and isinstance(value.get("id"), str):
                id = value["id"][:512]
            row = StreamGroupIn.model_validate(value)
            if len(row.responses) > self._settings.max_responses:
                raise Refused(422, "invalid", f"a group has more than {self._settings.max_responses} responses")
            group = group_of(row, "problem")
        except Refused as error:
            self._refuse(error, number, id)
            return
        except ValidationError as error:
            faults = faults_of(list(error.errors(include_url=False, include_input=False)))
            self._refuse(Refused(422, "invalid", "the line is no group"), number, id, faults)
            return
        task = asyncio.create_task(self._score(row.id, group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _score(self, id: str, group: Group) -> None:
        try:
            async with self._places:
                (line,) = await self._scorer.score([group], 0, self._settings.deadline)
        except TreeRaised as error:
            self._refuse(Refused(500, "reward_failed", str(error)), None, id)
            return
        self._groups += 1
        self._responses += len(group)
        self._metrics.scored(line.values, line.parts)
        self._out.put_nowait(b'{"id":' + json.dumps(id).encode() + b',"scores":' + line.text + b"}\n")

    def _refuse(
        self, error: Refused, line: int | None, id: str | None, faults: list[dict[str, str]] | None = None
    ) -> None:
        self._refused += 1
        body = {"code": error.code, "message": error.message, "line": line, "faults": faults or []}
        self._put({"id": id, "error": body})

    def _put(self, row: dict[str, Any]) -> None:
        self._out.put_nowait(json.dumps(row).encode() + b"\n")
