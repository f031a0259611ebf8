"""`OpenAIChat` against a real HTTP server that fails in each way: a whole reply or a `ChatError`, and nothing between."""

import asyncio
import gc
import json
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from chat_server import CUT, DROPS, HANGS, ChatServer, Reply, always, failing, garbled

from medrl.chat import (
    BudgetSpent,
    ChatBadReply,
    ChatError,
    ChatRefused,
    ChatReply,
    ChatRequest,
    ChatTimedOut,
    ChatUnavailable,
    CircuitOpen,
    Message,
    OpenAIChat,
    build_chat,
)
from medrl.chat.limits import Breaker, Gate
from medrl.chat.openai_wire import sendable
from medrl.chat.retry import retry_after, seconds_before
from medrl.chat.schema import breach
from medrl.errors import MedrlError, RecipeError

Start = Callable[..., ChatServer]
SECRET = "sk-this-must-never-be-seen-42"
VERDICT = {
    "type": "object",
    "properties": {"correct": {"type": "boolean"}, "why": {"type": "string"}},
    "required": ["correct"],
    "additionalProperties": False,
}


def client(server: ChatServer | str, **knobs: Any) -> OpenAIChat:
    """A client that waits little between tries."""
    url = server if isinstance(server, str) else server.url
    return OpenAIChat(**{"model": "judge", "base_url": url, "backoff": 0.01, "timeout": 5.0, "max_retries": 3, **knobs})


def ask(text: str = "Is gout an arthritis?", **knobs: Any) -> ChatRequest:
    return ChatRequest((Message("system", "You judge."), Message("user", text)), **knobs)


def run(chat: OpenAIChat, *requests: ChatRequest) -> list[ChatReply | BaseException]:
    """All requests at once on a loop of their own."""

    async def gather() -> list[ChatReply | BaseException]:
        return await asyncio.gather(*map(chat.complete, requests), return_exceptions=True)

    return asyncio.run(gather())


def one(chat: OpenAIChat, request: ChatRequest | None = None) -> ChatReply:
    return asyncio.run(chat.complete(request or ask()))


def test_a_reply_and_what_was_sent(chat_server: Start) -> None:
    server = chat_server(always("True"))
    chat = client(server, extra_body={"top_k": 1})
    reply = one(chat, ask("hi there", max_tokens=7, temperature=0.5, seed=3, json_schema=None))
    assert reply == ChatReply("True", "judge", prompt_tokens=4, completion_tokens=1, attempts=1, cached=False)
    assert server.requests == [
        {
            "model": "judge",
            "messages": [{"role": "system", "content": "You judge."}, {"role": "user", "content": "hi there"}],
            "max_tokens": 7,
            "temperature": 0.5,
            "seed": 3,
            "top_k": 1,
        }
    ]
    counts = chat.statistics
    assert (counts.calls, counts.sent, counts.retries, counts.failures) == (1, 1, 0, {})
    assert (counts.prompt_tokens, counts.completion_tokens) == (4, 1)


def unpaid(code: str | int, kind: str | None) -> Reply:
    """429 as OpenAI sends it: `code` and type tell a full minute from an empty account."""
    error = {"message": "You exceeded your current quota.", "type": kind, "param": None, "code": code}
    return Reply(status=429, body=json.dumps({"error": error}).encode())


