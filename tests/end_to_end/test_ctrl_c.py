"""Ctrl-C in a real run, in the middle of a long update: it ends within ten seconds, with the step before on the disk."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main

pytestmark = pytest.mark.slow
LIMIT = 10.0  # seconds from the signal to the end of the process, on a machine that does nothing else
BUSY = 3.0  # what other work on a machine that runs tests may stretch it by
KNOBS = (
    "policy.new.hidden_size=64", "policy.new.intermediate_size=128", "held_out=null", "sft=null", "demonstrations=null",
    "trainer.save_every=0", "trainer.evaluate_every=0",
)  # fmt: skip
RAY = ("placement=ray", "cluster.learners.ranks=2", "cluster.deepspeed.stage=3", "cluster.engine.kv_cache_gib=0.0625")


def begin(tiny: Path, run: Path, *overrides: str) -> "subprocess.Popen[bytes]":
    """The run as a terminal starts it: in a process group of its own, which is what Ctrl-C is for."""
    with (run.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "medrl", "run", str(tiny), *KNOBS, *overrides, f"folder={run}"],
            cwd=tiny.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # what starts the tests may ignore it
        )


def steps(run: Path) -> int:
    """Steps in the log."""
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b'"phase": "rl"') if file.exists() else 0


@pytest.mark.parametrize("placement", [(), pytest.param(RAY, marks=pytest.mark.engine)], ids=["local", "ray"])
def test_ctrl_c_ends_a_run_in_ten_seconds_and_the_step_before_is_whole(
    placement: tuple[str, ...], tiny: Path, tmp_path: Path
) -> None:
    """The update of the second step has hundreds of optimizer steps, of which some are done: all are undone."""
    epochs = 60 if placement else 300
    run = tmp_path / "run"
    process = begin(tiny, run, *placement, f"algorithm.epochs={epochs}", "trainer.steps=2", "trainer.stop_grace=1")
    log = tmp_path / "log"
    try:
        deadline = time.monotonic() + 500.0
        while not steps(run):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.05)
        time.sleep(3.0)  # rollouts of the second step take less than one
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        code = process.wait(timeout=120.0)
    finally:
        process.kill()
    took = time.monotonic() - began
    print(f"ended {took:.1f} s after the signal")
    assert code == 130, log.read_text()[-3000:]
    assert took < LIMIT * BUSY, "far less than the update would take"
    assert steps(run) == 1, "the second step was not ended"
    checkpoint = run / "checkpoints" / "step-000001"
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    updates = json.loads((checkpoint / "learner.json").read_text())["updates"]
    assert updates == 2 * epochs, "two minibatches an epoch, of the first step alone"
    state: dict[str, Any] = json.loads((checkpoint / "trainer.json").read_text())
    assert state["step"] == 1 and [(one["step"], len(one["kept"])) for one in state["ahead"]] == [(2, 4)]
    if placement:
        return
    rest = ("run", str(tiny), *KNOBS, f"algorithm.epochs={epochs}")
    whole = tmp_path / "whole"
    assert main([*rest, "trainer.steps=1", f"folder={whole}"]) == 0
    for name in ("model.safetensors", "optimizer.safetensors", "learner.json"):
        ours, theirs = (folder / "checkpoints" / checkpoint.name / name for folder in (run, whole))
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert main([*rest, "trainer.steps=2", "trainer.stop_grace=1", f"folder={run}", "resume=true"]) == 0
    assert steps(run) == 2
