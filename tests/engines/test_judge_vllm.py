"""The judge over real vLLM: a server on loopback, and the same model in this process.

The model is tiny and random, so its verdicts mean nothing. What is tested is the way to them: replies keep the schema,
requests run side by side, what fails is no zero, and the self-test refuses such a judge.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from medrl.chat import ChatBadReply, ChatRefused, ChatReply, ChatRequest, ChatTimedOut, Message, OpenAIChat, build_chat
from medrl.construct.feedback_judge import FeedbackJudge, Task, judge_all
from medrl.data.feedback import Candidate
from medrl.errors import VerifierUntrustworthy
from medrl.rewards import RubricReward
from medrl.types import Group, Problem, Response, ask
from medrl.verifiers import verify_all
from medrl.verifiers.chat_judge import Judge
from medrl.verifiers.judge_prompt import FRAME, RUBRIC, schema
from medrl.verifiers.judge_votes import read_opinion

if TYPE_CHECKING:
    from medrl.engines.vllm_chat import VLLMChat

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CONTEXT, LONGEST = (
    4096,
    1700,
)  # a byte-level token may be a quarter of a character, so the bounds of the schema need 1,600
START = 240.0  # seconds that the server may take to start on a busy machine
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2 with a tokenizer of its own."""
    from medrl.models import ModelShape, Policy

    shape = ModelShape(
        vocab_size=1024,
        hidden_size=64,
        layers=2,
        heads=2,  # of 32: vLLM on the CPU has no kernel for 16
        key_value_heads=1,
        intermediate_size=128,
        context=CONTEXT,
    )
    place = tmp_path_factory.mktemp("judge") / "model"
    place.mkdir()
    Policy.new([*FRAME.values(), *RUBRIC.values()], shape, seed=3).save(place)
    return place


@dataclass
class Served:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """The whole process group, and wait for it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture(scope="module", autouse=True)
def starting(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """What `vllm serve` runs, on a free loopback port; it starts while the tests in this process run."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    options = "--dtype float32 --enforce-eager --max-num-seqs 64 --host 127.0.0.1 --served-model-name judge".split()
    # On a CPU a seeded request whose prompt is computed in pieces ends the server (docs/judge.md).
    options += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(4096, CONTEXT))]
    form = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *options, "--max-model-len", str(CONTEXT), "--structured-outputs-config", form],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
    server = Served(f"http://127.0.0.1:{port}/v1", process, log)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def served(starting: Served) -> Served:
    """The server, once it is healthy."""
    wait_for(starting)
    return starting


def wait_for(server: Served) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{server.url.removesuffix('/v1')}/health", timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"vllm serve was not healthy within {START:g} s: {server.log.read_text()[-3000:]}")


def client(server: Served, **knobs: Any) -> OpenAIChat:
    return OpenAIChat(**{"model": "judge", "base_url": server.url, "max_retries": 0, "concurrency": 32, **knobs})


def items(count: int) -> tuple[list[Problem], list[str]]:
    return [Problem(f"p{i}", ask("Diagnosis?"), f"disease {i}") for i in range(count)], [
        f"gout {i}" for i in range(count)
    ]


def requests(count: int, **knobs: Any) -> list[ChatRequest]:
    plain = {"max_tokens": LONGEST, "temperature": 1.0, "json_schema": schema(True)}
    return [ChatRequest((Message("user", f"Is it gout {i}?"),), **{**plain, "seed": i, **knobs}) for i in range(count)]


async def all_of(chat: Any, asked: list[ChatRequest]) -> list[ChatReply]:
    return list(await asyncio.gather(*(chat.complete(one) for one in asked)))


async def most_under_way(server: Served, work: Any) -> tuple[Any, int]:
    """What `work` gives, and the most requests that vLLM said it was running meanwhile."""
    task, most = asyncio.ensure_future(work), 0
    while not task.done():
        text = await asyncio.to_thread(metrics, server)
        most = max([most, *(int(float(line.rsplit(" ", 1)[1])) for line in text if "num_requests_running{" in line)])
        await asyncio.sleep(0.02)
    return task.result(), most


def metrics(server: Served) -> list[str]:
    with urllib.request.urlopen(server.url.removesuffix("/v1") + "/metrics", timeout=30) as reply:
        return str(reply.read().decode()).splitlines()


