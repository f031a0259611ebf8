"""The client of the reward service against servers that lie, fail and change their mind: no number is ever made up."""

import asyncio
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from medrl.errors import RecipeError, RewardFailed
from medrl.rewards import Format, Gate, Levels, Remote, RewardClient, Verified, WeightedSum, build, check, reward
from medrl.rewards.fingerprint import fingerprint
from medrl.rewards.remote_wire import request_body
from medrl.types import Group, Part, Problem, Response, Score, Status, Verdict, ask
from medrl.verifiers import Number, Text

Answer = tuple[int, Any]


class Server:
    """Answers the n-th request (from 0) with `behaviour(n, request)`: a status and a JSON value, or bytes; None hangs up."""

    def __init__(self, behaviour: Callable[[int, Any], Answer | None]) -> None:
        self.requests: list[tuple[dict[str, str], Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append((dict(self.headers), body))
                answer = behaviour(len(server.requests) - 1, body)
                if answer is None:
                    self.close_connection = True
                    return
                content = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(behaviour: Callable[[int, Any], Answer | None]) -> Server:
        started.append(Server(behaviour))
        return started[-1]

    yield start
    for one in started:
        one.http.shutdown()
        one.http.server_close()


def right(request: Any, value: float = 1.0, fingerprint: str = "f") -> Answer:
    """What a service answers: `value` for each response."""
    score = Score(value, parts={}).to_json()
    rows = [{"id": row["problem"]["id"], "scores": [score] * len(row["responses"])} for row in request["groups"]]
    return 200, {"fingerprint": fingerprint, "groups": rows}


def group(*texts: str, id: str = "p") -> Group:
    return Group(Problem(id, ask("?"), "gout"), tuple(map(Response, texts)))


def outcome(client: RewardClient, *groups: Group) -> list[list[tuple[float | None, Status]]]:
    return [[(one.value, one.status) for one in row] for row in client.score_sync(groups)]


FAILS: dict[str, Callable[[Any], Answer | None]] = {
    "a score too few": lambda request: (200, {**right(request)[1], "groups": [{"id": "p", "scores": []}]}),
    "a group too few": lambda request: (200, {**right(request)[1], "groups": []}),
    "another problem": lambda request: (200, {**right(request)[1], "groups": [{"id": "q", "scores": [Z, Z]}]}),
    "no scores": lambda request: (200, {"rewards": [0.0, 0.0]}),
    "a value with a status": lambda request: (200, {"groups": [{"id": "p", "scores": [{**Z, "status": "error"}] * 2}]}),
    "a number alone": lambda request: (200, {"groups": [{"id": "p", "scores": [0.0, 0.0]}]}),
    "NaN": lambda request: (200, json.dumps({"groups": [{"id": "p", "scores": [{**Z, "value": NAN}] * 2}]}).encode()),
    "not JSON": lambda request: (200, b"<html>"),
    "a list": lambda request: (200, []),
    "no answer": lambda request: None,
    "unauthorized": lambda request: (401, {"error": {"code": "unauthorized", "message": "no"}}),
    "refused": lambda request: (422, {"error": {"code": "invalid", "message": "no"}}),
    "broken": lambda request: (500, {"error": {"code": "internal", "message": "no"}}),
    "a page of a proxy": lambda request: (502, b"<html>bad gateway</html>"),
}  # fmt: skip
Z, NAN = Score(0.0, parts={}).to_json(), float("nan")


@pytest.mark.parametrize("how", FAILS)
def test_what_a_service_does_wrong_is_an_error_and_never_a_number(server: Callable[..., Server], how: str) -> None:
    one = server(lambda n, request: FAILS[how](request))
    assert outcome(RewardClient(one.url, patience=0.0), group("a", "b")) == [[(None, "error")] * 2]


def test_what_an_environment_measured_is_sent() -> None:
    plain = group("a")
    played = Group(plain.problem, (Response("a", measured={"gain": 0.5, "red_flags": None}),))
    sent = [json.loads(request_body([one], 0))["groups"][0]["responses"][0] for one in (plain, played)]
    assert sent[1] == {**sent[0], "measured": {"gain": 0.5, "red_flags": None}} and "measured" not in sent[0]


def test_nobody_there_and_nobody_in_time() -> None:
    assert outcome(RewardClient("http://127.0.0.1:9", patience=0.0), group("a")) == [[(None, "error")]]


def test_an_answer_that_does_not_come_is_a_timeout(server: Callable[..., Server]) -> None:
    def late(n: int, request: Any) -> Answer:
        time.sleep(0.5)
        return right(request)

    assert outcome(RewardClient(server(late).url, timeout=0.1, patience=0.0), group("a")) == [[(None, "timeout")]]


def test_what_may_be_mended_is_sent_again_and_nothing_else(server: Callable[..., Server]) -> None:
    first = [(503, {"error": {"code": "stopping", "message": "no"}}), None, (429, b""), (200, b"{half")]
    one = server(lambda n, request: first[n] if n < len(first) else right(request, 0.5))
    assert outcome(RewardClient(one.url, patience=20.0), group("a")) == [[(0.5, "ok")]]
    assert len(one.requests) == 5 and len({row["X-Request-ID"] for row, _ in one.requests}) == 1
    refuses = server(lambda n, request: (422, {"error": {"code": "invalid", "message": "no"}}))
    outcome(RewardClient(refuses.url, patience=20.0), group("a"))
    assert len(refuses.requests) == 1


def test_late_scores_of_a_504_are_kept_beside_those_that_came(server: Callable[..., Server]) -> None:
    late = Score(None, "timeout", reason="not in time").to_json()

    def answer(n: int, request: Any) -> Answer:
        return 504, {"fingerprint": "f", "groups": [{"id": "a", "scores": [Z]}, {"id": "b", "scores": [late]}]}

    found = outcome(RewardClient(server(answer).url), group("x", id="a"), group("y", id="b"))
    assert found == [[(0.0, "ok")], [(None, "timeout")]]


def test_a_group_that_is_refused_costs_its_neighbours_nothing(server: Callable[..., Server]) -> None:
    def answer(n: int, request: Any) -> Answer:
        if any(row["problem"]["id"] == "bad" for row in request["groups"]):
            return 413, {"error": {"code": "too_large", "message": "no"}}
        return right(request)

    found = outcome(RewardClient(server(answer).url), group("x", id="a"), group("y", id="bad"), group("z", id="b"))
    assert found == [[(1.0, "ok")], [(None, "error")], [(1.0, "ok")]]


def test_order_is_kept_over_batches_and_empty_groups(server: Callable[..., Server]) -> None:
    def answer(n: int, request: Any) -> Answer:
        time.sleep(0.02 * (n % 3))
        rows = [
            {
                "id": row["problem"]["id"],
                "scores": [Score(float(r["text"]), parts={}).to_json() for r in row["responses"]],
            }
            for row in request["groups"]
        ]
        return 200, {"fingerprint": "f", "groups": rows}

    groups = [group(*(str(10 * g + r) for r in range(g % 4)), id=f"p{g}") for g in range(20)]
    one = server(answer)
    found = RewardClient(one.url, batch=4, concurrency=3).score_sync(groups)
    assert [[s.value for s in row] for row in found] == [[float(r.text) for r in g.rollouts] for g in groups]
    assert all(sum(len(row["responses"]) for row in body["groups"]) <= 4 for _, body in one.requests)


def test_another_tree_is_an_error(server: Callable[..., Server]) -> None:
    one = server(lambda n, request: right(request, fingerprint="f" if n < 2 else "other"))
    client = RewardClient(one.url)
    assert [outcome(client, group("a"))[0][0] for _ in range(3)] == [(1.0, "ok"), (1.0, "ok"), (None, "error")]


def test_a_tree_that_was_told_to_raise_raises_here(server: Callable[..., Server]) -> None:
    one = server(lambda n, request: (500, {"error": {"code": "reward_failed", "message": "judge is down"}}))
    with pytest.raises(RewardFailed, match="judge is down"):
        Remote(one.url).score_sync([group("a")])
    assert len(one.requests) == 1


def test_tokens_come_from_the_environment_and_only_there(
    server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = server(lambda n, request: right(request))
    outcome(RewardClient(one.url), group("a"))
    monkeypatch.setenv("MEDRL_REWARD_TOKEN", "a-token")
    outcome(RewardClient(one.url), group("a"))
    assert [row.get("Authorization") for row, _ in one.requests] == [None, "Bearer a-token"]
    with pytest.raises(RecipeError, match="environment"):
        RewardClient("http://me:a-token@host")


def test_many_threads_and_loops_share_one_client(server: Callable[..., Server]) -> None:
    client = RewardClient(server(lambda n, request: right(request)).url, concurrency=4)
    found: list[Any] = []

    def work() -> None:
        found.append(asyncio.run(client.score([group("a")])))
        found.append(client.score_sync([group("b")]))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [rows[0][0].value for rows in found] == [1.0] * 16

    async def inside() -> float | None:
        return client.score_sync([group("c")])[0][0].value

    assert asyncio.run(inside()) == 1.0
    client.close()
    assert outcome(client, group("a")) == [[(1.0, "ok")]]


def test_the_leaf_is_read_from_a_recipe_and_written_back() -> None:
    config = {"type": "remote", "url": "http://127.0.0.1:8480", "name": "there", "timeout": 5.0, "dangers": "none"}
    tree = build({"type": "gate", "gate": "format", "then": config})
    assert build(tree.to_config()) == tree and pickle.loads(pickle.dumps(tree)) == tree
    assert "url http://127.0.0.1:8480" in tree.describe() and "_client" not in tree.describe()
    faults = check({"type": "remote", "url": "here", "timeout": 0, "concurrency": 0, "patience": -1})
    assert len(faults) == 4


def test_a_failing_service_masks_a_sum_and_is_no_zero_in_it() -> None:
    dead = Remote("http://127.0.0.1:9", patience=0.0)
    for missing in ("mask", "renormalise"):
        tree = WeightedSum((Format("o1"), dead), (0.1, 0.9), missing=missing)
        (score,) = tree.score_sync([group("## Thinking\n\na.\n\n## Final Response\n\nb")])[0]
        assert (score.value, score.status) == (None, "error") and score.reason.startswith("remote: ")


@reward("constant")
def constant(problem: Problem, response: Response) -> float | None:
    return 1.0


def test_fingerprints_differ_where_scores_may() -> None:
    trees = [
        Format("o1"), Format("think"), Verified(Text(), otherwise=0.0), Verified(Text(), otherwise=0.5),
        Verified(Number(), otherwise=0.0), Verified(Number(relative_tolerance=0.1), otherwise=0.0),
        Gate(Format("o1"), constant),
        Gate(Format("o1"), constant, otherwise=0.1), WeightedSum((constant, Format("o1")), (1.0, 0.5)),
    ]  # fmt: skip
    prints = [fingerprint(tree) for tree in trees]
    assert len(set(prints)) == len(trees)
    assert prints == [fingerprint(build(tree.to_config())) for tree in trees]


def test_what_utf_8_cannot_carry_is_sent_as_what_it_is_shown_as() -> None:
    assert "\ufffd" in request_body([group("a \ud83d b")], 0).decode()
    with pytest.raises(ValueError, match="Out of range"):
        request_body([Group(Problem("p", ask("?"), metadata={"x": float("nan")}), (Response("a"),))], 0)


@pytest.mark.parametrize(("whole", "worth"), [(0.0, 0.1), (1.0, 1.0)])
def test_part_of_a_list_is_no_right_answer_from_afar_either(
    server: Callable[..., Server], whole: float, worth: float
) -> None:
    verdict = Verdict(0.8, parts={"whole": whole})
    score = Score(0.8, parts={"correct": Part(0.8, verdict=verdict)}).to_json()

    def answer(n: int, request: Any) -> Answer:
        rows = [{"id": row["problem"]["id"], "scores": [score]} for row in request["groups"]]
        return 200, {"fingerprint": "f", "groups": rows}

    tree = Levels(Remote(server(answer).url, dangers="none"))
    assert tree.score_sync([group("fever, jaundice")])[0][0].value == worth
