"""Problems with numbers: doses by weight and day, laboratory values in SI units, values against their range."""

import re
from collections.abc import Mapping
from typing import Any

from medrl.data.clinic.concepts import Dose, Drug, Lab
from medrl.data.clinic.drawing import Draw, Drawn, figure, yes_no_drawn
from medrl.data.clinic.patients import Patient, side

TOLERANCE = 0.01  # relative; covers the rounding of a worked answer

_EVERY = re.compile(r"every (\d+) ?h")
_COUNTS = {"once daily": 1, "twice daily": 2, "three times daily": 3, "four times daily": 4, "five times daily": 5}
_VAGUE = re.compile(r"required|needed|divided|week|month|year|then|\b(?:to|or|on|at|up)\b(?! night)")


def times_a_day(frequency: str) -> int:
    """Doses a day as a whole number, or 0 where the text does not fix it."""
    text = frequency.casefold()
    if _VAGUE.search(text):
        return 0
    if every := _EVERY.search(text):
        hours = int(every[1])
        return 24 // hours if hours and 24 % hours == 0 else 0
    return next((count for words, count in _COUNTS.items() if words in text), 0)


def dose(draw: Draw) -> Drawn | None:
    """Dose by weight, times doses a day."""
    rng, language = draw.rng, draw.language
    per_kg = rng.random() < 0.5
    pool = [drug for drug in draw.world.drugs.values() if _by_weight(drug.dose) == per_kg]
    if not pool:
        return None
    drug = rng.choice(pool)
    a_day = "day" in f"{drug.dose.per} {drug.dose.unit}"
    times, unit = times_a_day(drug.dose.frequency.en), drug.dose.unit.split("/")[0]
    if "/min" in drug.dose.unit or "/h" in drug.dose.unit or (not per_kg and times < 2):
        return None
    total = (a_day and times < 2) or (times > 1 and (not per_kg or rng.random() < 0.5))
    child = any(word in drug.dose.population.casefold() for word in ("child", "infant", "paediatric", "pediatric"))
    weight = rng.randint(10, 40) if child else rng.randint(45, 100)
    person = Patient((weight - 6) // 3 if child else rng.randint(20, 79), rng.choice(("female", "male")))
    given = drug.dose.amount * (weight if per_kg else 1)
    single, daily = (given / max(times, 1), given) if a_day else (given, given * max(times, 1))
    if _too_much(drug, daily, unit):
        return None
    key = f"dose:{drug.id}:{weight}:{'total' if total else 'single'}"
    if side(key) != draw.split:
        return None
    value, other = (daily, single) if total else (single, daily if times > 1 else single * 10)
    per = f"{unit}/kg" if per_kg else unit
    daily_words = ("（每日总量）" if draw.chinese else " per day") if a_day else ""
    what = {"en": ("the single dose", "the daily total"), "zh": ("单次剂量", "每日总量")}[language][total]
    amount = f"{figure(drug.dose.amount)} {per}"
    text, template = draw.question(
        **draw.who(person), drug=draw.name(drug), weight=weight, amount=amount + daily_words, unit=unit, what=what,
        frequency=drug.dose.frequency.of(language),
    )  # fmt: skip
    first = f"{amount} x {weight} kg = {figure(given)} {unit}." if per_kg else ""
    second = ""
    if total and not a_day:
        second = f"{figure(single)} {unit} x {times} = {figure(daily)} {unit}."
    elif a_day and not total:
        second = f"{figure(daily)} {unit} / {times} = {figure(single)} {unit}."
    worked = " ".join(part for part in (first, second) if part)
    # The slip forgets the doses of a day, or misplaces the decimal point.
    slip = first or f"{amount} x 1 = {figure(other)} {unit}."
    if not second:
        other = value * 10
        slip = f"{amount} x {weight} kg = {figure(other)} {unit}."
    facts = {"patient": {"age": person.age, "sex": person.sex, "weight": weight}, "drug": drug.id}
    return _number(draw, text, template, key, value, unit, worked, (slip, f"{figure(other)} {unit}"), facts)


_GRAMS = {"mcg": 1e-6, "mg": 1e-3, "g": 1.0}


def _by_weight(dose: Dose) -> bool:
    return "kg" in f"{dose.per} {dose.unit}"


def _too_much(drug: Drug, daily: float, unit: str) -> bool:
    limit = drug.max_daily
    if limit is None:
        return False
    if limit.unit in _GRAMS and unit in _GRAMS:
        return daily * _GRAMS[unit] > limit.amount * _GRAMS[limit.unit] * (1 + 1e-9)
    return limit.unit == unit and daily > limit.amount


def conversion(draw: Draw) -> Drawn | None:
    """A laboratory value in SI units."""
    labs = [
        lab
        for lab in draw.world.labs.values()
        if lab.si_factor not in (None, 1.0) and lab.si_unit not in (None, lab.unit)
    ]
    lab = draw.rng.choice(labs) if labs else None
    if lab is None or lab.si_factor is None or lab.si_unit is None:
        return None
    low, high = _span(lab)
    value = _value(draw, low / 2, high * 2, lab)
    if value <= 0:
        return None
    key = f"conversion:{lab.id}:{figure(value)}"
    if side(key) != draw.split:
        return None
    text, template = draw.question(lab=draw.name(lab), value=figure(value), unit=lab.unit, si=lab.si_unit)
    right, wrong = figure(value * lab.si_factor, 4), figure(value / lab.si_factor, 4)
    factor = figure(lab.si_factor)
    worked = f"{figure(value)} x {factor} = {right}."
    slip = (f"{figure(value)} / {factor} = {wrong}.", f"{wrong} {lab.si_unit}")
    return _number(draw, text, template, key, float(right), lab.si_unit, worked, slip, {"lab": lab.id})


def _number(
    draw: Draw, text: str, template: str, key: str, value: float, unit: str, worked: str, slip: tuple[str, str],
    facts: Mapping[str, Any],
) -> Drawn:  # fmt: skip
    margin = abs(value) * TOLERANCE
    limits = {"lower_limit": value - margin, "upper_limit": value + margin}
    number = {"value": value, "unit": unit, "tolerance": TOLERANCE, **limits}
    return Drawn(
        text, template, f"{figure(value)} {unit}", "numeric", key, worked=worked, slip=slip, facts={**facts, **number}
    )


def _span(lab: Lab) -> tuple[float, float]:
    """Both ends of the range; an end that the table leaves open is set at half or double the other."""
    high = lab.high if lab.high is not None else 2 * (lab.low or 1.0)
    return (lab.low if lab.low is not None else high / 2), high


def _value(draw: Draw, low: float, high: float, lab: Lab) -> float:
    """A value as a laboratory would print it: decimals by the width of the reference range."""
    bottom, top = _span(lab)
    digits = 0 if top - bottom >= 20 else 1 if top - bottom >= 2 else 2
    return round(draw.rng.uniform(low, high), digits)


def value_range(draw: Draw) -> Drawn | None:
    """Whether a laboratory value lies above, or below, its reference range."""
    rng = draw.rng
    lab = rng.choice(list(draw.world.labs.values()))
    low, high = _span(lab)
    above, yes = rng.random() < 0.5, rng.random() < 0.5
    if (lab.high if above else lab.low) is None or (above and lab.unit == "%" and high >= 100):
        return None
    out = (high, high + (high - low)) if above else (max(low - (high - low), low / 2), low)
    value = _value(draw, *(out if yes else (low, high)), lab)
    if value <= 0 or value in (low, high) or yes != (value > high if above else value < low):
        return None
    key = f"range:{lab.id}:{figure(value)}"
    if side(key) != draw.split:
        return None
    direction = ("高于" if above else "低于") if draw.chinese else ("above" if above else "below")
    shown = f"{figure(low)}-{figure(high)}"
    if lab.low is None or lab.high is None:
        shown = f"<= {figure(high)}" if lab.low is None else f">= {figure(low)}"
    text, template = draw.question(lab=draw.name(lab), value=figure(value), unit=lab.unit, direction=direction)
    facts = {"lab": lab.id, "unit": lab.unit, "value": value}

    def told(answer: bool) -> str:
        return (
            f"参考范围{shown}，{figure(value)}{'' if answer else '不'}{direction}范围。"
            if draw.chinese
            else f"the range is {shown}. {figure(value)} is {'' if answer else 'not '}{direction} it."
        )

    return yes_no_drawn(draw, text, template, key, yes, told, facts)
