"""What the recipes of examples/huatuogpt/single_turn read: questions, replies of a model before RLAIF, and feedback.

The demonstrations make a policy that mostly knows what is right and seldom says all that a patient needs: it leaves out the
test, says in general words when to come back, and hedges. That is what feedback on replies can mend. What is right of a
reply it hardly can, by a reward model of this size, which `agreement` in rlaif.py measures.
"""

import random
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from medrl.data.clinic.consultation_wording import BOILERPLATE, FILLER, GENERIC, VAGUE
from medrl.data.clinic.consultations import Quality, generate_consultations, generate_reply
from medrl.data.clinic.intent_rater import generate_feedback
from medrl.data.clinic.world import World, load_world
from medrl.data.demonstrations import Demonstration
from medrl.data.feedback import write_feedback
from medrl.files import json_line, write_atomic
from medrl.seeds import seed_of
from medrl.types import Problem

LANGUAGES = ("en",)
PROBLEMS, DEMONSTRATIONS, QUESTIONS, REFERENCE = 2000, 3600, 6000, 400
DISEASES = 30  # of the table's head, 18 of them training's: a small policy can know these
# How often each part of a demonstration is what (`Quality`).
BEFORE = {
    "diagnosis": {"right": 0.8, "vague": 0.1, "listed": 0.05, "wrong": 0.05},
    "findings": {"own": 0.7, "absent": 0.25, "strange": 0.05},
    "test": {"right": 0.3, "absent": 0.65, "wrong": 0.05},
    "treatment": {"right": 0.75, "absent": 0.2, "wrong": 0.05},
    "precautions": {"right": 0.25, "generic": 0.45, "absent": 0.3},
}
HEDGED = 0.4  # share of the demonstrations that say to be of an AI
FILLERS = 1  # most sentences of a demonstration that say nothing; fewer tokens to learn


@lru_cache(maxsize=1)
def world() -> World:
    """The clinic with its first diseases only. The oracle reads by the names of the whole clinic."""
    whole = load_world()
    return replace(whole, diseases=dict(islice(whole.diseases.items(), DISEASES)))


def write_data(folder: Path, seed: int) -> None:
    """What the recipes read: feedback of the rater, a reference set of it, demonstrations, problems."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = {name: seed_of("rlaif", seed, name) % 2**31 for name in ("feedback", "demonstrations", "problems")}
    write_feedback(
        folder / "feedback.jsonl",
        generate_feedback(split="train", count=QUESTIONS, seed=draw["feedback"], languages=LANGUAGES, world=world()),
    )
    write_feedback(
        folder / "reference.jsonl",
        generate_feedback(
            split="calibration", known=True, count=REFERENCE, seed=seed, languages=LANGUAGES, world=world()
        ),
    )
    shown = generate_consultations(
        split="train", count=DEMONSTRATIONS, seed=draw["demonstrations"], languages=LANGUAGES, world=world()
    )
    write_atomic(folder / "demonstrations.jsonl", b"".join(json_line(demonstrated(one).to_json()) for one in shown))
    asked = generate_consultations(
        split="train", count=PROBLEMS, seed=draw["problems"], languages=LANGUAGES, world=world()
    )
    write_atomic(folder / "problems.jsonl", b"".join(json_line(one.to_json()) for one in asked))


def demonstrated(problem: Problem) -> Demonstration:
    """A reply as a model before RLAIF gives it."""
    quality = before_rlaif(random.Random(seed_of("rlaif-demonstration", problem.id)))
    reply = generate_reply(problem, quality, world=world())
    messages = (*problem.messages, {"role": "assistant", "content": reply})
    return Demonstration(problem.id, messages, "", reply, quality.diagnosis == "right", problem.id, problem.language)


def before_rlaif(rng: random.Random) -> Quality:
    """What a model before RLAIF says: mostly right, seldom complete (`BEFORE`)."""
    drawn = {name: rng.choices(list(shares), list(shares.values()))[0] for name, shares in BEFORE.items()}
    return Quality(**drawn, boilerplate=rng.random() < HEDGED, fillers=rng.randint(0, FILLERS))


def padding(text: str) -> float:
    """Share of a reply's characters in sentences of boilerplate, comfort and advice that fits everybody."""
    said = [sentence for kind in (BOILERPLATE, FILLER, GENERIC, VAGUE) for sentence in kind["en"]]
    return min(1.0, sum(len(one) * text.count(one) for one in said) / max(1, len(text)))
