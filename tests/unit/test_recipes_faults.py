"""One wrong thing in a recipe at a time: each is named, with its line or its path and the nearest right name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from medrl.errors import MissingFile, RecipeError
from medrl.recipes import load_recipe, read_recipe, to_yaml

TREE: dict[str, Any] = {
    "name": "r",
    "policy": {"new": {"hidden_size": 32}},
    "problems": {"kinds": ["term", "choice"], "count": 40},
    "reward": {
        "type": "levels",
        "format": {"type": "format", "preset": "o1"},
        "correct": {"type": "verified", "verifier": {"type": "typed", "format": "o1"}, "otherwise": 0.0},
    },
    "trainer": {"steps": 3},
}


def faults_of(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as raised:
        read_recipe(TREE, "r.yaml", overrides)
    return raised.value.faults


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: r\npolicy: {new: {\nreward: x\n", "line 4"),
        ("name: r\n\ttrainer: 1\n", "line 2"),
        ("name: r\ntrainer:\n  steps: 3\n bad: 1\n", "line 4"),
        ("name: r\nseed: 1\nseed: 2\n", "line 3, column 1: the key 'seed' is given twice"),
        ("name: r\ntrainer:\n  steps: 3\n  steps: 4\n", "line 4, column 3: the key 'steps' is given twice"),
        ("name: r\n[a, b]: 2\n", "line 2"),
        ("", "not sections"),
        ("- a\n- b\n", "not sections"),
    ],
)
def test_malformed_yaml_is_refused_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as raised:
        load_recipe(path)
    (fault,) = raised.value.faults
    assert said in fault


@pytest.mark.parametrize(("text", "number"), [("1e-4", 1e-4), ("3E5", 3e5), ("1.5e-06", 1.5e-6), ("2", 2.0)])
def test_numbers_with_an_exponent_are_numbers(text: str, number: float, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(TREE) + f"optimization: {{lr: {text}}}\n", encoding="utf-8")
    assert load_recipe(path).optimization.lr == number
    assert load_recipe(path, [f"optimization.lr={text}"]).optimization.lr == number


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.step=3", ["trainer.step: there is no such knob", "did you mean 'steps'?"]),
        ("trainers.steps=3", ["trainers: there is no such knob", "did you mean 'trainer'?"]),
        ("trainer.steps=many", ["trainer.steps: 'many' is not a whole number"]),
        ("trainer.steps=1.5", ["trainer.steps: 1.5 is not a whole number"]),
        ("trainer.steps=true", ["trainer.steps: True is not a whole number"]),
        ("trainer.steps=-1", ["steps is -1, below 0"]),
        ("trainer.rollouts_per_problem=1", ["rollouts_per_problem is 1, below 2"]),
        ("optimization.lr=.nan", ["optimization.lr: nan is not a finite number"]),
        ("trainer=null", ["trainer: None is no section"]),
        ("problems.kinds=term", ["problems.kinds: 'term' is not a list"]),
        ("reward.correct.verifier.type=typd", ["has no component 'typd'", "did you mean 'typed'?"]),
        ("reward.type=level", ["has no component 'level'", "did you mean 'levels'?"]),
        ("reward.wright=1.0", ["'levels' has no knob 'wright'", "did you mean 'right'?"]),
        ("reward.correct.otherwise=null", ["may abstain", "otherwise"]),
        ("reward=null", ["reward"]),
        ("algorithm.type=grop", ["has no component 'grop'", "did you mean 'grpo'?"]),
        ("algorithm={clip: 0.2}", ["it has no `type`"]),
        ("algorithm={type: grpo, preset: dapoo}", ["no preset 'dapoo'", "did you mean 'dapo'?"]),
        ("algorithm={type: grpo, preset: loss}", ["no preset 'loss'"]),
        ("algorithm={type: grpo, klip: 0.2}", ["algorithm.klip: there is no such knob", "did you mean 'clip'?"]),
        ("algorithm={type: grpo, kl_coef: -1.0}", ["kl_coef is -1.0"]),
        ("policy=", ["policy"]),
        ("policy.path=gpt2", ["`path` and `new` exclude each other"]),
        ("sft={}", ["there is nothing to learn from"]),
        ("max_staleness=1", ["max_staleness is 1"]),
        ("placement=ray", ["placement: 'ray' cannot be chosen"]),
        ("trainer.steps", ["is no override; write section.knob=value"]),
        ("=3", ["is no override"]),
        ("problems.kinds=[term", ["no YAML value"]),
        ("problems.kinds.7=term", ["no place in a list of 2"]),
        ("problems.kinds.7.x=term", ["below something that has no knobs"]),
        ("problems.kinds.0.x=term", ["below something that has no knobs"]),
    ],
)
def test_a_wrong_knob_is_named_with_what_to_do(override: str, said: list[str]) -> None:
    text = "\n".join(faults_of(override))
    for part in said:
        assert part in text, text


def test_all_faults_are_told_at_once() -> None:
    faults = faults_of("trainer.step=3", "seed=zero", "reward.type=level", "algorithm.type=grop", "x")
    for part in ("trainer.step", "seed", "level", "grop", "'x' is no override"):
        assert any(part in fault for fault in faults), part
    assert len(faults) == 5
    assert str(RecipeError("r.yaml", faults)).startswith("r.yaml has 5 faults:\n  - ")


def test_extends_may_not_lead_back_nor_to_a_missing_file(tmp_path: Path) -> None:
    for name, parent in (("a", "b"), ("b", "a"), ("c", "c"), ("d", "gone")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {parent}.yaml\nname: {name}\n", encoding="utf-8")
    for name in "ac":
        with pytest.raises(RecipeError, match="leads back"):
            load_recipe(tmp_path / f"{name}.yaml")
    with pytest.raises(MissingFile, match=r"there is no recipe .*gone\.yaml"):
        load_recipe(tmp_path / "d.yaml")


def test_texts_that_look_like_numbers_are_still_texts_in_the_written_recipe(tmp_path: Path) -> None:
    recipe = read_recipe(TREE, overrides=["name='1e-4'", "policy.dtype=float32", "folder='012: # x'"])
    (tmp_path / "again.yaml").write_text(to_yaml(recipe), encoding="utf-8")
    assert load_recipe(tmp_path / "again.yaml") == recipe
