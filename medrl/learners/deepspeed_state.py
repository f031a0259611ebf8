"""Weights and moments that DeepSpeed holds in parts, seen whole: gathered, read and set one parameter at a time.

Stage 0 keeps everything whole; stages 1 and 2 keep whole weights and flat parts of fp32 weights and moments; stage 3 keeps
parts of all. Whatever reads or writes checkpoints goes through here, so that files hold whole tensors under their names.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from medrl.errors import need
from medrl.learners.checkpoint import MOMENTS, Row
from medrl.learners.trainable import whole


class ShardedState:
    """The state of one engine of DeepSpeed, on one rank."""

    def __init__(self, optimizer: Any, weights: Mapping[str, nn.Parameter], stage: int, rank: int, ranks: int) -> None:
        """Begin with moments of 0, which AdamW would make at its first step: a checkpoint may be loaded before it.

        Args:
            optimizer: DeepSpeed's, or torch's own with stage 0.
            weights: What trains, by name.
            stage: Of ZeRO.
            rank: This one.
            ranks: How many there are.
        """
        self.weights, self.stage, self.rank, self.ranks = weights, stage, rank, ranks
        self.shapes = {name: tuple(getattr(weight, "ds_shape", weight.shape)) for name, weight in weights.items()}
        self._deepspeed: Any = need("deepspeed", "deepspeed")
        self.adam: Any = optimizer.optimizer if stage else optimizer  # torch's own, beneath DeepSpeed's
        self._owned: list[Tensor] = list(weights.values())  # what this rank's AdamW steps
        if stage:
            self._owned = (
                optimizer.fp32_partitioned_groups_flat if stage == 3 else optimizer.single_partition_of_fp32_groups
            )
        for owned in self._owned:
            zeros = {key: torch.zeros_like(owned.data) for key in MOMENTS}
            self.adam.state[owned] = {"step": torch.zeros((), device=owned.device), **zeros}
        if stage in (1, 2):
            optimizer._lazy_init_hp_params_optimizer_state()
        self.step = 0.0

    @property
    def step(self) -> float:
        """Updates that AdamW corrects its moments' bias for; one count for all weights."""
        return float(self.adam.state[self._owned[0]]["step"])

    @step.setter
    def step(self, step: float) -> None:
        of_torch = isinstance(self.adam, torch.optim.AdamW)  # DeepSpeed's for the CPU counts in Python
        for owned in self._owned:
            state = self.adam.state[owned]
            state["step"] = torch.full((), step, device=owned.device) if of_torch else int(step)

    def gather(self, weights: Sequence[nn.Parameter], writer: int | None = None) -> AbstractContextManager[Any]:
        """Weights in one piece on every rank; with a writer, what that rank puts there is what all keep. Collective."""
        if self.stage < 3:
            return whole(weights)
        block: AbstractContextManager[Any] = self._deepspeed.zero.GatheredParameters(
            list(weights), modifier_rank=writer
        )
        return block

    def parts(self) -> list[Tensor]:
        """The weights as this rank has them, and their fp32 selves: all that an update changes here, moments apart."""
        here = [weight.ds_tensor if self.stage == 3 else weight.data for weight in self.weights.values()]  # type: ignore[attr-defined]
        return [*here, *(owned.data for owned in self._owned if self.stage)]

    def let_go(self) -> None:
        """After the parts were set: small weights that stage 3 keeps gathered are gathered anew when they are needed."""
        for weight in self.weights.values() if self.stage == 3 else ():
            if weight.ds_status == self._deepspeed.zero.partition_parameters.ZeroParamStatus.AVAILABLE:  # type: ignore[attr-defined]
                weight.partition(has_been_updated=False)  # type: ignore[attr-defined]

    def rows(self, *, masters: bool = False) -> Iterator[Row]:
        """Steps, moments and, where asked for, fp32 weights, as `checkpoint` names them; collective."""
        step = torch.tensor(self.step)
        for name in self.weights:
            yield f"{name}/step", step
            for key in MOMENTS:
                yield f"{name}/{key}", self.whole(name, key)
            if masters:
                yield f"{name}/master", self.whole(name)

    def whole(self, name: str, key: str | None = None) -> Tensor:
        """A moment, or a weight's fp32 self where `key` is empty, in one piece on every rank; collective."""
        weight, tools = self.weights[name], self._deepspeed.utils
        found: Tensor
        if self.stage == 0:
            found = weight.detach() if key is None else self.adam.state[weight][key]
        elif key is None:
            found = tools.safe_get_full_fp32_param(weight)
        else:
            found = tools.safe_get_full_optimizer_state(weight, key)
        return found

    def put(self, name: str, key: str | None, value: Tensor) -> None:
        """Set this rank's part of a moment, or of a weight's fp32 self where `key` is empty, from the whole."""
        weight: Any = self.weights[name]
        tools, value = self._deepspeed.utils, value.to(torch.float32)
        if self.stage == 0:
            if key is not None:
                self.adam.state[weight][key].copy_(value)
        elif self.stage < 3:
            weight.set_full_hp_param(value, key)
        else:
            size = weight.ds_tensor.ds_numel  # a rank's part; the last one is padded
            part = nn.functional.pad(value.flatten(), (0, size * self.ranks - value.numel()))
            part = part[self.rank * size : (self.rank + 1) * size]
            if key is None:
                tools.safe_set_local_fp32_param(weight, part)
            else:
                tools.safe_set_local_optimizer_state(weight, part, key)
