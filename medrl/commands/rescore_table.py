"""What `medrl rescore` prints: the figures of each step before and after, the changes by kind, and examples of each."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from medrl.commands.rescore import CHANGES, Rescored, Rescoring, reason

EXAMPLES = 3
TEXT = 200


def show(console: Console, found: Rescoring, examples: int = EXAMPLES) -> None:
    """Print it all; `examples` of each kind of change."""
    report = found.report
    console.print(report["reward"], style="bold")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("phase", no_wrap=True)
    for name in ("step", "n", "reward", "now", "paid", "now", "no number", "now", "changed"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in report["steps"]:
        table.add_row(row["phase"], str(row["step"]), *_cells(row))
    table.add_section()
    table.add_row("all", "", *_cells(report), style="bold")
    console.print(table)
    if not found.changed:
        console.print(f"nothing changed in {report['n']} rollouts")
        return
    for kind in CHANGES:
        changed = [one for one in found.changed if one.change == kind]
        if changed:
            console.print(f"{kind}: {len(changed)}", style="bold")
        for one in changed[:examples]:
            _example(console, one)


def _cells(row: Mapping[str, Any]) -> list[str]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    return [
        str(row["n"]), number(row["reward_before"]), number(row["reward_after"]), share(row["paid_before"]),
        share(row["paid_after"]), str(row["unscored_before"]), str(row["unscored_after"]), str(row["changed"]),
    ]  # fmt: skip


def _example(console: Console, one: Rescored) -> None:
    row = one.row()
    console.print(
        f"  {one.name} step {one.step}, {one.problem.id}, rollout {one.index}, reference {one.problem.reference!r}"
    )
    for when, score, leaf in (("old", one.old, one.old_leaf), ("new", one.new, one.new_leaf)):
        value = score.status if score.value is None else f"{score.value:g}"
        read = f", read {_short(row[when]['answer'])!r}" if row[when]["answer"] is not None else ""
        at = f" at {row[when]['span'][0]}-{row[when]['span'][1]}" if row[when]["span"] else ""
        console.print(f"    {when}  {value}{read}{at}: {_short(reason(score, leaf)) or '-'}")
    console.print(f"    said {_short(one.response.text)!r}")


def _short(text: str) -> str:
    """A text on one line; of a long one its end, where the answer stands."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT else f"…{line[-TEXT:]}"
