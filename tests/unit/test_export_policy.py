"""`medrl export`: a whole Hugging Face folder of a run's policy, or nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medrl import cli
from medrl.algorithms import GRPO, Batch
from medrl.errors import CheckpointError
from medrl.learners import LoRA, Optimization, TorchLearner
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
