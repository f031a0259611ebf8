"""A chat model's reply read strictly: one JSON value from its first to its last character, of the schema, no key twice."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.chat.base import ChatBadReply
from medrl.chat.schema import breach


def read_json(text: str, who: str) -> Any:
    """The one JSON value that a reply is; `who` names the model in errors ("the judge").

    Nothing is searched for: a value inside a quotation, after other words or beside a second one does not count.

    Raises:
        ChatBadReply: It is anything else.
    """
    try:
        # Not strict about control characters: a line break inside a text changes nothing.
        return json.loads(text, strict=False, object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ChatBadReply(f"{who}'s reply is not one JSON value ({error}): {text!r:.120}") from error


def read_reply(text: str, schema: Mapping[str, Any], who: str) -> Any:
    """`read_json` of a reply that keeps `schema`.

    Raises:
        ChatBadReply: It does not.
    """
    found = read_json(text, who)
    fault = breach(found, schema)
    if fault:
        raise ChatBadReply(f"{who}'s reply is not what was asked for: {fault}: {text!r:.120}")
    return found


def _without_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands in it twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
