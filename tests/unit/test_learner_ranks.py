"""What ranks share out, without starting any: rows, settings, and the machines they take."""

import math
import pickle
import random
from functools import partial
from typing import Any

import pytest
import torch

from medrl.cluster import LearnerGroup
from medrl.cluster.environment import learner_environment
from medrl.errors import LearnerLost, MedrlError
from medrl.learners.deepspeed_engine import Vote, step_together
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.learners.microbatches import Bundle, deal, microbatches


def alone(lengths: torch.Tensor, rows: list[int]) -> list[Bundle]:
    return [Bundle([row], int(lengths[row])) for row in rows]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", range(6))
def test_rows_are_dealt_once_in_balance_and_in_as_many_passes(ranks: int, seed: int) -> None:
    draw = random.Random(f"{ranks}/{seed}")
    lengths = torch.tensor([draw.choice([3, 20, 90, 400]) + draw.randrange(5) for _ in range(draw.randrange(1, 60))])
    rows = sorted(draw.sample(range(len(lengths)), draw.randrange(1, len(lengths) + 1)))
    budget = 500
    dealt = deal(alone(lengths, rows), budget, ranks)
    assert len(dealt) == ranks and len({len(share) for share in dealt}) == 1
    assert sorted(row for share in dealt for micro in share for row in micro) == rows
    tokens = [sum(int(lengths[row]) for micro in share for row in micro) for share in dealt]
    assert max(tokens) - min(tokens) <= max(int(lengths[row]) for row in rows)
    for micro in (micro for share in dealt for micro in share if len(micro) > 1):
        assert len(micro) * max(int(lengths[row]) for row in micro) <= budget
    whole = [micro for share in dealt for micro in share if micro]
    assert len(whole) >= min(len(rows), len(dealt[0])), (
        "no rank passes through the model in vain while it has rows to split"
    )


def test_one_rank_has_the_micro_batches_of_the_torch_learner() -> None:
    lengths = torch.tensor([9, 4, 30, 4, 12, 7, 30, 2])
    rows = alone(lengths, list(range(8)))
    assert deal(rows, 40, 1) == [list(microbatches(rows, 40))]


def test_a_rank_without_rows_has_empty_passes() -> None:
    assert deal(alone(torch.tensor([5, 6]), [1]), 100, 3) == [[[1]], [[]], [[]]]


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"stage": 4}, "stage is 4"),
        ({"stage": 0, "offload": "optimizer"}, "needs stage 1, 2 or 3"),
        ({"stage": 2, "offload": "all"}, "offload=all needs stage 3"),
        ({"offload": "nvme"}, "offload is 'nvme'"),
        ({"stage": 1, "bf16": True}, "bf16 needs stage 2 or 3"),
        ({"bucket_mib": 0}, "bucket_mib is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DeepSpeedSettings(**knobs)


def test_deepspeed_is_told_to_wait_and_to_clip() -> None:
    config = DeepSpeedSettings(stage=3, offload="all", bf16=True).config(0.5)
    assert config["managed_gradient_accumulation"] is False and config["gradient_clipping"] == 0.5
    assert config["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert config["data_types"] == {"grad_accum_dtype": "fp32"}


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("norms", [[], [1.0], [math.nan], [1.0, 2.0], [math.inf, 2.0], [1.0, math.nan]])
def test_engines_step_together_or_not_at_all(norms: list[float], allowed: bool) -> None:
    stepped = list[float]()

    def step(norm: float, vote: Vote) -> float:
        if vote(math.isfinite(norm)):
            stepped.append(norm)
        return norm

    assert step_together([partial(step, norm) for norm in norms], allowed) == pytest.approx(norms, nan_ok=True)
    assert sorted(stepped) == (norms if allowed and all(map(math.isfinite, norms)) else [])


@pytest.mark.parametrize("knobs", [{"ranks": 0}, {"cpus": 0}, {"gpus": 2}, {"gpus": -1}, {"patience_s": 0.0}])
def test_groups_that_cannot_be_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"learners: {next(iter(knobs))}"):
        LearnerGroup(**knobs)


def test_ranks_wait_for_each_other_longer_than_the_watcher_does() -> None:
    for group in (LearnerGroup(), LearnerGroup(patience_s=5000.0)):
        assert group.collective_s > group.patience_s


def test_the_environment_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_HOME", raising=False)
    cpu, gpu = learner_environment(4, 0), learner_environment(1, 1)
    assert (cpu["DS_ACCELERATOR"], cpu["OMP_NUM_THREADS"], cpu["HF_HUB_OFFLINE"]) == ("cpu", "4", "1")
    assert "DS_ACCELERATOR" not in gpu and "HF_HOME" not in gpu
    assert gpu["HF_HUB_DISABLE_TELEMETRY"] == "1" and gpu["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_lost_learner_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(LearnerLost("rank 1 of 2 died", [1])))
    assert isinstance(error, MedrlError) and (str(error), error.ranks) == ("rank 1 of 2 died", (1,))
