"""Published calculations: natural rewrites of each reference are accepted, answers just outside its limits are not."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from medrl.data import load_problems
from medrl.types import Problem, Response
from medrl.verifiers import Typed

TYPED = Typed()
# The end of a question: the unit that its answers are written in, spelt out in English, and in Chinese.
UNITS = (
    ("mL/min/1.73 m²?", "mL/min/1.73 m²", "milliliters per minute per 1.73 m²", "mL/min/1.73m²"),
    ("mEq/L?", "mEq/L", "milliequivalents per liter", "毫当量/升"),
    ("mg/dL.", "mg/dL", "milligrams per deciliter", "毫克/分升"),
    ("mOsm/kg?", "mOsm/kg", "milliosmoles per kilogram", "mOsm/kg"),
    ("msec?", "ms", "milliseconds", "毫秒"),
    ("140 mEq/L.", "L", "liters", "升"),
    ("kg?", "kg", "kilograms", "千克"),
)


def unit_of(problem: Problem) -> tuple[str, str, str]:
    """The unit, its name in English and in Chinese; empty for a score or a ratio."""
    asked = problem.question.strip()
    special = [row for row in UNITS if row[0] == "140 mEq/L."]
    return next((row[1:] for row in (*special, *UNITS) if asked.endswith(row[0])), ("", "", ""))


def rounded(low: Fraction, high: Fraction, value: Fraction) -> str:
    """The value with as few decimals as its limits allow."""
    for places in range(0, 6):
        text = f"{float(value):.{places}f}"
        if low <= Fraction(text) <= high:
            return text
    return f"{float(value):.6f}"


def rewrites(value: str, unit: tuple[str, str, str]) -> Iterator[str]:
    """A number in natural ways."""
    short, long, chinese = unit
    with_unit, spelt = f"{value} {short}".strip(), f"{value} {long}".strip()
    boxed = value + (rf"\ \text{{{short}}}" if short else "")
    yield from (
        value,
        with_unit,
        f"The answer is {with_unit}.",
        f"After filling in the formula, the result = {with_unit}",
        f"**{with_unit}**",
        f"**Answer:** {with_unit}",
        rf"The result follows.\n\n\boxed{{{boxed}}}".replace(r"\n", "\n"),
        rf"$\boxed{{{value}}}$",
        f"## Thinking\n\nThe formula is applied step by step.\n\n## Final Response\n\n{with_unit}",
        f"<think>\nThe formula is applied.\n</think>\n\nThe patient's result is {with_unit}.",
        f"答案是{value}{chinese}。",
        f"患者的结果约为{value} {chinese}。",
        f"approximately {with_unit}",
        f"The calculated value is about {spelt}.",
        f"<answer>{with_unit}</answer>",
    )
    number = Fraction(value)
    if abs(number) >= 1000 and number.denominator == 1:
        yield f"{int(number):,} {short}".strip()
    if abs(number) >= 10:
        mantissa, exponent = f"{float(number):.7e}".split("e")
        yield rf"${mantissa.rstrip('0').rstrip('.')} \times 10^{{{int(exponent)}}}$ {short}".strip()


def near_misses(problem: Problem) -> Iterator[str]:
    """Numbers just outside a problem's limits."""
    low, high = (Fraction(str(problem.metadata[name])) for name in ("lower_limit", "upper_limit"))
    whole = "." not in str(problem.reference)
    step = Fraction(1) if whole else max(Fraction(1, 1000), abs(high - low) / 50)
    for value in (low - step, high + step, low - 5 * step, high + 5 * step):
        text = str(int(value)) if value.denominator == 1 else f"{float(value):.5f}".rstrip("0").rstrip(".")
        assert not low <= Fraction(text) <= high
        yield text


def numbers(path: Path) -> list[Problem]:
    return [problem for problem in load_problems(path) if problem.metadata["answer_type"] == "number"]


@pytest.fixture(params=[6, pytest.param(1, marks=pytest.mark.slow)], ids=["a sixth", "all"])
def medcalc(request: pytest.FixtureRequest, shared_data: Path) -> list[Problem]:
    return numbers(shared_data / "medcalc.jsonl")[:: request.param]


def scored(problem: Problem, text: str) -> float | None:
    return TYPED.check_safely(problem, Response(text)).score


def test_natural_rewrites_of_published_results_are_accepted(medcalc: list[Problem]) -> None:
    count, missed = 0, []
    for problem in medcalc:
        low, high = (Fraction(str(problem.metadata[name])) for name in ("lower_limit", "upper_limit"))
        exact = str(problem.reference)
        for value in dict.fromkeys((exact, rounded(low, high, Fraction(exact)))):
            for text in rewrites(value, unit_of(problem)):
                count += 1
                if scored(problem, text) != 1.0:
                    missed.append((exact, text, problem.question[-60:]))
    assert count > 15 * len(medcalc)
    assert len(missed) <= 0.005 * count, (len(missed), count, missed[:20])


def test_what_lies_just_outside_the_limits_is_rejected(medcalc: list[Problem]) -> None:
    for problem in medcalc:
        passed = [
            text
            for value in near_misses(problem)
            for text in rewrites(value, unit_of(problem))
            if scored(problem, text) != 0.0
        ]
        assert passed == [], problem.question[-100:]


def test_the_same_number_in_another_unit_is_not_accepted(medcalc: list[Problem]) -> None:
    other = {"mEq/L": "mg/dL", "mg/dL": "g/L", "kg": "lb", "ms": "s", "L": "mL", "mL/min/1.73 m²": "L/min/1.73 m²"}
    for problem in medcalc:
        unit, value = unit_of(problem)[0], str(problem.reference)
        if unit in other and float(value):
            assert scored(problem, f"{value} {other[unit]}") != 1.0, (value, unit)
