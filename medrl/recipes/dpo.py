"""The recipe of DPO: which policy learns from which pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medrl.recipes.reward_model import PairSource
from medrl.recipes.tree import read_recipe_of, read_tree
from medrl.trainers.dpo import DPOSettings


@dataclass(frozen=True)
class DPORecipe:
    """Everything of one DPO training."""

    policy: str
    """Folder or hub id of the policy, mostly the SFT model; as it is, it is also the reference."""

    name: str = "dpo"
    """Name of the folder below runs/."""

    pairs: PairSource = field(default_factory=PairSource)
    """What it is trained on."""

    held_out: PairSource | None = field(default_factory=lambda: PairSource(split="calibration"))
    """What it is measured on afterwards; empty for no figures."""

    training: DPOSettings = field(default_factory=DPOSettings)
    """Optimisation."""

    seed: int = 0
    """Decides the order of the pairs."""

    threads: int | None = None
    """CPU threads of torch; empty for all cores."""

    folder: str | None = None
    """Where the policy is written; empty for runs/NAME."""

    @property
    def target(self) -> Path:
        """The folder that the policy is written to."""
        return Path(self.folder or Path("runs") / self.name)


def load_dpo_recipe(path: str | Path, overrides: Sequence[str] = ()) -> DPORecipe:
    """The recipe in a YAML file, with `extends` and overrides as in `medrl.recipes.load_recipe`.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    return read_recipe_of(DPORecipe, read_tree(Path(path), ()), str(path), overrides)
