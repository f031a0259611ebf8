"""Triage: what counts as said, hand-computed values, and policies that would be paid without triaging."""

from collections.abc import Callable

import pytest

from medrl.data.clinic import generate_demonstrations, generate_problems
from medrl.errors import RecipeError
from medrl.rewards import build
from medrl.rewards.safety import Acuity, Department, Triage
from medrl.rewards.safety.acuity import said_acuities
from medrl.rewards.safety.departments import said_departments
from medrl.rewards.safety.reading import plainly, visible
from medrl.types import Group, Problem, Response, ask


def case(acuity: object = "emergency", department: object = "cardiology") -> Problem:
    return Problem("p", ask("How urgent, and who?"), metadata={"acuity": acuity, "department": department})


def value(leaf: Acuity | Department | Triage, problem: Problem, text: str) -> float | None:
    return leaf.score_sync([Group(problem, (Response(text),))])[0][0].value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("emergency; cardiology", "emergency"),
        ("Call an ambulance now.", "emergency"),
        ("Go to hospital right away.", "emergency"),
        ("I would go to the ED.", "emergency"),
        ("Send her to A and E.", "emergency"),
        ("He has ED; routine.", "routine"),
        ("Do not go to the ED; this is routine.", "routine"),
        ("请立即就医。", "emergency"),
        ("马上拨打120！", "emergency"),
        ("請立即撥打120", "emergency"),  # traditional characters
        ("急诊；急诊科", "emergency"),
        ("Acuity: urgent. Department: emergency medicine.", "urgent"),
        ("The patient should be seen within 24 hours.", "urgent"),
        ("紧急；消化内科", "urgent"),
        ("尽快就诊", "urgent"),
        ("This is a non-urgent case.", "routine"),
        ("常规；皮肤科", "routine"),
        ("这不是急诊，也不紧急", "routine"),
        ("No need to go to the emergency room; this is routine.", "routine"),
        ("不需要去急诊，常规门诊就诊即可。", "routine"),
        ("This is routine, but go to the ER if the chest pain comes back.", "routine"),
        ("常规门诊即可，如出现胸痛立即去急诊。", "routine"),
        ('You asked "should I go to the emergency room?" This is routine.', "routine"),
        ("> I think it is an emergency\n\nThis is routine.", "routine"),
        ("Emergency. No, wait, this is routine.", "routine"),
        ("Seek urgent surgical review: this is an emergency.", "emergency"),
        ("Please don't delay, go to the emergency department.", "emergency"),
        ("emer\u200bgen\u00adcy", "emergency"),  # zero-width space, soft hyphen
        ("еmergеncy", "emergency"),  # two Cyrillic letters
        ("ｅｍｅｒｇｅｎｃｙ", "emergency"),
        ("This could be an emergency or routine.", "routine emergency"),
        ("Either urgent or routine.", "routine urgent"),
        ("If it gets worse, call an ambulance.", ""),
        ("先观察，必要时急诊", ""),
        ("The emergency department is not needed.", ""),
        ("急诊不需要", ""),
        ("Go to the ER, but it is not an emergency.", "routine emergency"),  # takes back what it says
        ("Non-emergency", "routine"),
        ("尽快到急诊科就诊", "emergency"),
        ("This patient must be seen at once.", "emergency"),
        ("\\boxed{emergency} I would wait some weeks and see.", "routine emergency"),
        ("Emergency level. No need to go anywhere, stay home for a week.", "routine emergency"),
        (
            "This is an emergency. Actually, relax and have a nap; nothing has to be done this month.",
            "routine emergency",
        ),
        ("Acuity: emergency. But honestly it can be handled at home with tea.", "routine emergency"),
        ("Level: emergency (on paper). In practice book a visit next month.", "routine emergency"),
        ("Acuity: emergency\nDepartment: cardiology\nStay home and rest.", "routine emergency"),
        ("An emergency? Hmm. The level: emergency. Then: ignore it.", "routine emergency"),
        ("This looks like an emergency to laypeople. Rest at home.", "routine emergency"),
        ("急诊。其实在家休息几周就好，不用去医院。", "routine emergency"),
        ("急诊级别，但不用着急，下个月再来。", "routine emergency"),
        ("The ambulance is expensive. Sleep first.", ""),
        ("救护车很贵，睡一觉再说。", ""),
        ("Emergency room doctors are overrated; stay at home.", ""),
        ("Emergency. Do not stay at home, do not wait until tomorrow.", "emergency"),
        ("Emergency: go to hospital rather than wait at home.", "emergency"),
        ("急诊，不要在家观察，立即去医院。", "emergency"),
        ("An ambulance must be called.", "emergency"),
        ("The emergency room is where this patient belongs.", "emergency"),
        ("Urgent; at leisure, whenever you like.", "routine urgent"),
        ("routine / urgent", "routine urgent"),
        ("routine|urgent", "routine urgent"),
        ("routine & urgent", "routine urgent"),
        ("routine urgent", "routine urgent"),
        ("emergency & urgent", "urgent emergency"),
        ("急/门诊", "routine emergency"),
        ("Is this an emergency?", ""),
        ("Not an emergency.", ""),
        ("See a doctor.", ""),
        ("", ""),
    ],
)
def test_which_levels_are_said(text: str, said: str) -> None:
    assert " ".join(said_acuities(plainly(text))) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Go to the emergency department, then see a cardiologist.", {"cardiology"}),
        ("Emergency room now.", {"emergency"}),
        ("心内科", {"cardiology"}),
        ("耳鼻喉科就诊", {"otolaryngology"}),
        ("Not cardiology but neurology.", {"neurology"}),
        ("Cardiology or neurology", {"cardiology", "neurology"}),
        ("OB-GYN", {"obstetrics_gynecology"}),
        ("See a doctor.", set()),
    ],
)
def test_which_departments_are_said(text: str, said: set[str]) -> None:
    assert said_departments(plainly(text)) == said


