"""What a learner is, and the knobs of optimisation that all learners share."""

import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from medrl.algorithms import Algorithm, Batch
from medrl.knobs import bad_betas, out_of_range
from medrl.learners.trainable import LoRA
from medrl.models.buckets import AnyBucket


@dataclass(frozen=True)
class CriticSettings:
    """The critic of an algorithm that has one (PPO): its model, and how its gradients become weights."""

    trunk: Literal["own", "shared"] = "own"
    """A model of its "own", which costs its memory and time, or a head on the policy's trunk, which is "shared" by both
    losses: far cheaper, and each disturbs the other (see the algorithm's `value_coef`)."""

    path: str | None = None
    """Folder or hub id of an own trunk with the policy's tokenizer, e.g. a smaller model; empty copies the policy's."""

    lr: float = 1e-5
    """Learning rate of its AdamW. Typical 5 to 20 times the policy's."""

    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the gradient's mean and square."""

    weight_decay: float = 0.0
    """Decoupled weight decay. Typical 0 to 0.1."""

    warmup_steps: int = 0
    """Its updates over which the learning rate rises from 0; constant after that."""

    alone_updates: int = 0
    """Its first updates, during which the policy stays as it is: advantages of a critic that knows nothing yet are
    noise. Typical 0 to 5 % of all. With a shared trunk only the head learns in them."""

    max_grad_norm: float = 1.0
    """Its gradients are scaled down to this L2 norm."""

    def __post_init__(self) -> None:
        faults = out_of_range(
            self, above_0=("lr", "max_grad_norm"), from_0=("weight_decay", "warmup_steps", "alone_updates")
        ) + bad_betas(self.betas)
        if self.trunk not in ("own", "shared"):
            faults.append(f"trunk is {self.trunk!r}; it is own or shared")
        if self.trunk == "shared" and self.path is not None:
            faults.append("`path` names a trunk of its own, and `trunk` shares the policy's; give one")
        if faults:
            raise ValueError("optimization.critic: " + "; ".join(faults))

    def lr_at(self, update: int) -> float:
        """The learning rate of the `update`-th update of the critic, counted from 0."""
        return self.lr * min(1.0, (update + 1) / max(self.warmup_steps, 1))


