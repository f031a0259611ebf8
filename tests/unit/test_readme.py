"""Every code block of the README runs, in the order it stands there, as a new user would run it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(repository: Path) -> list[tuple[str, str]]:
    return [(m[1], m[2]) for m in BLOCK.finditer((repository / "README.md").read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A fresh folder that sees the examples, as a checkout does."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(repository / "examples")
    return folder


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_every_block_has_a_language_that_is_tested(repository: Path) -> None:
    assert {language for language, _ in blocks(repository)} == {"sh", "python"}


def test_make_targets_exist(repository: Path) -> None:
    """The two commands themselves are what a fresh machine and CI run; here make must know them."""
    lines = next(text for language, text in blocks(repository) if language == "sh").split("\n")
    for line in filter(None, lines):
        subprocess.run([*shlex.split(line), "--dry-run"], cwd=repository, check=True, capture_output=True)


@pytest.mark.slow
def test_quick_start_runs(repository: Path, folder: Path) -> None:
    code = next(text for language, text in blocks(repository) if language == "python")
    assert len(code.strip().split("\n")) <= 35
    printed = run([sys.executable, "-c", code], folder)
    accuracy, *tree = printed.strip().split("\n")[-4:]
    assert 0.0 <= float(accuracy) <= 1.0
    assert tree[0].startswith("levels")
    assert (folder / "my-policy" / "model.safetensors").is_file()


def test_verifier_of_ones_own_and_the_commands(repository: Path, folder: Path) -> None:
    python = [text for language, text in blocks(repository) if language == "python"]
    assert len([line for line in python[1].split("\n") if line.strip()]) <= 25
    (folder / "medrl_dosage.py").write_text(python[1], encoding="utf-8")
    shell = [text for language, text in blocks(repository) if language == "sh"]
    printed = run(["bash", "-euc", shell[2]], folder)
    assert "1000 mg against 1000 mg" in printed


@pytest.mark.slow
def test_recipe_commands(repository: Path, folder: Path) -> None:
    shell = [text for language, text in blocks(repository) if language == "sh"]
    printed = run(["bash", "-euc", shell[1]], folder)
    assert "optimization.lr" in printed and (folder / "runs" / "first" / "metrics.jsonl").is_file()
