"""How far feedback can be believed: bias of position and of length, ties, and agreement between two judges."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from medrl.data.agreement import cohen_kappa
from medrl.data.feedback import Comparison, FeedbackRecord

NEAR = 0.1  # lengths that differ by less than this share of the longer are taken for equal


def report(records: Sequence[FeedbackRecord]) -> dict[str, Any]:
    """Figures of one judge's records.

    `flipped`: share of comparisons whose verdict changed with the order (both orders were asked). `first_won`: share of
    all verdicts for one side that went to the one shown first; one half without bias. `longer_won`: share of decided pairs of
    clearly different lengths (over 10 %) that went to the longer; what is right here only labels can tell, so compare it
    with that of people. `ties`: share of all pairs.
    """
    asked = [record.metadata["orders"] for record in records if "orders" in record.metadata]
    sided = [verdict for orders in asked for verdict in orders if verdict != "equal"]
    pairs = [pair for record in records for pair in preferences(record)]
    uneven = [(longer, sign) for longer, sign in pairs if longer and sign]
    return {
        "records": len(records),
        "pairs": len(pairs),
        "ties": _share([sign == 0 for _, sign in pairs]),
        "flipped": _share([{one, two} == {"first"} or {one, two} == {"second"} for one, two in asked]),
        "first_won": _share([verdict == "first" for verdict in sided]),
        "longer_won": _share([longer == sign for longer, sign in uneven]),
        "longer_won_of": len(uneven),
    }


def preferences(record: FeedbackRecord) -> list[tuple[int, int]]:
    """For each pair of a record's responses: which is clearly longer and which is better, +1 the first, -1 the second, 0."""
    judgement, texts = record.judgement, [one.text for one in record.responses]
    if isinstance(judgement, Comparison):
        sign = {"first": 1, "second": -1, "tie": 0}[judgement.preferred]
        return [(_longer(texts[judgement.first], texts[judgement.second]), sign)]
    totals = [judgement.total(i) for i in range(len(texts))]
    return [
        (_longer(texts[i], texts[j]), (totals[i] > totals[j]) - (totals[i] < totals[j]))
        for i, j in combinations(range(len(texts)), 2)
    ]


def _longer(one: str, two: str) -> int:
    if abs(len(one) - len(two)) <= NEAR * max(len(one), len(two)):
        return 0
    return 1 if len(one) > len(two) else -1


def agreement(one: Sequence[FeedbackRecord], two: Sequence[FeedbackRecord]) -> dict[str, Any]:
    """How two judges agree on the pairs that both judged; a tie is an answer of its own.

    `kappa` is Cohen's (1960), None where chance alone agrees. `opposed` is the share on which they prefer opposite sides.
    """
    others = {record.metadata.get("task"): record for record in two}
    both = [
        (mine, theirs)
        for record in one
        if (other := others.get(record.metadata.get("task"))) is not None
        for (_, mine), (_, theirs) in zip(preferences(record), preferences(other), strict=True)
    ]
    n = len(both)
    if not n:
        return {"pairs": 0, "agreement": None, "kappa": None, "opposed": None}
    return {
        "pairs": n,
        "agreement": sum(a == b for a, b in both) / n,
        "kappa": cohen_kappa(both),
        "opposed": sum(a * b < 0 for a, b in both) / n,
    }


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None
