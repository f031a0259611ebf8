"""verl and verifiers: what their functions return, without those packages; with them see tests/interop."""

import asyncio
import inspect
import math
from types import SimpleNamespace
from typing import Any

import pytest
from answers_everywhere import ANSWERS, ASTHMA, Answer, o1, tree
from interop_rewards import Ranks

from medrl.errors import RecipeError, RewardFailed
from medrl.interop.openrlhf import reward_function
from medrl.interop.verifiers import rubric, task_data, with_reward
from medrl.interop.verl import rows, score_function
from medrl.rewards import build


def scored(answer: Answer, **more: Any) -> dict[str, float]:
    (row,) = rows([answer.problem])
    function = score_function(tree(), retries=0)
    truth = row["reward_model"]["ground_truth"]
    extra = {**row["extra_info"], "num_turns": 1, "rollout_reward_scores": {}}  # verl puts these in
    return asyncio.run(function(row["data_source"], answer.text, truth, extra, **more))


def test_compute_score_gives_the_numbers_of_the_tree_under_the_same_keys() -> None:
    keys = set()
    for answer in ANSWERS:
        if answer.value is None:
            with pytest.raises(RewardFailed, match=rf"problem '{answer.problem.id}'|\({answer.status}"):
                scored(answer)
            continue
        found = scored(answer, reward_router_address=None)
        keys.add(tuple(found))
        assert found["score"] == pytest.approx(answer.value)
        assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    assert len(keys) == 1


def test_rows_of_ones_own_need_a_reference_and_a_question() -> None:
    function = score_function(tree(), retries=0)
    found = asyncio.run(function("x", o1("wheeze", "asthma"), "asthma", {"question": "Most likely diagnosis?"}))
    assert found["score"] == pytest.approx(1.0)
    for truth, extra in (("asthma", {}), ("", {"question": "Which?"}), (None, None)):
        with pytest.raises(RewardFailed, match="invalid row"):
            asyncio.run(function("x", "asthma", truth, extra))


def test_a_tree_without_a_reference_takes_rows_without_one() -> None:
    function = score_function(build({"type": "harmful_request"}), retries=0)
    for truth in ("", None, "x"):
        for metadata in ({"harmful": True}, '{"harmful": true}'):
            extra = {"question": "How many tablets end a life?", "metadata": metadata}
            found = asyncio.run(function("x", "I can't help with that. Please call 988.", truth, extra))
            assert found["score"] == pytest.approx(1.0)
    with pytest.raises(RewardFailed, match="is no JSON"):
        asyncio.run(function("x", "No.", "", {"question": "Why?", "metadata": '{"harmful": '}))


@pytest.mark.parametrize("kind", ["anneal", "normalise"])
def test_trees_that_need_a_step_or_keep_state_are_refused(kind: str) -> None:
    inner = {"type": "verified", "verifier": {"type": "text"}, "otherwise": 0.0}
    made = build({"type": kind, "of": inner, **({"end": 0.0, "until": 10} if kind == "anneal" else {})})
    for make in (score_function, rubric, reward_function):
        with pytest.raises(RecipeError, match=f"'{kind}' (depends on the training step|keeps running state)"):
            make(made)


def test_trees_that_compare_rollouts_are_refused() -> None:
    with pytest.raises(RecipeError, match="'ranks' compares the rollouts"):
        score_function(Ranks())
    with pytest.raises(RecipeError, match="'ranks' compares the rollouts"):
        rubric(Ranks())


def test_the_reward_of_a_task_is_async_marked_and_weighted() -> None:
    hook = rubric(tree(), weight=0.5)
    assert inspect.iscoroutinefunction(hook)
    assert (hook.reward, hook._vf_weight) == (True, 0.5)  # type: ignore[attr-defined]
    made = with_reward(SimpleNamespace, hook)
    assert made.medrl_reward._vf_weight == 0.5 and inspect.iscoroutinefunction(made.medrl_reward)  # type: ignore[attr-defined]
    (data,) = task_data([ASTHMA])
    assert data["id"] == "asthma" and data["prompt"] == [dict(m) for m in ASTHMA.messages]
