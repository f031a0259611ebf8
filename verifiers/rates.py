"""What a question lets an answer leave out of a rate or write beside it: one dose, one day, each millilitre, of a fluid."""

import re
from dataclasses import replace
from functools import lru_cache

from medrl.types import Problem
from medrl.verifiers import ratios
from medrl.verifiers.frequency import frequencies
from medrl.verifiers.intervals import Interval
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.quantity import Quantity, plain, quantities
from medrl.verifiers.units import UNITS, read_unit
from medrl.verifiers.wording import last_sentence

_EACH = re.compile(
    r"(?<=[A-Za-zμ%克升位片粒])(?:,? once)? (?:(?:a|per|each|every) (?P<unit>day|hour|minute|week)|(?P<ly>daily|"
    r"hourly|weekly))\b",
    re.IGNORECASE,
)
DAILY = Pattern(r"\bdaily\b|\b(?:per|a|each|every) day\b|/day\b|24[- ]h|每[日天]|日剂量|一[日天]|24小时", re.IGNORECASE)
_PER_DAY = re.compile(
    r"(?<=[A-Za-zμ克升位片粒])(?: ?/ ?| per | a )(?:day|d|24 ?h(?:ours?)?)\b|(?<=[A-Za-zμ克升位片粒])/[天日]",
    re.IGNORECASE,
)
_A_DAY = re.compile("[每一][日天](?=.)")
_ASKS_DOSE = re.compile(
    r"\b(?:each|per|every|(?:a )?single|one) (?:individual )?(?:dose|injection|feed|administration|time)\b|"
    r"单次|每次|每剂|一次(?:剂|用|应|给|服)",
    re.IGNORECASE,
)
PER_DOSE = re.compile(
    r"(?<=[A-Za-zμ克升位片粒]) ?(?:,? ?(?:per|each|every|for each|in each|with each|a|at each) "
    r"(?:of the (?:two|three|four|six|[2346]) )?(?:single )?(?:doses?|injection|feed|administration|time)\b"
    r"|/(?:dose|次|剂)|/每次)|\b(?:each|per|every|(?:a )?single) dose(?: is| of|:)? (?=\d)|(?:每次|单次|每剂|"
    r"一次)(?:剂量|用量|给予?|服用?|应给|为|是|约|:)*(?= ?\d)",
    re.IGNORECASE,
)
_WITH_EACH = re.compile(
    r",? (?:with|at|for|in|as) each (?:of the (?:two|three|four|six|[2346]) )?(?:single )?doses?\b", re.IGNORECASE
)
_EACH_TIME = re.compile(
    r"(?<=[A-Za-zμ克升位片粒]) ?(?:(?:each|every|per) (?:time|administration)|at a time|(?:each|every|a) dose)(?=$|[.,;])",
    re.IGNORECASE,
)
_ASKS_TIME = re.compile(
    r"[每一](天|日|分钟|小时)[^，。,？?]{0,8}(?:多少|几)|\bhow (?:many|much)\b[^?.]{0,60}\b(?:per|a|each|every) (minute|"
    r"hour|day)\b|"
    r"\bin (24) ?h",
    re.IGNORECASE,
)
_DASHED = re.compile(r"(?<=[\da-z])-(?=(?:day|week|month|hour|year|minute)s?\b)", re.IGNORECASE)
_IN_EACH = re.compile(
    r"(?<=[A-Za-zμ克位]) (?:in|per) (?:(?:each|every|one|a|1) )?(?=(?:\d{1,4} ?)?(?:m[lL]|L|d[lL]|millilit\w+|lit(?:er|"
    r"re)s?|kg|kilograms?)\b)"
)
_EACH_VOLUME = re.compile(
    r"每(?:1 ?)?(?P<unit>毫升|m[lL]|升|L)(?:溶液|注射液|药液|液体)?[中内]?(?:含有?|有|为|约)? ?"
    r"(?P<dose>[\d.,]{1,12} ?(?:[A-Za-zμ]{1,6}|毫克|微克|克|单位))(?![A-Za-zμ/])"
)
_VOLUME_HOLDS = re.compile(
    r"每?(?P<volume>[1-9]\d{0,3} ?(?:毫升|m[lL]|升|L))(?:的?(?:溶液|注射液|药液|液体))?[中内里]?(?:含有?|有)(?:药物?|主药)?"
    r"(?:为|约)? ?(?P<dose>[\d.,]{1,12} ?(?:[A-Za-zμ]{1,6}|毫克|微克|克|单位))(?![A-Za-zμ/])"
)
_EVERY_FEW = re.compile(
    r"(?<=[A-Za-zμ%克升]) (?:every|per|each) (?=[1-9]\d{0,2} ?(?:hours?|hrs?|h|minutes?|mins?|min)\b)"
)
_FLUID = re.compile(
    r"\bof (?:(?:lactated ringer'?s?|ringer'?s?(?: lactate)?|hartmann'?s?|normal saline|isotonic saline|0\.9% (?:saline|"
    r"nacl)|saline|"
    r"(?:balanced |isotonic )?crystalloids?|iv fluids?|intravenous fluids?|fluids?|water)(?: solution)?)|的?(?:晶体液|"
    r"乳酸林格氏?液|平衡液|生理盐水|液体)",
    re.IGNORECASE,
)
_ASKS_FLUID = re.compile(
    r"\bfluids?\b|\bburn|parkland|resuscitat|dehydrat|\bbolus\b|crystalloid|maintenance|补液|液体|输液|烧伤|复苏",
    re.IGNORECASE,
)
_LY = {"daily": "day", "hourly": "hour", "weekly": "week"}
_DOSE_HAN = r"(?P<dose>[\d.,]{1,12} ?(?:[A-Za-zμ]{1,6}|毫克|微克|克|毫升|升|单位))(?![A-Za-zμ/])"
_EACH_HAN = re.compile(rf"每(?P<unit>日|天|小时|分钟|周) ?{_DOSE_HAN}")
_ASKS_KG = re.compile(r"每(?:公斤|千克|kg)(?:体重)?[^，。,\d]{0,8}(?:多少|几)")
_EACH_KG = re.compile(rf"每(?:公斤|千克|kg)(?:体重)? ?{_DOSE_HAN}")


