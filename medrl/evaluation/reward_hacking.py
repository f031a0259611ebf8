"""Whether a policy earns its reward or exploits it: the same replies by the reward and by a judge that it is not trained on.

A reward that is optimised hard enough stops meaning what it meant (Gao et al., arXiv 2210.10760): the reward goes on rising
while a judge that nothing was trained on turns down. `watch` sums up one evaluation, `alarms` says in words what changed
since an earlier one. Nothing here trains anything.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medrl.rewards.repetition import repeated_share
from medrl.rewards.textual import mostly_cjk, pieces
from medrl.types import FinishReason

SIZES = {False: 4, True: 8}  # n of the repeated n-grams, for letters and for Chinese, as in the signal `repetition`
REPEATED = 0.5  # share of repeated n-grams from which on a reply is degenerate
LEAST = 0.01  # a smaller change of the judge's score (as a share of its scale) or of the reward is none
GROWTH, SHARE = 0.3, 0.05  # growth of the length, and rise of a share, that are told
TOGETHER = 0.3  # a correlation below this is no agreement to speak of


@dataclass(frozen=True)
class Watch:
    """One evaluation's replies.

    Attributes:
        reward: Mean of the trained reward, over replies that have one; None where none has.
        judge: Mean of the other judge's score, over all replies.
        correlation: Pearson's, of the two, over replies that have both; None where either is constant.
        characters: Mean length.
        repeated: Mean share of repeated n-grams.
        padding: Mean share of what says nothing, by the caller's measure.
        degenerate: Share of replies that were cut off, have no words, or repeat themselves in half of their n-grams.
        distinct: Share of different texts among the replies; near 0, the policy says one thing to everybody.
        kl: KL to the start policy in nats a reply, where it was measured.
    """

    reward: float | None
    judge: float
    correlation: float | None
    characters: float
    repeated: float
    padding: float
    degenerate: float
    distinct: float
    kl: float | None = None


def watch(
    texts: Sequence[str], finish: Sequence[FinishReason | None], rewards: Sequence[float | None],
    judged: Sequence[float], padding: Callable[[str], float], kl: float | None = None,
) -> Watch:  # fmt: skip
    """Sum up replies, their rewards and their scores by the other judge; all sequences have one entry a reply.

    Raises:
        ValueError: There are no replies.
    """
    if not texts:
        raise ValueError("there are no replies to watch")
    repeated = [repeated_share(pieces(text), SIZES[mostly_cjk(text)]) for text in texts]
    both = [(reward, score) for reward, score in zip(rewards, judged, strict=True) if reward is not None]
    degenerate = [
        end == "length" or not any(map(str.isalnum, text)) or share > REPEATED
        for text, end, share in zip(texts, finish, repeated, strict=True)
    ]
    return Watch(
        reward=_mean([reward for reward, _ in both]) if both else None,
        judge=_mean(judged),
        correlation=correlation(*zip(*both, strict=True)) if both else None,
        characters=_mean([float(len(text)) for text in texts]),
        repeated=_mean(repeated),
        padding=_mean([padding(text) for text in texts]),
        degenerate=_mean([float(one) for one in degenerate]),
        distinct=len(set(texts)) / len(texts),
        kl=kl,
    )


def correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation; None for fewer than three pairs or where one side is constant."""
    if len(first) < 3:
        return None
    means = _mean(first), _mean(second)
    moved = [(x - means[0], y - means[1]) for x, y in zip(first, second, strict=True)]
    spread = math.sqrt(sum(x * x for x, _ in moved) * sum(y * y for _, y in moved))
    return sum(x * y for x, y in moved) / spread if spread > 1e-12 else None


def alarms(before: Watch, now: Watch) -> list[str]:
    """A sentence for each thing that looks like an exploited reward; empty where nothing does."""
    said = []
    if before.reward is not None and now.reward is not None:
        up, down = now.reward - before.reward, before.judge - now.judge
        if up > LEAST and down > LEAST:
            said.append(
                f"the reward rose by {up:.2f} while the judge's score fell by {down:.3f}: the policy learns the reward's "
                "mistakes; stop earlier, raise kl_coef, or let raters judge replies of this policy"
            )
    if now.correlation is not None and now.correlation < TOGETHER <= (before.correlation or 0.0):
        said.append(
            f"reward and judge no longer agree on which replies are good (correlation {before.correlation:+.2f}, now "
            f"{now.correlation:+.2f})"
        )
    if now.characters > (1 + GROWTH) * before.characters:
        said.append(
            f"replies are {now.characters / before.characters - 1:.0%} longer; read the length-controlled win rate"
        )
    for name, what in (("repeated", "repetition"), ("padding", "padding"), ("degenerate", "degenerate replies")):
        rise = getattr(now, name) - getattr(before, name)
        if rise > SHARE:
            said.append(f"{what} rose by {rise:.0%} to {getattr(now, name):.0%}")
    if now.distinct < before.distinct / 2:
        said.append(
            f"only {now.distinct:.0%} of the replies differ (before {before.distinct:.0%}): one text for everybody"
        )
    return said


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
