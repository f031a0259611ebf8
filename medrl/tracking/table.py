"""The row that each step prints: which numbers are columns, how they are written, and what fits into the width."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """One number of a metrics row; the lower its `rank`, the longer it stays when the width runs out."""

    key: str
    label: str
    write: Callable[[float], str]
    width: int
    rank: int


def decimal(value: float) -> str:
    """Three decimals, fewer for large numbers."""
    size = abs(value)
    return f"{value:.3f}" if size < 100 else f"{value:.1f}" if size < 10_000 else f"{value:.1e}"


def small(value: float) -> str:
    """Four decimals, or powers of ten where those would say nothing."""
    return f"{value:.4f}" if value == 0 or 0.0005 <= abs(value) < 10 else f"{value:.1e}"


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def whole(value: float) -> str:
    return f"{value:.0f}" if abs(value) < 10_000 else f"{value / 1000:.1f}k"


def seconds(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def clock(value: float) -> str:
    """Seconds as 1:23 or 2:05:00."""
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


BEFORE_PARTS = (
    Column("step", "step", whole, 5, 0),
    Column("loss", "loss", decimal, 6, 20),
    Column("reward", "reward", decimal, 6, 1),
)
AFTER_PARTS = (
    Column("accuracy", "accuracy", percent, 8, 2),
    Column("unscored", "unscored", percent, 8, 3),
    Column("abstained", "abstained", percent, 9, 19),
    Column("length", "length", whole, 6, 4),
    Column("kl", "KL", small, 7, 5),
    Column("clip_share", "clipped", percent, 7, 23),
    Column("grad_norm", "grad", decimal, 6, 21),
    Column("tokens_per_second", "tok/s", whole, 6, 6),
    Column("time/step", "s/step", seconds, 6, 22),
    Column("time/learner/mfu", "MFU", percent, 6, 24),
)


@dataclass(frozen=True)
class StepTable:
    """The columns of a row, the blanks between them, and the labels for which there was no room."""

    columns: tuple[Column, ...]
    gap: int
    left_out: tuple[str, ...]

    @classmethod
    def fitting(cls, keys: Iterable[str], width: int) -> "StepTable":
        """Columns for these keys of metrics rows: two blanks apart, else one, else without the least needed."""
        keys = tuple(keys)
        names = [key.removeprefix("part/") for key in keys if key.startswith("part/")]
        short = {name: name if len(name) <= 10 else f"{name[:9]}~" for name in names}
        parts = [
            Column(f"part/{name}", short[name], decimal, max(6, len(short[name])), rank)
            for rank, name in enumerate(names, start=7)
        ]
        wanted = [column for column in (*BEFORE_PARTS, *parts, *AFTER_PARTS) if column.key in keys]
        gap = 2 if sum(column.width + 2 for column in wanted) - 2 <= width else 1
        kept, used = set(), -gap
        for column in sorted(wanted, key=lambda column: column.rank):
            if used + gap + column.width > width:
                break
            kept.add(column.key)
            used += gap + column.width
        shown = tuple(column for column in wanted if column.key in kept)
        return cls(shown, gap, tuple(column.label for column in wanted if column.key not in kept))

    def header(self) -> str:
        return (" " * self.gap).join(column.label.rjust(column.width) for column in self.columns)

    def line(self, row: Mapping[str, Any]) -> str:
        """A row of numbers; "-" where there is none, since no number is not 0."""
        return (" " * self.gap).join(_cell(column, row.get(column.key)).rjust(column.width) for column in self.columns)


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return "-"
    number = float(value)
    return column.write(number) if math.isfinite(number) else str(number)
