"""What a consultation is worth: the right diagnosis as far as it rests on answers, what was found out, danger signs asked.

    value = diagnosis * D * min(1, gain / enough) + information * min(1, gain / enough) + red_flags * F - costs, at least 0

with D the value of the diagnosis, `gain` the weight of the facts found out as a share of all (`environments/patient.py`
measures it) and F the share of danger signs that were asked for. A diagnosis is thus paid by what it rests on: guessing
at once earns nothing even where it is right, and a consultation in which nothing asked was answered, or that never came to
a diagnosis, is worth `worst`. Refused and repeated questions, needless tests and turns cost. What the environment could not
measure has no number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medrl.rewards.tree import Reward, RewardContext, Scores, not_a, not_finite, settle
from medrl.types import Group, Part, Response, Score, Verdict

NEEDED = ("gain", "red_flags", "answered", "concluded", "turns", "refused", "repeats", "needless_tests")


@dataclass(frozen=True)
class Consultation(Reward):
    """The worth of a consultation in the patient simulator, from `worst` to 1."""

    type_name: ClassVar[str] = "consultation"

    correct: Reward
    """What says whether the diagnosis is right, from 0 to 1; mostly `verified`. It reads the last turn."""
    diagnosis: float = 0.6
    """Weight of the diagnosis. The three weights add up to 1."""
    information: float = 0.3
    """Weight of what was found out."""
    danger: float = 0.1
    """Weight of the danger signs asked for; where a case has none, the other two share it."""
    enough: float = 0.6
    """Share of the facts' weight on which a diagnosis is paid in full. Typical 0.4 to 0.8."""
    turn_cost: float = 0.005
    """Taken off for each turn."""
    refused_cost: float = 0.05
    """Taken off each time that the patient turned something down: leading questions, lists, asking for the answer."""
    repeat_cost: float = 0.02
    """Taken off for each question asked again."""
    test_cost: float = 0.02
    """Taken off for each test that showed nothing new."""
    worst: float = -0.1
    """Value where nothing asked was answered, or where no diagnosis came before the end. Below 0, the least of all others."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `consultation`; beside it are the parts `gain`,
    `red_flags` and `turns`, which are called `NAME.gain` and so on where another name is given."""

    def __post_init__(self) -> None:
        weights = {"diagnosis": self.diagnosis, "information": self.information, "danger": self.danger}
        costs = {n: getattr(self, n) for n in ("turn_cost", "refused_cost", "repeat_cost", "test_cost")}
        faults = not_a(Reward, correct=self.correct)
        faults += not_finite(**weights, **costs, enough=self.enough, worst=self.worst)
        if not faults:
            faults += [
                f"`{n}` is {value}; it must not be below 0" for n, value in (weights | costs).items() if value < 0
            ]
            if abs(sum(weights.values()) - 1) > 1e-6:
                faults.append(f"the weights {', '.join(weights)} add up to {sum(weights.values()):g}; they must make 1")
            if self.diagnosis + self.information <= 0:
                faults.append("`diagnosis` and `information` are both 0; danger signs alone are no consultation")
            if not 0 < self.enough <= 1:
                faults.append(f"`enough` is {self.enough}; it is a share above 0, up to 1")
            if self.worst >= 0:
                faults.append(
                    f"`worst` is {self.worst}; it must be below 0, or never asking would be no worse than asking"
                )
        settle(self, "consultation", faults)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        judged = await self.correct.score(groups, context)
        return [
            [self._worth(rollout, score) for rollout, score in zip(group.rollouts, row, strict=True)]
            for group, row in zip(groups, judged, strict=True)
        ]

    def _worth(self, response: Response, judged: Score) -> Score:
        measured = response.measured
        if response.finish_reason == "abort":
            why = measured.get("fault") or "the engine aborted this response"
            return Score(None, "error", judged.parts, f"{self.name}: {why}")
        missing = [name for name in NEEDED if name not in measured]
        if missing:
            why = f"nothing measured {', '.join(missing)}; train with an environment such as `environment: patient`"
            return Score(None, "invalid", judged.parts, f"{self.name}: {why}")
        if judged.value is None:
            return Score(None, judged.status, judged.parts, f"{self.name}: {judged.reason}")
        value, reason = self._value(response, judged.value)
        verdict = Verdict(min(1.0, max(0.0, value)), reason=reason, stage=self.name, parts=_numbers(measured))
        parts = {self.name: Part(value, verdict=verdict, reason=reason)}
        prefix = "" if self.name == self.type_name else f"{self.name}."
        for figure in ("gain", "red_flags", "turns"):
            if measured[figure] is not None:
                parts[prefix + figure] = Part(float(measured[figure]))
        return Score(value, parts={**judged.parts, **parts}, reason=reason)

    def _value(self, response: Response, right: float) -> tuple[float, str]:
        m = response.measured
        if response.finish_reason != "stop" or not m["concluded"]:
            return self.worst, f"no diagnosis: {m.get('fault', 'the consultation ended without one')}"
        if not m["answered"]:
            return self.worst, "nothing that was asked was answered"
        rests = min(1.0, m["gain"] / self.enough)
        worth = self.diagnosis * right * rests + self.information * rests
        if m["red_flags"] is None:
            worth /= self.diagnosis + self.information
        else:
            worth += self.danger * m["red_flags"]
        costs = (
            self.turn_cost * m["turns"] + self.refused_cost * m["refused"]
            + self.repeat_cost * m["repeats"] + self.test_cost * m["needless_tests"]
        )  # fmt: skip
        reason = f"diagnosis {right:g}, resting on {rests:.2f}; costs {costs:.3f}"
        return max(0.0, worth - costs), reason


def _numbers(measured: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in measured.items() if isinstance(value, int | float)}
