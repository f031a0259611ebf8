"""What the reward service is sent and what is read of its answer: strictly, for a guess would be a score nobody gave."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medrl.chat.openai_wire import sendable
from medrl.chat.retry import retry_after
from medrl.errors import MedrlError, RewardFailed
from medrl.rewards.tree import Scores
from medrl.types import Group, Score
from medrl.verifiers.frames import problem_row

AGAIN = frozenset({408, 429, 502, 503})
"""Statuses after which the same request may be sent again."""
REFUSED = frozenset({400, 413, 422})
"""Statuses that speak of what was sent, and not of the service."""


class ServiceFailed(MedrlError, RuntimeError):
    """The reward service gave no scores that can be used."""


class ServiceRefused(ServiceFailed):
    """The reward service cannot take what it was sent (4xx); sent again it would refuse it again."""


class ServiceTimedOut(ServiceFailed, TimeoutError):
    """The reward service gave no scores in time."""


@dataclass(frozen=True)
class Fault:
    """Why one request gave no answer."""

    message: str = ""
    again: bool = False
    late: bool = False
    refused: bool = False
    after: float | None = None


def read_response(response: Any, good: set[int]) -> tuple[dict[str, Any] | None, Fault]:
    status = response.status_code
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if status in good and isinstance(answer, dict) and error is None:
        return answer, Fault()
    said = f"{error.get('code')}: {error.get('message')}" if isinstance(error, dict) else "the body is not its JSON"
    if isinstance(error, dict) and error.get("code") == "reward_failed":
        raise RewardFailed(str(error.get("message")))
    again = status in AGAIN or status in good  # good, but garbled
    after = retry_after(response.headers)
    return None, Fault(f"HTTP {status}, {said}"[:500], again, status == 504, status in REFUSED, after)


def client_faults(knobs: Any) -> list[str]:
    """What is wrong with the knobs that a client and the leaf `remote` share."""
    faults = []
    if not isinstance(knobs.url, str) or not knobs.url.startswith(("http://", "https://")):
        faults.append(f"`url` is {knobs.url!r}; it begins with http:// or https://")
    elif "@" in knobs.url.partition("://")[2].partition("/")[0]:
        faults.append("`url` holds a name or a token; put the token into the environment, see `token_env`")
    for name in ("timeout", "patience"):
        value = getattr(knobs, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < 86_400 or (name == "timeout" and not value):
            faults.append(f"`{name}` is {value!r}; it is seconds, below a day")
    for name in ("concurrency", "batch"):
        value = getattr(knobs, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            faults.append(f"`{name}` is {value!r}; it is a whole number from 1")
    return faults


def request_body(groups: Sequence[Group], step: int) -> bytes:
    """The JSON of a request for scores."""
    rows = [
        {
            "problem": problem_row(group.problem),
            "responses": [
                {
                    "text": one.text,
                    "turns": [dict(turn) for turn in one.turns],
                    "finish_reason": one.finish_reason,
                    "token_count": one.token_count,
                    **({"measured": dict(one.measured)} if one.measured else {}),
                }
                for one in group.rollouts
            ],
        }
        for group in groups
    ]
    text = json.dumps({"groups": rows, "step": step}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return sendable(text).encode()


def read_answer(answer: dict[str, Any], groups: Sequence[Group]) -> Scores:
    """The scores in an answer, held against what was asked.

    Raises:
        ServiceFailed: There is not one score for each response, in order.
    """
    try:
        rows = answer["groups"]
        ids = [row["id"] for row in rows]
        scores = [[Score.from_json(one) for one in row["scores"]] for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceFailed(f"the answer holds no scores: {type(error).__name__}: {error}"[:300]) from error
    if ids != [sendable(group.problem.id) for group in groups]:
        raise ServiceFailed("the answer is about other problems, or has them in another order")
    wanted, got = [len(group) for group in groups], [len(row) for row in scores]
    if wanted != got:
        raise ServiceFailed(f"groups of {wanted} responses were sent and {got} scores came back")
    return scores
