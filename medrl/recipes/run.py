"""Carry a recipe out: data, start policy, SFT, reinforcement learning, evaluation, and what to look at afterwards."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medrl import rewards
from medrl.data.demonstrations import Demonstration
from medrl.errors import DataError
from medrl.files import atomic_folder
from medrl.models import Policy
from medrl.recipes.build import check_held_out, demonstrations_of, problems_of, start_policy
from medrl.recipes.load import read_algorithm, to_yaml
from medrl.recipes.schema import Recipe
from medrl.seeds import seed_of
from medrl.tracking import RunConsole, RunFolder, make_trackers, plot_curve
from medrl.trainers import Trainer, fine_tune
from medrl.types import Problem

# What a resumed run may change: how long it goes on and what it keeps, never what it computes.
MAY_CHANGE = ("resume", "folder", "trackers", "trainer.steps", "trainer.keep_checkpoints", "trainer.max_unscored")


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        folder: The run folder.
        before: The evaluation before reinforcement learning, as in evaluations.jsonl; None without held-out problems.
        after: The last one.
        steps: Finished steps.
    """

    folder: Path
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    steps: int


@dataclass(frozen=True)
class Parts:
    """What a recipe's sections turn into before anything is trained."""

    problems: list[Problem]
    held_out: list[Problem]
    demonstrations: list[Demonstration]
    reward: rewards.Reward


def run_folder(recipe: Recipe) -> Path:
    """Where the run is kept."""
    return Path(recipe.folder or Path("runs") / recipe.name)


def prepare(recipe: Recipe) -> Parts:
    """Load and check all data, and build the reward."""
    problems = problems_of(recipe.problems)
    held_out = problems_of(recipe.held_out) if recipe.held_out else []
    check_held_out(problems, held_out)
    shown = demonstrations_of(recipe.demonstrations, recipe.problems) if recipe.demonstrations else []
    return Parts(problems, held_out, shown, rewards.build(recipe.reward))


def run_recipe(recipe: Recipe, console: RunConsole | None = None) -> Outcome:
    """Train what the recipe says, or go on with it; the run folder holds all that came out."""
    console = console or RunConsole()
    quiet_libraries()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    parts = prepare(recipe)
    console.say(
        f"{recipe.name}: {len(parts.problems)} problems, {len(parts.held_out)} held out, "
        f"{len(parts.demonstrations)} demonstrations; {torch.get_num_threads()} threads"
    )
    started = time.perf_counter()
    with RunFolder.create(run_folder(recipe), to_yaml(recipe), recipe.resume, may_change=MAY_CHANGE) as run, console:
        policy = _tuned_policy(recipe, parts, run, console)
        trainer = make_trainer(recipe, parts, policy, run=run, console=console)
        if run.resumed and trainer.resume():
            console.say(f"going on from step {trainer.step}")
        trainer.fit()
        evaluations = run.read_evaluations("held_out")
        before, after = (evaluations[0], evaluations[-1]) if evaluations else (None, None)
        run.write_summary(
            {
                "name": recipe.name, "steps": trainer.step, "parameters": policy.parameters,
                "before": before, "after": after, "best": trainer.best, "time/run": time.perf_counter() - started,
            }
        )  # fmt: skip
        _show(run, console, before, after)
    return Outcome(run.path, before, after, trainer.step)


def make_trainer(recipe: Recipe, parts: Parts, policy: Policy, **more: Any) -> Trainer:
    """The trainer that a recipe describes."""
    algorithm, _ = read_algorithm(recipe.algorithm)
    run: RunFolder | None = more.get("run")
    trackers = make_trackers(recipe.trackers, run.path, run_name=recipe.name) if run and recipe.trackers else []
    return Trainer(
        policy,
        parts.problems,
        parts.reward,
        algorithm,
        held_out=parts.held_out,
        settings=recipe.trainer,
        sampling=recipe.sampling,
        optimization=recipe.optimization,
        evaluation=recipe.evaluation,
        trackers=trackers,
        max_rows=recipe.max_rows,
        seed=recipe.seed,
        **more,
    )


def _tuned_policy(recipe: Recipe, parts: Parts, run: RunFolder, console: RunConsole) -> Policy:
    """The policy that reinforcement learning starts from; a finished SFT stage is read back, not run again."""
    if (run.sft / "config.json").is_file():
        console.say(f"SFT is done; reading {run.sft.name}/")
        return Policy.load(str(run.sft))
    policy = start_policy(recipe, parts.problems, parts.demonstrations)
    console.say(f"policy: {policy.name}, {policy.parameters:,} parameters, {len(policy.tokenizer):,} tokens")
    if recipe.sft is None:
        return policy
    policy.check()
    run.cut_back(-1, phase="sft")  # a stage that was killed begins anew, or from its own checkpoint
    shown = len(parts.demonstrations)
    total = round(recipe.sft.epochs * max(1, -(-shown // recipe.sft.batch_size)))
    with console.phase("SFT", total=total) as progress:

        def report(update: int, updates: int, figures: Mapping[str, Any]) -> None:
            progress.advance()
            kept = {name: float(figures[name]) for name in ("loss", "grad_norm", "learning_rate") if name in figures}
            run.log_metrics(update, kept, phase="sft")

        checkpoints = run.path / "sft-checkpoints"
        seed = seed_of(recipe.seed, "sft") % 2**31
        figures = fine_tune(policy, parts.demonstrations, recipe.sft, seed=seed, folder=checkpoints, on_update=report)
    console.say(f"SFT: mean loss {figures['loss']:.3f} over {figures['updates']:.0f} updates of {shown} demonstrations")
    with atomic_folder(run.sft) as folder:
        policy.save(folder)
    return Policy.load(str(run.sft))


def _show(run: RunFolder, console: RunConsole, before: Any, after: Any) -> None:
    picture = plot_curve(run)
    if before and after and before["step"] != after["step"]:
        console.before_after(before, after, names=("before RL", "after RL"))
        first, last = run.read_rollouts(before["step"], "held_out"), run.read_rollouts(after["step"], "held_out")
        console.answers(first, last, names=("before RL", "after RL"), limit=3)
    console.say(f"run folder: {_short(run.path)}")
    console.say(f"learning curve: {_short(picture)}")


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def evaluate_policy(recipe: Recipe, policy: Policy, console: RunConsole) -> tuple[dict[str, Any], Sequence[Any]]:
    """Evaluate a policy on the recipe's held-out problems, with no run folder: figures, and the scored groups."""
    quiet_libraries()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    parts = prepare(recipe)
    if not parts.held_out:
        raise DataError(f"the recipe {recipe.name!r} has no held-out problems to evaluate on; give `held_out`")
    trainer = make_trainer(recipe, parts, policy, console=console)
    with console:
        from medrl.verifiers import run_sync

        result = run_sync(trainer.evaluate())
    return {"name": result.name, **result.row()}, result.sampled


def quiet_libraries() -> None:
    """Progress bars and notes of other libraries would tear our own apart; their warnings of errors stay."""
    import logging
    import warnings

    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    for name in ("deepspeed", "DeepSpeed", "accelerate", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r"TRL currently supports vLLM|.*experimental", category=UserWarning)
