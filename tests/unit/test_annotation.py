"""Annotation: what raters see and do not see, what is kept of it, and what becomes of their disagreements."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main
from medrl.commands.annotate import cannot_train, report, sessions_of
from medrl.data.annotation import DIMENSIONS, Answer, Item, Session, disagreements, load_items
from medrl.data.feedback import Candidate, Comparison, FeedbackRecord, Ratings, load_feedback, said
from medrl.data.preferences import load_preferences, pairs_from
from medrl.errors import DataError
from medrl.tracking.lock import RunLock
from medrl.types import Problem, ask

DOCTOR, MODEL = "Rest, and drink. How long has it lasted?", "As an AI, <b>I</b> cannot say."


def write(path: Path, count: int = 6) -> Path:
    rows = [
        {
            "id": f"q{i}",
            "question": f"I have a cold, number {i}.",
            "reference": "rest",
            "consent": "not_needed",
            "responses": [
                {"text": DOCTOR, "author": "doctor", "name": "Dr Li"},
                {"text": MODEL, "author": "policy", "name": "sft-7"},
            ],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    return load_items(write(tmp_path / "items.jsonl"))


def best(session: Session, place: int, text: str, **more: Any) -> Any:
    """Say that the response with this text is the better one, wherever it stands."""
    shown = session.view(place)["responses"]
    return session.answer(place, Answer("first" if shown[0] == text else "second", **more))


def test_raters_see_no_author_and_each_has_an_order_of_their_own(items: list[Item], tmp_path: Path) -> None:
    anna, ben = sessions_of(items, tmp_path / "out", ["anna", "ben"])
    views = [anna.view(i) for i in range(6)]
    assert "Dr Li" not in json.dumps(views) and "policy" not in json.dumps(views)
    assert {view["responses"][0] for view in views} == {DOCTOR, MODEL}  # either stands first at times
    assert [v["responses"] for v in views] != [ben.view(i)["responses"] for i in range(6)]
    assert views == [sessions_of(items, tmp_path / "out", ["anna"])[0].view(i) for i in range(6)]


def test_an_answer_is_a_record_in_the_order_of_the_file(items: list[Item], tmp_path: Path) -> None:
    (anna,) = sessions_of(items, tmp_path / "out", ["anna"])
    for place in range(6):
        record = best(anna, place, DOCTOR, strength=2, phi=("phone", "phone"), comment=" ok ", seconds=3.04)
        judgement = record.judgement
        assert isinstance(judgement, Comparison) and judgement.preferred == "first"
        assert judgement.margin == pytest.approx(2 / 3) and set(judgement.shown or ()) == {0, 1}
        assert (record.rater.name, record.consent, record.phi, record.comment) == (
            "anna",
            "not_needed",
            ("phone",),
            "ok",
        )
    assert load_feedback(anna.path) == list(anna.records.values()) and anna.first_open == 6
    assert len({record.judgement.shown for record in anna.records.values()}) == 2  # type: ignore[union-attr]
    pairs = pairs_from(anna.records.values()).pairs
    assert not pairs  # personal information inside trains nothing


def test_a_rater_goes_on_where_they_stopped_and_may_change_their_mind(items: list[Item], tmp_path: Path) -> None:
    (anna,) = sessions_of(items, tmp_path / "out", ["anna"])
    best(anna, 0, DOCTOR)
    best(anna, 1, MODEL)
    (again,) = sessions_of(items, tmp_path / "out", ["anna"])
    assert again.first_open == 2 and again.view(1)["done"] == 2
    shown = again.view(0)
    at = shown["responses"].index(DOCTOR)
    assert shown["answer"]["preferred"] == ("first", "second")[at]
    again.answer(0, Answer("tie"))
    assert [said(record) for record in load_feedback(again.path)] == ["tie", "second"]
    with pytest.raises(DataError, match="not in this task"):
        Session("anna", items[2:], tmp_path / "out")


def test_ratings_come_back_to_their_responses(items: list[Item], tmp_path: Path) -> None:
    (anna,) = sessions_of(items, tmp_path / "out", ["anna"], "rate")
    for place in range(6):
        good, bad = dict.fromkeys(DIMENSIONS, 5.0), dict.fromkeys(DIMENSIONS, 2.0)
        first = anna.view(place)["responses"][0] == DOCTOR
        record = anna.answer(place, Answer(ratings=(good, bad) if first else (bad, good)))
        assert isinstance(record.judgement, Ratings) and record.judgement.total(0) == 1.0 and said(record) == "first"
        assert anna.view(place)["answer"]["ratings"][0 if first else 1]["safety"] == 5.0
    with pytest.raises(DataError, match="needs a rating of"):
        anna.answer(0, Answer(ratings=(good, {"safety": 1.0})))
    with pytest.raises(DataError, match="goes from 1 to 5"):
        anna.answer(0, Answer(ratings=(good, dict.fromkeys(DIMENSIONS, 6.0))))


def test_what_cannot_be_is_refused_and_nothing_is_lost(items: list[Item], tmp_path: Path) -> None:
    (anna,) = sessions_of(items, tmp_path / "out", ["anna"])
    best(anna, 0, DOCTOR)
    kept = anna.path.read_bytes()
    for place, answer, said_ in (
        (6, Answer("tie"), "there is no item 6"),
        (0, Answer(), "does not say which response"),
        (0, Answer("first", strength=4), "strength is 4"),
        (0, Answer("tie", strength=1), "a tie has none"),
    ):
        with pytest.raises(DataError, match=said_):
            anna.answer(place, answer)
    assert anna.path.read_bytes() == kept
    for raters in ([], ["anna", "anna"], ["../x"], ["a b"]):
        with pytest.raises(DataError):
            sessions_of(items, tmp_path / "out", raters)


def test_items_of_a_file_and_their_faults(tmp_path: Path, items: list[Item]) -> None:
    path = tmp_path / "plain.jsonl"
    path.write_text(json.dumps({"id": "a", "question": "Q?", "reference": "r", "responses": ["x", "y"]}) + "\n")
    (one,) = load_items(path)
    assert one.responses == (Candidate("x"), Candidate("y")) and one.consent == "unknown"
    path.write_text(json.dumps({"id": "a", "question": "Q?", "reference": "r", "responses": ["x"]}) + "\n")
    with pytest.raises(DataError, match="a list of two responses"):
        load_items(path)
    (anna,) = sessions_of(items, tmp_path / "out", ["anna"])
    best(anna, 0, DOCTOR)
    (again,) = load_items(anna.path)  # records of one rater are items for another
    assert again.id == items[0].id and again.responses == items[0].responses


def test_items_need_no_reference(tmp_path: Path) -> None:
    path = tmp_path / "open.jsonl"
    path.write_text(json.dumps({"question": "Why rest?", "responses": ["To heal.", "No."]}) + "\n")
    (one,) = load_items(path)
    assert (one.problem.question, one.problem.reference, one.problem.kind) == ("Why rest?", None, "open")
    (anna,) = sessions_of([one], tmp_path / "out", ["anna"])
    assert anna.view(0)["reference"] is None and best(anna, 0, "To heal.").problem == one.problem
    path.write_text(json.dumps({**one.problem.to_json(), "responses": ["To heal.", "No."]}) + "\n")
    assert load_items(path)[0].problem == one.problem


def test_disagreements_are_settled_by_a_third(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    anna, ben = sessions_of(items, out, ["anna", "ben"])
    for place in range(6):
        best(anna, place, DOCTOR)
        best(ben, place, DOCTOR if place < 4 else MODEL)
    found = report(str(out))
    assert (found["judged_twice"], found["agreement"]) == (6, pytest.approx(4 / 6)) and found["kappa"] == 0.0
    assert found["raters"]["anna"]["judged"] == 6 and 0.0 < found["raters"]["anna"]["first_shown"] < 1.0
    apart = disagreements(items, out)
    assert [item.problem.id for item in apart] == ["q4", "q5"]
    (third,) = sessions_of(apart, out / "adjudication", ["cleo"])
    assert third.view(0)["adjudication"] is True
    record = best(third, 0, DOCTOR)
    assert set(record.adjudicates) == {one.id for one in apart[0].settles} and len(record.adjudicates) == 2
    everything = [*anna.records.values(), *ben.records.values(), *third.records.values()]
    pairs = pairs_from(everything).pairs
    assert {pair.problem.id: pair.chosen.text for pair in pairs}["q4"] == DOCTOR
    assert report(str(out))["settled"] == 1


def test_report_on_the_command_line(items: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (anna,) = sessions_of(items, tmp_path / "out", ["anna"])
    best(anna, 0, DOCTOR)
    assert main(["annotate", "--out", str(tmp_path / "out"), "--report"]) == 0
    assert "anna" in capsys.readouterr().out
    assert main(["annotate", "--out", str(tmp_path / "none"), "--report"]) == 2
    assert main(["annotate", str(tmp_path / "items.jsonl"), "--out", str(tmp_path / "x.jsonl")]) == 2
    assert "name each once" in capsys.readouterr().err


def test_the_server_answers_only_to_its_keys(items: list[Item], tmp_path: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    from medrl.services.annotation_page import keys_of, make_app

    sessions = sessions_of(items, tmp_path / "out", ["anna", "ben"])
    keys = keys_of(tmp_path / "out", ["anna", "ben"])
    assert keys == keys_of(tmp_path / "out", ["anna", "ben"])
    assert stat.S_IMODE(os.stat(tmp_path / "out" / "keys.json").st_mode) == 0o600
    client = testclient.TestClient(make_app({keys[s.rater]: s for s in sessions}), base_url="http://127.0.0.1:8490")
    page = client.get("/")
    assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/annotation.js").status_code == 200 and client.get("/keys.json").status_code == 404
    assert client.get("/..%2fannotation_page.py").status_code == 404
    key = {"X-Key": keys["anna"]}
    assert client.get("/api/task", headers={"X-Key": "no"}).status_code == 401
    assert client.get("/api/task").status_code == 401
    assert client.get("/api/task", headers=key).json()["rater"] == "anna"
    assert client.get("/api/items/6", headers=key).status_code == 404
    for body in ({}, {"preferred": "both"}, {"preferred": "first", "extra": 1}, {"preferred": "first", "seconds": -1}):
        assert client.post("/api/items/0", json=body, headers=key).status_code == 422
    assert client.post("/api/items/0", json={"preferred": "tie"}, headers={"X-Key": "no"}).status_code == 401
    assert client.post("/api/items/0", json={"preferred": "tie"}, headers=key).json() == {"next": 1, "done": 1}
    assert sessions[0].first_open == 1 and sessions[1].first_open == 0
    for kind in ("face", "NAME"):
        assert client.post("/api/items/0", json={"preferred": "tie", "phi": [kind]}, headers=key).status_code == 422


def test_strangers_are_refused_before_their_body_is_read(items: list[Item], tmp_path: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    from medrl.services.annotation_page import make_app

    (anna,) = sessions_of(items, tmp_path / "out", ["anna"])
    app = make_app({"k" * 20: anna}, "rater.example")

    def sent(host: str, key: str) -> int:
        client = testclient.TestClient(app, base_url=f"http://{host}")
        headers = {"X-Key": key, "Content-Type": "application/json"}
        return int(client.post("/api/items/0", content=b" " * 4_000_000, headers=headers).status_code)

    read_by: list[int] = []

    async def receive() -> dict[str, Any]:
        read_by.append(1)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def refused(host: bytes, key: bytes) -> int:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        scope = {"type": "http", "method": "POST", "path": "/api/items/0", "query_string": b"", "root_path": "",
                 "headers": [(b"host", host), (b"x-key", key), (b"content-type", b"application/json")]}  # fmt: skip
        await app(scope, receive, send)
        return statuses[0]

    assert asyncio.run(refused(b"evil.example", b"k" * 20)) == 403
    assert asyncio.run(refused(b"127.0.0.1:8490", b"wrong")) == 401 and not read_by
    assert sent("rater.example", "k" * 20) == 413  # past 1 MiB
    for host in ("localhost", "[::1]:8490", "rater.example:8490"):
        client = testclient.TestClient(app, base_url=f"http://{host}")
        assert client.get("/api/task", headers={"X-Key": "k" * 20}).status_code == 200
    deep = b"[" * 50 + b"]" * 50
    headers = {"X-Key": "k" * 20, "Content-Type": "application/json"}
    answer = client.post("/api/items/0", content=b'{"phi":' + deep + b"}", headers=headers)
    assert answer.status_code == 422 and "nested" in answer.json()["error"]["message"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_keys_are_private_from_their_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    from medrl.services.annotation_page import keys_of

    seen: list[int] = []
    real = os.replace

    def replaced(one: str, other: str) -> None:
        seen.append(stat.S_IMODE(os.stat(one).st_mode))
        real(one, other)

    monkeypatch.setattr("os.replace", replaced)
    keys_of(tmp_path, ["anna"])
    assert seen == [0o600]


def test_answers_from_many_threads_are_all_kept(items: list[Item], tmp_path: Path) -> None:
    many = [Item(f"{i}-{k}", items[i].problem, items[i].responses) for i in range(6) for k in range(10)]
    anna = Session("anna", many, tmp_path / "out")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda place: anna.answer(place, Answer("first")), range(60)))
    assert len(load_feedback(anna.path)) == len(anna.records) == 60


def test_one_process_serves_a_folder(items: list[Item], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    lock = RunLock(folder)
    try:
        command = [sys.executable, "-m", "medrl", "annotate", str(tmp_path / "items.jsonl"), "--out", str(folder)]
        done = subprocess.run([*command, "--raters", "anna", "--port", "0"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "served already" in done.stderr and str(os.getpid()) in done.stderr
    finally:
        lock.release()


def rows(path: Path, words: str, **more: Any) -> list[Item]:
    """Items without ids of their own."""
    made = [{"question": f"{words} {i}?", "reference": "r", "responses": ["a", "b"], **more} for i in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return load_items(path)


def test_two_tasks_share_no_id(tmp_path: Path) -> None:
    one, other = rows(tmp_path / "1.jsonl", "gout", consent="given"), rows(tmp_path / "2.jsonl", "flu", consent="given")
    assert not {item.id for item in one} & {item.id for item in other}
    moved = rows(tmp_path / "moved.jsonl", "gout", consent="given")
    assert [item.id for item in moved] == [item.id for item in one]  # wherever the file is
    records: list[FeedbackRecord] = []
    for folder, items in (("a", one), ("b", other), ("c", one)):
        session = Session("anna", items, tmp_path / folder)
        records += [best(session, place, "a") for place in range(3)]
    assert len({record.id for record in records}) == 9
    assert len(pairs_from(records).pairs) == 6  # the same items in two folders are one pair


def test_another_task_in_an_old_folder_is_noticed(tmp_path: Path) -> None:
    one, other = rows(tmp_path / "1.jsonl", "gout"), rows(tmp_path / "2.jsonl", "flu")
    Session("anna", one, tmp_path / "out").answer(0, Answer("first"))
    for rater in ("anna", "ben"):
        with pytest.raises(DataError, match="not in this task"):
            Session(rater, other, tmp_path / "out")
        with pytest.raises(DataError, match="mode"):
            Session(rater, one, tmp_path / "out", "rate")
    same_names = [Item(old.id, new.problem, new.responses) for old, new in zip(one, other, strict=True)]
    with pytest.raises(DataError, match="not in this task"):
        Session("anna", same_names, tmp_path / "out")
    (tmp_path / "out" / "task.json").unlink()
    with pytest.raises(DataError, match="not judged in mode 'rate'"):
        Session("anna", one, tmp_path / "out", "rate")
    assert Session("anna", one, tmp_path / "out").first_open == 1


def test_an_adjudication_of_raters_who_came_to_agree_settles_nothing(items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    anna, ben = sessions_of(items, out, ["anna", "ben"])
    for place in range(2):
        best(anna, place, DOCTOR)
        best(ben, place, MODEL)
    with pytest.raises(DataError, match="a third must settle"):
        sessions_of(disagreements(items, out), out / "adjudication", ["Anna"])
    (cleo,) = sessions_of(disagreements(items, out), out / "adjudication", ["cleo"])
    cleo.answer(0, Answer("tie"))
    best(cleo, 1, MODEL)
    assert report(str(out))["settled"] == 2 and report(str(out))["open_disagreements"] == 0
    best(anna, 0, MODEL)  # she comes round to ben
    (again,) = sessions_of(disagreements(items, out), out / "adjudication", ["cleo"])
    assert again.done == 2 and report(str(out))["settled"] == 1
    pairs = pairs_from([*anna.records.values(), *ben.records.values(), *again.records.values()])
    assert {pair.problem.id: pair.chosen.text for pair in pairs.pairs} == {"q0": MODEL, "q1": MODEL}
    assert pairs.left_out == {"overruled": 2, "settles_nothing": 1}


def test_a_folder_is_the_word_of_all_its_raters_and_of_who_settled_it(
    items: list[Item], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    anna, ben = sessions_of(items, out, ["anna", "ben"])
    for place in range(4):
        best(anna, place, DOCTOR)
        best(ben, place, DOCTOR if place < 2 else MODEL)
    assert load_preferences(out).left_out == {"raters_disagree": 2}  # nobody has settled them yet
    (cleo,) = sessions_of(disagreements(items, out), out / "adjudication", ["cleo"])
    best(cleo, 0, MODEL)  # on q2
    found = load_preferences(out)
    assert {pair.problem.id: pair.chosen.text for pair in found.pairs} == {"q0": DOCTOR, "q1": DOCTOR, "q2": MODEL}
    assert found.left_out == {"overruled": 2, "raters_disagree": 1} and found.judged == 4
    everything = [*anna.records.values(), *ben.records.values(), *cleo.records.values()]
    assert found == pairs_from(everything)
    files = [str(anna.path), str(ben.path), str(cleo.path)]
    assert load_preferences(files) == found and not caplog.records
    assert len(load_preferences(str(anna.path)).pairs) == 4
    assert "ben.jsonl" in caplog.text and "cleo.jsonl" in caplog.text  # what one file alone does not say
    (other,) = sessions_of(items, tmp_path / "other", ["dana"])
    best(other, 3, MODEL)
    two = load_preferences([out, tmp_path / "other"], contradictions="majority")
    assert {pair.problem.id: pair.chosen.text for pair in two.pairs}["q3"] == MODEL  # ben and dana against anna
    for wrong, why in (([out, out], "named twice"), (tmp_path, "no task of"), ([out, files[0]], "named twice")):
        with pytest.raises(DataError, match=why):
            load_preferences(wrong)  # type: ignore[arg-type]


def test_agreement_is_of_all_raters(items: list[Item], tmp_path: Path) -> None:
    sessions = sessions_of(items, tmp_path / "out", ["anna", "ben", "zoe"])
    for place in range(4):
        for session in sessions:
            best(session, place, DOCTOR if (place % 2 == 0) != (session.rater == "zoe") else MODEL)
    found = report(str(tmp_path / "out"))
    assert found["agreement"] == pytest.approx(1 / 3) and (found["items"], found["judged_twice"]) == (6, 4)
    assert [(row["raters"], row["kappa"]) for row in found["couples"]] == [
        (["anna", "ben"], 1.0), (["anna", "zoe"], -1.0), (["ben", "zoe"], -1.0)
    ]  # fmt: skip
    assert found["kappa"] == pytest.approx(-1 / 3)
    assert main(["annotate", "--out", str(tmp_path / "out"), "--report"]) == 0


def test_the_bias_of_place_is_told_of_ratings_too(items: list[Item], tmp_path: Path) -> None:
    (anna,) = sessions_of(items, tmp_path / "out", ["anna"], "rate")
    good, bad = dict.fromkeys(DIMENSIONS, 5.0), dict.fromkeys(DIMENSIONS, 2.0)
    for place in range(6):
        anna.answer(place, Answer(ratings=(good, bad)))  # always the first shown
    assert report(str(tmp_path / "out"))["raters"]["anna"]["first_shown"] == 1.0


def test_consent_is_checked_and_its_want_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="consent is 'yes'"):
        rows(tmp_path / "x.jsonl", "gout", consent="yes")
    assert "none of the 3 items has" in cannot_train(rows(tmp_path / "y.jsonl", "gout"))
    assert cannot_train(rows(tmp_path / "z.jsonl", "gout", consent="given")) == ""


def test_a_flag_by_one_rater_leaves_out_what_all_say_of_that_text(tmp_path: Path) -> None:
    items = [
        Item(str(i), Problem(f"p{i}", ask(f"Question {i}?")), (Candidate(f"a{i}"), Candidate(f"b{i}")), "given")
        for i in range(3)
    ]
    anna, ben, cleo = (Session(name, items, tmp_path / "out") for name in ("anna", "ben", "cleo"))
    for session in (anna, ben):
        for place in range(3):
            flags = ("name",) if session is anna and place == 0 else ()
            best(session, place, f"a{place}", phi=flags)
    copied = Item("copy", Problem("other", ask("Another question?")), (items[0].responses[0], Candidate("c")), "given")
    elsewhere = Session("dana", [copied], tmp_path / "else").answer(0, Answer("first"))
    records = [*anna.records.values(), *ben.records.values(), elsewhere]
    found = pairs_from(records)
    assert [pair.problem.id for pair in found.pairs] == ["p1", "p2"] and found.left_out == {"phi": 3}
    assert len(pairs_from(records, allow_phi=True)) == 4
    settled = cleo.answer(1, Answer("tie", phi=("phone",)))  # an adjudicator's flag counts as well
    found = pairs_from([*records, settled])
    assert [pair.problem.id for pair in found.pairs] == ["p2"]
