"""Texts made to break a rule: every built-in rule ends on each of them, in time that grows about as the text does."""

import time
from collections.abc import Callable

import pytest

from medrl.types import Problem, Response, ask
from medrl.verifiers import Choice, Dates, Number, RuleVerifier, SetOf, Text, Typed, YesNo
from medrl.verifiers.symbolic import Symbolic

PROBLEMS = {
    "term": Problem("term", ask("Which diagnosis?"), "asthma"),
    "choice": Problem("choice", ask("Which?"), "B", "choice", {"A": "asthma", "B": "gout", "C": "influenza"}),
    "number": Problem("number", ask("Which dose?"), "5 mg", "numeric"),
    "yes_no": Problem("yes_no", ask("Is it so?"), "yes"),
    "set": Problem("set", ask("Which two?"), "asthma; gout"),
    "date": Problem("date", ask("On which date?"), "2020-01-02"),
    "expression": Problem("expression", ask("Which formula?"), "k·A/d"),
}
RULES: list[tuple[RuleVerifier, str]] = [
    *((Typed(vocabulary="clinic"), kind) for kind in PROBLEMS if kind != "expression"),
    (Text(vocabulary="clinic"), "term"),
    (Choice(), "choice"),
    (Number(relative_tolerance=0.05), "number"),
    (YesNo(), "yes_no"),
    (SetOf(partial=True), "set"),
    (Dates(), "date"),
    (Symbolic(), "expression"),
]


def filled(piece: str, size: int) -> str:
    return piece * (size // len(piece))


# Each makes a text of about so many characters.
TEXTS: dict[str, Callable[[int], str]] = {
    "brackets": lambda size: filled("(", size),
    "boxes never closed": lambda size: filled("\\boxed{", size),
    "boxes": lambda size: filled("\\boxed{asthma}", size),
    "one line": lambda size: filled("word ", size),
    "one word": lambda size: filled("a", size),
    "tags": lambda size: filled("<answer>", size),
    "line breaks": lambda size: filled("\n", size),
    "lines": lambda size: filled("gout\n", size),
    "headings": lambda size: filled("## Thinking\n", size),
    "both headings": lambda size: filled("## Thinking\n\n## Final Response\n\n", size),
    "thinking tags": lambda size: filled("<think></think>", size),
    "digits": lambda size: filled("9", size),
    "digits in a box": lambda size: "\\boxed{" + filled("9", min(size, 1150)) + "}",
    "groups of digits": lambda size: filled("1,", size),
    "quantities": lambda size: filled("1 mg ", size),
    "dates": lambda size: filled("2020-01-01 ", size),
    "fractions": lambda size: filled("1/", size),
    "negations": lambda size: filled("not ", size),
    "items": lambda size: filled("gout and ", size),
    "statements": lambda size: filled("the answer is gout. ", size),
    "cues": lambda size: filled("the answer is ", size),
    "exponents": lambda size: filled("9^{", size),
    "exponents in a box": lambda size: "\\boxed{" + filled("9^{", min(size, 570)) + "}" * (min(size, 570) // 3 + 1),
    "brackets in a box": lambda size: "\\boxed{" + filled("(k+", min(size, 1150)) + "}",
    "equals signs": lambda size: filled("= ", size),
    "stars": lambda size: filled("*", size),
    "blanks": lambda size: filled(" ", size) + "x",
    "NUL bytes": lambda size: filled("\0", size),
    "lone surrogates": lambda size: filled("\ud83d", size),
    "scripts": lambda size: filled("Ж中aعא漢ก１", size),
}
LARGE = 200_000
MORE = {"one line": 1_000_000, "one word": 1_000_000, "tags": 800_000, "line breaks": 100_000}


def seconds(rule: RuleVerifier, problem: Problem, text: str, times: int = 3) -> float:
    """The best of some runs; the verdict must be one that a hostile text deserves."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        verdict = rule.check_safely(problem, Response(text))
        found.append(time.perf_counter() - start)
        assert verdict.status in ("ok", "abstain") and verdict.score != 1.0, (verdict, text[:40])
        if found[-1] > 2.0:  # slow enough to say so without the rest
            break
    return min(found)


def grows_about_linearly(rule: RuleVerifier, kind: str, make: Callable[[int], str], large: int) -> None:
    problem = PROBLEMS[kind]
    stated = Problem(**{**vars(problem), "metadata": {"answer_type": kind}})
    once, four = seconds(rule, stated, make(large // 4)), seconds(rule, stated, make(large), times=1)
    if four > 0.1 + 8 * once:  # four times the text, so sixteen times the time is quadratic
        four = seconds(rule, stated, make(large))
    assert four < 0.1 + 8 * once, f"{four:.2f} s where a quarter of the text took {once:.2f} s"
    assert four < 10


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("rule", "kind"), RULES[:6] + RULES[-3:], ids=lambda one: getattr(one, "name", one))
def test_hostile_texts_end_in_linear_time(rule: RuleVerifier, kind: str, name: str) -> None:
    grows_about_linearly(rule, kind, TEXTS[name], LARGE // 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("rule", "kind"), RULES, ids=lambda one: getattr(one, "name", one))
def test_large_hostile_texts_end_in_linear_time(rule: RuleVerifier, kind: str, name: str) -> None:
    grows_about_linearly(rule, kind, TEXTS[name], MORE.get(name, LARGE))


@pytest.mark.parametrize(("rule", "kind"), RULES, ids=lambda one: getattr(one, "name", one))
def test_heaps_of_combining_marks_end_in_linear_time(rule: RuleVerifier, kind: str) -> None:
    """`unicodedata.normalize` sorts the marks on one letter in quadratic time, so no rule may hand it a heap."""
    for marks in ("\u0301\u0316\u0335", "\u05b0\u05c1\u0591"):
        grows_about_linearly(rule, kind, lambda size, marks=marks: "e" + filled(marks, size) + "x", 12_000)  # type: ignore[misc]
    grows_about_linearly(rule, kind, lambda size: filled("e\u0301\u0316\u0335", size), 12_000)
