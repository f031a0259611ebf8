"""Programs that stand for the ranks of a process group, each started as `PROGRAM RANK RANKS PORT FOLDER CASES.json`."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run_ranks(program: Path, folder: Path, cases: Sequence[dict[str, Any]], ranks: int) -> None:
    """Start so many, wait for them, and see that all ended well; else show the end of what each wrote."""
    (folder / f"cases{ranks}.json").write_text(json.dumps(cases))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    logs = [folder / f"rank{rank}of{ranks}.log" for rank in range(ranks)]  # a pipe that nobody reads would fill up
    programs = []
    for rank, log in enumerate(logs):
        with log.open("w") as file:
            arguments = [str(rank), str(ranks), str(port), str(folder), f"cases{ranks}.json"]
            command = [sys.executable, str(program), *arguments]
            programs.append(subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT))
    try:
        codes = [one.wait(timeout=1600) for one in programs]
    finally:
        for one in programs:
            one.kill()
    assert codes == [0] * ranks, "\n".join(log.read_text(errors="replace")[-3000:] for log in logs)
