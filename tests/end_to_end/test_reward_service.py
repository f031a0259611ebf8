"""`medrl serve` as a process on loopback and real clients: kills, crashes, hangs, slow clients, and the page of docs."""

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from medrl import cli
from medrl.rewards import Gate, Remote, RewardClient, Verified, build
from medrl.rewards.fingerprint import fingerprint
from medrl.types import Group, Problem, Response, ask
from medrl.verifiers import Text

TOKEN = "a-token-of-tests-0001"
BREAKS = "type: rewards_that_break:breaks\n"
LEVELS = """\
type: levels
format: {type: format, preset: o1}
correct: {type: verified, verifier: {type: typed, format: o1}, otherwise: 0.0}
"""


@dataclass
class Server:
    """A running `medrl serve`."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(30)


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts servers: `start(yaml, "knob=value", ...)`; `wait=False` returns before they are ready."""
    monkeypatch.setenv("MEDRL_REWARD_TOKEN", TOKEN)
    started: list[Server] = []

    def begin(tree: str, *settings: str, wait: bool = True) -> Server:
        (tmp_path / "reward.yaml").write_text(tree, encoding="utf-8")
        log = tmp_path / f"server-{len(started)}.log"
        path = os.pathsep.join([str(repository), str(repository / "tests" / "end_to_end")])
        given = settings if any(one.startswith("port=") for one in settings) else ("port=0", *settings)
        process = subprocess.Popen(
            [sys.executable, "-m", "medrl", "serve", "reward.yaml", *given],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "MEDRL_SERVICE_TOKENS": TOKEN, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "serving at" in line, log.read_text()
        started.append(Server(process, line.split()[-1], log))
        if wait:
            assert "ready" in process.stdout.readline(), log.read_text()
        return started[-1]

    yield begin
    for server in started:
        server.end(signal.SIGKILL)


def group(*texts: str, id: str = "p", reference: str = "gout") -> Group:
    return Group(Problem(id, ask("Which disease?"), reference), tuple(map(Response, texts)))


def form(text: str) -> str:
    return f"## Thinking\n\nLabs.\n\n## Final Response\n\n{text}"


def groups_of(count: int) -> list[Group]:
    return [group(form("gout"), form(f"measles {i}"), "gout", form(f"{i} mg"), id=f"p{i}") for i in range(count)]


def workers_of(server: Server) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] not in "ZX"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_killed_and_restarted_under_load_every_score_is_that_of_the_tree_here(start: Start) -> None:
    import yaml

    groups = groups_of(60)
    tree = build(yaml.safe_load(LEVELS))
    here = tree.score_sync(groups)
    server = start(LEVELS, "workers=2")
    client = RewardClient(server.url, concurrency=8, batch=4)
    found: dict[int, Any] = {}

    pids: list[int] = []

    async def load() -> None:
        async for place, scores in client.stream(groups):
            found[place] = scores
            if len(found) == 20:
                pids.extend(workers_of(server))
                server.end(signal.SIGKILL)
                assert pids and until(lambda: not any(map(alive, pids))), "workers outlived their server"
                start(LEVELS, "workers=2", f"port={server.port}", wait=False)

    asyncio.run(load())
    assert [found[place] for place in range(len(groups))] == here
    assert client.score_sync(groups) == here
    client.close()


def test_a_response_that_ends_its_worker_costs_its_neighbours_nothing(start: Start) -> None:
    server = start(BREAKS, "workers=1", "in_flight=4")
    client = RewardClient(server.url, concurrency=12)

    async def load() -> list[list[Any]]:
        texts = ["nap", "a", "crash", "abc", "nap", "crash", "ab"]
        return [rows[0] for rows in await asyncio.gather(*(client.score([group(text)]) for text in texts))]

    scores = [row[0] for row in asyncio.run(load())]
    assert [one.value for one in scores] == [3.0, 1.0, None, 3.0, 3.0, None, 2.0]
    assert {one.status for one in scores if one.value is None} == {"error"}
    assert all("SIGKILL" in one.reason for one in scores if one.value is None)
    text = httpx2.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert float(re.search(r"^medrl_workers_lost_total (\S+)", text, re.MULTILINE)[1]) >= 2  # type: ignore[index]
    client.close()


