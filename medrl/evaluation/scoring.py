"""What each reply is worth: the verifier's verdict, and for a choice also what the two lenient readers say.

Three readers of a multiple-choice answer, always reported apart:

- `strict`: the verifier. The reply must commit to an answer behind its reasoning; two answers, or a letter and a text that
  disagree, are wrong. What the rules for choices find to commit to no option is unanswered, and worth 0.
- `first`, `last`: the first and the last option that the visible answer names.

What is left undecided has no number: an open answer, one in other words than its option's, and one of which a judge is
unsure. It is counted, and bounds say how much it may matter. A reply that could not be had, and one whose judge
failed, has none either. What the policy did wrong is worth 0.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from medrl.evaluation.answers import Answered, Answers
from medrl.evaluation.choice_reading import bounded, first_and_last, uncommitted, without_options
from medrl.rewards.safety.confidence import stated_confidences
from medrl.types import Problem, Status, Verdict
from medrl.verifiers import Typed, Verifier, judge, run_sync
from medrl.verifiers.choice_labels import wanted_labels
from medrl.verifiers.extract import Format, sections

Reader = Literal["strict", "first", "last"]
READERS: tuple[Reader, ...] = ("strict", "first", "last")
CONFIDENCE = 10_000  # characters of a visible answer in which a stated confidence is looked for, half from either end
AT_ONCE = 2048  # replies that a verifier is given together


@dataclass(frozen=True)
class ScoredReply:
    """One reply with all that was made of it.

    Attributes:
        strict: The verifier's score, from 0 to 1; None where there is no number.
        first, last: 1 or 0 by the lenient readers; None where the problem is no choice, or there is no reply.
        status: Of the verdict; "abstain" for an answer that was left undecided.
        answered: Whether an answer was given that could be read; None where nobody can say.
        truncated: Whether it was cut at the token limit; None where nobody said.
        read: The answer that the verifier read.
        confidence: The probability of being right that the reply states; the furthest from the truth of several, None
            where it states none.
        reason, stage: Of the verdict.
        right: Whether the verifier takes the answer for right, and not for a part of it (`Verdict.accepted`).
    """

    strict: float | None
    first: float | None
    last: float | None
    status: Status
    answered: bool | None
    truncated: bool | None
    read: str | None = None
    confidence: float | None = None
    reason: str = ""
    stage: str = ""
    right: bool = False

    def value(self, reader: Reader) -> float | None:
        """The score by one reader."""
        return {"strict": self.strict, "first": self.first, "last": self.last}[reader]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ScoredAnswer:
    """A problem, its replies, and what each is worth, in the same order."""

    answered: Answered
    scores: tuple[ScoredReply, ...]

    @property
    def problem(self) -> Problem:
        return self.answered.problem

    def mean(self, reader: Reader = "strict") -> float | None:
        """Mean over the replies that have a number; None where none has."""
        values = [value for one in self.scores if (value := one.value(reader)) is not None]
        return sum(values) / len(values) if values else None

    def rows(self) -> list[dict[str, Any]]:
        """One row a reply, for scored.jsonl."""
        about = {"set": self.answered.set, "problem_id": self.problem.id}
        return [{**about, "sample": place, **one.to_json()} for place, one in enumerate(self.scores)]


def is_choice(problem: Problem) -> bool:
    """Whether an answer is one (or some) of given options."""
    return bool(problem.options)


def checkable(problem: Problem) -> bool:
    """Whether a verifier can say of an answer that it is right; a rubric or a consultation is judged otherwise."""
    return bool((problem.reference or "").strip()) and problem.kind not in ("rubric", "dialogue")


def score(answers: Answers, verifier: Verifier | None = None) -> list[ScoredAnswer]:
    """Every reply to a problem that can be checked, scored; problems without a reference are left out.

    Args:
        answers: What was answered.
        verifier: Who decides; the built-in rules when empty.
    """
    return run_sync(score_async(answers, verifier))


async def score_async(answers: Answers, verifier: Verifier | None = None) -> list[ScoredAnswer]:
    """`score` for code that waits on other things meanwhile."""
    items = [one for one in answers.items if checkable(one.problem)]
    asked = [
        (place, number, (one.problem, reply.response))
        for place, one in enumerate(items)
        for number, reply in enumerate(one.replies)
        if not reply.error
    ]
    layout: Format = getattr(verifier, "format", "auto")
    verdicts: dict[tuple[int, int], Verdict] = {}
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        judged = await judge(verifier or Typed(), [item for *_, item in some])
        verdicts |= {(place, number): one for (place, number, _), one in zip(some, judged, strict=True)}
    return [
        ScoredAnswer(
            one,
            tuple(_scored(one, number, verdicts.get((place, number)), layout) for number in range(len(one.replies))),
        )
        for place, one in enumerate(items)
    ]


def _scored(item: Answered, number: int, verdict: Verdict | None, layout: Format) -> ScoredReply:
    reply, problem = item.replies[number], item.problem
    truncated = None if reply.finish_reason is None else reply.finish_reason == "length"
    if verdict is None:
        return ScoredReply(None, None, None, "error", None, truncated, reason=f"there is no reply: {reply.error}")
    value, reason = verdict.score, verdict.reason
    visible = sections(reply.text).answer
    cut_short = verdict.decided and verdict.answer is None and bool(truncated)
    answered: bool | None = bool(visible.strip()) and not cut_short
    first = last = None
    if is_choice(problem):
        if verdict.status == "abstain" and uncommitted(problem, reply.response, verdict, layout):
            value, answered, reason = 0.0, False, f"no option that it commits to: {reason}"
        if verdict.status != "invalid" and reply.finish_reason != "abort":
            first, last = _lenient(reply.text, problem)
    stated = stated_confidences(without_options(bounded(visible, CONFIDENCE), problem)) if visible else []
    return ScoredReply(
        strict=value,
        first=first,
        last=last,
        status=verdict.status,
        answered=answered,
        truncated=truncated,
        read=verdict.answer,
        confidence=max(stated, key=lambda p: abs(p - verdict.accepted)) if stated else None,
        reason=reason,
        stage=verdict.stage,
        right=verdict.accepted,
    )


def _lenient(text: str, problem: Problem) -> tuple[float, float]:
    options = {label.strip().upper(): option for label, option in problem.options.items()}
    wanted = wanted_labels(str(problem.reference), options)
    first, last = first_and_last(text, problem)
    return float(first is not None and first == wanted), float(last is not None and last == wanted)
