"""Problems and judged responses from local files and the hub, in the published schemas."""

from dataclasses import replace
from pathlib import Path

from medrl.data.patient_schemas import PATIENTS, weighed
from medrl.data.rows import Row, RowFault, collect, pick_schema, read_rows
from medrl.data.schemas import SCHEMAS, Reading, columns_of
from medrl.types import Problem, Response

TEACHER = "teacher_response"


def load_problems(
    source: str | Path,
    *,
    split: str = "train",
    config: str | None = None,
    schema: str = "auto",
    limit: int | None = None,
    instruction: str | None = None,
    language: str | None = None,
    prompt: str | None = None,
    reference: str | None = None,
    options: str | None = None,
    needs_reference: bool = True,
) -> list[Problem]:
    """Read problems, or say which rows are broken and why.

    Args:
        source: File (.jsonl, .json, .csv, .parquet), or hub id such as
            "FreedomIntelligence/medical-o1-verifiable-problem".
        split: Split of a hub data set; a local file is read whole.
        config: Configuration of a hub data set.
        schema: One of `medrl.data.schemas.SCHEMAS`, or "auto" to tell it by the columns.
        limit: Read only this many rows, from the head.
        instruction: Put below every question, e.g. the wanted output format. Not for medrl's own problem rows.
        language: Language of all rows, "en" or "zh"; None tells it from each question.
        prompt: Column of the question, for other columns than the known schemas; needs `reference` too.
        reference: Column of the right answer (for a choice its label).
        options: Column of the options, a mapping of label to text or a list.
        needs_reference: Whether a row without a right answer is at fault; False where nothing is verified.

    Raises:
        MissingFile: The file does not exist.
        DataError: It cannot be read, or rows of it cannot become problems.
    """
    if schema == "auto" and (prompt or reference):
        schema = "generic"
    name, rows = read_rows(source, split=split, config=config, limit=limit)
    chosen = pick_schema(name, rows, schema, columns_of(needs_reference))
    reading = Reading(name, instruction, language, prompt, reference, options, needs_reference)
    found = collect(name, rows, lambda row, number: _taught(SCHEMAS[chosen][1](row, number, reading), row), "problem")
    return weighed(found) if chosen in PATIENTS else found


def _taught(problem: Problem, row: Row) -> Problem:
    """The problem with the answer of a teacher that a row of any schema may hold (HuatuoGPT-3)."""
    answer = row.get(TEACHER)
    if not isinstance(answer, str) or TEACHER in problem.metadata:
        return problem
    return replace(problem, metadata={**problem.metadata, TEACHER: answer})


def load_responses(
    path: str | Path,
    *,
    schema: str = "auto",
    limit: int | None = None,
    response: str = "response",
    needs_reference: bool = True,
) -> list[tuple[Problem, Response]]:
    """Rows that hold a problem and one response to it; several rows may share a problem id.

    Args:
        path: A local file whose rows have the columns of a problem schema, and the response.
        schema: As in `load_problems`.
        limit: Read only this many rows.
        response: The column of the response. An empty text is an answer too; a missing one is a fault.
        needs_reference: As in `load_problems`.
    """
    name, rows = read_rows(path, limit=limit)
    chosen = pick_schema(name, rows, schema, columns_of(needs_reference))
    reading = Reading(name, needs_reference=needs_reference)

    def pair(row: Row, number: int) -> tuple[Problem, Response]:
        text = row.get(response)
        if not isinstance(text, str):
            raise RowFault(f"column {response!r} is missing or no text; it holds the answer to check")
        return SCHEMAS[chosen][1](row, number, reading), Response(text)

    return collect(name, rows, pair, "problem with a response", unique=False)
