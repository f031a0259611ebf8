"""The reward function for TRL: called as TRL calls it, and in TRL's own GRPOTrainer on the CPU."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from answers_everywhere import ANSWERS, ASTHMA, GOUT, tree
from interop_rewards import Ranks

from medrl.errors import DataError, RecipeError, RewardFailed
from medrl.interop.trl import RewardFunction, check_trainer, reward_function, rows
from medrl.models import Policy
from medrl.rewards import Format, build
from medrl.types import Problem, Response, ask


def call(function: RewardFunction, **more: Any) -> list[float | None]:
    problems = rows([answer.problem for answer in ANSWERS])
    arguments: dict[str, Any] = {
        "prompts": [row["prompt"] for row in problems],
        "completions": [[{"role": "assistant", "content": answer.text}] for answer in ANSWERS],
        "problem": [row["problem"] for row in problems],
    }
    return asyncio.run(function(**{**arguments, **more}))


def test_numbers_are_those_of_the_tree_in_order() -> None:
    assert call(reward_function(tree())) == [pytest.approx(answer.value) for answer in ANSWERS]


def test_it_pickles_for_trainers_that_call_it_in_a_process_of_its_own() -> None:
    function = pickle.loads(pickle.dumps(reward_function(tree(), retries=1)))
    assert call(replace(function, retries=0)) == [pytest.approx(answer.value) for answer in ANSWERS]
    assert function.__name__ == "total" and function.retries == 1


def test_standard_prompts_and_plain_columns() -> None:
    values = asyncio.run(
        reward_function(tree())(
            prompts=["Most likely diagnosis?", "最可能的诊断？"],
            completions=["## Thinking\n\nwheeze\n\n## Final Response\n\nasthma", "肺炎"],
            reference=["asthma", "痛风"],
        )
    )
    assert values == [pytest.approx(1.0), pytest.approx(0.1)]


def test_parts_are_logged_over_those_that_have_numbers() -> None:
    columns: dict[str, list[Any]] = {}
    metrics: dict[str, float] = {}
    call(reward_function(tree()), log_extra=columns.__setitem__, log_metric=metrics.__setitem__)
    values = [answer.value for answer in ANSWERS if answer.value is not None]
    assert metrics["total/mood"] == 1.0  # three failed, and are in no mean
    assert metrics["total/status/ok"] == pytest.approx(len(values) / len(ANSWERS))
    assert metrics["total/status/error"] == pytest.approx(2 / len(ANSWERS))
    assert metrics["total/status/abstain"] == pytest.approx(1 / len(ANSWERS))
    assert set(columns) == {"total_status", "total_answer", "total_reason", "total_parts"}
    assert all(len(column) == len(ANSWERS) for column in columns.values())
    assert columns["total_status"] == [answer.status for answer in ANSWERS]
    assert columns["total_answer"][2] == "pneumonia"
    assert "the judge is down" in columns["total_reason"][-1]
    parts = dict.fromkeys(("total", "correct", "format", "mood"), 1.0)
    assert json.loads(columns["total_parts"][0]) == pytest.approx(parts)


def test_a_think_format_reads_reasoning_that_a_parser_split_off() -> None:
    function = reward_function(build({"type": "format", "preset": "think"}))
    message = {"role": "assistant", "content": "asthma", "reasoning_content": "She wheezes."}
    asked = {"prompts": ["?"] * 2, "problem": [row["problem"] for row in rows([ASTHMA, ASTHMA])]}
    completions = [[message], [{**message, "reasoning_content": ""}]]
    assert asyncio.run(function(completions=completions, **asked)) == [1.0, 0.0]


def test_a_tree_that_verifies_nothing_takes_rows_without_a_reference() -> None:
    function = reward_function(build("truncation"))
    asked: dict[str, Any] = {"prompts": ["Why rest?", "为什么？"], "completions": ["To heal.", "愈合。"]}
    assert asyncio.run(function(**asked)) == [1.0, 1.0]
    assert asyncio.run(function(**asked, reference=["", None])) == [1.0, 1.0]
    open_questions = [Problem("a", ask("Why rest?")), Problem("b", ask("为什么？"))]
    assert asyncio.run(function(**asked, problem=[row["problem"] for row in rows(open_questions)])) == [1.0, 1.0]
    check_trainer(trainer(reward_funcs=[function], train_dataset=SimpleNamespace(column_names=["prompt"])))
    verified = reward_function(tree())
    assert asyncio.run(verified(**asked, reference=["", "愈合"]))[0] is None


def test_a_broken_row_is_invalid_and_hurts_no_neighbour() -> None:
    function, columns = reward_function(tree()), {}
    problems = [row["problem"] for row in rows([answer.problem for answer in ANSWERS])]
    values = call(function, problem=["{", *problems[1:]], log_extra=columns.__setitem__)
    assert values[0] is None and values[1:] == [pytest.approx(answer.value) for answer in ANSWERS[1:]]
    assert columns["total_status"][0] == "invalid"
    with pytest.raises(DataError, match="neither a column 'problem' nor 'reference'"):
        asyncio.run(function(prompts=["?"], completions=["asthma"], answer=["asthma"]))


def test_the_run_stops_when_too_many_have_no_number() -> None:
    failing = [answer for answer in ANSWERS if answer.value is None]
    problems = rows([answer.problem for answer in failing])
    arguments: dict[str, Any] = {
        "prompts": [row["prompt"] for row in problems],
        "completions": [answer.text for answer in failing],
        "problem": [row["problem"] for row in problems],
    }
    with pytest.raises(RewardFailed, match="3 of 3 rollouts have no score"):
        asyncio.run(reward_function(tree())(**arguments))
    assert asyncio.run(reward_function(tree(), max_unscored=1.0)(**arguments)) == [None] * 3


def test_a_cut_response_is_known_by_its_tokens(make_policy: Callable[..., Policy]) -> None:
    tokenizer = make_policy().tokenizer
    function = reward_function(tree(), tokenizer=tokenizer)
    ids = tokenizer("fever cough")["input_ids"]
    assert function._response("parsed", ids) == Response("fever cough", finish_reason="length", token_count=len(ids))
    ended = function._response("parsed", [*ids, tokenizer.eos_token_id])
    assert ended == Response("fever cough", token_count=len(ids) + 1)
    other = next(one for one in tokenizer.all_special_ids if one != tokenizer.eos_token_id)
    assert function._response("parsed", [*ids, other]) == ended  # models have several ending tokens
    assert reward_function(tree())._response("parsed", ids) == Response("parsed")


def ranked(count: int, **knobs: Any) -> list[float | None]:
    problems = [ASTHMA] * 3 + [GOUT] * (count - 3)
    texts = ["a", "bbb", "cc", "dddd", "e", "ff", "g", "hh", "i"][:count]
    columns = [row["problem"] for row in rows(problems)]
    return asyncio.run(reward_function(Ranks(), **knobs)(prompts=["?"] * count, completions=texts, problem=columns))


def test_the_step_reaches_the_tree_and_state_is_learned_from_each_batch() -> None:
    inner = {"type": "verified", "verifier": {"type": "text"}, "otherwise": 0.0}
    batch = {"prompts": ["Which?"] * 4, "completions": ["gout", "gout", "flu", "flu"], "reference": ["gout"] * 4}
    fading = reward_function(build({"type": "anneal", "of": inner, "end": 0.0, "until": 10}))
    for step, value in ((0, 1.0), (5, 0.5), (10, 0.0)):
        found = asyncio.run(fading(**batch, trainer_state=SimpleNamespace(global_step=step)))
        assert found == [pytest.approx(value)] * 2 + [0.0] * 2
    with pytest.raises(DataError, match="'anneal' depends on the training step"):
        asyncio.run(fading(**batch))
    scaled = reward_function(build({"type": "normalise", "of": inner}))
    first = asyncio.run(scaled(**batch))
    assert first == [1.0, 1.0, 0.0, 0.0] and scaled.state["normalise"]["count"] == 4
    assert asyncio.run(scaled(**batch)) == [1.0, 1.0, -1.0, -1.0]  # (x - 0.5) / 0.5
    assert scaled.state["normalise"]["count"] == 8


def test_nodes_that_compare_get_whole_groups_or_an_error() -> None:
    assert ranked(6, group_size=3) == [0.0, 2.0, 1.0, 2.0, 0.0, 1.0]
    assert ranked(9, group_size=3) == [0.0, 2.0, 1.0, 2.0, 0.0, 1.0, 0.0, 2.0, 0.0]  # one problem twice: two groups
    with pytest.raises(RewardFailed, match="2 of problem '痛风' came: groups straddle"):
        ranked(5, group_size=3)
    with pytest.raises(RecipeError, match="set group_size=num_generations"):
        reward_function(Ranks())


def trainer(**more: Any) -> Any:
    args = SimpleNamespace(per_device_train_batch_size=4, steps_per_generation=1, remove_unused_columns=False)
    dataset = SimpleNamespace(column_names=["prompt", "problem"])
    function = reward_function(tree())
    return SimpleNamespace(
        **{"reward_funcs": [function], "args": args, "train_dataset": dataset, "num_generations": 4, **more}
    )


def other_reward(**_: Any) -> list[float]:
    return []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"reward_funcs": [other_reward]}, "none of its reward_funcs is medrl's"),
        ({"reward_funcs": [reward_function(Format()), other_reward]}, "would add 0"),
        ({"reward_weights": torch.tensor([0.0])}, "weight of 0 or less"),
        ({"train_dataset": SimpleNamespace(column_names=["prompt", "answer"])}, "neither a column"),
        ({"reward_funcs": [reward_function(Ranks(), group_size=8)]}, "group_size is 8 and num_generations 4"),
        ({"reward_funcs": [reward_function(Ranks(), group_size=4)], "num_generations": 3}, "no whole groups of 3"),
    ],
)  # fmt: skip
def test_check_trainer_finds(more: dict[str, Any], message: str) -> None:
    check_trainer(trainer())
    with pytest.raises(RecipeError, match=message):
        check_trainer(trainer(**more))


def test_check_trainer_finds_dropped_columns() -> None:
    args = SimpleNamespace(per_device_train_batch_size=4, steps_per_generation=1, remove_unused_columns=True)
    with pytest.raises(RecipeError, match="remove_unused_columns is on"):
        check_trainer(trainer(args=args))


@pytest.mark.slow
def test_trls_trainer_trains_with_it_and_logs_its_parts(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    """Two steps of TRL's GRPOTrainer; the tree gives the first response of each group no number."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    policy = make_policy()
    reward = build({"type": "weighted_sum", "name": "total", "weights": [1.0, 0.5], "parts": [
        {"type": "interop_rewards:letters"}, {"type": "interop_rewards:sometimes"}]})  # fmt: skip
    function = reward_function(reward, tokenizer=policy.tokenizer)
    config = GRPOConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=8, max_steps=2,
        num_generations=4, max_completion_length=8, disable_tqdm=True, gradient_checkpointing=False, seed=0,
        learning_rate=1e-2, logging_steps=1, beta=0.0, save_strategy="no", log_completions=True,
    )  # fmt: skip
    problems = [Problem(f"p{i}", ask(text), "gout") for i, text in enumerate(("fever", "which colour is it?"))]
    trl = GRPOTrainer(
        model=policy.model, reward_funcs=function, args=config, processing_class=policy.tokenizer,
        train_dataset=Dataset.from_list(rows(problems)),
    )  # fmt: skip
    check_trainer(trl)
    before = [weight.detach().clone() for weight in policy.model.parameters()]
    batches: list[dict[str, Any]] = []
    generate = trl._generate_and_score_completions

    def keep(inputs: Any) -> Any:
        batches.append(generate(inputs))
        return batches[-1]

    trl._generate_and_score_completions = keep
    trl.train()
    assert any(not torch.equal(old, new) for old, new in zip(before, policy.model.parameters(), strict=True))
    logged = [row for row in trl.state.log_history if "rewards/total/mean" in row]
    assert len(logged) == 2
    for row in logged:
        assert row["total/status/abstain"] == 0.25 and row["total/status/ok"] == 0.75
        assert 0.0 <= row["total/letters"] <= 1.0 and row["total/sometimes"] == 1.0
        assert row["rewards/total/mean"] == pytest.approx(row["reward"])
    table = trl._logs["extra"]
    assert list(table["total_status"])[:4] == ["abstain", "ok", "ok", "ok"]
    assert all(json.loads(parts)["sometimes"] in (None, 1.0) for parts in table["total_parts"])
    # TRL shuffles a generation batch after scoring, so its log keeps the order: the first of each group has no number.
    advantages = torch.tensor(list(trl._logs["advantages"])).view(-1, 4)
    values = torch.tensor(list(trl._logs["rewards"]["total"])).view(-1, 4)
    assert values[:, 0].isnan().all() and not values[:, 1:].isnan().any()
    assert (advantages[:, 0] == 0.0).all() and advantages[:, 1:].abs().max() > 0.5
    assert torch.allclose(advantages[:, 1:].sum(-1), torch.zeros(len(advantages)), atol=1e-5)  # over three, not four
    assert sorted(table) == ["total_answer", "total_parts", "total_reason", "total_status"]
    assert list(tmp_path.glob("completions/*.parquet"))


