"""The kit catches each seeded fault by its law and blames for nothing else; medrl's own verifiers and rewards pass it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bad_plugins as bad
import pytest

from medrl.errors import RecipeError
from medrl.rewards import (
    Anneal,
    Clip,
    FirstDecided,
    Format,
    Gate,
    Levels,
    Maximum,
    PerGroup,
    Product,
    Verified,
    Vote,
    WeightedSum,
    Where,
)
from medrl.testing import (
    REWARD_LAWS,
    VERIFIER_LAWS,
    CannotTell,
    Case,
    CasesTooFew,
    GroupCase,
    LawBroken,
    Limits,
    broken,
    case,
    reward_checks,
    verifier_checks,
)
from medrl.testing.calls import clock
from medrl.testing.laws import Check
from medrl.types import Problem, Response, ask
from medrl.verifiers import Verifier, build, judge, run_sync

if TYPE_CHECKING:
    from chat_server import ChatServer

ASPIRIN = Problem("aspirin", ask("Dose of aspirin?"), "300 mg", metadata={"unit": "mg"})
AMOXICILLIN = Problem("amoxicillin", ask("Dose of amoxicillin?"), "500 mg")
CASES = [
    case(ASPIRIN, "Give 300 mg.", "right"),
    case(ASPIRIN, "75 mg", "wrong"),
    case(ASPIRIN, "I do not know", "wrong"),
    case(AMOXICILLIN, "It is 250 mg, no, 500 mg", "right"),
    case(AMOXICILLIN, "500 mcg", "wrong"),
    case(AMOXICILLIN, "300 mg once", "wrong"),
]
# Fault to the laws that tell it. A sort that reads the texts fails for all where one cannot be read.
FAULTS: dict[type[bad.Sound] | type[bad.OneLoop], set[str]] = {
    bad.Sound: set(),
    bad.SortsItems: {"order_kept", "errors_stay_alone"},
    bad.FirstDone: {"order_kept", "errors_stay_alone"},
    bad.DropsEmpty: {"one_verdict_each"},
    bad.BareFloats: {"one_verdict_each"},
    bad.NotANumber: {"scores_are_numbers"},
    bad.Blocks: {"loop_stays_free"},
    bad.HoldsLock: {"pickles"},
    bad.Guesses: {"deterministic"},
    bad.HashOrder: {"same_in_a_fresh_process"},
    bad.RaisesForAll: {"errors_stay_alone"},
    bad.RaisesOnNothing: {"hostile_answers"},
    bad.Slow: {"fast_enough"},
    bad.Quadratic: {"time_is_linear"},
    bad.Mutates: {"inputs_untouched"},
    bad.EmptiesTheList: {"inputs_untouched"},
    bad.RemembersLast: {"no_state"},
    bad.PaysOnce: {"no_state"},
    bad.BatchMean: {"batch_is_singles"},
    bad.Gullible: {"silence_earns_nothing"},
    bad.OldPrint: {"fingerprint_tells"},
    bad.SaysItDecides: {"decides_honestly"},
    bad.NoReferenceIsWrong: {"no_reference_no_number"},
    bad.OneLoop: {"threads_and_loops"},
    bad.NeverDone: {"one_verdict_each"},
}
# Where all laws are tried, what never ends is waited for less long, and what is slow is so by less, under lower limits.
HURRIED: dict[type, tuple[dict[str, float], Limits]] = {
    bad.OneLoop: ({}, Limits(seconds_at_most=5.0)),
    bad.NeverDone: ({}, Limits(seconds_at_most=0.5)),
    bad.Blocks: ({"seconds": 0.003}, Limits(seconds_blocked=0.05)),
    bad.Slow: ({"seconds": 0.012}, Limits(seconds_per_answer=0.008)),
    bad.BlocksToo: ({"seconds": 0.003}, Limits(seconds_blocked=0.05)),
}
REWARD_FAULTS: dict[type[bad.Finished], set[str]] = {
    bad.Finished: set(),
    bad.TurnsRows: {"order_kept"},
    bad.FlatRows: {"one_score_each"},
    bad.AbortedIsZero: {"aborted_has_no_number"},
    bad.DividesByNothing: {"scores_are_numbers"},
    bad.RemembersProblem: {"state_in_context"},
    bad.StateIsNoJson: {"state_resumes"},
    bad.AcrossGroups: {"groups_stand_alone"},
    bad.ChangesProblems: {"inputs_untouched"},
    bad.Lots: {"deterministic"},
    bad.BlocksToo: {"loop_stays_free"},
}
GROUPS = [
    GroupCase(ASPIRIN, (Response("Give 300 mg."), Response("Give")), (1.0, 0.0)),
    GroupCase(AMOXICILLIN, (Response("五百毫克"), Response("五百毫克。"), Response("500 mg.")), (0.0, 1.0, 1.0)),
]


def one(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def told_by(checks: list[Check], name: str) -> str:
    """What the check of this name says of a plugin that breaks its law."""
    with pytest.raises(LawBroken) as caught:
        one(checks, name)()
    return str(caught.value)


# Faults --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_of_a_verifier_is_told_by_its_law_and_by_no_other(fault: type[bad.Sound]) -> None:
    knobs, limits = HURRIED.get(fault, ({}, None))
    found = broken(verifier_checks(fault(**knobs), CASES, limits=limits))
    assert set(found) == FAULTS[fault], found


@pytest.mark.slow
@pytest.mark.parametrize("fault", REWARD_FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_of_a_reward_is_told_by_its_law_and_by_no_other(fault: type[bad.Finished]) -> None:
    knobs, limits = HURRIED.get(fault, ({}, None))
    found = broken(reward_checks(fault(**knobs), GROUPS, limits=limits))
    assert set(found) == REWARD_FAULTS[fault], found


@pytest.mark.parametrize(
    ("fault", "name", "seen"),
    [
        (
            bad.DropsEmpty,
            "one_verdict_each",
            "20 answers among which are empty and broken ones, it returned 19 verdicts",
        ),
        (bad.NotANumber, "scores_are_numbers", "'I do not know': InvalidScore: a verdict has score nan"),
        (bad.HoldsLock, "pickles", "cannot pickle '_thread.lock'"),
        (bad.Guesses, "deterministic", "with nothing changed"),
        (bad.Mutates, "inputs_untouched", "'read': "),
        (bad.EmptiesTheList, "inputs_untouched", "the list of items is another"),
        (bad.Blocks, "loop_stays_free", "32 answers kept the event loop for"),
        pytest.param(bad.Slow, "fast_enough", "s per answer in a batch of 32", marks=pytest.mark.slow, id="slow"),
    ],
    ids=lambda value: value.name if isinstance(value, type) else None,
)
def test_the_message_says_the_law_what_was_seen_and_how_to_mend_it(
    fault: type[bad.Sound], name: str, seen: str
) -> None:
    checks = verifier_checks(fault(), CASES)  # the limits as they are
    law, said, mend = told_by(checks, name).splitlines()[1:]
    assert law.startswith("  law:  ") and said.startswith("  seen: ") and mend.startswith("  mend: ")
    assert seen in said
    assert len(mend) > 40


def test_a_failing_judge_that_says_0_is_told() -> None:
    checks = verifier_checks(bad.Sound(), CASES, failing=bad.FailsAsZero())
    assert "1 (answer '300 mg') with its judge, 0 (no reply) while the judge is down" in told_by(
        checks, "failure_is_no_zero"
    )
    working = verifier_checks(bad.Sound(), CASES, failing=bad.Sound())
    assert "is the failing verifier really failing?" in told_by(working, "failure_is_no_zero")


def test_a_wrong_label_and_a_refused_reference_are_told() -> None:
    def checks(*cases: Case) -> list[Check]:
        return verifier_checks(bad.Sound(), cases, excused={"no_state": "tried elsewhere"})

    labelled = checks(case(ASPIRIN, "300 mg", "wrong"), case(ASPIRIN, "300 mg.", "right"))
    assert "labelled wrong, and the verifier says 1" in told_by(labelled, "labels_hold")
    partial = checks(case(ASPIRIN, "300 mg", 0.25), case(ASPIRIN, "300 mg!", "right"), case(ASPIRIN, "2 mg", 0.0))
    assert "labelled 0.25" in told_by(partial, "labels_hold")
    odd = Problem("odd", ask("Dose?"), "300 mg twice, not 500 micrograms")
    cases = [case(odd, "300 mg", "right"), case(odd, "2 mg", "wrong")]
    strict = verifier_checks(bad.OnlyDoses(), cases, excused={"no_state": "tried elsewhere"})
    assert "its own reference '300 mg twice" in told_by(strict, "reference_is_right")


# The kit itself ------------------------------------------------------------------------------------------------------


def test_cases_that_could_not_tell_are_refused() -> None:
    for cases in ([], CASES[:1], [CASES[1], CASES[2]]):
        with pytest.raises(CasesTooFew, match="without one of each"):
            verifier_checks(bad.Sound(), cases)
    for groups in ([], GROUPS[:1], [GroupCase(ASPIRIN, (Response("x"),))] * 2):
        with pytest.raises(CasesTooFew, match="order of scores"):
            reward_checks(bad.Finished(), groups)


def test_cases_limits_and_excuses_with_faults_are_refused() -> None:
    for expected in ("maybe", 1.5, True):
        with pytest.raises(RecipeError, match="`expected` is"):
            case(ASPIRIN, "1 mg", expected)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="2 responses and 1 values"):
        GroupCase(ASPIRIN, (Response("a"), Response("b")), (1.0,))
    with pytest.raises(RecipeError, match="growth is 0"):
        Limits(growth=0.0)
    with pytest.raises(RecipeError) as caught:
        verifier_checks(bad.Sound(), CASES, excused={"picles": "why not", "pickles": ""})
    assert "did you mean 'pickles'" in str(caught.value) and "has no reason" in str(caught.value)


def test_an_excused_law_is_skipped_and_hides_no_other() -> None:
    checks = verifier_checks(bad.Guesses(), CASES, excused={"deterministic": "a sampling judge"})
    with pytest.raises(CannotTell, match="excused: a sampling judge"):
        one(checks, "deterministic")()
    with pytest.raises(CannotTell, match="before the law `one_verdict_each` is kept"):
        one(verifier_checks(bad.DropsEmpty(), CASES), "order_kept")()


def test_the_clock_counts_what_waits_and_what_computes() -> None:
    start, spent = clock(), time.thread_time()
    time.sleep(0.05)
    while time.thread_time() - spent < 0.05:
        pass
    assert clock() - start > 0.09


def test_every_law_says_what_it_is_and_how_to_mend_it() -> None:
    for laws in (VERIFIER_LAWS, REWARD_LAWS):
        names = [law.name for law in laws]
        assert len(set(names)) == len(names) >= 19
        assert all(law.says.endswith(".") and len(law.mend) > 20 for law in laws)


def test_the_guard_counts_items_before_a_verifier_takes_them_away() -> None:
    items = [(one.problem, one.response) for one in CASES]
    found = run_sync(judge(bad.EmptiesTheList(), items))
    assert [verdict.score for verdict in found] == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_pytest_shows_a_test_for_each_law(tmp_path: Path, repository: Path) -> None:
    """As a third party runs it: kept laws pass, broken ones fail with their text, what cannot be told is skipped."""
    (tmp_path / "test_it.py").write_text(
        "from bad_plugins import Gullible, Sound\nfrom medrl.testing import *\nfrom medrl.types import Problem, ask\n"
        "P = Problem('p', ask('Dose?'), '5 mg')\nCASES = [case(P, '5 mg!', 'right'), case(P, '6 mg', 'wrong')]\n"
        "LATER = {name: 'slow' for name in ('same_in_a_fresh_process', 'fingerprint_tells', 'no_state', 'time_is_linear')}\n"
        "@verifier_conformance(Gullible(), CASES, excused=LATER)\ndef test_laws(check): check()\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    path = {"PYTHONPATH": f"{repository}:{repository / 'tests'}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, text=True, timeout=120)
    assert "1 failed, 17 passed, 5 skipped" in done.stdout, done.stdout[-3000:]
    assert "test_laws[silence_earns_nothing]" in done.stdout and "  mend: return `Verdict.wrong(" in done.stdout
    assert "excused: slow" in done.stdout


# medrl's own ---------------------------------------------------------------------------------------------------------

TERM = Problem("term", ask("Which disease causes Koplik spots?"), "measles", aliases=("rubeola",))
CHOICE = Problem("choice", ask("Which?"), "B", "choice", {"A": "gout", "B": "measles", "C": "mumps"})
DOSE = Problem("dose", ask("Adult dose of paracetamol?"), "1 g", "numeric")
YES = Problem("yes", ask("Is measles contagious?"), "yes")
LIST = Problem("list", ask("Name the two signs."), "fever; cough", metadata={"answer_type": "set"})
DATE = Problem("date", ask("On which date?"), "2020-01-02", metadata={"answer_type": "date"})
FORMULA = Problem("formula", ask("Formula?"), "(a+b)^2", metadata={"answer_type": "expression"})
REGIMEN = Problem("regimen", ask("How is it taken?"), "500 mg twice a day", metadata={"answer_type": "dose"})
RULES: dict[str, list[Any]] = {
    "text": [(TERM, "Measles.", "right"), (TERM, "", "wrong"), (TERM, "rubeola", "right")],
    "choice": [(CHOICE, "The answer is B.", "right"), (CHOICE, "(A)", "wrong"), (CHOICE, "measles", "right")],
    "number": [(DOSE, "1000 mg", "right"), (DOSE, "Give 2 g.", "wrong"), (DOSE, "1 g", "right")],
    "yes_no": [(YES, "Yes.", "right"), (YES, "No.", "wrong"), (YES, "是的", "right")],
    "set": [(LIST, "cough and fever", "right"), (LIST, "", "wrong"), (LIST, "fever, cough", "right")],
    "date": [(DATE, "2 January 2020", "right"), (DATE, "3 January 2020", "wrong"), (DATE, "2020年1月2日", "right")],
    "dosing": [(REGIMEN, "500 mg bid", "right"), (REGIMEN, "500 mg daily", "wrong"), (REGIMEN, "0.5 g q12h", "right")],
    "symbolic": [(FORMULA, "a^2 + 2ab + b^2", "right"), (FORMULA, "a^2 + b^2", "wrong"), (FORMULA, "(b+a)^2", "right")],
}
TYPED = [row for rows in RULES.values() for row in rows]
CASCADE = {"type": "cascade", "stages": ["symbolic", {"type": "typed", "vocabulary": "clinic"}]}
BUILT_IN: dict[str, tuple[Any, list[Any]]] = {
    **{name: (name, rows) for name, rows in RULES.items()},
    "typed": ({"type": "typed", "vocabulary": "medrl"}, TYPED),
    "cascade": (CASCADE, TYPED),
    "isolated": ({"type": "isolated", "verifier": CASCADE, "deadline": 30.0}, TYPED),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_rules_keep_every_law(name: str) -> None:
    config, rows = BUILT_IN[name]
    assert broken(verifier_checks(config, [case(*row) for row in rows])) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "reward",
    [
        Format("o1"),
        Verified(build("text"), otherwise=0.0),
        0.9 * Verified(build("text"), otherwise=0.0) + 0.1 * Format("o1"),
        Gate(Format("o1"), Verified(build("text"), otherwise=0.0)),
        Levels(Verified(build({"type": "typed"}), otherwise=0.0), Format("o1")),
        WeightedSum((Verified(build("text"), otherwise=0.0), Format("o1")), (1.0, 0.5), "renormalise"),
        Clip(
            Anneal(FirstDecided((Where({"kind": "choice"}, Format("o1")), Vote((Format("think", "t"),)))), 0.0, 9),
            high=0.5,
        ),
        Product(
            (PerGroup(Verified(build("text"), otherwise=0.0), "rank"), Maximum((Format("o1"), Format("think", "f"))))
        ),
    ],
    ids=["format", "verified", "sum", "gate", "levels", "renormalise", "routes", "compared"],
)
def test_built_in_rewards_keep_every_law(reward: Any) -> None:
    good, bare = "## Thinking\n\nKoplik.\n\n## Final Response\n\nmeasles", "measles"
    groups = [
        GroupCase(TERM, (Response(good), Response(bare), Response(""))),
        GroupCase(CHOICE, (Response("B"), Response(good.replace("measles", "B")))),
    ]
    assert broken(reward_checks(reward, groups)) == {}


SLOT = re.compile(r"=== (?P<code>\w{16}) (?P<name>[A-Z]+) ===\n(?P<text>(?:\| .*\n)*?)=== (?P=code) END ===")


def reads(request: dict[str, Any], number: int) -> str:
    """A judge that holds an answer to be right where the reference stands in it."""
    slots = {m["name"]: m["text"].splitlines()[0][2:].casefold() for m in SLOT.finditer(text_of(request)) if m["text"]}
    verdict = "match" if slots["REFERENCE"] in slots["ANSWER"] else "no_match"
    return json.dumps({"answer": slots["ANSWER"][:100], "reason": "read", "verdict": verdict})


def text_of(request: dict[str, Any]) -> str:
    return str(request["messages"][-1]["content"])


@pytest.mark.slow
def test_a_judge_behind_a_server_keeps_every_law(chat_server: "Callable[..., ChatServer]") -> None:
    """Fresh programs ask the same server; the failing one is a server that answers 503."""
    from chat_server import failing

    from medrl.chat import OpenAIChat
    from medrl.verifiers import Judge

    def judging(server: "ChatServer") -> Verifier:
        return Judge(OpenAIChat(model="judge", base_url=server.url, max_retries=0, timeout=20.0), self_test=False)

    up, down = judging(chat_server(reads)), judging(chat_server(lambda request, number: failing(503)))
    cases = [case(TERM, "It is measles.", "right"), case(TERM, "mumps", "wrong"), case(YES, "No.", "wrong")]
    limits = Limits(seconds_per_answer=1.0, seconds_blocked=0.5)
    assert broken(verifier_checks(up, cases, failing=down, limits=limits)) == {}
