"""The recipe of a run: its sections, its reward and its algorithm, with every fault of every section at once."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medrl import environments, plugins, rewards
from medrl.algorithms import Algorithm
from medrl.errors import MedrlError, RecipeError, did_you_mean
from medrl.knobs import read_dataclass
from medrl.recipes.schema import Recipe
from medrl.recipes.tree import override_knob, read_tree, yaml_text


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), *, excused: Callable[[str], bool] = lambda fault: False
) -> Recipe:
    """The recipe in a YAML file.

    `extends: other.yaml` (relative to the file) starts from another recipe, whose sections are merged key by key;
    `reward`, `algorithm` and `environment` are replaced whole, since their knobs depend on their type.

    Args:
        path: The file.
        overrides: `a.b=c` each, c being YAML: `trainer.steps=3`, `problems.kinds=[term, choice]`, `sft=null`.
        excused: Which faults are left aside: see `Awaited.excuses`.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    return read_recipe(read_tree(Path(path), ()), str(path), overrides, excused=excused)


def read_recipe(
    tree: Mapping[str, Any],
    source: str = "the recipe",
    overrides: Sequence[str] = (),
    *,
    excused: Callable[[str], bool] = lambda fault: False,
) -> Recipe:
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
    faults = [fault for fault in faults if not excused(fault)]
    if faults or recipe is None:
        raise RecipeError(source, faults)
    return recipe


def _misplaced_critic(recipe: Recipe, algorithm: Algorithm) -> list[str]:
    try:
        recipe.optimization.for_algorithm(algorithm)
    except ValueError as error:
        return [str(error)]
    return []


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
    return yaml_text(asdict(recipe))
