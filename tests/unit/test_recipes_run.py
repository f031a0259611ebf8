"""A recipe carried out: the same run twice is the same, and one that was stopped goes on without a doubled row."""

import io
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from medrl.errors import ClusterUnavailable, DataError, FolderTaken, ProblemError, RecipeError, UnsupportedModel
from medrl.models import ModelShape, Policy
from medrl.recipes import Recipe, read_recipe
from medrl.recipes.evaluate import evaluate_policy
from medrl.recipes.load import to_yaml
from medrl.recipes.process import reproducible
from medrl.recipes.run import MACHINES, MAY_CHANGE, Outcome, algorithm_warnings, run_recipe
from medrl.tracking import RunConsole, RunFolder, timeless

pytestmark = pytest.mark.slow

TREE: dict[str, Any] = {
    "name": "micro",
    "threads": 1,
    "policy": {"new": {"vocab_size": 400, "hidden_size": 64, "layers": 2, "heads": 2, "key_value_heads": 1,
                       "intermediate_size": 64, "context": 256}},
    "problems": {"kinds": ["term"], "languages": ["en"], "diseases": 20, "count": 32},
    "held_out": {"split": "held_out", "kinds": ["term"], "languages": ["en"], "diseases": 20, "count": 4},
    "demonstrations": {"count": 24, "wrong_share": 0.5},
    "sft": {"epochs": 1, "lr": 2e-3, "batch_size": 8, "microbatch_size": 8, "max_length": 256},
    "reward": {"type": "levels", "format": {"type": "format", "preset": "o1"},
               "correct": {"type": "verified", "verifier": {"type": "typed", "format": "o1"}, "otherwise": 0.0}},
    "algorithm": {"type": "grpo", "kl_coef": 0.01, "minibatches": 2},
    "sampling": {"max_tokens": 10},
    "optimization": {"lr": 3e-3},
    "trainer": {"steps": 2, "problems_per_step": 4, "rollouts_per_problem": 2, "evaluate_every": 1, "save_every": 1},
    "evaluation": {"samples": 2},
}  # fmt: skip


def recipe(folder: Path, *overrides: str) -> Recipe:
    return read_recipe(TREE, overrides=[f"folder={folder}", *overrides])


def run(folder: Path, *overrides: str) -> tuple[Outcome, str]:
    said = io.StringIO()
    return run_recipe(recipe(folder, *overrides), RunConsole(file=said)), said.getvalue()


def logs(folder: Path) -> list[list[dict[str, Any]]]:
    kept = RunFolder(folder)
    return [[timeless(row) for row in rows] for rows in (kept.read_metrics(), kept.read_evaluations())]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder)
    return folder


