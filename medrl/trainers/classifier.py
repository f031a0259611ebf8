"""Train a sequence classifier to tell right answers from wrong ones, over transformers' Trainer.

HuatuoGPT-o1 (arXiv 2412.18925) fine-tunes such a verifier on answers labelled by GPT-4o; neither the paper nor the code
gives its learning rate, epochs or batch, so the defaults here are this project's. The text that the model sees is made
by the same function as when it judges, so training and use cannot differ.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import PreTrainedModel

from medrl.data.labelled import LabelledAnswer
from medrl.errors import DataError, TrainingDiverged
from medrl.seeds import seed_of
from medrl.trainers.supervised import SupervisedSettings, float32_weights
from medrl.verifiers.classifier_layout import Layout, many_token_ids, shown_reference
from medrl.verifiers.classifier_model import padded
from medrl.verifiers.extract import Format, sections

WINDOW = 20  # batches of rows that are sorted by length together


@dataclass(frozen=True)
class ClassifierSettings(SupervisedSettings):
    """How a verifier is trained."""

    epochs: float = 2.0
    """Passes over the labelled answers."""

    lr: float = 1e-5
    """Peak learning rate of AdamW. Pretrained models 5e-6 to 5e-5; models of a million parameters 1e-3 to 2e-3."""

    batch_size: int = 64
    """Answers per optimizer update."""

    microbatch_size: int = 64
    """Answers in one forward pass; gradients of the rest of the batch are accumulated."""

    weight_decay: float = 0.05

    betas: tuple[float, float] = (0.9, 0.98)

    def __post_init__(self) -> None:
        faults = self.faults()
        if faults:
            raise ValueError("; ".join(faults))


def shown(answers: Sequence[LabelledAnswer], format: Format) -> list[tuple[str, str, str]]:
    """What a layout is filled with for each answer: what follows the reasoning, the reference, the question."""
    return [
        (sections(one.response, format).answer, shown_reference(one.problem), one.problem.question) for one in answers
    ]


def encode(
    tokenizer: Any, layout: Layout, answers: Sequence[LabelledAnswer], limit: int, format: Format = "auto"
) -> list[dict[str, list[int]]]:
    """What the model reads of each answer, made as the `classifier` verifier makes it.

    Raises:
        DataError: Some have more than `limit` tokens; cutting them would teach to judge halves.
    """
    rows = many_token_ids(tokenizer, layout, shown(answers, format))
    long = [(one.problem.id, n) for one, row in zip(answers, rows, strict=True) if (n := len(row["input_ids"])) > limit]
    if long:
        name, length = long[0]
        raise DataError(
            f"{len(long)} labelled answers have more than {limit} tokens, the first being {name!r} with {length}; leave "
            "them out, or raise max_length up to the model's context"
        )
    return rows


def train_classifier(
    model: PreTrainedModel,
    rows: Sequence[Mapping[str, Sequence[int]]],
    labels: Sequence[int],
    settings: ClassifierSettings,
    *,
    seed: int = 0,
    on_update: Callable[[int, int, dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Fit `model` in place to the labels (indices) of `rows`, as `encode` makes them.

    Returns:
        `loss` (mean over training) and `updates`.

    Raises:
        DataError: There are no answers, or only of one label.
        TrainingDiverged: The loss is no finite number.
    """
    from transformers import PrinterCallback, Trainer, TrainerCallback

    class ByLength(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            per_step = min(settings.microbatch_size, settings.batch_size)
            return LengthSampler([len(row["input_ids"]) for row in rows], per_step, seed)

    if len(set(labels)) < 2:
        raise DataError(
            f"{len(rows)} labelled answers hold {len(set(labels))} labels; there must be right and wrong ones"
        )

    class Report(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if on_update and logs and "loss" in logs:
                on_update(state.global_step, state.max_steps, logs)

    data = [{**row, "labels": label} for row, label in zip(rows, labels, strict=True)]
    pad = model.config.get_text_config().pad_token_id
    with TemporaryDirectory() as nowhere:  # the trainer wants a folder even when it saves nothing
        arguments = _arguments(settings, model, seed, nowhere)
        with float32_weights(model):
            trainer = ByLength(
                model=model,
                args=arguments,
                train_dataset=data,
                data_collator=lambda chosen: _collate(chosen, pad),
                callbacks=[Report()],
            )
            trainer.remove_callback(PrinterCallback)
            result = trainer.train()
    model.eval()
    loss = float(result.training_loss)
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the verifier's loss is {loss}; lower training.lr (now {settings.lr:g})")
    return {"loss": loss, "updates": float(result.global_step)}


class LengthSampler:
    """Indices in which rows of similar length stand together, batch by batch, the batches in random order.

    transformers' own grouping goes from long to short over and over; a small model then forgets the one over the other.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.passes = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(seed_of("classifier-order", self.seed, self.passes))
        self.passes += 1
        order = list(range(len(self.lengths)))
        draw.shuffle(order)
        window = self.batch_size * WINDOW
        batches: list[list[int]] = []
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda i: self.lengths[i])
            batches += [near[i : i + self.batch_size] for i in range(0, len(near), self.batch_size)]
        short = [batch for batch in batches if len(batch) < self.batch_size]  # last, or it would shift the others
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        draw.shuffle(whole)
        return iter([i for batch in (*whole, *short) for i in batch])


def _arguments(settings: ClassifierSettings, model: PreTrainedModel, seed: int, folder: str | Path) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(folder),
        **settings.arguments(model, seed=seed, logging_steps=10),
        remove_unused_columns=False,
    )


def _collate(chosen: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """Rows as padded tensors with their labels."""
    import torch

    labels = torch.tensor([row["labels"] for row in chosen])
    rows = [{name: values for name, values in row.items() if name != "labels"} for row in chosen]
    return {**padded(rows, pad, "cpu"), "labels": labels}
