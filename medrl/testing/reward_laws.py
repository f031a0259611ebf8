"""The laws of rewards: a number for each response or none, the same every time, and state in the context alone."""

import copy
import json
import math
import pickle
import random
from dataclasses import replace
from typing import Any

from medrl.rewards import Reward, RewardContext, build
from medrl.testing import fresh
from medrl.testing.calls import Endless, one_line
from medrl.testing.hostile import HOSTILE
from medrl.testing.laws import CannotTell, law
from medrl.testing.reward_stand import RewardStand, brief, of
from medrl.testing.times import BATCH, Work, grows, is_slow, keeps_loop
from medrl.types import Group, Score

REPEATS = 5


@law(
    "`assess` returns a list with one row for each group, and in it one `Score` for each response.",
    "build the rows by `[[... for rollout in group.rollouts] for group in groups]`; what has no number is "
    "`Score(None, status, reason=why)`, never left out and never a bare float.",
)
def one_score_each(stand: RewardStand) -> str:
    for name, groups in {"no groups": [], "one group": stand.groups()[:1], "all groups": stand.groups()}.items():
        try:
            rows = stand.raw(groups)
        except (Exception, Endless) as error:  # ordinary responses, so nothing may be raised
            return f"given {name}, it raised {one_line(error)}"
        if not isinstance(rows, list) or not all(isinstance(row, list | tuple) for row in rows):
            return f"given {name}, it returned {rows!r:.80}; a list of lists is due"
        got, wanted = [len(row) for row in rows], [len(group) for group in groups]
        if got != wanted:
            return f"given groups of {wanted} responses, it returned {got} scores"
        strange = [one for row in rows for one in row if not isinstance(one, Score)]
        if strange:
            return f"it returned {strange[0]!r:.80}, which is no Score"
    return ""


@law(
    "A reward is a finite number, or there is none and the status says why.",
    "make scores by `medrl.rewards.tree.number(value, name)`, which turns NaN and infinity into an error of that response; "
    "better, find the division by zero.",
)
def scores_are_numbers(stand: RewardStand) -> str:
    stand.require(one_score_each)
    groups = [*stand.groups(), *(stand.with_texts([text]) for text in HOSTILE.values())]
    for group in groups:
        for response, score in zip(group.rollouts, stand.scored([group])[0], strict=True):
            what = f"problem {group.problem.id!r}, response {response.text!r:.60}"
            if _not_a_number(score):
                return f"{what}: {score.reason}"
            if score.value is not None and not math.isfinite(score.value):
                return f"{what}: {score.value!r}"
    return ""


def _not_a_number(score: Score) -> bool:
    return score.status == "error" and ("InvalidScore" in score.reason or "not a finite number" in score.reason)


@law(
    "The same responses get the same scores, call after call.",
    "draw nothing at random, or seed it by the problem and the response (medrl.seeds); iterate over sorted(set(...)).",
)
def deterministic(stand: RewardStand) -> str:
    stand.require(one_score_each)
    found = [[stand.scored([group])[0] for group in stand.groups()] for _ in range(REPEATS)]
    return next((f for one in found[2:] if (f := stand.difference(found[1], one, "then"))), "")


@law(
    "A score depends on its group and the context alone: running state lives in `context.state`, nowhere else.",
    "put running means, counts and sets of what was seen into `context.state[self.name]`: it is saved with the run, and "
    "evaluations and `medrl rescore` have one of their own.",
)
def state_in_context(stand: RewardStand) -> str:
    stand.require(one_score_each, deterministic)
    first = stand.alone()
    backward = [stand.scored([group])[0] for group in reversed(stand.groups())][::-1]
    if fault := stand.difference(first, backward, "after the others"):
        return fault
    try:
        programs = stand.elsewhere()
    except fresh.NotThere:
        return ""  # `same_in_a_fresh_process` tells it
    for program in programs:
        once, again = ([[Score.from_json(one) for one in row] for row in rows] for rows in program["passes"])
        if fault := stand.difference(once, again, "when it is scored once more, after others,"):
            return fault
    return ""


@law(
    "The running state is JSON, and a run that is resumed from it goes on as if it had not stopped.",
    "keep in `context.state` numbers, texts, lists and mappings with text keys only, and all that the next score needs.",
)
def state_resumes(stand: RewardStand) -> str:
    stand.require(one_score_each, deterministic, state_in_context)
    running = RewardContext()
    stand.scored(stand.groups(), context=running)
    try:
        stored = json.loads(json.dumps(running.state, allow_nan=False))
    except (TypeError, ValueError) as error:
        return f"the state {running.state!r:.120} is no JSON: {error}"
    went_on = stand.scored(stand.groups(), context=running)
    resumed = stand.scored(stand.groups(), context=RewardContext(state=stored))
    return stand.difference(went_on, resumed, "resumed from its state")


