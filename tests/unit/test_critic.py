"""The critic: what it says of which token, that it learns, that nothing unscored reaches it, checkpoints bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medrl.algorithms import GRPO, PPO, Batch
from medrl.errors import CheckpointError, MissingFile, TrainingDiverged
from medrl.learners import CriticSettings, Optimization, TorchLearner
from medrl.learners.logprobs import backbone_and_head, trained_states
from medrl.models import Policy

MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]
BOTH = pytest.mark.parametrize("trunk", ["own", "shared"])


def learner_of(policy: Policy, trunk: str = "own", lr: float = 1e-3, **critic: object) -> TorchLearner:
    settings = CriticSettings(trunk=trunk, lr=3e-3, **critic)  # type: ignore[arg-type]
    return TorchLearner(policy, Optimization(lr=lr, critic=settings), reference=True)


def step(learner: TorchLearner, batch: Batch, algorithm: PPO | None = None, seed: int = 0) -> dict[str, float]:
    algorithm = algorithm or PPO()
    metrics = learner.update(algorithm.advantages(learner.forward(batch, algorithm.needs), {}), algorithm, seed)
    return {name: value for name, value in metrics.items() if not name.startswith("time/")}


def weights(learner: TorchLearner) -> dict[str, Tensor]:
    assert learner.critic is not None
    both = [*learner.model.state_dict().items(), *(("c." + n, w) for n, w in learner.critic.model.state_dict().items())]
    return {name: value.clone() for name, value in both}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.slow
@BOTH
def test_a_new_critic_says_nothing_and_learns_what_is_paid(
    make_policy: MakePolicy, make_batch: MakeBatch, trunk: str
) -> None:
    """With an own trunk the policy stays where it is (its learning rate is next to nothing)."""
    policy = make_policy()
    learner = learner_of(policy, trunk, lr=1e-12 if trunk == "own" else 1e-3)
    batch = make_batch(policy, [1.0, 0.0, 0.5, 0.0], 2)
    algorithm = PPO(lam=1.0, value_clip=None)
    first = learner.forward(batch, {"values"}).values_BT
    assert first is not None and first.abs().max() == 0.0
    losses = [step(learner, batch, algorithm)["value_loss"] for _ in range(60)]
    assert losses[-1] < 0.25 * losses[0]
    values = learner.forward(batch, {"values"}).values_BT
    assert values is not None
    at_the_end = values[torch.arange(4), batch.lengths_B - 1]
    assert at_the_end.tolist() == pytest.approx([1.0, 0.0, 0.5, 0.0], abs=0.35)
    assert values[~batch.loss_mask_BT].abs().max() == 0.0


@BOTH
def test_the_value_of_a_token_is_read_before_it_and_from_nothing_after(
    make_policy: MakePolicy, make_batch: MakeBatch, trunk: str
) -> None:
    policy = make_policy()
    learner = learner_of(policy, trunk)
    batch = make_batch(policy, [1.0, 0.0], 2, longest=9)
    for _ in range(3):
        step(learner, batch)
    before = learner.forward(batch, {"values"}).values_BT
    row, place = 0, int(batch.lengths_B[0]) - 1
    tokens = batch.tokens_BT.clone()
    tokens[row, place] = 30 if int(tokens[row, place]) != 30 else 31
    after = learner.forward(batch.with_(tokens_BT=tokens), {"values"}).values_BT
    assert before is not None and after is not None
    assert torch.equal(before[row, : place + 1], after[row, : place + 1]), "a value may not see its own token"
    tokens[row, 0] = 32 if int(tokens[row, 0]) != 32 else 33
    prompted = learner.forward(batch.with_(tokens_BT=tokens), {"values"}).values_BT
    assert prompted is not None and not torch.allclose(prompted[row], before[row])


@BOTH
def test_unscored_rollouts_reach_neither_policy_nor_critic(
    make_policy: MakePolicy, make_batch: MakeBatch, trunk: str
) -> None:
    results = []
    for tokens in (20, 200):
        policy = make_policy()
        learner = learner_of(policy, trunk)
        batch = make_batch(policy, [1.0, 0.5, 0.0, None], 2)
        changed = batch.tokens_BT.clone()
        changed[3, int(batch.prompt_lengths_B[3]) : int(batch.lengths_B[3])] = tokens
        metrics = step(learner, batch.with_(tokens_BT=changed), PPO(kl_coef=0.1))
        results.append((weights(learner), metrics))
    assert same(results[0][0], results[1][0]) and results[0][1] == results[1][1]
    policy = make_policy()
    learner = learner_of(policy, trunk)
    step(learner, make_batch(policy, [1.0, 0.5, 0.0, 0.0], 2), PPO(kl_coef=0.1))
    assert not same(results[0][0], weights(learner)), "a score of 0 is something else than no score"


def test_the_critic_learns_where_the_policy_has_nothing_to_learn(
    make_policy: MakePolicy, make_batch: MakeBatch
) -> None:
    policy = make_policy()
    learner = learner_of(policy)
    before = weights(learner)
    metrics = step(learner, make_batch(policy, [None] * 4, 2))
    assert metrics == {"updates": 0.0, "idle_updates": 1.0} and same(before, weights(learner))
    metrics = step(learner, make_batch(policy, [0.5] * 4, 2), PPO(lam=1.0))
    assert metrics["updates"] == 1.0 and metrics["value_loss"] == pytest.approx(0.5 * 0.25)
    assert not torch.equal(before["c.head.bias"], weights(learner)["c.head.bias"])


@BOTH
def test_the_policy_waits_while_the_critic_is_alone(make_policy: MakePolicy, make_batch: MakeBatch, trunk: str) -> None:
    policy = make_policy()
    learner = learner_of(policy, trunk, alone_updates=2)
    batch, before = make_batch(policy, [1.0, 0.0], 2), weights(learner)
    for _ in range(2):
        assert step(learner, batch)["lr"] == 0.0
        now = weights(learner)
        assert all(torch.equal(before[n], now[n]) for n in before if not n.startswith("c."))
        assert not torch.equal(before["c.head.bias"], now["c.head.bias"])
    assert learner.updates == 0
    assert step(learner, batch)["lr"] == 1e-3
    now = weights(learner)
    assert learner.updates == 1 and not all(torch.equal(before[n], now[n]) for n in before if not n.startswith("c."))


def test_the_losses_share_a_trunk_only_where_they_are_told_to(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    """Equal rewards and no whitening: the policy's own gradient is not 0, but scaled away by advantage 0."""
    for trunk, moved in (("own", False), ("shared", True)):
        policy = make_policy()
        learner = learner_of(policy, trunk)
        algorithm = PPO(lam=1.0)
        batch = algorithm.advantages(learner.forward(make_batch(policy, [1.0, 0.0], 2), algorithm.needs), {})
        assert batch.advantages_BT is not None and learner.critic is not None
        with torch.no_grad():
            learner.critic.model.head.weight.fill_(0.1)
        batch = batch.with_(advantages_BT=torch.zeros_like(batch.advantages_BT))
        before = {name: w.clone() for name, w in policy.model.state_dict().items()}
        learner.update(batch, algorithm, 0)
        assert moved != same(before, policy.model.state_dict()), trunk


