"""A reward model learns what raters prefer, is calibrated, and loads with the same scores; its loss is TRL's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl import cli
from medrl.commands.reward_figures import Judged, figures, judge_pairs, length_bias, temperature_of
from medrl.commands.train_reward import TrainedReward, evaluate_reward, train_reward
from medrl.data.annotation import Answer, Item, Session, disagreements
from medrl.data.feedback import Candidate
from medrl.data.preferences import PreferencePair, load_pairs, write_pairs
from medrl.errors import DataError, FolderTaken, RecipeError
from medrl.models import Policy
from medrl.models.classifier import ClassifierShape
from medrl.models.reward_model import new_reward_model
from medrl.recipes.reward_model import load_pair_sets, load_reward_recipe, read_reward_recipe, to_yaml
from medrl.rewards.reward_model import Worth, load, source_of
from medrl.rewards.reward_model_layout import token_rows
from medrl.trainers.reward_model import (
    EncodedPair,
    RewardModelSettings,
    encode_pairs,
    length_weights,
    preference_loss,
    train_reward_model,
)
from medrl.types import Problem, ask

Capture = pytest.CaptureFixture[str]
SHAPE = {"vocab_size": 500, "hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 64, "context": 512}
TINY: dict[str, Any] = {
    "name": "tiny",
    "base": {"new": SHAPE},
    "pairs": {"count": 60, "replies": 2},
    "held_out": {"split": "calibration", "count": 30, "replies": 2},
    "test": {"split": "test", "count": 30, "replies": 2},
    "training": {"lr": 3.0e-3, "batch_size": 20, "microbatch_size": 20},
    "members": 2,
    "threads": 1,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedReward:
    folder = tmp_path_factory.mktemp("reward") / "rm"
    lines: list[str] = []
    found = train_reward(replace(read_reward_recipe(TINY), folder=str(folder)), lines.append)
    assert any("accuracy" in line for line in lines)
    return found


def test_what_was_written_loads_with_the_very_same_rewards(trained: TrainedReward) -> None:
    again = load(source_of(str(trained.folder), device="cpu"))
    pairs = load_pairs(trained.folder / "test.jsonl")
    assert again.scales == trained.model.scales and len(again.members) == 2
    for ours, kept in zip(again.members, trained.model.members, strict=True):
        weights = kept.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in ours.state_dict().items())
    # Where a matrix lies in memory moves the last bit of a product, so the same weights agree to rounding.
    for one, other in zip(judge_pairs(again, pairs), trained.test, strict=True):
        assert one.difference == pytest.approx(other.difference, abs=1e-4)
    settings = json.loads((trained.folder / "reward_model.json").read_text(encoding="utf-8"))
    assert settings["members"][0]["updates"] == 3 and settings["test"]["n"] == 30
    assert settings["members"][0]["mean"] != settings["members"][1]["mean"]


def test_training_reads_what_use_reads(trained: TrainedReward) -> None:
    assert trained.settings["format"] == load(source_of(str(trained.folder), device="cpu")).format == "auto"
    pair = load_pairs(trained.folder / "test.jsonl")[0]
    praised = replace(pair, chosen=replace(pair.chosen, text=f"<think>Excellent!</think>{pair.chosen.text}"))
    tokenizer = trained.model.tokenizer
    (one,), (other,) = (encode_pairs(tokenizer, [each], 512, "auto") for each in (pair, praised))
    assert (one.chosen, one.longer) == (other.chosen, other.longer)
    assert judge_pairs(trained.model, [praised])[0].difference == pytest.approx(trained.test[0].difference, abs=1e-4)


def test_the_reference_set_has_mean_0_and_spread_1(trained: TrainedReward) -> None:
    sets = load_pair_sets(read_reward_recipe(TINY))
    replies = {(p.problem.id, s.text): (p.problem, s.response) for p in sets.held_out for s in (p.chosen, p.rejected)}
    model = trained.model
    for raw, scale in zip(
        model.raw(token_rows(model.tokenizer, list(replies.values()))), model.scales or (), strict=True
    ):
        values = torch.tensor([scale.of(value) for value in raw])
        assert float(values.mean()) == pytest.approx(0, abs=1e-4)
        assert float(values.std(unbiased=False)) == pytest.approx(1, abs=1e-4)


def test_evaluating_the_folder_gives_the_figures_of_its_training(trained: TrainedReward) -> None:
    lines: list[str] = []
    found = evaluate_reward(str(trained.folder), str(trained.folder / "test.jsonl"), "cpu", lines.append)
    assert found["accuracy"] == trained.settings["test"]["accuracy"] and "95 %" in lines[0]
    assert found["calibration_error"] == trained.settings["test"]["calibration_error"]


def test_the_commands_print_and_write_what_they_find(trained: TrainedReward, tmp_path: Path, capsys: Capture) -> None:
    pairs, out = str(trained.folder / "test.jsonl"), tmp_path / "figures.json"
    assert cli.main(["eval-reward", str(trained.folder), "--pairs", pairs, "--json", str(out)]) == 0
    assert "30 pairs, accuracy" in capsys.readouterr().out
    assert json.loads(out.read_text(encoding="utf-8"))["accuracy"] == trained.settings["test"]["accuracy"]
    assert cli.main(["eval-reward", str(tmp_path / "none"), "--pairs", pairs]) == 2
    assert cli.main(["train-reward", str(trained.folder / "recipe.yaml")]) == 2  # its folder is taken
    assert "there is no folder" in (said := capsys.readouterr().err) and "overwrite=true" in said


def test_a_folder_that_holds_something_is_left_alone(trained: TrainedReward) -> None:
    with pytest.raises(FolderTaken, match="overwrite=true"):
        train_reward(replace(read_reward_recipe(TINY), folder=str(trained.folder)))


# The loss


def some(n: int = 6) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {name: torch.randn(n, generator=draw) for name in ("chosen", "rejected")}


def test_the_loss_is_the_formula_with_margins_weights_and_centre() -> None:
    settings = RewardModelSettings(center_rewards_coefficient=0.01, margin_scale=2.0)
    margin, weight = torch.linspace(0, 1, 6), torch.linspace(0.5, 1.5, 6)
    c, r = some()["chosen"], some()["rejected"]
    got = float(preference_loss(c, r, margin, weight, settings))
    by_hand = (weight * torch.log1p(torch.exp(-(c - r - 2 * margin)))).mean() + 0.01 * ((c + r) ** 2).mean()
    assert got == pytest.approx(float(by_hand), rel=1e-5)


def encoded(longer: int, weight: float = 1.0) -> EncodedPair:
    return EncodedPair({"input_ids": [1]}, {"input_ids": [1]}, 0.0, weight, 50 + longer, 50)


def test_reweighting_makes_length_predict_nothing_in_each_fifth() -> None:
    pairs = [encoded(n) for n in (1, 2, 3, 4, 5, 6, 7, 8)] + [encoded(-n) for n in (1, 8)] + [encoded(0)]
    factors = length_weights(pairs)
    assert sum(factors) == pytest.approx(len(pairs))
    near = [i for i in range(10) if abs(pairs[i].longer) == 1]
    sides = [sum(factors[i] for i in near if (pairs[i].longer > 0) is side) for side in (True, False)]
    assert sides[0] == pytest.approx(sides[1])
    assert max(factors) <= 5.0 * len(pairs) / 2  # bounded before the mean is put back
    assert length_weights([encoded(3), encoded(5)]) == [1.0, 1.0]  # one side is empty: nothing to balance


@pytest.mark.slow
def test_without_weights_and_length_the_step_is_that_of_trl(tmp_path: Path) -> None:
    """The same weights after an update by TRL's own trainer and collator on the same pairs in the same order."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    pairs = load_pair_sets(read_reward_recipe({**TINY, "pairs": {"count": 8, "replies": 2}})).train
    policy = Policy.new([p.chosen.text for p in pairs])
    from transformers import Qwen2ForSequenceClassification

    config = policy.model.config
    config.num_labels = 1
    tokenizer, models = policy.tokenizer, []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(Qwen2ForSequenceClassification(config))
    rows = encode_pairs(tokenizer, pairs, 512)
    settings = RewardModelSettings(epochs=1, lr=1e-3, batch_size=8, microbatch_size=8)
    got = train_reward_model(models[0], tokenizer, rows, settings)
    arguments = RewardConfig(
        output_dir=str(tmp_path), num_train_epochs=1, learning_rate=1e-3, per_device_train_batch_size=8, bf16=False,
        warmup_steps=settings.warmup_share, lr_scheduler_type="cosine", weight_decay=0.01, adam_beta2=0.98, max_length=None,
        center_rewards_coefficient=0.01, use_cpu=True, report_to=[], save_strategy="no", gradient_checkpointing=False,
        disable_tqdm=True,
    )  # fmt: skip
    data = [{"chosen_ids": r.chosen["input_ids"], "rejected_ids": r.rejected["input_ids"]} for r in rows]
    theirs = RewardTrainer(
        model=models[1], args=arguments, train_dataset=Dataset.from_list(data), processing_class=tokenizer
    ).train()
    assert got["loss"] == pytest.approx(float(theirs.training_loss), rel=1e-5)
    for (name, ours), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(ours, other, atol=1e-6), name


