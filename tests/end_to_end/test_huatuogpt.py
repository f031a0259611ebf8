"""HuatuoGPT's example: every stage, whole and small; a run that goes on where it was; recipes of the larger scales."""

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

TINY = [
    "sft.epochs=8",
    "policy.new.hidden_size=64",
    "policy.new.heads=2",
    "policy.new.layers=2",
]  # replies come to an end
SMALL = [
    "rows=160", "visits=60", "rated=48", "held_out=8", "replies=3", f"sft={json.dumps(TINY)}",
    'reward=["training.epochs=0.3"]',
    'rl=["trainer.steps=1", "trainer.problems_per_step=2", "sampling.max_tokens=16", "optimization.last_layers=1"]',
]  # fmt: skip


def reproduce(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "examples/huatuogpt/reproduce.py", *words]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_every_stage_runs_and_a_stage_that_is_gone_is_made_again_alone(repository: Path, tmp_path: Path) -> None:
    words = ["--folder", str(tmp_path / "run"), "--json", str(tmp_path / "out.json"), "--size", *SMALL]
    done = reproduce(repository, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert {"minutes", "table", "shapes", "figures"} <= found.keys() and found["minutes"] > 0
    assert {"rlaif_raises_asking_back", "rlaif_raises_win_rate", "both_beats_real_only"} <= found["shapes"].keys()
    for shape in found["shapes"].values():
        assert shape["low"] <= shape["mean"] <= shape["high"] and shape["held"] == (shape["low"] > shape["against"])
    row = next(one for one in found["table"] if one["policy"] == "ppo" and one["against"] == "sft-distilled")
    assert row["paper_gpt4"] == "47 / 21 / 32" and abs(row["win"] + row["tie"] + row["loss"] - 1) < 1e-9
    rows = (tmp_path / "run" / "seed0" / "answers-ppo" / "answers.jsonl").read_text().splitlines()
    assert len(rows) == 16 and {json.loads(one)["way"] for one in rows} == {"sampled", "greedy"}
    shutil.rmtree(tmp_path / "run" / "seed0" / "answers-ppo")
    again = reproduce(repository, *words)
    assert again.returncode == 0 and again.stdout.count(": done in ") == 1  # the one stage whose folder is gone
    assert (tmp_path / "run" / "seed0" / "answers-ppo" / "answers.jsonl").read_text().splitlines() == rows
    same = json.loads((tmp_path / "out.json").read_text())
    assert same["shapes"] == found["shapes"] and same["table"] == found["table"]


@pytest.fixture
def example(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Modules of the example, by name."""
    monkeypatch.syspath_prepend(str(repository / "examples" / "huatuogpt"))

    def load(name: str) -> ModuleType:
        for other in ("reproduce", "measure", "stages"):  # other examples have files of these names
            monkeypatch.delitem(sys.modules, other, raising=False)
        return importlib.import_module(name)

    return load


def test_visits_of_one_case_are_no_evidence_of_their_own(example: Callable[[str], ModuleType]) -> None:
    measure = example("measure")
    halves = [float(i % 2) for i in range(100)]
    alone = measure.measured(statistics.fmean, [((0, f"case {i}"), value) for i, value in enumerate(halves)])
    in_cases = measure.measured(statistics.fmean, [((0, f"case {i % 4}"), value) for i, value in enumerate(halves)])
    in_one = measure.measured(statistics.fmean, [((0, "the case"), value) for value in halves])
    assert alone[0] == in_cases[0] == 0.5 and in_one == (0.5, 0.5, 0.5)
    assert 0.1 < alone[2] - alone[1] < 0.3 and in_cases[2] - in_cases[1] == 1.0
    by_seed = [((seed, f"case {i}"), float(seed % 2)) for seed in range(4) for i in range(50)]
    mean, low, high = measure.measured(statistics.fmean, by_seed)
    student = 3.18 * statistics.stdev([0.0, 1.0, 0.0, 1.0]) / 2  # wider than 0 to 1, which is all that can be drawn
    assert mean == 0.5 and (low, high) == pytest.approx((0.5 - student, 0.5 + student))


def test_other_sizes_of_a_later_seed_are_refused_before_the_first_is_begun(repository: Path, tmp_path: Path) -> None:
    stage = tmp_path / "seed1" / "data"
    stage.mkdir(parents=True)
    (stage / "made_of.json").write_text('{"seed": 1, "rows": 7}')
    refused = reproduce(repository, "--seeds", "2", "--folder", str(tmp_path))
    assert refused.returncode == 1 and "seed1/data was made with other knobs (rows: was 7" in refused.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["seed1"]


def recipes(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "huatuogpt_recipes", repository / "examples" / "huatuogpt" / "recipes.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_recipes_of_larger_scales_are_sound_and_fit_together(
    scale: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, place = repository / "examples" / "huatuogpt", f"runs/huatuogpt/{scale}"
    assert recipes(repository).reproduce(folder / scale, Path("root"), False) == 0
    sft, feedback, reward, ppo, hint = capsys.readouterr().out.splitlines()
    assert "folder=root/sft/run " in sft and "policy=root/sft/run/sft" in feedback and "`--run`" in hint
    assert "pairs.source=root/feedback/records/pairs.jsonl" in reward and "base.path=root/sft/run/sft" in reward
    assert "policy.path=root/sft/run/sft reward.then.model=root/reward_model/model" in ppo
    # By hand, without these knobs, they fit together too.
    texts = {one.stem: one.read_text(encoding="utf-8") for one in (folder / scale).glob("*.yaml")}
    assert f"folder: {place}/sft\n" in texts["sft"] and f"{place}/sft/sft" in texts["ppo"] + texts["feedback"]
    assert f"source: {place}/feedback/pairs.jsonl" in texts["reward_model"]
    assert f"folder: {place}/reward\n" in texts["reward_model"] and f"model: {place}/reward}}" in texts["ppo"]
    assert "last_layers: 2" in texts["ppo"] and "kl_coef: 0.05" in texts["ppo"] and "loss_on: assistant" in texts["sft"]


def test_a_faulty_recipe_is_told(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(repository / "examples" / "huatuogpt" / "paper", tmp_path / "paper")
    file = tmp_path / "paper" / "ppo.yaml"
    file.write_text(file.read_text().replace("kl_coef", "kl_cof"))
    assert recipes(repository).reproduce(tmp_path / "paper", Path("root"), False) == 1
    assert "error: ppo: " in (faults := capsys.readouterr().err) and "kl_cof" in faults


def test_a_larger_scale_stops_before_a_stage_that_lacks_something(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    root = tmp_path / "root"
    knobs = ("sft:demonstrations.source=no.jsonl", "sft:demonstrations.schema=auto")
    refused = reproduce(repository, "--scale", "laptop", "--run", "--seeds", "3", "--size", "rows=3")
    assert refused.returncode == 2 and "--seeds, --size: of --scale tiny alone" in refused.stderr
    stopped = reproduce(repository, "--scale", "laptop", "--run", "--folder", str(root), *knobs)
    first, stops = stopped.stderr.split("error: sft cannot begin:\n")
    assert stopped.returncode == 1 and "  - demonstrations.source: no.jsonl is not there\nwhat is done" in stops
    assert "warning: sft may lack policy.path: Qwen/Qwen2.5-0.5B-Instruct is not in the cache" in first
    prompts = "problems.source: data/huatuogpt/prompts.jsonl is not there"
    for later in ("feedback", "ppo"):
        assert f"warning: {later} will need what is not here: {prompts}" in first
    assert not root.exists() or not list(root.iterdir())
