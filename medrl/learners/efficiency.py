"""How much of what its devices can do a learner does: model FLOP utilisation (MFU).

    forward  = 2 N * tokens + 2 V * trained + 2 L H * sum over sequences of s^2
    backward = 2 * forward, less what has no gradient
    MFU      = FLOPs of all passes of a step / (seconds of these passes * peak)

with N the parameters of the matrices that a token is multiplied with (the blocks; no look-up), V those of the head, which is
applied before the tokens that are trained on alone, L layers, H the width of all query heads together, s the length of a
sequence. 6 N a token, and attention beside it, are those of PaLM (arXiv 2204.02311, appendix B), here with half its
attention, as half of the pairs are masked. A backward pass makes as many operations again for gradients of inputs and as
many for gradients of weights: the latter are missing in the head and the base of adapters, attention has none, and with the
last layers alone both end where these begin.

The passes of a step:

    old and reference log-probabilities    a forward pass each, where the learner makes them
    values                                 a forward pass of the critic's trunk, its own or the policy's
    each epoch                             forward and backward of the policy, and of the critic; over the policy's trunk
                                           the critic is a head alone, since both losses go through the trunk together
    while the policy waits for its critic  forward of the policy; forward and backward of what the critic has of its own

Recomputation (gradient checkpointing, chunks of logits) and padding are work that does not count, as MFU has it.
"""

import time
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from medrl.learners.base import CriticSettings, Optimization

SIDE = {"cpu": 1024, "cuda": 8192}  # of the square matrices whose product is timed
ROUNDS = 5


@dataclass(frozen=True)
class Rows:
    """Sequences that go through a model, in numbers.

    Attributes:
        tokens: Of prompts and responses.
        trained: Those that are trained on.
        squared: The sum of the squares of the sequences' lengths.
    """

    tokens: float
    trained: float
    squared: float


@dataclass(frozen=True)
class Cost:
    """What a model costs, as the module's docstring has it.

    Attributes:
        body: N.
        head: V.
        layers: L.
        width: H.
    """

    body: int
    head: int
    layers: int
    width: int

    def forward(self, rows: Rows) -> float:
        """FLOPs of a forward pass."""
        return sum(self._parts(rows))

    def backward(self, rows: Rows, lora: bool = False, last_layers: int | None = None) -> float:
        """FLOPs of a backward pass; through adapters, or through the last layers alone."""
        body, head, attention = self._parts(rows)
        if lora:
            return body + head + 2.0 * attention
        if last_layers is not None:
            return 2.0 * min(1.0, last_layers / self.layers) * (body + attention) + head
        return 2.0 * (body + head + attention)

    def _parts(self, rows: Rows) -> tuple[float, float, float]:
        """FLOPs of a forward pass in the blocks' matrices, the head and attention."""
        return (
            2.0 * self.body * rows.tokens,
            2.0 * self.head * rows.trained,
            2.0 * self.layers * self.width * rows.squared,
        )


@dataclass(frozen=True)
class StepCost:
    """What a step of a policy costs, and of its critic where it has one."""

    policy: Cost
    critic: Cost | None = None
    """Over the policy's trunk this is a head alone."""

    def forward(self, rows: Rows, passes: Set[str]) -> float:
        """FLOPs of making "old_logprobs", "ref_logprobs" and "values" of these rows, as many as are in `passes`."""
        found = sum(self.policy.forward(rows) for name in ("old_logprobs", "ref_logprobs") if name in passes)
        if "values" in passes and self.critic is not None:
            trunk = Cost(self.policy.body, 0, self.policy.layers, self.policy.width)
            found += self.critic.forward(rows) + (0.0 if self.critic.body else trunk.forward(rows))
        return found

    def update(self, rows: Rows, optimization: Optimization, alone: float = 0.0) -> float:
        """FLOPs of one epoch over these rows; in a share `alone` of its updates the policy waits for its critic."""
        backward = self.policy.backward(rows, optimization.lora is not None, optimization.last_layers)
        found = self.policy.forward(rows) + (1.0 - alone) * backward
        if self.critic is not None:
            found += self.critic.forward(rows) + self.critic.backward(rows)
        return found


def step_cost(model: Any, critic: CriticSettings | None) -> StepCost | None:
    """What a model's steps cost, with a critic of these settings.

    None where parameters do not say what a token costs: mixtures of experts, and models that see images.
    """
    policy = cost_of(model)
    if policy is None or critic is None:
        return None if policy is None else StepCost(policy)
    hidden = int(model.config.hidden_size)
    if critic.trunk == "shared":
        return StepCost(policy, Cost(0, hidden, 0, 0))
    if critic.path is None:
        return StepCost(policy, Cost(policy.body, hidden, policy.layers, policy.width))
    own = _outline(critic.path)
    trunk = None if own is None else cost_of(own)
    if own is None or trunk is None:
        return None
    return StepCost(policy, Cost(trunk.body, int(own.config.hidden_size), trunk.layers, trunk.width))


def _outline(path: str) -> Any:
    """A trunk without weights; None where nothing can be read."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModel.from_config(config, trust_remote_code=False)
    except (OSError, ValueError):  # of a figure no run should end; a learner that needs the critic says what is wrong
        return None


def cost_of(model: Any) -> Cost | None:
    """What a model costs; None as in `step_cost`. Adapters are not counted."""
    config: Any = getattr(model, "config", None)
    text: Any = config.get_text_config() if config is not None else None
    layers, heads = getattr(text, "num_hidden_layers", None), getattr(text, "num_attention_heads", None)
    experts = any(getattr(text, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts"))
    if not layers or not heads or experts or text is not config:
        return None
    looked_up = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
    head = model.get_output_embeddings()
    apart = looked_up | ({id(head.weight)} if head is not None else set())
    matrices = {
        id(weight): _size(weight)
        for name, weight in model.named_parameters()
        if len(getattr(weight, "ds_shape", weight.shape)) >= 2 and "lora_" not in name and id(weight) not in apart
    }
    width = heads * (getattr(text, "head_dim", None) or text.hidden_size // heads)
    return Cost(sum(matrices.values()), 0 if head is None else _size(head.weight), int(layers), int(width))


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
