"""What the algorithms make of rewards, holes, older rollouts and groups that cannot teach, by hand and by gradient."""

import json
import math
from collections.abc import Callable

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
    clipped_value_loss,
    gae,
    importance_weights,
    leave_one_out,
    penalised_rewards,
    whiten,
)
from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, ask

NAN, LOG = float("nan"), math.log
EVERY: list[PolicyGradient] = [
    GRPO(), DAPO(), DrGRPO(), GSPO(), CISPO(), RLOO(), ReinforcePP(), ReinforcePPBaseline(), PPO(),
]  # fmt: skip
EACH = pytest.mark.parametrize("algorithm", EVERY, ids=lambda algorithm: algorithm.kind)


def table(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def numbers(*shape: int, seed: int, spread: float = 0.4) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread


def batch_of(mask: list[list[int]], rewards: list[float], group_size: int = 2, **tensors: Tensor) -> Batch:
    mask_BT = torch.tensor(mask, dtype=torch.bool)
    rows, width = mask_BT.shape
    known = {
        name: numbers(rows, width, seed=seed) - 1.0
        for seed, name in enumerate(("old_logprobs_BT", "ref_logprobs_BT", "rollout_logprobs_BT", "values_BT"))
    }
    return Batch(
        tokens_BT=torch.zeros(rows, width, dtype=torch.long),
        lengths_B=torch.full((rows,), width),
        prompt_lengths_B=torch.zeros(rows, dtype=torch.long),
        loss_mask_BT=mask_BT,
        rewards_B=torch.tensor(rewards, dtype=torch.float64),
        group_size=group_size,
        max_response_tokens=8,
        **{**known, **tensors},  # type: ignore[arg-type]
    )


def filled(algorithm: PolicyGradient, batch: Batch) -> Batch:
    return algorithm.advantages(batch, {})


# --- generalised advantages


def test_gae_by_hand() -> None:
    # one row, gamma 1/2, lam 1/2: values 1, 2, 3, reward 4 at the end
    # delta 2: 4 - 3 = 1;  delta 1: 1.5 - 2 = -0.5, A = -0.5 + 0.25;  delta 0: 1 - 1 = 0, A = 0 - 0.25 / 4
    advantages, returns = gae(table([0, 0, 4]), table([1, 2, 3]), torch.ones(1, 3, dtype=torch.bool), 0.5, 0.5)
    assert advantages.tolist() == [[-0.0625, -0.25, 1.0]]
    assert returns.tolist() == [[0.9375, 1.75, 4.0]]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.7), (1.0, 0.0)])
def test_tokens_that_the_policy_did_not_write_are_no_steps(gamma: float, lam: float) -> None:
    """Cutting a tool's output out of a response changes nothing; what values stand there is not read."""
    mask = [0, 1, 1, 0, 0, 1, 0, 1, 0]
    places = [i for i, on in enumerate(mask) if on]
    values, rewards = numbers(1, 9, seed=1), table([0, 0, 0, 0, 0, 0.3, 0, 1, 0])
    whole = torch.ones(1, len(places), dtype=torch.bool)
    expected = gae(rewards[:, places], values[:, places], whole, gamma, lam)
    for garbage in (0.0, 1e9, NAN):
        spoilt = torch.where(torch.tensor([mask], dtype=torch.bool), values, garbage)
        found = gae(rewards, spoilt, torch.tensor([mask], dtype=torch.bool), gamma, lam)
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.allclose(ours[:, places], theirs, atol=1e-12)
            assert all(ours[0, i] == 0.0 for i in range(9) if i not in places)


def test_a_critic_that_is_right_leaves_no_advantage() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    rewards, values = table([0, 0, 0.7], [0, 0.2, 0]), table([0.7, 0.7, 0.7], [0.2, 0.2, 9])
    advantages, returns = gae(rewards, values, mask, 1.0, 0.95)
    assert advantages.abs().max() < 1e-12
    assert torch.allclose(returns, values * mask)


