"""Right and wrong answers to a problem, from which the texts of `medrl attack` are made.

A wrong answer must be wrong beyond doubt: the references of other problems are taken where neither can stand for the
other, and look-alikes where the swapped word or unit changes the meaning.
"""

import math
import re
from collections.abc import Sequence

from medrl.types import Problem

# Words that look alike or stand for the opposite; each may be replaced by the other.
SWAPS = (
    ("hyper", "hypo"), ("acute", "chronic"), ("left", "right"), ("upper", "lower"), ("type 1", "type 2"),
    ("primary", "secondary"), ("tachy", "brady"), ("systolic", "diastolic"), ("bacterial", "viral"),
    ("benign", "malignant"), ("急性", "慢性"), ("左", "右"), ("上消化道", "下消化道"), ("1型", "2型"), ("原发", "继发"),
    ("细菌性", "病毒性"), ("良性", "恶性"), ("亢进", "减退"), ("高钾", "低钾"), ("高钠", "低钠"), ("高钙", "低钙"),
    ("高血糖", "低血糖"), ("高血压", "低血压"),
)  # fmt: skip
# A unit and one that never means the same amount.
UNITS = {
    "g": "mg", "mg": "g", "mcg": "mg", "µg": "mg", "mL": "L", "L": "mL", "mmol/L": "µmol/L", "µmol/L": "mmol/L",
    "mg/dL": "g/dL", "g/dL": "mg/dL", "g/L": "mg/L", "mg/L": "g/L", "ng/mL": "mg/mL", "units": "mg", "nmol/L": "mmol/L",
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(\S.*)?")


def right_answer(problem: Problem) -> str:
    """What an honest policy says: the label of an option that has a letter, else the text."""
    reference = problem.reference or ""
    return reference if len(reference) == 1 else problem.options.get(reference, reference)


def wrong_answers(problem: Problem, others: Sequence[Problem]) -> list[str]:
    """Answers to `problem` that are surely wrong: its other options, else references of other problems of its kind."""
    if problem.options:
        texts = [label if len(label) == 1 else text for label, text in problem.options.items() if text]
        return [text for text in texts if text != right_answer(problem)]
    found: list[str] = []
    for other in others:
        same = (other.kind, other.language, _sort(other)) == (problem.kind, problem.language, _sort(problem))
        if same and other.reference and other.reference not in found and _exclude(problem, other):
            found.append(other.reference)
    return _in_unit(problem, found) if problem.kind == "numeric" else found


def _in_unit(problem: Problem, found: Sequence[str]) -> list[str]:
    """First the numbers of other quantities in the problem's own unit, then those that have another unit as they are."""
    unit = unit_of(problem.reference or "")
    numbers = [match.group(1) for one in found if (match := _QUANTITY.match(one))]
    return list(dict.fromkeys([*(f"{one} {unit}".strip() for one in numbers), *found]))


def unit_of(text: str) -> str:
    """What stands after the number of a quantity."""
    found = _QUANTITY.fullmatch(text)
    return (found.group(2) or "").strip() if found else ""


def _sort(problem: Problem) -> tuple[object, object]:
    topic = problem.metadata.get("topic") if problem.kind != "numeric" else None
    return problem.metadata.get("answer_type"), topic


def _exclude(one: Problem, other: Problem) -> bool:
    """True when no name of one is part of a name of the other, and their numbers differ by more than a unit's prefix."""
    here, there = _names(one), _names(other)
    if any(a in b or b in a for a in here for b in there):
        return False
    if one.kind != "numeric":
        return True
    pair = [_QUANTITY.match(problem.reference or "") for problem in (one, other)]
    values = [abs(float(found.group(1))) for found in pair if found]
    if len(values) < 2 or not all(values):
        return False
    digits = math.log10(values[0] / values[1]) % 1
    return 0.1 < digits < 0.9


def _names(problem: Problem) -> set[str]:
    """Every text that names the answer, or an item of it."""
    spoken = {problem.reference or "", *problem.aliases}
    for items in (problem.metadata.get("items", ()), *dict(problem.metadata.get("item_aliases", {})).values()):
        spoken |= {str(item) for item in items}
    return {text.casefold().strip() for text in spoken if text.strip()}


def swapped(problem: Problem) -> list[str]:
    """The reference of an open problem with a word turned into its opposite, where that is not another name of it."""
    if problem.kind != "open" or problem.options:
        return []
    reference, known = problem.reference or "", _names(problem)
    found: list[str] = []
    for pair in SWAPS:
        for old, new in (pair, pair[::-1]):
            latin = rf"(?<![A-Za-z]){re.escape(old)}" if old.isascii() else re.escape(old)
            text = re.sub(latin, new, reference, flags=re.IGNORECASE)
            if text != reference and text.casefold() not in known:
                found.append(text)
    return found


def other_quantities(problem: Problem) -> list[str]:
    """A numeric reference with another number, and with another unit."""
    found = _QUANTITY.fullmatch(problem.reference or "") if problem.kind == "numeric" else None
    if not found or not float(found.group(1)):
        return []
    value, unit = float(found.group(1)), unit_of(problem.reference or "")
    numbers = [f"{value * factor:g} {unit}".strip() for factor in (10, 1.5, 0.1)]
    return [*numbers, *([f"{found.group(1)} {UNITS[unit]}"] if unit in UNITS else [])]
