"""What has happened in a construction so far, in numbers and in words."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medrl.construct.roles import Bill
from medrl.construct.store import KEPT
from medrl.tracking.console import time_left


@dataclass
class Tally:
    """Counts of a construction: over all starts, and of this one."""

    total: int | None = None
    """Rows of the source that are to be done, where anybody knows."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many rows are done, by outcome: "kept", or why they were dropped."""
    failures: Counter[str] = field(default_factory=Counter)
    """How many rows failed in this start, by kind."""
    bill: Bill = field(default_factory=Bill)
    """What the rows that are done took, over all starts."""
    spent: Bill = field(default_factory=Bill)
    """What was asked in this start, also for rows that failed."""
    before: int = 0
    """Rows that were done before this start."""
    finished: int = 0
    """Rows that this start has done."""
    repeated: int = 0
    """Rows of the source that have the id of an earlier one, and are left out."""
    last_failure: str = ""
    complete: bool = False
    """Whether this start has come to the end of the source; rows that failed may be left then, and no others."""
    clock: Callable[[], float] = time.monotonic
    started: float = 0.0

    def begin(self, outcomes: Counter[str], bill: Bill) -> None:
        self.outcomes, self.bill, self.before, self.started = outcomes, bill, outcomes.total(), self.clock()

    def ended(self, outcome: str, bill: Bill) -> None:
        self.outcomes[outcome] += 1
        self.finished += 1
        self.bill.add(bill)
        self.spent.add(bill)

    def failed(self, kind: str, reason: str, bill: Bill) -> None:
        self.failures[kind] += 1
        self.spent.add(bill)
        self.last_failure = f"{kind}: {reason}"

    def pass_over(self, *, repeated: bool) -> None:
        self.repeated += repeated

    @property
    def seconds(self) -> float:
        return self.clock() - self.started

    @property
    def rows_per_second(self) -> float:
        """Rows that this start has done a second."""
        return self.finished / self.seconds if self.finished else 0.0

    @property
    def left(self) -> str:
        """The time left, in words; "?" where nobody knows."""
        if self.total is None:
            return "?"
        gone = self.finished + self.failures.total()
        return time_left(self.seconds, gone, max(0, self.total - self.before - gone))

    def line(self) -> str:
        """One line on where it stands."""
        kept, done = self.outcomes[KEPT], self.outcomes.total()
        of = "" if self.total is None else f"/{self.total:,}"
        tokens = self.spent.prompt_tokens + self.spent.completion_tokens + self.spent.verifier_tokens
        parts = [f"{done:,}{of} rows", f"{kept:,} kept", f"{self.rows_per_second:.1f} rows/s"]
        parts += [f"{self.failures.total():,} failed"] if self.failures else []
        calls = self.spent.calls + self.spent.verifier_calls
        parts.append(f"{calls:,} calls" + (f" ({self.spent.cached:,} cached)" if self.spent.cached else ""))
        parts.append(f"{tokens:,} tokens")
        parts += [f"cost {self.spent.cost:,.2f}"] if self.spent.cost else []
        return ", ".join([*parts, f"{self.left} left"])

    def report(self) -> dict[str, Any]:
        """The flat object that goes into report.json."""
        return {
            "rows": self.outcomes.total(),
            "kept": self.outcomes[KEPT],
            "outcomes": dict(self.outcomes),
            "failed": dict(self.failures),
            "repeated_ids": self.repeated,
            "total": self.total,
            "last_failure": self.last_failure,
            "complete": self.complete,
            "line": self.line(),
            "bill": self.bill.to_json(),
            "this_start": {
                "rows": self.finished,
                "seconds": round(self.seconds, 3),
                "rows_per_second": round(self.rows_per_second, 3),
                "bill": self.spent.to_json(),
            },
        }


def funnel(outcomes: Mapping[str, int], reasons: Sequence[str]) -> list[tuple[str, int, int]]:
    """(reason, dropped, left) for each reason in the order in which a stage looks; unknown ones come last."""
    left = sum(outcomes.values())
    found = []
    for reason in [*reasons, *sorted(set(outcomes) - {*reasons, KEPT})]:
        left -= outcomes.get(reason, 0)
        found.append((reason, outcomes.get(reason, 0), left))
    return found
