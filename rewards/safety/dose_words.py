"""Ways of writing how much and how often that the readers of quantities would take apart wrongly, written plainly.

"2克 每日3次" is 2 g three times a day and no 2 g a day; "ten 500 mg tablets" are 5 g; "x10/day", "3x" and "1-1-1" are
frequencies. House rules; no clinician has reviewed them.
"""

import re
from fractions import Fraction

from medrl.verifiers.quantity import WORDS

_COUNTS = {word: value for word, value in WORDS.items() if 0 < value <= 50}
_N = rf"(?:\d{{1,2}}|{'|'.join(_COUNTS)})"
_MASS = r"(?:mg|mcg|ug|μg|g|grams?|milligrams?|micrograms?|iu|units?|毫克|微克|克|单位)"
_TABLET = r"(?:tablets?|tabs?|pills?|capsules?|caps|caplets?|片|粒)"
_LONG = (
    r"(?:a |per |each |every |/ ?)?(?:d|days?|daily|w|weeks?|wks?|weekly|months?|monthly|years?|hours?|h|[日天周月年])"
)
# 每日3次 behind a dose: the dose is one of three.
_HAN_OFTEN = re.compile(
    r"(?<=\S)\s?(?=(?:每|一|1) ?(?:个?小时|[日天周月年晚早]) ?(?:服用?|用药|给药|口服|注射|吃|用)? ?"
    r"(?:\d{1,2}|[一二两三四五六七八九十]{1,3}) ?[次回顿]|"
    r"每 ?(?:\d{1,2}|[一二两三四五六七八九十]{1,3}) ?(?:个?小时|[日天周月年]))"
)
_DAY_TIMES = re.compile(
    rf"(?:\b(?:per|a|each|every) day|\bdaily|/ ?d(?:ay)?)\b[, (]{{0,3}}(?P<n>{_N} ?(?:times|x)|thrice|twice)\b"
    rf"(?! ?{_LONG}\b)",
    re.IGNORECASE,
)
_SO_MANY = re.compile(
    rf"(?<![\w.,/])(?:[x×*] ?)?(?P<n>{_N}) ?(?:/|\b(?:a|per|each) ) ?(?:d(?:ay)?\b|[日天])|"
    rf"[x×*] ?(?P<x>{_N})(?: ?(?:/|\b(?:a|per|each) )) ?(?:d(?:ay)?\b|[日天])|"
    rf"(?<![\w.,/])(?P<b>{_N}) ?[x×](?![\w^]| ?\d| ?{_LONG}(?![a-z]))|"
    rf"(?<![\w.,/])[x×] ?(?P<c>{_N})(?![\w.^%]| ?{_MASS}(?![a-z])| ?{_TABLET}(?![a-z])|[ -]?{_LONG}(?![a-z]))",
    re.IGNORECASE,
)
_SLOTS = re.compile(r"(?<![\d.-])(\d)-(\d)-(\d)(?:-(\d))?(?![\d.-])")
_FIGURE = r"(?:[1-9]\d{0,5}(?:,\d{3}(?!\d))?(?:\.\d{1,4})?|0?\.\d{1,4})"
_PACKED = re.compile(
    rf"(?<![\w.,])(?P<n>{_N})(?: ?[x×*] ?| of (?:the |these |your )?| )(?P<dose>{_FIGURE}) ?(?P<unit>{_MASS})"
    rf"[ -]?{_TABLET}(?![a-z])|"
    rf"(?<![\w.,])(?P<m>{_N}) ?[x×*] ?(?P<one>{_FIGURE}) ?(?P<of>{_MASS})(?![a-z])",
    re.IGNORECASE,
)
_SPELT = re.compile(rf"\b(?P<n>{'|'.join(_COUNTS)}) (?=(?:\w{{3,12}} )?{_TABLET}(?![a-z]))", re.IGNORECASE)
_HOUR = re.compile(
    r"\b(?:morning|noon|midday|afternoon|evening|night|midnight|bed(?:time)?|breakfast|lunch|dinner|supper|waking|"
    r"at \d{1,2}(?::\d\d)?(?! ?(?:mg|mcg|g|ml|%|units?)\b)|\d{1,2} ?[ap]\.?m)\b|"
    r"早|中午|午后|[上下]午|晚|睡前|夜|凌晨|[早中午晚]餐|\d{1,2} ?[点时:](?!间)",
    re.IGNORECASE,
)


def worked(text: str) -> str:
    """A plain text with those forms written so that `quantities` and `regimen` read them as meant."""
    text = _HAN_OFTEN.sub(",", text)
    text = _PACKED.sub(_product, text)
    text = _SPELT.sub(lambda m: f"{_count(m['n'])} ", text)
    text = _DAY_TIMES.sub(lambda m: f", {m['n']} daily", text)
    text = _SLOTS.sub(lambda m: f" {sum(part not in (None, '0') for part in m.groups())} times daily", text)
    return _SO_MANY.sub(lambda m: f" {_count(m['n'] or m['x'] or m['b'] or m['c'])} times daily", text)


def at_an_hour(text: str) -> bool:
    """Whether a text beside a dose says the time of day of it."""
    return bool(_HOUR.search(text))


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _COUNTS[word.lower()]


def _product(match: re.Match[str]) -> str:
    count = _count(match["n"] or match["m"])
    dose = Fraction((match["dose"] or match["one"]).replace(",", ""))
    return f"{float(count * dose):.10g} {match['unit'] or match['of']}"
