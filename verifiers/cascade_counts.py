"""What a cascade counts while it judges: what each stage decided and failed at, and where an audit disagreed with it.

Counting is safe under threads and event loops. Counts are of this process: a cascade that is pickled, copied or built
again begins at nothing, and two cascades with equal knobs count apart. A cascade in a worker of `isolated` counts nothing
itself: what it would count goes to its twin in the program (`tell`, `hear`), which then warns too.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from medrl.types import Verdict

KEPT = 100  # disagreements that are remembered, the newest
LOGGED = 5  # disagreements that are logged one by one
SHOWN = 200  # characters of an answer or a reason that are remembered
FIGURES = ("asked", "right", "wrong", "abstained")  # what the metrics of a training step show of each stage
AUDIT_FIGURES = ("audited", "audited_accepts", "disagreed", "disagreed_accepts", "audits_undecided")
log = logging.getLogger(__name__)


@runtime_checkable
class Counting(Protocol):
    """A verifier that counts what it does."""

    def statistics(self) -> dict[str, Any]:
        """Its counts as JSON data."""


@dataclass
class StageCounts:
    """The counts of one stage."""

    asked: int = 0
    right: int = 0
    wrong: int = 0
    abstained: int = 0
    failed: dict[str, int] = field(default_factory=lambda: {"error": 0, "timeout": 0, "invalid": 0})
    seconds: float = 0.0
    cost: dict[str, float] = field(default_factory=dict)
    audited: int = 0
    audited_accepts: int = 0
    disagreed: int = 0
    disagreed_accepts: int = 0
    audits_undecided: int = 0
    audit_cost: dict[str, float] = field(default_factory=dict)
    alarmed: bool = False

    def add(self, verdicts: Sequence[Verdict], seconds: float) -> None:
        """Count what the stage said."""
        self.asked += len(verdicts)
        self.seconds += seconds
        for verdict in verdicts:
            if verdict.score is not None:
                self.right += verdict.accepted
                self.wrong += not verdict.accepted
            elif verdict.status == "abstain":
                self.abstained += 1
            else:
                self.failed[verdict.status] += 1
            _add(self.cost, verdict.cost)

    @property
    def gap(self) -> float | None:
        """The share of its audited accepts that the auditor took for wrong."""
        return self.disagreed_accepts / self.audited_accepts if self.audited_accepts else None

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "failed": dict(self.failed),
            "cost": dict(self.cost),
            "audit_cost": dict(self.audit_cost),
            "gap": self.gap,
        }


class CascadeCounts:
    """The counts of a cascade's stages; `alarm` and `alarm_after` are the cascade's knobs."""

    def __init__(self, names: Sequence[str], alarm: float, alarm_after: int) -> None:
        self.names, self.alarm, self.alarm_after = unique(names), alarm, alarm_after
        self._lock = threading.Lock()
        self.tell: Callable[[list[Any]], None] | None = None
        """Where each count goes instead, as JSON data; `hear` of another one takes it."""
        self.reset()

    def __reduce__(self) -> tuple[type["CascadeCounts"], tuple[Any, ...]]:
        return CascadeCounts, (self.names, self.alarm, self.alarm_after)

    def reset(self) -> None:
        """Begin at nothing again, the alarms included."""
        with self._lock:
            self._stages = [StageCounts() for _ in self.names]
            self._disagreements: deque[dict[str, Any]] = deque(maxlen=KEPT)
            self._seen = 0

    def asked(self, stage: int, verdicts: Sequence[Verdict], seconds: float) -> None:
        """Count what a stage said."""
        if self.tell is not None:
            said = [[one.score, one.status, dict(one.cost), dict(one.parts)] for one in verdicts]
            return self.tell(["asked", stage, said, seconds])
        with self._lock:
            self._stages[stage].add(verdicts, seconds)

    def audited(self, stage: int, problem_id: str, verdict: Verdict, audit: Verdict) -> None:
        """Count what the next stage says of an item that `stage` decided; warn where the two disagree too often."""
        if self.tell is not None:
            return self.tell(["audited", stage, problem_id, verdict.to_json(), audit.to_json()])
        accepted, agrees = verdict.accepted, agreement(verdict, audit)
        row = {
            "problem_id": problem_id,
            "stage": self.names[stage],
            "auditor": self.names[stage + 1],
            "answer": (verdict.answer or "")[:SHOWN],
            "accepted": accepted,
            "reason": verdict.reason[:SHOWN],
            "audit_reason": audit.reason[:SHOWN],
        }
        with self._lock:
            counts = self._stages[stage]
            _add(counts.audit_cost, audit.cost)
            if agrees is None:
                counts.audits_undecided += 1
                return
            counts.audited += 1
            counts.audited_accepts += accepted
            if not agrees:
                counts.disagreed += 1
                counts.disagreed_accepts += accepted
                self._disagreements.append(row)
                self._seen += 1
            told = not agrees and self._seen <= LOGGED
            gap, n = counts.gap, counts.audited_accepts
            raised = gap is not None and gap > self.alarm and n >= self.alarm_after and not counts.alarmed
            counts.alarmed = counts.alarmed or raised
        if told:
            log.warning("an audit disagrees: %s", row)
        if raised:
            log.warning(
                "of %d audited answers that stage %r accepted, %r takes %.0f%% for wrong, more than the alarm at %.0f%%; "
                "read the disagreements in `statistics()` before you train on",
                n, self.names[stage], self.names[stage + 1], 100 * (gap or 0.0), 100 * self.alarm,
            )  # fmt: skip

    def hear(self, told: Sequence[Any]) -> None:
        """Count what a twin in another process told."""
        if told[0] == "asked":
            _, stage, said, seconds = told
            verdicts = [Verdict(score, status, cost=cost, parts=parts) for score, status, cost, parts in said]
            self.asked(stage, verdicts, seconds)
        else:
            _, stage, problem_id, verdict, audit = told
            self.audited(stage, problem_id, Verdict.from_json(verdict), Verdict.from_json(audit))

    def to_json(self) -> dict[str, Any]:
        """Counts by stage, the disagreements kept (newest last), and the stages whose alarm went off."""
        with self._lock:
            stages = {name: one.to_json() for name, one in zip(self.names, self._stages, strict=True)}
            kept = [dict(row) for row in self._disagreements]
        return {
            "stages": stages,
            "alarms": [name for name, one in stages.items() if one["alarmed"]],
            "disagreements": kept,
        }


def agreement(verdict: Verdict, audit: Verdict) -> bool | None:
    """Whether both say right or both say wrong; None where the auditor did not decide."""
    if verdict.score is None or audit.score is None:
        return None
    return verdict.accepted == audit.accepted


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, the second `judge` as `judge_2`."""
    found: list[str] = []
    for name in names:
        found.append(
            next(one for one in [name, *(f"{name}_{i}" for i in range(2, len(names) + 2))] if one not in found)
        )
    return tuple(found)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """What each stage's counts grew by between two `statistics()`, as `STAGE/FIGURE`.

    The figures are asked, right, wrong, abstained and failed; of a cascade that audits also how much was audited, and how
    often the auditor disagreed. Seconds are left out, since they depend on the machine.
    """
    stages = dict(after.get("stages", {}))
    audited = list(stages)[:-1] if after.get("audits") else []  # nobody stands behind the last stage
    grown: dict[str, float] = {}
    for name, now in stages.items():
        figures = (*FIGURES, *(AUDIT_FIGURES if name in audited else ()))
        then = before.get("stages", {}).get(name, {})
        grown |= {f"{name}/{figure}": float(now.get(figure, 0) - then.get(figure, 0)) for figure in figures}
        failed = [sum(one.get("failed", {}).values()) for one in (then, now)]
        grown[f"{name}/failed"] = float(failed[1] - failed[0])
    return grown


def _add(total: dict[str, float], cost: Mapping[str, float]) -> None:
    for name, amount in cost.items():
        total[name] = total.get(name, 0.0) + amount
