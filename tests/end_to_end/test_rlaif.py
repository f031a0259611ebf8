"""The RLAIF loop, whole and small: feedback, SFT, reward model, GRPO, and a judge that trains nothing."""

import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medrl.data.clinic import oracle
from medrl.data.clinic.consultations import generate_consultations
from medrl.data.feedback import load_feedback
from medrl.recipes import load_recipe
from medrl.recipes.reward_model import load_reward_recipe

SMALL = {
    "--sft": [
        "policy.new.hidden_size=64",
        "policy.new.layers=2",
        "policy.new.intermediate_size=128",
        "sft.epochs=0.15",
    ],
    "--reward-model": ["pairs.limit=96"],
    "--policy": [
        "trainer.steps=2",
        "trainer.problems_per_step=2",
        "trainer.rollouts_per_problem=3",
        "sampling.max_tokens=32",
    ],
}


@pytest.fixture
def data(repository: Path) -> Any:
    """benchmarks/rlaif_data.py, loaded anew, so that a test may make its numbers small."""
    spec = importlib.util.spec_from_file_location("rlaif_data", repository / "benchmarks" / "rlaif_data.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.PROBLEMS, module.DEMONSTRATIONS, module.QUESTIONS, module.REFERENCE = 60, 60, 60, 20  # type: ignore[attr-defined]
    return module


def test_nothing_that_trains_is_reported_or_knows_the_oracle(data: Any, tmp_path: Path) -> None:
    data.write_data(tmp_path, 0)
    held_out = generate_consultations(
        split="test", count=300, seed=0, known=True, languages=data.LANGUAGES, world=data.world()
    )
    asked = {one.question for one in held_out}
    for name in ("problems", "demonstrations", "feedback", "reference"):
        text = (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8")
        assert text and not any(json.dumps(question) in text for question in asked), name
        assert "oracle" not in text, name
    raters = {(one.rater.kind, one.rater.name) for one in load_feedback(tmp_path / "feedback.jsonl")}
    assert raters == {("rule", "clinic-intent")}


def test_demonstrations_are_mostly_right_and_seldom_complete(data: Any) -> None:
    """By the oracle, which does not know what they were meant to be."""
    shown = generate_consultations(split="train", count=200, seed=5, languages=data.LANGUAGES, world=data.world())
    scores = [oracle.judge(one, data.demonstrated(one).answer) for one in shown]
    right = [list(s.notes.get("diseases", ())) == [p.metadata["disease"]] for s, p in zip(scores, shown, strict=True)]
    assert 0.7 < statistics.fmean(right) < 0.9
    assert (
        statistics.fmean(s.parts["informativeness"] == 1.0 for s in scores) < 0.15
    )  # diagnosis, test, drug, when to return
    assert statistics.fmean(data.padding(data.demonstrated(one).answer) > 0 for one in shown) > 0.6


@pytest.mark.slow
def test_the_loop_runs_and_tells_all_figures(repository: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    knobs = [word for option, values in SMALL.items() for word in (option, *values)]
    command = [
        sys.executable,
        "benchmarks/rlaif.py",
        "--patients",
        "12",
        "--looks",
        "1",
        "--json",
        str(figures),
        *knobs,
    ]
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=500
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads(figures.read_text())
    for name in ("win_rate", "win_rate_length_controlled", "accuracy_before", "accuracy_after", "safety_after"):
        assert 0.0 <= row[name] <= 1.0
    assert row["kl_per_token_k3"] > 0 and math.isfinite(row["kl"])  # two steps moved the policy off the SFT policy
    assert row["degenerate_before"] > 0.5  # 32 tokens are no reply, and the monitor says so
    for word in ("RL against SFT, by the oracle", "length-controlled", "KL to SFT", "degenerate"):
        assert word in done.stdout


def test_the_recipes_of_the_example_fit_together(repository: Path) -> None:
    """Each step reads what the one before it wrote, and the reward's model is named in one place."""
    folder = repository / "examples" / "huatuogpt" / "single_turn"
    sft = load_recipe(folder / "sft.yaml")
    reward = load_reward_recipe(folder / "reward_model.yaml")
    policy = (folder / "policy.yaml").read_text(encoding="utf-8")  # its reward model is not there to be checked
    assert f"path: {sft.folder}/sft" in policy
    assert f"model: {reward.folder}}}" in policy
    assert sft.sampling.max_tokens == 144 and "max_tokens: 144" in policy
