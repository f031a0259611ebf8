"""How a verifier card looks: a compact table for the console, and a page in Markdown as model hubs show it."""

import json
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from medrl.commands.verifier_card import Card
from medrl.commands.verifier_figures import Outcome

CONSOLE_CATEGORIES = 12
LISTED = 20
REASON = 160
INTERVALS = ("accuracy_decided", "false_accept", "false_reject")
COLUMNS = ("n", "decided", "accuracy_decided", "false_accept", "false_reject", "kappa", "failed")


def show(console: Console, card: Card) -> None:
    """Print the figures, then what they are by language and by category, the worst category first."""
    report = card.report
    console.print(f"{report['verifier']} {report['version']}, fingerprint {report['fingerprint']}", style="bold")
    if "n" in report:
        console.print(_cases_line(report))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", overflow="ellipsis", no_wrap=True, max_width=24)
        for name in COLUMNS:
            table.add_column(name.replace("_", " "), justify="right")
        categories = worst_first(report["by_category"])
        groups = [("all", report), *report["by_language"].items(), *categories[:CONSOLE_CATEGORIES]]
        for number, (name, row) in enumerate(groups):
            last = number in (0, len(report["by_language"]))
            table.add_row(name, *_cells(row), end_section=last)
        console.print(table)
        hidden = len(categories) - CONSOLE_CATEGORIES
        if hidden > 0:
            console.print(f"and {hidden} more categories, none of them worse; --markdown and --json have them all")
        for name in INTERVALS:
            console.print(f"{name.replace('_', ' ')}: {_with_interval(report, name)}")
    if "pairs" in report:
        console.print(_pairs_line(report))
    console.print(_speed_line(report))
    console.print(_attack_line(report))
    if warning := report.get("attacks", {}).get("warning"):
        console.print(f"WARNING: {warning}", style="bold red")
    if report["cost"]:
        console.print(f"cost: {', '.join(f'{amount:g} {name}' for name, amount in report['cost'].items())}")


def markdown(card: Card) -> str:
    """The card as a page: what it is, what it was measured on, the figures, how it fails, and the limits of all that."""
    report = card.report
    languages = list(report.get("by_language") or sorted({one.problem.language for one in card.pairs}))
    page = ["---", "library_name: medrl", "language:", *(f"- {json.dumps(name)}" for name in languages)]
    page += ["tags:", "- verifier", "- medical", "---", "", f"# Verifier card: {_cell(report['verifier'])}", ""]
    page += [
        "What the reward of this verifier lets through, measured on labelled answers. Each answer was judged alone and",
        "without its label; a score of 0.5 or more accepts it, if it is not for a part of the reference (`parts.whole` 0).",
        "",
        "## What it is",
        "",
        *_table(
            ["", ""],
            [
                ["verifier", f"{report['verifier']} {report['version']}"],
                ["fingerprint", report["fingerprint"]],
                ["medrl", report["medrl_version"]],
                ["measured", report["date"]],
            ],
        ),
        "",
        "```json",
        json.dumps(report["knobs"], ensure_ascii=False, indent=1, default=str),
        "```",
        "",
        "## Measured on",
        "",
    ]
    if "n" in report:
        page += [f"- `{report['file']}` (SHA-256 `{report['sha256']}`): {_cases_line(report)}"]
    if "pairs" in report:
        page += [f"- `{report['pairs_file']}` (SHA-256 `{report['pairs_sha256']}`): {_pairs_counts(report)}"]
    page += ["", "## Figures", ""]
    page += _table(["figure", "value"], _figure_rows(report))
    for title, name in (("By language", "by_language"), ("By category, the worst first", "by_category")):
        if name in report:
            groups = worst_first(report[name]) if name == "by_category" else report[name].items()
            header = [name.removeprefix("by_"), *(column.replace("_", " ") for column in COLUMNS)]
            page += ["", f"## {title}", "", *_table(header, [[group, *_cells(row)] for group, row in groups])]
    page += ["", "## How it fails", "", *_failures(card), "", "## Attacks", "", *_attacks(report), "", "## Limits", ""]
    page += [
        "The labels are those of the files above: ask who made them and whether a clinician checked them. Intervals are",
        "of Wilson (1927) and hold for answers like the measured ones; a policy in training looks for others. Times are",
        "wall-clock and depend on the machine and what else ran there. A verifier measures agreement with a reference,",
        "not safety: nothing here is for clinical use.",
    ]
    return "\n".join(page) + "\n"


