"""Checkable problems without end from the clinic's tables, with a split by patient and by wording.

A problem depends on nothing but the settings, the seed, the split and its index. `held_out` problems show combinations
of findings (or numbers, or option sets) and, unless switched off, wordings that no `train` problem ever shows.
"""

from collections.abc import Callable, Sequence
from typing import Any

from medrl.data.clinic.drawing import Draw, Drawn
from medrl.data.clinic.drugs import antidote, class_members, contraindicated, contraindication, drug_class
from medrl.data.clinic.patients import SPLITS, draws, presentations
from medrl.data.clinic.quantities import conversion, dose, value_range
from medrl.data.clinic.signs import red_flag, typical_findings
from medrl.data.clinic.triage import triage
from medrl.data.clinic.vignettes import vignette
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.errors import DataError, did_you_mean
from medrl.types import Problem, ask

VIGNETTES = ("diagnosis", "department", "treatment", "test")
TOPICS: dict[str, tuple[str, ...]] = {
    "term": VIGNETTES,
    "choice": (*VIGNETTES, "drug_class", "antidote", "contraindication"),
    "number": ("dose", "conversion"),
    "yes_no": ("contraindicated", "range", "red_flag"),
    "set": ("class_members", "typical_findings"),
    "triage": ("triage",),
}
PATIENTS = (*VIGNETTES, "triage")
MAKERS: dict[str, Callable[[Draw], Drawn | None]] = {
    **dict.fromkeys(VIGNETTES, vignette),
    "drug_class": drug_class,
    "antidote": antidote,
    "contraindication": contraindication,
    "dose": dose,
    "conversion": conversion,
    "contraindicated": contraindicated,
    "range": value_range,
    "red_flag": red_flag,
    "class_members": class_members,
    "typical_findings": typical_findings,
    "triage": triage,
}
ATTEMPTS = 500  # draws before a world counts as too small; a draw fits with a chance of one in ten or better


def generate_problems(
    *,
    split: str,
    count: int,
    seed: int = 0,
    kinds: Sequence[str] = ("term",),
    languages: Sequence[str] = ("en", "zh"),
    topics: Sequence[str] | None = None,
    diseases: int | Sequence[str] | None = None,
    findings_shown: tuple[int, int] = (4, 6),
    heldout_templates: bool = True,
    world: World | None = None,
) -> list[Problem]:
    """Make `count` problems; the same arguments give the same problems on every machine.

    Args:
        split: "train" or "held_out"; the two share no combination, and no wording either.
        count: How many problems. A longer list starts with the shorter one.
        seed: Another seed draws other problems of the same split.
        kinds: Answer types to draw from: term, choice, number, yes_no, set, triage.
        languages: Languages to draw from: en, zh.
        topics: What to ask about (see `TOPICS`). None: the diagnosis for term problems, every topic for the others.
        diseases: Only about these diseases (ids, or how many from the head of the table): a smaller world learns
            faster. A combination still identifies its disease among all diseases.
        findings_shown: Fewest and most findings of a patient, 1 to 8. Fewer are harder to tell apart by heart.
        heldout_templates: Off: held-out patients are described in training's wording, so that an evaluation sees
            the effect of new patients alone.
        world: Other tables than the bundled ones.
    """
    world = world or load_world()
    plan = _plan(split, count, kinds, languages, topics, findings_shown)
    chosen = _chosen(world, diseases)
    if any(topic in PATIENTS for pairs in plan.values() for topic in pairs):
        chosen = _identifiable(world, chosen, findings_shown, split)
    new_wording = split == "held_out" and heldout_templates
    problems = []
    for index in range(count):
        rng = draws(seed, split, index)
        kind, language = rng.choice(list(plan)), rng.choice(languages)
        topic = rng.choice(plan[kind])
        draw = Draw(world, rng, split, language, topic, kind, chosen, findings_shown, new_wording)
        problems.append(_problem(f"clinic-{split}-s{seed}-{index:06d}", draw))
    return problems


