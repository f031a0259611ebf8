"""A model's head on a chunk of positions: its logits, and what their gradient is to hidden states, weight and bias."""

import torch
from torch import Tensor, nn


def chunk_logits(hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, scale: float) -> Tensor:
    """scale * (hidden @ weight^T + bias) in float32, (C, V); a table of its own, which may be written over."""
    logits_CV = nn.functional.linear(hidden_CD, weight_VD, bias_V).float()
    return logits_CV if scale == 1.0 else logits_CV.mul_(scale)


class HeadGradients:
    """Gradients of hidden states, weight and bias, gathered chunk by chunk from those of the scaled logits.

    Args:
        hidden_ND: Hidden states before the head.
        weight_VD: The head's weight.
        bias_V: The head's bias.
        scale: As in `chunk_logits`.
        needed: For which of the three a gradient is wanted.
    """

    def __init__(
        self, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, scale: float, needed: tuple[bool, ...]
    ) -> None:
        self._hidden_ND, self._weight_VD, self._scale = hidden_ND, weight_VD, scale
        self.hidden_ND = torch.empty_like(hidden_ND) if needed[0] else None
        self.weight_VD = torch.zeros_like(weight_VD) if needed[1] else None
        self.bias_V = torch.zeros_like(bias_V) if needed[2] and bias_V is not None else None

    def add(self, part: Tensor, d_logits_CV: Tensor) -> None:
        """The positions `part`, whose scaled logits have this gradient; it is written over."""
        if self.bias_V is not None:
            self.bias_V += d_logits_CV.mul(self._scale).sum(0).to(self.bias_V.dtype)
        d_logits_CV = d_logits_CV.mul_(self._scale).to(self._hidden_ND.dtype)
        if self.hidden_ND is not None:
            self.hidden_ND[part] = d_logits_CV @ self._weight_VD
        if self.weight_VD is not None:
            self.weight_VD.addmm_(d_logits_CV.T, self._hidden_ND[part])
