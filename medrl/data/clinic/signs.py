"""Problems about the findings and red flags of a disease.

The tables are a closed world, and what they do not list need not be false. So a red flag is only denied where the
tables speak for it: for the leading finding of an unrelated routine disease. Strange findings come from `excludes`.
"""

import re
from functools import lru_cache

from medrl.data.clinic.concepts import Disease, Text
from medrl.data.clinic.drawing import Draw, Drawn, pick, set_drawn, yes_no_drawn
from medrl.data.clinic.patients import patient, side
from medrl.data.clinic.world import World


def red_flag(draw: Draw) -> Drawn | None:
    world, rng = draw.world, draw.rng
    disease = world.diseases[rng.choice(draw.diseases)]
    yes = rng.random() < 0.5
    pool = disease.red_flags if yes else _harmless(world, disease)
    if not pool:
        return None
    flag, person = rng.choice(pool), patient(disease, rng)
    key = f"red_flag:{disease.id}:{flag.en}:{person.age}:{person.sex}"
    if side(key) != draw.split:
        return None
    sign, name = flag.of(draw.language), draw.name(disease)
    text, template = draw.question(**draw.who(person), disease=name, flag=sign)

    def told(answer: bool) -> str:
        return (
            f"{sign}{'是' if answer else '不是'}{name}的危险信号。"
            if draw.chinese
            else f"{sign} is {'a' if answer else 'no'} red flag of {name}."
        )

    facts = {"disease": disease.id, "patient": {"age": person.age, "sex": person.sex}}
    return yes_no_drawn(draw, text, template, key, yes, told, facts)


# Findings that may announce something worse, whatever the disease.
_ALARMING = re.compile(
    r"chest|vertigo|dizz|ventric|calc|headache|vision|weight|bleed|blood|fear|anemia|ferritin|stream"
)


@lru_cache(maxsize=1024)
def _harmless(world: World, disease: Disease) -> tuple[Text, ...]:
    """Leading findings of routine diseases of other departments that stand in no table of red flags."""
    flags = " ".join(text.en.casefold() for one in world.diseases.values() for text in one.red_flags)
    names = [
        world.findings[other.findings[0]].name
        for other in world.diseases.values()
        if other.acuity == "routine"
        and other.department != disease.department
        and other.findings[0] not in disease.findings
    ]
    harmless = [name for name in dict.fromkeys(names) if not _ALARMING.search(name.en.casefold())]
    return tuple(name for name in harmless if name.en.casefold() not in flags)


def typical_findings(draw: Draw) -> Drawn | None:
    disease = draw.world.diseases[draw.rng.choice(draw.diseases)]
    inside = draw.rng.sample(disease.findings, draw.rng.randint(2, 3))
    outside = pick(draw.rng, disease.excludes, min(len(disease.excludes), draw.rng.randint(2, 3)))
    if not outside:
        return None
    findings = draw.world.findings
    own, other = [findings[key] for key in inside], [findings[key] for key in outside]
    return set_drawn(draw, f"typical_findings:{disease.id}", draw.name(disease), own, other)
