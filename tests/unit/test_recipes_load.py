"""Reading recipes: every fault at once and where it is, overrides, `extends`, and the way back to YAML."""

import re
from pathlib import Path

import pytest

from medrl.errors import MissingFile, RecipeError
from medrl.recipes import Recipe, load_recipe, read_recipe, to_yaml
from medrl.recipes.load import read_algorithm

SOUND = """\
name: sound
policy:
  new: {hidden_size: 64, layers: 2}
problems: {source: clinic, count: 40, findings_shown: [3, 5]}
held_out: {source: clinic, split: held_out, count: 8}
reward:
  type: levels
  right: 1.0
  format: {type: format, preset: o1}
  correct: {type: verified, verifier: {type: typed, format: o1}, otherwise: 0.0}
optimization: {lr: 3e-4}
"""


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(folder, text), overrides)
    return list(caught.value.faults)


def test_a_sound_recipe_is_read_into_the_types_that_the_code_uses(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SOUND))
    assert recipe.policy.new is not None and recipe.policy.new.hidden_size == 64
    assert recipe.problems.findings_shown == (3, 5) and recipe.optimization.lr == 3e-4
    assert recipe.held_out is not None and recipe.sft is None and recipe.trainer.steps == 100


def test_all_faults_are_told_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    text = SOUND.replace("count: 40", "cuont: 40").replace("type: typed", "type: tpyed").replace("lr: 3e-4", "lr: fast")
    found = faults(tmp_path, text + "trainer: {steps: 1.5}\nalgorithm: {type: grpo, clipp: 0.1}\nplacement: ray\n")
    for part in (
        "problems.cuont: there is no such knob; did you mean 'count'?",
        "did you mean 'typed'?",
        "optimization.lr: 'fast' is not a number",
        "trainer.steps: 1.5 is not a whole number",
        "algorithm.clipp: there is no such knob; did you mean 'clip'?",
        "placement: 'ray' cannot be chosen; known: local",
    ):
        assert any(part in fault for fault in found), (part, found)
    assert len(found) == 6


def test_faults_between_sections_are_told_together(tmp_path: Path) -> None:
    text = SOUND.replace("policy:\n  new: {hidden_size: 64, layers: 2}\n", "")
    (found,) = faults(tmp_path, text + "max_staleness: 2\nsft: {epochs: 1}\nthreads: 0\n")
    for part in ("max_staleness is 2", "policy: give `path`", "sft: there is nothing to learn from", "threads is 0"):
        assert part in found


def test_knobs_that_the_clinic_does_not_read_are_faults(tmp_path: Path) -> None:
    (clinic,) = faults(tmp_path, SOUND, "problems.limit=5")
    assert "problems: `limit` has no effect on the clinic" in clinic
    assert load_recipe(write(tmp_path, SOUND), ["problems.source=some.jsonl"]).problems.source == "some.jsonl"


def test_a_missing_required_section_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path, "name: x\npolicy: {path: some/model}\nproblems: {}\n") == [
        "reward: it is missing, and has no default"
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: x\n  y: [1\n", "line 2, column 4"),
        ("name: x\nseed: 1\nseed: 2\n", "line 3, column 1: the key 'seed' is given twice"),
        ("{[1, 2]: 3}\n", "cannot be a key"),
        ("name: 2024-13-45\n", "no YAML value"),
        ("- 1\n- 2\n", "it holds list, not sections"),
        ("", "it holds NoneType, not sections"),
        ("a: &x [*x]\n", "line 1"),
        ("name: !!python/object/apply:os.system [ls]\n", "line 1"),
    ],
)
def test_what_is_no_recipe_says_where_it_goes_wrong(tmp_path: Path, text: str, part: str) -> None:
    (found,) = faults(tmp_path, text)
    assert part in found


def test_a_file_that_is_not_there_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, SOUND, "other.yaml")
    with pytest.raises(MissingFile, match=r"there is no recipe .*that folder has other\.yaml"):
        load_recipe(tmp_path / "recipe.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe4\n")
    with pytest.raises(RecipeError, match="no UTF-8"):
        load_recipe(tmp_path / "latin.yaml")


def test_merge_keys_may_be_replaced(tmp_path: Path) -> None:
    text = SOUND.replace("held_out: {", "held_out: {<<: *p, ").replace("problems: {", "problems: &p {")
    recipe = load_recipe(write(tmp_path, text))
    assert recipe.held_out is not None
    assert (recipe.held_out.count, recipe.held_out.findings_shown) == (8, (3, 5))


