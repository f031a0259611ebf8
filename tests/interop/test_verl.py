"""Advantages, losses and KL against verl 0.9.1's own core_algos. `make test-interop` puts verl on the path."""

from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import (
    CISPO,
    DAPO,
    GRPO,
    GSPO,
    PPO,
    RLOO,
    Batch,
    Denominators,
    DrGRPO,
    Outputs,
    PolicyGradient,
    ReinforcePP,
    ReinforcePPBaseline,
    adapted_weight,
    clipped_surrogate,
    group_advantages,
    importance_weights,
    kl_estimate,
    penalised_rewards,
    whiten,
)
from medrl.learners.entropy import token_logprobs_and_entropy

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def verl() -> Any:
    pytest.importorskip("verl", reason="needs verl; run `make test-interop`")
    from verl.trainer.ppo import core_algos

    return core_algos


def numbers(*shape: int, seed: int = 0, spread: float = 0.4) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread


MASK = torch.tensor(
    [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.bool
)


@pytest.mark.parametrize("by_deviation", [True, False])
def test_group_advantages(verl: Any, by_deviation: bool) -> None:
    import numpy

    rewards = numbers(3, 2, seed=1)
    rewards[2] = 0.5  # a group whose rewards are equal
    tokens = torch.zeros(6, 4, dtype=torch.float64)
    tokens[:, 0] = rewards.view(-1)
    index = numpy.array(["a", "a", "b", "b", "c", "c"])
    mask = torch.ones(6, 4)
    theirs, _ = verl.compute_grpo_outcome_advantage(tokens, mask, index, 1e-6, by_deviation)
    ours = group_advantages(rewards, scale="group" if by_deviation else "none", eps=1e-6)
    assert torch.allclose(ours.view(-1, 1).expand(6, 4), theirs.double(), atol=1e-6)
    assert ours[2].abs().max() == 0.0


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.2), (0.2, 0.28), (0.1, 0.5)])
def test_clipped_surrogate(verl: Any, low: float, high: float) -> None:
    old, advantages = numbers(6, 4, seed=2), numbers(6, 4, seed=3)
    new = (old + numbers(6, 4, seed=4, spread=0.4)).requires_grad_()
    # clip_ratio_c is verl's third bound (dual clip, for negative advantages), out of reach here
    theirs, clip_share, _, _ = verl.compute_policy_loss(
        old, new, advantages, MASK.double(), cliprange_low=low, cliprange_high=high, clip_ratio_c=1e6
    )
    (their_gradient,) = torch.autograd.grad(theirs, new)
    loss, clipped = clipped_surrogate(new, old, advantages, low, high)
    ours = (loss * MASK).sum() / MASK.sum()
    (our_gradient,) = torch.autograd.grad(ours, new)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    assert torch.allclose(our_gradient, their_gradient, atol=1e-6)
    assert ((clipped & MASK).sum() / MASK.sum()).item() == pytest.approx(float(clip_share), abs=1e-6)
    assert float(clip_share) > 0.05


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_kl_estimates(verl: Any, kind: Any) -> None:
    # verl cuts k3 at 10; the spread stays below that
    reference, policy = numbers(6, 4, seed=5), numbers(6, 4, seed=6).requires_grad_()
    theirs, ours = verl.kl_penalty(policy, reference, kind), kl_estimate(policy, reference, kind)
    assert torch.allclose(ours, theirs, atol=1e-6)
    gradients = [torch.autograd.grad(x.sum(), policy)[0] for x in (theirs, ours)]
    assert torch.allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "mode", "knobs"),
    [
        ("token", "token-mean", {}),
        ("sequence", "seq-mean-token-mean", {}),
        ("limit", "seq-mean-token-sum-norm", {"loss_scale_factor": 9}),
    ],
)
@pytest.mark.parametrize("kl_coef", [0.0, 0.25])
def test_means_of_the_whole_loss(verl: Any, mean: Any, mode: str, knobs: dict[str, int], kl_coef: float) -> None:
    old, reference, advantages = numbers(6, 4, seed=2), numbers(6, 4, seed=7), numbers(6, 4, seed=3)
    new = (old + numbers(6, 4, seed=4, spread=0.4)).requires_grad_()
    batch = Batch(
        tokens_BT=torch.zeros(6, 4, dtype=torch.long),
        lengths_B=torch.full((6,), 4),
        prompt_lengths_B=torch.zeros(6, dtype=torch.long),
        loss_mask_BT=MASK,
        rewards_B=torch.zeros(6),
        group_size=2,
        max_response_tokens=9,
        old_logprobs_BT=old,
        ref_logprobs_BT=reference,
        advantages_BT=advantages,
    )
    table = clipped_surrogate(new, old, advantages, 0.2, 0.28)[0] + kl_coef * verl.kl_penalty(new, reference, "k3")
    theirs = verl.agg_loss(table, MASK.double(), mode, **knobs)
    ours = GRPO(mean=mean, clip_high=0.28, kl_coef=kl_coef).loss(Outputs(new), batch, Denominators.of(batch)).policy
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    gradients = [torch.autograd.grad(loss, new, retain_graph=True)[0] for loss in (theirs, ours)]
    assert torch.allclose(*gradients, atol=1e-6)


