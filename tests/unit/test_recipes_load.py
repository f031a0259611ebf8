"""Reading recipes: every fault at once and where it is, overrides, `extends`, and the way back to YAML."""

import re
from functools import partial
from pathlib import Path

import pytest

from medrl.errors import MissingFile, RecipeError
from medrl.recipes import Recipe, load_recipe, read_recipe, to_yaml
from medrl.recipes.construction import KINDS, load_construction
from medrl.recipes.dpo import load_dpo_recipe
from medrl.recipes.feedback import load_feedback_recipe
from medrl.recipes.load import read_algorithm
from medrl.recipes.reward_model import load_reward_recipe
from medrl.recipes.verifier import load_verifier_recipe

SOUND = """\
name: sound
policy:
  new: {hidden_size: 64, layers: 2}
problems: {source: clinic, kinds: [term, choice], count: 40, findings_shown: [3, 5]}
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
    """All faults of a recipe; the message is their list."""
    path = write(folder, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    found = list(caught.value.faults)
    count = "1 fault" if len(found) == 1 else f"{len(found)} faults"
    assert str(caught.value).startswith(f"{path} has {count}:\n  - {found[0]}")
    return found


def test_a_sound_recipe_is_read_into_the_types_that_the_code_uses(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SOUND))
    assert recipe.policy.new is not None and recipe.policy.new.hidden_size == 64
    assert recipe.problems.findings_shown == (3, 5) and recipe.optimization.lr == 3e-4
    assert recipe.held_out is not None and recipe.sft is None and recipe.trainer.steps == 100


def test_recipes_of_the_examples_are_sound_and_take_the_overrides_that_their_pages_show(repository: Path) -> None:
    found = sorted((repository / "examples").rglob("*.yaml"))
    assert found
    readers = {
        "verifier": load_verifier_recipe,
        "reward_model": load_reward_recipe,
        "feedback": load_feedback_recipe,
        "dpo": load_dpo_recipe,
        **{kind: partial(load_construction, kind) for kind in KINDS},
    }
    for path in found:
        kind = path.stem.removeprefix("laptop_")
        reader = readers.get(path.parent.name) or readers.get(kind, load_recipe)
        if path.parents[1].name == "huatuogpt" and path.stem in ("policy", "ppo"):
            with pytest.raises(RecipeError, match=r"has 1 fault:\n.*there is no folder runs/\S+/reward"):
                reader(path)  # a reward model that an earlier step of the same example trains
        else:
            reader(path)
    for page in (repository / "examples").rglob("*"):
        if page.suffix not in (".md", ".yaml"):
            continue
        for command in re.findall(r"medrl train-verifier (\S+\.yaml)", page.read_text(encoding="utf-8")):
            load_verifier_recipe(repository / command)
        for command in re.findall(r"medrl run ((?:[^\n]*\\\n)*[^\n]*)", page.read_text(encoding="utf-8")):
            if "huatuogpt/single_turn" in command or "ppo.yaml" in command:
                continue  # steps that need what the steps before them write; benchmark and reproduce.py run them
            recipe, *words = command.replace("\\\n", " ").replace("#", " ").split()
            if recipe.endswith(".yaml"):
                load_recipe(repository / recipe, [word for word in words if "=" in word])


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: r\npolicy: {new: {\nreward: x\n", "line 4"),
        ("name: r\n\ttrainer: 1\n", "line 2"),
        ("name: r\ntrainer:\n  steps: 3\n bad: 1\n", "line 4"),
        ("name: x\n  y: [1\n", "line 2, column 4"),
        ("name: r\nseed: 1\nseed: 2\n", "line 3, column 1: the key 'seed' is given twice"),
        ("name: r\ntrainer:\n  steps: 3\n  steps: 4\n", "line 4, column 3: the key 'steps' is given twice"),
        ("name: r\n[a, b]: 2\n", "line 2, column 1: ['a', 'b'] cannot be a key"),
        ("name: 2024-13-45\n", "no YAML value"),
        ("- a\n- b\n", "it holds list, not sections"),
        ("", "it holds NoneType, not sections"),
        ("a: &x [*x]\n", "line 1"),
        ("name: !!python/object/apply:os.system [ls]\n", "line 1"),
    ],
)
def test_what_is_no_recipe_says_where_it_goes_wrong(text: str, said: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, text)
    assert said in fault


def test_a_file_that_is_not_there_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, SOUND, "other.yaml")
    with pytest.raises(MissingFile, match=r"there is no recipe .*that folder has other\.yaml"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe4\n")
    with pytest.raises(RecipeError, match="no UTF-8"):
        load_recipe(tmp_path / "latin.yaml")


@pytest.mark.parametrize(("text", "number"), [("1e-4", 1e-4), ("3E5", 3e5), ("1.5e-06", 1.5e-6), ("2", 2.0)])
def test_numbers_with_an_exponent_are_numbers(text: str, number: float, tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, SOUND.replace("3e-4", text))).optimization.lr == number
    assert load_recipe(write(tmp_path, SOUND), [f"optimization.lr={text}"]).optimization.lr == number


def test_merge_keys_may_be_replaced(tmp_path: Path) -> None:
    text = SOUND.replace("held_out: {", "held_out: {<<: *p, ").replace("problems: {", "problems: &p {")
    recipe = load_recipe(write(tmp_path, text))
    assert recipe.held_out is not None
    assert (recipe.held_out.count, recipe.held_out.findings_shown) == (8, (3, 5))


def test_extends_merges_sections_and_replaces_reward_and_algorithm(tmp_path: Path) -> None:
    write(tmp_path, SOUND + "algorithm: {type: grpo, clip: 0.1}\n", "base.yaml")
    over = "extends: base.yaml\nname: over\nproblems: {count: 7}\nreward: {type: format}\n"
    over += "algorithm: {type: ppo, preset: huatuogpt_o1}\n"
    recipe = load_recipe(write(tmp_path, over))
    assert (recipe.name, recipe.problems.count, recipe.problems.findings_shown) == ("over", 7, (3, 5))
    assert recipe.algorithm == {"type": "ppo", "preset": "huatuogpt_o1"} and recipe.reward == {"type": "format"}


def test_extends_may_not_lead_back_nor_to_a_missing_file(tmp_path: Path) -> None:
    for name, parent in (("a", "b"), ("b", "a"), ("c", "c"), ("d", "gone")):
        write(tmp_path, f"extends: {parent}.yaml\nname: {name}\n", f"{name}.yaml")
    for name in "ac":
        with pytest.raises(RecipeError, match="leads back"):
            load_recipe(tmp_path / f"{name}.yaml")
    with pytest.raises(MissingFile, match=r"there is no recipe .*gone\.yaml"):
        load_recipe(tmp_path / "d.yaml")


# Faults --------------------------------------------------------------------------------------------------------------


def test_all_faults_are_told_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    text = SOUND.replace("count: 40", "cuont: 40").replace("type: typed", "type: tpyed").replace("lr: 3e-4", "lr: fast")
    text += "trainer: {steps: 1.5}\nalgorithm: {type: grpo, clipp: 0.1}\nplacement: cloud\n"
    found = faults(tmp_path, text, "seed=zero", "x")
    for part in (
        "problems.cuont: there is no such knob; did you mean 'count'?",
        "has no component 'tpyed'; did you mean 'typed'?",
        "optimization.lr: 'fast' is not a number",
        "trainer.steps: 1.5 is not a whole number",
        "algorithm.clipp: there is no such knob; did you mean 'clip'?",
        "placement: 'cloud' cannot be chosen; known: local, ray",
        "seed: 'zero' is not a whole number",
        "'x' is no override; write section.knob=value",
    ):
        assert any(part in fault for fault in found), (part, found)
    assert len(found) == 8


def test_faults_between_sections_are_told_together(tmp_path: Path) -> None:
    text = SOUND.replace("policy:\n  new: {hidden_size: 64, layers: 2}\n", "")
    (found,) = faults(tmp_path, text + "max_staleness: 2\nsft: {epochs: 1}\nthreads: 0\n")
    for part in ("max_staleness is 2", "policy: give `path`", "sft: there is nothing to learn from", "threads is 0"):
        assert part in found


def test_a_missing_required_section_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path, "name: x\npolicy: {path: some/model}\nproblems: {}\n") == [
        "reward: it is missing, and has no default"
    ]


def test_knobs_that_the_clinic_does_not_read_are_faults(tmp_path: Path) -> None:
    (clinic,) = faults(tmp_path, SOUND, "problems.limit=5")
    assert "problems: `limit` has no effect on the clinic" in clinic
    assert load_recipe(write(tmp_path, SOUND), ["problems.source=some.jsonl"]).problems.source == "some.jsonl"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainers.steps=3", ["trainers: there is no such knob", "did you mean 'trainer'?"]),
        ("trainer.steps=true", ["trainer.steps: True is not a whole number"]),
        ("trainer.steps=-1", ["steps is -1, below 0"]),
        ("trainer.rollouts_per_problem=1", ["rollouts_per_problem is 1, below 2"]),
        ("optimization.lr=.nan", ["optimization.lr: nan is not a finite number"]),
        ("trainer=null", ["trainer: None is no section"]),
        ("policy=", ["policy: None is no section"]),
        ("policy.path=gpt2", ["`path` and `new` exclude each other"]),
        ("problems.kinds=term", ["problems.kinds: 'term' is not a list"]),
        ("reward=null", ["reward: None is not"]),
        ("reward.type=level", ["has no component 'level'", "did you mean 'levels'?"]),
        ("reward.wright=1.0", ["'levels' has no knob 'wright'", "did you mean 'right'?"]),
        ("reward.correct.otherwise=null", ["may abstain", "otherwise"]),
        ("algorithm.type=grop", ["has no component 'grop'", "did you mean 'grpo'?"]),
        ("algorithm={clip: 0.2}", ["it has no `type`"]),
        ("algorithm={type: grpo, kl_coef: -1.0}", ["kl_coef is -1.0"]),
        ("optimization.critic={lr: 1e-5}", ["optimization.critic: grpo has no critic"]),
        ("algorithm={type: ppo, preset: huatuo_o1}", ["no preset 'huatuo_o1'", "did you mean 'huatuogpt_o1'?"]),
        ("algorithm={type: grpo, preset: loss}", ["no preset 'loss'"]),
        ("algorithm={type: grpo, preset: __init__}", ["no preset '__init__'"]),
        ("=3", ["is no override"]),
        ("problems.kinds=[term", ["problems.kinds: '[term' is no YAML value"]),
        ("problems.kinds.7=term", ["no place in a list of 2"]),
        ("problems.kinds.7.x=term", ["'7' is below something that has no knobs"]),
        ("problems.kinds.0.x=term", ["'x' is below something that has no knobs"]),
    ],
)
def test_a_wrong_knob_is_named_with_what_to_do(override: str, said: list[str], tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, SOUND, override)
    for part in said:
        assert part in fault


# Overrides, presets and the way back ---------------------------------------------------------------------------------


def test_overrides_are_yaml_and_reach_into_trees_and_lists(tmp_path: Path) -> None:
    parts = "[{type: verified, verifier: typed, otherwise: 0.0}, {type: format}]"
    reward = f"reward: {{type: weighted_sum, weights: [1.0, 0.5], parts: {parts}}}\n"
    path = write(tmp_path, SOUND[: SOUND.index("reward:")] + reward)
    recipe = load_recipe(
        path,
        ["trainer.steps=3", "optimization.lr=1e-4", "problems.kinds=[number, set]", "reward.parts.0.otherwise=0.25",
         "reward.weights.1=2", "held_out=null", "folder=runs/a=b"],
    )  # fmt: skip
    assert (recipe.trainer.steps, recipe.optimization.lr, recipe.problems.kinds) == (3, 1e-4, ("number", "set"))
    assert isinstance(recipe.reward, dict) and recipe.reward["parts"][0]["otherwise"] == 0.25
    assert recipe.reward["weights"] == [1.0, 2] and recipe.held_out is None and recipe.folder == "runs/a=b"


def test_overrides_leave_the_given_mapping_alone() -> None:
    tree = {"name": "x", "policy": {"path": "m"}, "problems": {}, "reward": {"type": "weighted_sum", "weights": [1.0],
            "parts": [{"type": "verified", "verifier": "typed", "otherwise": 0.0}]}}  # fmt: skip
    read_recipe(tree, overrides=["reward.parts.0.otherwise=1.0", "problems.count=3"])
    assert tree["problems"] == {}
    assert tree["reward"]["parts"][0]["otherwise"] == 0.0  # type: ignore[index]


def test_presets_set_the_knobs_that_are_not_given() -> None:
    algorithm, none = read_algorithm({"type": "ppo", "preset": "huatuogpt_o1", "clip": 0.1})
    assert not none and algorithm is not None
    assert (algorithm.clip, algorithm.kl_coef, algorithm.epochs) == (0.1, 0.03, 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("optimization.lr=1.0e-6", "name='1e-4'", "problems.instruction='a: b'", "policy.dtype=float32"),
        ("folder='012: # x'",),
    ],
)
def test_the_resolved_recipe_reads_back_equal(overrides: tuple[str, ...], tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SOUND), overrides)
    text = to_yaml(recipe)
    assert load_recipe(write(tmp_path, text, "again.yaml")) == recipe
    assert to_yaml(load_recipe(tmp_path / "again.yaml")) == text
    assert all(f"\n{name}:" in f"\n{text}" for name in Recipe.__dataclass_fields__)


ON_GPUS = ["cluster.engines.gpus=1", "cluster.learners.gpus=1"]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["cluster.engine.transfer=nccl"],
            "transfer is nccl: it sends from GPU to GPU, and engines.gpus is 0 and learners.gpus 0",
        ),
        (
            [*ON_GPUS, "cluster.engine.transfer=ipc"],
            "transfer is ipc: an engine reads the memory of a rank on its own GPU: take colocate=true",
        ),
        (
            [*ON_GPUS, "cluster.engine.transfer=nccl", "cluster.colocate=true", "max_staleness=0"],
            "no two members on one GPU: with colocate take ipc",
        ),
        ([*ON_GPUS, "cluster.engine.transfer=nccl", "optimization.lora={rank: 4}"], "take adapters_only=false"),
        ([*ON_GPUS, "cluster.engine.transfer=nccl", "placement=local"], "placement is local, where nothing is sent"),
        (["cluster.engine.sleep_mode=true"], "no run puts them to sleep; cluster.colocate=true"),
        (["cluster.colocate=true", "max_staleness=1"], "max_staleness is 1, but with cluster.colocate engines sleep"),
        (
            ["cluster.colocate=true", "cluster.engine.tensor_parallel=2", "cluster.learners={ranks: 2, gpus: 1}"],
            "tensor_parallel is 2; .*ranks is 2; .*learners.gpus is 1; .*0 for both on the CPU",
        ),
        (["max_staleness=1", "cluster.engine.midway=refuse"], "weights change midway: recompute"),
        (
            ["cluster.engine.tensor_parallel=2", "cluster.engines.gpus=1"],
            "tensor_parallel is 2 and cluster.engines.gpus is 1: .*so give engines.gpus=2",
        ),
        (["cluster.engine.from_checkpoint=false"], "before any weights are sent: leave it true"),
        (
            ["cluster.cpus=3", "cluster.learners.ranks=3"],
            "cpus is 3, and engines, ranks and reward actors ask for 4 in all",
        ),
        (["max_staleness=-1"], "at least 0"),
        (["cluster.address=auto", "cluster.cpus=4"], "with `address` leave it out"),
    ],
)
def test_what_a_run_on_ray_cannot_do_is_told_before_it_begins(
    overrides: list[str], says: str, repository: Path
) -> None:
    tiny = repository / "examples" / "huatuogpt_o1" / "tiny.yaml"
    assert load_recipe(tiny, ["placement=ray", "max_staleness=2"]).cluster.engine.midway == "recompute"
    with pytest.raises(RecipeError, match=says):
        load_recipe(tiny, ["placement=ray", *overrides])


def test_parts_of_an_engine_on_the_cpu_need_no_gpus(repository: Path) -> None:
    tiny = repository / "examples" / "huatuogpt_o1" / "tiny.yaml"
    load_recipe(tiny, ["placement=ray", "cluster.engine.tensor_parallel=2"])
    load_recipe(tiny, ["placement=ray", "cluster.engine.tensor_parallel=2", "cluster.engines.gpus=2"])
    load_recipe(tiny, ["placement=ray", "cluster.engines.gpus=0.5"])


def test_weights_may_go_from_gpu_to_gpu(repository: Path) -> None:
    tiny = repository / "examples" / "huatuogpt_o1" / "tiny.yaml"
    apart = ["placement=ray", *ON_GPUS, "cluster.engine.transfer=nccl", "cluster.engines.engines=3"]
    merged = [*apart, "optimization.lora={rank: 4}", "cluster.adapters_only=false"]
    shared = ["placement=ray", *ON_GPUS, "cluster.engine.transfer=ipc", "cluster.colocate=true"]
    assert [load_recipe(tiny, one).cluster.engine.transfer for one in (apart, merged, shared)] == [
        "nccl",
        "nccl",
        "ipc",
    ]
