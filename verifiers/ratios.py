"""Ratios and dilutions: 1:5000, 1∶5000, 1比5000, 1 in 5000 and 1/5000 are one; of a solution also 0.02 % and 0.2 mg/mL.

A dilution of a drug is by weight in volume: 1 g in so many mL. It becomes a percentage or a concentration only where the
question speaks of a solution; a ratio of two things (I:E, sexes) keeps its order. A time of day is no ratio.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Problem, Verdict
from medrl.verifiers.bounds import strange
from medrl.verifiers.comparison import Finding
from medrl.verifiers.extract import Extracted
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.quantity import WORDS, Quantity, plain, quantities
from medrl.verifiers.reading import TAKES_BACK

_NUMBER = r"\d{1,3}(?:[, ]\d{3}){1,3}|\d{1,9}(?:\.\d{1,6})?"
_RATIO = re.compile(
    rf"(?<![A-Za-z0-9_.:*/^-])(?P<a>{_NUMBER}) ?(?P<sign>:|∶|比|/| to | in | per |-to-|-in-) "
    rf"?(?P<b>{_NUMBER})(?![\w.]*\d)(?! ?(?:[:∶/]|[A-Za-z%°]*/) ?\d)"
)
_COLON = re.compile(r"\d ?[:∶比] ?\d")
_SIGN = re.compile("[:∶比/]|to|in|per")
_NAMES_RATIO = Pattern(r"\d ?(?:[:∶：比]|in\b) ?\d|\bone in\b", re.IGNORECASE)
_IN_WORDS = re.compile(r"\bone in (?=(?:an? |\w+ )?(?:hundred|thousand|million)\b)", re.IGNORECASE)
_SOLUTION = re.compile(
    r"\bsolutions?\b|\bdilut\w+|\bconcentrations?\b|\bw/v\b|\bstrength\b|溶液|浓度|稀释|配[制成比]|水溶|"
    r"液体?(?=[,，。?？]|$)",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\bratio\b|\btit(?:er|re)\b|比例|比值|之比|滴度|\d ?[:∶] ?\d", re.IGNORECASE)
_AROUND = re.compile(
    r"\b(?:solutions?|dilut\w+|ratio|concentrations?|strength|tit(?:er|re)|w/v|notation)\b|[水的]?溶液|稀释[液度]?|浓度|"
    r"比例|比值|之比|滴度|配制",
    re.IGNORECASE,
)
_ORDER = re.compile(r"[A-Za-z]+(?: to |[:/-])[A-Za-z]+|[\u3400-\u9fff]{1,6}[:与和][\u3400-\u9fff]{1,6}", re.IGNORECASE)
_DENIES = re.compile(r"\b(?:not|never|or|either|except|than|rather|instead|but)\b|n't\b|不|非|除|或|而", re.IGNORECASE)
_ASIDE = re.compile(r"\([^()]{0,80}\)")
_DIGIT = re.compile(r"\d")
_NOT_EXACT = re.compile(r"[<>≤≥±~]")
_HAN_WORD = re.compile(r"[\u3400-\u9fff]{2,}")
_ONE_IN = re.compile(r"\b1 in (?=[A-Za-z])")
_ONE_PER = re.compile(r"\bone (?=(?:in|per) \d)", re.IGNORECASE)
_GROUPING = str.maketrans("", "", ", ")  # between thousands
_PER = re.compile(r" ?(?:in|per|/|加水至?|溶于|加入?|稀释[至到]) ?", re.IGNORECASE)
_BECAUSE = re.compile(r",? (?:because|since|given that|as the)\b|,?因为|,?由于", re.IGNORECASE)


THIN = Fraction(1, 100)  # from here on a part in so many and a part beside so many are one


class Ratio(NamedTuple):
    """A ratio as it was written: its value, and whether in a form that only a share takes ("1 in 5000")."""

    value: Fraction
    span: tuple[int, int]
    share: bool = False
    first: Fraction | None = None


@lru_cache(maxsize=2048)
def reference_ratio(reference: str, question: str) -> Ratio | None:
    """The reference as one ratio that is all of it, or None. A fraction counts where the question is of a solution."""
    if len(reference) > 60:
        return None
    text = plain(reference)
    if not (_DIGIT.search(text) and _SIGN.search(text)):
        return None
    match = _RATIO.fullmatch(_AROUND.sub("", text).strip(" .。"))
    if not match or (match["sign"] in ("/", " to ") and not speaks_of_solution(question)) or _is_clock(match, question):
        return None
    return _read(match)


def speaks_of_solution(question: str) -> bool:
    """Whether a question is about a solution, a dilution or a concentration."""
    return bool(_SOLUTION.search(question))


def has_ratio(text: str) -> bool:
    """Whether an answer names a ratio with a colon or in words: what the rule of numbers does not read."""
    return bool(_NAMES_RATIO.search(text))


def has_colon(text: str) -> bool:
    """Whether a plain text writes a ratio with a colon."""
    return bool(_COLON.search(text))


def concentration(quantity: Quantity) -> Fraction | None:
    """A percentage, or a mass in a volume, as grams in a millilitre."""
    if quantity.unit is None or not quantity.unit.dims:
        return quantity.base if quantity.unit or quantity.below else None
    return quantity.base / 1000 if quantity.unit.dims == (("mass", 1), ("volume", -1)) else None


def _read(match: re.Match[str]) -> Ratio | None:
    a, b = (Fraction(match[name].translate(_GROUPING)) for name in ("a", "b"))
    return Ratio(a / b, match.span(), match["sign"].strip(" -") in ("in", "per"), a) if b else None


def _is_clock(match: re.Match[str], question: str) -> bool:
    """Whether 12:30 may be a time of day."""
    colon, minutes = match["sign"] in (":", "∶"), match["b"]
    clock = colon and len(minutes) == 2 and int(minutes) < 60 and match["a"].isdigit() and int(match["a"]) < 25
    return clock and not (_ASKS.search(question) or speaks_of_solution(question))


def decide(
    problem: Problem, wanted: Fraction, answer: Extracted, first: Fraction | None = None, share: bool = False
) -> Verdict:
    """An answer against a reference that is a ratio.

    `first` is its first term, which a ratio of two things keeps; `share` says that it is written as one in so many.
    """
    finding = _finding(problem, wanted, first, answer.text, share)
    if finding.outcome == "abstain":
        return Verdict.abstain(finding.reason)
    others = [_finding(problem, wanted, first, text, share) for text in answer.earlier]
    if any(TAKES_BACK.search(piece) for piece in answer.after):
        return Verdict.abstain("what follows the answer may take it back")
    if finding.outcome == "wrong":
        return Verdict.wrong(finding.reason)
    if any(other.outcome == "wrong" for other in others):
        return Verdict.wrong(f"two answers, neither taken back: {answer.earlier[0]!r:.40} and {answer.text!r:.40}")
    if any(
        _RATIO.search(plain(piece)) and _finding(problem, wanted, first, piece, share).outcome != "right"
        for piece in answer.after
    ):
        return Verdict.abstain("another ratio follows the answer")
    return Verdict.right(finding.reason)


def _finding(problem: Problem, wanted: Fraction, first: Fraction | None, text: str, share: bool = False) -> Finding:
    text = _BECAUSE.split(plain(text[:600]).replace("**", "").rpartition("=")[2])[0]
    text = _of_two_things(problem.question, _ONE_PER.sub("1 ", text))
    outside, asides = _ASIDE.sub(" ", text), _ASIDE.findall(text)
    if _DIGIT.search(outside):
        text = outside
        if any(_finding(problem, wanted, first, aside[1:-1], share).outcome == "wrong" for aside in asides):
            return Finding("abstain", "another ratio stands in parentheses")
    solution = speaks_of_solution(problem.question)
    found, rest = _ratios(text)
    if not found and solution:
        found, rest = _shares(text)
        if found and wanted > THIN:
            return Finding("abstain", "1:4 may be one part in four or one and four")
    if not found:
        return Finding("abstain", "there is no ratio in the answer")
    if _DENIES.search(rest) or _NOT_EXACT.search(rest):
        return Finding("abstain", "the words around the ratio may turn it")
    if any(ratio.share for ratio in found) and not (share or (solution and wanted <= THIN)):
        return Finding("abstain", "one in so many is no ratio of two things")
    right = {ratio.value == wanted for ratio in found}
    if len(right) > 1:
        return Finding("abstain", "several ratios, of which only some agree with the reference")
    words = _AROUND.sub(" ", rest)
    order = _ORDER.search(rest)
    if not solution and order and order[0].lower() not in plain(problem.question).lower():
        return Finding("abstain", f"{order[0]!r:.40} may turn the ratio round")
    shown = str(found[-1].value)
    if right == {False}:
        turned = any(ratio.value * wanted == 1 for ratio in found) and words.strip(" .,;:!，。")
        return (
            Finding("abstain", "the ratio turned round, with words beside it")
            if turned
            else Finding("wrong", f"{shown} is not {wanted}")
        )
    if not solution and any(ratio.first != first for ratio in found):
        return Finding("abstain", "the same ratio in other terms")
    beside = strange(problem, words) or ("" if solution else _new_order(problem, words))
    return (
        Finding("abstain", f"{beside!r:.40} stands beside the ratio")
        if beside
        else Finding("right", f"{shown} is the ratio")
    )


_COUNTED = re.compile(
    r"(?P<a>\d{1,4}) ?(?P<x>[A-Za-z]{4,20})(?: ?[:/] ?| to | for (?:every )?| per | and )(?P<b>\d{1,4}) "
    r"?(?P<y>[A-Za-z]{4,20})\b"
)
_COUNTED_HAN = re.compile(r"(?P<before>[\u3400-\u9fff]{2})?(?P<n>\d{1,4}) ?次(?P<after>(?!，|,)[\u3400-\u9fff]{2})?")
_TO = re.compile(rf"(?P<a>{'|'.join(WORDS)}) to (?P<b>{'|'.join(WORDS)})", re.IGNORECASE)


def _of_two_things(question: str, text: str) -> str:
    """Counts of two things (30 compressions to 2 breaths, 按压3次，通气1次) as a ratio in the order of the question."""
    words = _TO.fullmatch(text.strip(" ."))
    if words:
        return f"{WORDS[words['a'].lower()]}:{WORDS[words['b'].lower()]}"
    counted = _COUNTED.search(text)
    if counted:
        said = [(counted["x"][:5].lower(), counted["a"]), (counted["y"][:5].lower(), counted["b"])]
        start, end = counted.span()
    else:
        matches = list(_COUNTED_HAN.finditer(text)) if "次" in text else []
        if len(matches) != 2:
            return text
        said = [
            (next((word for word in (m["before"], m["after"]) if word and word in question), ""), m["n"])
            for m in matches
        ]
        start, end = 0, len(text)
    places = [question.lower().find(_SAME_THING.get(word, word)) if word else -1 for word, _ in said]
    if min(places) < 0 or places[0] == places[1]:
        return text
    (_, one), (_, other) = said if places[0] < places[1] else reversed(said)
    return f"{text[:start]}{one}:{other}{text[end:]}"


_SAME_THING = {"breat": "ventil", "rescu": "ventil"}  # breaths, rescue breaths


def _new_order(problem: Problem, words: str) -> str:
    """Chinese words that the question does not have in this order: 女男 where it says 男女."""
    asked = plain(problem.question)
    return next(
        (word for word in _HAN_WORD.findall(words) if word not in asked and word not in "约为答案是大约"),
        "",
    )


def _ratios(text: str) -> tuple[list[Ratio], str]:
    """The ratios of a text and what is left of it."""
    text = _IN_WORDS.sub("1 in ", text)
    tail = _ONE_IN.search(text)
    if tail and (said := quantities(text[tail.end() : tail.end() + 40])):
        return [Ratio(1 / said[0].number, tail.span(), True)], text[: tail.start()] + text[
            tail.end() + said[0].span[1] :
        ]
    found = [ratio for match in _RATIO.finditer(text) if (ratio := _read(match))]
    return found, _RATIO.sub(" ", text)


def _shares(text: str) -> tuple[list[Ratio], str]:
    """The percentages and concentrations of a text, "1 g in 5 L" among them, and what is left of it."""
    named = quantities(text)
    if len(named) == 2:
        first, second = named
        joined = _PER.fullmatch(text[first.span[1] : second.span[0]])
        mass, volume = (q.unit.dims if q.unit else () for q in named)
        if joined and mass == (("mass", 1),) and volume == (("volume", 1),) and second.base:
            share = Ratio(first.base / second.base / 1000, (first.span[0], second.span[1]))
            return [share], text[: first.span[0]] + text[second.span[1] :]
    values = [(concentration(q), q.span) for q in named]
    if not values or any(value is None for value, _ in values):
        return [], text
    rest = text
    for _, (start, end) in reversed(values):
        rest = rest[:start] + " " + rest[end:]
    return [Ratio(value, span) for value, span in values if value is not None], rest
