"""Supervised fine-tuning on DeepSpeed ranks of a Ray cluster: the losses of one process, also past a rank that was killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.cluster import LearnerGroup, RayLearners
from medrl.data.demonstrations import Demonstration
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.models import Policy
from medrl.trainers import SFTSettings, fine_tune
from medrl.trainers.sft_learner import fine_tune_by, optimization_of

pytestmark = [pytest.mark.engine, pytest.mark.slow]
WORDS = ("red", "green", "blue", "yellow", "fever", "gout", "knee", "cough")
SETTINGS = SFTSettings(
    epochs=5, lr=3e-3, batch_size=8, microbatch_size=2, warmup_share=0.3, weight_decay=0.0, max_length=128, save_every=2
)


def demonstration(word: str) -> Demonstration:
    answer = "## Final Response\n\n" + word * (1 + len(word) % 3)
    chat = ({"role": "user", "content": f"which is it? {word}"}, {"role": "assistant", "content": answer})
    return Demonstration(word, chat, "", answer)


@pytest.mark.parametrize("stage", [2, 3])
def test_ranks_have_the_losses_of_one_process(
    ray: Any, make_policy: Callable[..., Policy], tmp_path: Path, stage: Any
) -> None:
    shown = [demonstration(word) for word in WORDS]
    straight, expected, found = make_policy(), dict[int, float](), dict[int, float]()
    fine_tune(straight, shown, SETTINGS, on_update=lambda n, total, told: expected.update({n: told["loss"]}))
    policy = make_policy()
    group = LearnerGroup(ranks=2, beat_s=1.0)
    learners = RayLearners(policy, optimization_of(SETTINGS, len(shown)), DeepSpeedSettings(stage=stage), group)
    again = list[int]()

    def told(number: int, total: int, figures: dict[str, float]) -> None:
        if number in found:
            again.append(number)
        found[number] = figures["loss"]
        if stage == 3 and number == 3 and not again:
            learners.look()
            os.kill(learners.beats[1].process, signal.SIGKILL)

    try:
        fine_tune_by(learners, policy, shown, SETTINGS, folder=tmp_path / "kept", on_update=told, restarts=1)
        (tmp_path / "sft").mkdir()
        learners.save_policy(tmp_path / "sft")
    finally:
        learners.close()
    assert found == pytest.approx(expected, abs=1e-4) and len(found) == 5
    assert again == ([3] if stage == 3 else [])  # from the checkpoint of update 2
    saved = dict(Policy.load(str(tmp_path / "sft")).model.named_parameters())
    assert all(torch.allclose(weight, saved[name], atol=1e-4) for name, weight in straight.model.named_parameters())
