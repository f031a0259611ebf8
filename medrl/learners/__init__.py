"""Learners make gradients: log-probabilities of a batch, and updates of the policy by an algorithm's loss."""

from medrl.learners.base import CriticSettings, Learner, Optimization
from medrl.learners.critic import Critic
from medrl.learners.logprobs import backbone_and_head, response_logprobs, response_outputs, token_logprobs
from medrl.learners.torch_learner import TorchLearner
from medrl.learners.trainable import LoRA

__all__ = [
    "Critic",
    "CriticSettings",
    "Learner",
    "LoRA",
    "Optimization",
    "TorchLearner",
    "backbone_and_head",
    "response_logprobs",
    "response_outputs",
    "token_logprobs",
]
