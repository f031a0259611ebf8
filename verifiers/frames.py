"""What travels between a program and its verifier workers: JSON with its length before it, never pickle.

A frame is 4 bytes, the length in network order, and so many bytes of JSON. Raw bytes (an image inside a message) travel
as base64. A tuple arrives as a list, and a number as a key arrives as text, as in any JSON.
"""

import base64
import binascii
import json
import struct
from collections.abc import Mapping
from typing import Any, Protocol

from medrl.types import Problem, Response

HEAD = struct.Struct("!I")
LARGEST = 1 << 30  # bytes; what claims to be longer is no frame
_BYTES = "__bytes__"


class Reads(Protocol):
    """What a frame is read from."""

    def read(self, size: int, /) -> bytes: ...


def pack(value: Any) -> bytes:
    """`value` as one frame.

    Raises:
        TypeError: It holds what JSON cannot.
    """
    body = json.dumps(value, separators=(",", ":"), default=_encode).encode()  # ASCII, so lone surrogates pass
    return HEAD.pack(len(body)) + body


def unpack(body: bytes | bytearray) -> Any:
    """The value of a frame's body."""
    return json.loads(bytes(body), object_hook=_decode)


def read_frame(source: Reads) -> Any:
    """The next frame's value.

    Raises:
        EOFError: The other side has closed.
        ValueError: The bytes are no frame.
    """
    (length,) = HEAD.unpack(_exactly(source, HEAD.size))
    if length > LARGEST:
        raise ValueError(f"a frame of {length} bytes was announced; the other side does not write frames")
    return unpack(_exactly(source, length))


def _exactly(source: Reads, size: int) -> bytes:
    pieces: list[bytes] = []
    while size:
        piece = source.read(min(size, 1 << 20))
        if not piece:
            raise EOFError("the other side has closed")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _encode(value: object) -> dict[str, str]:
    if isinstance(value, bytes | bytearray):
        return {_BYTES: base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} {value!r:.60} cannot be written as JSON")


def _decode(row: dict[str, Any]) -> Any:
    if len(row) == 1 and isinstance(row.get(_BYTES), str):
        try:
            return base64.b64decode(row[_BYTES], validate=True)
        except binascii.Error:
            return row
    return row


def problem_row(problem: Problem) -> dict[str, Any]:
    """A problem's fields as they are; `Problem.to_json` would copy every level of them."""
    return {
        "id": problem.id,
        "messages": [dict(message) for message in problem.messages],
        "reference": problem.reference,
        "kind": problem.kind,
        "options": dict(problem.options),
        "aliases": list(problem.aliases),
        "language": problem.language,
        "metadata": dict(problem.metadata),
    }


def response_row(response: Response) -> list[Any]:
    """What a judge may see of an episode; a rollout's tokens stay where they are."""
    turns = [dict(turn) for turn in response.turns]
    return [response.text, turns, response.finish_reason, response.token_count, dict(response.measured)]


def read_response(row: list[Any]) -> Response:
    """The response that `response_row` wrote."""
    text, turns, finish_reason, token_count, measured = row
    return Response(text, tuple(turns), finish_reason, token_count, measured=measured)


def hello(config: Mapping[str, Any], memory: int | None) -> dict[str, Any]:
    """The first frame to a worker: which verifier it is to build, and how much memory it may take, in MiB."""
    return {"config": dict(config), "memory": memory}
