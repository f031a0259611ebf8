"""Intervals and tests over problems: bootstraps, McNemar's exact test, Holm's correction, and pass@k.

A problem is the unit: samples of one problem are not independent, so each problem counts once, with the mean of its samples.
Every function is a function of per-problem values alone, so whoever has the per-sample outputs gets the same figures again;
draws are seeded by what they are for.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev

from medrl.errors import DataError
from medrl.seeds import seed_of

RESAMPLES = 1000
# Quantiles 0.975 of Student's t by the number of runs; more than ten have no larger one than ten.
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31}
Interval = tuple[float, float]


@dataclass(frozen=True)
class Paired:
    """What two models' scores of the same problems say.

    Attributes:
        n: Problems that both have a score for.
        first, second: Means over them.
        difference: second - first.
        interval: 95 % of the difference, percentile bootstrap over problems.
        bootstrap_p: Two-sided: how often the bootstrap's difference lies on the other side of 0, doubled.
        only_first, only_second: Problems that one alone got right; None where scores are not all 0 or 1.
        mcnemar_p: Two-sided exact test of these two counts; None where there are none.
    """

    n: int
    first: float
    second: float
    difference: float
    interval: Interval
    bootstrap_p: float
    only_first: int | None
    only_second: int | None
    mcnemar_p: float | None

    @property
    def p(self) -> float:
        """The test to go by: McNemar's where every score is right or wrong, else the bootstrap's."""
        return self.bootstrap_p if self.mcnemar_p is None else self.mcnemar_p


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return sum(values) / len(values) if values else None


def bootstrap(values: Sequence[float], *purpose: str | int, resamples: int = RESAMPLES) -> Interval | None:
    """95 % percentile interval of the mean of per-problem values; None for fewer than two.

    None where all are the same, too: every draw of them is the same, and a width of 0 would claim what nobody knows.
    """
    if len(set(values)) < 2:
        return None
    drawn = _means(values, seed_of("bootstrap", *purpose), resamples)
    return drawn[int(0.025 * resamples)], drawn[min(resamples - 1, int(0.975 * resamples))]


def paired(first: Sequence[float], second: Sequence[float], *purpose: str | int, resamples: int = RESAMPLES) -> Paired:
    """Compare two models on the same problems; `first[i]` and `second[i]` are of one problem.

    Raises:
        DataError: There are fewer than two problems, or not as many of one as of the other.
    """
    if len(first) != len(second) or len(first) < 2:
        raise DataError(
            f"{len(first)} and {len(second)} scores cannot be paired; both need the same two problems or more"
        )
    gaps = [b - a for a, b in zip(first, second, strict=True)]
    drawn = _means(gaps, seed_of("paired", *purpose), resamples)
    below, above = sum(one <= 0 for one in drawn), sum(one >= 0 for one in drawn)
    p = min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))  # never 0: no bootstrap is that sure
    binary = all(value in (0.0, 1.0) for value in (*first, *second))
    counts = (sum(gap < 0 for gap in gaps), sum(gap > 0 for gap in gaps)) if binary else (None, None)
    return Paired(
        n=len(gaps),
        first=sum(first) / len(first),
        second=sum(second) / len(second),
        difference=sum(gaps) / len(gaps),
        interval=(drawn[int(0.025 * resamples)], drawn[min(resamples - 1, int(0.975 * resamples))]),
        bootstrap_p=p,
        only_first=counts[0],
        only_second=counts[1],
        mcnemar_p=None if counts[0] is None or counts[1] is None else mcnemar(counts[0], counts[1]),
    )


def student(means: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean over runs, by Student's t; 0 of a single run, which says nothing of others.

    A bootstrap over a few runs is too narrow: of three it gives the lowest to the highest, which covers 75 %.
    """
    if len(means) < 2:
        return 0.0
    return STUDENT.get(len(means), 2.26) * stdev(means) / math.sqrt(len(means))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar (1947): under no difference each discordant problem falls to either with 1/2.

    p = min(1, 2 * sum_{i <= min(b, c)} C(b + c, i) / 2^(b + c)); 1 where no problem is discordant.
    """
    n, few = only_first + only_second, min(only_first, only_second)
    total = sum(math.comb(n, i) for i in range(few + 1))
    return min(1.0, float(2 * total / 2**n)) if n < 1000 else _tail(n, few)


def _tail(n: int, few: int) -> float:
    """The same by logarithms, for numbers that no float can hold."""
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(few + 1)]
    top = max(logs)
    return min(1.0, 2 * math.exp(top) * sum(math.exp(one - top) for one in logs))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's (1979) step-down adjustment: smaller than 0.05 means so after all tests together, at a family error of 5 %.

    With p sorted upwards, adjusted_i = max over j <= i of min(1, (m - j + 1) * p_j).
    """
    adjusted, worst = {}, 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        worst = max(worst, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = worst
    return {name: adjusted[name] for name in p_values}


def pass_at_k(n: int, right: int, k: int) -> float:
    """The unbiased estimate of pass@k from n samples of which `right` are right (Chen et al., arXiv 2107.03374, eq. 1).

    1 - C(n - right, k) / C(n, k): the share of all subsets of k samples that hold a right one. The naive
    1 - (1 - right/n)^k is biased downwards.
    """
    if not 1 <= k <= n or not 0 <= right <= n:
        raise ValueError(f"pass@{k} of {n} samples with {right} right: k is 1 to n, and right 0 to n")
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def _means(values: Sequence[float], seed: int, resamples: int) -> list[float]:
    """Sorted means of bootstrap samples; summed exactly, so that they do not depend on the order of the draws."""
    rng, n = random.Random(seed), len(values)
    return sorted(math.fsum(rng.choices(values, k=n)) / n for _ in range(resamples))