@dataclass(frozen=True)
class Optimization:
    """How gradients become weights."""

    lr: float = 1e-6
    """Learning rate of AdamW. RL of pretrained models 5e-7 to 5e-6; models of a million parameters 1e-4 to 6e-4."""

    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the gradient's mean and square."""

    weight_decay: float = 0.0
    """Decoupled weight decay. Typical 0 to 0.1."""

    warmup_steps: int = 0
    """Optimizer updates over which the learning rate rises from 0. Typical 0 to 5 % of all."""

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """What the learning rate does after warm-up; linear and cosine fall to 0 at `total_updates`."""

    total_updates: int | None = None
    """Optimizer updates of the whole run, for linear and cosine. The trainer fills it in when it is empty."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this L2 norm. Typical 0.1 to 1."""

    microbatch_tokens: int = 8192
    """Tokens (padding included) in one forward and backward pass; bounds memory, does not change the result. On a CPU
    at most 2,048 for each thread are taken, which keeps activations in its caches."""

    logits_mib: int = 64
    """MiB of logits that may exist at once; log-probabilities are made in chunks of so many. Bounds memory."""

    packing: Literal["auto", "on", "off"] = "auto"
    """Padding-free micro-batches: sequences in one row, kept apart by their positions. "auto" turns it on for flash
    attention, where it is faster; elsewhere rows of similar length are padded together."""

    share_prompts: Literal["auto", "on", "off"] = "auto"
    """Let the prompt of a group pass through the model once and not once for each response; the numbers are the same to
    rounding. "on" does so where it is estimated to be faster and the model allows it: decoders of text with full SDPA
    attention and rotary positions, rows neither packed nor with images. "auto" does so on CPUs, where it was measured."""

    undo_mib: int = 1024
    """MiB of host memory (of each rank) for a copy of weights and moments from before a step of several updates, so that
    Ctrl-C in its middle can go back to the step before; a policy that needs more goes back to its latest checkpoint."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: about a third slower, far less memory."""

    last_layers: int | None = None
    """Train the last so many layers alone (HuatuoGPT: 2); embeddings, norm, head and earlier layers stay. Empty: all."""

    lora: LoRA | None = None
    """Train low-rank adapters in place of the weights; the model without them is the reference policy."""

    critic: CriticSettings | None = None
    """The critic, for an algorithm that has one (PPO); empty for its defaults."""

    def __post_init__(self) -> None:
        if self.schedule not in ("constant", "linear", "cosine"):
            raise ValueError(f"optimization: schedule is {self.schedule!r}; it is constant, linear or cosine")
        if self.share_prompts not in ("auto", "on", "off"):
            raise ValueError(f"optimization: share_prompts is {self.share_prompts!r}; it is auto, on or off")
        positive = ("lr", "max_grad_norm", "microbatch_tokens", "logits_mib")
        faults = out_of_range(self, above_0=positive, from_0=("weight_decay", "warmup_steps", "undo_mib"))
        faults += bad_betas(self.betas)
        if self.last_layers is not None and self.last_layers < 1:
            faults.append(f"last_layers is {self.last_layers}; it must be at least 1, or empty for all")
        if self.last_layers is not None and self.lora is not None:
            faults.append("last_layers and lora exclude each other; choose one")
        if faults:
            raise ValueError("optimization: " + "; ".join(faults))

    def over(self, total_updates: int) -> "Optimization":
        """The same, with `total_updates` filled in where it was empty."""
        return self if self.total_updates is not None else replace(self, total_updates=total_updates)

    def for_algorithm(self, algorithm: Algorithm) -> "Optimization":
        """The same, with a critic where the algorithm has one.

        Raises:
            ValueError: There are knobs of a critic, and the algorithm has none.
        """
        if "values" not in algorithm.needs:
            if self.critic is not None:
                raise ValueError(f"optimization.critic: {algorithm.kind} has no critic; leave it out, or take ppo")
            return self
        return self if self.critic is not None else replace(self, critic=CriticSettings())

    def lr_at(self, update: int) -> float:
        """The learning rate of the `update`-th optimizer update, counted from 0."""
        if update < self.warmup_steps:
            return self.lr * (update + 1) / self.warmup_steps
        if self.schedule == "constant" or not self.total_updates:
            return self.lr
        done = (update - self.warmup_steps) / max(1, self.total_updates - self.warmup_steps)
        left = max(0.0, 1.0 - done)
        return self.lr * (left if self.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left)))


class Learner(Protocol):
    """Makes gradients. It never knows which algorithm runs."""

    def forward(self, batch: Batch, want: Set[str], *, exact_rollouts: bool = False) -> Batch:
        """The batch with "old_logprobs", "ref_logprobs" or "values" filled in, as wanted; no gradient.

        With `exact_rollouts` the log-probabilities that the engine reported serve as the old ones.
        """
        ...

    def update(self, batch: Batch, algorithm: Algorithm, seed: int) -> dict[str, float]:
        """All epochs and minibatches of one step; metrics averaged over its optimizer updates."""
        ...

    def interrupt(self, on: bool = True) -> None:
        """Break off what `forward` or `update` is doing, from another thread: it raises `UpdateBrokenOff` after the present
        micro-batch, and so does each later one until this is called with False.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write weights, optimizer state and counters into an existing folder."""
        ...

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, bit for bit."""
        ...

    def save_policy(self, folder: Path) -> None:
        """Write the policy as it is now into an existing folder, as a whole Hugging Face folder, adapters added."""
        ...

    def weights(self, kind: Literal["full", "adapter"] = "full") -> Iterator[AnyBucket]:
        """The policy's weights for engines, under Hugging Face's names, tied ones once; or the adapters alone."""
        ...

    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Log-probability of each token but the first, given those before it, at temperature 1.

        What an engine gives for the same tokens says whether it has the same weights.
        """
        ...

    def peak_flops(self) -> float:
        """Floating-point operations per second that its devices reach together, measured now (see `efficiency.py`)."""
        ...

    @property
    def policy(self) -> Any:
        """The policy whose weights it changes."""
        ...
