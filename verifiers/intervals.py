"""Ranges and bounds: "2.0 to 3.0", "at least 7 mmol/L", "<15", 不低于7.0.

Thresholds are exact: both ends must agree, and "less than" is not "at most" where both say which they mean.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Problem, Verdict
from medrl.verifiers.comparison import Finding, compare
from medrl.verifiers.extract import Extracted
from medrl.verifiers.quantity import DATE, Quantity, plain, quantities

_NUMBER = "\0"  # stands for a quantity while the words around it are read
# A bound's words, before or after its number: side, and whether the end itself is outside (None: it does not say).
_BEFORE: tuple[tuple[str, str, bool | None], ...] = (
    (r"greater than or equal to|more than or equal to|no less than|not less than|not below|at least|minimum of|>=|≥|≧|"
     r"不低于|不少于|不小于|大于等于|大于或等于|大于或者等于|至少|最少|最低", "low", False),
    (r"less than or equal to|fewer than or equal to|no more than|not more than|no greater than|not exceeding|at most|up to|"
     r"maximum of|<=|≤|≦|不超过|不高于|不大于|不多于|小于等于|小于或等于|小于或者等于|至多|最多|最高", "high", False),
    (r"greater than|more than|higher than|above|over|exceeding|exceeds|>|大于|高于|超过|多于", "low", True),
    (r"less than|fewer than|lower than|below|under|<|小于|低于|少于|不足|不到", "high", True),
)  # fmt: skip
_AFTER: tuple[tuple[str, str, bool | None], ...] = (
    (
        r"or (?:more|above|higher|greater|over|older)|and (?:above|over|higher)|\+|及以上|或以上|或更[高多大]",
        "low",
        False,
    ),
    (r"or (?:less|below|lower|fewer|under)|and below|及以下|或以下|或更[低少小]|以内", "high", False),
    (r"以上", "low", None),
    (r"以下", "high", None),
)
_LEAD = re.compile(
    r"(?:(?:it|this|that|the (?:answer|value|target|threshold|cut-?off|range|result|inr|score|level|goal))?\s*"
    r"(?:is|are|was|should be|must be|of)?|in the range(?: of)?|a range of|approximately|about|"
    r"答案|目标|范围|应|为|是|在|约)*\s*",
    re.IGNORECASE,
)
_SPAN = re.compile(
    rf"(?:between|from|介于|从|在)?\s*{_NUMBER}\s*(?:-|to|and|至|到|和|与|~|,)\s*{_NUMBER}\s*(?:之间|间|inclusive)?",
    re.IGNORECASE,
)
_ASKS_RANGE = re.compile(r"\brange\b|\binterval\b|\bbetween\b|范围|区间|之间", re.IGNORECASE)
_END = re.compile(r"[\s.。,，;；!！*]+$")


class End(NamedTuple):
    """One end of an interval; `open` is None where the words do not say whether the end belongs to it."""

    quantity: Quantity
    open: bool | None


@dataclass(frozen=True)
class Interval:
    """A range (both ends), a bound (one), or a single value (`point`)."""

    low: End | None = None
    high: End | None = None
    point: Quantity | None = None


@lru_cache(maxsize=4096)
def interval(text: str) -> Interval | None:
    """The interval or value that all of a text is, lead-in words aside, or None."""
    if len(text) > 200:
        return None
    text = _END.sub("", plain(text).replace("**", "").strip())
    if len(text) > 160 or DATE.search(text):
        return None
    found = quantities(text)
    if not 1 <= len(found) <= 2:
        return None
    shape, at = "", 0
    for q in found:
        shape += text[at : q.span[0]] + _NUMBER
        at = q.span[1]
    shape += text[at:]
    shape = shape[_LEAD.match(shape).end() :].strip()  # type: ignore[union-attr]
    if len(found) == 2:
        first, second = found
        if not _SPAN.fullmatch(shape):
            return None
        first, second = _shared(first, second)
        return Interval(End(first, False), End(second, False)) if first.base < second.base else None
    quantity = found[0]
    if shape == _NUMBER:
        return Interval(point=quantity)
    for words, side, open_ in _BEFORE:
        if re.fullmatch(rf"(?:{words})\s*(?:of |的)?{_NUMBER}", shape, re.IGNORECASE):
            return _bounded(side, quantity, open_)
    for words, side, open_ in _AFTER:
        if re.fullmatch(rf"{_NUMBER}\s*(?:{words})", shape, re.IGNORECASE):
            return _bounded(side, quantity, open_)
    return None


def _bounded(side: str, quantity: Quantity, open_: bool | None) -> Interval:
    end = End(quantity, open_)
    return Interval(low=end) if side == "low" else Interval(high=end)


def _shared(first: Quantity, second: Quantity) -> tuple[Quantity, Quantity]:
    """Two ends of which one has the unit of both."""
    return replace(first, unit=first.unit or second.unit), replace(second, unit=second.unit or first.unit)


def reference_interval(problem: Problem) -> Interval | None:
    """The reference as a range or a bound, or None where it is a single value or something else."""
    found = interval(str(problem.reference))
    return found if found and found.point is None else None


def decide(problem: Problem, wanted: Interval, answer: Extracted, tolerance: float) -> Verdict:
    """An answer against a reference that is a range or a bound."""
    given = interval(answer.text)
    if given is None:
        return Verdict.abstain("neither a range, a bound nor a value, as a whole")
    if any((other := interval(one)) and other != given for one in (*answer.earlier, *answer.after)):
        return Verdict.abstain("another range or value stands beside it")
    finding = _against_point(problem, wanted, given.point) if given.point else _ends(problem, wanted, given, tolerance)
    return {"right": Verdict.right, "wrong": Verdict.wrong, "abstain": Verdict.abstain}[finding.outcome](finding.reason)


def _against_point(problem: Problem, wanted: Interval, given: Quantity) -> Finding:
    ends = [end.quantity for end in (wanted.low, wanted.high) if end]
    outcomes = {compare(problem, end, given, 0.0).outcome for end in ends}
    ours, theirs = ends[0].unit, given.unit
    comparable = theirs is None or (ours is not None and ours.dims == theirs.dims)
    if _ASKS_RANGE.search(problem.question) and len(ends) == 2:
        return Finding("wrong", "one value where a range is asked")
    value = ours.from_base(theirs.to_base(given.number)) if ours and theirs and comparable else given.number
    inside = (wanted.low is None or value >= wanted.low.quantity.number) and (
        wanted.high is None or value <= wanted.high.quantity.number
    )
    if comparable and not inside and outcomes == {"wrong"}:
        return Finding("wrong", "a value outside the reference's range")
    return Finding("abstain", "one value where the reference is a range or a bound")


def _ends(problem: Problem, wanted: Interval, given: Interval, tolerance: float) -> Finding:
    outcomes: list[Finding] = []
    for ours, theirs in ((wanted.low, given.low), (wanted.high, given.high)):
        if (ours is None) != (theirs is None):
            return Finding("wrong", "it is bounded on another side than the reference")
        if ours is None or theirs is None:
            continue
        one_sided = wanted.low is None or wanted.high is None
        if one_sided and ours.open is not None and theirs.open is not None and ours.open != theirs.open:
            return Finding("wrong", "whether the end itself belongs to it differs")
        outcomes.append(compare(problem, ours.quantity, theirs.quantity, tolerance))
    for outcome in ("wrong", "abstain"):
        for finding in outcomes:
            if finding.outcome == outcome:
                return finding
    return Finding("right", "both ends agree" if len(outcomes) > 1 else "the bound agrees")
