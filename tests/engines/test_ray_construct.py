"""`medrl construct` with `placement: ray`: shards that are stopped and killed in the middle, and no row lost or doubled."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, failing
from dialogue_writers import construct, made, recipe, source_of, talk

from medrl.cluster.fleet import ShardSettings
from medrl.cluster.shards import FolderUnseen, _shard, run_shards
from medrl.errors import ClusterUnavailable, DataError

pytestmark = [pytest.mark.engine, pytest.mark.slow]
Serve = Callable[..., ChatServer]
KIND, ROWS = "conversations", 40


def disturbed(request: dict[str, Any], n: int) -> Reply:
    return failing(500) if n % 53 == 7 else Reply(talk(request, n), delay=0.1)


def start(path: Path, log: Path) -> "subprocess.Popen[bytes]":
    """As a terminal starts it: in a process group of its own, which is what Ctrl-C is for."""
    words = ["construct", KIND, str(path), "placement=ray", "shards=2", "stage.patient.client.max_retries=8"]
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "medrl", *words], cwd=path.parent, stdout=out, stderr=out, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # the tests' own may be ignored
        )  # fmt: skip


def rows_of(shard: Path) -> int:
    return len(made(shard.parent.parent, f"{shard.name}/rows")) if shard.exists() else 0


def wait_for(enough: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60.0
    while not enough():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.02)


def test_ctrl_c_and_kill_9_of_a_shard_lose_and_double_nothing(tmp_path: Path, chat_server: Serve) -> None:
    server, log, whole = chat_server(disturbed), tmp_path / "log", tmp_path / "out"
    path = recipe(tmp_path, KIND, server.url, source_of(KIND, ROWS))
    shards = [whole / f"shard-{place}-of-2" for place in range(2)]

    stopped = start(path, log)
    wait_for(lambda: sum(map(rows_of, shards)) >= 8, stopped, log)
    os.killpg(stopped.pid, signal.SIGINT)
    assert stopped.wait(60) == 130, log.read_text()[-3000:]
    assert "stopped; the same command goes on" in log.read_text()
    some = [rows_of(one) for one in shards]
    assert 8 <= sum(some) < ROWS and not (whole / "rows.jsonl").exists()

    goes_on = start(path, log)
    victim = some.index(min(some))  # the one that has most left to do
    wait_for(lambda: rows_of(shards[victim]) >= some[victim] + 2, goes_on, log)
    holder = re.match(r"process (\d+) on ", (shards[victim] / ".lock").read_text())
    assert holder is not None and int(holder[1]) != goes_on.pid
    os.kill(int(holder[1]), signal.SIGKILL)
    assert goes_on.wait(60) == 0, log.read_text()[-3000:]
    assert f"shard {victim} was lost" in log.read_text()

    rows = {row["id"]: row["data"] for row in made(tmp_path)}
    assert len(rows) == len(made(tmp_path)) == ROWS and not made(tmp_path, "dropped") and not made(tmp_path, "failed")
    (tmp_path / "calm").mkdir()
    server.behaviour = talk
    construct(tmp_path / "calm", KIND, server, source_of(KIND, ROWS))
    assert {row["id"]: row["data"] for row in made(tmp_path / "calm")} == rows


def fall(shard: str) -> None:
    """A shard that ends its process, raises, or does its work."""
    if shard == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if shard == "raises":
        raise DataError("there is no such file")
    Path(shard).touch()


def test_a_shard_that_always_dies_is_given_up_and_one_that_raises_is_not_begun_again(
    ray: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ShardSettings(cpus=1, max_restarts=1)
    with pytest.raises(ClusterUnavailable, match=r"shard 0 was lost 2 times, which is more than .* allows"):
        run_shards(fall, ["dies", str(tmp_path / "a")], tmp_path, settings)
    with pytest.raises(DataError, match="no such file") as raised:
        run_shards(fall, [str(tmp_path / "b"), "raises"], tmp_path, settings)
    assert raised.value.__notes__ == ["in shard 1 of 2"]
    caplog.clear()
    with pytest.raises(DataError, match="no such file"):
        run_shards(fall, ["raises", "raises"], tmp_path, settings)
    told = sorted(record.getMessage() for record in caplog.records if "failed" in record.getMessage())
    assert told == [f"shard {number} failed: DataError: there is no such file" for number in range(2)]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"], "the others were done, and no mark is left"
    with pytest.raises(ClusterUnavailable, match="no node of the Ray cluster has 1000 CPUs"):
        run_shards(fall, ["raises"], tmp_path, ShardSettings(cpus=1000))


def test_a_node_that_does_not_see_the_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / ".shared").write_text("of another machine")
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FolderUnseen, match=f"does not see {folder} as this machine does"):
            _shard(fall, str(tmp_path / "a"), folder, "token", os.getcwd())
    with pytest.raises(FolderUnseen, match="does not see /absent"):
        _shard(fall, str(tmp_path / "a"), tmp_path, "of another machine", "/absent")
    assert not (tmp_path / "a").exists()