def test_a_response_that_hangs_times_out_alone_and_health_answers_meanwhile(start: Start) -> None:
    server = start(BREAKS, "workers=1", "deadline=4")
    client = RewardClient(server.url, patience=0.0)
    slowest = 0.0

    async def load() -> list[Any]:
        nonlocal slowest
        hangs = asyncio.create_task(client.score([group("hang")]))
        async with httpx2.AsyncClient() as http:
            while not hangs.done():
                begun = time.perf_counter()
                assert (await http.get(f"{server.url}/healthz")).status_code == 200
                slowest = max(slowest, time.perf_counter() - begun)
                await asyncio.sleep(0.05)
        return (await hangs)[0]

    (hung,) = asyncio.run(load())
    assert (hung.value, hung.status) == (None, "timeout")
    assert until(lambda: client.score_sync([group("abcd")])[0][0].value == 4.0, 60.0), "no worker came in its place"
    assert slowest < 2.0, f"health took {slowest:.2f} s while a rule computed for four"


def test_a_response_that_hangs_costs_the_neighbours_behind_it_no_score(start: Start) -> None:
    server = start(BREAKS, "workers=1", "deadline=8", "in_flight=4", "hang=1")
    client = RewardClient(server.url, patience=0.0)
    texts = ["hang" if i == 3 else "x" * (i + 1) for i in range(10)]

    async def load() -> list[Any]:
        return [rows[0] for rows in await asyncio.gather(*(client.score([group(text)]) for text in texts))]

    begun = time.monotonic()
    scores = [row[0] if isinstance(row, list) else row for row in asyncio.run(load())]
    assert [one.value for one in scores] == [None if i == 3 else float(i + 1) for i in range(10)]
    assert scores[3].status == "timeout" and time.monotonic() - begun < 16
    assert client.score_sync([group("nap")])[0][0].value == 3.0


def test_sigterm_ends_what_is_under_way_refuses_what_is_new_and_exits_with_0(start: Start) -> None:
    server = start(BREAKS, "workers=1", "in_flight=1")
    answers: list[int] = []
    body = {"items": [{"problem": {"question": "?"}, "response": "nap"}] * 3}
    headers = {"Authorization": f"Bearer {TOKEN}"}

    def ask_slowly() -> None:
        answers.append(httpx2.post(f"{server.url}/v1/score", json=body, headers=headers, timeout=20).status_code)

    with httpx2.Client(headers=headers) as kept:
        assert kept.get(f"{server.url}/readyz").status_code == 200
        thread = threading.Thread(target=ask_slowly)
        thread.start()
        time.sleep(0.4)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        refused = kept.post(f"{server.url}/v1/score", json=body)
        assert refused.status_code == 503 and "Retry-After" in refused.headers
    thread.join()
    assert answers == [200]
    assert server.process.wait(10) == 0
    assert not any(map(alive, workers_of(server)))


