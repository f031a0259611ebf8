"""What all supervised stages share (SFT, DPO, reward models, verifiers): AdamW's knobs, and transformers' names for them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from medrl.knobs import bad_betas, out_of_range


@dataclass(frozen=True)
class SupervisedSettings:
    """How examples become weights. Each stage has its own epochs, learning rate and sizes."""

    epochs: float = 1.0
    """Passes over the examples."""

    lr: float = 1e-5
    """Peak learning rate of AdamW."""

    batch_size: int = 64
    """Examples per optimizer update."""

    microbatch_size: int = 16
    """Examples in one forward pass; gradients of the rest of the batch are accumulated."""

    warmup_share: float = 0.05
    """Share of updates over which the learning rate rises."""

    schedule: str = "cosine"
    """Learning-rate schedule after warm-up, by transformers' name: cosine, linear, constant_with_warmup."""

    weight_decay: float = 0.0
    """Decoupled weight decay. Typical 0 to 0.1."""

    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates. Runs of a few hundred updates from scratch learn faster with (0.9, 0.95)."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this L2 norm."""

    bf16: bool = False
    """Compute in bfloat16 over float32 weights; for GPUs. Weights of fewer bits are float32 while they train, and a model in
    bfloat16 computes in it either way."""

    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them; for models of billions of parameters."""

    def faults(self, above_0: Sequence[str] = (), from_0: Sequence[str] = ()) -> list[str]:
        """What is wrong with the knobs above; and with a stage's own, by the names of numbers above 0, or at least 0."""
        positive = ("epochs", "lr", "batch_size", "microbatch_size", "max_grad_norm", *above_0)
        faults = out_of_range(self, above_0=positive, from_0=("warmup_share", "weight_decay", *from_0))
        faults += bad_betas(self.betas)
        if self.warmup_share >= 1:
            faults.append(f"warmup_share is {self.warmup_share}; it is a share of the updates, below 1")
        if not faults and self.batch_size > self.microbatch_size and self.batch_size % self.microbatch_size:
            faults.append(
                f"batch_size {self.batch_size} is no multiple of microbatch_size {self.microbatch_size}, so an update "
                "would have fewer examples than you asked for"
            )
        return faults

    def arguments(self, model: nn.Module, *, seed: int, logging_steps: int = 1) -> dict[str, Any]:
        """The same for `transformers.TrainingArguments` and TRL's configs: nothing saved, reported or printed.

        To be asked before `float32_weights`: it is by the model's own type and device what it computes in and where.
        """
        first = next(model.parameters())
        return dict(
            num_train_epochs=self.epochs,
            learning_rate=self.lr,
            per_device_train_batch_size=min(self.microbatch_size, self.batch_size),
            gradient_accumulation_steps=max(1, self.batch_size // self.microbatch_size),
            warmup_steps=self.warmup_share,
            lr_scheduler_type=self.schedule,
            weight_decay=self.weight_decay,
            adam_beta1=self.betas[0],
            adam_beta2=self.betas[1],
            max_grad_norm=self.max_grad_norm,
            seed=seed,
            data_seed=seed,
            bf16=self.bf16 or first.dtype == torch.bfloat16,
            gradient_checkpointing=self.gradient_checkpointing,
            use_cpu=first.device.type == "cpu",
            report_to=[],
            logging_steps=logging_steps,
            save_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )


@contextmanager
def float32_weights(model: nn.Module) -> Iterator[None]:
    """Hold weights of fewer bits in float32 while the block lasts, and round them back after it.

    An update of 5e-6 is below half the distance of two neighbours in bfloat16 for almost every weight: it would round away.
    """
    kept = [(weight, weight.dtype) for weight in model.parameters() if weight.dtype in (torch.bfloat16, torch.float16)]
    for weight, _ in kept:
        weight.data = weight.data.float()
    try:
        yield
    finally:
        for weight, dtype in kept:
            weight.grad = None  # of another type than the weight is to be
            weight.data = weight.data.to(dtype)
