"""Compare two quantities: what their units mean, whether one is the other converted or rounded, then their values.

The tolerance comes, in this order, from the problem's own limits (`lower_limit` and `upper_limit`, as in MedCalc-Bench,
arXiv:2406.12036), its `tolerance`, what the question says (`medrl.verifiers.tolerance`), and the caller's. Mass, amount
and charge convert where `medrl.verifiers.analytes` knows the substance.
"""

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from medrl.types import Problem
from medrl.verifiers.analytes import exchange
from medrl.verifiers.asked import ASKS_PERCENT, asked_unit, fixes, free_units, wanted_unit
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.quantity import Quantity, plain, quantities
from medrl.verifiers.tolerance import allowed, limits, stated
from medrl.verifiers.units import Unit, counted, without_counts

_ROUNDED = Pattern(r"\bnearest\b|\bround|decimal|四舍五入|保留|取整|精确到", re.IGNORECASE)
_SCORED = re.compile(r"\bscore|\bscale\b|\bpoints\b|\bGCS\b|\bapgar\b|评分|量表|得分", re.IGNORECASE)
_CONVERSION = re.compile(
    r"\bconver[ts]|\bexpress|\bequivalent\b|\bequals?\b|\bhow many [^.?]{1,40} (?:is|are|in)\b|换算|转换|折合|相当于|"
    r"合(?=多少|几)|等于(?=多少|几)",
    re.IGNORECASE,
)
_RATIO = re.compile(r"\d[\d,]{0,12} ?: ?\d[\d,]{0,12}")
_POINTS = re.compile(r"评分|得分|[多几]少?分|分值|总分|量表|\bscores?\b|\bGCS\b|\bapgar\b|\bpoints?\b", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"\b(?:rise|rose|risen|rising|fall|fell|fallen|falling|drop|dropped|gradient|differ\w*|chang\w+|increas\w+|decreas\w+|"
    r"warmer|cooler|higher|lower|by how (?:much|many))\b|升高|上升|升了|下降|降低|降了|降幅|温差|差值|相差|变化|高出",
    re.IGNORECASE,
)
_MONTH, _DAY = Fraction(2629746), Fraction(86400)
_COLD = 20  # °C; below it, what converts may be a difference
# A rounded factor (18 for 18.016, 4 for 4.008) may part two values this far; further off, it may still be the factor.
_FACTOR, _DOUBT = Fraction(2, 1000), Fraction(1, 100)
_COUNTED = {"beats", "breaths", "times", "drops"}
_SAME_SUBSTANCE = {"mass", "amount", "charge", "activity"}  # they convert where the substance is known
_PLAIN_WORDS = {
    "and",
    "is",
    "for",
    "in",
    "at",
    "on",
    "with",
    "of",
    "as",
    "to",
    "left",
    "total",
    "points",
    "point",
    "approximately",
    "or",
    "out",
    "times",
    "completed",
    "full",
    "whole",
}


class Finding(NamedTuple):
    """What comparing one quantity says."""

    outcome: Literal["right", "wrong", "abstain"]
    reason: str


