"""FLOPs of an update against torch's own counter and published shapes; the figures that a run logs of its machines."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from medrl.algorithms import GRPO, PPO, Algorithm, Batch
from medrl.learners import CriticSettings, LoRA, Optimization, TorchLearner
from medrl.learners.efficiency import Cost, Rows, StepCost, cost_of, measured_flops, step_cost
from medrl.models import Policy
from medrl.sizing.shapes import Shape
from medrl.trainers.efficiency import Meter, rows_of

MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]


def shape(policy: Policy) -> Shape:
    config: Any = policy.model.config
    return Shape(
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.intermediate_size,
        config.vocab_size,
        head_dim=config.hidden_size // config.num_attention_heads,
    )


def addmm_(_: Any, left: Any, right: Any, *__: Any, **___: Any) -> int:
    """FLOPs of a product that is added in place, which torch's counter does not know."""
    return int(2 * left[0] * left[1] * right[1])


def counted(learner: TorchLearner, batch: Batch, algorithm: Algorithm) -> tuple[float, float]:
    """What torch counts in the learner's forward passes, and in its update."""
    known = {torch.ops.aten.addmm_: addmm_}
    with FlopCounterMode(display=False, custom_mapping=known) as forward:
        batch = learner.forward(batch, algorithm.needs)
    batch = algorithm.advantages(batch, {})
    with FlopCounterMode(display=False, custom_mapping=known) as update:
        learner.update(batch, algorithm, 0)
    return forward.get_total_flops(), update.get_total_flops()


PASSES = {"old_logprobs", "ref_logprobs", "values"}


@pytest.mark.parametrize(
    ("algorithm", "optimization", "alone"),
    [
        (GRPO(kl_coef=0.1), Optimization(), 0.0),
        (GRPO(kl_coef=0.1), Optimization(last_layers=1), 0.0),
        (GRPO(), Optimization(lora=LoRA(rank=1)), 0.0),
        (PPO(), Optimization(critic=CriticSettings()), 0.0),
        (PPO(), Optimization(critic=CriticSettings(trunk="shared")), 0.0),
        (PPO(epochs=2), Optimization(critic=CriticSettings(alone_updates=1)), 0.5),
        (PPO(), Optimization(critic=CriticSettings(trunk="shared", alone_updates=1)), 1.0),
    ],
    ids=["grpo", "last layers", "lora", "own critic", "shared", "own, alone at first", "shared, alone"],
)
def test_flops_are_those_that_torch_counts_in_the_learner(
    make_policy: MakePolicy, make_batch: MakeBatch, algorithm: Algorithm, optimization: Optimization, alone: float
) -> None:
    """But for the half of attention that the mask takes away, which the counter sees done; and that adapters cost a little,
    and need no gradient of what their first layer is given.
    """
    lora = optimization.lora is not None
    policy = make_policy(layers=6 if lora else 2, hidden_size=64 if lora else 32, intermediate_size=128)
    policy.model.set_attn_implementation("eager")  # every operation a product that the counter sees
    batch = make_batch(policy, [1.0, 0.0], 2, longest=20)
    learner = TorchLearner(policy, replace(optimization, microbatch_tokens=1), reference=True)  # no padding
    cost = step_cost(policy.model, optimization.critic)
    assert cost is not None
    rows, near = rows_of(batch, torch.ones(2).bool()), 0.05 if lora else 0.02
    seen = replace(rows, squared=2.0 * rows.squared)
    forward, update = counted(learner, batch, algorithm)
    assert forward == pytest.approx(cost.forward(seen, algorithm.needs), rel=near)
    assert update == pytest.approx(algorithm.epochs * cost.update(seen, optimization, alone), rel=near)


def test_they_are_these_by_hand(make_policy: MakePolicy) -> None:
    policy = make_policy(layers=3)
    # q and o 32 x 32, k and v 32 x 16, three matrices 32 x 64; a tied head of 320 tokens, looked up and multiplied with
    body = 3 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    vocabulary = len(policy.model.get_input_embeddings().weight)  # type: ignore[arg-type]
    policy_cost, critic_cost = Cost(body, vocabulary * 32, 3, 32), Cost(body, 32, 3, 32)
    assert cost_of(policy.model) == policy_cost
    own, shared = (step_cost(policy.model, CriticSettings(trunk=trunk)) for trunk in ("own", "shared"))  # type: ignore[arg-type]
    assert own is not None and shared is not None
    assert own == StepCost(policy_cost, critic_cost) and shared == StepCost(policy_cost, Cost(0, 32, 0, 0))
    rows = Rows(tokens=10 + 30, trained=4 + 25, squared=100 + 900)  # two sequences
    blocks, head, value_head = 2 * body * 40 + 2 * 3 * 32 * 1000, 2 * vocabulary * 32 * 29, 2 * 32 * 29
    assert own.forward(rows, {"old_logprobs"}) == blocks + head
    assert own.forward(rows, {"values"}) == shared.forward(rows, {"values"}) == blocks + value_head
    assert own.forward(rows, PASSES) == 2 * (blocks + head) + blocks + value_head
    assert own.update(rows, Optimization()) == 3 * (blocks + head) + 3 * (blocks + value_head)
    assert shared.update(rows, Optimization()) == 3 * (blocks + head) + 3 * value_head
    assert own.update(rows, Optimization(), alone=1.0) == blocks + head + 3 * (blocks + value_head)
    assert shared.update(rows, Optimization(), alone=1.0) == blocks + head + 3 * value_head


