"""What a recipe would do, before it does anything: `medrl run RECIPE --dry-run`.

Names every model and data set and says whether it can be had, counts batches and steps, and says what the ranks need of their
memory and what the run would take on GPUs, by the model of `medrl.sizing`. Nothing is downloaded and nothing is written.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from medrl.algorithms import Algorithm
from medrl.commands.dry_run_names import Hub, Named, references, where
from medrl.commands.dry_run_sft import sft_arithmetic, sft_estimate, sft_training
from medrl.errors import UnsupportedModel
from medrl.learners.base import CriticSettings
from medrl.learners.trainable import check_trainable
from medrl.recipes import Recipe
from medrl.recipes.awaited import Awaited
from medrl.recipes.load import read_algorithm
from medrl.recipes.schema import GENERATED
from medrl.sizing import (
    SHAPES,
    DoesNotFit,
    Lengths,
    Room,
    Shape,
    Site,
    Split,
    Training,
    Workload,
    learner_rates,
    learner_room,
    machine_of,
    predict,
)  # fmt: skip

MEAN_LENGTH = 0.4  # of the longest response; assumed, since nobody has sampled yet


@dataclass(frozen=True)
class DryRun:
    """What `--dry-run` found.

    Attributes:
        names: Models and data sets.
        lines: Titles and what is to be said of them, in order.
        faults: What would stop the run.
    """

    names: tuple[Named, ...]
    lines: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]


def dry_run(
    recipe: Recipe,
    gpu: str = "H100",
    awaited: Awaited | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> DryRun:
    """Look at a recipe that is sound (`load_recipe` found no fault).

    Args:
        recipe: The recipe.
        gpu: For which GPUs memory and hours are estimated; see `medrl.sizing.MACHINES`.
        awaited: What other recipes are to write before this one runs.
        tell: Told what the hub is asked for, before it is: an answer may take its time.
    """
    hub, awaited = Hub(tell), awaited or Awaited()
    names = tuple(
        Named(knob, name, where(name, data="source" in knob, awaited=awaited, hub=hub))
        for knob, name in references(recipe)
    )
    faults = [f"{one.knob}: there is no {one.name}" for one in names if one.state == "missing"]
    algorithm, _ = read_algorithm(recipe.algorithm)
    assert algorithm is not None
    lines = arithmetic(recipe, algorithm)
    recipe = _from_bases(recipe, awaited)
    faults += untrainable(recipe)
    shape = shape_of_policy(recipe)
    if shape is None:
        lines.append(
            ("model", f"{recipe.policy.path}: its shape is not known here, so memory and hours are not estimated")
        )
    else:
        lines.append(("model", f"{shape.parameters:,} parameters"))
        stages = [sft_estimate(recipe, shape, gpu)]
        if recipe.trainer.steps:
            stages.append(estimate(recipe, algorithm, shape, gpu))
        for found, more in stages:
            lines += found
            faults += more
    return DryRun(names, tuple(lines), tuple(faults))


def _from_bases(recipe: Recipe, awaited: Awaited) -> Recipe:
    """The recipe with models that are not there yet by what they will have been trained from: of the same shape."""
    policy, optimization = recipe.policy, recipe.optimization
    if policy.path is not None:
        policy = replace(policy, path=awaited.base(policy.path))
    if optimization.critic is not None and optimization.critic.path is not None:
        critic = replace(optimization.critic, path=awaited.base(optimization.critic.path))
        optimization = replace(optimization, critic=critic)
    return replace(recipe, policy=policy, optimization=optimization)


def arithmetic(recipe: Recipe, algorithm: Algorithm) -> list[tuple[str, str]]:
    """Batches and steps."""
    trainer, lines = recipe.trainer, sft_arithmetic(recipe)
    if not trainer.steps:
        return [*lines, ("the run", "no step of reinforcement learning")]
    rollouts = trainer.problems_per_step * trainer.rollouts_per_problem
    passes = algorithm.epochs * algorithm.minibatches
    lines.append(("algorithm", algorithm.kind))
    lines.append(
        ("a step", f"{trainer.problems_per_step} problems x {trainer.rollouts_per_problem} rollouts = {rollouts:,} rollouts; "
                   f"{passes} updates of {math.ceil(rollouts / algorithm.minibatches):,} rollouts")
    )  # fmt: skip
    asked = trainer.steps * trainer.problems_per_step
    source = recipe.problems
    count = source.count if source.source in GENERATED else max(0, source.limit - source.skip) if source.limit else None
    epochs = f", {asked / count:.2g} epochs of {count:,}" if count else ""
    lines.append(
        ("the run", f"{trainer.steps:,} steps, {trainer.steps * rollouts:,} rollouts of {asked:,} problems{epochs}; "
                    f"{recipe.trainer.updates(algorithm):,} updates, lr {recipe.optimization.lr:g}")
    )  # fmt: skip
    return lines


def shape_of_policy(recipe: Recipe) -> Shape | None:
    """The policy's shape: from the recipe, its config.json, or the table of published ones by its name."""
    new = recipe.policy.new
    if new is not None:
        return Shape(
            new.hidden_size, new.layers, new.heads, new.key_value_heads, new.intermediate_size, new.vocab_size,
            tied=True, head_dim=new.hidden_size // new.heads,
        )  # fmt: skip
    assert recipe.policy.path is not None
    return shape_at(recipe.policy.path, recipe.policy.revision)


