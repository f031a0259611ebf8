"""From scored groups to tensors: what is where, what is masked, and what stays when rows are picked."""

import pytest
import torch

from medrl.algorithms import Batch, Multimodal
from medrl.types import Group, Problem, Response, Rollout, Score, ScoredGroup, ask


def rollout(
    prompt: tuple[int, ...], tokens: tuple[int, ...], mask: tuple[bool, ...] | None = None, **more: object
) -> Rollout:
    mask = mask or (True,) * len(tokens)
    logprobs = tuple(-float(t) if kept else 0.0 for t, kept in zip(tokens, mask, strict=True))
    return Rollout("", prompt_ids=prompt, token_ids=tokens, logprobs=logprobs, loss_mask=mask, **more)  # type: ignore[arg-type]


def scored(rollouts: list[Response], values: list[float | None]) -> ScoredGroup:
    scores = tuple(Score(None, "error") if value is None else Score(value) for value in values)
    return ScoredGroup(Group(Problem("p", ask("?")), tuple(rollouts)), scores)


def two_groups() -> Batch:
    first = scored([rollout((1, 2), (3,)), rollout((1, 2), (4, 5, 6), (True, False, True))], [1.0, 0.0])
    second = scored([rollout((7,), (8, 9)), rollout((7,), (10,))], [None, 0.5])
    return Batch.from_groups([first, second], max_response_tokens=16, temperature=0.7)


def test_every_token_is_in_its_column() -> None:
    batch = two_groups()
    assert batch.tokens_BT.tolist() == [[1, 2, 3, 0, 0], [1, 2, 4, 5, 6], [7, 8, 9, 0, 0], [7, 10, 0, 0, 0]]
    assert batch.lengths_B.tolist() == [3, 5, 3, 2]
    assert batch.prompt_lengths_B.tolist() == [2, 2, 1, 1]
    assert batch.rollout_logprobs_BT is not None
    assert batch.rollout_logprobs_BT.tolist() == [
        [0, 0, -3, 0, 0], [0, 0, -4, 0, -6], [0, -8, -9, 0, 0], [0, -10, 0, 0, 0]
    ]  # fmt: skip
    assert (batch.group_size, batch.max_response_tokens, batch.temperature, len(batch)) == (2, 16, 0.7, 4)


def test_an_error_is_nan_and_masked_never_zero() -> None:
    batch = two_groups()
    assert batch.loss_mask_BT.int().tolist() == [[0, 0, 1, 0, 0], [0, 0, 1, 0, 1], [0] * 5, [0, 1, 0, 0, 0]]
    assert batch.rewards_B[[0, 1, 3]].tolist() == [1.0, 0.0, 0.5]
    assert batch.rewards_B[2].isnan()
    assert batch.scored_B.tolist() == [True, True, False, True]


def test_picked_rows_are_cut_to_their_longest() -> None:
    batch = two_groups().with_(advantages_BT=torch.arange(20.0).view(4, 5))
    part = batch.rows([3, 0])
    assert part.tokens_BT.tolist() == [[7, 10, 0], [1, 2, 3]]
    assert part.advantages_BT is not None
    assert part.advantages_BT.tolist() == [[15, 16, 17], [0, 1, 2]]
    assert part.rewards_B.tolist() == [0.5, 1.0]
    assert (part.temperature, part.max_response_tokens, part.old_logprobs_BT) == (0.7, 16, None)


def test_images_follow_their_rows() -> None:
    group = scored([rollout((1,), (2,), images=("a.png",)), rollout((1,), (3,), images=("b.png", "c.png"))], [1.0, 0.0])
    batch = Batch.from_groups([group], max_response_tokens=4)
    assert batch.images == (("a.png",), ("b.png", "c.png"))
    assert batch.rows([1]).images == (("b.png", "c.png"),)
    assert two_groups().images == ()


def test_processor_tensors_follow_their_rows() -> None:
    images = Multimodal({"pixel_values": torch.arange(4.0)[:, None]}, (0, 1, 1, 3, 4))  # one, none, two, one
    picked = images.rows([2, 1, 0])
    assert picked.tensors["pixel_values"][:, 0].tolist() == [1.0, 2.0, 0.0]
    assert picked.offsets == (0, 2, 2, 3)
    batch = two_groups().with_(multimodal=images)  # type: ignore[arg-type]
    assert batch.rows([3]).multimodal.tensors["pixel_values"].tolist() == [[3.0]]  # type: ignore[union-attr]


def test_groups_of_different_sizes_are_refused() -> None:
    one, two = scored([rollout((1,), (2,))], [1.0]), scored([rollout((1,), (2,))] * 2, [1.0, 0.0])
    with pytest.raises(ValueError, match=r"one size, not \[1, 2\]"):
        Batch.from_groups([one, two], max_response_tokens=4)
    with pytest.raises(ValueError, match="no group at all"):
        Batch.from_groups([], max_response_tokens=4)


def test_values_per_token_are_refused_rather_than_forgotten() -> None:
    one = rollout((1, 2), (3,))
    with pytest.raises(ValueError, match="one value per token"):
        Batch.from_groups([ScoredGroup(Group(Problem("p", ask("?")), (one,)), (Score(1.0, token_values=(1.0,)),))], 4)


def test_responses_without_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="token ids"):
        Batch.from_groups([scored([Response("a")], [1.0])], max_response_tokens=4)
