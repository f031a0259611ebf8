"""How much of what its devices can do a learner does: tokens per second and model FLOP utilisation (MFU).

    FLOPs of an update = (2 + 4 b) * N * tokens + (1 + 2 b) * 2 L H * sum over sequences of s^2
    MFU                = FLOPs / (seconds * peak)

with N the parameters that a token is multiplied with (matrices of the blocks, and the head once; no look-up), L layers,
H the width of all query heads together, s the length of a sequence. 6 N a token, and attention beside it, are those of
PaLM (arXiv 2204.02311, appendix B), here with half its attention, as half of the pairs are masked. b is the share of
the backward pass that is done at all: 1; half for adapters, whose base has no gradients of weights; the share of
trained layers, where only the last are. Recomputation (gradient checkpointing), padding and the passes for old and
reference log-probabilities are work that does not count, as MFU has it.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from medrl.learners.base import Optimization

SIDE = {"cpu": 1024, "cuda": 8192}  # of the square matrices whose product is timed
ROUNDS = 5


def update_flops(model: nn.Module, optimization: Optimization, lengths: Sequence[int]) -> float | None:
    """Model FLOPs of forward and backward passes over sequences of these lengths.

    None where parameters do not say what a token costs: mixtures of experts, and models that see images.
    """
    config: Any = getattr(model, "config", None)
    text: Any = config.get_text_config() if config is not None else None
    layers, heads = getattr(text, "num_hidden_layers", None), getattr(text, "num_attention_heads", None)
    experts = any(getattr(text, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts"))
    if not layers or not heads or experts or text is not config:
        return None
    width = heads * (getattr(text, "head_dim", None) or text.hidden_size // heads)
    backward = 1.0
    if optimization.lora is not None:
        backward = 0.5
    elif optimization.last_layers is not None:
        backward = min(1.0, optimization.last_layers / layers)
    tokens, squared = float(sum(lengths)), float(sum(length**2 for length in lengths))
    forward = 2.0 * matrix_parameters(model) * tokens + 2.0 * layers * width * squared
    return float((1.0 + 2.0 * backward) * forward)


def matrix_parameters(model: Any) -> int:
    """Parameters of all matrices, the head among them, without the embedding's look-up and without adapters."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    matrices = {
        id(weight): _size(weight)
        for name, weight in model.named_parameters()
        if len(getattr(weight, "ds_shape", weight.shape)) >= 2 and "lora_" not in name
    }
    matrices.pop(id(embedding), None)
    return sum(matrices.values()) + (_size(head.weight) if head is not None and head.weight is embedding else 0)


def _size(weight: Any) -> int:
    return int(getattr(weight, "ds_numel", weight.numel()))


def measured_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a product of two large square matrices, the best of a few: what a device reaches at most.

    2 n^3 operations each. A quarter of a second on a core, milliseconds on a GPU; smaller ones where memory is full.
    """
    side = SIDE.get(device.type, SIDE["cpu"])
    while True:
        try:
            return _measured(side, device, dtype)
        except torch.OutOfMemoryError:  # of a figure nobody's run should end
            if side <= 512:
                return float("inf")
            side //= 2


def _measured(side: int, device: torch.device, dtype: torch.dtype) -> float:
    left = torch.full((side, side), 0.5, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(ROUNDS + 1):  # the first warms up
        began = time.perf_counter()
        product = left @ left
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    del product
    return 2.0 * side**3 / best
