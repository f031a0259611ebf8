"""What a recipe for a reward model may say, and how it is read: pairs, base model, training, ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from medrl.data.clinic.consultations import SPLITS, Split, generate_pairs
from medrl.data.preferences import Pairs, PreferencePair, load_preferences, plain_text
from medrl.errors import DataError
from medrl.recipes.base import TrainedBase
from medrl.recipes.tree import plain_values, read_recipe_of, read_tree
from medrl.trainers.reward_model import RewardModelSettings
from medrl.verifiers.extract import FORMATS, Format

CLINIC = "clinic"


@dataclass(frozen=True)
class PairSource:
    """Where preference pairs come from."""

    source: str | tuple[str, ...] = CLINIC
    """`clinic`; or a file of preference pairs, of feedback records, or of rows with prompt, chosen and rejected; or a folder
    of `medrl annotate`, with all its raters and adjudicators; or a list of such files and folders."""

    limit: int | None = None
    """Use only this many pairs of the files."""

    ties: Literal["drop", "both"] = "drop"
    """Feedback records: ties give no pair, or one in both directions with half the weight."""

    contradictions: Literal["drop", "majority"] = "drop"
    """Feedback records: pairs on which raters disagree are left out, or go by the majority of confidence."""

    count: int = 1000
    """Clinic: how many pairs."""

    split: Split = "train"
    """Clinic: which diseases and wordings; no split shares any with another."""

    known: bool = False
    """Clinic: training's diseases with the wordings of `split`, so that patients and wordings alone are held out."""

    noise: float = 0.0
    """Clinic: share of the labels that are wrong, 0 to 0.5."""

    long_wins: float = 0.0
    """Clinic: from 0 (wrong labels fall anywhere) to 1 (on pairs whose better reply is the shorter)."""

    replies: int = 4
    """Clinic: replies to each question; fewer give more questions for as many pairs."""

    seed: int = 0
    """Clinic: another seed draws other pairs from the same side."""

    languages: tuple[Literal["en", "zh"], ...] = ("en", "zh")
    """Clinic: languages of the questions."""

    def __post_init__(self) -> None:
        faults = []
        if self.count < 1 or self.replies < 2:
            faults.append(f"count is {self.count} and replies {self.replies}; ask for at least 1 pair of 2 replies")
        if self.limit is not None and self.limit < 1:
            faults.append(f"limit is {self.limit}; it must be at least 1, or empty for all")
        if self.split not in SPLITS:
            faults.append(f"split is {self.split!r}; it is one of {', '.join(SPLITS)}")
        if not 0.0 <= self.noise <= 0.5 or not 0.0 <= self.long_wins <= 1.0:
            faults.append(f"noise is {self.noise} (a share up to 0.5) and long_wins {self.long_wins} (a share)")
        if not self.languages:
            faults.append("languages is empty; give en, zh or both")
        if not self.source or (CLINIC in self.source and not isinstance(self.source, str)):
            faults.append(f"source is {self.source!r}; it is `clinic`, or files and folders of `medrl annotate`")
        if self.source == CLINIC and self.limit is not None:
            faults.append("`limit` has no effect on the clinic; set `count`")
        if faults:
            raise ValueError("; ".join(faults))

    def load(self) -> Pairs:
        """The pairs, and what was left out."""
        if self.source != CLINIC:
            found = load_preferences(self.source, ties=self.ties, contradictions=self.contradictions)
            return Pairs(found.pairs[: self.limit], found.left_out, found.judged)
        pairs = generate_pairs(
            split=self.split,
            count=self.count,
            noise=self.noise,
            long_wins=self.long_wins,
            seed=self.seed,
            known=self.known,
            replies=self.replies,
            languages=self.languages,
        )
        return Pairs(tuple(pairs), {}, len(pairs))


@dataclass(frozen=True)
class RewardBase(TrainedBase):
    """From which model training starts: one that exists (`path`), or one from scratch (`new`)."""

    path: str | None = None
    """Folder or hub id of a causal model or a sequence classifier, mostly the SFT model; it gets one output. It must have a
    chat template."""


