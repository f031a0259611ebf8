"""What all policy-gradient algorithms here share: one loss, of which each algorithm changes a piece.

    loss = mean over tokens of [ w * surrogate(ratio, A) + kl_coef * KL(policy || reference) - entropy_coef * entropy ]

An algorithm says what the advantage A is (`estimate`) and, where it differs from PPO's clipped surrogate, what a token
costs (`surrogate`). w corrects for rollouts that were drawn from other weights, or by another engine, than those of the
old log-probabilities (see `correction.py`). Rollouts without a score are in none of these; `Score.weight` scales A.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from medrl.algorithms.base import Algorithm, Denominators, Loss, Outputs
from medrl.algorithms.batch import Batch
from medrl.algorithms.correction import Correction, importance_weights, weight_figures
from medrl.algorithms.kl import KLEstimator, adapted_weight, kl_estimate, kl_penalty, mean_kl, penalised_rewards

Mean = Literal["sequence", "token", "limit"]
Place = Literal["loss", "reward"]


@dataclass(frozen=True)
class PolicyGradient(Algorithm):
    """The base of GRPO, PPO and their kin."""

    clip: float = 0.2
    """How far the probability ratio may fall below 1 before a token stops pulling. Typical 0.1 to 0.3."""

    clip_high: float | None = None
    """How far it may rise above 1, where that differs from `clip` (DAPO's clip-higher lets unlikely good tokens grow).
    Typical 0.28."""

    kl_coef: float = 0.0
    """Weight of the KL to the reference policy; above 0 a reference is kept. Typical 0 to 0.05."""

    kl_estimator: KLEstimator = "k3"
    """Which estimate of the KL: k1, k2 or k3. As a loss k1 has no gradient on average: take k2 or k3 there. In the
    reward k1 is the unbiased one."""

    kl_in: Place = "loss"
    """Where the KL stands: in the "loss", or in the "reward", from which advantages are then taken."""

    kl_target: float | None = None
    """KL in nats a token to hold: `kl_coef` is then the first weight, and rises and falls. Typical 0.01 to 0.1; empty
    for a constant weight."""

    kl_horizon: int = 10_000
    """Rollouts over which the weight may change by a fifth, where there is a `kl_target`; no step changes it by more.
    Typical 2,000 to 10,000."""

    mean: Mean = "token"
    """How token losses are averaged: per response first ("sequence", GRPO: long responses weigh less per token), over
    all "token"s (DAPO), or divided by the token "limit" (Dr. GRPO)."""

    entropy_coef: float = 0.0
    """Weight of the policy's exact entropy as a bonus; costs one more pass over the logits. Typical 0 to 0.01."""

    log_entropy: bool = False
    """Log that entropy (`policy_entropy`, nats a token) without a bonus, too. The log's `entropy` is an estimate of it
    from the sampled tokens, for nothing."""

    correction: Correction = "none"
    """Weights for rollouts of older weights or of an engine whose probabilities differ: "none", a weight for each
    "token" (biased, calm), or one for the "sequence" (unbiased, wild)."""

    correction_cap: float = 2.0
    """Largest such weight. Typical 2 to 10."""

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = self._clip_faults()
        for name, known in self._choices().items():
            if getattr(self, name) not in get_args(known):
                faults.append(f"{name} is {getattr(self, name)!r}; it is one of {', '.join(get_args(known))}")
        faults += [f"{n} is {getattr(self, n)}; it must be 0 or more" for n in ("kl_coef", "entropy_coef")
                   if getattr(self, n) < 0.0]  # fmt: skip
        if self.kl_target is not None and (self.kl_target <= 0.0 or not self.kl_coef):
            faults.append(f"kl_target is {self.kl_target}; it must be above 0, and needs a kl_coef to begin with")
        if self.kl_horizon < 1:
            faults.append(f"kl_horizon is {self.kl_horizon}; it must be at least 1")
        if self.correction_cap < 1.0:
            faults.append(
                f"correction_cap is {self.correction_cap}; below 1 it would scale down rollouts that are right"
            )
        if faults:
            raise ValueError(f"{self.kind}: " + "; ".join(faults))

    _named: ClassVar[dict[str, Any]] = {
        "kl_estimator": KLEstimator, "kl_in": Place, "mean": Mean, "correction": Correction,
    }  # fmt: skip

    def _choices(self) -> dict[str, Any]:
        """Knobs that name one of a few things."""
        return self._named

    def _clip_faults(self) -> list[str]:
        faults = []
        if not 0.0 < self.clip < 1.0:
            faults.append(f"clip is {self.clip}; it must lie between 0 and 1, typically 0.2")
        if self.clip_high is not None and self.clip_high <= 0.0:
            faults.append(f"clip_high is {self.clip_high}; it must be above 0, typically 0.28")
        return faults

    @property
    def bounds(self) -> tuple[float, float]:
        """How far the ratio may fall and rise."""
        return self.clip, self.clip if self.clip_high is None else self.clip_high

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"old_logprobs", "ref_logprobs"} if self.kl_coef else {"old_logprobs"})

    @property
    def outputs(self) -> frozenset[str]:
        return frozenset({"entropy"} if self.entropy_coef or self.log_entropy else ())

    @abstractmethod
    def estimate(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Advantages, and a critic's targets or None, each (B, T), of what `token_rewards` or `outcomes` say."""

    def token_rewards(self, batch: Batch) -> Tensor:
        """(B, T): each response's reward on its last trained token, less the KL of each token where it stands here."""
        return penalised_rewards(batch, self._reward_kl(batch), self.kl_estimator)

    def outcomes(self, batch: Batch) -> Tensor:
        """(B,): each response's reward, less the KL of its tokens where it stands here; NaN where there is no score."""
        return batch.rewards_B - kl_penalty(batch, self._reward_kl(batch), self.kl_estimator).sum(-1)

    def advantages(self, batch: Batch, state: dict[str, Any]) -> Batch:
        batch = replace(batch, kl_coef=self._present_weight(batch, state))
        advantages_BT, returns_BT = self.estimate(batch)
        weights_B1 = 1.0 if batch.weights_B is None else batch.weights_B.unsqueeze(-1)
        return batch.with_(advantages_BT=weights_B1 * advantages_BT * batch.loss_mask_BT, returns_BT=returns_BT)

    def _present_weight(self, batch: Batch, state: dict[str, Any]) -> float | None:
        """The KL's weight in this step where there is a target; `state` carries the next step's."""
        if self.kl_target is None:
            return None
        weight = float(state.get("kl_coef", self.kl_coef))
        kl, count = mean_kl(batch)
        state["kl_coef"] = adapted_weight(weight, kl, self.kl_target, count, self.kl_horizon)
        return weight

    def _weight(self, batch: Batch) -> float:
        return self.kl_coef if batch.kl_coef is None else batch.kl_coef

    def _reward_kl(self, batch: Batch) -> float:
        return self._weight(batch) if self.kl_in == "reward" else 0.0

    def _loss_kl(self, batch: Batch) -> float:
        return self._weight(batch) if self.kl_in == "loss" else 0.0

    def gradient_rows(self, batch: Batch) -> Tensor:
        rows_B = super().gradient_rows(batch)
        if self._loss_kl(batch) or self.entropy_coef or batch.advantages_BT is None:
            return rows_B
        return rows_B & (batch.advantages_BT != 0).any(-1)  # without such a term, advantage 0 is gradient 0

    def surrogate(self, logprobs_BT: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """What each token costs, and where clipping took its gradient away (or its weight): PPO's clipped surrogate."""
        assert batch.old_logprobs_BT is not None and batch.advantages_BT is not None
        return clipped_surrogate(logprobs_BT, batch.old_logprobs_BT, batch.advantages_BT, *self.bounds)

    def loss(self, outputs: Outputs, batch: Batch, denominators: Denominators) -> Loss:
        assert batch.old_logprobs_BT is not None
        logprobs_BT = outputs.logprobs_BT
        loss_BT, clipped_BT = self.surrogate(logprobs_BT, batch)
        figures = {"clip_share": clipped_BT, "kl_old": kl_estimate(logprobs_BT, batch.old_logprobs_BT, "k3")}
        if self.correction != "none":
            loss_BT = loss_BT * importance_weights(batch, self.correction, self.correction_cap)[0]
        if self._loss_kl(batch):
            assert batch.ref_logprobs_BT is not None
            figures["kl"] = kl_estimate(logprobs_BT, batch.ref_logprobs_BT, self.kl_estimator)
            loss_BT = loss_BT + self._loss_kl(batch) * figures["kl"]
        if outputs.entropy_BT is not None:
            figures["policy_entropy"] = outputs.entropy_BT
            loss_BT = loss_BT - self.entropy_coef * outputs.entropy_BT
        parts = {name: token_share(table.detach(), batch, denominators) for name, table in figures.items()}
        return Loss(mean_loss(loss_BT, batch, denominators, self.mean), parts=parts)

    def figures(self, batch: Batch) -> dict[str, float]:
        found = weight_figures(batch, self.correction, self.correction_cap) if self.correction != "none" else {}
        if self.kl_target is not None or (self.kl_coef and self.kl_in == "reward"):
            found |= {"kl_coef": self._weight(batch), "kl_reference": mean_kl(batch)[0]}
        return found


def clipped_surrogate(
    logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_BT: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate (arXiv 1707.06347, equation 7), per token, as a loss to minimise.

        ratio = exp(logp - logp_old);  loss = -min(ratio * A, clip(ratio, 1 - low, 1 + high) * A)

    Unequal bounds are DAPO's clip-higher (arXiv 2503.14476, section 3.1).

    Returns:
        The loss (B, T) and where the clipped branch was taken, so that the token gives no gradient (B, T) bool.
    """
    ratio_BT = torch.exp(logprobs_BT - old_logprobs_BT)
    free_BT = ratio_BT * advantages_BT
    held_BT = ratio_BT.clamp(1.0 - clip_low, 1.0 + clip_high) * advantages_BT
    return -torch.minimum(free_BT, held_BT), (held_BT < free_BT).detach()


def mean_loss(loss_BT: Tensor, batch: Batch, denominators: Denominators, mean: Mean) -> Tensor:
    """A micro-batch's share of the minibatch's mean."""
    mask_BT = batch.loss_mask_BT
    if mean == "token":
        return (loss_BT * mask_BT).sum() / max(denominators.tokens, 1.0)
    sums_B = (loss_BT * mask_BT).sum(-1)
    if mean == "sequence":
        return (sums_B / mask_BT.sum(-1).clamp(min=1)).sum() / max(denominators.sequences, 1.0)
    return sums_B.sum() / (max(denominators.sequences, 1.0) * batch.max_response_tokens)


def token_share(values_BT: Tensor, batch: Batch, denominators: Denominators) -> Tensor:
    """A micro-batch's share of a figure's mean over the tokens that were computed."""
    return (values_BT * batch.loss_mask_BT).sum() / max(denominators.computed, 1.0)
