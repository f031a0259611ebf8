"""Judged pairs of two models' answers: win, tie and loss in both orders, and what the judge's verdicts rest on.

The judge (`medrl.construct.feedback_judge`) sees each pair in both orders and leaves a feedback record; every figure here is
of those records. Two verdicts that contradict each other are a tie, and their share is told. A judge that failed leaves no
record: the pair is left out and counted, and where more than `MAX_UNSCORED` of all pairs are, there is no win rate, only its
bounds with each missing pair lost and won. So no model gets out of being judged: an empty answer loses to one that is not
empty, and one that is longer than the judge is shown loses to one that is not, without asking anybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medrl.data.feedback import Comparison, FeedbackRecord
from medrl.evaluation.answers import Answers
from medrl.evaluation.figures import MAX_UNSCORED
from medrl.evaluation.win_rate import Match, interval, length_controlled, near, win_rate
from medrl.types import Problem
from medrl.verifiers.extract import sections

Ruled = Literal["first", "second", "tie"]
WORTH = {"first": 1.0, "tie": 0.5, "second": 0.0}


@dataclass(frozen=True)
class Pair:
    """Two models' visible answers to one problem; `ruled` where nobody need be asked."""

    problem: Problem
    first: str
    second: str
    ruled: Ruled | None = None


def pairs_of(
    problems: Sequence[tuple[str, Problem]], first: Answers, second: Answers, longest: int
) -> tuple[list[Pair], int]:
    """The first reply of each to every problem, and how many problems have none that could be had.

    Args:
        problems: What both answered.
        first: Answers of the one.
        second: Answers of the other.
        longest: Characters of a visible answer that the judge is shown at most.
    """
    given = [{one.key: one.replies for one in answers.items} for answers in (first, second)]
    found, without = [], 0
    for name, problem in problems:
        replies = [side[name, problem.id] for side in given]
        if any(not some or some[0].error for some in replies):
            without += 1
            continue
        a, b = (sections(some[0].text).answer.strip() for some in replies)
        found.append(Pair(problem, a, b, _ruled(a, b, longest)))
    return found, without


def _ruled(first: str, second: str, longest: int) -> Ruled | None:
    if first == second:
        return "tie"
    bad = [not text or len(text) > longest for text in (first, second)]
    if all(bad):
        return "tie"
    return ("second" if bad[0] else "first") if any(bad) else None


def judged_figures(
    pairs: Sequence[Pair], records: Sequence[FeedbackRecord], failed: Mapping[str, int], judge: str, seed: int = 0
) -> dict[str, Any]:
    """Win, tie and loss of the first model, over the pairs that were decided; no rates where too few were.

    Args:
        pairs: All pairs, those decided by rule included.
        records: What the judge said of the others; `responses[0]` is the first model's.
        failed: Pairs that were not judged, by kind: the judge failed, or there was no reply.
        judge: What it is called.
        seed: Of the bootstrap.
    """
    matches = [_match(one.first, one.second, WORTH[one.ruled]) for one in pairs if one.ruled is not None]
    by_rule = len(matches)
    turned = shown_first = showings = 0
    for record in records:
        judgement = record.judgement
        if not isinstance(judgement, Comparison):
            continue
        texts = [sections(one.text).answer.strip() for one in record.responses]
        matches.append(_match(texts[0], texts[1], WORTH[judgement.preferred]))
        orders = list(record.metadata.get("orders", ()))
        turned += orders in (["first", "first"], ["second", "second"])
        shown_first += orders.count("first")
        showings += len(orders) - orders.count("equal")
    asked = len(matches) - by_rule
    lost = sum(failed.values())
    due = len(matches) + lost
    won = sum(one.outcome for one in matches)
    believed = bool(matches) and lost <= MAX_UNSCORED * due
    row: dict[str, Any] = {
        "judge": judge,
        "n": len(matches),
        "win": sum(one.outcome == 1.0 for one in matches),
        "tie": sum(one.outcome == 0.5 for one in matches),
        "loss": sum(one.outcome == 0.0 for one in matches),
        "by_rule": by_rule,
        "failed": dict(failed),
        "missing": lost / due if due else 0.0,
        "bounds": [won / due, (won + lost) / due] if due else None,
        "disagreement": turned / asked if asked else None,
        "first_shown_won": shown_first / showings if showings else None,
        "near": len(near(matches)),
    }
    for name, statistic in (("win_rate", win_rate), ("length_controlled", length_controlled)):
        row[name] = statistic(matches) if believed else None
        ends = list(interval(statistic, matches, seed)) if believed and len(matches) > 1 else None
        row["interval" if name == "win_rate" else f"{name}_interval"] = ends
    return row


def _match(first: str, second: str, outcome: float) -> Match:
    longest = max(len(first), len(second))
    longer = len(first) - len(second)
    return Match(outcome, float(longer), longer / longest if longest else 0.0)