# What never mends: (what the server does, the error, how often it is sent with 3 retries).
LASTING = [
    (failing(400), ChatRefused, 1),
    (failing(401), ChatRefused, 1),
    (failing(403), ChatRefused, 1),
    (failing(404), ChatRefused, 1),
    (failing(422), ChatRefused, 1),
    (failing(408), ChatUnavailable, 4),
    (failing(409), ChatUnavailable, 4),
    (failing(429), ChatUnavailable, 4),
    (unpaid("insufficient_quota", "insufficient_quota"), ChatRefused, 1),
    (unpaid("billing_not_active", None), ChatRefused, 1),
    (unpaid(429, "insufficient_quota"), ChatRefused, 1),
    (unpaid("rate_limit_exceeded", "requests"), ChatUnavailable, 4),
    (failing(501), ChatRefused, 1),
    (failing(505), ChatRefused, 1),
    (failing(500), ChatUnavailable, 4),
    (failing(502), ChatUnavailable, 4),
    (failing(503), ChatUnavailable, 4),
    (DROPS, ChatUnavailable, 4),
    (CUT, ChatUnavailable, 4),
    (Reply(raw=b"220 mail.example ESMTP\r\n"), ChatUnavailable, 4),
    (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"), ChatUnavailable, 4),
    (HANGS, ChatTimedOut, 4),
    (garbled(b""), ChatBadReply, 4),
    (garbled(b'{"choices": [{"mess'), ChatBadReply, 4),
    (garbled(b"<html>busy</html>"), ChatBadReply, 4),
    (garbled(b"[]"), ChatBadReply, 4),
    (garbled(b"{}"), ChatBadReply, 4),
    (garbled(b'{"choices": []}'), ChatBadReply, 4),
    (garbled(b'{"choices": [{"message": "True"}]}'), ChatBadReply, 4),
    (garbled(b"\xff\xfe\x00"), ChatBadReply, 4),
    (Reply(None), ChatBadReply, 1),
    (Reply(""), ChatBadReply, 1),
    (Reply("  \n"), ChatBadReply, 1),
    (Reply("True", finish_reason="length"), ChatBadReply, 1),
    (Reply("True", finish_reason="content_filter"), ChatBadReply, 1),
    (Reply("True", finish_reason="tool_calls"), ChatBadReply, 1),
    (Reply("True", finish_reason="abort"), ChatBadReply, 4),
]


@pytest.mark.parametrize(("does", "error", "sent"), LASTING)
def test_what_lasts_is_an_error_and_never_a_reply(
    chat_server: Start, does: Reply, error: type[ChatError], sent: int
) -> None:
    server = chat_server(lambda request, n: does)
    chat = client(server, timeout=0.15 if does is HANGS else 5.0)
    with pytest.raises(error) as caught:
        one(chat)
    assert type(caught.value) is error
    assert isinstance(caught.value, MedrlError)
    assert server.count == sent
    assert chat.statistics.failures == {error.kind: 1}
    assert sum(chat.statistics.faults.values()) == sent == chat.statistics.sent
    assert type(pickle.loads(pickle.dumps(caught.value))) is error


@pytest.mark.parametrize(
    ("does", "name"),
    [
        (failing(503), "503"),
        (DROPS, "connection"),
        (CUT, "connection"),
        (HANGS, "timeout"),
        (garbled(b"{"), "garbled"),
        (Reply(""), "empty"),
        (Reply("x", finish_reason="length"), "length"),
        (Reply("x", finish_reason="content_filter"), "content_filter"),
        (Reply("x", finish_reason="abort"), "abort"),
    ],
)
def test_faults_are_counted_by_name(chat_server: Start, does: Reply, name: str) -> None:
    chat = client(chat_server(lambda request, n: does), timeout=0.2 if does is HANGS else 5.0, max_retries=0)
    assert not isinstance(run(chat, ask())[0], ChatReply)
    assert chat.statistics.faults == {name: 1}


@pytest.mark.parametrize("does", [does for does, _, sent in LASTING if sent == 4])
def test_what_passes_is_tried_again(chat_server: Start, does: Reply) -> None:
    server = chat_server(lambda request, n: does if n < 2 else "True")
    reply = one(client(server, timeout=0.15 if does is HANGS else 5.0))
    assert (reply.text, reply.attempts) == ("True", 3)
    assert server.requests[0] == server.requests[2]


def test_a_refused_connection_is_unavailable_and_costs_no_budget(chat_server: Start) -> None:
    server = chat_server()
    server.close()
    chat = client(server, max_retries=1, budget_calls=1, budget_tokens=10_000)
    with pytest.raises(ChatUnavailable, match=r"2 attempts.*see whether the server at http"):
        one(chat)
    assert chat._shared.budget.spent == (0, 0)


def test_retry_after_is_kept_and_bounded(chat_server: Start) -> None:
    server = chat_server(lambda request, n: failing(429, retry_after="0.3") if n == 0 else "True")
    began = time.monotonic()
    assert one(client(server)).attempts == 2
    assert time.monotonic() - began >= 0.3
    server.behaviour = lambda request, n: failing(429, retry_after="3600") if n == 2 else "True"
    began = time.monotonic()
    assert one(client(server, longest_retry_after=0.1)).attempts == 2
    assert time.monotonic() - began < 60.0


def test_retry_after_as_a_date_and_as_nonsense() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, now) == 30.0
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, now) == 0.0
    assert retry_after({"retry-after": "7"}) == 7.0
    assert retry_after({"retry-after": "-7"}) == 0.0
    for nonsense in ("", "soon", "inf", "nan", "12:00"):
        waits = retry_after({"retry-after": nonsense})
        assert waits is None or 0.0 <= waits < 1e9


