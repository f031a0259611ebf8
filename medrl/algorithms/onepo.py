"""OnePO: one stage of reinforcement learning from a base model, beside a teacher that retires (HuatuoGPT-3, ICML 2026).

DAPO, in whose groups a teacher's answer may have the place of one rollout (`medrl/rollouts/teacher.py`: where it is better
than all of them, until it no longer is). On a teacher's token that the old policy found unlikely, the old probability is
raised to a floor f, and a positive advantage grows by f / pi (adaptive objective evolution):

    pi_old' = max(pi_old, f);    A' = A * f / sg(pi)  where pi_old < f and A > 0;    then DAPO's clipped surrogate

The surrogate is then A * pi / sg(pi), whose gradient is A * grad log pi: that of fine-tuning on the token, however unlikely,
instead of one that vanishes with pi. Beyond (1 + clip_high) * f it is clipped, so it ends where the policy has learnt the
token; a likely token, and every token of the policy's own, is DAPO's. sg stops the gradient.

What differs from the published code: no dual clip (it bounds tokens of negative advantage at 10 times it); dynamic sampling
asks for as many groups as are missing, as in `dapo.py`; a judge that failed leaves the baseline, where there it is a 0.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrl.algorithms.batch import Batch
from medrl.algorithms.dapo import DAPO
from medrl.algorithms.policy_gradient import clipped_surrogate

LARGEST_LOG = 60.0  # of f / pi: exp of it is far from float32's end, and no policy gives a token e^-60 of its floor


@dataclass(frozen=True)
class OnePO(DAPO):
    """DAPO with a floor under the probabilities of a teacher's tokens; the teacher itself is the recipe's `teacher`."""

    kind: ClassVar[str] = "onepo"

    teacher_floor: float = 0.1
    """Probability to which the old policy's is raised on a teacher's tokens. Unlikelier tokens are learnt as in supervised
    fine-tuning; 0 treats them as any other. Typical 0.05 to 0.2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.teacher_floor < 1.0:
            raise ValueError(f"onepo: teacher_floor is {self.teacher_floor}; it is a probability, from 0 to below 1")

    def surrogate(self, logprobs_BT: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.old_logprobs_BT is not None and batch.advantages_BT is not None
        if batch.teacher_mask_BT is None or not self.teacher_floor:
            return super().surrogate(logprobs_BT, batch)
        floor = math.log(self.teacher_floor)
        low_BT = batch.teacher_mask_BT & (batch.old_logprobs_BT < floor)
        lift_BT = (floor - logprobs_BT.detach()).clamp(max=LARGEST_LOG).exp()
        advantages_BT = torch.where(low_BT & (batch.advantages_BT > 0), lift_BT, 1.0) * batch.advantages_BT
        old_BT = torch.where(low_BT, floor, batch.old_logprobs_BT)
        return clipped_surrogate(logprobs_BT, old_BT, advantages_BT, *self.bounds)
