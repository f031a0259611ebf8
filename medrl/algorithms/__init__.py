"""Algorithms: which groups, which advantage, which loss. Pure torch maths, blind to engines and learners."""

from medrl.algorithms.advantages import gae, group_advantages, leave_one_out, whiten
from medrl.algorithms.base import Algorithm, Denominators, Loss, Outputs
from medrl.algorithms.batch import Batch, Multimodal
from medrl.algorithms.cispo import CISPO
from medrl.algorithms.correction import importance_weights
from medrl.algorithms.dapo import DAPO
from medrl.algorithms.dr_grpo import DrGRPO
from medrl.algorithms.grpo import GRPO
from medrl.algorithms.gspo import GSPO
from medrl.algorithms.kl import adapted_weight, kl_estimate, penalised_rewards
from medrl.algorithms.onepo import OnePO
from medrl.algorithms.policy_gradient import PolicyGradient, clipped_surrogate
from medrl.algorithms.ppo import PPO, clipped_value_loss
from medrl.algorithms.reinforce_pp import ReinforcePP, ReinforcePPBaseline
from medrl.algorithms.rloo import RLOO

__all__ = [
    "CISPO",
    "DAPO",
    "GRPO",
    "GSPO",
    "PPO",
    "RLOO",
    "Algorithm",
    "Batch",
    "Denominators",
    "DrGRPO",
    "Loss",
    "Multimodal",
    "OnePO",
    "Outputs",
    "PolicyGradient",
    "ReinforcePP",
    "ReinforcePPBaseline",
    "adapted_weight",
    "clipped_surrogate",
    "clipped_value_loss",
    "gae",
    "group_advantages",
    "importance_weights",
    "kl_estimate",
    "leave_one_out",
    "penalised_rewards",
    "whiten",
]