def test_a_run_leaves_all_that_is_promised(finished: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome, said = run(tmp_path / "again")
    assert outcome.steps == 2 and outcome.before is not None and outcome.after is not None
    assert (outcome.before["step"], outcome.after["step"]) == (0, 2)
    kept = RunFolder(finished)
    assert [row["step"] for row in kept.read_metrics("sft")] == [1, 2, 3]
    assert [row["step"] for row in kept.read_metrics("rl")] == [1, 2]
    assert kept.curve.is_file() and (kept.sft / "config.json").is_file()
    assert json.loads((finished / "summary.json").read_text())["steps"] == 2
    for part in ("32 problems, 4 held out, 24 demonstrations; 1 threads", "SFT: 3/3", "run folder:", "learning curve:"):
        assert part in said
    out, err = capfd.readouterr()
    assert out == "" and err == "", "a library wrote past the console"


def test_the_same_recipe_gives_the_same_run(finished: Path, tmp_path: Path) -> None:
    run(tmp_path / "again")
    assert logs(tmp_path / "again") == logs(finished)
    for place in ("sft", "checkpoints/step-000002"):
        assert weights(tmp_path / "again" / place) == weights(finished / place)
    run(tmp_path / "other", "seed=1")
    assert logs(tmp_path / "other") != logs(finished)


def test_a_finished_run_is_not_written_over(finished: Path) -> None:
    with pytest.raises(FolderTaken, match="holds a run already"):
        run(finished)


def test_a_longer_run_goes_on_from_the_shorter(finished: Path, tmp_path: Path) -> None:
    run(tmp_path / "long", "trainer.steps=1")
    outcome, said = run(tmp_path / "long", "trainer.steps=2", "resume=true")
    assert outcome.steps == 2 and "SFT is done" in said and "going on from step 1" in said
    assert logs(tmp_path / "long")[0] == logs(finished)[0]
    assert weights(tmp_path / "long" / "checkpoints/step-000002") == weights(finished / "checkpoints/step-000002")


def test_going_on_with_another_recipe_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", "trainer.steps=1")
    with pytest.raises(RecipeError, match=r"optimization\.lr: was 0\.003"):
        run(tmp_path / "run", "resume=true", "optimization.lr=1e-3")


def test_a_schedule_that_ends_with_the_run_fixes_its_length(tmp_path: Path) -> None:
    run(tmp_path / "run", "trainer.steps=1", "optimization.schedule=cosine")
    with pytest.raises(RecipeError, match=r"trainer\.steps: was 1, is now 2"):
        run(tmp_path / "run", "resume=true", "trainer.steps=2", "optimization.schedule=cosine")


def test_evaluating_on_what_was_trained_on_is_refused(finished: Path, tmp_path: Path) -> None:
    policy = Policy.load(str(finished / "sft"))
    with pytest.raises(DataError, match="4 of 4 held-out problems are also trained on"):
        evaluate_policy(recipe(tmp_path, "held_out.split=train"), policy, RunConsole(quiet=True))
    elsewhere = recipe(tmp_path, "problems={source: gone.jsonl}", "demonstrations=null", "sft=null")
    said = io.StringIO()
    row, _ = evaluate_policy(elsewhere, policy, RunConsole(file=said))
    assert row["problems"] == 4 and "not checked whether held-out problems were trained on" in said.getvalue()


class Killed(BaseException):
    """As a kill: nothing in between catches it."""


@pytest.mark.parametrize("save_every", [(), ("sft.save_every=1",)], ids=["anew", "from its own checkpoint"])
def test_a_stopped_sft_stage_leaves_no_row_twice(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_every: Sequence[str]
) -> None:
    folder, log = tmp_path / "run", RunFolder.log_metrics

    def stop_after_two(self: RunFolder, step: int, row: Any, *, phase: str = "rl") -> None:
        log(self, step, row, phase=phase)
        if phase == "sft" and step == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "log_metrics", stop_after_two)
        with pytest.raises(Killed):
            run(folder, *save_every)
    assert [row["step"] for row in RunFolder(folder).read_metrics("sft")] == [1, 2]
    run(folder, "resume=true", *save_every)
    assert [row["step"] for row in RunFolder(folder).read_metrics("sft")] == [1, 2, 3]
    assert logs(folder) == logs(finished)
    assert not (folder / "sft-checkpoints").exists()


def test_what_would_stop_the_run_later_is_found_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="max_tokens"):
        run(tmp_path / "run", "sampling.max_tokens=250")
    with pytest.raises(DataError, match="24 demonstrations have more than 20 tokens"):
        run(tmp_path / "run", "sft.max_length=20")
    assert not (tmp_path / "run").exists()
    run(tmp_path / "run", "trainer.steps=1")  # the mended recipe may use the folder


def test_the_type_of_the_weights_outlives_sft(tmp_path: Path) -> None:
    shape = ModelShape(**{**TREE["policy"]["new"], "context": 512})
    start = Policy.new(["fever and cough"], shape, seed=0)
    start.save(tmp_path / "start")
    tree = {**TREE, "policy": {"path": str(tmp_path / "start"), "dtype": "bfloat16"}}
    made = read_recipe(tree, overrides=[f"folder={tmp_path / 'run'}", "trainer.steps=0", "sft.max_length=512"])
    run_recipe(made, RunConsole(quiet=True))
    for place in ("sft", "best"):  # `best` is what came back from sft/, saved by the trainer
        kept = load_file(tmp_path / "run" / place / "model.safetensors")
        assert {tensor.dtype for tensor in kept.values()} == {torch.bfloat16}


