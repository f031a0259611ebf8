"""The clipped surrogate, the KL estimates and GRPO's three means against numbers computed by hand."""

import math

import pytest
import torch
from torch import Tensor

from medrl.algorithms import GRPO, Batch, Denominators, Outputs, clipped_surrogate, kl_estimate

LOG = math.log


def table(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_clipped_surrogate_by_hand() -> None:
    # ratios 1.0, 1.5, 0.5, 1.5, 0.5 against bounds 0.8 and 1.28, and their advantages
    ratio, advantage = table([1.0, 1.5, 0.5, 1.5, 0.5]), table([2.0, 2.0, 2.0, -2.0, -2.0])
    logprobs = ratio.log().requires_grad_()
    loss, clipped = clipped_surrogate(logprobs, torch.zeros_like(ratio), advantage, 0.2, 0.28)
    assert loss.tolist()[0] == pytest.approx([-2.0, -2.56, -1.0, 3.0, 1.6])
    assert clipped.tolist() == [[False, True, False, False, True]]
    loss.sum().backward()
    # d loss / d logp = -ratio * A where the free branch was taken, 0 where the clipped one was
    assert logprobs.grad is not None
    assert logprobs.grad.tolist()[0] == pytest.approx([-2.0, 0.0, -1.0, 3.0, 0.0])


def test_kl_estimates_by_hand() -> None:
    # logp - logp_ref = log 2: d = -log 2, exp(d) = 1/2
    logprobs, reference = table([LOG(0.5), LOG(0.2)]), table([LOG(0.25), LOG(0.2)])
    assert kl_estimate(logprobs, reference, "k1").tolist()[0] == pytest.approx([LOG(2), 0.0])
    assert kl_estimate(logprobs, reference, "k2").tolist()[0] == pytest.approx([LOG(2) ** 2 / 2, 0.0])
    assert kl_estimate(logprobs, reference, "k3").tolist()[0] == pytest.approx([0.5 - 1 + LOG(2), 0.0])
    assert kl_estimate(reference, logprobs, "k3").tolist()[0] == pytest.approx([2 - 1 - LOG(2), 0.0])


def test_k1_and_k3_estimate_the_exact_kl() -> None:
    policy = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    reference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    exact = float((policy * (policy / reference).log()).sum())
    for kind in ("k1", "k3"):
        expected = float((policy * kl_estimate(policy.log(), reference.log(), kind)).sum())  # type: ignore[arg-type]
        assert expected == pytest.approx(exact, abs=1e-12)


def test_unknown_kl_estimator_is_named() -> None:
    with pytest.raises(ValueError, match="'k4'; it is k1, k2 or k3"):
        kl_estimate(torch.zeros(1), torch.zeros(1), "k4")  # type: ignore[arg-type]


def batch_of(mask: list[list[int]], advantages: Tensor, old: Tensor, reference: Tensor) -> Batch:
    mask_BT = torch.tensor(mask, dtype=torch.bool)
    return Batch(
        tokens_BT=torch.zeros_like(mask_BT, dtype=torch.long),
        lengths_B=torch.full((len(mask),), mask_BT.shape[1]),
        prompt_lengths_B=torch.ones(len(mask), dtype=torch.long),
        loss_mask_BT=mask_BT,
        rewards_B=torch.zeros(len(mask)),
        group_size=len(mask),
        max_response_tokens=10,
        old_logprobs_BT=old,
        ref_logprobs_BT=reference,
        advantages_BT=advantages * mask_BT,
    )


# Three rows: two trained tokens with advantage 1 (ratios 1, 2), one with -1 (ratio 1/2), and a row that trains nothing.
# Token losses at clip 0.2: -1, -1.2 | +0.8 | (masked garbage). k3 to a reference at the old policy:
# d = 0, log 1/2, log 2: 0, 1/2 - 1 + log 2, 2 - 1 - log 2.
K3_A, K3_B = LOG(2) - 0.5, 1 - LOG(2)
MASK = [[0, 1, 1], [0, 1, 0], [0, 0, 0]]
RATIOS = table([1, 1, 2], [1, 0.5, 1], [1, 1, 1])


@pytest.mark.parametrize(
    ("mean", "expected", "kl"),
    [
        ("sequence", ((-1 - 1.2) / 2 + 0.8) / 2, (K3_A / 2 + K3_B) / 2),
        ("token", (-1 - 1.2 + 0.8) / 3, (K3_A + K3_B) / 3),
        ("limit", (-1 - 1.2 + 0.8) / (2 * 10), (K3_A + K3_B) / (2 * 10)),
    ],
)
def test_the_three_means_by_hand(mean: str, expected: float, kl: float) -> None:
    old = table([0, -1, -2], [0, -3, -4], [0, -5, -6])
    batch = batch_of(MASK, table([1, 1, 1], [-1, -1, -1], [0, 0, 0]), old, old)
    outputs = Outputs((old + RATIOS.log()).requires_grad_())
    for kl_coef in (0.0, 0.5):
        loss = GRPO(mean=mean, kl_coef=kl_coef).loss(outputs, batch, Denominators.of(batch))  # type: ignore[arg-type]
        assert loss.policy.item() == pytest.approx(expected + kl_coef * kl, abs=1e-12)
    assert float(loss.parts["clip_share"]) == pytest.approx(2 / 3)
    assert float(loss.parts["kl"]) == pytest.approx((K3_A + K3_B) / 3)
    assert not loss.parts["kl"].requires_grad


@pytest.mark.parametrize("mean", ["sequence", "token", "limit"])
def test_masked_tokens_give_neither_value_nor_gradient(mean: str) -> None:
    algorithm = GRPO(mean=mean, kl_coef=0.3)  # type: ignore[arg-type]
    old = table([0, -1, -2], [0, -3, -4], [0, -5, -6])
    batch = batch_of(MASK, table([1, 1, 1], [-1, -1, -1], [0, 0, 0]), old, old - 0.5)
    losses = []
    for masked in (0.0, -7.5):
        logprobs = torch.where(batch.loss_mask_BT, old + RATIOS.log(), masked).requires_grad_()
        loss = algorithm.loss(Outputs(logprobs), batch, Denominators.of(batch)).policy
        loss.backward()  # type: ignore[no-untyped-call]
        assert logprobs.grad is not None
        assert logprobs.grad[~batch.loss_mask_BT].abs().max() == 0.0
        assert logprobs.grad[batch.loss_mask_BT].abs().min() >= 0.0
        losses.append(loss.item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("mean", ["sequence", "token", "limit"])
def test_shares_of_micro_batches_add_up(mean: str) -> None:
    algorithm = GRPO(mean=mean, kl_coef=0.3)  # type: ignore[arg-type]
    old = table([0, -1, -2], [0, -3, -4], [0, -5, -6])
    batch = batch_of(MASK, table([1, 1, 1], [-1, -1, -1], [0, 0, 0]), old, old - 0.5)
    logprobs, whole = old + RATIOS.log(), Denominators.of(batch)
    together = algorithm.loss(Outputs(logprobs), batch, whole)
    shares = [algorithm.loss(Outputs(logprobs[[b]]), batch.rows([b]), whole) for b in range(3)]
    assert float(sum(share.policy for share in shares)) == pytest.approx(float(together.policy), abs=1e-12)
    for name, value in together.parts.items():
        assert float(sum(share.parts[name] for share in shares)) == pytest.approx(float(value), abs=1e-12)


def test_clip_high_differs_from_clip_low() -> None:
    old = table([0, 0.0])
    batch = batch_of([[0, 1]], table([1, 1]), old, old)
    for ratio, clip_high, expected in ((1.25, None, -1.2), (1.25, 0.28, -1.25), (1.5, 0.28, -1.28)):
        loss = GRPO(clip_high=clip_high).loss(Outputs(table([0, LOG(ratio)])), batch, Denominators.of(batch))
        assert loss.policy.item() == pytest.approx(expected)
