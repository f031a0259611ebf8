"""Schemas of published examination sets: MMLU-Pro, MMLU, GPQA, CMB, CMExam, CMMLU, C-Eval, and cases of AgentClinic.

MedQA (English and MCMLE), MedMCQA and PubMedQA are in `schemas.py`. What tells slices apart in an evaluation goes into
the metadata: topic, department, difficulty. Sets whose test answers are not published raise a fault row by row.
"""

import random
import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

from medrl.data.rows import Row, RowFault, required
from medrl.data.schema_parts import Reading, label_of, options_of, problem_of
from medrl.seeds import seed_of
from medrl.types import Problem

_LINE = re.compile(r"\s*\(?([A-Z])\)?\s*[.．、:：)）]?\s*(.*\S)\s*")


def mmlu_pro(row: Row, number: int, reading: Reading) -> Problem:
    """MMLU-Pro: up to ten options, `answer` a letter, `category` such as health or biology (the topic)."""
    given = row["options"]
    kept = [text for text in given if str(text).strip().upper() != "N/A"] if isinstance(given, list) else given
    options = options_of(kept)
    label = _at(row["answer_index"], options)
    stated = str(row.get("answer") or label).strip()
    if stated != label:
        raise RowFault(f"`answer` is {stated!r} and `answer_index` means {label!r}; one of them is wrong")
    question = required(row, "question")
    return problem_of(
        row, number, reading, question, label, "choice", options, key="question_id", topic=row.get("category")
    )


def mmlu(row: Row, number: int, reading: Reading) -> Problem:
    """MMLU: four `choices`, `answer` their place from 0, `subject` the topic."""
    options = options_of(row["choices"])
    label = _at(row["answer"], options)
    return problem_of(
        row, number, reading, required(row, "question"), label, "choice", options, topic=row.get("subject")
    )


def gpqa(row: Row, number: int, reading: Reading) -> Problem:
    """GPQA: one right and three wrong answers; their order is drawn by a hash of the question, the same in every run."""
    question, right = required(row, "Question"), required(row, "Correct Answer")
    texts = [right, *(required(row, f"Incorrect Answer {place}") for place in (1, 2, 3))]
    if len(set(texts)) < len(texts):
        raise RowFault("two of the answers are equal")
    random.Random(seed_of("gpqa", question)).shuffle(texts)
    options = dict(zip(ascii_uppercase, texts, strict=False))
    label = next(label for label, text in options.items() if text == right)
    return problem_of(
        row, number, reading, question, label, "choice", options, key="Record ID", topic=row.get("Subdomain")
    )


def cmb(row: Row, number: int, reading: Reading) -> Problem:
    """CMB-Exam: `option` maps labels to texts (empty ones are not there), several labels may be right."""
    given = row["option"]
    if isinstance(given, Mapping):
        given = {label: text for label, text in given.items() if str(text or "").strip()}
    options = options_of(given)
    label = label_of(row["answer"], options)
    about: dict[str, Any] = {"topic": row.get("exam_subject") or row.get("exam_class"), "exam": row.get("exam_type")}
    return problem_of(row, number, reading, required(row, "question"), label, "choice", options, **about)


def cmexam(row: Row, number: int, reading: Reading) -> Problem:
    """CMExam: options as lines "A text" or a list of key and value; department and discipline for slices."""
    given = row["Options"]
    options = options_of(given) if isinstance(given, list | Mapping) else _lines(required(row, "Options"))
    label = label_of(row["Answer"], options)
    about: dict[str, Any] = {
        "topic": row.get("Medical Discipline"),
        "department": row.get("Clinical Department"),
        "difficulty": row.get("Difficulty Level"),
    }
    return problem_of(row, number, reading, required(row, "Question"), label, "choice", options, **about)


def cmmlu(row: Row, number: int, reading: Reading) -> Problem:
    """CMMLU and C-Eval: options in the columns A to D, the answer a letter."""
    question, answer = ("Question", "Answer") if "Question" in row else ("question", "answer")
    options = {label: required(row, label) for label in "ABCD"}
    label = label_of(row.get(answer), options)
    return problem_of(row, number, reading, required(row, question), label, "choice", options, topic=row.get("subject"))


def medqa_endings(row: Row, number: int, reading: Reading) -> Problem:
    """MedQA as evaluation harnesses take it: the question in `sent1`, options in `ending0` and on, `label` from 0."""
    options: dict[str, str] = {}
    while f"ending{len(options)}" in row:
        options[ascii_uppercase[len(options)]] = required(row, f"ending{len(options)}")
    if len(options) < 2:
        raise RowFault("there are fewer than two endings")
    return problem_of(row, number, reading, required(row, "sent1"), _at(row["label"], options), "choice", options)


def agentclinic(row: Row, number: int, reading: Reading) -> Problem:
    """AgentClinic: a whole case (patient, examination, tests) as one question for its diagnosis, without a dialogue."""
    case = row["OSCE_Examination"]
    if not isinstance(case, Mapping):
        raise RowFault("`OSCE_Examination` is no object")
    diagnosis = required(case, "Correct_Diagnosis")
    told = {
        name: case[name]
        for name in ("Patient_Actor", "Physical_Examination_Findings", "Test_Results")
        if case.get(name)
    }
    if not told:
        raise RowFault("the case tells nothing of the patient, so nobody can name the diagnosis")
    text = "\n".join([*_outline(told, 0), "", "What is the most likely diagnosis?"])
    return problem_of(row, number, reading, text, diagnosis)


def _outline(value: Any, depth: int) -> list[str]:
    """Nested objects as an indented outline; underscores in names become spaces."""
    if isinstance(value, Mapping):
        lines: list[str] = []
        for name, one in value.items():
            title = "  " * depth + str(name).replace("_", " ")
            inner = _outline(one, depth + 1)
            short = len(inner) == 1 and not isinstance(one, Mapping)
            lines += [f"{title}: {inner[0].strip()}"] if short else [f"{title}:", *inner]
        return lines
    if isinstance(value, list):
        return ["; ".join(str(one) for one in value)]
    return [" ".join(str(value).split())]


def _at(place: Any, options: Mapping[str, str]) -> str:
    """The label at a place that counts from 0."""
    labels = list(options)
    try:
        index = int(str(place).strip())
    except ValueError as error:
        raise RowFault(f"the answer {place!r} is no place among the options; they count from 0") from error
    if not 0 <= index < len(labels):
        raise RowFault(f"the answer is at place {index}, and there are {len(labels)} options, counted from 0")
    return labels[index]


def _lines(text: str) -> dict[str, str]:
    """Options as lines of a label and a text."""
    found = [_LINE.fullmatch(line) for line in text.split("\n") if line.strip()]
    if not all(found) or len(found) < 2:
        raise RowFault("the options are not lines such as 'A text'")
    options = {match[1]: match[2] for match in found if match}
    if list(options) != list(ascii_uppercase[: len(found)]):
        raise RowFault(f"the options have the labels {', '.join(options)}; they are A, B, C and so on")
    return options
