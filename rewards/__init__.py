"""Rewards: trees that say what a rollout is worth, or that there is no number for it. Imports no torch."""

if __name__ == "rewards":
    raise ImportError("this folder is the package medrl.rewards: write `import medrl.rewards`, not `import rewards`")

from medrl.rewards.citation import Citation
from medrl.rewards.config import build, check
from medrl.rewards.cosine import Cosine
from medrl.rewards.hedging import Hedging
from medrl.rewards.language import Language
from medrl.rewards.length import Length, Overlong, Truncation, VisibleLength
from medrl.rewards.nodes import Gate, Levels, WeightedSum, gated, levels
from medrl.rewards.readability import Readability
from medrl.rewards.refusal import Refusal, refuses
from medrl.rewards.repetition import Repetition
from medrl.rewards.signals import Format, FunctionReward, Verified, reward, verified_leaf
from medrl.rewards.tree import Reward, RewardContext, Scores

__all__ = [
    "Citation",
    "Cosine",
    "Format",
    "FunctionReward",
    "Gate",
    "Hedging",
    "Language",
    "Length",
    "Levels",
    "Overlong",
    "Readability",
    "Refusal",
    "Repetition",
    "Reward",
    "RewardContext",
    "Scores",
    "Truncation",
    "Verified",
    "VisibleLength",
    "WeightedSum",
    "build",
    "check",
    "gated",
    "levels",
    "refuses",
    "reward",
    "verified_leaf",
]
