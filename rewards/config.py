"""A reward tree from a recipe's YAML, with all faults at once.

A node is `{type: NAME, knob: value, ...}` or the bare `NAME`; NAME is built in, another package's entry point in
`medrl.rewards`, or `module:attribute`. What a knob may hold is read from the annotation of its field, so a third
party's node nests like ours. The other way is `Reward.to_config`.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from medrl import plugins
from medrl.errors import MedrlError, RecipeError, did_you_mean
from medrl.rewards.tree import GROUP, Reward, RewardContext, Scores, knobs_of
from medrl.types import Group
from medrl.verifiers import protocol

Config: TypeAlias = Reward | str | Mapping[str, Any]


def build(config: Config, path: str = "reward") -> Reward:
    """The reward tree that `config` describes.

    Raises:
        RecipeError: With every fault of the config and of the tree, each with its path.
    """
    tree, faults = read(config, path)
    if faults:
        raise RecipeError("the reward", faults)
    return tree


def check(config: Config, path: str = "reward") -> list[str]:
    """Every fault of a config, each with its path such as `reward.then.parts[1]`; empty for a sound one."""
    return read(config, path)[1]


def read(config: Config, path: str = "reward") -> tuple[Reward, list[str]]:
    """The tree and all its faults; nodes that could not be built are stood in for, so that the rest is checked too."""
    faults: list[str] = []
    tree = _node(config, path, faults)
    return tree, faults + tree.faults(path)


@dataclass(frozen=True)
class Unbuilt(Reward):
    """Stands where a node has faults, so that its neighbours and children are still looked at."""

    name: str = ""
    below: tuple[tuple[str, Reward], ...] = ()

    def children(self) -> list[tuple[str, Reward]]:
        return list(self.below)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        raise RecipeError("the reward", [f"{self.name or 'a node'} was never built"])


def _node(config: object, path: str, faults: list[str]) -> Reward:
    if isinstance(config, Reward):
        return config
    if not isinstance(config, str | Mapping):
        faults.append(f"{path}: {config!r:.80} is not a reward; write {{type: NAME, knob: value}} or NAME")
        return Unbuilt()
    knobs = {"type": config} if isinstance(config, str) else dict(config)
    kind = knobs.pop("type", None)
    if not isinstance(kind, str):
        known = ", ".join(sorted(plugins.available(GROUP)))
        faults.append(f"{path}: it has no `type`; name a reward: {known}, or module:attribute")
        return Unbuilt()
    try:
        found = plugins.load(GROUP, kind)
    except MedrlError as error:
        known_verifier = kind in plugins.available(protocol.GROUP)
        hint = f"; {kind!r} is a verifier, write {{type: verified, verifier: {kind}}}" if known_verifier else ""
        faults.append(f"{path}: {error}{hint}")
        return Unbuilt()
    if isinstance(found, Reward):
        return _with_knobs(found, knobs, kind, path, faults)
    if isinstance(found, type) and issubclass(found, Reward) and not inspect.isabstract(found):
        return _made(found, knobs, kind, path, faults)
    hint = "; put @reward('name') above the function" if inspect.isfunction(found) else ""
    faults.append(f"{path}: {kind!r} is {found!r:.80}, which is not a reward{hint}")
    return Unbuilt()


def _made(cls: type[Reward], knobs: Mapping[str, Any], kind: str, path: str, faults: list[str]) -> Reward:
    values = _values(cls, knobs, kind, path, faults)
    required = [k.name for k in knobs_of(cls) if k.default is MISSING and k.default_factory is MISSING]
    faults += [f"{path}: {kind!r} needs the knob {name!r}" for name in required if name not in knobs]
    if any(name not in values for name in required):
        return _unbuilt(values)
    try:
        return cls(**values)  # a faulty knob that has a default is left at it, for the node to find its other faults
    except RecipeError as error:
        faults += [f"{path}: {fault}" for fault in error.faults]
    except (MedrlError, TypeError, ValueError) as error:
        faults.append(f"{path}: {kind!r} cannot be made: {error}")
    return _unbuilt(values)


def _with_knobs(found: Reward, knobs: Mapping[str, Any], kind: str, path: str, faults: list[str]) -> Reward:
    values = _values(type(found), knobs, kind, path, faults)
    try:
        renewed: Reward = replace(cast(Any, found), **values) if values else found
        return renewed
    except RecipeError as error:
        faults += [f"{path}: {fault}" for fault in error.faults]
        return found


def _values(cls: type[Reward], knobs: Mapping[str, Any], kind: str, path: str, faults: list[str]) -> dict[str, Any]:
    """The knobs that could be read, as what the fields want."""
    known, hints = [knob.name for knob in knobs_of(cls)], get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, value in knobs.items():
        if name not in known:
            faults.append(f"{path}: {kind!r} has no knob {name!r}{did_you_mean(str(name), known)}")
            continue
        before = len(faults)
        values[name] = _value(value, hints[name], f"{path}.{name}", faults)
        if len(faults) > before and not _holds_rewards(values[name]):
            del values[name]  # rewards stay, with stand-ins for the faulty ones
    return values


def _holds_rewards(value: object) -> bool:
    return isinstance(value, Reward) or (isinstance(value, tuple) and any(isinstance(one, Reward) for one in value))


def _unbuilt(values: Mapping[str, Any]) -> Unbuilt:
    below: list[tuple[str, Reward]] = []
    for name, value in values.items():
        places = [(f"{name}[{i}]", one) for i, one in enumerate(value)] if isinstance(value, tuple) else [(name, value)]
        below += [(place, one) for place, one in places if isinstance(one, Reward)]
    return Unbuilt(values.get("name", ""), tuple(below))


def _value(value: Any, hint: Any, path: str, faults: list[str]) -> Any:
    """`value` as what the annotation `hint` wants; a fault where it is something else."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _one_of(value, args, path, faults)
    if origin is Literal:
        if value not in args:
            faults.append(f"{path}: {value!r:.80} cannot be chosen{did_you_mean(str(value), map(str, args))}")
        return value
    if origin in (tuple, list, Sequence):
        return _items(value, origin, args, path, faults)
    kind = origin or hint
    if not isinstance(kind, type):  # Any, a type variable: the node itself must check
        return value
    if issubclass(kind, Reward):
        return _node(value, path, faults)
    if issubclass(kind, protocol.Verifier):
        return _verifier(value, path, faults)
    return _plain(value, kind, path, faults)


