"""How well probabilities agree with labels: the reliability table and its summaries; the interval of a share."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medrl.errors import DataError

BINS = 10
Z_95 = 1.959963984540054


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


def reliability(p: Sequence[float], labels: Sequence[bool]) -> Reliability:
    """The table and its summaries for probabilities `p` of being right."""
    check(p, labels)
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


def table(found: Reliability) -> list[tuple[str, str, str, str]]:
    """The reliability table as text: bin, answers, mean p(True), share right."""
    rows = [("p(True)", "answers", "mean p", "right")]
    for one in found.bins:
        mean = "-" if one.mean_p is None else f"{one.mean_p:.3f}"
        share = "-" if one.share_right is None else f"{one.share_right:.3f}"
        rows.append((f"{one.low:.1f}-{one.high:.1f}", str(one.n), mean, share))
    return rows


def check(values: Sequence[float], labels: Sequence[bool]) -> None:
    if not values or len(values) != len(labels):
        raise DataError(f"{len(values)} scores and {len(labels)} labels; give as many of one as of the other, and some")
    if not all(map(math.isfinite, values)):
        raise DataError("some scores are not finite numbers, so nothing can be calibrated on them")


def wilson(hits: int, n: int) -> list[float] | None:
    """The 95 % score interval of a share p = hits / n (Wilson 1927), None for n = 0.

    (p + z^2/2n ± z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.96; it holds for small n and for p = 0, where
    0 of 100 still allows 3.7 %.
    """
    if not n:
        return None
    p, square = hits / n, Z_95 * Z_95 / n
    middle, reach = p + square / 2, math.sqrt(p * (1 - p) * square + square * square / 4)
    low, high = (middle - reach) / (1 + square), (middle + reach) / (1 + square)
    return [0.0 if hits == 0 else low, 1.0 if hits == n else high]
