"""What a recipe for a model verifier may say, and how it is read: answers, base model, training, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from medrl.data.clinic.answers import SPLITS, Split, generate_answers
from medrl.data.labelled import LabelledAnswer, load_labelled, overlap
from medrl.errors import DataError, RecipeError
from medrl.recipes.base import TrainedBase
from medrl.recipes.tree import plain_values, read_recipe_of, read_tree
from medrl.trainers.classifier import ClassifierSettings
from medrl.verifiers.classifier_layout import Layout, layout_of
from medrl.verifiers.extract import Format, check_format

CLINIC = "clinic"


@dataclass(frozen=True)
class AnswerSource:
    """Where labelled answers come from."""

    source: str = CLINIC
    """`clinic`, or a file of rows with question, reference, response and `expected` (true or false)."""

    limit: int | None = None
    """Read only this many rows of a file."""

    count: int = 1000
    """Clinic: how many answers."""

    split: Split = "train"
    """Clinic: which concepts and wordings; no split shares any with another."""

    known: bool = False
    """Clinic: the concepts of training with the wordings of `split`, so that the wording alone is held out."""

    invented: float = 0.0
    """Clinic, split `train`: share of terms that mean nothing, new ones each time, so that a model made from scratch has to
    learn to compare instead of learning terms by heart. 0 for pretrained models; typical 0.5 from scratch."""

    bare: float = 0.25
    """Clinic: share of answers that are the term alone, with no statement around it."""

    seed: int = 0
    """Clinic: another seed draws other answers from the same side."""

    languages: tuple[Literal["en", "zh"], ...] = ("en", "zh")
    """Clinic: languages of the answers."""

    def __post_init__(self) -> None:
        faults = []
        if self.count < 1:
            faults.append(f"count is {self.count}; it must be at least 1")
        if self.limit is not None and self.limit < 1:
            faults.append(f"limit is {self.limit}; it must be at least 1, or empty for all rows")
        if self.split not in SPLITS:
            faults.append(f"split is {self.split!r}; it is one of {', '.join(SPLITS)}")
        if not 0.0 <= self.invented <= 1.0 or (self.invented and self.split != "train"):
            faults.append(f"invented is {self.invented} on split {self.split!r}; it is a share, and of training alone")
        if not 0.0 <= self.bare <= 1.0:
            faults.append(f"bare is {self.bare}; it is a share from 0 to 1")
        if not self.languages:
            faults.append("languages is empty; give en, zh or both")
        if self.source == CLINIC and self.limit is not None:
            faults.append("`limit` has no effect on the clinic; set `count`")
        if faults:
            raise ValueError("; ".join(faults))

    def load(self) -> list[LabelledAnswer]:
        """The answers."""
        if self.source != CLINIC:
            return load_labelled(self.source, limit=self.limit)
        return generate_answers(
            self.count,
            self.split,
            known=self.known,
            invented=self.invented,
            bare=self.bare,
            seed=self.seed,
            languages=self.languages,
        )


@dataclass(frozen=True)
class VerifierBase(TrainedBase):
    """From which model training starts: one that exists (`path`), or one from scratch (`new`)."""

    path: str | None = None
    """Folder or hub id of a pretrained model, e.g. meta-llama/Llama-3.2-3B; it gets a fresh head of two labels."""


@dataclass(frozen=True)
class Calibration:
    """How p(True) becomes a decision."""

    temperature: bool = True
    """Scale the logits by one temperature that fits the calibration answers (arXiv 1706.04599)."""

    threshold: float | None = None
    """p(True) above which an answer is right; empty: chosen by `max_false_accept`. HuatuoGPT-o1 takes 0.4."""

    max_false_accept: float = 0.05
    """Share of the wrong calibration answers that may be accepted; decides the threshold where that is empty. In training a
    policy finds what is wrongly accepted. Typical 0.01 to 0.1."""

    def __post_init__(self) -> None:
        faults = []
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            faults.append(f"threshold is {self.threshold}; p(True) lies from 0 to 1")
        if not 0.0 < self.max_false_accept < 1.0:
            faults.append(f"max_false_accept is {self.max_false_accept}; it is a share between 0 and 1")
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True)
class VerifierRecipe:
    """Everything of the training of one verifier."""

    name: str
    """Name of the verifier; its folder is runs/NAME unless `folder` says otherwise."""

    base: VerifierBase
    """What is trained."""

    answers: AnswerSource = field(default_factory=AnswerSource)
    """What it is trained on."""

    first: AnswerSource | None = None
    """What it is trained on before that, in one pass: easier answers, from which a model made from scratch learns to compare.
    Empty for pretrained models."""

    held_out: AnswerSource = field(default_factory=lambda: AnswerSource(split="calibration"))
    """What temperature and threshold are fitted to; never trained on."""

    test: AnswerSource | None = field(default_factory=lambda: AnswerSource(split="test"))
    """What the card is measured on; neither trained on nor fitted to. Empty for no card."""

    attacks: bool = True
    """Whether the card tells too what `medrl attack` gets past the verifier: some three thousand answers more."""

    layout: str = "huatuo_o1"
    """Layout of the text, as in the `classifier` verifier."""

    show_question: bool = False
    """Whether the question stands above the answer."""

    format: Format = "auto"
    """How responses are laid out; only what follows the reasoning is shown."""

    max_length: int | None = None
    """Most tokens of a text; a longer labelled answer is an error. Empty for the model's context."""

    training: ClassifierSettings = field(default_factory=ClassifierSettings)
    """Optimisation."""

    calibration: Calibration = field(default_factory=Calibration)
    """Temperature and threshold."""

    seed: int = 0
    """Decides weights made from scratch and the order of the answers."""

    threads: int | None = None
    """CPU threads of torch; empty for all cores."""

    folder: str | None = None
    """Where the verifier is written; empty for runs/NAME."""

    overwrite: bool = False
    """Whether a verifier that lies there already may be replaced, and its card with it."""

    def __post_init__(self) -> None:
        faults = []
        try:
            layout_of(self.layout, self.show_question)
            check_format(self.format)
        except RecipeError as error:
            faults += [f"{error.source}: {fault}" for fault in error.faults]
        if self.max_length is not None and self.max_length < 8:
            faults.append(f"max_length is {self.max_length}; layout, reference and answer need more tokens")
        if self.threads is not None and self.threads < 1:
            faults.append(f"threads is {self.threads}; give at least 1, or leave it out for all cores")
        if not self.name or self.name.startswith(".") or "/" in self.name:
            faults.append(f"name is {self.name!r}; it names a folder, so give letters, digits, - and _")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def filled(self) -> Layout:
        """The layout with its question, where that is shown."""
        return layout_of(self.layout, self.show_question)

    @property
    def target(self) -> Path:
        """The folder that the verifier is written to."""
        return Path(self.folder or Path("runs") / self.name)


