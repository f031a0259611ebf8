"""The report of one model: a flat object for machines, made of the per-sample outputs alone.

`report(answers, scored)` of the files that an evaluation wrote gives the report that it wrote, to the last digit.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from medrl import __version__
from medrl.evaluation.answers import Answered, Answers
from medrl.evaluation.figures import accuracy, set_figures
from medrl.evaluation.rubric_figures import rubric_figures
from medrl.evaluation.rubric_scoring import GradedAnswer, gradable, lowest
from medrl.evaluation.scoring import ScoredAnswer
from medrl.seeds import seed_of
from medrl.types import Problem, text_of

SCHEMA = 1
WORST = 30  # samples that are shown
Flaws = Mapping[tuple[str, str], Sequence[tuple[str, str]]]  # (set, problem id) to kinds and words


def report(
    answers: Answers, scored: Sequence[ScoredAnswer], flaws: Flaws | None = None,
    texts: Mapping[str, Mapping[str, Any]] | None = None, graded: Sequence[GradedAnswer] = (),
) -> dict[str, Any]:  # fmt: skip
    """Every figure of a model.

    Args:
        answers: What it answered.
        scored: What each reply is worth (`scoring.score`).
        flaws: Which problems an auditor distrusts, and why; None where nobody looked.
        texts: Generation metrics by set, where they were taken.
        graded: What each reply is worth by a rubric (`rubric_scoring.grade`), where a judge was asked.
    """
    flaws_of = flaws or {}
    sets = []
    for name, items in answers.sets.items():
        some = [one for one in scored if one.answered.set == name]
        row: dict[str, Any] = set_figures(name, some) if some else {"set": name, "problems": 0}
        by_rubric = [one for one in graded if one.answered.set == name]
        row["not_checked"] = _unchecked(items, some, by_rubric)
        row["ungraded"] = sum(gradable(one.problem) for one in items) - len(by_rubric)
        if by_rubric:
            row["rubric"] = rubric_figures(name, by_rubric)
        if flaws is not None:
            row |= _audited(name, items, some, flaws_of)
        if texts and name in texts:
            row["text"] = dict(texts[name])
        sets.append(row)
    values = [row["accuracy"]["strict"]["value"] for row in sets if row.get("accuracy")]
    return {
        "schema": SCHEMA,
        "model": answers.name,
        "made": dict(answers.made),
        "mean_of_sets": sum(values) / len(values) if values and None not in values else None,
        "sets": sets,
        "worst": [_shown(one, number, flaws_of) for one, number in worst(scored)],
        "lowest": [_points(one, number) for one, number in lowest(graded, WORST)],
        "distrusted": [
            {
                "set": one.set, "problem_id": one.problem.id, "question": one.problem.question,
                "messages": messages_of(one.problem),
                "flaws": [{"kind": kind, "words": words} for kind, words in flaws_of[one.key]],
            }
            for one in answers.items if flaws_of.get(one.key)
        ],
        "audited": flaws is not None,
        "medrl_version": __version__,
    }  # fmt: skip


def worst(scored: Sequence[ScoredAnswer], most: int = WORST) -> list[tuple[ScoredAnswer, int]]:
    """One reply each of the problems with the lowest mean score, all wrong, the surest first; else in an order by hash.

    Not one of them is chosen by what it says.
    """
    found = []
    for one in scored:
        wrong = [
            (number, reply) for number, reply in enumerate(one.scores) if reply.strict is not None and not reply.right
        ]
        mean = one.mean()
        if not wrong or mean is None:
            continue
        number, reply = max(wrong, key=lambda pair: pair[1].confidence or 0.0)
        order = (mean, -(reply.confidence or 0.0), seed_of("worst", *one.answered.key))
        found.append((order, one, number))
    return [(one, number) for _, one, number in sorted(found, key=lambda each: each[0])[:most]]


def _unchecked(
    items: Sequence[Answered], scored: Sequence[ScoredAnswer], graded: Sequence[GradedAnswer]
) -> dict[str, int] | int:
    """Problems of which nobody said anything: how many beside others, or of which kinds where they are a whole set."""
    known = {one.answered.key for one in scored} | {one.answered.key for one in graded}
    rest = Counter[str](one.problem.kind for one in items if one.key not in known)
    return rest.total() if scored else dict(rest)


def _audited(name: str, items: Sequence[Any], scored: Sequence[ScoredAnswer], flaws: Flaws) -> dict[str, Any]:
    """How many problems of a set are distrusted, by kind, and the accuracy on the others."""
    kinds = Counter(kind for one in items for kind in {kind for kind, _ in flaws.get(one.key, ())})
    trusted = [one for one in scored if not flaws.get(one.answered.key)]
    return {
        "distrusted": sum(bool(flaws.get(one.key)) for one in items),
        "flaws": dict(kinds.most_common()),
        "accuracy_trusted": accuracy(f"{name}/trusted", trusted),
    }


def messages_of(problem: Problem) -> list[dict[str, str]]:
    """Who said what before the reply, in words; images are named."""
    return [{"role": str(one["role"]), "content": text_of(one["content"])} for one in problem.messages]


def _shown(one: ScoredAnswer, number: int, flaws: Flaws) -> dict[str, Any]:
    problem, reply, score = one.problem, one.answered.replies[number], one.scores[number]
    return {
        "set": one.answered.set, "problem_id": problem.id, "sample": number, "question": problem.question,
        "messages": messages_of(problem),
        "reference": problem.reference, "option": problem.options.get(str(problem.reference)),
        "reply": reply.text, "finish_reason": reply.finish_reason, "read": score.read, "reason": score.reason,
        "stage": score.stage, "strict": score.strict, "first": score.first, "last": score.last,
        "mean": one.mean(), "confidence": score.confidence,
        "flaws": [{"kind": kind, "words": words} for kind, words in flaws.get(one.answered.key, ())],
    }  # fmt: skip


def _points(one: GradedAnswer, number: int) -> dict[str, Any]:
    """A graded reply with what was found of each criterion."""
    reply, score = one.answered.replies[number], one.scores[number]
    criteria = one.rubric.criteria if one.rubric is not None else ()
    return {
        "set": one.answered.set, "problem_id": one.problem.id, "sample": number, "messages": messages_of(one.problem),
        "reply": reply.text, "finish_reason": reply.finish_reason, "raw": score.raw, "unsent": score.unsent,
        "reason": score.reason,
        "criteria": [
            {**each.to_json(), "met": yes} for each, yes in zip(criteria, score.met, strict=True)
        ],
    }  # fmt: skip