def test_backoff_grows_has_full_jitter_and_depends_on_no_other_draw() -> None:
    waits = [seconds_before(2, f"request {i}", 0.5, 60.0, None) for i in range(2000)]
    assert 0.0 <= min(waits) < 0.01
    assert 0.99 < max(waits) <= 1.0
    assert 0.47 < sum(waits) / len(waits) < 0.53
    assert waits[7] == seconds_before(2, "request 7", 0.5, 60.0, None)
    assert max(seconds_before(90, str(i), 0.5, 3.0, None) for i in range(100)) <= 3.0


def test_the_queue_does_not_count_against_the_deadline(chat_server: Start) -> None:
    server = chat_server(lambda request, n: Reply("True", delay=0.05))
    chat = client(server, concurrency=1, timeout=1.0, max_retries=0)
    replies = run(chat, *(ask(str(i)) for i in range(25)))
    assert [type(reply) for reply in replies] == [ChatReply] * 25
    assert server.peak == 1
    assert chat.statistics.waited > 5.0  # the last one alone stood 1.2 s in the queue


def test_the_deadline_is_of_the_whole_attempt(chat_server: Start) -> None:
    """Also where the server begins to answer in time."""
    server = chat_server(lambda request, n: Reply("True", trickle=0.2))
    began = time.monotonic()
    with pytest.raises(ChatTimedOut):
        one(client(server, timeout=0.3, max_retries=0))
    assert time.monotonic() - began < 30.0


def test_a_loop_that_was_held_up_still_reads_a_reply_that_came_in_time(chat_server: Start) -> None:
    server = chat_server(lambda request, n: Reply("True", delay=0.05))

    async def work() -> list[ChatReply]:
        chat = client(server, timeout=0.6, max_retries=0)
        asked = [asyncio.create_task(chat.complete(ask(str(i)))) for i in range(5)]
        while server.count < 5:
            await asyncio.sleep(0.001)
        time.sleep(0.9)  # what a training step does to the loop
        return await asyncio.gather(*asked)

    assert len(asyncio.run(work())) == 5


def test_order_and_concurrency(chat_server: Start) -> None:
    def echo(request: dict[str, Any], n: int) -> Reply:
        text = request["messages"][-1]["content"]
        return failing(503) if int(text) % 3 == n % 2 == 0 else Reply(text, delay=0.002 * (int(text) % 5))

    server = chat_server(echo)
    chat = client(server, concurrency=8, max_retries=10)
    replies = run(chat, *(ask(str(i)) for i in range(120)))
    assert [reply.text for reply in replies if isinstance(reply, ChatReply)] == [str(i) for i in range(120)]
    assert 2 <= server.peak <= 8


def test_threads_and_loops_share_one_limit(chat_server: Start) -> None:
    server = chat_server(lambda request, n: Reply(request["messages"][-1]["content"], delay=0.01))
    chat = client(server, concurrency=3, budget_calls=60)
    results: dict[int, list[Any]] = {}

    def work(k: int) -> None:
        results[k] = run(chat, *(ask(f"{k}-{i}") for i in range(10)))

    for _ in range(2):  # two loops one after another in each of three threads
        threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {k: [r.text for r in rows] for k, rows in results.items()} == {
            k: [f"{k}-{i}" for i in range(10)] for k in range(3)
        }
    assert server.peak == 3
    assert chat.statistics.calls == chat.statistics.sent == 60


