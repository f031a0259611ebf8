"""Demonstrations in the published schemas, and what is said of broken rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from medrl.data.clinic import generate_demonstrations, generate_problems
from medrl.data.demonstrations import load_demonstrations, o1_text
from medrl.errors import DataError


def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def test_o1_rows_become_one_question_and_one_o1_text(tmp_path: Path) -> None:
    row = {"Question": "What is it?", "Complex_CoT": " Red toe. ", "Response": "Gout."}
    (made,) = load_demonstrations(write(tmp_path / "a.jsonl", row))
    assert [m["role"] for m in made.messages] == ["user", "assistant"]
    assert made.messages[1]["content"] == "## Thinking\n\nRed toe.\n\n## Final Response\n\nGout."
    assert (made.reasoning, made.answer, made.language) == ("Red toe.", "Gout.", "en")


def test_conversations_map_their_roles_and_drop_a_trailing_question(tmp_path: Path) -> None:
    turns = [
        {"from": "human", "value": "头痛怎么办？"},
        {"from": "gpt", "value": "请先休息。"},
        {"from": "human", "value": "谢谢"},
    ]
    (made,) = load_demonstrations(write(tmp_path / "a.jsonl", {"id": 4, "conversations": turns}))
    assert [m["role"] for m in made.messages] == ["user", "assistant"]
    assert (made.id, made.answer, made.reasoning, made.language) == ("4", "请先休息。", "", "zh")


def test_chat_messages_in_the_o1_format_give_their_two_halves(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": o1_text("Red toe.", "Gout.")},
    ]
    (made,) = load_demonstrations(write(tmp_path / "a.jsonl", {"messages": turns}))
    assert (made.reasoning, made.answer) == ("Red toe.", "Gout.")
    assert made.messages[0]["role"] == "system"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"Question": "What?", "Complex_CoT": "", "Response": "Gout."}, "row 1: column 'Complex_CoT' is empty"),
        ({"conversations": [{"from": "doctor", "value": "Hi"}]}, "a turn is from 'doctor'"),
        ({"conversations": "Hi"}, "must be a list of turns"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "no assistant turn"),
        ({"messages": [{"role": "assistant", "content": "Hi"}] * 2}, "no assistant turn after a user turn"),
        ({"text": "Hi"}, "which fit no known schema"),
    ],
)
def test_a_row_without_anything_to_learn_is_a_fault(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_demonstrations(write(tmp_path / "a.jsonl", row))


def test_own_demonstrations_round_trip(tmp_path: Path) -> None:
    made = generate_demonstrations(generate_problems(split="train", count=10), wrong_share=0.5)
    assert load_demonstrations(write(tmp_path / "a.jsonl", *[d.to_json() for d in made])) == made


def test_the_published_demo_rows_load(shared_data: Path) -> None:
    made = load_demonstrations(shared_data / "o1_demo.jsonl")
    assert len(made) == 93
    assert all(d.reasoning and d.answer for d in made)
