"""Two models on the same problems: paired tests by set and reader, corrected for how many they are.

Only problems that both have a score for are compared, and how many are left out is told: a model must not gain by the
problems on which its judge failed. The unit is the problem (the mean of its replies). Where each has one reply, right or
wrong, the test is McNemar's; else a bootstrap of the differences. Holm's correction is over the sets, by the strict reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from medrl.errors import DataError
from medrl.evaluation.answers import Answers
from medrl.evaluation.scoring import READERS, Reader, ScoredAnswer, is_choice
from medrl.evaluation.statistics import holm, paired
from medrl.types import Problem


def same_problems(first: Answers, second: Answers) -> list[tuple[str, Problem]]:
    """The problems that both answered, in the first one's order.

    Raises:
        DataError: There is none, or one id has two questions or references.
    """
    other = {one.key: one.problem for one in second.items}
    shared = []
    for one in first.items:
        problem = other.get(one.key)
        if problem is None:
            continue
        if (problem.messages, problem.reference) != (one.problem.messages, one.problem.reference):
            raise DataError(
                f"{first.name} and {second.name} have different questions or references under the id {one.problem.id!r} of "
                f"the set {one.set!r}; they must have answered the same file"
            )
        shared.append((one.set, one.problem))
    if not shared:
        raise DataError(
            f"{first.name} (sets {', '.join(first.sets)}) and {second.name} (sets {', '.join(second.sets)}) have no problem "
            "in common, so they cannot be compared"
        )
    return shared


def compare(first: Sequence[ScoredAnswer], second: Sequence[ScoredAnswer]) -> dict[str, Any]:
    """Paired figures of every set, by each reader; differences are second - first.

    A set without two problems that both have scores for has no figures.
    """
    found: dict[str, Any] = {}
    ps: dict[str, float] = {}
    after = {one.answered.key: one for one in second}
    for name in dict.fromkeys(one.answered.set for one in first):
        pairs = [
            (one, after[one.answered.key]) for one in first if one.answered.set == name and one.answered.key in after
        ]
        row = {reader: figures for reader in READERS if (figures := _paired(name, pairs, reader)) is not None}
        found[name] = {"problems": len(pairs), **row}
        if "strict" in row:
            ps[name] = row["strict"]["p"]
    for name, p in holm(ps).items():
        found[name]["strict"]["p_holm"] = p
    return found


def _paired(name: str, pairs: Sequence[tuple[ScoredAnswer, ScoredAnswer]], reader: Reader) -> dict[str, Any] | None:
    some = [pair for pair in pairs if reader == "strict" or is_choice(pair[0].problem)]
    means = [(one.mean(reader), other.mean(reader)) for one, other in some]
    both = [(a, b) for a, b in means if a is not None and b is not None]
    if len(both) < 2:
        return None
    figures = paired([a for a, _ in both], [b for _, b in both], name, reader)
    return {**asdict(figures), "p": figures.p, "left_out": len(some) - len(both)}


def verdict(row: Mapping[str, Any], names: tuple[str, str], level: float = 0.05) -> str:
    """One sentence on one set."""
    if "strict" not in row:
        return "nothing that both have a score for"
    found = row["strict"]
    if found["p_holm"] >= level:
        return f"no difference is shown (p {found['p_holm']:.3f} after Holm)"
    better = names[1] if found["difference"] > 0 else names[0]
    return f"{better} is better (p {found['p_holm']:.2g} after Holm)"
