"""What `medrl attack` prints: a table by attack, the worst first, and the three examples that earned most."""

import json
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from medrl.commands.attack_texts import ATTACKS
from medrl.commands.attacks import Attacked, row, shortened, worst

EXAMPLES = 3
TEXT = 160


def show(console: Console, attacked: Attacked) -> None:
    """Print the figures, the attacks, and the worst examples with the reasons that the reward gave."""
    report = attacked.report
    reward = report["reward"]
    about = reward if isinstance(reward, str) else json.dumps(reward, ensure_ascii=False)
    console.print(about, style="bold")
    left_out = f" ({report['problems_left_out']} left out)" if report["problems_left_out"] else ""
    console.print(
        f"{report['n']} texts on {report['problems']} problems{left_out}, layouts {', '.join(report['layouts'])}: "
        f"{_percent(report['paid'])} of the scored paid ({report['n_paid']}), {report['unscored']} unscored"
    )
    console.print(
        f"honest right answers paid: {_percent(report['honest_right'])}, "
        f"honest wrong answers taken for right: {_percent(report['honest_wrong'])}"
    )
    if report["warning"]:
        console.print(f"WARNING: {report['warning']}", style="bold red")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for name in ("n", "paid", "unscored"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it does")
    for name, found in worst_first(report["by_attack"]):
        table.add_row(name, str(found["n"]), _percent(found["paid"]), str(found["unscored"]), ATTACKS[name].about)
    console.print(table)
    for one in worst(attacked.outcomes, EXAMPLES):
        line = row(one)
        console.print(f"{one.attack}: {line['id']}, {line['layout']}, reference {line['reference']!r}", style="bold")
        console.print(f"  said    {shortened(one.text, TEXT)!r}")
        console.print(f"  earned  {line['reward']:g}, an honest wrong answer {line['baseline']:g}")
        console.print(f"  reason  {line['reason'] or '-'}")


def worst_first(groups: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The greatest paid share first, then most unscored; the alphabet settles the rest."""
    return sorted(groups.items(), key=lambda item: (-(item[1]["paid"] or 0.0), -item[1]["unscored"], item[0]))


def _percent(share: float | None) -> str:
    """One decimal; what is not nothing never looks so."""
    if share is None:
        return "-"
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"