@dataclass(frozen=True)
class RewardRecipe:
    """Everything of the training of one reward model."""

    name: str
    """Name of the reward model; its folder is runs/NAME unless `folder` says otherwise."""

    base: RewardBase
    """What is trained."""

    pairs: PairSource = field(default_factory=PairSource)
    """What it is trained on."""

    held_out: PairSource = field(default_factory=lambda: PairSource(split="calibration"))
    """The reference set: rewards of these replies have mean 0 and standard deviation 1, and the temperature is fitted to
    these pairs. Never trained on."""

    test: PairSource | None = field(default_factory=lambda: PairSource(split="test"))
    """What it is measured on; neither trained on nor fitted to. Empty for no figures."""

    members: int = 1
    """Models in the ensemble, each with weights and order from a seed of its own. Typical 1 to 5."""

    max_length: int | None = None
    """Most tokens of prompt and reply; a longer pair is an error. Empty for the model's context."""

    format: Format = "auto"
    """How reasoning is told from the visible answer of a reply, which alone is read, here and in use: auto, o1, think, or
    plain, by which all of it is read."""

    training: RewardModelSettings = field(default_factory=RewardModelSettings)
    """Optimisation."""

    seed: int = 0
    """Decides weights made from scratch, the head, and the order of the pairs."""

    threads: int | None = None
    """CPU threads of torch; empty for all cores."""

    folder: str | None = None
    """Where the reward model is written; empty for runs/NAME."""

    overwrite: bool = False
    """Whether a reward model that lies there already may be replaced."""

    def __post_init__(self) -> None:
        faults = []
        if self.max_length is not None and self.max_length < 8:
            faults.append(f"max_length is {self.max_length}; prompt and reply need more tokens")
        if self.format not in FORMATS:
            faults.append(f"format is {self.format!r}; it is one of {', '.join(FORMATS)}")
        for name, value in (("members", self.members), ("threads", self.threads)):
            if value is not None and value < 1:
                faults.append(f"{name} is {value}; it must be at least 1")
        if not self.name or self.name.startswith(".") or "/" in self.name:
            faults.append(f"name is {self.name!r}; it names a folder, so give letters, digits, - and _")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def target(self) -> Path:
        """The folder that the reward model is written to."""
        return Path(self.folder or Path("runs") / self.name)


def load_reward_recipe(path: str | Path, overrides: Sequence[str] = ()) -> RewardRecipe:
    """The recipe in a YAML file, with `extends` and overrides as in `medrl.recipes.load_recipe`.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    return read_reward_recipe(read_tree(Path(path), ()), str(path), overrides)


def read_reward_recipe(
    tree: Mapping[str, Any], source: str = "the recipe", overrides: Sequence[str] = ()
) -> RewardRecipe:
    """The recipe that a plain mapping describes."""
    return read_recipe_of(RewardRecipe, tree, source, overrides)


@dataclass(frozen=True)
class PairSets:
    """The pairs of a recipe, checked for leaks; `left_out` by set and reason."""

    train: tuple[PreferencePair, ...]
    held_out: tuple[PreferencePair, ...]
    test: tuple[PreferencePair, ...]
    left_out: Mapping[str, Mapping[str, int]]

    def named(self) -> dict[str, tuple[PreferencePair, ...]]:
        """The sets by name, an empty test set left out."""
        sets = {"train": self.train, "held_out": self.held_out, "test": self.test}
        return {name: pairs for name, pairs in sets.items() if pairs or name != "test"}


def load_pair_sets(recipe: RewardRecipe) -> PairSets:
    """All pairs of a recipe.

    Raises:
        DataError: A file cannot be read, a set is empty, or two sets share a reply to the same prompt.
    """
    sources = {"train": recipe.pairs, "held_out": recipe.held_out, "test": recipe.test}
    read = {name: source.load() for name, source in sources.items() if source is not None}
    seen: dict[tuple[str, str], str] = {}
    for name, found in read.items():
        if not found.pairs:
            raise DataError(f"{name}: there are no pairs; left out: {dict(found.left_out) or 'none'}")
        here = {key: pair.id for pair in found.pairs for key in _replies(pair)}
        shared = sorted(here[key] for key in here.keys() & seen.keys())
        if shared:
            raise DataError(
                f"{name}: {len(shared)} replies stand also in a set before it, the first in pair {shared[0]!r}; figures on "
                "them would say nothing, so take them out of one of the two"
            )
        seen |= dict.fromkeys(here, name)
    left_out = {name: found.left_out for name, found in read.items() if found.left_out}
    test = read["test"].pairs if "test" in read else ()
    return PairSets(read["train"].pairs, read["held_out"].pairs, test, left_out)


def _replies(pair: PreferencePair) -> list[tuple[str, str]]:
    return [(plain_text(pair.problem.question), plain_text(side.text)) for side in (pair.chosen, pair.rejected)]


def to_yaml(recipe: RewardRecipe) -> str:
    """The complete recipe as YAML."""
    text: str = yaml.safe_dump(plain_values(asdict(recipe)), sort_keys=False, allow_unicode=True, width=120)
    return text
