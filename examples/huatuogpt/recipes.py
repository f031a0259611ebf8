"""The steps of the larger scales, laptop and paper: SFT, AI feedback, the reward model, PPO."""

from collections.abc import Sequence
from pathlib import Path

from medrl.commands.run_steps import tell_or_run
from medrl.recipes import load_recipe
from medrl.recipes.feedback import load_feedback_recipe
from medrl.recipes.reward_model import load_reward_recipe
from medrl.recipes.steps import Step, with_knobs

POLICY = "{root}/sft/run/sft"


def steps(folder: Path) -> list[Step]:
    """Of the recipes in a folder, in the order in which they run; each reads what those before it wrote."""
    return [
        Step("sft", "medrl run", load_recipe, folder / "sft.yaml", ("folder={root}/sft/run", "resume=true")),
        Step(
            "feedback", "medrl construct feedback", load_feedback_recipe, folder / "feedback.yaml",
            ("folder={root}/feedback/records", f"policy={POLICY}"), ("sft",),
        ),
        Step(
            "reward_model", "medrl train-reward", load_reward_recipe, folder / "reward_model.yaml",
            ("folder={root}/reward_model/model", "overwrite=true", f"base.path={POLICY}",
             "pairs.source={root}/feedback/records/pairs.jsonl"), ("sft", "feedback"),
        ),
        Step(
            "ppo", "medrl run", load_recipe, folder / "ppo.yaml",
            ("folder={root}/ppo/run", "resume=true", f"policy.path={POLICY}",
             "reward.then.model={root}/reward_model/model"), ("sft", "reward_model"),
        ),
    ]  # fmt: skip


def reproduce(folder: Path, root: Path, run: bool, knobs: Sequence[str] = ()) -> int:
    """Tell the commands of a scale, and with `run` carry out what is left of them; 1 where a recipe has faults."""
    return tell_or_run(with_knobs(steps(folder), knobs), root, run)
