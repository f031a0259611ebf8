"""Chains of reasoning as a search leaves them: a first idea, its verification, and another idea where it fails.

HuatuoGPT-o1 (arXiv 2412.18925, section 2.3) searches with a verifier and four strategies and has the path rewritten as one
monologue, its "complex chain". Here the tables of the clinic play all parts, so that the chain is right where it says so: an
idea explains a finding when the disease's row lists it. A chain that is to end wrong verifies carelessly: it looks at the
findings that its disease explains, and stops.
"""

from collections.abc import Sequence

from medrl.data.clinic.concepts import Disease
from medrl.data.clinic.patients import fraction
from medrl.data.clinic.templates import listing
from medrl.data.clinic.world import World

FIRST_TRY_RIGHT = 1 / 3  # the share of right chains whose first idea holds
# What each strategy says when an idea has failed (Backtracking, Exploring New Paths, Verification, Correction).
TURNS = {
    "en": (
        "Back to the findings.",
        "Something else, then.",
        "Checking this again, it fails.",
        "That has to be corrected.",
    ),
    "zh": ("回到症状本身。", "换一个思路。", "再核对一遍，并不成立。", "需要纠正。"),
}


def complex_chain(
    world: World, language: str, shown: Sequence[str], truth: Disease, rival: Disease | None, wrong: bool, key: str
) -> str:
    """The monologue of a search for the disease behind findings.

    Args:
        world: The tables.
        language: "en" or "zh".
        shown: Keys of the patient's findings.
        truth: The disease that they come from.
        rival: Another one that shares some of them; without one the first idea is the last.
        wrong: End with `rival`, which must then be there.
        key: What the chain's choices are drawn from.
    """
    if rival is None:
        return _held(world, language, shown, truth)
    if wrong:
        return _held(world, language, shown, rival)
    if fraction(f"clinic-first-try/{key}") < FIRST_TRY_RIGHT:
        return _held(world, language, shown, truth)
    failed = [finding for finding in shown if finding not in rival.findings]
    if not failed:  # both explain everything shown: nothing speaks against the rival
        return _held(world, language, shown, truth)
    turns = TURNS[language]
    turn = turns[int(fraction(f"clinic-strategy/{key}") * len(turns))]
    return _dropped(world, language, shown, rival, failed, turn) + _held(world, language, shown, truth, again=True)


def _names(world: World, language: str, findings: Sequence[str]) -> str:
    return listing([world.findings[finding].name.of(language) for finding in findings], language)


def _dropped(world: World, language: str, shown: Sequence[str], idea: Disease, failed: Sequence[str], turn: str) -> str:
    explained = [finding for finding in shown if finding in idea.findings]
    name, without = idea.name.of(language), _names(world, language, failed)
    if language == "zh":
        said = f"{name}可解释{_names(world, language, explained)}，" if explained else ""
        return f"先考虑{name}。{said}但不能解释{without}。{turn}"
    said = (
        f"It explains {_names(world, language, explained)}, but not {without}"
        if explained
        else f"It does not explain {without}"
    )
    return f"Is it {name}? {said}. {turn} "


def _held(world: World, language: str, shown: Sequence[str], idea: Disease, *, again: bool = False) -> str:
    name, explained = idea.name.of(language), [finding for finding in shown if finding in idea.findings]
    reason = _names(world, language, explained) if explained else ""
    if language == "zh":
        said = f"{name}可解释{reason}。" if reason else ""
        return f"{'再' if again else '先'}考虑{name}。{said}因此是{name}。"
    return f"Is it {name}?{f' It explains {reason}.' if reason else ''} So it is {name}."
