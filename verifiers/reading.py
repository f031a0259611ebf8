"""What every rule does first: read the committed answer, and settle what needs no rule."""

import re
from abc import abstractmethod
from dataclasses import dataclass, replace

from medrl.types import Problem, Response, Verdict
from medrl.verifiers.extract import Extracted, Format, check_format, degenerate, final_answer, sections
from medrl.verifiers.protocol import RuleVerifier

# Signs that deny or strike out what they stand with.
_STRUCK = re.compile(r"[✗✘❌≠¬]|~~|\(\s*[-–−]\s*\)|^!\w|</?(?:s|del|strike)>|\\neg\b|\\not\b", re.IGNORECASE)


# What says that the answer before it is not meant.
TAKES_BACK = re.compile(
    r"\b(?:i mean|actually|sorry|wait|rather|instead|correct|correction|should|oops)\b|更正|应该|应为|抱歉|其实",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AnswerVerifier(RuleVerifier):
    """A rule over the committed answer: subclasses write `decide`."""

    format: Format = "auto"
    """How responses are laid out: "o1" (## Thinking, ## Final Response), "think" (<think> tags), "plain", "auto"."""

    def __post_init__(self) -> None:
        check_format(self.format)

    @abstractmethod
    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        """The verdict on an answer that was read; `problem.reference` is a non-empty text."""

    def check(self, problem: Problem, response: Response) -> Verdict:
        answer = read(problem, response, self.format)
        if isinstance(answer, Verdict):
            return answer
        if _STRUCK.search(answer.text) and not _STRUCK.search(str(problem.reference)):
            return replace(Verdict.abstain("a sign strikes something out"), answer=answer.text, span=answer.span).by(
                self.name
            )
        return replace(self.decide(problem, answer), answer=answer.text, span=answer.span).by(self.name)


def read(problem: Problem, response: Response, format: Format) -> Extracted | Verdict:
    """The committed answer, or the verdict where there is nothing for a rule to read."""
    if problem.reference is None or not problem.reference.strip():
        return Verdict.failed(f"problem {problem.id!r} has no reference to check against", "invalid")
    start, end = sections(response.text, format).span
    if degenerate(response.text[start:end]):
        return Verdict.wrong("the answer is stuck in a loop")
    answer = final_answer(response.text, format)
    if answer is None:
        return Verdict.wrong("there is no final answer")
    if response.finish_reason == "length" and answer.how not in ("boxed", "tag") and answer.span[1] >= end - 1:
        return Verdict.wrong("the response was cut at its token limit before the answer was complete")
    return answer