def compare(problem: Problem, reference: Quantity, given: Quantity, tolerance: float) -> Finding:
    """Compare one quantity of the answer with the reference: first what its unit means, then its value."""
    question = plain(problem.question)
    reference, given = (_in_time(question, _scored(question, one)) for one in (reference, given))
    theirs = given.unit
    unit = reference.unit or asked_unit(question, theirs)
    if theirs is None:
        if unit and unit.dims:
            if given.stray.lower() in ("degree", "degrees") and unit.dims == (("temperature", 1),):
                finding = compare(problem, reference, replace(given, unit=unit, stray=""), tolerance)
                right = finding.outcome == "right" and fixes(question, unit)
                return finding if right else Finding("abstain", "degrees of Celsius or of Fahrenheit")
            if given.stray == "C" and unit.dims == (("temperature", 1),) and "c" in unit.symbol.lower():
                return compare(problem, reference, replace(given, unit=unit, stray=""), tolerance)
            if given.stray and given.stray.lower() not in _PLAIN_WORDS:
                return Finding("abstain", f"the unit {given.stray!r} is not known")
            if not (fixes(question, unit) or problem.metadata.get("unit")):
                alone = _value(problem, reference, given, unit, unit, tolerance)
                if alone.outcome == "wrong" and _near(given, reference) and unit.dims not in _OTHER_UNITS_NEAR:
                    return Finding("wrong", f"{alone.reason} in any unit")
                return Finding("abstain", f"the answer has no unit and the question does not fix {unit.symbol!r}")
            theirs = unit
        elif unit and ASKS_PERCENT.search(question) and abs(given.number) > 1:
            theirs = unit
    if theirs and theirs.dims and unit is None:
        return Finding("abstain", f"the problem does not say whether {theirs.symbol!r} is its unit")
    if unit and theirs and unit.dims != theirs.dims and without_counts(unit.dims) == without_counts(theirs.dims):
        theirs = replace(theirs, dims=unit.dims)
    if (
        unit
        and theirs
        and (ours_count := counted(unit))
        and (count := counted(given.unit or unit))
        and ours_count != count
    ):
        return Finding("abstain", f"{theirs.symbol!r} and {unit.symbol!r} count different things")
    echo = _echo(question, given, unit, theirs) if unit and theirs and not theirs.same_as(unit) else None
    if echo:
        return echo
    ours, dims = (unit.dims if unit else ()), (theirs.dims if theirs else ())
    if unit and theirs and ours != dims:
        bridged = _bridged(problem, unit, theirs)
        return (
            _by_substance(problem, reference, given, unit, theirs, bridged, tolerance)
            if bridged
            else _other_dimension(reference, given, ours, dims)
        )
    if ours != dims:
        return _other_dimension(reference, given, ours, dims)
    if unit and theirs and not ours and ("mol" in unit.symbol.lower()) != ("mol" in theirs.symbol.lower()):
        return Finding("abstain", f"{theirs.symbol!r} and {unit.symbol!r} need not count the same")  # HbA1c
    degrees = ours == (("temperature", 1),) and unit and theirs and not theirs.same_as(unit)
    if degrees and (reference.base < _COLD or _DIFFERENCE.search(question)):
        return Finding("abstain", "a difference of temperatures does not convert as a temperature")
    return _value(problem, reference, given, unit, theirs, tolerance)


# Units of these may be so near each other that one figure means the same in the other.
_OTHER_UNITS_NEAR = ((("pressure", 1),), (("volume", 1),), (("temperature", 1),), (("length", 1),), (("time", 1),))


def _near(given: Quantity, reference: Quantity) -> bool:
    """Whether two numbers are so near each other that no change of a unit parts them."""
    return reference.number > 0 and Fraction(3, 5) < given.number / reference.number < Fraction(5, 3)


def _echo(question: str, given: Quantity, unit: Unit, theirs: Unit) -> Finding | None:
    """Whether an answer in another unit than the reference's only repeats what the question gives."""
    named = quantities(_RATIO.sub(";", question) if ":" in question else question)
    if not any(q.number == given.number and (q.unit is None or q.unit.same_as(theirs)) for q in named):
        return None
    weighed = _weighed(unit, theirs)
    same = any(q.number == given.number and q.unit and q.unit.same_as(theirs) for q in named)
    if _CONVERSION.search(question) or (same and weighed and _asks_for(question, unit)):
        return Finding("wrong", "it repeats the quantity that was to be converted")
    alike = [q for q in named if q.unit and q.unit.dims in (unit.dims, theirs.dims)]
    if same and unit.dims == theirs.dims and len(alike) == 1 and _asks_for(question, unit):
        return Finding("wrong", "it repeats the quantity that was to be converted")
    if same and {d for d, _ in set(unit.dims) ^ set(theirs.dims)} == {"body mass"}:
        return None  # mg/kg is never mg
    if same and (unit.dims != theirs.dims or _asks_for(question, unit)):
        return Finding("abstain", "it repeats a quantity of the question, in another unit than the reference")
    return None


def _asks_for(question: str, unit: Unit) -> bool:
    """Whether a question names a unit that belongs to no number in it."""
    return any(asked.same_as(unit) for asked in free_units(question))


def _weighed(unit: Unit, theirs: Unit) -> bool:
    """Whether the one is a mass where the other is an amount or a charge."""
    return any(dimension == "mass" for dimension, _ in set(unit.dims) ^ set(theirs.dims))


def _bridged(problem: Problem, unit: Unit, theirs: Unit) -> Unit | None:
    """`theirs` in the dimensions of `unit`, where one substance's mass, amount or charge parts the two."""
    less, more = dict(set(theirs.dims) - set(unit.dims)), dict(set(unit.dims) - set(theirs.dims))
    if list(less.values()) != [1] or list(more.values()) != [1]:
        return None
    factor = exchange(problem, *less, *more)
    return replace(theirs, scale=theirs.scale * factor, dims=unit.dims) if factor else None


