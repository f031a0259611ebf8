"""Environments by name: built from configs, all faults at once, problems that do not fit told apart."""

import pytest

from medrl import plugins
from medrl.data.clinic.consulting import generate_patients
from medrl.environments import Environment, PatientSimulator, SingleTurn, build, check, check_problems
from medrl.errors import ProblemError, RecipeError
from medrl.recipes.document import knobs
from medrl.types import Problem, ask


def test_every_built_in_environment_loads_and_is_documented() -> None:
    names = plugins.available("medrl.environments")
    assert {"single_turn", "patient", "llm_patient"} <= names.keys()
    for name in ("single_turn", "patient", "llm_patient"):
        assert issubclass(plugins.load("medrl.environments", name), Environment)
        found = knobs(f"environment({name})")
        assert {f"environment({name}).max_turns"} <= {one.path for one in found} and all(one.doc for one in found)


def test_an_episode_of_one_turn_needs_no_more_room_than_the_turn() -> None:
    assert SingleTurn().longest(64) == 64 and SingleTurn(max_tokens=32).longest(64) == 32
    assert PatientSimulator(max_tokens=500).longest(64) == 500


def test_a_config_makes_an_environment_and_reads_back() -> None:
    made = build({"type": "patient", "questions": 2, "max_turns": 5})
    assert made == PatientSimulator(questions=2, max_turns=5) and build(made.to_config()) == made
    assert build("single_turn") == SingleTurn() and build(made) is made


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("pateint", "did you mean 'patient'"),
        ({"questions": 2}, "it has no `type`"),
        (3, "write {type: NAME"),
        ({"type": "medrl.environments:build"}, "is not an environment"),
        ({"type": "patient", "question": 2}, "did you mean 'questions'"),
        ({"type": "patient", "max_turns": 0, "questions": 0}, "max_turns is 0; it must be at least 1; questions is 0"),
        ({"type": "llm_patient"}, "`chat` is missing"),
        ({"type": "llm_patient", "chat": {"type": "opneai"}}, "chat: medrl.chat has no component 'opneai'"),
    ],
)
def test_a_faulty_config_says_what_is_wrong(config: object, said: str) -> None:
    assert any(said in fault for fault in check(config)), check(config)  # type: ignore[arg-type]
    with pytest.raises(RecipeError):
        build(config)  # type: ignore[arg-type]


def test_problems_without_a_patient_are_named_before_anything_is_sampled() -> None:
    good = generate_patients(split="train", count=3)
    check_problems(PatientSimulator(), good)
    broken = Problem("q2", ask("?"), metadata={"patient": {"facts": [{"kye": 1}]}})
    with pytest.raises(
        ProblemError, match=r"2 of 5 problems do not fit the environment 'patient'(.|\n)*'q1'(.|\n)*'q2'"
    ):
        check_problems(PatientSimulator(), [*good, Problem("q1", ask("?")), broken])
