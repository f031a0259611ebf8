"""The contracts of failure, order, configuration and processes that every verifier keeps."""

import asyncio
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from medrl.errors import PluginError, RecipeError
from medrl.types import Judged, Problem, Response, Verdict, ask
from medrl.verifiers import (
    Cascade,
    Choice,
    Dates,
    Number,
    RuleVerifier,
    SetOf,
    Text,
    Typed,
    Verifier,
    YesNo,
    build,
    judge,
    run_sync,
    verifier,
    verify_all,
)

ROOT = Path(__file__).parents[2]


def problem(reference: str = "Asthma", **more: object) -> Problem:
    return Problem("p", ask("Diagnosis?"), reference, **more)  # type: ignore[arg-type]


@verifier("shouts")
def shouts(problem: Problem, text: str) -> bool:
    """True for capitals."""
    if text == "boom":
        raise ValueError("it went\nboom")
    return text.isupper()


@verifier("odd")
def odd(problem: Problem, text: str) -> bool | float | Verdict | None:
    return {"nan": float("nan"), "inf": float("inf"), "two": 2.0, "half": 0.5, "none": None, "late": None}.get(
        text, text
    )  # type: ignore[return-value]


@dataclass(frozen=True)
class Broken(Verifier):
    name: ClassVar[str] = "broken"
    how: str = "raise"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        if self.how == "timeout":
            raise TimeoutError("too slow")
        if self.how == "short":
            return [Verdict.right()] * (len(items) - 1)
        if self.how == "none":
            return None  # type: ignore[return-value]
        if self.how == "mixed":
            return [Verdict.right(), "yes"][: len(items)]  # type: ignore[list-item]
        raise RuntimeError("down")


@dataclass(frozen=True)
class Always(RuleVerifier):
    name: ClassVar[str] = "always"
    score: float = 0.25

    @property
    def decides(self) -> bool:
        return True

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict(self.score, cost={"calls": 1})


def check(rule: Verifier, texts: Sequence[str], reference: str = "Asthma") -> list[Verdict]:
    return verify_all(rule, [problem(reference)] * len(texts), texts)


def test_an_item_that_raises_is_an_error_and_its_neighbours_are_unharmed() -> None:
    before, hurt, after = check(shouts, ["YES", "boom", "no"])
    assert (before.score, after.score) == (1.0, 0.0)
    assert (hurt.status, hurt.score, hurt.reason) == ("error", None, "ValueError: it went boom")


@pytest.mark.parametrize("text", ["nan", "inf", "two", "some text"])
def test_what_is_no_score_is_an_error_and_never_zero(text: str) -> None:
    verdict = odd.verify(problem(), text)
    assert (verdict.status, verdict.score, verdict.stage) == ("error", None, "odd")


def test_none_abstains_and_a_share_is_kept() -> None:
    none, half = check(odd, ["none", "half"])
    assert none.status == "abstain" and half.score == 0.5


@pytest.mark.parametrize(
    ("how", "status"), [("raise", "error"), ("timeout", "timeout"), ("short", "error"), ("none", "error")]
)
def test_a_failing_batch_fails_every_item_and_is_never_misaligned(how: str, status: str) -> None:
    verdicts = check(Broken(how), ["a", "b", "c"])
    assert [verdict.status for verdict in verdicts] == [status] * 3


def test_one_entry_that_is_no_verdict_fails_alone() -> None:
    assert [v.status for v in check(Broken("mixed"), ["a", "b"])] == ["ok", "error"]


def test_a_decorated_function_keeps_its_face_and_pickles_by_name() -> None:
    assert (shouts.name, shouts.__name__, shouts.__doc__) == ("shouts", "shouts", "True for capitals.")
    assert shouts.decides and not odd.decides
    assert shouts(problem(), "A") is True
    assert pickle.loads(pickle.dumps(shouts)) is shouts and b"capitals" not in pickle.dumps(shouts)


def test_a_decorated_function_works_when_its_module_is_imported_by_name(tmp_path: Path) -> None:
    (tmp_path / "my_rules.py").write_text(
        "from medrl.verifiers import verifier\n\n@verifier('long')\n"
        "def long(problem, text) -> bool:\n    return len(text) > 3\n"
    )
    script = (
        "import pickle, my_rules\nfrom medrl.types import Problem, ask\nfrom medrl.verifiers import Cascade, build\n"
        "rule = build('my_rules:long')\nassert rule is my_rules.long\nassert pickle.loads(pickle.dumps(rule)) is rule\n"
        "again = build(Cascade(('my_rules:long', 'text')).to_config())\n"
        "print(again.verify(Problem('p', ask('?'), 'x'), 'abcd').score, again.fingerprint())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(tmp_path, seed))
        for seed in ("1", "2")
    ]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout.startswith("1.0 ") and runs[0].stdout == runs[1].stdout


