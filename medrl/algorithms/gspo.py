"""GSPO: group sequence policy optimisation (arXiv 2507.18071).

    s    = exp( mean over tokens of log(pi / pi_old) )                      one ratio for a response (equation 7)
    loss = -min(s * A, clip(s, 1 - clip, 1 + clip_high) * A), mean over responses

GRPO's advantages. Rewards are of whole responses, so the ratio and its clipping are too: a response is clipped whole or not
at all, and noise in single tokens' probabilities (mixtures of experts, an engine's arithmetic) averages out. The ratio is
a geometric mean, so its bounds are a thousandth of PPO's. Written token by token as in equation 16, with s as a constant
and the gradient through each token's own log-probability, so that micro-batches add up and other means can be taken.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from medrl.algorithms.batch import Batch
from medrl.algorithms.grpo import GRPO
from medrl.algorithms.policy_gradient import clipped_surrogate


@dataclass(frozen=True)
class GSPO(GRPO):
    """GRPO with one ratio for each response."""

    kind: ClassVar[str] = "gspo"

    clip: float = 3e-4
    """How far a response's ratio may fall below 1 before it stops pulling. The paper has 3e-4."""

    clip_high: float | None = 4e-4
    """How far it may rise above 1. The paper has 4e-4."""

    def surrogate(self, logprobs_BT: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.old_logprobs_BT is not None and batch.advantages_BT is not None
        mask_BT, now_BT = batch.loss_mask_BT, logprobs_BT.detach()
        moved_B1 = ((now_BT - batch.old_logprobs_BT) * mask_BT).sum(-1, keepdim=True)
        mean_B1 = moved_B1 / mask_BT.sum(-1, keepdim=True).clamp(min=1)
        # exp(new - old) is s, and its gradient that of the token's own log-probability times s
        return clipped_surrogate(logprobs_BT, now_BT - mean_B1, batch.advantages_BT, *self.bounds)
