"""The reference learner: plain torch in one process. What it computes is what every other learner must equal."""

import math
from collections.abc import Iterator, Sequence, Set
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel

from medrl.algorithms import Algorithm, Batch, Denominators, Multimodal, Outputs
from medrl.errors import CheckpointError, TrainingDiverged
from medrl.learners import checkpoint, trainable
from medrl.learners.base import Optimization
from medrl.learners.logprobs import response_logprobs
from medrl.learners.microbatches import microbatches, minibatches
from medrl.models import Policy
from medrl.models.buckets import AnyBucket, lend
from medrl.seeds import seed_of

CPU_TOKENS = 2048  # for each thread: a CPU is fastest while the activations of a micro-batch stay in its caches


class TorchLearner:
    """AdamW over a policy's parameters."""

    def __init__(self, policy: Policy, settings: Optimization, *, reference: bool = False) -> None:
        """Bind to a policy.

        Args:
            policy: Its module is trained in place.
            settings: Knobs of optimisation.
            reference: Keep the present weights for the KL to them: a frozen copy, or the model without its adapter.
        """
        self.policy, self.settings = policy, settings
        self.model: PreTrainedModel = policy.model
        trainable.choose_trainable(self.model, settings.last_layers, settings.lora)
        self.reference = (self.model if settings.lora else trainable.frozen_copy(self.model)) if reference else None
        if settings.gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.updates = 0
        self.optimizer = torch.optim.AdamW(
            trainable.parameters(self.model).values(),
            lr=settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        attention = str(getattr(self.model.config, "_attn_implementation", ""))
        self.pack = settings.packing == "on" or (settings.packing == "auto" and "flash" in attention)

    def forward(self, batch: Batch, want: Set[str], *, exact_rollouts: bool = False) -> Batch:
        """See `Learner.forward`."""
        if "old_logprobs" in want and exact_rollouts:
            batch = batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT)
        elif "old_logprobs" in want:
            batch = batch.with_(old_logprobs_BT=self._logprobs(self.model, batch))
        if "ref_logprobs" in want:
            if self.reference is None:
                raise ValueError("the algorithm needs a reference policy; make the learner with reference=True")
            with trainable.adapter_off(self.model) if self.reference is self.model else nullcontext():
                batch = batch.with_(ref_logprobs_BT=self._logprobs(self.reference, batch))
        if "values" in want:
            raise ValueError("this learner has no critic, and the algorithm needs values")
        return batch

    def update(self, batch: Batch, algorithm: Algorithm, seed: int) -> dict[str, float]:
        """See `Learner.update`. `seed` decides the dealing into minibatches, and dropout where the model has any."""
        self.model.train()
        self._seed_dropout(seed)
        totals: dict[str, float] = {}
        done = idle = 0
        try:
            for epoch in range(algorithm.epochs):
                for rows in minibatches(batch, algorithm.minibatches, seed_of(seed, "minibatches", epoch)):
                    metrics = self._step(batch.rows(rows), algorithm)
                    if metrics is None:
                        idle += 1
                        continue
                    done += 1
                    for name, value in metrics.items():
                        totals[name] = totals.get(name, 0.0) + value
        finally:
            self.model.eval()
            self.optimizer.zero_grad(set_to_none=True)  # what an error in the middle of a minibatch left behind
        return {
            **{name: total / done for name, total in totals.items()},
            "updates": float(done),
            "idle_updates": float(idle),
        }

    def _step(self, minibatch: Batch, algorithm: Algorithm) -> dict[str, float] | None:
        """One optimizer update; None, and weights as they were, where no row can give a gradient."""
        rows = algorithm.gradient_rows(minibatch).nonzero()[:, 0].tolist()
        if not rows:
            return None
        denominators = Denominators.of(minibatch, rows)
        metrics = {"loss": 0.0}
        for micro_rows in microbatches(minibatch.lengths_B, rows, self._token_budget):
            micro = minibatch.rows(micro_rows).to(self.policy.device)
            logprobs_BT = self._micro_logprobs(self.model, micro)
            loss = algorithm.loss(Outputs(logprobs_BT), micro, denominators)
            loss.policy.backward()
            metrics["loss"] += loss.policy.item()
            for name, value in loss.parts.items():
                metrics[name] = metrics.get(name, 0.0) + value.item()
        norm = torch.nn.utils.clip_grad_norm_(
            trainable.parameters(self.model).values(), self.settings.max_grad_norm
        ).item()
        self._must_be_finite(metrics["loss"], norm)
        lr = self.settings.lr_at(self.updates)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        return {**metrics, "grad_norm": norm, "lr": lr}

    @torch.no_grad()
    def _logprobs(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        logprobs_BT = torch.zeros(batch.tokens_BT.shape)
        was_training = model.training
        model.eval()
        rows = batch.loss_mask_BT.any(-1).nonzero()[:, 0].tolist()
        for micro_rows in microbatches(batch.lengths_B, rows, self._token_budget):
            part_BT = self._micro_logprobs(model, batch.rows(micro_rows))
            logprobs_BT[micro_rows, : part_BT.shape[1]] = part_BT.cpu()
        model.train(was_training)
        return logprobs_BT

    def _must_be_finite(self, loss: float, norm: float) -> None:
        if not (math.isfinite(norm) and math.isfinite(loss)):
            raise TrainingDiverged(
                f"update {self.updates} has loss {loss} and gradient norm {norm}; the weights were left as "
                "they were. Lower the learning rate, or look for rewards or log-probabilities that are not finite"
            )

    def _micro_logprobs(self, model: PreTrainedModel, micro: Batch) -> Tensor:
        return response_logprobs(
            model,
            self._with_pixels(micro),
            logits_mib=self.settings.logits_mib,
            pack=self.pack,
            barred=self.policy.barred_ids,
        )

    def save(self, folder: Path) -> None:
        """A Hugging Face folder (weights, tokenizer) with the optimizer's state beside it: see `checkpoint`."""
        self.save_policy(folder)
        if trainable.has_adapter(self.model):
            checkpoint.save_adapter(self.model, folder, trainable.adapter_weights(self.model))
        checkpoint.write_state(folder, self.updates, self._optimizer_rows())

    def save_policy(self, folder: Path) -> None:
        """See `Learner.save_policy`."""
        if trainable.has_adapter(self.model):
            checkpoint.save_model(self.policy, folder, trainable.whole_weights(self.model))
        else:
            self.policy.save(folder)

    def weights(self, kind: Literal["full", "adapter"] = "full") -> Iterator[AnyBucket]:
        """See `Learner.weights`."""
        return lend((trainable.whole_weights if kind == "full" else trainable.adapter_weights)(self.model))

    @torch.no_grad()
    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """See `Learner.probe_logprobs`."""
        logprobs_T = response_logprobs(self.model, probe_batch(token_ids), logits_mib=self.settings.logits_mib)[0]
        return [float(value) for value in logprobs_T[1:]]

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; the reference policy stays what it was when the learner was made."""
        try:
            saved = checkpoint.OptimizerState(folder)
            weights = checkpoint.saved_weights(self.model, folder)
            state = self._state_of(saved)
            if trainable.has_adapter(self.model):
                trainable.check_base(self.model, weights)
        except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
            raise CheckpointError(
                f"{folder} is no whole checkpoint of this model: {error}; use an older one"
            ) from error
        trainable.assign(
            self.model, {**weights, **{trainable.saved_name(name): saved[f"{name}/master"] for name in saved.masters}}
        )
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.updates = saved.updates

    def _optimizer_rows(self) -> Iterator[tuple[str, Tensor]]:
        names = list(trainable.parameters(self.model))
        for index, state in self.optimizer.state_dict()["state"].items():
            yield from ((f"{names[index]}/{key}", value) for key, value in state.items())

    def _state_of(self, saved: checkpoint.OptimizerState) -> dict[int, dict[str, Tensor]]:
        """The optimizer's state by the index of each weight; weights that never had a gradient have none."""
        weights = trainable.parameters(self.model)
        saved.check({name: tuple(weight.shape) for name, weight in weights.items()})
        keys = ("step", *checkpoint.MOMENTS)
        return {
            index: {key: saved[f"{name}/{key}"] for key in keys}
            for index, name in enumerate(weights)
            if f"{name}/step" in saved
        }

    # What other learners share or do in their own way -----------------------------------------------------------------

    def _seed_dropout(self, seed: int) -> None:
        torch.manual_seed(seed)

    def _with_pixels(self, micro: Batch) -> Batch:
        if not micro.images or micro.multimodal is not None:
            return micro
        counts = [len(images) for images in micro.images]
        pixels = self.policy.pixels([image for images in micro.images for image in images])
        return replace(micro, multimodal=Multimodal(pixels, (0, *accumulate(counts))))

    @property
    def _token_budget(self) -> int:
        tokens = self.settings.microbatch_tokens
        return min(tokens, CPU_TOKENS * torch.get_num_threads()) if self.policy.device.type == "cpu" else tokens


def probe_batch(token_ids: Sequence[int]) -> Batch:
    """One row of tokens, of which all but the first are asked for."""
    tokens_BT = torch.tensor([list(token_ids)])
    mask_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
    mask_BT[:, 0] = False
    length, one = torch.tensor([len(token_ids)]), torch.tensor([1])
    return Batch(tokens_BT, length, one, mask_BT, torch.zeros(1), group_size=1, max_response_tokens=len(token_ids))
