"""`medrl export`: a whole folder of a run's policy, as Hugging Face's or DeepSpeed's, or nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl import cli
from medrl.algorithms import GRPO, Batch
from medrl.errors import CheckpointError
from medrl.learners import LoRA, Optimization, TorchLearner
from medrl.learners.checkpoint import OptimizerState, write_state
from medrl.models import Policy

MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]


@pytest.fixture
def run(make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path) -> Path:
    """A run folder with one checkpoint, of a policy with an adapter, and a best policy that is another."""
    folder = tmp_path / "run"
    checkpoint = folder / "checkpoints" / "step-000003"
    checkpoint.mkdir(parents=True)
    (folder / "best").mkdir()
    (folder / "recipe.yaml").write_text("name: x\n")
    make_policy(seed=5).save(folder / "best")
    learner = TorchLearner(make_policy(), Optimization(lr=1e-2, lora=LoRA(rank=2)))
    batch, algorithm = make_batch(learner.policy, [1.0, 0.0], 2), GRPO()
    learner.update(algorithm.advantages(learner.forward(batch, algorithm.needs), {}), algorithm, 0)
    learner.save(checkpoint)
    (checkpoint / "trainer.json").write_text("{}")
    return folder


def same(left: Path, right: Path) -> bool:
    one, other = (Policy.load(str(path)).model.state_dict() for path in (left, right))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_latest_policy_of_a_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out"
    assert cli.main(["export", str(run), str(target), "--policy", "latest"]) == 0
    assert same(target, run / "checkpoints" / "step-000003")
    names = {path.name for path in target.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not names & {"optimizer.safetensors", "learner.json", "trainer.json", "adapter"}
    assert "parameters, float32" in capsys.readouterr().out
    Policy.load(str(target)).check()


def test_a_checkpoint_in_another_type(run: Path, tmp_path: Path) -> None:
    target, checkpoint = tmp_path / "out", run / "checkpoints" / "step-000003"
    target.mkdir()
    assert cli.main(["export", str(checkpoint), str(target), "--dtype", "bfloat16"]) == 0
    from safetensors.torch import load_file

    halves, wholes = load_file(target / "model.safetensors"), load_file(checkpoint / "model.safetensors")
    assert all(torch.equal(halves[name], wholes[name].to(torch.bfloat16)) for name in wholes)
    assert cli.main(["export", str(run), str(tmp_path / "best")]) == 0
    assert same(tmp_path / "best", run / "best"), "a run's best policy unless told otherwise"


def test_what_cannot_be_exported(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("x")
    for arguments, said in (
        ([str(run), str(taken)], "exists and is not empty"),
        ([str(run), str(tmp_path / "out"), "--policy", "sft"], "has no 'sft' policy"),
        ([str(tmp_path), str(tmp_path / "out")], "holds no policy"),
        ([str(tmp_path / "nowhere"), str(tmp_path / "out")], "holds no policy"),
    ):
        assert cli.main(["export", *arguments]) == 2
        assert said in capsys.readouterr().err
    assert [path.name for path in taken.iterdir()] == ["mine"] and not (tmp_path / "out").exists()
    (run / "best" / "model.safetensors").write_bytes(b"cut")
    assert cli.main(["export", str(run), str(tmp_path / "out")]) == 2
    assert "no model can be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medrl.commands.export_policy import export_policy

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(CheckpointError, match="make room there"):
        export_policy(run / "best", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def trained(folder: Path, make_policy: MakePolicy, make_batch: MakeBatch, **knobs: Any) -> TorchLearner:
    """A learner after two updates, saved."""
    learner, algorithm = TorchLearner(make_policy(), Optimization(lr=1e-2, **knobs)), GRPO()
    for step in range(2):
        batch = learner.forward(make_batch(learner.policy, [1.0, 0.0], 2, seed=step), algorithm.needs)
        learner.update(algorithm.advantages(batch, {}), algorithm, step)
    folder.mkdir(parents=True)
    learner.save(folder)
    return learner


def test_the_universal_format_holds_weights_and_moments_and_nothing_that_runs(
    run: Path, make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That DeepSpeed reads it is for tests/engines to say."""
    learner = trained(run / "checkpoints" / "step-000007", make_policy, make_batch, last_layers=1)
    out = tmp_path / "out"
    assert cli.main(["export", str(run), str(out), "--format", "universal"]) == 0, "a run's latest policy"
    assert "moments at step 2 of AdamW" in capsys.readouterr().out
    assert (out / "latest_universal").read_text() == "step-000007"
    tag = out / "step-000007"
    read = {str(f.relative_to(tag)): torch.load(f, weights_only=True) for f in tag.rglob("*.pt")}
    weights = dict(learner.model.named_parameters())
    moments = {name: learner.optimizer.state.get(weight) for name, weight in weights.items()}
    assert 0 < sum(bool(state) for state in moments.values()) < len(moments), "only the last layer was trained"
    for name, weight in weights.items():
        zero, state = torch.zeros(weight.shape), moments[name] or {}
        wanted = {
            "fp32": weight.detach(),
            "exp_avg": state.get("exp_avg", zero),
            "exp_avg_sq": state.get("exp_avg_sq", zero),
        }
        for key, tensor in wanted.items():
            assert torch.equal(read.pop(f"zero/{name}/{key}.pt")["param"], tensor)
            assert (tag / "zero" / name / f"{key}.pt").stat().st_size < tensor.nbytes + 4000, (
                "the tensor, not its storage"
            )
        assert read.pop(f"zero/{name}/step.pt") == 2
    assert read.pop("zero/optimizer_state.pt")["optimizer_state_dict"]["state"][0]["step"] == 2
    counters = [read.pop(f"{begin}mp_rank_00_model_states.pt") for begin in ("", "zero_pp_rank_0_")]
    assert counters[0] == counters[1] and counters[0]["global_steps"] == 2
    assert not read


def test_fp32_weights_are_those_that_adamw_has_where_the_policy_is_kept_in_fewer_bits(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path
) -> None:
    learner = trained(tmp_path / "step", make_policy, make_batch)
    masters = {f"{name}/master": weight.detach().clone() for name, weight in learner.model.named_parameters()}
    kept = OptimizerState(tmp_path / "step")
    rows = [*kept.items(), *masters.items()]
    torch.nn.Module.to(learner.model, torch.bfloat16)
    learner.policy.save(tmp_path / "step")
    write_state(tmp_path / "step", 2, rows)
    assert cli.main(["export", str(tmp_path / "step"), str(tmp_path / "out"), "--format", "universal"]) == 0
    for name, weight in learner.model.named_parameters():
        fp32 = torch.load(tmp_path / "out" / "step" / "zero" / name / "fp32.pt", weights_only=True)["param"]
        assert torch.equal(fp32, masters[f"{name}/master"]) and not torch.equal(fp32, weight.detach().float())


def test_what_the_universal_format_cannot_hold(
    run: Path, make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, broken = tmp_path / "out", tmp_path / "broken"
    trained(broken, make_policy, make_batch)
    make_policy(layers=1).save(broken)
    for arguments, status, said in (
        ([str(run)], 2, "trained with adapters"),
        ([str(run), "--policy", "best"], 2, "without the state of a learner"),
        ([str(run), "--dtype", "bfloat16"], 2, "does not go with"),
        ([str(broken)], 1, "is not trained here"),
    ):
        assert cli.main(["export", *arguments[:1], str(out), *arguments[1:], "--format", "universal"]) == status
        assert said in capsys.readouterr().err
        assert not out.exists()
