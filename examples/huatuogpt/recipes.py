"""The recipes of a larger scale: each is read with all its knobs, and its command told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medrl.recipes import load_recipe
from medrl.recipes.feedback import load_feedback_recipe
from medrl.recipes.reward_model import load_reward_recipe
from medrl.recipes.steps import Step, tell_steps

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
    return tell_steps([Step(command, read, folder / f"{name}.yaml") for name, read, command in STEPS], AWAITED)