def shape_at(path: str, revision: str | None = None) -> Shape | None:
    """The shape in a folder's or a cached model's config.json; else the published one that the name begins with; or None."""
    name = os.path.basename(path.rstrip("/"))
    known = next((SHAPES[key] for key in sorted(SHAPES, key=len, reverse=True) if name.startswith(key)), None)
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path, revision=revision, local_files_only=True)
        heads = int(config.num_attention_heads)
        bloom = config.model_type == "bloom"  # names no width of its feed-forward
        return Shape(
            int(config.hidden_size), int(config.num_hidden_layers), heads,
            int(getattr(config, "num_key_value_heads", None) or heads),
            4 * int(config.hidden_size) if bloom else int(config.intermediate_size),
            int(config.vocab_size), tied=bloom or bool(getattr(config, "tie_word_embeddings", False)),
            qkv_bias=config.model_type == "qwen2",
            head_dim=int(getattr(config, "head_dim", None) or config.hidden_size // heads), bloom=bloom,
        )  # fmt: skip
    except (OSError, ValueError, AttributeError, TypeError):
        return known


def untrainable(recipe: Recipe) -> list[str]:
    """Layers that are to train and that the policy lacks, where its config.json is here."""
    last, lora, new = recipe.optimization.last_layers, recipe.optimization.lora, recipe.policy.new
    if last is None and lora is None:
        return []
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config

    try:
        config = (
            Qwen2Config(num_hidden_layers=new.layers, hidden_size=new.hidden_size, num_attention_heads=new.heads)
            if new is not None
            else AutoConfig.from_pretrained(
                str(recipe.policy.path), revision=recipe.policy.revision, local_files_only=True
            )
        )
        with torch.device("meta"):  # no memory
            outline = AutoModelForCausalLM.from_config(config)
        check_trainable(outline, last, lora)
    except UnsupportedModel as error:
        return [f"optimization: {error}"]
    except (OSError, ValueError):  # no config.json here, or of a model that sees images
        return []
    return []


def critic_shape(recipe: Recipe, policy: Shape) -> Shape | None:
    """Of a critic with a trunk of its own; None where it is unknown."""
    path = (recipe.optimization.critic or CriticSettings()).path
    return policy if path is None else shape_at(path)


def critic_room(recipe: Recipe, policy: Shape, training: Training, ranks: int) -> Room | None:
    """What a rank needs for it, shared out as the policy is."""
    shape = critic_shape(recipe, policy)
    return None if shape is None else learner_room(shape, replace(training, forwards=0, reserve=0.0), ranks)


def critic_seconds(recipe: Recipe, policy: Shape, site: Site, ranks: int) -> float:
    """What its values and updates take in a step, before and between the policy's on the same ranks."""
    shape, work = critic_shape(recipe, policy), site.workload
    assert shape is not None
    rates = learner_rates(shape, site.machine, site.achieved, replace(site.training, forwards=1), ranks)
    return rates.seconds(work.rows(work.draw(0, recipe.seed))) + (work.minibatches - 1) * rates.update


def _workload(recipe: Recipe, algorithm: Algorithm) -> Workload:
    limit = recipe.sampling.max_tokens
    return Workload(
        problems=recipe.trainer.problems_per_step,
        samples=recipe.trainer.rollouts_per_problem,
        lengths=Lengths(mean=max(1.0, MEAN_LENGTH * limit), limit=limit),
        minibatches=algorithm.minibatches * algorithm.epochs,
    )


def _too_little_beside(kept: float, left: float, gpu: str) -> str:
    return (
        f"a rank keeps {kept / 1e9:.0f} GB of its {gpu} while the engine there samples, and gpu_memory_utilization leaves "
        f"{left / 1e9:.0f}: lower cluster.engine.gpu_memory_utilization, take more ranks with ZeRO 3, or "
        "cluster.deepspeed.offload=optimizer"
    )


def training_of(recipe: Recipe, algorithm: Algorithm) -> tuple[Training, int]:
    """How the learner keeps the policy, and how many ranks it has."""
    cluster, ray = recipe.cluster, recipe.placement == "ray"
    training = Training(
        zero=cluster.deepspeed.stage if ray else 0,
        microbatch_tokens=recipe.optimization.microbatch_tokens,
        checkpointing=recipe.optimization.gradient_checkpointing,
        offload=ray and cluster.deepspeed.offload != "none",
        forwards=1 + ("ref_logprobs" in algorithm.needs),
        epochs=algorithm.epochs,
    )
    return training, cluster.learners.ranks if ray else 1


def own_critic(recipe: Recipe, algorithm: Algorithm) -> bool:
    """Whether a critic with a trunk of its own is trained."""
    return "values" in algorithm.needs and (recipe.optimization.critic or CriticSettings()).trunk == "own"


def memory_needed(recipe: Recipe) -> float | None:
    """Bytes that a rank needs at most, in SFT or in the loop with its critic; None where the policy's shape is not known."""
    shape, (algorithm, _) = shape_of_policy(recipe), read_algorithm(recipe.algorithm)
    assert algorithm is not None
    if shape is None:
        return None
    needs = []
    if recipe.sft is not None:
        needs.append(learner_room(shape, *sft_training(recipe, recipe.sft)).total)
    if recipe.trainer.steps:
        training, ranks = training_of(recipe, algorithm)
        critic = critic_room(recipe, shape, training, ranks) if own_critic(recipe, algorithm) else None
        needs.append(learner_room(shape, training, ranks).total + (critic.total if critic else 0.0))
    return max(needs, default=0.0)


def estimate(recipe: Recipe, algorithm: Algorithm, shape: Shape, gpu: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Memory of a rank, and hours; and what does not fit."""
    machine, cluster, ray = machine_of(gpu), recipe.cluster, recipe.placement == "ray"
    training, ranks = training_of(recipe, algorithm)
    room = learner_room(shape, training, ranks)
    lines = [
        ("a rank", f"{room.total / 1e9:.1f} GB of {machine.memory / 1e9:.0f} on {gpu} ({ranks} ranks, ZeRO {training.zero}): "
                   + str(room)),
    ]  # fmt: skip
    own = own_critic(recipe, algorithm)
    critic = critic_room(recipe, shape, training, ranks) if own else None
    faults = []
    if critic is not None:
        more = f"{critic.total / 1e9:.1f} GB more: {critic}"
        lines.append(("critic", more))
        if room.total + critic.total > machine.memory:
            faults.append(
                f"a rank needs {(room.total + critic.total) / 1e9:.0f} GB with its critic, and a {gpu} has "
                f"{machine.memory / 1e9:.0f}: take more ranks with ZeRO 3, a smaller critic, trunk=shared, or GPUs with "
                "more memory"
            )
    elif own:
        lines.append(("critic", "of a shape that is not known here; its memory and time come on top"))
    if not ray and room.total > machine.memory and critic is None:
        faults.append(
            f"the learner needs {room.total / 1e9:.0f} GB of a {gpu}, which has {machine.memory / 1e9:.0f}: take "
            "placement=ray with several ranks and ZeRO 3, or a smaller model"
        )
    share = cluster.engine.gpu_memory_utilization
    if ray and cluster.colocate:
        kept = room.reserve + sum(one.states + one.gradients for one in (room, critic) if one is not None)
        left = (1 - share) * machine.memory
        lines.append(
            ("in turn", f"a rank keeps {kept / 1e9:.1f} GB while it rests; its engine leaves it {left / 1e9:.1f}")
        )
        if kept > left:
            return lines, [*faults, _too_little_beside(kept, left, gpu)]
        share = min(
            1.0, share + (room.states + room.reserve) / machine.memory
        )  # of both: `rates_of` takes the rank's off
    if not ray:
        return lines, faults
    work = _workload(recipe, algorithm)
    site = Site(shape, machine, work, training=training, slots=cluster.engine.max_num_seqs, share=share)
    split = Split(cluster.engines.engines, cluster.engine.tensor_parallel, ranks, together=cluster.colocate)
    try:
        plan = predict(site, split, recipe.max_staleness)
    except DoesNotFit as fault:
        return lines, [*faults, str(fault)]
    beside = critic_seconds(recipe, shape, site, ranks) if critic is not None else 0.0
    step = plan.simulated.step + beside  # with `max_staleness` part of it may pass while the learner waits
    hours = split.gpus * step * recipe.trainer.steps / 3600
    of_critic = f", {beside:.0f} s of it the critic's" if beside else ""
    taken = f"{step:.0f} s a step{of_critic} on {split.gpus} x {gpu} (engines {split}), {hours:,.0f} GPU hours for RL"
    assumed = f"prompts of {work.prompt} and responses of {work.lengths.mean:.0f} tokens on the mean"
    return [*lines, ("estimate", f"{taken}; assumes {assumed}, see docs/scaling.md")], faults
