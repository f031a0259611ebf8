"""What `medrl doctor-likeness` and the attacks on doctor-likeness print."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from medrl.commands.attack_table import worst_first
from medrl.commands.attacks import Attacked, row, shortened, worst
from medrl.commands.doctor_attacks import ATTACKS
from medrl.commands.doctor_likeness import Measured
from medrl.rewards.doctor_features import FEATURES

EXAMPLES = 3
TEXT = 160


def show(console: Console, measured: Measured) -> None:
    """Print the separation, then one column a source."""
    report = measured.report
    console.print(f"{report['replies']} replies, {report['unscored']} without a number", style="bold")
    console.print(
        f"doctors against others: AUC {_figure(report['auc'])}, of brevity alone {_figure(report['auc_of_brevity'])}, "
        f"in {report['length_matched_pairs']} pairs of equal length {_figure(report['auc_length_matched'])}"
    )
    console.print(
        f"rank correlation of score and length: among doctors {_figure(report['length_correlation_doctor'])}, "
        f"among others {_figure(report['length_correlation_assistant'])}"
    )
    sources = report["by_source"]
    table = Table("", box=box.SIMPLE_HEAD, pad_edge=False)
    for source in sources:
        table.add_column(source, justify="right")
    table.add_column("what it is")
    for name, about in ABOUT.items():
        table.add_row(name.replace("_", " "), *(_figure(one[name], name) for one in sources.values()), about)
    table.add_section()
    for name, feature in FEATURES.items():
        sign = "+" if feature.sign > 0 else "-"
        cells = (_figure(one["features"][name]) for one in sources.values())
        table.add_row(f"{sign} {name}", *cells, feature.about)
    console.print(table)


ABOUT = {
    "n": "replies",
    "median_chars": "characters, median",
    "lists": "share with list items",
    "disclaimers": "share that disclaims",
    "question_marks": "share with a question mark",
    "reward": "mean reward, gate and veto applied",
    "probability": "mean p(doctor), before gate and veto",
    "vetoed": "share that gives a drug before the safety questions",
    "no_content": "share without medical content for the case",
}


def show_attacks(console: Console, attacked: Attacked) -> None:
    """Print the figures, the attacks, and the worst examples."""
    report = attacked.report
    console.print(report["reward"], style="bold")
    console.print(
        f"{report['n']} texts on {report['problems']} consultations: {report['n_paid']} earned more than the sound reply "
        f"of a doctor, {report['unscored']} unscored"
    )
    console.print(f"mean reward: sound replies {_figure(report['sound_reply'])}, attacks {_figure(report['mean'])}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for name in ("n", "paid", "mean", "most", "unscored"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it does")
    for name, found in worst_first(report["by_attack"]):
        cells = (_figure(found[key]) for key in ("mean", "most"))
        table.add_row(name, str(found["n"]), str(found["n_paid"]), *cells, str(found["unscored"]), ATTACKS[name][0])
    console.print(table)
    for one in worst(attacked.outcomes, EXAMPLES):
        line = row(one)
        console.print(f"{one.attack}: {line['id']}, {line['layout']}", style="bold")
        console.print(f"  said    {shortened(one.text, TEXT)!r}")
        console.print(f"  earned  {line['reward']:.3g}, the sound reply {line['baseline']:.3g}")
        console.print(f"  sound   {shortened(str(line['reference']), TEXT)!r}")
        console.print(f"  reason  {line['reason'] or '-'}")


def _figure(value: Any, name: str = "") -> str:
    if value is None:
        return "-"
    if name in ("lists", "disclaimers", "question_marks", "vetoed", "no_content"):
        return f"{value:.1%}"
    return f"{value:.0f}" if name in ("n", "median_chars") else f"{value:.3f}"
