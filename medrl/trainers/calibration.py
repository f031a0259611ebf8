"""Calibration of a classifier: one temperature, a reliability table, and a threshold that keeps a bound.

Temperature scaling is of Guo et al. 2017 (arXiv 1706.04599): one number T divides the logits, chosen for the least
negative log-likelihood on answers that training never saw. It changes no order of answers, so with a threshold chosen
afterwards it changes no decision: it makes p(True) mean what it says.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medrl.errors import DataError
from medrl.verifiers.classifier import sigmoid

BINS = 10
COLDEST, HOTTEST = 0.02, 50.0


@dataclass(frozen=True)
class Bin:
    """Answers whose p(True) lies in [low, high), the last bin with its upper end."""

    low: float
    high: float
    n: int
    mean_p: float | None
    share_right: float | None


@dataclass(frozen=True)
class Reliability:
    """How well p(True) agrees with the labels.

    Attributes:
        ece: Expected calibration error: sum over bins of n/N * |mean p - share right|.
        brier: Mean of (p - label)^2.
        nll: Mean negative log-likelihood of the labels, in nats.
        bins: Ten of equal width.
    """

    n: int
    ece: float
    brier: float
    nll: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def fit_temperature(margins: Sequence[float], labels: Sequence[bool]) -> float:
    """The T that minimises the mean of log(1 + exp(-s m / T)), s = +1 for right and -1 for wrong answers.

    The loss is convex in 1/T, so its derivative there is halved in until it is 0; T stays between 0.02 and 50.

    Args:
        margins: Logit of True less that of False, one for each answer.
        labels: Whether each answer is right.
    """
    _check(margins, labels)
    signed = [m if right else -m for m, right in zip(margins, labels, strict=True)]

    def slope(inverse: float) -> float:
        return -sum(m * sigmoid(-inverse * m) for m in signed)

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def reliability(p: Sequence[float], labels: Sequence[bool]) -> Reliability:
    """The table and its summaries for probabilities `p` of being right."""
    _check(p, labels)
    bins, ece = [], 0.0
    places = [min(int(one * BINS), BINS - 1) for one in p]
    for place in range(BINS):
        inside = [(one, right) for one, right, at in zip(p, labels, places, strict=True) if at == place]
        n = len(inside)
        mean = sum(one for one, _ in inside) / n if n else None
        share = sum(right for _, right in inside) / n if n else None
        bins.append(Bin(place / BINS, (place + 1) / BINS, n, mean, share))
        if mean is not None and share is not None:
            ece += n / len(p) * abs(mean - share)
    brier = sum((one - right) ** 2 for one, right in zip(p, labels, strict=True)) / len(p)
    sure = [max(one if right else 1 - one, 1e-12) for one, right in zip(p, labels, strict=True)]
    return Reliability(len(p), ece, brier, -sum(map(math.log, sure)) / len(p), tuple(bins))


def threshold_for(p: Sequence[float], labels: Sequence[bool], bound: float) -> float:
    """The lowest threshold at which at most the share `bound` of the wrong answers has p above it.

    Raises:
        DataError: There are no wrong answers, or too few to tell such a share from none.
    """
    _check(p, labels)
    wrong = sorted((one for one, right in zip(p, labels, strict=True) if not right), reverse=True)
    if not wrong or bound * len(wrong) < 1:
        raise DataError(
            f"{len(wrong)} wrong answers cannot show a false-accept share of {bound:g}; give at least "
            f"{math.ceil(1 / bound) if bound > 0 else 'infinitely many'} in the calibration answers, or a threshold"
        )
    return wrong[min(int(bound * len(wrong)), len(wrong) - 1)]


def table(found: Reliability) -> list[tuple[str, str, str, str]]:
    """The reliability table as text: bin, answers, mean p(True), share right."""
    rows = [("p(True)", "answers", "mean p", "right")]
    for one in found.bins:
        mean = "-" if one.mean_p is None else f"{one.mean_p:.3f}"
        share = "-" if one.share_right is None else f"{one.share_right:.3f}"
        rows.append((f"{one.low:.1f}-{one.high:.1f}", str(one.n), mean, share))
    return rows


def _check(values: Sequence[float], labels: Sequence[bool]) -> None:
    if not values or len(values) != len(labels):
        raise DataError(f"{len(values)} scores and {len(labels)} labels; give as many of one as of the other, and some")
    if not all(map(math.isfinite, values)):
        raise DataError("some scores are not finite numbers, so nothing can be calibrated on them")