@BOTH
@pytest.mark.parametrize("tokens", [1, 60])
def test_microbatches_change_no_gradient(
    make_policy: MakePolicy, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, trunk: str, tokens: int
) -> None:
    found = []
    for budget in (10_000, tokens):
        policy = make_policy()
        learner = learner_of(policy, trunk)
        learner.settings = replace(learner.settings, microbatch_tokens=budget)
        assert learner.critic is not None
        with torch.no_grad():
            learner.critic.model.head.weight.normal_(generator=torch.Generator().manual_seed(1))
        grads: dict[str, Tensor] = {}

        def keep(*_: object, grads: dict[str, Tensor] = grads, learner: TorchLearner = learner) -> None:
            assert learner.critic is not None
            grads |= {n: p.grad.clone() for n, p in learner.model.named_parameters() if p.grad is not None}
            grads |= {
                f"c.{n}": p.grad.clone() for n, p in learner.critic.model.named_parameters() if p.grad is not None
            }

        learner.optimizer.register_step_pre_hook(keep)
        rewards = [1.0, 0.0, None, 0.25, 0.5, 0.5, 1.0, 0.0]
        algorithm = PPO(kl_coef=0.1, kl_in="loss", entropy_coef=0.05)
        found.append((step(learner, make_batch(policy, rewards, 4), algorithm), grads))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5, abs=1e-5)
    assert found[0][1].keys() == found[1][1].keys()
    for name, grad in found[0][1].items():
        assert torch.allclose(found[1][1][name], grad, atol=1e-5), name


@BOTH
def test_going_on_from_a_checkpoint_is_bit_equal(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path, trunk: str
) -> None:
    policy = make_policy()
    batches = [make_batch(policy, [1.0, 0.0, 0.5, 0.25], 2, seed=s) for s in range(4)]
    algorithm = PPO(kl_coef=0.05, epochs=2, minibatches=2)
    knobs = {"alone_updates": 3, "warmup_steps": 9}
    straight = learner_of(policy, trunk, **knobs)
    for number, batch in enumerate(batches[:2]):
        step(straight, batch, algorithm, number)
    straight.save(tmp_path)
    saved = weights(straight)
    for number, batch in enumerate(batches[2:]):
        step(straight, batch, algorithm, number)
    resumed = learner_of(make_policy(), trunk, **knobs)  # its reference is the start's, as a resumed run's is
    resumed.load(tmp_path)
    assert same(weights(resumed), saved)
    for number, batch in enumerate(batches[2:]):
        step(resumed, batch, algorithm, number)
    assert same(weights(resumed), weights(straight))
    assert resumed.critic is not None and straight.critic is not None
    assert (resumed.updates, resumed.critic.updates) == (straight.updates, straight.critic.updates)
    assert json.loads((tmp_path / "critic.json").read_text())["updates"] == 8


