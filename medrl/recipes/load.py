"""Read a recipe: YAML, `extends`, dotted overrides, then every fault of every section at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from medrl import plugins, rewards
from medrl.algorithms import Algorithm
from medrl.errors import MedrlError, MissingFile, RecipeError
from medrl.knobs import read_dataclass
from medrl.recipes.schema import Recipe


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, and a key given twice is a fault instead of a silent replacement."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    keys = [loader.construct_object(key) for key, _ in node.value]  # type: ignore[no-untyped-call]
    for (key_node, _), key in zip(node.value, keys, strict=True):
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)}  # type: ignore[no-untyped-call]


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file.

    `extends: other.yaml` (relative to the file) starts from another recipe, whose sections are merged key by key;
    `reward` and `algorithm` are replaced whole, since their knobs depend on their type.

    Args:
        path: The file.
        overrides: `a.b=c` each, c being YAML: `trainer.steps=3`, `problems.kinds=[term, choice]`, `sft=null`.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    return read_recipe(_tree(Path(path), ()), str(path), overrides)


def read_recipe(tree: Mapping[str, Any], source: str = "the recipe", overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that a plain mapping describes; see `load_recipe`."""
    faults: list[str] = []
    tree = dict(tree)
    for override in overrides:
        _override(tree, override, faults)
    recipe = read_dataclass(Recipe, tree, "", faults)
    if isinstance(tree.get("reward"), str | Mapping):
        faults += rewards.check(tree["reward"])
    if isinstance(tree.get("algorithm", {}), Mapping):
        _, algorithm_faults = read_algorithm(tree.get("algorithm", {"type": "grpo"}))
        faults += algorithm_faults
    if faults or recipe is None:
        raise RecipeError(source, faults)
    return recipe


def read_algorithm(config: Mapping[str, Any]) -> tuple[Algorithm | None, list[str]]:
    """The algorithm of `{type: NAME, preset: NAME, knob: value}`, and all faults."""
    faults: list[str] = []
    knobs = dict(config)
    kind, preset = knobs.pop("type", None), knobs.pop("preset", None)
    if not isinstance(kind, str):
        known = ", ".join(plugins.available("medrl.algorithms"))
        return None, [f"algorithm: it has no `type`; name one: {known}, or module:attribute"]
    try:
        cls = plugins.load("medrl.algorithms", kind)
    except MedrlError as error:
        return None, [f"algorithm: {error}"]
    if not (isinstance(cls, type) and issubclass(cls, Algorithm)):
        return None, [f"algorithm: {kind!r} is {cls!r:.80}, which is not an algorithm"]
    if preset is not None:
        start = getattr(cls, str(preset), None)
        if not callable(start) or str(preset).startswith("_"):
            return None, [f"algorithm.preset: {kind!r} has no preset {preset!r}"]
        knobs = {**asdict(start()), **knobs}
    return read_dataclass(cls, knobs, "algorithm", faults), faults


def to_yaml(recipe: Recipe) -> str:
    """The complete recipe as YAML that reads back equal."""
    return yaml.safe_dump(_plain(asdict(recipe)), sort_keys=False, allow_unicode=True, width=120)


def _tree(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    if not path.is_file():
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))[:8]) if path.parent.is_dir() else ""
        raise MissingFile(f"there is no recipe {path}" + (f"; that folder has {near}" if near else ""))
    if path.resolve() in below:
        raise RecipeError(str(path), ["`extends` leads back to this file"])
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise RecipeError(str(path), [f"{where}{getattr(error, 'problem', None) or error}"]) from error
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), [f"it is no UTF-8 text: {error}"]) from error
    if not isinstance(tree, dict):
        raise RecipeError(str(path), [f"it holds {type(tree).__name__}, not sections; begin with `name: ...`"])
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    return _merged(_tree(path.parent / str(parent), (*below, path.resolve())), tree)


def _merged(base: dict[str, Any], over: Mapping[str, Any], whole: Sequence[str] = ("reward", "algorithm")) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key not in whole
        merged[key] = _merged(merged[key], value, ()) if both else value
    return merged


def _override(tree: dict[str, Any], override: str, faults: list[str]) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        faults.append(f"{override!r} is no override; write section.knob=value")
        return
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        faults.append(f"{path}: {text!r} is no YAML value: {getattr(error, 'problem', None) or error}")
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
    else:
        node[last] = value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
