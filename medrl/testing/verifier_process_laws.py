"""The laws of a verifier as an object: it travels, knows itself, works in threads, keeps to its time, and touches nothing."""

import asyncio
import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, cast

from medrl.testing import fresh
from medrl.testing.calls import Endless, awaited, one_line
from medrl.testing.laws import law
from medrl.testing.times import BATCH, Work, grows, is_slow, keeps_loop
from medrl.testing.verifier_laws import deterministic, no_state, one_verdict_each, order_kept
from medrl.testing.verifier_stand import Items, VerifierStand, brief, of
from medrl.types import Response, Verdict
from medrl.verifiers import Verifier, build, judge

THREADS = 4


@law(
    "A verifier pickles, and its copy gives the same verdicts.",
    "keep only knobs in the fields: open clients, locks, compiled models and lambdas where they are first used, in a "
    "module-level cache keyed by the knobs; define the class at the top of a module.",
)
def pickles(stand: VerifierStand) -> str:
    try:
        found: Verifier = pickle.loads(pickle.dumps(stand.verifier))
    except Exception as error:  # pickle raises whatever the class does
        return one_line(error)
    stand.require(one_verdict_each, deterministic, no_state)
    return stand.difference(stand.expected, stand.singles(found), "after pickling")


@law(
    "`to_config()` is plain JSON, and `medrl.verifiers.build` makes the same verifier of it.",
    "make the class a frozen dataclass at the top of a module, its fields numbers, texts, lists or other verifiers; mend "
    "what a knob is in `__post_init__`, for YAML has no tuples.",
)
def config_round_trip(stand: VerifierStand) -> str:
    try:
        config = json.loads(json.dumps(stand.verifier.to_config(), allow_nan=False))
        found = build(config)
    except Exception as error:  # a stranger's knobs
        return one_line(error)
    if type(found) is not type(stand.verifier):
        return f"{config} makes a {type(found).__name__}"
    if found.fingerprint() != stand.verifier.fingerprint():
        return f"the fingerprint of {config} is another; some knob is not as it was"
    stand.require(one_verdict_each, deterministic, no_state)
    return stand.difference(stand.expected, stand.singles(found), "built from its config")


@law(
    "The fingerprint is the same whenever and wherever it is asked for, and another where verdicts may be others.",
    "leave `fingerprint()` as it is, make every knob a field, and give what else verdicts depend on (tables, weights, "
    "prompts) to `data_digest()`; no id(), no time, no hash() of a text, no path that differs between machines.",
)
def fingerprint_tells(stand: VerifierStand) -> str:
    stand.require(one_verdict_each)
    before: Any = stand.verifier.fingerprint()
    if not isinstance(before, str) or not before:
        return f"it is {before!r}; it must be a text"
    stand.singles()
    if (after := stand.verifier.fingerprint()) != before:
        return f"{before}, and {after} after it has judged"
    try:
        if others := {program["fingerprint"] for program in stand.elsewhere()} - {before}:
            return f"{before} here, {' and '.join(sorted(others))} in programs of their own"
    except fresh.NotThere:
        pass  # `same_in_a_fresh_process` tells it
    for index, other in enumerate(stand.variants):
        if other.fingerprint() == before:
            return f"variants[{index}] has the same, {before}"
    stand.require(deterministic, no_state)
    for knob, other in _turned(stand.verifier):
        if other.fingerprint() != before:
            continue
        for one, was, now in zip(stand.cases, stand.expected, stand.singles(other), strict=True):
            if (was.status, was.score) != (now.status, now.score):
                return f"it stays {before} {knob}, where {of(one)} is {brief(now)} and no longer {brief(was)}"
    return ""


def _turned(verifier: Verifier) -> list[tuple[str, Verifier]]:
    """Verifiers of which one number or switch is another, where one is allowed."""
    found: list[tuple[str, Verifier]] = []
    knobs: tuple[Field[Any], ...] = fields(verifier) if is_dataclass(verifier) else ()
    for knob in knobs:
        value: Any = getattr(verifier, knob.name)
        tries: tuple[Any, ...] = ()
        if isinstance(value, bool):
            tries = (not value,)
        elif isinstance(value, int | float):
            tries = (value + 1, value * 0.5 + 0.25) if isinstance(value, float) else (value + 1, value - 1)
        for other in tries:
            if other == value or not knob.init:
                continue
            try:
                found.append((f"with {knob.name}={other!r}", replace(cast(Any, verifier), **{knob.name: other})))
                break
            except Exception:  # the knob refuses this value
                continue
    return found


@law(
    "A fresh process, which knows the verifier by its config alone, gives the same verdicts, whatever its hash seed.",
    "let nothing depend on the order of a set or on hash(), on a variable that was set in this process, or on the order of "
    "imports; name classes so that they can be imported (`module:Class` or an entry point).",
)
def same_in_a_fresh_process(stand: VerifierStand) -> str:
    stand.require(one_verdict_each)
    try:
        programs = stand.elsewhere()
    except fresh.NotThere as error:
        return str(error)
    stand.require(one_verdict_each, deterministic, no_state)
    one, other = ([Verdict.from_json(row) for row in program["passes"][0]] for program in programs)
    if fault := stand.difference(one, other, "in a process with another hash seed"):
        return fault
    return stand.difference(stand.expected, one, "in a process of its own")


