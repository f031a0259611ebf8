"""What `medrl export --format universal` writes, real DeepSpeed engines load, and go on from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_programs import run_ranks
from safetensors.torch import load_file
from torch import Tensor

from medrl import cli
from medrl.algorithms import GRPO, Batch
from medrl.learners import Optimization, TorchLearner
from medrl.learners.checkpoint import OptimizerState, write_state
from medrl.models import Policy, PolicySpec

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PROGRAM = Path(__file__).resolve().parents[1] / "universal_reader.py"
WHOLE: dict[str, dict[str, Any]] = {
    **{f"stage{stage}": {"stage": stage, "checkpoint": "fp32"} for stage in (1, 2, 3)},
    "two_groups": {"stage": 2, "checkpoint": "fp32", "groups": True},
    "last_layer": {"stage": 3, "checkpoint": "last"},
}
HALF: dict[str, dict[str, Any]] = {
    f"bf16_{stage}": {"stage": stage, "bf16": True, "checkpoint": "bf16"} for stage in (2, 3)
}
SHARED: dict[str, dict[str, Any]] = {f"two_ranks{stage}": {"stage": stage, "checkpoint": "fp32"} for stage in (2, 3)}
CASES = {**WHOLE, **HALF, **SHARED}


@dataclass
class Left:
    """What medrl and the readers left on the disk."""

    folder: Path

    def read(self, name: str, when: str) -> dict[str, Tensor]:
        """What DeepSpeed had in a case."""
        found = load_file(self.folder / f"{name}.safetensors")
        return {key.removeprefix(f"{when}/"): tensor for key, tensor in found.items() if key.startswith(f"{when}/")}

    def saved(self, checkpoint: str) -> dict[str, Tensor]:
        """The same of medrl's checkpoint, read as medrl's learners read it."""
        kept = "bfloat16" if checkpoint == "bf16" else "float32"
        model = Policy.load(str(self.folder / checkpoint), PolicySpec(dtype=kept, device="cpu")).model  # type: ignore[arg-type]
        state, found = OptimizerState(self.folder / checkpoint), dict[str, Tensor]()
        for name, weight in model.named_parameters():
            master = state.get(f"{name}/master")
            found[f"{name}/weight"] = weight.detach()
            found[f"{name}/fp32"] = weight.detach() if master is None else master
            for key in ("exp_avg", "exp_avg_sq"):
                moment = state.get(f"{name}/{key}")
                found[f"{name}/{key}"] = torch.zeros(weight.shape) if moment is None else moment
        return found


@pytest.fixture(scope="module")
def left(
    make_policy: Callable[..., Policy], make_batch: Callable[..., Batch], tmp_path_factory: pytest.TempPathFactory
) -> Left:
    folder = tmp_path_factory.mktemp("universal")
    for name, knobs in (("fp32", {}), ("last", {"last_layers": 1})):
        learner = TorchLearner(make_policy(hidden_size=36), Optimization(lr=1e-3, **knobs))  # 36: ZeRO-3 has to pad
        train(learner, make_batch)
        (folder / name).mkdir()
        learner.save(folder / name)
    save_halves(folder, TorchLearner(make_policy(hidden_size=36), Optimization(lr=1e-3)), make_batch)
    for name in ("fp32", "last", "bf16"):
        assert cli.main(["export", str(folder / name), str(folder / f"{name}-universal"), "--format", "universal"]) == 0
    for ranks, cases in ((1, WHOLE | HALF), (2, SHARED)):
        run_ranks(PROGRAM, folder, [{"name": name, **case} for name, case in cases.items()], ranks)
    return Left(folder)


def train(learner: TorchLearner, make_batch: Callable[..., Batch]) -> None:
    algorithm = GRPO()
    for step in range(3):
        batch = learner.forward(make_batch(learner.policy, [1.0, 0.0, 0.5, 0.25], 2, seed=step), algorithm.needs)
        learner.update(algorithm.advantages(batch, {}), algorithm, step)


def save_halves(folder: Path, learner: TorchLearner, make_batch: Callable[..., Batch]) -> None:
    """A checkpoint as a learner in bfloat16 leaves it: weights in 16 bits, fp32 ones and moments beside."""
    train(learner, make_batch)
    (folder / "bf16").mkdir()
    masters = {name: weight.detach().clone() for name, weight in learner.model.named_parameters()}
    names = list(masters)
    rows = [
        (f"{names[index]}/{key}", value)
        for index, state in learner.optimizer.state_dict()["state"].items()
        for key, value in state.items()
    ]
    torch.nn.Module.to(learner.model, torch.bfloat16)
    learner.policy.save(folder / "bf16")
    write_state(folder / "bf16", 3, [*rows, *((f"{name}/master", master) for name, master in masters.items())])


@pytest.mark.parametrize("name", CASES)
def test_an_engine_has_the_fp32_weights_and_moments_that_were_exported(left: Left, name: str) -> None:
    found, saved = left.read(name, "loaded"), left.saved(CASES[name]["checkpoint"])
    assert saved.keys() < found.keys()
    assert any(saved[key].abs().max() > 0 for key in saved if key.endswith("exp_avg_sq"))
    for key, tensor in saved.items():
        assert torch.equal(found[key], tensor), key
    steps = [int(step) for key, step in found.items() if key.startswith("step")]
    assert steps == [3] * (2 if CASES[name].get("groups") else len(steps)) and steps
    assert int(found["global_steps"]) == 3


@pytest.mark.parametrize("name", ["stage1", "stage2", "stage3", "two_ranks2", "two_ranks3"])
def test_training_goes_on_as_it_would_have_without_deepspeed(left: Left, name: str) -> None:
    import universal_reader

    model = Policy.load(str(left.folder / "fp32")).model
    weights, state = dict(model.named_parameters()), OptimizerState(left.folder / "fp32")
    optimizer = torch.optim.AdamW(weights.values(), **universal_reader.KNOBS)
    for key, weight in weights.items():
        optimizer.state[weight] = {kind: state[f"{key}/{kind}"] for kind in ("step", "exp_avg", "exp_avg_sq")}
    universal_reader.loss_of(model(input_ids=universal_reader.TOKENS).logits).backward()
    optimizer.step()
    found = left.read(name, "after")
    moved = 0.0
    for key, weight in weights.items():
        torch.testing.assert_close(found[f"{key}/weight"], weight.detach(), atol=1e-6, rtol=1e-5)
        moved = max(moved, float((weight.detach() - left.saved("fp32")[f"{key}/weight"]).abs().max()))
    assert moved > 1e-4, "one step moves the weights by more than the tolerance"
