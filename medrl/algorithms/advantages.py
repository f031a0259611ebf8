"""How much better a rollout did than its group: the advantages of GRPO and its kin."""

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
