"""The reward service over ASGI, without a socket: scores as in process, what is refused and how, and what is counted."""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import httpx2
import pytest

from medrl.errors import DataError, RecipeError
from medrl.interop.openrlhf import RewardFunction, response_of, said_in
from medrl.interop.rows import pack
from medrl.rewards import (
    Anneal,
    Format,
    Gate,
    PerGroup,
    Reward,
    RewardContext,
    Scores,
    Verified,
    WeightedSum,
    build,
    reward,
)
from medrl.rewards.remote_wire import request_body
from medrl.services.auth import Tokens
from medrl.services.lines import group_row, read_group
from medrl.services.reward_server import RewardService, create_service
from medrl.services.schema import EXAMPLE, ScoreRequest
from medrl.services.settings import ServiceSettings, read_settings
from medrl.services.turns import Turns, cut
from medrl.types import Group, Problem, Response, Score, ask
from medrl.verifiers import Text

T = TypeVar("T")
TOKEN = "a-token-of-tests-0001"
FORM = "## Thinking\n\nLabs.\n\n## Final Response\n\n"


@reward("word")
def word(problem: Problem, response: Response) -> float | None:
    """The last word as a number; `none` abstains, `raise` fails."""
    text = response.text.split()[-1]
    return None if text == "none" else float(text)


@dataclass(frozen=True)
class Slow(Reward):
    """Waits as many seconds as a text says, and keeps the event loop free while it does."""

    type_name: ClassVar[str] = ""
    name: str = "slow"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        longest = max(float(one.text) for group in groups for one in group.rollouts)
        await asyncio.sleep(longest)
        return [[Score(1.0) for _ in group.rollouts] for group in groups]


@dataclass(frozen=True)
class Running(Slow):
    stateful: ClassVar[bool] = True
    name: str = "running"


Work = Callable[[httpx2.AsyncClient, RewardService], Awaitable[T]]
WORDS = WeightedSum((word, Format("o1")), (1.0, 0.0))


