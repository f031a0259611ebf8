"""float32 selves of weights in fewer bits, which AdamW moves: in bfloat16 an update of 1e-6 would round away."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


def masters_of(weights: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """By name what an optimizer is to move: a weight in float32 itself, else a float32 copy of it."""
    return {
        name: weight if weight.dtype == torch.float32 else nn.Parameter(weight.detach().float())
        for name, weight in weights.items()
    }


@contextmanager
def handing_on(weights: Iterable[nn.Parameter], masters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Within the block each copy is given its weight's gradients as they come, added up in float32; the weight keeps none.

    Only within it: whoever trains the weights next must find their gradients where they belong.
    """
    pairs = [(weight, master) for weight, master in zip(weights, masters, strict=True) if weight is not master]
    hooks = [weight.register_post_accumulate_grad_hook(partial(_hand_on, master)) for weight, master in pairs]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hand_on(master: nn.Parameter, weight: Tensor) -> None:
    assert weight.grad is not None
    gradient, weight.grad = weight.grad.float(), None
    master.grad = gradient if master.grad is None else master.grad.add_(gradient)


@torch.no_grad()
def round_to(weights: Iterable[Tensor], masters: Iterable[Tensor]) -> None:
    """Set weights from their float32 selves, after these were moved."""
    for weight, master in zip(weights, masters, strict=True):
        if weight is not master:
            weight.copy_(master)