# Rows of unlike length with holes (a tool's output), as verl's and our masks have them; the last row trains nothing.
HOLES = torch.tensor(
    [[1, 1, 1, 1, 1], [1, 0, 0, 1, 0], [0, 1, 1, 0, 1], [1, 0, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]],
    dtype=torch.bool,
)
REWARDS = torch.tensor([1.0, 0.1, 0.0, 0.7, 0.3, float("nan")], dtype=torch.float64)


def sampled(**tensors: Tensor) -> Batch:
    """Six rollouts in groups of two; the last one has no score."""
    rows, width = HOLES.shape
    known: dict[str, Any] = {
        "old_logprobs_BT": numbers(rows, width, seed=2) - 1.0,
        "ref_logprobs_BT": numbers(rows, width, seed=7) - 1.0,
        "values_BT": numbers(rows, width, seed=8),
        "rollout_logprobs_BT": numbers(rows, width, seed=9) - 1.0,
        "rewards_B": REWARDS,
    }
    return Batch(
        tokens_BT=torch.zeros(rows, width, dtype=torch.long),
        lengths_B=torch.full((rows,), width),
        prompt_lengths_B=torch.zeros(rows, dtype=torch.long),
        loss_mask_BT=HOLES,
        group_size=2,
        max_response_tokens=9,
        **{**known, **tensors},
    )


def on_last_token(batch: Batch) -> Tensor:
    """The rewards as verl has them: on the last token that the policy wrote."""
    table = torch.zeros(HOLES.shape, dtype=torch.float64)
    for row, mask in enumerate(HOLES.tolist()):
        if True in mask:
            table[row, len(mask) - 1 - mask[::-1].index(True)] = batch.rewards_B[row]
    return table


def advantages_of(algorithm: PolicyGradient, batch: Batch) -> Tensor:
    found = algorithm.advantages(batch, {}).advantages_BT
    assert found is not None
    return found


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (1.0, 1.0), (0.9, 0.5), (0.99, 0.0)])
@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
def test_ppo_advantages_and_returns(verl: Any, gamma: float, lam: float, kl_coef: float) -> None:
    batch, mask = sampled(), HOLES.double()
    assert batch.old_logprobs_BT is not None and batch.ref_logprobs_BT is not None
    rewards = verl.compute_rewards(on_last_token(batch), batch.old_logprobs_BT, batch.ref_logprobs_BT, kl_coef) * mask
    theirs, returns = verl.compute_gae_advantage_return(rewards, batch.values_BT, mask, gamma, lam)
    ours = PPO(gamma=gamma, lam=lam, kl_coef=kl_coef).advantages(batch, {})
    assert ours.advantages_BT is not None and ours.returns_BT is not None
    assert torch.allclose(ours.advantages_BT, theirs * mask, atol=1e-6)
    assert torch.allclose(ours.returns_BT, returns * mask, atol=1e-6)
    assert ours.advantages_BT.abs().max() > 0.5
    assert torch.allclose(penalised_rewards(batch, kl_coef), rewards, atol=1e-9)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
