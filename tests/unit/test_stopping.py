"""Ctrl-C in the middle of an update: it is broken off, undone, and the run goes on later as if it had never begun."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import GRPO, PPO, Algorithm, Batch, Denominators, Loss, Outputs
from medrl.engines import Sampling
from medrl.errors import UpdateBrokenOff
from medrl.learners import CriticSettings, Optimization, TorchLearner
from medrl.models import Policy
from medrl.rewards import Verified
from medrl.tracking import RunFolder, timeless
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Problem, ask
from medrl.verifiers.protocol import verifier

MakePolicy = Callable[..., Policy]
PROBLEMS = [Problem(f"p{i}", ask(text)) for i, text in enumerate(("fever", "cough", "knee", "toe"))]


@pytest.fixture(autouse=True)
def _as_in_a_terminal() -> Iterator[None]:
    """Whoever starts the tests may have told them to ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@verifier("vowels_of_stopped")
def vowels(problem: Problem, text: str) -> float:
    return min(1.0, sum(c in "aeiou" for c in text) / 6)


def watched(algorithm: Algorithm, at: int, what: Callable[[], None]) -> Algorithm:
    """The algorithm, which does something in the micro-batch of this number, counted from 1."""
    count = 0

    class Watched(type(algorithm)):  # type: ignore[misc]
        def loss(self, outputs: Outputs, batch: Batch, denominators: Denominators) -> Loss:
            nonlocal count
            count += 1
            if count == at:
                what()
            found: Loss = super().loss(outputs, batch, denominators)
            return found

    return Watched(**vars(algorithm))  # type: ignore[no-any-return]


def everything(learner: TorchLearner) -> dict[str, Tensor]:
    """Weights and moments of a learner, its critic's too."""
    found = {f"policy/{name}": value.clone() for name, value in learner.model.state_dict().items()}
    optimizers = [learner.optimizer]
    if learner.critic is not None:
        found |= {f"critic/{name}": value.clone() for name, value in learner.critic.model.state_dict().items()}
        optimizers.append(learner.critic.optimizer)
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            found |= {f"{number}/{index}/{key}": value.clone() for key, value in state.items()}
    return found


@pytest.mark.parametrize("begun", [False, True], ids=["first update", "later update"])
@pytest.mark.parametrize("algorithm", [GRPO(minibatches=2, epochs=2), PPO(minibatches=2)], ids=lambda a: a.kind)
def test_half_an_update_is_undone_to_the_last_bit(
    make_policy: MakePolicy, make_batch: Callable[..., Batch], algorithm: Algorithm, begun: bool
) -> None:
    critic = CriticSettings() if algorithm.kind == "ppo" else None
    learner = TorchLearner(make_policy(), Optimization(lr=1e-2, critic=critic, microbatch_tokens=16))
    batch = make_batch(learner.policy, [1.0, 0.0, 0.5, 0.0, 0.0, 1.0, 0.3, 0.2], 4)
    batch = algorithm.advantages(learner.forward(batch, algorithm.needs), {})
    if begun:
        learner.update(batch, algorithm, 0)
    before, updates = everything(learner), learner.updates
    steps = []
    step = learner._step

    def counted(minibatch: Batch, one: Algorithm) -> Any:
        found = step(minibatch, one)
        steps.append(found)
        learner.interrupt()  # from now on: the next minibatch is broken off at its first micro-batch
        return found

    learner._step = counted  # type: ignore[method-assign]
    with pytest.raises(UpdateBrokenOff) as broken:
        learner.update(batch, algorithm, 1)
    assert len(steps) == 1 and broken.value.whole
    after = everything(learner)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert learner.updates == updates and not any(p.grad is not None for p in learner.model.parameters())
    with pytest.raises(UpdateBrokenOff):
        learner.forward(batch, {"old_logprobs"})
    learner.interrupt(False)
    learner._step = step  # type: ignore[method-assign]
    learner.update(batch, algorithm, 1)
    assert not all(torch.equal(value, before[name]) for name, value in everything(learner).items() if name in before)


