"""HuatuoGPT's released rows, its trainer's, and its evaluation sets."""

import json
from pathlib import Path

import pytest

from medrl.data.demonstrations import Demonstration, load_demonstrations
from medrl.data.problems import load_problems
from medrl.data.replies import load_replies
from medrl.errors import DataError

TURNS = ["问：头疼三天了", "答：发烧吗？", "问：不发烧", "答：多久疼一次？"]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_released_set_and_the_trainers_form_are_one_dialogue(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"id": 1, "data": TURNS}, {"id": 2, "data": [*TURNS, "问：还有呢"]})
    first, trailing = load_demonstrations(file)
    assert [message["role"] for message in first.messages] == ["user", "assistant"] * 2
    assert [message["content"] for message in first.messages] == ["头疼三天了", "发烧吗？", "不发烧", "多久疼一次？"]
    assert trailing.messages == first.messages  # the question that nobody answered is dropped
    assert (first.answer, first.language) == ("多久疼一次？", "zh")
    text = json.dumps(TURNS, ensure_ascii=False)
    for value in (text, TURNS):
        (again,) = load_demonstrations(write(tmp_path / "b.jsonl", {"id": 1, "json_dialogue": value}))
        assert again == first


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (["答：好", "问：头疼"], "turn 1 must begin with 问"),
        (["问：头疼", "问：还头疼"], "turn 2 must begin with 答"),
        (["问：头疼", "答： "], "turn 2 is empty"),
        (["问：头疼"], "nothing to learn from"),
        ([], "nothing to learn from"),
        (["问：头疼", 3], "must be a list of texts"),
        ("[", "no JSON list"),
    ],
)
def test_rows_that_do_not_alternate_are_named(turns: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 1") as caught:
        load_demonstrations(write(tmp_path / "a.jsonl", {"id": 1, "data": turns}))
    assert said in str(caught.value)


def test_a_mark_is_read_at_the_beginning_alone(tmp_path: Path) -> None:
    row = {"id": 1, "data": ["问: 医生说 答：是的", " 答:嗯，问：谁？"]}
    (one,) = load_demonstrations(write(tmp_path / "a.jsonl", row))
    assert [message["content"] for message in one.messages] == ["医生说 答：是的", "嗯，问：谁？"]


def test_a_reply_becomes_a_demonstration_with_its_history(tmp_path: Path) -> None:
    row = {"dialogue": ["头疼", "发烧吗？", "不发烧"], "reply": "吃点药", "id": "x"}
    (reply,) = load_replies(write(tmp_path / "a.jsonl", row))
    shown = Demonstration.of_reply(reply)
    assert [message["content"] for message in shown.messages] == ["头疼", "发烧吗？", "不发烧", "吃点药"]
    assert (shown.id, shown.problem_id, shown.answer) == ("x-3", "x", "吃点药")


@pytest.fixture
def published(repository: Path) -> Path:
    folder = repository.parent / "shared" / "data"
    if not (folder / "med_dialog.jsonl").is_file():
        pytest.skip("the published samples are not here")
    return folder


def test_med_dialog_is_read_as_demonstrations_and_as_problems_with_the_doctors_word(published: Path) -> None:
    shown, asked = (load(published / "med_dialog.jsonl") for load in (load_demonstrations, load_problems))
    assert len(shown) == len(asked) == 42
    assert {one.language for one in shown} == {"zh"} and all(len(one.messages) == 2 for one in shown)
    assert [one.reference for one in asked] == [one.answer for one in shown]


def test_queries_without_an_answer_are_problems_without_a_reference(published: Path) -> None:
    asked = load_problems(published / "kuake_qic.jsonl")
    assert len(asked) == 54 and all(one.reference is None and one.question for one in asked)


def test_transcripts_give_demonstrations_of_every_reply(published: Path) -> None:
    shown = [Demonstration.of_reply(one) for one in load_replies(published / "mts_dialog.csv")]
    assert len(shown) > 200 and len({one.id for one in shown}) == len(shown)
    assert all(one.messages[-1]["role"] == "assistant" and one.messages[-2]["role"] == "user" for one in shown)
