"""Read a recipe: YAML, `extends`, dotted overrides, then every fault of every section at once."""

import copy
import inspect
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import yaml

from medrl import environments, plugins, rewards
from medrl.algorithms import Algorithm
from medrl.errors import MedrlError, MissingFile, RecipeError, did_you_mean
from medrl.knobs import read_dataclass
from medrl.recipes.schema import Recipe

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


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file.

    `extends: other.yaml` (relative to the file) starts from another recipe, whose sections are merged key by key;
    `reward`, `algorithm` and `environment` are replaced whole, since their knobs depend on their type.

    Args:
        path: The file.
        overrides: `a.b=c` each, c being YAML: `trainer.steps=3`, `problems.kinds=[term, choice]`, `sft=null`.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    return read_recipe(read_tree(Path(path), ()), str(path), overrides)


def read_recipe(tree: Mapping[str, Any], source: str = "the recipe", overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that a plain mapping describes; see `load_recipe`."""
    faults: list[str] = []
    sections = copy.deepcopy(dict(tree))
    for override in overrides:
        override_knob(sections, override, faults)
    recipe = read_dataclass(Recipe, sections, "", faults)
    if isinstance(sections.get("reward"), str | Mapping):
        faults += rewards.check(sections["reward"])
    if isinstance(sections.get("algorithm", {}), Mapping | str):
        algorithm, algorithm_faults = read_algorithm(sections.get("algorithm", {"type": "grpo"}))
        faults += algorithm_faults
        if recipe is not None and algorithm is not None:
            faults += _misplaced_critic(recipe, algorithm)
    if isinstance(sections.get("environment"), str | Mapping):
        faults += environments.check(sections["environment"])
    if faults or recipe is None:
        raise RecipeError(source, faults)
    return recipe


def _misplaced_critic(recipe: Recipe, algorithm: Algorithm) -> list[str]:
    try:
        recipe.optimization.for_algorithm(algorithm)
    except ValueError as error:
        return [str(error)]
    return []


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


def read_algorithm(config: Mapping[str, Any] | str) -> tuple[Algorithm | None, list[str]]:
    """The algorithm of `{type: NAME, preset: NAME, knob: value}`, or of a bare NAME, and all faults."""
    faults: list[str] = []
    knobs = {"type": config} if isinstance(config, str) else dict(config)
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
        presets = presets_of(cls)
        if preset not in presets:
            return None, [f"algorithm.preset: {kind!r} has no preset {preset!r}{did_you_mean(str(preset), presets)}"]
        knobs = {**asdict(getattr(cls, preset)()), **knobs}
    return read_dataclass(cls, knobs, "algorithm", faults), faults


def presets_of(cls: type[Algorithm]) -> list[str]:
    """The class methods of an algorithm that make it with the settings of a paper."""
    return sorted(n for n, kind in inspect.getmembers_static(cls, lambda m: isinstance(m, classmethod)) if n[0] != "_")


def to_yaml(recipe: Recipe) -> str:
    """The complete recipe as YAML that reads back equal."""
    return yaml.dump(plain_values(asdict(recipe)), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def yaml_value(value: Any) -> str:
    """One value as YAML on one line."""
    text: str = yaml.dump(plain_values(value), Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


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
