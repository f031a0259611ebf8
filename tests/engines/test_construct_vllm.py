"""Stages 0 and 1 against a real server: a writer that is made here, served by vLLM, and a construction killed in the
middle.

The writer is brought up on three diseases for a minute, so that it knows the form and some medicine. What is tested is
that rows survive a kill, the server does not, and nothing of what was done is done again.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]
FOLDER = Path(__file__).parents[2] / "examples" / "huatuogpt_o1"
# What reproduce.py --search does, without the policies.
PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import search
from reproduce import Stages
stages = Stages(Path(sys.argv[2]))
size = search.Size(lessons=260, epochs=1.0, rows=80, concurrency=4, diseases=3)
shape = {**search.writers.SHAPE, "layers": 3, "hidden_size": 96, "heads": 3, "key_value_heads": 1, "intermediate_size": 288}
print(json.dumps(search.Search(stages, 0, size, shape).figures()))
"""


def start(place: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(FOLDER), str(place / "made")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (place / "log.txt").open("a") as log:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_killed_search_goes_on_and_loses_or_doubles_no_row(tmp_path: Path) -> None:
    seed = tmp_path / "made" / "seed0"
    problems = seed / "search_rows" / "problems"
    process = start(tmp_path)
    while process.poll() is None and lines(problems / "dropped.jsonl") + lines(problems / "rows.jsonl") < 8:
        time.sleep(0.05)
    assert process.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = lines(problems / "dropped.jsonl") + lines(problems / "rows.jsonl")
    assert 8 <= done < 80
    taught = (seed / "search_writer" / "done.json").stat().st_mtime_ns
    served = str(seed / "search_writer" / "model").encode()
    deadline = time.monotonic() + 10
    while (left := running(served)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, "the server outlived the program that started it"

    out, _ = start(tmp_path).communicate()
    found = json.loads(out.splitlines()[-1])
    assert (seed / "search_writer" / "done.json").stat().st_mtime_ns == taught
    for stage in ("problems", "reasoning"):
        assert (found[stage]["lost"], found[stage]["doubled"]) == (0, 0), found
    assert found["problems"]["rows"] == 80
    assert sum(found["problems"]["outcomes"].values()) == 80
    # Means something: far more than a writer that was taught nothing, of which no reply can be read.
    assert found["problems"]["kept_share"] > 0.05, found
    assert found["reasoning"]["kept_share"] > 0.3, found
    marks = found["writer"]["examined"]
    assert marks["first chain"]["readable"] > 0.5, marks


def running(word: bytes) -> list[int]:
    """Processes whose command line holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
