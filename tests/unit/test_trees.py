"""Rows that share a prompt and pass through the model as a tree are trained as rows apart are."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    DogeConfig,
    DogeForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from medrl.algorithms import PPO, Batch
from medrl.learners import LoRA, Optimization, TorchLearner, response_logprobs
from medrl.learners.base import CriticSettings
from medrl.learners.logprobs import response_outputs
from medrl.learners.microbatches import bundles, deal, microbatches, minibatches, shared_tokens
from medrl.learners.trees import can_share, planted
from medrl.models import Policy

MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]
REWARDS = [1.0, 3.0, 2.0, None, 0.0, 0.5, 0.25, 1.0, 0.0, 1.0, 1.0, 1.0]
WIDTH = 32


def rows_of(prompt: int, response: int, groups: int = 4, size: int = 8) -> Batch:
    """Groups whose prompts and responses have about these lengths."""
    draw = random.Random(0)
    prompts = [[draw.randrange(5, 300) for _ in range(prompt + group % 3)] for group in range(groups)]
    rows = [
        prompts[row // size] + [draw.randrange(5, 300) for _ in range(draw.randrange(1, 2 * response))]
        for row in range(groups * size)
    ]
    lengths, starts = (
        torch.tensor([len(row) for row in rows]),
        torch.tensor([len(prompts[r // size]) for r in range(len(rows))]),
    )
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = torch.tensor(ids)
    place = torch.arange(tokens.shape[1])
    mask = (place >= starts[:, None]) & (place < lengths[:, None])
    return Batch(
        tokens, lengths, starts, mask, torch.zeros(len(rows)), group_size=size, max_response_tokens=2 * response
    )


def plant(batch: Batch, width: int, token_budget: int, ranks: int = 1) -> Batch:
    """The batch with all rows that are trained on in trees, where that pays."""
    return planted(batch, batch.loss_mask_BT.any(-1).nonzero()[:, 0].tolist(), width, token_budget, ranks)


def test_log_probabilities_and_entropy_are_those_of_rows_apart(make_policy: MakePolicy) -> None:
    model, batch = make_policy().model, rows_of(30, 10)
    written = torch.rand(batch.loss_mask_BT.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    batch = batch.with_(loss_mask_BT=batch.loss_mask_BT & written)  # as where a patient speaks in between
    trees = plant(batch, WIDTH, 10_000)
    assert trees.tree_B is not None and int(trees.tree_B.max()) < 8
    shuffled = random.Random(0).sample(range(len(batch)), len(batch))
    for some in (list(range(len(batch))), shuffled, [3, 9, 10], [17]):
        apart = response_outputs(model, batch.rows(some), entropy=True)
        shared = response_outputs(model, trees.rows(some), entropy=True)
        assert torch.allclose(shared.logprobs_BT, apart.logprobs_BT, atol=1e-5)
        assert apart.entropy_BT is not None and shared.entropy_BT is not None
        assert torch.allclose(shared.entropy_BT, apart.entropy_BT, atol=1e-5)


@pytest.mark.parametrize(
    "knobs",
    [{}, {"gradient_checkpointing": True}, {"last_layers": 1}, {"lora": LoRA(rank=4)}, {"microbatch_tokens": 60},
     {"critic": CriticSettings(trunk="own")}, {"critic": CriticSettings(trunk="shared")}],
    ids=lambda knobs: "-".join(knobs) or "plain",
)  # fmt: skip
def test_an_update_is_that_of_rows_apart(make_policy: MakePolicy, make_batch: MakeBatch, knobs: dict[str, Any]) -> None:
    algorithm, found = PPO(kl_coef=0.1, kl_in="loss", entropy_coef=0.05), []
    for share in ("auto", "off"):
        optimization = Optimization(lr=1e-3, share_prompts=share, **knobs).for_algorithm(algorithm)  # type: ignore[arg-type]
        torch.manual_seed(0)
        learner = TorchLearner(make_policy(), optimization, reference=True)
        batch = learner.forward(make_batch(learner.policy, REWARDS, 4), algorithm.needs)
        metrics = learner.update(algorithm.advantages(batch, {}), algorithm, 0)
        assert (metrics["time/learner/shared_tokens"] > 0.1) == (share == "auto")
        found.append((batch, metrics, {name: p.grad for name, p in learner.model.named_parameters()}, moments(learner)))
    (shared, told, _, moved), (apart, expected, _, wanted) = found
    for field in ("old_logprobs_BT", "ref_logprobs_BT", "values_BT"):
        assert torch.allclose(getattr(shared, field), getattr(apart, field), atol=1e-5), field
    told, expected = ({k: v for k, v in one.items() if not k.startswith("time/")} for one in (told, expected))
    assert told == pytest.approx(expected, abs=1e-5)
    assert moved.keys() == wanted.keys() and moved
    assert all(torch.allclose(moved[name], wanted[name], rtol=1e-3, atol=1e-6) for name in wanted)


def moments(learner: TorchLearner) -> dict[int, Tensor]:
    """The first moments, a tenth of the first gradient: weights after AdamW's first step say only its sign."""
    return {index: state["exp_avg"] for index, state in learner.optimizer.state_dict()["state"].items()}


