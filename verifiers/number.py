"""A number with its unit against the reference: exact unless the problem says otherwise.

`medrl.verifiers.comparison` compares the two. Ranges and bounds, blood pressures, ratios and intervals between doses have
readers of their own; what mixes them, dates and unknown units are left to the next stage.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import ClassVar

from medrl.errors import RecipeError
from medrl.types import Problem, Verdict
from medrl.verifiers import bounds, dosing, labels, pressure, ratios
from medrl.verifiers.analytes import other_substance
from medrl.verifiers.comparison import Finding, compare
from medrl.verifiers.extract import Extracted
from medrl.verifiers.frequency import frequencies, routes
from medrl.verifiers.intervals import interval, reference_interval
from medrl.verifiers.normalise import normal
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.quantity import DATE, WORDS, Quantity, han_number, is_bound, is_range, plain, quantities
from medrl.verifiers.rates import (
    DAILY,
    PER_DOSE,
    VISION,
    as_asked,
    asked_time,
    asked_volume,
    asks_daily,
    asks_dose,
    by_weight,
    day_or_dose,
    is_acuity,
    is_timed,
    of_a_day,
    of_one,
)
from medrl.verifiers.reading import TAKES_BACK, AnswerVerifier
from medrl.verifiers.tolerance import has_limits
from medrl.verifiers.units import read_unit

_NEGATED = re.compile(
    r"\b(?:not|never|neither|cannot|anything (?:but|except)|other than|exclud\w+|rule[sd]? out)\b|n't\b|"
    r"不是|并非|不等于|排除|除了|以外",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\bor\b|\beither\b|或", re.IGNORECASE)
_BECAUSE = Pattern(
    r",? (?:because|since|given that|as the)\b|, (?:as )?calculated\b| calculated (?:by|from|using|with|as)\b|"
    r"，?因为|，?由于",
    re.IGNORECASE,
)
_OFTEN = re.compile(
    r"\b(?:daily|once|twice|thrice|b\.?i\.?d|t\.?i\.?d|q\.?i\.?d|bd|tds|qds|q\.?d|o\.?d|qhs|q\d{1,2}h|hourly|weekly|"
    r"monthly|yearly|annually|nightly|"
    r"nocte|times (?:a|per)|(?:a|each) (?:day|week|dose)|every)\b|每[日天周晚次]|"
    r"每 ?\d{1,2} ?(?:小时|天|日|周|h)|隔[日天]|一[日天]|[日天][一二三两]次",
    re.IGNORECASE,
)
# What changes a number when it stands just before it, whoever says it, and what may follow one and leave it as it is.
_CHANGES = re.compile(
    r"(?:[-+×*·/√^\d]|\b(?:x|half|double|twice|triple|times|log|ln|within|not|minus|plus|two|three|four|ten)(?: of| a| the)?|"
    r"[负倍半多]|每(?:(?:公斤|千克|kg)(?:体重)?|平方米|片|支|瓶)|[每单一两双]侧|各|次共)\s*$",
    re.IGNORECASE,
)
_FOLLOWS = frozenset(
    "a about among and approximately approx are as at be by correct for from in is it left of on out per point "
    "points degree degrees completed full whole "
    "respectively right roughly formula equation method using score since so that the this to total was which would patient "
    "patients people person course need "
    "左右 约 大约 的 个 分 次 岁 了 即可 为宜 是 患者".split()
)
_SOME_OF_IT = re.compile(
    r"[,;] ?(?:of which |with |and |giving |give )?(?:(?:the first |one[- ])?half\b|其中|一半|前 ?\d|先).*",
    re.IGNORECASE | re.DOTALL,
)
_NEVER_SAME = re.compile(r"\b(?:urea|bun|feu|ddu|d-du|elemental|salt)\b|尿素氮?|元素|盐", re.IGNORECASE)
_ASIDE = re.compile(r"\((?:or|maybe|possibly|或者?|可能)? ?([-+\d.,]+ ?[^()\d]{0,15})\)", re.IGNORECASE)
_SOME_MORE = re.compile(
    r"(?:大?约|大概|约莫)?(?:\d{1,6}|[一二三四五六七八九]?[十百千])(?:来|余|多|几)[个]?[天日周月年岁次分小时钟秒毫克升片粒]{1,3}"
)
_TENTHS = re.compile(r"[一二三四五六七八九十\d] ?成")
_LATIN_WORD = re.compile(r"[a-z]+")
_THAT_IS = re.compile(r"\bi\.e\b|\+(?=:)|[即总共\[\]]", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[,，。;；(（\n]|[.!?](?= |$)")
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])", re.IGNORECASE)
_WORD_BESIDE = re.compile(r"[a-z]+|[\u3400-\u9fff]+|[^\s\w*$'\"”}\])]|\d")
_COMPARED = re.compile(r"[<>]=")
_IN_PARENTHESES = re.compile(r"\([^()]{0,200}\)")
_PAIRED = re.compile(rf"blood pressure|\bBP\b|血压|{VISION.pattern}", re.IGNORECASE)


@dataclass(frozen=True)
class Number(AnswerVerifier):
    """Decides a number, with its unit, against a reference that is one number."""

    name: ClassVar[str] = "number"

    relative_tolerance: float = 0.0
    """Accepted distance from the reference as a share of it where the problem states none; 0 is exact, 0.05 is 5 %.
    Scores, counts and doses want 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.relative_tolerance < 1:
            fault = f"relative_tolerance is {self.relative_tolerance!r}; it must be from 0 to below 1"
            raise RecipeError("verifier 'number'", [fault])

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        return dosing.flagged(self._decide(problem, answer), answer.text)

    def _decide(self, problem: Problem, answer: Extracted) -> Verdict:
        if not answer.committed:
            return Verdict.abstain("a long answer without a committed number")
        pair = pressure.reference_pair(str(problem.reference), problem.question)
        if pair:
            return pressure.decide(problem, pair, answer)
        wanted = reference_interval(problem)
        if wanted:
            if day_or_dose(problem.question, answer.text):
                return Verdict.abstain("a dose where that of a day is asked, or a total where a dose is")
            wanted, text = of_a_day(wanted, answer.text, problem.question)
            if asks_dose(problem.question) and not PER_DOSE.search(str(problem.reference)):
                text = PER_DOSE.sub("", text).strip()
            return bounds.decide(problem, wanted, answer._replace(text=text), self.relative_tolerance)
        ratio = ratios.reference_ratio(str(problem.reference), problem.question)
        if ratio:
            return ratios.decide(problem, ratio.value, answer, ratio.first, ratio.share)
        reference = reference_quantity(problem)
        if reference and ratios.has_ratio(answer.text) and ratios.speaks_of_solution(problem.question):
            share = ratios.concentration(reference)
            if share is not None and share <= ratios.THIN and not ratios.has_ratio(problem.question):
                return ratios.decide(problem, share, answer)
        if reference and dosing.asks_interval(problem, reference, answer.text):
            return dosing.decide_interval(problem, reference, answer)
        if reference is None and normal(answer.text) == normal(str(problem.reference)) and not answer.earlier:
            return Verdict.right("the same as the reference, as written")
        if reference is None:
            return Verdict.abstain(f"the reference {problem.reference!r:.60} is not one number")
        finding = self._finding(problem, reference, answer.text)
        back = [quantities(plain(piece)) for piece in answer.after if TAKES_BACK.search(piece)]
        for q in (q for found in back for q in found):
            if compare(problem, reference, q, self.relative_tolerance).outcome != finding.outcome:
                return Verdict.abstain("what follows the answer may take it back")
        part = day_or_dose(problem.question, answer.text) if finding.outcome == "right" else ""
        if part:
            return Verdict.abstain(f"{part!r} may make it a dose where a day is asked, or a total where a dose is")
        if finding.outcome == "right":
            for earlier in answer.earlier:
                before = self._finding(problem, reference, earlier)
                if before.outcome == "wrong":
                    return Verdict.wrong(f"two answers, neither taken back: {earlier!r:.40} and {answer.text!r:.40}")
                if before.outcome == "abstain" and quantities(plain(earlier)):
                    return Verdict.abstain(f"another quantity was answered before: {earlier!r:.40}")
            alone = [(text, quantities(text)) for text in map(plain, answer.after)]
            for q in (found[0] for text, found in alone if found and found[0].span == (0, len(text))):
                if compare(problem, reference, q, self.relative_tolerance).outcome == "wrong":
                    return Verdict.abstain("another number follows the answer")
            return Verdict.right(finding.reason)
        return Verdict.wrong(finding.reason) if finding.outcome == "wrong" else Verdict.abstain(finding.reason)

    def _finding(self, problem: Problem, reference: Quantity, text: str) -> Finding:
        """What the answer `text` says of the reference, and of what it is an amount."""
        if reference.below and is_acuity(problem) and ("/" not in text or "%" in text):
            found = self._amount(problem, reference, text)
            other = found.outcome == "wrong" or "%" in text
            return Finding("abstain", "an acuity may be on another scale") if other else found
        wanted = labels.wanted_label(problem)
        if not wanted:
            return self._amount(problem, reference, text)
        core = _core(text)
        if labels.mixed(core):
            return Finding("abstain", "amounts of several substances")
        bare, label = labels.labelled(core)
        if not label and "(" in text:
            bare, label = labels.labelled(text)
        says = labels.against(problem, wanted, label)
        if says == "other":
            return Finding("wrong", f"an amount of {label.strip(':')!r:.40} where {wanted.strip(':')!r:.40} is wanted")
        finding = self._amount(problem, reference, bare or core)
        open_ = finding.outcome == "right" and says == "open"
        return Finding("abstain", "the answer does not say of what it is an amount") if open_ else finding

    def _amount(self, problem: Problem, reference: Quantity, text: str) -> Finding:
        if reference.unit is None and not reference.below and _counts_otherwise(problem.question, text):
            return Finding("abstain", "it counts something, or says a ratio of equal parts")
        written = plain(text)
        inside = [_added(part) for part in _ASIDE.findall(written.rpartition("=")[2])] if "(" in written else []
        text = as_asked(problem, reference, _concluded(_total_of(_core(text))))
        some = _SOME_OF_IT.search(text)
        if some and quantities(text[: some.start()]):
            whole = self._amount(problem, reference, text[: some.start()])
            return whole if whole.outcome == "right" else Finding("abstain", "a part of it stands beside the whole")
        text = _as_often(problem.question, reference, text)
        alone = _is_alone(text)
        turned = None if alone else self._turned(problem, reference, text)
        if turned:
            return turned
        found = quantities(text)
        if not any(is_timed(q) for q in found) and not PER_DOSE.search(text):
            reference = of_one(asked_time(problem.question), reference)
        if asks_dose(problem.question) and not any(q.unit and ("doses", -1) in q.unit.dims for q in found):
            reference = of_one("dose", reference)
        in_one = of_one(asked_volume(problem.question), reference)
        if in_one.unit and all(q.unit and q.unit.dims == in_one.unit.dims for q in found):
            reference = in_one  # 0.1 mg, where the question asks how much is in each mL
        often = _OFTEN.search(text)
        if often and any(q.span[0] == often.start() for q in found):
            often = None  # "a week" is how long
        if often and DAILY.search(often[0]) and asks_daily(problem.question):
            often = None
        if often and often[0].casefold() not in f"{problem.question} {problem.reference}".casefold():
            return Finding("abstain", f"the answer adds how often ({often[0]!r}), which the problem does not ask")
        if not found:
            return Finding("abstain", "there is no number in the answer")
        unit = reference.unit
        if unit and unit.dims == (("mass", 1), ("volume", -1)):
            found = [by_weight(problem, q) for q in found]
        same = [q for q in found if unit and q.unit and q.unit.dims == unit.dims]
        if unit and len(unit.dims) > 1 and len(found) > 1 and not same:
            return Finding("abstain", "several quantities, which may be one rate: 720 mL in 24 hours")
        if len(found) > 2 and (total := _sum(text, found)):
            finding = compare(problem, reference, total, self.relative_tolerance)
            if finding.outcome == "right" or _ASKS_TOTAL.search(problem.question):
                return finding
        if len(found) == 2 and (both := _in_two_units(text, found)):
            finding = compare(problem, reference, both, self.relative_tolerance)
            return (
                finding
                if finding.outcome == "right"
                else Finding("abstain", "a time in two units, not the reference's")
            )
        findings = [compare(problem, reference, q, self.relative_tolerance) for q in same or found]
        if len({finding.outcome for finding in findings}) > 1:
            return Finding("abstain", "several numbers, of which only some agree with the reference")
        if findings[-1].outcome == "wrong" and often and (same or found)[-1].number == reference.number:
            return Finding("abstain", f"{often[0]!r} may be part of the unit")
        if findings[-1].outcome != "right":
            return findings[-1]
        if any(compare(problem, reference, q, self.relative_tolerance).outcome == "wrong" for q in inside if q):
            return Finding("abstain", "another number stands in parentheses")
        others = [(q.base, q.unit.dims) for q in found if q.unit and q.unit.dims and q not in same] if same else []
        named = {(q.base, q.unit.dims) for q in quantities(plain(problem.question)) if q.unit} if others else set()
        if others and not named.issuperset(others):
            return Finding("abstain", "quantities of another kind stand beside the number")
        if alone:
            return findings[-1]
        bare = text[:1000]
        for start, end in (q.span for q in found):
            bare = bare[:start] + " " * (end - start) + bare[end:]  # Hg of mm Hg is no substance
        beside = _beside(problem, text, bare, (same or found)[-1]) or other_substance(problem, bare)
        return Finding("abstain", f"{beside!r:.40} stands beside the number") if beside else findings[-1]

    def _turned(self, problem: Problem, reference: Quantity, text: str) -> Finding | None:
        """What is said of an answer in which a number is bounded, negated or one of several; None of any other."""
        if _SOME_MORE.fullmatch(text.strip(" .。")) and not (self.relative_tolerance or has_limits(problem)):
            return Finding("wrong", "a round figure where an exact one is asked")
        if DATE.search(text) or _TENTHS.search(text):
            return Finding("abstain", "the answer is a date or in tenths")
        bounded = bounds.against_bound(problem, reference, text, self.relative_tolerance) if is_bound(text) else None
        if bounded:
            return bounded
        if ratios.has_colon(text) and (reference.below or (reference.unit and not reference.unit.dims)):
            return Finding("abstain", "a ratio may be of the parts or of the whole")
        if _NEGATED.search(text) or _CHOICE.search(text):
            return Finding("abstain", "the answer negates or offers a choice")
        if is_range(text):
            several = interval(text)
            exact = not self.relative_tolerance and not has_limits(problem)
            if several and several.low and several.high and exact:
                return Finding("wrong", "a range where one value is asked")
            return Finding("abstain", "the answer is a range or a bound")
        return None


