"""Look for flaws in a file of problems before anything is trained on it (`medrl audit-problems`).

A policy is rewarded for agreeing with references. Where the question lost its table, asks for what is not so or has
several right answers, it is rewarded for guessing; where a problem is also in an evaluation set, for remembering. The
checks are those of `problem_flaws.py` and `problem_overlap.py`, and each reference is shown to the rules as an answer: a
problem that they do not accept it for can hardly be won.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from medrl import __version__
from medrl.commands.attack_answers import right_answer
from medrl.construct.problem_flaws import KINDS, Flaw, flaws, shown
from medrl.construct.problem_overlap import overlaps, repeats
from medrl.data.rows import Row, collect, pick_schema, read_rows
from medrl.data.schemas import SCHEMAS, Reading, Schema
from medrl.errors import DataError, did_you_mean
from medrl.files import json_line, write_atomic
from medrl.types import Problem, Response
from medrl.verifiers import Typed, Verifier, judge, run_sync


@dataclass(frozen=True)
class Audited:
    """One row of the file, with the problem that it holds and what is wrong with it."""

    number: int
    row: Row
    problem: Problem | None
    flaws: tuple[Flaw, ...]

    @property
    def id(self) -> str:
        return self.problem.id if self.problem else str(self.row.get("id") or f"row-{self.number}")


@dataclass(frozen=True)
class Audit:
    """The flat object that `--json` writes, and the rows that it was computed from."""

    report: dict[str, Any]
    rows: tuple[Audited, ...] = field(repr=False)

    def kept(self, drop: Sequence[str] = ()) -> list[Audited]:
        """The rows without flaws of the kinds in `drop`, or without any where it is empty; broken rows are never kept."""
        kinds = set(drop) or set(KINDS)
        return [one for one in self.rows if one.problem and not kinds & {flaw.kind for flaw in one.flaws}]


def audit(
    source: str | Path,
    against: Sequence[str | Path] = (),
    *,
    schema: str = "auto",
    limit: int | None = None,
    verifier: Verifier | None = None,
) -> Audit:
    """Every row of a file with its flaws.

    Args:
        source: A file or hub data set as `medrl.data.load_problems` takes it.
        against: Evaluation sets, with which nothing may be shared.
        schema: One of `medrl.data.schemas.SCHEMAS`, or "auto" to tell it by the columns.
        limit: Read only so many rows, from the head.
        verifier: Who is shown each reference as an answer; the built-in rules when empty.

    Raises:
        MissingFile: A file does not exist.
        DataError: It cannot be read, or fits no schema; broken rows are flaws instead.
    """
    name, rows, problems = read(source, schema, limit)
    held_out = [one for file in against for one in read(file)[2] if isinstance(one, Problem)]
    places = [place for place, one in enumerate(problems) if isinstance(one, Problem)]
    whole = [one for one in problems if isinstance(one, Problem)]
    shared, repeated = overlaps(whole, held_out), repeats(whole)
    decided = undecided(whole, verifier or Typed())
    found: dict[int, list[Flaw]] = {}
    for at, (place, problem) in enumerate(zip(places, whole, strict=True)):
        found[place] = [*flaws(problem), *decided.get(at, []), *repeated.get(at, []), *shared.get(at, [])]
    audited = tuple(
        Audited(place + 1, row, one, tuple(found[place]))
        if isinstance(one, Problem)
        else Audited(place + 1, row, None, (Flaw("broken_row", shown(one)),))
        for place, (row, one) in enumerate(zip(rows, problems, strict=True))
    )
    return Audit(_report(name, audited, [str(file) for file in against], len(held_out)), audited)


def read(
    source: str | Path, schema: str = "auto", limit: int | None = None
) -> tuple[str, list[Row], list[Problem | str]]:
    """The name and rows of a file, and for each row its problem, or what keeps it from being one."""
    name, rows = read_rows(source, limit=limit)
    chosen = pick_schema(name, rows, schema, {key: columns for key, (columns, _) in SCHEMAS.items()})
    reading = Reading(name)
    seen: dict[str, int] = {}
    problems: list[Problem | str] = []
    for number, row in enumerate(rows, 1):
        try:
            (problem,) = collect(name, [row], partial(_parse, SCHEMAS[chosen][1], number, reading), "problem")
        except DataError as error:
            problems.append(str(error).partition("row 1: ")[2] or str(error))
            continue
        first = seen.setdefault(problem.id, number)
        problems.append(problem if first == number else f"its id {problem.id!r} is that of row {first} already")
    return name, rows, problems


def _parse(schema: Schema, number: int, reading: Reading, row: Row, _: int) -> Problem:
    return schema(row, number, reading)


def undecided(problems: Sequence[Problem], verifier: Verifier) -> dict[int, list[Flaw]]:
    """The problems (by place) whose own reference, given as the answer, is not accepted."""
    places = [place for place, one in enumerate(problems) if (one.reference or "").strip()]
    items = [(problems[place], Response(right_answer(problems[place]))) for place in places]
    verdicts = run_sync(judge(verifier, items))
    found: dict[int, list[Flaw]] = {}
    for place, (_, answer), verdict in zip(places, items, verdicts, strict=True):
        if not verdict.accepted:
            said = "rejected" if verdict.decided else verdict.status
            words = f"{answer.text}: {said}, {verdict.reason}"
            found[place] = [Flaw("undecided", shown(words))]
    return found


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise unless all are kinds of flaws."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise DataError(f"there is no kind of flaw {unknown[0]!r}{did_you_mean(unknown[0], KINDS)}")


def write_kept(path: str | Path, found: Audit, drop: Sequence[str] = ()) -> int:
    """Write the kept rows as they were read, one JSON object a line, whole or not at all; returns how many."""
    check_kinds(drop)
    kept = found.kept(drop)
    write_atomic(path, b"".join(json_line(dict(one.row)) for one in kept))
    return len(kept)


def _report(name: str, rows: Sequence[Audited], against: Sequence[str], held_out: int) -> dict[str, Any]:
    counts = Counter(kind for one in rows for kind in {flaw.kind for flaw in one.flaws})
    flawed = [one for one in rows if one.flaws]
    return {
        "file": Path(name).name,
        "n": len(rows),
        "flawed": len(flawed),
        "clean": len(rows) - len(flawed),
        "share_flawed": len(flawed) / len(rows),
        "by_flaw": {kind: {"n": counts[kind], "share": counts[kind] / len(rows)} for kind in KINDS},
        "against": list(against),
        "against_problems": held_out,
        "medrl_version": __version__,
        "rows": [
            {"row": one.number, "id": one.id, "flaws": [vars(flaw) for flaw in one.flaws]} for one in flawed
        ],
    }  # fmt: skip
