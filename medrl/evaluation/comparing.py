"""Two models on the same problems: paired tests by set and reader, corrected for how many they are.

Only problems that both have a score for are compared, and how many are left out is told. A model must not gain by the
problems on which its judge failed: where more than `MAX_UNSCORED` of the problems, or of one side's replies, have no score,
there is no difference, no test and no verdict, only the bounds of the difference, whatever the missing scores are.

The unit is the problem (the mean of its replies). Where each has one reply, right or wrong, the test is McNemar's; else a
bootstrap of the differences. Holm's correction is over the sets, by the strict reader, or by the figure that a rubric's set
stands by (`rubric_comparing.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from medrl.errors import DataError
from medrl.evaluation.answers import Answers
from medrl.evaluation.figures import MAX_UNSCORED, accuracy
from medrl.evaluation.scoring import READERS, Reader, ScoredAnswer, is_choice
from medrl.evaluation.statistics import Paired, holm, paired
from medrl.types import Problem


def same_problems(first: Answers, second: Answers) -> list[tuple[str, Problem]]:
    """The problems that both answered, in the first one's order.

    Raises:
        DataError: There is none, or one id has two questions, references or rubrics.
    """
    other = {one.key: one.problem for one in second.items}
    shared = []
    for one in first.items:
        problem = other.get(one.key)
        if problem is None:
            continue
        if _asked(problem) != _asked(one.problem):
            raise DataError(
                f"{first.name} and {second.name} have different questions, references or rubrics under the id "
                f"{one.problem.id!r} of the set {one.set!r}; they must have answered the same file"
            )
        shared.append((one.set, one.problem))
    if not shared:
        raise DataError(
            f"{first.name} (sets {', '.join(first.sets)}) and {second.name} (sets {', '.join(second.sets)}) have no problem "
            "in common, so they cannot be compared"
        )
    return shared


def _asked(problem: Problem) -> tuple[Any, ...]:
    """What makes answers to it comparable."""
    return problem.messages, problem.reference, problem.metadata.get("rubrics")


MAIN = ("strict", "points", "comprehensiveness")  # what a set's verdict is by: the first of these that it has


def main_of(row: Mapping[str, Any]) -> str | None:
    """Which figure of a set its verdict is by; None where it is too small for any."""
    return next((name for name in MAIN if name in row), None)


def compare(
    first: Sequence[ScoredAnswer], second: Sequence[ScoredAnswer], graded: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Paired figures of every set, by each reader; differences are second - first.

    Args:
        first: Scored answers of one model.
        second: Of the other.
        graded: Paired figures of sets with rubrics (`rubric_comparing.compare_graded`), which join the others.

    A set of fewer than two problems has no figures. One of which too much has no score has `missing`, `left_out`, `bounds` of
    the difference, and None for all else.
    """
    found: dict[str, Any] = {}
    after = {one.answered.key: one for one in second}
    for name in dict.fromkeys(one.answered.set for one in first):
        pairs = [
            (one, after[one.answered.key]) for one in first if one.answered.set == name and one.answered.key in after
        ]
        row = {reader: figures for reader in READERS if (figures := _paired(name, pairs, reader)) is not None}
        found[name] = {"problems": len(pairs), **row}
    for name, by_rubric in (graded or {}).items():
        problems = found.get(name, {}).get("problems", 0) + by_rubric["problems"]
        found[name] = {**by_rubric, **found.get(name, {}), "problems": problems}
    mains = {name: row[main] for name, row in found.items() if (main := main_of(row)) is not None}
    for name, p in holm({name: one["p"] for name, one in mains.items() if one["p"] is not None}).items():
        mains[name]["p_holm"] = p
    return found


def _paired(name: str, pairs: Sequence[tuple[ScoredAnswer, ScoredAnswer]], reader: Reader) -> dict[str, Any] | None:
    some = [pair for pair in pairs if reader == "strict" or is_choice(pair[0].problem)]
    if len(some) < 2:
        return None
    means = [(one.mean(reader), other.mean(reader)) for one, other in some]
    ends = [accuracy(name, side, reader) for side in zip(*some, strict=True)]
    return paired_row(means, (ends[0], ends[1]), name, reader)


def paired_row(
    means: Sequence[tuple[float | None, float | None]],
    sides: tuple[Mapping[str, Any], Mapping[str, Any]],
    *purpose: str,
) -> dict[str, Any]:
    """Two models by one figure: `Paired` with `p`, and what is left out; None for all of it where too much has no score.

    Args:
        means: Of each problem what the two are worth, or None.
        sides: `missing` and `bounds` of the figure, of either model.
        purpose: What the draws of the interval are for.
    """
    both = [(a, b) for a, b in means if a is not None and b is not None]
    left_out = len(means) - len(both)
    missing = max(left_out / len(means), *(end["missing"] for end in sides))
    (low, high), (least, most) = (end["bounds"] for end in sides)
    told = {"left_out": left_out, "missing": missing, "bounds": [least - high, most - low]}
    if missing > MAX_UNSCORED or len(both) < 2:
        return {**dict.fromkeys(one.name for one in fields(Paired)), "n": len(both), "p": None, **told}
    figures = paired([a for a, _ in both], [b for _, b in both], *purpose)
    return {**asdict(figures), "p": figures.p, **told}


def verdict(row: Mapping[str, Any], names: tuple[str, str], level: float = 0.05) -> str:
    """One sentence on one set."""
    main = main_of(row)
    if main is None:
        return "too few problems to compare"
    found = row[main]
    if found["p"] is None:
        low, high = found["bounds"]
        return (
            f"no verdict, since {100 * found['missing']:.0f} % have no score; {names[1]} - {names[0]} is between "
            f"{100 * low:+.1f} and {100 * high:+.1f} points"
        )
    if found["p_holm"] >= level:
        return f"no difference is shown (p {found['p_holm']:.3f} after Holm)"
    better = names[1] if found["difference"] > 0 else names[0]
    return f"{better} is better (p {found['p_holm']:.2g} after Holm)"


def lacking(found: Mapping[str, Any]) -> list[str]:
    """One sentence for each side that has no answer to some of the other's problems, which are then not compared."""
    names = {side: found[side]["name"] for side in ("A", "B")}
    return [
        f"{names[side]} has no answer to {count} of the {found[other]['problems']} problems of {names[other]}; "
        "they are not compared"
        for side, other in (("A", "B"), ("B", "A"))
        if (count := found["lacking"][side])
    ]  # fmt: skip


def judged_verdict(found: Mapping[str, Any], name: str) -> str:
    """One sentence on what `judged_figures` found of the model called `name`."""
    if found["win_rate"] is None and found["bounds"]:
        low, high = found["bounds"]
        return (
            f"no verdict, since {100 * found['missing']:.0f} % of the pairs were not judged; the win rate of {name} is "
            f"between {100 * low:.1f} and {100 * high:.1f} %"
        )
    return f"{found['win']} won, {found['tie']} ties, {found['loss']} lost by {name}"


def without_verdict(found: Mapping[str, Any]) -> list[str]:
    """The sets, and the judge, of which too much has no score for a verdict; of what `compare_models` returned.

    A set whose problems are checked in part, and graded by rubrics in part, has a figure of either.
    """
    lost = [
        name if kind == main_of(row) else f"{name} by {kind}"
        for name, row in found["sets"].items() for kind in MAIN if kind in row and row[kind]["p"] is None
    ]  # fmt: skip
    judged = found.get("judged")
    return lost + ([str(judged["judge"])] if judged and judged["win_rate"] is None else [])
