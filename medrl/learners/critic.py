"""A critic that learns: a value model with an optimizer of its own, beside any learner of the policy.

It reads the same micro-batches as the policy. With a trunk of its own it costs a second forward and backward pass and the
memory of a second model; over the policy's trunk it costs a head, and both losses pull on the trunk.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from medrl.algorithms import Batch
from medrl.learners.base import CriticSettings
from medrl.learners.logprobs import trained_states
from medrl.learners.moments import put_moments, read_moments, save_moments
from medrl.models import Policy
from medrl.models.critic import value_model


class Critic:
    """A value model, its AdamW, and how many updates it has had."""

    def __init__(self, policy: Policy, settings: CriticSettings, *, pack: bool = False) -> None:
        """A new critic for a policy, which says 0 of everything."""
        self.settings, self.pack = settings, pack
        self.model = value_model(policy, settings.trunk, settings.path)
        self.computes: torch.dtype = policy.model.dtype  # its weights are float32, see `value_model`
        self.updates = 0
        self.optimizer = torch.optim.AdamW(
            self.weights().values(),
            lr=settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    @property
    def shared(self) -> bool:
        """Whether it reads the states of the policy's trunk."""
        return self.model.trunk is None

    @property
    def alone(self) -> bool:
        """Whether the policy waits for it: the first updates are its own."""
        return self.updates < self.settings.alone_updates

    def weights(self) -> dict[str, torch.nn.Parameter]:
        """What its optimizer trains."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def values(self, micro: Batch, policy_states_ND: Tensor | None = None) -> Tensor:
        """Values of the trained tokens of a micro-batch, of the state before each.

        Args:
            micro: Right-padded rows on the model's device.
            policy_states_ND: What `trained_states` gave for the policy, for a shared trunk.

        Returns:
            (B, T) float32, 0 where the loss mask is False.
        """
        if self.model.trunk is None:
            assert policy_states_ND is not None
            # while the policy waits, its trunk does too
            hidden_ND = policy_states_ND.detach() if self.alone else policy_states_ND
        else:
            device, half = next(self.model.trunk.parameters()).device, self.computes != torch.float32
            with torch.autocast(device.type, dtype=self.computes if half else None, enabled=half):
                hidden_ND = trained_states(self.model.trunk, micro, pack=self.pack)
        mask_BT = micro.loss_mask_BT.to(hidden_ND.device)
        return torch.zeros(mask_BT.shape, device=mask_BT.device).masked_scatter(mask_BT, self.model(hidden_ND))

    def clip_gradient(self) -> float:
        """Scale the gradient down to its bound; what its norm was."""
        return torch.nn.utils.clip_grad_norm_(self.weights().values(), self.settings.max_grad_norm).item()

    def step(self) -> None:
        """One update from the gradient that is there."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr_at(self.updates)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1

    def save(self, folder: Path) -> None:
        """Write weights, moments and counter into an existing folder, under names of its own."""
        save_file(
            {n: w.detach().contiguous() for n, w in self.model.state_dict().items()}, folder / "critic.safetensors"
        )
        save_moments(self.optimizer, self.weights(), folder / "critic_optimizer.safetensors")
        (folder / "critic.json").write_text(json.dumps({"updates": self.updates}))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, bit for bit. Nothing is changed when something is missing or does not fit."""
        weights = load_file(folder / "critic.safetensors")
        state = read_moments(folder / "critic_optimizer.safetensors", self.weights())
        updates = int(json.loads((folder / "critic.json").read_text())["updates"])
        self.model.load_state_dict(weights)
        put_moments(self.optimizer, state)
        self.updates = updates
