"""Advantages: how much better a rollout did than its group, than its siblings, or than a critic foretold."""

from typing import Literal

import torch
from torch import Tensor

Scale = Literal["group", "batch", "none"]


def group_advantages(rewards_PG: Tensor, *, scale: Scale = "group", eps: float = 1e-4) -> Tensor:
    """Rewards less their group's mean, divided by a standard deviation.

        A[p, g] = (r[p, g] - mean_g r[p]) / (std r[p] + eps)

    The mean and the (sample, n-1) deviation run over the scored rollouts only: a rollout without a reward (NaN) neither
    moves its group's baseline nor gets an advantage. A group with fewer than two scored rollouts has no baseline, so all
    its advantages are 0. Equal rewards give advantage 0.

    Args:
        rewards_PG: (P, G), NaN where a rollout has no reward.
        scale: "group" divides by the group's deviation (GRPO, DeepSeekMath arXiv 2402.03300, section 4.1.2), "batch" by
            the deviation of all scored rewards of the batch, "none" by nothing (Dr. GRPO, arXiv 2503.20783, section 3.1:
            dividing by the group's deviation favours problems that are nearly always or nearly never solved).
        eps: Added to the deviation; 1e-4 as in TRL, 1e-6 in verl.

    Returns:
        (P, G), 0 where there is no reward.
    """
    scored_PG = ~torch.isnan(rewards_PG)
    count_P1 = scored_PG.sum(-1, keepdim=True)
    filled_PG = rewards_PG.nan_to_num(0.0)
    mean_P1 = filled_PG.sum(-1, keepdim=True) / count_P1.clamp(min=1)
    centred_PG = (filled_PG - mean_P1) * (scored_PG & (count_P1 >= 2))
    # Equal rewards leave rounding dust in the mean; dividing dust by its own deviation would make it a signal.
    low_P1 = rewards_PG.nan_to_num(torch.inf).amin(-1, keepdim=True)
    high_P1 = rewards_PG.nan_to_num(-torch.inf).amax(-1, keepdim=True)
    centred_PG = centred_PG * (high_P1 > low_P1)
    if scale == "none":
        return centred_PG
    if scale == "group":
        std_P1 = (centred_PG.square().sum(-1, keepdim=True) / (count_P1 - 1).clamp(min=1)).sqrt()
        return centred_PG / (std_P1 + eps)
    scored = rewards_PG[scored_PG]
    return centred_PG / (scored.std() + eps) if scored.numel() > 1 else centred_PG


def leave_one_out(rewards_PG: Tensor) -> Tensor:
    """Rewards less the mean of the group's others (RLOO, arXiv 2402.14740, equation 8).

        A[p, g] = r[p, g] - mean over h != g of r[p, h] = n / (n - 1) * (r[p, g] - mean r[p])

    Over the n scored rollouts of a group only; 0 where a rollout has no score or no other to compare with.

    Returns:
        (P, G), 0 where there is no reward (NaN).
    """
    count_P1 = (~torch.isnan(rewards_PG)).sum(-1, keepdim=True)
    return group_advantages(rewards_PG, scale="none") * count_P1 / (count_P1 - 1).clamp(min=1)


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16) over the tokens that the policy wrote.

        delta[t] = r[t] + gamma * V[t'] - V[t];   A[t] = delta[t] + gamma * lam * A[t'];   returns = A + V

    with t' the next trained token: what stands between them (a tool's output) is no step of the policy. Its rewards and
    values are not read. The last trained token has no next one, so V and A there are 0.

    Returns:
        Advantages and returns, each (B, T), 0 outside the mask.
    """
    advantages_BT, returns_BT = torch.zeros_like(values_BT), torch.zeros_like(values_BT)
    next_value_B, next_advantage_B = torch.zeros_like(values_BT[:, 0]), torch.zeros_like(values_BT[:, 0])
    for t in reversed(range(values_BT.shape[1])):
        mask_B, value_B = mask_BT[:, t], values_BT[:, t]
        advantage_B = rewards_BT[:, t] + gamma * next_value_B - value_B + gamma * lam * next_advantage_B
        advantages_BT[:, t] = torch.where(mask_B, advantage_B, 0.0)
        returns_BT[:, t] = torch.where(mask_B, advantage_B + value_B, 0.0)
        next_advantage_B = torch.where(mask_B, advantage_B, next_advantage_B)
        next_value_B = torch.where(mask_B, value_B, next_value_B)
    return advantages_BT, returns_BT


def whiten(values_BT: Tensor, mask_BT: Tensor, eps: float = 1e-8) -> Tensor:
    """Values shifted and scaled to mean 0 and variance 1 over the masked tokens: (x - mean) / sqrt(var + eps).

    The variance is the sample's (n - 1), as in TRL and verl. Equal values, or a single one, give exactly 0.

    Returns:
        (B, T), 0 outside the mask.
    """
    values_N = values_BT[mask_BT]
    if len(values_N) < 2 or bool((values_N == values_N[0]).all()):
        return torch.zeros_like(values_BT)
    whitened_BT = (values_BT - values_N.mean()) * torch.rsqrt(values_N.var() + eps)
    return torch.where(mask_BT, whitened_BT, 0.0)
