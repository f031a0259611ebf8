"""Which weights train: the last layers or adapters; what leaves the learner is the whole model either way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import GRPO, Batch
from medrl.engines.adapters import merged_weights
from medrl.errors import CheckpointError, MissingFile, UnsupportedModel
from medrl.learners import LoRA, Optimization, TorchLearner, response_logprobs
from medrl.learners.checkpoint import OptimizerState
from medrl.learners.trainable import adapter_off, frozen_copy, parameters
from medrl.models import Policy

MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]
SMALL = LoRA(rank=4, alpha=8)
KL = GRPO(kl_coef=0.1)


def learn(learner: TorchLearner, make_batch: MakeBatch, steps: range) -> None:
    for step in steps:
        batch = make_batch(learner.policy, [1.0, 0.0, 0.5, 0.25], 2, seed=step)
        learner.update(KL.advantages(learner.forward(batch, KL.needs), {}), KL, step)


def sent(learner: TorchLearner, kind: Any = "full") -> dict[str, Tensor]:
    return {name: tensor.clone() for bucket in learner.weights(kind) for name, tensor in bucket.tensors()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_only_the_last_layers_move(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    learner = TorchLearner(make_policy(), Optimization(lr=1e-2, weight_decay=0.1, last_layers=1), reference=True)
    before = sent(learner)
    learn(learner, make_batch, range(2))
    moved = changed(before, sent(learner))
    assert moved == {name for name in before if name.startswith("model.layers.1.")} and len(moved) > 8


def test_the_reference_of_the_last_layers_shares_the_others(make_policy: MakePolicy) -> None:
    learner = TorchLearner(make_policy(), Optimization(last_layers=1), reference=True)
    assert learner.reference is not None
    here, there = learner.model, learner.reference
    shared = {name for name, weight in there.named_parameters() if weight is here.get_parameter(name)}
    assert shared == {name for name, _ in here.named_parameters()} - parameters(here).keys()
    alone = frozen_copy(here, share=False)
    assert not {id(weight) for weight in alone.parameters()} & {id(weight) for weight in here.parameters()}


def test_more_layers_than_there_are(make_policy: MakePolicy) -> None:
    with pytest.raises(UnsupportedModel, match="last_layers is 3, and the model has 2"):
        TorchLearner(make_policy(), Optimization(last_layers=3))


def test_an_adapter_begins_as_the_model_and_then_moves_alone(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    plain, policy = make_policy(), make_policy()
    learner = TorchLearner(policy, Optimization(lr=1e-2, weight_decay=0.1, lora=SMALL), reference=True)
    batch = make_batch(policy, [1.0, 0.0], 2)
    assert torch.equal(response_logprobs(policy.model, batch), response_logprobs(plain.model, batch))
    start = sent(TorchLearner(plain, Optimization()))
    assert not changed(start, sent(learner))
    learn(learner, make_batch, range(4))
    moved = changed(start, sent(learner))
    assert moved == {name for name in start if name.endswith("_proj.weight")}, "every linear layer but the head"
    assert all(".base_layer." not in name and "lora" not in name for name in sent(learner))


def test_what_is_sent_computes_what_the_learner_computes(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    learner = TorchLearner(make_policy(), Optimization(lr=1e-2, lora=SMALL))
    learn_plain = GRPO()
    batch = make_batch(learner.policy, [1.0, 0.0], 2)
    learner.update(learn_plain.advantages(learner.forward(batch, learn_plain.needs), {}), learn_plain, 0)
    receiver = make_policy(seed=7)
    missing, strays = receiver.model.load_state_dict(sent(learner), strict=False)
    assert (missing, strays) == (["lm_head.weight"], []), "the tied head travels under the embedding's name"
    assert torch.allclose(response_logprobs(receiver.model, batch), response_logprobs(learner.model, batch), atol=1e-5)
    tokens = [5, 6, 7, 8]
    told = learner.probe_logprobs(tokens)
    assert told == pytest.approx(TorchLearner(receiver, Optimization()).probe_logprobs(tokens), abs=1e-5)
    with torch.no_grad():
        logits = receiver.model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    assert told == pytest.approx([float(logits[i, token]) for i, token in enumerate(tokens[1:])], abs=1e-5)


def test_the_reference_is_the_model_without_its_adapter(make_policy: MakePolicy, make_batch: MakeBatch) -> None:
    learner = TorchLearner(make_policy(), Optimization(lr=1e-2, lora=SMALL), reference=True)
    copied = TorchLearner(make_policy(), Optimization(), reference=True)
    assert learner.reference is learner.model
    learn(learner, make_batch, range(3))
    batch = make_batch(learner.policy, [1.0, 0.0], 2)
    found, expected = (one.forward(batch, {"old_logprobs", "ref_logprobs"}) for one in (learner, copied))
    assert found.ref_logprobs_BT is not None and found.old_logprobs_BT is not None
    assert torch.equal(found.ref_logprobs_BT, expected.ref_logprobs_BT)
    assert not torch.allclose(found.old_logprobs_BT, found.ref_logprobs_BT, atol=1e-3)
    with pytest.raises(KeyError), adapter_off(learner.model):
        raise KeyError("an error in the block leaves the adapter on and trainable")
    assert all("lora_" in name for name in parameters(learner.model)) and len(parameters(learner.model)) == 28


def test_named_targets_alone_get_an_adapter(make_policy: MakePolicy) -> None:
    learner = TorchLearner(make_policy(), Optimization(lora=LoRA(rank=2, targets=("q_proj", "v_proj"))))
    names = {
        f"base_model.model.model.layers.{i}.self_attn.{p}.lora_{ab}.weight" for i in (0, 1) for p in "qv" for ab in "AB"
    }
    assert sent(learner, "adapter").keys() == {n.replace(".q.", ".q_proj.").replace(".v.", ".v_proj.") for n in names}
    with pytest.raises(UnsupportedModel, match="nothing_like_it"):
        TorchLearner(make_policy(), Optimization(lora=LoRA(targets=("nothing_like_it",))))
    with pytest.raises(UnsupportedModel, match=r"no layer of the model is named v_projj; it has .*o_proj, q_proj"):
        TorchLearner(make_policy(), Optimization(lora=LoRA(targets=("q_proj", "v_projj"))))  # PEFT takes what there is
    with pytest.raises(UnsupportedModel, match="has an adapter already"):
        TorchLearner(learner.policy, Optimization(lora=SMALL))
    with pytest.raises(ValueError, match=r"no adapter to send.*optimization\.lora"):
        sent(TorchLearner(make_policy(), Optimization()), "adapter")


@pytest.mark.parametrize("knobs", [{"lora": SMALL}, {"last_layers": 1}])
def test_going_on_with_part_of_the_weights_is_bit_equal(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path, knobs: dict[str, Any]
) -> None:
    settings = Optimization(lr=1e-2, weight_decay=0.1, **knobs)
    straight = TorchLearner(make_policy(), settings, reference=True)
    learn(straight, make_batch, range(3))
    straight.save(tmp_path)
    halfway = sent(straight)
    learn(straight, make_batch, range(3, 5))
    resumed = TorchLearner(make_policy(), settings, reference=True)
    resumed.load(tmp_path)
    assert not changed(halfway, sent(resumed))
    learn(resumed, make_batch, range(3, 5))
    assert not changed(sent(straight), sent(resumed))
    assert not changed(halfway, dict(Policy.load(str(tmp_path)).model.named_parameters()))  # type: ignore[arg-type]


def test_an_adapter_on_another_model_is_refused_and_harms_nothing(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path
) -> None:
    writer = TorchLearner(make_policy(), Optimization(lr=1e-2, lora=SMALL), reference=True)
    learn(writer, make_batch, range(1))
    writer.save(tmp_path)
    other = TorchLearner(make_policy(seed=3), Optimization(lr=1e-2, lora=SMALL))
    before = sent(other)
    with pytest.raises(CheckpointError, match="trained on another model"):
        other.load(tmp_path)
    assert not changed(before, sent(other)) and other.updates == 0
    with pytest.raises(CheckpointError, match=r"set optimization\.lora"):
        TorchLearner(make_policy(), Optimization()).load(tmp_path)


def test_the_adapter_in_a_checkpoint_is_one_that_peft_reads(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path
) -> None:
    from peft import PeftModel

    learner = TorchLearner(make_policy(), Optimization(lr=1e-2, lora=SMALL), reference=True)
    learn(learner, make_batch, range(2))
    learner.save(tmp_path)
    model = PeftModel.from_pretrained(make_policy().model, tmp_path / "adapter")
    batch = make_batch(learner.policy, [1.0, 0.0], 2)
    merged = model.merge_and_unload()
    assert torch.allclose(response_logprobs(merged, batch), response_logprobs(learner.model, batch), atol=1e-5)


def test_optimizer_state_in_many_files_is_read_as_one(tmp_path: Path) -> None:
    from medrl.learners.checkpoint import write_state

    rows = {f"w{i}/{key}": torch.full((8,), float(i)) for i in range(5) for key in ("step", "exp_avg", "exp_avg_sq")}
    write_state(tmp_path, 7, iter(rows.items()), file_bytes=100)
    files = sorted(file.name for file in tmp_path.glob("optimizer*"))
    assert files == [f"optimizer-{n:05d}.safetensors" for n in range(1, 6)]
    read = OptimizerState(tmp_path)
    assert (
        read.updates == 7 and read.keys() == rows.keys() and all(torch.equal(read[name], rows[name]) for name in rows)
    )
    (tmp_path / files[2]).unlink()
    with pytest.raises(FileNotFoundError, match="optimizer-00003"):
        OptimizerState(tmp_path)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"last_layers": 0}, "last_layers is 0"),
        ({"last_layers": 1, "lora": SMALL}, "exclude each other"),
    ],
)
def test_knobs_that_do_not_fit_are_refused(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Optimization(**knobs)


@pytest.mark.parametrize("knobs", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_knobs_of_adapters_out_of_range_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"lora: {next(iter(knobs))}"):
        LoRA(**knobs)


def test_an_engine_makes_of_adapters_and_its_folder_what_the_learner_has(
    make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path
) -> None:
    policy = make_policy()
    policy.save(tmp_path / "start")
    learner = TorchLearner(policy, Optimization(lr=1e-2, lora=SMALL), reference=True)
    learn(learner, make_batch, range(2))
    adapters, folder = sent(learner, "adapter"), str(tmp_path / "start")
    made = dict(merged_weights(folder, torch.float32, adapters, SMALL.alpha / SMALL.rank))
    assert not changed(made, sent(learner)), "bit for bit"
    assert changed(made, dict(merged_weights(folder, torch.float32, {}, 1.0)))
    strange = {**adapters, "base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.zeros(4, 32)}
    with pytest.raises(ValueError, match=r"no weight for 1 tensors of adapters, the first being .*layers\.9"):
        dict(merged_weights(folder, torch.float32, strange, 2.0))
    with pytest.raises(MissingFile, match="adapters_only=false"):
        dict(merged_weights(str(tmp_path), torch.float32, adapters, 2.0))