_PARTS_FOLLOW = re.compile(r"(?P<whole>[^:,;()]{1,40}): ?(?P<parts>[^()]{6,300})")


def _total_of(text: str) -> str:
    """Of a total whose parts follow and add up to it, the total: "Five points: age 2, female 1, hypertension 2"."""
    match = _PARTS_FOLLOW.fullmatch(text) if ":" in text else None
    whole = quantities(match["whole"]) if match else []
    parts = quantities(match["parts"]) if match and len(whole) == 1 else []
    if match is None or len(parts) < 2 or len(re.split(r"[,;+]| and ", match["parts"])) != len(parts):
        return text
    alike = all(q.unit is None or q.unit == whole[0].unit for q in parts)
    return match["whole"] if alike and sum(q.number for q in parts) == whole[0].number else text


_TOTAL = re.compile(r"(?:共|总|合计|\b(?:total(?:s|ling)?|altogether|overall|sum)\b)[^\d,，;；]{0,12}$", re.IGNORECASE)
_IN_TOTAL = re.compile(r"[^\d,，;；]{0,4}\b(?:in total|altogether|overall|all told)\b", re.IGNORECASE)
_ASKS_TOTAL = re.compile(r"总|一共|合计|\b(?:total|altogether|overall|whole)\b", re.IGNORECASE)


