"""Adapters on an engine's side: the weights of the folder that it started from, with what a learner's adapters add.

With LoRA the base never changes, so a sync needs no more than A and B of each layer, a hundredth of the weights or less. Each
engine reads the base from its folder again and adds alpha / rank * B A, one tensor at a time, as the learner does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from medrl.errors import MissingFile

PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"  # of PEFT's names


def merged_weights(
    folder: str, dtype: torch.dtype, adapters: Mapping[str, Tensor], scale: float
) -> Iterator[tuple[str, Tensor]]:
    """All weights of a folder, in `dtype`, with adapters added: W + scale * B A. Each is made when it is asked for.

    Args:
        folder: Of Hugging Face, with safetensors.
        dtype: Of the policy's weights.
        adapters: By PEFT's names, as `Learner.weights("adapter")` has them.
        scale: alpha / rank.

    Raises:
        MissingFile: The folder has no safetensors.
        ValueError: Adapters belong to weights that the folder does not have.
    """
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise MissingFile(
            f"{folder} has no *.safetensors, to which adapters could be added; set cluster.adapters_only=false"
        )
    left = set(adapters)
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                weight: Tensor = opened.get_tensor(name).to(dtype)
                layer = PREFIX + name.removesuffix(".weight")
                if f"{layer}{A}" in adapters:
                    delta = (adapters[f"{layer}{B}"] @ adapters[f"{layer}{A}"]) * scale
                    weight = weight + delta.to(dtype)
                    left -= {f"{layer}{A}", f"{layer}{B}"}
                yield name, weight
    if left:
        raise ValueError(
            f"{folder} has no weight for {len(left)} tensors of adapters, the first being {min(left)}; where its files have "
            "other names than the model, set cluster.adapters_only=false"
        )