def test_whitening_is_over_trained_tokens_only() -> None:
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]], dtype=torch.bool)
    found = whiten(table([1, 2, 1e6], [-1e6, 3, 4]), mask, eps=0.0)
    std = (5 / 3) ** 0.5  # of 1, 2, 3, 4
    assert found.tolist() == [pytest.approx([-1.5 / std, -0.5 / std, 0.0]), pytest.approx([0.0, 0.5 / std, 1.5 / std])]
    assert whiten(table([5, 5, 1], [7, 5, 5]), mask).abs().max() == 0.0
    assert whiten(table([5.0]), torch.tensor([[True]])).tolist() == [[0.0]]
    assert whiten(table([5.0]), torch.tensor([[False]])).tolist() == [[0.0]]


def test_leave_one_out_by_hand() -> None:
    found = leave_one_out(table([1, 0, 0.5, NAN], [0.3, 0.3, 0.3, 0.3], [NAN, 2, NAN, NAN])).tolist()
    assert found[0] == pytest.approx([1 - 0.25, 0 - 0.75, 0.5 - 0.5, 0.0])
    assert found[1:] == [[0.0] * 4] * 2


def test_the_value_loss_by_hand() -> None:
    # value 1, was 0, bound 0.2: target 2 -> (0.2 - 2)^2 is worse than (1 - 2)^2; target -1 -> (1 + 1)^2 is worse
    loss, clipped = clipped_value_loss(table([1, 1]), table([0, 0]), table([2, -1]), 0.2)
    assert loss.tolist()[0] == pytest.approx([0.5 * 1.8**2, 0.5 * 4]) and clipped.tolist() == [[True, False]]
    assert clipped_value_loss(table([1]), table([0]), table([2]), None)[0].tolist() == [[0.5]]


# --- rewards of tokens, and the KL in them


def test_the_reward_stands_on_the_last_token_that_the_policy_wrote() -> None:
    batch = batch_of([[0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]], [0.7, 0.2, 5.0, NAN])
    batch = batch.with_(loss_mask_BT=batch.loss_mask_BT & batch.scored_B[:, None])
    assert penalised_rewards(batch, 0.0).tolist() == [[0, 0, 0.7, 0], [0, 0, 0, 0.2], [0] * 4, [0] * 4]
    assert batch.old_logprobs_BT is not None and batch.ref_logprobs_BT is not None
    paid = penalised_rewards(batch, 0.5)
    ratio = batch.old_logprobs_BT - batch.ref_logprobs_BT
    assert paid[0].tolist() == pytest.approx([0.0, -0.5 * float(ratio[0, 1]), 0.7 - 0.5 * float(ratio[0, 2]), 0.0])
    assert paid[2:].abs().max() == 0.0


def test_the_kl_moves_from_the_loss_to_the_reward() -> None:
    batch = batch_of([[1, 1], [1, 0]], [1.0, 0.0])
    assert batch.old_logprobs_BT is not None and batch.ref_logprobs_BT is not None
    kl = ((batch.old_logprobs_BT - batch.ref_logprobs_BT) * batch.loss_mask_BT).sum(-1)
    algorithm = RLOO(kl_coef=0.5)
    found = filled(algorithm, batch).advantages_BT
    paid = torch.tensor([1.0, 0.0]) - 0.5 * kl
    assert found is not None and found[:, 0].tolist() == pytest.approx(
        [float(paid[0] - paid[1]), float(paid[1] - paid[0])]
    )
    outputs = Outputs(batch.old_logprobs_BT)
    assert "kl" not in algorithm.loss(outputs, filled(algorithm, batch), Denominators.of(batch)).parts
    assert "kl" in RLOO(kl_coef=0.5, kl_in="loss").loss(outputs, filled(RLOO(), batch), Denominators.of(batch)).parts


def test_a_response_without_a_token_keeps_its_reward_in_the_baseline() -> None:
    """A policy that stops at once is paid what it is paid, also where a KL is taken off the reward."""
    batch = batch_of([[1, 1], [0, 0]], [1.0, 0.4])
    batch = batch.with_(ref_logprobs_BT=batch.old_logprobs_BT)
    for kl_coef in (0.0, 0.5):
        found = filled(RLOO(kl_coef=kl_coef), batch).advantages_BT
        assert found is not None and found[0].tolist() == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize("place", ["loss", "reward"])
