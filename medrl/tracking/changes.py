"""What differs between the settings that work was begun with and those it is to go on with, field by field."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.tracking.traces import plain


def changes(old: Mapping[str, Any], new: Mapping[str, Any], may_change: Sequence[str] = ()) -> list[str]:
    """A sentence for each field that differs, `optimization.lr: was 0.001, is now 0.002`; none where nothing does.

    Args:
        old: Settings of any depth.
        new: The same, as they are now.
        may_change: Dotted fields that may differ, sections included (`("trainer.steps", "tracking")`).
    """
    before, after = dict(leaves(old)), dict(leaves(new))
    return [
        f"{key}: was {_told(before, key)}, is now {_told(after, key)}"
        for key in [*before, *(key for key in after if key not in before)]
        if (key not in before or key not in after or before[key] != after[key]) and not among(key, may_change)
    ]


def among(key: str, sections: Sequence[str]) -> bool:
    """Whether a dotted field is one of these, or below one."""
    return any(key == one or key.startswith((f"{one}.", f"{one}[")) for one in sections)


def _told(leaves: Mapping[str, Any], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=False) if key in leaves else "absent"


def leaves(tree: Any, key: str = "") -> list[tuple[str, Any]]:
    """The dotted fields of settings and their values: `("optimization.lr", 0.001)`, `("roles[0].name", "writer")`."""
    if isinstance(tree, dict) and tree:
        return [leaf for name, value in tree.items() for leaf in leaves(value, f"{key}.{name}" if key else str(name))]
    if isinstance(tree, list) and tree:
        return [leaf for index, value in enumerate(tree) for leaf in leaves(value, f"{key}[{index}]")]
    return [(key, plain(tree))] if key else []
