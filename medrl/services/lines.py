"""Groups and scores as they travel between the server and its workers, and what is left of them for metrics.

A group's scores travel as one line of JSON, which goes into the answer as it is: the server's process neither reads nor
writes them again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medrl.types import Group, Part, Problem, Score
from medrl.verifiers.frames import problem_row, read_response, response_row


@dataclass(frozen=True)
class ScoredLine:
    """The scores of one group: as JSON text, and as the numbers that are counted."""

    text: bytes
    values: tuple[tuple[float | None, str], ...]
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    late: bool = False  # nobody scored them before the deadline of the request

    def scores(self) -> list[Score]:
        """The scores as objects."""
        return [Score.from_json(row) for row in json.loads(self.text)]


def line_of(scores: Sequence[Score], parts: bool = True) -> ScoredLine:
    """A group's scores; without their `parts` where nobody asked for them.

    A score that JSON cannot hold (a number that is not finite in a verdict's cost, an object in its parts) is an error
    of that rollout alone.
    """
    texts, values = [], []
    sums: dict[str, list[float]] = {}
    for score in scores:
        try:
            text = json.dumps(score_row(score, parts), separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            score = Score(None, "error", reason=f"the score cannot be written as JSON: {error}"[:300])
            text = json.dumps(score_row(score, parts), separators=(",", ":"))
        texts.append(text)
        values.append((score.value, str(score.status)))
        for name, part in score.parts.items():
            if part.value is not None:
                sums.setdefault(name, []).append(part.value)
    return ScoredLine(f"[{','.join(texts)}]".encode(), tuple(values), sums)


def failed_line(count: int, status: Literal["error", "timeout"], reason: str) -> ScoredLine:
    """No number for each of so many rollouts."""
    return line_of([Score(None, status, reason=reason)] * count)


def score_row(score: Score, parts: bool = True) -> dict[str, Any]:
    """As `Score.to_json`, which copies every level of it."""
    return {
        "value": score.value,
        "status": score.status,
        "parts": {name: _part_row(part) for name, part in score.parts.items()} if parts else {},
        "reason": score.reason,
        "token_values": score.token_values,
    }


def _part_row(part: Part) -> dict[str, Any]:
    verdict = part.verdict
    row = {**vars(verdict), "cost": dict(verdict.cost), "parts": dict(verdict.parts)} if verdict else None
    return {"value": part.value, "status": part.status, "verdict": row, "reason": part.reason}


def group_row(group: Group) -> list[Any]:
    """A group for a frame."""
    return [problem_row(group.problem), [response_row(one) for one in group.rollouts]]


def read_group(row: Sequence[Any]) -> Group:
    """The group that `group_row` wrote."""
    problem, responses = row
    return Group(Problem.from_json(problem), tuple(read_response(one) for one in responses))


def pack_lines(lines: Sequence[ScoredLine]) -> list[Any]:
    """Lines for a frame."""
    return [[line.text.decode("ascii"), line.values, line.parts] for line in lines]


def read_lines(rows: Sequence[Any]) -> list[ScoredLine]:
    """The lines that `pack_lines` wrote."""
    return [
        ScoredLine(text.encode("ascii"), tuple((value, status) for value, status in values), parts)
        for text, values, parts in rows
    ]
