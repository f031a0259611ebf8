"""Plain values (from YAML, from the command line) as what a dataclass's annotations ask for, with all faults at once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from medrl.errors import MedrlError, RecipeError, did_you_mean

T = TypeVar("T")
# Reads a value as a type of its own (a reward, a verifier); returns False, None for any other type.
Special: TypeAlias = Callable[[Any, type, str, list[str]], tuple[bool, Any]]
_WORDS: Mapping[type, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


def _nothing_special(value: Any, kind: type, path: str, faults: list[str]) -> tuple[bool, Any]:
    return False, None


def read_value(value: Any, hint: Any, path: str, faults: list[str], special: Special = _nothing_special) -> Any:
    """`value` as what the annotation `hint` wants; appends a fault, with its `path`, where it is something else."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _one_of(value, args, path, faults, special)
    if origin is Literal:
        if value not in args:
            faults.append(f"{path}: {value!r:.80} cannot be chosen{did_you_mean(str(value), map(str, args))}")
        return value
    if origin in (tuple, list, Sequence):
        return _items(value, origin, args, path, faults, special)
    kind = origin or hint
    if not isinstance(kind, type):  # Any, a type variable: the receiver itself must check
        return value
    done, result = special(value, kind, path, faults)
    if done:
        return result
    if is_dataclass(kind):
        return read_dataclass(kind, value, path, faults, special)
    return _plain(value, kind, path, faults)


def read_dataclass(
    cls: type[T], value: Any, path: str, faults: list[str], special: Special = _nothing_special
) -> T | None:
    """A mapping of knobs as a frozen dataclass; None, and faults, where it cannot be made."""
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        faults.append(f"{path}: {value!r:.80} is no section; write its knobs below it, one per line")
        return None
    knobs = {f.name: f for f in fields(cast(Any, cls)) if f.init}
    hints, before = get_type_hints(cls), len(faults)
    prefix = f"{path}." if path else ""
    values = {}
    for name, one in value.items():
        if name in knobs:
            values[name] = read_value(one, hints[name], f"{prefix}{name}", faults, special)
        else:
            faults.append(f"{prefix}{name}: there is no such knob{did_you_mean(str(name), knobs)}")
    for name, knob in knobs.items():
        if name not in value and knob.default is MISSING and knob.default_factory is MISSING:
            faults.append(f"{prefix}{name}: it is missing, and has no default")
    if len(faults) > before:
        return None
    try:
        return cls(**values)
    except RecipeError as error:
        faults += [f"{path}: {fault}" for fault in error.faults]
    except (MedrlError, TypeError, ValueError) as error:
        faults.append(f"{path or 'recipe'}: {error}")
    return None


def _one_of(value: Any, hints: Sequence[Any], path: str, faults: list[str], special: Special) -> Any:
    if value is None and NoneType in hints:
        return None
    hints = [hint for hint in hints if hint is not NoneType]
    if len(hints) == 1:
        return read_value(value, hints[0], path, faults, special)
    tries: list[list[str]] = []
    for hint in hints:
        tries.append([])
        result = read_value(value, hint, path, tries[-1], special)
        if not tries[-1]:
            return result
    faults += tries[0]
    return value


def _items(value: Any, origin: Any, args: Sequence[Any], path: str, faults: list[str], special: Special) -> Any:
    if not isinstance(value, list | tuple):
        faults.append(f"{path}: {value!r:.80} is not a list")
        return value
    fixed = origin is tuple and args[-1:] != (...,)
    if fixed and len(args) != len(value):
        faults.append(f"{path}: it has {len(value)} items where {len(args)} are wanted")
        return value
    hints = args if fixed else [args[0] if args else Any] * len(value)
    pairs = enumerate(zip(value, hints, strict=True))
    items = [read_value(one, hint, f"{path}[{i}]", faults, special) for i, (one, hint) in pairs]
    return items if origin is list else tuple(items)


def _plain(value: Any, kind: type, path: str, faults: list[str]) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            faults.append(f"{path}: {value!r} is not a finite number")
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    faults.append(f"{path}: {value!r:.80} is not {_WORDS.get(kind, f'a {kind.__name__}')}{_yaml_trap(value, kind)}")
    return value


def _yaml_trap(value: Any, kind: type) -> str:
    if kind not in (float, int) or not isinstance(value, str):
        return ""
    return f"; YAML reads {value!r} as text" + (" (write 1.0e-6, not 1e-6)" if "e" in value.lower() else "")


def out_of_range(knobs: object, *, above_0: Sequence[str] = (), from_0: Sequence[str] = ()) -> list[str]:
    """A fault for each named number of a dataclass that is not above 0, or is below it."""
    faults = [
        f"{name} is {getattr(knobs, name)}; it must be above 0" for name in above_0 if not getattr(knobs, name) > 0
    ]
    return faults + [
        f"{name} is {getattr(knobs, name)}; it must not be below 0" for name in from_0 if not getattr(knobs, name) >= 0
    ]


def bad_betas(betas: Sequence[float]) -> list[str]:
    """A fault where AdamW's decay rates are none."""
    return (
        []
        if all(0.0 <= beta < 1.0 for beta in betas)
        else [f"betas are {list(betas)}; each must be at least 0 and below 1"]
    )
