"""Labelled answers to questions about the clinic's concepts, to train a model verifier and to measure it.

Right ones say the reference in other words: synonyms, abbreviations, the other language, lay wording, another word
order, a side or a dose put differently, inside short or long statements. Wrong ones are near: a sibling, a look-alike,
the term turned round, the reference mentioned and put aside, denied, one of two or four, another side or dose, words to
the judge, no answer. Training, calibration and test share neither a concept nor a wording; a bare term has none.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from medrl.data.clinic import statements
from medrl.data.clinic.concepts import Named, Text
from medrl.data.clinic.lay import lay_forms
from medrl.data.clinic.patients import fraction
from medrl.data.clinic.rewording import invention, near_invention, other_amount, reordered, same_amount, turned
from medrl.data.clinic.rivals import concepts_of, near, others, spelt_alike, words_of
from medrl.data.clinic.templates import capital
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.data.labelled import LabelledAnswer
from medrl.errors import DataError, did_you_mean
from medrl.seeds import seed_of
from medrl.types import Problem, ask

Split = Literal["train", "calibration", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
OTHER_NAME_AS_REFERENCE = 0.2
CONTRASTED = 0.33  # share of statements that put another term aside
AROUND = 0.3  # share of plain statements with words before them, and after them
WHOLE = 0.4  # share of contrasts that are whole sentences; the others are made of two clauses
LED = 0.3  # share of statements about a disease that begin with its findings
NEAR = 0.7  # share of siblings that are easily confused with the concept
TRIES = 200
INVENTED = "invented"  # the concept of a term that means nothing
INVENTABLE = ("verbatim", "word order", "sibling", "mentioned", "denial", "open choice", "dump", "injection", "empty")
DENIAL = {
    "en": tuple(f"{t[:1].upper()}{t[1:]}.".replace("{y}", "{x}") for t in statements.REJECTS["en"]),
    "zh": tuple(f"{t}。".replace("{y}", "{x}") for t in statements.REJECTS["zh"]),
}
SIDED = (
    "finding:flank_pain finding:ear_pain finding:eye_pain finding:testicular_pain finding:facial_droop finding:ptosis "
    "finding:hearing_loss finding:leg_redness finding:tinnitus finding:exophthalmos finding:muscle_weakness "
    "finding:visual_field_loss finding:pleuritic_chest_pain finding:cervical_lymphadenopathy finding:incomplete_eye_closure "
    "disease:acute_pyelonephritis disease:renal_colic disease:testicular_torsion disease:bell_palsy "
    "disease:deep_vein_thrombosis disease:acute_otitis_media disease:acute_angle_closure disease:anterior_uveitis "
    "disease:tension_pneumothorax disease:septic_arthritis disease:ectopic_pregnancy disease:cellulitis"
).split()

# Way to be right or wrong, and its weight; a draw for which there are no words gives its turn to another.
RIGHT = {"verbatim": 26, "synonym": 30, "translation": 8, "lay": 14, "word order": 12, "side": 5, "dose": 5}
WRONG = {
    "sibling": 24,
    "look-alike": 14,
    "turned": 9,
    "mentioned": 18,
    "denial": 8,
    "open choice": 7,
    "dump": 4,
    "injection": 4,
    "empty": 3,
    "other side": 5,
    "other dose": 4,
}


@dataclass(frozen=True)
class Draw:
    """The settings of one answer."""

    world: World
    rng: random.Random
    split: Split
    language: str
    key: str
    concept: Named
    pool: tuple[str, ...]  # the qualified ids of the concepts that this side may name
    bare: float

    def wording(self, texts: statements.Wording) -> tuple[str, str]:
        number, text = self.rng.choice(statements.of_split(texts[self.language], self.split))
        return text, str(number)


@dataclass(frozen=True)
class Said:
    """A response before it becomes a row."""

    reference: str
    text: str
    template: str
    numeric: bool = False


def generate_answers(
    count: int,
    split: str = "train",
    *,
    known: bool = False,
    invented: float = 0.0,
    bare: float = 0.25,
    seed: int = 0,
    languages: Sequence[str] = LANGUAGES,
    world: World | None = None,
) -> list[LabelledAnswer]:
    """`count` labelled answers, half of them right in expectation. A longer list begins with the shorter one.

    Args:
        count: How many.
        split: "train", "calibration" or "test": which concepts and which wordings.
        known: Take training's concepts with this split's wordings: what is held out is the wording alone.
        invented: Share of terms that mean nothing, made of the words of the side's names anew each time. They cannot be
            learnt by heart, so a small model has to learn to compare. For training only.
        bare: Share of answers that are the term alone, with no statement around it.
        seed: Another seed draws other answers from the same sides.
        languages: "en", "zh" or both.
        world: The tables, where not the bundled ones.

    Raises:
        DataError: A split or language that does not exist, or a count below 1.
    """
    if split not in SPLITS:
        raise DataError(f"split is {split!r}{did_you_mean(split, SPLITS)}")
    if not 0.0 <= invented <= 1.0 or (invented and split != "train"):
        raise DataError(f"invented is {invented} on split {split!r}; it is a share from 0 to 1, and of training alone")
    if not 0.0 <= bare <= 1.0:
        raise DataError(f"bare is {bare}; it is a share from 0 to 1")
    if count < 1 or not languages or not set(languages) <= set(LANGUAGES):
        raise DataError(f"asked for {count} answers in {list(languages)}; ask for at least 1, in en, zh or both")
    world = world or load_world()
    side: Split = "train" if known else split
    pool = pools(world)[side]
    answers = []
    for number in range(count):
        rng = random.Random(seed_of("clinic-answers", seed, split, int(known), number))
        name = f"answer-{split}{'-known' if known else ''}-{seed}-{number}"
        answers.append(_answer(world, rng, split, rng.choice(list(languages)), pool, name, invented, bare))
    return answers


@lru_cache(maxsize=4)
def pools(world: World) -> dict[Split, tuple[str, ...]]:
    """The concepts of each split: 70 % training, 15 % calibration, 15 % test, by a hash of their ids."""
    found: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for key, _ in world.concepts():
        share = fraction(f"clinic-answers/{key}")
        found["train" if share < 0.7 else "calibration" if share < 0.85 else "test"].append(key)
    return {split: tuple(keys) for split, keys in found.items()}


def _answer(
    world: World,
    rng: random.Random,
    split: Split,
    language: str,
    pool: tuple[str, ...],
    name: str,
    invented: float,
    bare: float,
) -> LabelledAnswer:
    right = rng.random() < 0.5
    ways = RIGHT if right else WRONG
    for _ in range(TRIES):
        way = rng.choices(list(ways), list(ways.values()))[0]
        if way in INVENTABLE and rng.random() < invented:
            name = invention(rng, words_of(world, pool, language), language)
            key, concept = INVENTED, Named(id=INVENTED, name=Text(name, name))
        else:
            key = rng.choice(_fitting(world, pool, way, language))
            concept = concepts_of(world)[key]
        draw = Draw(world, rng, split, language, key, concept, pool, bare)
        said = WAYS[way](draw, way)
        if said is None:
            continue
        problem = Problem(
            name,
            ask(_question(draw, said.numeric)),
            said.reference,
            kind="numeric" if said.numeric else "open",
            language=language,
            metadata={"answer_type": "number" if said.numeric else "term"},
        )
        return LabelledAnswer(problem, capital(said.text), right, way, key, f"{language}-{said.template}")
    raise DataError(f"no answer of the split {split!r} could be made in {TRIES} tries; the tables are too small")


@lru_cache(maxsize=256)
def _fitting(world: World, pool: tuple[str, ...], way: str, language: str) -> tuple[str, ...]:
    """The concepts for which there are words in this way; all of them where that depends on the draw."""
    concepts = concepts_of(world)
    fits: dict[str, Callable[[str], bool]] = {
        "lay": lambda key: bool(lay_forms(key, language)),
        "word order": lambda key: bool(reordered(concepts[key].name.of(language), language)),
        "turned": lambda key: turned(concepts[key].name.of(language), language) is not None,
        **{way: lambda key: key in SIDED for way in ("side", "other side")},
        **{way: lambda key: key.startswith("drug:") for way in ("dose", "other dose")},
    }
    return tuple(key for key in pool if way not in fits or fits[way](key)) or pool


def _question(draw: Draw, numeric: bool) -> str:
    table, _, key = draw.key.partition(":")
    zh, language = draw.language == "zh", draw.language
    if numeric:
        name = draw.concept.name.of(language)
        return f"{name}一次用多少？" if zh else f"How much {name} is one dose?"
    if table == "disease":
        shown = [draw.world.findings[f].name.of(language) for f in draw.world.diseases[key].findings[:3]]
        return (
            f"患者有{'、'.join(shown)}。诊断是什么？" if zh else f"A patient has {', '.join(shown)}. Which diagnosis?"
        )
    if table == "drug":
        drug = draw.world.drugs[key]
        return f"哪种{drug.class_name.zh}？" if zh else f"Which {drug.class_name.en} is given?"
    return "请写出该临床术语。" if zh else "Name the clinical term."


def _reference(draw: Draw) -> str:
    forms = draw.concept.forms(draw.language)
    other = len(forms) > 1 and draw.rng.random() < OTHER_NAME_AS_REFERENCE
    return draw.rng.choice(forms[1:]) if other else forms[0]


def _stated(draw: Draw, term: str, *, contrast: bool = True) -> tuple[str, str]:
    """The term alone, in a plain statement, or beside another that is put aside; and the wording's name."""
    if draw.rng.random() < draw.bare:
        return term, "bare"
    rival = _rival(draw) if contrast and draw.rng.random() < CONTRASTED else None
    return _contrasted(draw, term, rival) if rival else _plain(draw, term)