def test_trees_are_planted_where_they_are_cheaper() -> None:
    assert plant(rows_of(60, 20), WIDTH, 10_000).tree_B is not None
    assert plant(rows_of(3, 100), WIDTH, 10_000).tree_B is None, "there is nothing to share"
    assert plant(rows_of(60, 20, groups=8, size=1), WIDTH, 10_000).tree_B is None
    assert plant(replace(rows_of(60, 20), images=((),) * 32), WIDTH, 10_000).tree_B is None
    # Of long responses few go into one tree, for each slot is attended to; in a wide model attention matters less.
    small, wide = (plant(rows_of(200, 100), width, 10_000).tree_B for width in (WIDTH, 50 * WIDTH))
    assert small is not None and wide is not None and int(small.max()) > int(wide.max()) == 3
    bounded = plant(rows_of(60, 20), WIDTH, 120)
    assert bounded.tree_B is not None and int(bounded.tree_B.max()) > 3


def test_rows_of_another_prompt_or_without_a_score_stay_out() -> None:
    batch = rows_of(60, 20, groups=1)
    batch.tokens_BT[2, 5] = 4
    batch.loss_mask_BT[4] = False
    found = plant(batch, WIDTH, 10_000).tree_B
    assert found is not None and found[4] == -1
    assert (found == found[2]).sum() == 1 and (found == found[0]).sum() >= 3
    assert plant(batch.with_(loss_mask_BT=torch.zeros_like(batch.loss_mask_BT)), WIDTH, 10_000).tree_B is None


def test_tokens_that_are_shared_are_counted() -> None:
    batch = plant(rows_of(60, 20), 50 * WIDTH, 10_000)
    assert batch.tree_B is not None
    rows = list(range(32))
    written = int((batch.lengths_B - batch.prompt_lengths_B).sum())
    passing = written + int(batch.prompt_lengths_B[::8].sum())  # each group is one tree
    assert shared_tokens(batch, rows) == pytest.approx(1 - passing / int(batch.lengths_B.sum()))
    assert shared_tokens(batch, rows) > 0.5
    assert shared_tokens(batch.with_(tree_B=None), rows) == 0.0


def test_no_tree_is_larger_than_the_budget_but_a_single_row() -> None:
    for width, budget in ((50 * WIDTH, 150), (50 * WIDTH, 400), (WIDTH, 10_000)):
        batch = plant(rows_of(60, 25), width, budget)
        assert batch.tree_B is not None
        for bundle in bundles(batch, list(range(32))):
            assert bundle.tokens <= budget or len(bundle.rows) == 1
            size = int(batch.prompt_lengths_B[bundle.rows[0]])
            assert bundle.tokens - size <= (size * (6 * width + size)) ** 0.5 or len(bundle.rows) == 1


def test_a_row_that_is_in_no_tree_does_not_pass_in_silence() -> None:
    batch = planted(rows_of(60, 20), list(range(16)), WIDTH, 10_000)
    with pytest.raises(ValueError, match="row 20 is in no tree"):
        bundles(batch, [1, 20])


