"""What users get wrong, through the command line: what is said, the exit status, and what is left on the disk."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from medrl.cli import main

Capture = pytest.CaptureFixture[str]
# No SFT and no evaluation: what goes wrong here goes wrong before or within the reinforcement learning.
SHORT = ("sft=null", "demonstrations=null", "held_out=null", "trainer.steps=2", "trainer.save_every=1")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def question(number: int, **more: Any) -> dict[str, Any]:
    asked = f"Patient {number} has a fever. Which disease is it?"
    return {"id": f"q{number}", "question": asked, "reference": f"disease {number}", **more}


def rollouts(run: Path, step: int) -> list[dict[str, Any]]:
    text = (run / "rollouts" / f"step-{step:06d}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


# Data ----------------------------------------------------------------------------------------------------------------


def bad_problems(tmp_path: Path) -> dict[str, tuple[Path, list[str]]]:
    """Files of problems with one fault each, and what must be said of it."""
    (tmp_path / "problems.jsonl").write_text(json.dumps(question(1)) + "\n")
    broken = tmp_path / "broken.jsonl"
    broken.write_text(json.dumps(question(1)) + "\n" + '{"question": "What, \n')
    array = tmp_path / "array.jsonl"
    array.write_text(json.dumps(question(1)) + "\n[1, 2]\n")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    without = {"id": "q3", "question": "Which?", "reference": ""}
    return {
        "missing": (tmp_path / "problem.jsonl", ["problem.jsonl does not exist", "did you mean 'problems.jsonl'"]),
        "missing folder": (tmp_path / "none" / "a.jsonl", ["does not exist, nor does its folder"]),
        "empty": (empty, ["empty.jsonl holds no rows"]),
        "wrong JSON": (broken, ["broken.jsonl line 2: not JSON"]),
        "not an object": (array, ["array.jsonl line 2", "found list"]),
        "no reference": (
            write(tmp_path / "without.jsonl", [question(1), question(2), without]),
            ["1 row that cannot become a problem", "row 3: column 'reference' is empty"],
        ),
        "two faults": (
            write(
                tmp_path / "two.jsonl",
                [question(1), {**question(2), "reference": None}, {**question(3), "question": ""}],
            ),
            ["2 rows", "row 2: column 'reference'", "row 3: column 'question'"],
        ),
        "ids used twice": (
            write(tmp_path / "twice.jsonl", [question(1), question(2), {**question(3), "id": "q1"}]),
            ["row 3: id 'q1' is already that of row 1"],
        ),
        "unknown columns": (
            write(tmp_path / "columns.jsonl", [{"q": "Which?", "a": "gout"}]),
            ["has the columns q, a"],
        ),
        "too few": (write(tmp_path / "few.jsonl", [question(1)]), ["1 problems to train on", "problems_per_step, 4"]),
    }


CASES = (
    "missing", "missing folder", "empty", "wrong JSON", "not an object", "no reference", "two faults", "ids used twice",
    "unknown columns", "too few",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_problem_files_are_refused_with_file_and_row(
    case: str, tiny: Path, tmp_path: Path, capsys: Capture
) -> None:
    source, said = bad_problems(tmp_path)[case]
    run = tmp_path / "run"
    assert main(["run", str(tiny), f"folder={run}", f"problems={{source: {source}}}", *SHORT]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("medrl: ")
    for part in said:
        assert part in complaint, complaint
    assert not (run / "metrics.jsonl").exists()


def test_held_out_problems_that_are_trained_on_are_refused(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    train = write(tmp_path / "train.jsonl", [question(n) for n in range(8)])
    test = write(tmp_path / "test.jsonl", [question(n) for n in range(6, 12)])
    data = (f"problems={{source: {train}}}", f"held_out={{source: {test}}}", "sft=null", "demonstrations=null")
    assert main(["run", str(tiny), f"folder={tmp_path / 'run'}", *data]) == 2
    complaint = capsys.readouterr().err
    assert "2 of 6 held-out problems are also trained on" in complaint
    assert "q6 (trained on as q6)" in complaint


def test_prompts_longer_than_the_context_are_an_error_or_dropped(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    long = question(9, question="fever " * 400 + "Which disease is it?")
    source = write(tmp_path / "train.jsonl", [*(question(n) for n in range(8)), long])
    run = tmp_path / "run"
    data = (f"folder={run}", f"problems={{source: {source}}}", *SHORT)
    assert main(["run", str(tiny), *data]) == 2
    complaint = capsys.readouterr().err
    assert "1 of 9 problems to train on have prompts of more than 232 tokens" in complaint
    assert "'q9'" in complaint
    assert "trainer.long_prompts=drop" in complaint
    assert not run.exists()  # found before the run is begun
    assert main(["run", str(tiny), *data, "trainer.long_prompts=drop", "trainer.steps=4"]) == 0
    asked = {row["problem_id"] for step in range(1, 5) for row in rollouts(run, step)}
    assert asked == {f"q{n}" for n in range(8)}  # 4 steps of 4 problems go over all of the 8 that are left


# Rewards -------------------------------------------------------------------------------------------------------------


def reward(attribute: str) -> str:
    return f"reward={{type: 'rewards_of_tests:{attribute}'}}"


def test_groups_whose_rewards_are_all_equal_teach_nothing(tiny: Path, tmp_path: Path) -> None:
    """No gradient, no weight decay, no update: the weights are those of the start, bit for bit."""
    settings = (*SHORT, reward("constant"), "algorithm.kl_coef=0.0", "optimization.weight_decay=0.1")
    start, run = tmp_path / "start", tmp_path / "run"
    assert main(["run", str(tiny), f"folder={run}", *settings]) == 0
    assert [row["equal_groups"] for row in metrics(run)] == [1.0, 1.0]
    assert all(row["idle_updates"] == 2.0 for row in metrics(run))
    assert all(row["advantage"] == 0.0 and row["reward"] == 0.25 for row in rollouts(run, 1))
    learning = [setting for setting in settings if not setting.startswith("reward")]
    assert main(["run", str(tiny), f"folder={start}", *learning, "trainer.steps=1"]) == 0
    first, second = (load_file(run / f"checkpoints/step-00000{n}/model.safetensors") for n in (1, 2))
    learnt = load_file(start / "checkpoints/step-000001/model.safetensors")
    assert all(bool((first[name] == second[name]).all()) for name in first)
    assert any(bool((first[name] != learnt[name]).any()) for name in first)


@pytest.mark.parametrize(
    ("attribute", "said"), [("raises", "the judge is down"), ("not_a_number", "nan is not a finite")]
)
def test_a_reward_that_fails_above_the_bound_stops_the_run(
    attribute: str, said: str, tiny: Path, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    assert main(["run", str(tiny), f"folder={run}", *SHORT, reward(attribute)]) == 1
    complaint = capsys.readouterr().err
    assert "16 of 16 rollouts have no score (16 error), above the bound of 50%" in complaint
    assert f"16 x {attribute}" in complaint
    assert said in complaint
    assert not (run / "metrics.jsonl").exists()


def test_a_reward_that_fails_below_the_bound_costs_only_its_own_rollouts(tiny: Path, tmp_path: Path) -> None:
    """They have no number: null, never 0, and they are not trained on."""
    run = tmp_path / "run"
    settings = (reward("raises_for_even"), "trainer.max_unscored=0.95", "trainer.outage_patience=0")  # it will not mend
    assert main(["run", str(tiny), f"folder={run}", *SHORT, *settings]) == 0
    written = rollouts(run, 1)
    failed = [row for row in written if row["status"] == "error"]
    assert 0 < len(failed) < len(written) == 16
    assert all(row["reward"] is None and row["advantage"] is None for row in failed)
    assert all("ConnectionError: the judge is down" in row["score"]["reason"] for row in failed)
    assert all(row["reward"] is not None and row["advantage"] is not None for row in written if row not in failed)
    row = metrics(run)[0]
    assert row["unscored"] == len(failed) / 16
    assert row["unscored/error"] == len(failed)
    scored = [r["reward"] for r in written if r not in failed]
    assert row["reward"] == pytest.approx(sum(scored) / len(scored))  # the mean is over those with a number


# The disk ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 KiB: room for one checkpoint of a tiny run, and not for two."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_the_previous_checkpoint_to_go_on_from(
    small_disk: Path, tiny: Path, tmp_path: Path, capsys: Capture
) -> None:
    run, whole = small_disk / "run", tmp_path / "whole"
    settings = (*SHORT[:3], "trainer.steps=3", "trainer.save_every=1", "trainer.log_rollouts=false")
    assert main(["run", str(tiny), f"folder={run}", *settings]) == 1
    complaint = capsys.readouterr().err
    assert "cannot write" in complaint
    assert "make room there or write to another disk" in complaint
    assert "Traceback" not in complaint
    kept = sorted(entry.name for entry in (run / "checkpoints").iterdir())
    assert kept
    assert all(name.startswith("step-") for name in kept)  # whole ones alone: nothing half-written is left
    assert load_file(run / "checkpoints" / kept[-1] / "optimizer.safetensors")
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert main(["run", str(tiny), f"folder={run}", *settings, "resume=true"]) == 0
    assert main(["run", str(tiny), f"folder={whole}", *settings]) == 0
    last = "checkpoints/step-000003/model.safetensors"
    assert (run / last).read_bytes() == (whole / last).read_bytes()


# Interruptions -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_ends_with_one_line_and_no_traceback(tiny: Path, start: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start("run", tiny, f"folder={run}", *SHORT[:3], "trainer.steps=5000", "trainer.save_every=10")
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "step-000010").is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    lines = [line for line in complaint.splitlines() if line.strip()]
    assert lines == ["medrl: interrupted; `resume=true` goes on from the latest checkpoint"]
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    latest = max((run / "checkpoints").glob("step-*/trainer.json"))
    assert latest.parent.name == f"step-{steps[-1]:06d}", "no finished step is lost"
