"""Carry a recipe out: data, start policy, SFT, reinforcement learning, and what to look at afterwards."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from medrl import environments, rewards
from medrl.algorithms import OnePO, PolicyGradient
from medrl.cluster import Placement
from medrl.cluster.ray_start import require_cluster_packages
from medrl.cluster.room import check_cluster
from medrl.data.demonstrations import Demonstration
from medrl.environments import Environment, check_problems
from medrl.files import atomic_folder, remove_folder
from medrl.learners import backbone_and_head
from medrl.learners.trainable import check_trainable
from medrl.models import Policy
from medrl.recipes.build import check_held_out, data_of, needs_reference, problems_of, start_policy, whole_response
from medrl.recipes.load import read_algorithm, to_yaml
from medrl.recipes.process import quiet_libraries, reproducible
from medrl.recipes.schema import Recipe
from medrl.recipes.sft_ranks import fine_tune_on_ranks
from medrl.rollouts import TurnTemplate
from medrl.seeds import seed_of
from medrl.tracking import RunConsole, RunFolder, Tracker, make_trackers, plot_curve
from medrl.tracking.run import step_of
from medrl.trainers import Trainer, check_demonstrations, fine_tune
from medrl.trainers.cards import card_warnings
from medrl.trainers.checks import check_reward, fitting_problems
from medrl.trainers.sft_learner import updates_of
from medrl.types import Problem

# What a resumed run may change: what it keeps, how much failure it bears, and on what machines it goes on; how long it
# goes on, see `may_change`. What engines and ranks compute (types, `midway`, the longest sequence) stays.
MACHINES = (
    "address", "cpus", "colocate", "engines", "learners", "rewards", "adapters_only", "max_learner_restarts",
    "engine.max_num_seqs", "engine.max_batched_tokens", "engine.kv_cache_gib", "engine.gpu_memory_utilization",
    "engine.block_size", "engine.tensor_parallel", "engine.enforce_eager", "engine.transfer",
    "deepspeed.stage", "deepspeed.offload", "deepspeed.bucket_mib",
)  # fmt: skip
MAY_CHANGE = (
    "resume", "folder", "trackers", "trainer.keep_checkpoints", "trainer.max_unscored", "trainer.stop_grace",
    "trainer.peak_tflops", "trainer.show_machines", *(f"cluster.{name}" for name in MACHINES),
)  # fmt: skip


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
    environment: Environment | None = None


def run_folder(recipe: Recipe) -> Path:
    """Where the run is kept."""
    return Path(recipe.folder or Path("runs") / recipe.name)


def prepare(recipe: Recipe, tell: Callable[[str], object] = lambda line: None) -> Parts:
    """Load and check all data, and build the reward; `tell` takes a line on what is left out."""
    problems, shown = data_of(recipe, tell)
    held_out = problems_of(recipe.held_out, needs_reference(recipe)) if recipe.held_out else []
    check_held_out(recipe, problems, held_out, shown)
    environment = environments.build(recipe.environment) if recipe.environment else None
    return Parts(problems, held_out, shown, rewards.build(recipe.reward), environment)


def run_recipe(recipe: Recipe, console: RunConsole | None = None) -> Outcome:
    """Train what the recipe says, or go on with it; the run folder holds all that came out."""
    console = console or RunConsole()
    quiet_libraries()
    path, text = run_folder(recipe), to_yaml(recipe)
    if not recipe.resume and (path / "recipe.yaml").is_file():
        RunFolder.create(path, text).close()  # says that the folder is taken, before anything is loaded
    with reproducible(recipe.threads, recipe.policy.torch_device()):
        parts = prepare(recipe, console.say)
        console.say(
            f"{recipe.name}: {len(parts.problems)} problems, {len(parts.held_out)} held out, "
            f"{len(parts.demonstrations)} demonstrations; {torch.get_num_threads()} threads"
        )
        console.warn(*card_warnings(parts.reward), *algorithm_warnings(recipe))
        # Whatever would stop the run later is found before the folder is begun and SFT has spent hours.
        start = None if recipe.resume and _is_policy(path / "sft") else checked_start(recipe, parts)
        with RunFolder.create(path, text, recipe.resume, may_change=may_change(recipe)) as run, console:
            return _run(recipe, parts, start, run, console)


def _run(recipe: Recipe, parts: Parts, policy: Policy | None, run: RunFolder, console: RunConsole) -> Outcome:
    started = time.perf_counter()
    with _trackers(recipe, run) as trackers:
        policy = _tuned_policy(recipe, parts, policy, run, console, trackers)
        if recipe.placement == "ray" and recipe.sft_only:
            run.write_summary(
                {
                    "name": recipe.name,
                    "steps": 0,
                    "parameters": policy.parameters,
                    "time/run": time.perf_counter() - started,
                }
            )
            console.say(f"run folder: {_short(run.path)}")
            return Outcome(run.path, None, None, 0)
        with _placement(recipe, policy, run, console) as placement:
            trainer = make_trainer(
                recipe, parts, policy, run=run, console=console, trackers=trackers, placement=placement
            )
            if unusable := trainer.classroom.unusable:
                name, fault = next(iter(unusable.items()))
                console.say(
                    f"warning: {len(unusable)} answers of the teacher are passed over; of {name!r}, {fault}",
                    style="yellow",
                )
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
    leaf = rewards.verified_leaf(parts.reward)
    names = ("SFT" if recipe.sft else "start", "RL")
    _show(run, console, before, after, names, leaf.name if leaf is not None else "")
    return Outcome(run.path, before, after, trainer.step)


def algorithm_warnings(recipe: Recipe) -> list[str]:
    """What to say of an algorithm that runs with these knobs and does not do what they seem to ask for."""
    algorithm, _ = read_algorithm(recipe.algorithm)
    found = []
    if recipe.max_staleness and getattr(algorithm, "correction", "token") == "none":
        found.append(
            f"warning: max_staleness is {recipe.max_staleness} and the algorithm corrects for nothing, so tokens of older "
            "policies count as the present one's; set algorithm.correction=token"
        )
    if (
        isinstance(algorithm, PolicyGradient)
        and algorithm.kl_coef
        and (algorithm.kl_in, algorithm.kl_estimator) == ("loss", "k1")
    ):
        found.append(
            "warning: the KL stands in the loss with kl_estimator k1, whose gradient is 0 on average, so nothing holds the "
            "policy to its reference; set algorithm.kl_estimator=k3 (or k2), or algorithm.kl_in=reward"
        )
    if isinstance(algorithm, OnePO) and recipe.teacher is None:
        found.append(
            "warning: onepo without a teacher is dapo; give `teacher`, e.g. `teacher: {}` for the answers in column "
            "teacher_response"
        )
    return found


def may_change(recipe: Recipe) -> tuple[str, ...]:
    """Knobs that a resumed run may give another value; `trainer.steps` only where learning rates do not depend on it."""
    return (*MAY_CHANGE, "trainer.steps") if recipe.optimization.schedule == "constant" else MAY_CHANGE


def checked_start(recipe: Recipe, parts: Parts) -> Policy:
    """The policy before any training, seen to fit the problems, the reward and the format of the demonstrations."""
    if recipe.placement == "ray":
        require_cluster_packages()
        check_cluster(recipe.cluster, sft_only=recipe.sft_only)
    check_reward(parts.reward, parts.held_out, recipe.teacher)
    policy = start_policy(recipe, parts.problems, parts.demonstrations)
    policy.check()
    backbone_and_head(policy.model)
    check_trainable(policy.model, recipe.optimization.last_layers, recipe.optimization.lora)
    whole, limit = whole_response(recipe.sampling, parts.environment)
    own = recipe.cluster.engine.max_model_len if recipe.placement == "ray" else None
    fits = limit, min(policy.context, own or policy.context)
    fitting_problems(policy, parts.problems, whole, recipe.trainer, "problems to train on", *fits)
    fitting_problems(policy, parts.held_out, whole, recipe.trainer, "held-out problems", *fits)
    if parts.environment is not None:
        check_problems(parts.environment, [*parts.problems, *parts.held_out])
        if parts.environment.max_turns > 1:
            TurnTemplate(policy)  # raises where the chat template cannot carry several turns
    if recipe.sft is not None:
        check_demonstrations(policy, parts.demonstrations, recipe.sft.max_length, recipe.sft.loss_on)
    return policy


def make_trainer(
    recipe: Recipe,
    parts: Parts,
    policy: Policy,
    *,
    run: RunFolder | None = None,
    console: RunConsole | None = None,
    trackers: Sequence[Tracker] = (),
    placement: Placement | None = None,
) -> Trainer:
    """The trainer that a recipe describes; without a `placement` in this process."""
    algorithm, _ = read_algorithm(recipe.algorithm)
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
        run=run,
        trackers=trackers,
        console=console,
        placement=placement,
        teacher=recipe.teacher,
        max_staleness=recipe.max_staleness,
        max_rows=recipe.max_rows,
        environment=parts.environment,
        seed=recipe.seed,
    )


@contextmanager
def _placement(recipe: Recipe, policy: Policy, run: RunFolder, console: RunConsole) -> Iterator[Placement | None]:
    """The recipe's placement, ended with the block; None for the embedded one, which the trainer makes itself."""
    if recipe.placement == "local":
        yield None
        return
    from medrl.cluster.ray_placement import RayPlacement  # Ray is needed here only

    algorithm, _ = read_algorithm(recipe.algorithm)
    assert algorithm is not None
    cluster = recipe.cluster
    console.say(
        f"starting {cluster.engines.engines} vLLM engines and {cluster.learners.ranks} DeepSpeed ranks (ZeRO "
        f"{cluster.deepspeed.stage}), {'in turn on the same GPUs, ' * cluster.colocate}"
        f"on {cluster.address or 'a Ray cluster of this machine'}"
    )
    start = str(run.sft.absolute()) if recipe.sft is not None else _start_folder(recipe, policy, run)
    placement = RayPlacement(
        policy,
        replace(recipe.policy, path=start, new=None),
        recipe.optimization.for_algorithm(algorithm).over(recipe.trainer.updates(algorithm)),
        cluster,
        reference="ref_logprobs" in algorithm.needs,
    )
    try:
        yield placement
    finally:
        placement.close()


