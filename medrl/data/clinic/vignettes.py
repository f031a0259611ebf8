"""Problems about a patient with some findings of one disease: diagnosis, department, first-line treatment, test."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from medrl.data.clinic import templates
from medrl.data.clinic.concepts import Disease, Named
from medrl.data.clinic.drawing import OTHERS, Draw, Drawn, lettered, pick, with_options
from medrl.data.clinic.patients import Patient, carriers, findings_key, patient, presentations
from medrl.data.clinic.world import World

DENIED_SHARE = 0.3
GENERAL_FROM = 3  # a treatment or test that so many diseases share (fluids, blood count) might fit here too


def vignette(draw: Draw) -> Drawn | None:
    """A free-text question (`answer_type` term) or one with four options (choice) about one patient."""
    world, rng = draw.world, draw.rng
    disease = world.diseases[rng.choice(draw.diseases)]
    drawn = presented(draw, disease)
    if drawn is None:
        return None
    shown, denied, person = drawn
    text, template = prompt(draw, shown, denied, draw.who(person))
    right = answers(world, disease, draw.topic)
    chosen = right[0]
    facts = {
        "disease": disease.id,
        "patient": {"age": person.age, "sex": person.sex},
        "findings": shown,
        "denied": [denied] if denied else [],
        "answer": draw.name(chosen),
    }
    combination = findings_key(disease.id, shown)
    if draw.answer_type == "term":
        others = [form for other in right[1:] for form in (draw.name(other), *other.aliases(draw.language))]
        aliases = tuple(dict.fromkeys((*chosen.aliases(draw.language), *others)))
        return Drawn(text, template, draw.name(chosen), "open", combination, aliases, facts=facts)
    wrong = _distractors(draw, disease, shown, right)
    if wrong is None:
        return None
    options, label = lettered(draw, draw.name(chosen), wrong)
    return Drawn(with_options(text, options), template, label, "choice", combination, options=options, facts=facts)


def presented(draw: Draw, disease: Disease) -> tuple[list[str], str | None, Patient] | None:
    """A patient with this disease: the findings shown, perhaps one that is denied, and who it is.

    None where no set of findings of this split identifies the disease.
    """
    rng = draw.rng
    groups = presentations(draw.world, disease.id, draw.shown, draw.split)
    if not groups:
        return None
    shown = list(rng.choice(rng.choice(groups)))
    rng.shuffle(shown)
    denied = rng.choice(disease.excludes) if disease.excludes and rng.random() < DENIED_SHARE else None
    return shown, denied, patient(disease, rng, shown)


def answers(world: World, disease: Disease, topic: str) -> list[Named]:
    """Every right answer on this topic, the first choice first."""
    if topic == "diagnosis":
        return [disease]
    if topic == "department":
        return [world.departments[disease.department]]
    if topic == "treatment":
        return [world.treatment(key) for key in disease.first_line]
    return [world.test(key) for key in disease.tests]


def rivals(world: World, disease: str, shown: Sequence[str]) -> list[str]:
    """Other diseases that share shown findings, those that share most first; ties in table order."""
    having = carriers(world)
    shared: dict[str, int] = {}
    for finding in shown:
        for other in having[finding]:
            shared[other] = shared.get(other, 0) + 1
    shared.pop(disease, None)
    order = {key: place for place, key in enumerate(world.diseases)}
    return sorted(shared, key=lambda other: (-shared[other], order[other]))


@lru_cache(maxsize=32)
def _general(world: World, topic: str) -> frozenset[str]:
    """Treatments and tests that are no safe distractors."""
    if topic in ("diagnosis", "department"):
        return frozenset()
    uses = Counter(one.id for disease in world.diseases.values() for one in answers(world, disease, topic))
    return frozenset(key for key, count in uses.items() if count >= GENERAL_FROM)


def prompt(draw: Draw, shown: Sequence[str], denied: str | None, who: dict[str, object]) -> tuple[str, str]:
    """The question about a patient with these findings, and the name of its wording."""
    language, findings = draw.language, draw.world.findings
    number, frame = draw.wording(templates.FRAMES[language])
    ask, template = draw.question()
    text = frame.format(
        **who,
        findings=templates.listing([draw.name(findings[key]) for key in shown], language),
        denied=templates.DENIED[language].format(finding=draw.name(findings[denied])) if denied else "",
        ask=ask,
    )
    return templates.article(text), f"{template}-frame-{number}"


def _distractors(draw: Draw, disease: Disease, shown: Sequence[str], right: Sequence[Named]) -> list[str] | None:
    """Wrong answers from diseases that share findings, filled up from all diseases."""
    world, rng = draw.world, draw.rng
    near = rivals(world, disease.id, shown)[: 2 * OTHERS]
    rng.shuffle(near)
    far = [key for key in world.diseases if key not in near and key != disease.id]
    rng.shuffle(far)
    # A drug of the same class as a right one may be right too, so it is no distractor.
    classes = {world.drugs[one.id].class_id for one in right if one.id in world.drugs}
    taken = {form.casefold() for one in right for form in one.forms(draw.language)}
    general = _general(world, draw.topic)
    names: list[str] = []
    for key in (*near, *far):
        pool = [one for one in answers(world, world.diseases[key], draw.topic) if one.id not in general]
        if not pool:
            continue
        wrong = rng.choice(pool)
        same_class = draw.topic == "treatment" and wrong.id in world.drugs and world.drugs[wrong.id].class_id in classes
        name = draw.name(wrong)
        if not same_class and name.casefold() not in taken:
            taken.add(name.casefold())
            names.append(name)
        if len(names) == OTHERS:
            return names
    return pick(rng, names, OTHERS)
