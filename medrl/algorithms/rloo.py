"""RLOO: REINFORCE with a leave-one-out baseline (Ahmadian et al., arXiv 2402.14740, section 3.2).

    A[p, g] = R[p, g] - mean of R[p, h] over h != g,     R = reward - kl_coef * sum over tokens of log(policy / reference)
    loss    = -A * sum over tokens of log-probabilities, mean over responses

Without a deviation to divide by, a hard problem's lone right answer pulls no harder than its worth. What differs: from the
second update on the same rollouts, tokens are clipped as in PPO (at the first one the gradient is REINFORCE's); the sum is
divided by the token limit, a constant. With G = 2 this is the RLOO of HuatuoGPT-o1's comparison (arXiv 2412.18925, table 3).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from medrl.algorithms.advantages import leave_one_out
from medrl.algorithms.batch import Batch
from medrl.algorithms.kl import KLEstimator
from medrl.algorithms.policy_gradient import Mean, Place, PolicyGradient


@dataclass(frozen=True)
class RLOO(PolicyGradient):
    """REINFORCE with a leave-one-out baseline."""

    kind: ClassVar[str] = "rloo"

    mean: Mean = "limit"

    kl_in: Place = "reward"

    kl_estimator: KLEstimator = "k1"

    def estimate(self, batch: Batch) -> tuple[Tensor, None]:
        advantages_PG = leave_one_out(self.outcomes(batch).view(-1, batch.group_size))
        return advantages_PG.view(-1, 1).expand_as(batch.loss_mask_BT), None