# Figures


def judged(difference: float, longer: int, topic: str = "a") -> Judged:
    problem = Problem("p", ask("q"), metadata={"topic": topic})
    pair = PreferencePair("p", problem, Candidate("x"), Candidate("y"))
    return Judged(pair, Worth(difference, 0.1), Worth(0.0, 0.3), longer)


def test_figures_of_length_bias_by_hand() -> None:
    found = length_bias([judged(1, 10), judged(1, 10), judged(-1, -10), judged(1, -10), judged(2, 0)])
    assert (found["longer_better"], found["longer_preferred"], found["bias"]) == (0.5, 0.75, 0.25)
    assert found["shorter_better"]["accuracy"] == 0.5 and found["longer_better_pairs"]["accuracy"] == 1.0
    assert found["correlation"] == pytest.approx(0.5) and found["correlation_true"] == 0.0 and found["gap"] == 0.5


def test_figures_by_topic_and_calibration() -> None:
    pairs = [judged(3, 1, "a")] * 3 + [judged(-3, 1, "b")]
    found = figures(pairs, temperature_of(pairs))
    assert found["accuracy"] == 0.75 and found["topics"]["b"]["accuracy"] == 0.0
    assert found["calibration_error"] == pytest.approx(0.0, abs=1e-3)  # three of four is what the temperature says
    assert found["calibration_error_before"] == pytest.approx(0.953 - 0.75, abs=1e-2)
    assert found["disagreement"] == {"where_right": pytest.approx(0.2), "where_wrong": pytest.approx(0.2)}


