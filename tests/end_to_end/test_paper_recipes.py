"""The recipe at the paper's scale trains: the very same file, with small models of the same architectures for its ids."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from medrl.data.clinic import generate_demonstrations, generate_problems
from medrl.models import ModelShape, Policy
from medrl.recipes import load_recipe
from medrl.recipes.run import run_recipe
from medrl.tracking import RunConsole, RunFolder

RECIPE = Path(__file__).parents[2] / "examples" / "huatuogpt_o1" / "paper_8b.yaml"


def config(vocabulary: int, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=128, max_position_embeddings=1024, **more,
    )  # fmt: skip


@pytest.mark.slow
def test_huatuogpt_o1_8b_with_small_llamas(tmp_path: Path) -> None:
    """SFT, then ten steps of PPO with a value model of its own and the published verifier's layout and threshold."""
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
            "placement=local", "trainer.steps=10", "trainer.problems_per_step=4", "sampling.max_tokens=24",
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
