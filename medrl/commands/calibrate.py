"""Measure a judge on labelled answers, fit a calibration, and correct the pass rate that it claims (`medrl calibrate`).

The fit learns what the judge's value is worth (`medrl.rewards.calibration`); the pass rate is corrected by the errors on the
labelled answers (`medrl.verifiers.pass_rate`). Both speak of answers that the judge decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from medrl.commands.verdict_table import without_label
from medrl.commands.verifier_card import load_cases
from medrl.commands.verifier_figures import wilson
from medrl.data import load_responses
from medrl.errors import DataError
from medrl.rewards.calibration import Calibration, Method, fit
from medrl.seeds import seed_of
from medrl.types import Problem, Response, Verdict
from medrl.verifiers import Verifier, judge, run_sync
from medrl.verifiers.pass_rate import pass_rate
from medrl.verifiers.reliability import reliability

FOLDS = 5
LEAST = 10  # labelled answers of each kind that the judge must have decided


@dataclass(frozen=True)
class Calibrating:
    """The flat object that `--json` writes, and the calibration fitted to all labels."""

    report: dict[str, Any]
    calibration: Calibration


def calibrate(
    verifier: Verifier, labels: str | Path, answers: str | Path | None = None, method: Method = "isotonic"
) -> Calibrating:
    """Ask the judge about labelled answers, and about those whose pass rate is wanted.

    Args:
        verifier: The judge.
        labels: Rows with question, reference, response and `expected` (true or false).
        answers: Rows with question, reference and response whose pass rate is wanted; that of the labelled when empty.
        method: `isotonic`, or `platt` for a few dozen labels.

    Raises:
        DataError: The judge decided too few labelled answers of one kind, or a file cannot be read.
    """
    cases = load_cases(labels)
    said = _ask(verifier, [(problem, response) for problem, response, _ in cases])
    decided = [(v.score, label) for v, (_, _, label) in zip(said, cases, strict=True) if v.score is not None]
    judged = [(v.accepted, label) for v, (_, _, label) in zip(said, cases, strict=True) if v.decided]
    right, wrong = [one for one, label in judged if label], [one for one, label in judged if not label]
    if min(len(right), len(wrong)) < LEAST:
        raise DataError(
            f"of the {len(cases)} answers of {labels} the judge decided {len(right)} right and {len(wrong)} wrong ones; "
            f"give so many that it decides at least {LEAST} of each"
        )
    print_of = verifier.fingerprint()
    calibration = fit([s for s, _ in decided], [label for _, label in decided], method, print_of)
    new = said if answers is None else _ask(verifier, [without_label(item) for item in load_responses(answers)])
    accepted = [verdict.accepted for verdict in new if verdict.decided]
    if not accepted:
        raise DataError(f"the judge decided none of the answers of {answers}, so there is no pass rate")
    hits, held = sum(right), len(wrong) - sum(wrong)
    rate = pass_rate(sum(accepted), len(accepted), hits, len(right), held, len(wrong))
    report: dict[str, Any] = {
        "verifier": verifier.name,
        "fingerprint": print_of,
        "labels": len(cases),
        "labels_decided": len(decided),
        "sensitivity": rate.sensitivity,
        "sensitivity_interval": wilson(hits, len(right)),
        "specificity": rate.specificity,
        "specificity_interval": wilson(held, len(wrong)),
        "answers": len(new),
        "answers_decided": len(accepted),
        "pass_rate_claimed": rate.accepted,
        "pass_rate_corrected": rate.corrected,
        "labels_fit": rate.fits,
        "pass_rate_interval": None if rate.low is None else [rate.low, rate.high],
        "method": method,
        **_errors(decided, method),
        "calibration": calibration.to_json(),
    }
    return Calibrating(report, calibration)


def shown(report: dict[str, Any]) -> Table:
    """The figures as a table."""

    def share(value: float | None, interval: Sequence[float] | None = None) -> str:
        between = "" if interval is None else f"  ({interval[0]:.1%} to {interval[1]:.1%})"
        return "-" if value is None else f"{value:.1%}{between}"

    table = Table("figure", "value", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_row("labelled answers, decided", f"{report['labels']}, {report['labels_decided']}")
    table.add_row("right ones accepted (sensitivity)", share(report["sensitivity"], report["sensitivity_interval"]))
    table.add_row("wrong ones rejected (specificity)", share(report["specificity"], report["specificity_interval"]))
    table.add_row("answers, decided", f"{report['answers']}, {report['answers_decided']}")
    table.add_row("pass rate that the judge claims", share(report["pass_rate_claimed"]))
    corrected = share(report["pass_rate_corrected"], report["pass_rate_interval"])
    if not report["labels_fit"]:
        corrected += "; but it accepts a share that its errors on the labels cannot give: they are of other answers"
    table.add_row("pass rate corrected", corrected if corrected != "-" else "- (it is hardly better than chance)")
    for name, figure in (("Brier score", "brier"), ("calibration error", "ece")):
        before, after = report[f"{figure}_before"], report[f"{figure}_after"]
        table.add_row(f"{name}, before and after", f"{before:.3f}, {after:.3f}")
    return table


def _ask(verifier: Verifier, items: Sequence[tuple[Problem, Response]]) -> list[Verdict]:
    return run_sync(judge(verifier, items))


def _errors(decided: Sequence[tuple[float, bool]], method: Method) -> dict[str, Any]:
    """Brier score and expected calibration error of the judge's own values and of calibrated ones, the latter by folds.

    Each answer is mapped by a calibration that was fitted without it.
    """
    mapped = [0.0] * len(decided)
    for fold in range(FOLDS):
        rest = [one for i, one in enumerate(decided) if _fold(i) != fold]
        made = _fitted(rest, method)
        for i, (score, _) in enumerate(decided):
            mapped[i] = made(score) if _fold(i) == fold else mapped[i]
    labels = [label for _, label in decided]
    before, after = reliability([score for score, _ in decided], labels), reliability(mapped, labels)
    return {
        "brier_before": before.brier,
        "brier_after": after.brier,
        "ece_before": before.ece,
        "ece_after": after.ece,
    }


def _fitted(rest: Sequence[tuple[float, bool]], method: Method) -> Calibration:
    """A fit to part of the labels; the share of right ones where that part alone cannot be fitted."""
    labels = [label for _, label in rest]
    try:
        return fit([score for score, _ in rest], labels, method)
    except DataError:
        return Calibration((0.0,), (sum(labels) / len(labels),))


def _fold(place: int) -> int:
    return seed_of("calibrate", place) % FOLDS
