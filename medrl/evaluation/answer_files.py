"""Answers that were written by others: which form a file has, and what each row of it holds.

Read are: medrl's own answers files; rollouts of a run; per-sample logs of lm-evaluation-harness (`harness.py`); rows of a
published schema with a `response` or `responses` beside it; and rows of an id with replies, where the problems are given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medrl.data.problems import load_problems
from medrl.data.rows import Row, RowFault, collect, pick_schema, read_rows
from medrl.data.schemas import SCHEMAS, Reading
from medrl.errors import DataError
from medrl.evaluation.answers import Answered, Answers, Reply, set_name
from medrl.evaluation.harness import is_sample, of_one_filter, sample
from medrl.types import Problem

RESPONSE = ("replies", "responses", "response", "output", "prediction", "answer_text")
IDS = ("problem_id", "id", "question_id", "pmid", "pubid")


def load_sets(
    files: Sequence[str | Path], *, schema: str = "auto", limit: int | None = None
) -> list[tuple[str, Problem]]:
    """The problems of some files, each with the name of its set.

    Raises:
        DataError: A file cannot be read, or two files have one name.
    """
    names = [set_name(str(file)) for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two files are called {twice!r}; a report names sets by their files, so rename one")
    found: list[tuple[str, Problem]] = []
    for name, file in zip(names, files, strict=True):
        found += [(name, one) for one in load_problems(file, schema=schema, limit=limit)]
    return found


def load_answers(
    path: str | Path, problems: Sequence[tuple[str, Problem]] = (), *, name: str | None = None, schema: str = "auto",
    limit: int | None = None, response: str | None = None,
) -> Answers:  # fmt: skip
    """Read answers, or say which rows are broken and why.

    Args:
        path: The file.
        problems: What was asked, with the names of the sets; where given, each must have its answer, and no other counts.
        name: What the model is called; by default the file's name.
        schema: Of rows that hold the columns of a published schema.
        limit: Only so many rows.
        response: The column that holds the reply or replies, where rows have columns; found by its name when empty.

    Raises:
        MissingFile: The file does not exist.
        DataError: It cannot be read, has no known form, or rows of it are broken; problems without any answer.
    """
    source, rows = read_rows(path, limit=limit)
    called = name or set_name(source)
    if "problem" in rows[0] and "replies" in rows[0]:
        items = collect(
            source, rows, lambda row, number: Answered.from_json(row), "problem with its replies", unique=False
        )
    elif "problem" in rows[0] and "text" in rows[0]:
        items = _rollouts(source, rows)
    elif is_sample(rows[0]):
        rows = of_one_filter(rows)
        items = collect(
            source, rows, lambda row, number: sample(row, number, source), "sample of a harness", unique=False
        )
    elif problems:
        items = _by_id(source, rows, problems, response)
    else:
        items = _with_columns(source, rows, schema, response)
    whole = _together(items)
    return Answers(
        called, tuple(_restricted(source, whole, problems) if problems else whole), {"file": Path(path).name}
    )


def _restricted(source: str, items: Sequence[Answered], problems: Sequence[tuple[str, Problem]]) -> list[Answered]:
    """The answers to the problems that were asked for, under their sets; every one must have its answer."""
    by_id: dict[str, list[Answered]] = {}
    for one in items:
        by_id.setdefault(one.problem.id, []).append(one)
    kept, missing = [], []
    for name, problem in problems:
        same = [one for one in by_id.get(problem.id, ()) if one.problem.question == problem.question]
        same = [one for one in same if one.set == name] or same
        if same:
            kept.append(Answered(problem, same[0].replies, name))
        else:
            missing.append(problem.id)
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise DataError(
            f"{source} has no answer to {len(missing)} of {len(problems)} problems ({shown}); a model is not measured on the "
            "problems that it happens to have answered: add them, an empty text for an empty answer, or give only those "
            "problems that were asked"
        )
    return kept


def _rollouts(source: str, rows: Sequence[Row]) -> list[Answered]:
    """Rows as a run stores them, one a rollout."""

    def made(row: Row, number: int) -> Answered:
        if not isinstance(row.get("problem"), Mapping):
            raise RowFault("it needs a `problem` (an object)")
        reply = Reply(row["text"], row.get("finish_reason"), row.get("token_count"))
        return Answered(Problem.from_json(row["problem"]), (reply,), "rollouts")

    return collect(source, rows, made, "rollout", unique=False)


def _with_columns(source: str, rows: Sequence[Row], schema: str, response: str | None) -> list[Answered]:
    """Rows of a published schema, with what was replied in a column beside it."""
    column = _column(source, rows[0], response)
    plain = [{key: value for key, value in row.items() if key != column} for row in rows]
    known = {key: columns for key, (columns, _) in SCHEMAS.items()}
    chosen = pick_schema(source, plain, schema, known)
    reading, called = Reading(source), set_name(source)

    def made(row: Row, number: int) -> Answered:
        return Answered(SCHEMAS[chosen][1](row, number, reading), _replies(row, column), called)

    return collect(source, rows, made, "problem with its replies", unique=False)


def _by_id(
    source: str, rows: Sequence[Row], problems: Sequence[tuple[str, Problem]], response: str | None
) -> list[Answered]:
    """Rows that name the problem that they answer."""
    column = _column(source, rows[0], response)
    key = next((one for one in IDS if one in rows[0]), None)
    if key is None:
        raise DataError(f"{source} does not say which problem each row answers; give it a column `problem_id`")
    by_key: dict[tuple[str, str], Problem] = {(name, one.id): one for name, one in problems}
    sets: dict[str, list[str]] = {}
    for name, one in problems:
        sets.setdefault(one.id, []).append(name)

    def made(row: Row, number: int) -> Answered:
        named = str(row[key])
        among = [set_name(str(row["set"]))] if row.get("set") else sets.get(named, [])
        if len(among) != 1 or (among[0], named) not in by_key:
            why = (
                f"is in the sets {', '.join(among)}; name one in a column `set`"
                if len(among) > 1
                else "is no problem's"
            )
            raise RowFault(f"the id {named!r} {why}")
        return Answered(by_key[among[0], named], _replies(row, column), among[0])

    return collect(source, rows, made, "answer", unique=False)


def _column(source: str, row: Row, response: str | None) -> str:
    found = next((one for one in ((response,) if response else RESPONSE) if one in row), None)
    if found is None:
        raise DataError(
            f"{source} has the columns {', '.join(row)} and none with replies; name it `response` (a text) or `responses` "
            "(a list of texts), or say which one it is (--response COLUMN)"
        )
    return found


def _replies(row: Row, column: str) -> tuple[Reply, ...]:
    given = row.get(column)
    if isinstance(given, list):
        return tuple(Reply.from_json(one) for one in given)
    if isinstance(given, Mapping):
        return (Reply.from_json(given),)
    if not isinstance(given, str):
        raise RowFault(f"column {column!r} is {given!r:.60}; it holds a text, or a list of texts")
    about: dict[str, Any] = {name: row[name] for name in ("finish_reason", "token_count") if row.get(name) is not None}
    return (Reply(given, **about),)


def _together(items: Sequence[Answered]) -> list[Answered]:
    """All replies to one problem in one place; rows of one problem must hold the same problem."""
    found: dict[tuple[str, str], Answered] = {}
    for one in items:
        before = found.get(one.key)
        if before is not None and before.problem.messages != one.problem.messages:
            raise DataError(
                f"two problems of the set {one.set!r} have the id {one.problem.id!r} and different questions; ids are unique"
            )
        found[one.key] = Answered(one.problem, ((before.replies if before else ()) + one.replies), one.set)
    return list(found.values())
