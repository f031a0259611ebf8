"""`medrl run` on Ray in bfloat16, stopped and resumed with other ranks, a sync that is skipped, and a cluster too small.

The policy's weights are float32 in its folder; DeepSpeed computes in bfloat16, and so do the engines. Steps are small: what
a skipped sync changes is far below what two roundings to 16 bits differ by.
"""

from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main
from medrl.tracking import RunFolder

pytestmark = [pytest.mark.engine, pytest.mark.slow]
KNOBS = (
    "policy.new.hidden_size=64", "policy.new.intermediate_size=128", "sft=null", "demonstrations=null", "held_out=null",
    'reward={type: verified, verifier: "rewards_of_actors:vowels", otherwise: 0.0}', "sampling.max_tokens=32",
    "algorithm={type: grpo, kl_coef: 0.0}", "optimization={lr: 1.0e-5}",
    "trainer={problems_per_step: 2, rollouts_per_problem: 4, evaluate_every: 0, save_every: 1}",
    "placement=ray", "cluster.deepspeed.bf16=true", "cluster.engine.kv_cache_gib=0.0625",
)  # fmt: skip


def test_a_run_in_bfloat16_goes_on_with_another_number_of_ranks_until_a_sync_is_skipped(
    ray: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from medrl.cluster.engines import RayEngines

    update, folder, tiny = RayEngines.update, tmp_path / "run", repository / "tests" / "end_to_end" / "tiny.yaml"

    def skipped(engines: RayEngines, refs: Any, version: int, *more: Any) -> None:
        if version < 4:
            update(engines, refs, version, *more)

    def run(*knobs: str) -> int:
        return main(["run", str(tiny), *KNOBS, f"folder={folder}", *knobs])

    assert run("trainer.steps=2", "cluster.learners.ranks=2", "cluster.deepspeed.stage=3") == 0, capsys.readouterr().err
    monkeypatch.setattr(RayEngines, "update", skipped)
    status = run("resume=true", "trainer.steps=5", "cluster.learners.ranks=1", "cluster.deepspeed.stage=2")
    said = capsys.readouterr()
    assert status == 1 and "going on from step 2" in said.out, said
    assert "engine-0 does not compute what the learner does at version 4" in said.err
    assert "0.5 is allowed; it answers as before the sync, while the learner moved by" in said.err
    rows = [row for row in RunFolder(folder).read_metrics("rl") if row["step"] < 4]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(1e-4 < row["cluster/sync_gap"] < 0.25 for row in rows), [row["cluster/sync_gap"] for row in rows]


def test_a_cluster_that_has_too_little_is_refused_before_anything_is_done(
    ray: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")  # as in what `ray job submit` runs
    tiny, folder = str(repository / "tests" / "end_to_end" / "tiny.yaml"), tmp_path / "run"
    assert main(["run", tiny, *KNOBS, f"folder={folder}", "cluster.learners.ranks=50"]) == 2
    assert "all actors together ask for 51 CPUs, and it has 16. Its nodes: 16 CPUs" in capsys.readouterr().err
    assert not folder.exists()
