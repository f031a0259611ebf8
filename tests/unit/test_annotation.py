"""Annotation: what raters see and do not see, what is kept of it, and what becomes of their disagreements."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main
from medrl.commands.annotate import report, sessions_of
from medrl.data.annotation import DIMENSIONS, Answer, Item, Session, disagreements, load_items, said
from medrl.data.feedback import Candidate, Comparison, Ratings, load_feedback
from medrl.data.preferences import pairs_from
from medrl.errors import DataError

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
    assert again.id == "q0" and again.responses == items[0].responses


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
    assert [item.id for item in apart] == ["q4", "q5"]
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
    assert main(["annotate", str(tmp_path / "items.jsonl"), "--out", str(tmp_path / "x")]) == 2
    assert "name each once" in capsys.readouterr().err


def test_the_server_answers_only_to_its_keys(items: list[Item], tmp_path: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    from medrl.services.annotation_page import keys_of, make_app

    sessions = sessions_of(items, tmp_path / "out", ["anna", "ben"])
    keys = keys_of(tmp_path / "out", ["anna", "ben"])
    assert keys == keys_of(tmp_path / "out", ["anna", "ben"])
    assert stat.S_IMODE(os.stat(tmp_path / "out" / "keys.json").st_mode) == 0o600
    client = testclient.TestClient(make_app({keys[s.rater]: s for s in sessions}))
    page = client.get("/")
    assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/annotation.js").status_code == 200 and client.get("/keys.json").status_code == 404
    assert client.get("/..%2fannotation_page.py").status_code == 404
    key = {"X-Key": keys["anna"]}
    assert client.get("/api/task", headers={"X-Key": "no"}).status_code == 401
    assert client.get("/api/task").status_code == 422
    assert client.get("/api/task", headers=key).json()["rater"] == "anna"
    assert client.get("/api/items/6", headers=key).status_code == 404
    for body in ({}, {"preferred": "both"}, {"preferred": "first", "extra": 1}, {"preferred": "first", "seconds": -1}):
        assert client.post("/api/items/0", json=body, headers=key).status_code == 422
    assert client.post("/api/items/0", json={"preferred": "tie"}, headers={"X-Key": "no"}).status_code == 401
    assert client.post("/api/items/0", json={"preferred": "tie"}, headers=key).json() == {"next": 1, "done": 1}
    assert sessions[0].first_open == 1 and sessions[1].first_open == 0
