"""Advantages against tables computed by hand, and what GRPO makes of groups that cannot teach."""

import pytest
import torch

from medrl.algorithms import CISPO, DAPO, GRPO, GSPO, PPO, DrGRPO, group_advantages
from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, ask

NAN = float("nan")


def advantages(*rows: list[float], **knobs: object) -> list[list[float]]:
    result: list[list[float]] = group_advantages(torch.tensor(rows, dtype=torch.float64), **knobs).tolist()  # type: ignore[arg-type]
    return result


def test_a_failed_judge_leaves_the_baseline() -> None:
    # [1, 3, 2, error]: mean 2 and sample deviation sqrt((1 + 1 + 0) / 2) = 1 over the three scored ones; eps is 1e-4
    (row,) = advantages([1.0, 3.0, 2.0, NAN])
    assert row == pytest.approx([-1 / 1.0001, 1 / 1.0001, 0.0, 0.0], abs=1e-12)


def test_counting_the_failure_as_zero_would_be_seen() -> None:
    (masked,), (zeroed,) = advantages([1.0, 3.0, 2.0, NAN]), advantages([1.0, 3.0, 2.0, 0.0])
    assert masked[2] == 0.0
    assert zeroed[2] == pytest.approx(0.5 / (1.2909944487358056 + 1e-4))


def test_scale_none_only_centres() -> None:
    assert advantages([1.0, 3.0, 2.0, NAN], [0.0, 1.0, 1.0, 0.0], scale="none") == [
        [-1.0, 1.0, 0.0, 0.0],
        [-0.5, 0.5, 0.5, -0.5],
    ]


def test_scale_batch_divides_by_the_deviation_of_all_scored() -> None:
    # scored: 1, 3, 2, 0, 2; mean 1.6; squares .36 + 1.96 + .16 + 2.56 + .16 = 5.2; over 4: 1.3
    rows = advantages([1.0, 3.0, 2.0], [0.0, NAN, 2.0], scale="batch")
    std = 1.3**0.5 + 1e-4
    assert rows[0] == pytest.approx([-1 / std, 1 / std, 0.0], abs=1e-12)
    assert rows[1] == pytest.approx([-1 / std, 0.0, 1 / std], abs=1e-12)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_groups_that_cannot_teach_give_exactly_zero(scale: str) -> None:
    rows = advantages([0.1, 0.1, 0.1], [5.0, NAN, NAN], [NAN, NAN, NAN], [0.7, 0.7, NAN], [0.0, 1.0, NAN], scale=scale)
    assert rows[:4] == [[0.0] * 3] * 4
    assert rows[4][0] < 0.0 < rows[4][1]


def test_equal_rewards_leave_no_rounding_dust() -> None:
    # the fp32 mean of seven times 0.1 is not 0.1; its dust over its own deviation would be of order 1
    rewards = torch.full((1, 7), 0.1)
    assert float(rewards.mean()) != float(rewards[0, 0]) or float(rewards.sum() / 7) != float(rewards[0, 0])
    assert group_advantages(rewards).abs().max() == 0.0


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_batch_without_any_score_is_all_zero(scale: str) -> None:
    assert advantages([NAN, NAN], [NAN, NAN], scale=scale) == [[0.0, 0.0], [0.0, 0.0]]


def test_group_advantages_sum_to_zero_and_ignore_shift() -> None:
    rewards = torch.rand(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rewards[1, 2] = rewards[3, 0] = NAN
    base = group_advantages(rewards)
    assert base.sum(-1).abs().max() < 1e-12
    assert torch.allclose(group_advantages(rewards + 7.0), base, atol=1e-10)


def scored(values: list[float | None]) -> ScoredGroup:
    rollouts = tuple(
        Rollout(
            "", token_ids=(7, 8, 9), logprobs=(-1.0,) * 3, loss_mask=(True, False, True), prompt_ids=(1, 2), index=i
        )
        for i in range(len(values))
    )
    scores = tuple(Score(None, "timeout") if v is None else Score(v) for v in values)
    return ScoredGroup(Group(Problem("p", ask("?")), rollouts), scores)


def test_grpo_spreads_the_advantage_over_trained_tokens_only() -> None:
    from medrl.algorithms import Batch

    batch = Batch.from_groups([scored([0.0, 2.0, None])], max_response_tokens=8)
    table = GRPO(scale="none").advantages(batch, {}).advantages_BT
    assert table is not None
    # columns: two prompt tokens, then a written one, one of a tool, a written one
    assert table.tolist() == [[0, 0, -1, 0, -1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]]


def test_rows_without_an_advantage_are_skipped_unless_a_kl_pulls_on_them() -> None:
    from medrl.algorithms import Batch

    batch = Batch.from_groups([scored([1.0, 1.0, None])], max_response_tokens=8)
    plain, with_kl = GRPO(), GRPO(kl_coef=0.1)
    assert plain.gradient_rows(plain.advantages(batch, {})).tolist() == [False, False, False]
    assert with_kl.gradient_rows(with_kl.advantages(batch, {})).tolist() == [True, True, False]


def test_defaults_are_the_published_ones() -> None:
    dapo, dr, gspo, cispo = DAPO(), DrGRPO(), GSPO(), CISPO()
    assert (dapo.bounds, dapo.mean, dapo.scale, dapo.kl_coef) == ((0.2, 0.28), "token", "group", 0.0)
    assert (dr.bounds, dr.scale, dr.mean, dr.kl_coef) == ((0.2, 0.2), "none", "limit", 0.0)
    assert (gspo.bounds, gspo.mean, gspo.scale) == ((3e-4, 4e-4), "sequence", "group")
    assert (cispo.bounds, cispo.mean) == ((1.0, 4.0), "token")
    o1 = PPO.huatuogpt_o1(lam=1.0)
    assert (o1.kl_coef, o1.kl_in, o1.epochs, o1.gamma, o1.clip, o1.value_coef, o1.lam) == (
        0.03, "reward", 3, 1.0, 0.2, 1.0, 1.0,
    )  # fmt: skip


def test_what_an_algorithm_needs() -> None:
    assert GRPO().needs == {"old_logprobs"}
    assert GRPO(kl_coef=0.01).needs == {"old_logprobs", "ref_logprobs"}


@pytest.mark.parametrize(
    "knobs", [{"clip": 0.0}, {"clip": 1.0}, {"clip_high": 0.0}, {"kl_coef": -0.1}, {"epochs": 0}, {"minibatches": 0}]
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        GRPO(**knobs)  # type: ignore[arg-type]


@pytest.mark.parametrize("knobs", [{"mean": "tokens"}, {"scale": "std"}, {"kl_estimator": "k4"}])
def test_a_name_that_is_not_known_is_refused_and_not_taken_for_another(knobs: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="it is one of"):
        GRPO(**knobs)  # type: ignore[arg-type]
