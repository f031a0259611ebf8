"""The RLAIF loop, whole and small: feedback, SFT, reward model, GRPO, and a judge that trains nothing."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    folder = repository / "examples" / "huatuogpt_rlaif"
    sft = load_recipe(folder / "sft.yaml")
    reward = load_reward_recipe(folder / "reward_model.yaml")
    policy = (folder / "policy.yaml").read_text(encoding="utf-8")  # its reward model is not there to be checked
    assert f"path: {sft.folder}/sft" in policy
    assert f"model: {reward.folder}}}" in policy
    assert sft.sampling.max_tokens == 144 and "max_tokens: 144" in policy