def _counts_otherwise(question: str, text: str) -> bool:
    """Whether a ratio is given as 9:9, or as so many patients."""
    return bool(_EVEN.search(text) or (_PATIENTS.search(text) and _A_RATIO.search(question)))


_A_RATIO = re.compile(r"\b(?:odds|ratio|relative risk)\b|比值|危险度", re.IGNORECASE)
_PATIENTS = re.compile(
    r"\d\s*(?:patients|people|persons|women|men|children|cases|controls)\b|\d\s*[名例个位]", re.IGNORECASE
)
_EVEN = re.compile(r"(?<![\d:])(\d{1,4})\s?[:：]\s?\1(?![\d:])")


def _added(text: str) -> Quantity | None:
    """The first quantity of what stands in parentheses, or what its parts add up to: 2+2+1+1+1."""
    found = quantities(text)
    added = len(found) > 1 and text.count("+") == len(found) - 1
    return replace(found[0], number=sum((q.number for q in found), Fraction(0))) if added else next(iter(found), None)


def _sum(text: str, found: list[Quantity]) -> Quantity | None:
    """The last quantity of a text where it is the sum of the others and is called so: 2个月+4个月，共6个月."""
    *parts, whole = found
    start, end = whole.span
    called = _TOTAL.search(text[max(0, start - 16) : start]) or _IN_TOTAL.match(text, end)
    alike = whole.unit and all(q.unit is None or q.unit.same_as(whole.unit) for q in parts)
    return whole if called and alike and sum(q.number for q in parts) == whole.number else None


