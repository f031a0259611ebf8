"""The reference learner: plain torch in one process. What it computes is what every other learner must equal."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel

from medrl.algorithms import Algorithm, Batch, Denominators, Multimodal, Outputs
from medrl.errors import CheckpointError, TrainingDiverged, UpdateBrokenOff
from medrl.learners import checkpoint, trainable
from medrl.learners.base import CriticSettings, Optimization
from medrl.learners.checkpoint import Row
from medrl.learners.critic import Critic
from medrl.learners.efficiency import measured_flops
from medrl.learners.logprobs import backbone_and_head, response_logprobs, response_outputs, trained_states
from medrl.learners.masters import handing_on, masters_of, round_to
from medrl.learners.microbatches import bundles, microbatches, minibatches, shared_tokens
from medrl.learners.moments import moment_rows, moments_of, put_moments
from medrl.learners.trees import can_share, planted
from medrl.learners.undo import Undo, mib
from medrl.models import Policy
from medrl.models.buckets import AnyBucket, lend
from medrl.seeds import seed_of

CPU_TOKENS = 2048  # for each thread: a CPU is fastest while the activations of a micro-batch stay in its caches


class TorchLearner:
    """AdamW over a policy's parameters, in float32 whatever type they have."""

    ranks = 1

    def __init__(self, policy: Policy, settings: Optimization, *, reference: bool = False) -> None:
        """Bind to a policy.

        Args:
            policy: Its module is trained in place.
            settings: Knobs of optimisation.
            reference: Keep the present weights for the KL to them: a frozen copy, or the model without its adapter.
        """
        self._bind(policy, settings)
        self.reference = (self.model if settings.lora else trainable.frozen_copy(self.model)) if reference else None
        self.masters = masters_of(trainable.parameters(self.model))
        self.optimizer = torch.optim.AdamW(
            self.masters.values(),
            lr=settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _bind(self, policy: Policy, settings: Optimization) -> None:
        """What every learner does with its policy."""
        self.policy, self.settings = policy, settings
        self.model: PreTrainedModel = policy.model
        attention = str(getattr(self.model.config, "_attn_implementation", ""))
        self.pack = settings.packing == "on" or (settings.packing == "auto" and "flash" in attention)
        self.critic = self._critic(settings.critic) if settings.critic else None
        trainable.choose_trainable(self.model, settings.last_layers, settings.lora)
        trunk: Any = self.critic and self.critic.model.trunk
        for model in (self.model, trunk) if settings.gradient_checkpointing else ():
            if model is not None:
                model.gradient_checkpointing_enable({"use_reentrant": False})
        wanted = settings.share_prompts == "on" or (settings.share_prompts == "auto" and policy.device.type == "cpu")
        self.share = wanted and not self.pack and can_share(self.model) and (trunk is None or can_share(trunk))
        self.updates = 0
        self.broken_off = threading.Event()

    def _critic(self, settings: CriticSettings) -> Critic:
        return Critic(self.policy, settings, pack=self.pack)

    def _planted(self, batch: Batch, rows: list[int]) -> Batch:
        """The batch with these rows in trees, where they may be and where it pays."""
        if not self.share:
            return batch
        return planted(batch, rows, int(self.model.config.hidden_size), self._token_budget, self.ranks)

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
            batch = batch.with_(values_BT=self._values(batch))
        return batch

    def update(self, batch: Batch, algorithm: Algorithm, seed: int) -> dict[str, float]:
        """See `Learner.update`. `seed` decides the dealing into minibatches, and dropout where the model has any."""
        trained = [self.model] if self.critic is None else [self.model, self.critic.model]
        for model in trained:
            model.train()
        self._seed_dropout(seed)
        totals: dict[str, float] = {}
        done = idle = 0
        undo = self._undo() if algorithm.epochs * algorithm.minibatches > 1 else None
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
        except UpdateBrokenOff:
            if done and undo is not None:
                undo.put_back()
            raise UpdateBrokenOff(whole=not done or undo is not None) from None
        finally:
            for model in trained:
                model.eval()
            for optimizer in [self.optimizer] if self.critic is None else [self.optimizer, self.critic.optimizer]:
                optimizer.zero_grad(set_to_none=True)  # what an error in the middle of a minibatch left behind
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
        minibatch = self._planted(minibatch, rows)
        metrics = {"loss": 0.0, "time/learner/shared_tokens": shared_tokens(minibatch, rows)}
        critic, weights = self.critic, trainable.parameters(self.model)
        with handing_on(weights.values(), self.masters.values()):
            for micro_rows in microbatches(bundles(minibatch, rows), self._token_budget):
                self._must_go_on()
                micro = self._with_pixels(minibatch.rows(micro_rows).to(self.policy.device))
                loss = algorithm.loss(self._outputs(self.model, micro, algorithm.outputs), micro, denominators)
                if critic is None or loss.value is None:
                    loss.policy.backward()
                else:
                    (loss.value if critic.alone else loss.policy + loss.value).backward()
                metrics["loss"] += loss.policy.item()
                for name, value in loss.parts.items():
                    metrics[name] = metrics.get(name, 0.0) + value.item()
        metrics["grad_norm"] = torch.nn.utils.clip_grad_norm_(self.masters.values(), self.settings.max_grad_norm).item()
        if critic is not None:
            metrics |= {"critic_grad_norm": critic.clip_gradient(), "critic_alone": float(critic.alone)}
        self._must_be_finite(metrics)
        metrics["lr"] = 0.0  # while the policy waits for its critic
        if critic is None or not critic.alone:
            metrics["lr"] = self.settings.lr_at(self.updates)
            for group in self.optimizer.param_groups:
                group["lr"] = metrics["lr"]
            self.optimizer.step()
            round_to(weights.values(), self.masters.values())
            self.updates += 1
        if critic is not None:
            critic.step()
        self.optimizer.zero_grad(set_to_none=True)
        return metrics

    def _logprobs(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        return self._table(model, batch, lambda micro: self._outputs(model, micro).logprobs_BT)

    def _values(self, batch: Batch) -> Tensor:
        def values(micro: Batch) -> Tensor:
            assert self.critic is not None
            trunk = backbone_and_head(self.model)[0]
            return self.critic.values(
                micro, trained_states(trunk, micro, pack=self.pack) if self.critic.shared else None
            )

        if self.critic is None:
            raise ValueError("the algorithm needs values; make the learner with Optimization(critic=CriticSettings())")
        return self._table(self.model if self.critic.shared else self.critic.model, batch, values)

    @torch.no_grad()
    def _table(self, model: torch.nn.Module, batch: Batch, of: Callable[[Batch], Tensor]) -> Tensor:
        """What `of` says of micro-batches, laid out as the batch is, with `model` in evaluation mode."""
        table_BT = torch.zeros(batch.tokens_BT.shape)
        was_training = model.training
        model.eval()
        rows = batch.loss_mask_BT.any(-1).nonzero()[:, 0].tolist()
        batch = self._planted(batch, rows)
        for micro_rows in microbatches(bundles(batch, rows), self._token_budget):
            self._must_go_on()
            part_BT = of(self._with_pixels(batch.rows(micro_rows).to(self.policy.device)))
            table_BT[micro_rows, : part_BT.shape[1]] = part_BT.cpu()
        model.train(was_training)
        return table_BT

    def _outputs(self, model: PreTrainedModel, micro: Batch, want: Set[str] = frozenset()) -> Outputs:
        return response_outputs(
            model,
            micro,
            entropy="entropy" in want,
            values=self.critic.values if self.critic is not None and "values" in want else None,
            logits_mib=self.settings.logits_mib,
            pack=self.pack,
            barred=self.policy.barred_ids,
        )

    def _must_go_on(self) -> None:
        """Before each micro-batch: whether the update was broken off."""
        if self.broken_off.is_set():
            raise UpdateBrokenOff

    def save(self, folder: Path) -> None:
        """A Hugging Face folder (weights, tokenizer) with the optimizer's state beside it: see `checkpoint`."""
        self.save_policy(folder)
        if trainable.has_adapter(self.model):
            self._write(self._named("adapter"), lambda rows: checkpoint.save_adapter(self.model, folder, rows))
        if self.critic is not None:
            self.critic.save(folder, self._write)
        self._write(self._moment_rows(), lambda rows: checkpoint.write_state(folder, self.updates, rows))

    def save_policy(self, folder: Path) -> None:
        """See `Learner.save_policy`."""
        if trainable.has_adapter(self.model):
            checkpoint.save_model(self.policy, folder, self._named("full"))
        else:
            self.policy.save(folder)

    def weights(self, kind: Literal["full", "adapter"] = "full") -> Iterator[AnyBucket]:
        """See `Learner.weights`."""
        return lend(self._named(kind))

    def interrupt(self, on: bool = True) -> None:
        """See `Learner.interrupt`."""
        (self.broken_off.set if on else self.broken_off.clear)()

    def peak_flops(self) -> float:
        """See `Learner.peak_flops`."""
        return measured_flops(self.policy.device, self.model.dtype)

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
            state = moments_of(saved, trainable.parameters(self.model))
            if trainable.has_adapter(self.model):
                trainable.check_base(self.model, weights)
            critic = self.critic.read(folder) if self.critic is not None else None
        except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
            raise CheckpointError(
                f"{folder} is no whole checkpoint of this model: {error}; use an older one"
            ) from error
        trainable.assign(
            self.model, {**weights, **{trainable.saved_name(name): saved[f"{name}/master"] for name in saved.masters}}
        )
        for name, weight in trainable.parameters(self.model).items():
            if (master := self.masters[name]) is not weight:
                master.data.copy_(saved.get(f"{name}/master", weight))
        put_moments(self.optimizer, state)
        self.updates = saved.updates
        if self.critic is not None and critic is not None:
            self.critic.put(*critic)

    # What other learners share or do in their own way -----------------------------------------------------------------

    def _named(self, kind: Literal["full", "adapter"]) -> Iterator[Row]:
        """Whole weights by the names that files have."""
        return (trainable.whole_weights if kind == "full" else trainable.adapter_weights)(self.model)

    def _moment_rows(self) -> Iterator[Row]:
        yield from moment_rows(self.optimizer, self.masters)
        weights = trainable.parameters(self.model)
        yield from ((f"{name}/master", one) for name, one in self.masters.items() if one is not weights[name])

    def _write(self, rows: Iterator[Row], write: Callable[[Iterator[Row]], None]) -> None:
        write(rows)

    def _must_be_finite(self, metrics: Mapping[str, float]) -> None:
        told = ", ".join(f"{name} {value}" for name, value in metrics.items() if not math.isfinite(value))
        if told:
            raise TrainingDiverged(
                f"update {self.updates} has loss {metrics['loss']} and gradient norm {metrics['grad_norm']} (not finite: "
                f"{told}); the weights were left as they were. Lower the learning rate, or look for rewards or "
                "log-probabilities that are not finite"
            )

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

    def _undo(self) -> Undo | None:
        """The way back to now, where the memory for it is allowed."""
        weights = self._weights_here()
        counters = [self] if self.critic is None else [self, self.critic]
        return Undo(weights, self._adams(), counters) if mib(weights) <= self.settings.undo_mib else None

    def _weights_here(self) -> list[Tensor]:
        """All that an update changes in this process, moments apart."""
        critic = [] if self.critic is None else self.critic.weights().values()
        weights = trainable.parameters(self.model)
        masters = [one for name, one in self.masters.items() if one is not weights[name]]
        return [*weights.values(), *masters, *critic]

    def _adams(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer] if self.critic is None else [self.optimizer, self.critic.optimizer]


def probe_batch(token_ids: Sequence[int]) -> Batch:
    """One row of tokens, of which all but the first are asked for."""
    tokens_BT = torch.tensor([list(token_ids)])
    mask_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
    mask_BT[:, 0] = False
    length, one = torch.tensor([len(token_ids)]), torch.tensor([1])
    return Batch(tokens_BT, length, one, mask_BT, torch.zeros(1), group_size=1, max_response_tokens=len(token_ids))
