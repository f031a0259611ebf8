"""The verifier `dosage`: the dose of an answer and how often it is given, against the reference, in English and Chinese.

It decides two things and abstains from the rest: an answer with another dose or another frequency is wrong, one with
both is right, and one that leaves a part out, names several doses, or denies something is for the next stage.
"""

from dataclasses import dataclass
from typing import ClassVar

from medrl.errors import RecipeError
from medrl.types import Problem, Response, Verdict
from medrl.verifiers import RuleVerifier, final_answer

from medrl_dosage.reading import LONGEST, Dosed, read, unasked


@dataclass(frozen=True)
class Dosage(RuleVerifier):
    """Decides the dose and, where the reference has one, the frequency."""

    name: ClassVar[str] = "dosage"
    version: ClassVar[str] = "1"

    relative_tolerance: float = 0.0
    """By how much a dose may differ, as a share of the reference; 0 for prescriptions, 0.05 where doses are rounded."""
    frequency: bool = True
    """Whether the answer must say how often; off where only the single dose is asked."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.relative_tolerance < 1.0:
            fault = f"`relative_tolerance` is {self.relative_tolerance}; it is a share from 0, below 1"
            raise RecipeError("verifier 'dosage'", [fault])

    def check(self, problem: Problem, response: Response) -> Verdict:
        """The verdict on one answer."""
        wanted = read(problem.reference or "")
        if len(wanted.doses) != 1 or wanted.denied or wanted.unread:
            return Verdict.failed(f"the reference is no single dose: {problem.reference!r:.60}", "invalid")
        answer = final_answer(response.text)
        if answer is None:
            return Verdict.wrong("there is no final answer")
        if len(answer.text) > LONGEST:
            return Verdict.abstain("too long to be a dose")
        score, reason = self._compare(wanted, read(answer.text), problem.question)
        if score and any(read(text).doses for text in (*answer.earlier, *answer.after)):
            score, reason = None, "another dose stands beside the answer"
        if score is None:
            return Verdict.abstain(reason, answer=answer.text, span=answer.span)
        return Verdict(score, answer=answer.text, span=answer.span, reason=reason)

    def _compare(self, wanted: Dosed, found: Dosed, question: str) -> tuple[float | None, str]:
        """1 for the same, 0 for another, None where it cannot be told; and why."""
        (amount, unit), *_ = wanted.doses
        if not found.doses:
            return (None, "no dose that can be read") if found.unread or found.denied else (0.0, "no dose")
        same = [u == unit and abs(a - amount) <= self.relative_tolerance * amount + 1e-9 for a, u in found.doses]
        said = " or ".join(f"{a:g} {u}" for a, u in found.doses)
        if found.denied or found.unread:
            return None, "something is denied, or cannot be read"
        if not any(same):
            return (None, f"{said}, in another unit") if unit not in {u for _, u in found.doses} else (0.0, said)
        if not all(same):
            return None, f"several doses: {said}"
        if strange := unasked(found.rest, question):
            return None, f"{strange!r:.40} may change what it says"
        if not self.frequency:
            return 1.0, said
        if not wanted.per_day:
            return (None, "it says how often, and the reference does not") if found.per_day else (1.0, said)
        if len(found.per_day) != 1:
            return None, "several frequencies" if found.per_day else "it does not say how often"
        if abs(found.per_day[0] - wanted.per_day[0]) > 1e-6:
            return 0.0, f"{said}, {found.per_day[0]:g} times a day"
        return 1.0, f"{said}, {found.per_day[0]:g} times a day"


__all__ = ["Dosage"]