def _by_substance(
    problem: Problem,
    reference: Quantity,
    given: Quantity,
    unit: Unit,
    theirs: Unit,
    bridged: Unit,
    tolerance: float,
) -> Finding:
    """Compare across mass, amount and charge.

    Where a mass takes part, factors are rounded, so near one a rule abstains; and so it does from a wrong dose, whose
    mass may be that of a salt.
    """
    finding = _value(problem, reference, given, unit, bridged, tolerance)
    if finding.outcome == "right" or limits(problem.metadata) or not _weighed(unit, theirs):
        return finding
    wanted = unit.to_base(reference.number)
    off = abs(bridged.to_base(given.number) - wanted)
    if off > _DOUBT * abs(wanted):
        dose = not any(dimension == "volume" for dimension, _ in unit.dims) and given.number != reference.number
        return Finding("abstain", f"{finding.reason}, unless it is of a salt") if dose else finding
    if off <= _FACTOR * abs(wanted):
        return Finding("right", f"{float(given.number):.6g} {theirs.symbol} is the reference, but for a rounded factor")
    return Finding("abstain", f"{finding.reason}, which the rounding of a factor may explain")


def _value(
    problem: Problem, reference: Quantity, given: Quantity, unit: Unit | None, theirs: Unit | None, tolerance: float
) -> Finding:
    value = given.number
    if not (unit and theirs and unit.same_as(theirs)):
        value = theirs.to_base(value) if theirs else value
        value = unit.from_base(value) if unit else value
    shown, wanted = f"{float(value):.6g}", f"{float(reference.number):.6g}{' ' + unit.symbol if unit else ''}"
    ends = limits(problem.metadata)
    if ends:
        inside = ends[0] <= value <= ends[1]
        return Finding(
            "right" if inside else "wrong", f"{shown} is {'inside' if inside else 'outside'} the problem's limits"
        )
    far = allowed(problem, reference, unit, tolerance)
    if abs(value - reference.number) <= far if far else value == reference.number:
        return Finding(
            "right", f"{shown} equals {wanted}" if not far else f"{shown} is within {float(far):.3g} of {wanted}"
        )
    if unit and theirs and _calendar(unit, theirs, reference, given):
        return Finding("abstain", f"{shown} may be {wanted}: a month has 28 to 31 days")
    if _rounds_to(problem, reference, given, unit, theirs, value):
        return Finding("right", f"{shown} is {wanted}, rounded")
    converted = unit and theirs and not unit.same_as(theirs)
    if converted and given.digits < 2 and abs(value - reference.number) <= _DOUBT * abs(reference.number):
        return Finding("abstain", f"{shown} is {wanted} if it was rounded to one digit")
    finer = None not in (given.decimals, reference.decimals) and (given.decimals or 0) > (reference.decimals or 0)
    if finer and _CONVERSION.search(problem.question) and round(value, reference.decimals or 0) == reference.number:
        if unit and _is_converted(problem, given, unit, value):
            return Finding("right", f"{shown} is {wanted}, before it was rounded")
        return Finding("abstain", f"{shown} may be {wanted}, before it was rounded")
    if given.above is not None and given.above == reference.number and unit is None:
        if _SCORED.search(problem.question) and given.below == _highest(problem.question):
            return Finding("right", f"{given.above} out of {given.below} is the score {wanted}")
        return Finding("abstain", f"{given.above}/{given.below} may be a score or a fraction")
    if unit and not unit.dims and theirs is None and given.number == reference.number:
        return Finding("abstain", f"{shown} may be a percentage or a plain number")
    return Finding("wrong", f"{shown} is not {wanted}")


# What a score counts to: 7 of 15 is no Apgar score.
_HIGHEST = tuple(
    (re.compile(names, re.IGNORECASE), points)
    for names, points in (
        (r"\bapgar|阿普加|\balvarado|\bpain\b|疼痛|\bVAS\b|\bNRS\b", 10),
        (r"\bGCS\b|glasgow coma|格拉斯哥昏迷|child[- ]?pugh", 15),
        (r"\bMMSE\b|mini[- ]mental|\bMoCA\b|montreal cognitive|简易精神状态", 30),
        (r"\bNIHSS\b", 42),
        (r"CHA2DS2|HAS-BLED", 9),
        (r"CURB-65", 5),
        (r"\bSOFA\b", 24),
        (r"\bbishop\b", 13),
        (r"\bbraden\b", 23),
        (r"\bqSOFA\b", 3),
    )
)


