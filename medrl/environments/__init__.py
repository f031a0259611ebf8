"""Environments: what answers the policy between turns, and measures the episode. Imports no torch."""

from medrl.environments.base import Environment, Episode, SingleTurn, check_problems
from medrl.environments.config import build, check
from medrl.environments.patient import PatientEpisode, PatientSimulator
from medrl.environments.patient_llm import LLMPatient

__all__ = [
    "Environment",
    "Episode",
    "LLMPatient",
    "PatientEpisode",
    "PatientSimulator",
    "SingleTurn",
    "build",
    "check",
    "check_problems",
]
