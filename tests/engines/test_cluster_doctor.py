"""`medrl doctor --cluster` on a real Ray cluster of this machine."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main
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


def test_a_folder_that_is_not_there_is_named_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for folder, why in ((tmp_path / "not" / "there", "No such file"), (tmp_path / "file", "Not a directory")):
        (check,) = cluster_doctor.report(None, folder)
        assert (check.name, check.state) == ("folder", "broken") and f"{folder} cannot be written: {why}" in check.found
    assert main(["doctor", "--cluster", "auto", "--folder", str(tmp_path / "not")]) == 1
    assert "cannot be written" in capsys.readouterr().out


def test_a_node_without_what_engines_and_ranks_run_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {**survey.versions(), "vllm": "", "deepspeed": ""}
    node = survey.Node("10.0.0.1", {"CPU": 4.0}, survey.Answer(there, 100.0, shared=True))
    monkeypatch.setattr(cluster_doctor, "ray_cluster", lambda address: nullcontext())
    monkeypatch.setattr(cluster_doctor, "survey", lambda *_: [node])
    alike, other = "vllm is missing; deepspeed is missing", "vllm missing (here 1.0)"
    for here, said in ((there, alike), ({**there, "vllm": "1.0"}, other)):
        monkeypatch.setattr(cluster_doctor, "versions", lambda here=here: here)
        (check,) = [check for check in cluster_doctor.report(None, tmp_path) if check.name == "versions"]
        assert (check.state, check.found) == ("broken", said) and "install vllm, deepspeed there" in check.advice
    assert cluster_doctor.main(None, tmp_path) == 1


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
