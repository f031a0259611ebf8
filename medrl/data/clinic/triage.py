"""Triage problems: how urgent a patient's case is, and which department sees it.

`metadata["acuity"]` and `metadata["department"]` hold the two expected outputs apart, `metadata["red_flags"]` what should
bring the patient back. The levels are those of the tables (go to hospital now, be seen soon, an ordinary appointment); no
clinician has reviewed them.
"""

from medrl.data.clinic.concepts import Disease, Text
from medrl.data.clinic.drawing import Draw, Drawn
from medrl.data.clinic.patients import findings_key
from medrl.data.clinic.templates import listing
from medrl.data.clinic.vignettes import presented, prompt
from medrl.data.clinic.world import ACUITIES

LEVELS = {
    "routine": Text("routine", "常规"),
    "urgent": Text("urgent", "紧急"),
    "emergency": Text("emergency", "急诊"),
}


def triage(draw: Draw) -> Drawn | None:
    world, rng = draw.world, draw.rng
    disease = world.diseases[rng.choice(draw.diseases)]
    drawn = presented(draw, disease)
    if drawn is None:
        return None
    shown, denied, person = drawn
    text, template = prompt(draw, shown, denied, draw.who(person))
    level = rng.choice([level for level in ACUITIES if level != disease.acuity])
    facts = {
        "disease": disease.id,
        "patient": {"age": person.age, "sex": person.sex},
        "findings": shown,
        "denied": [denied] if denied else [],
        "acuity": disease.acuity,
        "department": disease.department,
        "red_flags": [{"en": flag.en, "zh": flag.zh} for flag in disease.red_flags],
    }
    answer = _answer(draw, disease, disease.acuity)
    slip = (_worked(draw, disease, shown, level), _answer(draw, disease, level))
    worked = _worked(draw, disease, shown, disease.acuity)
    key = f"triage:{findings_key(disease.id, shown)}"
    return Drawn(text, template, answer, "open", key, worked=worked, slip=slip, facts=facts)


def _answer(draw: Draw, disease: Disease, level: str) -> str:
    return f"{LEVELS[level].of(draw.language)}; {draw.name(draw.world.departments[disease.department])}"


def _worked(draw: Draw, disease: Disease, shown: list[str], level: str) -> str:
    findings = listing([draw.name(draw.world.findings[key]) for key in shown[:2]], draw.language)
    name, said = draw.name(disease), LEVELS[level].of(draw.language)
    department = draw.name(draw.world.departments[disease.department])
    if draw.chinese:
        return f"{findings}提示{name}。{name}的分诊级别为{said}，就诊于{department}。"
    return f"{findings} suggest {name}. {name} is {said} and is seen in {department}."
