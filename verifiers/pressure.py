"""A blood pressure against the reference: both numbers, in their order, with the side of a bound where there is one.

"<130/80 mmHg", "below 130/80", "systolic under 130 and diastolic under 80", 收缩压≥140和/或舒张压≥90; kPa converts. One
number of the pair is no pair. "and" and "or" between two bounds must agree where both say which they mean.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from medrl.types import Problem, Verdict
from medrl.verifiers.bounds import strange
from medrl.verifiers.comparison import Finding
from medrl.verifiers.extract import Extracted
from medrl.verifiers.quantity import Quantity, plain
from medrl.verifiers.reading import TAKES_BACK
from medrl.verifiers.tolerance import allowed

Side = Literal["low", "high"]
Joined = Literal["and", "or", "either", ""]
_UNIT = r"(?P<{0}> ?(?:mm ?hg|kpa|毫米汞柱|千帕|汞柱))?"
_N = r"\d{1,3}(?:\.\d{1,2})?"
_SIGNS: tuple[tuple[str, Side, bool], ...] = (
    (r">=|≥|≧|at or above|at least|no less than|not less than|not below|greater than or equal to|不低于|不小于|大于或?等于|"
        r"至少|达到", "low", False),
    (r"<=|≤|≦|at or below|at most|no more than|not more than|not above|up to|less than or equal to|不超过|不高于|不大于|"
        r"小于或?等于", "high", False),
    (r">|above|over|more than|greater than|higher than|exceed(?:s|ing)?|大于|高于|超过", "low", True),
    (r"<|below|under|less than|lower than|小于|低于|不到", "high", True),
)  # fmt: skip
_SIDES = tuple((re.compile(words, re.IGNORECASE), side, open_) for words, side, open_ in _SIGNS)
_SIGN = "|".join(words for words, _, _ in _SIGNS)
_PAIR = re.compile(
    rf"(?<![A-Za-z0-9_./])(?P<sign>{_SIGN})?\s*(?P<a>{_N}){_UNIT.format('u0')} ?/ ?(?P<b>{_N})(?![./]?\d){_UNIT.format('u1')}"
    r"(?P<after> ?(?:or (?:more|above|higher)|and above|及?以上|or (?:less|below|lower)|及?以下))?",
    re.IGNORECASE,
)
_SYSTOLIC = r"systolic(?: blood)?(?: pressure)?(?: \(?sbp\)?)?|sbp|收缩压|高压"
_DIASTOLIC = r"diastolic(?: blood)?(?: pressure)?(?: \(?dbp\)?)?|dbp|舒张压|低压"
_BETWEEN = r"[^\d.;。；]{0,24}?"


def _one(name: str, words: str) -> str:
    return (
        rf"(?:(?:{words})(?P<w{name}>[^\d.;。；<>≤≥]{{0,16}}?)(?P<s{name}>{_SIGN})?\s*(?P<n{name}>{_N})"
        rf"{_UNIT.format('u' + name)}"
        rf"(?P<t{name}> ?(?:or (?:more|above|higher)|及?以上|or (?:less|below|lower)|及?以下))?)"
    )


_NAMED = re.compile(
    rf"{_one('x', _SYSTOLIC)}(?P<join>{_BETWEEN})(?:of "
    rf")?{_one('y', _DIASTOLIC)}|{_one('p', _DIASTOLIC)}(?P<join2>{_BETWEEN})(?:of )?{_one('q', _SYSTOLIC)}",
    re.IGNORECASE,
)
_EITHER = re.compile(r"and ?/ ?or|和 ?/ ?或|及 ?/ ?或|或/和|和或", re.IGNORECASE)
_OR = re.compile(r"\bor\b|或", re.IGNORECASE)
_AND = re.compile(r"\band\b|[和且与及]", re.IGNORECASE)
_LATER = re.compile(
    rf"(?P<sx>{_SIGN})?\s*(?P<nx>{_N}){_UNIT.format('ux')},? "
    rf"\(?(?:{_SYSTOLIC})(?P<join>[^\d.;<>≤≥]{{0,16}}?)(?P<sy>{_SIGN})?\s*(?P<ny>{_N})"
    rf"{_UNIT.format('uy')},? \(?(?:{_DIASTOLIC})",
    re.IGNORECASE,
)
_OVER = re.compile(r"(?<=\d) over (?=\d)|(?<=[和及d]) ?\(或\)|(?<=and) ?\(or\)", re.IGNORECASE)
_ASKED = re.compile(r"blood pressure|\bBP\b|hypertens|hypotens|血压", re.IGNORECASE)
_KPA = re.compile(r"kpa|千帕", re.IGNORECASE)
_MMHG = re.compile(r"mm ?hg|汞柱", re.IGNORECASE)
_LEAST = 30  # mmHg; a smaller number is a stage or a count
_IN_KPA = Fraction("7.50061683")
_DENIES = re.compile(
    r"\b(?:not|never|except|rather|instead|but|unless|neither)\b|n't\b|不是|并非|除|而非", re.IGNORECASE
)
_CHOICE = re.compile(r"\bor\b|\beither\b|或", re.IGNORECASE)
_UPPER = re.compile(r"more|above|higher|以上", re.IGNORECASE)
_VAGUE = re.compile(" ?以[上下]")  # it does not say whether the end belongs to it
_TURNED = re.compile(r"\bnot\b|不(?![低高超小大])")
_WORD = re.compile(r"\w")
_DIGIT = re.compile(r"\d")
_ONE = re.compile(_N)
_ONLY_ONE = re.compile(rf"[^/]{{0,80}}?{_N}[^/]{{0,40}}")
_ASIDE = re.compile(r"\([^()]{0,80}\)")
_BECAUSE = re.compile(r",? (?:because|since|given that|as the)\b|,?因为|,?由于", re.IGNORECASE)
_ABOUT = re.compile(
    r"blood pressure|\bBP\b|\bsystolic\b|\bdiastolic\b|\bS?BP\b|\bDBP\b|\btarget\b|\bgoal\b|\bmost\b|\bpatients?\b|"
    r"\b(?:mm ?hg|kpa)\b|血压|毫米汞柱|千帕|控制在?|患者|目标值?|水平",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Pair:
    """A blood pressure in mmHg, or two bounds of one side; `open` is None where the words do not say."""

    systolic: Fraction
    diastolic: Fraction
    side: Side | None = None
    open: bool | None = None
    joined: Joined = ""
    kpa: bool | None = None


@dataclass(frozen=True)
class Reading:
    """The pairs of a text, and what is left of it."""

    pairs: tuple[Pair, ...]
    rest: str


def reference_pair(reference: str, question: str) -> Pair | None:
    """The reference as one pair that is all of it, of a question about blood pressure or with a unit of pressure."""
    told = "/" in reference or "压" in reference or "stolic" in reference.lower() or "BP" in reference
    return _whole_pair(reference, question) if told and len(reference) <= 120 else None


@lru_cache(maxsize=4096)
def _whole_pair(reference: str, question: str) -> Pair | None:
    found = read_pairs(plain(reference))
    if len(found.pairs) != 1 or _WORD.search(_ABOUT.sub("", found.rest)):
        return None
    pair = found.pairs[0]
    return pair if pair.kpa is not None or _ASKED.search(question) or "压" in reference else None


def read_pairs(text: str) -> Reading:
    """Every pair of a plain text."""
    pairs: list[Pair] = []

    def named(match: re.Match[str]) -> str:
        first, second = ("x", "y") if match["nx"] else ("q", "p")
        above, below = _end(match, first), _end(match, second)
        if above is None or below is None:
            return match[0]
        (upper, side, open_), (lower, other, _) = above, below
        if side and other and side != other:
            return match[0]
        pairs.append(
            Pair(upper, lower, side or other, open_, _joined(match["join"] or match["join2"] or ""), _kpa(match[0]))
        )
        return " "

    def later(match: re.Match[str]) -> str:
        (side, open_), (other, _) = _side(match["sx"], None), _side(match["sy"], None)
        if side and other and side != other:
            return match[0]
        kpa = _kpa(match[0])
        upper, lower = (Fraction(match[name]) * (_IN_KPA if kpa else 1) for name in ("nx", "ny"))
        pairs.append(Pair(upper, lower, side or other, open_, _joined(match["join"]), kpa))
        return " "

    def written(match: re.Match[str]) -> str:
        side, open_ = _side(match["sign"], match["after"])
        kpa = _kpa(match[0])
        factor = _IN_KPA if kpa else Fraction(1)
        pairs.append(Pair(Fraction(match["a"]) * factor, Fraction(match["b"]) * factor, side, open_, "", kpa))
        return " "

    text = _OVER.sub(lambda m: "/" if "over" in m[0].lower() else "/或", text)
    rest = _PAIR.sub(written, _LATER.sub(later, _NAMED.sub(named, text)))
    return Reading(tuple(pairs), rest)


def _end(match: re.Match[str], name: str) -> tuple[Fraction, Side | None, bool | None] | None:
    if _TURNED.search(match["w" + name]):
        return None
    side, open_ = _side(match["s" + name], match["t" + name])
    return Fraction(match["n" + name]) * (_IN_KPA if _kpa(match[0]) else 1), side, open_


def _side(sign: str | None, after: str | None) -> tuple[Side | None, bool | None]:
    for words, side, open_ in _SIDES if sign else ():
        if words.fullmatch(sign or ""):
            return side, open_
    if after:
        return ("low" if _UPPER.search(after) else "high"), (None if _VAGUE.fullmatch(after) else False)
    return None, None


def _kpa(text: str) -> bool | None:
    """Whether a pair is in kPa; None where it has no unit."""
    return True if _KPA.search(text) else False if _MMHG.search(text) else None


def _joined(words: str) -> Joined:
    return "either" if _EITHER.search(words) else "or" if _OR.search(words) else "and" if _AND.search(words) else ""


def decide(problem: Problem, wanted: Pair, answer: Extracted) -> Verdict:
    """An answer against a reference that is a blood pressure."""
    finding = _finding(problem, wanted, answer.text)
    if finding.outcome == "abstain":
        return Verdict.abstain(finding.reason)
    if any(TAKES_BACK.search(piece) for piece in answer.after):
        return Verdict.abstain("what follows the answer may take it back")
    if finding.outcome == "wrong":
        return Verdict.wrong(finding.reason)
    if any(_finding(problem, wanted, text).outcome == "wrong" for text in answer.earlier):
        return Verdict.wrong(f"two answers, neither taken back: {answer.earlier[0]!r:.40} and {answer.text!r:.40}")
    if any(
        read_pairs(plain(piece)).pairs and _finding(problem, wanted, piece).outcome != "right" for piece in answer.after
    ):
        return Verdict.abstain("another blood pressure follows the answer")
    return Verdict.right(finding.reason)


def _finding(problem: Problem, wanted: Pair, text: str) -> Finding:
    text = _BECAUSE.split(plain(text[:600]).replace("**", ""))[0]
    text = _OVER.sub(lambda m: "/" if "over" in m[0].lower() else "/或", text)
    outside, asides = (
        _ASIDE.sub(" ", text),
        [pair for aside in _ASIDE.findall(text) for pair in read_pairs(aside[1:-1]).pairs],
    )
    found = read_pairs(outside)
    if not found.pairs:
        found, asides = read_pairs(text), []
    if not found.pairs:
        return _single(wanted, text)
    if _DENIES.search(found.rest) or _CHOICE.search(found.rest):
        return Finding("abstain", "the answer negates or offers a choice")
    if _DIGIT.search(found.rest):
        return Finding("abstain", "other numbers stand beside it")
    first = found.pairs[0]
    asides = [replace(pair, side=pair.side or first.side, open=first.open) for pair in asides]
    findings = [_compare(problem, wanted, pair) for pair in (*found.pairs, *asides)]
    if len({finding.outcome for finding in findings}) > 1:
        return Finding("abstain", "several blood pressures, of which only some agree")
    if findings[0].outcome == "right":
        beside = strange(problem, _ABOUT.sub(" ", found.rest))
        if beside:
            return Finding("abstain", f"{beside!r:.40} stands beside it")
    return findings[0]


def _single(wanted: Pair, text: str) -> Finding:
    """An answer without a pair: wrong where it is one number with nothing that could be the other."""
    numbers = _ONE.findall(text)
    if (
        len(numbers) == 1
        and (float(numbers[0]) >= _LEAST or _kpa(text) is not None)
        and not _DENIES.search(text)
        and _ONLY_ONE.fullmatch(text)
    ):
        return Finding("wrong", "one number where a systolic and a diastolic pressure are wanted")
    return Finding("abstain", "there is no blood pressure in the answer")


def _compare(problem: Problem, wanted: Pair, given: Pair) -> Finding:
    far = allowed(problem, Quantity(wanted.systolic, None, (0, 0)), None, 0.0)
    converted = wanted.kpa != given.kpa and True in (wanted.kpa, given.kpa)
    for ours, theirs in ((wanted.systolic, given.systolic), (wanted.diastolic, given.diastolic)):
        # 16/10.7 kPa stands for 120/80 mmHg: a tenth of a kPa is 0.75 mmHg.
        if abs(ours - theirs) > max(far, Fraction(1, 2) if converted else Fraction(0)):
            shown = f"{float(given.systolic):.4g}/{float(given.diastolic):.4g}"
            return Finding("wrong", f"{shown} is not {float(wanted.systolic):.4g}/{float(wanted.diastolic):.4g}")
    if wanted.side != given.side:
        both = wanted.side and given.side
        return Finding("wrong" if both else "abstain", "it is bounded on another side than the reference")
    if wanted.open is not None and given.open is not None and wanted.open != given.open:
        return Finding("wrong", "whether the end itself belongs to it differs")
    if (
        wanted.joined
        and given.joined
        and wanted.joined != given.joined
        and {wanted.joined, given.joined} != {"or", "either"}
    ):
        return Finding("abstain", "whether one bound or both must hold differs")
    # Unsaid, both must stay below their ends, and one above its end is enough.
    said = {wanted.joined or given.joined, given.joined or wanted.joined}
    if not (wanted.joined and given.joined) and said & (
        {"or", "either"} if wanted.side == "high" else {"and"} if wanted.side else set()
    ):
        return Finding("abstain", "whether one bound or both must hold is not said")
    return Finding("right", "systolic and diastolic pressure agree")
