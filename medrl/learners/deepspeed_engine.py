"""A model that trains over all ranks: its passes, its gradient and its AdamW. Several step together or not at all."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medrl.errors import need
from medrl.learners import trainable
from medrl.learners.base import CriticSettings, Optimization
from medrl.learners.checkpoint import MOMENTS
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.learners.deepspeed_state import ShardedState

Vote = Callable[[bool], bool]  # told whether a gradient is finite, says whether to step by it


def initialize(module: nn.Module, optimizer: Any, zero: DeepSpeedSettings, max_grad_norm: float = 0.0) -> Any:
    """DeepSpeed's own engine over a module; with stage 3 its weights are shared out in place. Collective."""
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    deepspeed: Any = need("deepspeed", "deepspeed")
    # Kernels of tensor-parallel inference, which no training calls: on a CPU DeepSpeed would compile them at its start.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    with redirect_stdout(StringIO()):  # DeepSpeed tells of each operator that it has built
        return deepspeed.initialize(
            model=module, optimizer=optimizer, config=zero.config(max_grad_norm), dist_init_required=False
        )[0]


class Engine:
    """What trains of one model, on one rank. All methods are collective. Stage 0 is plain torch: nothing is shared out."""

    def __init__(
        self,
        module: nn.Module,
        weights: Mapping[str, nn.Parameter],
        settings: Optimization | CriticSettings,
        zero: DeepSpeedSettings,
    ) -> None:
        """Share a module out.

        Args:
            module: Gives a tuple of tensors; the same on every rank.
            weights: What trains of it, by the names that checkpoints have.
            settings: Knobs of AdamW, and the bound of the gradient's norm.
            zero: How it is shared out.
        """
        self.weights, self.stage, self.ranks = weights, zero.stage, dist.get_world_size()
        self._bound = settings.max_grad_norm
        self.module: Any = module
        self.optimizer: Any = self._adamw(settings, zero)
        if self.stage:
            self.module = initialize(module, self.optimizer, zero, self._bound)
            self.optimizer = self.module.optimizer
            self.optimizer._update_scale = self._decide  # DeepSpeed calls it between the norm and the step
        self.state = ShardedState(self.optimizer, weights, self.stage, dist.get_rank(), self.ranks)

    def _adamw(self, settings: Optimization | CriticSettings, zero: DeepSpeedSettings) -> torch.optim.Optimizer:
        knobs: dict[str, Any] = {"lr": settings.lr, "betas": settings.betas, "weight_decay": settings.weight_decay}
        weights = list(self.weights.values())
        if zero.offload != "none" and weights[0].is_cuda:
            cpu_adam: Any = need("deepspeed", "deepspeed").ops.adam.DeepSpeedCPUAdam
            fast: torch.optim.Optimizer = cpu_adam(weights, adamw_mode=True, **knobs)
            return fast
        return torch.optim.AdamW(weights, fused=True, **knobs)

    def __call__(self, **inputs: Any) -> tuple[Any, ...]:
        """What the module gives. Gradients that come in here are those of the sum over ranks; ZeRO would take the mean."""
        outputs: tuple[Any, ...] = self.module(**inputs)
        return tuple(map(self._summed, outputs)) if self.stage else outputs

    def _summed(self, output: Any) -> Any:
        if isinstance(output, Tensor) and output.requires_grad:
            output = output.view_as(output)  # the module may have gone on from its own
            output.register_hook(lambda gradient: gradient * self.ranks)
        return output

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this rank's share of the loss."""
        if self.stage:
            self.module.backward(loss)
        else:
            loss.backward()

    def step(self, lr: float, vote: Vote) -> float:
        """Step by the gradients of all ranks, scaled down to their bound; or drop them.

        Args:
            lr: The learning rate.
            vote: Asked once, when nothing has changed yet. It may let other engines step meanwhile.

        Returns:
            Their norm before clipping, the same on all ranks; NaN where it is not finite or ZeRO was told to drop them.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.stage:
            self._vote = vote
            self.module.step()
            return math.nan if self.optimizer.overflow else float(self.module.get_global_grad_norm())
        weights = list(self.weights.values())
        for weight in weights:
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            dist.all_reduce(weight.grad)
        norm = torch.nn.utils.clip_grad_norm_(weights, self._bound).item()
        if vote(math.isfinite(norm)):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _decide(self, overflow: bool) -> None:
        self.optimizer.overflow = not self._vote(not overflow)

    def load(self, model: nn.Module, weights: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
        """Set a model's weights and AdamW's state from whole tensors, named as checkpoints name them."""
        trainable.assign(model, weights, lambda some: self.state.gather(some, writer=0))
        for name, shape in self.state.shapes.items():
            master = saved.get(f"{name}/master")
            self.state.put(name, None, weights[trainable.saved_name(name)] if master is None else master)
            for key in MOMENTS:
                moment = saved.get(f"{name}/{key}")
                self.state.put(name, key, torch.zeros(shape) if moment is None else moment)
        self.state.step = max((float(saved[key]) for key in saved if key.endswith("/step")), default=0.0)

    def close(self) -> None:
        """Take it apart, before another is made in the same process."""
        if self.stage:
            self.module.destroy()


def step_together(steps: Sequence[Callable[[Vote], float]], allowed: bool = True) -> list[float]:
    """Let engines step, each by its `step` with all but the vote given: all, or none where a gradient is not finite.

    Args:
        steps: Each decides when those after it have stepped, or have not.
        allowed: Whether any may; where not, all drop their gradients.

    Returns:
        What each returns.
    """
    norms = list[float]()

    def vote(finite: bool) -> bool:
        norms.extend(step_together(steps[1:], allowed and finite))
        return allowed and finite and all(map(math.isfinite, norms))

    return [steps[0](vote), *norms] if steps else []