def test_a_loop_that_ends_leaves_no_connection_behind(chat_server: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = chat_server()
    chat = client(server)
    for _ in range(5):
        run(chat, *(ask(str(i)) for i in range(4)))
        assert len(chat._shared.connections._clients) == 0
    deadline = time.monotonic() + 5.0
    while server.open_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.open_connections == 0
    gc.collect()
    assert "Unclosed" not in caplog.text  # aiohttp says so of what nobody closed

    async def close_and_go_on() -> None:
        await chat.complete(ask())
        await chat.close()
        assert len(chat._shared.connections._clients) == 0
        assert (await chat.complete(ask())).text == "True"

    asyncio.run(close_and_go_on())


def test_the_budget_of_calls_is_exact(chat_server: Start) -> None:
    server = chat_server(lambda request, n: failing(500) if n % 5 == 0 else Reply("True", delay=0.005))
    chat = client(server, concurrency=200, budget_calls=50, max_retries=3)
    replies = run(chat, *(ask(str(i)) for i in range(200)))
    kinds = Counter(type(reply) for reply in replies)
    assert server.count == 50 == chat.statistics.sent
    assert kinds[ChatReply] == 40
    assert kinds[BudgetSpent] == 160
    assert chat.statistics.failures == {"budget": 160}


def test_the_budget_of_tokens_is_never_overdrawn(chat_server: Start) -> None:
    server = chat_server(lambda request, n: Reply("one two three four five", delay=0.002))
    chat = client(server, concurrency=4, budget_tokens=2000)
    request = ask("x " * 50, max_tokens=100)  # takes 52 + 5 tokens, and 142 + 100 at most
    replies = run(chat, *[request] * 100)
    good = sum(isinstance(reply, ChatReply) for reply in replies)
    assert {type(reply) for reply in replies} == {ChatReply, BudgetSpent}
    assert chat._shared.budget.spent == (good, 57 * good)
    assert 1000 < 57 * good <= 2000
    with pytest.raises(BudgetSpent, match="nothing was sent; raise it"):
        one(chat, ask("x", max_tokens=2001))
    assert server.count == good


def test_what_nobody_knows_stays_charged(chat_server: Start) -> None:
    request = ask("hi", max_tokens=10)
    most = 10 + len("You judge.") + 16 + len("hi") + 16
    for does, spent in ((HANGS, most), (Reply("True", usage=False), most), (failing(500), 0), (Reply("True"), 4)):
        server = chat_server(lambda _request, n, does=does: does)
        chat = client(server, timeout=0.2 if does is HANGS else 5.0, max_retries=0, budget_tokens=1000)
        run(chat, request)
        assert chat._shared.budget.spent == (1, spent)


def test_requests_per_minute(chat_server: Start) -> None:
    arrived: list[float] = []

    def note(request: dict[str, Any], n: int) -> str:
        arrived.append(time.monotonic())
        return "True"

    chat = client(chat_server(note), requests_per_minute=1200)  # one each 50 ms
    run(chat, *(ask(str(i)) for i in range(8)))
    assert 0.25 < arrived[-1] - arrived[0] < 3.0


def test_the_breaker_opens_probes_and_closes(chat_server: Start) -> None:
    server = chat_server(always_down := (lambda request, n: failing(503)))
    chat = client(server, max_retries=1, breaker_failures=3, breaker_seconds=30.0)
    now = [0.0]  # a clock of the test's own, so that no slow machine is taken for half a minute
    chat._shared.breaker._clock = lambda: now[0]
    for _ in range(3):
        with pytest.raises(ChatUnavailable):
            one(chat)
    assert server.count == 6
    replies = run(chat, *(ask(str(i)) for i in range(50)))
    assert {type(reply) for reply in replies} == {CircuitOpen}
    assert "503" in str(replies[0])
    assert server.count == 6  # nothing was sent
    now[0] += 30.0
    replies = run(chat, *(ask(str(i)) for i in range(20)))
    assert Counter(map(type, replies)) == {ChatUnavailable: 1, CircuitOpen: 19}
    assert server.count == 7  # one probe, without a retry
    assert server.behaviour is always_down
    now[0] += 30.0
    server.behaviour = always("True")
    assert one(chat).text == "True"
    assert all(isinstance(reply, ChatReply) for reply in run(chat, *(ask(str(i)) for i in range(20))))


def test_a_fault_of_one_request_does_not_open_the_breaker(chat_server: Start) -> None:
    for does in (failing(400), failing(422), Reply("x", finish_reason="length"), Reply("")):
        chat = client(chat_server(lambda request, n, does=does: does), breaker_failures=2)
        kinds = {type(run(chat, ask(str(i)))[0]) for i in range(6)}  # one after another
        assert kinds <= {ChatRefused, ChatBadReply}
    chat = client(chat_server(lambda request, n: failing(401)), breaker_failures=2)
    for error in (ChatRefused, ChatRefused, CircuitOpen):
        with pytest.raises(error):
            one(chat)


def test_a_probe_that_is_called_off_lets_the_next_one_probe() -> None:
    now = [0.0]
    breaker = Breaker(1, 10.0, clock=lambda: now[0])
    assert breaker.admit() is False
    breaker.failed("down", probe=False)
    with pytest.raises(CircuitOpen, match="10 more seconds"):
        breaker.admit()
    now[0] = 11.0
    assert breaker.admit() is True
    with pytest.raises(CircuitOpen, match="until a probe"):
        breaker.check()
    breaker.forget_probe()
    assert breaker.admit() is True
    breaker.succeeded()
    assert breaker.admit() is False


def test_a_cancelled_caller_frees_its_place(chat_server: Start) -> None:
    server = chat_server(lambda request, n: HANGS if n < 2 else "True")
    chat = client(server, concurrency=2, timeout=30.0)

    async def work() -> str:
        hanging = [asyncio.create_task(chat.complete(ask(f"hangs {i}"))) for i in range(2)]
        queued = [asyncio.create_task(chat.complete(ask(f"queued {i}"))) for i in range(3)]
        while server.count < 2:
            await asyncio.sleep(0.005)
        for task in (*hanging, queued[0]):
            task.cancel()
        last = await asyncio.wait_for(asyncio.gather(*queued[1:]), 5.0)
        await asyncio.gather(*hanging, queued[0], return_exceptions=True)
        return last[-1].text

    assert asyncio.run(work()) == "True"
    assert "queued 0" not in server.prompts()
    assert one(chat).text == "True"


def test_the_gate_hands_on_a_place_that_came_with_a_cancellation() -> None:
    async def work() -> None:
        gate = Gate(1)
        await gate.enter()
        second, third = (asyncio.create_task(gate.enter()) for _ in range(2))
        await asyncio.sleep(0)
        gate.leave()  # goes to the second ...
        second.cancel()  # ... who does not want it any more
        await asyncio.wait_for(third, 1.0)
        fourth = asyncio.create_task(gate.enter())
        retry = asyncio.create_task(gate.enter(ahead=True))
        await asyncio.sleep(0)
        gate.leave()
        await asyncio.wait_for(retry, 1.0)
        assert not fourth.done()
        gate.leave()
        await asyncio.wait_for(fourth, 1.0)

    asyncio.run(work())


def test_structured_output(chat_server: Start) -> None:
    server = chat_server(always('{"correct": true, "why": "same"}'))
    request = ask(json_schema=VERDICT)
    assert json.loads(one(client(server), request).text) == {"correct": True, "why": "same"}
    wanted = {"name": "reply", "schema": VERDICT, "strict": True}
    assert server.requests[0]["response_format"] == {"type": "json_schema", "json_schema": wanted}
    one(client(server, structured="none"), request)
    assert "response_format" not in server.requests[1]


@pytest.mark.parametrize(
    "text", ["true", "True", '{"correct": true', '{"correct": 1}', '{"why": "x"}', '{"correct": true, "score": 1}']
)
def test_a_reply_that_breaks_its_schema_is_a_bad_reply(chat_server: Start, text: str) -> None:
    server = chat_server(always(text))
    with pytest.raises(ChatBadReply, match="schema"):
        one(client(server), ask(json_schema=VERDICT))
    assert server.count == 1
    assert one(client(server, structured="none"), ask(json_schema=VERDICT)).text == text


def test_what_breaks_a_schema() -> None:
    numbers = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 2}
    assert breach([0, 9], numbers) is None
    assert breach([1.0], numbers) is None
    for wrong in ([10], [-1], [1, 2, 3], ["1"], [True], [1.5], 1, None):
        assert breach(wrong, numbers), wrong
    assert breach("no", {"enum": ["yes", "no"]}) is None
    assert breach(1, {"enum": [True]})
    assert breach(float("nan"), {"type": "number", "minimum": 0})
    assert breach({"a": {"b": "x"}}, {"properties": {"a": {"properties": {"b": {"const": "y"}}}}}) == (
        "the reply.a.b is 'x', not 'y'"
    )
    assert breach(None, {"type": ["string", "null"]}) is None