def test_clients_that_say_nothing_or_trickle_are_cut_off(start: Start) -> None:
    server = start(BREAKS, "header_timeout=0.5", "body_timeout=0.5")
    trickles = [b"", b"GET /healthz HTTP/1.1\r\nX-A: ", b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\n"]
    whole = f"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    whole += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    for first in [*trickles, whole.encode()]:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
            one.sendall(first)
            begun = time.monotonic()
            said = b""
            try:
                while piece := one.recv(4096):
                    said += piece
            except ConnectionResetError:
                pass
            assert time.monotonic() - begun < 5, f"{first!r} held its connection"
        assert (b" 408 " in said) == (first == whole.encode())


def test_a_lying_content_length_breaks_nothing(start: Start) -> None:
    server = start(BREAKS)
    head = f"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Content-Type: application/json\r\n"
    for lines in ("Content-Length: 3\r\n\r\n{}" + "x" * 500, "Content-Length: -5\r\n\r\n{}",
                  "Content-Length: 5\r\nContent-Length: 9\r\n\r\n{}   ", "Content-Length: 99999999999\r\n\r\n{}",
                  "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"):  # fmt: skip
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
            one.sendall((head + lines).encode())
            assert re.match(rb"HTTP/1.1 4\d\d", one.recv(4096)), lines
    assert httpx2.get(f"{server.url}/healthz").status_code == 200


def test_the_logs_of_server_and_workers_hold_no_word_of_a_patient(start: Start) -> None:
    server = start(BREAKS)
    found = RewardClient(server.url).score_sync([group("raise", "secretpatient")])
    assert "secretpatient" in found[0][0].reason and found[0][1].value == 13.0
    assert server.end() == 0
    log = server.log.read_text()
    assert "1 groups 2 responses" in log and "secret" not in log and TOKEN not in log


# The client and the leaf


def test_a_tree_that_runs_elsewhere_is_a_leaf_like_any_other(start: Start) -> None:
    import yaml

    server = start(LEVELS)
    here = build(yaml.safe_load(LEVELS))
    tree = Gate(Verified(Text(), name="exact", otherwise=1.0), Remote(server.url, dangers="none"))
    groups = groups_of(3)
    there = tree.score_sync(groups)
    assert [[one.value for one in row] for row in there] == [
        [one.value for one in row] for row in here.score_sync(groups)
    ]
    assert {"exact", "remote", "remote/correct", "remote/format"} <= set(there[0][0].parts)
    assert build(tree.to_config()).score_sync(groups) == there
    import pickle

    assert pickle.loads(pickle.dumps(tree)).score_sync(groups) == there
    wrong = Remote(server.url, fingerprint="0" * 16)
    assert {one.status for one in wrong.score_sync(groups)[0]} == {"error"}
    assert Remote(server.url, fingerprint=fingerprint(here)).score_sync(groups)[0][0].value == 1.0


@pytest.mark.slow
def test_a_server_with_another_tree_does_not_go_on_paying_a_run(start: Start) -> None:
    server = start(LEVELS)
    client = RewardClient(server.url)
    assert client.score_sync(groups_of(1))[0][0].value == 1.0
    server.end()
    start(LEVELS + "wrong: 0.0\n", f"port={server.port}")
    found = client.score_sync(groups_of(1))[0]
    assert [(one.value, one.status) for one in found] == [(None, "error")] * 4 and "another" not in found[0].reason
    assert "was expected" in found[0].reason


def test_openrlhf_can_bring_its_token_in_the_address(start: Start) -> None:
    """aiohttp, which OpenRLHF asks with, makes Basic authorization of what stands before the host."""
    import aiohttp

    server = start(LEVELS)
    body = {"query": ["<s>q?" + form("gout") + "</s>"], "prompts": ["<s>q?"], "labels": ["gout"]}

    async def ask_as_openrlhf(token: str) -> tuple[int, Any]:
        url = server.url.replace("http://", f"http://medrl:{token}@") + "/get_reward"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            return response.status, await response.json()

    status, row = asyncio.run(ask_as_openrlhf(TOKEN))
    assert status == 200 and row["rewards"] == [1.0] and row["extra_logs"]["correct"] == [1.0]
    assert asyncio.run(ask_as_openrlhf("wrong-token-of-tests"))[0] == 401


# What cannot start


@pytest.mark.parametrize(
    ("tree", "settings", "words"),
    [
        ("type: levels\n", ["port=0"], "correct"),
        (BREAKS, ["host=0.0.0.0", "port=0"], "no token"),
        (BREAKS, ["port=99999"], "port"),
        (BREAKS, ["workers=-1", "prot=3"], "did you mean 'port'"),
        ("type: nowhere:nothing\n", ["port=0"], "nowhere"),
    ],
)
def test_what_cannot_be_served_is_told_with_exit_status_2(
    tmp_path: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tree: str,
    settings: Sequence[str],
    words: str,
) -> None:
    (tmp_path / "reward.yaml").write_text(tree)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(repository / "tests" / "end_to_end")])
    monkeypatch.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))
    monkeypatch.delenv("MEDRL_SERVICE_TOKENS", raising=False)
    assert cli.main(["serve", "reward.yaml", *settings]) == 2
    assert words in capsys.readouterr().err


# The page


@pytest.mark.slow
def test_every_command_of_the_page_runs(start: Start, repository: Path, tmp_path: Path) -> None:
    """The blocks `sh` of docs/service.md that ask, against a server of this test."""
    page = (repository / "docs" / "service.md").read_text(encoding="utf-8")
    tree = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    blocks = [text for text in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "curl" in text]
    assert len(blocks) >= 4
    server = start(tree)
    environment = {**os.environ, "TOKEN": TOKEN}
    for block in blocks:
        code = block.replace("http://127.0.0.1:8480", server.url)
        done = subprocess.run(
            ["bash", "-euc", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        shown = re.search(r"^# (.+)$", block, re.MULTILINE)
        assert shown is None or shown[1] in done.stdout, f"{code}\n{done.stdout}"


def test_settings_of_the_page_are_those_that_there_are(repository: Path) -> None:
    from medrl.services import ServiceSettings

    page = (repository / "docs" / "service.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == set(ServiceSettings.__dataclass_fields__)


@pytest.mark.slow
def test_the_benchmark_loses_nothing(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/reward_service.py", "--requests", "200", "--rounds", "1"]
    figures = tmp_path / "figures.json"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [*command, "--json", str(figures)], cwd=repository, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads(figures.read_text())
    assert (row["requests"], row["lost"], row["wrong_scores"]) == (200, 0, 0) and row["p99_ms"] > 0
