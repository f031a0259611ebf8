"""Answers that are surely right or surely wrong, made from the simulated clinic and medrl's vocabulary.

Negatives: the antonym, the other side, type or stage, another dose or unit, a look-alike, a sibling of the same kind, a
denial, an open choice. Positives: another name of the same concept, the same quantity in another unit. Each stands in a
sentence as a model writes it. All draws are seeded, so the rows are the same everywhere.
"""

import random
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from medrl.data.clinic.world import load_world
from medrl.types import Problem, Response, ask
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.indexing import Concept
from medrl.verifiers.vocabularies import vocabulary

SWAPS = (
    ("hyper", "hypo"), ("brady", "tachy"), ("left ", "right "), ("upper ", "lower "), ("acute ", "chronic "),
    ("type 1 ", "type 2 "),
    ("systolic ", "diastolic "), ("anterior ", "posterior "), ("superior ", "inferior "), ("medial ", "lateral "),
    ("bacterial ", "viral "), ("primary ", "secondary "), ("benign ", "malignant "), ("ventral ", "dorsal "),
    ("高", "低"), ("左", "右"), ("急性", "慢性"), ("1型", "2型"), ("良性", "恶性"), ("前", "后"), ("内侧", "外侧"),
)  # fmt: skip
LAYOUTS = (
    "{}", "{}.", "The answer is {}.", "It is most likely {}.",
    "## Thinking\n\nThe key finding settles it.\n\n## Final Response\n\n{}",
    "<think>\nThe key finding settles it.\n</think>\n\n**{}**", "\\boxed{{{}}}",
)  # fmt: skip
LAYOUTS_ZH = (
    "{}",
    "{}。",
    "答案是{}。",
    "最可能的诊断是{}。",
    "## Thinking\n\n关键线索已经明确。\n\n## Final Response\n\n{}",
)
OTHER_UNITS = {
    "g": "mg",
    "mg": "g",
    "mcg": "mg",
    "mL": "L",
    "mmol/L": "µmol/L",
    "g/L": "mg/L",
    "g/dL": "mg/dL",
    "mg/dL": "g/dL",
}
SAME_UNITS = {
    "g": ("mg", 1000),
    "mg": ("g", Fraction(1, 1000)),
    "mL": ("L", Fraction(1, 1000)),
    "g/L": ("g/dL", Fraction(1, 10)),
}


class Row(NamedTuple):
    """One answer with its label and the kind of change that made it."""

    kind: str
    problem: Problem
    response: Response
    expected: bool


def rows(seed: int = 0, each: int = 160) -> list[Row]:
    """At most `each` rows of every kind, shuffled; the same for the same seed."""
    draw = random.Random(seed)
    known = vocabulary("medrl")
    assert known is not None
    found: list[Row] = []
    for make in (_swapped, _siblings, _lookalikes, _denied, _open_choices, _synonyms):
        every = list(make(known, draw))
        found += draw.sample(every, min(each, len(every)))
    quantities = list(_quantities(draw))
    for kind in sorted({row.kind for row in quantities}):
        of_kind = [row for row in quantities if row.kind == kind]
        found += draw.sample(of_kind, min(each, len(of_kind)))
    draw.shuffle(found)
    return found


def _row(draw: random.Random, kind: str, reference: str, answer: str, expected: bool, question: str = "") -> Row:
    han = answer[:1] > "\u3400"
    text = draw.choice(LAYOUTS_ZH if han else LAYOUTS).format(answer)
    asked = question or ("最可能的答案是什么？" if reference[:1] > "\u3400" else "Which one is it?")
    return Row(kind, Problem(f"{kind}-{reference}", ask(asked), reference), Response(text), expected)


def _swapped(known: Vocabulary, draw: random.Random) -> Iterator[Row]:
    """A name and its counterpart, both of them names in the vocabulary."""
    names = {name.lower(): name for concept in known.concepts for name in concept.names}
    for low, name in sorted(names.items()):
        for one, other in SWAPS:
            for here, there in ((one, other), (other, one)):
                turned = low.replace(here, there, 1) if here in low else ""
                if turned in names and not known.ids(name) & known.ids(names[turned]):
                    yield _row(draw, "antonym", name, names[turned], False)


