"""The four sources of HuatuoGPT's SFT data (arXiv 2305.15075, section 3.1), and visits to answer, from the clinic.

    distilled_instructions    a letter with all findings, answered at length as an assistant does
    distilled_conversations   a visit in which the patient volunteers what an assistant does not ask
    real_instructions         a letter, answered in a doctor's few words, now and then too few
    real_conversations        a visit led by a doctor who asks, polished: with courtesies and reasons around the same acts

Both speakers are those of `dialogues.py`; neither is pure. The paper's shares of the sources are kept. Patients are split by
the findings behind them (`patients.side`), so visits that a policy is judged on are of patients that no source shows.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from medrl.data.clinic.dialogues import Scene
from medrl.data.clinic.patients import findings_key, side
from medrl.data.clinic.speech import Speech
from medrl.data.clinic.visits import STAGES, Case, draw_case, name_of
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.data.demonstrations import Demonstration
from medrl.errors import DataError, did_you_mean
from medrl.seeds import seed_of
from medrl.types import Message, Problem

# Rows of HuatuoGPT-sft-data-v1, as its repository tells.
PAPER_ROWS: Mapping[str, int] = {
    "distilled_instructions": 61_400,
    "distilled_conversations": 68_888,
    "real_instructions": 69_768,
    "real_conversations": 25_986,
}
SOURCES = tuple(PAPER_ROWS)
ARMS: Mapping[str, tuple[str, ...]] = {"real": SOURCES[2:], "distilled": SOURCES[:2], "both": SOURCES}
TERSE = 0.1  # share of real instructions that say too little
TRIES = 200


def generate_source(
    source: str, *, count: int, seed: int = 0, languages: Sequence[str] = ("en",), world: World | None = None
) -> list[Demonstration]:
    """`count` dialogues of one of `SOURCES`; deterministic, and a longer list begins with the shorter one.

    Args:
        source: Which.
        count: How many.
        seed: Another seed draws other patients of the same side.
        languages: en, zh.
        world: Other tables than the bundled ones.
    """
    if source not in SOURCES:
        raise DataError(f"there is no source {source!r}{did_you_mean(source, SOURCES)}")
    _check(count, languages)
    world = world or load_world()
    return [_demonstration(source, seed, index, languages, world) for index in range(count)]


def generate_visits(
    *, split: str, count: int, seed: int = 0, stages: Sequence[str] = STAGES, languages: Sequence[str] = ("en",),
    world: World | None = None,
) -> list[Problem]:  # fmt: skip
    """`count` visits at which the doctor is to speak; the reference is what the clinic's doctor says then.

    `metadata` has the disease, the findings told, the topics answered, the stage, `decidable` (whether enough was told to
    commit to a diagnosis: stages late and ready), and what the clinic's assistant says in the doctor's place.

    Args:
        split: `train` or `held_out` patients. Diseases and wordings are those of the sources either way.
        count: How many.
        seed: Another seed draws other patients of the same side.
        stages: In which state visits are, in turn.
        languages: en, zh.
        world: Other tables than the bundled ones.
    """
    if split not in ("train", "held_out"):
        raise DataError(f"split is {split!r}; it is train or held_out")
    for stage in stages:
        if stage not in STAGES:
            raise DataError(f"there is no stage {stage!r}{did_you_mean(stage, STAGES)}")
    _check(count, languages)
    world = world or load_world()
    visits = []
    for index in range(count):
        rng = random.Random(seed_of("clinic-visits", split, seed, index))
        speech = Speech(rng.choice(list(languages)), False, rng)
        scene = Scene(
            patient_of(world, split, speech), speech, stages[index % len(stages)], "train",
            f"visit-{split}-s{seed}-{index:05d}",
        )  # fmt: skip
        said = scene.doctor(pure=True)
        problem = scene.reply(said, True).problem
        about = {
            **problem.metadata, "split": split, "decidable": scene.stage in ("late", "ready"),
            "assistant": scene.assistant(),
        }  # fmt: skip
        visits.append(replace(problem, reference=said, metadata=about))
    return visits


def patient_of(world: World, split: str, speech: Speech) -> Case:
    """A patient of the diseases of training, on one side of the split by patients."""
    for _ in range(TRIES):
        case = draw_case(world, "train", speech)
        if side(findings_key(case.disease.id, case.told)) == split:
            return case
    raise DataError(f"no patient of side {split} in {TRIES} draws; give the clinic more diseases")


def _check(count: int, languages: Sequence[str]) -> None:
    if count < 1:
        raise DataError(f"count is {count}; ask for at least one")
    if isinstance(languages, str) or not languages or not set(languages) <= set(LANGUAGES):
        raise DataError(f"languages is {languages!r}; give a list of some of {', '.join(LANGUAGES)}")


def _demonstration(source: str, seed: int, index: int, languages: Sequence[str], world: World) -> Demonstration:
    rng = random.Random(seed_of("clinic-hybrid", source, seed, index))
    speech = Speech(rng.choice(list(languages)), False, rng)
    case, key = patient_of(world, "train", speech), f"{source}-s{seed}-{index:05d}"
    if source == "real_conversations":
        scene = Scene(case, speech, rng.choice(STAGES), "train", key)
        return _shown(scene, scene.polished())
    if source == "distilled_conversations":
        return _volunteered(Scene(case, speech, "opening", "train", key))
    scene = letter(case, speech, key)
    if source == "distilled_instructions":
        return _shown(scene, scene.assistant())
    return _shown(scene, scene.flawed("terse") if rng.random() < TERSE else scene.doctor())


def letter(case: Case, speech: Speech, key: str) -> Scene:
    """A patient who tells all at once: findings, age, since when."""
    scene = Scene(case, speech, "late", "train", key)
    sentences = [
        speech.say("open", complaint=name_of(case, case.told[0], speech, lay=True)),
        *(scene.reported(key) for key in case.told[1 : speech.rng.randint(3, 5)]),
        scene.who(),
        speech.say("for", duration=case.duration),
        speech.say("plea"),
    ]
    scene.at("late", [{"role": "user", "content": speech.join(sentences)}], case.told, ("age", "sex", "onset"))
    return scene


def _volunteered(scene: Scene) -> Demonstration:
    """An assistant answers, the patient tells more unasked, once or twice."""
    messages, told, speech = list(scene.messages), scene.told, scene.speech
    for _ in range(speech.rng.randint(1, 2)):
        messages.append({"role": "assistant", "content": scene.assistant()})
        more = scene.case.told[len(told) : len(told) + speech.rng.randint(1, 2)]
        told = scene.case.told[: len(told) + len(more)]
        said = speech.join([*(scene.reported(key) for key in more), speech.say("plea")])
        messages.append({"role": "user", "content": said or speech.say("answer.else")})
        scene.at("late" if len(told) > 2 else "middle", messages, told, scene.answered)
    return _shown(scene, scene.assistant())


def _shown(scene: Scene, said: str) -> Demonstration:
    messages: tuple[Message, ...] = (*scene.messages, {"role": "assistant", "content": said})
    return Demonstration(scene.key, messages, "", said, True, None, scene.speech.language)
