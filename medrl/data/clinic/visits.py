"""One consultation of the clinic: who comes, with which disease, what is told at first and what only when asked."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from medrl.data.clinic.concepts import Disease, Drug
from medrl.data.clinic.lay import lay_forms
from medrl.data.clinic.patients import Patient, carriers, fraction, patient
from medrl.data.clinic.speech import Speech
from medrl.data.clinic.world import World
from medrl.types import Message

STAGES = ("opening", "middle", "late", "ready")
GENERAL = ("onset", "severity", "site", "character", "triggers", "past", "tests", "else")
SHARES = {"held_out": 0.25, "calibration": 0.15}  # of the diseases
LAY = 0.15  # share of findings that a patient calls by a lay name, where there is one
TELLABLE = ("symptom", "history")


@lru_cache(maxsize=8)
def diseases_of(world: World, split: str) -> tuple[str, ...]:
    """The diseases of a split: train, calibration or held_out. No disease is in two."""

    def side(key: str) -> str:
        at = fraction(f"clinic-dialogue/{key}")
        if at < SHARES["held_out"]:
            return "held_out"
        return "calibration" if at < SHARES["held_out"] + SHARES["calibration"] else "train"

    fit = [key for key, one in world.diseases.items() if any(world.findings[f].kind in TELLABLE for f in one.findings)]
    return tuple(key for key in fit if side(key) == split)


@dataclass(frozen=True)
class Case:
    """Who comes, and what stands behind it.

    Attributes:
        told: Findings that are told one after another, symptoms first.
        topics: Safety questions that matter for this person, in the order in which they are asked.
    """

    world: World
    disease: Disease
    person: Patient
    told: tuple[str, ...]
    topics: tuple[str, ...]
    duration: str

    @property
    def drug(self) -> Drug | None:
        """The first drug of the first line that is taken by mouth or breathed in."""
        drugs = (self.world.drugs[key] for key in self.disease.first_line if key in self.world.drugs)
        return next((one for one in drugs if one.dose.route.en.startswith(("oral", "inhal", "subling"))), None)


def draw_case(world: World, split: str, speech: Speech) -> Case:
    rng = speech.rng
    disease = world.diseases[rng.choice(diseases_of(world, split))]
    count = rng.randint(4, 6)
    ordered = [key for key in disease.findings if world.findings[key].kind in TELLABLE]
    others = [key for key in disease.findings if key not in ordered]
    head, rest = ordered[:4], ordered[4:] + others
    rng.shuffle(head)
    told = tuple((head + rest)[:count])
    person = patient(disease, rng, told)
    # Whether she is pregnant is asked of a woman; of a man of that age, and in writing, that he is one.
    about = ("pregnancy" if person.sex == "female" else "sex",) if 12 <= person.age <= 55 else ()
    topics = ("age", *about, "allergy", "renal", "drugs")
    return Case(world, disease, person, told, topics, speech.word("duration"))


def name_of(case: Case, finding: str, speech: Speech, *, lay: bool = False) -> str:
    """A finding in words: the name in the tables, a synonym, or in a patient's mouth a lay name."""
    phrases = lay_forms(f"finding:{finding}", speech.language) if lay and speech.rng.random() < LAY else ()
    return speech.rng.choice(phrases or case.world.findings[finding].forms(speech.language)[:2])


def history(case: Case, stage: str, speech: Speech) -> tuple[list[Message], tuple[str, ...], tuple[str, ...]]:
    """The messages up to a stage, the findings told in them, and the topics answered in them."""
    rng = speech.rng
    shown = {"opening": rng.randint(1, 2), "middle": 2}.get(stage, max(3, len(case.told) - 1))
    first = rng.randint(1, 2)
    turns: list[Message] = []
    answered: list[str] = []
    sentences = [speech.say("open", complaint=name_of(case, case.told[0], speech, lay=True))]
    sentences += [reported(case, key, speech) for key in case.told[1 : min(first, shown)]]
    if rng.random() < 0.45:
        sentences.insert(rng.randint(0, 1), speech.say("who", age=case.person.age, sex=sex_of(case, speech)))
        answered += ["age", "sex"]
    if rng.random() < 0.4:
        sentences.append(speech.say("for", duration=case.duration))
        answered.append("onset")
    sentences.append(speech.say("plea"))
    turns.append({"role": "user", "content": speech.join(sentences)})
    if stage == "opening":
        return turns, case.told[: min(first, shown)], tuple(answered)
    asked = [key for key in GENERAL if key not in answered]
    rng.shuffle(asked)
    wanted = [*(f"finding:{key}" for key in case.told[min(first, shown) : shown]), *asked[: rng.randint(1, 2)]]
    rng.shuffle(wanted)
    if stage == "ready":
        wanted += [topic for topic in case.topics if topic not in answered]
    while wanted:
        size = rng.randint(1, 2)
        now, wanted = wanted[:size], wanted[size:]
        turns += _exchange(case, now, speech)
        answered += [topic for topic in now if not topic.startswith("finding:")]
    return turns, case.told[:shown], tuple(answered)


def _exchange(case: Case, topics: Sequence[str], speech: Speech) -> list[Message]:
    questions, replies = [], []
    for topic in topics:
        if topic.startswith("finding:"):
            named = name_of(case, topic.removeprefix("finding:"), speech)
            questions.append(speech.say("ask.finding", finding=named))
            replies.append(speech.say("yes", finding=named))
        else:
            questions.append(speech.say(f"ask.{topic}"))
            replies.append(
                speech.say(f"answer.{topic}", age=case.person.age, sex=sex_of(case, speech), duration=case.duration)
            )
    return [
        {"role": "assistant", "content": speech.join(questions)},
        {"role": "user", "content": speech.join(replies)},
    ]


def reported(case: Case, finding: str, speech: Speech) -> str:
    """The patient tells a finding."""
    piece = "more" if case.world.findings[finding].kind in TELLABLE else "found"
    return speech.say(piece, finding=name_of(case, finding, speech, lay=True))


def sex_of(case: Case, speech: Speech) -> str:
    """The patient's sex in a word that fits the age."""
    child = {"female": "girl", "male": "boy"}
    return speech.word(f"sex.{case.person.sex if case.person.age >= 13 else child[case.person.sex]}")


def strangers(case: Case, rng: random.Random, count: int) -> list[Disease]:
    """Other diseases that share a finding with what was told: what one may think of beside."""
    near = {key for finding in case.told for key in carriers(case.world)[finding]} - {case.disease.id}
    pool = sorted(near) or sorted(set(case.world.diseases) - {case.disease.id})
    return [case.world.diseases[key] for key in rng.sample(pool, min(count, len(pool)))]
