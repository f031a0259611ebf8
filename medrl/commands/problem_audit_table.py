"""What `medrl audit-problems` prints: a table by kind of flaw, and examples with the words that show it."""

from rich import box
from rich.console import Console
from rich.table import Table

from medrl.commands.problem_audit import Audit
from medrl.construct.problem_flaws import KINDS

EXAMPLES = 3


def show(console: Console, found: Audit, examples: int = EXAMPLES) -> None:
    """Print the counts of every kind, and `examples` of each that was found."""
    report = found.report
    against = f", against {report['against_problems']} evaluation problems" if report["against"] else ""
    console.print(f"{report['file']}: {report['n']} problems{against}", style="bold")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("flaw", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("what it means")
    for kind, about in KINDS.items():
        counted = report["by_flaw"][kind]
        if counted["n"]:
            table.add_row(kind, str(counted["n"]), f"{counted['share']:.1%}", about)
    if table.row_count:
        console.print(table)
    console.print(
        f"{report['flawed']} of {report['n']} have a flaw ({report['share_flawed']:.1%}), {report['clean']} none"
    )
    for kind in KINDS:
        rows = [(one, flaw) for one in found.rows for flaw in one.flaws if flaw.kind == kind]
        if rows[:examples]:
            console.print(kind, style="bold")
        for one, flaw in rows[:examples]:
            beside = f" (as {flaw.other})" if flaw.other else ""
            console.print(f"  {one.id}{beside}: {flaw.words}")
