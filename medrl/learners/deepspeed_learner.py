"""The learner over DeepSpeed: one rank of a group that shares a policy's gradients, moments and weights out (ZeRO).

What it computes is what `TorchLearner` computes. Every rank is given the whole batch; all deal its rows out alike, each
computes its share, and the shares add up: means have the denominators of the whole minibatch, so gradients are summed over
micro-batches and ranks where DeepSpeed would average them. ZeRO (arXiv 1910.02054): stage 1 shares out the moments, stage 2
the gradients too, stage 3 the weights too.

The process group must exist (gloo on CPUs, nccl on GPUs). Methods that say so are collective: all ranks call them alike.
"""

import math
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel

from medrl.algorithms import Algorithm, Batch, Denominators, Loss, Outputs
from medrl.errors import CheckpointError, LearnerLost, MedrlError, UpdateBrokenOff, need
from medrl.learners import checkpoint, trainable
from medrl.learners.base import CriticSettings, Optimization
from medrl.learners.checkpoint import Row
from medrl.learners.deepspeed_critic import DeepSpeedCritic
from medrl.learners.deepspeed_engine import Engine, initialize, step_together
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.learners.logprobs import backbone_and_head, head_outputs, response_outputs
from medrl.learners.microbatches import bundles, deal, shared_tokens
from medrl.learners.torch_learner import TorchLearner, probe_batch
from medrl.models import Policy
from medrl.models.buckets import AnyBucket, lend, pack
from medrl.seeds import seed_of

ELSEWHERE = "another rank says why"  # the reason of a rank that fails because another did


class _Head(nn.Module):
    """Applies the head in chunks. A module of its own, so that ZeRO-3 gathers the weight before each pass through it."""

    def __init__(self, head: nn.Linear, stage: int) -> None:
        super().__init__()
        self._head = (head,)  # not a child: the weight may be the embedding's
        if stage == 3:
            register: Any = need("deepspeed", "deepspeed").zero.register_external_parameter
            for weight in head.parameters(recurse=False):
                register(self, weight)

    def forward(self, hidden_ND: Tensor, targets_N: Tensor, **knobs: Any) -> tuple[Tensor, Tensor | None]:
        return head_outputs(self._head[0], hidden_ND, targets_N, **knobs)


class _Scored(nn.Module):
    """A model as DeepSpeed runs it: a micro-batch in; log-probabilities (B, T), entropy (B, T) and states (N, D) out."""

    def __init__(self, model: PreTrainedModel, stage: int) -> None:
        super().__init__()
        self.model = model
        self.head = _Head(backbone_and_head(model)[1], stage)

    def forward(self, *, micro: Batch, knobs: dict[str, Any]) -> tuple[Tensor, Tensor | None, Tensor]:
        def apply_head(_: nn.Linear, hidden_ND: Tensor, targets_N: Tensor, **more: Any) -> Any:
            return self.head(hidden_ND, targets_N, **more)

        states: list[Tensor] = []

        def keep(_: Batch, hidden_ND: Tensor) -> Tensor:
            states.append(hidden_ND)
            return hidden_ND.new_zeros(0)

        found = response_outputs(self.model, micro, apply_head=apply_head, values=keep, **knobs)
        return found.logprobs_BT, found.entropy_BT, states[0]  # in a tuple: DeepSpeed looks into no other objects


