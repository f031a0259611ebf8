"""What a person sees of a construction: one line that changes on a terminal, a line now and then in a log, and the funnel."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from medrl.construct.tally import Tally, funnel
from medrl.tracking.console import PLAIN_WIDTH

EVERY = 30.0  # seconds between two lines in a log
REFRESH = 0.25  # and between two changes on a terminal


class Progress:
    """`with Progress("problems") as progress: pipeline.on_change = progress.show`."""

    def __init__(self, name: str, file: IO[str] | None = None) -> None:
        out = file or sys.stdout
        width = None if out.isatty() else PLAIN_WIDTH
        self._console = Console(file=file, width=width, highlight=False, emoji=False, markup=False)
        self._name, self._last = name, time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, tally: Tally, parts: Mapping[str, str] | None = None) -> None:
        """Where it stands, and each of its parts, unless that was said a moment ago."""
        now = time.monotonic()
        if now - self._last < (REFRESH if self._live else EVERY):
            return
        self._last = now
        lines = [f"{self._name}: {tally.line()}", *(f"  {name}: {line}" for name, line in (parts or {}).items())]
        if self._live is not None:
            self._live.update(Text("\n".join(lines)), refresh=True)
        else:
            self.say("\n".join(lines))

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    def end(self, tally: Tally, reasons: tuple[str, ...]) -> None:
        """The funnel over all starts, what failed, and what it took."""
        self.say(f"{self._name}: {tally.line()}")
        total = tally.outcomes.total()
        self.say(f"{'':<34}{'dropped':>9}{'left':>9}")
        self.say(f"  {'rows':<32}{'':>9}{total:>9,}")
        for reason, dropped, left in funnel(tally.outcomes, reasons):
            if dropped:
                self.say(f"  {reason:<32}{dropped:>9,}{left:>9,}")
        for kind, count in tally.failures.most_common():
            self.say(f"  failed, {kind}: {count:,} rows; the next start tries them again")
        if tally.failures:
            self.say(f"  the last: {tally.last_failure:.300}")
        if tally.repeated:
            self.say(f"  {tally.repeated:,} rows have the id of an earlier row, and were left out; see rows.id_column")
