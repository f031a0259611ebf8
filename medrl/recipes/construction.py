"""The recipes of data construction: a source of rows, a stage, and how it is run."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal

from medrl.cluster.fleet import ShardSettings
from medrl.construct.pipeline import Stage, shard_of
from medrl.construct.polish import PolishStage
from medrl.construct.reasoning import ReasoningStage
from medrl.construct.self_instruct import InstructionStage
from medrl.construct.shards import shard_folder
from medrl.construct.two_roles import ConversationStage
from medrl.construct.verifiable import VerifiableStage
from medrl.data.rows import count_rows, stream_rows
from medrl.errors import RecipeError
from medrl.knobs import out_of_range
from medrl.recipes.tree import read_recipe_of, read_tree


class Rows(ABC):
    """What a construction is made of, row after row."""

    limit: int | None
    id_column: str = "id"

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where rows come from, in provenance."""

    @property
    @abstractmethod
    def total(self) -> int | None:
        """How many there are, where that is known without reading them."""

    @abstractmethod
    def stream(self) -> Iterator[Mapping[str, Any]]:
        """The rows, as they are needed; a wrong name is told at once."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What a folder of rows depends on: all but how many are read."""


@dataclass(frozen=True)
class RowSource(Rows):
    """Rows that are read one after the other, never all in memory."""

    source: str
    """File (.jsonl, .csv, .parquet, .json) or hub id; a hub data set is streamed, not downloaded."""

    split: str = "train"
    """Split of a hub data set."""

    config: str | None = None
    """Configuration of a hub data set, e.g. `en`."""

    limit: int | None = None
    """Only so many rows, from the head. May be raised later: what is done stays done."""

    id_column: str = "id"
    """Column that names a row, unique in the source; without it a row is named after its place (row-17)."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise RecipeError("rows", [f"limit is {self.limit}; read at least one row, or leave it out for all"])

    @property
    def origin(self) -> str:
        return self.source

    @property
    def total(self) -> int | None:
        found = count_rows(self.source)
        return self.limit if found is None else min(found, self.limit or found)

    def stream(self) -> Iterator[Mapping[str, Any]]:
        return stream_rows(self.source, split=self.split, config=self.config)

    def identity(self) -> Mapping[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "limit"}


@dataclass(frozen=True)
class Numbered(Rows):
    """Rows made of nothing but their number."""

    limit: int
    """How many rows. May be raised later: what is done stays done. Paper of HuatuoGPT: 61,400 instructions."""
    prefix: str = "instruction"
    """Begins the id of each row; another one in each round, where rounds are put together."""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise RecipeError("rows", [f"limit is {self.limit}; make at least one row"])

    @property
    def origin(self) -> str:
        return "numbers"

    @property
    def total(self) -> int:
        return self.limit

    def stream(self) -> Iterator[Mapping[str, Any]]:
        return ({"id": f"{self.prefix}-{number:07d}"} for number in count(1))

    def identity(self) -> Mapping[str, Any]:
        return {"prefix": self.prefix}


@dataclass(frozen=True)
class Construction:
    """What every construction of rows says. `stage` is said by each kind."""

    rows: Rows
    """What it is made of."""

    name: str = "construction"
    """Name of the folder below runs/."""

    seed: int = 0
    """Decides every draw, with the id of the row."""

    concurrency: int = 32
    """Rows under way at once; `concurrency` of each client bounds its requests. 8 to 512."""

    stop_after: int = 50
    """So many rows that fail one after the other stop the construction; a server is down then. 10 to 1000."""

    shard: str = "0/1"
    """I/N: only the I-th of N shares of the rows, told by a hash of their id, in a folder of its own below `folder`. For N
    processes or machines that need nothing of each other."""

    placement: Literal["local", "ray"] = "local"
    """`local` makes the rows, or those of `shard`, in this process. `ray` runs all `shards` on a Ray cluster, begins lost
    ones again, and joins their rows. Every node must see the folder, and the one that the command is started in."""

    shards: int = 1
    """With `placement: ray`: into how many shares the rows are cut. Cannot be changed later in the same folder. 2 to 100."""

    cluster: ShardSettings = field(default_factory=ShardSettings)
    """Where shards run, with `placement: ray`."""

    folder: str | None = None
    """Where everything is written; empty for runs/NAME. A stopped construction goes on there."""

    cache: str | None = None
    """File that keeps the replies; empty for chat.sqlite in the folder. On a disk of this machine; with `placement: ray`, of
    each node."""

    stage: Stage | None = None
    """What becomes of a row; it must be given."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("concurrency", "stop_after", "shards"))
        try:
            _, shares = shard_of(self.shard)
            if self.placement == "ray" and shares > 1:
                faults.append(
                    f"shard is {self.shard}, which is one share alone; placement ray does all: give shards=N instead"
                )
        except ValueError as error:
            faults.append(str(error))
        if self.placement == "ray" and self.shards < 2:
            faults.append(f"shards is {self.shards}; placement=ray needs two at least, such as shards=8")
        if self.placement == "local" and self.shards > 1:
            faults.append(
                f"shards is {self.shards}; placement=ray runs them all, shard=0/{self.shards} the first one here"
            )
        if faults:
            raise RecipeError("the construction", faults)

    @property
    def target(self) -> Path:
        """The folder of this shard."""
        place, shards = shard_of(self.shard)
        return self.whole if shards == 1 else shard_folder(self.whole, place, shards)

    @property
    def whole(self) -> Path:
        """The folder of all shards."""
        return Path(self.folder or Path("runs") / self.name)

    def part(self, place: int) -> "Construction":
        """One of the shards of `placement: ray`, to be done in one process."""
        return replace(self, placement="local", shards=1, shard=f"{place}/{self.shards}")

    @property
    def work(self) -> Stage:
        """The stage.

        Raises:
            RecipeError: None was given.
        """
        if self.stage is None:
            raise RecipeError("the recipe", ["stage: it is missing; it names the models"])
        return self.stage


