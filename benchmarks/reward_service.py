"""What the reward service costs, and what it loses when it is attacked or killed: `medrl serve` beside the same tree here.

    python benchmarks/reward_service.py [--requests N] [--at-once N] [--workers N] [--json FILE]

The server is a process of its own on loopback, started by the command line and asked by `medrl.rewards.RewardClient`.
The tree is HuatuoGPT-o1's levels over the typed rules with medrl's vocabulary; a request is one group of 8 responses to a
problem of the simulated clinic, English and Chinese. The same tree scores the same groups in this process first, and
every score that the service gives, parts and verdicts included, is held against that.

    load        all requests, so many at a time: time of each, from the call to its scores
    refused     wrong and missing tokens, bodies that are too large (by their header and by what comes), not JSON, not
                UTF-8, not a request: each must be answered with its 4xx
    killed      the same load; after a third of it the server gets SIGKILL, and another one takes its port
    overhead    blocks of groups in turn here and by the service, with as many groups in a request as a training step
                has; `overhead_ratio` is the median over the rounds of the service's wall time divided by this process's,
                with one worker. `overhead_single` is the same with one group in a request, one after the other

"lost" are responses that have a number here and none from the service; "wrong_scores" those whose score differs. Both
count over load and killed. This process, the server and its workers share the machine's cores: with two cores the client
takes one of them while the server computes.
"""

import argparse
import asyncio
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import fail, machine, print_machine, print_table, write_json