def _in_two_units(text: str, found: list[Quantity]) -> Quantity | None:
    """The sum of a whole text's two times, the second in a smaller unit: 6 h 56 min."""
    first, second = found
    if not first.unit or not second.unit or not first.unit.dims == second.unit.dims == (("time", 1),):
        return None
    whole = first.span[0] == 0 and second.span[1] == len(text)
    beside = text[first.span[1] : second.span[0]].strip(" ,") in ("", "and")
    number = first.number + second.base / first.unit.scale
    return replace(first, number=number, decimals=None) if whole and beside and second.base < first.unit.scale else None


@lru_cache(maxsize=1024)
def _one_route(asked: str) -> frozenset[str]:
    """The route that a question names, where it names one only."""
    named = frozenset(route.base for route in routes(asked)[0])
    return named if len(named) == 1 else frozenset()


_DIVIDED = re.compile(
    r"\b(?:in|into) (?P<n>two|three|four|six|[2346]) (?:equal(?:ly)? )?(?:divided |separate )?(?:doses|portions)\b|"
    r"分(?P<h>[两二三四六2346])次",
    re.IGNORECASE,
)


def _as_often(question: str, reference: Quantity, text: str) -> str:
    """An answer to what one of several doses is, without how often it is given, where the question says that: q12h."""
    divided = _DIVIDED.search(question) if not is_timed(reference) and asks_dose(question) else None
    if divided is None:
        return text
    said = (divided["n"] or divided["h"]).lower()
    often, rest = frequencies(text)
    count = int(said) if said.isdigit() else WORDS.get(said) or han_number(said)
    same = len(often) == 1 and often[0].low == often[0].high and often[0].low * count == 86400
    return rest.rstrip() if same else text


