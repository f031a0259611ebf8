"""Amounts that a rule reads as one though they are written as more: 7 lb 1 oz, 5 ft 10 in, three-fold, 3 times the risk."""

import re
from fractions import Fraction

from medrl.verifiers.comparison import Finding
from medrl.verifiers.quantity import WORDS, Quantity, plain

_POUNDS = re.compile(
    r"(?:about |approximately )?(?P<large>\d{1,3}) ?(?:lbs?|pounds?)\.?,?(?: and)? ?(?P<small>\d{1,2}) ?(?:oz|ounces?)\.?",
    re.IGNORECASE,
)
_FEET = re.compile(
    r"(?:about |approximately )?(?P<large>\d) ?(?:ft|foot|feet|['′’])\.?,?(?: and)? ?(?P<small>\d{1,2}) ?"
    r"(?:in|inch(?:es)?|[\"″”]|'')?\.?(?: tall)?",
    re.IGNORECASE,
)
# Each with its dimension, how many of the small unit make one of the large, and the small one in g or m.
_KINDS = (
    (_POUNDS, "mass", 16, Fraction("28.349523125")),
    (_FEET, "length", 12, Fraction("0.0254")),
)


def in_two_units(reference: Quantity, text: str) -> Finding | None:
    """Whether pounds and ounces, or feet and inches, are a metric reference to the nearest ounce or inch; None of others."""
    if reference.unit is None or reference.below:
        return None
    for pattern, dimension, many, small in _KINDS:
        match = pattern.fullmatch(text.strip(" .")) if reference.unit.dims == ((dimension, 1),) else None
        if match is None or int(match["small"]) >= many:
            continue
        said = int(match["large"]) * many + int(match["small"])
        off = abs(reference.base / small - said)
        if off <= Fraction(1, 2):
            return Finding("right", f"it is {said} of the smaller unit, the nearest to the reference")
        return Finding(
            "wrong" if off > 1 else "abstain", f"it is {float(off):.1f} of the smaller unit off the reference"
        )
    return None


_ASKS_RATIO = re.compile(
    r"\b(?:relative risk|risk ratio|odds ratio|hazard ratio|rate ratio|prevalence ratio|likelihood ratio|ratio|"
    r"how many times|how much (?:more|higher|greater)|-?fold)\b|比值比|相对危险度|风险比|几倍|多少倍",
    re.IGNORECASE,
)
_FOLD = re.compile(
    rf"(?:about |a )?(?P<n>\d{{1,3}}(?:\.\d{{1,3}})?|{'|'.join(sorted(WORDS, key=len, reverse=True))})(?:[- ]?fold(?: risk)?|"
    r" times(?: (?:the risk|as (?:likely|high|much|great|common)))?| ?倍)",
    re.IGNORECASE,
)


def without_fold(question: str, reference: Quantity, text: str) -> str:
    """The figure of "three-fold" or "3 times the risk", where the question asks for a ratio; else the text as it is."""
    if reference.unit is not None or len(text) > 40 or not _ASKS_RATIO.search(question):
        return text
    match = _FOLD.fullmatch(text.strip(" ."))
    return match["n"] if match else text


def without_factor(question: str, reference: str, text: str) -> str:
    """An answer without the power of ten and the unit that the question states in parentheses: (×10⁹/L)."""
    asked = _FACTOR.search(plain(question)) if "10" in question else None
    if asked is None or "10" in reference or "10" not in text:
        return text
    return re.sub(rf"(?<=\d) ?[×x*] ?10\^{asked['power']} ?/ ?L(?![A-Za-z])", "", plain(text))


_FACTOR = re.compile(r"\((?:单位:? ?)?[×x*] ?10\^(?P<power>\d{1,2}) ?/ ?L\)")


def is_sum_of(text: str, whole: Quantity) -> bool:
    """Whether the one parenthesis of a text is a sum that comes to a number: 7 (2+2+1+1+1)."""
    summed = _SUM.search(plain(text)) if "+" in text and text.count("(") == 1 else None
    return summed is not None and sum(map(int, summed["parts"].split("+"))) == whole.number


_SUM = re.compile(r"\((?P<parts>\d{1,3}(?: ?\+ ?\d{1,3}){1,11})\)")