@law(
    "Scores come in the order of the groups, and of the responses in each.",
    "collect results by index, or by asyncio.gather, which keeps the order; if you sort, put the scores back.",
)
def order_kept(stand: RewardStand) -> str:
    stand.require(one_score_each, deterministic, state_in_context)
    _without_state(stand)
    draw = random.Random(len(stand.cases))
    for _ in range(4):
        order = draw.sample(range(len(stand.cases)), len(stand.cases))
        groups = stand.groups()
        rows = stand.scored([groups[index] for index in order])
        found = [rows[order.index(index)] for index in range(len(order))]
        if any(len(a) != len(b) for a, b in zip(found, stand.expected, strict=True)):
            return f"in the order {order}, rows came back for other groups"
        if stand.as_many(stand.expected, found) and (f := stand.difference(stand.expected, found, "among others")):
            return f
        for place, group in enumerate(stand.groups()):
            turned = draw.sample(range(len(group)), len(group))
            row = stand.scored([replace(group, rollouts=tuple(group.rollouts[index] for index in turned))])[0]
            for at, index in enumerate(turned):
                wanted = stand.expected[place][index]
                if stand.as_many([stand.expected[place]], [row]) and not stand.same(wanted, row[at]):
                    return f"{of(stand.cases[place], index)}: {brief(wanted)}, in another place of its group {brief(row[at])}"
    return ""


@law(
    "A group gets the same scores alone as among other groups.",
    "compare and normalise within a group only; groups are scored as each is complete, in whatever company.",
)
def groups_stand_alone(stand: RewardStand) -> str:
    stand.require(one_score_each, deterministic, state_in_context)
    _without_state(stand)
    found = stand.scored(stand.groups())
    if stand.as_many(stand.expected, found):
        return ""  # `order_kept` tells the rest
    return stand.difference(stand.expected, found, "among other groups")


def _without_state(stand: RewardStand) -> None:
    context = RewardContext()
    stand.scored(stand.groups(), context=context)
    if context.state:
        raise CannotTell("it keeps running state in the context, so its scores depend on the groups before by design")


@law("Every response is worth what its case says.", "correct the reward, or the value.")
def values_hold(stand: RewardStand) -> str:
    stand.require(one_score_each, deterministic, state_in_context)
    if (
        stand.outcome(order_kept).state == "broken"
    ):  # untold for a reward with running state, which has values all the same
        stand.require(order_kept)
    if all(one.values is None for one in stand.cases):
        raise CannotTell("no group states its values (GroupCase.values)")
    for one, row in zip(stand.cases, stand.alone(), strict=True):
        for index, (wanted, score) in enumerate(zip(one.values or [s.value for s in row], row, strict=True)):
            near = wanted is not None and score.value is not None and math.isclose(wanted, score.value, abs_tol=1e-6)
            if not near and wanted != score.value and not _not_a_number(score):
                return f"{of(one, index)} should be {'no number' if wanted is None else wanted} and is {brief(score)}"
    return ""


@law(
    "A response that its engine aborted has no number.",
    "return `Score(None, 'error', reason=...)` where `response.finish_reason == 'abort'`: it was not the policy that ended "
    "it, so no value is fair.",
)
def aborted_has_no_number(stand: RewardStand) -> str:
    stand.require(one_score_each, deterministic, state_in_context)
    for place, group in enumerate(stand.groups()):
        lost = replace(group, rollouts=tuple(replace(one, finish_reason="abort") for one in group.rollouts))
        for index, score in enumerate(stand.scored([lost])[0]):
            if score.value is not None:
                return f"{of(stand.cases[place], index)}, aborted: {brief(score)}"
    return ""


@law(
    "Whatever the policy writes is no failure of the reward.",
    "find what your code assumes of a text, and give what is malformed a low value; a policy that can make its reward fail "
    "learns to escape it.",
)
def hostile_responses(stand: RewardStand) -> str:
    stand.require(one_score_each, deterministic, state_in_context)
    for name, text in HOSTILE.items():
        score = stand.scored([stand.with_texts([text])])[0][0]
        if score.status in ("error", "timeout", "invalid") and not _not_a_number(score):
            return f"the response `{name}` ({text!r:.40}) gave {brief(score)}"
    return ""


@law(
    "A judge that is down leaves no number; it never changes what a response is worth.",
    "pass on a child's missing value (`Score(None, status, parts, reason)`); no default of 0.",
)
def failure_is_no_zero(stand: RewardStand) -> str:
    if stand.failing is None:
        raise CannotTell("no failing reward was given (failing=...), which only one with something behind it needs")
    stand.require(one_score_each)
    down = stand.alone(stand.failing)
    for place, row in enumerate(down):
        for index, score in enumerate(row):
            if score.value is not None and not stand.same(stand.expected[place][index], score):
                up = brief(stand.expected[place][index])
                return f"{of(stand.cases[place], index)}: {up} with its judge, {brief(score)} while the judge is down"
    if all(score.value is not None for row in down for score in row):
        return "every response has a number with the judge down; is the failing reward really failing?"
    return ""


