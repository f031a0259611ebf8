"""A critic over the ranks of a DeepSpeed learner: a trunk of its own is shared out as the policy is, a head is not."""

from collections.abc import Iterator

import torch
from torch import Tensor

from medrl.learners.base import CriticSettings
from medrl.learners.checkpoint import OptimizerState, Row
from medrl.learners.critic import Critic
from medrl.learners.deepspeed_engine import Engine
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.models import Policy


class DeepSpeedCritic(Critic):
    """A value model in an engine of its own, which steps it. What comes from and goes to files is collective."""

    def __init__(self, policy: Policy, settings: CriticSettings, zero: DeepSpeedSettings, *, pack: bool) -> None:
        """A new critic for a policy that is in one piece still; collective."""
        super().__init__(policy, settings, pack=pack, dtype=torch.bfloat16 if zero.bf16 else torch.float32)
        if self.shared:  # some thousand weights, and their gradients come through the policy's engine
            self.engine = Engine(self.model, self.weights(), settings, DeepSpeedSettings(stage=0))
        else:
            self.engine = self.run = Engine(self.run, self.weights(), settings, zero)
        self.optimizer = self.engine.optimizer

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Critic.shapes`."""
        return self.engine.state.shapes

    def weight_rows(self) -> Iterator[Row]:
        """See `Critic.weight_rows`: in float32, as AdamW has them."""
        for name, value in self.model.state_dict().items():
            yield name, self.engine.state.whole(name) if name in self.engine.weights else value

    def moment_rows(self) -> Iterator[Row]:
        """See `Critic.moment_rows`."""
        return self.engine.state.rows()

    def put(self, weights: dict[str, Tensor], saved: OptimizerState) -> None:
        """See `Critic.put`."""
        self.engine.load(self.model, weights, saved)
        self.updates = saved.updates
