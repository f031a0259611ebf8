"""Machines that go away in the middle of a run: a Ray cluster of three nodes on this machine, two of which are removed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from medrl.tracking import RunFolder

pytestmark = [pytest.mark.engine, pytest.mark.slow]
STEPS = 8
KNOBS = (
    "policy.new.hidden_size=64", "policy.new.intermediate_size=128", "held_out=null", "placement=ray", "max_staleness=1",
    "cluster.engines.engines=2", "cluster.engines.heartbeat=0.5", "cluster.learners.ranks=2", "cluster.deepspeed.stage=3",
    "cluster.engine.kv_cache_gib=0.0625",
    f"trainer.steps={STEPS}", "trainer.evaluate_every=0", "trainer.save_every=2",
)  # fmt: skip


@pytest.fixture
def chaos(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/chaos.py, which audits a run folder."""
    monkeypatch.syspath_prepend(str(repository / "tests" / "end_to_end"))  # the rewards of tiny.yaml
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    spec = importlib.util.spec_from_file_location("chaos", repository / "benchmarks" / "chaos.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "chaos", module)
    spec.loader.exec_module(module)
    return module


def test_a_run_outlives_the_machine_of_an_engine_and_then_that_of_a_rank(
    chaos: Any, repository: Path, tmp_path: Path
) -> None:
    """Engine 1 and rank 1 stand on nodes of their own. What they held is had again elsewhere, and nothing twice."""
    end_to_end, report, folder = repository / "tests" / "end_to_end", tmp_path / "report.json", tmp_path / "run"
    tiny = end_to_end / "tiny.yaml"
    program = str(Path(__file__).with_name("lose_nodes.py"))
    done = subprocess.run(
        [sys.executable, program, str(report), str(tiny), str(folder), *KNOBS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(repository), str(end_to_end)))},  # tiny.yaml's own rewards
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert (told["status"], told["failures"]) == (0, []), done.stdout + done.stderr
    assert told["built"] == [told["nodes"]]
    rows = RunFolder(folder).read_metrics("rl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    # Until Ray knows that a machine is gone, it may put the next engine, or group, there.
    assert 1 <= rows[-1]["cluster/engine_restarts"] <= 4 and 1 <= rows[-1]["cluster/learner_restarts"] <= 2
    assert all(row["cluster/sync_gap"] < 1e-4 for row in rows)
    found = chaos.audit(chaos.Run(tiny, KNOBS, folder))
    assert set(found.values()) == {0}, found