@pytest.mark.parametrize("gone", ["critic.safetensors", "critic_optimizer.safetensors", "critic.json"])
def test_a_checkpoint_without_its_critic_is_refused(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path, gone: str
) -> None:
    policy = make_policy()
    learner = learner_of(policy)
    step(learner, make_batch(policy, [1.0, 0.0], 2))
    learner.save(tmp_path)
    (tmp_path / gone).unlink()
    before = weights(learner)
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        learner.load(tmp_path)
    assert same(before, weights(learner))


def test_a_critic_that_is_not_finite_stops_the_update_of_both(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    learner = learner_of(policy)
    batch = PPO().advantages(learner.forward(make_batch(policy, [1.0, 0.0], 2), PPO().needs), {})
    assert batch.returns_BT is not None
    before = weights(learner)
    with pytest.raises(TrainingDiverged, match="critic_grad_norm"):
        learner.update(batch.with_(returns_BT=batch.returns_BT * torch.inf), PPO(), 0)
    assert same(before, weights(learner)) and learner.updates == 0


def test_another_model_may_be_the_trunk(make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path) -> None:
    make_policy(seed=3, hidden_size=64, intermediate_size=32).save(tmp_path / "small")
    policy = make_policy()
    learner = learner_of(policy, path=str(tmp_path / "small"))
    assert learner.critic is not None and learner.critic.model.head.in_features == 64
    batch = make_batch(policy, [1.0, 0.0], 2)
    losses = [step(learner, batch, PPO(value_clip=None, lam=1.0))["value_loss"] for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]
    with pytest.raises(MissingFile, match="no critic can be read"):
        learner_of(policy, path=str(tmp_path / "gone"))


def test_a_critic_of_a_half_precision_policy_learns_at_the_rates_of_rl(
    make_policy: MakePolicy, make_batch: MakeBatch
) -> None:
    """In bfloat16 an update of 1e-6 would be lost in the rounding of almost every weight."""
    policy = make_policy()
    torch.nn.Module.to(policy.model, torch.bfloat16)
    settings = Optimization(lr=1e-6, critic=CriticSettings(lr=1e-6))
    learner = TorchLearner(policy, settings, reference=True)
    assert learner.critic is not None
    torch.nn.init.normal_(learner.critic.model.head.weight)  # a head of 0 would hand no gradient to the trunk
    batch = make_batch(policy, [1.0, 0.0], 2)
    before = {name: weight.clone() for name, weight in learner.critic.weights().items() if weight.dim() == 2}
    step(learner, batch)
    moved = [
        float((weight != before[name]).float().mean())
        for name, weight in learner.critic.weights().items()
        if name in before and "embed" not in name
    ]
    assert all(weight.dtype == torch.float32 for weight in learner.critic.weights().values())
    assert min(moved) > 0.9


def test_gradient_checkpointing_reaches_the_critic_and_changes_no_number(
    make_policy: MakePolicy, make_batch: MakeBatch
) -> None:
    found = []
    for checkpointing in (False, True):
        policy = make_policy()
        settings = Optimization(lr=1e-3, critic=CriticSettings(), gradient_checkpointing=checkpointing)
        learner = TorchLearner(policy, settings, reference=True)
        assert learner.critic is not None and learner.critic.model.trunk is not None
        assert learner.critic.model.trunk.is_gradient_checkpointing is checkpointing
        step(learner, make_batch(policy, [1.0, 0.0], 2))
        found.append(weights(learner))
    assert same(found[0], found[1])


def test_packed_values_equal_padded_ones(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    trunk, _ = backbone_and_head(policy.model)
    batch = make_batch(policy, [1.0, 0.0, 0.5, None], 2)
    assert torch.allclose(trained_states(trunk, batch, pack=True), trained_states(trunk, batch), atol=1e-5)


def test_knobs_of_a_critic() -> None:
    with pytest.raises(ValueError, match="trunk is 'mine'"):
        CriticSettings(trunk="mine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`path` names a trunk"):
        CriticSettings(trunk="shared", path="x")
    with pytest.raises(ValueError, match="alone_updates"):
        CriticSettings(alone_updates=-1)
    assert Optimization().for_algorithm(PPO()).critic == CriticSettings()
    assert Optimization().for_algorithm(GRPO()).critic is None
    with pytest.raises(ValueError, match="grpo has no critic"):
        Optimization(critic=CriticSettings()).for_algorithm(GRPO())
    rises = CriticSettings(lr=2.0, warmup_steps=4)
    assert [rises.lr_at(u) for u in (0, 1, 3, 9)] == [0.5, 1.0, 2.0, 2.0]
