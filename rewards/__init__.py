"""Rewards: trees that say what a rollout is worth, or that there is no number for it. Imports no torch."""

if __name__ == "rewards":
    raise ImportError("this folder is the package medrl.rewards: write `import medrl.rewards`, not `import rewards`")

from medrl.rewards.calibration import Calibrated, Calibration
from medrl.rewards.citation import Citation
from medrl.rewards.combining import Combination, Maximum, Minimum, Product, Vote, WeightedSum
from medrl.rewards.comparing import GroupFunctionReward, PerGroup, group_reward
from medrl.rewards.config import build, check
from medrl.rewards.cosine import Cosine
from medrl.rewards.doctor_likeness import DoctorLikeness
from medrl.rewards.gates import Gate, Levels, gated, levels
from medrl.rewards.hedging import Hedging
from medrl.rewards.language import Language
from medrl.rewards.length import Length, Overlong, Truncation, VisibleLength
from medrl.rewards.preference import PreferenceModel
from medrl.rewards.readability import Readability
from medrl.rewards.refusal import Refusal, refuses
from medrl.rewards.remote import Remote
from medrl.rewards.remote_client import RewardClient
from medrl.rewards.repetition import Repetition
from medrl.rewards.routing import FirstDecided, Where
from medrl.rewards.rubric import RubricReward
from medrl.rewards.shaping import Anneal, Clip, Normalise
from medrl.rewards.signals import Format, FunctionReward, Verified, reward, verified_leaf
from medrl.rewards.tree import Reward, RewardContext, Scorer, Scores
from medrl.rewards.veto import Veto

__all__ = [
    "Anneal",
    "Calibrated",
    "Calibration",
    "Citation",
    "Clip",
    "Combination",
    "Cosine",
    "DoctorLikeness",
    "FirstDecided",
    "Format",
    "FunctionReward",
    "Gate",
    "GroupFunctionReward",
    "Hedging",
    "Language",
    "Length",
    "Levels",
    "Maximum",
    "Minimum",
    "Normalise",
    "Overlong",
    "PerGroup",
    "PreferenceModel",
    "Product",
    "Readability",
    "Refusal",
    "Remote",
    "Repetition",
    "Reward",
    "RewardClient",
    "RewardContext",
    "RubricReward",
    "Scorer",
    "Scores",
    "Truncation",
    "Verified",
    "Veto",
    "VisibleLength",
    "Vote",
    "WeightedSum",
    "Where",
    "build",
    "check",
    "gated",
    "group_reward",
    "levels",
    "refuses",
    "reward",
    "verified_leaf",
]