def _plain(draw: Draw, term: str) -> tuple[str, str]:
    """A statement that commits to the term and names nothing else, with or without words around it."""
    (lead, led), stop = _lead(draw), "。" if draw.language == "zh" else "."
    clause, number = draw.wording(statements.COMMITS)
    body, name = clause.format(x=term) + stop, f"plain-{number}"
    if not lead and draw.rng.random() < AROUND:
        opening, place = draw.wording(statements.OPENINGS)
        body, name = opening + body, f"{name}-opening-{place}"
    if draw.rng.random() < AROUND:
        closing, place = draw.wording(statements.CLOSINGS)
        body, name = body + closing, f"{name}-closing-{place}"
    return lead + (capital(body) if lead else body), name + led


def _contrasted(draw: Draw, term: str, rival: str) -> tuple[str, str]:
    """A statement that commits to the term and puts its rival aside: a whole one, or made of two clauses."""
    lead, led = _lead(draw)
    if draw.rng.random() < WHOLE:
        text, number = draw.wording(statements.CONTRAST)
        body, name = text.format(x=term, y=rival), f"contrast-{number}"
    else:
        commits, first = draw.wording(statements.COMMITS)
        rejects, second = draw.wording(statements.REJECTS)
        join = draw.rng.choice(statements.JOINS[draw.language])
        p, q = commits.format(x=term), rejects.format(y=rival)
        second_first = ". {p}" in join
        body = join.format(p=capital(p) if second_first else p, q=capital(q) if ". {q}" in join else q)
        name = f"contrast-{first}-{second}"
    return lead + (capital(body) if lead else body), name + led


