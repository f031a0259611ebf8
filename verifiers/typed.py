"""The rule that fits the problem: what `typed` verifies with, and how a problem's answer type is told."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from medrl.types import Kind, Problem, Verdict
from medrl.verifiers.choice import Choice
from medrl.verifiers.dates import Dates, wants_date
from medrl.verifiers.dosing import Dosing, wants_regimen
from medrl.verifiers.extract import Extracted, Format
from medrl.verifiers.intervals import reference_interval
from medrl.verifiers.number import Number, is_ratio_or_pair, reference_quantity
from medrl.verifiers.quantity import Quantity, may_count, plain
from medrl.verifiers.reading import AnswerVerifier, VocabularyVerifier
from medrl.verifiers.sets import SetOf, reference_items
from medrl.verifiers.symbolic import Symbolic, looks_symbolic
from medrl.verifiers.text import Text
from medrl.verifiers.vocabularies import Sources
from medrl.verifiers.yes_no import YesNo, either, side

# "Which drug?" may have the answer none, which is no no.
_NONE = re.compile(r"(?:no|none|无|没有|不需要)[.。]?", re.IGNORECASE)
_WHAT = re.compile(r"\b(?:what|which)\b|什么|哪|何种", re.IGNORECASE)
ANSWER_TYPES = ("term", "choice", "number", "yes_no", "set", "date", "dose", "expression")


@dataclass(frozen=True)
class Typed(VocabularyVerifier):
    """The rule that fits the problem: by `metadata["answer_type"]` (term, choice, number, yes_no, set, date, dose,
    expression), by its kind and options, else by what its reference looks like.
    """

    name: ClassVar[str] = "typed"

    relative_tolerance: float = 0.0
    """As in the `number` verifier."""
    partial: bool = False
    """As in the `set` verifier."""
    vocabulary: Sources = None
    """As in the `text` verifier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in ANSWER_TYPES:  # so that a wrong knob is refused now
            self.rule(kind)

    def rule_for(self, problem: Problem) -> AnswerVerifier:
        kind = answer_type(problem)
        return self.rule(kind) if kind in ANSWER_TYPES else self

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        rule = self.rule_for(problem)
        if rule is not self:
            return rule.decide(problem, answer).by(rule.name)
        kind, wanted = answer_type(problem), ", ".join(ANSWER_TYPES)
        return Verdict.failed(f"problem {problem.id!r} has answer_type {kind!r}; it is one of {wanted}", "invalid")

    def rule(self, kind: str) -> AnswerVerifier:
        """The rule for one answer type."""
        return _rule(kind, self.format, self.relative_tolerance, self.partial, self.vocabulary)


@lru_cache(maxsize=64)  # each is asked for with every answer
def _rule(kind: str, format: Format, tolerance: float, partial: bool, vocabulary: Sources) -> AnswerVerifier:
    if kind == "choice":
        return Choice(format, vocabulary)
    if kind == "number":
        return Number(format, tolerance)
    if kind == "yes_no":
        return YesNo(format)
    if kind == "date":
        return Dates(format)
    if kind == "dose":
        return Dosing(format, tolerance, vocabulary)
    if kind == "expression":
        return Symbolic(format)
    if kind == "set":
        return SetOf(format, partial, vocabulary)
    return Text(format, vocabulary)


def _is_time(quantity: Quantity) -> bool:
    return quantity.unit is not None and quantity.unit.dims == (("time", 1),)


def answer_type(problem: Problem) -> str:
    """Which rule fits a problem."""
    stated = problem.metadata.get("answer_type")
    if stated is not None:
        return str(stated)
    if problem.options:
        sided = all(
            side(text, problem.question) or side(label, problem.question) for label, text in problem.options.items()
        )
        return "yes_no" if sided and len(problem.options) > 1 else "choice"
    if problem.kind == "choice":
        return "choice"
    if "unit" in problem.metadata or "items" in problem.metadata:
        return _by_looks(problem)
    key = (problem.question, str(problem.reference), problem.kind)
    found = _remembered.get(key)
    if found is None:
        if len(_remembered) >= _MOST:
            _remembered.clear()
        found = _remembered[key] = _by_looks(problem)
    return found


_MOST = 4096
_remembered: dict[tuple[str, str, Kind], str] = {}  # a problem comes back with each of its rollouts


def _by_looks(problem: Problem) -> str:
    """The rule that fits what a reference looks like."""
    reference, numeric = str(problem.reference), problem.kind == "numeric"
    counts = may_count(plain(reference))  # most references do not, and need not be read as any kind of number
    quantity = reference_quantity(problem) if counts else None
    if not numeric and not quantity and wants_regimen(problem):
        return "dose"
    if counts and is_ratio_or_pair(problem):
        return "number"
    if looks_symbolic(problem):
        return "expression"
    # A date is no quantity, and an age is one of time.
    if not numeric and counts and (quantity is None or _is_time(quantity)) and wants_date(problem):
        return "date"
    if numeric or quantity or (counts and reference_interval(problem)):
        return "number"
    if either(problem) and not (_NONE.fullmatch(reference) and _WHAT.search(problem.question)):
        return "yes_no"
    return "set" if len(reference_items(problem)) > 1 else "term"
