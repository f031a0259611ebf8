"""SFT in a dry run: how many updates, what a rank needs of its memory, what they would take on GPUs."""

from medrl.recipes import Recipe
from medrl.recipes.schema import GENERATED
from medrl.sizing import Achieved, Shape, Training, learner_rates, learner_room, machine_of
from medrl.trainers import SFTSettings
from medrl.trainers.sft_learner import updates_of

# Rows as their authors tell them, for sets that are not read here.
PUBLISHED = {
    "FreedomIntelligence/medical-o1-reasoning-SFT": 20_000,
    "FreedomIntelligence/HuatuoGPT-sft-data-v1": 226_042,
}
MEAN_TOKENS = 1000  # of a demonstration; assumed: o1's chains alone have 712 in the mean (arXiv 2412.18925, table 2)


def sft_arithmetic(recipe: Recipe) -> list[tuple[str, str]]:
    """Epochs, updates and batches, where there is such a stage."""
    sft, count = recipe.sft, demonstrations_in(recipe)
    if sft is None:
        return []
    shown = f"{updates_of(sft, count):,} updates of" if count else "updates of"
    return [("SFT", f"{sft.epochs:g} epochs, {shown} {sft.batch_size} demonstrations, lr {sft.lr:g}")]


def demonstrations_in(recipe: Recipe) -> int | None:
    """How many there are, where it is known without reading them."""
    shown = recipe.demonstrations
    if shown is None or shown.source in GENERATED:
        return shown.count if shown is not None else None
    published = PUBLISHED.get(shown.source)
    return min(shown.limit, published) if shown.limit and published else shown.limit or published


def sft_training(recipe: Recipe, sft: SFTSettings) -> tuple[Training, int]:
    """How the learner keeps the policy in this stage, and how many ranks it has."""
    cluster, ray = recipe.cluster, recipe.placement == "ray"
    training = Training(
        zero=cluster.deepspeed.stage if ray else 0,
        microbatch_tokens=min(sft.microbatch_size, sft.batch_size) * sft.max_length,
        checkpointing=sft.gradient_checkpointing,
        offload=ray and cluster.deepspeed.offload != "none",
        forwards=0,
    )
    return training, cluster.learners.ranks if ray else 1


def sft_estimate(recipe: Recipe, shape: Shape, gpu: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Memory of a rank of SFT, and hours; and what does not fit."""
    sft, ray, machine = recipe.sft, recipe.placement == "ray", machine_of(gpu)
    if sft is None:
        return [], []
    training, ranks = sft_training(recipe, sft)
    room = learner_room(shape, training, ranks)
    where = f"{ranks} ranks, ZeRO {training.zero}" if ray else "one process"
    line = f"{room.total / 1e9:.1f} GB of {machine.memory / 1e9:.0f} on {gpu} ({where}): {room}"
    lines = [("a rank of SFT", line)]
    if room.total > machine.memory:
        fault = f"SFT needs {room.total / 1e9:.0f} GB of a {gpu}, which has {machine.memory / 1e9:.0f}: "
        more = "more cluster.learners.ranks with ZeRO 3" if ray else "placement=ray with several ranks and ZeRO 3"
        return lines, [f"{fault}take {more}, or a smaller sft.microbatch_size"]
    mean, count = min(MEAN_TOKENS, sft.max_length), demonstrations_in(recipe)
    seconds = learner_rates(shape, machine, Achieved(), training, ranks).seconds([mean] * sft.batch_size)
    taken = f"{seconds:.1f} s an update on {ranks} x {gpu}"
    if count:
        taken += f", {ranks * seconds * updates_of(sft, count) / 3600:,.1f} GPU hours"
    return [*lines, ("SFT estimate", f"{taken}; assumes demonstrations of {mean:,} tokens on the mean")], []
