"""Read doses and frequencies out of a short text. Every pattern is bounded, so the time is linear in the text."""

import re
import unicodedata
from typing import NamedTuple

LONGEST = 2000  # characters of an answer that may be a dose

# Unit to its dimension and how many of the dimension's unit it is.
UNITS = {
    **dict.fromkeys(("mcg", "ug", "µg", "μg", "microgram", "micrograms", "微克"), ("mg", 0.001)),
    **dict.fromkeys(("mg", "milligram", "milligrams", "毫克"), ("mg", 1.0)),
    **dict.fromkeys(("g", "gram", "grams", "克"), ("mg", 1000.0)),
    **dict.fromkeys(("ml", "millilitre", "millilitres", "milliliter", "milliliters", "毫升"), ("mL", 1.0)),
    **dict.fromkeys(("iu", "unit", "units", "国际单位", "单位"), ("units", 1.0)),
}
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,3}|\d{1,9})(?:\.\d{1,6})?|\.\d{1,6}"
_HAN = "零一二两三四五六七八九十百千半"
DOSE = re.compile(
    rf"(?<![\d.,/])(?:(?P<low>{_DIGITS})\s{{0,2}}(?:-|–|~|to|至|到)\s{{0,2}})?(?P<number>{_DIGITS}|[{_HAN}]{{1,7}})\s{{0,3}}"
    rf"(?P<unit>{_UNIT})(?![a-z])(?P<per>\s{{0,2}}/\s{{0,2}}\w{{1,6}}|\s{{0,2}}per\s{{1,2}}(?:kg|kilo))?"
)
WORD = re.compile(r"[a-z]+|[\u3400-\u9fff]+|[^\sa-z\u3400-\u9fff]")
A_UNIT = re.compile(rf"(?<![a-z])(?:{_UNIT})(?![a-z])")
DENIED = re.compile(
    r"\b(?:not|never|avoid|instead|except|unless|rather|or|no more than|at most|max)\b|n't\b|不|非|勿|避免|或|最多"
)

_WORDS = {"once": 1, "one": 1, "twice": 2, "two": 2, "thrice": 3, "three": 3, "four": 4, "five": 5, "six": 6}
_COUNT = r"(?P<count>once|twice|thrice|(?:\d{1,2}|one|two|three|four|five|six)\s{1,3}times)"
_PER = {"day": 1.0, "daily": 1.0, "week": 7.0, "weekly": 7.0, "日": 1.0, "天": 1.0, "周": 7.0}
COUNTED = re.compile(rf"\b{_COUNT}\s{{1,3}}(?:(?:a|per|each|every)\s{{1,3}})?(?P<period>day|daily|week|weekly)\b")
EVERY = re.compile(
    r"(?:\bevery\s{1,3}|\bq\s?)(?P<hours>\d{1,3}|two|three|four|six)?\s{0,3}(?P<span>hours?|hrs?|h|days?|d|weeks?)\b"
)
LATIN = re.compile(
    r"(?<![a-z])(?P<latin>q\.?d|o\.?d|b\.?i\.?d|b\.?d|t\.?i\.?d|t\.?d\.?s|q\.?i\.?d|q\.?d\.?s)(?![a-z])\.?"
)
BARE = re.compile(r"\b(?P<period>daily|weekly)\b|\b(?:a|per|each)\s{1,3}(?P<noun>day|week)\b")
HAN_COUNTED = re.compile(rf"(?:每|一)(?P<period>日|天|周)(?:服用?|给药|使用|用)?(?P<count>\d{{1,2}}|[{_HAN}]{{1,3}})次")
HAN_EVERY = re.compile(rf"每隔?(?P<hours>\d{{1,3}}|[{_HAN}]{{1,3}})(?:个)?小时")
HAN_BARE = re.compile(r"每(?P<period>日|天|周)")
# What may stand around a dose and changes nothing about it. Anything else (a sign, a number, "less than") may.
FILLER = re.compile(
    r"\b(?:give|take|use|the|a|an|is|it|of|and|dose|dosage|answer|usual|adult|adults|for|by mouth|orally|oral|po|iv|im|sc|"
    r"please|once|each)\b|每次|一次|口服|服用|给予|剂量|用法|成人|应为|为|是|答案|静脉|肌注|的|[\s.,;:()*\"'，。；：、（）“”]"
)
_LATIN = {"qd": 1, "od": 1, "bid": 2, "bd": 2, "tid": 3, "tds": 3, "qid": 4, "qds": 4}
_FIGURES = {han: value for value, han in enumerate("零一二三四五六七八九")} | {"两": 2}


