"""Problems in the published schemas, and what is said of broken files and rows."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from medrl.data.clinic import generate_problems
from medrl.data.problems import load_problems, load_responses
from medrl.errors import DataError, MissingFile
from medrl.verifiers import Typed


def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def open_row(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"Open-ended Verifiable Question": f"Question {number}?", "Ground-True Answer": "gout", **more}


def test_the_verifiable_schema_gives_open_problems(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "a.jsonl", open_row()), instruction="Think first.")
    assert (problem.kind, problem.reference, problem.id) == ("open", "gout", "row-1")
    assert problem.question == "Question 1?\n\nThink first."


def test_a_chinese_question_is_known_as_one(tmp_path: Path) -> None:
    row = {"Open-ended Verifiable Question": "最可能的诊断是什么？", "Ground-True Answer": "痛风"}
    assert load_problems(write(tmp_path / "a.jsonl", row))[0].language == "zh"
    assert load_problems(tmp_path / "a.jsonl", language="en")[0].language == "en"


def test_inline_options_are_split_in_order_of_their_letters(tmp_path: Path) -> None:
    question = "Which?\nAnswer Choices: (A) hepatitis (C) virus (B) vitamin (A) (C) iron"
    (problem,) = load_problems(write(tmp_path / "a.jsonl", {"id": "q", "question": question, "label": ["C"]}))
    assert problem.options == {"A": "hepatitis (C) virus", "B": "vitamin (A)", "C": "iron"}
    assert problem.reference == "C"
    assert problem.question == "Which?\nA. hepatitis (C) virus\nB. vitamin (A)\nC. iron"


def test_medmcqa_counts_from_zero_and_its_test_split_has_no_reference(tmp_path: Path) -> None:
    row = {"question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 2}
    assert load_problems(write(tmp_path / "a.jsonl", row))[0].reference == "C"
    with pytest.raises(DataError, match=r"row 1: `cop` is '-1'.*no reference"):
        load_problems(write(tmp_path / "b.jsonl", {**row, "cop": -1}))


def test_pubmedqa_shows_the_abstract_and_not_its_conclusion(tmp_path: Path) -> None:
    row = {"pmid": "7", "QUESTION": "Does it?", "CONTEXTS": ["We tried."], "final_decision": "maybe"}
    (problem,) = load_problems(write(tmp_path / "a.jsonl", {**row, "LONG_ANSWER": "Perhaps."}))
    assert (problem.id, problem.reference, set(problem.options)) == ("7", "maybe", {"yes", "no", "maybe"})
    assert "We tried." in problem.question
    assert "Perhaps" not in str(problem.to_json())


def test_medcalc_keeps_its_limits_and_reads_dates_and_ages(tmp_path: Path) -> None:
    base = {"Patient Note": "A note.", "Question": "What?"}

    def row(number: int, answer: str, low: str, high: str) -> dict[str, Any]:
        return {**base, "Row Number": number, "Ground Truth Answer": answer, "Lower Limit": low, "Upper Limit": high}

    age = "('14 weeks', '2 days')"
    rows = row(1, "-4", "-3.8", "-4.2"), row(2, "01/09/2007", "01/09/2007", "01/09/2007"), row(3, age, age, age)
    number, date, weeks = load_problems(write(tmp_path / "a.jsonl", *rows))
    assert (number.kind, number.metadata["lower_limit"], number.metadata["upper_limit"]) == ("numeric", -4.2, -3.8)
    assert (date.kind, date.metadata["answer_type"]) == ("open", "date")
    assert (weeks.reference, weeks.metadata["answer_type"]) == ("14 weeks, 2 days", "date")
    assert [Typed().verify(number, text).score for text in ("-4.1", "-3.8", "-4.3", "4.1")] == [1.0, 1.0, 0.0, 0.0]


def test_rows_of_our_own_schema_are_checked(tmp_path: Path) -> None:
    row = {"id": "1", "messages": [{"role": "user", "content": "?"}], "reference": "MI"}
    for fault, said in (
        ({"aliases": "MI"}, "aliases 'MI'"),
        ({"messages": "What?"}, "messages are a list"),
        ({"messages": [{"content": "What?"}]}, "messages are a list"),
        ({"reference": 5}, "a reference is text|no reference"),
        ({"reference": " "}, "no reference"),
        ({"options": ["a", "b"]}, "a mapping of label to text"),
    ):
        with pytest.raises(DataError, match=said):
            load_problems(write(tmp_path / "a.jsonl", {**row, **fault}))


@pytest.mark.parametrize(
    "options", [{"A": "x", "B": "y"}, ["x", "y"], [{"key": "A", "value": "x"}, {"key": "B", "value": "y"}]]
)
def test_options_come_in_three_shapes(tmp_path: Path, options: Any) -> None:
    row = {"question": "Which?", "options": options, "answer_idx": "B", "answer": "y"}
    (problem,) = load_problems(write(tmp_path / "a.jsonl", row))
    assert (dict(problem.options), problem.reference) == ({"A": "x", "B": "y"}, "B")


def test_columns_of_any_name_can_be_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"ask": "Why?", "truth": "because"})
    assert load_problems(path, prompt="ask", reference="truth")[0].reference == "because"
    with pytest.raises(DataError, match=r"columns ask, truth, which fit no known schema[\s\S]*medmcqa: question, opa"):
        load_problems(path)


def test_own_problems_round_trip(tmp_path: Path) -> None:
    problems = generate_problems(split="train", count=20, kinds=("term", "choice", "number"))
    assert load_problems(write(tmp_path / "a.jsonl", *[p.to_json() for p in problems])) == problems


def test_json_list_csv_and_parquet_read_alike(tmp_path: Path) -> None:
    rows = [open_row(1, id="a"), open_row(2, id="b")]
    wanted = [(p.id, p.question, p.reference) for p in load_problems(write(tmp_path / "a.jsonl", *rows))]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1))
    write(tmp_path / "lines.json", *rows)
    header = "id,Open-ended Verifiable Question,Ground-True Answer"
    (tmp_path / "a.csv").write_text(f"{header}\na,Question 1?,gout\nb,Question 2?,gout\n")
    paths = [tmp_path / "a.json", tmp_path / "lines.json", tmp_path / "a.csv"]
    if find_spec("pyarrow"):
        table = import_module("pyarrow").Table.from_pylist(rows)
        import_module("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
        paths.append(tmp_path / "a.parquet")
    for path in paths:
        assert [(p.id, p.question, p.reference) for p in load_problems(path)] == wanted


def test_limit_reads_the_head(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *[open_row(n) for n in range(5)])
    assert len(load_problems(path, limit=2)) == 2
    with pytest.raises(DataError, match="limit is 0"):
        load_problems(path, limit=0)


def test_a_missing_file_names_the_nearest_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "medqa.jsonl", open_row())
    with pytest.raises(MissingFile, match=r"did you mean 'medqa\.jsonl'"):
        load_problems(tmp_path / "medqa.jsnl")
    with pytest.raises(MissingFile, match="nor does its folder"):
        load_problems(tmp_path / "gone" / "deep" / "x.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        load_problems(tmp_path)


def test_faults_of_rows_come_together_and_are_capped_at_ten(tmp_path: Path) -> None:
    rows = [open_row(1, id="a"), open_row(2, id="a"), {**open_row(3), "Ground-True Answer": " "}]
    with pytest.raises(DataError) as caught:
        load_problems(write(tmp_path / "a.jsonl", *rows))
    assert "2 rows that cannot become a problem" in str(caught.value)
    assert "row 2: id 'a' is already that of row 1" in str(caught.value)
    assert "row 3: column 'Ground-True Answer' is empty" in str(caught.value)
    broken = [{**open_row(n), "Ground-True Answer": None} for n in range(14)]
    with pytest.raises(DataError, match="and 4 more"):
        load_problems(write(tmp_path / "b.jsonl", *broken))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2: not JSON"),
        ("a.json", '[{"a": 1},\n {"a" 2}]', "line 2: not JSON"),
        ("a.jsonl", '{"a": 1}\n' + "[" * 100_000, "line 2: .* nested too deeply"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"a":' * 100_000, "line 1: .* nested too deeply"),
        ("a.jsonl", "[1, 2]", "line 1: expected an object"),
        ("a.jsonl", "\n \n", "holds no rows"),
        ("a.csv", "q,r\n1,2,3\n", "line 2: the row does not have 2 columns"),
        ("a.txt", "hello", "no kind of file that can be read"),
    ],
)
def test_unreadable_content_is_located(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load_problems(tmp_path / name)


def test_an_unknown_schema_name_and_a_foreign_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", open_row())
    with pytest.raises(DataError, match="did you mean 'medmcqa'"):
        load_problems(path, schema="medmcq")
    path.write_bytes("诊断".encode("gb18030"))
    with pytest.raises(DataError, match="not UTF-8"):
        load_problems(path)


def test_a_line_separator_inside_a_text_does_not_cut_the_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {**open_row(), "Ground-True Answer": "one\u2028two"})
    assert load_problems(path)[0].reference == "one\u2028two"


def test_responses_come_with_their_problems(tmp_path: Path) -> None:
    row = {"id": "q", "question": "Which?", "reference": "B", "options": {"A": "x", "B": "y"}, "response": ""}
    pairs = load_responses(write(tmp_path / "a.jsonl", row, {**row, "response": "B"}))
    assert [(p.id, p.kind, r.text) for p, r in pairs] == [("q", "choice", ""), ("q", "choice", "B")]
    with pytest.raises(DataError, match="row 1: column 'response' is missing"):
        load_responses(write(tmp_path / "b.jsonl", {"question": "Which?", "reference": "B"}))


def test_a_label_without_an_option_is_a_fault_and_several_labels_are_not(tmp_path: Path) -> None:
    row = {"id": "q", "question": "Which?", "reference": "AC", "options": {"A": "x", "B": "y", "C": "z"}}
    assert load_problems(write(tmp_path / "a.jsonl", row))[0].reference == "AC"
    with pytest.raises(DataError, match="'AE' is none of the options A, B, C"):
        load_problems(write(tmp_path / "b.jsonl", {**row, "reference": "AE"}))


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [("o1_demo", "open", 93), ("medqa", "choice", 653), ("medmcqa", "choice", 1000), ("pubmedqa", "choice", 500)],
)
def test_published_files_load_whole(shared_data: Path, name: str, kind: str, count: int) -> None:
    problems = load_problems(shared_data / f"{name}.jsonl")
    assert len(problems) == count
    assert {p.kind for p in problems} == {kind}


def test_published_calculations_and_judged_responses_load_whole(shared_data: Path) -> None:
    problems = load_problems(shared_data / "medcalc.jsonl")
    numeric = [p for p in problems if p.kind == "numeric"]
    assert len(numeric) > 480
    assert all(p.metadata["lower_limit"] <= p.metadata["value"] <= p.metadata["upper_limit"] for p in numeric)
    assert len(load_responses(shared_data / "verify_cases.jsonl")) == 334


def test_the_choice_form_of_the_demo_rows_can_be_asked_for(shared_data: Path) -> None:
    problems = load_problems(shared_data / "o1_demo.jsonl", schema="choice")
    assert {p.kind for p in problems} == {"choice"}


def test_importing_the_data_package_brings_neither_torch_nor_datasets() -> None:
    code = (
        "import sys, medrl.data, medrl.data.clinic;"
        "print([m for m in ('torch', 'datasets', 'transformers', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_a_question_without_a_reference_is_a_problem_where_nothing_is_verified(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"question": "Why rest?", "response": "To heal."})
    ((problem, response),) = load_responses(path, needs_reference=False)
    assert (problem.question, problem.reference, response.text) == ("Why rest?", None, "To heal.")
    assert load_problems(path, schema="question") == load_problems(path, needs_reference=False) == [problem]
    for load in (load_problems, load_responses):  # a reference in a column of another name is no open question
        with pytest.raises(DataError, match="fit no known schema"):
            load(path)
    empty = write(tmp_path / "b.jsonl", {"question": "Why rest?", "reference": ""})
    assert load_problems(empty, needs_reference=False)[0].reference is None
    own = write(tmp_path / "c.jsonl", problem.to_json())
    assert load_problems(own, needs_reference=False) == [problem]
    for path in (empty, own):
        with pytest.raises(DataError, match="reference"):
            load_problems(path)