def test_half_a_surrogate_pair_cannot_fell_the_judge(chat_server: Start) -> None:
    server = chat_server()
    assert one(client(server), ask("gout \ud83d and \U0001f600")).text == "True"
    assert server.prompts() == ["gout \ufffd and \U0001f600"]
    assert sendable("\ud83d\ude00") == "\U0001f600"


def test_the_key_comes_from_the_environment_and_is_never_shown(
    chat_server: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JUDGE_KEY", f" {SECRET}\n")
    caplog.set_level("DEBUG", logger="medrl")
    server = chat_server(lambda request, n: failing(401, f"Incorrect API key provided: {SECRET}"))
    chat = client(server, api_key_env="JUDGE_KEY")
    with pytest.raises(ChatRefused) as caught:
        one(chat)
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    error = caught.value
    shown = [str(error), repr(error), repr(chat), str(chat.to_config()), chat.fingerprint(), caplog.text]
    shown += [repr(error.__cause__), repr(error.__context__), repr(chat.statistics), str(pickle.dumps(chat))]
    assert not any(SECRET in text for text in shown)
    assert "[key]" in str(error)
    assert "JUDGE_KEY" in str(error)
    for pad in range(40, 80):  # wherever an excerpt of the body ends
        server.behaviour = lambda request, n, pad=pad: garbled(b"x" * pad + SECRET.encode())
        with pytest.raises(ChatBadReply) as garbage:
            one(replace(chat, max_retries=0))
        assert SECRET[:4] not in str(garbage.value)
    server.behaviour = always(f"your key is {SECRET}")
    assert one(chat).text == "your key is [key]"


def test_a_missing_key_is_a_clear_error_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for url in (None, "https://judge.example/v1"):
        chat = OpenAIChat("judge", base_url=url, api_key_env="JUDGE_KEY", budget_calls=5)
        with pytest.raises(ChatRefused, match=r"JUDGE_KEY.* is not set; set it"):
            one(chat)
        assert chat._shared.budget.spent[0] == chat.statistics.sent == 0
    monkeypatch.setenv("JUDGE_KEY", "two\nlines")
    with pytest.raises(ChatRefused, match="no HTTP header") as caught:
        one(chat)
    assert "two" not in str(caught.value)


def test_no_proxy_of_the_environment_for_a_server_of_ones_own(
    chat_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert one(client(chat_server())).text == "True"


def test_the_fingerprint_says_what_replies_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    base = OpenAIChat("judge", base_url="http://127.0.0.1:1/v1")
    assert len(base.fingerprint()) == 16
    same = [
        OpenAIChat("judge", base_url="https://elsewhere.example/v1", api_key_env="OTHER", timeout=1.0, concurrency=1),
        OpenAIChat("judge", budget_calls=1, max_retries=0),
    ]
    different = [
        OpenAIChat("judge2"),
        OpenAIChat("judge", revision="2"),
        OpenAIChat("judge", structured="none"),
        OpenAIChat("judge", extra_body={"top_k": 1}),
    ]
    assert {chat.fingerprint() for chat in same} == {base.fingerprint()}
    assert len({chat.fingerprint() for chat in (base, *different)}) == 5


def test_it_pickles_without_connections_and_builds_from_its_config(chat_server: Start) -> None:
    server = chat_server()
    chat = client(server, extra_body={"a": [1]}, budget_calls=3)
    one(chat)
    copy = pickle.loads(pickle.dumps(chat))
    assert copy == chat
    assert copy.statistics.calls == 0
    assert one(copy).text == "True"
    config = json.loads(json.dumps(chat.to_config()))
    built = build_chat(config)
    assert built == chat
    assert built.fingerprint() == chat.fingerprint()
    assert one(build_chat(config)).text == "True"  # type: ignore[arg-type]


def test_bad_knobs_are_all_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        OpenAIChat("", base_url="https://user:pw@host/v1?key=x", timeout=0.0, budget_calls=0, extra_body={"n": 2})
    faults = str(caught.value)
    for word in ("model is empty", "base_url", "timeout", "budget_calls", "extra_body sets 'n'"):
        assert word in faults
    assert "pw" not in faults.replace("OpenAIChat", "")
    with pytest.raises(RecipeError, match="no such knob; did you mean 'timeout'"):
        build_chat({"type": "medrl.chat:OpenAIChat", "model": "judge", "time_out": 3})
    with pytest.raises(RecipeError, match="has no `type`"):
        build_chat({"model": "judge"})


def test_importing_it_brings_in_nothing_heavy() -> None:
    heavy = {"openai", "httpx2", "aiohttp", "torch", "numpy", "rich"}
    code = f"import sys, medrl.chat; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)