def as_asked(problem: Problem, reference: Quantity, text: str) -> str:
    """An answer with its "a day", "in each mL", "per dose" as part of its unit, or left out where the question says it."""
    text = _DASHED.sub(" ", text) if "-" in text else text
    dims = dict(reference.unit.dims) if reference.unit else {}
    if dims.get("time") == -1:
        text = _in_time(text)
        if dims.get("volume") == 1:
            text = _EVERY_FEW.sub("/", text)  # 60 mL every 2 hours
    elif dims and asks_daily(problem.question):
        text = _A_DAY.sub("", _PER_DAY.sub("", text))  # a daily dose of 4 g is 4 g a day
    if "doses" in dims:
        text = _EACH_TIME.sub(" per dose", _WITH_EACH.sub(" per dose", text))
    elif dims and asks_dose(problem.question):
        text = PER_DOSE.sub("", text).strip()
    if "/kg" in text and dims and "body mass" not in dims and _ASKS_KG.search(problem.question):
        text = text.replace("/kg", "")
    if "每" in text and dims.get("body mass") == -1:
        text = _EACH_KG.sub(r"\g<dose>/kg", text)
    if dims.get("volume") == -1 or dims.get("body mass") == -1:
        if "含" in text or "有" in text:
            text = _VOLUME_HOLDS.sub(r"\g<dose>/\g<volume>", text)
        text = _EACH_VOLUME.sub(r"\g<dose>/\g<unit>", _IN_EACH.sub("/", text))
    return _FLUID.sub("", text, count=1) if dims == {"volume": 1} and _ASKS_FLUID.search(problem.question) else text


@lru_cache(maxsize=1024)
def asks_dose(question: str) -> bool:
    """Whether a question asks for one dose."""
    return bool(_ASKS_DOSE.search(last_sentence(question)))


@lru_cache(maxsize=1024)
def asks_daily(question: str) -> bool:
    """Whether a question asks for what a day takes; "90 mg/kg/day" in it only tells a dose."""
    text = plain(question[-150:])
    for q in reversed(quantities(text)):
        if q.unit and ("time", -1) in q.unit.dims:
            text = f"{text[: q.span[0]]};{text[q.span[1] :]}"
    return bool(DAILY.search(text)) and not asks_dose(question)


_IS_TOTAL = re.compile(
    r"[共总]|合计|分[成为]?[一二两三四五六\d]?次|\b(?:total|altogether|overall|divided|split)\b|"
    r"\b(?:in|into|over|as) (?:two|three|four|five|six|[2-6])\b",
    re.IGNORECASE,
)
_IS_DOSE = re.compile(
    r"/ ?(?:次|剂|dose)|[每单一][次剂]|\b(?:per|each|every|single|a|one) (?:dose|time|injection)\b", re.IGNORECASE
)


def day_or_dose(question: str, text: str) -> str:
    """What in an answer may make it one dose where that of a day is asked, or a total where one dose is, or ""."""
    text = plain(text).rpartition("=")[2]
    if asks_dose(question):
        found = _IS_TOTAL.search(text)
        return found[0] if found else ""
    amounts = [q for q in quantities(text) if q.unit and any(dimension in _AMOUNTS for dimension, _ in q.unit.dims)]
    if not asks_daily(question) or not amounts or _ASKS_HOURLY.search(question):
        return ""
    each = _IS_DOSE.search(text)
    often = next((one for one in frequencies(text)[0] if 0 < one.high < _DAY), None)
    return each[0] if each else "more than one dose a day" if often else ""


