"""Supervised fine-tuning over TRL's SFTTrainer: the loss is on the assistant's words only, of the last turn or of all."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from medrl.errors import DataError, TemplateError
from medrl.models import Policy
from medrl.trainers.supervised import SupervisedSettings, float32_weights

if TYPE_CHECKING:
    from medrl.data.demonstrations import Demonstration

_GENERATION = re.compile(r"\{%-?\s*generation\b")  # as transformers looks for it
LossOn: TypeAlias = Literal["last", "assistant"]


@dataclass(frozen=True)
class SFTSettings(SupervisedSettings):
    """How demonstrations are learnt. The o1 paper: lr 5e-6, 3 epochs, batch 128, warm-up 5 %, decay 0.1."""

    epochs: float = 3.0
    """Passes over the demonstrations."""

    lr: float = 5e-6
    """Peak learning rate of AdamW. Pretrained models 5e-6 to 5e-5; models of a million parameters 1e-3 to 4e-3."""

    batch_size: int = 128
    """Demonstrations per optimizer update."""

    microbatch_size: int = 16
    """Demonstrations in one forward pass; gradients of the rest of the batch are accumulated."""

    weight_decay: float = 0.1

    max_length: int = 8192
    """Longest demonstration in tokens; a longer one is an error, since cutting it would teach unfinished answers."""

    loss_on: LossOn = "last"
    """Which words are learnt: those of the `last` message, or all turns of the `assistant` in a dialogue (HuatuoGPT). The
    latter needs a chat template that marks them with `generation`, as medrl's own do."""

    save_every: int | None = None
    """Updates between checkpoints inside the stage; empty: a killed stage begins anew (right for minutes, not days). These
    are transformers' own, whose optimizer state is a pickle, and are removed when the stage ends."""

    def __post_init__(self) -> None:
        faults = self.faults(above_0=("max_length",))
        if self.loss_on not in ("last", "assistant"):
            faults.append(f"loss_on is {self.loss_on!r}; it is last or assistant")
        if self.save_every is not None and self.save_every < 1:
            faults.append(f"save_every is {self.save_every}; it must be at least 1, or empty")
        if faults:
            raise ValueError("sft: " + "; ".join(faults))


def fine_tune(
    policy: Policy,
    demonstrations: Sequence["Demonstration"],
    settings: SFTSettings,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    on_update: Callable[[int, int, dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Fine-tune `policy` in place.

    Args:
        policy: What learns.
        demonstrations: Chats that end with the assistant's turn.
        settings: Knobs.
        seed: Decides the order of the demonstrations.
        folder: Where checkpoints inside the stage go, if any; a whole one that is there is gone on from.
        on_update: Called after each optimizer update with its number, how many there will be, and its figures.

    Returns:
        `loss` (mean over the updates of the stage, those before it was gone on with too) and `updates`.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Report(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if on_update and logs and "loss" in logs:
                on_update(state.global_step, state.max_steps, logs)

    rows = [_row(one, settings.loss_on) for one in demonstrations]
    check_demonstrations(policy, demonstrations, settings.max_length, settings.loss_on)
    checkpoints = Path(folder) if folder is not None and settings.save_every else None
    knobs = _trl_settings(policy, settings, seed, checkpoints)
    with (
        TemporaryDirectory() as nowhere,  # the trainer wants a folder even when it saves nothing
        float32_weights(policy.model),
    ):
        trainer = SFTTrainer(
            model=policy.model,
            args=SFTConfig(output_dir=str(checkpoints or nowhere), **knobs),
            train_dataset=Dataset.from_list(rows),
            processing_class=policy.processor or policy.tokenizer,
            callbacks=[Report()],
        )
        trainer.remove_callback(PrinterCallback)  # medrl's console shows the progress
        result = trainer.train(resume_from_checkpoint=_whole_checkpoint(checkpoints))
    policy.model.eval()
    losses = [float(row["loss"]) for row in trainer.state.log_history if "loss" in row]
    return {"loss": sum(losses) / len(losses), "updates": float(result.global_step)}


def _trl_settings(policy: Policy, settings: SFTSettings, seed: int, checkpoints: Path | None) -> dict[str, Any]:
    """Our knobs by TRL's names."""
    return dict(
        **settings.arguments(policy.model, seed=seed) | {"save_strategy": "steps" if checkpoints else "no"},
        max_length=None,
        completion_only_loss=settings.loss_on == "last",
        assistant_only_loss=settings.loss_on == "assistant",
        packing=False,
        save_steps=settings.save_every or 500,
        save_total_limit=2,
    )


def plain(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """Messages as dictionaries of their own."""
    return [dict(message) for message in messages]


def _row(one: "Demonstration", loss_on: LossOn) -> dict[str, Any]:
    if loss_on == "assistant":
        return {"messages": plain(one.messages)}
    return {"prompt": plain(one.messages[:-1]), "completion": plain(one.messages[-1:])}


def assistant_mask(policy: Policy, messages: Sequence[Any]) -> tuple[list[int], list[bool]]:
    """Token ids of a chat, and which of them are learnt with `loss_on: assistant`: the assistant's, ends of turns too."""
    found = policy.renderer.apply_chat_template(
        plain(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return [int(i) for i in found["input_ids"]], [bool(m) for m in found["assistant_masks"]]


def check_demonstrations(
    policy: Policy, demonstrations: Sequence["Demonstration"], limit: int, loss_on: LossOn = "last"
) -> None:
    """Refuse an empty set, demonstrations of more than `limit` tokens or the model's context, and an empty loss.

    Raises:
        DataError: There are none, or some are too long.
        TemplateError: The chat template does not mark the assistant's words, and the loss is to be on them.
    """
    if not demonstrations:
        raise DataError("there are no demonstrations to fine-tune on")
    if loss_on == "assistant" and not _GENERATION.search(str(policy.renderer.chat_template)):
        raise TemplateError(
            f"sft.loss_on is assistant, and the chat template of {policy.name} does not mark what the assistant says; set "
            "policy.chat_format, add {% generation %} to its template, or set sft.loss_on=last"
        )
    limit = min(limit, policy.context)
    long = []
    for demonstration in demonstrations:
        ids = policy.tokenizer.apply_chat_template(plain(demonstration.messages), return_dict=False)
        if len(ids) > limit:
            long.append((demonstration.id, len(ids)))
    if long:
        name, length = long[0]
        raise DataError(
            f"{len(long)} demonstrations have more than {limit} tokens, the first being {name!r} with {length}; leave "
            "them out, or raise sft.max_length up to the model's context. Cutting them would teach unfinished answers"
        )


def _whole_checkpoint(folder: Path | None) -> str | None:
    """The newest checkpoint that transformers finished writing (its trainer state is written last)."""
    if folder is None or not folder.is_dir():
        return None
    whole = [f for f in folder.glob("checkpoint-*") if _is_json(f / "trainer_state.json")]
    return str(max(whole, key=lambda f: int(f.name.rpartition("-")[2]))) if whole else None


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
