"""How far a policy has gone from its reference, in nats, measured on replies that the policy drew itself.

With r = log p_policy(t) - log p_reference(t) of a drawn token t (Schulman, "Approximating KL divergence", 2020): k1 = r,
whose sum over a reply is an unbiased estimate of KL(policy || reference) of whole replies; k3 = exp(-r) - 1 + r, which has
the same mean a token, is never negative and varies less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from medrl.algorithms import Batch
from medrl.algorithms.kl import kl_estimate
from medrl.engines import Sampling
from medrl.learners import Learner
from medrl.types import ScoredGroup


@dataclass(frozen=True)
class Divergence:
    """KL(policy || reference).

    Attributes:
        reply: Nats a reply, as k1.
        token: Nats a token, as k1.
        token_k3: Nats a token, as k3.
    """

    reply: float
    token: float
    token_k3: float


def divergence(learner: Learner, drawn: Sequence[ScoredGroup], sampling: Sampling) -> Divergence:
    """Of the learner's policy from its reference, on replies that the policy drew at the temperature of `sampling`.

    Replies without a score are left out, as they are of a training step. The learner must keep a reference.

    Raises:
        ValueError: No reply has a score.
    """
    batch = Batch.from_groups(drawn, sampling.max_tokens, sampling.temperature)
    batch = learner.forward(batch, {"old_logprobs", "ref_logprobs"})
    assert batch.old_logprobs_BT is not None and batch.ref_logprobs_BT is not None
    return divergence_of(batch.old_logprobs_BT, batch.ref_logprobs_BT, batch.loss_mask_BT)


def divergence_of(logprobs_BT: Tensor, ref_logprobs_BT: Tensor, mask_BT: Tensor) -> Divergence:
    """The same from log-probabilities of the drawn tokens; `mask_BT` is true where a token counts.

    Raises:
        ValueError: No token counts.
    """
    tokens, replies = int(mask_BT.sum()), int(mask_BT.any(-1).sum())
    if not tokens:
        raise ValueError("no reply has a score and a token, so there is nothing to measure a divergence on")
    k1, k3 = (float(kl_estimate(logprobs_BT, ref_logprobs_BT, kind)[mask_BT].sum()) for kind in ("k1", "k3"))
    return Divergence(k1 / replies, k1 / tokens, k3 / tokens)
