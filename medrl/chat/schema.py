"""Whether a reply keeps the JSON schema that it was asked for.

Servers differ in how much of a schema they enforce, and some enforce none. What judges use is checked here: `type`,
`enum`, `const`, `properties`, `required`, `additionalProperties: false`, `items`, `minItems`, `maxItems`, `minimum` and
`maximum`. Other keywords are not, among them the lengths of texts: they keep a model from writing on and on, and a reply
that came is no worse for being long. A policy must not gain by making its judge wordy.
"""

from collections.abc import Mapping
from typing import Any

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def breach(value: Any, schema: Mapping[str, Any], path: str = "the reply") -> str | None:
    """The first way in which `value` does not keep `schema`, in words; None where it keeps it."""
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return f"{path} is {_short(value)}, not of type {kinds}"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        return f"{path} is {_short(value)}, none of {_short(schema['enum'])}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{path} is {_short(value)}, not {_short(schema['const'])}"
    if isinstance(value, dict):
        return _of_object(value, schema, path)
    if isinstance(value, list):
        return _of_bounds(len(value), schema, f"the length of {path}", "minItems", "maxItems") or next(
            (fault for i, one in enumerate(value) if (fault := breach(one, schema.get("items", {}), f"{path}[{i}]"))),
            None,
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _of_bounds(value, schema, path, "minimum", "maximum")
    return None


def _of_object(value: dict[str, Any], schema: Mapping[str, Any], path: str) -> str | None:
    known = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{path} lacks {', '.join(map(repr, missing))}"
    if schema.get("additionalProperties") is False and (extra := [name for name in value if name not in known]):
        return f"{path} has {', '.join(map(_short, extra[:3]))}, which the schema does not know"
    faults = (breach(value[name], known[name], f"{path}.{name}") for name in known if name in value)
    return next((fault for fault in faults if fault), None)


def _of_bounds(value: float, schema: Mapping[str, Any], path: str, least: str, most: str) -> str | None:
    if least in schema and not value >= schema[least]:
        return f"{path} is {value}, below {schema[least]}"
    if most in schema and not value <= schema[most]:
        return f"{path} is {value}, above {schema[most]}"
    return None


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):  # Python calls it a whole number
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):  # JSON Schema calls 1.0 one
        return value.is_integer()
    return isinstance(value, TYPES.get(kind, ()))


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
