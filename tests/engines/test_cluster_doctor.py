"""`medrl doctor --cluster` on a real Ray cluster of this machine."""

from pathlib import Path
from typing import Any

import pytest

from medrl.cluster import survey
from medrl.commands import cluster_doctor

pytestmark = pytest.mark.engine


def test_every_node_answers_for_itself(ray: Any, tmp_path: Path) -> None:
    checks = cluster_doctor.report(None, tmp_path)
    assert {check.state for check in checks} == {"ok"}, checks
    assert checks[0].found == "1 node, 16 CPUs, 0 GPUs"
    assert [check.name for check in checks[1:]] == ["size", "versions", "object store", "folder"]
    assert not list(tmp_path.iterdir()), "its mark is gone"


def test_other_versions_and_silence_are_told(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {**survey.versions(), "torch": "0.0"}
    monkeypatch.setattr(cluster_doctor, "versions", lambda: here)
    (found,) = [check for check in cluster_doctor.report(None, tmp_path) if check.name == "versions"]
    assert found.state == "note" and "(here 0.0)" in found.found
    silent = cluster_doctor.report(None, tmp_path, seconds=0.0)
    assert silent[1].state == "broken" and "none within 0 s" in silent[1].found


def test_a_cluster_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from medrl.cluster import ray_start

    class Unreachable:
        @staticmethod
        def is_initialized() -> bool:
            return False

        @staticmethod
        def init(**_: Any) -> None:
            raise ConnectionError("nobody there")

    monkeypatch.setattr(ray_start, "need", lambda *_: Unreachable)
    (check,) = cluster_doctor.report("10.0.0.1:6379", tmp_path)
    assert check.state == "broken" and "'10.0.0.1:6379' cannot be reached" in check.found
