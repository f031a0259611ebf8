"""A value model: what a policy can still expect to be paid, read off the hidden state before each token.

A trunk (any transformer without its language head) and a linear head of one output. The head begins at 0, so that a new
critic says 0 of everything instead of noise. A trunk of its own keeps float32 weights whatever the policy's are: AdamW at the
rates of RL moves a bfloat16 weight by less than its rounding, so that it would never learn.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from medrl.errors import MissingFile
from medrl.models.policy import Policy


class _ValueHead(nn.Linear):
    """Computes in float32 whatever its weights are."""

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input.float(), self.weight.float(), self.bias.float())


class ValueModel(nn.Module):
    """Values of hidden states; `trunk` is None where the states come from the policy's own trunk."""

    def __init__(self, trunk: nn.Module | None, width: int, like: Tensor) -> None:
        """A head over states of so many numbers, on the device of `like`."""
        super().__init__()
        self.trunk = trunk
        self.head = _ValueHead(width, 1, device=like.device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, hidden_ND: Tensor) -> Tensor:
        """Values of hidden states: (N, D) to (N,) float32."""
        values_N1: Tensor = self.head(hidden_ND)
        return values_N1[:, 0]


def value_model(
    policy: Policy, trunk: str = "own", path: str | None = None, dtype: torch.dtype = torch.float32
) -> ValueModel:
    """A critic for a policy: over a copy of its trunk, over another model's, or over its own.

    Args:
        policy: Whose responses are valued.
        trunk: "own" for weights apart from the policy's, "shared" for the policy's.
        path: Folder or hub id that an own trunk is read from; a copy of the policy's present one when empty.
        dtype: Of an own trunk's weights; fewer bits are for who keeps float32 ones beside them.

    Raises:
        MissingFile: Nothing can be read from `path`, or it embeds fewer tokens than the policy's tokenizer has.
    """
    weight: Tensor = policy.model.get_input_embeddings().weight  # type: ignore[assignment]
    width = int(policy.model.config.get_text_config().hidden_size)
    if trunk == "shared":
        return ValueModel(None, width, weight)
    if path is None:
        copied: Any = copy.deepcopy(policy.model.base_model)
        return ValueModel(nn.Module.to(copied, dtype).requires_grad_(True), width, weight)
    model = _read(path, weight.device, dtype)
    rows = int(model.get_input_embeddings().weight.shape[0])
    if rows < len(policy.tokenizer):
        raise MissingFile(
            f"the critic {path} embeds {rows} tokens, and the policy's tokenizer has {len(policy.tokenizer)}; a critic "
            "must read the policy's own tokens"
        )
    return ValueModel(model, int(model.config.get_text_config().hidden_size), weight)


def _read(path: str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import AutoModel

    try:
        model: Any = AutoModel.from_pretrained(path, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise MissingFile(f"no critic can be read from {path!r}: {error}") from error
    return nn.Module.to(model, device)