def _siblings(known: Vocabulary, draw: random.Random) -> Iterator[Row]:
    """Two drugs, or two organisms, of the same class: another ingredient, another species."""
    children: dict[tuple[str, str], list[Concept]] = {}
    for concept in known.concepts:
        for parent in concept.broader[:1]:
            if concept.kind in ("drug", "organism"):
                children.setdefault((concept.kind, parent), []).append(concept)
    for several in children.values():
        for one in several:
            other = draw.choice(several)
            names = (draw.choice(one.names), draw.choice(other.names))
            if _strangers(known, one, other):
                yield _row(draw, "sibling", *names, False)


def _strangers(known: Vocabulary, one: Concept, other: Concept) -> bool:
    """Whether two concepts have no name in common and neither is a kind of the other."""
    ids = [next(iter(known.ids(c.names[0])), -1) for c in (one, other)]
    shared = set(map(str.lower, one.names)) & set(map(str.lower, other.names))
    return one is not other and not shared and not known.related(*ids) and not _salts(one, other)


def _salts(one: Concept, other: Concept) -> bool:
    """Whether the one's first name begins the other's: an ingredient and its salt or form."""
    a, b = one.names[0].lower(), other.names[0].lower()
    return a.startswith(b) or b.startswith(a)


def _lookalikes(known: Vocabulary, draw: random.Random) -> Iterator[Row]:
    """Two drugs whose names are three edits or fewer apart."""
    from rapidfuzz.distance import OSA

    drugs = [
        concept for concept in known.concepts if concept.kind == "drug" and re.fullmatch("[a-z]{6,}", concept.names[0])
    ]
    for number, one in enumerate(drugs):
        for other in drugs[number + 1 :]:
            a, b = one.names[0], other.names[0]
            if abs(len(a) - len(b)) <= 3 and OSA.distance(a, b, score_cutoff=3) <= 3 and _strangers(known, one, other):
                yield _row(draw, "lookalike", a, b, False)


def _denied(known: Vocabulary, draw: random.Random) -> Iterator[Row]:
    for concept in known.concepts:
        if concept.kind == "disease":
            yield _row(
                draw,
                "denial",
                concept.names[0],
                draw.choice(("not {}", "{} is ruled out")).format(concept.names[0]),
                False,
            )


def _open_choices(known: Vocabulary, draw: random.Random) -> Iterator[Row]:
    diseases = [concept for concept in known.concepts if concept.kind == "disease" and len(concept.names[0]) < 40]
    for one in diseases:
        other = draw.choice(diseases)
        if _strangers(known, one, other) and not re.search(r"\bor\b|\band\b|/", one.names[0] + other.names[0]):
            pair = [one.names[0], other.names[0]]
            draw.shuffle(pair)
            yield _row(draw, "open choice", one.names[0], " or ".join(pair), False)


def _synonyms(known: Vocabulary, draw: random.Random) -> Iterator[Row]:
    for concept in known.concepts:
        if len(concept.names) > 1:
            yield _row(draw, "synonym", *draw.sample(concept.names, 2), True)


def _quantities(draw: random.Random) -> Iterator[Row]:
    """Doses of the clinic's drugs: the same in another unit; ten times, double, per kilogram or in a wrong unit."""
    for drug in load_world().drugs.values():
        dose = drug.dose
        if dose is None or dose.per != "dose":
            continue
        unit = dose.unit
        question, reference = f"What is a usual single dose of {drug.name.en}, in {unit}?", f"{dose.amount:g} {unit}"
        for factor in (10, Fraction(1, 10), 2):
            yield _row(draw, "other dose", reference, f"{float(dose.amount * factor):g} {unit}", False, question)
        yield _row(draw, "per kilogram", reference, f"{reference}/kg", False, question)
        if unit in OTHER_UNITS:
            yield _row(draw, "other unit", reference, f"{dose.amount:g} {OTHER_UNITS[unit]}", False, question)
        if unit in SAME_UNITS:
            other, factor = SAME_UNITS[unit]
            yield _row(
                draw, "same in another unit", reference, f"{float(dose.amount * factor):g} {other}", True, question
            )