def test_overrides_are_yaml_and_reach_into_trees_and_lists(tmp_path: Path) -> None:
    parts = "[{type: verified, verifier: typed, otherwise: 0.0}, {type: format}]"
    reward = f"reward: {{type: weighted_sum, weights: [1.0, 0.5], parts: {parts}}}\n"
    path = write(tmp_path, SOUND[: SOUND.index("reward:")] + reward)
    recipe = load_recipe(
        path,
        ["trainer.steps=3", "optimization.lr=1e-4", "problems.kinds=[term, choice]", "reward.parts.0.otherwise=0.25",
         "reward.weights.1=2", "held_out=null", "folder=runs/a=b"],
    )  # fmt: skip
    assert (recipe.trainer.steps, recipe.optimization.lr, recipe.problems.kinds) == (3, 1e-4, ("term", "choice"))
    assert isinstance(recipe.reward, dict) and recipe.reward["parts"][0]["otherwise"] == 0.25
    assert recipe.reward["weights"] == [1.0, 2] and recipe.held_out is None and recipe.folder == "runs/a=b"


def test_faulty_overrides_are_faults_too(tmp_path: Path) -> None:
    found = faults(tmp_path, SOUND, "trainer.steps", "trainer.stpes=3", "problems.kinds=[term", "reward.format.9.x=1")
    text = "\n".join(found)
    for part in ("'trainer.steps' is no override", "did you mean 'steps'?", "is no YAML value"):
        assert part in text


def test_overrides_leave_the_given_mapping_alone() -> None:
    tree = {"name": "x", "policy": {"path": "m"}, "problems": {}, "reward": {"type": "weighted_sum", "weights": [1.0],
            "parts": [{"type": "verified", "verifier": "typed", "otherwise": 0.0}]}}  # fmt: skip
    read_recipe(tree, overrides=["reward.parts.0.otherwise=1.0", "problems.count=3"])
    assert tree["problems"] == {}
    assert tree["reward"]["parts"][0]["otherwise"] == 0.0  # type: ignore[index]


def test_extends_merges_sections_and_replaces_reward_and_algorithm(tmp_path: Path) -> None:
    write(tmp_path, SOUND + "algorithm: {type: grpo, clip: 0.1}\n", "base.yaml")
    over = "extends: base.yaml\nname: over\nproblems: {count: 7}\nreward: {type: format}\n"
    over += "algorithm: {type: grpo, preset: dapo}\n"
    recipe = load_recipe(write(tmp_path, over))
    assert (recipe.name, recipe.problems.count, recipe.problems.findings_shown) == ("over", 7, (3, 5))
    assert recipe.algorithm == {"type": "grpo", "preset": "dapo"} and recipe.reward == {"type": "format"}
    (found,) = faults(tmp_path, "extends: recipe.yaml\nname: x\n")
    assert "leads back" in found


def test_presets_set_the_knobs_that_are_not_given() -> None:
    algorithm, none = read_algorithm({"type": "grpo", "preset": "dapo", "clip": 0.1})
    assert not none and algorithm is not None
    assert (algorithm.clip, algorithm.clip_high, algorithm.mean) == (0.1, 0.28, "token")  # type: ignore[attr-defined]
    for wrong in ("dpao", "loss", "__init__"):
        _, found = read_algorithm({"type": "grpo", "preset": wrong})
        assert len(found) == 1 and "no preset" in found[0]


@pytest.mark.parametrize("overrides", [(), ("optimization.lr=1.0e-6", "name='1e-4'", "problems.instruction='a: b'")])
def test_the_resolved_recipe_reads_back_equal(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    recipe = load_recipe(write(tmp_path, SOUND), overrides)
    text = to_yaml(recipe)
    assert load_recipe(write(tmp_path, text, "again.yaml")) == recipe
    assert to_yaml(load_recipe(tmp_path / "again.yaml")) == text
    assert all(f"\n{name}:" in f"\n{text}" for name in Recipe.__dataclass_fields__)


def test_recipes_of_the_examples_are_sound_and_take_the_overrides_that_their_pages_show(repository: Path) -> None:
    found = sorted((repository / "examples").rglob("*.yaml"))
    assert found
    for path in found:
        load_recipe(path)
    for page in (repository / "examples").rglob("*"):
        if page.suffix not in (".md", ".yaml"):
            continue
        for command in re.findall(r"medrl run ((?:[^\n]*\\\n)*[^\n]*)", page.read_text(encoding="utf-8")):
            recipe, *words = command.replace("\\\n", " ").replace("#", " ").split()
            if recipe.endswith(".yaml"):
                load_recipe(repository / recipe, [word for word in words if "=" in word])
