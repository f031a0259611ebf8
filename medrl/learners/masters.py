"""float32 selves of weights in fewer bits, which AdamW moves: in bfloat16 an update of 1e-6 would round away."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def masters_of(weights: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """By name what an optimizer is to move: a weight in float32 itself, else a float32 copy of it.

    A copy is given the weight's gradients as they come, added up in float32, and the weight keeps none. Who steps the copies
    calls `round_to` afterwards.
    """
    return {name: weight if weight.dtype == torch.float32 else _copy(weight) for name, weight in weights.items()}


def _copy(weight: nn.Parameter) -> nn.Parameter:
    master = nn.Parameter(weight.detach().float())

    def hand_on(of: Tensor) -> None:
        assert of.grad is not None
        gradient, of.grad = of.grad.float(), None
        master.grad = gradient if master.grad is None else master.grad.add_(gradient)

    weight.register_post_accumulate_grad_hook(hand_on)
    return master


@torch.no_grad()
def round_to(weights: Iterable[Tensor], masters: Iterable[Tensor]) -> None:
    """Set weights from their float32 selves."""
    for weight, master in zip(weights, masters, strict=True):
        if weight is not master:
            weight.copy_(master)
