"""Rubrics: criteria with signed points that an open answer meets or not, and the published sets that carry them.

HealthBench (OpenAI 2025, arXiv 2505.08775) and HuatuoGPT-3 grade open medical answers by criteria that physicians wrote,
each with points from -10 to 10; K-QA (Manes et al. 2024, arXiv 2401.14493) lists statements that an answer must have or
may nicely have. Here all three are problems of the kind `rubric` with `metadata["rubrics"]`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from medrl.data.rows import Row, RowFault, language_of, required
from medrl.errors import ProblemError
from medrl.types import Message, Problem, ask

if TYPE_CHECKING:
    from medrl.data.schema_parts import Reading

MOST = 1e6  # points of one criterion
MUST, NICE, CONTRADICTED = 2.0, 1.0, -2.0  # K-QA publishes no points; these are ours
MUST_HAVE, NICE_TO_HAVE, CONTRADICTION = "Must_have", "Nice_to_have", "contradiction"  # tags of its criteria


@dataclass(frozen=True)
class Criterion:
    """One thing that an answer does or does not.

    Attributes:
        text: What is looked for, such as "Asks how long the fever has lasted".
        points: What meeting it is worth; below 0 for what an answer should not do.
        tags: Axis, theme or level, as the data set has them.
    """

    text: str
    points: float
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"criterion": self.text, "points": self.points, "tags": list(self.tags)}


@dataclass(frozen=True)
class Rubric:
    """The criteria of one problem."""

    criteria: tuple[Criterion, ...]

    @property
    def best(self) -> float:
        """What an answer earns that meets all it should and nothing else; above 0."""
        return sum(one.points for one in self.criteria if one.points > 0)

    @property
    def worst(self) -> float:
        """What an answer earns that meets only what it should not; 0 or below."""
        return sum(one.points for one in self.criteria if one.points < 0)

    def share(self, met: Sequence[bool]) -> float:
        """Points of the met criteria over the best that there is: 1.0 at best, below 0 where faults outweigh merits."""
        return sum(one.points for one, yes in zip(self.criteria, met, strict=True) if yes) / self.best


def rubric_of(problem: Problem) -> Rubric:
    """The rubric in a problem's `metadata["rubrics"]`, rows of `criterion`, `points` and perhaps `tags`.

    Raises:
        ProblemError: There is none, a row is broken, or no criterion has points above 0.
    """
    rows: Any = problem.metadata.get("rubrics")
    try:
        return Rubric(criteria(rows))
    except ValueError as error:
        raise ProblemError(f"problem {problem.id!r}: {error}") from None


def criteria(rows: Any) -> tuple[Criterion, ...]:
    """Criteria from rows as HealthBench has them.

    Raises:
        ValueError: They are something else, or nothing can be earned.
    """
    if not isinstance(rows, list | tuple) or not rows:
        raise ValueError(f"its rubric is {rows!r:.80}; give `rubrics`, a list of {{criterion, points}}")
    found = tuple(_criterion(row, number) for number, row in enumerate(rows, 1))
    if not any(one.points > 0 for one in found):
        raise ValueError("no criterion of its rubric has points above 0, so nothing can be earned")
    return found


def _criterion(row: Any, number: int) -> Criterion:
    text = row.get("criterion") if isinstance(row, Mapping) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"criterion {number} of its rubric has no text `criterion`: {row!r:.80}")
    points = row.get("points")
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 < abs(points) <= MOST:
        raise ValueError(
            f"criterion {number} of its rubric has the points {points!r}; give a number other than 0, to {MOST:g}"
        )
    tags = row.get("tags") or ()
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"criterion {number} of its rubric has the tags {tags!r:.80}; give a list of texts")
    return Criterion(text.strip(), float(points), tuple(tags))


@dataclass(frozen=True)
class Statement:
    """One statement of K-QA as two criteria of a rubric, by their places from 0.

    Attributes:
        must: Whether an answer must have it, or may nicely have it.
        states, denies: The criterion that an answer says so, and the one that it says the contrary.
    """

    must: bool
    states: int
    denies: int


def statements(rubric: Rubric) -> tuple[Statement, ...]:
    """K-QA's statements in a rubric that `kqa` made; none in any other."""
    tags = [one.tags for one in rubric.criteria]
    levels: dict[tuple[str, ...], bool] = {(MUST_HAVE,): True, (NICE_TO_HAVE,): False}
    if len(tags) % 2 or any(one not in levels for one in tags[::2]) or set(tags[1::2]) != {(CONTRADICTION,)}:
        return ()
    return tuple(Statement(levels[one], 2 * place, 2 * place + 1) for place, one in enumerate(tags[::2]))


def healthbench(row: Row, number: int, reading: "Reading") -> Problem:
    """HealthBench and HuatuoGPT-3: `prompt` (messages or text), `rubrics`, and what else the row tells of itself."""
    prompt = row.get("prompt")
    messages = tuple(prompt) if isinstance(prompt, list | tuple) else ask(required(row, "prompt"))
    if not messages:
        raise RowFault("`prompt` holds no message")
    name = row.get("prompt_id") or row.get("id")
    return _problem(name, number, reading, messages, row.get("rubrics"), tags=row.get("example_tags"))


def kqa(row: Row, number: int, reading: "Reading") -> Problem:
    """K-QA: each statement is a criterion to meet, and its contrary one not to; the physician's answer is the reference."""
    listed: list[dict[str, Any]] = []
    for column, points in ((MUST_HAVE, MUST), (NICE_TO_HAVE, NICE)):
        statements = row.get(column) or ()
        if not isinstance(statements, list | tuple):
            raise RowFault(f"`{column}` is {statements!r:.80}; it must be a list of statements")
        for statement in statements:
            text = str(statement).strip()
            if not text:
                continue  # two of the published rows list an empty one, which no answer can state
            listed.append({"criterion": f"States that: {text}", "points": points, "tags": [column]})
            listed.append({"criterion": f"Denies that: {text}", "points": CONTRADICTED, "tags": [CONTRADICTION]})
    problem = _problem(row.get("id"), number, reading, ask(required(row, "Question")), listed)
    answer = row.get("Free_form_answer")
    return replace(problem, reference=answer if isinstance(answer, str) and answer.strip() else None)


def _problem(
    name: Any, number: int, reading: "Reading", messages: tuple[Message, ...], rows: Any, **metadata: Any
) -> Problem:
    try:
        rubrics = [one.to_json() for one in criteria(rows)]
        problem = Problem(
            id=f"row-{number}" if name in (None, "") else str(name),
            messages=(*messages[:-1], _instructed(messages[-1], reading.instruction)),
            kind="rubric",
            metadata={"source": reading.name, "row": number, "rubrics": rubrics}
            | {key: value for key, value in metadata.items() if value is not None},
        )
    except (ValueError, ProblemError) as error:
        raise RowFault(str(error)) from None
    return replace(problem, language=reading.language or language_of(problem.question))


def _instructed(message: Message, instruction: str | None) -> Message:
    if not instruction or not isinstance(message.get("content"), str):
        return message
    return {**message, "content": f"{message['content'].strip()}\n\n{instruction}"}
