"""Commands that run one after the other, each on what those before it wrote, all below one folder."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from medrl.errors import RecipeError
from medrl.recipes.awaited import missing_folder
from medrl.recipes.load import load_recipe

ROOT = "{root}"  # in words and knobs: the folder below which all steps write


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    """Its folder below the root, where it writes: `{root}/NAME/...`."""

    command: str
    """As it is typed, without the file and its knobs: `medrl run`."""

    read: Callable[[Path, Sequence[str]], object] | None = None
    """Reads the file as the command does."""

    file: Path | None = None
    """The recipe, where it has one."""

    knobs: tuple[str, ...] = ()
    """Overrides behind the file, which lead it to what earlier steps wrote."""

    after: tuple[str, ...] = ()
    """Names of the steps whose results it reads."""

    def overrides(self, root: Path) -> list[str]:
        """The knobs, below this root."""
        return [knob.replace(ROOT, str(root)) for knob in self.knobs]

    def words(self, root: Path) -> list[str]:
        """The whole command."""
        begin = [word.replace(ROOT, str(root)) for word in shlex.split(self.command)]
        return [*begin, *([str(self.file)] if self.file else []), *self.overrides(root)]

    def recipe(self, root: Path) -> object | None:
        """The recipe as the command reads it, but that folders below the root may be missing: earlier steps write them.

        Raises:
            RecipeError: With every other fault found.
        """
        if self.read is None or self.file is None:
            return None
        if self.read is load_recipe:  # no other kind looks for folders before its command begins
            return load_recipe(self.file, self.overrides(root), excused=partial(_awaited, root))
        return self.read(self.file, self.overrides(root))


def _awaited(root: Path, fault: str) -> bool:
    folder = missing_folder(fault)
    return folder is not None and Path(folder).is_relative_to(root)


def with_knobs(steps: Sequence[Step], given: Sequence[str]) -> list[Step]:
    """The steps with further knobs, each given as `STEP:section.knob=value`.

    Raises:
        RecipeError: One names no step.
    """
    more: dict[str, list[str]] = {step.name: [] for step in steps}
    for one in given:
        name, colon, knob = one.partition(":")
        if not colon or name not in more or "=" not in knob:
            raise RecipeError("the steps", [f"{one!r}: write STEP:section.knob=value, where STEP is {', '.join(more)}"])
        more[name].append(knob)
    return [replace(step, knobs=(*step.knobs, *more[step.name])) for step in steps]


def tell_steps(steps: Sequence[Step], root: Path) -> int:
    """Print the command of each step, then every fault of every recipe; 0 where there is none, else 1."""
    faults: list[str] = []
    for step in steps:
        try:
            step.recipe(root)
        except RecipeError as error:
            faults += [f"{step.name}: {one}" for one in error.faults]
        print(shlex.join(step.words(root)))
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return int(bool(faults))
