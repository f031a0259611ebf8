"""The figures of graded answers, as HealthBench and K-QA publish them, each with a 95 % interval over problems.

HealthBench (arXiv 2505.08775; openai/simple-evals, healthbench_eval.py): an answer is worth its points over the positive
ones, unclipped; the score of a model is the mean over problems, clipped to 0 to 1. A theme's score is that of its problems;
an axis' is of those criteria alone that have its tag, over the problems where one of them has points above 0.

K-QA (arXiv 2401.14493; Itaymanes/K-QA, metrics.py): comprehensiveness is the mean share of the Must_have statements that an
answer states, the hallucination rate the mean number of all its statements that an answer contradicts.

What differs: both grade each criterion in a call of its own, by GPT-4.1 and GPT-4; here a judge is asked about all at once.
HealthBench's grader is shown every answer; here one without words has the least that its rubric allows, unasked, and one that
is longer than the judge is shown has no number.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medrl.data.rubrics import Criterion, Rubric, statements
from medrl.evaluation.figures import MOST_SLICES
from medrl.evaluation.rubric_measures import POINTS, STATED
from medrl.evaluation.rubric_scoring import GradedAnswer, GradedReply

COUNTED = "hallucination"  # the figure that is a number an answer, and no share
FIGURES: Mapping[str, tuple[str, str]] = {
    "score": ("score", "score"),
    "clipped": ("clipped", "mean of clipped shares"),
    "raw": ("raw", "mean of raw shares"),
    "length_adjusted": ("length-adjusted", "mean of length-adjusted shares"),
    "comprehensiveness": ("must have", "Must_have statements that are stated"),
    "nice_to_have": ("nice to have", "Nice_to_have statements that are stated"),
    COUNTED: ("contradictions", "statements that an answer contradicts"),
    "contradicting": ("answers that contradict", "answers that contradict a statement"),
}
"""What a set may have, in the order of reports: what a column is called, and a row."""
TAGS = ("theme", "axis", "level")  # what the tags of HealthBench begin with, before a colon


def rubric_figures(name: str, graded: Sequence[GradedAnswer]) -> dict[str, Any]:
    """All figures of one set of problems that have rubrics."""
    replies = [one for answer in graded for one in answer.scores]
    truncated = [one.truncated for one in replies if one.truncated is not None]
    reasons: dict[str, str] = {}
    for one in replies:
        if one.cause:
            reasons.setdefault(one.cause, one.reason)
    return {
        "problems": len(graded),
        "replies": len(replies),
        "samples": sorted({len(one.scores) for one in graded}),
        **(stated(name, graded) if of_statements(graded) else shared(name, graded)),
        "unscored": dict(sorted(Counter(one.cause for one in replies if one.cause).items())),
        "reasons": reasons,
        "unsent": dict(sorted(Counter(one.unsent for one in replies if one.unsent).items())),
        "truncated": sum(truncated) / len(truncated) if truncated else None,
    }


def main_figure(found: Mapping[str, Any]) -> dict[str, Any]:
    """The figure that a set stands by: HealthBench's score, or K-QA's comprehensiveness."""
    main: dict[str, Any] = found["score" if "score" in found else "comprehensiveness"]
    return main


def of_statements(graded: Iterable[GradedAnswer]) -> bool:
    """Whether all rubrics are K-QA's, whose points are ours: then a share of them is no figure that anybody published."""
    known = [one.rubric for one in graded if one.rubric is not None]
    return bool(known) and all(map(statements, known))


def shared(name: str, graded: Sequence[GradedAnswer]) -> dict[str, Any]:
    """Shares of points: `score` as published, and the means of `raw`, `clipped` and `length_adjusted` ones."""
    found = {one.name: one.figure(name, graded) for one in POINTS}
    return {"score": score_figure(name, graded), **found, "slices": slices(name, graded)}


def stated(name: str, graded: Sequence[GradedAnswer]) -> dict[str, Any]:
    """K-QA's figures, with the same of what is nice to have, and the share of answers that contradict any statement."""
    return {one.name: one.figure(name, graded) for one in STATED}


def score_figure(name: str, graded: Sequence[GradedAnswer]) -> dict[str, Any]:
    """The mean of unclipped shares, clipped to 0 to 1 with its interval and bounds, as HealthBench reports it."""
    raw = POINTS[0].figure(name, graded)

    def clip(value: float) -> float:
        return min(max(value, 0.0), 1.0)

    ends = {part: [clip(end) for end in raw[part]] if raw[part] else None for part in ("interval", "bounds")}
    return {**raw, "value": None if raw["value"] is None else clip(raw["value"]), **ends}


def slices(name: str, graded: Sequence[GradedAnswer]) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores by theme, by axis and level of the criteria, and by language, where the rows say and differ."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in TAGS:
        labels = Counter(label for one in graded for label in _labels(one, kind))
        if not labels:
            continue
        kept = sorted(labels, key=lambda label: (-labels[label], label))[:MOST_SLICES]
        found[kind] = {label: _slice(name, graded, kind, label) for label in kept}
    spoken: dict[str, list[GradedAnswer]] = defaultdict(list)
    for one in graded:
        spoken[one.problem.language].append(one)
    if len(spoken) > 1:
        found["language"] = {label: score_figure(f"{name}/{label}", some) for label, some in sorted(spoken.items())}
    return found


def _labels(one: GradedAnswer, kind: str) -> set[str]:
    """Tags of a kind, without it, of a problem and of those of its criteria that have points to earn."""
    criteria: Sequence[Criterion] = one.rubric.criteria if one.rubric is not None else ()
    listed = [*_own(one), *(tag for each in criteria if each.points > 0 for tag in each.tags)]
    return {tag.removeprefix(f"{kind}:") for tag in listed if tag.startswith(f"{kind}:")}


def _own(one: GradedAnswer) -> list[str]:
    tags = one.problem.metadata.get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list | tuple) else []


def _slice(name: str, graded: Sequence[GradedAnswer], kind: str, label: str) -> dict[str, Any]:
    tag = f"{kind}:{label}"
    own = [one for one in graded if tag in _own(one)]
    if own:
        return score_figure(f"{name}/{tag}", own)
    some = [part for one in graded if (part := _only(one, tag)) is not None]
    return score_figure(f"{name}/{tag}", some)


def _only(one: GradedAnswer, tag: str) -> GradedAnswer | None:
    """The same answer by those of its criteria that have a tag; None where they have no points above 0."""
    places = [i for i, each in enumerate(one.rubric.criteria) if tag in each.tags] if one.rubric is not None else []
    part = Rubric(tuple(one.rubric.criteria[i] for i in places)) if one.rubric is not None else None
    if part is None or part.best <= 0:
        return None
    scores = []
    for reply in one.scores:
        met = tuple(reply.met[i] for i in places) if reply.raw is not None else ()
        raw = part.share(met) if reply.raw is not None else None
        scores.append(GradedReply(raw, None, None, met, reply.status, reply.cause, reply.unsent))
    return GradedAnswer(one.answered, part, tuple(scores))
