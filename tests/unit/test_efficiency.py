"""FLOPs of an update against torch's own counter and published shapes; the figures that a run logs of its machines."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from medrl.algorithms import GRPO, Batch
from medrl.learners import LoRA, Optimization, TorchLearner
from medrl.learners.efficiency import matrix_parameters, measured_flops, update_flops
from medrl.models import Policy
from medrl.sizing.shapes import Shape
from medrl.trainers.efficiency import Meter

MakePolicy = Callable[..., Policy]


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


def test_flops_are_those_that_torch_counts_but_for_the_masked_half_of_attention(make_policy: MakePolicy) -> None:
    policy = make_policy(layers=3)
    policy.model.set_attn_implementation("eager")  # every operation a product that the counter sees
    length = 40
    with FlopCounterMode(display=False) as counter:
        policy.model(input_ids=torch.zeros(1, length, dtype=torch.long)).logits.sum().backward()
    ours = update_flops(policy.model, Optimization(), [length])
    assert ours is not None
    config: Any = policy.model.config
    masked = 3 * 2.0 * config.num_hidden_layers * config.hidden_size * length**2
    assert counter.get_total_flops() == pytest.approx(ours + masked, rel=0.01)


def test_they_are_the_sizing_models_flops_and_know_what_is_not_trained(make_policy: MakePolicy) -> None:
    policy = make_policy(layers=4)
    known, lengths = shape(policy), [10, 30]
    forward = known.forward_flops(40, 1000)
    assert matrix_parameters(policy.model) == known.matmul_parameters
    assert update_flops(policy.model, Optimization(), lengths) == pytest.approx(3 * forward)
    assert update_flops(policy.model, Optimization(last_layers=1), lengths) == pytest.approx(1.5 * forward)
    adapted = Optimization(lora=LoRA(rank=2))
    TorchLearner(policy, adapted)
    assert matrix_parameters(policy.model) == known.matmul_parameters, "adapters are not counted"
    assert update_flops(policy.model, adapted, lengths) == pytest.approx(2 * forward)


def test_a_meter_counts_what_was_trained_and_takes_a_peak_that_is_given(
    make_policy: MakePolicy, make_batch: Callable[..., Batch]
) -> None:
    policy, algorithm = make_policy(), GRPO(epochs=3)
    learner = TorchLearner(policy, Optimization())
    batch = make_batch(policy, [1.0, 0.0, 0.5, 0.5], 2)  # the second group teaches nothing
    batch = algorithm.advantages(batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT), {})
    lengths = batch.lengths_B[:2].tolist() * 3
    found = Meter(policy, Optimization(), peak_tflops=0.5).figures(learner, algorithm, batch, 2.0)
    flops = update_flops(policy.model, Optimization(), lengths)
    assert flops is not None
    assert found == {"time/learner/tokens_per_second": sum(lengths) / 2.0, "time/learner/mfu": flops / 2.0 / 0.5e12}
    measured = Meter(policy, Optimization())
    assert measured.figures(learner, algorithm, batch, 2.0)["time/learner/mfu"] > 0 and measured.peak is not None
    assert measured.peak > 1e8
    nothing = algorithm.advantages(batch.with_(rewards_B=torch.ones(4)), {})
    assert measured.figures(learner, algorithm, nothing, 2.0) == {}


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
