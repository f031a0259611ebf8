"""The KL to a reference policy: estimates of it, a reward that pays it, and a weight that follows a target."""

from typing import Literal

import torch
from torch import Tensor

from medrl.algorithms.batch import Batch

KLEstimator = Literal["k1", "k2", "k3"]


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


def kl_penalty(batch: Batch, kl_coef: float, estimator: KLEstimator = "k1") -> Tensor:
    """kl_coef * KL of the policy that sampled, of each trained token; 0 elsewhere. (B, T)."""
    if not kl_coef:
        return torch.zeros(batch.loss_mask_BT.shape, device=batch.loss_mask_BT.device)
    assert batch.old_logprobs_BT is not None and batch.ref_logprobs_BT is not None
    kl_BT = kl_estimate(batch.old_logprobs_BT, batch.ref_logprobs_BT, estimator)
    return torch.where(batch.loss_mask_BT, kl_coef * kl_BT, 0.0)


def penalised_rewards(batch: Batch, kl_coef: float, estimator: KLEstimator = "k1") -> Tensor:
    """Rewards of single tokens (InstructGPT, arXiv 2203.02155, equation 2; Ziegler et al., arXiv 1909.08593).

        r[b, t] = [t is the last trained token] * reward[b] - kl_coef * KL[b, t]

    Tokens that train nothing (a tool's output, all of a rollout without a score) get 0: the reward of a response that ends
    in such tokens stands on the last one that the policy wrote.

    Returns:
        (B, T).
    """
    mask_BT = batch.loss_mask_BT
    columns_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    last_B1 = (mask_BT * (columns_T + 1)).amax(-1, keepdim=True) - 1  # -1 where nothing is trained
    placed_BT = torch.where(columns_T == last_B1, batch.rewards_B.nan_to_num(0.0)[:, None], 0.0)
    return placed_BT - kl_penalty(batch, kl_coef, estimator)


def mean_kl(batch: Batch) -> tuple[float, int]:
    """KL in nats a token of the policy that sampled (k1, over its own trained tokens), and rollouts that have any."""
    assert batch.old_logprobs_BT is not None and batch.ref_logprobs_BT is not None
    mask_BT = batch.loss_mask_BT
    if batch.teacher_mask_BT is not None:  # k1 estimates on tokens that the policy drew, and on no others
        mask_BT = mask_BT & ~batch.teacher_mask_BT
    kl_N = kl_estimate(batch.old_logprobs_BT, batch.ref_logprobs_BT, "k1")[mask_BT]
    return float(kl_N.mean()) if len(kl_N) else 0.0, int(mask_BT.any(-1).sum())


def adapted_weight(weight: float, kl: float, target: float, rollouts: int, horizon: int) -> float:
    """The next weight of the KL (Ziegler et al., arXiv 1909.08593, section 2.2).

        weight * (1 + clip(kl / target - 1, -0.2, 0.2) * min(rollouts / horizon, 1))

    What differs: KL and target are nats a token, not a response, so that the length of responses does not move it. A step of
    more rollouts than the horizon counts as the horizon: without a bound, five horizons at once make the weight 0 for ever,
    and more make it negative, which pays the policy for leaving its reference.
    """
    error = min(max(kl / target - 1.0, -0.2), 0.2)
    return weight * (1.0 + error * min(rollouts / horizon, 1.0))
