"""Answers with a label, right or wrong: what a model verifier learns from and what it is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medrl.data.pairs import existing, label_of
from medrl.data.problems import load_responses
from medrl.errors import DataError
from medrl.types import Problem, Response

SHOWN_FAULTS = 10


@dataclass(frozen=True)
class LabelledAnswer:
    """One answer to one problem, with what it should be judged.

    Attributes:
        problem: The question with its reference; the label is no part of it.
        response: The answer, its reasoning included where it has one.
        expected: Whether it is right.
        category: In which way it is right or wrong; figures are also given by it.
        concept: What the reference names, such as `disease:asthma`, by which splits are kept apart; "" for an answer from
            a file.
        template: Which wording it was made from; "" for an answer from a file.
    """

    problem: Problem
    response: str
    expected: bool
    category: str = "none"
    concept: str = ""
    template: str = ""

    @property
    def item(self) -> tuple[Problem, Response]:
        """What a verifier is given."""
        return self.problem, Response(self.response)

    def to_json(self) -> dict[str, Any]:
        """A row that `load_labelled`, `medrl verify` and `medrl card` read: the whole problem, so that nothing is lost."""
        row = self.problem.to_json()
        row["metadata"] = {**row["metadata"], "expected": self.expected, "category": self.category}
        return {**row, "response": self.response, "concept": self.concept, "template": self.template}


def load_labelled(path: str | Path, *, limit: int | None = None) -> list[LabelledAnswer]:
    """Rows with question, reference, response and `expected` (true or false), in the columns of a problem schema.

    Raises:
        DataError: The file cannot be read, or rows of it have no label; they are named together.
    """
    answers: list[LabelledAnswer] = []
    faults: list[str] = []
    for number, (problem, response) in enumerate(load_responses(existing(path), limit=limit), 1):
        about = dict(problem.metadata)
        value = about.pop("expected", None)
        label = label_of(value)
        if label is None:
            found = "is missing" if value is None else f"is {value!r}"
            faults.append(f"row {number} (id {problem.id!r}): `expected` {found}")
            continue
        category = str(about.pop("category", None) or about.get("topic") or "none")
        answers.append(LabelledAnswer(replace(problem, metadata=about), response.text, label, category))
    if faults:
        shown = "".join(f"\n  - {fault}" for fault in faults[:SHOWN_FAULTS])
        more = f"\n  and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise DataError(f"{path}: {len(faults)} rows have no label; `expected` must be true or false:{shown}{more}")
    return answers


def overlap(
    left: Sequence[LabelledAnswer], right: Sequence[LabelledAnswer], *, with_question: bool = False
) -> list[str]:
    """What two sets share that a held-out figure must not: the same response to the same reference, by problem id.

    Args:
        left: What was seen.
        right: What must not have been.
        with_question: Whether the question must be the same too, since the verifier reads it.
    """

    def read(one: LabelledAnswer) -> tuple[str, str, str]:
        reference = str(one.problem.reference)
        named = one.problem.options.get(reference, "")  # "B" of two questions is not the same
        return f"{reference}. {named}", one.response, one.problem.question if with_question else ""

    seen = {read(one) for one in left}
    return [one.problem.id for one in right if read(one) in seen]
