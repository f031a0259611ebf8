"""Clinic problems: deterministic, unique answers, and a split that nothing leaks across."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from medrl.data.clinic.patients import suspects
from medrl.data.clinic.problems import TOPICS, combination, generate_problems
from medrl.data.clinic.quantities import times_a_day
from medrl.data.clinic.world import load_world
from medrl.errors import DataError
from medrl.types import Problem

KINDS = tuple(TOPICS)
EVERY_TOPIC = sorted({topic for topics in TOPICS.values() for topic in topics})


@pytest.fixture(scope="module")
def mixed() -> list[Problem]:
    return generate_problems(split="train", count=4000, kinds=KINDS, topics=EVERY_TOPIC)


def test_the_ith_problem_depends_on_seed_split_and_index_alone() -> None:
    short = generate_problems(split="train", count=20, kinds=KINDS)
    long = generate_problems(split="train", count=60, kinds=KINDS)
    assert short == long[:20]
    other = generate_problems(split="train", count=20, seed=1, kinds=KINDS)
    assert [p.question for p in other] != [p.question for p in short]
    assert long[7].id == "clinic-train-s0-000007"
    assert other[7].id == "clinic-train-s1-000007"


def test_problems_are_the_same_in_another_process() -> None:
    code = (
        "import json; from medrl.data.clinic.problems import generate_problems as g;"
        "print(json.dumps([p.to_json() for p in g(split='held_out', count=25, kinds=('term','choice','set'))]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    here = generate_problems(split="held_out", count=25, kinds=("term", "choice", "set"))
    assert json.loads(printed) == json.loads(json.dumps([p.to_json() for p in here]))


@pytest.mark.slow
def test_no_held_out_prompt_combination_or_template_occurs_in_20000_train_problems() -> None:
    train = generate_problems(split="train", count=20_000, kinds=KINDS, topics=EVERY_TOPIC)
    held_out = generate_problems(split="held_out", count=4000, seed=5, kinds=KINDS, topics=EVERY_TOPIC)
    for read in (combination, lambda p: p.question, lambda p: p.metadata["template"]):
        assert {read(p) for p in train}.isdisjoint(read(p) for p in held_out)


def test_the_patient_split_can_be_had_without_the_template_split() -> None:
    train = generate_problems(split="train", count=3000)
    held_out = generate_problems(split="held_out", count=1000, heldout_templates=False)
    assert {p.metadata["template"] for p in held_out} <= {p.metadata["template"] for p in train}
    assert {combination(p) for p in train}.isdisjoint(combination(p) for p in held_out)


@pytest.mark.parametrize("shown", [(2, 3), (4, 6), (8, 8)])
def test_the_findings_shown_identify_one_disease(shown: tuple[int, int]) -> None:
    world = load_world()
    for problem in generate_problems(split="train", count=500, findings_shown=shown):
        findings, disease = problem.metadata["findings"], world.diseases[problem.metadata["disease"]]
        assert suspects(world, findings) == {disease.id}
        assert shown[0] <= len(findings) <= shown[1]
        assert not set(problem.metadata["denied"]) & set(disease.findings)
        assert all(world.findings[key].name.of(problem.language) in problem.question for key in findings)
        assert problem.reference == disease.name.of(problem.language)
        assert {disease.name.en, disease.name.zh} <= {problem.reference, *problem.aliases}


def test_every_topic_and_language_turns_up_with_a_sound_reference(mixed: list[Problem]) -> None:
    assert {(p.metadata["answer_type"], p.metadata["topic"]) for p in mixed} == {
        (kind, topic) for kind, topics in TOPICS.items() for topic in topics
    }
    assert set(Counter(p.language for p in mixed)) == {"en", "zh"}
    for problem in mixed:
        kind = problem.metadata["answer_type"]
        if kind in ("choice", "yes_no"):
            assert problem.kind == "choice"
            assert problem.reference in problem.options
            assert len(set(problem.options.values())) == len(problem.options) == (4 if kind == "choice" else 2)
        elif kind == "number":
            assert problem.kind == "numeric"
            value, unit = str(problem.reference).split(" ", 1)
            assert unit == problem.metadata["unit"]
            assert problem.metadata["lower_limit"] <= float(value) <= problem.metadata["upper_limit"]
        elif kind == "set":
            assert problem.reference == "; ".join(problem.metadata["items"])
            assert 0 < len(problem.metadata["items"]) < len(problem.metadata["listed"])
        else:
            assert problem.kind == "open"
        assert Problem.from_json(json.loads(json.dumps(problem.to_json()))) == problem


def test_the_labels_of_choices_are_balanced(mixed: list[Problem]) -> None:
    labels = Counter(p.reference for p in mixed if p.metadata["answer_type"] == "choice")
    assert max(labels.values()) < 1.35 * min(labels.values())
    answers = Counter(p.reference for p in mixed if p.metadata["answer_type"] == "yes_no")
    assert max(answers.values()) < 1.35 * min(answers.values())


def test_only_one_option_is_right(mixed: list[Problem]) -> None:
    world = load_world()
    for problem in mixed:
        options = set(problem.options.values())
        if problem.metadata["answer_type"] != "choice" or "disease" not in problem.metadata:
            continue
        disease = world.diseases[problem.metadata["disease"]]
        if problem.metadata["topic"] == "treatment":
            right = {world.treatment(key).name.of(problem.language) for key in disease.first_line}
            assert len(options & right) == 1
        if problem.metadata["topic"] == "test":
            assert len(options & {world.test(key).name.of(problem.language) for key in disease.tests}) == 1


def test_a_daily_dose_keeps_below_the_maximum(mixed: list[Problem]) -> None:
    grams = {"mcg": 1e-6, "mg": 1e-3, "g": 1.0}
    for problem in mixed:
        if problem.metadata["topic"] != "dose":
            continue
        limit, unit = load_world().drugs[problem.metadata["drug"]].max_daily, problem.metadata["unit"]
        if limit and limit.unit in grams and unit in grams:
            assert problem.metadata["value"] * grams[unit] <= limit.amount * grams[limit.unit] * 1.0001


def test_a_conversion_uses_the_factor_of_the_table(mixed: list[Problem]) -> None:
    seen = 0
    for problem in mixed:
        if problem.metadata["topic"] == "conversion":
            lab = load_world().labs[problem.metadata["lab"]]
            shown = float(problem.metadata["combination"].rsplit(":", 1)[1])
            assert lab.si_factor is not None
            assert problem.metadata["value"] == pytest.approx(shown * lab.si_factor, rel=1e-3)
            seen += 1
    assert seen > 50


@pytest.mark.parametrize(
    ("frequency", "times"),
    [
        ("once daily at night", 1),
        ("twice daily with meals", 2),
        ("three times daily", 3),
        ("every 8 hours", 3),
        ("every 4 to 6 hours as required", 0),
        ("two to four times daily", 0),
        ("once or twice daily", 0),
        ("three times a week", 0),
        ("every 5 hours", 0),
    ],
)
def test_times_a_day_is_read_only_where_it_is_fixed(frequency: str, times: int) -> None:
    assert times_a_day(frequency) == times


def test_who_the_patient_is_fits_the_disease() -> None:
    for problem in generate_problems(split="train", count=4000, languages=("en",)):
        person, disease = problem.metadata["patient"], problem.metadata["disease"]
        if disease == "ectopic_pregnancy":
            assert person["sex"] == "female"
        if disease in ("testicular_torsion", "benign_prostatic_hyperplasia"):
            assert person["sex"] == "male"
        if disease == "croup":
            assert person["age"] < 6
            assert "boy" in problem.question or "girl" in problem.question
        if "advanced_age" in problem.metadata["findings"]:
            assert person["age"] >= 70
        assert not any(f"A {age}" in problem.question for age in (8, 11, 18, *range(80, 90)))


def test_a_small_world_is_the_head_of_the_table_or_a_list_of_ids() -> None:
    first = list(load_world().diseases)[:3]
    assert {p.metadata["disease"] for p in generate_problems(split="train", count=60, diseases=3)} == set(first)
    chosen = ("croup", "migraine")
    assert {p.metadata["disease"] for p in generate_problems(split="train", count=30, diseases=chosen)} == set(chosen)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "test"}, "split names 'test'"),
        ({"kinds": ("trem",)}, "did you mean 'term'"),
        ({"kinds": "term"}, "give a list"),
        ({"languages": ("fr",)}, "languages names 'fr'"),
        ({"topics": ("diagnoses",)}, "did you mean 'diagnosis'"),
        ({"topics": ("dose",)}, "none of the topics dose can be asked as term"),
        ({"diseases": ("migrane",)}, "did you mean 'migraine'"),
        ({"diseases": 1000}, "the clinic has"),
        ({"count": 0}, "at least one problem"),
        ({"findings_shown": (6, 4)}, "findings_shown is"),
        ({"findings_shown": (20, 20)}, "widen findings_shown"),
    ],
)
def test_a_wrong_setting_says_what_is_valid(settings: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        generate_problems(**{"split": "train", "count": 2, **settings})  # type: ignore[arg-type]
