"""The published question schemas, one function each: a row in, a `Problem` out.

`SCHEMAS` lists them with the columns that tell them apart; the order decides where several fit. A row that cannot be
checked (no reference, a label without an option) raises RowFault, which the loader reports with its row number.
"""

import re
from collections.abc import Callable
from string import ascii_uppercase
from typing import Any

from medrl.data import exam_schemas, patient_schemas
from medrl.data.rows import Row, RowFault, required
from medrl.data.rubrics import healthbench, kqa
from medrl.data.schema_parts import Reading as Reading
from medrl.data.schema_parts import label_of, options_of, problem_of
from medrl.types import Problem


def own(row: Row, number: int, reading: Reading) -> Problem:
    """medrl's own problem rows, as `Problem.to_json` writes them."""
    known = Problem.__dataclass_fields__
    problem = Problem.from_json({column: value for column, value in row.items() if column in known})
    if reading.needs_reference and not (problem.reference or "").strip() and problem.kind not in ("dialogue", "rubric"):
        raise RowFault("the row has no reference, so nothing can be checked")
    return problem


def o1_verifiable(row: Row, number: int, reading: Reading) -> Problem:
    """medical-o1-verifiable-problem: the open question that was rewritten from a multiple-choice one."""
    question = required(row, "Open-ended Verifiable Question")
    return problem_of(row, number, reading, question, required(row, "Ground-True Answer"))


def inline_options(row: Row, number: int, reading: Reading) -> Problem:
    """MedQA and MedMCQA with the options in the question: "... Answer Choices: (A) ... (B) ..."."""
    question, mark, choices = required(row, "question").rpartition("Answer Choices:")
    if not mark:
        raise RowFault("the question has no 'Answer Choices:' part; use another schema")
    options = _split_options(choices)
    label = label_of(row["label"], options)
    return problem_of(row, number, reading, question, label, "choice", options, topic=row.get("subject_name"))


def _split_options(text: str) -> dict[str, str]:
    """Labels are taken in order, so that "(A)" inside a later option's text is not mistaken for a label."""
    starts = []
    at = 0
    for label in ascii_uppercase:
        found = re.compile(rf"(?:^|\s)\({label}\)\s?").search(text, at)
        if not found:
            break
        starts.append((label, found.start(), found.end()))
        at = found.end()
    if len(starts) < 2:
        raise RowFault("fewer than two options (A), (B) follow 'Answer Choices:'")
    ends = [start for _, start, _ in starts[1:]] + [len(text)]
    return {label: text[begin:end].strip() for (label, _, begin), end in zip(starts, ends, strict=True)}


def medmcqa(row: Row, number: int, reading: Reading) -> Problem:
    """MedMCQA as on the hub: four option columns; `cop` counts from 0, and is -1 in the test split."""
    options = {label: required(row, column) for label, column in zip("ABCD", ("opa", "opb", "opc", "opd"), strict=True)}
    place = str(row.get("cop", "")).strip()
    if place not in ("0", "1", "2", "3"):
        raise RowFault(f"`cop` is {place!r}, so there is no reference (the test split has none); it counts from 0 to 3")
    question, label = required(row, "question"), "ABCD"[int(place)]
    return problem_of(row, number, reading, question, label, "choice", options, topic=row.get("subject_name"))


def choice(row: Row, number: int, reading: Reading) -> Problem:
    """Multiple choice with an `options` column and the label in `answer_idx` (MedQA on the hub, o1 demo rows)."""
    options = options_of(row["options"])
    label = label_of(row["answer_idx"], options)
    return problem_of(row, number, reading, required(row, "question"), label, "choice", options)


def pubmedqa(row: Row, number: int, reading: Reading) -> Problem:
    """PubMedQA: the abstract without its conclusion, then a yes / no / maybe question."""
    question = required(row, "QUESTION" if "QUESTION" in row else "question")
    contexts = row["CONTEXTS"] if "CONTEXTS" in row else row["context"]["contexts"]
    decision = required(row, "final_decision").lower()
    if decision not in ("yes", "no", "maybe"):
        raise RowFault(f"`final_decision` is {decision!r}; it is yes, no or maybe")
    text = "\n".join([*contexts, "", question, "Answer yes, no or maybe."])
    options = {answer: answer for answer in ("yes", "no", "maybe")}
    key = "pmid" if "pmid" in row else "pubid"
    return problem_of(
        row, number, reading, text, decision, "choice", options, key=key, listed=False, answer_type="yes_no"
    )  # fmt: skip


def medcalc(row: Row, number: int, reading: Reading) -> Problem:
    """MedCalc-Bench: a note and a number, right between two limits; a date or a gestational age is an open answer."""
    text = f"{required(row, 'Patient Note')}\n\n{required(row, 'Question')}"
    reference = required(row, "Ground Truth Answer")
    metadata: dict[str, Any] = {"topic": row.get("Calculator Name"), "answer_type": "number"}
    try:
        metadata["value"] = float(reference)
        limits = sorted(float(required(row, column)) for column in ("Lower Limit", "Upper Limit"))
    except ValueError as error:
        if isinstance(error, RowFault):
            raise
        metadata["answer_type"] = "term" if "value" in metadata else "date"
        return problem_of(row, number, reading, text, _weeks(reference), key="Row Number", **metadata)
    metadata |= {"lower_limit": limits[0], "upper_limit": limits[1]}
    return problem_of(row, number, reading, text, reference, "numeric", key="Row Number", **metadata)


