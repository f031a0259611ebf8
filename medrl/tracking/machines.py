"""The second row of a step: where its time went, what waited, how fast each side was, how old tokens were, what it cost."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from medrl.tracking.table import percent, seconds, whole

INDENT = 4  # below the number of the step


@dataclass(frozen=True)
class Cell:
    """What stands under one label; `write` gets the figures whose names match, the shortest name first."""

    label: str
    pattern: str
    write: Callable[[Mapping[str, float]], str]
    width: int
    rank: int

    def of(self, row: Mapping[str, Any]) -> dict[str, float]:
        names = sorted((name for name in row if re.fullmatch(self.pattern, name)), key=lambda name: (len(name), name))
        return {name: float(row[name]) for name in names if row[name] is not None}


def first(write: Callable[[float], str]) -> Callable[[Mapping[str, float]], str]:
    return lambda found: write(next(iter(found.values())))


def share(value: float) -> str:
    return f"{100 * value:.0f}%"


def mean_and_peak(found: Mapping[str, float]) -> str:
    """2.4/16, a queue over the step."""
    mean, *peak = found.values()
    return "/".join([f"{mean:.1f}" if mean < 10 else whole(mean), *map(whole, peak)])


def total(found: Mapping[str, float]) -> str:
    return whole(sum(found.values()))


def histogram(found: Mapping[str, float]) -> str:
    """0:90 1:10, percent of the tokens by how many versions they are behind."""
    return " ".join(f"{name.rpartition('/')[2]}:{100 * value:.0f}" for name, value in found.items())


def short_seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else seconds(value)


CELLS = (
    Cell("roll", "time/share/rollout", first(share), 4, 0),
    Cell("fwd", "time/share/forward", first(share), 4, 1),
    Cell("upd", "time/share/update", first(share), 4, 2),
    Cell("sync", "time/share/sync", first(share), 4, 3),
    Cell("queue", "time/queue(/peak)?", mean_and_peak, 7, 4),
    Cell("scoring", "time/queue/scoring(/peak)?", mean_and_peak, 7, 5),
    Cell("eng t/s", r"time/engine/\d+/tokens_per_second", total, 7, 7),
    Cell("lrn t/s", "time/learner/tokens_per_second", first(whole), 7, 8),
    Cell("MFU", "time/learner/mfu", first(percent), 5, 9),
    Cell("sync s", "time/sync", first(short_seconds), 6, 10),
    Cell("score s", "time/reward_latency", first(short_seconds), 7, 11),
    Cell("calls", "cost/.+/calls", total, 5, 12),
    Cell("tokens", "cost/.+/tokens", total, 6, 13),
    Cell("stale %", r"staleness/\d+", histogram, 7, 6),
)


@dataclass(frozen=True)
class MachineTable:
    """Cells of the second row, one blank apart, and the labels for which there was no room."""

    cells: tuple[Cell, ...]
    left_out: tuple[str, ...]

    @classmethod
    def fitting(cls, keys: Iterable[str], width: int) -> "MachineTable":
        """Cells for these keys of metrics rows, without the least needed where the width runs out."""
        row = dict.fromkeys(keys, 0.99)
        found = [(cell, cell.of(row)) for cell in CELLS]
        wanted = [replace(cell, width=max(cell.width, len(cell.write(figures)))) for cell, figures in found if figures]
        used, kept = INDENT, set[str]()
        for cell in sorted(wanted, key=lambda cell: cell.rank):
            used += 1 + cell.width
            if used > width:
                break
            kept.add(cell.label)
        shown = tuple(cell for cell in wanted if cell.label in kept)
        return cls(shown, tuple(cell.label for cell in wanted if cell.label not in kept))

    def header(self) -> str:
        return self._row(cell.label for cell in self.cells)

    def line(self, row: Mapping[str, Any]) -> str:
        """A row; "-" where there is no number."""
        return self._row(cell.write(found) if (found := cell.of(row)) else "-" for cell in self.cells)

    def _row(self, texts: Iterable[str]) -> str:
        cells = (text.rjust(cell.width) for text, cell in zip(texts, self.cells, strict=True))
        return " " * INDENT + " " + " ".join(cells)
