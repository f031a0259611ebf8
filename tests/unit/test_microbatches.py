"""How rows are dealt out changes neither loss nor gradient: micro-batches, accumulation and packing."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from medrl.algorithms import DAPO, GRPO, Batch
from medrl.learners import Optimization, TorchLearner, response_logprobs
from medrl.learners.microbatches import Bundle, microbatches, minibatches
from medrl.models import Policy

REWARDS = [1.0, 3.0, 2.0, None, 0.0, 0.5, 0.25, 1.0, 1.0, 1.0, 1.0, 1.0]  # the last group cannot teach
MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]


def test_microbatches_hold_every_row_once_within_the_budget() -> None:
    lengths = torch.tensor([5, 50, 7, 7, 30, 6, 3])
    rows = [0, 1, 2, 3, 5, 6]
    parts = list(microbatches([Bundle([row], int(lengths[row])) for row in rows], 21))
    assert sorted(row for part in parts for row in part) == rows
    for part in parts:
        assert len(part) * max(int(lengths[r]) for r in part) <= 21 or len(part) == 1
    assert [1] in parts, "a row longer than the budget goes alone"
    assert list(microbatches([], 21)) == []


def test_minibatches_deal_whole_groups(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    batch = make_batch(make_policy(), [1.0, 0.0] * 5, 2)
    parts = minibatches(batch, 3, seed=1)
    assert sorted(row for part in parts for row in part) == list(range(10))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert all(part[i] % 2 == 0 and part[i + 1] == part[i] + 1 for part in parts for i in range(0, len(part), 2))
    assert minibatches(batch, 3, seed=1) == parts
    assert any(minibatches(batch, 3, seed=seed) != parts for seed in range(2, 6))
    assert len(minibatches(batch, 99, seed=1)) == 5, "no more minibatches than groups"


def one_update(
    policy: Policy, batch: Batch, algorithm: GRPO, monkeypatch: pytest.MonkeyPatch, **knobs: object
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Metrics of an update and the gradients that the optimizer was given."""
    learner = TorchLearner(policy, Optimization(max_grad_norm=math.inf, **knobs), reference=bool(algorithm.kl_coef))  # type: ignore[arg-type]
    if learner.reference is not None:
        with torch.no_grad():
            for p in learner.reference.parameters():
                p.add_(0.01)
    grads: dict[str, Tensor] = {}

    def keep(*_: object) -> None:
        grads.update({name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None})

    learner.optimizer.register_step_pre_hook(keep)
    batch = algorithm.advantages(learner.forward(batch, algorithm.needs), {})
    assert batch.old_logprobs_BT is not None
    old = batch.old_logprobs_BT + 0.3 * torch.sin(torch.arange(batch.old_logprobs_BT.numel())).view_as(
        batch.old_logprobs_BT
    )
    metrics = learner.update(batch.with_(old_logprobs_BT=old * batch.loss_mask_BT), algorithm, seed=0)
    assert grads
    return {name: value for name, value in metrics.items() if not name.startswith("time/")}, grads


@pytest.mark.parametrize("mean", ["sequence", "token", "limit"])
@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_gradient_of_accumulated_microbatches_equals_one_big_batch(
    make_policy: MakePolicy, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, mean: str, kl_coef: float
) -> None:
    algorithm = GRPO(mean=mean, kl_coef=kl_coef)  # type: ignore[arg-type]
    batch = make_batch(make_policy(), REWARDS, 4)
    whole, expected = one_update(make_policy(), batch, algorithm, monkeypatch, microbatch_tokens=10_000)
    for tokens in (1, 25, 60):
        metrics, grads = one_update(make_policy(), batch, algorithm, monkeypatch, microbatch_tokens=tokens)
        assert metrics == pytest.approx(whole, abs=1e-6)
        for name, grad in expected.items():
            assert torch.allclose(grads[name], grad, atol=1e-6), name


def test_the_test_above_sees_a_mean_per_microbatch(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    """Averaging micro-batches by themselves, as a naive accumulation does, gives another loss."""
    from medrl.algorithms import Denominators, Outputs

    algorithm, policy = DAPO(), make_policy()
    batch = algorithm.advantages(make_batch(policy, REWARDS, 4), {})
    batch = batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT)
    logprobs = response_logprobs(policy.model, batch).detach()
    whole = algorithm.loss(Outputs(logprobs), batch, Denominators.of(batch)).policy
    parts = [batch.rows(rows) for rows in ([0, 1, 2, 3], [4, 5, 6, 7])]
    naive = sum(
        algorithm.loss(Outputs(response_logprobs(policy.model, part).detach()), part, Denominators.of(part)).policy / 2
        for part in parts
    )
    assert abs(float(naive) - float(whole)) > 1e-4


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_equals_padded(
    make_policy: MakePolicy, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, attention: str
) -> None:
    def policy() -> Policy:
        made = make_policy()
        made.model.set_attn_implementation(attention)
        return made

    batch = make_batch(policy(), REWARDS, 4)
    algorithm = GRPO(kl_coef=0.1)
    plain = response_logprobs(policy().model, batch)
    assert torch.allclose(response_logprobs(policy().model, batch, pack=True), plain, atol=1e-5)
    for tokens in (60, 10_000):
        padded = one_update(policy(), batch, algorithm, monkeypatch, microbatch_tokens=tokens, packing="off")
        packed = one_update(policy(), batch, algorithm, monkeypatch, microbatch_tokens=tokens, packing="on")
        assert packed[0] == pytest.approx(padded[0], abs=1e-5)
        for name, grad in padded[1].items():
            assert torch.allclose(packed[1][name], grad, atol=1e-5), name


def test_padding_does_not_reach_real_tokens(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    batch = make_batch(policy, [1.0, 0.0, 0.5, 0.25], 2)
    plain = response_logprobs(policy.model, batch)
    padding = torch.arange(batch.tokens_BT.shape[1]) >= batch.lengths_B[:, None]
    assert padding.any()
    other = replace(batch, tokens_BT=torch.where(padding, 77, batch.tokens_BT))
    assert torch.equal(response_logprobs(policy.model, other), plain)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_checkpointing_gives_the_same_gradient(
    make_policy: MakePolicy, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, checkpointing: bool
) -> None:
    batch = make_batch(make_policy(), REWARDS, 4)
    _, expected = one_update(make_policy(), batch, GRPO(), monkeypatch)
    _, grads = one_update(make_policy(), batch, GRPO(), monkeypatch, gradient_checkpointing=checkpointing)
    for name, grad in expected.items():
        assert torch.allclose(grads[name], grad, atol=1e-7), name
