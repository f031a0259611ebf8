"""What `medrl verify` prints and writes: a row per response with its verdict and the reason, and a summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medrl.types import Problem, Response, Verdict

MARKS = {"abstain": ("?", "yellow"), "error": ("!", "red"), "timeout": ("!", "red"), "invalid": ("!", "magenta")}


def show(console: Console, items: Sequence[tuple[Problem, Response]], verdicts: Sequence[Verdict]) -> None:
    """Print the table and the summary."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id", overflow="ellipsis", no_wrap=True, max_width=18)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("reference", overflow="ellipsis", no_wrap=True, max_width=20)
    table.add_column("answer", overflow="ellipsis", no_wrap=True, max_width=24)
    table.add_column("why", overflow="fold")
    for (problem, _), verdict in zip(items, verdicts, strict=True):
        why = f"{verdict.stage}: {verdict.reason}" if verdict.stage else verdict.reason
        texts = (problem.id, _score(verdict), problem.reference or "-", verdict.answer or "-", why)
        table.add_row(*(text if isinstance(text, Text) else Text(" ".join(text.split())) for text in texts))
    console.print(table)
    console.print(summary(items, verdicts))


def summary(items: Sequence[tuple[Problem, Response]], verdicts: Sequence[Verdict]) -> str:
    """One or two lines: how many were decided, right, and (where the file has labels) decided as labelled."""
    decided = [v for v in verdicts if v.decided]
    right = sum(v.accepted for v in decided)
    counts = Counter(v.status for v in verdicts)
    others = "".join(f", {n} {status}" for status, n in counts.most_common() if status != "ok")
    text = f"{len(verdicts)} responses: {right} right, {len(decided) - right} wrong{others}"
    labelled = [(label, v) for (p, _), v in zip(items, verdicts, strict=True) if (label := expected(p)) is not None]
    known = [(label, v) for label, v in labelled if v.score is not None]
    if known:
        agreed = sum(v.accepted == label for label, v in known)
        share = f"{agreed} as labelled ({agreed / len(known):.1%})"
        text += f"\nof {len(labelled)} labelled rows {len(known)} were decided, {share}"
    return text


def report_json(items: Sequence[tuple[Problem, Response]], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The flat object for --json; `correct` counts responses that were decided right."""
    rows = [
        {
            "id": problem.id,
            "status": v.status,
            "score": v.score,
            "stage": v.stage,
            "reason": v.reason,
            "answer": v.answer,
            "span": v.span,
        }
        for (problem, _), v in zip(items, verdicts, strict=True)
    ]
    return {
        "n": len(rows),
        "decided": sum(v.decided for v in verdicts),
        "correct": sum(v.accepted for v in verdicts),
        "rows": rows,
    }


def expected(problem: Problem) -> bool | None:
    """The label of a row of a labelled suite, if it has one."""
    label = problem.metadata.get("expected")
    return label if isinstance(label, bool) else None


def without_label(item: tuple[Problem, Response]) -> tuple[Problem, Response]:
    """The item as a verifier may see it: the label that it is measured by is taken out."""
    problem, response = item
    metadata = {name: value for name, value in problem.metadata.items() if name != "expected"}
    return replace(problem, metadata=metadata), response


def _score(verdict: Verdict) -> Text:
    if verdict.score is None:
        mark, style = MARKS[verdict.status]
        return Text(f"{mark} {verdict.status}", style)
    return Text(f"{verdict.score:g}", "green" if verdict.accepted else "red")