def served(work: Work[T], tree: Reward = WORDS, tokens: Tokens | None = None, **knobs: Any) -> T:
    """What `work` returns beside a running service."""

    async def main() -> T:
        settings = ServiceSettings(workers=0, **knobs)
        service = create_service(tree, settings, tokens if tokens is not None else Tokens(environment=""))
        if not isinstance(tree, Slow):
            await service.start()
        else:
            await service.scorer._begin()
            service.self_check = "ok"
        try:
            transport = httpx2.ASGITransport(app=service.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8480") as client:
                return await work(client, service)
        finally:
            await service.scorer.close()

    return asyncio.run(main())


def post(path: str, body: Any, *, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
    """One POST: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}

    async def work(client: httpx2.AsyncClient, _: RewardService) -> httpx2.Response:
        return await client.post(path, content=content, headers=sent)

    return served(work, **more)


def group(*texts: str, id: str = "p") -> Group:
    return Group(Problem(id, ask("?"), "gout"), tuple(map(Response, texts)))


def asked(*groups: Group) -> dict[str, Any]:
    return {
        "groups": [
            {
                "problem": {"id": one.problem.id, "question": one.problem.question, "reference": one.problem.reference},
                "responses": [response.text for response in one.rollouts],
            }
            for one in groups
        ]
    }


# Scores


def test_scores_are_those_of_the_tree_here_parts_and_failures_included() -> None:
    groups = [group("1", "0.25", "raise", "none", id="a"), group("-2", id="b"), group(FORM + "3", id="c")]
    tree = Gate(WORDS, Verified(Text(), otherwise=0.0))
    for one in (WORDS, tree):
        answer = post("/v1/score", asked(*groups), tree=one)
        assert answer.status_code == 200
        rows = answer.json()["groups"]
        assert [row["id"] for row in rows] == ["a", "b", "c"]
        assert [[Score.from_json(s) for s in row["scores"]] for row in rows] == one.score_sync(groups)
    failed = post("/v1/score", asked(*groups)).json()["groups"][0]["scores"][2:]
    assert [(one["value"], one["status"]) for one in failed] == [(None, "error"), (None, "abstain")]


def test_what_an_environment_measured_reaches_the_tree() -> None:
    figures = dict.fromkeys(("turns", "asked", "repeats", "refused", "tests", "needless_tests"), 1)
    measured = {"gain": 0.3, "asked_gain": 0.3, "red_flags": None, "answered": 3, "concluded": True, **figures}
    correct = {"type": "verified", "verifier": {"type": "text"}, "otherwise": 0.0}
    tree = build({"type": "consultation", "correct": correct})
    answers = (Response("Diagnosis: gout.", measured=measured), Response("Diagnosis: gout."))
    asked_about = Group(Problem("p", ask("?"), "gout", "dialogue"), answers)
    rows = post("/v1/score", request_body([asked_about], 0), tree=tree).json()["groups"][0]["scores"]
    here = tree.score_sync([asked_about])[0]
    assert [Score.from_json(row) for row in rows] == here
    assert here[0].value is not None and here[0].value > 0 and here[1].value is None
    assert [r.measured for r in read_group(json.loads(json.dumps(group_row(asked_about)))).rollouts] == [measured, {}]
    refused = {"items": [{"problem": {"question": "?"}, "response": {"text": "a", "measured": [1]}}]}
    assert post("/v1/score", refused).status_code == 422


def test_items_come_back_flat_in_order_and_parts_are_left_out_where_nobody_wants_them() -> None:
    rows = [{"problem": {"question": "?", "reference": "x"}, "response": str(i)} for i in range(70)]
    answer = post("/v1/score", {"items": rows, "parts": False}).json()
    assert [one["value"] for one in answer["items"]] == [float(i) for i in range(70)]
    assert not any(one["parts"] for one in answer["items"])


def test_half_of_a_surrogate_pair_is_scored_and_not_refused() -> None:
    body = rb'{"items":[{"problem":{"question":"?","reference":"x"},"response":"\ud83d 4"}]}'
    assert post("/v1/score", body).json()["items"][0]["value"] == 4.0


def test_every_answer_names_the_request_and_the_tree() -> None:
    answer = post("/v1/score", asked(group("1")), headers={"X-Request-ID": "run-7"})
    assert answer.headers["x-request-id"] == "run-7" == answer.json()["request_id"]
    forged = post("/v1/score", asked(group("1")), headers={"X-Request-ID": "a b\\n"})
    assert forged.headers["x-request-id"] not in ("a b\\n", "run-7") and len(answer.json()["fingerprint"]) == 16


# What is refused

GOOD = asked(group("1"))
BAD: list[tuple[str, Any, int, str]] = [
    ("not JSON", b"{", 400, "line 1 column"),
    ("nothing", b"", 400, "not JSON"),
    ("not UTF-8", json.dumps(GOOD).encode().replace(b"gout", b"\xff"), 400, "unicode"),
    ("NaN", json.dumps(GOOD).encode().replace(b'"gout"', b"NaN"), 422, "groups[0].problem.reference"),
    ("infinite", json.dumps(GOOD).encode().replace(b'"gout"', b"1e999"), 422, "groups[0].problem.reference"),
    ("deep", b'{"a":' + b"[" * 60 + b"]" * 60 + b"}", 422, "levels"),
    ("deeper", b"[" * 100_000, 400, "recursion"),
    ("wide", b'{"groups":[' + b"1," * 300_000 + b"1]}", 422, "values"),
    ("a list", [1], 422, "dictionary"),
    ("neither shape", {"step": 1}, 422, "groups"),
    ("no groups", {"groups": []}, 422, "groups"),
    ("no responses", {"groups": [{"problem": {"question": "?"}, "responses": []}]}, 422, "groups[0].responses"),
    ("a number for a text", {"groups": [{"problem": {"question": "?"}, "responses": [3]}]}, 422, "responses[0]"),
    ("unknown key", {**GOOD, "temperature": 1}, 422, "temperature"),
    ("no prompt", {"groups": [{"problem": {"id": "p"}, "responses": ["x"]}]}, 422, "question"),
    ("no messages", {"groups": [{"problem": {"messages": []}, "responses": ["x"]}]}, 422, "no messages"),
    ("wrong kind", {"groups": [{"problem": {"question": "?", "kind": "x"}, "responses": ["x"]}]}, 422, "kind"),
    ("text for a step", {**GOOD, "step": "3"}, 422, "step"),
    ("negative step", {**GOOD, "step": -1}, 422, "step"),
]


@pytest.mark.parametrize(("body", "status", "words"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_bodies_are_refused_and_the_answer_says_where(body: Any, status: int, words: str) -> None:
    answer = post("/v1/score", body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "faults", "request_id"}
    assert words in json.dumps(error)
    assert len(answer.content) < 8000


def test_brackets_and_quotes_in_a_text_are_no_reason_to_refuse() -> None:
    for text in ("[{," * 200_000, '"' * 200_000, "\\" * 200_001, '\\"' * 100_000):
        rows = [{"problem": {"question": "?", "reference": "x"}, "response": f"{text} 4"}]
        assert post("/v1/score", {"items": rows, "parts": False}).json()["items"][0]["value"] == 4.0


@pytest.mark.parametrize("unit", [b"[],", b"{},", b"1,", b'"",', b'\\"', b'"\\"', b"[", b'{"a":'])
def test_what_is_wide_is_refused_before_it_is_read(unit: bytes) -> None:
    begun = time.process_time()
    answer = post("/v1/score", b'{"groups":[' + unit * (7_000_000 // len(unit)))
    assert answer.status_code in (400, 422) and time.process_time() - begun < 3


def test_bodies_of_another_kind_are_refused() -> None:
    assert post("/v1/score", GOOD, headers={"Content-Type": "text/plain"}).status_code == 415
    assert post("/v1/score", GOOD, headers={"Content-Encoding": "gzip"}).status_code == 415
    assert post("/v1/score/stream", GOOD, headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("claimed", [None, "10"])
def test_what_is_too_large_is_refused_whatever_its_header_says(claimed: str | None) -> None:
    seen = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal seen
        for _ in range(64):
            seen += 1
            yield b" " * (1 << 16)

    headers = {"Content-Type": "application/json", **({"Content-Length": claimed} if claimed else {})}

    async def work(client: httpx2.AsyncClient, _: RewardService) -> httpx2.Response:
        return await client.post("/v1/score", content=chunks(), headers=headers)

    answer = served(work, max_body=1)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"
    assert answer.headers["connection"] == "close"
    assert seen < 32, "it went on reading"


def test_too_many_responses_are_refused() -> None:
    answer = post("/v1/score", asked(group(*"123")), max_responses=2)
    assert answer.status_code == 422 and "at most 2" in answer.text


def test_routes_that_are_not_there() -> None:
    assert post("/v1/scores", GOOD).status_code == 404
    assert post("/healthz", GOOD).status_code == 405


# Tokens


def test_tokens(caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(environment=f"{TOKEN}, another-token-of-tests")
    caplog.set_level(logging.DEBUG)
    statuses = {}
    for given in (None, "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Basic !!", f"Token {TOKEN}",
                  "Bearer ünïcode-token-tests", f"Bearer {TOKEN}", "bearer another-token-of-tests",
                  "Basic bWVkcmw6YS10b2tlbi1vZi10ZXN0cy0wMDAx"):  # fmt: skip
        headers = {} if given is None else {"Authorization": given.encode("latin-1")}
        answer = post("/v1/score", GOOD, headers=headers, tokens=tokens)  # type: ignore[arg-type]
        statuses[given] = answer.status_code
        assert (answer.status_code == 401) == ("WWW-Authenticate" in answer.headers)
    assert list(statuses.values()) == [401] * 7 + [200] * 3
    assert TOKEN not in caplog.text


def test_what_needs_no_token_says_nothing_of_the_tree() -> None:
    async def work(client: httpx2.AsyncClient, _: RewardService) -> dict[str, int]:
        paths = ("/healthz", "/readyz", "/openapi.json", "/metrics", "/v1/reward", "/nothing")
        answers = {path: await client.get(path) for path in paths}
        assert not any("word" in answers[path].text for path in ("/healthz", "/readyz"))
        return {path: answer.status_code for path, answer in answers.items()}

    found = served(work, tokens=Tokens(environment=TOKEN))
    assert found == {"/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/metrics": 401, "/v1/reward": 401,
                     "/nothing": 401}  # fmt: skip


def test_a_token_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# old\n{TOKEN}\n")
    file.chmod(0o644)
    with pytest.raises(DataError, match="chmod 600"):
        Tokens(str(file))
    file.chmod(0o600)
    tokens = Tokens(str(file))
    assert tokens.accept(f"Bearer {TOKEN}")
    file.write_text(f"{TOKEN}\nthe-next-token-of-tests\n")
    os.utime(file, ns=(1, 1))
    assert tokens.accept("Bearer the-next-token-of-tests") and tokens.accept(f"Bearer {TOKEN}")
    file.write_text("short\n")
    os.utime(file, ns=(2, 2))
    assert tokens.accept("Bearer the-next-token-of-tests") and not tokens.accept("Bearer short")


def test_tokens_that_are_none_are_refused() -> None:
    for text in ("short", "ü" * 20, " , "):
        with pytest.raises(DataError):
            Tokens(environment=text)
    assert not Tokens(environment="")


def test_a_page_of_another_name_cannot_ask_a_service_without_tokens() -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "[::1", "localhost@evil.example", "a b", ""):
        assert post("/v1/score", GOOD, headers={"Host": host}).status_code == 403
    for host in ("localhost:1", "127.0.0.1", "[::1]:8480"):
        assert post("/v1/score", GOOD, headers={"Host": host}).status_code == 200


# Limits


def test_health_answers_while_work_is_under_way_and_what_is_too_much_is_told_to_wait() -> None:
    async def work(client: httpx2.AsyncClient, service: RewardService) -> None:
        body = asked(group("0.4"))
        under_way = [asyncio.create_task(client.post("/v1/score", json=body)) for _ in range(3)]
        await asyncio.sleep(0.1)
        begun = time.perf_counter()
        assert (await client.get("/healthz")).status_code == 200
        assert time.perf_counter() - begun < 0.2
        busy = await client.post("/v1/score", json=body)
        assert busy.status_code == 429 and int(busy.headers["Retry-After"]) >= 1
        assert [(await one).status_code for one in under_way] == [200, 200, 200]
        assert (await client.post("/v1/score", json=body)).status_code == 200
        assert service.app.pending == 0

    served(work, Slow(), pending=3, in_flight=3)


def test_past_the_deadline_what_has_no_score_is_a_timeout_and_what_has_one_keeps_it() -> None:
    body = asked(group(*["0"] * 32, id="quick"), group(*["9"] * 32, id="late"))
    begun = time.perf_counter()
    answer = post("/v1/score", body, tree=Slow(), deadline=0.3)
    assert answer.status_code == 504 and time.perf_counter() - begun < 3
    quick, late = ([(one["value"], one["status"]) for one in row["scores"]] for row in answer.json()["groups"])
    assert quick == [(1.0, "ok")] * 32 and late == [(None, "timeout")] * 32


def test_a_service_that_stops_refuses_what_is_new() -> None:
    async def work(client: httpx2.AsyncClient, service: RewardService) -> None:
        assert (await client.get("/readyz")).json() == {"status": "ok", "workers": 1, "self_check": "error"}
        service.app.stopping = True
        answer = await client.post("/v1/score", json=GOOD)
        assert answer.status_code == 503 and "Retry-After" in answer.headers
        assert (await client.get("/readyz")).status_code == 503 and (await client.get("/healthz")).status_code == 200

    served(work)


def test_requests_take_turns_and_a_piece_that_nobody_waits_for_is_passed_over() -> None:
    async def main() -> list[str]:
        turns = Turns()
        large = cut([group(*["x"] * 32, id=f"large{i}") for i in range(3)], "large", 0, True)
        small = cut([group("x", id="small")], "small", 0, True)
        dropped = cut([group("x", id="dropped")], "dropped", 0, True)
        for pieces in (large, dropped, small):
            await turns.put(pieces)
        dropped[0].lines.cancel()
        return [(await turns.take()).groups[0].problem.id for _ in range(4)]

    assert asyncio.run(main()) == ["large0", "small", "large1", "large2"]


def test_groups_are_never_cut_apart() -> None:
    async def main() -> list[list[int]]:
        groups = [group(*["x"] * size) for size in (1, 30, 40, 1, 1)]
        return [[len(one) for one in piece.groups] for piece in cut(groups, "o", 0, True)]

    assert asyncio.run(main()) == [[1, 30], [40], [1, 1]]


# OpenRLHF


def rlhf(**changes: Any) -> dict[str, Any]:
    row = {"query": ["<s>q? 0.5<|im_end|>\n"], "prompts": ["<s>q?"], "labels": ["gout"]}
    return {**row, **changes}


def test_openrlhf_gets_a_number_for_each_query_and_uniform_logs() -> None:
    body = rlhf(query=["a 1</s>", "b 3"], prompts=["a", "b"], labels=["x", '{"reference": "y", "kind": "open"}'])
    answer = post("/get_reward", body)
    assert answer.status_code == 200
    row = answer.json()
    assert set(row) == {"rewards", "scores", "extra_logs"}
    assert row["rewards"] == [1.0, 3.0] and row["scores"] == [1.0, 3.0]  # not held to 0 to 1
    assert row["extra_logs"] == {
        "no_number": [0.0, 0.0], "sum": [1.0, 3.0], "sum_known": [1.0, 1.0], "word": [1.0, 3.0],
        "word_known": [1.0, 1.0], "format": [0.0, 0.0], "format_known": [1.0, 1.0],
    }  # fmt: skip


def test_openrlhf_is_never_told_a_zero_that_nobody_gave() -> None:
    answer = post("/get_reward", rlhf(query=["<s>q? raise"]))
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "no_number"
    assert "could not convert" in answer.text and "Retry-After" in answer.headers
    abstained = post("/get_reward", rlhf(query=["<s>q? none"]))
    assert abstained.status_code == 503 and "Retry-After" not in abstained.headers
    told = post("/get_reward", rlhf(query=["<s>q? raise"]), missing=-1.0).json()
    assert told["rewards"] == [-1.0] and told["extra_logs"]["no_number"] == [1.0]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"query": ["q? 1"]}, "query[0]"),
        ({"labels": []}, "equally long"),
        ({"labels": [True]}, "labels[0]"),
        ({"labels": ['{"reference": 3}']}, "labels[0]"),
        ({"labels": [{"reference": "x", "answer": "y"}]}, "answer"),
        ({"more": 1}, "more"),
        ({"query": "text"}, "query"),
    ],
)
def test_openrlhf_requests_that_are_none(changes: dict[str, Any], where: str) -> None:
    answer = post("/get_reward", rlhf(**changes))
    assert answer.status_code == 422 and where in answer.text


def ended(text: str, ends: tuple[str, ...]) -> tuple[str, str]:
    found = said_in(text, ends)
    return found.text, found.finish_reason


def test_special_tokens_are_taken_out_in_linear_time() -> None:
    assert ended("gout<|im_end|>\n", ()) == ("gout", "stop")
    assert ended("gout\n", ()) == ("gout\n", "stop") and ended("", ()) == ("", "stop")
    assert ended("say </s>twice</s><|endoftext|>", ()) == ("say twice", "stop")
    assert ended("gout", ("[E]",)) == ("gout", "length") and ended("gout[E]", ("[E]",)) == ("gout", "stop")
    assert ended("gout</s>", ("[E]",)) == ("gout", "length") and ended("gout[E]</s>\n", ("[E]",)) == ("gout", "stop")
    begun = time.process_time()
    assert ended("x" + "</s>\n" * 50_000, ()) == ("x", "stop")
    assert time.process_time() - begun < 2


@dataclass(frozen=True)
class Texts(Reward):
    """Remembers in its reason what it was given."""

    type_name: ClassVar[str] = ""
    name: str = "texts"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[Score(2.0, reason=f"{r.text}|{r.finish_reason}") for r in group.rollouts] for group in groups]


def test_service_and_reward_file_read_a_query_alike() -> None:
    tails = ["<|im_start|>yes<|im_end|>", "yes<s>", "yes<｜end▁of▁sentence｜>\n", "a</s> b", "cut", "\n"]
    seen: list[str] = []

    class Spy(Texts):
        async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
            seen.extend(f"{r.text}|{r.finish_reason}" for group in groups for r in group.rollouts)
            return await super().assess(groups, context)

    body = {"query": [f"Q?{tail}" for tail in tails], "prompts": ["Q?"] * 6, "labels": ["yes"] * 6}
    for ends in ((), ("<|im_end|>",)):
        seen.clear()
        answer = post("/get_reward", body, tree=Spy(), ending=ends).json()
        read = [response_of(f"Q?{tail}", "Q?", ends) for tail in tails]
        assert seen[-6:] == [f"{one.text}|{one.finish_reason}" for one in read]
    file = RewardFunction(Texts())(body["query"], body["prompts"], [pack(Problem("p", ask("Q?")))] * 6)
    assert answer["scores"] == file["scores"] == answer["rewards"] == [2.0] * 6


def test_openrlhf_is_refused_a_tree_that_needs_groups_or_a_step() -> None:
    assert post("/get_reward", rlhf(), tree=Anneal(word, end=0.0, until=10)).status_code == 422
    answer = post("/get_reward", rlhf(), tree=PerGroup(word))
    assert answer.status_code == 422 and "compares the rollouts" in answer.json()["error"]["message"]
    assert post("/v1/score", {**GOOD, "step": 5}, tree=Anneal(word, end=0.0, until=10)).json()["groups"][0]["scores"][
        0
    ]["value"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "body",
    [
        b'{"items":[{"problem":{"question":"?","reference":"x"},"response":"1","response":"9"}]}',
        b'{"items":[{"problem":{"question":"?","reference":"x"},"response":"1"}],"step":1,"step":2}',
        rb'{"items":[{"problem":{"question":"?","reference":"x"},"response":"1","respons\u0065":"9"}]}',
    ],
)
def test_a_key_that_is_sent_twice_is_refused(body: bytes) -> None:
    answer = post("/v1/score", body)
    assert answer.status_code == 422 and "twice" in answer.json()["error"]["message"]


def test_a_label_with_a_key_twice_is_refused() -> None:
    answer = post("/get_reward", rlhf(labels=['{"reference": "x", "reference": "y"}']))
    assert answer.status_code == 422 and "twice" in answer.text


def test_long_numbers_are_no_reason_to_fail() -> None:
    body = b'{"items":[{"problem":{"question":"?","reference":"x"},"response":"1"}],"step":' + b"1" * 5000 + b"}"
    assert post("/v1/score", body).status_code in (400, 422)


# Streams


def test_a_stream_answers_each_line_and_says_when_it_is_whole() -> None:
    rows = [{"id": f"g{i}", **asked(group(str(i), "raise"))["groups"][0]} for i in range(5)]
    lines = [json.dumps(row).encode() for row in rows]
    body = b"\n".join([lines[0], b"{bad", lines[1], b"", b'{"id": "x"}', *lines[2:]])
    answer = post("/v1/score/stream", body, headers={"Content-Type": "application/x-ndjson"})
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert found[-1] == {"done": True, "groups": 5, "refused": 2}
    scores = {row["id"]: row["scores"] for row in found if "scores" in row}
    assert {id: [one["value"] for one in row] for id, row in scores.items()} == {f"g{i}": [i, None] for i in range(5)}
    errors = [(row["id"], row["error"]["line"]) for row in found if "error" in row]
    assert errors == [(None, 2), ("x", 5)]


def test_a_stream_gives_what_it_has_while_more_is_sent() -> None:
    order: list[str] = []

    async def lines() -> AsyncIterator[bytes]:
        for i, wait in enumerate(("0.3", "0")):
            row = {"id": wait, **asked(group(wait))["groups"][0]}
            yield json.dumps(row).encode() + b"\n"
            order.append(f"sent {i}")

    async def work(client: httpx2.AsyncClient, _: RewardService) -> list[dict[str, Any]]:
        sent = {"Content-Type": "application/x-ndjson"}
        answer = await client.post("/v1/score/stream", content=lines(), headers=sent)
        return [json.loads(line) for line in answer.text.splitlines()]

    found = served(work, Slow(), in_flight=2)
    assert [row.get("id") for row in found] == ["0", "0.3", None]


# What is told


def test_metrics_count_scores_by_status_and_neither_they_nor_the_log_hold_texts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="medrl.services")

    async def work(client: httpx2.AsyncClient, _: RewardService) -> str:
        body = asked(group("secretpatient 1", "secretpatient raise", "secretpatient none", id="secretid"))
        await client.post("/v1/score", json=body)
        await client.post("/v1/score", content=b"secretpatient", headers={"Content-Type": "application/json"})
        await client.get("/secretpath")
        return (await client.get("/metrics")).text

    text = served(work)
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    # the self-check's two responses are no numbers, and are not counted
    assert {s: lines[f'medrl_scores_total{{status="{s}"}}'] for s in ("ok", "error", "abstain", "timeout")} == {
        "ok": "1.0", "error": "1.0", "abstain": "1.0", "timeout": "0.0"}  # fmt: skip
    assert lines['medrl_requests_total{route="/v1/score",status="200"}'] == "1.0"
    assert lines['medrl_requests_total{route="/v1/score",status="400"}'] == "1.0"
    assert lines['medrl_requests_total{route="other",status="404"}'] == "1.0"
    assert lines['medrl_part_value_count{part="word"}'] == "1.0" and lines["medrl_reward_value_sum"] == "1.0"
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name == "medrl.services")
    assert "secret" not in text and "secret" not in ours and "1 groups 3 responses" in ours


def test_the_openapi_page_has_every_route_with_types_and_an_example_that_is_one() -> None:
    async def work(client: httpx2.AsyncClient, _: RewardService) -> Any:
        answer = await client.post("/v1/score", json=EXAMPLE)
        assert answer.status_code == 200
        return (await client.get("/openapi.json")).json()

    page = served(work)
    assert set(page["paths"]) == {"/v1/score", "/v1/score/stream", "/get_reward", "/v1/reward", "/healthz", "/readyz",
                                  "/metrics"}  # fmt: skip
    schemas = page["components"]["schemas"]
    assert schemas["ScoreRequest"]["examples"] == [EXAMPLE] and ScoreRequest.model_validate(EXAMPLE)
    errors = page["paths"]["/v1/score"]["post"]["responses"]
    assert {"200", "401", "413", "422", "429", "503", "504"} <= set(errors)
    assert errors["422"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorResponse"}


def test_the_tree_is_told() -> None:
    async def work(client: httpx2.AsyncClient, service: RewardService) -> None:
        row = (await client.get("/v1/reward")).json()
        assert row["config"] == json.loads(json.dumps(WORDS.to_config())) and row["description"] == WORDS.describe()
        assert row["fingerprint"] == service.fingerprint

    served(work)


# Settings


def test_a_tree_with_running_state_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"reward\.parts\[0\].*running state"):
        create_service(WeightedSum((Running(), word), (1.0, 1.0)), ServiceSettings(), Tokens(environment=""))


def test_strangers_are_not_served_without_tokens() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.7", "gpu-box"):
        with pytest.raises(RecipeError, match="no token"):
            create_service(WORDS, ServiceSettings(host=host), Tokens(environment=""))
        create_service(WORDS, ServiceSettings(host=host), Tokens(environment=TOKEN))
        create_service(WORDS, ServiceSettings(host=host, open_to_all=True), Tokens(environment=""))


def test_settings_tell_all_faults_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        read_settings(["prot=1", "workers=two", "deadline", "host: x=3"])
    assert len(caught.value.faults) == 4 and "did you mean 'port'" in str(caught.value)
    with pytest.raises(RecipeError) as caught:
        ServiceSettings(port=-1, deadline=0.0, missing=float("nan"), ending=("",))
    assert len(caught.value.faults) == 4
    assert read_settings(["port=0", "ending=['<e>']", "missing=-1"]).ending == ("<e>",)
