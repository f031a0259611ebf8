"""The unit in which a question wants its answer: "in terms of mg", "how many weeks", 多少毫克, or what is customary."""

import re
from fractions import Fraction
from functools import lru_cache

from medrl.verifiers.quantity import quantities
from medrl.verifiers.units import Dims, Unit, read_unit, units_in, without_counts

ASKS_PERCENT = re.compile(r"\bpercent|\bin %|百分", re.IGNORECASE)
# The unit that a question asks for in so many words: "how many completed weeks", 多少天, "in milligrams".
_HOW_MANY = re.compile(
    r"\bhow many (?:(?:completed|complete|full|whole|total|more) )?(?=[A-Za-zμ])|\bin (?:terms|units) of (?=[A-Za-zμ%])|"
    r"\b(?:express\w*|give\w*|report\w*|answer\w*|state\w*) (?:\w+ ){0,4}in (?!terms|units)(?=[A-Za-zμ%])|多少 ?|"
    r"几|(?<!\d)单位(?:为|是|:) ?|(?:换算|转换)[为成] ?|以(?=[A-Za-zμ毫微千克升])",
    re.IGNORECASE,
)
_SURE = ("in terms", "in units", "how many", "多少", "多少 ", "几")  # after these one letter is a unit too
_AT_END = re.compile(r"[^,，。;；]{0,6}[?？]?$")
_IN = re.compile(r"[ (]in (?=[A-Za-zμ%])|\((?:(?=[A-Za-zμ%毫微克升])|个?(?=[/每]))", re.IGNORECASE)
# A count in so much time: 每分钟多少次.
_COUNT_IN = re.compile(r"每(?P<time>分钟|小时|天|日|周)[^，。,？?]{0,8}?(?:多少|几)(?P<what>次|滴)")


# What has one unit everywhere, or in Chinese reports, so that nobody writes it: words, scale, dimensions.
_PER_LITRE: Dims = (("amount", 1), ("volume", -1))
_CUSTOMARY: tuple[tuple[re.Pattern[str], Fraction, Dims], ...] = (
    (
        re.compile(r"(?<![A-Za-z])BMI(?![A-Za-z])|body[- ]mass index|体[重质]指数", re.IGNORECASE),
        Fraction(1000),
        (("area", -1), ("mass", 1)),
    ),
    (
        re.compile(r"\b(?:heart|pulse|respiratory|breathing|ventricular) rate\b|心率|脉[搏率]|呼吸频率", re.IGNORECASE),
        Fraction(1, 60),
        (("time", -1),),
    ),
    (re.compile("血糖|血[钾钠氯钙磷镁]|胆固醇|甘油三酯|尿素氮"), Fraction(1, 1000), _PER_LITRE),
    (re.compile("肌酐|胆红素|尿酸"), Fraction(1, 1_000_000), _PER_LITRE),
    (re.compile("血红蛋白|白蛋白|总蛋白"), Fraction(1), (("mass", 1), ("volume", -1))),
    (re.compile(r"体温|\bfever\b|\bbody temperature\b", re.IGNORECASE), Fraction(1), (("temperature", 1),)),
    (
        re.compile(
            r"收缩压|舒张压|血压|平均动脉压|\b(?:systolic|diastolic|blood pressure|mean arterial)", re.IGNORECASE
        ),
        Fraction(1),
        (("pressure", 1),),
    ),
    (
        re.compile(r"creatinine clearance|cockcroft|肌酐清除率", re.IGNORECASE),
        Fraction(1, 60_000),
        (("time", -1), ("volume", 1)),
    ),
)


def asked_unit(question: str, theirs: Unit | None) -> Unit | None:
    """The unit in which a question without one in its reference wants the answer, if it is clear."""
    if theirs is None:
        return None
    if not theirs.dims:
        return theirs if theirs.scale != Fraction(1, 100) or ASKS_PERCENT.search(question) else None
    wanted, outright = wanted_unit(question)
    if wanted and (outright or wanted.dims == theirs.dims):
        return wanted
    fitting = [unit for unit in free_units(question) if without_counts(unit.dims) == without_counts(theirs.dims)]
    return fitting[0] if fitting and all(unit.same_as(fitting[0]) for unit in fitting) else None


@lru_cache(maxsize=2048)
def wanted_unit(question: str) -> tuple[Unit | None, bool]:
    """The unit in which a plain question wants its answer, by its end, and whether it says so outright.

    Outright is "in terms of mg", "how many weeks", 多少毫克, "in mg?"; less so is "in mg" inside a sentence.
    """
    last = question[-400:]
    if count := _COUNT_IN.search(last):
        return read_unit(f"{count['what']}/{count['time']}", 0)[0], True
    for words, outright in ((_HOW_MANY, True), (_IN, False)):
        for match in reversed(list(words.finditer(last))):
            unit, end = read_unit(last, match.end())
            if unit is None or not _stands(match[0], last[end:]):
                continue
            ends = last[end : end + 1] in ("?", ")", "")
            if end - match.end() > 1 or ends or match[0][:8].lower() in _SURE:
                return unit, outright or ends
    return None, False


def _stands(words: str, rest: str) -> bool:
    """Whether what follows a unit lets it be asked for: 以克计, and 几周 at the end; 几年前 asks for no years."""
    if words == "几":
        return bool(_AT_END.match(rest)) and rest[:1] not in ("前", "后", "来")
    if words.startswith("("):
        return rest.startswith(")")  # 剂量(mg)是多少
    return words != "以" or rest.startswith(("计", "为单位", "表示", "作单位"))


@lru_cache(maxsize=1024)
def free_units(question: str) -> tuple[Unit, ...]:
    """The units of a plain question that belong to no number in it."""
    for q in reversed(quantities(question)):
        question = question[: q.span[0]] + ";" + question[q.span[1] :]
    return units_in(question)


def fixes(question: str, unit: Unit) -> bool:
    """Whether a plain question names a unit, so that an answer may leave it out."""
    dims = without_counts(unit.dims)
    if any(unit.scale == scale and dims == said and words.search(question) for words, scale, said in _CUSTOMARY):
        return True
    wanted = wanted_unit(question)[0]
    named = (*units_in(question), wanted) if wanted else units_in(question)
    return any(u.scale == unit.scale and u.offset == unit.offset and without_counts(u.dims) == dims for u in named)
