"""Recipes: a YAML file that names everything of a run, read with all its faults at once, and carried out.

Nothing is imported here: the recipe of a run knows every part of medrl, and brings in torch; that of a construction does not.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medrl.recipes.load import load_recipe as load_recipe
    from medrl.recipes.load import read_recipe as read_recipe
    from medrl.recipes.load import to_yaml as to_yaml
    from medrl.recipes.schema import DemonstrationSource as DemonstrationSource
    from medrl.recipes.schema import ProblemSource as ProblemSource
    from medrl.recipes.schema import Recipe as Recipe

# Public name to the module it lives in.
_HOME = {
    "DemonstrationSource": "schema",
    "ProblemSource": "schema",
    "Recipe": "schema",
    "load_recipe": "load",
    "read_recipe": "load",
    "to_yaml": "load",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'medrl.recipes' has no attribute {name!r}; it has: {', '.join(_HOME)}")
    from importlib import import_module

    value = getattr(import_module(f"medrl.recipes.{home}"), name)
    globals()[name] = value
    return value
