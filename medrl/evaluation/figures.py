"""The figures of scored answers: accuracy by each reader with an interval, pass@k, shares, slices, calibration.

Accuracy is the mean over problems of the mean over a problem's replies. Where each problem has one reply that is right or
wrong its interval is Wilson's; else a bootstrap over problems. Nothing is said of accuracy, pass@k or calibration where more
than `MAX_UNSCORED` of the replies have no number: what remains is no fair sample. Bounds of accuracy and of pass@k are
given beside it, with every missing number as 0 and as 1.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.evaluation.scoring import READERS, Reader, ScoredAnswer, ScoredReply, is_choice
from medrl.evaluation.statistics import bootstrap, mean, pass_at_k
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers.reliability import Reliability, reliability, wilson

MAX_UNSCORED = 0.1
SLICE_OF = ("language", "kind", "topic", "department", "rare")  # dimensions, in the order of reports
MOST_SLICES = 40  # of one dimension; the largest ones are shown, and the rest is counted together
RARE = ("rare", "rare_disease", "orphan", "is_rare")  # metadata that say so; true, false, "yes", "no"
_TRUE, _FALSE = ("true", "yes", "1", "rare", "是"), ("false", "no", "0", "common", "否")


def set_figures(name: str, scored: Sequence[ScoredAnswer]) -> dict[str, Any]:
    """All figures of one set of problems that can be checked."""
    replies = [one for answer in scored for one in answer.scores]
    choice = sum(is_choice(one.problem) for one in scored)
    readers: tuple[Reader, ...] = READERS if choice else ("strict",)
    samples = sorted({len(one.scores) for one in scored})
    row: dict[str, Any] = {
        "set": name,
        "problems": len(scored),
        "choice": choice,
        "replies": len(replies),
        "samples": samples,
        "accuracy": {reader: accuracy(name, scored, reader) for reader in readers},
        "pass_at_k": passes(scored),
        **shares(replies),
        "calibration": calibration(name, scored),
        "slices": slices(name, scored),
    }
    return row


def accuracy(name: str, scored: Sequence[ScoredAnswer], reader: Reader = "strict") -> dict[str, Any]:
    """`value` with its `interval`; `n` problems that have a number; `bounds` with each missing number as 0 and as 1."""
    some = [one for one in scored if reader == "strict" or is_choice(one.problem)]
    values = [value for one in some if (value := one.mean(reader)) is not None]
    found = {"value": None, "interval": None, "n": len(values), "bounds": _bounds(some, reader)}
    missing = missing_share(some, reader)
    if not values or missing > MAX_UNSCORED:
        return {**found, "missing": missing}
    return {**found, "value": mean(values), "interval": interval(values, name, reader), "missing": missing}


def interval(values: Sequence[float], *purpose: str | int) -> list[float] | None:
    """95 %: Wilson's where each value is 0 or 1, else a bootstrap over problems; None for fewer than two."""
    if all(value in (0.0, 1.0) for value in values):
        return wilson(round(sum(values)), len(values))
    drawn = bootstrap(values, *purpose)
    return list(drawn) if drawn else None


def _bounds(scored: Sequence[ScoredAnswer], reader: Reader) -> list[float] | None:
    if not scored:
        return None
    ends = []
    for missing in (0.0, 1.0):
        means = [
            sum(missing if (value := one.value(reader)) is None else value for one in answer.scores)
            / len(answer.scores)
            for answer in scored
            if answer.scores
        ]
        ends.append(sum(means) / len(means) if means else missing)
    return ends


def passes(scored: Sequence[ScoredAnswer]) -> dict[str, dict[str, Any]]:
    """pass@k by the strict reader for k = 1, 2, 4, ... up to the most samples; problems with fewer than k numbers are out.

    No value where more than `MAX_UNSCORED` of the replies have no number, or of the problems with k replies are out; `bounds`
    take every missing number for 0 and for 1.
    """
    counts = []  # replies, those with a number, and the right ones among them
    for one in scored:
        right = [reply.right for reply in one.scores if reply.strict is not None]
        counts.append((len(one.scores), len(right), sum(right)))
    most = max((n for n, _, _ in counts), default=0)
    missing = missing_share(scored)
    found: dict[str, dict[str, Any]] = {}
    k = 1
    while k <= most and most > 1:
        due = [each for each in counts if each[0] >= k]
        taken = [pass_at_k(known, right, k) for _, known, right in due if known >= k]
        fair = missing <= MAX_UNSCORED and len(due) - len(taken) <= MAX_UNSCORED * len(due)
        found[str(k)] = {
            "value": mean(taken) if fair else None,
            "interval": interval(taken, "pass", k) if fair else None,
            "n": len(taken),
            "bounds": [
                mean([pass_at_k(n, right, k) for n, _, right in due]),
                mean([pass_at_k(n, right + n - known, k) for n, known, right in due]),
            ],
        }
        k = most if k < most < 2 * k else 2 * k
    return found