@lru_cache(maxsize=1024)
def _asked_words(question: str, reference: str) -> tuple[str, frozenset[str]]:
    """A question and its reference written plainly, and their words."""
    asked = f"{plain(question)} {plain(reference)}".casefold()
    return asked, frozenset(_LATIN_WORD.findall(asked))


def _beside(problem: Problem, text: str, bare: str, right: Quantity) -> str:
    """What stands beside the right number and may change it, or "". `bare` is the text with blanks for its quantities."""
    start, end = right.span
    changed = _CHANGES.search(text[max(0, start - 20) : start])
    if changed:
        return changed[0]
    after = _CLAUSE_END.split(text[end : end + 200], maxsplit=1)[0]
    after = _HYPHEN.sub(" ", after).strip()
    asked, known = _asked_words(problem.question, str(problem.reference))
    before = _THAT_IS.sub(" ", bare[:start]).strip(" :,.")
    turned = "" if before.casefold() in asked else bounds.strange(problem, before)
    if turned:
        return turned
    said = {route.base for route in routes(after)[0]} if after else None
    if said and said != _one_route(asked[-2000:]):
        return next(iter(said))
    for word in _WORD_BESIDE.findall(after.casefold()):
        if word in _FOLLOWS or word in known or (word in asked and not word.isascii() and word.isalpha()):
            continue
        if _one_route(asked[-2000:]).isdisjoint(route.base for route in routes(word)[0]):
            return str(word)
    return next((m[0] for m in _NEVER_SAME.finditer(text) if m[0].casefold() not in asked), "")


