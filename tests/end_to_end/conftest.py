"""Tiny runs by the command line, in this process or in one of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest

HERE = Path(__file__).parent
Start: TypeAlias = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The recipe of a tiny run."""
    return HERE / "tiny.yaml"


@pytest.fixture(autouse=True)
def _rewards_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture(scope="session")
def start() -> Start:
    """Start `medrl ARGUMENTS` as a process of its own, in the folder that holds the tests' rewards."""

    def begin(*arguments: str | Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "medrl", *map(str, arguments)],
            cwd=HERE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores Ctrl-C
        )

    return begin
