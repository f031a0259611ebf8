"""What `medrl cache` prints: what the cache of chat replies holds, and what was removed from it."""

import math
import time
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from medrl.chat.cache import CacheFigures, clear, default_path, inspect, prune
from medrl.errors import DataError

Action = Literal["show", "prune", "clear"]
MEGABYTE = 1_000_000


def run(
    action: Action,
    path: str | None = None,
    *,
    older_than: float | None = None,
    model: str | None = None,
    max_megabytes: float | None = None,
    console: Console | None = None,
) -> CacheFigures:
    """Do what `medrl cache ACTION` asks for and print it; returns what the cache holds now.

    Raises:
        MissingFile: There is no cache.
        DataError: The file is no cache, or the options do not fit the action.
    """
    console = console or Console(highlight=False, emoji=False, markup=False, soft_wrap=True)
    place = Path(path).expanduser() if path else default_path()
    if action != "prune" and (older_than, model, max_megabytes) != (None, None, None):
        raise DataError(
            f"--older-than, --model and --max-mb are for `medrl cache prune`, not for `medrl cache {action}`"
        )
    before = inspect(place)
    if action == "show":
        console.print(table(before))
        return before
    if action == "clear":
        gone, freed = clear(place)
    else:
        if max_megabytes is not None and not math.isfinite(max_megabytes * MEGABYTE):
            raise DataError(f"--max-mb is {max_megabytes}; give a number of megabytes from 0")
        most = None if max_megabytes is None else int(max_megabytes * MEGABYTE)
        gone, freed = prune(place, older_than, model, most)
    after = inspect(place)
    console.print(f"removed {gone:,} of {before.entries:,} entries; {freed / MEGABYTE:.1f} MB are free again")
    console.print(f"{place} holds {after.entries:,} entries in {after.bytes / MEGABYTE:.1f} MB")
    return after


def table(figures: CacheFigures) -> Table:
    """The figures of a cache, one a line."""
    shown = Table("figure", "value", title=f"{figures.path}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.columns[1].justify = "right"
    shown.add_row("entries", f"{figures.entries:,}")
    shown.add_row("size", f"{figures.bytes / MEGABYTE:.1f} MB")
    shown.add_row("requests spared", f"{figures.hits:,}")
    shown.add_row("oldest", _moment(figures.oldest))
    shown.add_row("newest", _moment(figures.newest))
    for model, count in figures.models.items():
        shown.add_row(f"of {model}", f"{count:,}")
    return shown


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
