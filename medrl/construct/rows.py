"""The problem or the dialogue in a row of a stream, whose schema is told row by row."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from medrl.construct.pipeline import Item
from medrl.data import demonstrations
from medrl.data.rows import RowFault, pick_schema
from medrl.data.schemas import SCHEMAS, Reading
from medrl.errors import DataError, MedrlError
from medrl.types import Message, Problem

T = TypeVar("T")


def read_problem(item: Item, schema: str = "auto", name: str = "the source") -> Problem:
    """The problem that a row holds.

    Raises:
        RowFault: It holds none, and why.
    """
    problem: Problem = _read(item, schema, name, SCHEMAS, lambda parse: parse(item.row, item.number, Reading(name)))
    return problem


def read_dialogue(item: Item, schema: str = "auto", name: str = "the source") -> tuple[Message, ...]:
    """The turns of the dialogue that a row holds: a user's and an assistant's in turn, whole pairs.

    Raises:
        RowFault: It holds none, and why.
    """
    messages: tuple[Message, ...] = _read(
        item, schema, name, demonstrations.SCHEMAS, lambda parse: parse(item.row, item.number, None).messages
    )
    if not all(isinstance(message, Mapping) and {"role", "content"} <= message.keys() for message in messages):
        raise RowFault("a turn has no role or no content")
    roles = [str(message["role"]) for message in messages]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise RowFault(f"its turns are of {', '.join(roles)}; a user's and an assistant's in turn are asked for")
    if not all(isinstance(message["content"], str) for message in messages):
        raise RowFault("a turn is no text")
    return messages


def _read(
    item: Item, schema: str, name: str, known: Mapping[str, tuple[tuple[str, ...], Any]], read: Callable[[Any], T]
) -> T:
    """What `read` makes of the parser of a row's schema."""
    try:
        chosen = pick_schema(name, [item.row], schema, {key: columns for key, (columns, _) in known.items()})
        return read(known[chosen][1])
    except KeyError as error:
        raise RowFault(f"column {error.args[0]!r} is missing") from error
    except DataError as error:
        raise RowFault(str(error)) from error
    except RowFault:
        raise
    except (MedrlError, ValueError, TypeError) as error:
        raise RowFault(str(error)) from error