def combination(problem: Problem) -> str:
    """What the split goes by: the disease with the findings shown, or the facts and numbers of another kind."""
    return str(problem.metadata["combination"])


def _problem(key: str, draw: Draw) -> Problem:
    make = MAKERS[draw.topic]
    for _ in range(ATTEMPTS):
        drawn = make(draw)
        if drawn is not None:
            return Problem(
                id=key,
                messages=ask(drawn.text),
                reference=drawn.reference,
                kind=drawn.kind,
                options=drawn.options,
                aliases=drawn.aliases,
                language=draw.language,
                metadata=_metadata(draw, drawn),
            )
    raise DataError(
        f"the clinic's tables are too small for a {draw.answer_type} problem on {draw.topic} in split {draw.split}; "
        "leave this topic out, or give more diseases or a wider findings_shown"
    )


def _metadata(draw: Draw, drawn: Drawn) -> dict[str, Any]:
    metadata = {
        "answer_type": draw.answer_type,
        "topic": draw.topic,
        "split": draw.split,
        "template": drawn.template,
        "combination": drawn.combination,
        **drawn.facts,
    }
    if drawn.worked:
        metadata["worked"], metadata["slip"] = drawn.worked, list(drawn.slip)
    return metadata


def _plan(
    split: str, count: int, kinds: Sequence[str], languages: Sequence[str], topics: Sequence[str] | None,
    shown: tuple[int, int],
) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """Kind to the topics drawn for it, every setting checked."""
    known = sorted({topic for group in TOPICS.values() for topic in group})
    for what, given, valid in (
        ("split", (split,), SPLITS),
        ("kinds", kinds, tuple(TOPICS)),
        ("languages", languages, LANGUAGES),
        ("topics", topics or (), known),
    ):
        if isinstance(given, str) or (not given and what != "topics"):
            raise DataError(f"{what} is {given!r}; give a list with at least one of {', '.join(valid)}")
        for one in given:
            if one not in valid:
                raise DataError(f"{what} names {one!r}, which the clinic does not have{did_you_mean(one, valid)}")
    if count < 1:
        raise DataError(f"count is {count}; ask for at least one problem")
    if len(shown) != 2 or not 1 <= shown[0] <= shown[1]:
        raise DataError(f"findings_shown is {shown!r}; give the fewest and the most findings, e.g. (4, 6)")
    plan = {}
    for kind in kinds:
        default = ("diagnosis",) if kind == "term" else TOPICS[kind]
        plan[kind] = default if topics is None else tuple(topic for topic in TOPICS[kind] if topic in topics)
        if not plan[kind]:
            raise DataError(
                f"none of the topics {', '.join(topics or ())} can be asked as {kind}; "
                f"it takes {', '.join(TOPICS[kind])}"
            )
    return plan


def _chosen(world: World, diseases: int | Sequence[str] | None) -> tuple[str, ...]:
    if diseases is None:
        return tuple(world.diseases)
    if isinstance(diseases, int):
        if not 1 <= diseases <= len(world.diseases):
            raise DataError(f"diseases is {diseases}; the clinic has {len(world.diseases)}")
        return tuple(world.diseases)[:diseases]
    for key in diseases:
        if key not in world.diseases:
            near = did_you_mean(key, world.diseases)
            raise DataError(f"diseases names {key!r}, which the clinic does not have{near}")
    return tuple(diseases)


def _identifiable(world: World, diseases: Sequence[str], shown: tuple[int, int], split: str) -> tuple[str, ...]:
    """The diseases that have at least one identifying combination on this side of the split."""
    fit = tuple(key for key in diseases if presentations(world, key, shown, split))
    if not fit:
        raise DataError(
            f"no {shown[0]} to {shown[1]} findings identify any of the chosen diseases in split {split}; "
            "widen findings_shown"
        )
    return fit
