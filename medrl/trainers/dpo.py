"""Direct preference optimisation (Rafailov et al., arXiv 2305.18290) over TRL's DPOTrainer, from the pairs of reward models.

loss = -log sigmoid( beta * [ log pi(chosen)/ref(chosen) - log pi(rejected)/ref(rejected) ] ), sums over the reply's tokens.
The reference is the policy as it was when training began; its log-probabilities of all pairs are taken before the first
step, so no copy of it stands beside the policy. HuatuoGPT-o1's comparison (arXiv 2412.18925, table 3) takes lr 1e-6,
batch 128 and beta 1. TRL knows no weights of pairs, so they count alike here: leave weak ones out before.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Literal

from medrl.data.preferences import PreferencePair
from medrl.errors import DataError, TrainingDiverged
from medrl.models import Policy
from medrl.rewards.reward_model_layout import conversation, defused
from medrl.trainers.supervised import SupervisedSettings, float32_weights


@dataclass(frozen=True)
class DPOSettings(SupervisedSettings):
    """How a policy learns from pairs."""

    epochs: float = 1.0
    """Passes over the pairs."""

    lr: float = 1e-6
    """Peak learning rate of AdamW. Pretrained models 5e-7 to 5e-6; models of a million parameters 1e-4 to 1e-3."""

    beta: float = 0.1
    """How closely the policy stays with its reference; also the unit of the implicit reward. Typical 0.01 to 1; 1 in
    HuatuoGPT-o1."""

    loss: Literal["sigmoid", "ipo", "robust"] = "sigmoid"
    """`sigmoid` is DPO; `ipo` (arXiv 2310.12036) does not push certain pairs without end; `robust` (arXiv 2403.00409)
    corrects for the share `label_smoothing` of wrong labels."""

    label_smoothing: float = 0.0
    """Share of the labels that may be wrong, below 0.5: conservative DPO with `sigmoid`, unbiased with `robust`."""

    batch_size: int = 128
    """Pairs per optimizer update."""

    microbatch_size: int = 8
    """Pairs in one forward pass; gradients of the rest of the batch are accumulated."""

    max_length: int = 8192
    """Most tokens of prompt and reply; a longer pair is an error, since cutting it would teach unfinished replies."""

    def __post_init__(self) -> None:
        faults = self.faults(above_0=("beta", "max_length"), from_0=("label_smoothing",))
        if self.label_smoothing >= 0.5:
            faults.append(f"label_smoothing is {self.label_smoothing}; half of wrong labels says nothing, give less")
        if self.loss not in ("sigmoid", "ipo", "robust"):
            faults.append(f"loss is {self.loss!r}; it is sigmoid, ipo or robust")
        if faults:
            raise ValueError("dpo: " + "; ".join(faults))


def prefer(
    policy: Policy,
    pairs: Sequence[PreferencePair],
    settings: DPOSettings,
    *,
    held_out: Sequence[PreferencePair] = (),
    seed: int = 0,
    on_update: Callable[[int, int, dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Train `policy` in place.

    Args:
        policy: What learns; as it is now, it is also the reference.
        pairs: Preference pairs; of an episode the last reply is learnt.
        settings: Knobs.
        held_out: Pairs that the policy is measured on afterwards; never trained on.
        seed: Decides the order of the pairs.
        on_update: Called after each optimizer update with its number, how many there will be, and TRL's figures.

    Returns:
        `loss` (mean over training) and `updates`; with `held_out` also `accuracy` (share of those pairs whose better reply
        has the greater implicit reward, beta * log pi/ref) and `margin` (mean difference of the two).

    Raises:
        DataError: There are no pairs, or some are too long.
        TrainingDiverged: The loss is no finite number.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import DPOTrainer

    class Report(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if on_update and logs and "loss" in logs:
                on_update(state.global_step, state.max_steps, logs)

    rows = [_row(policy, pair) for pair in pairs]
    _check(policy, pairs, rows, settings.max_length)
    unseen = [_row(policy, pair) for pair in held_out]
    if unseen:
        _check(policy, held_out, unseen, settings.max_length)
    model = policy.model
    patched = vars(model).get("forward")
    try:
        with TemporaryDirectory() as nowhere:  # the trainer wants a folder even when it saves nothing
            arguments = _arguments(policy, settings, seed, nowhere)
            with float32_weights(model):
                trainer = DPOTrainer(
                    model=model,
                    args=arguments,
                    train_dataset=Dataset.from_list(rows),
                    eval_dataset=Dataset.from_list(unseen) if unseen else None,
                    processing_class=policy.tokenizer,
                    callbacks=[Report()],
                )
                trainer.remove_callback(PrinterCallback)
                result = trainer.train()
                found = trainer.evaluate() if unseen else {}
    finally:  # TRL puts a forward of its own into the model, which would go with it wherever it is copied
        if patched is None:
            vars(model).pop("forward", None)
        else:
            vars(model)["forward"] = patched
    model.eval()
    loss = float(result.training_loss)
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the DPO loss is {loss}; lower lr (now {settings.lr:g}) or beta")
    figures = {"accuracy": "eval_rewards/accuracies", "margin": "eval_rewards/margins"}
    measured = {name: float(found[key]) for name, key in figures.items() if key in found}
    return {"loss": loss, "updates": float(result.global_step), **measured}


def _row(policy: Policy, pair: PreferencePair) -> dict[str, Any]:
    def safe(content: Any) -> Any:
        return defused(policy.tokenizer, content) if isinstance(content, str) else content

    (before, chosen), (other, rejected) = (
        conversation(pair.problem, one.response) for one in (pair.chosen, pair.rejected)
    )
    if [dict(message) for message in before] != [dict(message) for message in other]:
        raise DataError(f"pair {pair.id!r}: its two episodes part before the last reply, so DPO cannot compare them")
    return {
        "prompt": [{**message, "content": safe(message["content"])} for message in before],
        "chosen": [{"role": "assistant", "content": safe(chosen)}],
        "rejected": [{"role": "assistant", "content": safe(rejected)}],
    }


def _check(policy: Policy, pairs: Sequence[PreferencePair], rows: Sequence[dict[str, Any]], limit: int) -> None:
    if not pairs:
        raise DataError("there are no preference pairs to learn from")
    limit, long = min(limit, policy.context), []
    for pair, row in zip(pairs, rows, strict=True):
        for side in ("chosen", "rejected"):
            ids = policy.tokenizer.apply_chat_template(row["prompt"] + row[side], return_dict=False)
            if len(ids) > limit:
                long.append((pair.id, len(ids)))
    if long:
        name, length = long[0]
        raise DataError(
            f"{len(long)} replies have more than {limit} tokens with their prompt, the first in pair {name!r} with {length}; "
            "leave them out, or raise max_length up to the model's context"
        )


def _arguments(policy: Policy, settings: DPOSettings, seed: int, folder: str) -> Any:
    from trl import DPOConfig

    return DPOConfig(
        output_dir=folder,
        **settings.arguments(policy.model, seed=seed),
        beta=settings.beta,
        loss_type=[settings.loss],
        label_smoothing=settings.label_smoothing,
        max_length=None,
        precompute_ref_log_probs=True,
    )
