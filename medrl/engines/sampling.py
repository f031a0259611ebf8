"""Draw tokens so that each request's draws depend on its own seed alone, not on what else is in the batch."""

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit number


def uniform(seeds_B: Tensor, step_B: Tensor) -> Tensor:
    """Numbers in [0, 1) from (seed, step), by splitmix64 (Steele, Lea, Flood, OOPSLA 2014). (B,) float64.

    A counter-based generator: no state to save, no order to keep, and one call for the whole batch.
    """
    z = seeds_B + (step_B + 1) * _GOLDEN
    z = (z ^ _shift(z, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    z = (z ^ _shift(z, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    z = z ^ _shift(z, 31)
    return _shift(z, 11).double() * 2.0**-53


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def process_logits(logits_BV: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Temperature, then top-k, then top-p; what is left out becomes -inf. (B, V) float32."""
    logits_BV = logits_BV.float()
    if temperature > 0 and temperature != 1.0:
        logits_BV = logits_BV / temperature
    if 0 < top_k < logits_BV.shape[-1]:
        least_B1 = logits_BV.topk(top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    if top_p < 1.0:
        ordered_BV, index_BV = logits_BV.sort(dim=-1, descending=True)
        probs_BV = ordered_BV.softmax(-1)
        beyond_BV = probs_BV.cumsum(-1) - probs_BV >= top_p  # the first token that reaches top_p stays
        logits_BV = logits_BV.masked_fill(beyond_BV.scatter(-1, index_BV, beyond_BV), -torch.inf)
    return logits_BV


def draw(logits_BV: Tensor, u_B: Tensor, greedy: bool) -> tuple[Tensor, Tensor]:
    """One token per row by inverting the cumulative distribution at `u_B`, and its log-probability. (B,), (B,)."""
    logprobs_BV = logits_BV.log_softmax(-1)
    if greedy:
        token_B = logits_BV.argmax(-1)
    else:
        cumulative_BV = logprobs_BV.exp().cumsum(-1, dtype=torch.float64)
        total_B1 = cumulative_BV[:, -1:]
        target_B1 = torch.minimum(u_B.unsqueeze(-1) * total_B1, torch.nextafter(total_B1, torch.zeros_like(total_B1)))
        # right=True: the first token whose cumulative probability exceeds the target, never one of probability 0.
        token_B = torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(-1)
    return token_B, logprobs_BV.gather(-1, token_B.unsqueeze(-1)).squeeze(-1)
