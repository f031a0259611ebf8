"""Patients of the clinic to consult: who they are, what they say at first, what can be found out, and what it tells apart.

A fact's weight is the share of the rivals that it speaks against. Rivals are the other diseases that have a finding of
the patient's first message. A finding that the patient has speaks against every rival without it, and one that speaks against
the diagnosis (`excludes`) and is asked for and denied, against every rival with it. The split is by patient, as everywhere
in the clinic: a combination of findings is trained on or held out.
"""

import random
import re
from collections.abc import Sequence
from functools import lru_cache

from medrl.data.clinic.concepts import Disease
from medrl.data.clinic.lay import lay_forms
from medrl.data.clinic.patients import SPLITS, Patient, carriers, patient, possible, presentations
from medrl.data.clinic.speech import Speech
from medrl.data.clinic.visits import TELLABLE
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.data.patient_cases import Fact, PatientCase, Source, consultation
from medrl.errors import DataError, did_you_mean
from medrl.seeds import seed_of
from medrl.types import Problem

_IMAGES = re.compile(
    r"ct\b|ct_|mri|x_ray|xray|ultraso|radiogra|echo|angiogra|scan|scop|imaging|tomogra|mammogra|slit|fund"
)
SHOWN = (5, 7)  # findings that a patient has of those of the disease
TRIES = 200
GENERAL = (
    "onset", "severity", "site", "character", "triggers", "past", "tests", "allergy", "renal", "drugs", "age", "sex",
)  # fmt: skip
# Signs that people notice on themselves; of all others they know nothing until somebody examines them.
NOTICED = frozenset(
    "abdominal_distension confusion conjunctival_redness dermatomal_vesicles drooling dry_skin excessive_salivation "
    "exophthalmos facial_droop fatigable_weakness fever gum_bleeding hives hot_swollen_joint incomplete_eye_closure "
    "irritability jaundice leg_redness low_urine_output maculopapular_rash malar_rash muscle_weakness neck_stiffness obesity "
    "oral_ulcers peripheral_edema petechiae ptosis purulent_eye_discharge resting_tremor silvery_scaly_plaques "
    "skin_hyperpigmentation slurred_speech small_joint_swelling spreading_skin_redness sweating tremor "
    "unilateral_leg_swelling unilateral_weakness urinary_retention visual_field_loss wheeze".split()
)
LAY = 0.15  # share of first messages in a lay person's words, where there are such


def generate_patients(
    *,
    split: str,
    count: int,
    seed: int = 0,
    languages: Sequence[str] = ("en", "zh"),
    diseases: int | None = None,
    world: World | None = None,
) -> list[Problem]:
    """`count` patients to consult; deterministic, and a longer list begins with the shorter one.

    Args:
        split: train or held_out: no combination of findings is in both.
        count: How many.
        seed: Another seed draws other patients of the same split.
        languages: en, zh.
        diseases: Only the first so many diseases that a consultation can begin with; fewer are easier.
        world: Other tables than the bundled ones.

    Raises:
        DataError: A split, language or count that the clinic does not have.
    """
    if split not in SPLITS:
        raise DataError(f"the clinic has no split {split!r} of patients{did_you_mean(split, SPLITS)}")
    if not languages or not set(languages) <= set(LANGUAGES):
        raise DataError(f"languages are {list(languages)}; the clinic's patients speak {', '.join(LANGUAGES)}")
    if count < 1 or (diseases is not None and diseases < 2):
        raise DataError(f"count is {count} and diseases {diseases}; ask for at least 1 patient and 2 diseases")
    world = world or load_world()
    keys = tellable(world)[:diseases]
    return [_draw(world, keys, split, seed, index, languages) for index in range(count)]


@lru_cache(maxsize=8)
def tellable(world: World) -> tuple[str, ...]:
    """The diseases with at least two symptoms that a patient can tell."""
    kinds = {key: one.kind for key, one in world.findings.items()}
    return tuple(d.id for d in world.diseases.values() if sum(kinds[f] == "symptom" for f in d.findings) > 1)


