"""Advantages and losses against TRL's own GRPOTrainer, run on the CPU on the same tokens and weights.

TRL's default multiplies the KL term by the probability ratio (`use_bias_correction_kl`, DeepSeek-V3.2); GRPO as
published does not, so it is switched off here.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import CISPO, DAPO, GRPO, GSPO, RLOO, Batch, Denominators, DrGRPO, Outputs
from medrl.learners import response_logprobs
from medrl.models import Policy
from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, ask

pytestmark = pytest.mark.slow

REWARDS = [1.0, 3.0, 2.0, None, 0.5, 0.5, 0.5, 0.5, 0.0, 1.0, 0.0, 0.25]
LIMIT = 10


def fixed_reward(prompts: list[Any], **_: Any) -> list[float | None]:
    return REWARDS[: len(prompts)]


def trl_trainer(policy: Policy, folder: Path, **knobs: Any) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    policy.save(folder / "policy")
    policy.model.config._name_or_path = str(folder / "policy")  # where TRL loads its reference from
    config = GRPOConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=12,
        num_generations=4, max_completion_length=LIMIT, disable_tqdm=True, gradient_checkpointing=False,
        disable_dropout=True, seed=0, use_bias_correction_kl=False, **knobs,
    )  # fmt: skip
    rows = [{"prompt": [{"role": "user", "content": text}]} for text in ("fever", "give 500 mg", "which colour is it?")]
    trainer = GRPOTrainer(
        model=policy.model, reward_funcs=fixed_reward, args=config,
        train_dataset=Dataset.from_list(rows), processing_class=policy.tokenizer,
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def sampled(trainer: Any) -> dict[str, Tensor]:
    """TRL samples and scores three groups of four."""
    rows = [dict(row) for row in trainer.train_dataset for _ in range(4)]
    torch.manual_seed(5)
    inputs: dict[str, Tensor] = trainer._generate_and_score_completions(rows)
    return inputs


def to_batch(inputs: dict[str, Tensor], rewards: list[float | None]) -> Batch:
    """TRL's padded tensors as our batch."""
    groups = []
    for p in range(3):
        rollouts = []
        for row in range(4 * p, 4 * p + 4):
            prompt = tuple(inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist())
            tokens = tuple(inputs["completion_ids"][row][inputs["completion_mask"][row].bool()].tolist())
            none, mask = (0.0,) * len(tokens), (True,) * len(tokens)
            rollouts.append(Rollout("", prompt_ids=prompt, token_ids=tokens, logprobs=none, loss_mask=mask))
        scores = tuple(Score(None, "error") if v is None else Score(v) for v in rewards[4 * p : 4 * p + 4])
        groups.append(ScoredGroup(Group(Problem(f"p{p}", ask("?")), tuple(rollouts)), scores))
    return Batch.from_groups(groups, max_response_tokens=LIMIT)