def is_ratio_or_pair(problem: Problem) -> bool:
    """Whether the reference is a ratio, a dilution or a blood pressure."""
    reference = str(problem.reference)
    pair = pressure.reference_pair(reference, problem.question)
    return pair is not None or ratios.reference_ratio(reference, problem.question) is not None


def reference_quantity(problem: Problem) -> Quantity | None:
    """The reference as one quantity that is all of it, or None. `metadata["unit"]` gives a unit that it leaves out."""
    quantity, unit = _whole(str(problem.reference)), problem.metadata.get("unit")
    if quantity is None:
        return None
    measured = quantity.unit is not None and quantity.unit.dims not in ((), (("tablets", 1),))
    if quantity.below is not None and (measured or _PAIRED.search(problem.question)) and not is_acuity(problem):
        return None  # 120/80 is two numbers
    if quantity.unit is None and isinstance(unit, str) and unit.strip():
        quantity = replace(quantity, unit=read_unit(plain(unit.strip()), 0)[0])
    return quantity


@lru_cache(maxsize=4096)  # a reference is asked for by several rules, and with every answer
def _whole(reference: str) -> Quantity | None:
    """The one quantity that is all of a reference, but for a word for what it is an amount of, or None."""
    text = plain(reference).strip().rstrip("。.")
    bare, label = labels.labelled(text)
    text = bare if label and not label.startswith("bare:") else text
    return None if not _is_alone(text) or DATE.search(text) or is_range(text) else quantities(text)[0]


def _is_alone(text: str) -> bool:
    """Whether a plain text is one quantity and nothing else, so that no word of it can say anything of the number."""
    found = quantities(text)
    return len(found) == 1 and found[0].span == (0, len(text))


# What a calculation comes to, at its end.
_SO = Pattern(
    r"[,;.] ?(?:so|therefore|thus|hence),? (?:(?:it|this|that|the (?:answer|result|dose|total|value|volume)) is |"
    r"that makes |(?:we|you) (?:get|need|give) )?",
    re.IGNORECASE,
)


def _concluded(text: str) -> str:
    """The one quantity that a text comes to after "so", where what stands before offers nothing; else the text."""
    *before, last = _SO.split(text.rstrip(" .")) if len(text) < 300 else [text]
    offers = not before or _CHOICE.search(text) or _NEGATED.search(text) or _NEVER_SAME.search(text)
    if offers or not _is_alone(last):
        return text
    unit = quantities(last)[0].unit
    found = quantities(before[-1])
    alike = [q for q in found if not q.unit or not unit or q.unit.dims == unit.dims]
    return text if alike and alike == found else last  # "20 mg, so 30 mg" says two things


def _core(text: str) -> str:
    """The part of an answer that holds its number: after the last "=", before "because", without parentheses."""
    text = plain(text).replace("**", "")
    equals = max(text.rfind("="), text.rfind("≈"))
    text = text[equals + 1 :] if equals >= 0 and not _COMPARED.search(text) else text
    text = _BECAUSE.split(text)[0]
    outside = _IN_PARENTHESES.sub(" ", text) if "(" in text else text
    return (outside if quantities(outside) else text).strip()
