"""Advantages, losses and KL against verl 0.9.1's own core_algos. `make test-interop` puts verl on the path."""

from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import GRPO, Batch, Denominators, Outputs, clipped_surrogate, group_advantages, kl_estimate

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
