"""How often one policy's replies beat another's by a judge, in both orders, and how often they would at equal length.

A reply that the judge prefers wins 1, a tie counts a half. A problem's outcome is the mean over its samples and both orders,
so a judge that always takes the one shown first gives a half everywhere. Intervals are percentile bootstraps over problems.

`length_controlled` follows AlpacaEval-LC (Dubois et al., arXiv 2404.04475, equation 1) with its length term alone:

    P(win) = sigmoid(a + b * tanh(d / sd(d))),   d = length of the reply - length of the other's

fitted by maximum likelihood; the controlled rate is sigmoid(a), what the model says at d = 0. What differs: no term for
the difficulty of an instruction, since both replies answer the same one; a weak prior keeps the fit finite where one
side always wins. The fit says nothing where no two replies are nearly equally long, so `near` counts those that are.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from medrl.seeds import seed_of
from medrl.types import Problem

Better = Literal["first", "second", "tie"]
PRIOR = 0.01  # precision of the normal prior on a and b, in units of one problem's weight
ROUNDS = 50  # of Newton's method; it needs fewer than ten
RESAMPLES = 500


@dataclass(frozen=True)
class Match:
    """What came of one problem.

    Attributes:
        outcome: 1 where the reply beat the other's in both orders, 0 where it lost in both, 0.5 for ties and contradictions.
        longer: By how much the reply is longer than the other's; below 0 where it is shorter.
        share: The same as a share of the longer of the two, 0 for two empty ones.
    """

    outcome: float
    longer: float
    share: float


def match(judge: Callable[[str, str], Better], reply: str, other: str) -> Match:
    """Both orders of one problem's two replies.

    Args:
        judge: Which of two texts is better, the first or the second.
        reply: Of the policy whose win rate is asked.
        other: Of the one that it is set against.
    """
    worth = {"first": 1.0, "tie": 0.5, "second": 0.0}
    outcome = (worth[judge(reply, other)] + 1.0 - worth[judge(other, reply)]) / 2
    longest = max(len(reply), len(other))
    longer = len(reply) - len(other)
    return Match(outcome, float(longer), longer / longest if longest else 0.0)


def play(
    compare: Callable[[Problem, str, str], Better], problems: Sequence[Problem], replies: Sequence[str],
    others: Sequence[str],
) -> list[Match]:  # fmt: skip
    """One match a problem; `compare` is told the problem and the two texts."""
    return [
        match(partial(compare, problem), reply, other)
        for problem, reply, other in zip(problems, replies, others, strict=True)
    ]


def win_rate(matches: Sequence[Match]) -> float:
    """Mean outcome, ties and contradictions as halves.

    Raises:
        ValueError: There are no matches.
    """
    if not matches:
        raise ValueError("there are no matches, so there is no win rate")
    return sum(one.outcome for one in matches) / len(matches)


def length_controlled(matches: Sequence[Match]) -> float:
    """sigmoid(a) of the fit in the module's docstring: the win rate at equal length.

    Raises:
        ValueError: There are no matches.
    """
    plain = win_rate(matches)
    mean = sum(one.longer for one in matches) / len(matches)
    spread = math.sqrt(sum((one.longer - mean) ** 2 for one in matches) / len(matches))
    if spread == 0.0:
        return plain  # one length difference throughout: nothing to tell length and quality apart by
    a, _ = _fit([math.tanh(one.longer / spread) for one in matches], [one.outcome for one in matches])
    return 1.0 / (1.0 + math.exp(-a))


def near(matches: Sequence[Match], within: float = 0.2) -> list[Match]:
    """Those whose two replies differ in length by at most this share of the longer one."""
    return [one for one in matches if abs(one.share) <= within]


def interval(
    statistic: Callable[[Sequence[Match]], float], matches: Sequence[Match], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % of the statistic over bootstrap samples of the problems (percentiles 2.5 and 97.5)."""
    rng = random.Random(seed_of("win rate", seed))
    drawn = sorted(statistic(rng.choices(matches, k=len(matches))) for _ in range(resamples))
    return drawn[int(0.025 * resamples)], drawn[min(resamples - 1, int(0.975 * resamples))]


def _fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """a and b that maximise sum[y log p + (1 - y) log(1 - p)] - PRIOR (a^2 + b^2) / 2, p = sigmoid(a + b x), by Newton."""
    a = b = 0.0
    for _ in range(ROUNDS):
        ga, gb, haa, hab, hbb = -PRIOR * a, -PRIOR * b, PRIOR, 0.0, PRIOR
        for one, outcome in zip(x, y, strict=True):
            p = 1.0 / (1.0 + math.exp(-(a + b * one)))
            ga, gb = ga + outcome - p, gb + (outcome - p) * one
            weight = p * (1.0 - p)
            haa, hab, hbb = haa + weight, hab + weight * one, hbb + weight * one * one
        determinant = haa * hbb - hab * hab
        da, db = (hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant
        scale = min(1.0, 4.0 / max(abs(da), abs(db), 1e-12))  # a step of more than 4 overshoots where sides are apart
        a, b = a + scale * da, b + scale * db
        if abs(da) + abs(db) < 1e-9:
            break
    return a, b
