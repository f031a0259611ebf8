"""Supervised fine-tuning by any `Learner`, so on DeepSpeed ranks too: the loss of `sft.py` as an algorithm.

What differs from TRL's trainer: demonstrations come in an order of our own, micro-batches are made by tokens, at most
`microbatch_size * max_length` of them, and norms and biases decay as matrices do.
"""

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from medrl.algorithms import Algorithm, Batch, Denominators, Loss, Outputs
from medrl.errors import DataError, LearnerLost
from medrl.files import atomic_folder, remove_folder
from medrl.learners import Optimization
from medrl.models import Policy
from medrl.seeds import seed_of
from medrl.trainers.sft import LossOn, SFTSettings, assistant_mask, check_demonstrations, plain

if TYPE_CHECKING:
    from medrl.data.demonstrations import Demonstration

KEPT = 2  # checkpoints
Tokens = tuple[list[int], list[bool]]  # ids, and which of them are learnt


@dataclass(frozen=True)
class Likelihood(Algorithm):
    """Minus the mean log-probability of the tokens that are learnt."""

    kind: ClassVar[str] = "likelihood"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    def advantages(self, batch: Batch, state: dict[str, Any]) -> Batch:
        return batch

    def loss(self, outputs: Outputs, batch: Batch, denominators: Denominators) -> Loss:
        return Loss(-(outputs.logprobs_BT * batch.loss_mask_BT).sum() / denominators.tokens)


@dataclass(frozen=True)
class SFTOptimization(Optimization):
    """Learning rates as transformers' trainer has them."""

    named: str = "cosine"
    """Its name of the schedule."""

    def lr_at(self, update: int) -> float:
        return self.lr * _factors(self.named, self.warmup_steps, self.total_updates or 1)(update)


@lru_cache(maxsize=8)
def _factors(name: str, warmup: int, total: int) -> Callable[[int], float]:
    from transformers import get_scheduler

    scheduler: Any = get_scheduler(name, torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), warmup, total)
    factors: Callable[[int], float] = scheduler.lr_lambdas[0]
    return factors


def updates_of(settings: SFTSettings, demonstrations: int) -> int:
    """Optimizer updates of the stage."""
    return math.ceil(settings.epochs * math.ceil(demonstrations / settings.batch_size))


def optimization_of(settings: SFTSettings, demonstrations: int) -> SFTOptimization:
    """The stage's knobs as a learner has them."""
    total = updates_of(settings, demonstrations)
    return SFTOptimization(
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        warmup_steps=math.ceil(settings.warmup_share * total),
        total_updates=total,
        max_grad_norm=settings.max_grad_norm,
        microbatch_tokens=min(settings.microbatch_size, settings.batch_size) * settings.max_length,
        share_prompts="off",
        gradient_checkpointing=settings.gradient_checkpointing,
        named=settings.schedule,
    )


def fine_tune_by(
    learner: Any,
    policy: Policy,
    demonstrations: Sequence["Demonstration"],
    settings: SFTSettings,
    *,
    seed: int = 0,
    folder: Path | None = None,
    on_update: Callable[[int, int, dict[str, float]], None] | None = None,
    restarts: int = 0,
) -> dict[str, float]:
    """Fine-tune a learner's policy; see `fine_tune`.

    Args:
        learner: A `Learner` with `optimization_of` these settings; one that may be lost has `restart`.
        policy: What renders the demonstrations; an outline without weights will do.
        demonstrations: Chats of text that end with the assistant's turn.
        settings: Knobs; what is computed in which type is the learner's.
        seed: Decides the order of the demonstrations.
        folder: Where checkpoints inside the stage go, every `save_every` updates; the newest that is there is gone on from.
        on_update: As for `fine_tune`.
        restarts: How often a lost learner may be made anew, from the newest checkpoint or the beginning.

    Returns:
        `loss` (mean over the updates done here; NaN where none was left to do) and `updates`.

    Raises:
        DataError: See `check_demonstrations`; or a demonstration has images.
        LearnerLost: A rank died or hangs, and no restart is left.
    """
    check_demonstrations(policy, demonstrations, settings.max_length, settings.loss_on)
    rows = [tokens_of(policy, one, settings.loss_on) for one in demonstrations]
    total, losses = updates_of(settings, len(rows)), dict[int, float]()
    anew = False
    while True:
        try:
            newest = _newest(folder)
            if anew:
                learner.restart(newest)
            elif newest is not None:
                learner.load(newest)
            done = 0 if newest is None else _number(newest)
            for update in range(done, total):
                batch = batch_of([rows[i] for i in chosen(len(rows), settings.batch_size, update, seed)])
                figures = learner.update(batch, Likelihood(), seed_of(seed, "sft-dropout", update))
                losses[update] = figures["loss"]
                if on_update is not None:
                    told = {"loss": figures["loss"], "grad_norm": figures["grad_norm"], "learning_rate": figures["lr"]}
                    on_update(update + 1, total, told)
                if folder is not None and settings.save_every and (update + 1) % settings.save_every == 0:
                    _save(learner, folder, update + 1)
            mean = sum(losses.values()) / len(losses) if losses else math.nan
            return {"loss": mean, "updates": float(total)}
        except LearnerLost:
            if not restarts:
                raise
            restarts, anew = restarts - 1, True


def chosen(count: int, batch_size: int, update: int, seed: int) -> list[int]:
    """Which of `count` demonstrations an update learns from: all once an epoch, in another order in each."""
    epoch, place = divmod(update, math.ceil(count / batch_size))
    order = list(range(count))
    random.Random(seed_of(seed, "sft-order", epoch)).shuffle(order)
    return order[place * batch_size : (place + 1) * batch_size]


def tokens_of(policy: Policy, one: "Demonstration", loss_on: LossOn) -> Tokens:
    """Ids of a demonstration and which of them are learnt, as TRL has them."""
    messages = plain(one.messages)
    if any(not isinstance(message["content"], str) for message in messages):
        raise DataError(
            f"demonstration {one.id!r} has images, which ranks do not learn from; set placement=local for SFT"
        )
    if loss_on == "assistant":
        return assistant_mask(policy, messages)
    render = policy.tokenizer.apply_chat_template
    prompt = len(render(messages[:-1], add_generation_prompt=True, return_dict=False))
    ids = [int(i) for i in render(messages, return_dict=False)]
    return ids, [place >= prompt for place in range(len(ids))]


def batch_of(rows: Sequence[Tokens]) -> Batch:
    """Demonstrations as a learner reads them."""
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    tokens_BT = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    mask_BT = torch.zeros_like(tokens_BT, dtype=torch.bool)
    for row, (ids, learnt) in enumerate(rows):
        tokens_BT[row, : len(ids)], mask_BT[row, : len(ids)] = torch.tensor(ids), torch.tensor(learnt)
    prompts = torch.tensor([learnt.index(True) if True in learnt else len(learnt) for _, learnt in rows])
    return Batch(tokens_BT, lengths, prompts, mask_BT, torch.zeros(len(rows)), 1, int(lengths.max()))


def _save(learner: Any, folder: Path, update: int) -> None:
    with atomic_folder(folder / f"update-{update:06d}") as target:
        learner.save(target)
    for old in _checkpoints(folder)[:-KEPT]:
        remove_folder(old)


def _checkpoints(folder: Path) -> list[Path]:
    found = [one for one in folder.glob("update-*") if re.fullmatch(r"update-\d+", one.name)]
    return sorted(found, key=_number)


def _newest(folder: Path | None) -> Path | None:
    return None if folder is None else next(reversed(_checkpoints(folder)), None)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