def at_tokens(batch: Batch, completions: Tensor, mask: Tensor) -> Tensor:
    """A (B, C) tensor over completions in the columns of our batch."""
    out = torch.zeros(batch.tokens_BT.shape)
    for row in range(len(batch)):
        start, count = int(batch.prompt_lengths_B[row]), int(mask[row].sum())
        out[row, start : start + count] = completions[row, :count]
    return out


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_equal_trls_with_a_failed_judge(
    make_policy: Callable[..., Policy], tmp_path: Path, scale: str
) -> None:
    inputs = sampled(trl_trainer(make_policy(), tmp_path, scale_rewards=scale))
    batch = to_batch(inputs, REWARDS)
    ours = GRPO(scale=scale).advantages(batch, {}).advantages_BT  # type: ignore[arg-type]
    assert ours is not None
    theirs = inputs["advantages"]
    assert theirs.abs().max() > 0.5
    assert torch.allclose(ours.abs().amax(-1) * ours.sum(-1).sign(), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("knobs", "algorithm"),
    [
        ({"loss_type": "grpo", "epsilon": 0.2}, GRPO()),
        (
            {"loss_type": "grpo", "epsilon": 0.1, "epsilon_high": 0.28, "beta": 0.2},
            GRPO(clip=0.1, clip_high=0.28, kl_coef=0.2),
        ),
        ({"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28}, DAPO()),
        ({"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28, "beta": 0.3}, DAPO(kl_coef=0.3)),
        ({"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0.05}, DrGRPO(kl_coef=0.05)),
        (
            {"importance_sampling_level": "sequence", "epsilon": 0.02, "epsilon_high": 0.03},
            GSPO(clip=0.02, clip_high=0.03),
        ),
        ({"loss_type": "cispo", "epsilon_high": 1.2}, CISPO(clip_high=0.2)),
    ],
)  # fmt: skip
def test_loss_and_gradient_equal_trls(
    make_policy: Callable[..., Policy], tmp_path: Path, knobs: dict[str, Any], algorithm: GRPO
) -> None:
    policy = make_policy()
    ours = copy.deepcopy(policy.model)
    trainer = trl_trainer(policy, tmp_path, **{"beta": 0.0, **knobs})
    inputs = sampled(trainer)
    rewards = [0.0 if value is None else value for value in REWARDS]
    batch = to_batch(inputs, rewards)  # TRL keeps unscored rows in its denominators, so here every row has a score
    batch = algorithm.advantages(batch, {})
    assert batch.advantages_BT is not None
    inputs["advantages"] = (batch.advantages_BT * batch.loss_mask_BT).sum(-1) / batch.loss_mask_BT.sum(-1)

    mask = inputs["completion_mask"]
    with torch.no_grad():
        now = response_logprobs(ours, batch)
    wave = torch.sin(torch.arange(mask.numel())).view_as(mask)
    old = at_tokens(batch, 0.4 * wave, mask) + now  # ratios from 0.67 to 1.5: both clips bind
    reference = at_tokens(batch, 0.5 * wave.flip(-1), mask) + now
    start = batch.prompt_lengths_B
    for name, table in (("old_per_token_logps", old), ("ref_per_token_logps", reference)):
        inputs[name] = torch.zeros(mask.shape)
        for row in range(len(batch)):
            count = int(mask[row].sum())
            inputs[name][row, :count] = table[row, start[row] : start[row] + count]
    theirs = trainer._compute_loss(trainer.model, inputs)
    theirs.backward()

    batch = batch.with_(old_logprobs_BT=old * batch.loss_mask_BT, ref_logprobs_BT=reference * batch.loss_mask_BT)
    loss = algorithm.loss(Outputs(response_logprobs(ours, batch)), batch, Denominators.of(batch))
    loss.policy.backward()  # type: ignore[no-untyped-call]
    assert loss.policy.item() == pytest.approx(theirs.item(), abs=1e-6)
    assert float(loss.parts["clip_share"]) > 0.1
    grads = dict(trainer.model.named_parameters())
    assert max(float(p.grad.abs().max()) for p in ours.parameters() if p.grad is not None) > 1e-3
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, grads[name].grad, atol=1e-6), name


def test_rloo_s_advantages_equal_trls_with_a_failed_judge_and_a_kl(
    make_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    """TRL's RLOOTrainer: the KL of a response in its reward, and a baseline over the scored others alone."""
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    policy = make_policy()
    make_policy(seed=1).save(tmp_path / "reference")
    policy.model.config._name_or_path = str(tmp_path / "reference")  # where TRL loads its reference from
    reference = make_policy(seed=1).model
    config = RLOOConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=12,
        num_generations=4, max_completion_length=LIMIT, disable_tqdm=True, gradient_checkpointing=False,
        disable_dropout=True, seed=0, beta=0.3, normalize_advantages=False,
    )  # fmt: skip
    rows = [{"prompt": [{"role": "user", "content": text}]} for text in ("fever", "give 500 mg", "which colour is it?")]
    trainer = RLOOTrainer(
        model=policy.model, reward_funcs=fixed_reward, args=config,
        train_dataset=Dataset.from_list(rows), processing_class=policy.tokenizer,
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    inputs = sampled(trainer)
    batch = to_batch(inputs, REWARDS)
    with torch.no_grad():
        batch = batch.with_(
            old_logprobs_BT=response_logprobs(policy.model, batch), ref_logprobs_BT=response_logprobs(reference, batch)
        )
    ours = RLOO(kl_coef=0.3).advantages(batch, {}).advantages_BT
    assert ours is not None
    theirs = inputs["advantages"]
    assert theirs.abs().max() > 0.5 and float(theirs[8:].abs().min()) > 0.0
    first = batch.loss_mask_BT.int().argmax(-1, keepdim=True)
    assert torch.allclose(ours.gather(-1, first)[:, 0], theirs, atol=1e-5)
