"""A batch: the rollouts of one step as tensors, right-padded, in one shape for every algorithm.

Shape letters: P problems, G rollouts in a group, B = P*G rollouts, T tokens of prompt and response together. Column t of
every (B, T) tensor speaks of token t: `logprobs_BT[b, t]` is the log-probability of token t given the tokens before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from medrl.types import Rollout, ScoredGroup


@dataclass(frozen=True)
class Multimodal:
    """What an image processor made of the images of a batch.

    Attributes:
        tensors: Processor outputs by name (`pixel_values`, ...); the first axis counts images.
        offsets: Images of row b are `offsets[b]` to `offsets[b + 1]`, exclusive; length B + 1.
    """

    tensors: Mapping[str, Tensor]
    offsets: tuple[int, ...]

    def rows(self, rows: Sequence[int]) -> "Multimodal":
        spans = [range(self.offsets[b], self.offsets[b + 1]) for b in rows]
        images = torch.tensor([i for span in spans for i in span], dtype=torch.long)
        offsets = [0]
        for span in spans:
            offsets.append(offsets[-1] + len(span))
        return Multimodal({name: t[images.to(t.device)] for name, t in self.tensors.items()}, tuple(offsets))


@dataclass(frozen=True)
class Batch:
    """The rollouts of one step.

    Attributes:
        tokens_BT: Prompt, then response, then padding.
        lengths_B: Tokens of prompt and response.
        prompt_lengths_B: Tokens of the prompt.
        loss_mask_BT: True on tokens that the policy wrote in a rollout that has a score. All else trains nothing.
        rewards_B: The reward; NaN where a rollout has none.
        weights_B: What each rollout's advantage is multiplied by, from 0 to 1 (`Score.weight`); None for 1 everywhere.
        group_size: G; rows g*G to (g+1)*G belong to one problem.
        max_response_tokens: The limit that the rollouts were sampled under (Dr. GRPO divides by it).
        temperature: The sampling temperature; learners divide logits by it, so that logprobs are of the same
            distribution.
        teacher_mask_BT: True on tokens that a teacher wrote; None where there are none. `rollout_logprobs_BT` says nothing
            there.
        rollout_logprobs_BT: As the engine reported them when it sampled.
        old_logprobs_BT: Under the policy before this step's first update.
        ref_logprobs_BT: Under the reference policy.
        values_BT: A critic's estimates.
        advantages_BT: Set by `Algorithm.advantages`.
        returns_BT: A critic's targets.
        tree_B: Which rows a learner passes through the model as one tree, since they share a prompt; it says so itself.
        kl_coef: The weight of the KL in this step, where `Algorithm.advantages` sets it; empty for the algorithm's knob.
        images: References of each row's images, empty when no row has any; learners make `multimodal` of them, a
            micro-batch at a time, so that pixels never travel.
        multimodal: Processor outputs of the rows' images, or None.
    """

    tokens_BT: Tensor
    lengths_B: Tensor
    prompt_lengths_B: Tensor
    loss_mask_BT: Tensor
    rewards_B: Tensor
    group_size: int
    max_response_tokens: int
    temperature: float = 1.0
    weights_B: Tensor | None = None
    teacher_mask_BT: Tensor | None = None
    rollout_logprobs_BT: Tensor | None = None
    old_logprobs_BT: Tensor | None = None
    ref_logprobs_BT: Tensor | None = None
    values_BT: Tensor | None = None
    advantages_BT: Tensor | None = None
    returns_BT: Tensor | None = None
    tree_B: Tensor | None = None
    kl_coef: float | None = None
    images: tuple[tuple[Any, ...], ...] = ()
    multimodal: Multimodal | None = None

    def __len__(self) -> int:
        return self.tokens_BT.shape[0]

    @property
    def scored_B(self) -> Tensor:
        """Which rollouts have a reward. (B,) bool."""
        return ~torch.isnan(self.rewards_B)

    def with_(self, **tensors: Tensor | None) -> "Batch":
        return replace(self, **tensors)  # type: ignore[arg-type]

    def rows(self, rows: Sequence[int]) -> "Batch":
        """The named rows, cut to their longest. `group_size` keeps its meaning only for whole groups."""
        index = torch.as_tensor(rows, dtype=torch.long, device=self.tokens_BT.device)
        width = int(self.lengths_B[index].max()) if len(index) else 0
        picked: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                picked[f.name] = value[index, :width] if value.dim() == 2 else value[index]
        if self.images:
            picked["images"] = tuple(self.images[b] for b in rows)
        if self.multimodal is not None:
            picked["multimodal"] = self.multimodal.rows(rows)
        return replace(self, **picked)

    def to(self, device: torch.device) -> "Batch":
        """The same on another device; image tensors go there when they are used."""
        tensors = {f.name: t.to(device) for f in fields(self) if isinstance(t := getattr(self, f.name), Tensor)}
        return self.with_(**tensors)

    @classmethod
    def from_groups(cls, scored: Sequence[ScoredGroup], max_response_tokens: int, temperature: float = 1.0) -> "Batch":
        """Tensors of scored groups, which must all have the same number of rollouts.

        A rollout whose score has no value gets reward NaN and an all-False loss mask: it leaves the loss, and
        `group_advantages` leaves it out of the baseline.
        """
        sizes = {len(s.group) for s in scored}
        if len(sizes) != 1:
            raise ValueError(f"the groups of a batch must have one size, not {sorted(sizes) or 'no group at all'}")
        rollouts = [r for s in scored for r in s.group.rollouts]
        scores = [score for s in scored for score in s.scores]
        if any(score.token_values is not None for score in scores):
            raise ValueError("scores with one value per token cannot train yet; give rewards of whole responses")
        if not all(isinstance(r, Rollout) for r in rollouts):
            raise ValueError("a batch is made of rollouts with token ids; plain responses can only be scored")
        lengths = [len(r.prompt_ids) + len(r.token_ids) for r in rollouts]  # type: ignore[attr-defined]
        shape = (len(rollouts), max(lengths))
        tokens, logprobs = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
        mask, taught = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        for b, (rollout, score) in enumerate(zip(rollouts, scores, strict=True)):
            assert isinstance(rollout, Rollout)
            start, end = len(rollout.prompt_ids), lengths[b]
            tokens[b, :end] = torch.tensor(rollout.prompt_ids + rollout.token_ids)
            logprobs[b, start:end] = torch.tensor(rollout.logprobs)
            taught[b, start:end] = rollout.source == "teacher"
            if score.value is not None:
                mask[b, start:end] = torch.tensor(rollout.loss_mask, dtype=torch.bool)
        return cls(
            tokens_BT=tokens,
            lengths_B=torch.tensor(lengths),
            prompt_lengths_B=torch.tensor([len(r.prompt_ids) for r in rollouts]),  # type: ignore[attr-defined]
            loss_mask_BT=mask,
            rewards_B=torch.tensor([float("nan") if s.value is None else s.value for s in scores]),
            group_size=sizes.pop(),
            max_response_tokens=max_response_tokens,
            temperature=temperature,
            weights_B=torch.tensor([s.weight for s in scores]) if any(s.weight < 1 for s in scores) else None,
            teacher_mask_BT=taught if bool(taught.any()) else None,
            rollout_logprobs_BT=logprobs,
            images=tuple(r.images for r in rollouts) if any(r.images for r in rollouts) else (),  # type: ignore[attr-defined]
        )