def test_the_weight_of_the_kl_follows_its_target(place: str) -> None:
    algorithm = PPO(kl_coef=0.1, kl_target=0.05, kl_horizon=100, kl_in=place)  # type: ignore[arg-type]
    state: dict[str, object] = {}
    batch = batch_of([[1, 1, 0], [1, 1, 1]], [1.0, 0.0])
    assert batch.ref_logprobs_BT is not None
    far = batch.with_(old_logprobs_BT=batch.ref_logprobs_BT + 0.5)
    first = algorithm.advantages(far, state)
    assert first.kl_coef == 0.1 and state == {"kl_coef": pytest.approx(0.1 * (1 + 0.2 * 2 / 100))}
    kept = json.loads(json.dumps(state))  # what a checkpoint does
    second = algorithm.advantages(far.with_(old_logprobs_BT=batch.ref_logprobs_BT + 0.0), kept)
    assert second.kl_coef == state["kl_coef"] and kept["kl_coef"] < state["kl_coef"]
    assert algorithm.figures(second)["kl_coef"] == second.kl_coef
    assert algorithm.figures(first)["kl_reference"] == pytest.approx(0.5)
    if place == "loss":
        outputs = Outputs(far.ref_logprobs_BT * 0.9, batch.values_BT)  # type: ignore[operator]
        losses = [algorithm.loss(outputs, b.with_(advantages_BT=b.advantages_BT * 0), Denominators.of(b)) for b in (  # type: ignore[operator]
            first, second)]  # fmt: skip
        assert float(losses[1].policy / losses[0].policy) == pytest.approx(float(second.kl_coef or 0) / 0.1)


def test_the_weight_of_the_kl_moves_by_at_most_a_fifth_a_step_and_never_pays_for_drifting() -> None:
    for rollouts, horizon in ((256, 50), (16_384, 2_000), (10_000, 2_000), (1, 1)):
        assert adapted_weight(0.1, 0.0, 0.05, rollouts, horizon) == pytest.approx(0.08)
        assert adapted_weight(0.1, 9.0, 0.05, rollouts, horizon) == pytest.approx(0.12)
    assert adapted_weight(0.1, 9.0, 0.05, 50, 100) == pytest.approx(0.11)
    algorithm, state = PPO(kl_coef=0.1, kl_target=0.05, kl_horizon=1), {"kl_coef": 0.1}
    batch = batch_of([[1, 1]] * 12, [1.0, 0.0] * 6)
    still = batch.with_(ref_logprobs_BT=batch.old_logprobs_BT)
    for _ in range(20):
        algorithm.advantages(still, state)
    assert state["kl_coef"] == pytest.approx(0.1 * 0.8**20)


# --- every algorithm