def _lead(draw: Draw) -> tuple[str, str]:
    """Findings before the statement, of those that this side may name; "" mostly, and where there are none."""
    table, _, key = draw.key.partition(":")
    if table != "disease" or draw.rng.random() > LED:
        return "", ""
    allowed = set(draw.pool)
    shown = [f for f in draw.world.diseases[key].findings if f"finding:{f}" in allowed]
    if len(shown) < 2:
        return "", ""
    f, g = (draw.world.findings[one].name.of(draw.language) for one in draw.rng.sample(shown, 2))
    text, number = draw.wording(statements.LEAD)
    return text.format(f=f, g=g) + ("" if draw.language == "zh" else " "), f"-lead-{number}"


def _terms(draw: Draw, key: str, concept: Named, way: str) -> list[str]:
    """What a concept may be called in this way; none where there are no words for it."""
    language = draw.language
    if way == "lay":
        return list(lay_forms(key, language))
    if way == "translation":
        return list(concept.forms("en" if language == "zh" else "zh"))
    if way == "word order":
        return [term for form in concept.forms(language) for term in reordered(form, language)]
    return list(concept.forms(language))


def _rival(draw: Draw) -> str | None:
    """A name of another concept, put in the ways of right answers, so that no way of putting it gives an answer away."""
    way = draw.rng.choices(list(RIGHT), list(RIGHT.values()))[0]
    if draw.key == INVENTED:
        words = words_of(draw.world, draw.pool, draw.language)
        name = near_invention(draw.rng, draw.concept.name.of(draw.language), words, draw.language)
        return draw.rng.choice(reordered(name, draw.language) or [name]) if way == "word order" else name
    key = _sibling(draw)
    if key is None:
        return None
    concept = concepts_of(draw.world)[key]
    return draw.rng.choice(_terms(draw, key, concept, way) or list(concept.forms(draw.language)))


