"""The fingerprint of a reward tree, by which two processes know that they score alike."""

import inspect
from dataclasses import fields, is_dataclass
from typing import Any

from medrl.rewards.tree import Reward
from medrl.verifiers.protocol import Verifier, digest


def fingerprint(tree: Reward) -> str:
    """16 hex digits over a tree and its verifiers: equal in every process, different where scores may be."""
    return digest([_prints(node) for node in tree.walk()])


def _prints(node: Reward) -> Any:
    knobs: list[str] = [knob.name for knob in fields(node) if knob.init] if is_dataclass(node) else []
    return [node.kind(), {name: _print(getattr(node, name)) for name in knobs}]


def _print(value: Any) -> Any:
    if isinstance(value, Verifier):
        return value.fingerprint()
    if isinstance(value, Reward):
        return value.name
    if isinstance(value, list | tuple):
        return [_print(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _print(one) for key, one in value.items()}
    if inspect.isfunction(value):
        try:
            return digest(inspect.getsource(value))
        except OSError:  # typed into a prompt
            return digest(value.__code__.co_code.hex())
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__
