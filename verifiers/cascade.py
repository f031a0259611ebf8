"""Put verifiers together, stage after stage until one decides; and audit those that decide.

A verifier that a policy trains against is sought out for what it wrongly accepts. So a small share of what a stage
decided can be asked of the next stage too (knob `audit`). That second opinion is counted and never changes a score.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ClassVar

from medrl.errors import RecipeError
from medrl.types import Judged, Problem, Response, Verdict
from medrl.verifiers.cascade_counts import CascadeCounts, Counting, agreement
from medrl.verifiers.protocol import Verifier, build, digest, judge, made_of


@dataclass(frozen=True)
class Cascade(Verifier):
    """The first stage that decides. A stage sees only what the stages before it left undecided, and what it audits."""

    name: ClassVar[str] = "cascade"

    stages: tuple[Verifier, ...] = ()
    """Verifiers in order, cheap rules first, a judge that always decides last. Each is a name or
    {type: ..., knob: ...}."""
    past_failures: bool = False
    """Whether the next stage is also asked where a stage fails (error, timeout). When false the failure is the verdict,
    so that a broken judge is seen; when true a failure that no later stage mends is still the verdict."""
    audit: float = 0.0
    """Share of the items that a stage decided on which the next stage is asked too, from 0 to 1. The second opinion is
    counted and changes no score. Which items is a hash of problem and response. Typical 0.01 to 0.02."""
    audit_accepts: float | None = None
    """The same share for items that the stage took for right, where a policy in training looks for holes. Empty for
    `audit`. Typical 0.02 to 0.1."""
    audit_timeout: float = 60.0
    """Seconds after which an auditor that waits is given up; it delays the answers of its group by as much, so stay below
    the `timeout` of the reward. Typical 10 to 120."""
    alarm: float = 0.1
    """Share of a stage's audited accepts that the auditor takes for wrong above which a warning is logged, once a stage.
    Typical 0.05 to 0.2."""
    alarm_after: int = 20
    """Audited accepts of a stage before its alarm may go off. Typical 20 to 100."""
    counts: CascadeCounts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.stages, str | Verifier) or not isinstance(self.stages, Iterable):
            raise RecipeError("verifier 'cascade'", [f"stages is {self.stages!r}; give a list of verifiers"])
        stages = tuple(build(stage) for stage in self.stages)
        faults = [] if stages else ["it has no stages; give at least one verifier"]
        faults += [
            f"{name} is {value!r}; it is a share from 0 to 1"
            for name, value in (("audit", self.audit), ("audit_accepts", self.audit_accepts), ("alarm", self.alarm))
            if value is not None and not (_is_number(value) and 0.0 <= value <= 1.0)
        ]
        if not (_is_number(self.audit_timeout) and self.audit_timeout > 0):
            faults.append(f"audit_timeout is {self.audit_timeout!r}; give seconds above 0")
        if not isinstance(self.alarm_after, int) or self.alarm_after < 1:
            faults.append(f"alarm_after is {self.alarm_after!r}; give a whole number of at least 1")
        if len(stages) == 1 and (self.audit or self.audit_accepts):
            faults.append("it has one stage, so nobody can audit it; add a judge behind it, or leave `audit` at 0")
        if faults:
            raise RecipeError("verifier 'cascade'", faults)
        object.__setattr__(self, "stages", stages)
        counts = CascadeCounts([stage.name for stage in stages], self.alarm, self.alarm_after)
        object.__setattr__(self, "counts", counts)

    @property
    def decides(self) -> bool:
        return any(stage.decides for stage in self.stages)

    def fingerprint(self) -> str:
        """Auditing changes no verdict's score, so its knobs are not in it."""
        stages = [stage.fingerprint() for stage in self.stages]
        knobs = {"stages": stages, "past_failures": self.past_failures}
        return digest([self.name, self.version, knobs, self.data_digest()])

    def statistics(self) -> dict[str, Any]:
        """What each stage was asked and said in this process, and where audits disagreed; JSON data.

        A stage's `seconds` add up over batches, also those that ran side by side. `gap` is the share of its audited
        accepts that the auditor took for wrong; audits in which the auditor gave no verdict are `audits_undecided`.
        """
        found = {"audits": bool(self.audit or self.audit_accepts), **self.counts.to_json()}
        for name, stage in zip(self.counts.names, self.stages, strict=True):
            if isinstance(stage, Counting) and (inner := stage.statistics()):
                found["stages"][name]["inner"] = inner
        return found

    def reset_statistics(self) -> None:
        """Count from nothing again."""
        for one in cascades_of(self):
            one.counts.reset()

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        verdicts: list[Verdict | None] = [None] * len(items)
        decided: list[list[int]] = []  # by stage, the items that it decided
        for number, stage in enumerate(self.stages):
            open_ = [i for i, verdict in enumerate(verdicts) if verdict is None or self._goes_on(verdict)]
            found = await self._ask(number, stage, [items[i] for i in open_])
            for i, verdict in zip(open_, found, strict=True):
                verdicts[i] = _merge(verdicts[i], verdict)
            decided.append([i for i, verdict in zip(open_, found, strict=True) if verdict.score is not None])
        whole = [verdict or Verdict.abstain("no stage decided") for verdict in verdicts]
        await asyncio.gather(
            *(self._audit(number, items, whole, decided[number]) for number in range(len(self.stages) - 1))
        )
        return whole

    async def _ask(self, number: int, stage: Verifier, items: Judged) -> list[Verdict]:
        if not items:
            return []
        begin = perf_counter()
        found = await judge(stage, items)
        self.counts.asked(number, found, perf_counter() - begin)
        return found

    async def _audit(self, number: int, items: Judged, verdicts: list[Verdict], decided: Sequence[int]) -> None:
        """Ask the next stage about some items that a stage decided; notes in their parts whether it agrees."""
        chosen = [i for i in decided if self._chosen(*items[i], verdicts[i])]
        audits = await judge(self.stages[number + 1], [items[i] for i in chosen], self.audit_timeout)
        for i, audit in zip(chosen, audits, strict=True):
            self.counts.audited(number, items[i][0].id, verdicts[i], audit)
            agrees = agreement(verdicts[i], audit)
            told = {} if agrees is None else {"audit_agrees": float(agrees)}
            verdicts[i] = replace(verdicts[i], parts={**verdicts[i].parts, "audited": 1.0, **told})

    def _chosen(self, problem: Problem, response: Response, verdict: Verdict) -> bool:
        accepted = verdict.accepted
        share = self.audit_accepts if accepted and self.audit_accepts is not None else self.audit
        return share > 0 and draw(problem, response) < share

    def _goes_on(self, verdict: Verdict) -> bool:
        return verdict.status == "abstain" or (self.past_failures and verdict.status in ("error", "timeout"))


def cascades_of(verifier: Verifier) -> list[Cascade]:
    """The cascade that a verifier is, and those that it is made of, always in the same order."""
    own = [verifier] if isinstance(verifier, Cascade) else []
    return own + [cascade for one in made_of(verifier) for cascade in cascades_of(one)]


def draw(problem: Problem, response: Response) -> float:
    """A number in [0, 1) that is the same for a response in every process and order: a hash of problem id and text."""
    text = f"{len(problem.id)}:{problem.id}{response.text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest()) / 2**48


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _merge(before: Verdict | None, now: Verdict) -> Verdict:
    """What stands after one more stage: costs add up, and a failure is not covered by a later abstention."""
    if before is None:
        return now
    cost = {key: before.cost.get(key, 0) + now.cost.get(key, 0) for key in {*before.cost, *now.cost}}
    kept = before if now.status == "abstain" and before.status != "abstain" else now
    return replace(kept, cost=cost)
