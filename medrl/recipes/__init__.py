"""Recipes: a YAML file that names everything of a run, read with all its faults at once, and carried out.

Nothing is imported here: the recipe of a run knows every part of medrl, and brings in torch; that of a construction does not.
"""

from typing import TYPE_CHECKING

from medrl.lazy import lazy_names

if TYPE_CHECKING:
    from medrl.recipes.load import load_recipe as load_recipe
    from medrl.recipes.load import read_recipe as read_recipe
    from medrl.recipes.load import to_yaml as to_yaml
    from medrl.recipes.schema import DemonstrationSource as DemonstrationSource
    from medrl.recipes.schema import ProblemSource as ProblemSource
    from medrl.recipes.schema import Recipe as Recipe

# Public name to the module it lives in.
_HOME = {
    "DemonstrationSource": "medrl.recipes.schema",
    "ProblemSource": "medrl.recipes.schema",
    "Recipe": "medrl.recipes.schema",
    "load_recipe": "medrl.recipes.load",
    "read_recipe": "medrl.recipes.load",
    "to_yaml": "medrl.recipes.load",
}

__all__ = [*_HOME]


__getattr__ = lazy_names(__name__, _HOME)