def test_reinforce_pp_advantages(verl: Any, gamma: float, kl_coef: float) -> None:
    from verl.trainer.config import AlgoConfig

    batch, mask = sampled(), HOLES.double()
    rewards = verl.compute_rewards(on_last_token(batch), batch.old_logprobs_BT, batch.ref_logprobs_BT, kl_coef) * mask
    theirs, _ = verl.compute_reinforce_plus_plus_outcome_advantage(rewards, mask, AlgoConfig(gamma=gamma))
    ours = advantages_of(ReinforcePP(gamma=gamma, kl_coef=kl_coef), batch)
    assert torch.allclose(ours, theirs, atol=1e-6) and ours.abs().max() > 0.5


def test_reinforce_pp_baseline_and_rloo_advantages(verl: Any) -> None:
    import numpy

    index = numpy.array(["a", "a", "b", "b", "c", "c"])
    batch, mask = sampled(rewards_B=REWARDS.nan_to_num(0.9)), HOLES.double()
    rewards = torch.zeros(HOLES.shape, dtype=torch.float64)
    rewards[:, 0] = batch.rewards_B  # what verl adds up
    for algorithm, function in (
        (ReinforcePPBaseline(), verl.compute_reinforce_plus_plus_baseline_outcome_advantage),
        (RLOO(), verl.compute_rloo_outcome_advantage),
    ):
        theirs, _ = function(rewards.clone(), mask, index)
        ours = advantages_of(algorithm, batch)
        assert torch.allclose(ours, theirs, atol=1e-6), algorithm.kind
        assert ours.abs().max() > 0.3


def test_whitening(verl: Any) -> None:
    from verl.utils.torch_functional import masked_whiten

    table = numbers(6, 5, seed=4, spread=3.0) + 2.0
    assert torch.allclose(whiten(table, HOLES), masked_whiten(table, HOLES.double()) * HOLES, atol=1e-6)


def test_adaptive_kl(verl: Any) -> None:
    theirs = verl.AdaptiveKLController(0.05, 0.1, 1000)
    ours = 0.05
    for kl in (0.3, 0.11, 0.1, 0.05, 0.0, -0.2, 5.0):
        theirs.update(kl, 64)
        ours = adapted_weight(ours, kl, 0.1, 64, 1000)
        assert ours == pytest.approx(theirs.value, rel=1e-12)
    assert ours != pytest.approx(0.05)


