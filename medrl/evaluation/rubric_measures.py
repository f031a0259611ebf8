"""What is measured of graded answers, reply by reply: shares of points, and statements that an answer states or contradicts.

What has no number is left out and counted; where it is more than `MAX_UNSCORED` of the replies there is no figure, only its
bounds, with each missing number as the least and as the most that the rubric allows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.data.rubrics import Statement, statements
from medrl.evaluation.figures import MAX_UNSCORED, interval
from medrl.evaluation.rubric_scoring import EMPTY, GradedAnswer, GradedReply
from medrl.evaluation.statistics import bootstrap, mean


@dataclass(frozen=True)
class Measure:
    """One figure of graded answers: a mean over problems of the mean over a problem's replies.

    Attributes:
        name: What it is called; draws of its interval are seeded by it.
        value: What a reply with a number is worth.
        ends: The least and the most that a reply to a problem can be worth.
        applies: Which problems it is a mean of; those with a broken rubric are among them, without a number.
        binary: Whether a reply has it or not. Where each problem has one reply the interval is then Wilson's; else, and for
            all shares and counts, whatever values happen to be 0 or 1, a bootstrap over problems.
    """

    name: str
    value: Callable[[GradedAnswer, GradedReply], float]
    ends: Callable[[GradedAnswer], tuple[float, float]] = lambda one: (0.0, 1.0)
    applies: Callable[[GradedAnswer], bool] = lambda one: True
    binary: bool = False

    def values(self, one: GradedAnswer) -> list[float | None]:
        """Of each reply; None where there is no number."""
        known = one.rubric is not None
        return [self.value(one, reply) if known and reply.raw is not None else None for reply in one.scores]

    def mean(self, one: GradedAnswer) -> float | None:
        """Over the replies that have a number; None where none has."""
        return mean([value for value in self.values(one) if value is not None])

    def figure(self, name: str, graded: Sequence[GradedAnswer]) -> dict[str, Any]:
        """`value` with its `interval`, over `n` problems; `missing`, the share of replies without a number, and `bounds`."""
        due = [one for one in graded if self.applies(one)]
        rows, limits = [self.values(one) for one in due], [self.ends(one) for one in due]
        means = [value for one in due if (value := self.mean(one)) is not None]
        missing = sum(each is None for row in rows for each in row) / max(1, sum(map(len, rows)))
        filled = [mean([_filled(row, ends[side]) for row, ends in zip(rows, limits, strict=True)]) for side in (0, 1)]
        known = bool(means) and missing <= MAX_UNSCORED
        one_reply = self.binary and all(len(row) == 1 for row in rows)
        drawn = interval(means, name, self.name) if one_reply else bootstrap(means, name, self.name)
        return {
            "value": mean(means) if known else None,
            "interval": list(drawn) if known and drawn else None,
            "n": len(means),
            "missing": missing,
            "bounds": [end for end in filled if end is not None] or None,
        }


def _filled(row: Sequence[float | None], missing: float) -> float:
    """The mean of a problem's replies with every missing number as `missing`."""
    return sum(missing if value is None else value for value in row) / len(row)


def _points(one: GradedAnswer) -> tuple[float, float]:
    return (one.rubric.worst / one.rubric.best if one.rubric is not None else 0.0), 1.0


def _of(one: GradedAnswer) -> tuple[Statement, ...]:
    return statements(one.rubric) if one.rubric is not None else ()


def _covered(name: str, *, must: bool) -> Measure:
    """The share of a problem's statements of a level that an answer states."""

    def share(one: GradedAnswer, reply: GradedReply) -> float:
        due = [each for each in _of(one) if each.must == must]
        return sum(reply.met[each.states] for each in due) / len(due)

    def applies(one: GradedAnswer) -> bool:
        return one.rubric is None or any(each.must == must for each in _of(one))

    return Measure(name, share, applies=applies)


def _contradicted(one: GradedAnswer, reply: GradedReply) -> float:
    """How many statements; whoever says nothing contradicts none."""
    return 0.0 if reply.unsent == EMPTY else float(sum(reply.met[each.denies] for each in _of(one)))


POINTS = (
    Measure("raw", lambda _, reply: reply.raw or 0.0, _points),
    Measure("clipped", lambda _, reply: reply.clipped or 0.0),
    Measure("length_adjusted", lambda _, reply: reply.length_adjusted or 0.0, lambda one: (_points(one)[0] - 1.0, 1.0)),
)
STATED = (
    _covered("comprehensiveness", must=True),
    _covered("nice_to_have", must=False),
    Measure("hallucination", _contradicted, lambda one: (0.0, float(len(_of(one))))),
    Measure("contradicting", lambda one, reply: float(_contradicted(one, reply) > 0), binary=True),
)
