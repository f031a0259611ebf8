"""Recipes that run one after the other: each is read with all its knobs, and its command told."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medrl.errors import RecipeError


@dataclass(frozen=True)
class Step:
    """One command."""

    command: str
    """As it is typed, without the file: `medrl run`."""

    read: Callable[[Path, Sequence[str]], object]
    """Reads the file as the command does."""

    file: Path
    """The recipe."""

    knobs: tuple[str, ...] = ()
    """Overrides behind the file, which lead it to what earlier steps wrote."""


def tell_steps(steps: Sequence[Step], awaited: str | None = None) -> int:
    """Print the command of each step, then every fault of every recipe; 0 where there is none, else 1.

    Args:
        steps: In the order in which they run.
        awaited: Faults with these words are left aside: what earlier steps have yet to write.
    """
    faults: list[str] = []
    for step in steps:
        try:
            step.read(step.file, step.knobs)
        except RecipeError as error:
            faults += [f"{step.file.name}: {one}" for one in error.faults if awaited is None or awaited not in one]
        print(shlex.join([*step.command.split(), str(step.file), *step.knobs]))
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return int(bool(faults))
