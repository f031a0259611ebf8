"""KL of drawn replies to a reference: by numbers worked out by hand, and by a model whose KL can be summed exactly."""

import math

import pytest
import torch

from medrl.evaluation.divergence import Divergence, divergence_of


def test_the_estimates_are_those_of_the_formulas() -> None:
    logprobs_BT = torch.tensor([[-1.0, -2.0, -9.0], [-0.5, -9.0, -9.0], [-9.0, -9.0, -9.0]])
    ref_logprobs_BT = torch.tensor([[-1.5, -1.0, 0.0], [-2.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    mask_BT = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])  # two replies, 3 tokens
    found = divergence_of(logprobs_BT, ref_logprobs_BT, mask_BT)
    ratios = [0.5, -1.0, 2.0]
    assert found.reply == pytest.approx(sum(ratios) / 2)
    assert found.token == pytest.approx(sum(ratios) / 3)
    assert found.token_k3 == pytest.approx(sum(math.exp(-r) - 1 + r for r in ratios) / 3, rel=1e-5)


def test_equal_policies_are_at_0_and_nothing_to_measure_is_an_error() -> None:
    same_BT = torch.full((2, 4), -1.3)
    assert divergence_of(same_BT, same_BT, torch.ones(2, 4, dtype=torch.bool)) == Divergence(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="nothing to measure"):
        divergence_of(same_BT, same_BT, torch.zeros(2, 4, dtype=torch.bool))


def test_both_estimates_come_near_the_exact_kl() -> None:
    """Tokens drawn from a known distribution of five words, whose KL to another is a sum of five terms."""
    torch.manual_seed(0)
    policy_V, reference_V = torch.randn(2, 5).log_softmax(-1)
    exact = float((policy_V.exp() * (policy_V - reference_V)).sum())
    drawn_BT = torch.multinomial(policy_V.exp(), 40_000, replacement=True).view(4000, 10)
    found = divergence_of(policy_V[drawn_BT], reference_V[drawn_BT], torch.ones(4000, 10, dtype=torch.bool))
    assert found.token == pytest.approx(exact, abs=0.02)
    assert found.token_k3 == pytest.approx(exact, abs=0.02)
    assert found.reply == pytest.approx(10 * exact, abs=0.2)