@law(
    "Threads and event loops that judge at the same time get what each would get alone.",
    "share nothing that one call writes while another reads; make a client for each event loop (a lock or a session of "
    "asyncio belongs to the loop that made it).",
)
def threads_and_loops(stand: VerifierStand) -> str:
    stand.require(one_verdict_each, deterministic, no_state, order_kept)
    wanted = stand.judged(stand.items())
    with ThreadPoolExecutor(THREADS) as threads:  # each thread in a loop of its own, several after one another
        for found in threads.map(lambda _: stand.judged(stand.items()), range(2 * THREADS)):
            if fault := stand.difference(wanted, found, f"beside {THREADS - 1} other threads"):
                return fault

    async def at_once() -> tuple[list[list[Verdict]], list[Verdict]]:
        together = await asyncio.gather(*(judge(stand.verifier, stand.items()) for _ in range(THREADS)))
        return together, [stand.verifier.verify(problem, response) for problem, response in stand.items()]

    try:
        together, by_verify = awaited(stand.limits.seconds_at_most, at_once)
    except Endless as error:
        return f"{THREADS} calls in one event loop: {error}"
    if fault := stand.difference(stand.expected, by_verify, "by verify() inside an event loop"):
        return fault
    return next((f for one in together if (f := stand.difference(wanted, one, "beside other calls"))), "")


@law(
    "`verify_batch` does not keep the event loop from anything else, with a batch of 32.",
    "use an asynchronous client and await it; run what computes for long by `await asyncio.to_thread(...)`, or let users "
    "put the rule into `isolated`. No time.sleep, no requests.get, no .result() inside a coroutine.",
)
def loop_stays_free(stand: VerifierStand) -> str:
    stand.require(one_verdict_each)
    stand.judged(stand.items())  # tables and models are loaded once
    return keeps_loop(lambda attempt: _judging(stand, _batch(stand, attempt)), stand.limits)


@law(
    "An answer takes no longer than the limit, in a batch of 32.",
    "ask for all items of a batch at once (asyncio.gather); compile patterns and read tables once; raise "
    "`Limits(seconds_per_answer=...)` where a model or server is behind it.",
)
def fast_enough(stand: VerifierStand) -> str:
    stand.require(one_verdict_each)
    stand.judged(stand.items())
    return is_slow(lambda attempt: _judging(stand, _batch(stand, attempt)), stand.limits)


def _batch(stand: VerifierStand, attempt: int) -> Items:
    """`BATCH` items, the cases over and over, no two texts alike, so that no cache answers for the verifier."""
    items = stand.items()
    chosen = [items[index % len(items)] for index in range(BATCH)]
    return [
        (p, replace(r, text=f"{r.text}{' ' * (index + 1)}{chr(10) * attempt}")) for index, (p, r) in enumerate(chosen)
    ]


def _judging(stand: VerifierStand, items: Items) -> Work:
    return lambda: judge(stand.verifier, items)


@law(
    "The time for an answer grows no faster than the answer.",
    "look for nested or overlapping repeats in regular expressions ((a+)+, .*.*), for `text = text + piece` and `x in list` "
    "in loops, and for edit distances over whole responses; cut what is longer than an answer can be, or search once.",
)
def time_is_linear(stand: VerifierStand) -> str:
    stand.require(one_verdict_each)
    stand.judged(stand.items())
    problem = stand.items()[0][0]
    return grows(lambda text: _judging(stand, [(problem, Response(text))]), stand.limits)


@law(
    "Problems, responses and the list of items are left as they were.",
    "copy before you change: `dict(problem.metadata)`, `sorted(items)` instead of `items.sort()`; other rewards and the "
    "traces read the same objects.",
)
def inputs_untouched(stand: VerifierStand) -> str:
    items = stand.items()
    kept, order = copy.deepcopy(items), list(items)
    stand.judged(items)
    if len(items) != len(order) or any(a is not b for a, b in zip(items, order, strict=True)):
        return "the list of items is another than it was, or in another order"
    for (problem, response), (problem_before, response_before) in zip(items, kept, strict=True):
        for now, before in ((problem, problem_before), (response, response_before)):
            for name in now.__dataclass_fields__:
                if getattr(now, name) != getattr(before, name):
                    changed = f"{getattr(before, name)!r:.100} to {getattr(now, name)!r:.100}"
                    return f"problem {problem.id!r}: `{name}` of the {type(now).__name__} was changed from {changed}"
    return ""


OBJECT_LAWS = (
    pickles, config_round_trip, fingerprint_tells, same_in_a_fresh_process, threads_and_loops, loop_stays_free,
    fast_enough, time_is_linear, inputs_untouched,
)  # fmt: skip
