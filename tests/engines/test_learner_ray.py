"""A learner whose ranks are Ray actors: the numbers of the torch learner, and what happens when a rank dies or hangs."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import GRPO, Batch
from medrl.cluster import LearnerGroup, RayLearners
from medrl.errors import CheckpointError, LearnerLost, TrainingDiverged, UpdateBrokenOff
from medrl.learners import Optimization, TorchLearner
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.models import Policy

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MakePolicy, MakeBatch = Callable[..., Policy], Callable[..., Batch]
SETTINGS = Optimization(lr=1e-3, microbatch_tokens=40, max_grad_norm=0.3, weight_decay=0.1)
ALGORITHM = GRPO(kl_coef=0.05)
PATIENCE = 15.0  # seconds; a pass takes milliseconds


@pytest.fixture(scope="module")
def cluster(ray: Any) -> Any:
    return ray


@pytest.fixture(scope="module")
def learners(cluster: Any, make_policy: MakePolicy) -> Iterator[RayLearners]:
    found = RayLearners(
        make_policy(),
        SETTINGS,
        DeepSpeedSettings(stage=3),
        LearnerGroup(ranks=2, patience_s=PATIENCE, beat_s=1.0),
        reference=True,
    )
    yield found
    found.close()


def prepared(learner: Any, make_batch: MakeBatch, step: int) -> Batch:
    batch = make_batch(learner.policy, [1.0, 0.0, 0.5, 0.25, None, 1.0], 2, seed=step)
    return ALGORITHM.advantages(learner.forward(batch, ALGORITHM.needs), {})


def train(learner: Any, make_batch: MakeBatch, steps: range) -> list[dict[str, float]]:
    return [learner.update(prepared(learner, make_batch, step), ALGORITHM, step) for step in steps]


def weights(learner: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for bucket in learner.weights() for name, tensor in bucket.tensors()}


def apart(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    return max(float((left[name].detach() - right[name].detach()).abs().max()) for name in left)


def process_of(learners: RayLearners, rank: int) -> int:
    learners.look()
    return learners.beats[rank].process


def test_numbers_faults_and_restarts(
    learners: RayLearners, make_policy: MakePolicy, make_batch: MakeBatch, tmp_path: Path, cluster: Any
) -> None:
    # 1. The numbers of the torch learner; weights as references into the object store
    straight = TorchLearner(make_policy(), SETTINGS, reference=True)
    rows, expected = train(learners, make_batch, range(3)), train(straight, make_batch, range(3))
    assert max(abs(a[key] - b[key]) for a, b in zip(rows, expected, strict=True) for key in a) < 1e-5
    assert apart(weights(learners), weights(straight)) < 1e-5
    refs, size = learners.weight_refs()
    assert size == sum(cluster.get(ref).nbytes for ref in refs) > 0
    assert refs and all(isinstance(ref, cluster.ObjectRef) for ref in refs)
    assert learners.probe_logprobs([5, 6, 7, 8]) == pytest.approx(straight.probe_logprobs([5, 6, 7, 8]), abs=1e-5)
    unchanged = weights(TorchLearner(learners.policy, Optimization()))
    assert apart(unchanged, weights(TorchLearner(make_policy(), Optimization()))) == 0.0, "the driver's copy stays"

    # 2. Errors are what they were, and leave the group at work
    batch = prepared(learners, make_batch, 3)
    assert batch.advantages_BT is not None
    with pytest.raises(TrainingDiverged, match="weights were left as they were"):
        learners.update(batch.with_(advantages_BT=batch.advantages_BT * torch.inf), ALGORITHM, 3)
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        learners.load(tmp_path)
    assert apart(weights(learners), weights(straight)) < 1e-5

    # 3. A rank is killed in an update: the group is lost by name, and goes on from its checkpoint
    saved, policy = tmp_path / "saved", tmp_path / "policy"
    saved.mkdir()
    policy.mkdir()
    learners.save(saved)
    learners.save_policy(policy)
    victim = process_of(learners, 1)
    threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()
    begun = time.monotonic()
    with pytest.raises(LearnerLost, match=r"rank 1 of 2 died in update") as lost:
        for step in range(1000):
            learners.update(batch, ALGORITHM, step)
    assert lost.value.ranks == (1,) and time.monotonic() - begun < 60
    with pytest.raises(LearnerLost, match="restart it from a checkpoint first"):
        learners.probe_logprobs([5, 6])
    learners.restart(saved)
    train(learners, make_batch, range(3, 5))
    train(straight, make_batch, range(3, 5))
    assert apart(weights(learners), weights(straight)) < 1e-5
    half = dict(Policy.load(str(policy)).model.named_parameters())
    assert apart(half, dict(Policy.load(str(saved)).model.named_parameters())) == 0.0  # type: ignore[arg-type]

    # 4. A rank stops in its tracks: it is named, with where it was last seen
    victim = process_of(learners, 1)
    threading.Timer(1.0, os.kill, (victim, signal.SIGSTOP)).start()
    with pytest.raises(LearnerLost, match=f"rank 1 of 2 hangs in update: no pass in {PATIENCE:.0f} s") as lost:
        for step in range(1000):
            learners.update(batch, ALGORITHM, step)
    assert lost.value.ranks == (1,) and f"process {victim}) after" in str(lost.value)
    assert "does not answer; its last stack" in str(lost.value)
    learners.restart(saved)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and os.path.exists(f"/proc/{victim}"):
        time.sleep(0.5)
    assert not os.path.exists(f"/proc/{victim}"), "what hangs is ended, so that its memory is free"
    train(learners, make_batch, range(3, 5))
    assert apart(weights(learners), weights(straight)) < 1e-5

    # 5. An update is broken off from another thread: undone on all ranks, and what there was before can be saved
    before, long = weights(learners), replace(ALGORITHM, epochs=400, minibatches=2)
    threading.Timer(2.0, learners.interrupt).start()
    begun = time.monotonic()
    with pytest.raises(UpdateBrokenOff, match="as before it"):
        learners.update(batch, long, 5)
    assert time.monotonic() - begun < 15
    assert apart(weights(learners), before) == 0.0
    (tmp_path / "undone").mkdir()
    learners.save(tmp_path / "undone")
    learners.interrupt(False)
    with pytest.raises(LearnerLost, match="half a gradient"):
        learners.update(batch, ALGORITHM, 5)
    learners.restart(tmp_path / "undone", ranks=1)  # of a checkpoint of two
    train(learners, make_batch, range(5, 6))
    train(straight, make_batch, range(5, 6))
    assert apart(weights(learners), weights(straight)) < 1e-5

    # 6. A rank that cannot leave it is not waited for
    victim = process_of(learners, 0)
    threading.Timer(1.0, os.kill, (victim, signal.SIGSTOP)).start()
    threading.Timer(2.0, learners.interrupt).start()
    begun = time.monotonic()
    with pytest.raises(UpdateBrokenOff, match="half of it is done"):
        learners.update(batch, long, 6)
    assert time.monotonic() - begun < 15
    with pytest.raises(LearnerLost, match="did not leave it"):
        learners.probe_logprobs([5, 6])


def test_ranks_for_which_there_is_no_room_are_not_said_to_hang(cluster: Any, make_policy: MakePolicy) -> None:
    from medrl.cluster.learners import RayLearners

    large = LearnerGroup(ranks=1, cpus=1000, start_s=2.0, beat_s=0.5)
    with pytest.raises(LearnerLost, match=r"rank 0 of 1 did not come up within 2 s. Each needs 1000 CPUs and 0 GPUs"):
        RayLearners(make_policy(), SETTINGS, group=large)