@law(
    "The tree is sound: unique names, nothing that would mislead a run, a `Part` for every node on every score.",
    "see the fault; `Reward.faults()` lists them.",
)
def tree_is_sound(stand: RewardStand) -> str:
    if faults := stand.reward.faults():
        return "; ".join(faults)
    stand.require(one_score_each)
    names = {node.name for node in stand.reward.walk()}
    missing = [names - score.parts.keys() for row in stand.expected for score in row if names - score.parts.keys()]
    return f"a score has no part for {', '.join(sorted(missing[0]))}" if missing else ""


@law(
    "A reward pickles, and its copy gives the same scores.",
    "keep only knobs in the fields; open clients where they are first used; define the class at the top of a module.",
)
def pickles(stand: RewardStand) -> str:
    try:
        found: Reward = pickle.loads(pickle.dumps(stand.reward))
    except Exception as error:  # pickle raises whatever the class does
        return one_line(error)
    stand.require(one_score_each, deterministic, state_in_context)
    return stand.difference(stand.expected, stand.alone(found), "after pickling")


@law(
    "`to_config()` is plain JSON, and `medrl.rewards.build` makes the same reward of it.",
    "make the class a frozen dataclass at the top of a module, with fields that a recipe can write; a `type_name` is "
    "known only where the package with its entry point is installed (pip install --editable).",
)
def config_round_trip(stand: RewardStand) -> str:
    try:
        config = stand.reward.to_config()
        found = build(json.loads(json.dumps(config, allow_nan=False)))
        again = found.to_config()
    except Exception as error:  # a stranger's knobs
        return one_line(error)
    if again != config:
        return f"{config} comes back as {again}"
    stand.require(one_score_each, deterministic, state_in_context)
    return stand.difference(stand.expected, stand.alone(found), "built from its config")


@law(
    "A fresh process, which knows the reward by its config alone, gives the same scores, whatever its hash seed.",
    "let nothing depend on the order of a set, on hash(), or on a variable that was set in this process; name classes so "
    "that they can be imported (`module:Class` or an entry point).",
)
def same_in_a_fresh_process(stand: RewardStand) -> str:
    stand.require(one_score_each)
    try:
        programs = stand.elsewhere()
    except fresh.NotThere as error:
        return str(error)
    stand.require(one_score_each, deterministic, state_in_context)
    one, other = ([[Score.from_json(s) for s in row] for row in program["passes"][0]] for program in programs)
    if fault := stand.difference(one, other, "in a process with another hash seed"):
        return fault
    return stand.difference(stand.expected, one, "in a process of its own")


@law(
    "Problems and responses are left as they were.",
    "copy before you change: other rewards and the traces read the same objects.",
)
def inputs_untouched(stand: RewardStand) -> str:
    groups = stand.groups()
    kept = copy.deepcopy(groups)
    stand.scored(groups)
    if len(groups) != len(kept):
        return "the list of groups is another than it was"
    for now, before in zip(groups, kept, strict=True):
        if now.problem != before.problem:
            return f"problem {before.problem.id!r} was {before.problem!r:.150} and is {now.problem!r:.150}"
        if now.rollouts != before.rollouts:
            return f"the responses to problem {before.problem.id!r} were changed"
    return ""


@law(
    "`assess` does not keep the event loop from anything else, with a group of 32.",
    "await what waits, and run what computes for long by `await asyncio.to_thread(...)`.",
)
def loop_stays_free(stand: RewardStand) -> str:
    stand.require(one_score_each)
    stand.scored(stand.groups())
    return keeps_loop(lambda attempt: _scoring(stand, _many(stand, attempt)), stand.limits)


@law(
    "A response takes no longer than the limit, in a group of 32.",
    "score all responses of all groups at once; raise `Limits(seconds_per_answer=...)` where a model is behind it.",
)
def fast_enough(stand: RewardStand) -> str:
    stand.require(one_score_each)
    stand.scored(stand.groups())
    return is_slow(lambda attempt: _scoring(stand, _many(stand, attempt)), stand.limits)


@law(
    "The time for a response grows no faster than the response.",
    "look for nested repeats in regular expressions, `text = text + piece`, `x in list` in loops, and all pairs of words.",
)
def time_is_linear(stand: RewardStand) -> str:
    stand.require(one_score_each)
    stand.scored(stand.groups())
    return grows(lambda text: _scoring(stand, stand.with_texts([text])), stand.limits)


def _many(stand: RewardStand, attempt: int) -> Group:
    texts = [one.text for case in stand.cases for one in case.responses]
    return stand.with_texts([f"{texts[i % len(texts)]}{' ' * (i + 1)}{chr(10) * attempt}" for i in range(BATCH)])


def _scoring(stand: RewardStand, group: Group) -> Work:
    return lambda: stand.reward.score([group], RewardContext())


REWARD_LAWS: tuple[Any, ...] = (
    one_score_each, scores_are_numbers, deterministic, state_in_context, state_resumes, order_kept, groups_stand_alone,
    values_hold, aborted_has_no_number, hostile_responses, failure_is_no_zero, tree_is_sound, pickles,
    config_round_trip, same_in_a_fresh_process, inputs_untouched, loop_stays_free, fast_enough, time_is_linear,
)  # fmt: skip
