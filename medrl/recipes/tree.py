"""A recipe's YAML as plain sections, whatever its kind: `extends`, dotted overrides, and every fault at once.

No recipe is known here, so that a command imports no more than the recipe that it reads.
"""

import copy
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from medrl.errors import MissingFile, RecipeError
from medrl.knobs import read_dataclass

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, and a key given twice is a fault instead of a silent replacement."""


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that `_Loader` would take for numbers."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:  # before `<<` is filled in: what it brings may be replaced
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} cannot be a key", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    build = loader.construct_object
    return {build(key, deep=True): build(value, deep=True) for key, value in node.value}


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_recipe_of(cls: type[T], tree: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> T:
    """A recipe of another kind (a verifier, a reward model, ...) from a plain mapping.

    Raises:
        RecipeError: With every fault found.
    """
    faults: list[str] = []
    sections = copy.deepcopy(dict(tree))
    for override in overrides:
        override_knob(sections, override, faults)
    recipe = read_dataclass(cls, sections, "", faults)
    if faults or recipe is None:
        raise RecipeError(source, faults)
    return recipe


def read_tree(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    if not path.is_file():
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))[:8]) if path.parent.is_dir() else ""
        raise MissingFile(f"there is no recipe {path}" + (f"; that folder has {near}" if near else ""))
    if path.resolve() in below:
        raise RecipeError(str(path), ["`extends` leads back to this file"])
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), [f"it is no UTF-8 text: {error}"]) from error
    except OSError as error:
        raise RecipeError(str(path), [f"it cannot be read: {error.strerror}"]) from error
    tree, fault = _yaml(text)
    if fault:
        raise RecipeError(str(path), [fault])
    if not isinstance(tree, dict):
        raise RecipeError(str(path), [f"it holds {type(tree).__name__}, not sections; begin with `name: ...`"])
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    return _merged(read_tree(path.parent / str(parent), (*below, path.resolve())), tree)


def _yaml(text: str) -> tuple[Any, str | None]:
    """What the text says, or what is wrong with it and where."""
    try:
        return yaml.load(text, _Loader), None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return None, f"{where}{getattr(error, 'problem', None) or error}"
    except (ValueError, RecursionError) as error:  # a date that no calendar has; nesting without end
        return None, f"it holds something that is no YAML value: {error}"


def _merged(
    base: dict[str, Any], over: Mapping[str, Any], whole: Sequence[str] = ("reward", "algorithm", "environment")
) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key not in whole
        merged[key] = _merged(merged[key], value, ()) if both else value
    return merged


def override_knob(tree: dict[str, Any], override: str, faults: list[str]) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        faults.append(f"{override!r} is no override; write section.knob=value")
        return
    value, fault = _yaml(text)
    if fault:
        faults.append(f"{path}: {text!r} is no YAML value: {fault}")
        return
    node: Any = tree
    *above, last = path.split(".")
    for step in above:
        if isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
            continue
        if not isinstance(node, dict):
            faults.append(f"{path}: {step!r} is below something that has no knobs")
            return
        if not isinstance(node.get(step), list):
            node[step] = dict(node.get(step) or {}) if isinstance(node.get(step), Mapping | None) else {}
        node = node[step]
    if isinstance(node, list):
        if not last.isdigit() or int(last) >= len(node):
            faults.append(f"{path}: {last!r} is no place in a list of {len(node)}")
            return
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        faults.append(f"{path}: {last!r} is below something that has no knobs")


def plain_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: plain_values(one) for key, one in value.items()}
    return [plain_values(one) for one in value] if isinstance(value, list | tuple) else value


def yaml_text(value: Any) -> str:
    """A whole document as YAML that reads back equal."""
    text: str = yaml.dump(plain_values(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def yaml_value(value: Any) -> str:
    """One value as YAML on one line."""
    text: str = yaml.dump(plain_values(value), Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
