"""GRPO: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300, section 4.1), with its two known repairs.

    loss = mean over responses of mean over tokens of
           [ -min(ratio * A, clip(ratio, 1 - clip, 1 + clip_high) * A) + kl_coef * k3(policy || reference) ]

What differs from the paper: rollouts whose judge failed are left out of baseline and loss; a group with fewer than two
scores, or with all equal, gives no policy gradient; `Score.weight` scales advantages. Settings for the repairs:

    DAPO      (arXiv 2503.14476)  GRPO.dapo()     clip 0.2 / 0.28, mean over all tokens of the batch, no KL
    Dr. GRPO  (arXiv 2503.20783)  GRPO.dr_grpo()  no division by the deviation, sum over tokens / token limit, no KL
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from medrl.algorithms.advantages import Scale, group_advantages
from medrl.algorithms.base import Algorithm, Denominators, Loss, Outputs
from medrl.algorithms.batch import Batch
from medrl.algorithms.losses import KLEstimator, clipped_surrogate, kl_estimate

Mean = Literal["sequence", "token", "limit"]


@dataclass(frozen=True)
class GRPO(Algorithm):
    """Group relative policy optimisation."""

    kind: ClassVar[str] = "grpo"

    clip: float = 0.2
    """How far the probability ratio may move from 1 before a token stops pulling. Typical 0.1 to 0.3."""

    clip_high: float | None = None
    """Upper bound where it differs from `clip` (DAPO's clip-higher lets unlikely good tokens grow). Typical 0.28."""

    kl_coef: float = 0.0
    """Weight of the KL to the reference policy in the loss; above 0 a reference is kept. Typical 0 to 0.05."""

    kl_estimator: KLEstimator = "k3"
    """Which estimate of the KL: k1, k2 or k3. As a loss k1 has no gradient on average; take k2 or k3."""

    scale: Scale = "group"
    """What advantages are divided by: the deviation of the "group" (GRPO), of the "batch", or "none" (Dr. GRPO)."""

    mean: Mean = "sequence"
    """How token losses are averaged: per response first ("sequence", GRPO: long responses weigh less per token), over
    all "token"s (DAPO), or divided by the token "limit" (Dr. GRPO)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.clip < 1.0:
            raise ValueError(f"grpo: clip is {self.clip}; it must lie between 0 and 1, typically 0.2")
        if self.clip_high is not None and self.clip_high <= 0.0:
            raise ValueError(f"grpo: clip_high is {self.clip_high}; it must be above 0, typically 0.28")
        for name, known in (("kl_estimator", KLEstimator), ("scale", Scale), ("mean", Mean)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"grpo: {name} is {getattr(self, name)!r}; it is one of {', '.join(get_args(known))}")
        if self.kl_coef < 0.0:
            raise ValueError(f"grpo: kl_coef is {self.kl_coef}; it must be 0 or more")

    @classmethod
    def dapo(cls, **knobs: Any) -> "GRPO":
        """DAPO's loss: clip-higher and token mean."""
        return cls(**{"clip": 0.2, "clip_high": 0.28, "mean": "token", "kl_coef": 0.0, **knobs})

    @classmethod
    def dr_grpo(cls, **knobs: Any) -> "GRPO":
        """Dr. GRPO: without the length and difficulty biases of GRPO's two divisions."""
        return cls(**{"scale": "none", "mean": "limit", "kl_coef": 0.0, **knobs})

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"old_logprobs", "ref_logprobs"} if self.kl_coef else {"old_logprobs"})

    def advantages(self, batch: Batch, state: dict[str, Any]) -> Batch:
        advantages_PG = group_advantages(batch.rewards_B.view(-1, batch.group_size), scale=self.scale)
        weights_B1 = 1.0 if batch.weights_B is None else batch.weights_B.unsqueeze(-1)
        return batch.with_(advantages_BT=weights_B1 * advantages_PG.view(-1, 1) * batch.loss_mask_BT)

    def gradient_rows(self, batch: Batch) -> Tensor:
        rows_B = super().gradient_rows(batch)
        if self.kl_coef or batch.advantages_BT is None:
            return rows_B
        return rows_B & (batch.advantages_BT != 0).any(-1)  # without a KL term, advantage 0 is gradient 0

    def loss(self, outputs: Outputs, batch: Batch, denominators: Denominators) -> Loss:
        assert batch.old_logprobs_BT is not None and batch.advantages_BT is not None
        mask_BT, logprobs_BT = batch.loss_mask_BT, outputs.logprobs_BT
        clip_high = self.clip if self.clip_high is None else self.clip_high
        loss_BT, clipped_BT = clipped_surrogate(
            logprobs_BT, batch.old_logprobs_BT, batch.advantages_BT, self.clip, clip_high
        )
        parts = {"clip_share": self._token_share(clipped_BT, mask_BT, denominators)}
        if self.kl_coef:
            assert batch.ref_logprobs_BT is not None
            kl_BT = kl_estimate(logprobs_BT, batch.ref_logprobs_BT, self.kl_estimator)
            loss_BT = loss_BT + self.kl_coef * kl_BT
            parts["kl"] = self._token_share(kl_BT.detach(), mask_BT, denominators)
        with torch.no_grad():
            moved_BT = kl_estimate(logprobs_BT, batch.old_logprobs_BT, "k3")
            parts["kl_old"] = self._token_share(moved_BT, mask_BT, denominators)
        return Loss(self._mean(loss_BT, batch, denominators), parts=parts)

    def _mean(self, loss_BT: Tensor, batch: Batch, denominators: Denominators) -> Tensor:
        mask_BT = batch.loss_mask_BT
        if self.mean == "token":
            return (loss_BT * mask_BT).sum() / max(denominators.tokens, 1.0)
        sums_B = (loss_BT * mask_BT).sum(-1)
        if self.mean == "sequence":
            return (sums_B / mask_BT.sum(-1).clamp(min=1)).sum() / max(denominators.sequences, 1.0)
        return sums_B.sum() / (max(denominators.sequences, 1.0) * batch.max_response_tokens)

    @staticmethod
    def _token_share(values_BT: Tensor, mask_BT: Tensor, denominators: Denominators) -> Tensor:
        return (values_BT * mask_BT).sum() / max(denominators.computed, 1.0)
