"""What a client sends, read strictly and in bounds: size, time, UTF-8, JSON, depth and width."""

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from medrl.chat.openai_wire import sendable
from medrl.services.settings import MEBI, ServiceSettings

ANY: TypeAdapter[Any] = TypeAdapter(Any)
MARKS = (b",", b"[", b"{")  # one for each value, or nearly
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)  # possessive: linear for any bytes
INLINE = 1 << 16  # bytes from which JSON is read in a thread, so that other requests go on


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str, where: str = "", retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.where, self.retry_after = status, code, message, where, retry_after


async def pieces(request: Request, limit: int, seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes in; what the headers say of its length is checked and not believed.

    Raises:
        Refused: 413 beyond `limit` bytes, 408 after so many seconds, 400 when the client has gone.
    """
    too_large = Refused(413, "too_large", f"the body is longer than {limit} bytes; send less at once")
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed[:20]) > limit:
        raise too_large
    size, end = 0, asyncio.get_running_loop().time() + seconds
    try:
        while True:
            async with asyncio.timeout_at(end):
                message = await request.receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "cut_off", "the connection was closed before the body had ended")
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise too_large
            if piece:
                yield piece
            if not message.get("more_body", False):
                return
    except TimeoutError:
        raise Refused(408, "too_slow", f"the body did not come within {seconds:g} s") from None


async def read_json(request: Request, settings: ServiceSettings) -> Any:
    """The JSON value in the body of a request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "not_json", "send JSON, with the header Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "encoded", "send the body without Content-Encoding; compressed bodies are not read")
    parts = [piece async for piece in pieces(request, settings.max_body * MEBI, settings.body_timeout)]
    body = b"".join(parts)
    if len(body) < INLINE:
        return parse(body, settings)
    return await asyncio.to_thread(parse, body, settings)


def parse(body: bytes, settings: ServiceSettings) -> Any:
    """A JSON value of bounded depth and width, without NaN, infinity or text that UTF-8 cannot carry.

    Half of a surrogate pair (which JSON can escape, and a policy may write) becomes U+FFFD: nobody may get a request
    refused by what a policy writes.

    Raises:
        Refused: 400 where it is not JSON, 422 where it is more, or other, than is read here.
    """
    if _too_wide(body, settings.max_values):
        raise Refused(422, "invalid", f"the body holds more than {settings.max_values} values; send less at once")
    try:
        value = ANY.validate_json(body)
    except ValidationError as error:
        value = _mended(body, error.errors(include_url=False, include_input=False)[0]["msg"])
    fault = breach(value, settings.max_depth, settings.max_values)
    if fault:
        where, what = fault
        raise Refused(422, "invalid", what, where)
    _one_of_each(body)
    return value


def _one_of_each(body: bytes) -> None:
    """Refuse an object that has a key twice: readers differ on which of the two counts. Depth is checked before."""

    def unique(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) < len(pairs):
            (double, _), *_ = Counter(key for key, _ in pairs).most_common(1)
            raise Refused(422, "invalid", f"an object has the key {sendable(double)[:40]!r} twice; send each key once")

    # Numbers are not made: a long one is dear, and Python refuses one of more than 4,300 digits.
    json.loads(body.decode("utf-8", "surrogatepass"), object_pairs_hook=unique, parse_int=len, parse_float=len)


def _too_wide(body: bytes, width: int) -> bool:
    """Whether a body holds so many values that to read it would hold up everybody: told before it is read.

    What stands inside texts does not count, for there a policy may write as many brackets as it likes.
    """
    if sum(map(body.count, MARKS)) <= width:
        return False
    found = end = 0
    for text in STRING.finditer(body):
        found += sum(body.count(mark, end, text.start()) for mark in MARKS)
        end = text.end()
        if found > width:
            return True
    return found + sum(body.count(mark, end) for mark in MARKS) > width


def _mended(body: bytes, message: str) -> Any:
    try:
        if b"\\ud" not in body and b"\\uD" not in body:
            raise ValueError("no half of a surrogate pair is the fault")
        text = json.dumps(json.loads(body), ensure_ascii=False)
        return ANY.validate_json(sendable(text).encode())
    except (ValueError, RecursionError):  # ValueError is that of JSON, of UTF-8 and of pydantic
        raise Refused(400, "malformed", f"the body is not JSON: {message.removeprefix('Invalid JSON: ')}") from None


def breach(value: Any, depth: int, width: int) -> tuple[str, str] | None:
    """Where and how a value breaks the bounds: too deep, too many values, a number that is not finite."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    seen = 0
    while waiting:
        one, path = waiting.pop()
        if isinstance(one, float) and not math.isfinite(one):
            return place(path), "a number is not finite; JSON knows no NaN and no infinity"
        if not isinstance(one, dict | list):
            continue
        seen += len(one)
        if seen > width:
            return "", f"the body holds more than {width} values; send less at once"
        if len(path) >= depth:
            return place(path), f"JSON is nested more than {depth} levels deep"
        inner = one.items() if isinstance(one, dict) else enumerate(one)
        waiting += [(below, (*path, key)) for key, below in inner if isinstance(below, dict | list | float)]
    return None


def place(path: tuple[Any, ...]) -> str:
    """`groups[0].problem.id` for ("groups", 0, "problem", "id"); a key of the client's own is cut short."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{str(step)[:40]}"
    return text[:300]


def faults_of(errors: list[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Pydantic's findings as where and what, without what was sent."""
    found = []
    for error in errors[:20]:
        path = [step for step in error["loc"] if step != "body"]
        found.append({"where": place(tuple(path)), "message": str(error["msg"])[:300]})
    return found
