"""Breaking an update off: a flag that other threads raise, and copies by which half an update is undone.

An update of one optimizer step changes nothing before its end, so it needs no copy. One of several keeps weights and moments
of before it in host memory, up to `Optimization.undo_mib`; beyond that a broken-off update cannot be undone, and says so.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Undo:
    """Weights, moments and counters as they are now, to be put back in place."""

    def __init__(
        self, tensors: Sequence[Tensor], optimizers: Sequence[torch.optim.Optimizer], counters: Sequence[Any]
    ) -> None:
        """Copy everything.

        Args:
            tensors: Weights, changed in place by an update.
            optimizers: Whose moments are kept; those that a weight does not have yet are gone again after `put_back`.
            counters: Objects that count their `updates`.
        """
        self._tensors = [(tensor, _copied(tensor)) for tensor in tensors]
        self._states = [
            (
                optimizer,
                {
                    weight: {key: _copied(one) for key, one in state.items()}
                    for weight, state in optimizer.state.items()
                },
            )
            for optimizer in optimizers
        ]
        self._counters = [(one, one.updates) for one in counters]

    @torch.no_grad()
    def put_back(self) -> None:
        """Everything as it was when this was made."""
        for tensor, copy in self._tensors:
            tensor.copy_(copy)
        for optimizer, states in self._states:
            for weight in [weight for weight in optimizer.state if weight not in states]:
                del optimizer.state[weight]
            for weight, state in states.items():
                for key, copy in state.items():
                    if isinstance(copy, Tensor):
                        optimizer.state[weight][key].copy_(copy)
                    else:
                        optimizer.state[weight][key] = copy
        for one, updates in self._counters:
            one.updates = updates


def mib(tensors: Sequence[Tensor]) -> float:
    """What `Undo` of these takes with AdamW's two moments beside each."""
    return 3 * sum(tensor.nbytes for tensor in tensors) / 2**20


def _copied(value: Any) -> Any:
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
