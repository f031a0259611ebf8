"""The doctor reports on anything, and falls over nothing."""

import sys
from pathlib import Path

import pytest

from medrl.commands import doctor
from medrl.commands.doctor import Check, Package


def make_package(folder: Path, name: str, code: str, version: str = "1.0") -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def few_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with five made-up packages, one of them absent."""
    make_package(tmp_path, "goodpkg", "print('noise on stdout')")
    make_package(tmp_path, "raisingpkg", "raise RuntimeError('operator torchvision::nms does not exist')")
    make_package(tmp_path, "crashingpkg", "import os; os._exit(7)")
    make_package(tmp_path, "lastpkg", "", version="2.0")
    names = ("crashingpkg", "goodpkg", "raisingpkg", "absentpkg", "lastpkg")
    known = {name: Package("1.0", "train", f"import {name}") for name in names}
    monkeypatch.setattr(doctor, "PACKAGES", known)
    monkeypatch.setattr(
        doctor, "USES", {"work": ("goodpkg",), "more": ("goodpkg", "absentpkg"), "less": ("raisingpkg",)}
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.syspath_prepend(str(tmp_path))


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.usefixtures("few_packages")
def test_each_package_is_judged_by_itself() -> None:
    found = by_name(doctor.report())
    assert found["goodpkg"].state == "ok"
    assert found["lastpkg"] == Check("packages", "lastpkg", "ok", "2.0 (tested with 1.0)")
    assert found["absentpkg"].advice == "pip install 'medrl[train]'"
    assert found["crashingpkg"].state == "broken" and "exit code 7" in found["crashingpkg"].found
    assert found["raisingpkg"].state == "broken" and "pip uninstall torchvision" in found["raisingpkg"].advice


@pytest.mark.usefixtures("few_packages")
def test_verdicts_follow_from_the_packages() -> None:
    found = by_name(doctor.report())
    assert (found["work"].state, found["more"].state, found["less"].state) == ("ok", "missing", "broken")
    assert found["more"].advice == "pip install 'medrl[train]'"


@pytest.mark.usefixtures("few_packages")
def test_the_exit_code_tells_of_broken_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    assert "goodpkg" in printed and "machine" in printed and "you can" in printed


@pytest.mark.usefixtures("few_packages")
def test_it_prints_without_rich(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert doctor.main() == 1
    assert "broken   packages: raisingpkg" in capsys.readouterr().out


def test_slow_imports_are_left_out_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path, "slowpkg", "import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(doctor, "PACKAGES", {"slowpkg": Package("1.0", "train", "import slowpkg")})
    monkeypatch.setattr(doctor, "USES", {"wait": ("slowpkg",)})
    found = by_name(doctor.report(seconds=1.0))
    assert found["slowpkg"].state == "note" and "time ran out" in found["slowpkg"].found
    assert found["wait"].state == "note"


def test_an_unreachable_hub_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (check,) = doctor._hub()
    assert check.state == "note" and "HF_HUB_OFFLINE=1" in check.advice
