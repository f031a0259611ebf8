"""Reward models to train: any pretrained model with a fresh head of one number, or a small encoder from scratch.

HuatuoGPT (arXiv 2305.15075, section 3.2) starts its reward model from its SFT model. The small one is the encoder of
`medrl.models.classifier`, whose equal tokens attend to each other from the first step. It learns within minutes what a reply
says and leaves out, also of diseases that it never saw; what is right of what it says takes a model that knows medicine.
"""

from collections.abc import Iterable
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from medrl.errors import MissingFile, TemplateError
from medrl.models.classifier import BETWEEN, FIRST, ClassifierShape, sharp_encoder, term_tokenizer

# Every message is closed; who speaks is told by a word, which any tokenizer can write.
CHAT_TEMPLATE = (
    FIRST
    + "{% for message in messages %}{{ message['role'] + ' ' + message['content'] + '"
    + BETWEEN
    + "' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant ' }}{% endif %}"
)


def new_reward_model(texts: Iterable[str], shape: ClassifierShape, seed: int = 0) -> tuple[PreTrainedModel, Any]:
    """A small encoder with random weights and one output, and a tokenizer with a chat template trained on `texts`."""
    tokenizer = term_tokenizer([*texts, "system user assistant"], shape.vocab_size)
    tokenizer.chat_template = CHAT_TEMPLATE
    return sharp_encoder(tokenizer, shape, seed, num_labels=1), tokenizer


def pretrained_reward_model(path: str, revision: str | None, dtype: str, seed: int = 0) -> tuple[PreTrainedModel, Any]:
    """A pretrained model with one output and its tokenizer; a head that it lacks is random. Its own code is never run.

    Raises:
        MissingFile: It cannot be read.
        TemplateError: Its tokenizer has no chat template.
    """
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **where)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModelForSequenceClassification.from_pretrained(
                path, dtype=dtype, use_safetensors=True, num_labels=1, **where
            )
    except (OSError, ValueError, ImportError) as error:
        raise MissingFile(f"no model can be read from {path!r}: {error}") from error
    if not tokenizer.chat_template:
        raise TemplateError(f"the tokenizer of {path!r} has no chat template; start from a fine-tuned (SFT) checkpoint")
    if tokenizer.pad_token is None:  # padding is masked, so any token will do
        tokenizer.pad_token = tokenizer.eos_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