@EACH
def test_rollouts_without_a_score_leave_everything(algorithm: PolicyGradient) -> None:
    """Whatever such a row holds, no advantage, loss or figure changes; nor would it if the row were not there."""
    mask = [[1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 0, 0]]
    seen = []
    for garbage in (0.0, 3.0):
        batch = batch_of(mask, [1.0, 0.0, 0.5, NAN])
        spoilt = {
            name: torch.cat([value[:3], torch.full_like(value[:1], garbage)])
            for name in ("old_logprobs_BT", "ref_logprobs_BT", "values_BT", "rollout_logprobs_BT")
            if (value := getattr(batch, name)) is not None
        }
        batch = filled(algorithm, batch.with_(**spoilt))
        assert batch.advantages_BT is not None and batch.advantages_BT[3].abs().max() == 0.0
        assert batch.old_logprobs_BT is not None
        new = (batch.old_logprobs_BT + numbers(4, 3, seed=9) * batch.loss_mask_BT).requires_grad_()
        loss = algorithm.loss(Outputs(new, batch.values_BT), batch, Denominators.of(batch))
        (gradient,) = torch.autograd.grad(loss.policy, new)
        assert gradient[3].abs().max() == 0.0 and not bool(algorithm.gradient_rows(batch)[3])
        seen.append((batch.advantages_BT, loss.policy.item(), gradient))
    for one, other in zip(*seen, strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


@EACH
def test_groups_that_cannot_teach_give_no_policy_gradient(algorithm: PolicyGradient) -> None:
    if isinstance(algorithm, PPO):
        algorithm = PPO(lam=1.0)
    batch = batch_of([[1, 1], [1, 0], [1, 1], [0, 0]], [0.3, 0.3, 0.3, NAN], values_BT=torch.zeros(4, 2).double())
    batch = filled(algorithm, batch)
    assert batch.advantages_BT is not None and batch.advantages_BT.abs().max() == 0.0
    none = batch_of([[0, 0], [0, 0]], [NAN, NAN])
    found = filled(algorithm, none)
    assert found.advantages_BT is not None and found.advantages_BT.abs().max() == 0.0
    assert not algorithm.gradient_rows(found).any()
    assert all(math.isfinite(v) for v in algorithm.figures(found).values())


def test_whitening_over_the_batch_gives_a_lone_score_nothing_and_a_group_of_equal_scores_the_shift_of_all() -> None:
    pair = batch_of([[1, 0, 0], [1, 1, 1]], [1.0, 0.0])
    alone = filled(ReinforcePPBaseline(), pair).advantages_BT
    assert alone is not None and alone[0, 0] > 0 > alone[1, 0]
    mask = [[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 1]]
    lone = batch_of(mask, [1.0, NAN, 1.0, 0.0])
    found = filled(ReinforcePPBaseline(), lone.with_(loss_mask_BT=lone.loss_mask_BT & lone.scored_B[:, None]))
    assert found.advantages_BT is not None and found.advantages_BT[:2].abs().max() == 0.0
    assert torch.allclose(found.advantages_BT[2:], alone), "nor does it move the others"
    assert ReinforcePPBaseline().gradient_rows(found).tolist() == [False, False, True, True]
    equal = filled(ReinforcePPBaseline(), batch_of(mask, [1.0, 1.0, 1.0, 0.0])).advantages_BT
    assert equal is not None  # 0 less the mean over tokens (0.5 - 3 * 0.5) / 10, over the deviation
    centred = torch.tensor([0.0] * 6 + [0.5] + [-0.5] * 3, dtype=torch.float64)
    assert equal[:2].flatten().tolist() == pytest.approx([0.1 / float(centred.std())] * 6)


@EACH
def test_shares_of_micro_batches_add_up(algorithm: PolicyGradient) -> None:
    knobs = {"kl_coef": 0.3, "kl_in": "loss", "entropy_coef": 0.1, "correction": "token", "correction_cap": 1.5}
    algorithm = type(algorithm)(**knobs)  # type: ignore[arg-type]
    batch = filled(algorithm, batch_of([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0]], [1.0, 0.0, 0.2, NAN]))
    assert batch.old_logprobs_BT is not None
    new, entropy, whole = batch.old_logprobs_BT + 0.3, numbers(4, 3, seed=5), Denominators.of(batch)
    together = algorithm.loss(Outputs(new, batch.values_BT, entropy), batch, whole)
    shares = []
    for b in range(4):
        row = batch.rows([b])
        shares.append(algorithm.loss(Outputs(new[[b]], row.values_BT, entropy[[b]]), row, whole))
    assert float(sum(share.policy for share in shares)) == pytest.approx(float(together.policy), abs=1e-12)
    if together.value is not None:
        assert float(sum(s.value for s in shares if s.value is not None)) == pytest.approx(float(together.value))
    for name, value in together.parts.items():
        assert float(sum(share.parts[name] for share in shares)) == pytest.approx(float(value), abs=1e-12)


@EACH
def test_the_score_s_weight_scales_the_advantage(algorithm: PolicyGradient) -> None:
    batch = batch_of([[1, 1], [1, 1]], [1.0, 0.0])
    plain = filled(algorithm, batch).advantages_BT
    halved = filled(algorithm, batch.with_(weights_B=torch.tensor([0.5, 1.0], dtype=torch.float64))).advantages_BT
    assert plain is not None and halved is not None
    assert torch.allclose(halved[0], 0.5 * plain[0]) and torch.equal(halved[1], plain[1])