@pytest.fixture(scope="module")
def in_process(folder: Path) -> "Iterator[VLLMChat]":
    from medrl.engines.vllm_chat import VLLMChat

    chat = VLLMChat(str(folder), context=CONTEXT, eager=True, concurrency=32)
    yield chat
    asyncio.run(chat.close())


def test_a_model_in_this_process_keeps_the_schema_and_the_random_state(in_process: "VLLMChat") -> None:
    import random

    import torch

    random.seed(5)
    drawn, threads = random.random(), torch.get_num_threads()
    random.seed(5)
    replies = asyncio.run(all_of(in_process, requests(32)))
    assert random.random() == drawn and torch.get_num_threads() == threads
    assert {read_opinion(reply.text).verdict for reply in replies} <= {"match", "no_match", "unsure"}
    assert len({reply.text for reply in replies}) == 32
    assert all(reply.prompt_tokens > 10 and reply.completion_tokens > 10 for reply in replies)


def test_threads_and_loops_share_one_engine_and_equal_seeds_give_equal_replies(in_process: "VLLMChat") -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: asyncio.run(all_of(in_process, requests(4))), range(3)))
    texts = [[reply.text for reply in replies] for replies in found]
    assert texts[0] == texts[1] == texts[2] and len(set(texts[0])) == 4
    assert sum(thread.name.startswith("medrl-chat ") for thread in threading.enumerate()) == 1


@pytest.mark.parametrize(
    ("knobs", "kind"),
    [
        ({"max_tokens": 4}, ChatBadReply),
        ({"max_tokens": CONTEXT}, ChatRefused),
        ({"json_schema": {"type": "no such type"}}, ChatRefused),
    ],
)
def test_what_the_engine_cannot_give_is_an_error(in_process: "VLLMChat", knobs: dict[str, Any], kind: type) -> None:
    with pytest.raises(kind):
        asyncio.run(in_process.complete(requests(1, **knobs)[0]))
    assert asyncio.run(in_process.complete(requests(1)[0])).text  # its neighbours go on


def test_a_request_that_is_called_off_leaves_the_engine(in_process: "VLLMChat") -> None:
    async def called_off() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(all_of(in_process, requests(32, json_schema=None)), 0.05)

    asyncio.run(called_off())
    assert asyncio.run(in_process.complete(requests(1)[0])).text


def test_the_self_test_refuses_a_random_model_in_this_process(in_process: "VLLMChat") -> None:
    judge = Judge(in_process, max_tokens=LONGEST)
    problems, answers = items(2)
    assert {verdict.status for verdict in verify_all(judge, problems, answers)} == {"error"}
    assert judge.self_test_report is not None and judge.self_test_report.wrong
    again = build_chat(in_process.to_config())
    assert again == in_process and again.fingerprint() == in_process.fingerprint()


def test_it_can_be_closed_and_used_again_and_a_deadline_is_kept(in_process: "VLLMChat", folder: Path) -> None:
    before = asyncio.run(in_process.complete(requests(1)[0]))
    asyncio.run(in_process.close())
    assert not any(thread.name.startswith("medrl-chat ") for thread in threading.enumerate())
    hurried = replace(in_process, timeout=0.02)
    with pytest.raises(ChatTimedOut):
        asyncio.run(hurried.complete(requests(1, json_schema=None)[0]))
    asyncio.run(hurried.close())
    assert asyncio.run(in_process.complete(requests(1)[0])).text == before.text


def test_a_model_that_is_not_there_is_an_error_for_all_who_wait(tmp_path: Path) -> None:
    from medrl.engines.vllm_chat import VLLMChat

    judge = Judge(VLLMChat(str(tmp_path / "none")), self_test=False)
    problems, answers = items(3)
    assert {verdict.status for verdict in verify_all(judge, problems, answers)} == {"error"}


def test_a_random_model_behind_a_server_keeps_the_schema_with_32_requests_under_way(served: Served) -> None:
    most = 0
    for _ in range(3):  # a busy machine may look only before and after
        replies, seen = asyncio.run(most_under_way(served, all_of(client(served), requests(32))))
        most = max(most, seen)
        if most > 16:
            break
    opinions = [read_opinion(reply.text) for reply in replies]
    assert len(opinions) == 32 and {one.verdict for one in opinions} <= {"match", "no_match", "unsure"}
    assert most > 16  # nobody sees the very moment at which all 32 run
    assert all(reply.prompt_tokens and reply.completion_tokens for reply in replies)


