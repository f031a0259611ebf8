"""A run that was killed and gone on with is the same run, bit for bit: weights, moments, logs and rollouts."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main
from medrl.tracking.run import timeless

pytestmark = pytest.mark.slow


def rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    return [json.loads(line) for line in lines[:-1]]  # a last line without its newline is not whole yet


def steps(run: Path, phase: str) -> list[int]:
    return [row["step"] for row in rows(run / "metrics.jsonl") if row["phase"] == phase]


def partial(run: Path) -> list[str]:
    folder = run / "checkpoints"
    return sorted(entry.name for entry in folder.iterdir() if ".partial-" in entry.name) if folder.is_dir() else []


def checkpoints(run: Path) -> list[str]:
    folder = run / "checkpoints"
    return sorted(e.name for e in folder.iterdir() if not e.name.startswith(".")) if folder.is_dir() else []


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, tiny: Path, start: Any) -> Path:
    """The run that nobody killed."""
    run = tmp_path_factory.mktemp("reference") / "run"
    process = start("run", tiny, f"folder={run}")
    _, complaint = process.communicate(timeout=240)
    assert process.returncode == 0, complaint
    return run


def assert_same_run(run: Path, reference: Path) -> None:
    for log in ("metrics.jsonl", "evaluations.jsonl"):
        assert [timeless(row) for row in rows(run / log)] == [timeless(row) for row in rows(reference / log)], log
    assert checkpoints(run) == checkpoints(reference) == ["step-000004", "step-000006"]
    for folder in ("sft", "best", "checkpoints/step-000004", "checkpoints/step-000006", "rollouts"):
        names = sorted(entry.name for entry in (reference / folder).iterdir())
        assert sorted(entry.name for entry in (run / folder).iterdir()) == names, folder
        for name in names:
            assert (run / folder / name).read_bytes() == (reference / folder / name).read_bytes(), f"{folder}/{name}"
    assert not list(run.rglob("*.partial-*"))


def test_the_reference_run_learnt_something_and_logged_every_step(reference: Path) -> None:
    assert steps(reference, "sft") == list(range(1, 9))
    assert steps(reference, "rl") == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows(reference / "evaluations.jsonl")] == [0, 2, 4, 6]
    assert all(row["grad_norm"] > 0 for row in rows(reference / "metrics.jsonl"))
    first, last = (reference / name / "model.safetensors" for name in ("sft", "checkpoints/step-000006"))
    assert first.read_bytes() != last.read_bytes()


Moment = Callable[[Path], bool]
# When to kill, and what must be true of the folder afterwards for the kill to have come at that moment.
MOMENTS: dict[str, tuple[Moment, Moment]] = {
    "during SFT": (
        lambda run: len(steps(run, "sft")) >= 3,
        lambda run: not (run / "sft").exists() and not steps(run, "rl"),
    ),
    "after the first step": (
        lambda run: bool(steps(run, "rl")),
        lambda run: bool(steps(run, "rl")) and not checkpoints(run),
    ),
    "between checkpoints": (
        lambda run: 3 in steps(run, "rl"),
        lambda run: checkpoints(run) == ["step-000002"] and 3 in steps(run, "rl"),
    ),
    "in the middle of writing a checkpoint": (
        lambda run: any("step-000004" in name for name in partial(run)),
        lambda run: any("step-000004" in name for name in partial(run)) and checkpoints(run) == ["step-000002"],
    ),
    "during an evaluation": (
        lambda run: (run / "rollouts" / "step-000004.jsonl").exists(),
        lambda run: [row["step"] for row in rows(run / "evaluations.jsonl")] == [0, 2] and 4 in steps(run, "rl"),
    ),
}


def kill(run: Path, start: Callable[[], "subprocess.Popen[str]"], moment: Moment, proof: Moment) -> None:
    """Kill a run at a moment, anew where it came too late."""
    for _ in range(4):
        shutil.rmtree(run, ignore_errors=True)
        process = start()
        deadline = time.monotonic() + 120
        while not moment(run) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        _, complaint = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 0), complaint
        if process.returncode == -signal.SIGKILL and proof(run):
            return
    pytest.fail("the run was never killed at the moment that was wanted")


@pytest.mark.parametrize("when", MOMENTS)
def test_a_killed_run_goes_on_to_the_same_weights_and_logs(
    when: str, reference: Path, tiny: Path, start: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    kill(run, lambda: start("run", tiny, f"folder={run}"), *MOMENTS[when])
    assert main(["run", str(tiny), f"folder={run}", "resume=true"]) == 0
    assert_same_run(run, reference)


def test_a_run_killed_inside_sft_goes_on_from_the_checkpoint_of_that_stage(
    tiny: Path, start: Any, tmp_path: Path
) -> None:
    """All updates stay in the log, and the weights are those of a run that was not killed."""
    small = ("sft.save_every=2", "sft.epochs=4", "trainer.steps=0", "held_out=null")
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main(["run", str(tiny), f"folder={whole}", *small]) == 0
    kill(
        run,
        lambda: start("run", tiny, f"folder={run}", *small),
        lambda at: len(steps(at, "sft")) >= 7,
        lambda at: not (at / "sft").exists() and (at / "sft-checkpoints/checkpoint-4/trainer_state.json").exists(),
    )
    assert main(["run", str(tiny), f"folder={run}", *small, "resume=true"]) == 0
    assert steps(run, "sft") == steps(whole, "sft") == list(range(1, 17))
    assert rows(run / "metrics.jsonl") == rows(whole / "metrics.jsonl")
    assert (run / "sft/model.safetensors").read_bytes() == (whole / "sft/model.safetensors").read_bytes()


def test_going_on_with_a_finished_run_changes_nothing(reference: Path, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    assert main(["run", str(tiny), f"folder={run}", "resume=true"]) == 0
    assert_same_run(run, reference)


def test_a_run_in_its_folder_is_not_begun_again_by_mistake(
    reference: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (reference / "metrics.jsonl").read_bytes()
    assert main(["run", str(tiny), f"folder={reference}"]) == 2
    assert "resume=true" in capsys.readouterr().err
    assert (reference / "metrics.jsonl").read_bytes() == before


def test_a_changed_recipe_is_refused_and_every_changed_knob_named(
    reference: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ("optimization.lr=1e-4", "seed=5", "reward.weights=[1.0, 1.0]")
    before = (reference / "recipe.yaml").read_bytes()
    assert main(["run", str(tiny), f"folder={reference}", "resume=true", *changes]) == 2
    complaint = capsys.readouterr().err
    assert "3 faults" in complaint
    for part in ("optimization.lr: was 0.003, is now 0.0001", "seed: was 0, is now 5", "reward.weights[0]: was 0.5"):
        assert part in complaint
    assert (reference / "recipe.yaml").read_bytes() == before


def test_a_longer_run_goes_on_from_a_finished_one(reference: Path, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    assert main(["run", str(tiny), f"folder={run}", "resume=true", "trainer.steps=7"]) == 0
    assert steps(run, "rl") == [1, 2, 3, 4, 5, 6, 7]
    assert [timeless(row) for row in rows(run / "metrics.jsonl")][:-1] == [
        timeless(row) for row in rows(reference / "metrics.jsonl")
    ]


def test_a_second_process_is_kept_out_by_the_lock(
    reference: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    hold = "import sys, pathlib; from medrl.tracking.lock import RunLock; lock = RunLock(pathlib.Path(sys.argv[1])); "
    hold += "print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert main(["run", str(tiny), f"folder={run}", "resume=true", "trainer.steps=7"]) == 1
        complaint = capsys.readouterr().err
        assert f"process {holder.pid}" in complaint
        assert "another process writes the run" in complaint
        assert steps(run, "rl") == [1, 2, 3, 4, 5, 6]
    finally:
        holder.kill()  # SIGKILL: the lock must go with its process
        holder.communicate()
    assert main(["run", str(tiny), f"folder={run}", "resume=true", "trainer.steps=7"]) == 0


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated moments": lambda c: (c / "optimizer.safetensors").write_bytes(
        (c / "optimizer.safetensors").read_bytes()[:5000]
    ),
    "truncated weights": lambda c: (c / "model.safetensors").write_bytes((c / "model.safetensors").read_bytes()[:-64]),
    "no counters": lambda c: (c / "trainer.json").unlink(),
    "half of the counters": lambda c: (c / "trainer.json").write_text('{"step": 6, '),
    "other counters": lambda c: (c / "trainer.json").write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_an_older_one_used_once_it_is_removed(
    damage: str, reference: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    latest = run / "checkpoints" / "step-000006"
    DAMAGES[damage](latest)
    assert main(["run", str(tiny), f"folder={run}", "resume=true"]) == 1
    complaint = capsys.readouterr().err
    assert str(latest) in complaint
    assert "remove it to use an older one" in complaint
    assert steps(run, "rl") == [1, 2, 3, 4, 5, 6]  # nothing was cut before the checkpoint was known to be whole
    shutil.rmtree(latest)
    assert main(["run", str(tiny), f"folder={run}", "resume=true"]) == 0
    assert_same_run(run, reference)
