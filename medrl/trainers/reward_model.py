"""Train a reward model on preference pairs, over TRL's RewardTrainer.

The loss is the one of Bradley and Terry, -log sigmoid(r_chosen - r_rejected - margin), weighted by how much a pair's
raters agree, with TRL's term that keeps rewards around 0 (arXiv 2312.09244, equation 2).

Reward models come to pay for length (Singhal et al., arXiv 2310.03716), which that paper also fights by balancing the data.
`length_bias: reweight` does so with weights: within each fifth of |length difference|, pairs whose longer reply is preferred
get as much weight in all as pairs whose shorter one is, so length predicts nothing (at most 5 for a pair). Length is that of
the reply alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from transformers import PreTrainedModel

from medrl.data.preferences import PreferencePair
from medrl.errors import DataError, TrainingDiverged
from medrl.rewards.reward_model_layout import Row, reply_tokens, token_rows, visible
from medrl.trainers.classifier import LengthSampler
from medrl.trainers.supervised import SupervisedSettings, float32_weights
from medrl.verifiers.classifier_model import padded
from medrl.verifiers.extract import Format

if TYPE_CHECKING:
    from torch import Tensor

BINS, MOST_WEIGHT = 5, 5.0


@dataclass(frozen=True)
class RewardModelSettings(SupervisedSettings):
    """How a reward model is trained."""

    epochs: float = 1.0
    """Passes over the pairs. More than one soon learns noisy labels by heart."""

    lr: float = 1e-5
    """Peak learning rate of AdamW. Pretrained models 5e-6 to 2e-5; models of half a million parameters 1e-3 to 2e-3."""

    batch_size: int = 64
    """Pairs per optimizer update."""

    microbatch_size: int = 16
    """Pairs in one forward pass; gradients of the rest of the batch are accumulated."""

    weight_decay: float = 0.01

    betas: tuple[float, float] = (0.9, 0.98)

    center_rewards_coefficient: float = 0.01
    """Weight of mean (r_chosen + r_rejected)^2, which keeps rewards around 0; 0 for none. Typical 0.01."""

    margin_scale: float = 0.0
    """Reward difference that a pair's whole margin asks for: the loss takes margin * margin_scale off the difference. 0 does
    not use margins. Typical 1 to 3."""

    length_bias: Literal["none", "reweight"] = "none"
    """What is done against rewards for length: nothing, or pairs are weighted so that length predicts no preference. The
    latter also takes away what length tells in truth, where better replies are longer."""

    def __post_init__(self) -> None:
        faults = self.faults(from_0=("center_rewards_coefficient", "margin_scale"))
        if self.length_bias not in ("none", "reweight"):
            faults.append(f"length_bias is {self.length_bias!r}; it is none or reweight")
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True)
class EncodedPair:
    """What the model reads of a pair, and what the loss is told of it.

    Attributes:
        chosen, rejected: Tokens of prompt and reply.
        margin: Share of the scale, 0 to 1.
        weight: Of the pair in the loss.
        chosen_length, rejected_length: Tokens of the reply alone.
    """

    chosen: Row
    rejected: Row
    margin: float
    weight: float
    chosen_length: int
    rejected_length: int

    @property
    def longer(self) -> int:
        """How many tokens the chosen reply is longer."""
        return self.chosen_length - self.rejected_length


def encode_pairs(
    tokenizer: Any, pairs: Sequence[PreferencePair], limit: int, format: Format = "plain"
) -> list[EncodedPair]:
    """Pairs as the model reads them; `format` as in `medrl.rewards.reward_model_layout.visible`.

    Raises:
        DataError: There are none, or some have more than `limit` tokens; cutting them would teach to judge halves.
    """
    if not pairs:
        raise DataError("there are no preference pairs to learn from")
    chosen, rejected = (
        token_rows(tokenizer, [(pair.problem, getattr(pair, side).response) for pair in pairs], format)
        for side in ("chosen", "rejected")
    )
    sizes = [max(len(a["input_ids"]), len(b["input_ids"])) for a, b in zip(chosen, rejected, strict=True)]
    long = [(pair.id, size) for pair, size in zip(pairs, sizes, strict=True) if size > limit]
    if long:
        name, size = long[0]
        raise DataError(
            f"{len(long)} preference pairs have more than {limit} tokens, the first being {name!r} with {size}; leave them "
            "out, or raise max_length up to the model's context"
        )
    lengths = (
        [reply_tokens(tokenizer, visible(one.text, format)) for one in (pair.chosen, pair.rejected)] for pair in pairs
    )
    return [
        EncodedPair(a, b, pair.margin, pair.weight, *both)
        for pair, a, b, both in zip(pairs, chosen, rejected, lengths, strict=True)
    ]


def length_weights(pairs: Sequence[EncodedPair]) -> list[float]:
    """What `reweight` multiplies the pairs' weights by; the weighted mean of the weights stays as it was.

    In each fifth of |length difference| both sides (longer preferred, shorter preferred) get half of the total weight.
    """
    unequal = sorted((i for i, pair in enumerate(pairs) if pair.longer), key=lambda i: abs(pairs[i].longer))
    factors = [1.0] * len(pairs)
    for start in range(BINS):
        inside = unequal[start * len(unequal) // BINS : (start + 1) * len(unequal) // BINS]
        sides = [[i for i in inside if (pairs[i].longer > 0) == longer] for longer in (True, False)]
        totals = [sum(pairs[i].weight for i in side) for side in sides]
        for side, total in zip(sides, totals, strict=True):
            for i in side if all(totals) else ():
                factors[i] = min(MOST_WEIGHT, sum(totals) / (2 * total))
    before = sum(pair.weight for pair in pairs)
    after = sum(pair.weight * factor for pair, factor in zip(pairs, factors, strict=True))
    return [factor * before / after for factor in factors]


def preference_loss(
    chosen_B: "Tensor", rejected_B: "Tensor", margin_B: "Tensor", weight_B: "Tensor", settings: RewardModelSettings
) -> "Tensor":
    """The loss of a micro-batch of pairs; all arguments have shape (B,).

    mean_B [ w * -log sigmoid(r_c - r_r - margin_scale * m) ] + center * mean_B [ (r_c + r_r)^2 ].
    """
    from torch.nn.functional import logsigmoid

    loss = -(weight_B * logsigmoid(chosen_B - rejected_B - settings.margin_scale * margin_B)).mean()
    if settings.center_rewards_coefficient:
        loss = loss + settings.center_rewards_coefficient * ((chosen_B + rejected_B) ** 2).mean()
    return loss


def train_reward_model(
    model: PreTrainedModel,
    tokenizer: Any,
    pairs: Sequence[EncodedPair],
    settings: RewardModelSettings,
    *,
    seed: int = 0,
    on_update: Callable[[int, int, dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Fit `model`, which has one output, in place.

    Args:
        model: From `medrl.models.reward_model`.
        tokenizer: What the pairs were encoded with.
        pairs: From `encode_pairs`.
        settings: Knobs.
        seed: Decides the order of the pairs.
        on_update: Called every ten optimizer updates with the number, how many there will be, and TRL's figures.

    Returns:
        `loss` (mean over training) and `updates`.

    Raises:
        TrainingDiverged: The loss is no finite number.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback

    class Report(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if on_update and logs and "loss" in logs:
                on_update(state.global_step, state.max_steps, logs)

    balance = length_weights(pairs) if settings.length_bias == "reweight" else [1.0] * len(pairs)
    mean = sum(pair.weight for pair in pairs) / len(pairs)
    rows = [
        {
            "chosen_ids": pair.chosen["input_ids"],  # the column names by which TRL knows tokenized pairs
            "rejected_ids": pair.rejected["input_ids"],
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "margin": pair.margin,
            "weight": pair.weight * factor / mean,
        }
        for pair, factor in zip(pairs, balance, strict=True)
    ]
    with TemporaryDirectory() as nowhere:  # the trainer wants a folder even when it saves nothing
        arguments = _arguments(settings, model, seed, nowhere)
        with float32_weights(model):
            trainer = _trainer_class(settings, seed)(
                model=model,
                args=arguments,
                train_dataset=Dataset.from_list(rows),
                data_collator=lambda chosen: _collate(chosen, tokenizer.pad_token_id),
                processing_class=tokenizer,
                callbacks=[Report()],
            )
            trainer.remove_callback(PrinterCallback)
            result = trainer.train()
    model.eval()
    loss = float(result.training_loss)
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the reward model's loss is {loss}; lower training.lr (now {settings.lr:g})")
    return {"loss": loss, "updates": float(result.global_step)}


def _trainer_class(settings: RewardModelSettings, seed: int) -> Any:
    """TRL's trainer with our loss, which is TRL's own where weights are 1 and nothing is done about length."""
    from trl import RewardTrainer

    class Weighted(RewardTrainer):
        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            margin_B, weight_B = (inputs.pop(name) for name in ("margins", "weights"))
            theirs: Any = super().compute_loss  # TRL's forward, and its figures for the log
            _, outputs = theirs(model, inputs, True, num_items_in_batch)
            chosen_B, rejected_B = outputs.logits.squeeze(-1).float().chunk(2)
            loss = preference_loss(chosen_B, rejected_B, margin_B, weight_B, settings)
            return (loss, outputs) if return_outputs else loss

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            per_step = min(settings.microbatch_size, settings.batch_size)
            rows: Any = self.train_dataset
            sizes = [max(len(a), len(b)) for a, b in zip(rows["chosen_ids"], rows["rejected_ids"], strict=True)]
            return LengthSampler(sizes, per_step, seed)

    return Weighted


def _arguments(settings: RewardModelSettings, model: PreTrainedModel, seed: int, folder: str) -> Any:
    from trl import RewardConfig

    return RewardConfig(
        output_dir=folder,
        **settings.arguments(model, seed=seed, logging_steps=10),
        max_length=None,  # checked by `encode_pairs`; TRL would leave long pairs out without a word
        center_rewards_coefficient=settings.center_rewards_coefficient or None,
        remove_unused_columns=False,
    )


def _collate(chosen: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """(2B, T) tensors, the chosen ones first, as TRL's trainer wants them, and what our loss is told."""
    import torch

    both = [row[side] for side in ("chosen", "rejected") for row in chosen]
    told = {"margins": "margin", "weights": "weight"}
    batch = padded(both, pad, "cpu")
    return {**batch, **{name: torch.tensor([row[column] for row in chosen]) for name, column in told.items()}}
