"""The laws of verdicts: one for each answer, in order, the same every time, and right where the label says so."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from medrl.testing import fresh
from medrl.testing.calls import Endless, one_line
from medrl.testing.hostile import SILENCE
from medrl.testing.laws import CannotTell, law
from medrl.testing.verifier_stand import Items, VerifierStand, brief, no_number, of
from medrl.types import Response, Verdict

REPEATS = 5  # calls of one answer that must agree: a verdict that differs in one of three is found with p > 0.9
SHUFFLES = 4


@law(
    "`verify_batch` returns a list with one `Verdict` for each item, an empty list for no items.",
    "give every item a verdict: `Verdict.abstain(why)` where it is not yours to decide, `Verdict.wrong(why)` where the "
    "response is empty or malformed; never leave one out, never return None or a bare number.",
)
def one_verdict_each(stand: VerifierStand) -> str:
    batches: dict[str, Items] = {"no items": [], "one item": stand.items()[:1], "all cases": stand.items()}
    for name, items in batches.items():
        count = len(items)  # counted before a verifier can take anything off the list
        try:
            if fault := _misfit(stand.raw(items), count):
                return f"given {name} ({count}), {fault}"
        except (Exception, Endless) as error:  # ordinary answers, so nothing may be raised
            return f"given {name} ({count}), it raised {one_line(error)}"
    items = list(stand.hostile().values())
    count = len(items)
    try:
        fault = _misfit(stand.raw(items), count)
    except Exception:  # `hostile_answers` and `errors_stay_alone` tell it
        return ""
    return f"given {count} answers among which are empty and broken ones, {fault}" if fault else ""


def _misfit(found: Any, wanted: int) -> str:
    if not isinstance(found, list | tuple):
        return f"it returned a {type(found).__name__}"
    if len(found) != wanted:
        return f"it returned {len(found)} verdicts"
    strange = [one for one in found if not isinstance(one, Verdict)]
    return f"it returned {strange[0]!r:.80}, which is no Verdict" if strange else ""


@law(
    "A score is a number from 0 to 1, and it is there exactly when the status is `ok`.",
    "look for a division by zero, float() of a huge number or a mean of nothing; what has no value is "
    "`Verdict.wrong(why)` where the response is to blame and `Verdict.abstain(why)` where it is not.",
)
def scores_are_numbers(stand: VerifierStand) -> str:
    asked = [(of(one), item) for one, item in zip(stand.cases, stand.items(), strict=True)]
    asked += [(f"the response `{name}`", item) for name, item in stand.hostile().items()]
    for name, item in asked:
        verdict: Any = stand.judged([item])[0]
        if no_number(verdict):
            return f"{name}: {verdict.reason}"
        if (verdict.score is None) == (verdict.status == "ok"):
            return f"{name}: score {verdict.score!r} with status {verdict.status!r}"
        if verdict.score is not None and not 0.0 <= verdict.score <= 1.0:  # also catches NaN
            return f"{name}: the score {verdict.score!r}"
    return ""


@law(
    "The same answer to the same problem gets the same verdict, call after call.",
    "draw nothing at random, or seed it by the problem and the answer (medrl.seeds); ask a model at temperature 0; "
    "iterate over sorted(set(...)), not over a set; do not read the clock.",
)
def deterministic(stand: VerifierStand) -> str:
    stand.require(one_verdict_each)
    for index, one in enumerate(stand.cases):
        found = [stand.judged([stand.items()[index]])[0] for _ in range(REPEATS + 1)][1:]  # the first warms up
        strange = next((verdict for verdict in found if not stand.same(verdict, found[0])), None)
        if strange is not None:
            return f"{of(one)}: {brief(found[0])}, then {brief(strange)}, with nothing changed"
    return ""


@law(
    "A verdict depends on the problem and the answer alone, not on what was judged before.",
    "keep no module-level or instance variable that one answer writes and another reads: no last value, no running mean, "
    "no set of answers seen. A cache must be keyed by all that the verdict depends on.",
)
def no_state(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic)
    first = stand.singles()
    backward = [stand.judged([item])[0] for item in reversed(stand.items())][::-1]
    if fault := stand.difference(first, backward, "after the others"):
        return fault
    for item in stand.hostile().values():
        stand.judged([item])
    if fault := stand.difference(first, stand.singles(), "after hostile texts"):
        return fault
    try:
        programs = stand.elsewhere()
    except fresh.NotThere:
        return ""  # `same_in_a_fresh_process` tells it
    for program in programs:
        once, again = ([Verdict.from_json(row) for row in rows] for rows in program["passes"])
        if fault := stand.difference(once, again, "when it is judged once more, after others,"):
            return fault
    return ""


@law(
    "Verdicts come in the order of the items.",
    "collect results by index, or use asyncio.gather, which keeps the order, instead of asyncio.as_completed; if you sort "
    "or group the items, put the verdicts back where their items stood.",
)
def order_kept(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    for order in _orders(len(stand.cases)):
        items = stand.items()
        found = stand.judged([items[index] for index in order])
        wanted = [stand.expected[index] for index in order]
        if not _as_many(stand, wanted, found):
            continue  # `batch_is_singles` tells it
        for place, index in enumerate(order):
            if not stand.same(wanted[place], found[place]):
                return (
                    f"item {place} of {len(order)} ({of(stand.cases[index])}) is {brief(wanted[place])} alone and got "
                    f"{brief(found[place])}, the verdict on another item of the batch"
                )
    return ""


def _orders(count: int) -> list[list[int]]:
    """The order of the cases, its reverse, and seeded shuffles."""
    draw = random.Random(count)
    shuffled = [draw.sample(range(count), count) for _ in range(SHUFFLES)]
    return [list(range(count)), list(range(count))[::-1], *shuffled]


def _as_many(stand: VerifierStand, wanted: Sequence[Verdict], found: Sequence[Verdict]) -> bool:
    """Whether two lists hold the same verdicts, in whatever order."""
    left = list(found)
    for one in wanted:
        match = next((i for i, other in enumerate(left) if stand.same(one, other)), None)
        if match is None:
            return False
        del left[match]
    return not left


@law(
    "A batch of N gives what N batches of one give.",
    "judge each item by itself: no threshold or normalisation over the batch, no early end once one is right; where a model "
    "pads a batch, mask the padding (and give the kit `Limits(tolerance=1e-4)` for rounding).",
)
def batch_is_singles(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    for order in _orders(len(stand.cases))[:3]:
        items = stand.items()
        found = stand.judged([items[index] for index in order])
        wanted = [stand.expected[index] for index in order]
        if _as_many(stand, wanted, found):
            continue
        place = next(i for i in range(len(order)) if not stand.same(wanted[i], found[i]))
        return f"{of(stand.cases[order[place]])}: {brief(wanted[place])} alone, {brief(found[place])} in a batch"
    return ""


class Unreadable(Response):
    """A response whose text cannot be had: whatever reads it gets an exception."""

    def __getattribute__(self, name: str) -> Any:
        if name == "text":
            raise ValueError("medrl.testing made this response unreadable")
        return super().__getattribute__(name)


@law(
    "An exception while one item is judged is that item's `error`; its neighbours are judged as ever.",
    "subclass RuleVerifier and write `check`, which is guarded item by item; or in `verify_batch` catch Exception around "
    "each item and return `Verdict.failed(str(error))` for it (asyncio.gather with return_exceptions=True).",
)
def errors_stay_alone(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    problem, _ = stand.items()[0]
    middle = len(stand.cases) // 2
    items: Items = stand.items()
    items.insert(middle, (problem, Unreadable("")))
    count = len(items)
    try:
        found = stand.raw(items)
    except (Exception, Endless) as error:
        return f"one unreadable response among {count} items, and `verify_batch` raised {one_line(error)}"
    if fault := _misfit(found, count):
        return f"one unreadable response among {count} items, and {fault}"
    found = list(found)
    lost = found.pop(middle)
    if lost.score is not None:
        return f"the response that could not be read got the score {lost.score:g}; a failure is not a score"
    wanted, rest = stand.judged(stand.items()), found
    return "" if _as_many(stand, wanted, rest) else stand.difference(wanted, rest, "beside an error")


@law(
    "Every labelled answer is judged as its label says.",
    "correct the verifier, or the label; what it cannot know it should abstain from (`expected='abstain'`).",
)
def labels_hold(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    for one, verdict in zip(stand.cases, stand.singles(), strict=True):
        if no_number(verdict):
            continue  # `scores_are_numbers` tells it
        wanted = one.expected
        if not isinstance(wanted, str):
            kept = verdict.score is not None and abs(verdict.score - wanted) <= max(stand.limits.tolerance, 1e-9)
        elif wanted in ("right", "wrong"):
            kept = verdict.score is not None and verdict.accepted == (wanted == "right")
        else:
            kept = verdict.status == wanted
        if not kept:
            return f"{of(one)} is labelled {wanted}, and the verifier says {brief(verdict)}"
    return ""


@law(
    "The reference of a problem, given as the answer, is right.",
    "read the reference by the same code as the answer; a verifier that refuses the reference never pays the policy, or "
    "pays it for something else.",
)
def reference_is_right(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    cases = zip(stand.cases, stand.items(), strict=True)
    problems = {problem.id: problem for one, (problem, _) in cases if one.counts_as in ("right", "wrong")}
    for problem in problems.values():
        if problem.reference is None:
            continue
        verdict = stand.judged([(problem, Response(problem.reference))])[0]
        if not verdict.accepted:
            return f"problem {problem.id!r}: its own reference {problem.reference!r:.60} is {brief(verdict)}"
    return ""


@law(
    "Whatever the policy writes is no failure of the judge: a hostile response is `ok` (mostly with 0) or `abstain`.",
    "find what your code assumes of a text (that it has a number, a line, valid UTF-8, fewer than 4300 digits) and return "
    "`Verdict.wrong(why)` where it is not so; a policy that can make its judge fail learns to escape its score.",
)
def hostile_answers(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    for name, item in stand.hostile().items():
        verdict = stand.judged([item])[0]
        if verdict.status not in ("ok", "abstain") and not no_number(verdict):
            return f"the response `{name}` ({item[1].text!r:.40}) gave {verdict.status}: {verdict.reason:.200}"
    return ""


@law(
    "A response that says nothing is not right.",
    "return `Verdict.wrong('there is no answer')` before anything else; mind that '' is in every text, and that all() of "
    "nothing is True.",
)
def silence_earns_nothing(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    hostile = stand.hostile()
    for problem in {problem.id: problem for problem, _ in stand.items()}.values():
        for name in SILENCE:
            verdict = stand.judged([(problem, hostile[name][1])])[0]
            if verdict.accepted:
                return f"problem {problem.id!r}: the response `{name}` is {brief(verdict)}"
    return ""


@law(
    "A problem without a reference gives no number: it is the problem that is broken, not the answer.",
    "return `Verdict.failed(why, 'invalid')`, or abstain, where `problem.reference` is None or cannot be read; a verifier "
    "that needs none is told by `Limits(reference_free=True)`.",
)
def no_reference_no_number(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    if stand.limits.reference_free:
        raise CannotTell("the verifier needs no reference")
    for one, (problem, response) in zip(stand.cases, stand.items(), strict=True):
        verdict = stand.judged([(replace(problem, reference=None, aliases=()), response)])[0]
        if verdict.score is not None:
            return f"{of(one)}, with no reference: {brief(verdict)}"
    return ""


@law(
    "A verifier that says it always decides (`decides`) never abstains.",
    "return False from `decides` (the default), or decide: recipes trust it, and leave rollouts without a number.",
)
def decides_honestly(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state)
    if not stand.verifier.decides:
        return ""
    asked = [*zip(map(of, stand.cases), stand.items(), strict=True), *stand.hostile().items()]
    for name, item in asked:
        if (verdict := stand.judged([item])[0]).status == "abstain":
            return f"`decides` is True, and it abstains from {name}: {verdict.reason:.120}"
    return ""


@law(
    "A judge that is down gives `error` or `timeout` and no score; it never makes an answer wrong.",
    "let the exception of your client become `Verdict.failed(str(error))` for the items it concerns; no default of 0.",
)
def failure_is_no_zero(stand: VerifierStand) -> str:
    if stand.failing is None:
        raise CannotTell("no failing verifier was given (failing=...), which only one with something behind it needs")
    down = stand.singles(stand.failing)
    for one, up, verdict in zip(stand.cases, stand.singles(), down, strict=True):
        if verdict.score is not None and not stand.same(up, verdict):
            return f"{of(one)}: {brief(up)} with its judge, {brief(verdict)} while the judge is down"
    if all(verdict.status not in ("error", "timeout") for verdict in down):
        return "no case is an `error` or a `timeout` with the judge down; is the failing verifier really failing?"
    return ""


VERDICT_LAWS = (
    one_verdict_each, scores_are_numbers, deterministic, no_state, order_kept, batch_is_singles, errors_stay_alone,
    labels_hold, reference_is_right, hostile_answers, silence_earns_nothing, no_reference_no_number, decides_honestly,
    failure_is_no_zero,
)  # fmt: skip
