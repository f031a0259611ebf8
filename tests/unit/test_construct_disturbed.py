"""Constructions of dialogues while requests fail and processes are killed: no row is lost, doubled, or half a dialogue."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from chat_server import CUT, DROPS, ChatServer, Reply, failing
from dialogue_writers import ROLE, construct, made, recipe, source_of, talk

Serve = Callable[..., ChatServer]


@pytest.mark.parametrize("kind", ROLE)
def test_a_failed_request_is_a_marked_failure_and_no_row(kind: str, tmp_path: Path, chat_server: Serve) -> None:
    """Whatever fails, and then goes on: no row is lost, doubled, or made of half a dialogue."""
    faults = [failing(429), failing(500), CUT, DROPS, Reply('{"reply": "ha', finish_reason="length")]
    source, server = source_of(kind, 10), chat_server()
    server.behaviour = lambda request, n: faults[n % 10] if n % 10 < len(faults) else talk(request, n)
    overrides = ("stop_after=1000", f"stage.{ROLE[kind]}.tries=1", f"stage.{ROLE[kind]}.client.breaker_failures=null")
    first = construct(tmp_path, kind, server, source, *overrides)
    failed = made(tmp_path, "failed")
    assert first.failures.total() == len(failed) > 0 and {row["kind"] for row in failed} >= {"unavailable"}
    assert not {row["id"] for row in failed} & {row["id"] for row in made(tmp_path)}
    server.behaviour = talk
    second = construct(tmp_path, kind, server, source, *overrides)
    assert not second.failures and not made(tmp_path, "failed") and not made(tmp_path, "dropped")
    ids = [row["id"] for row in made(tmp_path)]
    assert len(ids) == len(set(ids)) == 10
    assert all(len(row["data"]) == (4 if kind == "conversations" else 2) for row in made(tmp_path))


def start(path: Path, kind: str) -> "subprocess.Popen[bytes]":
    run = f"sys.exit(main(['construct', {kind!r}, {str(path)!r}]))"
    code = f"import sys\nsys.modules['torch'] = None\nfrom medrl.cli import main\n{run}"
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROLE)
def test_kill_9_loses_and_doubles_nothing(kind: str, tmp_path: Path, chat_server: Serve) -> None:
    """The command itself, killed twice while it asks, without torch; then the same rows as when nobody had disturbed it."""
    count, kills = 40, 0
    server, draw = chat_server(lambda request, n: Reply(talk(request, n), delay=0.02)), random.Random(kind)
    path = recipe(tmp_path, kind, server.url, source_of(kind, count))
    while kills < 2:
        before, process = server.count, start(path, kind)
        while server.count < before + 8 and process.poll() is None:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.1))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        assert process.wait() == -signal.SIGKILL
    process = start(path, kind)
    assert process.wait() == 0
    rows = {row["id"]: row["data"] for row in made(tmp_path)}
    assert len(rows) == len(made(tmp_path)) == count and not made(tmp_path, "dropped")
    asked = Counter(json.dumps(request, sort_keys=True) for request in server.requests)
    assert asked.total() - len(asked) <= kills * 4  # what was under way at a kill is paid for twice, and nothing else
    (tmp_path / "calm").mkdir()
    construct(tmp_path / "calm", kind, server, source_of(kind, count))
    assert {row["id"]: row["data"] for row in made(tmp_path / "calm")} == rows


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["reasoning", "problems"])
def test_the_benchmark_kills_as_often_as_it_says(stage: str, tmp_path: Path) -> None:
    """`benchmarks/construct.py` with its scripted server, which fails one request in ten."""
    root, out = Path(__file__).resolve().parents[2], tmp_path / "figures.json"
    script = [sys.executable, str(root / "benchmarks" / "construct.py"), "--server", "scripted", "--stage", stage]
    sizes = ["--rows", "12", "--kills", "1", "--concurrency", "4", "--json", str(out)]
    done = subprocess.run(
        [*script, *sizes], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert (figures["rows"], figures["kills"], figures["rows_lost"], figures["rows_doubled"]) == (12, 1, 0, 0)
    assert figures["calls_paid_twice"] <= 4 and figures["rows_per_second"] > 0
