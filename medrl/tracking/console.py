"""What a person sees of a run: bars with the time left, one row per step, and before against after.

On a terminal the bars stay at the bottom and rows scroll above them. Where the output is a file, only plain lines are
written, so that a log stays readable.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from medrl.tracking.compare import answers, before_after
from medrl.tracking.machines import MachineTable
from medrl.tracking.table import StepTable, clock, decimal, percent, whole
from medrl.tracking.traces import Trace

log = logging.getLogger(__name__)
PLAIN_WIDTH = 100
HEADER_EVERY = 20
MFU = "time/learner/mfu"


class RunConsole:
    """Prints a run: `with RunConsole() as console, console.phase("RL", total=500) as rl: ...`.

    Args:
        quiet: Print nothing at all; warnings are logged instead.
        file: Where to, by default standard output.
        width: Characters per line; by default that of the terminal, or 100 where there is none.
    """

    def __init__(self, *, quiet: bool = False, file: IO[str] | None = None, width: int | None = None) -> None:
        out = file or sys.stdout
        if width is None and not out.isatty():
            width = int(os.environ.get("COLUMNS") or PLAIN_WIDTH)
        self._console = Console(file=file, quiet=quiet, width=width, highlight=False, emoji=False, soft_wrap=False)
        self.quiet = quiet
        self.live = self._console.is_terminal and not quiet
        self._bars: Progress | None = None
        self._depth = 0
        self._table: tuple[StepTable, MachineTable | None] | None = None
        self._known: dict[str, None] = {}
        self._since_header = 0
        self._warned: set[str] = set()

    def __enter__(self) -> "RunConsole":
        if self.live:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeColumn())
            self._bars = Progress(*columns, console=self._console, transient=True)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    @contextmanager
    def phase(self, name: str, total: int, *, done: int = 0) -> Iterator["Phase"]:
        """A bar for the time of the block: SFT, RL steps, an evaluation, or within a step the rollouts finished.

        Args:
            name: What it says.
            total: How many there are.
            done: How many a resumed run had finished before; they do not count for the time left.
        """
        phase = Phase(self, name, total, done, nested=self._depth > 0)
        self._depth += 1
        try:
            yield phase
        finally:
            self._depth -= 1
            phase.end()
            if not phase.nested:  # another phase has other columns
                self._table, self._known = None, {}

    def row(self, metrics: Mapping[str, Any], *, machines: bool = False) -> None:
        """Print the row of a step; the columns follow what rows hold, the header returns every 20 rows.

        Args:
            metrics: What `metrics.jsonl` has of the step.
            machines: Print a second row, of what the machines did; MFU stands in that one.
        """
        self._known |= {key: None for key, value in metrics.items() if value is not None}
        width = self._console.width
        table = StepTable.fitting([key for key in self._known if not machines or key != MFU], width)
        second = MachineTable.fitting(self._known, width) if machines else None
        if (table, second) != self._table or self._since_header >= HEADER_EVERY:
            left_out = table.left_out + (second.left_out if second is not None else ())
            if left_out and (table, second) != self._table:
                self.say(f"(no room for {', '.join(left_out)}; metrics.jsonl has all)")
            self._table, self._since_header = (table, second), 0
            self.say(table.header(), style="bold")
            if second is not None:
                self.say(second.header(), style="bold")
        self.say(table.line(metrics))
        if second is not None:
            self.say(second.line(metrics))
        self._since_header += 1

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """Print what an evaluation found, on one line between the rows."""
        error = row.get("accuracy_stderr")
        said = {
            "accuracy": percent(row["accuracy"]) + (f" +- {percent(error)}" if error is not None else "")
            if row.get("accuracy") is not None
            else "-",
            **{
                label: write(row[key])
                for key, label, write in (
                    ("greedy_accuracy", "greedy", percent),
                    ("format", "format", percent),
                    ("unscored", "unscored", percent),
                    ("abstained", "abstained", percent),
                    ("length", "length", whole),
                    ("language_kept", "language kept", percent),
                    ("reward", "reward", decimal),
                    ("consultation/gain", "gain", percent),
                    ("consultation/turns", "turns", decimal),
                )
                if row.get(key) is not None
            },
        }
        text = ", ".join(f"{label} {value}" for label, value in said.items())
        self.say(f"step {row['step']} {row.get('name', 'evaluation')}: {text}", style="cyan")

    def say(self, text: str, *, style: str | None = None) -> None:
        """Print a line as it is, above the bars."""
        self._console.print(Text(text, style=style or ""), soft_wrap=True)

    def warn(self, *texts: str) -> None:
        """Print each of these warnings, unless this console has printed it before; a quiet one logs it."""
        for text in texts:
            if text not in self._warned:
                self._warned.add(text)
                if self.quiet:
                    log.warning("%s", text)
                else:
                    self.say(text, style="yellow")

    def before_after(
        self, before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str] = ("SFT", "RL")
    ) -> None:
        """Print two evaluations of the same set as a table with their change."""
        self.show(before_after(before, after, names=names))

    def answers(
        self,
        before: Sequence[Trace],
        after: Sequence[Trace],
        *,
        limit: int = 3,
        names: tuple[str, str] = ("SFT", "RL"),
        part: str = "correct",
        characters: int = 600,
    ) -> None:
        """Print answers of two evaluations side by side, the first `limit` problems that both hold."""
        for item in answers(before, after, limit=limit, names=names, part=part, characters=characters):
            self.show(item)

    def show(self, item: RenderableType) -> None:
        """Print any rich object."""
        self._console.print(item)


class Phase:
    """A bar under way; made by `RunConsole.phase`."""

    def __init__(self, owner: RunConsole, name: str, total: int, done: int, *, nested: bool) -> None:
        self._owner, self._name, self._total, self._first = owner, name, total, done
        self.done = done
        self.nested = nested
        self._started = time.monotonic()
        self._said = done
        self._task: TaskID | None = None
        if owner._bars is not None:
            self._task = owner._bars.add_task(name, total=total, completed=done, first=done)
        elif not nested and not owner.quiet:
            owner.say(f"{name}: {total - done} to do" + (f", {done} done before" if done else ""))

    @property
    def elapsed(self) -> float:
        """Seconds since the phase began."""
        return time.monotonic() - self._started

    def advance(self, count: int = 1) -> None:
        """`count` more are finished."""
        self.done += count
        if self._task is not None and self._owner._bars is not None:
            self._owner._bars.update(self._task, completed=self.done)
        elif not self.nested and (self.done - self._said) * 10 >= self._total > self.done:
            self._said = self.done
            left = time_left(self.elapsed, self.done - self._first, self._total - self.done)
            self._owner.say(f"{self._name}: {self.done}/{self._total}, {clock(self.elapsed)} gone, {left} left")

    def end(self) -> None:
        if self._task is not None and self._owner._bars is not None:
            self._owner._bars.remove_task(self._task)
        if not self.nested:
            self._owner.say(f"{self._name}: {self.done}/{self._total} in {clock(self.elapsed)}")


class TimeColumn(ProgressColumn):
    """Time gone and time left. rich's own estimate forgets what is over 30 s ago, which one step can take."""

    def render(self, task: Task) -> Text:
        gone = task.elapsed or 0.0
        finished = task.completed - task.fields["first"]
        left = time_left(gone, finished, (task.total or task.completed) - task.completed)
        return Text(f"{clock(gone)} gone, {left} left")


def time_left(gone: float, finished: float, to_do: float) -> str:
    """What `to_do` will take at the speed so far, or "?" before the first is finished."""
    return clock(gone / finished * to_do) if finished > 0 else "?"