class DeepSpeedLearner(TorchLearner):
    """AdamW over a policy's parameters, on one rank of a group. `forward` and `save` are collective; rank 0 writes."""

    critic: DeepSpeedCritic | None

    def __init__(
        self, policy: Policy, settings: Optimization, deepspeed: DeepSpeedSettings, *, reference: bool = False
    ) -> None:
        """Bind to this rank's copy of a policy; collective.

        Args:
            policy: The same on every rank, on the rank's device. With stage 3 its weights are shared out.
            settings: Knobs of optimisation.
            deepspeed: How it is shared out.
            reference: Keep the present weights for the KL to them: a frozen copy, shared out too with stage 3, or the
                model without its adapter.
        """
        self.zero = deepspeed
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self._stale = False  # after an update that was broken off
        self.passes = 0  # what a watcher sees grow while this rank works
        self._bind(policy, settings)
        alone = deepspeed.stage == 3  # a weight can be shared out by one engine only
        frozen = trainable.frozen_copy(self.model, share=not alone) if reference and not settings.lora else None
        self.engine = Engine(
            _Scored(self.model, deepspeed.stage), trainable.parameters(self.model), settings, deepspeed
        )
        self.engines = [self.engine] if self.critic is None else [self.engine, self.critic.engine]
        self.optimizer: Any = self.engine.optimizer
        self.reference: Any = self._reference(frozen) if frozen is not None else self.model if reference else None

    def _critic(self, settings: CriticSettings) -> DeepSpeedCritic:
        return DeepSpeedCritic(self.policy, settings, self.zero, pack=self.pack)

    def _reference(self, frozen: PreTrainedModel) -> Any:
        if self.zero.stage == 3:
            return initialize(_Scored(frozen, 3), None, self.zero)
        if self.zero.bf16:
            nn.Module.to(frozen, torch.bfloat16)
        return _Scored(frozen, 0)

    # One update -------------------------------------------------------------------------------------------------------

    def update(self, batch: Batch, algorithm: Algorithm, seed: int) -> dict[str, float]:
        """See `Learner.update`; collective."""
        if self._stale:
            raise LearnerLost("an update of this learner was broken off, and DeepSpeed keeps half a gradient of it")
        try:
            return super().update(batch, algorithm, seed)
        except UpdateBrokenOff:
            self._stale = True  # weights, moments and counters are right, and can be saved
            for engine in self.engines:
                engine.state.let_go()
            raise

    def _must_go_on(self) -> None:
        """Collective, so that all ranks leave the update before the same micro-batch."""
        self.passes += 1
        asked = torch.tensor(float(self.broken_off.is_set()), device=self.policy.device)
        dist.all_reduce(asked)
        if asked:
            raise UpdateBrokenOff

    def _weights_here(self) -> list[Tensor]:
        return [part for engine in self.engines for part in engine.state.parts()]

    def _adams(self) -> list[torch.optim.Optimizer]:
        return [engine.state.adam for engine in self.engines]

    def _seed_dropout(self, seed: int) -> None:
        super()._seed_dropout(seed if self.rank == 0 else seed_of(seed, "rank", self.rank))

    def _step(self, minibatch: Batch, algorithm: Algorithm) -> dict[str, float] | None:
        rows = algorithm.gradient_rows(minibatch).nonzero()[:, 0].tolist()
        if not rows:
            return None
        denominators = Denominators.of(minibatch, rows)
        minibatch, shares = self._planted(minibatch, rows), {"loss": 0.0}
        for micro_rows in self._my_share(minibatch, rows):
            self._must_go_on()
            micro = self._with_pixels(minibatch.rows(micro_rows or rows[:1]).to(self.policy.device))
            loss = algorithm.loss(self._outputs(self.engine, micro, algorithm.outputs), micro, denominators)
            counts = float(bool(micro_rows))  # an empty pass keeps step with the other ranks and adds nothing
            self._backward_of(loss, counts)
            shares["loss"] += loss.policy.item() * counts
            for name, value in loss.parts.items():
                shares[name] = shares.get(name, 0.0) + value.item() * counts
        metrics, critic = self._summed(shares), self.critic
        waits = critic is not None and critic.alone
        lr = 0.0 if waits else self.settings.lr_at(self.updates)
        steps = {} if waits else {"grad_norm": partial(self.engine.step, lr)}
        if critic is not None:
            steps["critic_grad_norm"] = partial(critic.engine.step, critic.settings.lr_at(critic.updates))
            metrics["critic_alone"] = float(waits)
        norms = step_together(list(steps.values()), all(map(math.isfinite, metrics.values())))
        metrics |= {"grad_norm": 0.0, **dict(zip(steps, norms, strict=True)), "lr": lr}
        self._must_be_finite(metrics)
        self.updates += not waits
        if critic is not None:
            critic.updates += 1
        metrics["time/learner/shared_tokens"] = shared_tokens(minibatch, rows)
        return metrics

    def _backward_of(self, loss: Loss, counts: float) -> None:
        critic = self.critic
        if critic is None or loss.value is None:
            self.engine.backward(loss.policy * counts)
        elif critic.shared and not critic.alone:
            self.engine.backward((loss.policy + loss.value) * counts)
        else:
            if not critic.alone:
                self.engine.backward(loss.policy * counts)
            critic.engine.backward(loss.value * counts)

    def _my_share(self, batch: Batch, rows: list[int]) -> list[list[int]]:
        return deal(bundles(batch, rows), self._token_budget, self.ranks)[self.rank]

    def _summed(self, shares: dict[str, float]) -> dict[str, float]:
        sums = torch.tensor(list(shares.values()), dtype=torch.float64, device=self.policy.device)
        dist.all_reduce(sums)
        return dict(zip(shares, sums.tolist(), strict=True))

    @torch.no_grad()
    def _table(self, model: Any, batch: Batch, of: Callable[[Batch], Tensor]) -> Tensor:
        table_BT = torch.zeros(batch.tokens_BT.shape)
        was_training = self.model.training
        self.model.eval()
        rows = batch.loss_mask_BT.any(-1).nonzero()[:, 0].tolist()
        batch = self._planted(batch, rows)
        for micro_rows in self._my_share(batch, rows) if rows else []:
            self._must_go_on()
            part_BT = of(self._with_pixels(batch.rows(micro_rows or rows[:1]).to(self.policy.device)))
            if micro_rows:
                table_BT[micro_rows, : part_BT.shape[1]] = part_BT.cpu()
        self.model.train(was_training)
        there = table_BT.to(self.policy.device)
        dist.all_reduce(there)  # each row is one rank's, and 0 elsewhere
        return there.cpu()

    def _values(self, batch: Batch) -> Tensor:
        critic = self.critic
        if critic is None or not critic.shared:
            return super()._values(batch)

        def values(micro: Batch) -> Tensor:
            found = self._outputs(self.engine, micro, {"values"}).values_BT
            assert found is not None
            return found

        return self._table(self.engine, batch, values)

    def _outputs(self, model: Any, micro: Batch, want: Set[str] = frozenset()) -> Outputs:
        return self._scored(self.engine if model is self.model else model, micro, want, self.policy.barred_ids)

    def _scored(self, model: Any, micro: Batch, want: Set[str], barred: Sequence[int]) -> Outputs:
        knobs = {
            "entropy": "entropy" in want,
            "logits_mib": self.settings.logits_mib,
            "pack": self.pack,
            "barred": barred,
        }
        logprobs_BT, entropy_BT, states_ND = model(micro=micro, knobs=knobs)
        if self.critic is None or "values" not in want:
            return Outputs(logprobs_BT, entropy_BT=entropy_BT)
        values_BT = self.critic.values(micro, states_ND if self.critic.shared else None)
        return Outputs(logprobs_BT, values_BT, entropy_BT)

    @torch.no_grad()
    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """See `Learner.probe_logprobs`; collective."""
        found = self._scored(self.engine, probe_batch(token_ids).to(self.policy.device), frozenset(), ())
        return [float(value) for value in found.logprobs_BT[0, 1:]]

    def close(self) -> None:
        """Take the engines apart, before another is made in the same process; collective."""
        for engine in self.engines:
            engine.close()
        if hasattr(self.reference, "destroy"):
            self.reference.destroy()

    # Weights and checkpoints ------------------------------------------------------------------------------------------

    def weights(self, kind: Literal["full", "adapter"] = "full") -> Iterator[AnyBucket]:
        """See `Learner.weights`; collective, and only rank 0 gets any. It holds one bucket at a time."""
        rows = self.gathered(kind)
        if self.rank == 0:
            yield from (pack if self.zero.stage == 3 else lend)(rows)
        else:
            for _ in rows:
                pass

    def gathered(self, kind: Literal["full", "adapter"]) -> Iterator[Row]:
        """What `weights` puts into buckets, on every rank and where it lies; collective. Each is whole until the next."""
        return self._counted(self._named(kind))

    def save_policy(self, folder: Path) -> None:
        """See `Learner.save_policy`; collective, and rank 0 writes."""
        self._write(self._named("full"), lambda rows: checkpoint.save_model(self.policy, folder, rows))

    def load(self, folder: Path) -> None:
        """See `TorchLearner.load`; collective. Every rank reads the folder, whoever and however many wrote it."""
        with self._together(f"{folder} is no whole checkpoint of this model"):
            saved = checkpoint.OptimizerState(folder)
            weights = checkpoint.saved_weights(self.model, folder)
            saved.check(self.engine.state.shapes)
        with self._together(f"{folder} is no checkpoint of this model"):
            if trainable.has_adapter(self.model):
                trainable.check_base(self.model, weights, self.engine.state.gather)
            critic = self.critic.read(folder) if self.critic is not None else None
        self.engine.load(self.model, weights, saved)
        self.updates = saved.updates
        if self.critic is not None and critic is not None:
            self.critic.put(*critic)

    def _named(self, kind: Literal["full", "adapter"]) -> Iterator[Row]:
        named = trainable.whole_weights if kind == "full" else trainable.adapter_weights
        return named(self.model, self.engine.state.gather)

    def _moment_rows(self) -> Iterator[Row]:
        return self.engine.state.rows(masters=self.zero.bf16)

    def _counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.passes += 1
            yield row

    def _write(self, rows: Iterator[Row], write: Callable[[Iterator[Row]], None]) -> None:
        """Write on rank 0 while all ranks gather; what fails there fails everywhere."""
        rows = self._counted(rows)
        with self._together("rank 0 could not write"):
            try:
                if self.rank == 0:
                    write(rows)
            finally:
                for _ in rows:  # the ranks gather together, whatever the disk of rank 0 does
                    pass

    @contextmanager
    def _together(self, what: str) -> Iterator[None]:
        """All ranks leave the block well, or each raises."""
        fault: Exception | None = None
        try:
            yield
        except (OSError, ValueError, RuntimeError, LookupError, SafetensorError, MedrlError) as error:
            fault = error
        faults = torch.tensor(float(fault is not None), device=self.policy.device)
        dist.all_reduce(faults)
        if faults:
            reason = str(fault) if fault is not None else ELSEWHERE
            raise CheckpointError(f"{what}: {reason}; use another folder") from fault
