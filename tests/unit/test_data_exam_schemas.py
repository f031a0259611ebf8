"""Published examination schemas: each row by hand, and what is said of broken ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from medrl.data.problems import load_problems
from medrl.errors import DataError
from medrl.types import Problem


def load(tmp_path: Path, *rows: Any, **how: Any) -> list[Problem]:
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return load_problems(path, **how)


FOUR = {"A": "gout", "B": "measles", "C": "rubella", "D": "mumps"}
TEXTS = list(FOUR.values())
MMLU_PRO = {
    "question_id": 70, "question": "Which?", "options": [*TEXTS, "N/A"], "answer": "B", "answer_index": 1,
    "category": "health",
}  # fmt: skip
GPQA = {
    "Question": "Which gene?", "Correct Answer": "TP53", "Incorrect Answer 1": "KRAS", "Incorrect Answer 2": "MYC",
    "Incorrect Answer 3": "APC", "Record ID": "rec1", "Subdomain": "Genetics",
}  # fmt: skip
CMB = {
    "exam_type": "医师考试", "exam_class": "执业医师", "exam_subject": "内科", "question": "哪些正确？", "answer": "AC",
    "question_type": "多项选择题", "option": {**FOUR, "E": ""},
}  # fmt: skip
CMEXAM = {
    "Question": "何病？", "Options": "A 痛风\nB 麻疹\nC 风疹", "Answer": "B", "Clinical Department": "感染科",
    "Medical Discipline": "内科学", "Difficulty Level": "3",
}  # fmt: skip
CMMLU = {"": 0, "Question": "何病？", **FOUR, "Answer": "D"}
MMLU = {"question": "Which?", "subject": "anatomy", "choices": TEXTS, "answer": 3}
ENDINGS = {"id": "x", "sent1": "Which?", **{f"ending{i}": text for i, text in enumerate(TEXTS)}, "label": 2}


@pytest.mark.parametrize(
    ("row", "reference", "count", "language", "about"),
    [
        (MMLU_PRO, "B", 4, "en", {"topic": "health"}),
        (MMLU, "D", 4, "en", {"topic": "anatomy"}),
        (CMB, "AC", 4, "zh", {"topic": "内科", "exam": "医师考试"}),
        (CMEXAM, "B", 3, "zh", {"department": "感染科", "topic": "内科学", "difficulty": "3"}),
        (CMMLU, "D", 4, "zh", {}),
        ({"id": 5, "question": "Which?", **FOUR, "answer": "A", "explanation": ""}, "A", 4, "en", {}),
        (ENDINGS, "C", 4, "en", {}),
        (
            {"question": "何病？", "options": FOUR, "answer": "麻疹", "answer_idx": "B", "meta_info": "zh"},
            "B",
            4,
            "zh",
            {},
        ),
    ],
)
def test_a_row_of_each_set(
    tmp_path: Path, row: Any, reference: str, count: int, language: str, about: dict[str, str]
) -> None:
    (found,) = load(tmp_path, row)
    assert (found.kind, found.reference, len(found.options), found.language) == ("choice", reference, count, language)
    assert {name: found.metadata.get(name) for name in about} == about
    assert all(text in found.question for text in found.options.values())


def test_gpqa_shuffles_by_the_question_alone_and_in_every_way(tmp_path: Path) -> None:
    rows = [{**GPQA, "Question": f"Which gene is {i}?", "Record ID": f"r{i}"} for i in range(200)]
    found = load(tmp_path, *rows)
    assert all(one.options[str(one.reference)] == "TP53" for one in found)
    counts = [sum(one.reference == label for one in found) for label in "ABCD"]
    assert min(counts) > 30  # 50 are due; a fixed place would be a gift to whoever likes it
    assert [one.reference for one in load(tmp_path, *reversed(rows))] == [one.reference for one in reversed(found)]


def test_agentclinic_tells_the_whole_case_and_not_the_diagnosis(tmp_path: Path) -> None:
    case = {
        "Objective_for_Doctor": "Assess gout.",
        "Patient_Actor": {"History": "A sore toe.", "Symptoms": {"Secondary_Symptoms": ["redness", "heat"]}},
        "Test_Results": {"Blood": {"Uric_Acid": "high"}},
        "Correct_Diagnosis": "Podagra",
    }
    (found,) = load(tmp_path, {"OSCE_Examination": case})
    assert found.reference == "Podagra" and found.kind == "open"
    for words in ("Patient Actor:", "History: A sore toe.", "Secondary Symptoms: redness; heat", "Uric Acid: high"):
        assert words in found.question
    assert "Podagra" not in found.question and "Assess" not in found.question


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**MMLU_PRO, "answer": "C"}, "`answer` is 'C' and `answer_index` means 'B'"),
        ({**MMLU_PRO, "answer_index": 7}, "at place 7, and there are 4 options"),
        ({**MMLU, "answer": "gout"}, "is no place among the options"),
        ({**MMLU, "answer": -1}, "at place -1"),
        ({**GPQA, "Incorrect Answer 2": "TP53"}, "two of the answers are equal"),
        ({**CMB, "answer": "AE"}, "'AE' is none of the options"),
        ({**CMB, "answer": ""}, "no reference"),
        ({**CMEXAM, "Options": "痛风 麻疹"}, "not lines such as 'A text'"),
        ({**CMEXAM, "Options": "A 痛风\nC 麻疹"}, "labels A, C"),
        ({**CMMLU, "C": None}, "'C' is empty"),
        ({"OSCE_Examination": {"Correct_Diagnosis": "x"}}, "tells nothing of the patient"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(DataError, match="row 1") as caught:
        load(tmp_path, row)
    assert message in str(caught.value)
