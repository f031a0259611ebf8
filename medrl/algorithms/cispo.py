"""CISPO: clipped importance-sampling weights (MiniMax-M1, arXiv 2506.13585, section 3.1).

    loss = -stop_gradient( clip(ratio, 1 - clip, 1 + clip_high) ) * A * log pi, mean over all tokens

GRPO's advantages. PPO's clipping takes the gradient of a token away once its ratio is out of bounds, which hits rare tokens
that turn a line of reasoning ("however", "wait") first; here the weight is clipped, and every token keeps its gradient. As
in the paper there is no lower bound (`clip` 1 bounds the ratio at 0), a token mean and no KL.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from medrl.algorithms.batch import Batch
from medrl.algorithms.grpo import GRPO
from medrl.algorithms.policy_gradient import Mean


@dataclass(frozen=True)
class CISPO(GRPO):
    """REINFORCE with clipped importance weights."""

    kind: ClassVar[str] = "cispo"

    clip: float = 1.0
    """How far the weight may fall below 1; 1 for no bound."""

    clip_high: float | None = 4.0
    """How far the weight may rise above 1. Typical 1 to 5; 4 caps it at 5."""

    mean: Mean = "token"

    def _clip_faults(self) -> list[str]:
        faults = [] if 0.0 < self.clip <= 1.0 else [f"clip is {self.clip}; it must be above 0 and at most 1"]
        if self.clip_high is not None and self.clip_high <= 0.0:
            faults.append(f"clip_high is {self.clip_high}; it must be above 0, typically 4")
        return faults

    def surrogate(self, logprobs_BT: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.old_logprobs_BT is not None and batch.advantages_BT is not None
        low, high = self.bounds
        ratio_BT = (logprobs_BT.detach() - batch.old_logprobs_BT).exp()
        weight_BT = ratio_BT.clamp(1.0 - low, 1.0 + high)
        return -weight_BT * batch.advantages_BT * logprobs_BT, weight_BT != ratio_BT