TWO_PROCESSES = """
import json, sys
from pathlib import Path
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from medrl.interop.trl import check_trainer, reward_function, rows
from medrl.models import ModelShape, Policy
from medrl.rewards import build
from medrl.types import Problem, ask

folder = Path(sys.argv[1])
texts = ("fever", "which colour is it?")
shape = ModelShape(vocab_size=300, hidden_size=32, layers=2, heads=2, key_value_heads=1, intermediate_size=64, context=64)
policy = Policy.new(texts, shape, 0)
parts = [{"type": "interop_rewards:letters"}, {"type": "interop_rewards:sometimes"}]
tree = build({"type": "weighted_sum", "name": "total", "weights": [1.0, 0.5], "parts": parts})
config = GRPOConfig(
    output_dir=str(folder / "out"), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=3, max_steps=1,
    num_generations=6, max_completion_length=8, disable_tqdm=True, gradient_checkpointing=False, seed=0,
    logging_steps=1, beta=0.0, save_strategy="no",
)
data = Dataset.from_list(rows([Problem(f"p{i}", ask(text), "gout") for i, text in enumerate(texts)]))
trainer = GRPOTrainer(model=policy.model, reward_funcs=reward_function(tree), args=config,
                      processing_class=policy.tokenizer, train_dataset=data)
check_trainer(trainer)
trainer.train()
if trainer.accelerator.is_main_process:
    found = {"advantages": list(trainer._logs["advantages"]), "status": list(trainer._logs["extra"]["total_status"]),
             "metrics": trainer.state.log_history[0]}
    (folder / "found.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_a_group_over_two_processes_is_one_group(tmp_path: Path) -> None:
    """Six responses to one problem, three in each process, the first of each without a number."""
    tests = Path(__file__).resolve().parents[1]
    (tmp_path / "two.py").write_text(TWO_PROCESSES, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "two.py",
        str(tmp_path),
    ]
    paths = os.pathsep.join([str(tests.parent), str(tests)])
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["status"] == ["abstain", "ok", "ok"] * 2
    advantages = found["advantages"]
    assert advantages[0] == advantages[3] == 0.0 and max(map(abs, advantages)) > 0.5
    assert sum(advantages) == pytest.approx(0.0, abs=1e-5)  # one baseline over the four of both processes
    assert found["metrics"]["total/status/abstain"] == pytest.approx(1 / 3)
