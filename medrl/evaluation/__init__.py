"""Evaluation: how good a policy, or anybody's answers, are on problems that nothing was trained on.

Nothing is imported here: answers in a file are scored without torch, and `evaluate` brings it in.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medrl.evaluation.evaluate import Evaluation as Evaluation
    from medrl.evaluation.evaluate import EvaluationSettings as EvaluationSettings

__all__ = ["Evaluation", "EvaluationSettings"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'medrl.evaluation' has no attribute {name!r}; it has: {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module("medrl.evaluation.evaluate"), name)
