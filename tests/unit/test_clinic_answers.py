"""Labelled answers of the clinic: no leak between splits, true labels, and the same answers for the same seed."""

import json
from collections import Counter
from pathlib import Path

import pytest

from medrl.data.clinic import statements
from medrl.data.clinic.answers import INVENTED, RIGHT, SPLITS, WRONG, generate_answers, pools
from medrl.data.clinic.lay import LAY, lay_forms
from medrl.data.clinic.rewording import reordered, turned
from medrl.data.clinic.world import load_world
from medrl.data.labelled import LabelledAnswer, load_labelled, overlap
from medrl.errors import DataError
from medrl.verifiers import verify_all
from medrl.verifiers.text import Text

COUNT = 600
TEXTS = (
    "COMMITS",
    "REJECTS",
    "CONTRAST",
    "OPENINGS",
    "CLOSINGS",
    "OPEN",
    "DUMP",
    "INJECTION",
    "EMPTY",
    "LEAD",
    "SIDED",
)


@pytest.fixture(scope="module")
def answers() -> dict[str, list[LabelledAnswer]]:
    return {split: generate_answers(COUNT, split) for split in SPLITS}


def test_no_concept_is_in_two_splits(answers: dict[str, list[LabelledAnswer]]) -> None:
    concepts = {split: {one.concept for one in given} for split, given in answers.items()}
    assert concepts["train"] and concepts["train"].isdisjoint(concepts["test"] | concepts["calibration"])
    assert concepts["test"].isdisjoint(concepts["calibration"])


def test_no_other_concept_is_named_than_those_of_the_split(answers: dict[str, list[LabelledAnswer]]) -> None:
    """A name of a test concept stands in no training answer, not even as the wrong one."""
    world = load_world()
    concepts = dict(world.concepts())
    sides = pools(world)
    allowed = {form.casefold() for key in sides["train"] for form in both(concepts[key])}
    foreign = {
        form.casefold() for key in sides["test"] for form in both(concepts[key]) if len(form) > 12 and form[0].isascii()
    }
    # A long name of a training concept may hold a shorter one of a test concept.
    foreign = {form for form in foreign if not any(form in one for one in allowed)}
    texts = " | ".join(f"{one.response} | {one.problem.reference}" for one in answers["train"]).casefold()
    assert len(foreign) > 50 and not [form for form in foreign if form in texts]


