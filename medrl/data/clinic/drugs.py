"""Problems about drugs: class, antidote, contraindications.

The tables are a closed world, and what they do not list need not be false. So a drug is only called safe where the
tables speak for it, in a disease it is first-line for; and wrong options avoid related classes and general conditions.
"""

import random
from functools import lru_cache

from medrl.data.clinic.concepts import Drug, Text
from medrl.data.clinic.drawing import OTHERS, Draw, Drawn, choice_drawn, pick, set_drawn, yes_no_drawn
from medrl.data.clinic.patients import Patient, patient, side
from medrl.data.clinic.world import World


@lru_cache(maxsize=1024)
def unrelated(world: World, drug: Drug) -> tuple[Drug, ...]:
    """The drugs whose class is not, and by its name cannot be, part of this drug's class or the other way round."""
    own = drug.class_name.en.casefold()
    named = [(other, other.class_name.en.casefold()) for other in world.drugs.values()]
    return tuple(
        other for other, name in named if other.class_id != drug.class_id and own not in name and name not in own
    )


def drug_class(draw: Draw) -> Drawn | None:
    right = draw.rng.choice(list(draw.world.drugs.values()))
    wrong = pick(draw.rng, unrelated(draw.world, right), OTHERS)
    if wrong is None:
        return None
    key = f"drug_class:{right.class_id}:{'+'.join(sorted(drug.id for drug in (right, *wrong)))}"
    subject = right.class_name.of(draw.language)

    def told(name: str) -> str:
        return f"{name}属于{subject}。" if draw.chinese else f"{name} belongs to the class {subject}."

    return choice_drawn(draw, key, subject, draw.name(right), [draw.name(drug) for drug in wrong], told)


def antidote(draw: Draw) -> Drawn | None:
    having = [(drug, drug.antidote) for drug in draw.world.drugs.values() if drug.antidote]
    if not having:
        return None
    drug, right = draw.rng.choice(having)
    own = right.en.casefold()
    others = {text.en: text for _, text in having if text.en.casefold() not in own and own not in text.en.casefold()}
    wrong = pick(draw.rng, [others[name] for name in sorted(others)], OTHERS)
    if wrong is None:
        return None
    return _about(draw, "antidote", drug, right, wrong, "{subject}用{name}解毒。", "{subject} is reversed by {name}.")


def contraindication(draw: Draw) -> Drawn | None:
    drug = draw.rng.choice(list(draw.world.drugs.values()))
    wrong = pick(draw.rng, _strange_conditions(draw.world, drug), OTHERS)
    if wrong is None or not drug.contraindications:
        return None
    right = draw.rng.choice(drug.contraindications)
    told = "{name}时禁用{subject}。", "{subject} must be avoided in {name}."
    return _about(draw, "contraindication", drug, right, wrong, *told)


def _about(
    draw: Draw, topic: str, drug: Drug, right: Text, wrong: list[Text], chinese: str, english: str
) -> Drawn | None:
    texts = [text.of(draw.language) for text in (right, *wrong)]
    if len(set(texts)) < len(texts):
        return None
    key = f"{topic}:{drug.id}:{right.en}:{'+'.join(sorted(text.en for text in wrong))}"
    subject = draw.name(drug)

    def told(name: str) -> str:
        return (chinese if draw.chinese else english).format(subject=subject, name=name)

    return choice_drawn(draw, key, subject, texts[0], texts[1:], told)


_GENERAL = ("pregnan", "hypersens", "allerg", "hepatic", "liver", "renal", "kidney")


@lru_cache(maxsize=1024)
def _strange_conditions(world: World, drug: Drug) -> tuple[Text, ...]:
    """Contraindications of one unrelated class alone; those that several classes have are too general to be wrong."""
    classes: dict[str, set[str]] = {}
    for other in world.drugs.values():
        for text in other.contraindications:
            classes.setdefault(text.en.casefold(), set()).add(other.class_id)
    own = {text.en.casefold() for text in drug.contraindications}
    pool = {text.en: text for other in unrelated(world, drug) for text in other.contraindications}
    return tuple(
        pool[name]
        for name in sorted(pool)
        if name.casefold() not in own
        and len(classes[name.casefold()]) == 1
        and not any(word in name.casefold() for word in _GENERAL)
    )


def contraindicated(draw: Draw) -> Drawn | None:
    world, rng = draw.world, draw.rng
    treated = [
        (disease, key) for disease in world.diseases.values() for key in disease.first_line if key in world.drugs
    ]
    yes = rng.random() < 0.5 or not treated
    if yes:
        drug = rng.choice(list(world.drugs.values()))
        if not drug.contraindications:
            return None
        condition: Text = rng.choice(drug.contraindications)
        person = _who(condition, rng)
    else:
        disease, name = rng.choice(treated)
        drug, condition, person = world.drugs[name], disease.name, patient(disease, rng)
        if any(condition.en.casefold() in text.en.casefold() for text in drug.contraindications):
            return None
    key = f"contraindicated:{drug.id}:{condition.en}:{person.age}:{person.sex}"
    if side(key) != draw.split:
        return None
    where = condition.of(draw.language)
    text, template = draw.question(**draw.who(person), condition=where, drug=draw.name(drug))

    def told(answer: bool) -> str:
        return (
            f"{where}{'禁用' if answer else '可用'}{draw.name(drug)}。"
            if draw.chinese
            else f"{draw.name(drug)} is {'a danger' if answer else 'used'} in {where}."
        )

    facts = {"drug": drug.id, "patient": {"age": person.age, "sex": person.sex}}
    return yes_no_drawn(draw, text, template, key, yes, told, facts)


def _who(condition: Text, rng: random.Random) -> Patient:
    """An adult; a woman of childbearing age, a child or a newborn where the condition says so."""
    words = condition.en.casefold()
    if any(word in words for word in ("pregnan", "breast", "lactat", "labour", "labor", "trimester")):
        return Patient(rng.randint(18, 42), "female")
    sex = rng.choice(("female", "male"))
    if any(word in words for word in ("child", "infant", "neonat", "under ", "younger")):
        return Patient(1, sex)
    return Patient(rng.randint(20, 79), "male" if "prostat" in words else sex)


def class_members(draw: Draw) -> Drawn | None:
    classes: dict[str, list[Drug]] = {}
    for drug in draw.world.drugs.values():
        classes.setdefault(drug.class_id, []).append(drug)
    large = [members for members in classes.values() if len(members) > 1]
    if not large:
        return None
    members = draw.rng.choice(large)
    inside = draw.rng.sample(members, draw.rng.randint(2, min(3, len(members))))
    outside = pick(draw.rng, unrelated(draw.world, members[0]), draw.rng.randint(2, 3))
    if outside is None:
        return None
    return set_drawn(
        draw, f"class_members:{members[0].class_id}", members[0].class_name.of(draw.language), inside, outside
    )
