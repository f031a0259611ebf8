"""A verifier on trial: how the laws call it, and when two verdicts are the same."""

import copy
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from medrl.testing import fresh
from medrl.testing.calls import Endless, awaited
from medrl.testing.cases import Case, Limits, check_cases
from medrl.testing.hostile import HOSTILE
from medrl.testing.laws import Stand
from medrl.types import Problem, Response, Verdict
from medrl.verifiers import Config, Verifier, build, judge

Items = list[tuple[Problem, Response]]


class VerifierStand(Stand):
    """A verifier with its cases.

    Every call is given copies of the cases of its own, so that a verifier which changes its input breaks that law alone.

    Attributes:
        failing: The same verifier with a judge behind it that is down, or None.
        variants: Verifiers with other knobs, whose verdicts may differ.
    """

    def __init__(
        self,
        verifier: Config,
        cases: Sequence[Case],
        limits: Limits,
        failing: Verifier | None = None,
        variants: Sequence[Verifier] = (),
    ) -> None:
        super().__init__()
        check_cases(cases)
        self.verifier, self.cases, self.limits = build(verifier), tuple(cases), limits
        self.failing, self.variants = failing, tuple(variants)
        self.plugin = f"the verifier {getattr(self.verifier, 'name', type(self.verifier).__name__)!r}"

    def items(self) -> Items:
        """The cases as a verifier gets them, new copies."""
        return [(copy.deepcopy(one.problem), copy.deepcopy(one.response)) for one in self.cases]

    def hostile(self) -> dict[str, tuple[Problem, Response]]:
        """Every hostile text as an answer to a problem that the verifier decides."""
        problem = next(one.problem for one in self.cases if one.counts_as == "right")
        return {name: (copy.deepcopy(problem), Response(text)) for name, text in HOSTILE.items()}

    def raw(self, items: Items) -> Any:
        """What `verify_batch` itself returns or raises, without the guard."""
        return awaited(self.limits.seconds_at_most, lambda: self.verifier.verify_batch(items))

    def judged(self, items: Items, verifier: Verifier | None = None) -> list[Verdict]:
        """One verdict per item, as medrl gets them; a call without end is a `timeout` on each."""
        judging = verifier or self.verifier
        try:
            return awaited(self.limits.seconds_at_most, lambda: judge(judging, items))
        except Endless as error:
            return [Verdict.failed(str(error), "timeout", stage=judging.name)] * len(items)

    def singles(self, verifier: Verifier | None = None) -> list[Verdict]:
        """A verdict on every case, each judged alone, in their order."""
        return [self.judged([item], verifier)[0] for item in self.items()]

    @cached_property
    def expected(self) -> list[Verdict]:
        """What the verifier says of each case: what every other way of asking must give."""
        return self.singles()

    def same(self, one: Verdict, other: Verdict) -> bool:
        """Whether two verdicts say the same; reason and cost may differ."""
        if (one.status, one.answer, one.span) != (other.status, other.answer, other.span):
            return False
        if one.parts.keys() != other.parts.keys():
            return False
        pairs = [(one.score, other.score), *((one.parts[name], other.parts[name]) for name in one.parts)]
        return all(
            a == b or (a is not None and b is not None and abs(a - b) <= self.limits.tolerance) for a, b in pairs
        )

    def difference(self, wanted: Sequence[Verdict], found: Sequence[Verdict], where: str) -> str:
        """The first case whose verdict differs, in words; "" where none does."""
        for one, a, b in zip(self.cases, wanted, found, strict=True):
            if not self.same(a, b):
                return f"{of(one)}: {brief(a)}, but {where} {brief(b)}"
        return ""

    def elsewhere(self) -> list[dict[str, Any]]:
        """What two fresh programs say: each case alone in order, then in the reverse order, and the fingerprint.

        Raises:
            fresh.NotThere: The verifier cannot be built there, or the cases cannot travel.
        """
        forward = list(range(len(self.cases)))
        try:
            task = {"kind": "verifier", "config": self.verifier.to_config(), "orders": [forward, forward[::-1]]}
            task["items"] = [fresh.sent(one.problem, one.response) for one in self.cases]
            json.dumps(task)
        except Exception as error:  # a stranger's knobs, a stranger's metadata
            raise fresh.NotThere(f"it cannot be sent there as JSON: {error}") from error
        return self.in_fresh_processes(task, self.limits.seconds_at_most + 60.0)


def of(case: Case) -> str:
    """How messages call a case."""
    return f"problem {case.problem.id!r}, response {case.response.text!r:.60}"


def brief(verdict: Verdict) -> str:
    """A verdict in a few words."""
    said = f"{verdict.score:g}" if isinstance(verdict.score, int | float) else str(verdict.status)
    return f"{said} (answer {verdict.answer!r:.40})" if verdict.answer else f"{said} ({verdict.reason:.120})"


def no_number(verdict: Verdict) -> bool:
    """Whether a verdict is the error that comes of a score which is no number from 0 to 1."""
    return verdict.status == "error" and verdict.reason.startswith("InvalidScore")