def both(concept: object) -> list[str]:
    return [form for language in ("en", "zh") for form in concept.forms(language)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_list_of_wordings_has_some_for_each_split(name: str, language: str) -> None:
    texts = getattr(statements, name)[language]
    parts = {split: {text for _, text in statements.of_split(texts, split)} for split in SPLITS}
    assert all(parts.values()) and sum(map(len, parts.values())) == len(set(texts)) == len(texts)


def test_the_held_out_wordings_are_in_no_training_answer(answers: dict[str, list[LabelledAnswer]]) -> None:
    texts = " | ".join(one.response for one in answers["train"]).casefold()
    for name in ("COMMITS", "REJECTS", "OPENINGS", "CLOSINGS"):
        for _, text in statements.of_split(getattr(statements, name)["en"], "test"):
            longest = max(text.replace("{y}", "{x}").split("{x}"), key=len).strip(" .").casefold()
            trained = [t.casefold() for _, t in statements.of_split(getattr(statements, name)["en"], "train")]
            if len(longest) > 12 and not any(longest in t for t in trained):
                assert longest not in texts, longest


def test_templates_of_the_splits_differ_unless_the_term_stands_alone(answers: dict[str, list[LabelledAnswer]]) -> None:
    named = {
        split: {one.template for one in given if "bare" not in one.template and one.template.count("-") == 2}
        for split, given in answers.items()
    }
    assert (
        named["train"] and named["train"].isdisjoint(named["test"]) and named["test"].isdisjoint(named["calibration"])
    )


def test_known_concepts_come_with_held_out_wordings() -> None:
    known = generate_answers(COUNT, "test", known=True)
    assert {one.concept for one in known} <= set(pools(load_world())["train"])
    test = {one.template for one in generate_answers(COUNT, "test")}
    assert len({one.template for one in known} & test) > 20


def test_a_seed_gives_the_same_answers_and_a_longer_list_begins_with_the_shorter() -> None:
    short, long = generate_answers(40, seed=3), generate_answers(60, seed=3)
    assert long[:40] == short and generate_answers(40, seed=4) != short
    assert [one.to_json() for one in short] == [one.to_json() for one in generate_answers(40, seed=3)]


def test_about_half_are_right_and_every_way_occurs(answers: dict[str, list[LabelledAnswer]]) -> None:
    train = answers["train"]
    assert 0.42 < sum(one.expected for one in train) / COUNT < 0.58
    ways = Counter((one.category, one.expected) for one in train)
    assert set(ways) == {(way, True) for way in RIGHT} | {(way, False) for way in WRONG}


def test_rules_with_the_clinics_names_find_no_label_wrong_among_bare_terms(
    answers: dict[str, list[LabelledAnswer]],
) -> None:
    """Where the term stands alone, the vocabulary knows what it means: a check of the labels by other code."""
    bare = [
        one for given in answers.values() for one in given
        if one.template.endswith("bare") and one.category in ("verbatim", "synonym", "sibling", "look-alike")
    ]  # fmt: skip
    verdicts = verify_all(Text(vocabulary="clinic"), [one.problem for one in bare], [one.response for one in bare])
    decided = [(one, v) for one, v in zip(bare, verdicts, strict=True) if v.score is not None]
    wrong = [(one.problem.reference, one.response) for one, v in decided if (v.score == 1.0) != one.expected]
    assert len(decided) > 100 and not wrong


def test_a_wrong_answer_never_has_a_name_of_the_reference_alone(answers: dict[str, list[LabelledAnswer]]) -> None:
    concepts = dict(load_world().concepts())
    for given in answers.values():
        for one in given:
            if (
                not one.expected
                and one.template.endswith("bare")
                and one.category in ("sibling", "look-alike", "turned")
            ):
                names = {form.casefold() for form in both(concepts[one.concept])}
                assert one.response.casefold() not in names, one


def test_invented_terms_mean_nothing_and_are_for_training_alone() -> None:
    made = generate_answers(200, invented=1.0, bare=1.0, seed=5)
    invented = [one for one in made if one.concept == INVENTED]
    names = {form.casefold() for _, concept in load_world().concepts() for form in both(concept)}
    assert len(invented) > 80 and {one.expected for one in invented} == {True, False}
    assert names.isdisjoint(str(one.problem.reference).casefold() for one in invented)
    assert len({one.problem.reference for one in invented}) > 0.95 * len(invented)
    verbatim = [one for one in invented if one.category == "verbatim"]
    assert all(one.response.casefold() == str(one.problem.reference).casefold() for one in verbatim) and verbatim
    with pytest.raises(DataError, match="of training alone"):
        generate_answers(3, "test", invented=0.5)


def test_turning_round_and_word_order() -> None:
    assert turned("acute pancreatitis", "en") == "chronic pancreatitis"
    assert turned("hyperkalemia", "en") == "hypokalemia"
    assert turned("type 2 diabetes", "en") == "type 1 diabetes"
    assert turned("高钾血症", "zh") == "低钾血症" and turned("地高辛", "zh") is None
    assert turned("migraine", "en") is None
    assert "thrombosis, deep vein" in reordered("deep vein thrombosis", "en")
    assert reordered("torsion of the testis", "en") == [] and reordered("dengue", "en") == []
    assert reordered("急性阑尾炎", "zh") == ["阑尾炎，急性", "阑尾炎（急性）"]


def test_lay_phrases_belong_to_concepts_and_are_no_name_of_another() -> None:
    world = load_world()
    assert set(LAY) <= {key for key, _ in world.concepts()}
    for language in ("en", "zh"):
        names = {form.casefold() for form in world.vocabulary(language)}
        phrases = [phrase for key in LAY for phrase in lay_forms(key, language)]
        assert len(set(phrases)) == len(phrases) and names.isdisjoint(one.casefold() for one in phrases)


def test_answers_travel_through_a_file(tmp_path: Path) -> None:
    made = generate_answers(30, "test")
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in made), encoding="utf-8")
    read = load_labelled(file)
    assert [(o.expected, o.response, o.problem.reference, o.category) for o in read] == [
        (o.expected, o.response, o.problem.reference, o.category) for o in made
    ]
    assert all("expected" not in one.problem.metadata for one in read)
    assert overlap(made, read) == [one.problem.id for one in read] and not overlap(made[:5], made[5:])


def test_rows_without_a_label_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"question": "Which?", "reference": "gout", "response": "gout"}
    file.write_text(json.dumps({**row, "expected": True}) + "\n" + json.dumps({**row, "expected": "perhaps"}) + "\n")
    with pytest.raises(DataError, match=r"row 2 .*'perhaps'"):
        load_labelled(file)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(DataError, match="split"):
        generate_answers(3, "tests")
    with pytest.raises(DataError, match="at least 1"):
        generate_answers(0)
    with pytest.raises(DataError, match="asked for 3 answers"):
        generate_answers(3, languages=["fr"])