@dataclass(frozen=True)
class Answers:
    """The labelled answers of a recipe, checked for leaks."""

    first: list[LabelledAnswer]
    train: list[LabelledAnswer]
    held_out: list[LabelledAnswer]
    test: list[LabelledAnswer]


def load_verifier_recipe(path: str | Path, overrides: Sequence[str] = ()) -> VerifierRecipe:
    """The recipe in a YAML file, with `extends` and overrides as in `medrl.recipes.load_recipe`.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    return read_verifier_recipe(read_tree(Path(path), ()), str(path), overrides)


def read_verifier_recipe(
    tree: Mapping[str, Any], source: str = "the recipe", overrides: Sequence[str] = ()
) -> VerifierRecipe:
    """The recipe that a plain mapping describes."""
    return read_recipe_of(VerifierRecipe, tree, source, overrides)


def load_answers(recipe: VerifierRecipe) -> Answers:
    """All answers of a recipe.

    Raises:
        DataError: A file cannot be read, or calibration or test hold an answer that training has.
    """
    first = recipe.first.load() if recipe.first else []
    train = recipe.answers.load()
    held_out = _unseen(recipe, "held_out", recipe.held_out, [*first, *train])
    test = _unseen(recipe, "test", recipe.test, [*first, *train, *held_out]) if recipe.test else []
    return Answers(first, train, held_out, test)


def _unseen(
    recipe: VerifierRecipe, name: str, source: AnswerSource, seen: Sequence[LabelledAnswer]
) -> list[LabelledAnswer]:
    """The source's answers, none of which was seen: a file must hold none, of the clinic's the seen are left out."""
    answers = source.load()
    shared = set(overlap(seen, answers, with_question=recipe.show_question))
    if shared and source.source != CLINIC:
        raise DataError(
            f"{name}: {len(shared)} answers are also among those before it, the first being {min(shared)!r}; figures on "
            "them would say nothing, so take them out of one of the two"
        )
    return [one for one in answers if one.problem.id not in shared]


def to_yaml(recipe: VerifierRecipe) -> str:
    """The complete recipe as YAML."""
    text: str = yaml.safe_dump(plain_values(asdict(recipe)), sort_keys=False, allow_unicode=True, width=120)
    return text
