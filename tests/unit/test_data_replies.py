"""Replies in a consultation from files: our own rows, published schemas, broken rows by name."""

import json
from pathlib import Path

import pytest

from medrl.data.clinic.dialogues import generate_matched
from medrl.data.replies import load_replies
from medrl.errors import DataError, MissingFile


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    replies = generate_matched(split="train", count=6)
    assert load_replies(write(tmp_path / "own.jsonl", [one.to_json() for one in replies])) == replies


def test_a_plain_row_and_its_labels(tmp_path: Path) -> None:
    row = {"dialogue": ["我头疼三天了", "发烧吗？", "不发烧"], "reply": "吐不吐？"}
    rows = [
        {**row, "label": 1, "source": "doctor"},
        {**row, "label": "assistant", "source": "GPT-4"},
        {**row, "source": "医生"},
        row,
    ]
    found = load_replies(write(tmp_path / "rows.jsonl", list(rows)))
    assert [one.doctor for one in found] == [True, False, True, None]
    assert [one.source for one in found] == ["doctor", "GPT-4", "医生", "unknown"]
    assert [message["role"] for message in found[0].problem.messages] == ["user", "assistant", "user"]
    assert found[0].problem.language == "zh"


def test_turns_of_a_doctor_in_a_dialogue(tmp_path: Path) -> None:
    text = "Doctor: Hello. \nPatient: My ear hurts. Doctor: Since when? \nPatient: Monday.\nDoctor: Any fever?"
    path = tmp_path / "visits.csv"
    path.write_text(f'ID,dialogue\n0,"{text}"\n', encoding="utf-8")
    found = load_replies(path)
    assert [one.text for one in found] == ["Since when?", "Any fever?"]
    assert [message["content"] for message in found[1].problem.messages] == [
        "Hello.",
        "My ear hurts.",
        "Since when?",
        "Monday.",
    ]


def test_published_files_where_they_are(shared_data: Path) -> None:
    cases, visits = (load_replies(shared_data / name) for name in ("med_dialog.jsonl", "mts_dialog.csv"))
    assert len(cases) == 42 and len(visits) > 200
    assert all(one.doctor and one.text for one in [*cases, *visits])
    assert {one.problem.language for one in cases} == {"zh"} and {one.problem.language for one in visits} == {"en"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"reply": "ok"}, "give `dialogue`"),
        ({"dialogue": ["a"]}, "and `reply`"),
        ({"dialogue": [3], "reply": "x"}, "message 1 is 3"),
        ({"dialogue": [{"role": "ghost", "content": "x"}], "reply": "x"}, "'ghost'"),
        ({"dialogue": [{"role": "doctor", "content": "x"}], "reply": "x"}, "nobody in the dialogue is the patient"),
        ({"dialogue": ["a"], "reply": "x", "doctor": "perhaps"}, "the label is 'perhaps'"),
        ({"dialogue": ["a"], "reply": "x", "content": "no"}, "list of keys"),
        ({"medical_case": "", "doctor_diagnosis": "x"}, "is empty"),
    ],
)
def test_broken_rows_are_named(row: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", [{"dialogue": ["a"], "reply": "b"}, row])
    with pytest.raises(DataError, match="row 2") as caught:
        load_replies(path)
    assert message in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        load_replies(tmp_path / "none.jsonl")
    for text, message in (("{", "line 1 is no JSON"), ("[1]", "no object"), ("\n", "holds no reply")):
        (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            load_replies(tmp_path / "x.jsonl")