def _sibling(draw: Draw) -> str | None:
    """Mostly a concept that is easily confused with this one, else any of the same table."""
    close, any_other = near(draw.world, draw.pool, draw.key), others(draw.world, draw.pool, draw.key)
    choice = close if close and draw.rng.random() < NEAR else any_other
    return draw.rng.choice(choice) if choice else None


def _right(draw: Draw, way: str) -> Said | None:
    reference = _reference(draw)
    if way == "verbatim":
        terms = [reference]
    elif way == "word order":
        terms = reordered(reference, draw.language)
    else:
        terms = [term for term in _terms(draw, draw.key, draw.concept, way) if term != reference]
    return Said(reference, *_stated(draw, draw.rng.choice(terms))) if terms else None


def _wrong(draw: Draw, way: str) -> Said | None:
    reference = _reference(draw)
    if way == "turned":
        other = turned(reference, draw.language)
        clash = other is not None and other.casefold() in {f.casefold() for f in draw.concept.forms(draw.language)}
        term = None if clash else other
    elif way == "look-alike":
        term = _look_alike(draw, reference)
    else:
        term = _rival(draw)
    return Said(reference, *_stated(draw, term)) if term else None


def _look_alike(draw: Draw, reference: str) -> str | None:
    """One of the three names in the same table that are spelt most like the reference."""
    nearest = spelt_alike(draw.world, draw.pool, draw.key, draw.language, reference)
    return draw.rng.choice(nearest) if nearest else None


def _mentioned(draw: Draw, way: str) -> Said | None:
    """The reference is named and put aside for another."""
    reference, rival = _reference(draw), _rival(draw)
    if rival is None:
        return None
    return Said(reference, *_contrasted(draw, rival, reference))


def _framed(draw: Draw, way: str) -> Said | None:
    """Denials, open choices, dumps, words to the judge and empty answers."""
    texts = {
        "denial": DENIAL,
        "open choice": statements.OPEN,
        "dump": statements.DUMP,
        "injection": statements.INJECTION,
        "empty": statements.EMPTY,
    }[way]
    reference = _reference(draw)
    rivals = list(dict.fromkeys(name for _ in range(8) if (name := _rival(draw))))
    if len(rivals) < 3:
        return None
    named = [reference, *rivals[: 3 if way == "dump" else 1]]
    if way in ("open choice", "dump"):
        draw.rng.shuffle(named)
    text, number = draw.wording(texts)
    return Said(reference, text.format(**dict(zip("xyzw", named, strict=False))), f"{way.replace(' ', '-')}-{number}")


def _sided(draw: Draw, way: str) -> Said | None:
    pair = ("左", "右") if draw.language == "zh" else ("left", "right")
    ours = draw.rng.choice(pair)
    theirs = ours if way == "side" else pair[1 - pair.index(ours)]
    name = draw.concept.name.of(draw.language)
    wordings = statements.SIDED[draw.language]
    # A side's wording is part of the term, so the reference may have any of them, and the answer those of its split.
    reference = draw.rng.choice(wordings).format(side=ours, x=name)
    shape, number = draw.wording(statements.SIDED)
    text, template = _stated(draw, shape.format(side=theirs, x=name), contrast=False)
    return Said(reference, text, f"{template}-side-{number}")


def _dosed(draw: Draw, way: str) -> Said | None:
    table, _, key = draw.key.partition(":")
    if table != "drug":
        return None
    dose = draw.world.drugs[key].dose
    amount = dose.amount * draw.rng.choice((0.5, 1, 1, 2, 3))
    reference = f"{amount:g} {dose.unit}"
    change = same_amount if way == "dose" else other_amount
    text = change(draw.rng, amount, dose.unit, draw.language)
    if text is None:
        return None
    stated, template = _stated(draw, text, contrast=False)
    return Said(reference, stated, template, numeric=True)


WAYS: dict[str, Callable[[Draw, str], Said | None]] = {
    **dict.fromkeys(("verbatim", "synonym", "translation", "lay", "word order"), _right),
    **dict.fromkeys(("sibling", "look-alike", "turned"), _wrong),
    **dict.fromkeys(("denial", "open choice", "dump", "injection", "empty"), _framed),
    "mentioned": _mentioned,
    "side": _sided,
    "other side": _sided,
    "dose": _dosed,
    "other dose": _dosed,
}
