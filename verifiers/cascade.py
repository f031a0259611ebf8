"""Put verifiers together: stage after stage until one decides, or the rule that fits the problem."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from medrl.errors import RecipeError
from medrl.types import Judged, Problem, Verdict
from medrl.verifiers.choice import Choice
from medrl.verifiers.dates import Dates, wants_date
from medrl.verifiers.extract import Extracted
from medrl.verifiers.intervals import reference_interval
from medrl.verifiers.number import Number, reference_quantity
from medrl.verifiers.protocol import Verifier, build, judge
from medrl.verifiers.reading import AnswerVerifier
from medrl.verifiers.sets import SetOf, reference_items
from medrl.verifiers.text import Text
from medrl.verifiers.vocabularies import Sources
from medrl.verifiers.yes_no import YesNo, side

ANSWER_TYPES = ("term", "choice", "number", "yes_no", "set", "date")


@dataclass(frozen=True)
class Cascade(Verifier):
    """The first stage that decides. A stage sees only what the stages before it left undecided."""

    name: ClassVar[str] = "cascade"

    stages: tuple[Verifier, ...] = ()
    """Verifiers in order, cheap rules first, a judge that always decides last. Each is a name or
    {type: ..., knob: ...}."""
    past_failures: bool = False
    """Whether the next stage is also asked where a stage fails (error, timeout). When false the failure is the verdict,
    so that a broken judge is seen; when true a failure that no later stage mends is still the verdict."""

    def __post_init__(self) -> None:
        if isinstance(self.stages, str | Verifier) or not isinstance(self.stages, Iterable):
            raise RecipeError("verifier 'cascade'", [f"stages is {self.stages!r}; give a list of verifiers"])
        stages = tuple(build(stage) for stage in self.stages)
        if not stages:
            raise RecipeError("verifier 'cascade'", ["it has no stages; give at least one verifier"])
        object.__setattr__(self, "stages", stages)

    @property
    def decides(self) -> bool:
        return any(stage.decides for stage in self.stages)

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        verdicts: list[Verdict | None] = [None] * len(items)
        for stage in self.stages:
            open_ = [i for i, verdict in enumerate(verdicts) if verdict is None or self._goes_on(verdict)]
            found = await judge(stage, [items[i] for i in open_])
            for i, verdict in zip(open_, found, strict=True):
                verdicts[i] = _merge(verdicts[i], verdict)
        return [verdict or Verdict.abstain("no stage decided") for verdict in verdicts]

    def _goes_on(self, verdict: Verdict) -> bool:
        return verdict.status == "abstain" or (self.past_failures and verdict.status in ("error", "timeout"))


def _merge(before: Verdict | None, now: Verdict) -> Verdict:
    """What stands after one more stage: costs add up, and a failure is not covered by a later abstention."""
    if before is None:
        return now
    cost = {key: before.cost.get(key, 0) + now.cost.get(key, 0) for key in {*before.cost, *now.cost}}
    kept = before if now.status == "abstain" and before.status != "abstain" else now
    return replace(kept, cost=cost)


@dataclass(frozen=True)
class Typed(AnswerVerifier):
    """The rule that fits the problem: by `metadata["answer_type"]` (term, choice, number, yes_no, set, date), by its kind
    and options, else by what its reference looks like.
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

    def data_digest(self) -> str:
        return self.rule("term").data_digest()

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        kind = answer_type(problem)
        if kind not in ANSWER_TYPES:
            wanted = ", ".join(ANSWER_TYPES)
            return Verdict.failed(f"problem {problem.id!r} has answer_type {kind!r}; it is one of {wanted}", "invalid")
        rule = self.rule(kind)
        return rule.decide(problem, answer).by(rule.name)

    def rule(self, kind: str) -> AnswerVerifier:
        """The rule for one answer type."""
        if kind == "choice":
            return Choice(self.format, self.vocabulary)
        if kind == "number":
            return Number(self.format, self.relative_tolerance)
        if kind == "yes_no":
            return YesNo(self.format)
        if kind == "date":
            return Dates(self.format)
        if kind == "set":
            return SetOf(self.format, self.partial, self.vocabulary)
        return Text(self.format, self.vocabulary)


def answer_type(problem: Problem) -> str:
    """Which rule fits a problem."""
    stated = problem.metadata.get("answer_type")
    if stated is not None:
        return str(stated)
    if problem.options:
        sides = [side(text) or side(label) for label, text in problem.options.items()]
        return "yes_no" if all(sides) and len(sides) > 1 else "choice"
    if problem.kind == "choice":
        return "choice"
    if problem.kind != "numeric" and wants_date(problem):
        return "date"
    if problem.kind == "numeric" or reference_quantity(problem) or reference_interval(problem):
        return "number"
    if side(str(problem.reference)):
        return "yes_no"
    return "set" if len(reference_items(problem)) > 1 else "term"