def worst_first(groups: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Most false accepts first, then most false rejects, then least accuracy; the alphabet settles the rest."""

    def badness(item: tuple[str, dict[str, Any]]) -> tuple[float, float, float, str]:
        name, row = item
        return -(row["false_accept"] or 0.0), -(row["false_reject"] or 0.0), row["accuracy"], name

    return sorted(groups.items(), key=badness)


def _failures(card: Card) -> list[str]:
    """A table of what went wrong: false accepts, then false rejects, then verdicts that failed."""
    both = [*card.cases, *card.pairs]
    kinds: list[tuple[str, list[Outcome]]] = [
        ("false accept", [one for one in both if one.accepted and not one.expected]),
        ("false reject", [one for one in both if one.rejected and one.expected]),
        ("failed", [one for one in both if one.verdict.status in ("error", "timeout", "invalid")]),
    ]
    wrong = [(kind, one) for kind, found in kinds for one in found]
    counts = ", ".join(f"{len(found)} {kind}{'s' * (kind != 'failed' and len(found) != 1)}" for kind, found in kinds)
    if not wrong:
        return [f"{counts}: on these files it decided nothing against a label."]
    rows = [
        [kind, one.problem.id, one.verdict.stage, _clip(one.verdict.reason or one.verdict.status)]
        for kind, one in wrong[:LISTED]
    ]
    shown = f" The first {LISTED} of {len(wrong)}:" if len(wrong) > LISTED else ""
    return [f"{counts}.{shown}", "", *_table(["what", "row", "stage", "reason"], rows)]


def _attack_line(report: dict[str, Any]) -> str:
    found = report.get("attacks")
    if found is None:
        return "attack success: not measured"
    return (
        f"attack success: {_percent(report['attack_success'])} ({found['n_paid']} of {found['n'] - found['unscored']} texts "
        f"that ask for pay; right answers paid: {_percent(found['honest_right'])})"
    )


def _attacks(report: dict[str, Any]) -> list[str]:
    """What texts that only ask for pay were paid, the attack that succeeds most first."""
    line = _attack_line(report)
    if "attacks" not in report:
        return [f"{line[0].upper()}{line[1:]}. `medrl attack` tries to get paid for nothing."]
    found = report["attacks"]
    ranked = sorted(found["by_attack"].items(), key=lambda one: (-(one[1]["paid"] or 0.0), -one[1]["unscored"], one[0]))
    rows = [[name, str(one["n"]), _percent(one["paid"]), str(one["unscored"])] for name, one in ranked]
    warning = [f"**{found['warning']}**", ""] if found["warning"] else []
    about = f"On {found['problems']} problems of the simulated clinic, in the layouts {', '.join(found['layouts'])}."
    return [
        f"{line[0].upper()}{line[1:]}. {about}",
        "",
        *warning,
        *_table(["attack", "texts", "paid", "no score"], rows),
    ]


def _figure_rows(report: dict[str, Any]) -> list[list[str]]:
    rows = []
    if "n" in report:
        rows += [["decided", _percent(report["decided"])], ["accuracy", _percent(report["accuracy"])]]
        rows += [[name.replace("_", " "), _with_interval(report, name)] for name in INTERVALS]
        rows += [["Cohen's kappa of decided rows", _plain(report["kappa"])]]
        rows += [[name, str(report[name])] for name in ("abstentions", "errors", "timeouts", "invalid")]
    if "pairs" in report:
        found, right, same = report["pairs_found_same"], report["pairs_found_same_right"], report["pairs_same"]
        rows += [['precision of "the same"', f"{_percent(report['precision'])} ({right} of {found})"]]
        rows += [['recall of "the same"', f"{_percent(report['recall'])} ({right} of {same})"]]
        rows += [[f"pairs: {name}", str(report[f"pairs_{name}"])] for name in ("decided", "errors", "timeouts")]
    rows += [["answers per second, one at a time", f"{report['answers_per_second']:,.4g}"]]
    rows += [["99 % of answers within", f"{report['p99_ms']:.3g} ms"], ["slowest", f"{report['slowest_ms']:.3g} ms"]]
    return rows + [[f"cost: {name}", f"{amount:g}"] for name, amount in report["cost"].items()]


def _cells(row: dict[str, Any]) -> list[str]:
    failed = row["errors"] + row["timeouts"] + row["invalid"]
    shares = [_percent(row[name]) for name in ("decided", *INTERVALS)]
    return [str(row["n"]), *shares, _plain(row["kappa"]), str(failed)]


def _cases_line(report: dict[str, Any]) -> str:
    others = ("abstentions", "errors", "timeouts", "invalid")
    counts = "".join(f", {report[name]} {name}" for name in others if report[name])
    asked = f"{report['n_should_accept']} to accept, {report['n_should_reject']} to reject"
    return f"{report['n']} answers ({asked}): {report['n_decided']} decided{counts}"


def _pairs_counts(report: dict[str, Any]) -> str:
    left_out = f"; {report['pairs_left_out']} lines without two terms left out" * (report["pairs_left_out"] > 0)
    return f"{report['pairs']} pairs, {report['pairs_same']} the same; {report['pairs_decided']} decided{left_out}"


def _pairs_line(report: dict[str, Any]) -> str:
    found, right, same = report["pairs_found_same"], report["pairs_found_same_right"], report["pairs_same"]
    return (
        f'{_pairs_counts(report)}\n"the same": precision {_percent(report["precision"])} ({right} of {found}), '
        f"recall {_percent(report['recall'])} ({right} of {same})"
    )


def _speed_line(report: dict[str, Any]) -> str:
    rate, p99, slowest = report["answers_per_second"], report["p99_ms"], report["slowest_ms"]
    return f"{rate:,.4g} answers/s one at a time on this machine; p99 {p99:.3g} ms, slowest {slowest:.3g} ms"


def _with_interval(report: dict[str, Any], name: str) -> str:
    interval = report[f"{name}_interval"]
    between = f" (95 % interval {_percent(interval[0])} to {_percent(interval[1])})" if interval else ""
    return _percent(report[name]) + between


def _percent(share: float | None) -> str:
    """One decimal; what is not all or nothing never looks so."""
    if share is None:
        return "-"
    text = f"{share:.1%}"
    if 0 < share < 1 and text in ("0.0%", "100.0%"):
        return "<0.1%" if share < 0.5 else ">99.9%"
    return text


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(text: str) -> str:
    """One line that can break neither the table nor the page: reasons quote what a model wrote."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#!$" else sign for sign in line)


def _clip(text: str) -> str:
    return text if len(text) <= REASON else text[: REASON - 1] + "…"
