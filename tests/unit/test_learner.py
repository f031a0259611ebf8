"""The reference learner: which way weights move, what leaves them alone, and checkpoints bit for bit."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medrl.algorithms import DAPO, GRPO, Batch, DrGRPO
from medrl.errors import CheckpointError, TrainingDiverged, UpdateBrokenOff
from medrl.learners import Optimization, TorchLearner, response_logprobs
from medrl.models import Policy

MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]
FAST = Optimization(lr=1e-3)


def prepared(learner: TorchLearner, batch: Batch, algorithm: GRPO) -> Batch:
    return algorithm.advantages(learner.forward(batch, algorithm.needs), {})


def step(learner: TorchLearner, batch: Batch, algorithm: GRPO | None = None, seed: int = 0) -> dict[str, float]:
    algorithm = algorithm or GRPO()
    return learner.update(prepared(learner, batch, algorithm), algorithm, seed)


def weights(policy: Policy) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("algorithm", [GRPO(), DAPO(), DrGRPO()])
def test_an_update_follows_the_advantage(make_policy: MakePolicy, make_batch: MakeBatch, algorithm: GRPO) -> None:
    policy = make_policy()
    batch = make_batch(policy, [1.0, 0.0, 0.0, 1.0], 2)
    before = response_logprobs(policy.model, batch).detach().sum(-1)
    metrics = step(TorchLearner(policy, FAST), batch, algorithm)
    after = response_logprobs(policy.model, batch).detach().sum(-1)
    assert (after > before).tolist() == [True, False, False, True]
    assert metrics["updates"] == 1.0
    assert metrics["grad_norm"] > 0.0
    assert metrics["lr"] == 1e-3


def test_a_batch_without_advantage_leaves_the_weights_bit_equal(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    learner = TorchLearner(policy, Optimization(lr=1e-2, weight_decay=0.5))
    step(learner, make_batch(policy, [1.0, 0.0], 2))  # moments that are not zero would move weights by themselves
    before = weights(policy)
    for rewards in ([0.5] * 4, [1.0, None, None, 0.0], [None] * 4):
        metrics = step(learner, make_batch(policy, rewards, 2))
        assert metrics == {"updates": 0.0, "idle_updates": 1.0}
        assert same(weights(policy), before)


def test_unscored_rollouts_give_no_gradient(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    results = []
    for tokens in (20, 21, 200):
        policy = make_policy()
        batch = make_batch(policy, [1.0, 3.0, 2.0, None], 4)
        row, start = 3, int(batch.prompt_lengths_B[3])
        changed = batch.tokens_BT.clone()
        changed[row, start : int(batch.lengths_B[row])] = tokens
        metrics = step(TorchLearner(policy, FAST), batch.with_(tokens_BT=changed), GRPO(mean="token"))
        results.append((weights(policy), metrics))
    assert same(results[0][0], results[1][0])
    assert same(results[0][0], results[2][0])
    assert results[0][1] == results[1][1] == results[2][1]
    scored, policy = [1.0, 3.0, 2.0, 0.0], make_policy()
    step(TorchLearner(policy, FAST), make_batch(policy, scored, 4), GRPO(mean="token"))
    assert not same(results[0][0], weights(policy)), "a score of 0 is something else than no score"


@pytest.mark.parametrize("fault", ["advantage", "weights"])
def test_a_loss_that_is_not_finite_stops_and_leaves_the_weights(
    make_policy: MakePolicy, make_batch: MakeBatch, fault: str
) -> None:
    policy = make_policy()
    learner = TorchLearner(policy, FAST)
    batch = prepared(learner, make_batch(policy, [1.0, 0.0], 2), GRPO())
    assert batch.advantages_BT is not None
    if fault == "advantage":
        batch = batch.with_(advantages_BT=batch.advantages_BT * math.inf)
    else:
        with torch.no_grad():
            policy.model.get_input_embeddings().weight[5, 0] = math.nan
    before = weights(policy)
    with pytest.raises(TrainingDiverged, match=r"update 0 has loss .* weights were left as they were"):
        learner.update(batch, GRPO(), seed=0)
    after = weights(policy)
    assert all(torch.equal(after[n].nan_to_num(7.0), before[n].nan_to_num(7.0)) for n in before)
    assert all(p.grad is None for p in policy.model.parameters())
    assert not policy.model.training
    assert learner.updates == 0


def test_learning_rate_schedules() -> None:
    constant = Optimization(lr=2.0, warmup_steps=4)
    assert [constant.lr_at(u) for u in (0, 1, 3, 4, 1000)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    linear = Optimization(lr=2.0, warmup_steps=2, schedule="linear", total_updates=10)
    assert [linear.lr_at(u) for u in (0, 1, 2, 6, 10, 50)] == [1.0, 2.0, 2.0, 1.0, 0.0, 0.0]
    cosine = Optimization(lr=2.0, schedule="cosine", total_updates=8)
    assert [cosine.lr_at(u) for u in (0, 2, 4, 8, 9)] == pytest.approx([2.0, 1 + math.cos(math.pi / 4), 1.0, 0.0, 0.0])


def test_the_schedule_reaches_the_optimizer(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    learner = TorchLearner(policy, Optimization(lr=1e-3, warmup_steps=2, schedule="linear", total_updates=6))
    batch = make_batch(policy, [1.0, 0.0], 2)
    assert [step(learner, batch)["lr"] for _ in range(5)] == pytest.approx([0.5e-3, 1e-3, 1e-3, 0.75e-3, 0.5e-3])


@pytest.mark.parametrize(
    "knobs",
    [
        {"lr": 0.0},
        {"microbatch_tokens": 0},
        {"logits_mib": 0},
        {"schedule": "step"},
        {"max_grad_norm": -1.0},
        {"max_grad_norm": 0.0},
        {"betas": (0.9, 1.5)},
        {"weight_decay": -0.1},
    ],
)
def test_knobs_of_optimisation_out_of_range_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        Optimization(**knobs)  # type: ignore[arg-type]


def test_gradients_are_scaled_down_to_the_norm(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    norms = []
    for bound in (math.inf, 1e-3):
        policy = make_policy()
        learner = TorchLearner(policy, Optimization(lr=1e-3, max_grad_norm=bound))
        given: list[float] = []

        def keep(*_: object, given: list[float] = given, policy: Policy = policy) -> None:
            grads = [p.grad for p in policy.model.parameters() if p.grad is not None]
            given.append(float(torch.nn.utils.get_total_norm(grads)))

        learner.optimizer.register_step_pre_hook(keep)
        norms.append((step(learner, make_batch(policy, [1.0, 0.0], 2))["grad_norm"], given[0]))
    assert norms[0][0] == pytest.approx(norms[1][0]), "what is logged is the norm before scaling"
    assert norms[0][1] == pytest.approx(norms[0][0])
    assert norms[1][1] == pytest.approx(1e-3, rel=1e-3)


def test_epochs_and_minibatches_count_updates(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    rewards = [1.0, 0.0] * 3 + [1.0, 1.0]
    metrics = step(TorchLearner(policy, FAST), make_batch(policy, rewards, 2), GRPO(epochs=2, minibatches=4))
    assert (metrics["updates"], metrics["idle_updates"]) == (6.0, 2.0)
    assert metrics["kl_old"] > 0.0, "from the second update on the policy has moved"


def test_figures_for_the_log_are_means_over_what_was_computed(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    learner = TorchLearner(policy, FAST)
    batch = prepared(learner, make_batch(policy, [1.0, 0.0, 1.0, 1.0], 2), GRPO())
    assert batch.old_logprobs_BT is not None
    moved = batch.with_(old_logprobs_BT=batch.old_logprobs_BT - 0.5)  # as if the policy had moved on every token
    metrics = learner.update(moved, GRPO(), seed=0)
    assert metrics["kl_old"] == pytest.approx(math.expm1(-0.5) + 0.5, rel=1e-3), "two of four rows were skipped"


def test_frozen_parameters_stay(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    frozen = policy.model.model.layers[0].requires_grad_(False)
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    moved = policy.model.model.norm.weight.detach().clone()
    step(TorchLearner(policy, Optimization(lr=1e-2, weight_decay=0.1)), make_batch(policy, [1.0, 0.0], 2))
    assert same(before, dict(frozen.state_dict()))
    assert not torch.equal(moved, policy.model.model.norm.weight)


def test_the_reference_stays_and_the_kl_pulls_towards_it(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    learner = TorchLearner(policy, FAST, reference=True)
    batch = make_batch(policy, [1.0, 0.0, 1.0, 0.0], 2)
    fixed = learner.forward(batch, {"ref_logprobs"}).ref_logprobs_BT
    for _ in range(8):
        step(learner, batch)
    assert fixed is not None
    again = learner.forward(batch, {"ref_logprobs", "old_logprobs"})
    assert again.ref_logprobs_BT is not None
    assert torch.equal(again.ref_logprobs_BT, fixed)
    assert again.old_logprobs_BT is not None
    assert not torch.allclose(again.old_logprobs_BT, fixed, atol=0.05)
    pull = GRPO(kl_coef=1.0)
    equal = make_batch(policy, [1.0] * 4, 2)  # no advantage: the KL alone
    kls = [step(learner, equal, pull)["kl"] for _ in range(10)]
    assert kls[-1] < 0.7 * kls[0]


def test_what_the_learner_lacks_is_said(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    learner, batch = TorchLearner(policy, FAST), make_batch(policy, [1.0, 0.0], 2)
    with pytest.raises(ValueError, match="reference=True"):
        learner.forward(batch, {"ref_logprobs"})
    with pytest.raises(ValueError, match="CriticSettings"):
        learner.forward(batch, {"values"})


def test_forward_leaves_the_mode_and_makes_no_gradient(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    policy = make_policy()
    learner, batch = TorchLearner(policy, FAST), make_batch(policy, [1.0, 0.0], 2)
    policy.model.train()
    old = learner.forward(batch, {"old_logprobs"}).old_logprobs_BT
    assert policy.model.training
    assert old is not None
    assert not old.requires_grad


def train(learner: TorchLearner, batches: list[Batch]) -> None:
    for number, batch in enumerate(batches):
        step(learner, batch, GRPO(epochs=2, minibatches=2), seed=number)


def moments(learner: TorchLearner) -> list[dict[str, Tensor]]:
    return [{k: v.clone() for k, v in s.items()} for s in learner.optimizer.state_dict()["state"].values()]


def test_going_on_from_a_checkpoint_is_bit_equal(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path
) -> None:
    settings = Optimization(lr=1e-3, warmup_steps=20, weight_decay=0.1)
    policy = make_policy()
    batches = [make_batch(policy, [1.0, 0.0, 0.5, 0.25], 2, seed=s) for s in range(5)]
    straight = TorchLearner(policy, settings)
    train(straight, batches[:3])
    straight.save(tmp_path)
    saved, saved_moments = weights(policy), moments(straight)
    train(straight, batches[3:])

    other = make_policy(seed=9)
    resumed = TorchLearner(other, settings)
    resumed.load(tmp_path)
    assert same(weights(other), saved)
    assert len(saved_moments) == len(moments(resumed)) > 10
    assert all(same(a, b) for a, b in zip(saved_moments, moments(resumed), strict=True))
    assert resumed.updates == 12
    train(resumed, batches[3:])
    assert same(weights(other), weights(policy))
    assert all(same(a, b) for a, b in zip(moments(straight), moments(resumed), strict=True))


def test_a_checkpoint_of_a_learner_that_never_stepped(make_policy: MakePolicy, tmp_path: Path) -> None:
    TorchLearner(make_policy(), FAST).save(tmp_path)
    other = make_policy(seed=4)
    learner = TorchLearner(other, FAST)
    learner.load(tmp_path)
    assert same(weights(other), weights(make_policy()))
    assert learner.updates == 0


def test_loading_does_not_touch_the_global_random_state(make_policy: MakePolicy, tmp_path: Path) -> None:
    TorchLearner(make_policy(), FAST).save(tmp_path)
    learner = TorchLearner(make_policy(seed=4), FAST)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    learner.load(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "fault",
    [
        "no weights", "cut weights", "fewer weights", "no moments", "cut moments", "no counter", "half a counter",
        "empty counter",
    ],
)  # fmt: skip
def test_half_a_checkpoint_is_refused_and_harms_nothing(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path, fault: str
) -> None:
    from safetensors.torch import load_file, save_file

    donor = make_policy(seed=5)
    writer = TorchLearner(donor, FAST)
    step(writer, make_batch(donor, [1.0, 0.0], 2))
    writer.save(tmp_path)
    kind, _, what = fault.partition(" ")
    name = {"weights": "model.safetensors", "moments": "optimizer.safetensors"}.get(what, "learner.json")
    path = tmp_path / name
    if kind == "no":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "fewer":
        tensors = load_file(path)
        tensors.pop("model.norm.weight")
        save_file(tensors, path, metadata={"format": "pt"})
    else:
        path.write_text('{"upd' if kind == "half" else json.dumps({}))

    policy = make_policy()
    learner = TorchLearner(policy, FAST)
    step(learner, make_batch(policy, [1.0, 0.0], 2))
    before, before_moments = weights(policy), moments(learner)
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        learner.load(tmp_path)
    assert same(weights(policy), before)
    assert all(same(a, b) for a, b in zip(moments(learner), before_moments, strict=True))
    assert learner.updates == 1


def test_a_checkpoint_of_another_model_is_refused(make_policy: MakePolicy, tmp_path: Path) -> None:
    TorchLearner(make_policy(hidden_size=64), FAST).save(tmp_path)
    policy = make_policy()
    before = weights(policy)
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        TorchLearner(policy, FAST).load(tmp_path)
    assert same(weights(policy), before)


def test_two_learners_with_one_seed_are_bit_equal_with_dropout(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    results = []
    for noise in (1, 2):
        policy = make_policy()
        for layer in policy.model.model.layers:
            layer.self_attn.attention_dropout = 0.3
        torch.manual_seed(noise)  # what went before must not matter
        step(TorchLearner(policy, FAST), make_batch(policy, [1.0, 0.0], 2), seed=5)
        results.append(weights(policy))
    assert same(*results)


def test_a_half_precision_policy_learns_at_the_rates_of_rl(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path
) -> None:
    """AdamW moves float32 selves: the weights are theirs, rounded, and a checkpoint has both."""
    settings = Optimization(lr=1e-6, max_grad_norm=0.3, microbatch_tokens=40)
    policy = make_policy()
    torch.nn.Module.to(policy.model, torch.bfloat16)
    learner, batch = TorchLearner(policy, settings), make_batch(policy, [1.0, 0.0, 0.5, 0.25], 2)
    before = {name: master.detach().clone() for name, master in learner.masters.items()}
    for seed in range(3):
        step(learner, batch, seed=seed)
    moved = [(learner.masters[n] != old).float().mean().item() for n, old in before.items() if "proj" in n]
    assert min(moved) > 0.9
    assert all(w.dtype == torch.bfloat16 and torch.equal(w, learner.masters[n].bfloat16())
               for n, w in policy.model.named_parameters())  # fmt: skip
    learner.save(tmp_path)
    fresh = make_policy(seed=5)
    torch.nn.Module.to(fresh.model, torch.bfloat16)
    other = TorchLearner(fresh, settings)
    other.load(tmp_path)
    for one in (learner, other):
        step(one, batch, seed=3)
    assert all(torch.equal(master, other.masters[name]) for name, master in learner.masters.items())
    assert same(weights(policy), weights(fresh))


def test_whoever_trains_a_half_precision_policy_next_finds_its_gradients(
    make_policy: MakePolicy, make_batch: MakeBatch
) -> None:
    """A learner takes gradients over to its float32 selves while it updates, and not one moment longer."""
    policy = make_policy()
    torch.nn.Module.to(policy.model, torch.bfloat16)
    batch = make_batch(policy, [1.0, 0.0, 0.5, 0.25], 2)
    first = TorchLearner(policy, FAST)
    assert step(first, batch)["grad_norm"] > 0.0
    first.interrupt()
    with pytest.raises(UpdateBrokenOff):
        first.update(prepared(TorchLearner(policy, FAST), batch, GRPO()), GRPO(), 0)
    response_logprobs(policy.model, batch).sum().backward()
    assert all(weight.grad is not None for weight in policy.model.parameters())
    policy.model.zero_grad()
    before = weights(policy)
    assert step(TorchLearner(policy, FAST), batch)["grad_norm"] > 0.0
    assert not same(weights(policy), before)