def test_gspo_clips_a_response_whole() -> None:
    # log ratios (1, 0) and (0.001, 0): geometric means e^0.5 (clipped at 1.0004) and e^0.0005 (above it too); then 1.0003
    algorithm, zero = GSPO(), torch.zeros(2, 2, dtype=torch.float64)
    for first, second, clipped in ((1.0, 0.0, True), (0.0007, 0.0, False), (0.5, -0.5, False)):
        batch = batch_of([[1, 1], [1, 1]], [1.0, 0.0], old_logprobs_BT=zero).with_(advantages_BT=table([1, 1], [0, 0]))
        new = table([first, second], [0, 0]).requires_grad_()
        loss = algorithm.loss(Outputs(new), batch, Denominators.of(batch))
        loss.policy.backward()  # type: ignore[no-untyped-call]
        ratio = min(math.exp((first + second) / 2), 1.0004)
        assert loss.policy.item() == pytest.approx(-ratio / 2)  # mean over two responses, one of them without advantage
        assert new.grad is not None
        assert new.grad[0].tolist() == pytest.approx([0.0, 0.0] if clipped else [-ratio / 4, -ratio / 4])
        assert float(loss.parts["clip_share"]) == (0.5 if clipped else 0.0)


def test_cispo_keeps_the_gradient_of_a_token_that_ppo_clips() -> None:
    batch = batch_of([[1], [1]], [1.0, 0.0], old_logprobs_BT=table([0], [0]))
    batch = batch.with_(advantages_BT=table([1], [0]))
    for algorithm, expected in ((GRPO(), 0.0), (CISPO(), -5.0 / 2), (CISPO(clip_high=1.0), -2.0 / 2)):
        new = table([LOG(9.0)], [0.0]).requires_grad_()
        algorithm.loss(Outputs(new), batch, Denominators.of(batch)).policy.backward()  # type: ignore[no-untyped-call]
        assert new.grad is not None and float(new.grad[0, 0]) == pytest.approx(expected)


# --- rollouts of other weights


def test_importance_weights_by_hand() -> None:
    old, drawn = (
        table([LOG(0.5), LOG(0.9), 7.0], [LOG(0.1), 0, 0]),
        table([LOG(0.25), LOG(0.3), -7.0], [LOG(0.2), 0, 0]),
    )
    batch = batch_of([[1, 1, 0], [1, 0, 0]], [1.0, 0.0], old_logprobs_BT=old, rollout_logprobs_BT=drawn)
    weights, cut = importance_weights(batch, "token", 2.5)
    assert weights.tolist() == [pytest.approx([2.0, 2.5, 0.0]), pytest.approx([0.5, 0.0, 0.0])]
    assert cut.tolist() == [[False, True, False], [False, False, False]]
    weights, cut = importance_weights(batch, "sequence", 5.0)
    assert weights.tolist() == [pytest.approx([5.0, 5.0, 0.0]), pytest.approx([0.5, 0.0, 0.0])]  # 2 * 3, cut to 5
    figures = GRPO(correction="token", correction_cap=2.5).figures(batch)
    assert figures == {"correction_mean": pytest.approx(5.0 / 3), "correction_truncated": pytest.approx(1 / 3)}
    with pytest.raises(ValueError, match="it gave none"):
        importance_weights(batch.with_(rollout_logprobs_BT=None), "token", 2.0)