def config(verl: Any, **knobs: Any) -> Any:
    from verl.workers.config import ActorConfig

    return ActorConfig(
        strategy="fsdp", rollout_n=2, ppo_micro_batch_size_per_gpu=1, optim=None, clip_ratio_c=1e6, **knobs
    )  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "loss", "mode"),
    [
        (GRPO(clip=0.1, clip_high=0.2), "vanilla", "seq-mean-token-mean"),
        (DAPO(), "vanilla", "token-mean"),
        (DrGRPO(), "vanilla", "seq-mean-token-sum-norm"),
        (GSPO(clip=0.05, clip_high=0.1), "gspo", "seq-mean-token-mean"),
        (GSPO(), "gspo", "seq-mean-token-mean"),
        (CISPO(clip=0.2, clip_high=0.3), "cispo", "token-mean"),
        (CISPO(), "cispo", "token-mean"),
        (ReinforcePP(), "vanilla", "token-mean"),
        (ReinforcePPBaseline(), "vanilla", "token-mean"),
        (RLOO(), "vanilla", "seq-mean-token-sum-norm"),
        (PPO(), "vanilla", "token-mean"),
        (PPO(correction="token", correction_cap=1.3), "vanilla", "token-mean"),
        (GRPO(correction="sequence", correction_cap=1.1), "vanilla", "seq-mean-token-mean"),
        (GSPO(clip=0.05, correction="token"), "gspo", "seq-mean-token-mean"),
        (CISPO(correction="sequence", correction_cap=3.0), "cispo", "token-mean"),
    ],
)
def test_the_policy_loss_of_every_algorithm(verl: Any, algorithm: PolicyGradient, loss: str, mode: str) -> None:
    from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_weights

    batch = algorithm.advantages(sampled(), {})
    assert batch.old_logprobs_BT is not None and batch.rollout_logprobs_BT is not None
    new = (batch.old_logprobs_BT + numbers(*HOLES.shape, seed=4)).requires_grad_()
    mask, weights = HOLES.double(), None
    if algorithm.correction != "none":
        weights, told = compute_rollout_correction_weights(
            batch.old_logprobs_BT - batch.rollout_logprobs_BT, mask, algorithm.correction, algorithm.correction_cap
        )
        mine, cut = importance_weights(batch, algorithm.correction, algorithm.correction_cap)
        assert torch.allclose(mine, weights, atol=1e-9) and cut.any()
        figures = algorithm.figures(batch)
        assert figures["correction_mean"] == pytest.approx(float(weights.sum() / mask.sum()))
        assert 0.0 < figures["correction_truncated"] < 1.0 and told
    low, high = algorithm.bounds
    knobs = config(verl, clip_ratio=low, clip_ratio_low=low, clip_ratio_high=high)
    if mode == "seq-mean-token-sum-norm":
        knobs.global_batch_info["loss_scale_factor"] = 9
    theirs, figures_of_verl = verl.get_policy_loss_fn(loss)(
        batch.old_logprobs_BT, new, batch.advantages_BT, mask, mode, knobs, weights
    )
    outputs = Outputs(new, batch.values_BT)
    ours = algorithm.loss(outputs, batch, Denominators.of(batch))
    assert ours.policy.item() == pytest.approx(theirs.item(), abs=1e-6)
    gradients = [torch.autograd.grad(x, new, retain_graph=True)[0] for x in (theirs, ours.policy)]
    assert torch.allclose(*gradients, atol=1e-6) and gradients[0].abs().max() > 1e-3
    assert float(ours.parts["clip_share"]) == pytest.approx(float(figures_of_verl["actor/pg_clipfrac"]), abs=1e-6)


@pytest.mark.parametrize("clip", [0.2, 0.05, 5.0])
def test_value_loss(verl: Any, clip: float) -> None:
    batch = PPO().advantages(sampled(), {})
    assert batch.values_BT is not None and batch.old_logprobs_BT is not None
    new = (batch.values_BT + numbers(*HOLES.shape, seed=11)).requires_grad_()
    theirs, share = verl.compute_value_loss(new, batch.returns_BT, batch.values_BT, HOLES.double(), clip)
    ours = PPO(value_clip=clip).loss(Outputs(batch.old_logprobs_BT, new), batch, Denominators.of(batch))
    assert ours.value is not None and ours.value.item() == pytest.approx(theirs.item(), abs=1e-6)
    gradients = [torch.autograd.grad(x, new, retain_graph=True)[0] for x in (theirs, ours.value)]
    assert torch.allclose(*gradients, atol=1e-6)
    assert float(ours.parts["value_clip_share"]) == pytest.approx(float(share), abs=1e-6)


def test_entropy_and_its_gradient(verl: Any) -> None:
    from verl.utils.torch_functional import entropy_from_logits

    hidden, weight = numbers(9, 6, seed=1, spread=1.0).float(), numbers(17, 6, seed=2, spread=1.0).float()
    hidden.requires_grad_()
    targets = torch.arange(9)
    logits = hidden @ weight.T / 0.7
    theirs = entropy_from_logits(logits)
    _, ours = token_logprobs_and_entropy(hidden, weight, targets, scale=1 / 0.7)
    assert torch.allclose(ours, theirs, atol=1e-5)
    gradients = [torch.autograd.grad((x * torch.arange(9)).sum(), hidden)[0] for x in (theirs, ours)]
    assert torch.allclose(*gradients, atol=1e-4)  # float32
