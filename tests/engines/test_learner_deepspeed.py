"""The DeepSpeed learner, over real DeepSpeed in one and two processes, against the torch learner."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from rank_programs import run_ranks
from safetensors.torch import load_file
from torch import Tensor

from medrl.algorithms import Batch
from medrl.learners import TorchLearner
from medrl.models import Policy

pytestmark = [pytest.mark.engine, pytest.mark.slow]

STEPS, HALF = 10, 5  # the warm-up of four and a critic that starts alone are over by then
TorchRun: TypeAlias = tuple[TorchLearner, list[dict[str, float]]]
PROGRAM = Path(__file__).resolve().parents[1] / "learner_ranks.py"
PLAIN: dict[str, dict[str, Any]] = {
    "stage0": {"zero": {"stage": 0}},
    "stage1": {"zero": {"stage": 1}},
    "stage2": {"zero": {"stage": 2}},
    "stage3": {"zero": {"stage": 3}},
}
OTHERS: dict[str, dict[str, Any]] = {
    "packed_offload2": {"zero": {"stage": 2, "offload": "optimizer"}, "optimization": {"packing": "on"}},
    "offload3": {"zero": {"stage": 3, "offload": "all"}},
    "lora3": {"zero": {"stage": 3}, "optimization": {"lora": {"rank": 4}}},
    "last2": {"zero": {"stage": 2}, "optimization": {"last_layers": 1, "gradient_checkpointing": True}},
}
CRITIC = {"lr": 2e-3, "alone_updates": 2, "max_grad_norm": 0.3}
CRITICS: dict[str, dict[str, Any]] = {
    f"{trunk}_critic{stage}": {
        "zero": {"stage": stage},
        "algorithm": "ppo",
        "optimization": {"critic": {**CRITIC, "trunk": trunk}, "gradient_checkpointing": stage == 3},
    }
    for trunk, stage in (("own", 0), ("own", 1), ("own", 2), ("own", 3), ("shared", 3))
}
OTHERS |= CRITICS
OTHERS["critic3_in_parts"] = {
    **CRITICS["own_critic3"],
    "algorithm": "ppo2",
    "steps": [0, HALF],
}  # two epochs of two minibatches
ROUGH: dict[str, dict[str, Any]] = {
    "bf16_2": {"zero": {"stage": 2, "bf16": True}},
    "bf16_critic3": {**CRITICS["own_critic3"], "zero": {"stage": 3, "bf16": True}},
}
ONE = ("stage0", "stage3")  # on one rank too
AGAIN = ("stage2", "stage3", "lora3", "bf16_2", "own_critic3", "bf16_critic3")
DIVERGED = ("stage0", "stage2", "stage3", "bf16_2", "own_critic1", "own_critic3", "shared_critic3")
BROKEN = (*PLAIN, "bf16_2", "lora3", "own_critic2", "own_critic3", "shared_critic3")


@dataclass
class Group:
    """What the cases left on the disk, and the torch learner's runs of the same."""

    folder: Path
    runs: dict[str, "TorchRun"] = field(default_factory=dict)

    def torch(self, knobs: dict[str, Any], steps: int = STEPS, algorithm: str = "grpo") -> "TorchRun":
        """The torch learner after so many updates, which nobody trains further, and its metrics."""
        key = json.dumps([knobs, steps, algorithm])
        if key not in self.runs:
            self.runs[key] = torch_run(self.folder, knobs, steps, algorithm)
        return self.runs[key]

    def told(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found

    def weights(self, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{name}.safetensors")


def ranks_module() -> Any:
    import learner_ranks

    return learner_ranks


def prepared(folder: Path, make_policy: Callable[..., Policy], make_batch: Callable[..., Batch]) -> Path:
    """A folder with a policy and its batches."""
    policy = make_policy(hidden_size=36, heads=2)  # 36: parts of odd sizes, so that ZeRO-3 has to pad
    (folder / "policy").mkdir()
    policy.save(folder / "policy")
    rewards = [1.0, 0.0, 0.5, 0.25, None, 1.0, 0.0, 0.0, 0.5, 0.5]
    batches = [make_batch(policy, rewards, 2, seed=step) for step in range(STEPS)]
    torch.save(batches, folder / "batches.pt")
    return folder


@pytest.fixture(scope="module")
def group(
    make_policy: Callable[..., Policy], make_batch: Callable[..., Batch], tmp_path_factory: pytest.TempPathFactory
) -> Group:
    folder = prepared(tmp_path_factory.mktemp("ranks"), make_policy, make_batch)
    torch_learner = torch_run(folder, {}, HALF)[0]
    (folder / "torch").mkdir()
    torch_learner.save(folder / "torch")
    own = CRITICS["own_critic3"]
    (folder / "torch_critic").mkdir()
    torch_run(folder, own["optimization"], HALF, "ppo")[0].save(folder / "torch_critic")

    two = [{"name": name, **case, "save_at": HALF} for name, case in (PLAIN | OTHERS | ROUGH).items()]
    every = PLAIN | OTHERS | ROUGH
    two += [{"name": f"{name}_again", **every[name], "load": name, "steps": [HALF, STEPS]} for name in AGAIN]
    two += [{"name": f"{name}_diverged", **every[name], "steps": [0, 4], "diverge_at": 2} for name in DIVERGED]
    two += [{"name": f"{name}_broken", **every[name], "steps": [0, 3], "break_at": 2} for name in BROKEN]
    two.append({"name": "torch_to_3", **PLAIN["stage3"], "load": "torch", "steps": [HALF, STEPS]})
    two.append({"name": "torch_to_critic3", **own, "load": "torch_critic", "steps": [HALF, STEPS]})
    two.append({"name": "lora_to_full", **PLAIN["stage2"], "load": "lora3", "steps": [0, 0]})
    run_ranks(PROGRAM, folder, two, 2)
    one = [{"name": f"one_{name}", **PLAIN[name]} for name in ONE]
    one.append({"name": "3_to_one", **PLAIN["stage2"], "load": "stage3", "steps": [HALF, STEPS]})
    again = {"load": "own_critic3", "steps": [HALF, STEPS], "save_at": HALF}
    one.append({"name": "critic3_to_one", **CRITICS["own_critic1"], **again})
    run_ranks(PROGRAM, folder, one, 1)
    return Group(folder)


def torch_run(folder: Path, knobs: dict[str, Any], steps: int = STEPS, algorithm: str = "grpo") -> TorchRun:
    tools = ranks_module()
    learner = TorchLearner(Policy.load(str(folder / "policy")), tools.optimization(knobs), reference=True)
    batches = torch.load(folder / "batches.pt", weights_only=False)
    return learner, tools.train(learner, batches[:steps], 0, algorithm)


def weights_of(learner: TorchLearner, *, adapter: bool = False) -> dict[str, Tensor]:
    kinds: list[Any] = ["full", "adapter"] if adapter else ["full"]
    weights = {name: t.clone() for kind in kinds for bucket in learner.weights(kind) for name, t in bucket.tensors()}
    return {**weights, **ranks_module().of_critic(learner)}


def apart(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    return max(float((left[name].detach().float() - right[name].detach().float()).abs().max()) for name in left)


def near(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Within 1e-5; 1e-4 for a critic's weights, of which AdamW moves one that has next to no gradient by whole steps."""
    critics = [{name: t for name, t in one.items() if name.startswith("critic.")} for one in (left, right)]
    others = [{name: t for name, t in one.items() if not name.startswith("critic.")} for one in (left, right)]
    return apart(others[0], others[1]) < 1e-5 and (not critics[0] or apart(critics[0], critics[1]) < 1e-4)


def rows_apart(left: list[dict[str, float]], right: list[dict[str, float]]) -> float:
    assert [row.keys() for row in left] == [row.keys() for row in right]
    return max(abs(a[key] - b[key]) for a, b in zip(left, right, strict=True) for key in a)


@pytest.mark.parametrize("name", BROKEN)
def test_an_update_that_is_broken_off_on_one_rank_is_undone_on_all(group: Group, name: str) -> None:
    said = group.told(f"{name}_broken")["broke"]
    assert said["broken"].endswith("weights and moments are as before it")
    assert said["moved"] and said["undone"] and said["counted"] == 0, said
    assert "was broken off" in said["refused"]


@pytest.mark.parametrize("name", [*(f"one_{name}" for name in ONE), *PLAIN, *OTHERS])
def test_updates_are_those_of_the_torch_learner(group: Group, name: str) -> None:
    case = (PLAIN | OTHERS)[name.removeprefix("one_")]
    knobs = case.get("optimization", {})
    plain = {k: v for k, v in knobs.items() if k not in ("packing", "gradient_checkpointing")}
    learner, rows = group.torch(plain, case.get("steps", [0, STEPS])[1], case.get("algorithm", "grpo"))
    expected = weights_of(learner, adapter="lora" in knobs)
    begun = dict(Policy.load(str(group.folder / "policy")).model.state_dict())
    moved = apart({n: t for n, t in expected.items() if n in begun}, {n: t for n, t in begun.items() if n in expected})
    told = group.told(name)
    assert moved > 5e-3
    assert near(group.weights(name), expected)
    assert rows_apart(told["rows"], rows) < 1e-5
    assert told["probe"] == pytest.approx(learner.probe_logprobs(ranks_module().PROBE), abs=1e-5)
    assert told["updates"] == learner.updates
    assert (max(told["shared"]) > 0) == (name != "packed_offload2"), (
        "rows that are packed pass apart, all others in trees"
    )


@pytest.mark.parametrize("name", ROUGH)
def test_bfloat16_stays_near(group: Group, name: str) -> None:
    case = ROUGH[name]
    learner, rows = group.torch(case.get("optimization", {}), algorithm=case.get("algorithm", "grpo"))
    found, told = group.weights(name), group.told(name)
    assert {t.dtype for n, t in found.items() if n.startswith("model")} == {torch.bfloat16}
    assert apart(found, weights_of(learner)) < 0.02
    assert rows_apart(told["rows"], rows) < 0.05
    masters = load_file(group.folder / name / "optimizer.safetensors")
    assert all(t.dtype == torch.float32 for n, t in masters.items() if n.endswith("/master"))


@pytest.mark.parametrize("name", AGAIN)
def test_going_on_from_a_checkpoint_is_bit_equal(group: Group, name: str) -> None:
    assert apart(group.weights(f"{name}_again"), group.weights(name)) == 0.0
    assert group.told(f"{name}_again")["rows"] == group.told(name)["rows"][HALF:]


@pytest.mark.parametrize("name", ["torch_to_3", "3_to_one"])
def test_going_on_with_another_number_of_ranks(group: Group, name: str) -> None:
    learner, rows = group.torch({})
    assert apart(group.weights(name), weights_of(learner)) < 1e-5
    assert rows_apart(group.told(name)["rows"], rows[HALF:]) < 1e-5


def test_the_torch_learner_goes_on_from_two_ranks(group: Group) -> None:
    tools = ranks_module()
    learner = TorchLearner(Policy.load(str(group.folder / "policy")), tools.optimization({}), reference=True)
    learner.load(group.folder / "stage3")
    tools.train(learner, torch.load(group.folder / "batches.pt", weights_only=False)[HALF:], HALF)
    assert apart(weights_of(learner), weights_of(group.torch({})[0])) < 1e-5


def test_another_number_of_ranks_or_another_learner_goes_on_with_a_critic(group: Group) -> None:
    tools, knobs = ranks_module(), CRITICS["own_critic3"]["optimization"]
    learner = TorchLearner(Policy.load(str(group.folder / "policy")), tools.optimization(knobs), reference=True)
    learner.load(group.folder / "own_critic3")
    again = group.folder / "again"
    again.mkdir()
    learner.save(again)
    for file in ("critic.safetensors", "critic_optimizer.safetensors"):
        written = load_file(group.folder / "own_critic3" / file)
        for other in (again, group.folder / "critic3_to_one"):
            assert apart(load_file(other / file), written) == 0.0, (
                "what two ranks wrote, one rank and torch have to the bit"
            )
    tools.train(learner, torch.load(group.folder / "batches.pt", weights_only=False)[HALF:], HALF, "ppo")
    expected, rows = group.torch({"critic": knobs["critic"]}, algorithm="ppo")
    assert near(weights_of(learner), weights_of(expected))
    for name in ("critic3_to_one", "torch_to_critic3"):
        assert near(group.weights(name), weights_of(expected))
        assert rows_apart(group.told(name)["rows"], rows[HALF:]) < 1e-5


def test_two_ranks_hold_half_of_a_critic_each(group: Group) -> None:
    """In bytes a weight; fp32 masters, which ZeRO shares out too, apart."""
    count = sum(t.numel() for n, t in group.weights("own_critic0").items() if n.startswith("critic."))
    for stage, (weights, moments) in enumerate([(4, 8), (4, 4), (4, 4), (2, 4)]):
        for rank in group.told(f"own_critic{stage}")["held"]:
            assert rank == pytest.approx([weights * count, moments * count], rel=0.02), stage


def test_a_checkpoint_has_a_critic_in_float32_that_computes_in_bfloat16(group: Group) -> None:
    saved = load_file(group.folder / "bf16_critic3" / "critic.safetensors")
    assert all(t.dtype == torch.float32 for t in saved.values())
    assert any(not torch.equal(t, t.bfloat16().float()) for t in saved.values())


@pytest.mark.parametrize("name", ["stage3", "lora3", "bf16_2"])
def test_a_checkpoint_is_a_whole_hugging_face_folder(group: Group, name: str) -> None:
    policy = Policy.load(str(group.folder / name))
    policy.check()
    knobs = (PLAIN | OTHERS | ROUGH)[name].get("optimization", {})
    half = weights_of(group.torch(knobs, HALF)[0])
    assert apart(dict(policy.model.named_parameters()), half) < (0.02 if "bf16" in name else 1e-5)
    assert (group.folder / name / "adapter" / "adapter_config.json").exists() == ("lora" in name)


@pytest.mark.parametrize("name", DIVERGED)
def test_a_loss_that_is_not_finite_on_one_rank_stops_all_and_harms_nothing(group: Group, name: str) -> None:
    told = group.told(f"{name}_diverged")
    assert ("critic_grad_norm nan" if "critic" in name else "update 2 has loss nan") in told["diverged"]
    assert told["rows"] == group.told(name)["rows"][:4], "as if the update that was dropped had never been tried"


def test_a_checkpoint_with_adapters_needs_a_learner_with_adapters(group: Group) -> None:
    assert "set optimization.lora" in group.told("lora_to_full")["refused"]