def test_a_model_costs_what_the_sizing_model_says(make_policy: MakePolicy) -> None:
    policy = make_policy(layers=4)
    known, cost = shape(policy), cost_of(policy.model)
    assert cost is not None and cost.body + cost.head == known.matmul_parameters
    everywhere = Rows(40, 40, 1000)
    assert cost.forward(everywhere) == pytest.approx(known.forward_flops(40, 1000))
    TorchLearner(policy, Optimization(lora=LoRA(rank=2)))
    assert cost_of(policy.model) == cost, "adapters are not counted"


def test_a_critic_of_another_model_costs_what_that_model_does(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy, smaller = make_policy(), make_policy(layers=1, hidden_size=16)
    smaller.save(tmp_path)
    cost, alone = step_cost(policy.model, CriticSettings(path=str(tmp_path))), cost_of(smaller.model)
    assert cost is not None and alone is not None
    assert cost.critic == replace(alone, head=16)
    assert step_cost(policy.model, CriticSettings(path=str(tmp_path / "nowhere"))) is None


def test_a_meter_counts_what_was_done_and_takes_a_peak_that_is_given(
    make_policy: MakePolicy, make_batch: MakeBatch
) -> None:
    policy, algorithm = make_policy(), GRPO(epochs=3)
    learner = TorchLearner(policy, Optimization())
    batch = make_batch(policy, [1.0, 0.0, 0.5, 0.5], 2)  # the second group teaches nothing
    batch = algorithm.advantages(batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT), {})
    taught, everywhere = rows_of(batch, torch.tensor([1, 1, 0, 0]).bool()), rows_of(batch, torch.ones(4).bool())
    assert taught.tokens == batch.lengths_B[:2].sum() and taught.trained == batch.loss_mask_BT[:2].sum()
    cost = step_cost(policy.model, None)
    assert cost is not None
    update = 3 * cost.update(taught, Optimization())
    given, tokens = Meter(policy, Optimization(), peak_tflops=0.5), 3 * taught.tokens / 2.0
    assert given.figures(learner, algorithm, batch, set(), {}, 2.0) == {
        "time/learner/tokens_per_second": tokens,
        "time/learner/mfu": update / 2.0 / 0.5e12,
    }
    passed = given.figures(learner, algorithm, batch, {"old_logprobs"}, {}, 2.0)["time/learner/mfu"]
    assert passed == pytest.approx((update + cost.policy.forward(everywhere)) / 2.0 / 0.5e12)
    measured = Meter(policy, Optimization())
    assert measured.figures(learner, algorithm, batch, set(), {}, 2.0)["time/learner/mfu"] > 0
    assert measured.peak is not None and measured.peak > 1e8
    nothing = algorithm.advantages(batch.with_(rewards_B=torch.ones(4)), {})
    assert measured.figures(learner, algorithm, nothing, set(), {}, 2.0) == {}


@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_a_meter_counts_the_critic(make_policy: MakePolicy, make_batch: MakeBatch, trunk: Any) -> None:
    policy, algorithm = make_policy(), PPO()
    optimization = Optimization(critic=CriticSettings(trunk=trunk, alone_updates=1))
    learner = TorchLearner(policy, optimization, reference=True)
    cost = step_cost(policy.model, optimization.critic)
    assert cost is not None
    for alone in (1.0, 0.0):
        batch = learner.forward(make_batch(policy, [1.0, 0.0, 0.5, 0.5], 2), algorithm.needs)
        rows = rows_of(batch, batch.loss_mask_BT.any(-1))
        batch = algorithm.advantages(batch, {})
        learned = learner.update(batch, algorithm, 0)
        assert learned["critic_alone"] == alone
        found = Meter(policy, optimization, 1.0).figures(learner, algorithm, batch, algorithm.needs, learned, 1.0)
        flops = cost.forward(rows, algorithm.needs) + cost.update(rows, optimization, alone)
        apart = 1.0 - learned["time/learner/shared_tokens"]
        assert apart < 1.0, "each prompt goes through once"
        assert found["time/learner/mfu"] == pytest.approx(apart * flops / 1e12)


def test_a_measured_peak_is_above_what_a_slower_product_reaches() -> None:
    """A product with a vector is bound by memory: the square one must be faster per operation."""
    matrix, vector = torch.rand(2048, 2048), torch.rand(2048, 1)
    for _ in range(5):  # what else runs on the machine may slow one of the two
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            matrix @ vector
            seconds.append(time.perf_counter() - began)
        if measured_flops(torch.device("cpu"), torch.float32) > 2.0 * 2048**2 / min(seconds):
            return
    pytest.fail("a product of matrices seems slower than one with a vector, five times in a row")
