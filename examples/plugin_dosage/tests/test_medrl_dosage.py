"""`dosage` keeps medrl's laws of verifiers, and judges these answers as they are labelled."""

import pytest
from medrl.errors import RecipeError
from medrl.testing import Check, case, verifier_conformance
from medrl.types import Problem, ask
from medrl.verifiers import build

from medrl_dosage import Dosage
from medrl_dosage.reading import read

PARACETAMOL = Problem("paracetamol", ask("Adult dose of paracetamol, and how often?"), "1 g four times a day")
AMOXICILLIN = Problem("amoxicillin", ask("阿莫西林成人剂量及用法？"), "每次0.5克，每日3次", language="zh")
ASPIRIN = Problem("aspirin", ask("Loading dose of aspirin in acute coronary syndrome?"), "300 mg")

CASES = [
    case(PARACETAMOL, "1 g four times a day", "right"),
    case(PARACETAMOL, "Give 1,000 mg every 6 hours.", "right"),
    case(PARACETAMOL, "## Thinking\n\n2 g is too much.\n\n## Final Response\n\n1000 mg q6h", "right"),
    case(PARACETAMOL, "1 g q.i.d.", "right"),
    case(PARACETAMOL, "每次1克，每日四次", "right"),
    case(PARACETAMOL, "1 g twice daily", "wrong"),
    case(PARACETAMOL, "500 mg four times a day", "wrong"),
    case(PARACETAMOL, "I do not know.", "wrong"),
    case(PARACETAMOL, "Ask a pharmacist.", "wrong"),
    case(PARACETAMOL, "1 g", "abstain"),
    case(PARACETAMOL, "0.5-1 g four times a day", "abstain"),
    case(PARACETAMOL, "500 mg or 1 g four times a day", "abstain"),
    case(AMOXICILLIN, "500毫克，每8小时一次", "right"),
    case(AMOXICILLIN, "0.5 g tid", "right"),
    case(AMOXICILLIN, "每日三次，每次五百毫克", "right"),
    case(AMOXICILLIN, "每次0.5克，每日2次", "wrong"),
    case(AMOXICILLIN, "每次5克，每日3次", "wrong"),
    case(ASPIRIN, "300 mg", "right"),
    case(ASPIRIN, "0.3 g", "right"),
    case(ASPIRIN, "75 mg", "wrong"),
    case(ASPIRIN, "300 mcg", "wrong"),
    case(ASPIRIN, "300 mg/kg", "abstain"),
    case(ASPIRIN, "not 300 mg", "abstain"),
    case(ASPIRIN, "Anything but 300 mg", "abstain"),
    case(ASPIRIN, "less than 300 mg", "abstain"),
    case(ASPIRIN, "<300 mg", "abstain"),
    case(ASPIRIN, "1 300 mg", "abstain"),
    case(ASPIRIN, "between 75 and 300 mg", "abstain"),
    case(ASPIRIN, "300 mg daily for 7 days", "abstain"),
    case(ASPIRIN, "\\boxed{75 mg} \\boxed{300 mg}", "abstain"),
    case(ASPIRIN, "", "wrong"),
    case(Problem("broken", ask("Dose?"), "as needed"), "300 mg", "invalid"),
]


@verifier_conformance(Dosage(), CASES, variants=[Dosage(relative_tolerance=0.1), Dosage(frequency=False)])
def test_laws_of_verifiers(check: Check) -> None:
    check()


def test_it_is_found_by_its_name() -> None:
    assert build({"type": "dosage", "relative_tolerance": 0.1}) == Dosage(relative_tolerance=0.1)
    assert Dosage().to_config()["type"] == "dosage"


def test_knobs() -> None:
    assert Dosage(relative_tolerance=0.1).verify(ASPIRIN, "325 mg").score == 1.0
    assert Dosage(frequency=False).verify(PARACETAMOL, "1 g").score == 1.0
    with pytest.raises(RecipeError, match="a share from 0, below 1"):
        Dosage(relative_tolerance=1.5)


@pytest.mark.parametrize(
    ("text", "doses", "per_day"),
    [
        ("1 g", {(1000.0, "mg")}, set()),
        (".5 mg", {(0.5, "mg")}, set()),
        ("3,5 mg", set(), set()),
        ("2,500 units daily", {(2500.0, "units")}, {1.0}),
        ("5 mg/kg every 12 hours", {(5.0, "mg/kg")}, {2.0}),
        ("250–500 mg bid", {(250.0, "mg"), (500.0, "mg")}, {2.0}),
        ("70 mg once weekly", {(70.0, "mg")}, {1 / 7}),
        ("半克，每日一次", {(500.0, "mg")}, {1.0}),
        ("二十五毫克，每12小时一次", {(25.0, "mg")}, {2.0}),
        ("twice a day, three times a day", set(), {2.0, 3.0}),
        ("mg", set(), set()),
    ],
)
def test_reading(text: str, doses: set[tuple[float, str]], per_day: set[float]) -> None:
    found = read(text)
    assert set(found.doses) == doses
    assert {round(value, 4) for value in found.per_day} == {round(value, 4) for value in per_day}