def _draw(
    world: World, keys: Sequence[str], split: str, seed: int, index: int, languages: Sequence[str]
) -> Problem:  # fmt: skip
    rng = random.Random(seed_of("clinic-patient", split, seed, index))
    language = rng.choice(list(languages))
    speech = Speech(language, split == "held_out", rng)
    for _ in range(TRIES):
        disease = world.diseases[rng.choice(list(keys))]
        groups = presentations(world, disease.id, SHOWN, split)
        if not groups:
            continue
        chosen = rng.choice(rng.choice(groups))
        symptoms = [key for key in disease.findings if key in chosen and world.findings[key].kind == "symptom"]
        if not symptoms:
            continue
        person = patient(disease, rng, chosen)
        opening = symptoms[: rng.randint(1, min(2, len(symptoms)))] if len(symptoms) > 2 else symptoms[:1]
        case = _case(world, disease, person, tuple(chosen), tuple(opening), speech)
        if not any(fact.weight for fact in case.facts):
            continue  # its first words tell it apart already
        said = _opening(world, opening, person, speech)
        name = disease.name.of(language)
        key = f"clinic-patient-{split}-s{seed}-{index:05d}"
        return consultation(
            key, said, case, name, language, disease.aliases(language), disease=disease.id, split=split,
            acuity=disease.acuity, department=disease.department,
        )  # fmt: skip
    raise DataError(f"no patient of split {split} is found among {len(keys)} diseases; give more `diseases`")


def _opening(world: World, opening: Sequence[str], person: Patient, speech: Speech) -> str:
    def named(key: str) -> str:
        lay = lay_forms(f"finding:{key}", speech.language) if speech.rng.random() < LAY else ()
        return speech.rng.choice(lay or world.findings[key].forms(speech.language)[:2])

    sentences = [speech.say("open", complaint=named(opening[0]))]
    sentences += [speech.say("more", finding=named(key)) for key in opening[1:]]
    if speech.rng.random() < 0.5:
        sentences.append(speech.say("who", age=person.age, sex=_sex(person, speech)))
    return speech.join([*sentences, speech.say("plea")])


def _sex(person: Patient, speech: Speech) -> str:
    child = {"female": "girl", "male": "boy"}
    return speech.word(f"sex.{person.sex if person.age >= 13 else child[person.sex]}")


def source_of(world: World, finding: str) -> Source:
    """Who can know a finding."""
    kind = world.findings[finding].kind
    if kind in TELLABLE or finding in NOTICED:
        return "patient"
    return "examination" if kind == "sign" else "test"


def rivals_of(world: World, disease: str, opening: Sequence[str], person: Patient) -> tuple[str, ...]:
    """Other diseases that have a finding of the first message and that this person may have; else all that may be had."""
    having = carriers(world)
    near = {key for finding in opening for key in having[finding]} - {disease}
    may = [key for key in sorted(near) if possible(world.diseases[key], person.age, person.sex)]
    return tuple(may or sorted(near) or sorted(set(world.diseases) - {disease}))


def _case(
    world: World, disease: Disease, person: Patient, chosen: tuple[str, ...], opening: tuple[str, ...], speech: Speech
) -> PatientCase:  # fmt: skip
    rivals = rivals_of(world, disease.id, opening, person)
    language = speech.language

    def against(finding: str, present: bool) -> float:
        return sum((finding in world.diseases[key].findings) != present for key in rivals) / len(rivals)

    def fact(finding: str, present: bool) -> Fact:
        row = world.findings[finding]
        told = finding in opening
        weight = 0.0 if told else round(against(finding, present), 4)
        return Fact(
            f"finding:{finding}",
            row.name.of(language),
            present=present,
            source=source_of(world, finding),
            weight=weight,
        )

    facts = [fact(key, True) for key in chosen] + [fact(key, False) for key in disease.excludes]
    for number, flag in enumerate(disease.red_flags):
        both = tuple(flag.of(one) for one in LANGUAGES if one != language)
        has = any(
            form in flag.of(one) for key in chosen for one in LANGUAGES for form in world.findings[key].forms(one)
        )
        facts.append(Fact(f"flag:{number}", flag.of(language), both, present=has, red_flag=True))
    about = {"age": person.age, "sex": _sex(person, speech), "duration": speech.word("duration")}
    topics = {topic: speech.say(f"answer.{topic}", **about) for topic in GENERAL}
    if person.sex == "female" and 12 <= person.age <= 55:
        topics["pregnancy"] = speech.say("answer.pregnancy")
    results = [one.key.partition(":")[2] for one in facts if one.source == "test" and one.present]
    tests = _tests(world, disease, results)
    return PatientCase(person.age, person.sex, tuple(f"finding:{key}" for key in opening), tuple(facts), topics, tests)


def _tests(world: World, disease: Disease, results: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which of its results each test of the disease shows: images on those that make them, the rest in the others."""
    images = [key for key in disease.tests if _IMAGES.search(key)]
    others = [key for key in disease.tests if key not in images]
    shown: dict[str, list[str]] = {key: [] for key in disease.tests}
    for finding in results:
        fitting = (images or others) if world.findings[finding].kind == "imaging" else (others or images)
        for key in fitting:
            shown[key].append(f"finding:{finding}")
    tables = {"test": world.tests, "lab": world.labs, "procedure": world.procedures}
    return {f"{next(t for t in tables if key in tables[t])}:{key}": tuple(keys) for key, keys in shown.items()}
