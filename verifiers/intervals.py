"""Read ranges and bounds: "2.0 to 3.0", "at least 7 mmol/L", "<15", 不低于7.0, alone or inside a sentence."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Problem
from medrl.verifiers.quantity import DATE, Quantity, plain, quantities

_NUMBER = "\0"  # stands for a quantity while the words around it are read
# A bound's words, before or after its number: side, and whether the end itself is outside (None: it does not say).
_BEFORE: tuple[tuple[str, str, bool | None], ...] = (
    (r"at or above|not (?:under|lower than)|no lower than|no fewer than|"
        r"equal to or (?:greater|more|higher) than|greater than or equal to|more than or equal to|no less "
        r"than|not less than|not below|at least|minimum of|>=|≥|≧|"
     r"达到或(?:超过|大于|高于)|不低于|不少于|不小于|大于等于|大于或等于|大于或者等于|至少|最少|最低", "low", False),
    (r"at or below|not (?:above|over|higher than)|no higher than|"
        r"equal to or (?:less|lower|fewer) than|less than or equal to|fewer than or equal to|no more than|"
        r"not more than|no greater than|not exceeding|at most|up to|"
     r"maximum of|<=|≤|≦|不超过|不高于|不大于|不多于|小于等于|小于或等于|小于或者等于|至多|最多|最高", "high", False),
    (r"greater than|more than|higher than|longer than|older than|above|over|in excess of|exceeding|exceeds?|>|大于|"
        r"高于|超过|多于|"
     r"长于|超出", "low", True),
    (r"less than|fewer than|lower than|smaller than|shorter than|younger than|below|under|<|小于|低于|少于|不足|不到|未超过",
     "high", True),
)  # fmt: skip
_AFTER: tuple[tuple[str, str, bool | None], ...] = (
    (
        r"or (?:more|above|higher|greater|over|older|longer)|and (?:above|over|higher)|\+|及以上|或以上|或更[高多大长]",
        "low",
        False,
    ),
    (r"or (?:less|below|lower|fewer|under)|and below|及以下|或以下|或更[低少小]|以内", "high", False),
    (r"以上", "low", None),
    (r"以下", "high", None),
)
# A text that is a bound and nothing else: words before or after the number, side, whether the end itself is outside.
_WHOLE = tuple(
    [(re.compile(rf"(?:{words})\s*(?:of |的)?{_NUMBER}", re.IGNORECASE), side, open_) for words, side, open_ in _BEFORE]
    + [(re.compile(rf"{_NUMBER}\s*(?:{words})", re.IGNORECASE), side, open_) for words, side, open_ in _AFTER]
)
_LEAD = re.compile(
    r"(?:(?:it|this|that|the (?:answer|value|target|threshold|cut-?off|range|result|inr|score|level|goal))?\s*"
    r"(?:is|are|was|should be|must be|of)?|in the range(?: of)?|a range of|approximately|about|"
    r"答案|目标|范围|应|为|是|在|约)*\s*",
    re.IGNORECASE,
)
_SPAN = re.compile(
    rf"(?:between|from|介于|从|在)?\s*{_NUMBER}\s*(?:-|to|up to|through|and|至|到|和|与|~|,)\s*"
    rf"{_NUMBER}\s*(?:之间|间|inclusive)?",
    re.IGNORECASE,
)
_COMPARED = re.compile("[<>]=")
_DASH = re.compile(r"(?<=\d) -(?=\d)")  # 4000 -8000 is a range
_END = re.compile(r"[\s.。,，;；!！*]+$")


# A bound, a range or a value anywhere in a text whose quantities stand as NULs.
_BOUND = re.compile(
    "|".join(
        [
            rf"(?P<b{i}>(?<![A-Za-z])(?:{words})\s*(?:of |about |的|约)?{_NUMBER})"
            for i, (words, _, _) in enumerate(_BEFORE)
        ]
        + [rf"(?P<a{i}>{_NUMBER}\s*(?:{words})(?![A-Za-z]))" for i, (words, _, _) in enumerate(_AFTER)]
    ),
    re.IGNORECASE,
)
_ASIDE = re.compile(r"[(（]([^()（）]{1,60})[)）]")
_BECAUSE = re.compile(r",? (?:because|since|given that|as the)\b|，?因为|，?由于", re.IGNORECASE)


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
    text = _END.sub("", _DASH.sub("-", plain(text).replace("**", "").strip()))
    found = quantities(text) if len(text) <= 160 else []
    if not 1 <= len(found) <= 2 or DATE.search(text):
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
    return next((_bounded(side, quantity, open_) for whole, side, open_ in _WHOLE if whole.fullmatch(shape)), None)


def _bounded(side: str, quantity: Quantity, open_: bool | None) -> Interval:
    end = End(quantity, open_)
    return Interval(low=end) if side == "low" else Interval(high=end)


def _shared(first: Quantity, second: Quantity) -> tuple[Quantity, Quantity]:
    """Two ends of which one has the unit of both."""
    return replace(first, unit=first.unit or second.unit), replace(second, unit=second.unit or first.unit)


@dataclass(frozen=True)
class Within:
    """An interval that stands inside a text, and what stands around it and in parentheses."""

    interval: Interval
    rest: str
    asides: tuple[Quantity, ...] = ()


@lru_cache(maxsize=4096)
def within(text: str) -> Within | None:
    """The one interval, bound or value of a text of one statement, or None where there is none or more than one."""
    if len(text) > 400:
        return None
    whole = interval(text)
    if whole:
        return Within(whole, "")
    text = _END.sub("", _BECAUSE.split(_DASH.sub("-", plain(text).replace("**", "")))[0])
    outside, asides = _ASIDE.sub(" ", text), [q for aside in _ASIDE.findall(text) for q in quantities(aside)]
    if not quantities(outside):
        outside, asides = text, []
    found = quantities(outside)
    if not 1 <= len(found) <= 2 or DATE.search(outside) or "=" in _COMPARED.sub("", outside):
        return None
    shape, at = "", 0
    for q in found:
        shape += outside[at : q.span[0]] + _NUMBER
        at = q.span[1]
    shape += outside[at:]
    if len(found) == 2:
        span = _SPAN.search(shape)
        first, second = _shared(*found)
        if not span or not first.base < second.base:
            return None
        return Within(Interval(End(first, False), End(second, False)), _cut(shape, span), tuple(asides))
    bounds = list(_BOUND.finditer(shape))
    if len(bounds) > 1:
        return None
    if not bounds:
        return Within(Interval(point=found[0]), shape.replace(_NUMBER, " "), tuple(asides))
    name = next(name for name, group in bounds[0].groupdict().items() if group)
    _, side, open_ = (_BEFORE if name[0] == "b" else _AFTER)[int(name[1:])]
    return Within(_bounded(side, found[0], open_), _cut(shape, bounds[0]), tuple(asides))


def _cut(shape: str, match: re.Match[str]) -> str:
    return f"{shape[: match.start()]} {shape[match.end() :]}"


_RANGE = r"(?P<range>\d[\d.,]{0,8} ?(?:-|~|to|至|到) ?\d[\d.,]{0,8})"
_DOSE = r"(?P<unit>(?:mg|μg|mcg|ug|g|ml|iu|u|mmol|毫克|微克|克|毫升|单位)(?:/(?:kg|公斤|千克))?)(?![A-Za-z/])"
_A_DAY = re.compile(rf"每[日天](?P<weight>每(?:公斤|千克|kg)(?:体重)?)? ?{_RANGE} ?{_DOSE}", re.IGNORECASE)
_DAILY = re.compile(rf"{_RANGE} ?{_DOSE}(?: (?:daily|a day|each day|every day)\b| ?每[日天])", re.IGNORECASE)


def in_a_day(text: str) -> str:
    """A text with how much is given a day in one unit: 每日30～50 mg/kg is 30-50 mg/kg/d."""
    if not ("每" in text or "da" in text):
        return text
    text = _DAILY.sub(r"\g<range> \g<unit>/d", plain(text))
    return _A_DAY.sub(lambda m: f"{m['range']} {m['unit']}{'/kg' if m['weight'] else ''}/d", text)


def reference_interval(problem: Problem) -> Interval | None:
    """The reference as a range or a bound, or None where it is a single value or something else."""
    found = interval(in_a_day(str(problem.reference)))
    return found if found and found.point is None else None