_ASKS_HOURLY = re.compile(
    r"(?:(?:/ ?|per |an |each )(?:h|hr|hour|min|minute)\b|[/每](?:小时|分钟))[^.?？]{0,30}[.?？]?\s*$", re.IGNORECASE
)
_AMOUNTS = frozenset(
    ("mass", "volume", "activity", "amount", "charge", "energy", "tablets", "capsules", "drops", "puffs")
)
_DAY = 86400  # seconds


def by_weight(problem: Problem, quantity: Quantity) -> Quantity:
    """A percentage of a solution as its weight in volume: 1 % is 10 mg/mL. One that the question gives stays what it is."""
    if quantity.unit is None or quantity.unit.dims or not ratios.speaks_of_solution(problem.question):
        return quantity
    if any(q.unit and q.base == quantity.base and not q.unit.dims for q in quantities(plain(problem.question))):
        return quantity
    return replace(quantity, number=quantity.base * 1000, unit=read_unit("mg/mL", 0)[0])


_DAYS = re.compile(r"24 ?小时的?|每[日天]|24[- ]?h(?:ours?)?\b", re.IGNORECASE)


def of_a_day(wanted: Interval, text: str, question: str) -> tuple[Interval, str]:
    """A bound of so much a day and an answer to it, as so much, where only the question says that it is of a day."""
    ends = (wanted.low, wanted.high)
    timed = any(is_timed(q) and q.unit and len(q.unit.dims) > 1 for q in quantities(plain(text)))
    if timed or not all(end is None or is_timed(end.quantity) for end in ends):
        return wanted, text
    low, high = (end and end._replace(quantity=of_one("day", end.quantity)) for end in ends)
    untimed = all(end is None or not is_timed(end.quantity) for end in (low, high))
    return (
        (Interval(low, high), _DAYS.sub("", text))
        if untimed and DAILY.search(last_sentence(question))
        else (wanted, text)
    )


def is_timed(quantity: Quantity) -> bool:
    return quantity.unit is not None and any(dimension == "time" for dimension, _ in quantity.unit.dims)


@lru_cache(maxsize=1024)
def asked_time(question: str) -> str:
    """The time of which a question asks how much there is in it ("how many drops a minute", 一天总量多少), or ""."""
    match = _ASKS_TIME.search(last_sentence(question))
    word = next(filter(None, match.groups()), "").lower() if match else ""
    return {"24": "day", "天": "day", "日": "day", "分钟": "minute", "小时": "hour"}.get(word, word)


_ASKS_VOLUME = re.compile(
    r"\bhow (?:many|much)\b[^?.]{0,60}\b(?:per|in (?:each|every|one|1|a)|each|every) (m[lL]|millilit(?:er|re)|L|lit(?:er|re)|"
    r"dL)\b|每(毫升|m[lL]|升|L)[^，。,？?]{0,8}(?:多少|几)",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def asked_volume(question: str) -> str:
    """The volume of which a question asks how much there is in it ("how many mg in each mL"), or ""."""
    match = _ASKS_VOLUME.search(last_sentence(question))
    return next(filter(None, match.groups()), "").lower() if match else ""


def of_one(what: str, reference: Quantity) -> Quantity:
    """A reference in so much a day, or in each mL, as so much, because the question says that it is of one."""
    unit = reference.unit
    inverse = (UNITS[what].dims[0][0], -1) if what else ("", 0)
    if unit is None or inverse not in unit.dims or unit.dims == (inverse,):
        return reference
    dims = tuple(one for one in unit.dims if one != inverse)
    return replace(reference, unit=replace(unit, scale=unit.scale * UNITS[what].scale, dims=dims))


def _in_time(text: str) -> str:
    """A dose "a day", "daily" or 每日 with its time as part of the unit."""
    text = _EACH.sub(lambda m: f"/{(m['unit'] or _LY[m['ly'].lower()])}", text)
    return _EACH_HAN.sub(r"\g<dose>/\g<unit>", text)


VISION = re.compile(r"visual acuity|\bvision\b|视力", re.IGNORECASE)
_ACUITY = re.compile(r"(?:20|6|5) ?/ ?\d{1,3}")


def is_acuity(problem: Problem) -> bool:
    """Whether the reference is a visual acuity such as 20/200, which is also 6/60 and 0.1."""
    return bool(VISION.search(problem.question) and _ACUITY.fullmatch(str(problem.reference).strip(" .")))
