"""Training a verifier: calibration against known answers, one tiny run from recipe to folder, and back as a verifier."""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medrl.commands.train_verifier import Trained, measured, train_verifier
from medrl.data import verifier_cards
from medrl.data.labelled import load_labelled, overlap
from medrl.errors import DataError, FolderTaken, RecipeError
from medrl.recipes.verifier import load_answers, load_verifier_recipe, read_verifier_recipe
from medrl.rewards import levels
from medrl.trainers.calibration import fit_temperature, threshold_for
from medrl.trainers.cards import card_warnings
from medrl.trainers.classifier import ClassifierSettings, encode
from medrl.types import Response
from medrl.verifiers import build, judge, run_sync
from medrl.verifiers.classifier import Classifier, sigmoid
from medrl.verifiers.classifier_layout import layout_of
from medrl.verifiers.classifier_model import Source, load
from medrl.verifiers.reliability import reliability

TINY: dict[str, Any] = {
    "name": "tiny",
    "base": {
        "new": {"vocab_size": 400, "hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 64, "context": 160}
    },
    "answers": {"count": 300},
    "held_out": {"split": "calibration", "count": 150},
    "test": {"split": "test", "count": 60},
    "layout": "pair",
    "training": {"epochs": 2, "lr": 3.0e-3, "batch_size": 50, "microbatch_size": 50},
    "calibration": {"max_false_accept": 0.1},
    "threads": 1,
    "attacks": False,
}


@pytest.fixture(scope="module", autouse=True)
def cards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where cards are kept meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cards")
        patch.setenv("MEDRL_CARDS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def trained(cards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, list[str]]:
    lines: list[str] = []
    recipe = read_verifier_recipe({**TINY, "attacks": True, "folder": str(tmp_path_factory.mktemp("runs") / "tiny")})
    return train_verifier(recipe, lines.append), lines


def test_the_folder_is_a_verifier_with_the_scores_of_training(trained: tuple[Trained, list[str]]) -> None:
    """The figures of verifier.json, found again through the verifier alone."""
    folder, settings = trained[0].folder, trained[0].settings
    verifier = build({"type": "medrl.verifiers.classifier:Classifier", "model": str(folder)})
    assert isinstance(verifier, Classifier) and verifier.settings().threshold == settings["threshold"]
    answers = load_answers(read_verifier_recipe(TINY)).test
    verdicts = run_sync(judge(verifier, [one.item for one in answers]))
    p = [v.parts["p_true"] for v in verdicts if "p_true" in v.parts]
    asked = [one for one, v in zip(answers, verdicts, strict=True) if "p_true" in v.parts]
    assert len(asked) > 40
    classifier = load(Source(str(folder), None, "cpu", "float32", ""))
    rows = encode(classifier.tokenizer, layout_of("pair", False), asked, 160)
    margins = [one for one in classifier.margins(rows, 1, 64) if isinstance(one, float)]
    assert p == pytest.approx([sigmoid(m / settings["temperature"]) for m in margins], abs=1e-5)


def test_the_bound_holds_on_the_calibration_answers(trained: tuple[Trained, list[str]]) -> None:
    found = trained[0].settings["held_out"]
    assert found["false_accept"] <= 0.1
    assert found["after"]["nll"] <= found["before"]["nll"] + 1e-9


def test_the_folder_says_what_it_is(trained: tuple[Trained, list[str]]) -> None:
    folder = trained[0].folder
    names = {file.name for file in folder.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "config.json", "verifier.json", "recipe.yaml", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    kept = json.loads((folder / "verifier.json").read_text(encoding="utf-8"))
    assert kept["layout"] == "pair" and kept["answers"]["train"]["n"] == 300 and kept["true_label"] == "True"
    assert len(kept["test"]["after"]["bins"]) == 10
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "# Verifier card: classifier" in card and "## Reliability" in card
    assert Classifier(model=str(folder)).fingerprint() in card
    assert load_verifier_recipe(folder / "recipe.yaml") == read_verifier_recipe(
        {**TINY, "attacks": True, "folder": str(folder)}
    )


def test_a_run_finds_its_card(trained: tuple[Trained, list[str]]) -> None:
    verifier = Classifier(model=str(trained[0].folder))
    card = verifier_cards.find(verifier.fingerprint())
    assert card is not None and card["n"] == trained[0].settings["answers"]["test"]["n"]
    assert card["attacks"]["n"] > 1000 and 0.0 <= card["attack_success"] <= 1.0
    assert card_warnings(levels(verifier, format=None)) == []
    other = card_warnings(levels(Classifier(model=str(trained[0].folder), threshold=0.9), format=None))
    assert len(other) == 1 and "differs in threshold" in other[0]


def test_the_report_names_what_was_found(trained: tuple[Trained, list[str]]) -> None:
    text = "\n".join(trained[1])
    assert "temperature" in text and "false accept" in text and "ECE" in text and "reliability on test" in text


def test_the_same_recipe_gives_the_same_verifier(trained: tuple[Trained, list[str]], tmp_path: Path) -> None:
    recipe = read_verifier_recipe({**TINY, "folder": str(tmp_path / "again")})
    again = train_verifier(recipe, lambda line: None)
    assert again.settings == trained[0].settings
    weights = [(folder / "model.safetensors").read_bytes() for folder in (again.folder, trained[0].folder)]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_training_teaches_something(tmp_path: Path) -> None:
    """On concepts and wordings that it never saw: clearly better than refusing every answer."""
    tree = {**TINY, "folder": str(tmp_path / "v"), "base": {"new": {}}}
    tree["first"] = {"count": 25_000, "invented": 1.0, "bare": 1.0, "seed": 1}
    tree["answers"] = {"count": 25_000, "invented": 0.4}
    tree["test"] = {"split": "test", "count": 600}
    tree["training"] = {"epochs": 1, "lr": 1.0e-3, "batch_size": 48, "microbatch_size": 48}
    found = train_verifier(read_verifier_recipe({**tree, "calibration": {"threshold": 0.5}}), print).settings["test"]
    refusing = 1 - read_share(tmp_path / "v")
    assert found["accuracy"] > refusing + 0.05 and found["after"]["brier"] < 0.24


def read_share(folder: Path) -> float:
    """The share of right answers in the test of a folder."""
    of = json.loads((folder / "verifier.json").read_text(encoding="utf-8"))["answers"]["test"]
    return float(of["right"] / of["n"])


def test_temperature_undoes_a_known_one() -> None:
    draw = random.Random(1)
    truth = [draw.gauss(0, 2) for _ in range(20_000)]
    labels = [draw.random() < sigmoid(m) for m in truth]
    assert fit_temperature([3 * m for m in truth], labels) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(truth, labels) == pytest.approx(1.0, rel=0.05)
    before = reliability([sigmoid(3 * m) for m in truth], labels)
    after = reliability([sigmoid(m) for m in truth], labels)
    assert after.ece < 0.02 < before.ece and after.brier < before.brier and after.nll < before.nll


def test_temperature_is_bounded() -> None:
    assert fit_temperature([1.0, -1.0], [True, False]) == 0.02  # always right: as sure as may be
    assert fit_temperature([1.0, -1.0], [False, True]) == 50.0


def test_reliability_by_hand() -> None:
    found = reliability([0.05, 0.15, 0.95, 1.0], [False, True, True, False])
    assert [one.n for one in found.bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.bins[9].mean_p == pytest.approx(0.975) and found.bins[9].share_right == 0.5
    assert found.ece == pytest.approx(0.25 * 0.05 + 0.25 * 0.85 + 0.5 * 0.475)
    assert found.brier == pytest.approx((0.05**2 + 0.85**2 + 0.05**2 + 1.0) / 4)


@pytest.mark.parametrize("bound", [0.02, 0.1, 0.33, 0.5])
def test_the_threshold_keeps_its_bound_and_no_lower_one_does(bound: float) -> None:
    draw = random.Random(2)
    p = [round(draw.random(), 2) for _ in range(400)]
    labels = [draw.random() < one for one in p]
    threshold = threshold_for(p, labels, bound)
    wrong = [one for one, right in zip(p, labels, strict=True) if not right]

    def share(t: float) -> float:
        return sum(one > t for one in wrong) / len(wrong)

    assert share(threshold) <= bound < share(threshold - 0.01)


def test_too_few_wrong_answers_for_a_bound() -> None:
    with pytest.raises(DataError, match="at least 100"):
        threshold_for([0.1] * 20, [False] * 20, 0.01)
    with pytest.raises(DataError, match="not finite"):
        reliability([math.nan], [True])


def test_decisions_are_counted_apart() -> None:
    found = measured([2.0, 2.0, -2.0, -2.0, 2.0], [True, False, True, False, True], 1.0, 0.5)
    assert (found["accuracy"], found["false_accept"], found["false_reject"]) == (0.6, 0.5, pytest.approx(1 / 3))


def test_too_long_an_answer_is_an_error(trained: tuple[Trained, list[str]]) -> None:
    classifier = load(Source(str(trained[0].folder), None, "cpu", "float32", ""))
    answers = load_answers(read_verifier_recipe(TINY)).test[:3]
    long = [replace(answers[0], response="word " * 300), *answers[1:]]
    with pytest.raises(DataError, match="1 labelled answers have more than 160 tokens"):
        encode(classifier.tokenizer, layout_of("pair", False), long, 160)


def test_training_sees_what_the_verifier_shows(trained: tuple[Trained, list[str]]) -> None:
    """The reasoning is left out of both."""
    classifier = load(Source(str(trained[0].folder), None, "cpu", "float32", ""))
    one = load_answers(read_verifier_recipe(TINY)).test[0]
    thought = replace(one, response=f"## Thinking\n\nhm\n\n## Final Response\n\n{one.response}")
    rows = encode(classifier.tokenizer, layout_of("pair", False), [one, thought], 160)
    assert rows[0] == rows[1] and Response(thought.response).text != one.response


def rows_file(path: Path, rows: list[tuple[str, bool]]) -> str:
    lines = [
        json.dumps({"id": f"r{i}", "question": "Which?", "reference": "gout", "response": text, "expected": label})
        for i, (text, label) in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_own_rows_and_leaks(tmp_path: Path) -> None:
    train = rows_file(tmp_path / "train.jsonl", [(f"gout {i}", i % 2 == 0) for i in range(10)])
    leaky = rows_file(tmp_path / "leaky.jsonl", [("gout 3", True), ("podagra", True)])
    clean = rows_file(tmp_path / "clean.jsonl", [("uric acid arthritis", True), ("podagra", True)])
    tree = {**TINY, "answers": {"source": train}, "test": None}
    with pytest.raises(DataError, match=r"held_out: 1 answers are also among .* 'r0'"):
        load_answers(read_verifier_recipe({**tree, "held_out": {"source": leaky}}))
    found = load_answers(read_verifier_recipe({**tree, "held_out": {"source": clean}}))
    assert (len(found.train), len(found.held_out), found.test) == (10, 2, [])


def test_choices_keep_their_options_on_the_way_to_the_card(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"id": "r", "question": "Which?", "reference": "B", "options": {"A": "gout", "B": "asthma"}}
    file.write_text(
        json.dumps({**row, "response": "B", "expected": True, "category": "letter"}) + "\n", encoding="utf-8"
    )
    read = load_labelled(file)
    again = tmp_path / "again.jsonl"
    again.write_text(json.dumps(read[0].to_json()) + "\n", encoding="utf-8")
    ((one, *_), (two, *_)) = read, load_labelled(again)
    assert (two.problem.messages, two.problem.options, two.problem.reference) == (
        one.problem.messages, one.problem.options, one.problem.reference
    )  # fmt: skip
    assert (two.response, two.expected, two.category) == ("B", True, "letter")
    assert "expected" not in two.problem.metadata


def test_one_letter_of_two_questions_is_no_leak(tmp_path: Path) -> None:
    """As long as the verifier can tell them apart: by the option, or by the question where it is shown."""
    files = []
    for name, options in (("train", {"A": "gout", "B": "asthma"}), ("test", {"A": "gout", "B": "scurvy"})):
        rows = [{"id": f"{name}-{r}", "question": f"{name}?", "reference": r, "options": options, "response": r,
                 "expected": True} for r in "AB"]  # fmt: skip
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    train, test = map(load_labelled, files)
    assert overlap(train, test) == ["test-A"] and overlap(train, test, with_question=True) == []


def test_all_faults_of_a_recipe_at_once() -> None:
    tree = {
        **TINY,
        "base": {"new": {"hidden_size": 30, "heads": 4}},
        "answers": {"count": 0, "splt": "train"},
        "training": {"lr": -1},
        "calibration": {"max_false_accept": 1.5},
    }
    with pytest.raises(RecipeError) as caught:
        read_verifier_recipe(tree)
    text = str(caught.value)
    for said in ("hidden_size 30", "did you mean 'split'", "lr is -1", "max_false_accept is 1.5"):
        assert said in text
    with pytest.raises(RecipeError, match="no layout"):
        read_verifier_recipe({**TINY, "layout": "huatuo"})
    with pytest.raises(RecipeError, match="either `path`"):
        read_verifier_recipe({**TINY, "base": {}})


def test_the_examples_are_recipes(repository: Path) -> None:
    paper = load_verifier_recipe(repository / "examples" / "verifier" / "paper.yaml")
    assert (paper.layout, paper.calibration.threshold, paper.max_length) == ("huatuo_o1", 0.4, 4000)
    tiny = load_verifier_recipe(repository / "examples" / "verifier" / "tiny.yaml", ["answers.count=10"])
    assert tiny.base.new is not None and tiny.answers.count == 10


def test_one_label_alone_teaches_nothing(tmp_path: Path) -> None:
    train = rows_file(tmp_path / "train.jsonl", [(f"gout {i}", True) for i in range(10)])
    tree = {**TINY, "answers": {"source": train}, "test": None, "folder": str(tmp_path / "v")}
    recipe = read_verifier_recipe({**tree, "held_out": {"split": "calibration", "count": 3}})
    with pytest.raises(DataError, match="right and wrong ones"):
        train_verifier(recipe, lambda line: None)
    assert not (tmp_path / "v").exists()


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no multiple of microbatch_size"):
        ClassifierSettings(batch_size=100, microbatch_size=64)


def test_a_folder_that_holds_something_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "kept.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FolderTaken, match="overwrite=true"):
        train_verifier(read_verifier_recipe({**TINY, "folder": str(tmp_path / "v")}), lambda line: None)
    assert (tmp_path / "v" / "kept.txt").read_text(encoding="utf-8") == "mine"
