"""REINFORCE++ and REINFORCE++-baseline (Hu et al., arXiv 2501.03262).

    REINFORCE++            A[t] = whiten( sum from t on of gamma^k * r ),  r = reward at the end - kl_coef * log(pi / ref)
    REINFORCE++-baseline   A    = whiten( r[p, g] - mean_g r[p] ),  a KL (k2) in the loss

Advantages are whitened over all trained tokens of the batch instead of within a group, so that neither a group's deviation
nor its size biases them; the first needs no groups at all. The loss is PPO's clipped surrogate, token mean, without a critic.

Whitening moves the baseline's zeros: where long responses fared worse than short ones, a group of equal scores is pulled up,
and where they fared better, down; so it is in the paper and in verl. What differs: a group with fewer than two scores has no
baseline, so it takes no part in the whitening and has advantage 0 (verl trains on a lone score as it is).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrl.algorithms.advantages import gae, group_advantages, whiten
from medrl.algorithms.batch import Batch
from medrl.algorithms.kl import KLEstimator
from medrl.algorithms.policy_gradient import Place, PolicyGradient


@dataclass(frozen=True)
class ReinforcePP(PolicyGradient):
    """PPO without a critic: returns, whitened over the batch."""

    kind: ClassVar[str] = "reinforce_pp"

    kl_in: Place = "reward"

    kl_estimator: KLEstimator = "k1"

    gamma: float = 1.0
    """What a reward one token later is worth. 1 for rewards of whole responses."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.gamma <= 1.0:
            raise ValueError(f"{self.kind}: gamma is {self.gamma}; it must be above 0 and at most 1")

    def estimate(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        rewards_BT, mask_BT = self.token_rewards(batch), batch.loss_mask_BT
        returns_BT, _ = gae(rewards_BT, rewards_BT.new_zeros(rewards_BT.shape), mask_BT, self.gamma, 1.0)
        return whiten(returns_BT, mask_BT), None


@dataclass(frozen=True)
class ReinforcePPBaseline(PolicyGradient):
    """The mean of the group as the baseline, whitened over the batch."""

    kind: ClassVar[str] = "reinforce_pp_baseline"

    kl_estimator: KLEstimator = "k2"

    def estimate(self, batch: Batch) -> tuple[Tensor, None]:
        outcomes_PG = self.outcomes(batch).view(-1, batch.group_size)
        compared_P1 = (~torch.isnan(outcomes_PG)).sum(-1, keepdim=True) >= 2
        mask_BT = batch.loss_mask_BT & compared_P1.expand_as(outcomes_PG).reshape(-1, 1)
        centred_PG = group_advantages(outcomes_PG, scale="none")
        return whiten(centred_PG.view(-1, 1).expand_as(mask_BT), mask_BT), None
