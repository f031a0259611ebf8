"""Trainers: the reinforcement-learning loop, and supervised fine-tuning before it."""

from medrl.trainers.rl import Trainer
from medrl.trainers.settings import TrainerSettings
from medrl.trainers.sft import SFTSettings, check_demonstrations, fine_tune

__all__ = ["SFTSettings", "Trainer", "TrainerSettings", "check_demonstrations", "fine_tune"]
