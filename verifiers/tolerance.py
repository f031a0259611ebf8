"""How far from the reference a number may be: the problem's own limits, or what its question says.

"5 % tolerance", "answers within 2 mmHg are accepted", "(±0.5)", 误差不超过0.2; "to the nearest 10", 精确到十位. What a
question tells of its patient ("within 2 hours", "5.0 ± 0.4") is no tolerance.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from medrl.types import Problem
from medrl.verifiers.quantity import Quantity, plain
from medrl.verifiers.units import Unit, read_unit, unknown_word

_N = r"(?P<n{}>\d{{1,6}}(?:\.\d{{1,6}})?)"
_PLUS = r"(?:±|\+/-|\+-|plus or minus)"
_WITHIN = rf"(?:{_PLUS}|within ?{_PLUS}?|(?:by )?up to|at most|no more than)"
_ACCEPTED = r"(?:accept\w*|correct|allowed|tolerated|fine)"
# Each names the amount; what follows it is its unit, or the sign of a share. Without a word of acceptance, "within 2 hours"
# or "an error of 5 mg" is the patient's story.
_ENGLISH = (
    rf"\b(?:answers?|responses?) (?:may |that (?:is|are) |can )?(?:be |deviate |differ |off )?{_WITHIN} ?{_N.format(0)}",
    rf"\b(?:accept\w*|allow\w*|correct to) (?:\w+ ){{0,4}}(?:{_WITHIN}|(?:error|deviation) of) ?{_N.format(1)}",
    rf"(?:^|[(,;.?:] ?|\b(?:a|the|with|use|allowed|absolute|accepted) )(?:tolerance|margin of error|error margin|"
    rf"allowed error)"
    rf"(?: is| of|:|=)? ?{_WITHIN}? ?{_N.format(2)}",
    rf"{_WITHIN} ?{_N.format(3)}(?=[^.;?\d]{{0,40}}\b(?:(?:is|are|will be|counts? as) {_ACCEPTED}|tolerance)\b)",
    rf"(?<![\d%] )(?<!\d)[(,;] ?{_PLUS} ?{_N.format(4)}(?=[^\d(]{{0,12}}\)[.?]? ?$)",
    rf"(?<!\d )(?<![\d(])(?:[,;:.?] |\b(?:answer|result) ){_PLUS} ?{_N.format(5)}(?=[^\d.?]{{0,12}}[.?]? ?$)",
    rf"{_N.format(6)}(?= ?(?:%|percent|[A-Za-z/]{{1,8}}) (?:tolerance|margin of error)\b| ?% (?:error|margin)\b)",
)
_CHINESE = (
    rf"(?:误差|偏差|公差|容差)(?:应|须|需|在|范围|为|是|值|限)*(?:不超过|小于|不大于|低于|≤|<|±|正负|在|为|是|范围|"
    rf":)+ ?(?:±)? ?{_N.format(7)}",
    rf"(?:误差|偏差|公差|容差) ?{_N.format(8)}(?= ?(?:%|percent|[^\d。；]{{0,8}}(?:以内|之内|均可|可接受)))",
    rf"(?:上下|正负|±|相差不超过|相差) ?{_N.format(9)}(?=[^\d。；]{{0,12}}(?:均可|均算|都算|都可|可接受|算对|正确))",
    rf"允许(?:误差|偏差)?(?:为|是|有|在|范围|±|不超过)*{_N.format(10)}",
    rf"允许 ?{_N.format(11)}(?=[^\d。；]{{0,8}}(?:误差|偏差))",
)
_STATED = re.compile("|".join((*_ENGLISH, *_CHINESE)), re.IGNORECASE)
_SHARE = re.compile(r" ?(?:%|percent|per cent|个百分点)", re.IGNORECASE)
_WITHIN_SHARE = re.compile(r"\bwithin (\d{1,2}(?:\.\d{1,3})?) ?(?:%|percent)", re.IGNORECASE)
_MAY = re.compile(
    r"±|\+/-|plus or minus|within|toleran|margin|error|deviat|accept|误差|偏差|相差|公差|容差|允许|上下|正负"
)
_NEAREST = re.compile(
    r"\bnearest (?P<word>half|ten|hundred|thousand|tenth|hundredth|thousandth|whole|integer|unit)\b|\bnearest "
    r"(?P<step>\d{1,4}(?:\.\d{1,3})?)|"
    r"精确到(?:小数点后)?(?P<place>十分位|百分位|个位|十位|百位|[一二三123]位)|精确到 ?(?P<fine>\d{1,3}(?:\.\d{1,3})?)",
    re.IGNORECASE,
)
_STEPS = {
    "half": "0.5", "ten": "10", "hundred": "100", "thousand": "1000", "tenth": "0.1", "hundredth": "0.01",
    "thousandth": "0.001", "whole": "1", "integer": "1", "unit": "1", "十分位": "0.1", "百分位": "0.01", "个位": "1",
    "十位": "10", "百位": "100", "一位": "0.1", "二位": "0.01", "三位": "0.001", "1位": "0.1", "2位": "0.01", "3位": "0.001",
}  # fmt: skip
_SPREAD = ("sd", "sds", "se", "sem", "standard", "sigma")
_ZERO = Fraction(0)


@dataclass(frozen=True)
class Stated:
    """What a question says of closeness: a share of the reference, a distance from it, a step to which it is rounded."""

    share: Fraction = _ZERO
    margin: Fraction = _ZERO
    unit: Unit | None = None
    step: Fraction = _ZERO


@lru_cache(maxsize=2048)  # a question may hold a whole note, and comes back with every answer
def stated(question: str) -> Stated:
    """What a question says; nothing of it where it is silent."""
    text = plain(question)
    lower = text.lower()
    nearest = _NEAREST.search(text) if "nearest" in lower or "精确到" in text else None
    step = _ZERO
    if nearest:
        word = (nearest["word"] or nearest["place"] or "").lower()
        step = Fraction(_STEPS.get(word) or nearest["step"] or nearest["fine"] or "0")
    if not _MAY.search(lower):
        return Stated(step=step)
    found = _STATED.search(text)
    if found:
        amount = next(group for group in found.groups() if group)
        end = next(found.end(name) for name, group in found.groupdict().items() if group)
        if _SHARE.match(text, end):
            return Stated(share=Fraction(amount) / 100, step=step)
        if unknown_word(text, end).lower() in _SPREAD:
            return Stated(step=step)
        return Stated(margin=Fraction(amount), unit=read_unit(text, end)[0], step=step)
    share = _WITHIN_SHARE.search(text)
    return Stated(share=Fraction(share[1]) / 100 if share else _ZERO, step=step)


def limits(metadata: Mapping[str, Any]) -> tuple[Fraction, Fraction] | None:
    """The lowest and the highest value that a problem accepts, where it says so."""
    low = metadata.get("lower_limit", metadata.get("Lower Limit"))
    high = metadata.get("upper_limit", metadata.get("Upper Limit"))
    if low is None or high is None:
        return None
    ends = sorted(Fraction(str(end).replace(",", "").strip()) for end in (low, high))
    return ends[0], ends[1]


def allowed(problem: Problem, reference: Quantity, unit: Unit | None, default: float) -> Fraction:
    """The distance from the reference, in `unit`, that the problem accepts, else `default` as a share of it."""
    given = problem.metadata.get("tolerance")
    if given is not None:
        return Fraction(str(given)) * abs(reference.number)
    said = stated(problem.question)
    if said.margin:
        if said.unit is None or unit is None:
            return said.margin
        if said.unit.dims == unit.dims and said.unit.scale and unit.scale:
            return said.margin * said.unit.scale / unit.scale
    share = said.share or _exact(default)
    return share * abs(reference.number) if share else _ZERO


@lru_cache(maxsize=64)
def _exact(share: float) -> Fraction:
    """A share as it is written: 0.05 is a twentieth."""
    return Fraction(str(share))


def has_limits(problem: Problem) -> bool:
    """Whether a problem accepts more than one value: by limits, or by a tolerance of its own."""
    said = stated(problem.question)
    return limits(problem.metadata) is not None or bool(problem.metadata.get("tolerance") or said.share or said.margin)
