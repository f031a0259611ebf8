"""The per-token losses that algorithms are made of. All tensors are (B, T) unless a name says otherwise."""

from typing import Literal

import torch
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]


def clipped_surrogate(
    logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_BT: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate (arXiv 1707.06347, equation 7), per token, as a loss to minimise.

        ratio = exp(logp - logp_old);  loss = -min(ratio * A, clip(ratio, 1 - low, 1 + high) * A)

    Unequal bounds are DAPO's clip-higher (arXiv 2503.14476, section 3.1).

    Returns:
        The loss (B, T) and where the clipped branch was taken, so that the token gives no gradient (B, T) bool.
    """
    ratio_BT = torch.exp(logprobs_BT - old_logprobs_BT)
    free_BT = ratio_BT * advantages_BT
    held_BT = ratio_BT.clamp(1.0 - clip_low, 1.0 + clip_high) * advantages_BT
    return -torch.minimum(free_BT, held_BT), (held_BT < free_BT).detach()


def kl_estimate(logprobs_BT: Tensor, ref_logprobs_BT: Tensor, kind: KLEstimator = "k3") -> Tensor:
    """Estimates of KL(policy || reference) from the sampled tokens (Schulman, "Approximating KL divergence", 2020).

    With d = logp_ref - logp:  k1 = -d (unbiased, may be negative);  k2 = d^2 / 2 (biased, low variance);
    k3 = exp(d) - 1 - d (unbiased, never negative: what GRPO puts into its loss).
    """
    d_BT = ref_logprobs_BT - logprobs_BT
    if kind == "k1":
        return -d_BT
    if kind == "k2":
        return 0.5 * d_BT.square()
    if kind == "k3":
        return torch.expm1(d_BT) - d_BT
    raise ValueError(f"unknown KL estimator {kind!r}; it is k1, k2 or k3")
