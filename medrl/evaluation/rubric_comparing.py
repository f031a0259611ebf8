"""Two models on the same problems with rubrics: the paired figures that `comparing.compare` takes in.

By `points`, the unclipped share of a rubric's points (clipping hides who is worse among the bad); for K-QA by
`comprehensiveness` and `contradictions`, the statements that an answer contradicts, of which fewer are better. One judge
grades both models, so what it likes beside the criteria is in both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.evaluation.comparing import paired_row
from medrl.evaluation.rubric_figures import of_statements
from medrl.evaluation.rubric_measures import POINTS, STATED, Measure
from medrl.evaluation.rubric_scoring import GradedAnswer

BY_POINTS: Mapping[str, Measure] = {"points": POINTS[0]}
BY_STATEMENTS: Mapping[str, Measure] = {"comprehensiveness": STATED[0], "contradictions": STATED[2]}


def compare_graded(first: Sequence[GradedAnswer], second: Sequence[GradedAnswer]) -> dict[str, dict[str, Any]]:
    """Paired figures of every set with rubrics, over the problems that both answered; differences are second - first."""
    after = {one.answered.key: one for one in second}
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(one.answered.set for one in first):
        pairs = [
            (one, after[one.answered.key]) for one in first if one.answered.set == name and one.answered.key in after
        ]
        measures = BY_STATEMENTS if of_statements(one for one, _ in pairs) else BY_POINTS
        rows = {kind: row for kind, one in measures.items() if (row := _paired(name, pairs, one)) is not None}
        found[name] = {"problems": len(pairs), **rows}
    return found


def _paired(name: str, pairs: Sequence[tuple[GradedAnswer, GradedAnswer]], measure: Measure) -> dict[str, Any] | None:
    some = [pair for pair in pairs if measure.applies(pair[0])]
    if len(some) < 2:
        return None
    means = [(measure.mean(one), measure.mean(other)) for one, other in some]
    sides = (measure.figure(name, [one for one, _ in some]), measure.figure(name, [other for _, other in some]))
    return paired_row(means, sides, name, measure.name)
