"""Answers that every framework must score alike: English and Chinese, right, wrong, malformed, abstained from, failed."""

from dataclasses import dataclass
from typing import Any

from medrl.rewards import Reward, build, reward
from medrl.types import Problem, Response, ask
from medrl.verifiers import build as build_verifier

VERIFIER = {"type": "typed", "format": "o1", "vocabulary": "clinic"}


@reward("mood")
def mood(problem: Problem, response: Response) -> float | None:
    """No number for a response that says "pass", an error for one that says "crash"."""
    if "pass me over" in response.text:
        return None
    if "crash now" in response.text:
        raise RuntimeError("the judge is down")
    return 1.0


TREE: dict[str, Any] = {
    "type": "weighted_sum",
    "name": "total",
    "parts": [
        {"type": "verified", "verifier": VERIFIER, "otherwise": 0.0},
        {"type": "format", "preset": "o1"},
        {"type": "answers_everywhere:mood"},
    ],
    "weights": [0.7, 0.2, 0.1],
}


def tree() -> Reward:
    return build(TREE)


ASTHMA = Problem("asthma", ask("What is the most likely diagnosis?"), "asthma", metadata={"topic": "diagnosis"})
GOUT = Problem("痛风", ask("最可能的诊断是什么？"), "痛风", aliases=("gout",), language="zh")
DOSE = Problem("dose", ask("How many mg in total?"), "500 mg", "numeric", metadata={"answer_type": "number"})
LETTER = Problem(
    "letter", ask("Which drug?\nA. aspirin\nB. metformin"), "B", "choice", {"A": "aspirin", "B": "metformin"}
)
MAYBE = Problem("maybe", ask("是否需要抗生素？"), "否", language="zh", metadata={"answer_type": "yes_no"})


def o1(thinking: str, answer: str) -> str:
    return f"## Thinking\n\n{thinking}\n\n## Final Response\n\n{answer}"


@dataclass(frozen=True)
class Answer:
    problem: Problem
    text: str
    value: float | None  # what the tree must say
    status: str = "ok"

    @property
    def item(self) -> tuple[Problem, Response]:
        return self.problem, Response(self.text)


ANSWERS = (
    Answer(ASTHMA, o1("Wheeze at night.", "asthma"), 1.0),
    Answer(ASTHMA, o1("Wheeze at night.", "Asthma."), 1.0),
    Answer(ASTHMA, o1("Wheeze at night.", "pneumonia"), 0.3),
    Answer(ASTHMA, "asthma", 0.8),
    Answer(ASTHMA, "", 0.1),
    Answer(ASTHMA, o1("", "asthma"), 0.8),
    Answer(GOUT, o1("大脚趾红肿。", "痛风"), 1.0),
    Answer(GOUT, o1("大脚趾红肿。", "gout"), 1.0),
    Answer(GOUT, o1("大脚趾红肿。", "肺炎"), 0.3),
    Answer(GOUT, "痛风", 0.8),
    Answer(DOSE, o1("Two tablets of 250.", "500 mg"), 1.0),
    Answer(DOSE, o1("Two tablets of 250.", "0.5 g"), 1.0),
    Answer(DOSE, o1("Two tablets of 250.", "250 mg"), 0.3),
    Answer(LETTER, o1("First line.", "B"), 1.0),
    Answer(LETTER, o1("First line.", "metformin"), 1.0),
    Answer(LETTER, o1("First line.", "A"), 0.3),
    Answer(MAYBE, o1("病毒性感冒。", "否"), 1.0),
    Answer(MAYBE, o1("病毒性感冒。", "是"), 0.3),
    Answer(ASTHMA, o1("pass me over", "asthma"), None, "abstain"),
    Answer(GOUT, o1("crash now", "痛风"), None, "error"),
    Answer(LETTER, "crash now", None, "error"),
)


def verified(answers: tuple[Answer, ...] = ANSWERS) -> list[float]:
    """What `medrl verify` says of each, an abstention counted as the tree counts it."""
    found = [build_verifier(VERIFIER).verify(*answer.item) for answer in answers]
    assert all(verdict.status in ("ok", "abstain") for verdict in found)
    return [verdict.score or 0.0 for verdict in found]
