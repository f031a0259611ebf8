"""Engines turn prompts into rollouts."""

from medrl.engines.base import Engine, Request, Sampling
from medrl.engines.in_process import InProcessEngine

__all__ = ["Engine", "InProcessEngine", "Request", "Sampling"]
