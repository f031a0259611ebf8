"""Answers against ranges and bounds, and bounds against a reference that is one number: 超过多少 asks for such a bound.

Thresholds are exact: both ends must agree, and "less than" is not "at most" where both say which they mean. A bound
answers a question whose reference is its bare number only where the question itself says the side.
"""

import re
from typing import Literal

from medrl.types import Problem, Verdict
from medrl.verifiers.comparison import Finding, compare
from medrl.verifiers.extract import Extracted
from medrl.verifiers.intervals import Interval, in_a_day, interval, within
from medrl.verifiers.quantity import Quantity, plain
from medrl.verifiers.tolerance import has_limits

_ASKS_RANGE = re.compile(r"\brange\b|\binterval\b|\bbetween\b|范围|区间|之间", re.IGNORECASE)
_DENIES = re.compile(
    r"\b(?:not|never|neither|nor|cannot|except|unless|other than|rather|instead|unlike|whereas|while|but|or)\b|n't\b|"
    r"不|非|除|而|但|或|还是",
    re.IGNORECASE,
)
_LATIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*|[\u3400-\u9fff]+|[^\s\w.,:;，。：；'\"*~()-]|\d")
_NORMAL = re.compile(r"\bnormal\w*|正常", re.IGNORECASE)
# Which side a question itself says, near its question word.
_ASKS = {
    "low": re.compile(
        r"\b(?:above|over|more than|greater than|higher than|longer than|exceed\w*|reach\w*|at least|minimum(?: of)?)"
        r"(?: [\w-]+){0,3} (?:what|which|how)\b|(?:≥|>=|>) ?(?:what|which|多少)|\bhow (?:long|many|much|old|"
        r"high)\b[^.?]{0,30}\bmust\b|"
        r"\b(?:minimum|at least)\b[^.?]{0,60}\?|"
        r"\b(?:what|which)\b[^.?]{0,60}\b(?:exceeds?|exceeded|or (?:more|above|higher)|(?:is|must be) (?:above|over))\b|"
        r"(?<![不未])(?:超过|高于|大于|多于|达到|达|至少|最少|不低于|不少于|满)[^，。；？?]{0,8}(?:多[少久长大高]|几|何值)",
        re.IGNORECASE,
    ),
    "high": re.compile(
        r"\b(?:below|under|less than|lower than|fewer than|shorter than|at most|no more than|maximum(?: of)?)(?: "
        r"[\w-]+){0,3} (?:what|which|how)\b|(?:≤|<=|<) ?(?:what|which|多少)|"
        r"\b(?:maximum|at most|no more than)\b[^.?]{0,60}\?|\b(?:what|which)\b[^.?]{0,60}\b(?:or (?:less|below|"
        r"lower)|(?:is|must be) (?:below|under))\b|"
        r"(?<![不未])(?:低于|小于|少于|不超过|不高于|不大于|至多|最多|不足|不到)[^，。；？?]{0,8}(?:多[少久长大高]|几|何值)",
        re.IGNORECASE,
    ),
}
# A question that says what must not be crossed: "not exceed how many" asks for the most.
_NOT = r"(?:\b(?:no|not|never|cannot|without)|n't)(?: (?:ever|usually|normally|generally|be|go|last|fall|drop))*"
_MAY_NOT = "[不勿未](?:应该?|[得能宜可要会许需]|可以|允许|建议)*"
_NOT_CROSSED = (
    (
        re.compile(
            rf"{_NOT} (?:exceed(?:ed|ing)?|over|above|(?:more|greater|higher|longer|later) than)\b", re.IGNORECASE
        ),
        " at most",
    ),
    (re.compile(rf"{_NOT} (?:below|under|(?:less|lower|fewer|shorter) than)\b", re.IGNORECASE), " at least"),
    (re.compile(f"{_MAY_NOT}(?:超过|超出|[高大多长]于)"), "不超过"),
    (re.compile(f"{_MAY_NOT}(?:短于|[低小少]于)"), "不低于"),
)
_MOST = re.compile(r"\bmaxim\w+|\bhighest\b|\bup to\b|最[高大多]|上限", re.IGNORECASE)
_STRICT = re.compile(
    r"\b(?:above|over|exceed\w*|below|under|(?:more|greater|higher|less|lower|fewer) than)\b|(?<!不)(?:超过|"
    r"[高大多低小少]于)|[<>](?!=)",
    re.IGNORECASE,
)
_THRESHOLD = re.compile(
    r"thresh?old|cut-?off|\bat what\b|\bdiagnos|\bdefin\w+|\bcriteri|\blimit\b|\bminimum\b|\bmaximum\b|\bmust\b|"
    r"\bat least\b|切点|界值|阈值|临界|标准|至少|诊断",
    re.IGNORECASE,
)
_KNOWN = frozenset(
    "a about above an and answer anywhere approx approximately are around as at be been calculated classically comes "
    "considered count counts current currently defined definition diagnosed diagnosis diagnostic estimated extends falls "
    "final for generally get give gives goal has have hr in is it its lasts level levels lie lies limit made must need "
    "needed needs normally of often on ought patient ranges ranging rate receive receives recommended required result "
    "results roughly runs s should sits so somewhere spans take takes target that the their therefore these this threshold "
    "to total typically use used using usual usually value values was we when which with would "
    "一般 通常 使用 采用 即可 为宜 应 应该 为 是 在 的 即 约 大约 答案 目标 达到 可 可以 时 者 需 需要 必须 常 多 "
    "值 切点 标准 左右 则 患者 给予 结果 计算 估计 得出 算得 得 数值 "
    "就 均 其 此 该".split()
)


def _turns(problem: Problem, rest: str) -> bool:
    """Whether the words around an interval may turn it: they deny, or speak of what is normal where that is not asked."""
    normal = _NORMAL.search(rest)
    return bool(_DENIES.search(rest) or (normal and not _NORMAL.search(problem.question)))


def strange(problem: Problem, rest: str) -> str:
    """A word around an interval that neither we nor the question know, or ""."""
    asked = plain(f"{problem.question} {problem.reference}")
    words = _LATIN_WORD.findall(asked)
    known = {word.lower() for word in words}
    initials = "".join(word[0] for word in words).lower()
    for word in _WORD.findall(rest):
        low = word.lower()
        if low in known or low in _KNOWN or (low.removesuffix("ly") in known and low not in _ADVERBS):
            continue
        if word.isupper() and 2 <= len(word) <= 6 and low in initials:
            continue  # ABI, where the question says ankle-brachial index
        if not word.isascii() and all(piece in asked for piece in _HAN_KNOWN.split(word)):
            continue
        return str(word)
    return ""


_ADVERBS = (
    "hourly",
    "daily",
    "nightly",
    "weekly",
    "monthly",
    "yearly",
)  # how often is never said by the question's "week"
_HAN_KNOWN = re.compile("|".join(sorted((word for word in _KNOWN if not word.isascii()), key=len, reverse=True)))


def asked_side(question: str) -> tuple[Literal["low", "high"], bool] | None:
    """The side of a bound that a question says itself, and whether it leaves out the end: "below which value" is high."""
    text = plain(question)
    for crossed, bound in _NOT_CROSSED:
        text = crossed.sub(bound, text)
    found = {side: match for side, words in _ASKS.items() if (match := words.search(text))}
    if len(found) != 1:
        return None
    side, match = next(iter(found.items()))
    if side == "low" and _MOST.search(text[-200:]):
        return None  # 最高可达多少
    return ("low" if side == "low" else "high"), bool(_STRICT.search(match[0]))


def against_bound(problem: Problem, reference: Quantity, text: str, tolerance: float) -> Finding | None:
    """An answer that is a bound, where the reference is a number; None where it is no bound."""
    found = within(text)
    end = found and (found.interval.low or found.interval.high)
    if not found or not end or (found.interval.low and found.interval.high):
        return None
    if _turns(problem, found.rest):
        return Finding("abstain", "the words around the bound may turn it")
    side = "low" if found.interval.low else "high"
    asked = asked_side(problem.question)
    finding = compare(problem, reference, end.quantity, tolerance)
    if finding.outcome == "abstain":
        return finding
    if finding.outcome == "right":
        if asked is None:
            return Finding("abstain", "a bound where one number is the reference")
        if asked[0] != side:
            return Finding("wrong", "it is bounded on another side than the question says")
        if end.open is not None and asked[1] != end.open:
            return Finding("abstain", "whether the end itself belongs to it differs")
        beside = strange(problem, found.rest) or any(
            compare(problem, reference, aside, tolerance).outcome != "right" for aside in found.asides
        )
        return Finding("abstain", f"{beside!r:.40} stands beside the bound") if beside else finding
    ours, theirs = reference.unit, end.quantity.unit
    if ours and theirs and ours.dims != theirs.dims:
        return finding  # compared by what their units are
    value = ours.from_base(theirs.to_base(end.quantity.number)) if ours and theirs else end.quantity.number
    outside = reference.number < value if side == "low" else reference.number > value
    if (outside or asked or _THRESHOLD.search(problem.question)) and not (has_limits(problem) and not outside):
        return Finding("wrong", f"{finding.reason}, and it bounds the value there")
    return Finding("abstain", "the reference lies within the bound, which is no value")


def decide(problem: Problem, wanted: Interval, answer: Extracted, tolerance: float) -> Verdict:
    """An answer against a reference that is a range or a bound."""
    ends = [end.quantity for end in (wanted.low, wanted.high) if end]
    timed = any(end.unit and ("time", -1) in end.unit.dims for end in ends)
    found = within(in_a_day(answer.text) if timed else answer.text)
    if found is None:
        return Verdict.abstain("neither a range, a bound nor a value, as a whole")
    given = found.interval
    if any((other := interval(one)) and other != given for one in (*answer.earlier, *answer.after)):
        return Verdict.abstain("another range or value stands beside it")
    if _turns(problem, found.rest):
        return Verdict.abstain("the words around it may turn it")
    if given.point and found.rest and _ODD.search(answer.text):
        return Verdict.abstain("what stands beside the value may change it")
    finding = _against_point(problem, wanted, given.point) if given.point else _ends(problem, wanted, given, tolerance)
    if finding.outcome == "right":
        beside = strange(problem, found.rest)
        agree = all(
            any(compare(problem, end, aside, tolerance).outcome == "right" for end in ends) for aside in found.asides
        )
        if beside or not agree:
            return Verdict.abstain(f"{beside or found.asides!r:.40} stands beside it")
    return {"right": Verdict.right, "wrong": Verdict.wrong, "abstain": Verdict.abstain}[finding.outcome](finding.reason)


# What changes a value that stands in a sentence.
_ODD = re.compile(
    r"[-+×*·/√^<>≤≥±]|\b(?:x|half|double|twice|triple|times|log|ln|within|minus|plus|between)\b|倍|半|负|差",
    re.IGNORECASE,
)


_TARGET = re.compile(r"\btarget|\bgoal|目标", re.IGNORECASE)  # of a target range people say the middle


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
    timed = ours is not None and ours.dims == (("time", 1),)
    target = _TARGET.search(problem.question) and "right" not in outcomes
    if comparable and len(ends) == 2 and not (timed or target or has_limits(problem)):
        return Finding("wrong", "one value where the reference is a range")
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