def test_equal_seeds_give_equal_replies_and_votes_differ(served: Served) -> None:
    first, again = (asyncio.run(all_of(client(served), requests(4))) for _ in range(2))
    assert [reply.text for reply in first] == [reply.text for reply in again]
    assert len({reply.text for reply in first}) == 4


def test_a_reply_that_is_cut_off_is_an_error_and_never_a_zero(served: Served) -> None:
    problems, answers = items(4)
    cut = Judge(client(served), max_tokens=8, self_test=False)
    for verdict in verify_all(cut, problems, answers):
        assert (verdict.status, verdict.score) == ("error", None) and "max_tokens" in verdict.reason
    long = Problem("long", ask("Why? " * 5000), "gout")
    too_long = Judge(client(served), self_test=False).verify(long, "gout")
    assert (too_long.status, too_long.score, too_long.reason.split(":")[0]) == ("error", None, "refused")


@pytest.mark.parametrize("layout", ["numbered", "list"])
def test_a_rubric_over_the_server_gets_a_strict_reply_about_every_criterion(served: Served, layout: str) -> None:
    rubrics = [{"criterion": f"Says {word}", "points": 1} for word in ("rest", "ice", "gout")]
    problem = Problem("p", ask("My toe hurts."), kind="rubric", metadata={"rubrics": rubrics})
    grader = RubricReward(client(served), reply=layout, self_test=False)
    (scores,) = grader.score_sync([Group(problem, tuple(Response(f"Rest, day {i}.") for i in range(4)))])
    verdicts = [score.parts["rubric"].verdict for score in scores]
    assert [score.status for score in scores] == ["ok"] * 4
    assert all(verdict is not None and set(verdict.parts) == {"1", "2", "3"} for verdict in verdicts)
    refused = RubricReward(client(served), reply=layout).score_sync([Group(problem, (Response("Rest."),))])[0][0]
    assert refused.status == "error" and "may not grade by rubrics" in refused.reason


def test_ai_feedback_over_the_server_keeps_its_schemas(served: Served) -> None:
    problem = Problem("p", ask("My toe hurts."), "gout", "dialogue")
    task = Task(problem, (Candidate("Rest and ice."), Candidate("It is gout.")))
    for mode in ("compare", "rate"):
        judge = FeedbackJudge(client(served), mode=mode, max_tokens=LONGEST)
        outcome = asyncio.run(judge_all(judge, [task]))
        assert len(outcome.records) == 1, outcome.reasons


def test_the_self_test_refuses_a_random_model_behind_a_server(served: Served) -> None:
    judge = Judge(client(served), max_tokens=LONGEST)
    problems, answers = items(2)
    assert {verdict.status for verdict in verify_all(judge, problems, answers)} == {"error"}
    with pytest.raises(VerifierUntrustworthy, match="may not judge"):
        judge.check()


def test_a_server_that_is_killed_in_the_middle_gives_errors_and_no_zero(served: Served) -> None:
    chat = client(served, concurrency=8)
    judge = Judge(chat, max_tokens=LONGEST, self_test=False)
    problems, answers = items(64)

    async def judged() -> list[Any]:
        task = asyncio.ensure_future(
            judge.verify_batch([(p, Response(a)) for p, a in zip(problems, answers, strict=True)])
        )
        while chat.statistics.calls < 8:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(served.kill)
        return await task

    verdicts = asyncio.run(judged())
    answered = chat.statistics.calls - sum(chat.statistics.failures.values())
    failed = [verdict for verdict in verdicts if verdict.status in ("error", "timeout")]
    assert len(verdicts) == 64 and 8 <= answered < 64 and len(failed) == 64 - answered
    assert all(verdict.score is None and verdict.parts["failed"] == 1.0 for verdict in failed)
    assert all(verdict.parts["failed"] == 0.0 for verdict in verdicts if verdict not in failed)
    assert judge.verify(problems[0], "gout").status == "error"
