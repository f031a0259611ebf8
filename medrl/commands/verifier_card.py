"""A verifier card: what a verifier's reward lets through, measured on labelled cases (`medrl card`).

In training the errors of a verifier are not noise: a policy finds what is wrongly accepted and does it more often. So
the card counts false accepts apart from false rejects, and abstentions and failures apart from both. Each answer is
judged alone, so that one which brings the verifier down cannot hurt its neighbours and its time is its own; and
without its label, which the verifier never sees.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from medrl import __version__
from medrl.commands import attacks
from medrl.commands.verdict_table import without_label
from medrl.commands.verifier_figures import Outcome, by, figures, pair_figures
from medrl.data import load_responses
from medrl.data.pairs import existing, label_of, load_pairs
from medrl.errors import DataError
from medrl.types import Problem, Response, Verdict
from medrl.verifiers import Verifier, judge, run_sync

RULES = {"type": "typed", "vocabulary": "medrl"}  # what `rules` names
WARM_UP = 5
SHOWN_FAULTS = 10
ATTACKED = 20  # problems of the simulated clinic, always the same, that a card attacks the verifier on


@dataclass(frozen=True)
class Card:
    """The flat object that `--json` writes, and the outcomes that it was computed from."""

    report: dict[str, Any]
    cases: tuple[Outcome, ...] = ()
    pairs: tuple[Outcome, ...] = ()


def measure(
    verifier: Verifier, cases: str | Path | None = None, pairs: str | Path | None = None, attack: bool = False
) -> Card:
    """Ask `verifier` about every case and every pair, once and one after another.

    Args:
        verifier: What is measured.
        cases: A file of rows with question, reference, response and the label `expected` (true or false), and with
            options, category and lang where they have them.
        pairs: A table left|right|same of terms; see `medrl.data.pairs`.
        attack: Whether the attacks of `medrl attack` are tried too, on a few problems: some three thousand answers more.

    Raises:
        DataError: There is nothing to measure on, a file cannot be read, or rows have no label.
    """
    if cases is None and pairs is None:
        raise DataError("there is nothing to measure on; give --cases FILE, --pairs FILE or both")
    given = load_cases(cases) if cases is not None else []
    terms, left_out = load_pairs(pairs) if pairs is not None else ([], [])
    asked = [(problem, response) for problem, response, _ in [*given, *terms]]
    verdicts, seconds = run_sync(_ask(verifier, asked))
    outcomes = [
        Outcome(problem, label, verdict)
        for (problem, _, label), verdict in zip([*given, *terms], verdicts, strict=True)
    ]
    of_cases, of_pairs = tuple(outcomes[: len(given)]), tuple(outcomes[len(given) :])
    report: dict[str, Any] = {
        "verifier": verifier.name,
        "version": verifier.version,
        "knobs": verifier.to_config(),
        "fingerprint": verifier.fingerprint(),
        "medrl_version": __version__,
        "date": datetime.now(UTC).date().isoformat(),
    }
    if cases is not None:
        report |= {"file": Path(cases).name, "sha256": _sha256(cases), **figures(of_cases)}
        report["by_category"] = by(of_cases, lambda one: one.category)
        report["by_language"] = by(of_cases, lambda one: str(one.problem.language))
    if pairs is not None:
        report |= {"pairs_file": Path(pairs).name, "pairs_sha256": _sha256(pairs), **pair_figures(of_pairs)}
        report["pairs_left_out"] = len(left_out)
    measured = len(given) or len(terms)
    report |= speed(asked[:measured], seconds[:measured])
    report["cost"] = _cost(verdicts)
    report |= _attacked(verifier) if attack else {"attack_success": None}
    if cases is not None:
        report["rows"] = [_row(one) for one in of_cases]
    return Card(report, of_cases, of_pairs)


def _attacked(verifier: Verifier) -> dict[str, Any]:
    """What share of the attack texts was paid, over all and by attack; `attacks` has what must be known beside it."""
    found = attacks.measure(verifier, attacks.default_problems(ATTACKED)).report
    about = ("problems", "layouts", "n", "n_paid", "unscored", "honest_right", "honest_wrong", "warning")
    by_attack = {name: {key: one[key] for key in ("n", "n_paid", "paid", "unscored")}
                 for name, one in found["by_attack"].items()}  # fmt: skip
    return {"attack_success": found["paid"], "attacks": {**{key: found[key] for key in about}, "by_attack": by_attack}}


def load_cases(path: str | Path) -> list[tuple[Problem, Response, bool]]:
    """Labelled answers, the label taken out of the problem; rows without one are named together."""
    cases: list[tuple[Problem, Response, bool]] = []
    faults: list[str] = []
    for number, item in enumerate(load_responses(existing(path)), 1):
        problem, response = without_label(item)
        value = item[0].metadata.get("expected")
        label = label_of(value)
        if label is None:
            found = "is missing" if value is None else f"is {value!r}"
            faults.append(f"row {number} (id {problem.id!r}): `expected` {found}")
        else:
            cases.append((problem, response, label))
    if faults:
        shown = "".join(f"\n  - {fault}" for fault in faults[:SHOWN_FAULTS])
        more = f"\n  and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        count = "1 row" if len(faults) == 1 else f"{len(faults)} rows"
        raise DataError(f"{path} has {count} without a label; `expected` must be true or false:{shown}{more}")
    return cases


async def _ask(verifier: Verifier, items: Sequence[tuple[Problem, Response]]) -> tuple[list[Verdict], list[float]]:
    """Verdicts and seconds, one item at a time; the references of the first few are asked before, to warm up.

    Tables that are read and patterns that are compiled at the first answer would else count as that answer's time.
    """
    for problem, _ in items[:WARM_UP]:
        await judge(verifier, [(problem, Response(problem.reference or ""))])
    verdicts, seconds = [], []
    for item in items:
        begin = perf_counter()
        verdicts += await judge(verifier, [item])
        seconds.append(perf_counter() - begin)
    return verdicts, seconds


def speed(items: Sequence[tuple[Problem, Response]], seconds: Sequence[float]) -> dict[str, float]:
    """Wall-clock figures over the first asking of each distinct row, so that a verifier's memory of answers is no help.

    p99 is the time that 99 % of the rows need at most (nearest rank).
    """
    first: dict[Any, float] = {}
    for (problem, response), took in zip(items, seconds, strict=True):
        about = {name: value for name, value in problem.metadata.items() if name not in ("row", "source", "topic")}
        first.setdefault(repr((replace(problem, id="row", metadata=about), response.text)), took)
    times = sorted(first.values())
    return {
        "answers_per_second": len(times) / sum(times),
        "p99_ms": 1000 * times[math.ceil(0.99 * len(times)) - 1],
        "slowest_ms": 1000 * times[-1],
    }


def _row(one: Outcome) -> dict[str, Any]:
    verdict = one.verdict
    return {
        "id": one.problem.id,
        "status": verdict.status,
        "score": verdict.score,
        "stage": verdict.stage,
        "answer": verdict.answer,
        "span": verdict.span,
        "reason": verdict.reason,
        "expected": one.expected,
    }


def _cost(verdicts: Sequence[Verdict]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for verdict in verdicts:
        for name, amount in verdict.cost.items():
            total[name] += amount
    return dict(total)


def _sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
