"""How many answers are right, told by a judge that errs: the share that it accepts, corrected by its known errors.

A judge with sensitivity Se (share of right answers that it accepts) and specificity Sp (share of wrong ones that it rejects)
accepts p = Se * q + (1 - Sp) * (1 - q) of answers of which the share q is right. Rogan and Gladen (1978) solve for q; the
interval is of Lang and Reiczigel (2014, Preventive Veterinary Medicine 113:13-22), which also counts that Se and Sp were
estimated. Both hold where the judge errs on the new answers as on the labelled ones, whatever share of them is right.
"""

import math
from dataclasses import dataclass
from typing import Any

Z_95 = 1.959963984540054
LEAST = 0.1  # Se + Sp - 1 below it: the judge says next to nothing, and the correction divides by it


@dataclass(frozen=True)
class PassRate:
    """The share of answers that are right.

    Attributes:
        accepted: The share that the judge accepts, as it is.
        corrected: The share that is right by the judge's known errors, from 0 to 1; None where the judge is hardly better
            than chance.
        low: Lower end of its 95 % interval.
        high: Upper end.
        sensitivity: Share of the labelled right answers that were accepted.
        specificity: Share of the labelled wrong answers that were rejected.
        fits: False where the accepted share lies outside what these errors can give (below 1 - specificity, or above
            sensitivity) by more than chance: the labelled answers are then of another kind than the new ones.
    """

    accepted: float
    corrected: float | None
    low: float | None
    high: float | None
    sensitivity: float
    specificity: float
    fits: bool = True

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def pass_rate(accepted: int, n: int, right_accepted: int, right: int, wrong_rejected: int, wrong: int) -> PassRate:
    """The corrected pass rate.

    Args:
        accepted: How many of the new answers the judge accepts.
        n: How many new answers it decided.
        right_accepted: How many labelled right answers it accepts.
        right: How many labelled right answers it decided.
        wrong_rejected: How many labelled wrong answers it rejects.
        wrong: How many labelled wrong answers it decided.

    Raises:
        ValueError: A count is 0 that is divided by, or greater than what it is a part of.
    """
    for part, whole in ((accepted, n), (right_accepted, right), (wrong_rejected, wrong)):
        if not 0 <= part <= whole or whole < 1:
            raise ValueError(f"{part} of {whole} is no share; count decided answers, at least one of each kind")
    p, se, sp = accepted / n, right_accepted / right, wrong_rejected / wrong
    if se + sp - 1 < LEAST:
        return PassRate(p, None, None, None, se, sp)
    corrected = min(max((p + sp - 1) / (se + sp - 1), 0.0), 1.0)
    # Lang and Reiczigel: each share drawn a little towards 1/2, as if z^2 (the sample) or 2 (the labels) more were seen.
    square = Z_95**2
    n_, right_, wrong_ = n + square, right + 2, wrong + 2
    p_, se_, sp_ = (accepted + square / 2) / n_, (right_accepted + 1) / right_, (wrong_rejected + 1) / wrong_
    scale = se_ + sp_ - 1
    if scale <= 0:
        return PassRate(p, None, None, None, se, sp)
    middle = (p_ + sp_ - 1) / scale
    of_se, of_sp = se_ * (1 - se_) / right_, sp_ * (1 - sp_) / wrong_
    shift = 2 * square * (middle * of_se - (1 - middle) * of_sp)
    reach = Z_95 * math.sqrt(p_ * (1 - p_) / n_ + middle**2 * of_se + (1 - middle) ** 2 * of_sp) / scale
    low, high = middle + shift - reach, middle + shift + reach
    fits = low < 1.0 and high > 0.0
    return PassRate(p, corrected, min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0), se, sp, fits)
