"""Recipes: a YAML file that names everything of a run, read with all its faults at once, and carried out."""

from medrl.recipes.load import load_recipe, read_recipe, to_yaml
from medrl.recipes.schema import DemonstrationSource, ProblemSource, Recipe

__all__ = ["DemonstrationSource", "ProblemSource", "Recipe", "load_recipe", "read_recipe", "to_yaml"]
