"""Reading one table row: each function gives a column in the wanted type, or a DataError that names the column."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.errors import DataError


def _column(row: Mapping[str, Any], column: str) -> Any:
    if not isinstance(row, Mapping):
        raise DataError(f"expected an object, found {row!r}")
    if column not in row:
        raise DataError(f"column {column!r} is missing")
    return row[column]


def text(row: Mapping[str, Any], column: str) -> str:
    value = _column(row, column)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"column {column!r} is {value!r}; it needs a text")
    return value


def optional_text(row: Mapping[str, Any], column: str) -> str | None:
    return None if row.get(column) is None else text(row, column)


def words(row: Mapping[str, Any], column: str) -> str:
    """A text that may also be given in both languages, then the English one."""
    value = _column(row, column)
    return text(value, "en") if isinstance(value, Mapping) else text(row, column)


def pair(row: Mapping[str, Any], column: str) -> tuple[str, str]:
    value = _column(row, column)
    if not isinstance(value, Mapping) or not {"en", "zh"} <= set(value):
        raise DataError(f"column {column!r} is {value!r}; it needs both languages, {{'en': ..., 'zh': ...}}")
    return text(value, "en"), text(value, "zh")


def number(row: Mapping[str, Any], column: str) -> float:
    value = _column(row, column)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise DataError(f"column {column!r} is {value!r}; it needs a number of 0 or more")
    return float(value)


def optional_number(row: Mapping[str, Any], column: str) -> float | None:
    return None if row.get(column) is None else number(row, column)


def mapping(row: Mapping[str, Any], column: str) -> Mapping[str, Any]:
    value = _column(row, column)
    if not isinstance(value, Mapping):
        raise DataError(f"column {column!r} is {value!r}; it needs an object")
    return value


def items(row: Mapping[str, Any], column: str) -> Sequence[Any]:
    value = _column(row, column)
    if not isinstance(value, list):
        raise DataError(f"column {column!r} is {value!r}; it needs a list")
    return value


def texts(row: Mapping[str, Any], column: str, at_least: int = 0) -> tuple[str, ...]:
    values = items(row, column)
    if not all(isinstance(value, str) and value.strip() for value in values):
        raise DataError(f"column {column!r} is {values!r}; it needs a list of texts")
    if len(values) < at_least:
        raise DataError(f"column {column!r} holds {len(values)} entries; it needs at least {at_least}")
    return tuple(values)


def synonyms(row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if row.get("synonyms") is None:
        return (), ()
    both = mapping(row, "synonyms")
    return texts(both, "en"), texts(both, "zh")


def sources(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the facts come from, `source` or `sources` (null for a fact the row lacks); none at all is a fault."""
    value = row.get("sources", row.get("source"))
    parts = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    flat = [one for part in parts for one in (part if isinstance(part, list) else [part]) if one is not None]
    if not flat or not all(isinstance(one, str) and one.strip() for one in flat):
        raise DataError(f"sources are {value!r}; every row says where its facts come from")
    return tuple(flat)


def unreviewed(row: Mapping[str, Any]) -> None:
    """Nothing in the clinic was reviewed by a clinician, and no row may claim it was."""
    if _column(row, "clinically_reviewed") is not False:
        raise DataError("column 'clinically_reviewed' must be false: no clinician has reviewed this table")
