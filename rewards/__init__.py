"""Rewards: trees that say what a rollout is worth, or that there is no number for it. Imports no torch."""

if __name__ == "rewards":
    raise ImportError("this folder is the package medrl.rewards: write `import medrl.rewards`, not `import rewards`")

from medrl.rewards.config import build, check
from medrl.rewards.doctor_likeness import DoctorLikeness
from medrl.rewards.nodes import Gate, Levels, WeightedSum, gated, levels
from medrl.rewards.signals import Format, FunctionReward, Verified, reward, verified_leaf
from medrl.rewards.tree import Reward, RewardContext, Scores

__all__ = [
    "DoctorLikeness",
    "Format",
    "FunctionReward",
    "Gate",
    "Levels",
    "Reward",
    "RewardContext",
    "Scores",
    "Verified",
    "WeightedSum",
    "build",
    "check",
    "gated",
    "levels",
    "reward",
    "verified_leaf",
]
