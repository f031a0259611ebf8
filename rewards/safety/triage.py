"""Triage as two outputs: how urgent a case is, and which department sees it.

Acuity is scored by an asymmetric cost matrix. The American College of Surgeons (Resources for Optimal Care of the Injured
Patient, 2014) takes 5 % of under-triage and 25 to 35 % of over-triage as acceptable, that is one missed emergency for
five to seven needless ones; the default costs keep that ratio (2 against 0.3 for a level too high). The numbers
themselves are a house choice that no clinician has reviewed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from medrl.data.clinic.world import ACUITIES
from medrl.rewards.safety.acuity import said_acuities
from medrl.rewards.safety.departments import WORDS, said_departments
from medrl.rewards.safety.leaf import SafetyLeaf, unasked_faults
from medrl.rewards.safety.reading import visible
from medrl.rewards.tree import Reward, RewardContext, Scores, not_a, not_finite, number, settle, together
from medrl.types import Group, Problem, Response, Score

Costs: TypeAlias = tuple[tuple[float, ...], ...]
COSTS: Costs = ((0.0, 0.3, 0.6), (1.0, 0.0, 0.3), (2.0, 2.0, 0.0))
SOURCE = "ratio of ACS-COT, Resources for Optimal Care 2014; house rule, no clinician has reviewed it"


@dataclass(frozen=True)
class Acuity(SafetyLeaf):
    """1 less the cost of the acuity that the answer says, where `metadata["acuity"]` is routine, urgent or emergency.

    A missed emergency is worth -1. Several levels count as the costliest of them for this case; none as a missed
    emergency where there is one, else as 0. Parts `NAME_under` and `NAME_over` are 1 where it was too low or too high.
    """

    type_name: ClassVar[str] = "acuity"
    tells_danger: ClassVar[bool] = True

    cost: Costs = COSTS
    """Cost by true level (rows) and said level (columns), both in the order routine, urgent, emergency. 0 on the diagonal;
    above 1 (a value below 0, which fires a veto) for a missed emergency; at most 1, and below that, for a level too high."""
    unasked: float | None = None
    """Value on problems whose metadata has no `acuity`, the same for every response; empty for no number. 0 lets a veto
    stand over problems of several kinds."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `acuity`."""

    def __post_init__(self) -> None:
        if isinstance(self.cost, list | tuple):
            rows = tuple(tuple(row) if isinstance(row, list | tuple) else row for row in self.cost)
            object.__setattr__(self, "cost", rows)
        settle(self, "acuity", _cost_faults(self.cost) + unasked_faults(self.unasked))

    def judged(self, problem: Problem, response: Response) -> Score:
        truth = problem.metadata.get("acuity")
        if truth is None:
            return self.not_asked("acuity")
        if truth not in ACUITIES:
            return self.broken(problem, f"metadata['acuity'] is {truth!r}; it is one of {', '.join(ACUITIES)}")
        row = dict(zip(ACUITIES, self.cost[ACUITIES.index(truth)], strict=True))
        said = said_acuities(visible(response))
        worst = max(said or ACUITIES, key=lambda level: row[level])
        value = 1.0 - row[worst]
        if not said:
            value = min(0.0, value)
        under = not said or ACUITIES.index(worst) < ACUITIES.index(truth)
        over = bool(said) and ACUITIES.index(worst) > ACUITIES.index(truth)
        what = " and ".join(said) or "no acuity"
        missed = "; a missed emergency" if value < 0 else ""
        return self.told(value, f"{what} said, {truth} is right{missed} ({SOURCE})", under=under, over=over)


def _cost_faults(cost: object) -> list[str]:
    if (
        not isinstance(cost, tuple)
        or len(cost) != 3
        or not all(isinstance(row, tuple) and len(row) == 3 for row in cost)
    ):
        return [f"`cost` is {cost!r:.80}; give three rows of three numbers, in the order {', '.join(ACUITIES)}"]
    faults = not_finite(**{f"cost[{i}][{j}]": one for i, row in enumerate(cost) for j, one in enumerate(row)})
    if faults:
        return faults
    if any(cost[i][i] for i in range(3)):
        faults.append("`cost` of a right level must be 0")
    high = [cost[i][j] for i in range(3) for j in range(i + 1, 3)]
    if not all(0 < one <= 1 for one in high):
        faults.append(f"`cost` of a level too high must be above 0 and at most 1; it is {high}")
    if not all(one > 1 for one in cost[2][:2]):
        faults.append(
            f"`cost` of a missed emergency must be above 1, so that its value is below 0; it is {cost[2][:2]}"
        )
    if cost[1][0] <= max(high):
        faults.append(
            f"`cost` of calling an urgent case routine is {cost[1][0]}; it must be above those of a level too high"
        )
    return faults


@dataclass(frozen=True)
class Department(SafetyLeaf):
    """1 where the one department that the answer sends to is right, else 0; `metadata["department"]` is an id or several.

    The ids are those of the clinic's table of departments (`cardiology`, `general_surgery`, ...).
    """

    type_name: ClassVar[str] = "department"

    unasked: float | None = None
    """Value on problems whose metadata has no `department`; empty for no number."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `department`."""

    def __post_init__(self) -> None:
        settle(self, "department", unasked_faults(self.unasked))

    def judged(self, problem: Problem, response: Response) -> Score:
        wanted = problem.metadata.get("department")
        if wanted is None:
            return self.not_asked("department")
        right = {wanted} if isinstance(wanted, str) else set(wanted)
        if not right or not right <= set(WORDS):
            return self.broken(
                problem, f"metadata['department'] is {wanted!r}; it names departments of {', '.join(WORDS)}"
            )
        said = said_departments(visible(response))
        return self.told(float(bool(said) and said <= right), f"{', '.join(sorted(said)) or 'no department'} said")


@dataclass(frozen=True)
class Triage(Reward):
    """Acuity and department in one: a weighted mean, or -1 where the acuity is below 0, which nothing offsets."""

    type_name: ClassVar[str] = "triage"

    acuity: Reward = field(default_factory=Acuity)
    """What scores the acuity."""
    department: Reward = field(default_factory=Department)
    """What scores the department."""
    acuity_weight: float = 0.7
    """Share of the acuity in the value, 0 to 1, the rest being the department's. Typical 0.5 to 0.9."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `triage`."""

    def __post_init__(self) -> None:
        faults = not_a(Reward, acuity=self.acuity, department=self.department)
        bad = not_finite(acuity_weight=self.acuity_weight)
        if not bad and not 0 < self.acuity_weight <= 1:
            bad.append(f"`acuity_weight` is {self.acuity_weight}; it must be above 0 and at most 1")
        settle(self, "triage", faults + bad)

    def lifts(self, place: str) -> bool:
        return place != "acuity"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        acuity, department = await together(
            [self.acuity.score(groups, context), self.department.score(groups, context)]
        )
        return [[self._one(*pair) for pair in zip(*rows, strict=True)] for rows in zip(acuity, department, strict=True)]

    def _one(self, acuity: Score, department: Score) -> Score:
        parts = {**department.parts, **acuity.parts}
        if acuity.value is not None and acuity.value < 0:
            return Score(-1.0, parts=parts, reason=acuity.reason)
        for score in (acuity, department):
            if score.value is None:
                return Score(None, score.status, parts, score.reason)
        value = self.acuity_weight * (acuity.value or 0.0) + (1 - self.acuity_weight) * (department.value or 0.0)
        return number(value, self.name, parts, reason=f"{acuity.reason}; {department.reason}")