def _highest(question: str) -> int:
    """The most points of the score that a question asks for, or 0."""
    return next((points for names, points in _HIGHEST if names.search(question)), 0)


def _is_converted(problem: Problem, given: Quantity, unit: Unit, value: Fraction) -> bool:
    """Whether a value is, to its last decimal, the one quantity of the question that converts to the unit."""
    found = []
    for q in quantities(plain(problem.question)):
        if q.unit is None or q.unit.same_as(unit):
            continue
        theirs = q.unit if q.unit.dims == unit.dims else _bridged(problem, unit, q.unit)
        if theirs:
            found.append(unit.from_base(theirs.to_base(q.number)))
    return len(found) == 1 and round(found[0], given.decimals or 0) == value


def _rounds_to(
    problem: Problem,
    reference: Quantity,
    given: Quantity,
    unit: Unit | None,
    theirs: Unit | None,
    value: Fraction,
) -> bool:
    """Whether rounding alone parts the two: after a conversion, of a fraction, or where the question asks for it."""
    converted = bool(unit and theirs and not unit.same_as(theirs))
    if (
        (converted or reference.below or bool(theirs) != bool(unit))
        and given.decimals is not None
        and given.digits >= 2
    ):
        base = unit.to_base(reference.number) if unit else reference.number
        target = theirs.from_base(base) if theirs else base
        if round(target, given.decimals) == given.number:
            return True
    if (
        given.decimals is None
        and value.denominator > 1
        and not given.unit
        and unit
        and not unit.dims
        and reference.decimals
        and reference.digits > 2
    ):
        return round(value, reference.decimals) == reference.number  # 2/3 for 66.7 %
    if reference.decimals is None or not _ROUNDED.search(problem.question):
        return False
    step = stated(problem.question).step
    if step and reference.number % step == 0:
        return -step / 2 <= value - reference.number < step / 2
    return abs(value - reference.number) < 1 and round(value, reference.decimals) == reference.number


def _calendar(unit: Unit, theirs: Unit, reference: Quantity, given: Quantity) -> bool:
    """Whether months or years stand against days or weeks, and the two agree for some length of the month."""
    if unit.dims != theirs.dims or unit.dims != (("time", 1),) or (unit.scale >= _MONTH) == (theirs.scale >= _MONTH):
        return False
    months, days = (reference, given) if unit.scale >= _MONTH else (given, reference)
    count = abs(months.base) / _MONTH
    return 28 * count <= abs(days.base) / _DAY <= 31 * count


def _other_dimension(reference: Quantity, given: Quantity, ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> Finding:
    wanted = reference.unit.symbol if reference.unit else "a plain number"
    has = given.unit.symbol if given.unit else "no unit"
    swapped = {d for d, _ in set(ours) ^ set(theirs)}
    if swapped in ({"body mass", "amount"}, {"osmoles", "amount"}) or (
        swapped == {"body mass", "volume"} and "osmoles" in dict(ours)
    ):  # mg per g or mmol of creatinine; mOsm, mmol per kg
        return Finding("abstain", f"{has} converts to {wanted} only where the substance is known")
    if swapped <= _SAME_SUBSTANCE and (given.number != reference.number or swapped == {"amount", "charge"}):
        return Finding("abstain", f"{has} converts to {wanted} only where the substance is known")
    return Finding("wrong", f"the unit is {has} where {wanted} is wanted")


def _in_time(question: str, quantity: Quantity) -> Quantity:
    """`quantity` in so much time, where it is a bare count and the question asks for that: 120次 of 每分钟多少次."""
    unit = quantity.unit
    if unit is None or not unit.dims or not dict(unit.dims).keys() <= _COUNTED:
        return quantity
    wanted = wanted_unit(question)[0]
    timed = wanted is not None and ("time", -1) in wanted.dims and not dict(wanted.dims).keys() - _COUNTED - {"time"}
    return replace(quantity, unit=wanted) if timed else quantity


def _scored(question: str, quantity: Quantity) -> Quantity:
    """`quantity` without 分 where that is points of a score, not minutes."""
    if quantity.unit and quantity.unit.symbol == "分" and _POINTS.search(question):
        return replace(quantity, unit=None)
    return quantity
