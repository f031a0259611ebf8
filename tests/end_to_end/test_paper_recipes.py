"""Recipes at the papers' scale train: the very same files, with small models of the same architectures for their ids."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    BloomForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from medrl.data.clinic import generate_demonstrations, generate_problems
from medrl.models import ModelShape, Policy
from medrl.recipes import load_recipe
from medrl.recipes.run import run_recipe
from medrl.tracking import RunConsole, RunFolder

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPE = EXAMPLES / "huatuogpt_o1" / "paper_8b.yaml"
# Ranks and engines as the recipes have them, but few, and on the CPU.
ON_CPU = ("cluster.learners.ranks=2", "cluster.learners.gpus=0", "cluster.engines.engines=1", "cluster.engines.gpus=0")


def config(vocabulary: int, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=128, max_position_embeddings=1024, **more,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.engine
def test_huatuogpt_o1_8b_with_small_llamas(tmp_path: Path) -> None:
    """SFT on two ranks, then ten steps of PPO by a vLLM engine and two ranks: with a value
    model of its own and the published verifier's layout and threshold.
    """
    problems = generate_problems(split="train", count=96, kinds=("term",), languages=("en",), diseases=8)
    shown = generate_demonstrations(problems[:48], chain="complex")  # the other half is asked in RL
    texts = [p.question for p in problems] + [str(d.messages[-1]["content"]) for d in shown]
    torch.manual_seed(0)
    small = Policy.new(texts, ModelShape(vocab_size=600, hidden_size=64, layers=1, heads=4, key_value_heads=2))
    tokenizer, vocabulary = small.tokenizer, small.model.config.vocab_size
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    models = {
        "policy": LlamaForCausalLM(config(vocabulary, **special)),
        "critic": LlamaForCausalLM(config(vocabulary, **special)),
        "verifier": LlamaForSequenceClassification(config(vocabulary, num_labels=2, **special)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    rows = {
        "problems": [
            {"Open-ended Verifiable Question": p.question, "Ground-True Answer": p.reference} for p in problems
        ],
        "shown": [
            {"Question": p.question, "Complex_CoT": d.reasoning, "Response": d.answer}
            for p, d in zip(problems, shown, strict=False)
        ],
    }
    for name, made in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    recipe = load_recipe(
        RECIPE,
        [
            f"policy.path={tmp_path / 'policy'}", f"optimization.critic.path={tmp_path / 'critic'}",
            f"reward.correct.verifier.model={tmp_path / 'verifier'}", f"problems.source={tmp_path / 'problems.jsonl'}",
            f"demonstrations.source={tmp_path / 'shown.jsonl'}", "demonstrations.config=null",
            *ON_CPU, "cluster.rewards.gpus=0", "cluster.engine.kv_cache_gib=0.0625", "cluster.engine.max_num_seqs=8",
            "trainer.steps=10", "trainer.problems_per_step=4", "sampling.max_tokens=24",
            "trainer.save_every=5", f"folder={tmp_path / 'run'}", "threads=1",
        ],
    )  # fmt: skip
    assert (recipe.sampling.temperature, recipe.optimization.lr, recipe.sft and recipe.sft.lr) == (0.5, 5e-7, 5e-6)
    outcome = run_recipe(recipe, RunConsole(quiet=True))
    assert outcome.steps == 10
    steps = RunFolder(outcome.folder).read_metrics("rl")
    assert len(steps) == 10
    assert all(row["unscored"] == 0 and row["value_loss"] == row["value_loss"] for row in steps)
    assert {type(Policy.load(str(outcome.folder / name)).model) for name in ("sft",)} == {LlamaForCausalLM}


@pytest.mark.slow
@pytest.mark.engine
def test_huatuogpt_with_small_blooms(tmp_path: Path) -> None:
    """SFT on two ranks that share a Bloom out, then ten steps of PPO on its last two layers by a reward model."""
    said = ("my ear hurts", "since when do you have pain?", "since monday", "do you have a fever?", "no", "take rest")
    dialogues = [{"data": [("问：", "答：")[at % 2] + text for at, text in enumerate(said)]} for _ in range(40)]
    (tmp_path / "shown.jsonl").write_text("".join(json.dumps(row) + "\n" for row in dialogues))
    asked = [
        {"question": f"{part} hurts since monday", "answer": "since when?"} for part in ("my ear", "my knee", "it")
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked * 40))
    torch.manual_seed(0)
    small = Policy.new(
        [*said, *(row["question"] for row in asked)], ModelShape(vocab_size=600), chat_format="huatuogpt"
    )
    tokenizer = small.tokenizer
    tokenizer.model_max_length = 2048  # Bloom's positions have no end, so its configuration names none
    shape = dict(
        vocab_size=len(tokenizer), hidden_size=64, n_layer=3, n_head=2, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    models = {
        "base": BloomForCausalLM(BloomConfig(**shape)),
        "reward": BloomForSequenceClassification(BloomConfig(**shape, num_labels=1)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    sft = load_recipe(
        EXAMPLES / "huatuogpt" / "paper" / "sft.yaml",
        [f"policy.path={tmp_path / 'base'}", f"demonstrations.source={tmp_path / 'shown.jsonl'}", "sft.batch_size=8",
         f"folder={tmp_path / 'sft'}", *ON_CPU],
    )  # fmt: skip
    assert (sft.placement, sft.cluster.deepspeed.stage, sft.sft and sft.sft.lr) == ("ray", 3, 5e-5)
    outcome = run_recipe(sft, RunConsole(quiet=True))
    rows = RunFolder(outcome.folder).read_metrics("sft")
    assert len(rows) == 15 and rows[-1]["loss"] < rows[0]["loss"]
    ppo = load_recipe(
        EXAMPLES / "huatuogpt" / "paper" / "ppo.yaml",
        [f"policy.path={outcome.folder / 'sft'}", f"problems.source={tmp_path / 'prompts.jsonl'}",
         f"reward.then.model={tmp_path / 'reward'}", "reward.then.mean=0", "reward.then.std=1", "placement=local",
         "trainer.steps=10", "trainer.problems_per_step=4", "trainer.save_every=5",
         "sampling.max_tokens=16", "threads=1",
         f"folder={tmp_path / 'ppo'}"],
    )  # fmt: skip
    assert (ppo.optimization.last_layers, ppo.policy.dtype) == (2, "bfloat16")
    outcome = run_recipe(ppo, RunConsole(quiet=True))
    steps = RunFolder(outcome.folder).read_metrics("rl")
    assert len(steps) == 10 and all(row["unscored"] == 0 for row in steps)
    assert type(Policy.load(str(RunFolder(outcome.folder).latest_checkpoint())).model) is BloomForCausalLM
