"""What an author gives the kit: labelled answers, and the limits that the plugin must keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from medrl.errors import RecipeError
from medrl.knobs import out_of_range
from medrl.testing.laws import CasesTooFew
from medrl.types import Group, Problem, Response

Expected: TypeAlias = Literal["right", "wrong", "abstain", "invalid"] | float
LABELS = ("right", "wrong", "abstain", "invalid")
HALF = 0.5  # an answer is right from this score on, as everywhere in medrl


@dataclass(frozen=True)
class Case:
    """An answer to a problem, and what the verifier must say of it."""

    problem: Problem
    response: Response
    expected: Expected
    """`right` (a score of 0.5 or more), `wrong` (a score below), `abstain`, `invalid`, or the very score."""

    def __post_init__(self) -> None:
        if isinstance(self.response, str):
            object.__setattr__(self, "response", Response(self.response))
        number = isinstance(self.expected, int | float) and not isinstance(self.expected, bool)
        if self.expected not in LABELS and not (number and 0.0 <= float(self.expected) <= 1.0):
            raise RecipeError(
                f"a case of problem {self.problem.id!r}",
                [f"`expected` is {self.expected!r}; it is one of {', '.join(LABELS)}, or a score from 0 to 1"],
            )

    @property
    def counts_as(self) -> str:
        """The label; a score counts as right or wrong."""
        if isinstance(self.expected, str):
            return self.expected
        return "right" if self.expected >= HALF else "wrong"


def case(problem: Problem, text: str, expected: Expected) -> Case:
    """A case of a response that ended by itself."""
    return Case(problem, Response(text), expected)


@dataclass(frozen=True)
class GroupCase:
    """Responses to one problem, and what the reward must say of each."""

    problem: Problem
    responses: tuple[Response, ...]
    values: tuple[float | None, ...] | None = None
    """The reward of each response, None for "no number". Left out, the values are not looked at."""

    def __post_init__(self) -> None:
        made = tuple(Response(one) if isinstance(one, str) else one for one in self.responses)
        object.__setattr__(self, "responses", made)
        faults = [] if made else ["it has no responses"]
        if self.values is not None and len(self.values) != len(made):
            faults.append(f"it has {len(made)} responses and {len(self.values)} values; give each its value")
        if faults:
            raise RecipeError(f"a case of problem {self.problem.id!r}", faults)

    @property
    def group(self) -> Group:
        return Group(self.problem, self.responses)


@dataclass(frozen=True)
class Limits:
    """How fast, and how exact. The defaults suit a rule that computes; one that asks a server needs more seconds."""

    seconds_per_answer: float = 0.05
    """Wall clock per answer in a batch of 32, the best of three; 0.001 to 0.05 for rules, 1 to 10 behind a server."""
    seconds_blocked: float = 0.25
    """How long `verify_batch` or `assess` may keep the event loop from anything else with 32 answers, the best of three;
    0.1 to 0.5. While it is blocked no other group is scored and no token is drawn: a rule that computes for more than 8 ms
    an answer belongs in a thread or in `isolated`."""
    seconds_at_most: float = 30.0
    """What takes longer than this for a single call counts as endless; 10 to 120."""
    growth: float = 8.0
    """How many times longer a text four times as long may take: 4 where the time is linear, 16 where it is quadratic."""
    longest: int = 64_000
    """Characters up to which the growth of the time is measured; 16 000 to 256 000."""
    tolerance: float = 1e-6
    """By how much two scores may differ that should be equal; 1e-4 where a model computes them in batches."""
    reference_free: bool = False
    """True for a verifier that needs no reference: then a problem without one may get a score."""

    def __post_init__(self) -> None:
        positive = ("seconds_per_answer", "seconds_blocked", "seconds_at_most", "growth", "longest")
        if faults := out_of_range(self, above_0=positive, from_0=("tolerance",)):
            raise RecipeError("the limits", faults)


def check_cases(cases: Sequence[Case]) -> None:
    """Refuse cases that could not tell a sound verifier from a broken one.

    Raises:
        CasesTooFew: No answer among them is right, or none is wrong.
    """
    counts = {one.counts_as for one in cases}
    missing = [label for label in ("right", "wrong") if label not in counts]
    if missing:
        raise CasesTooFew(
            f"among {len(cases)} cases there is no {' and no '.join(missing)} answer; without one of each, a verifier "
            "that always says the same, or lines verdicts up with the wrong answers, would pass"
        )


def check_groups(groups: Sequence[GroupCase]) -> None:
    """Refuse groups that could not tell.

    Raises:
        CasesTooFew: There are fewer than two groups, or none has two responses.
    """
    if len(groups) < 2 or not any(len(set(one.responses)) > 1 for one in groups):
        raise CasesTooFew(
            f"there are {len(groups)} groups; give two or more, one of them with two responses that earn differently: "
            "otherwise the order of scores could not be told"
        )