class Dosed(NamedTuple):
    """What a text says of a dose."""

    doses: tuple[tuple[float, str], ...]
    """Every distinct amount with its dimension: (500.0, "mg"), (5.0, "mg/kg")."""
    per_day: tuple[float, ...]
    """Every distinct frequency, in times a day."""
    denied: bool
    """Whether a word denies, excludes or chooses."""
    unread: bool
    """Whether a unit stands there without a number that could be read."""
    rest: str
    """What is left when doses, frequencies and words that change nothing are taken out."""


def read(text: str) -> Dosed:
    """Doses and frequencies of a text, of which the first `LONGEST` characters count."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST]).lower()
    doses: dict[tuple[float, str], None] = {}
    for match in DOSE.finditer(plain):
        dimension, scale = UNITS[match["unit"]]
        per = re.sub(r"\s|per", "", match["per"] or "")
        dimension += f"/{per.strip('/')}" if per else ""
        for figure in filter(None, (match["low"], match["number"])):
            if (value := number(figure)) is not None:
                doses[(round(value * scale, 6), dimension)] = None
    unread = len(A_UNIT.findall(DOSE.sub(" ", plain))) > 0
    often, rest = frequencies(DOSE.sub(" ", plain))
    return Dosed(tuple(doses), often, DENIED.search(plain) is not None, unread, FILLER.sub(" ", rest).strip())


def frequencies(plain: str) -> tuple[tuple[float, ...], str]:
    """Every distinct frequency of a text in lower case, in times a day, and the text without them."""
    found: dict[float, None] = {}

    def take(pattern: re.Pattern[str], rest: str) -> str:
        for match in pattern.finditer(rest):
            if (value := _per_day(match.groupdict())) is not None:
                found[round(value, 6)] = None
        return pattern.sub(" ", rest)

    rest = plain
    for pattern in (COUNTED, EVERY, LATIN, HAN_COUNTED, HAN_EVERY, BARE, HAN_BARE):
        rest = take(pattern, rest)
    return tuple(found), rest


def unasked(rest: str, question: str) -> str:
    """The first word, run of Chinese characters or sign of `rest` that the question does not have; "" for none."""
    asked = unicodedata.normalize("NFKC", question).lower()
    words = set(WORD.findall(asked))
    for piece in map(str, WORD.findall(rest)):
        known = piece in words if piece.isascii() else piece in asked
        if not (known and piece.isalpha()):
            return piece
    return ""


def _per_day(said: dict[str, str | None]) -> float | None:
    if latin := said.get("latin"):
        return float(_LATIN[latin.replace(".", "")])
    if "span" in said or "hours" in said:  # every so many hours, days, weeks
        every = number(said.get("hours") or "1")
        days = {"d": 1.0, "w": 7.0}.get((said.get("span") or "h")[0], 1 / 24)
        return 1 / (every * days) if every else None
    count = number((said.get("count") or "1").removesuffix("times").strip())
    period = _PER[said.get("period") or said.get("noun") or "day"]
    return count / period if count else None


def number(figure: str) -> float | None:
    """`1,000`, `.5`, `twice`, `三十`, `半`; None where it is none of these."""
    if figure in _WORDS:
        return float(_WORDS[figure])
    if figure[0] in _HAN:
        return _han(figure)
    return float(figure.replace(",", ""))


def _han(figure: str) -> float | None:
    """Chinese numerals up to thousands: 五百, 二十五, 十."""
    if figure == "半":
        return 0.5
    total, digit = 0, 0
    for sign in figure:
        if sign in _FIGURES:
            digit = _FIGURES[sign]
        elif (scale := {"十": 10, "百": 100, "千": 1000}.get(sign)) is not None:
            total, digit = total + (digit or 1) * scale, 0
        else:
            return None
    return float(total + digit)
