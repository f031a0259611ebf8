"""PPO with a critic (arXiv 1707.06347), as used on language models (InstructGPT, arXiv 2203.02155; HuatuoGPT-o1).

    r[t]    = [t is the last token] * reward - kl_coef * log(pi_old / ref)      or the KL in the loss (`kl_in`)
    delta   = r[t] + gamma * V[t+1] - V[t]
    A[t]    = delta[t] + gamma * lam * A[t+1]                      generalised advantages (arXiv 1506.02438), whitened
    returns = A + V                                                                         before whitening
    policy  = -min(ratio * A, clip(ratio, 1 - clip, 1 + clip_high) * A)
    value   = 1/2 max( (V' - returns)^2, (clip(V', V - value_clip, V + value_clip) - returns)^2 )

A critic says what each token was worth, so a single response of a problem can teach, and credit is told apart within it;
it costs a second model (`optimization.critic` has its knobs) and must first learn. Tokens that the policy did not write are
skipped: the token after a tool's output is the next one of the token before it. Rollouts without a score are in neither
loss nor in the whitening.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from medrl.algorithms.advantages import gae, whiten
from medrl.algorithms.base import Denominators, Loss, Outputs
from medrl.algorithms.batch import Batch
from medrl.algorithms.kl import KLEstimator
from medrl.algorithms.policy_gradient import Place, PolicyGradient, mean_loss, token_share


@dataclass(frozen=True)
class PPO(PolicyGradient):
    """Proximal policy optimisation with a critic."""

    kind: ClassVar[str] = "ppo"

    kl_in: Place = "reward"

    kl_estimator: KLEstimator = "k1"

    gamma: float = 1.0
    """What a reward one token later is worth. 1 for rewards of whole responses."""

    lam: float = 0.95
    """How far advantages trust returns over the critic: 1 is returns less values (no bias), 0 one step ahead. Typical
    0.95 to 1."""

    whiten: bool = True
    """Shift and scale advantages over the trained tokens of a step to mean 0 and deviation 1."""

    value_clip: float | None = 0.2
    """How far a value may move from what it was before the step, in units of reward; empty for no bound. Typical 0.2
    to 0.5, times the spread of rewards."""

    value_coef: float = 1.0
    """Weight of the critic's loss. Of use with a shared trunk, where both losses pull on it. Typical 0.1 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = [] if 0.0 < self.gamma <= 1.0 else [f"gamma is {self.gamma}; it must be above 0 and at most 1"]
        if not 0.0 <= self.lam <= 1.0:
            faults.append(f"lam is {self.lam}; it is a share from 0 to 1")
        if self.value_clip is not None and self.value_clip <= 0.0:
            faults.append(f"value_clip is {self.value_clip}; it must be above 0, or empty for no bound")
        if self.value_coef <= 0.0:
            faults.append(f"value_coef is {self.value_coef}; it must be above 0, or the critic never learns")
        if faults:
            raise ValueError("ppo: " + "; ".join(faults))

    @classmethod
    def huatuogpt_o1(cls, **knobs: Any) -> "PPO":
        """HuatuoGPT-o1's settings (arXiv 2412.18925, section 3.3): KL 0.03, three passes, value coefficient 1."""
        return cls(**{"clip": 0.2, "kl_coef": 0.03, "epochs": 3, "gamma": 1.0, "value_coef": 1.0, **knobs})

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | {"values"}

    @property
    def outputs(self) -> frozenset[str]:
        return super().outputs | {"values"}

    def estimate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.values_BT is not None
        mask_BT = batch.loss_mask_BT
        advantages_BT, returns_BT = gae(self.token_rewards(batch), batch.values_BT, mask_BT, self.gamma, self.lam)
        return whiten(advantages_BT, mask_BT) if self.whiten else advantages_BT, returns_BT

    def gradient_rows(self, batch: Batch) -> Tensor:
        return batch.loss_mask_BT.any(-1)  # the critic learns where the policy does not

    def loss(self, outputs: Outputs, batch: Batch, denominators: Denominators) -> Loss:
        assert outputs.values_BT is not None and batch.values_BT is not None and batch.returns_BT is not None
        policy = super().loss(outputs, batch, denominators)
        loss_BT, clipped_BT = clipped_value_loss(outputs.values_BT, batch.values_BT, batch.returns_BT, self.value_clip)
        value = mean_loss(loss_BT, batch, denominators, "token")
        parts = {"value_loss": value.detach(), "value_clip_share": token_share(clipped_BT, batch, denominators)}
        return replace(policy, value=self.value_coef * value, parts={**policy.parts, **parts})

    def figures(self, batch: Batch) -> dict[str, float]:
        """`explained_variance`: 1 where the critic foretells returns, 0 where a constant does as well, below 0 worse."""
        assert batch.values_BT is not None and batch.returns_BT is not None
        found, mask_BT = super().figures(batch), batch.loss_mask_BT
        returns_N, values_N = batch.returns_BT[mask_BT], batch.values_BT[mask_BT]
        if len(returns_N) > 1 and float(returns_N.var()) > 0.0:
            found["explained_variance"] = 1.0 - float((returns_N - values_N).var() / returns_N.var())
        if len(returns_N):
            found |= {"value": float(torch.mean(values_N)), "return": float(torch.mean(returns_N))}
        return found


def clipped_value_loss(
    values_BT: Tensor, old_values_BT: Tensor, returns_BT: Tensor, clip: float | None
) -> tuple[Tensor, Tensor]:
    """A critic's squared error per token, which gains nothing by moving further than `clip` in one step.

        loss = 1/2 max( (V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2 )

    From OpenAI's baselines, taken over by most PPO of language models; with `clip` None the plain error.

    Returns:
        The loss (B, T) and where the clipped branch was taken (B, T) bool.
    """
    free_BT = (values_BT - returns_BT).square()
    if clip is None:
        return 0.5 * free_BT, free_BT.new_zeros(free_BT.shape, dtype=torch.bool)
    held_BT = (values_BT.clamp(old_values_BT - clip, old_values_BT + clip) - returns_BT).square()
    return 0.5 * torch.maximum(free_BT, held_BT), (held_BT > free_BT).detach()