def missing_share(scored: Sequence[ScoredAnswer], reader: Reader = "strict") -> float:
    """Share of the replies that have no number by a reader; 0 of none."""
    due = [one.value(reader) for answer in scored for one in answer.scores]
    return sum(value is None for value in due) / len(due) if due else 0.0


def shares(replies: Sequence[ScoredReply]) -> dict[str, Any]:
    """Unanswered and truncated, of the replies of which somebody can say; what has no number, by why."""
    answered = [one.answered for one in replies if one.answered is not None]
    truncated = [one.truncated for one in replies if one.truncated is not None]
    without = Counter("undecided" if one.status == "abstain" else one.status for one in replies if one.strict is None)
    return {
        "unanswered": 1 - sum(answered) / len(answered) if answered else None,
        "truncated": sum(truncated) / len(truncated) if truncated else None,
        "truncated_known": len(truncated),
        "unscored": dict(sorted(without.items())),
    }


def calibration(name: str, scored: Sequence[ScoredAnswer], resamples: int = 200) -> dict[str, Any] | None:
    """Of the confidence that replies state: ECE with an interval over problems, Brier score, the reliability table.

    None where fewer than two replies state one, or more than `MAX_UNSCORED` have no number, of all replies or of those that
    state one. `stated` says which share does: a figure of the few that do is no figure of
    the model.
    """
    by_problem = [
        [(one.confidence, one.right) for one in answer.scores if one.confidence is not None and one.strict is not None]
        for answer in scored
    ]
    by_problem = [some for some in by_problem if some]
    pairs = [pair for some in by_problem for pair in some]
    said = sum(one.confidence is not None for answer in scored for one in answer.scores)
    if len(pairs) < 2 or missing_share(scored) > MAX_UNSCORED or said - len(pairs) > MAX_UNSCORED * said:
        return None
    found = _reliability(pairs)
    rng = random.Random(seed_of("calibration", name))
    drawn = sorted(
        _reliability([pair for some in rng.choices(by_problem, k=len(by_problem)) for pair in some]).ece
        for _ in range(resamples)
    )
    return {
        **found.to_json(),
        "ece_interval": [drawn[int(0.025 * resamples)], drawn[int(0.975 * resamples)]],
        "stated": len(pairs) / sum(len(answer.scores) for answer in scored),
    }


def slices(name: str, scored: Sequence[ScoredAnswer]) -> dict[str, dict[str, Any]]:
    """Accuracy by language, kind, topic, department and rare disease, where problems say and differ."""
    found: dict[str, dict[str, Any]] = {}
    for dimension in SLICE_OF:
        groups: dict[str, list[ScoredAnswer]] = defaultdict(list)
        for one in scored:
            groups[label_of(one.problem, dimension)].append(one)
        if set(groups) == {""} or len(groups) < 2:
            continue
        order = sorted(groups, key=lambda label: (-len(groups[label]), label))
        rest = [one for label in order[MOST_SLICES:] for one in groups[label]]
        rows = {label or "(not said)": accuracy(f"{name}/{label}", groups[label]) for label in order[:MOST_SLICES]}
        if rest:
            rows[f"({len(order) - MOST_SLICES} others)"] = accuracy(f"{name}/others", rest)
        found[dimension] = rows
    return found


def label_of(problem: Problem, dimension: str) -> str:
    """Which slice of a dimension a problem is in; "" where it does not say."""
    if dimension in ("language", "kind"):
        return str(getattr(problem, dimension))
    about: Mapping[str, Any] = problem.metadata
    if dimension == "rare":
        said = next((str(about[name]).strip().lower() for name in RARE if about.get(name) is not None), "")
        return "rare" if said in _TRUE else "common" if said in _FALSE else ""
    return " ".join(str(about.get(dimension) or "").split())[:80]


def _reliability(pairs: Sequence[tuple[float, bool]]) -> Reliability:
    return reliability([p for p, _ in pairs], [right for _, right in pairs])
