"""The recipes of a larger scale: each is read with all its knobs, and its command told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medrl.errors import RecipeError
from medrl.recipes import load_recipe
from medrl.recipes.feedback import load_feedback_recipe
from medrl.recipes.reward_model import load_reward_recipe

# In the order in which they run: the file, what reads it, the command.
STEPS: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("sft", load_recipe, "medrl run"),
    ("feedback", load_feedback_recipe, "medrl construct feedback"),
    ("reward_model", load_reward_recipe, "medrl train-reward"),
    ("ppo", load_recipe, "medrl run"),
)
AWAITED = "there is no folder runs/"  # what a later step says of an earlier one's result


def check(folder: Path) -> int:
    """0 when every recipe of a scale is sound, what earlier steps have yet to write left aside; 1 with the faults."""
    faults: list[str] = []
    for name, read, command in STEPS:
        file = folder / f"{name}.yaml"
        try:
            read(file)
        except RecipeError as error:
            faults += [f"{file.name}: {fault}" for fault in error.faults if AWAITED not in fault]
        print(f"{command} {file}")
    for fault in faults:
        print(f"error: {fault}")
    return int(bool(faults))
