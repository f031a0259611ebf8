"""A LLaVA-type policy that sees: prompts, log-probabilities and ten steps through the ordinary trainer."""

import asyncio
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from medrl.algorithms import GRPO, Batch
from medrl.engines import InProcessEngine, Request, Sampling
from medrl.errors import MissingFile
from medrl.learners import Optimization, TorchLearner
from medrl.models import Policy, train_tokenizer
from medrl.rewards import Verified
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Group, Problem, Rollout, Score, ScoredGroup
from medrl.verifiers.protocol import verifier

COLOURS = ("red", "green", "blue", "yellow")


def make_seeing_policy() -> Policy:
    """A four-patch CLIP tower and a two-layer Qwen2, with weights large enough that the image matters."""
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen2Config,
    )

    tokenizer = train_tokenizer(["which colour is it? red green blue yellow"] * 4, 300)
    pixels = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        image_processor=pixels, tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=tokenizer.chat_template,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=128, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(config).eval()
        with torch.no_grad():
            for parameter in model.model.multi_modal_projector.parameters():
                parameter.mul_(20.0)
    return Policy(model, tokenizer, processor, name="seeing")


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    """Coloured squares, one problem with two of them and one without any."""
    folder = tmp_path_factory.mktemp("squares")
    made = []
    for colour in COLOURS:
        Image.new("RGB", (40, 30), colour).save(folder / f"{colour}.png")
        parts = [
            {"type": "image", "path": str(folder / f"{colour}.png")},
            {"type": "text", "text": "which colour is it?"},
        ]
        made.append(Problem(colour, ({"role": "user", "content": parts},), reference=colour, kind="visual"))
    both = [{"type": "image", "path": str(folder / f"{colour}.png")} for colour in COLOURS[:2]]
    made.append(Problem("two", ({"role": "user", "content": [*both, {"type": "text", "text": "which?"}]},), "red"))
    made.append(Problem("none", ({"role": "user", "content": "which colour is it?"},), "red"))
    return made


def sample(policy: Policy, problems: list[Problem], max_rows: int = 64, samples: int = 3) -> list[Rollout]:
    from medrl.rollouts import make_requests

    asked: list[Request] = make_requests(policy, problems, samples, Sampling(max_tokens=10), 0)

    async def run() -> list[Rollout]:
        return [r async for r in InProcessEngine(policy, max_rows).generate(asked, version=0)]

    return sorted(asyncio.run(run()), key=lambda r: (r.problem_id, r.index))


def test_prompts_hold_one_placeholder_for_each_patch(problems: list[Problem]) -> None:
    policy = make_seeing_policy()
    policy.check()
    counts = {p.id: policy.prompt_ids(p).count(policy.barred_ids[0]) for p in problems}
    assert counts == {**dict.fromkeys(COLOURS, 4), "two": 8, "none": 0}
    text = policy.tokenizer.decode(policy.prompt_ids(problems[0]))
    assert text == f"<|im_start|>user\n{'<image>' * 4}which colour is it?<|im_end|>\n<|im_start|>assistant\n"


def test_pixels_count_images(problems: list[Problem]) -> None:
    policy = make_seeing_policy()
    path = problems[0].messages[0]["content"][0]["path"]
    by_path, by_bytes = policy.pixels([path, path]), policy.pixels([Path(path).read_bytes()])
    assert by_path["pixel_values"].shape == (2, 3, 28, 28)
    assert torch.equal(by_path["pixel_values"][:1], by_bytes["pixel_values"])
    assert policy.pixels([]) == {}
    with pytest.raises(MissingFile, match=r"no image at \./none\.png"):
        policy.pixels(["./none.png"])


def test_engine_logprobs_equal_the_learners(problems: list[Problem]) -> None:
    policy = make_seeing_policy()
    rollouts = sample(policy, problems)
    groups = [ScoredGroup(Group(Problem(r.problem_id, problems[0].messages), (r,)), (Score(1.0),)) for r in rollouts]
    batch = Batch.from_groups(groups, 10)
    assert batch.rollout_logprobs_BT is not None
    for tokens in (60, 10_000):
        learnt = TorchLearner(policy, Optimization(microbatch_tokens=tokens)).forward(batch, {"old_logprobs"})
        assert learnt.old_logprobs_BT is not None
        mask = batch.loss_mask_BT
        assert torch.allclose(learnt.old_logprobs_BT[mask], batch.rollout_logprobs_BT[mask], atol=1e-5)
    swapped = batch.with_(images=batch.images[3:6] + batch.images[:3] + batch.images[6:])  # type: ignore[arg-type]
    other = TorchLearner(policy, Optimization()).forward(swapped, {"old_logprobs"}).old_logprobs_BT
    assert other is not None
    assert learnt.old_logprobs_BT is not None
    assert not torch.allclose(other[:6], learnt.old_logprobs_BT[:6], atol=1e-3), "the image matters"


