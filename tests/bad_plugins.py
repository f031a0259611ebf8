"""Verifiers and rewards with one fault each, and the sound one that they are made of. In a module of their own, so that
fresh processes can import them.
"""

import asyncio
import random
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from medrl.rewards import Reward, RewardContext, Scores
from medrl.types import Group, Judged, Problem, Response, Score, Verdict
from medrl.verifiers import RuleVerifier, Verifier

MILLIGRAMS = re.compile(r"(?<![\d.])(\d{1,9}(?:\.\d{1,9})?) ?mg\b")


def milligrams(text: str) -> float | None:
    found = MILLIGRAMS.findall(text)
    return float(found[-1]) if found else None


@dataclass(frozen=True)
class Sound(RuleVerifier):
    """The last dose in milligrams; nothing wrong with it."""

    name: ClassVar[str] = "sound"

    tolerance: float = 0.0
    """Relative; 0 to 0.1."""

    def check(self, problem: Problem, response: Response) -> Verdict:
        wanted, got = milligrams(problem.reference or ""), milligrams(response.text)
        if wanted is None:
            return Verdict.failed("the reference has no dose", "invalid")
        if got is None:
            return Verdict.wrong("no dose")
        right = abs(got - wanted) <= self.tolerance * wanted
        return Verdict(float(right), answer=f"{got:g} mg", reason=f"{got:g} against {wanted:g}")


class SortsItems(Sound):
    """Judges the shortest response first, and forgets whose verdict is whose."""

    name = "sorts_items"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        return await super().verify_batch(sorted(items, key=lambda item: len(item[1].text)))


class FirstDone(Sound):
    """Takes verdicts as they are ready."""

    name = "first_done"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        async def one(problem: Problem, response: Response) -> Verdict:
            await asyncio.sleep(0.001 * (len(response.text) % 5))
            return self.check_safely(problem, response)

        return [await done for done in asyncio.as_completed([one(*item) for item in items])]


class DropsEmpty(Sound):
    """Leaves out answers without a dose."""

    name = "drops_empty"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        return [self.check_safely(*item) for item in items if item[1].text.strip()]


class NotANumber(Sound):
    """How near the answer is, 0/0 where both are nothing."""

    name = "not_a_number"

    def check(self, problem: Problem, response: Response) -> Verdict:
        verdict = super().check(problem, response)
        return Verdict(float("nan")) if verdict.reason == "no dose" else verdict


class BareFloats(Sound):
    """Returns numbers."""

    name = "bare_floats"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        found: list[Any] = [verdict.score for verdict in await super().verify_batch(items)]
        return found


@dataclass(frozen=True)
class Blocks(Sound):
    """Asks its server by a blocking call."""

    name = "blocks"
    seconds: float = 0.03

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        time.sleep(self.seconds * len(items))
        return await super().verify_batch(items)


@dataclass(frozen=True)
class HoldsLock(Sound):
    """Opens its client when it is built."""

    name: ClassVar[str] = "holds_lock"

    client: Any = field(default_factory=threading.Lock, init=False, compare=False)


class Guesses(Sound):
    """Draws lots where the answer is near."""

    name = "guesses"

    def check(self, problem: Problem, response: Response) -> Verdict:
        verdict = super().check(problem, response)
        return replace(verdict, score=float(random.random() < 0.5)) if verdict.reason == "no dose" else verdict


class HashOrder(Sound):
    """Takes the dose that a set gives first."""

    name = "hash_order"

    def check(self, problem: Problem, response: Response) -> Verdict:
        verdict = super().check(problem, response)
        return replace(verdict, answer=next(iter({"mg", "g", "mcg", "kg", "ng"}))) if verdict.answer else verdict


class RaisesForAll(Sound):
    """Nothing guards an item from its neighbours."""

    name = "raises_for_all"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        return [self.check(problem, response) for problem, response in items]


class RaisesOnNothing(Sound):
    """Takes it for granted that there is a dose."""

    name = "raises_on_nothing"

    def check(self, problem: Problem, response: Response) -> Verdict:
        if not response.text.split():
            raise IndexError("list index out of range")
        return super().check(problem, response)


@dataclass(frozen=True)
class Slow(Sound):
    """Asks for one answer after another."""

    name = "slow"
    seconds: float = 0.07

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        found = []
        for item in items:
            await asyncio.sleep(self.seconds)
            found.append(self.check_safely(*item))
        return found


class Quadratic(Sound):
    """A pattern that tries again from every place."""

    name = "quadratic"

    def check(self, problem: Problem, response: Response) -> Verdict:
        re.search(r"a+$", response.text + "b")
        return super().check(problem, response)


class Mutates(Sound):
    """Notes what it read in the problem."""

    name = "mutates"

    def check(self, problem: Problem, response: Response) -> Verdict:
        problem.metadata["read"] = response.text  # type: ignore[index]
        return super().check(problem, response)


class EmptiesTheList(Sound):
    """Takes items off the caller's list as it goes."""

    name = "empties_the_list"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        found = []
        while items:
            found.append(self.check_safely(*items.pop(0)))  # type: ignore[attr-defined]
        return found