def test_without_the_memory_for_it_half_an_update_says_that_it_is_one(
    make_policy: MakePolicy, make_batch: Callable[..., Batch]
) -> None:
    for minibatches, at, whole in ((2, 3, False), (1, 2, True)):  # one optimizer step changes nothing before its end
        learner = TorchLearner(make_policy(), Optimization(lr=1e-2, undo_mib=0, microbatch_tokens=1))
        batch = make_batch(learner.policy, [1.0, 0.0, 0.5, 0.0], 2)
        algorithm = watched(GRPO(minibatches=minibatches), at, learner.interrupt)
        batch = algorithm.advantages(learner.forward(batch, {"old_logprobs"}), {})
        before = everything(learner)
        with pytest.raises(UpdateBrokenOff, match="as before it" if whole else "half of it is done"):
            learner.update(batch, algorithm, 0)
        weights = {name: value for name, value in everything(learner).items() if name.startswith("policy")}
        assert all(torch.equal(value, before[name]) for name, value in weights.items()) == whole


def trainer(policy: Policy, algorithm: Algorithm, run: RunFolder, **knobs: Any) -> Trainer:
    settings = {"steps": 4, "problems_per_step": 2, "rollouts_per_problem": 4, "evaluate_every": 0, "save_every": 0}
    return Trainer(
        policy,
        PROBLEMS,
        Verified(vowels),
        algorithm,
        settings=TrainerSettings(**{**settings, "stop_grace": 0.05, **knobs}),
        sampling=Sampling(max_tokens=6),
        optimization=Optimization(lr=1e-2, microbatch_tokens=1),
        run=run,
        seed=5,
    )


def ctrl_c_and_hang() -> None:
    """The signal, in an update that takes longer than anybody waits for."""
    signal.raise_signal(signal.SIGINT)
    time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 14], ids=["first step", "later step"])
def test_a_run_stopped_in_an_update_keeps_the_step_before_and_its_rollouts(
    make_policy: MakePolicy, tmp_path: Path, at: int
) -> None:
    algorithm = GRPO(minibatches=2, kl_coef=0.01, kl_target=0.02)  # whose weight moves before the update
    with RunFolder.create(tmp_path / "whole", "name: t\n") as run:
        whole = make_policy()
        trainer(whole, algorithm, run).fit()
        expected = [timeless(row) for row in run.read_metrics("rl")]
    with RunFolder.create(tmp_path / "stopped", "name: t\n") as run:
        one = trainer(make_policy(), watched(algorithm, at, ctrl_c_and_hang), run)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            one.fit()
        assert time.monotonic() - began < 10.0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        checkpoint = run.latest_checkpoint()
        assert checkpoint is not None and checkpoint.name == f"step-{one.step:06d}" and (one.step == 0) == (at == 1)
        (waiting,) = json.loads((checkpoint / "trainer.json").read_text())["ahead"]
        assert waiting["step"] == one.step + 1 and waiting["kept"] == [0, 1], "its rollouts are scored and are kept"
    with RunFolder.create(tmp_path / "stopped", "name: t\n", resume=True) as run:
        resumed = make_policy()
        other = trainer(resumed, algorithm, run)
        assert other.resume() and other.step == one.step
        other.fit()
        assert [timeless(row) for row in run.read_metrics("rl")] == expected
    assert all(map(torch.equal, resumed.model.state_dict().values(), whole.model.state_dict().values()))


def test_an_update_that_ends_in_time_is_whole(make_policy: MakePolicy, tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", "name: t\n") as run:
        algorithm = watched(GRPO(), 1, lambda: signal.raise_signal(signal.SIGINT))
        one = trainer(make_policy(), algorithm, run, stop_grace=60.0)
        with pytest.raises(KeyboardInterrupt):
            one.fit()
        assert one.step == 1 and [path.name for path in run.checkpoints()] == ["step-000001"]
        one.algorithm = GRPO()
        one.fit()  # in the same process: nothing is left of the interruption
        assert one.step == 4


def test_a_run_that_ignores_the_signal_goes_on_ignoring_it(make_policy: MakePolicy, tmp_path: Path) -> None:
    """As what a shell runs in the background does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with RunFolder.create(tmp_path / "run", "name: t\n") as run:
        one = trainer(make_policy(), watched(GRPO(), 1, ctrl_c_and_hang), run)
        one.fit()
        assert one.step == 4
