"""The recipe of AI feedback: which policy answers what, how it is drawn, and who judges."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medrl.construct.feedback_judge import FeedbackJudge
from medrl.data.feedback import Consent
from medrl.engines import Sampling
from medrl.recipes.tree import read_recipe_of, read_tree


@dataclass(frozen=True)
class ProblemSource:
    """What is asked."""

    source: str
    """File or hub id of problems, as `medrl.load_problems` reads them. Their reference is the doctor's diagnosis."""

    split: str = "train"
    """Split of a hub data set."""

    limit: int | None = None
    """Only so many, from the head."""


@dataclass(frozen=True)
class FeedbackRecipe:
    """AI feedback on a policy's responses."""

    policy: str
    """Folder or hub id of the policy whose responses are judged, mostly the SFT model."""

    problems: ProblemSource
    """What it is asked."""

    judge: FeedbackJudge
    """Who judges."""

    second_judge: FeedbackJudge | None = None
    """Another judge, best of another model family (of the same one there is a warning), for figures of agreement; pairs are
    made of the first one's records."""

    name: str = "feedback"
    """Name of the folder below runs/."""

    sampling: tuple[Sampling, ...] = field(
        default_factory=lambda: tuple(
            Sampling(t, top_p=p) for t, p in ((0.3, 0.9), (0.7, 0.95), (1.0, 1.0), (1.2, 0.95))
        )
    )
    """How each response to a problem is drawn; K is their number. Different settings give responses that differ."""

    pairs_per_problem: int = 3
    """Most pairs of responses that are compared for a problem."""

    consent: Consent = "unknown"
    """Whether the patients whose words the problems are agreed: `given`, or `not_needed` for simulated or published data.
    Anything else is refused before a word is sent to a judge."""

    second_share: float = 0.2
    """Share of the tasks that the second judge sees too."""

    seed: int = 0
    """Decides the draws of responses and pairs."""

    threads: int | None = None
    """CPU threads of torch; empty for all cores."""

    folder: str | None = None
    """Where everything is written; empty for runs/NAME. A stopped construction goes on there."""

    def __post_init__(self) -> None:
        faults = []
        if len(self.sampling) < 2:
            faults.append(f"sampling has {len(self.sampling)} settings; a comparison needs at least two responses")
        if self.pairs_per_problem < 1:
            faults.append(f"pairs_per_problem is {self.pairs_per_problem}; it must be at least 1")
        if not 0.0 <= self.second_share <= 1.0:
            faults.append(f"second_share is {self.second_share}; it is a share, from 0 to 1")
        if self.second_judge is not None and self.second_judge.rater.name == self.judge.rater.name:
            faults.append(
                f"both judges are {self.judge.rater.name!r}; a second judge of the same model agrees with itself"
            )
        if faults:
            raise ValueError("; ".join(faults))

    def warnings(self) -> list[str]:
        """What is no fault, and makes the figures say less than they seem to."""
        names = [one.rater.name for one in (self.judge, self.second_judge) if one is not None]
        families = {family_of(name) for name in names}
        if len(names) < 2 or len(families) > 1 or "" in families:
            return []
        told = f"the judges {names[0]!r} and {names[1]!r} are of one model family by their names"
        return [f"{told}: they share faults, so their agreement says less; best is a second judge of another"]

    @property
    def target(self) -> Path:
        return Path(self.folder or Path("runs") / self.name)


def family_of(name: str) -> str:
    """The model family in a model's name: the first letters of its last path part; "" where there are none."""
    found = re.search(r"[a-z]+", name.rstrip("/").rpartition("/")[2].lower())
    return found[0] if found else ""


def load_feedback_recipe(path: str | Path, overrides: Sequence[str] = ()) -> FeedbackRecipe:
    """The recipe in a YAML file, with `extends` and overrides as in `medrl.recipes.load_recipe`.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    return read_recipe_of(FeedbackRecipe, read_tree(Path(path), ()), str(path), overrides)