def _start_folder(recipe: Recipe, policy: Policy, run: RunFolder) -> str:
    """Where engines and ranks read the policy before any training."""
    if recipe.policy.path is not None:
        return recipe.policy.path
    start = run.path.absolute() / "start"
    if not _is_policy(start):
        with atomic_folder(start) as folder:
            policy.save(folder)
    return str(start)


@contextmanager
def _trackers(recipe: Recipe, run: RunFolder) -> Iterator[list[Tracker]]:
    latest = run.latest_checkpoint()
    first_step = step_of(latest) + 1 if latest else 0
    trackers = make_trackers(
        recipe.trackers, run.path, run_name=recipe.name, config=asdict(recipe), first_step=first_step
    )
    try:
        yield trackers
    finally:
        for tracker in trackers:
            tracker.close()


def _is_policy(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _tuned_policy(
    recipe: Recipe,
    parts: Parts,
    policy: Policy | None,
    run: RunFolder,
    console: RunConsole,
    trackers: Sequence[Tracker],
) -> Policy:
    """The policy that reinforcement learning starts from; a finished SFT stage is read back, not run again."""
    if policy is None:
        console.say(f"SFT is done; reading {run.sft.name}/")
        return Policy.load(str(run.sft), recipe.policy, weights=recipe.placement == "local")
    console.say(f"policy: {policy.name}, {policy.parameters:,} parameters, {len(policy.tokenizer):,} tokens")
    if recipe.sft is None:
        return policy
    shown, checkpoints = len(parts.demonstrations), run.path / "sft-checkpoints"
    total = updates_of(recipe.sft, shown)
    last = total
    with console.phase("SFT", total=total) as progress:

        def report(update: int, updates: int, figures: Mapping[str, Any]) -> None:
            nonlocal last
            if update <= last:  # a killed stage begins anew, or goes on from its own checkpoint: no row is there twice
                run.cut_back(update - 1, phase="sft")
            last = update
            progress.advance(update - progress.done)
            kept = {name: float(figures[name]) for name in ("loss", "grad_norm", "learning_rate") if name in figures}
            run.log_metrics(update, kept, phase="sft")
            for tracker in trackers:
                tracker.log(update, kept, phase="sft")

        seed = seed_of(recipe.seed, "sft") % 2**31
        if recipe.placement == "ray":
            figures = fine_tune_on_ranks(
                recipe, policy, parts.demonstrations, _start_folder(recipe, policy, run), run.sft,
                seed=seed, folder=checkpoints, on_update=report,
            )  # fmt: skip
        else:
            figures = fine_tune(
                policy, parts.demonstrations, recipe.sft, seed=seed, folder=checkpoints, on_update=report
            )
            with atomic_folder(run.sft) as folder:
                policy.save(folder)
    mean = "" if math.isnan(figures["loss"]) else f"mean loss {figures['loss']:.3f} over "
    console.say(f"SFT: {mean}{figures['updates']:.0f} updates of {shown} demonstrations")
    if checkpoints.is_dir():
        remove_folder(checkpoints)
    # read back, as a resumed run reads it
    return Policy.load(str(run.sft), recipe.policy, weights=recipe.placement == "local")


def _show(run: RunFolder, console: RunConsole, before: Any, after: Any, names: tuple[str, str], part: str) -> None:
    drawn = bool(run.read_metrics("rl") or run.read_evaluations())  # after SFT alone there is nothing to draw
    picture = plot_curve(run) if drawn else None
    if before and after and before["step"] != after["step"]:
        console.before_after(before, after, names=names)
        first, last = run.read_rollouts(before["step"], "held_out"), run.read_rollouts(after["step"], "held_out")
        console.answers(first, last, names=names, limit=3, part=part)
    console.say(f"run folder: {_short(run.path)}")
    if picture:
        console.say(f"learning curve: {_short(picture)}")


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