def test_evaluating_a_kept_policy_gives_the_figures_of_its_run(finished: Path, tmp_path: Path) -> None:
    made = recipe(tmp_path)
    for place, step in (("sft", 0), ("checkpoints/step-000002", 2)):
        row, sampled = evaluate_policy(made, Policy.load(str(finished / place)), RunConsole(quiet=True))
        recorded = RunFolder(finished).read_evaluations()[step]
        assert recorded["step"] == step and timeless(row).items() <= timeless(recorded).items()
        texts = [r.text for group in sampled for r in group.group.rollouts]
        written = RunFolder(finished).read_rollouts(step, "held_out")
        assert texts == [r.text for trace in written for r in trace.group.rollouts] and len(set(texts)) > 1
        greedy = RunFolder(finished).read_rollouts(step, "held_out_greedy")
        assert [len(trace.group) for trace in greedy] == [1] * 4


def test_torch_is_left_as_it_was() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ValueError), reproducible(before[0] + 1, torch.device("cpu")):
        assert torch.get_num_threads() == before[0] + 1
        raise ValueError
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


@pytest.mark.parametrize("knob", ["optimization.last_layers=99", "optimization.lora={rank: 2, targets: [query]}"])
def test_layers_that_the_policy_lacks_are_told_before_sft(knob: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"the model has 2|is named query"):
        run(tmp_path / "run", knob)
    assert not (tmp_path / "run").exists()


def test_a_cluster_that_has_too_little_is_told_before_sft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("ray", "vllm", "deepspeed"):
        pytest.importorskip(package)
    from medrl.cluster import room

    class Small:
        @staticmethod
        def nodes() -> list[dict[str, Any]]:
            there = {"Alive": True, "Resources": {"CPU": 3.0}}
            return [there, there, {**there, "Alive": False}]

    monkeypatch.setattr(room, "ray_cluster", lambda address: nullcontext(Small))
    knobs = ("placement=ray", "cluster.address=auto", "cluster.learners={ranks: 2, cpus: 2, gpus: 1}")
    with pytest.raises(
        ClusterUnavailable, match=r"2 ranks with 2 CPUs and 1 GPUs each .* for 0; .* 2 GPUs, and it has 0"
    ):
        run(tmp_path / "run", *knobs)
    assert not (tmp_path / "run").exists()


def test_what_a_resumed_run_may_change_are_knobs_and_none_of_them_is_what_is_computed() -> None:
    tree = yaml.safe_load(to_yaml(read_recipe(TREE)))
    for name in MAY_CHANGE:
        place = tree
        for part in name.split("."):
            assert part in place, name
            place = place[part]
    fixed = ("deepspeed.bf16", "engine.dtype", "engine.midway", "engine.max_model_len", "deepspeed", "engine")
    assert not set(fixed) & set(MACHINES)


def test_what_engines_of_their_own_cannot_hold_is_refused_before_they_start(tmp_path: Path) -> None:
    for package in ("ray", "vllm", "deepspeed"):
        pytest.importorskip(package)
    with pytest.raises(ProblemError, match=r"the engine's, cluster\.engine\.max_model_len"):
        run(tmp_path / "run", "placement=ray", "cluster.engine.max_model_len=24")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["algorithm={type: grpo, kl_coef: 0.1, kl_estimator: k1}"],
            ["kl_estimator k1, whose gradient is 0 on average"],
        ),
        (["algorithm={type: rloo, kl_coef: 0.1, kl_in: loss}"], ["algorithm.kl_in=reward"]),
        (["algorithm={type: rloo, kl_coef: 0.1}"], []),
        (["algorithm={type: grpo, kl_coef: 0.0, kl_estimator: k1}"], []),
        (["algorithm={type: onepo}"], ["onepo without a teacher is dapo"]),
        (["algorithm={type: onepo}", "teacher={}"], []),
        (["placement=ray", "max_staleness=1"], ["set algorithm.correction=token"]),
        (["placement=ray", "max_staleness=1", "algorithm={type: grpo, correction: token}"], []),
    ],
)
def test_an_algorithm_that_will_not_do_what_its_knobs_seem_to_ask_for_is_warned_of(
    tmp_path: Path, overrides: list[str], said: list[str]
) -> None:
    found = algorithm_warnings(recipe(tmp_path, *overrides))
    assert len(found) == len(said) and all(part in warning for part, warning in zip(said, found, strict=True)), found


def test_a_run_warns_at_its_start(tmp_path: Path) -> None:
    _, said = run(tmp_path / "run", "trainer.steps=0", "sft=null", "algorithm={type: onepo}")
    assert "warning: onepo without a teacher" in " ".join(said.split())
