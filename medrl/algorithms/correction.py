"""Truncated importance weights, for rollouts that the old policy did not quite write.

Old log-probabilities are those of the weights before a step's first update. The rollouts may come from earlier weights
(asynchronous sampling) or from an engine whose arithmetic differs from the learner's; what the engine reported says from
which distribution each token was really drawn. The loss of a token is multiplied by

    w = min( pi_old(token) / pi_rollout(token), cap )              "token"     (Yao et al., "Your efficient RL framework
                                                                               secretly brings you off-policy", 2025)
    w = min( product of that over the response's tokens, cap )     "sequence"

which is apart from the ratio pi / pi_old that clipping bounds (decoupled PPO, arXiv 2110.00641; AReaL, arXiv 2505.24298,
section 5.2). Without the cap the token's weights are unbiased for the first token alone, and the sequence's throughout;
the cap trades that for variance. Where the learner takes the engine's log-probabilities as the old ones, w is 1, and so it is
on a teacher's tokens, which nobody drew.
"""

from typing import Literal

import torch
from torch import Tensor

from medrl.algorithms.batch import Batch

Correction = Literal["none", "token", "sequence"]
LARGEST_LOG = 20.0  # exp of more says nothing more, and may overflow


def importance_weights(batch: Batch, kind: Correction, cap: float) -> tuple[Tensor, Tensor]:
    """Weights (B, T), 0 where nothing is trained, and where the cap was reached (B, T) bool. No gradient flows here."""
    assert batch.old_logprobs_BT is not None
    if batch.rollout_logprobs_BT is None:
        raise ValueError(f"correction {kind!r} needs the log-probabilities that the engine sampled with; it gave none")
    mask_BT = batch.loss_mask_BT
    drawn_BT = mask_BT if batch.teacher_mask_BT is None else mask_BT & ~batch.teacher_mask_BT
    log_BT = torch.where(drawn_BT, batch.old_logprobs_BT - batch.rollout_logprobs_BT, 0.0).detach()
    if kind == "sequence":
        log_BT = log_BT.sum(-1, keepdim=True).expand_as(log_BT)
    weights_BT = log_BT.clamp(-LARGEST_LOG, LARGEST_LOG).exp() * mask_BT
    return weights_BT.clamp(max=cap), weights_BT > cap


def weight_figures(batch: Batch, kind: Correction, cap: float) -> dict[str, float]:
    """Mean weight over the trained tokens and the share that the cap cut, for the log."""
    weights_BT, cut_BT = importance_weights(batch, kind, cap)
    tokens = max(int(batch.loss_mask_BT.sum()), 1)
    return {"correction_mean": float(weights_BT.sum()) / tokens, "correction_truncated": float(cut_BT.sum()) / tokens}