def _weeks(reference: str) -> str:
    """`('14 weeks', '2 days')` as "14 weeks, 2 days"."""
    return ", ".join(re.findall(r"'([^']+)'", reference)) or reference


def judged(row: Row, number: int, reading: Reading) -> Problem:
    """Plain rows with `question` and `reference`, and `options` where it is a choice (verify files)."""
    question = required(row, "question")
    about: dict[str, Any] = {"topic": row.get("category"), "expected": row.get("expected")}
    if not row.get("options"):
        if not reading.needs_reference and not str(row.get("reference") or "").strip():
            return problem_of(row, number, reading, question, None, **about)
        return problem_of(row, number, reading, question, required(row, "reference"), **about)
    options = options_of(row["options"])
    label = label_of(row.get("reference"), options)
    return problem_of(row, number, reading, question, label, "choice", options, **about)


def med_dialog(row: Row, number: int, reading: Reading) -> Problem:
    """Med-dialog of HuatuoGPT's evaluation: a patient's case; the reference is what the real doctor wrote."""
    case, diagnosis = required(row, "medical_case"), required(row, "doctor_diagnosis")
    return problem_of(row, number, reading, case, diagnosis, topic=row.get("Department"))


def query(row: Row, number: int, reading: Reading) -> Problem:
    """KUAKE-QIC of HuatuoGPT's evaluation: a patient's question that nobody has answered, with its intent."""
    return problem_of(row, number, reading, required(row, "query"), None, topic=row.get("label"))


def open_question(row: Row, number: int, reading: Reading) -> Problem:
    """Plain rows with `question` and nothing that is right: for people, preference models and signals to judge."""
    return problem_of(row, number, reading, required(row, "question"), None, topic=row.get("category"))


def generic(row: Row, number: int, reading: Reading) -> Problem:
    """Any columns, named by `prompt=`, `reference=` and `options=`."""
    if not reading.prompt or not reading.reference:
        raise RowFault("the generic schema needs the column names prompt= and reference=")
    question = required(row, reading.prompt)
    if not reading.options:
        return problem_of(row, number, reading, question, required(row, reading.reference))
    options = options_of(row[reading.options])
    return problem_of(row, number, reading, question, label_of(row.get(reading.reference), options), "choice", options)


Schema = Callable[[Row, int, Reading], Problem]
SCHEMAS: dict[str, tuple[tuple[str, ...], Schema]] = {
    "problem": (("id", "messages", "reference"), own),
    "o1_verifiable": (("Open-ended Verifiable Question", "Ground-True Answer"), o1_verifiable),
    "medcalc": (("Patient Note", "Question", "Ground Truth Answer", "Lower Limit", "Upper Limit"), medcalc),
    "pubmedqa": (("QUESTION", "CONTEXTS", "final_decision"), pubmedqa),
    "pubmedqa_hub": (("question", "context", "final_decision"), pubmedqa),
    "medmcqa": (("question", "opa", "opb", "opc", "opd", "cop"), medmcqa),
    "healthbench": (("prompt", "rubrics"), healthbench),
    "kqa": (("Question", "Must_have", "Nice_to_have"), kqa),
    "agentclinic": (("OSCE_Examination",), exam_schemas.agentclinic),
    # The same rows as patients to be consulted; "auto" takes the one above.
    "agentclinic_patient": (
        ("OSCE_Examination",),
        lambda row, number, reading: patient_schemas.agentclinic(row, number, reading.language),
    ),
    "dxbench": (
        ("explicit_symptoms", "implicit_symptoms", "disease"),
        lambda row, number, reading: patient_schemas.dxbench(row, number, reading.language),
    ),
    "choice": (("question", "options", "answer_idx"), choice),
    "mmlu_pro": (("question", "options", "answer_index"), exam_schemas.mmlu_pro),
    "mmlu": (("question", "choices", "answer"), exam_schemas.mmlu),
    "gpqa": (("Question", "Correct Answer", "Incorrect Answer 1"), exam_schemas.gpqa),
    "cmb": (("question", "option", "answer"), exam_schemas.cmb),
    "cmexam": (("Question", "Options", "Answer"), exam_schemas.cmexam),
    "cmmlu": (("Question", "A", "B", "C", "D", "Answer"), exam_schemas.cmmlu),
    "ceval": (("question", "A", "B", "C", "D", "answer"), exam_schemas.cmmlu),
    "medqa_endings": (("sent1", "ending0", "ending1", "label"), exam_schemas.medqa_endings),
    "inline_options": (("question", "label"), inline_options),
    "med_dialog": (("medical_case", "doctor_diagnosis"), med_dialog),
    "kuake_qic": (("query", "label"), query),
    "judged": (("question", "reference"), judged),
    "question": ((), open_question),  # "auto" takes it only where no reference is needed, see `columns_of`
    "generic": ((), generic),
}


def columns_of(needs_reference: bool = True) -> dict[str, tuple[str, ...]]:
    """The columns that tell each schema apart, by name, in the order in which "auto" tries them; () for what it never takes.

    Where a reference is needed it takes no question alone: mostly the reference stands in a column of another name.
    """
    known = {name: columns for name, (columns, _) in SCHEMAS.items()}
    return known if needs_reference else {**known, "question": ("question",)}
