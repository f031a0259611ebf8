"""Evaluation: how good a policy is on problems that it was not trained on."""

from medrl.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate

__all__ = ["Evaluation", "EvaluationSettings", "evaluate"]