def test_corrected_rollouts_of_other_weights_have_the_gradient_of_fresh_ones() -> None:
    """A one-token world: the expected gradient under the old policy, from samples of another one."""
    logits = torch.tensor([0.3, -0.2, 0.5, 0.0], dtype=torch.float64)
    other = torch.tensor([0.4, 0.1, 0.2, 0.3], dtype=torch.float64)  # who really sampled
    worth = torch.tensor([1.0, -0.5, 0.25, 0.0], dtype=torch.float64)

    def gradient(drawn_from: Tensor, algorithm: GRPO) -> Tensor:
        policy = logits.clone().requires_grad_()
        total = torch.zeros(4, dtype=torch.float64)
        for token in range(4):
            new = policy.log_softmax(-1)[token].view(1, 1)
            batch = batch_of(
                [[1]], [0.0], 1, old_logprobs_BT=new.detach(), rollout_logprobs_BT=drawn_from[token].log().view(1, 1)
            ).with_(advantages_BT=worth[token].view(1, 1))
            loss = algorithm.loss(Outputs(new), batch, Denominators.of(batch)).policy
            total += drawn_from[token] * torch.autograd.grad(loss, policy)[0]
        return total

    fresh = gradient(logits.softmax(-1), GRPO())
    corrected = GRPO(correction="token", correction_cap=50.0)
    assert torch.allclose(gradient(other, corrected), fresh, atol=1e-12)
    assert not torch.allclose(gradient(other, GRPO()), fresh, atol=1e-2)
    assert torch.allclose(gradient(logits.softmax(-1), corrected), fresh, atol=1e-12)


# --- groups and knobs


def scored(*values: float | None) -> ScoredGroup:
    rollouts = tuple(Rollout("", token_ids=(7,), logprobs=(-1.0,), loss_mask=(True,), prompt_ids=(1,)) for _ in values)
    scores = tuple(Score(None, "timeout") if v is None else Score(v) for v in values)
    return ScoredGroup(Group(Problem("p", ask("?")), rollouts), scores)


def test_dapo_drops_what_teaches_nothing() -> None:
    groups = [scored(1.0, 0.0), scored(1.0, 1.0), scored(None, 1.0), scored(None, None), scored(0.1, None, 0.0)]
    assert DAPO().select(groups) == [groups[0], groups[4]]
    assert GRPO().select(groups) == groups
    assert (DAPO(max_rounds=3).rounds, GRPO().rounds) == (3, 1)


@pytest.mark.parametrize(
    ("make", "knobs"),
    [
        (GRPO, {"kl_in": "somewhere"}),
        (GRPO, {"correction": "tokens"}),
        (GRPO, {"correction_cap": 0.5}),
        (GRPO, {"entropy_coef": -0.1}),
        (GRPO, {"kl_target": 0.1}),
        (PPO, {"kl_target": -0.1, "kl_coef": 0.1}),
        (PPO, {"kl_horizon": 0}),
        (PPO, {"lam": 1.5}),
        (PPO, {"gamma": 0.0}),
        (PPO, {"value_clip": 0.0}),
        (PPO, {"value_coef": 0.0}),
        (ReinforcePP, {"gamma": 1.1}),
        (DAPO, {"max_rounds": 0}),
        (CISPO, {"clip": 1.5}),
        (CISPO, {"clip_high": -1.0}),
    ],
)
def test_knobs_out_of_range_are_refused(make: Callable[..., PolicyGradient], knobs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        make(**knobs)


def test_all_faults_at_once() -> None:
    with pytest.raises(ValueError, match=r"grpo: clip is 2.0.*; mean is 'x'.*; kl_coef is -1.0"):
        GRPO(clip=2.0, kl_coef=-1.0, mean="x")  # type: ignore[arg-type]


def test_what_each_needs() -> None:
    assert PPO().needs == {"old_logprobs", "values"} and PPO().outputs == {"values"}
    assert PPO(kl_coef=0.1, entropy_coef=0.1).needs == {"old_logprobs", "values", "ref_logprobs"}
    assert PPO(entropy_coef=0.1).outputs == {"values", "entropy"} and GRPO(log_entropy=True).outputs == {"entropy"}
    assert CISPO().needs == {"old_logprobs"} and CISPO().outputs == frozenset()


def test_explained_variance() -> None:
    batch = batch_of([[1, 1, 1], [1, 1, 1]], [1.0, 0.0])
    returns = table([1, 2, 3], [0, 4, 1])
    for values, expected in ((returns, 1.0), (returns * 0, 0.0), (-returns, -3.0)):
        found = PPO().figures(batch.with_(values_BT=values, returns_BT=returns))
        assert found["explained_variance"] == pytest.approx(expected)
    assert "explained_variance" not in PPO().figures(batch.with_(returns_BT=returns * 0))
