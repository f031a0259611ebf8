"""The reward `consultation`: values by hand, what must not pay, and failures that have no number."""

from dataclasses import replace
from typing import Any

import pytest

from medrl.data.clinic.consulting import generate_patients
from medrl.data.clinic.world import load_world
from medrl.environments import PatientSimulator
from medrl.environments.scripted import DOCTORS, play
from medrl.errors import RecipeError
from medrl.rewards import Reward, build, check
from medrl.rewards.consultation_reward import Consultation
from medrl.types import Group, Problem, Response, Score, ask

CORRECT = {"type": "verified", "verifier": {"type": "text", "vocabulary": "clinic"}, "otherwise": 0.0}
GOUT = Problem("p", ask("my toe hurts"), reference="gout", kind="dialogue")
MEASURED: dict[str, Any] = {
    "gain": 0.3, "asked_gain": 0.3, "red_flags": 0.5, "answered": 3, "concluded": True, "turns": 4, "asked": 5, "repeats": 1,
    "refused": 2, "tests": 2, "needless_tests": 1,
}  # fmt: skip


def leaf(**knobs: Any) -> Reward:
    return build({"type": "consultation", "correct": CORRECT, **knobs})


def scored(text: str = "Diagnosis: gout.", tree: Reward | None = None, finish: Any = "stop", **measured: Any) -> Score:
    response = Response(text, (), finish, measured={**MEASURED, **measured})
    ((score,),) = (tree or leaf()).score_sync([Group(GOUT, (response,))])
    return score


def test_values_by_hand() -> None:
    costs = 0.005 * 4 + 0.05 * 2 + 0.02 * 1 + 0.02 * 1
    assert scored().value == pytest.approx(0.6 * 0.5 + 0.3 * 0.5 + 0.1 * 0.5 - costs)
    assert scored("Diagnosis: asthma.").value == pytest.approx(0.3 * 0.5 + 0.1 * 0.5 - costs)
    assert scored(gain=0.9).value == pytest.approx(0.6 + 0.3 + 0.05 - costs)  # enough is enough
    assert scored(red_flags=None, gain=0.6).value == pytest.approx(1.0 - costs)
    assert scored(refused=30).value == 0.0
    parts = scored().parts
    assert parts["correct"].value == 1.0 and parts["gain"].value == 0.3 and parts["turns"].value == 4
    assert parts["consultation"].verdict is not None and parts["consultation"].verdict.parts["refused"] == 2


@pytest.mark.parametrize(
    "case",
    [{"answered": 0, "gain": 0.9}, {"concluded": False, "gain": 1.0, "refused": 0}, {"finish": "length", "gain": 1.0}],
)
def test_no_questions_or_no_end_is_worst(case: dict[str, Any]) -> None:
    assert scored(**case).value == -0.1 and scored(tree=leaf(worst=-0.5), **case).value == -0.5


def test_guessing_right_at_once_is_worth_less_than_asking_and_erring() -> None:
    assert scored(answered=0, gain=0.0, turns=1, refused=0).value < scored("Diagnosis: asthma.", refused=9).value  # type: ignore[operator]


def test_a_list_of_all_diseases_is_no_diagnosis() -> None:
    for language, form in (("en", "Diagnosis: {}."), ("zh", "诊断：{}。")):
        every = ("、" if language == "zh" else ", ").join(
            one.name.of(language) for one in load_world().diseases.values()
        )
        for text in (form.format(every), form.format(every[:300] + " gout"), form.format("gout, asthma or sepsis")):
            assert scored(text).parts["correct"].value == 0.0, text[:80]


def test_what_failed_has_no_number() -> None:
    aborted = scored(finish="abort", fault="environment: ConnectionError: down")
    assert aborted.value is None and aborted.status == "error" and "environment: ConnectionError" in aborted.reason
    ((bare,),) = leaf().score_sync([Group(GOUT, (Response("Diagnosis: gout."),))])
    assert bare.value is None and bare.status == "invalid" and "train with an environment" in bare.reason
    broken = replace(GOUT, reference=None)
    ((unjudged,),) = leaf().score_sync([Group(broken, (Response("Diagnosis: gout.", measured=MEASURED),))])
    assert unjudged.value is None or unjudged.parts["correct"].value == 0.0


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"diagnosis": 0.9}, "add up to 1.3"),
        ({"worst": 0.0}, "`worst` is 0.0; it must be below 0"),
        ({"enough": 0.0}, "`enough` is 0.0"),
        ({"turn_cost": -1.0}, "`turn_cost` is -1.0; it must not be below 0"),
        ({"diagnosis": 0.0, "information": 0.0, "danger": 1.0}, "danger signs alone"),
        ({"enough": float("nan")}, "not a finite number"),
    ],
)
def test_faulty_knobs_are_told(knobs: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in check({"type": "consultation", "correct": CORRECT, **knobs}))


def test_it_reads_back_from_its_own_config() -> None:
    tree = leaf(enough=0.5, worst=-0.2)
    assert isinstance(tree, Consultation) and build(tree.to_config()) == tree and not tree.faults()
    with pytest.raises(RecipeError, match="needs the knob 'correct'"):
        build({"type": "consultation"})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_better_doctor_is_paid_better(language: str) -> None:
    environment, tree = PatientSimulator(), leaf()
    patients = generate_patients(split="held_out", count=40, seed=7, languages=(language,))
    means = {}
    for doctor in DOCTORS:
        groups = [Group(one, (play(environment, one, doctor).response,)) for one in patients]
        values = [row[0].value for row in tree.score_sync(groups)]
        means[doctor] = sum(value for value in values if value is not None) / len(values)
    assert means["good"] > 0.6 and means["good"] > means["leading"] and means["good"] > means["random"]
    assert means["silent"] == pytest.approx(-0.1) and means["silent"] < min(means["leading"], means["random"])
