"""GRPO: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300, section 4.1).

    A[p, g] = (r[p, g] - mean_g r[p]) / std_g r[p], the same for every token of a response
    loss    = mean over responses of mean over tokens of
              [ -min(ratio * A, clip(ratio, 1 - clip, 1 + clip_high) * A) + kl_coef * k3(policy || reference) ]

What differs from the paper: rollouts whose judge failed are left out of baseline and loss; a group with fewer than two
scores, or with all equal, gives no policy gradient; `Score.weight` scales advantages. DAPO and Dr. GRPO, which repair the
two means, have files of their own.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from medrl.algorithms.advantages import Scale, group_advantages
from medrl.algorithms.batch import Batch
from medrl.algorithms.policy_gradient import Mean, PolicyGradient


@dataclass(frozen=True)
class GRPO(PolicyGradient):
    """Group relative policy optimisation."""

    kind: ClassVar[str] = "grpo"

    mean: Mean = "sequence"

    scale: Scale = "group"
    """What advantages are divided by: the deviation of the "group" (GRPO), of the "batch", or "none" (Dr. GRPO)."""

    def _choices(self) -> dict[str, Any]:
        return {**super()._choices(), "scale": Scale}

    def estimate(self, batch: Batch) -> tuple[Tensor, None]:
        outcomes_PG = self.outcomes(batch).view(-1, batch.group_size)
        advantages_PG = group_advantages(outcomes_PG, scale=self.scale)
        return advantages_PG.view(-1, 1).expand_as(batch.loss_mask_BT), None
