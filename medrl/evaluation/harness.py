"""Per-sample logs of lm-evaluation-harness (`--log_samples`) as answers.

A row of `samples_TASK_DATE.jsonl` holds the document of the data set (`doc`), what the model was asked (`arguments`) and
what it gave (`resps`). Of a generating task that is text, which medrl reads with its own rules. Of a multiple-choice task it
is one log-likelihood per option: the likeliest option is taken as the answer, and the reply says so, since nobody wrote it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medrl.data.rows import Row, RowFault, pick_schema
from medrl.data.schemas import SCHEMAS, Reading
from medrl.evaluation.answers import Answered, Reply, set_name
from medrl.types import Problem, ask

BY_LIKELIHOOD = "likelihood"  # metadata of a reply that nobody wrote


def is_sample(row: Row) -> bool:
    """Whether a row is of such a log."""
    return isinstance(row.get("doc"), Mapping) and "resps" in row


def of_one_filter(rows: Sequence[Row]) -> list[Row]:
    """A task with several filters logs each document once for each; the replies are the same, so one is kept."""
    kept = rows[0].get("filter")
    return [row for row in rows if row.get("filter") == kept]


def task_of(source: str) -> str:
    """The task of a log `samples_TASK_2026-01-31T10-20-30.123.jsonl`; else the file's name."""
    name = set_name(source)
    parts = name.split("_")
    return "_".join(parts[1:-1]) if len(parts) > 2 and parts[0] == "samples" else name


def sample(row: Row, number: int, source: str) -> Answered:
    """One row of the log."""
    problem = _problem(row, number, source)
    return Answered(problem, _replies(row, problem), task_of(source))


def _problem(row: Row, number: int, source: str) -> Problem:
    doc: dict[str, Any] = dict(row["doc"])
    name = task_of(source)
    chosen = pick_schema(f"the `doc` of {name}", [doc], "auto", {key: columns for key, (columns, _) in SCHEMAS.items()})
    doc.setdefault("id", f"doc-{row.get('doc_id', number)}")
    problem = _as_shuffled(doc, SCHEMAS[chosen][1](doc, number, Reading(name)))
    _check_target(row.get("target"), problem)
    return problem


def _as_shuffled(doc: Mapping[str, Any], problem: Problem) -> Problem:
    """GPQA's tasks shuffle the answers themselves; likelihoods are in that order."""
    texts = [doc.get(f"choice{place}") for place in range(1, len(problem.options) + 1)]
    right = doc.get("Correct Answer")
    if not all(isinstance(text, str) for text in texts) or not isinstance(right, str):
        return problem
    options = {label: str(text).strip() for label, text in zip(problem.options, texts, strict=True)}
    label = str(doc.get("answer", "")).strip("() ")
    if label not in options:
        raise RowFault(f"the task's answer {doc.get('answer')!r} is none of its choices")
    asked = str(doc.get("Question", problem.question)).strip()
    listed = "".join(f"\n{label}. {text}" for label, text in options.items())
    return replace(problem, options=options, reference=label, messages=ask(asked + listed))


def _check_target(target: Any, problem: Problem) -> None:
    """What the task takes for right must be the reference, else options were read in another order than the task's."""
    labels = list(problem.options)
    text = str(target).strip().strip("()")
    if not labels or target is None:
        return
    if text.isdigit() and text not in labels:
        named = labels[int(text)] if int(text) < len(labels) else None
    else:
        named = text if text in labels else None
        if named is None:
            return  # a text of the task's own making
    if named != problem.reference:
        raise RowFault(f"the task takes {target!r} for right, and the reference is {problem.reference!r}")


def _replies(row: Row, problem: Problem) -> tuple[Reply, ...]:
    given = row["resps"]
    if not isinstance(given, list | tuple) or not given:
        raise RowFault("`resps` is empty, so the log holds no reply")
    if _are_likelihoods(given):
        return (_likeliest(given, problem),)
    texts = given[0] if isinstance(given[0], list | tuple) else given
    if not all(isinstance(one, str) for one in texts):
        raise RowFault(f"`resps` is {given!r:.80}; it holds texts, or one log-likelihood per option")
    return tuple(Reply(text) for text in texts)


def _are_likelihoods(given: Sequence[Any]) -> bool:
    """One `[[log-likelihood, is greedy]]` per option."""
    return all(
        isinstance(one, list | tuple) and one and isinstance(one[0], list | tuple) and len(one[0]) == 2 for one in given
    )


def _likeliest(given: Sequence[Any], problem: Problem) -> Reply:
    labels = list(problem.options)
    if len(labels) != len(given):
        raise RowFault(f"there are {len(given)} log-likelihoods and {len(labels)} options")
    try:
        values = [float(one[0][0]) for one in given]
    except (TypeError, ValueError) as error:
        raise RowFault(f"`resps` is {given!r:.80}, where log-likelihoods should be") from error
    if any(value != value for value in values):
        return Reply("", error="a log-likelihood is not a number")
    best = [label for label, value in zip(labels, values, strict=True) if value == max(values)]
    if len(best) > 1:
        return Reply("", error=f"the options {', '.join(best)} are equally likely")
    return Reply(best[0], "stop", metadata={"read_by": BY_LIKELIHOOD, "log_likelihoods": values})