LAST: list[float] = [0.0]


class RemembersLast(Sound):
    """Where an answer has no dose, takes that of the answer before."""

    name = "remembers_last"

    def check(self, problem: Problem, response: Response) -> Verdict:
        got = milligrams(response.text)
        if got is None:
            return (
                super().check(problem, Response(f"{LAST[0]:g} mg")) if response.text.strip() else Verdict.wrong("empty")
            )
        LAST[0] = got
        return super().check(problem, response)


SEEN: set[str] = set()


class PaysOnce(Sound):
    """Pays each answer once in the life of a process."""

    name = "pays_once"

    def check(self, problem: Problem, response: Response) -> Verdict:
        if response.text in SEEN:
            return Verdict.wrong("seen before")
        SEEN.add(response.text)
        return super().check(problem, response)


class BatchMean(Sound):
    """Subtracts the batch's mean."""

    name = "batch_mean"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        found = await super().verify_batch(items)
        scores = [verdict.score for verdict in found if verdict.score is not None]
        mean = sum(scores) / max(1, len(scores)) if len(scores) > 1 else 0.0
        return [v if v.score is None else replace(v, score=max(0.0, v.score - mean / 4)) for v in found]


class Gullible(Sound):
    """Holds that the reference contains the answer, as it contains ''."""

    name = "gullible"

    def check(self, problem: Problem, response: Response) -> Verdict:
        verdict = super().check(problem, response)
        inside = problem.reference is not None and response.text.strip() in problem.reference
        return Verdict.right("inside") if inside and verdict.score is not None else verdict


class FailsAsZero(Sound):
    """Its server is down, and it says 0."""

    name = "fails_as_zero"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.wrong("no reply")


class OldPrint(Sound):
    """A fingerprint without the knobs."""

    name = "old_print"

    def fingerprint(self) -> str:
        return "0123456789abcdef"


class NeverDone(Sound):
    """Waits for a reply that never comes."""

    name = "never_done"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        await asyncio.Event().wait()
        return []


class SaysItDecides(Sound):
    name = "says_it_decides"

    @property
    def decides(self) -> bool:
        return True

    def check(self, problem: Problem, response: Response) -> Verdict:
        verdict = super().check(problem, response)
        return verdict if any(map(str.isalnum, response.text)) else Verdict.abstain("no words")


class NoReferenceIsWrong(Sound):
    name = "no_reference_is_wrong"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return super().check(problem, response) if problem.reference else Verdict.wrong("no reference")


class OnlyDoses(Sound):
    """Reads an answer more strictly than a reference."""

    name = "only_doses"

    def check(self, problem: Problem, response: Response) -> Verdict:
        whole = re.fullmatch(r"\s*\d+ ?mg\s*", response.text)
        return super().check(problem, response) if whole else Verdict.wrong("more than a dose")


class OneLoop(Verifier):
    """Its lock belongs to the first event loop that waits for it."""

    name = "one_loop"
    lock = asyncio.Lock()

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        async with type(self).lock:
            await asyncio.sleep(0.002)
            return await Sound().verify_batch(items)


# Rewards -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished(Reward):
    """1.0 for a response that ends in a full stop; nothing wrong with it."""

    name: str = "finished"
    """Name of this part."""

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self.worth(one) for one in group.rollouts] for group in groups]

    def worth(self, response: Response) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", reason="aborted")
        return Score(float(response.text.rstrip().endswith((".", "。"))))


class TurnsRows(Finished):
    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [row[::-1] for row in await super().assess(groups, context)]


class FlatRows(Finished):
    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[score for row in await super().assess(groups, context) for score in row]]


class AbortedIsZero(Finished):
    def worth(self, response: Response) -> Score:
        return Score(0.0) if response.finish_reason == "abort" else super().worth(response)


class DividesByNothing(Finished):
    def worth(self, response: Response) -> Score:
        words = response.text.split()
        return super().worth(response) if words else Score(float("nan"))


BEFORE = [""]


class RemembersProblem(Finished):
    """Pays more where the problem is another than the last."""

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        rows = await super().assess(groups, context)
        found: Scores = []
        for group, row in zip(groups, rows, strict=True):
            more = float(group.problem.id != BEFORE[0])
            BEFORE[0] = group.problem.id
            found.append([score if score.value is None else Score(score.value + more) for score in row])
        return found


class StateIsNoJson(Finished):
    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        context.state.setdefault(self.name, set()).add(len(groups))
        return await super().assess(groups, context)


class AcrossGroups(Finished):
    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        rows = await super().assess(groups, context)
        return [[s if s.value is None else Score(s.value / len(groups)) for s in row] for row in rows]


class ChangesProblems(Finished):
    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        for group in groups:
            group.problem.metadata["seen"] = True  # type: ignore[index]
        return await super().assess(groups, context)


class Lots(Finished):
    def worth(self, response: Response) -> Score:
        return Score(random.random()) if response.finish_reason != "abort" else super().worth(response)


@dataclass(frozen=True)
class BlocksToo(Finished):
    seconds: float = 0.03

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        time.sleep(self.seconds * sum(map(len, groups)))
        return await super().assess(groups, context)
