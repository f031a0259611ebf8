"""Whole runs on a Ray cluster of this machine: real vLLM engines, real DeepSpeed ranks, and processes that are killed."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from medrl.tracking import RunFolder

pytestmark = [pytest.mark.engine, pytest.mark.slow]
STEPS = 10  # an engine is killed after the first, a rank after the third, the driver after the sixth
WIDE = (
    "policy.new.hidden_size=64",
    "policy.new.intermediate_size=128",  # heads of 32 numbers, the fewest that vLLM knows
    "sft=null",
    "demonstrations=null",
)
CLUSTER = (
    "placement=ray", "cluster.learners.ranks=2", "cluster.deepspeed.stage=3", "cluster.rewards.actors=1",
    "cluster.rewards.cpus=0.5", "cluster.engine.kv_cache_gib=0.0625",
)  # fmt: skip


@pytest.fixture
def chaos(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/chaos.py."""
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    spec = importlib.util.spec_from_file_location("chaos", repository / "benchmarks" / "chaos.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "chaos", module)
    spec.loader.exec_module(module)
    return module


def test_three_kills_lose_nothing_and_double_nothing(chaos: Any, tiny: Path, tmp_path: Path) -> None:
    """An engine, a rank and the driver of one asynchronous run are killed; it ends as if nothing had happened."""
    overrides = (
        *WIDE,
        *CLUSTER,
        "max_staleness=1",
        f"trainer.steps={STEPS}",
        "trainer.evaluate_every=0",
        "trainer.save_every=2",
    )
    run = chaos.Run(tiny, overrides, tmp_path / "run")
    ended = chaos.disturb(run, ("engine", "learner", "driver"), STEPS, random.Random(0), 500.0)
    log = (tmp_path / "run.log").read_text(errors="replace")
    assert ended, log[-3000:]
    assert [kind for kind, _ in run.kills] == ["engine", "learner", "driver"], log[-3000:]
    found = chaos.audit(run)
    assert set(found.values()) == {0}, found
    rows = RunFolder(run.folder).read_metrics("rl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert max(row.get("staleness", 0.0) for row in rows) <= 1.0 and any("staleness/1" in row for row in rows)
    assert all(row["cluster/sync_gap"] < 1e-4 for row in rows), "engines have the learner's weights after every step"