def environment(folder: Path | None, seed: str) -> dict[str, str]:
    import os

    paths = [str(ROOT), *([str(folder)] if folder else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": seed}


def test_async_functions_are_refused() -> None:
    async def judge_(problem: Problem, text: str) -> bool:
        return True

    with pytest.raises(TypeError, match="async"):
        verifier("later")(judge_)  # type: ignore[arg-type]


SAMPLES = [
    (Text(), problem("Asthma"), "It is asthma."),
    (Choice(), problem("B", options={"A": "Gout", "B": "Asthma"}, kind="choice"), "(B) Asthma"),
    (Number(), Problem("n", ask("Sodium?"), "3.5 mmol/L"), "3.5 mmol/L"),
    (YesNo(), problem("yes"), "Yes, it is."),
    (Dates(), problem("01/09/2007"), "January 9, 2007"),
    (SetOf(), problem("fever; cough"), "cough, fever"),
    (Typed(), problem("Asthma"), "The answer is asthma."),
    (Cascade((Text(), Always(0.0))), problem("Asthma"), "asthma"),
]


@pytest.mark.parametrize(("rule", "asked", "text"), SAMPLES, ids=[rule.name for rule, _, _ in SAMPLES])
def test_verdicts_are_the_same_from_everywhere(rule: Verifier, asked: Problem, text: str) -> None:
    here = rule.verify(asked, text)
    assert here.score == 1.0 and here.reason and here.stage
    assert here.span is not None and text[slice(*here.span)] == here.answer

    found: list[Verdict] = []
    thread = threading.Thread(target=lambda: found.append(rule.verify(asked, text)))
    thread.start()
    thread.join()

    async def inside() -> tuple[Verdict, Verdict]:
        return rule.verify(asked, text), (await judge(rule, [(asked, Response(text))]))[0]

    assert [*found, *asyncio.run(inside())] == [here] * 3
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_verdicts_and_fingerprints_are_the_same_in_a_fresh_process() -> None:
    samples = [(rule, asked, text) for rule, asked, text in SAMPLES if rule.name != "cascade"]
    rows = [(rule.to_config(), asked.to_json(), text) for rule, asked, text in samples]
    script = (
        "import sys, json\nfrom medrl.types import Problem\nfrom medrl.verifiers import build\n"
        "rows = json.load(sys.stdin)\n"
        "rules = [(build(c), Problem.from_json(p), t) for c, p, t in rows]\n"
        "print(json.dumps([(rule.verify(p, t).to_json(), rule.fingerprint()) for rule, p, t in rules]))\n"
        "assert 'torch' not in sys.modules"
    )
    import json

    run = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        env=environment(None, "7"),
    )
    assert run.returncode == 0, run.stderr
    there = [(Verdict.from_json(row), print_) for row, print_ in json.loads(run.stdout)]
    assert there == [(rule.verify(asked, text), rule.fingerprint()) for rule, asked, text in samples]


def test_the_bare_name_is_refused_and_torch_is_not_imported() -> None:
    bare = subprocess.run([sys.executable, "-c", "import verifiers"], capture_output=True, text=True, cwd=ROOT)
    assert bare.returncode != 0 and "import it as medrl.verifiers" in bare.stderr
    script = "import sys, medrl.verifiers; sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(None, "0"))
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "rule",
    [
        Text("o1"),
        Choice(),
        Number(relative_tolerance=0.05),
        YesNo(),
        Dates("o1"),
        SetOf(partial=True),
        Typed(partial=True),
        Cascade((Typed("think"), Number(relative_tolerance=0.1)), past_failures=True),
    ],
    ids=lambda rule: rule.name,
)
def test_config_goes_both_ways(rule: Verifier) -> None:
    again = build(rule.to_config())
    assert again == rule and again.fingerprint() == rule.fingerprint()
    assert build(rule) is rule and type(rule).from_config(rule.to_config()) == rule


def test_a_class_outside_the_registry_is_named_by_its_place() -> None:
    config = Always(0.5).to_config()
    assert config["type"].endswith(":Always") and config["score"] == 0.5


def test_fingerprints_follow_the_config_and_the_nested_stages() -> None:
    prints = {
        rule.fingerprint()
        for rule in (
            Number(), Number(relative_tolerance=0.05), Number("o1"), Text(), Typed(), Cascade((Text(), Number())),
            Cascade((Number(), Text())), Cascade((Text(), Number(relative_tolerance=0.05))), shouts, odd,
        )
    }  # fmt: skip
    assert len(prints) == 10 and all(len(one) == 16 for one in prints)


def test_faults_of_a_config_are_told_all_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        build({"type": "number", "relative_tolerence": 0.1, "colour": 1})
    assert len(caught.value.faults) == 2 and "did you mean 'relative_tolerance'" in str(caught.value)
    for bad in (
        {"type": "number", "relative_tolerance": -1},
        {"knob": 1},
        {"type": "text", "format": "o2"},
        {"type": "cascade"},
    ):
        with pytest.raises(RecipeError):
            build(bad)
    for missing in ("nubmer", "os:getcwd", "nowhere:At"):
        with pytest.raises(PluginError):
            build(missing)


def test_run_sync_hands_exceptions_on_inside_a_loop() -> None:
    async def fails() -> None:
        raise KeyError("x")

    async def outer() -> None:
        run_sync(fails())

    with pytest.raises(KeyError):
        asyncio.run(outer())


def test_a_cascade_falls_through_on_abstain_and_stops_on_failure() -> None:
    rules = Cascade((Text(), Always(0.25)))
    assert [v.score for v in check(rules, ["asthma", "not asthma", "wheezing at night"])] == [1.0, 0.0, 0.25]
    assert rules.decides and not Cascade((Text(),)).decides
    assert check(rules, ["wheezing at night"])[0].stage == "always"
    assert check(Cascade((Broken(), Always())), ["a"])[0].status == "error"
    assert check(Cascade((Broken("timeout"), Always()), past_failures=True), ["a"])[0].score == 0.25
    assert check(Cascade((Broken(), Text()), past_failures=True), ["wheezing at night"])[0].status == "error"


def test_a_cascade_adds_up_costs() -> None:
    @dataclass(frozen=True)
    class Unsure(RuleVerifier):
        name: ClassVar[str] = "unsure"

        def check(self, problem: Problem, response: Response) -> Verdict:
            return Verdict.abstain(cost={"calls": 2})

    assert check(Cascade((Unsure(), Always())), ["a"])[0].cost == {"calls": 3}
