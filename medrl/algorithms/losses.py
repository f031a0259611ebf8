"""The per-token losses that algorithms are made of. All tensors are (B, T) unless a name says otherwise."""

import torch
from torch import Tensor


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
