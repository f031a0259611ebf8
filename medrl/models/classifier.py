"""Sequence classifiers with two labels to train as verifiers: a pretrained model with a fresh head, or a small one.

The small one, made from scratch, is an encoder of BERT's kind, so that each word of the reference can look for itself in
the answer. Three things let it learn to compare within minutes: it reads the two texts as a pair (layout `pair`), each
with its own segment embedding; its tokenizer lowers case and splits Chinese by character, so that a term has the same
tokens wherever it stands; and queries begin equal to keys, and large, so that equal tokens attend to each other from the
first step. On pairs of random words 300 updates then give 99 %, and 450 give chance without the last of the three.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from medrl.errors import MissingFile

PAD, FIRST, BETWEEN = "<|pad|>", "<|first|>", "<|between|>"
LABELS = ("False", "True")
# Standard deviation of the first weights, and how much larger queries and keys are: with BERT's 0.02 attention begins too
# even to tell tokens apart.
WIDE, SHARP = 0.05, 2.0


@dataclass(frozen=True)
class ClassifierShape:
    """The size of an encoder made from scratch. The defaults give 0.6 million parameters."""

    vocab_size: int = 3000
    """Upper bound on the tokenizer's size. Typical 2,000 to 8,000 for a closed world."""

    hidden_size: int = 96
    """Width; a multiple of the number of heads."""

    layers: int = 3
    """Depth; below 2 a model cannot compare."""

    heads: int = 3
    """Attention heads."""

    intermediate_size: int = 288
    """Width of the feed-forward layers. Typical 3 to 4 times `hidden_size`."""

    context: int = 256
    """Most tokens of layout, reference and answer together."""

    def __post_init__(self) -> None:
        faults = [f"{name} is {value}; it must be at least 1" for name, value in vars(self).items() if value < 1]
        if not faults and self.hidden_size % self.heads:
            faults.append(f"hidden_size {self.hidden_size} is no multiple of heads, {self.heads}")
        if faults:
            raise ValueError("; ".join(faults))


def pretrained_classifier(path: str, revision: str | None, dtype: str) -> tuple[PreTrainedModel, Any]:
    """A pretrained model with a fresh head of two labels, 1 being True, and its tokenizer. Its own code is never run.

    Raises:
        MissingFile: It cannot be read.
    """
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **where)
        model = AutoModelForSequenceClassification.from_pretrained(
            path,
            dtype=dtype,
            use_safetensors=True,
            num_labels=len(LABELS),
            id2label=dict(enumerate(LABELS)),
            label2id={label: i for i, label in enumerate(LABELS)},
            **where,
        )
    except (OSError, ValueError, ImportError) as error:
        raise MissingFile(f"no model can be read from {path!r}: {error}") from error
    text = model.config.get_text_config()
    if text.pad_token_id is None:  # many causal models have none; padding is masked, so any token will do
        text.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return model, tokenizer


def new_classifier(texts: Iterable[str], shape: ClassifierShape, seed: int = 0) -> tuple[PreTrainedModel, Any]:
    """A model with random weights and two labels, 1 being True, and a tokenizer trained on `texts`."""
    tokenizer = term_tokenizer(texts, shape.vocab_size)
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    return sharp_encoder(tokenizer, shape, seed, **names), tokenizer


def sharp_encoder(tokenizer: Any, shape: ClassifierShape, seed: int, **head: Any) -> PreTrainedModel:
    """An encoder with random weights whose equal tokens attend to each other from the first step.

    Args:
        tokenizer: What it will read with.
        shape: Its size.
        seed: Of its weights.
        head: The labels of its head, as `BertConfig` takes them.
    """
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.context,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=WIDE,
        pad_token_id=tokenizer.pad_token_id,
        **head,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if name.endswith("attention.self.query.weight"):
                weight.mul_(SHARP)
                weights[name.replace(".query.", ".key.")].copy_(weight)
    return model


def term_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE in lower case; digits, signs and Chinese characters stand alone, white space is left out."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\u3400-\u9fff]|[^\w\s]|\d"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, FIRST, BETWEEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = {name: tokenizer.token_to_id(name) for name in (FIRST, BETWEEN)}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {BETWEEN}",
        pair=f"{FIRST} $A {BETWEEN} $B:1 {BETWEEN}:1",
        special_tokens=list(ids.items()),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        cls_token=FIRST,
        sep_token=BETWEEN,
        padding_side="right",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
