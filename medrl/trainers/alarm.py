"""The alarm on rollouts without a score: does having none go with length, or with danger?

A rollout that its judge could not score leaves the loss. A policy that is pushed away from low scores may learn what
makes the judge fail, and such failures are not spread evenly: they gather among the longest (or shortest) responses, or
among the dangerous ones. So over the last steps the rank correlation of "no score" with each is taken (Spearman 1904;
of a yes-or-no variable it is Pearson's on average ranks, and for two such variables the phi coefficient).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from medrl.rewards import Reward
from medrl.trainers.settings import TrainerSettings
from medrl.types import Problem, Response, Score, ScoredGroup

LEAST = 8  # rollouts on each side below which a correlation says nothing
SURE = 3.0  # standard errors that it must lie from 0, 1 / sqrt(n - 1) each where the two are independent
ROWS = 4096  # newest rollouts that are kept, whatever the window


def watch_unscored(
    scored: Sequence[ScoredGroup],
    reward: Reward,
    settings: TrainerSettings,
    state: dict[str, Any],
    say: Callable[..., None],
) -> dict[str, float]:
    """The figures `alarm/unscored_length` and `alarm/unscored_danger` of the last steps; warns where one passes the bound.

    Args:
        scored: The groups of one step.
        reward: Its leaves that tell danger (`Reward.tells_danger`) are read by their parts: a value below 0, or
            `NAME_unknown` at 1, as `medication` has it of the very rollouts that it masks.
        settings: `unscored_alarm` and `unscored_window`.
        state: The alarm's own state, JSON data, changed in place; saved with the run, so that a resumed one goes on.
        say: Prints a line.
    """
    if settings.unscored_alarm is None:
        return {}
    names = [node.name for node in reward.walk() if node.tells_danger]
    steps: list[list[list[float]]] = [*state.get("steps", []), rows_of(scored, names)][-settings.unscored_window :]
    while len(steps) > 1 and sum(map(len, steps)) > ROWS:
        del steps[0]
    state["steps"] = steps
    rows = [row for step in steps for row in step]
    unscored = [row[0] for row in rows]
    figures: dict[str, float] = {}
    ringing = []
    for column, name in ((1, "length"), (2, "danger")):
        known = [i for i, row in enumerate(rows) if row[column] >= 0]
        found = correlation([unscored[i] for i in known], [rows[i][column] for i in known])
        if found is None:
            continue
        figures[f"alarm/unscored_{name}"] = found
        beyond = abs(found) if name == "length" else found
        if beyond > settings.unscored_alarm and beyond * math.sqrt(len(known) - 1) > SURE:
            what = "danger" if name == "danger" else "longer responses" if found > 0 else "shorter responses"
            ringing.append(f"{what} ({found:+.2f})")
    if ringing and ringing != state.get("rang"):
        say(
            f"ALARM: having no score goes with {' and with '.join(ringing)} over the last {len(steps)} steps, "
            f"{sum(unscored):.0f} of {len(rows)} rollouts. The policy may be learning to make its judge fail: look at the "
            "rollouts without a score, and mend the judge before going on (trainer.unscored_alarm sets the bound)",
            style="bold red",
        )
    state["rang"] = ringing
    return figures


def rows_of(scored: Sequence[ScoredGroup], danger_parts: Sequence[str]) -> list[list[float]]:
    """Of each rollout: 1 where it has no score, its length, and 1 where it is dangerous; -1 where that is not known."""
    return [
        [float(score.value is None), _length(rollout), _danger(group.group.problem, score, danger_parts)]
        for group in scored
        for rollout, score in zip(group.group.rollouts, group.scores, strict=True)
    ]


def _length(response: Response) -> float:
    return float(len(response.text) if response.token_count is None else response.token_count)


def _danger(problem: Problem, score: Score, names: Sequence[str]) -> float:
    """Whether a part tells danger, or that it could not be ruled out (`NAME_unknown`), else whether the case itself is an
    emergency; -1 where nothing can be told.
    """
    values = [part.value for name in names if (part := score.parts.get(name)) is not None and part.value is not None]
    unsure = [part for name in names if (part := score.parts.get(f"{name}_unknown")) is not None and part.value == 1]
    acuity = problem.metadata.get("acuity")
    if unsure or any(value < 0 for value in values) or acuity == "emergency":
        return 1.0
    return 0.0 if values or acuity is not None else -1.0


def correlation(flags: Sequence[float], values: Sequence[float]) -> float | None:
    """Spearman's rank correlation of 0-or-1 `flags` with `values`.

    None where there are fewer than `LEAST` of either flag, or the values are all equal.
    """
    if min(sum(flags), len(flags) - sum(flags)) < LEAST or len(set(values)) < 2:
        return None
    x, y = ranks(flags), ranks(values)
    middle = (len(x) + 1) / 2
    products = sum((a - middle) * (b - middle) for a, b in zip(x, y, strict=True))
    return products / math.sqrt(sum((a - middle) ** 2 for a in x) * sum((b - middle) ** 2 for b in y))


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, equal values sharing the mean of theirs."""
    tally = Counter(values)
    rank, before = {}, 0
    for value in sorted(tally):
        rank[value] = before + (tally[value] + 1) / 2
        before += tally[value]
    return [rank[value] for value in values]
