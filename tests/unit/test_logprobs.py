"""Chunked log-probabilities equal the plain ones, in value and gradient, and never hold the logits of a batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from medrl.algorithms import Batch
from medrl.learners import response_logprobs, token_logprobs
from medrl.learners.logprobs import backbone_and_head
from medrl.models import Policy

N, D, V = 37, 8, 4096  # 1 MiB holds 64 rows of logits at this vocabulary


def tensors(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(3)
    hidden, weight, bias = (torch.randn(*s, generator=rng, dtype=dtype) for s in ((N, D), (V, D), (V,)))
    targets = torch.randint(0, V, (N,), generator=rng)
    return hidden, weight, bias, targets, torch.randn(N, generator=rng)


def gradients(make: Callable[..., Tensor], *leaves: Tensor, push: Tensor) -> tuple[Tensor, list[Tensor]]:
    leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)
    value = make(*leaves)
    return value.detach(), list(torch.autograd.grad((value * push).sum(), leaves))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("rows", [1, 5, 36, 37, 1000])
def test_value_and_gradient_for_several_chunk_sizes(rows: int, temperature: float) -> None:
    from medrl.learners.logprobs import _TokenLogprobs

    hidden, weight, bias, targets, push = tensors()
    expected = gradients(
        lambda h, w, b: ((h @ w.T + b) / temperature).log_softmax(-1).gather(-1, targets[:, None])[:, 0],
        hidden, weight, bias, push=push,
    )  # fmt: skip
    got = gradients(
        lambda h, w, b: _TokenLogprobs.apply(h, w, b, targets, 1 / temperature, rows),  # type: ignore[no-untyped-call]
        hidden, weight, bias, push=push,
    )  # fmt: skip
    assert torch.allclose(got[0], expected[0], atol=1e-5)
    for mine, plain in zip(got[1], expected[1], strict=True):
        assert torch.allclose(mine, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mib", [1, 64])
def test_without_a_bias_and_with_a_frozen_head(mib: int) -> None:
    hidden, weight, _, targets, push = tensors()
    hidden, targets, push = hidden.repeat(5, 1), targets.repeat(5), push.repeat(5)  # 185 rows: three chunks at 1 MiB
    expected = gradients(lambda h: (h @ weight.T).log_softmax(-1).gather(-1, targets[:, None])[:, 0], hidden, push=push)
    got = gradients(lambda h: token_logprobs(h, weight, targets, logits_mib=mib), hidden, push=push)
    assert torch.allclose(got[0], expected[0], atol=1e-5)
    assert torch.allclose(got[1][0], expected[1][0], atol=1e-5)
    assert weight.grad is None


def test_calling_backward_twice_gives_the_same_gradient() -> None:
    hidden, weight, _, targets, push = tensors()
    hidden.requires_grad_()
    value = (token_logprobs(hidden, weight, targets) * push).sum()
    first, second = (torch.autograd.grad(value, hidden, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_no_tokens_at_all() -> None:
    hidden, weight, *_ = tensors()
    assert token_logprobs(hidden[:0], weight, torch.zeros(0, dtype=torch.long)).shape == (0,)


class Largest(TorchDispatchMode):
    """Records the element count of the largest tensor that any operation gave."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, Tensor):
                self.numel = max(self.numel, one.numel())
        return result


@contextmanager
def largest() -> Iterator[Largest]:
    with Largest() as mode:
        yield mode


def test_the_recorder_sees_full_logits(make_policy: Callable[..., Policy], make_batch: Callable[..., Batch]) -> None:
    policy = make_policy()
    batch = make_batch(policy, [1.0, 0.0], 2)
    with largest() as seen:
        policy.model(input_ids=batch.tokens_BT)
    assert seen.numel >= batch.tokens_BT.numel() * len(policy.tokenizer)


def test_the_logits_of_a_batch_never_exist() -> None:
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(4096, D, generator=rng).requires_grad_()
    weight = torch.randn(V, D, generator=rng).requires_grad_()
    targets = torch.randint(0, V, (4096,), generator=rng)
    with largest() as seen:
        token_logprobs(hidden, weight, targets, logits_mib=1).sum().backward()  # type: ignore[no-untyped-call]
    assert seen.numel <= 2**20 // 4, "at most 1 MiB of fp32 at once, where all logits are 64 MiB"
    assert hidden.grad is not None


def test_the_head_sees_trained_positions_only(
    make_policy: Callable[..., Policy], make_batch: Callable[..., Batch]
) -> None:
    policy = make_policy(vocab_size=320)
    batch = make_batch(policy, [1.0, None, 0.0, 0.5], 2, longest=30)
    with largest() as seen:
        response_logprobs(policy.model, batch).sum().backward()  # type: ignore[no-untyped-call]
    trained, vocabulary = int(batch.loss_mask_BT.sum()), len(policy.tokenizer)
    assert trained * 2 < batch.tokens_BT.numel()
    assert seen.numel <= max(trained * vocabulary, vocabulary * 64, batch.tokens_BT.numel() * 64)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_response_logprobs_equal_the_models_own(
    make_policy: Callable[..., Policy], make_batch: Callable[..., Batch], temperature: float
) -> None:
    policy = make_policy()
    batch = make_batch(policy, [1.0, 0.0, None, 0.5], 2, temperature=temperature)
    got = response_logprobs(policy.model, batch)
    for row in range(len(batch)):
        length = int(batch.lengths_B[row])
        logits = policy.model(input_ids=batch.tokens_BT[row : row + 1, :length]).logits[0] / temperature
        plain = logits.log_softmax(-1)[:-1].gather(-1, batch.tokens_BT[row, 1:length, None])[:, 0]
        mask = batch.loss_mask_BT[row, 1:length]
        assert torch.allclose(got[row, 1:length][mask], plain[mask], atol=1e-5)
    assert got[~batch.loss_mask_BT].abs().max() == 0.0


def test_barred_tokens_have_no_share_of_the_probability(
    make_policy: Callable[..., Policy], make_batch: Callable[..., Batch]
) -> None:
    policy = make_policy()
    batch = make_batch(policy, [1.0, 0.0], 2)
    logits = policy.model(input_ids=batch.tokens_BT).logits
    logits[..., [2, 3]] = -torch.inf
    plain = logits.log_softmax(-1)[:, :-1].gather(-1, batch.tokens_BT[:, 1:, None])[..., 0]
    got = response_logprobs(policy.model, batch, barred=(2, 3))
    mask = batch.loss_mask_BT[:, 1:]
    assert torch.allclose(got[:, 1:][mask], plain[mask], atol=1e-5)
    assert not torch.allclose(got, response_logprobs(policy.model, batch), atol=1e-4)
    got.sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in policy.model.parameters())


def test_models_that_change_their_logits_are_refused(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    policy.model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match=r"final_logit_softcapping=30\.0"):
        backbone_and_head(policy.model)
