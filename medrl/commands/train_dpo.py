"""DPO from a recipe: a policy learns from pairs, is measured on held-out ones, and is written (`medrl train-dpo`)."""

from collections.abc import Callable

from medrl.errors import DataError, FolderTaken
from medrl.files import atomic_folder
from medrl.models import Policy
from medrl.recipes.dpo import DPORecipe
from medrl.recipes.process import quiet_libraries
from medrl.trainers.dpo import prefer


def train_dpo(recipe: DPORecipe, say: Callable[[str], None] = print) -> dict[str, float]:
    """Carry out a recipe; the figures of `prefer`.

    Raises:
        DataError: Pairs cannot be read or used, or a held-out pair is trained on.
        FolderTaken: There is something in the folder.
        TrainingDiverged: The loss is no finite number; nothing is written.
    """
    import torch

    if recipe.target.is_dir() and any(recipe.target.iterdir()):
        raise FolderTaken(f"{recipe.target} holds something; name another folder=")
    quiet_libraries()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    pairs = recipe.pairs.load().pairs
    held_out = recipe.held_out.load().pairs if recipe.held_out is not None else ()
    shared = {pair.id for pair in pairs} & {pair.id for pair in held_out}
    if shared:
        raise DataError(f"{len(shared)} held-out pairs are also trained on, the first being {min(shared)!r}")
    say(f"pairs: {len(pairs)} to train on, {len(held_out)} held out")
    policy = Policy.load(recipe.policy)

    def show(step: int, of: int, logs: dict[str, float]) -> None:
        if step % 50 == 0 or step == of:
            say(f"update {step}/{of}: loss {logs['loss']:.3f}")

    figures = prefer(policy, pairs, recipe.training, held_out=held_out, seed=recipe.seed, on_update=show)
    if "accuracy" in figures:
        say(
            f"held out: the better reply is preferred in {figures['accuracy']:.1%}, by {figures['margin']:.3f} on the mean"
        )
    with atomic_folder(recipe.target) as folder:
        policy.save(folder)
    say(f"wrote {recipe.target}")
    return figures
