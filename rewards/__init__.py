"""Rewards: trees that say what a rollout is worth, or that there is no number for it. Imports no torch."""

if __name__ == "rewards":
    raise ImportError("this folder is the package medrl.rewards: write `import medrl.rewards`, not `import rewards`")

from medrl.rewards.calibration import Calibrated, Calibration
from medrl.rewards.combining import Combination, Maximum, Minimum, Product, Vote, WeightedSum
from medrl.rewards.comparing import GroupFunctionReward, PerGroup, group_reward
from medrl.rewards.config import build, check
from medrl.rewards.gates import Gate, Levels, gated, levels
from medrl.rewards.routing import FirstDecided, Where
from medrl.rewards.rubric import RubricReward
from medrl.rewards.shaping import Anneal, Clip, Normalise
from medrl.rewards.signals import Format, FunctionReward, Verified, reward, verified_leaf
from medrl.rewards.tree import Reward, RewardContext, Scores
from medrl.rewards.veto import Veto

__all__ = [
    "Anneal",
    "Calibrated",
    "Calibration",
    "Clip",
    "Combination",
    "FirstDecided",
    "Format",
    "FunctionReward",
    "Gate",
    "GroupFunctionReward",
    "Levels",
    "Maximum",
    "Minimum",
    "Normalise",
    "PerGroup",
    "Product",
    "Reward",
    "RewardContext",
    "RubricReward",
    "Scores",
    "Verified",
    "Veto",
    "Vote",
    "WeightedSum",
    "Where",
    "build",
    "check",
    "gated",
    "group_reward",
    "levels",
    "reward",
    "verified_leaf",
]
