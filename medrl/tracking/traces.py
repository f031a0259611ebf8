"""Scored rollouts as rows on the disk and back as typed objects, so that a run can be read, and scored again, later."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from typing import Any

from medrl.errors import DataError
from medrl.types import Group, Problem, Response, Rollout, Score, VersionSpan


@dataclass(frozen=True)
class Trace:
    """One group as it was scored: `scores[i]` and `advantages[i]` belong to `group.rollouts[i]`.

    `advantages` is None where none were taken (an evaluation); one of them is None where a rollout was not trained on.
    """

    group: Group
    scores: tuple[Score, ...]
    advantages: tuple[float | None, ...] | None = None


def trace_rows(
    step: int,
    groups: Sequence[Group],
    scores: Sequence[Sequence[Score]],
    advantages: Sequence[Sequence[float | None]] | None = None,
    *,
    tokens: bool = False,
) -> list[dict[str, Any]]:
    """One row per rollout, each complete in itself: problem, response, reward and every part of it with its verdict."""
    rows = []
    for number, (group, group_scores) in enumerate(zip(groups, scores, strict=True)):
        problem = plain(group.problem.to_json())
        for index, (response, score) in enumerate(zip(group.rollouts, group_scores, strict=True)):
            worth = {} if advantages is None else {"advantage": _number(advantages[number][index])}
            rows.append(
                {
                    "step": step,
                    "group": number,
                    "problem_id": group.problem.id,
                    **_response_row(response, tokens),
                    "reward": score.value,
                    "status": score.status,
                    **worth,
                    "score": plain(score.to_json()),
                    "problem": problem,
                }
            )
    return rows


def traces_from_rows(rows: Sequence[Mapping[str, Any]], source: str) -> list[Trace]:
    """The groups that `trace_rows` wrote, in their order. `source` names the file in errors."""
    by_group: dict[int, list[Mapping[str, Any]]] = {}
    try:
        for row in rows:
            by_group.setdefault(row["group"], []).append(row)
        return [_trace(members) for members in by_group.values()]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{source} is no file of rollouts that medrl wrote: {error!r}") from error


def plain(value: Any) -> Any:
    """The same as JSON data: tuples as lists, paths as text, images and other raw data as what they were."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, PathLike):
        return str(fspath(value))
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}>"
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a number of numpy or torch
        return value.item()
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _response_row(response: Response, tokens: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "text": response.text,
        "finish_reason": response.finish_reason,
        "token_count": response.token_count,
    }
    if response.turns:
        row["turns"] = plain(response.turns)
    if response.measured:
        row["measured"] = plain(response.measured)
    if isinstance(response, Rollout):
        row.update(index=response.index, seed=response.seed, versions=[asdict(span) for span in response.versions])
        if response.source != "policy":
            row["source"] = response.source
        if response.images:
            row["images"] = plain(response.images)
        if tokens:
            row.update(prompt_ids=list(response.prompt_ids), token_ids=list(response.token_ids))
            row.update(logprobs=list(response.logprobs), loss_mask=list(response.loss_mask))
    return row


def _trace(rows: Sequence[Mapping[str, Any]]) -> Trace:
    group = Group(Problem.from_json(rows[0]["problem"]), tuple(_response(row) for row in rows))
    advantages = tuple(row["advantage"] for row in rows) if "advantage" in rows[0] else None
    return Trace(group, tuple(Score.from_json(row["score"]) for row in rows), advantages)


def _response(row: Mapping[str, Any]) -> Response:
    turns, measured = tuple(row.get("turns", ())), row.get("measured", {})
    if "seed" not in row:
        return Response(row["text"], turns, row["finish_reason"], row["token_count"], measured=measured)
    return Rollout(
        text=row["text"],
        turns=turns,
        measured=measured,
        finish_reason=row["finish_reason"],
        token_count=row["token_count"],
        problem_id=row["problem_id"],
        index=row["index"],
        seed=row["seed"],
        prompt_ids=tuple(row.get("prompt_ids", ())),
        token_ids=tuple(row.get("token_ids", ())),
        logprobs=tuple(row.get("logprobs", ())),
        loss_mask=tuple(row.get("loss_mask", ())),
        versions=tuple(VersionSpan(**span) for span in row["versions"]),
        images=tuple(row.get("images", ())),
        source=row.get("source", "policy"),
    )