SIZE = 8  # responses in a group
TREE = """\
type: levels
format: {type: format, preset: o1}
correct: {type: verified, verifier: {type: typed, format: o1, vocabulary: medrl}, otherwise: 0.0}
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="requests of load and of killed")
    parser.add_argument("--at-once", type=int, default=64, help="requests under way")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the server")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of overhead")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def make_groups(count: int) -> list[Any]:
    """Groups of right, wrong, malformed and hedging responses to clinic problems."""
    from medrl.commands.attack_answers import right_answer, wrong_answers
    from medrl.commands.attacks import default_problems
    from medrl.types import Group, Response

    problems = default_problems(200)
    groups = []
    for i in range(count):
        problem = problems[i % len(problems)]
        wrong = wrong_answers(problem, [one for one in problems if one is not problem]) or ["fever"]
        answers = [right_answer(problem), *wrong[:3], f"{wrong[0]} or {right_answer(problem)}", "", "?"][:SIZE]
        answers += [f"{wrong[i % len(wrong)]} ({i})"] * (SIZE - len(answers))
        texts = [f"## Thinking\n\nCase {i}, answer {k}.\n\n## Final Response\n\n{a}" for k, a in enumerate(answers)]
        texts[-1] = answers[0]  # malformed
        groups.append(Group(problem, tuple(Response(text, token_count=len(text) // 4) for text in texts)))
    return groups


class Server:
    """`medrl serve` in a process of its own."""

    def __init__(self, folder: Path, port: int, token: str, workers: int) -> None:
        (folder / "reward.yaml").write_text(TREE, encoding="utf-8")
        settings = [f"port={port}", f"workers={workers}", "max_body=1"]
        environment = {**os.environ, "MEDRL_SERVICE_TOKENS": token}
        self.log = (folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "medrl", "serve", str(folder / "reward.yaml"), *settings],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def wait(self) -> None:
        """Until it is ready."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "ready" in line:
                return
        fail(f"the server did not start; see {self.log.name}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.log.close()
        return code


async def load(
    client: Any, groups: Sequence[Any], at_once: int, after: Callable[[int], None]
) -> tuple[list[list[Any]], list[float]]:
    """The scores of all groups, one request each, and the seconds of each."""
    found: list[list[Any]] = [[] for _ in groups]
    seconds = [0.0] * len(groups)
    done = 0

    left = iter(range(len(groups)))

    async def work() -> None:
        nonlocal done
        for place in left:
            begun = time.perf_counter()
            found[place] = (await client.score([groups[place]]))[0]
            seconds[place] = time.perf_counter() - begun
            done += 1
            after(done)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return found, seconds


def compare(found: Sequence[Sequence[Any]], truth: Sequence[Sequence[Any]]) -> tuple[int, int]:
    """Responses that lost their number, and those with another score."""
    lost = wrong = 0
    for row, right in zip(found, truth, strict=True):
        if len(row) != len(right):
            fail(f"a group of {len(right)} responses has {len(row)} scores")
        for one, other in zip(row, right, strict=True):
            if one.value is None and other.value is not None:
                lost += 1
                print(f"lost: {one.status}, {one.reason}", file=sys.stderr)
            wrong += one.value is not None and one.to_json() != plain(other)
    return lost, wrong


def plain(score: Any) -> Any:
    """A score as JSON brings it: tuples become lists and lists tuples again, as `Score.from_json` reads them."""
    import json

    from medrl.types import Score

    return Score.from_json(json.loads(json.dumps(score.to_json()))).to_json()


def refused(url: str, token: str) -> list[tuple[str, int, int]]:
    """What is sent, the status that is due, and the status that came."""
    import httpx2

    good = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def chunks() -> Any:
        for _ in range(64):
            yield b" " * (1 << 15)

    body = b'{"items":[{"problem":{"question":"?","reference":"gout"},"response":"gout"}]}'
    cases: list[tuple[str, int, dict[str, str], Any]] = [
        ("no token", 401, {"Content-Type": "application/json"}, body),
        ("wrong token", 401, {**good, "Authorization": f"Bearer {token[:-1]}"}, body),
        ("too large by its header", 413, good, b" " * (2 << 20)),
        ("too large, in chunks", 413, good, chunks()),
        ("not JSON", 400, good, body[:-2]),
        ("not UTF-8", 400, good, body.replace(b"gout", b"\xff\xfe")),
        ("NaN", 422, good, body.replace(b'"gout"', b"NaN")),
        ("nested too deeply", 422, good, b'{"a":' + b"[" * 60 + b"]" * 60 + b"}"),
        ("another shape", 422, good, b'{"texts":[]}'),
        ("not said to be JSON", 415, {**good, "Content-Type": "text/plain"}, body),
        ("a good one", 200, good, body),
    ]
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as client:
        return [
            (name, due, client.post("/v1/score", content=content, headers=headers).status_code)
            for name, due, headers, content in cases
        ]


def overhead(client: Any, tree: Any, groups: Sequence[Any], rounds: int) -> tuple[float, float]:
    """Median ratio of wall times: many groups in a request, and one."""
    ratios: dict[int, list[float]] = {len(groups): [], 1: []}
    for turn in range(rounds + 1):
        for size in ratios:
            blocks = [groups[at : at + size] for at in range(0, len(groups), size)]
            begun = time.perf_counter()
            for block in blocks:
                tree.score_sync(block)
            middle = time.perf_counter()
            for block in blocks:
                client.score_sync(block)
            if turn:
                ratios[size].append((time.perf_counter() - middle) / (middle - begun))
    many, one = (statistics.median(found) for found in ratios.values())
    return many, one


def main() -> None:
    options = arguments()
    import yaml

    from medrl.rewards import RewardClient, build

    token = secrets.token_urlsafe(32)
    os.environ["MEDRL_REWARD_TOKEN"] = token
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    tree, groups = build(yaml.safe_load(TREE)), make_groups(options.requests)
    begun = time.perf_counter()
    truth = [tree.score_sync([group])[0] for group in groups]
    here = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder, port, token, options.workers)
        server.wait()
        client = RewardClient(url, concurrency=options.at_once)
        begun = time.perf_counter()
        found, seconds = asyncio.run(load(client, groups, options.at_once, lambda _: None))
        wall = time.perf_counter() - begun
        lost, wrong = compare(found, truth)
        checked = refused(url, token)
        many, single = overhead(client, tree, groups[:64], options.rounds)

        restarted: list[Server] = []

        def kill(done: int) -> None:
            if done == len(groups) // 3:
                server.end(signal.SIGKILL)
                restarted.append(Server(folder, port, token, options.workers))

        found, _ = asyncio.run(load(client, groups, options.at_once, kill))
        lost_killed, wrong_killed = compare(found, truth)
        code = restarted[0].end()
    print_machine(of := machine())
    in_order = sorted(seconds)
    p50, p99 = (1000 * in_order[int(share * (len(in_order) - 1))] for share in (0.5, 0.99))
    figures = {
        "requests": len(groups),
        "at_once": options.at_once,
        "workers": options.workers,
        "responses": SIZE * len(groups),
        "lost": lost + lost_killed,
        "wrong_scores": wrong + wrong_killed,
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "requests_per_second": round(len(groups) / wall, 1),
        "groups_per_second_in_process": round(len(groups) / here, 1),
        "overhead_ratio": round(many, 3),
        "overhead_single": round(single, 3),
        "lost_when_killed": lost_killed,
        "wrong_when_killed": wrong_killed,
        "refused_as_due": sum(due == got for _, due, got in checked),
        "refused_asked": len(checked),
        "exit_status_after_sigterm": code,
        **{f"machine_{name}": value for name, value in of.items()},
    }
    print_table(("sent", "due", "came"), [(name, str(due), str(got)) for name, due, got in checked])
    print()
    shown = [(name, str(value)) for name, value in figures.items() if not name.startswith("machine_")]
    print_table(("figure", "value"), shown)
    write_json(options.json, figures)
    if figures["lost"] or figures["wrong_scores"] or figures["refused_as_due"] < len(checked):
        fail("the service lost or changed a score, or took what it must refuse")


if __name__ == "__main__":
    main()
