"""A reward tree from a recipe's YAML, with all faults at once.

A node is `{type: NAME, knob: value, ...}` or the bare `NAME`; NAME is built in, another package's entry point in
`medrl.rewards`, or `module:attribute`. What a knob may hold is read from the annotation of its field, so a third
party's node nests like ours. The other way is `Reward.to_config`.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from typing import Any, TypeAlias, cast, get_type_hints

from medrl import plugins
from medrl.errors import MedrlError, RecipeError, did_you_mean
from medrl.knobs import read_value
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
        values[name] = read_value(value, hints[name], f"{path}.{name}", faults, _reward_or_verifier)
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


def _reward_or_verifier(value: Any, kind: type, path: str, faults: list[str]) -> tuple[bool, Any]:
    """What `read_value` does not know by itself: knobs that hold rewards, and knobs that hold verifiers."""
    if issubclass(kind, Reward):
        return True, _node(value, path, faults)
    if issubclass(kind, protocol.Verifier):
        return True, _verifier(value, path, faults)
    return False, None


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
