"""Calibration of a classifier: one temperature, and a threshold that keeps a bound.

Temperature scaling is of Guo et al. 2017 (arXiv 1706.04599): one number T divides the logits, chosen for the least
negative log-likelihood on answers that training never saw. It changes no order of answers, so with a threshold chosen
afterwards it changes no decision: it makes p(True) mean what it says.
"""

import math
from collections.abc import Sequence

from medrl.errors import DataError
from medrl.verifiers.classifier import sigmoid
from medrl.verifiers.reliability import check

COLDEST, HOTTEST = 0.02, 50.0


def fit_temperature(margins: Sequence[float], labels: Sequence[bool]) -> float:
    """The T that minimises the mean of log(1 + exp(-s m / T)), s = +1 for right and -1 for wrong answers.

    The loss is convex in 1/T, so its derivative there is halved in until it is 0; T stays between 0.02 and 50.

    Args:
        margins: Logit of True less that of False, one for each answer.
        labels: Whether each answer is right.
    """
    check(margins, labels)
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


def threshold_for(p: Sequence[float], labels: Sequence[bool], bound: float) -> float:
    """The lowest threshold at which at most the share `bound` of the wrong answers has p above it.

    Raises:
        DataError: There are no wrong answers, or too few to tell such a share from none.
    """
    check(p, labels)
    wrong = sorted((one for one, right in zip(p, labels, strict=True) if not right), reverse=True)
    if not wrong or bound * len(wrong) < 1:
        raise DataError(
            f"{len(wrong)} wrong answers cannot show a false-accept share of {bound:g}; give at least "
            f"{math.ceil(1 / bound) if bound > 0 else 'infinitely many'} in the calibration answers, or a threshold"
        )
    return wrong[min(int(bound * len(wrong)), len(wrong) - 1)]
