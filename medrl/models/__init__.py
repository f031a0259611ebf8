"""Policies: a causal model with its tokenizer or processor, loaded, made from scratch, rendered and checked."""

from medrl.models.policy import ModelShape, Policy, PolicySpec
from medrl.models.tokenizer import CHAT_TEMPLATE, train_tokenizer

__all__ = ["CHAT_TEMPLATE", "ModelShape", "Policy", "PolicySpec", "train_tokenizer"]
