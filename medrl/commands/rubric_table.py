"""What `medrl eval` prints of answers that a judge graded by rubrics."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medrl.evaluation.rubric_figures import COUNTED, FIGURES, main_figure

if TYPE_CHECKING:
    from rich.table import Table

HOW = "--grader '{type: openai, model: NAME, base_url: URL}'"


def rubric_tables(found: Mapping[str, Any]) -> "list[Table]":
    """One table for sets graded by points (HealthBench), one for sets of statements (K-QA); those that there are."""
    graded = [(row["set"], row["rubric"]) for row in found["sets"] if row.get("rubric")]
    kinds = (
        ("graded by rubric, percent of points", "score"),
        ("statements of K-QA, percent of them", "comprehensiveness"),
    )
    return [
        _table(title, [name for name in FIGURES if name in some[0][1]], some)
        for title, main in kinds
        if (some := [(name, one) for name, one in graded if main in one])
    ]


def _table(title: str, names: Sequence[str], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    table.add_column("set")
    for head in ("problems", *(FIGURES[name][0] for name in names), "not sent", "no score"):
        table.add_column(head, justify="right")
    for name, one in rows:
        without = ", ".join(f"{count} {cause}" for cause, count in one["unscored"].items())
        unsent = ", ".join(f"{count} {why}" for why, count in one["unsent"].items())
        cells = [shown(one[figure], per_answer=figure == COUNTED) for figure in names]
        table.add_row(name, str(one["problems"]), *cells, unsent or "0", without or "0")
    return table


def shown(found: Mapping[str, Any], *, per_answer: bool = False) -> str:
    """A figure with its interval, in percent, or as a number an answer; "-" where there is none."""
    if found["value"] is None:
        return "-"
    factor, digits = (1, 2) if per_answer else (100, 1)
    ends = found["interval"]
    small = f" ({factor * ends[0]:.{digits}f}-{factor * ends[1]:.{digits}f})" if ends else ""
    return f"{factor * found['value']:.{digits}f}{small}"


def ungraded(found: Mapping[str, Any]) -> list[str]:
    """One sentence for each graded set that has no figure because too much of it has no score."""
    lost = []
    for row in found["sets"]:
        one = row.get("rubric")
        if one and main_figure(one)["value"] is None:
            main = main_figure(one)
            said = "; ".join(
                f"{count} {cause}, the first: {one['reasons'][cause]:.200}" for cause, count in one["unscored"].items()
            )
            lost.append(
                f"no figure of {row['set']}, {100 * main['missing']:.3g} % of its replies have no score ({said})"
            )
    return lost


def waiting(found: Mapping[str, Any]) -> list[str]:
    """One sentence for each set with rubrics that nobody graded, and how it is graded."""
    if found["judge"] is not None:
        return []
    return [
        f"{row['set']}: {row['ungraded']} problems have a rubric and are only counted; to have them graded name a judge: "
        f"{HOW}"
        for row in found["sets"]
        if row.get("ungraded")
    ]


def uncompared(found: Mapping[str, Any]) -> list[str]:
    """The same of what `compare_models` returned."""
    return [
        f"{name}: {count} problems have a rubric and are not compared, since nobody graded the answers; name a judge: {HOW}"
        for name, count in found["ungraded"].items()
    ]
