"""What each reply is worth by the rubric of its problem, as a judge sees it: HealthBench, K-QA, HuatuoGPT-3's open tasks.

The judge is the reward `rubric` (`medrl.rewards.rubric`), asked once about all criteria of a reply, and its law holds here
too: a judge that fails gives no number, and an answer without words is at its worst without asking. (simple-evals of OpenAI
asks its grader about that one too.) What differs: an answer longer than the judge is shown is the least that there is for a
policy in training, which must not learn to overflow its judge; here it has no number, since nobody has read it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from medrl.data.rubrics import Rubric, rubric_of
from medrl.errors import ProblemError
from medrl.evaluation.answers import Answered, Answers
from medrl.rewards.rubric import RubricReward, on_scale
from medrl.types import Group, Problem, Score, Status
from medrl.verifiers import run_sync
from medrl.verifiers.extract import degenerate, sections

AT_ONCE = 2048  # problems that the judge is given together
EMPTY, ENDLESS, TOO_LONG = "empty", "endless", "too long"
NO_REPLY, ABORTED = "no reply", "aborted reply"
CAUSES = {
    "ChatUnavailable": "judge unavailable", "CircuitOpen": "judge unavailable", "ChatTimedOut": "judge too slow",
    "ChatRefused": "judge refused the request", "ChatBadReply": "judge unreadable", "BudgetSpent": "budget spent",
    "VerifierUntrustworthy": "judge failed its self-test",
}  # fmt: skip


@dataclass(frozen=True)
class GradedReply:
    """One reply, graded.

    Attributes:
        raw: Points of the met criteria over the positive points: 1.0 at best, below 0 where faults outweigh merits. None
            where there is no number, as for the two below.
        clipped: The same, not below 0.
        length_adjusted: `raw` less the length of the visible answer, after HuatuoGPT-3 (see `RubricReward.scale`).
        met: Of each criterion, whether it is met; empty where there is no number.
        status: "ok", or why there is no number: "error", "timeout" (the judge failed), "invalid" (the rubric is broken),
            "abstain" (the answer is whole, and longer than the judge is shown).
        cause: The same in words for counting: "no reply", "judge unreadable", "too long", ...; "" where there is a number.
        unsent: "empty" where the judge was not asked since there was nothing to read, "endless" where there was no end to it;
            else "".
        truncated: Whether the reply was cut at the token limit; None where nobody said.
        reason: In words.
    """

    raw: float | None
    clipped: float | None
    length_adjusted: float | None
    met: tuple[bool, ...]
    status: Status
    cause: str = ""
    unsent: str = ""
    truncated: bool | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class GradedAnswer:
    """A problem, its replies, and what each is worth by the problem's rubric, in the same order.

    Attributes:
        answered: The problem and its replies.
        rubric: Its criteria; None where they are broken, and no reply has a number.
        scores: Of the replies.
    """

    answered: Answered
    rubric: Rubric | None
    scores: tuple[GradedReply, ...]

    @property
    def problem(self) -> Problem:
        return self.answered.problem

    def rows(self) -> list[dict[str, Any]]:
        """One row a reply, for scored.jsonl."""
        about = {"set": self.answered.set, "problem_id": self.problem.id}
        return [{**about, "sample": place, **one.to_json()} for place, one in enumerate(self.scores)]


def gradable(problem: Problem) -> bool:
    """Whether answers to it are graded by a rubric."""
    return problem.kind == "rubric"


def grade(answers: Answers, judge: RubricReward) -> list[GradedAnswer]:
    """Every reply to a problem that has a rubric, graded; the other problems are left out.

    Args:
        answers: What was answered.
        judge: Who grades. Its `scale` does not matter: every scale is a function of what the judge said.
    """
    return run_sync(grade_async(answers, judge))


async def grade_async(answers: Answers, judge: RubricReward) -> list[GradedAnswer]:
    """`grade` for code that waits on other things meanwhile."""
    items = [one for one in answers.items if gradable(one.problem)]
    raw = replace(judge, scale="raw", ask_again=True)
    found: list[GradedAnswer] = []
    for start in range(0, len(items), AT_ONCE):
        some = items[start : start + AT_ONCE]
        groups = [Group(one.problem, tuple(reply.response for reply in one.replies if not reply.error)) for one in some]
        scores = await raw.score(groups)
        found += [_graded(one, iter(row), raw) for one, row in zip(some, scores, strict=True)]
    return found


def _graded(one: Answered, scores: Iterator[Score], judge: RubricReward) -> GradedAnswer:
    try:
        rubric = rubric_of(one.problem)
    except ProblemError:
        rubric = None  # and each score says so
    replies = []
    for reply in one.replies:
        truncated = None if reply.finish_reason is None else reply.finish_reason == "length"
        if reply.error:
            lost = GradedReply(None, None, None, (), "error", NO_REPLY, truncated=truncated)
            replies.append(replace(lost, reason=f"there is no reply: {reply.error}"))
        elif reply.finish_reason == "abort":
            lost = GradedReply(None, None, None, (), "error", ABORTED, truncated=False)
            replies.append(replace(lost, reason=next(scores).reason))
        else:
            answer = sections(reply.text, judge.format).answer.strip()
            replies.append(_reply(next(scores), rubric, answer, judge, truncated))
    return GradedAnswer(one, rubric, tuple(replies))


def _reply(
    score: Score, rubric: Rubric | None, answer: str, judge: RubricReward, truncated: bool | None
) -> GradedReply:
    if score.value is None or rubric is None:
        cause = _cause(score, judge)
        return GradedReply(None, None, None, (), score.status, cause, truncated=truncated, reason=score.reason)
    verdict = score.parts[judge.name].verdict
    met = tuple(bool(yes) for yes in verdict.parts.values()) if verdict is not None else ()
    unsent = ""
    if why := judge.unsent(answer):
        unsent = (
            EMPTY if not any(map(str.isalnum, answer)) else ENDLESS if truncated or degenerate(answer) else TOO_LONG
        )
        if unsent == TOO_LONG:
            reason = f"{why}; raise the judge's max_answer_chars"
            return GradedReply(None, None, None, (), "abstain", TOO_LONG, truncated=truncated, reason=reason)
        met = tuple(criterion.points < 0 for criterion in rubric.criteria)
    return GradedReply(
        score.value, on_scale(score.value, answer, "clipped"), on_scale(score.value, answer, "length_adjusted"), met,
        "ok", unsent=unsent, truncated=truncated, reason=score.reason,
    )  # fmt: skip


def _cause(score: Score, judge: RubricReward) -> str:
    """What failed, by the kind of error that `medrl.rewards.tree.failure` puts at the head of the reason."""
    if score.status == "invalid":
        return "broken rubric"
    kind = score.reason.removeprefix(f"{judge.name}: ").partition(":")[0]
    return CAUSES.get(kind, f"judge {score.status}")


def lowest(graded: Sequence[GradedAnswer], most: int) -> list[tuple[GradedAnswer, int]]:
    """The reply with the fewest points of each of the problems where that is least, the lowest first; below 1.0 alone."""
    found = []
    for place, one in enumerate(graded):
        worth = [(reply.raw, number) for number, reply in enumerate(one.scores) if reply.raw is not None]
        if worth and min(worth)[0] < 1.0:
            raw, number = min(worth)
            found.append((raw, place, one, number))
    return [(one, number) for _, _, one, number in sorted(found, key=lambda each: each[:2])[:most]]