def _one_of(value: Any, hints: Sequence[Any], path: str, faults: list[str]) -> Any:
    if value is None and NoneType in hints:
        return None
    hints = [hint for hint in hints if hint is not NoneType]
    if len(hints) == 1:
        return _value(value, hints[0], path, faults)
    tries: list[list[str]] = []
    for hint in hints:
        tries.append([])
        read_value = _value(value, hint, path, tries[-1])
        if not tries[-1]:
            return read_value
    faults += tries[0]
    return value


def _items(value: Any, origin: Any, args: Sequence[Any], path: str, faults: list[str]) -> Any:
    if not isinstance(value, list | tuple):
        faults.append(f"{path}: {value!r:.80} is not a list")
        return value
    fixed = origin is tuple and args[-1:] != (...,)
    if fixed and len(args) != len(value):
        faults.append(f"{path}: it has {len(value)} items where {len(args)} are wanted")
        return value
    hints = args if fixed else [args[0] if args else Any] * len(value)
    pairs = enumerate(zip(value, hints, strict=True))
    items = [_value(one, hint, f"{path}[{i}]", faults) for i, (one, hint) in pairs]
    return items if origin is list else tuple(items)


def _plain(value: Any, kind: type, path: str, faults: list[str]) -> Any:
    words = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            faults.append(f"{path}: {value!r} is not a finite number")
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    hint = ""
    if kind in (float, int) and isinstance(value, str):
        hint = f"; YAML reads {value!r} as text" + (" (write 1.0e-6, not 1e-6)" if "e" in value.lower() else "")
    faults.append(f"{path}: {value!r:.80} is not {words.get(kind, f'a {kind.__name__}')}{hint}")
    return value


def _verifier(value: Any, path: str, faults: list[str]) -> Any:
    if not isinstance(value, protocol.Verifier | str | Mapping):
        faults.append(f"{path}: {value!r:.80} is not a verifier; write {{type: NAME, knob: value}} or NAME")
        return None
    try:
        return protocol.build(value)
    except RecipeError as error:
        faults += [f"{path}: {error.source}: {fault}" for fault in error.faults]
    except MedrlError as error:
        faults.append(f"{path}: {error}")
    return None