# Recipes


def test_all_faults_of_a_recipe_come_at_once() -> None:
    broken = {**TINY, "base": {}, "members": 0, "training": {"lr": 0}, "pairs": {"noise": 0.9}}
    with pytest.raises(RecipeError) as caught:
        read_reward_recipe(broken)
    for fault in ("give either `path`", "lr is 0", "noise is 0.9"):
        assert fault in str(caught.value)
    with pytest.raises(RecipeError, match=r"training\.length_bias: 'odin' cannot be chosen"):
        read_reward_recipe({**TINY, "training": {"length_bias": "odin"}})
    with pytest.raises(RecipeError, match="members is 0"):
        read_reward_recipe({**TINY, "members": 0})
    for source in ([], "", ["clinic", "x.jsonl"]):
        with pytest.raises(RecipeError, match="files and folders of `medrl annotate`"):
            read_reward_recipe({**TINY, "pairs": {"source": source}})


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_the_examples_are_recipes_and_come_back_from_their_own_yaml(
    repository: Path, name: str, tmp_path: Path
) -> None:
    recipe = load_reward_recipe(repository / "examples" / "reward_model" / f"{name}.yaml")
    (tmp_path / "again.yaml").write_text(to_yaml(recipe), encoding="utf-8")
    assert load_reward_recipe(tmp_path / "again.yaml") == recipe


