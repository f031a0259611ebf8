"""Before against after: two evaluations as a table, and their answers side by side."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from medrl.errors import DataError
from medrl.tracking.table import decimal
from medrl.tracking.traces import Trace
from medrl.types import Response, Score


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


MEASURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("accuracy", "accuracy, mean over samples (%)", _points),
    ("greedy_accuracy", "accuracy, greedy (%)", _points),
    ("reward", "reward", decimal),
    ("format", "format kept (%)", _points),
    ("unscored", "unscored (%)", _points),
    ("abstained", "verifier abstained (%)", _points),
    ("length", "length (tokens)", "{:.0f}".format),
    ("language_kept", "language kept (%)", _points),
)


def before_after(
    before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str] = ("SFT", "RL")
) -> Table:
    """Two evaluations rows of one set as a table; accuracies with their standard error, the change with both.

    Raises:
        DataError: The rows are of two sets or of different numbers of problems, which cannot be compared.
    """
    for key in ("name", "problems"):
        if before.get(key) != after.get(key):
            raise DataError(f"two evaluations with {key} {before.get(key)!r} and {after.get(key)!r} cannot be compared")
    title = str(before.get("name", "evaluation"))
    if "problems" in before:
        samples = sorted({row["samples"] for row in (before, after) if "samples" in row})
        title += f": {before['problems']} problems"
        title += f", {' and '.join(map(str, samples))} samples each" if samples else ""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("measure")
    for name in (*names, "change"):
        table.add_column(name, justify="right")
    for key, label, write in MEASURES:
        if before.get(key) is not None or after.get(key) is not None:
            table.add_row(label, *_measure(before, after, key, write))
    return table


def _measure(
    before: Mapping[str, Any], after: Mapping[str, Any], key: str, write: Callable[[float], str]
) -> tuple[str, str, str]:
    old, new = before.get(key), after.get(key)
    old_error, new_error = before.get(f"{key}_stderr"), after.get(f"{key}_stderr")

    def cell(value: float | None, error: float | None) -> str:
        return "-" if value is None else write(value) + (f" +- {write(error)}" if error is not None else "")

    if old is None or new is None:
        return cell(old, old_error), cell(new, new_error), "-"
    both = math.hypot(old_error, new_error) if old_error is not None and new_error is not None else None
    change = ("+" if new >= old else "") + cell(new - old, both)
    return cell(old, old_error), cell(new, new_error), change


def answers(
    before: Sequence[Trace],
    after: Sequence[Trace],
    *,
    limit: int = 3,
    names: tuple[str, str] = ("SFT", "RL"),
    part: str = "correct",
    characters: int = 600,
) -> Iterator[RenderableType]:
    """First how many answers changed, then for the first `limit` problems the first answer of each side.

    Args:
        before: Rollouts of one evaluation.
        after: Rollouts of another evaluation of the same problems.
        limit: How many problems to show. They are taken in order, never chosen by how they came out.
        names: What the two sides are called.
        part: The part of the reward that says right or wrong.
        characters: Longer answers lose their middle.
    """
    later = {trace.group.problem.id: trace for trace in after}
    pairs = [(trace, later[trace.group.problem.id]) for trace in before if trace.group.problem.id in later]
    pairs = [(old, new) for old, new in pairs if len(old.group) and len(new.group)]
    if not pairs:
        raise DataError("the two evaluations have no problem in common, so their answers cannot be shown side by side")
    values = [(_right(old.scores[0], part), _right(new.scores[0], part)) for old, new in pairs]
    known = [(old, new) for old, new in values if old is not None and new is not None]
    counts = {
        "right in both": sum(old and new for old, new in known),
        f"right only after {names[1]}": sum(new and not old for old, new in known),
        f"right only after {names[0]}": sum(old and not new for old, new in known),
        "wrong in both": sum(not (old or new) for old, new in known),
        "not scored": len(values) - len(known),
    }
    shown = ", ".join(f"{count} {what}" for what, count in counts.items())
    yield Text(f"First answers to {len(pairs)} problems: {shown}")
    for old, new in pairs[:limit]:
        yield _side_by_side(old, new, names, part, characters)


def _side_by_side(old: Trace, new: Trace, names: tuple[str, str], part: str, characters: int) -> Table:
    problem = old.group.problem
    options = "".join(f"\n  {label}. {text}" for label, text in problem.options.items())
    reference = problem.reference if problem.reference is not None else "none"
    title = Text(f"{problem.id}: {shorten(problem.question, characters)}{options}\nReference: {reference}")
    table = Table(title=title, title_justify="left", title_style="", box=box.ASCII2, expand=True)
    for name, trace in zip(names, (old, new), strict=True):
        table.add_column(Text(f"{name}: {mark(trace.scores[0], part)}"), ratio=1, overflow="fold")
    table.add_row(*(Text(_answer(trace.group.rollouts[0], characters)) for trace in (old, new)))
    return table


def _answer(response: Response, characters: int) -> str:
    length = "" if response.token_count is None else f"{response.token_count} tokens"
    cut = "cut at the token limit" if response.finish_reason == "length" else ""
    note = ", ".join(filter(None, (length, cut)))
    return shorten(response.text, characters) + (f"\n({note})" if note else "")


def mark(score: Score, part: str = "correct") -> str:
    """`right (1)`, `wrong (0)`, or why there is no verdict; with the answer that was read out where there is one."""
    found = score.parts.get(part)
    value = _value(score, part)
    verdict = found.verdict if found else None
    read = f", read as {verdict.answer!r}" if verdict and verdict.answer is not None else ""
    if value is None:
        why = (found.reason or (verdict.reason if verdict else "")) if found else ""
        why = why or score.reason
        status = found.status if found else score.status
        return f"no verdict ({status}{': ' + why if why else ''}){read}"
    return f"{'right' if found and found.accepted else 'wrong'} ({value:g}){read}"


def shorten(text: str, characters: int) -> str:
    """The beginning and the longer end of a text; answers stand at the end."""
    text = text.strip()
    if len(text) <= characters:
        return text
    head = characters // 3
    tail = characters - head
    return f"{text[:head].rstrip()}\n[... {len(text) - head - tail:,} characters left out ...]\n{text[-tail:].lstrip()}"


def _right(score: Score, part: str) -> bool | None:
    found = score.parts.get(part)
    return None if found is None or found.value is None else found.accepted


def _value(score: Score, part: str) -> float | None:
    found = score.parts.get(part)
    return found.value if found else None
