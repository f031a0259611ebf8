"""Engines turn prompts into rollouts."""

from medrl.engines.base import Engine, Request, Sampling, context_of
from medrl.engines.in_process import InProcessEngine

__all__ = ["Engine", "InProcessEngine", "Request", "Sampling", "context_of"]
