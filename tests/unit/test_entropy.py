"""Entropy in chunks equals the plain one, with its gradient, and so do the log-probabilities beside it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from medrl.algorithms import Batch
from medrl.learners import response_logprobs, response_outputs, token_logprobs
from medrl.learners.entropy import token_logprobs_and_entropy
from medrl.models import Policy


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mib", [64, 0])  # one chunk, and one row at a time
@pytest.mark.parametrize("scale", [1.0, 1 / 0.7])
@pytest.mark.parametrize("barred", [False, True])
def test_entropy_and_gradients_equal_the_plain_ones(mib: int, scale: float, barred: bool) -> None:
    hidden, weight, bias = numbers(9, 6, seed=1), numbers(17, 6, seed=2), numbers(17, seed=3)
    if barred:
        bias[[2, 5]] = -torch.inf
    targets = torch.tensor([0, 1, 3, 4, 6, 7, 8, 16, 0])
    leaves = [x.requires_grad_() for x in (hidden, weight, bias)]
    ours = token_logprobs_and_entropy(hidden, weight, targets, bias_V=bias, scale=scale, logits_mib=mib)
    wide = [x.detach().double().requires_grad_() for x in leaves]
    table = torch.log_softmax((wide[0] @ wide[1].T + wide[2]) * scale, -1)
    plain = table.gather(-1, targets[:, None])[:, 0], -(table.exp() * table.clamp(min=-1e30)).sum(-1)
    for one, other in zip(ours, plain, strict=True):
        assert torch.allclose(one.double(), other, atol=1e-5)
    pull = torch.arange(9.0), numbers(9, seed=4)
    found = torch.autograd.grad((ours[0] * pull[0] + ours[1] * pull[1]).sum(), leaves)
    expected = torch.autograd.grad((plain[0] * pull[0].double() + plain[1] * pull[1].double()).sum(), wide)
    keep = torch.isfinite(bias)
    assert torch.allclose(found[0].double(), expected[0], atol=1e-4)
    assert torch.allclose(found[1].double(), expected[1], atol=1e-4)
    assert torch.allclose(found[2].double()[keep], expected[2][keep], atol=1e-4)
    assert found[2][~keep].abs().sum() == 0.0


def test_the_logprobs_beside_the_entropy_are_those_without_it(
    make_policy: Callable[..., Policy], make_batch: Callable[..., Batch]
) -> None:
    policy = make_policy()
    batch = make_batch(policy, [1.0, 0.0, None, 0.5], 2)
    plain, both = response_logprobs(policy.model, batch), response_outputs(policy.model, batch, entropy=True)
    assert torch.allclose(both.logprobs_BT, plain, atol=1e-5)
    assert both.entropy_BT is not None and both.entropy_BT[~batch.loss_mask_BT].abs().max() == 0.0
    high = torch.log(torch.tensor(float(len(policy.tokenizer))))
    assert 0.9 * high < both.entropy_BT[batch.loss_mask_BT].mean() <= high, "a new policy knows next to nothing"


def test_a_bonus_on_entropy_alone_flattens_a_distribution() -> None:
    hidden, weight = numbers(5, 6, seed=1) * 3, numbers(17, 6, seed=2).requires_grad_()
    targets, seen = torch.zeros(5, dtype=torch.long), []
    for _ in range(30):
        _, entropy = token_logprobs_and_entropy(hidden, weight, targets)
        seen.append(float(entropy.detach().mean()))
        (gradient,) = torch.autograd.grad(entropy.mean(), weight)
        with torch.no_grad():
            weight += 0.1 * gradient
    assert seen[-1] > seen[0] + 0.1 and sorted(seen) == seen
    assert token_logprobs(hidden, weight, targets).shape == (5,)