def test_ranks_stay_busy_in_small_minibatches() -> None:
    """One group in each of 8 minibatches, for two ranks: each has trees to compute."""
    batch = rows_of(300, 20, groups=8)

    def busiest(one: Batch) -> int:
        shares = deal(bundles(one, list(range(8))), 10_000, 2)
        loads = [sum(b.tokens for micro in share for b in bundles(one, micro)) for share in shares]
        assert max(loads) <= 1.5 * min(loads), "one rank waits for the other"
        return max(loads)

    parts = [batch.rows(rows) for rows in minibatches(batch, 8, 0)]
    apart, shared = sum(map(busiest, parts)), sum(busiest(plant(one, 50 * WIDTH, 10_000, ranks=2)) for one in parts)
    assert shared < 0.6 * apart


def test_trees_keep_the_busiest_rank_no_busier() -> None:
    """Six rows of a group make three trees of two for two ranks, of which one computes two."""
    seen = set()
    for size in (2, 3, 5, 6, 8):
        for ranks in (1, 2, 3, 4):
            batch = rows_of(100, 100, groups=1, size=size)
            trees = plant(batch, 50 * WIDTH, 10_000, ranks=ranks)
            apart, together = (
                max(sum(b.tokens for micro in share for b in bundles(one, micro)) for share in shares)
                for one in (batch, trees)
                for shares in [deal(bundles(one, list(range(size))), 10_000, ranks)]
            )
            assert together <= apart, (size, ranks)
            seen.add(together < apart)
    assert seen == {True, False}


def test_a_tree_that_is_torn_for_balance_gives_the_same_numbers(make_policy: MakePolicy) -> None:
    model, batch = make_policy().model, plant(rows_of(30, 10, groups=1), WIDTH, 10_000)
    assert batch.tree_B is not None
    shares = deal(bundles(batch, list(range(8))), 10_000, 5)
    assert {len(share) for share in shares} == {1}
    apart = response_logprobs(model, batch.with_(tree_B=None))
    for rows in (share[0] for share in shares if share[0]):
        found = response_logprobs(model, batch.rows(rows))
        assert torch.allclose(found, apart[rows, : found.shape[1]], atol=1e-5)


@pytest.mark.parametrize("ranks", [2, 3])
def test_trees_are_dealt_whole_and_in_balance(ranks: int) -> None:
    batch = plant(rows_of(60, 20, groups=6), 50 * WIDTH, 2000, ranks)
    assert batch.tree_B is not None
    rows = list(range(len(batch)))
    shares = deal(bundles(batch, rows), 2000, ranks)
    assert sorted(row for share in shares for micro in share for row in micro) == rows
    loads = [sum(b.tokens for micro in share for b in bundles(batch, micro)) for share in shares]
    assert max(loads) <= 1.25 * min(loads)
    for micro in microbatches(bundles(batch, rows), 400):
        trees = set(batch.tree_B[micro].tolist())
        assert all(row in micro for row in rows if int(batch.tree_B[row]) in trees), "no tree is torn apart"
        assert len(trees) == 1 or len(trees) * max(b.tokens for b in bundles(batch, micro)) <= 400


def test_models_whose_tokens_see_by_other_rules_share_nothing(make_policy: MakePolicy) -> None:
    assert can_share(make_policy().model)
    small = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    assert can_share(LlamaForCausalLM(LlamaConfig(**small)))
    assert not can_share(MistralForCausalLM(MistralConfig(**small, num_key_value_heads=2, sliding_window=8)))
    assert not can_share(GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2)))
    assert not can_share(LlamaForCausalLM(LlamaConfig(**small, attention_dropout=0.1)))
    falcon = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    assert not can_share(FalconForCausalLM(FalconConfig(**falcon, alibi=True)))
    assert not can_share(DogeForCausalLM(DogeConfig(**small, keep_window_size=8)))
    eager = make_policy().model
    eager.set_attn_implementation("eager")
    assert not can_share(eager)
    assert not TorchLearner(make_policy(), Optimization(packing="on")).share
    assert not TorchLearner(make_policy(), Optimization(lora=LoRA(rank=4, dropout=0.1))).share


def test_a_window_would_be_seen_through_a_tree(make_policy: MakePolicy) -> None:
    """Why `can_share` refuses windows: the mask of a tree would replace them."""
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, sliding_window=4,
        )
    ).eval()  # fmt: skip
    batch = rows_of(30, 10)
    with torch.no_grad():
        shared, apart = (response_logprobs(model, one) for one in (plant(batch, WIDTH, 10_000), batch))
    assert not torch.allclose(shared, apart, atol=1e-3)