def test_a_reply_in_two_sets_is_a_leak(tmp_path: Path) -> None:
    pairs = load_pair_sets(read_reward_recipe(TINY)).train[:3]
    write_pairs(tmp_path / "a.jsonl", pairs)
    source = {"source": str(tmp_path / "a.jsonl")}
    with pytest.raises(DataError, match=r"held_out: \d replies stand also in a set before it"):
        load_pair_sets(read_reward_recipe({**TINY, "pairs": source, "held_out": source}))


def test_what_people_said_trains_a_reward_model(tmp_path: Path) -> None:
    items = [
        Item(f"i{n}", Problem(f"q{n}", ask(f"Case {n}: fever?")), (Candidate(f"Rest, {n}."), Candidate("No.")), "given")
        for n in range(4)
    ]
    task = tmp_path / "task"
    for rater, word in (("anna", "Rest, 0."), ("ben", "No.")):  # of one mind on all items but the first
        session = Session(rater, items, task)
        for place in range(4):
            better = word if place == 0 else f"Rest, {place}."
            session.answer(place, Answer("first" if session.view(place)["responses"][0] == better else "second"))
    third = Session("cleo", disagreements(items, task), task / "adjudication")
    third.answer(0, Answer("first" if third.view(0)["responses"][0] == "No." else "second"))
    base = {
        "new": {**SHAPE, "context": 2048}
    }  # its tokenizer learns from four short pairs, and cuts the clinic's small
    wanted = {
        "base": base,
        "pairs": {"source": [str(task)]},
        "test": None,
        "members": 1,
        "folder": str(tmp_path / "rm"),
    }
    recipe = read_reward_recipe({**TINY, **wanted})
    chosen = {pair.problem.id: pair.chosen.text for pair in load_pair_sets(recipe).train}
    assert chosen == {"q0": "No.", "q1": "Rest, 1.", "q2": "Rest, 2.", "q3": "Rest, 3."}
    lines: list[str] = []
    train_reward(recipe, lines.append)
    assert "left out of train: 2 overruled" in lines and (tmp_path / "rm" / "reward_model.json").is_file()


def test_a_pair_that_does_not_fit_is_an_error_and_is_never_cut() -> None:
    pairs = load_pair_sets(read_reward_recipe(TINY)).train[:4]
    _, tokenizer = new_reward_model([pairs[0].chosen.text], ClassifierShape(**SHAPE))
    with pytest.raises(
        DataError, match=rf"4 preference pairs have more than 20 tokens, the first being '{pairs[0].id}'"
    ):
        encode_pairs(tokenizer, pairs, 20)


@pytest.mark.slow
def test_a_small_model_really_learns_and_holds_on_unseen_diseases(tmp_path: Path, repository: Path) -> None:
    """A quarter of the pairs of the example: well above what length (56 %) or chance tell."""
    recipe = load_reward_recipe(repository / "examples" / "reward_model" / "tiny.yaml")
    pairs, test = replace(recipe.pairs, count=2600), replace(recipe.test, count=400)  # type: ignore[type-var]
    found = train_reward(replace(recipe, pairs=pairs, test=test, threads=1, folder=str(tmp_path / "rm")))
    assert found.settings["test"]["accuracy"] > 0.72