@dataclass(frozen=True)
class _OfRows(Construction):
    """One that reads a source."""

    rows: RowSource
    """What it is made of."""


@dataclass(frozen=True)
class ProblemsRecipe(_OfRows):
    """Multiple-choice questions to verifiable problems."""

    kind: ClassVar[str] = "problems"

    stage: VerifiableStage | None = None
    """What becomes of a question; it must be given."""


@dataclass(frozen=True)
class ReasoningRecipe(_OfRows):
    """Verifiable problems to worked answers with reasoning."""

    kind: ClassVar[str] = "reasoning"

    stage: ReasoningStage | None = None
    """What becomes of a problem; it must be given."""


@dataclass(frozen=True)
class InstructionsRecipe(Construction):
    """Questions of patients out of hand-written ones, with answers: HuatuoGPT's distilled instructions."""

    kind: ClassVar[str] = "instructions"

    rows: Numbered
    """How many questions are asked for."""

    stage: InstructionStage | None = None
    """How a question is written and answered; it must be given."""


@dataclass(frozen=True)
class ConversationsRecipe(_OfRows):
    """Cases to conversations of two models: HuatuoGPT's distilled conversations."""

    kind: ClassVar[str] = "conversations"

    stage: ConversationStage | None = None
    """How a conversation is led; it must be given."""


@dataclass(frozen=True)
class PolishRecipe(_OfRows):
    """Real conversations to polished ones."""

    kind: ClassVar[str] = "polish"

    stage: PolishStage | None = None
    """How a doctor's turns are written again; it must be given."""


KINDS: dict[str, type[Construction]] = {
    one.kind: one for one in (ProblemsRecipe, ReasoningRecipe, InstructionsRecipe, ConversationsRecipe, PolishRecipe)
}


def load_construction(kind: str, path: str | Path, overrides: Sequence[str] = ()) -> Construction:
    """The recipe in a YAML file, with `extends` and overrides as in `medrl.recipes.load_recipe`.

    Args:
        kind: One of `KINDS`.
        path: The file.
        overrides: `a.b=c` each.

    Raises:
        MissingFile: There is no such file.
        RecipeError: With every fault found.
    """
    recipe = read_recipe_of(KINDS[kind], read_tree(Path(path), ()), str(path), overrides)
    recipe.work.identity()
    return recipe
