"""A critic that learns: a value model with an optimizer of its own, beside any learner of the policy.

It reads the same micro-batches as the policy. With a trunk of its own it costs a second forward and backward pass and the
memory of a second model; over the policy's trunk it costs a head, and both losses pull on the trunk.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from medrl.algorithms import Batch
from medrl.learners.base import CriticSettings
from medrl.learners.checkpoint import OptimizerState, Row, Write, save_weights, write_state
from medrl.learners.logprobs import trained_states
from medrl.learners.moments import moment_rows, moments_of, put_moments
from medrl.models import Policy
from medrl.models.critic import ValueModel, value_model

FILE = "critic.safetensors"


class _Valued(nn.Module):
    """A critic with a trunk of its own: a micro-batch in; values (N,) of its trained tokens out, in a tuple of one."""

    def __init__(self, model: ValueModel, computes: torch.dtype, pack: bool) -> None:
        super().__init__()
        self.model, self.computes, self.pack = model, computes, pack

    def forward(self, *, micro: Batch) -> tuple[Tensor]:
        trunk = self.model.trunk
        assert trunk is not None
        weight = next(trunk.parameters())
        half = self.computes != torch.float32 and weight.dtype == torch.float32
        with torch.autocast(weight.device.type, dtype=self.computes if half else None, enabled=half):
            hidden_ND = trained_states(trunk, micro, pack=self.pack)
        return (self.model(hidden_ND),)


class Critic:
    """A value model, its AdamW, and how many updates it has had."""

    def __init__(
        self,
        policy: Policy,
        settings: CriticSettings,
        *,
        pack: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """A new critic for a policy, which says 0 of everything.

        Args:
            policy: Whose responses it values.
            settings: Its knobs.
            pack: See `trained_states`.
            dtype: See `value_model`.
        """
        self.settings = settings
        self.model = value_model(policy, settings.trunk, settings.path, dtype)
        self.run: Any = _Valued(self.model, policy.model.dtype, pack)
        self.updates = 0
        self.optimizer: Any = torch.optim.AdamW(
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
        if self.shared:
            assert policy_states_ND is not None
            # while the policy waits, its trunk does too
            values_N = self.model(policy_states_ND.detach() if self.alone else policy_states_ND)
        else:
            (values_N,) = self.run(micro=micro)
        mask_BT = micro.loss_mask_BT.to(values_N.device)
        values_BT: Tensor = values_N.new_zeros(mask_BT.shape).masked_scatter(mask_BT, values_N)
        return values_BT

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

    def save(self, folder: Path, write: Write) -> None:
        """Write weights, moments and counter into an existing folder, see `checkpoint`."""
        write(self.weight_rows(), lambda rows: save_weights(folder / FILE, rows))
        write(self.moment_rows(), lambda rows: write_state(folder, self.updates, rows, critic=True))

    def weight_rows(self) -> Iterator[Row]:
        """All its weights, whole."""
        yield from self.model.state_dict().items()

    def moment_rows(self) -> Iterator[Row]:
        """Steps and moments of its AdamW, whole, as `checkpoint` names them."""
        return moment_rows(self.optimizer, self.weights())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of what its optimizer trains."""
        return {name: tuple(weight.shape) for name, weight in self.weights().items()}

    def read(self, folder: Path) -> tuple[dict[str, Tensor], OptimizerState]:
        """Weights and moments that `save` wrote, of which nothing is taken over yet.

        Raises:
            OSError, ValueError, LookupError, safetensors.SafetensorError: Something is missing or does not fit.
        """
        weights, saved, shapes = load_file(folder / FILE), OptimizerState(folder, critic=True), self.shapes()
        if weights.keys() != self.model.state_dict().keys():
            raise ValueError("the critic has other weights")
        strays = [name for name, shape in shapes.items() if tuple(weights[name].shape) != shape]
        if strays:
            raise ValueError(f"{strays[0]} of the critic has another shape")
        saved.check(shapes)
        return weights, saved

    def put(self, weights: dict[str, Tensor], saved: OptimizerState) -> None:
        """Go on from what was read, bit for bit."""
        self.model.load_state_dict(weights)
        put_moments(self.optimizer, moments_of(saved, self.weights()))
        self.updates = saved.updates