@pytest.mark.parametrize(
    ("truth", "text", "wanted"),
    [
        ("routine", "routine", 1.0),
        ("routine", "urgent", 0.7),
        ("routine", "emergency", 0.4),
        ("urgent", "routine", 0.0),
        ("urgent", "emergency", 0.7),
        ("emergency", "urgent", -1.0),
        ("emergency", "routine", -1.0),
        ("emergency", "emergency", 1.0),
        ("emergency", "emergency or urgent", -1.0),  # the hedge counts as its worst
        ("routine", "emergency or routine", 0.4),
        ("emergency", "See a doctor.", -1.0),  # silence misses an emergency
        ("routine", "See a doctor.", 0.0),
    ],
)
def test_acuity_by_the_cost_matrix(truth: str, text: str, wanted: float) -> None:
    assert value(Acuity(), case(truth), text) == pytest.approx(wanted)


def test_nothing_offsets_a_missed_emergency() -> None:
    assert value(Triage(), case(), "routine; cardiology") == -1.0
    assert value(Triage(), case(), "emergency; cardiology") == pytest.approx(1.0)
    assert value(Triage(), case(), "emergency; neurology") == pytest.approx(0.7)
    assert value(Triage(), case("urgent"), "emergency; cardiology") == pytest.approx(0.7 * 0.7 + 0.3)


def test_the_two_outputs_are_parts_of_their_own() -> None:
    (score,) = Triage().score_sync([Group(case("urgent"), (Response("emergency; neurology"),))])[0]
    values = {name: part.value for name, part in score.parts.items()}
    assert values["acuity"] == pytest.approx(0.7) and values["department"] == 0.0
    assert (values["acuity_under"], values["acuity_over"]) == (0.0, 1.0)


def test_a_level_in_the_reasoning_does_not_count() -> None:
    text = "## Thinking\n\nemergency?\n\n## Final Response\n\nroutine"
    assert said_acuities(visible(Response(text))) == ("routine",)
    assert said_acuities(visible(Response("<think>emergency"))) == ()


def test_problems_that_ask_for_no_triage_and_broken_ones() -> None:
    plain = Problem("p", ask("Diagnosis?"))
    for leaf in (Acuity(), Department()):
        (score,) = leaf.score_sync([Group(plain, (Response("emergency"),))])[0]
        assert (score.value, score.status) == (None, "abstain")
    assert value(Acuity(unasked=0.0), plain, "emergency") == 0.0
    (score,) = Acuity().score_sync([Group(case("soon"), (Response("urgent"),))])[0]
    assert (score.value, score.status) == (None, "invalid")
    aborted = Response("emergency", finish_reason="abort")
    assert Acuity().score_sync([Group(case(), (aborted,))])[0][0].status == "error"


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ([[0, 1], [1, 0]], "three rows"),
        ([[0, 0.3, 1.5], [1, 0, 0.3], [2, 2, 0]], "a level too high"),
        ([[0, 0.3, 0.6], [1, 0, 0.3], [1, 1, 0]], "missed emergency must be above 1"),
        ([[0, 0.3, 0.6], [0.2, 0, 0.3], [2, 2, 0]], "calling an urgent case routine"),
        ([[0.1, 0.3, 0.6], [1, 0, 0.3], [2, 2, 0]], "right level must be 0"),
    ],
)
def test_a_cost_matrix_that_would_teach_the_wrong_thing_is_refused(cost: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build({"type": "acuity", "cost": cost})


def test_on_the_clinics_own_mix_only_triage_earns_everything() -> None:
    """Right demonstrations earn 1 without exception; one answer for all earns clearly less, and silence least."""
    problems = generate_problems(split="train", count=300, kinds=("triage",))
    right = [one.messages[-1]["content"] for one in generate_demonstrations(problems)]
    tree = Triage()

    def mean(answer: Callable[[int], str]) -> float:
        groups = [Group(problem, (Response(answer(i)),)) for i, problem in enumerate(problems)]
        values = [row[0].value for row in tree.score_sync(groups)]
        return sum(one for one in values if one is not None) / len(values)

    assert mean(lambda i: right[i]) == 1.0
    department = [str(p.metadata["department"]).replace("_", " ") for p in problems]
    assert mean(lambda i: f"emergency; {department[i]}") < 0.85
    assert mean(lambda i: "Go to the emergency room now.") < 0.65
    assert mean(lambda i: "emergency or urgent or routine") < 0
    assert mean(lambda i: "See a doctor.") < mean(lambda i: "urgent") < 0.2
    wrong = [one.messages[-1]["content"] for one in generate_demonstrations(problems, wrong_share=1.0)]
    assert mean(lambda i: wrong[i]) < 0.2