def test_tokens_do_not_depend_on_the_rest_of_the_batch(problems: list[Problem]) -> None:
    policy = make_seeing_policy()
    expected = [r.token_ids for r in sample(policy, problems)]
    assert [r.token_ids for r in sample(policy, problems, max_rows=4)] == expected


def test_a_placeholder_is_never_written(problems: list[Problem]) -> None:
    policy = make_seeing_policy()
    image = policy.barred_ids[0]
    with torch.no_grad():
        policy.model.lm_head.weight.mul_(0.0)  # all tokens equally likely: 1 in 300 would be the placeholder
    rollouts = sample(policy, problems[:1], samples=200)
    drawn = [t for r in rollouts for t in r.token_ids]
    assert len(drawn) > 1500
    assert image not in drawn
    assert rollouts[0].logprobs[0] == pytest.approx(-math.log(policy.model.lm_head.weight.shape[0] - 1))


def test_the_gradient_reaches_the_vision_tower(problems: list[Problem]) -> None:
    policy = make_seeing_policy()
    learner = TorchLearner(policy, Optimization(lr=1e-3))
    rollouts = sample(policy, problems[:1], samples=2)
    group = ScoredGroup(Group(problems[0], tuple(rollouts)), (Score(1.0), Score(0.0)))
    batch = learner.forward(Batch.from_groups([group], 10), {"old_logprobs"})
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    learner.update(GRPO().advantages(batch, {}), GRPO(), seed=0)
    changed = {name for name, p in policy.model.named_parameters() if not torch.equal(p, before[name])}
    for part in ("vision_tower", "multi_modal_projector", "language_model", "lm_head"):
        assert any(part in name for name in changed), part


def test_save_and_load_keep_the_processor(problems: list[Problem], tmp_path: Path) -> None:
    policy = make_seeing_policy()
    policy.save(tmp_path)
    again = Policy.load(str(tmp_path))
    again.model.eval()
    again.check()
    assert again.barred_ids == policy.barred_ids
    assert [r.token_ids for r in sample(again, problems)] == [r.token_ids for r in sample(policy, problems)]


@verifier("few_vowels")
def few_vowels(problem: Problem, text: str) -> float:
    """Something that a tiny model can learn in ten steps: not to write vowels."""
    return 1.0 - min(1.0, sum(c in "aeiou" for c in text) / 4)


def test_ten_steps_of_grpo(problems: list[Problem]) -> None:
    policy = make_seeing_policy()
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    rows: list[dict[str, float]] = []

    class Keep:
        def log(self, step: int, metrics: dict[str, float], *, phase: str = "rl") -> None:
            rows.append(metrics)

        def close(self) -> None:
            pass

    trainer = Trainer(
        policy, problems, Verified(few_vowels), GRPO(kl_coef=0.01),
        settings=TrainerSettings(steps=10, problems_per_step=4, rollouts_per_problem=8),
        sampling=Sampling(max_tokens=10), optimization=Optimization(lr=3e-3), trackers=[Keep()],  # type: ignore[list-item]
    )  # fmt: skip
    trainer.fit()
    assert len(rows) == 10
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert all(row["updates"] == 1.0 for row in rows)
    assert sum(not torch.equal(p, before[name]) for name, p in policy.model.named_parameters()) > len(before) * 0.9
    assert sum(r["reward"] for r in rows[-3:]) > sum(r["reward"] for r in rows[:3])
    rollouts = sample(policy, problems)
    groups = [ScoredGroup(Group(Problem(r.problem_id, problems[0].messages), (r,)), (Score(1.0),)) for r in rollouts]
    batch = Batch.from_groups(groups, 10)
    learnt = trainer.placement.learner.forward(batch, {"old_logprobs"})
    assert batch.rollout_logprobs_BT is not None
    assert learnt.old_logprobs_BT is not None
    mask = batch.loss_mask_BT
    assert torch.allclose(learnt.old_logprobs_BT[mask], batch.rollout_logprobs_BT[mask], atol=1e-5)
