"""Algorithms: which groups, which advantage, which loss. Pure torch maths, blind to engines and learners."""

from medrl.algorithms.advantages import group_advantages
from medrl.algorithms.base import Algorithm, Denominators, Loss, Outputs
from medrl.algorithms.batch import Batch, Multimodal
from medrl.algorithms.grpo import GRPO
from medrl.algorithms.losses import clipped_surrogate, kl_estimate

__all__ = [
    "GRPO",
    "Algorithm",
    "Batch",
    "Denominators",
    "Loss",
    "Multimodal",
    "Outputs",
    "clipped_surrogate",
    "group_advantages",
    "kl_estimate",
]
