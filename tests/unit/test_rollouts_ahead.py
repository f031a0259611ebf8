"""Rollouts ahead of the learner: how far, in which order, and that nothing of them is lost, doubled or half done."""

import asyncio
import copy
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from medrl.engines import InProcessEngine, Request, Sampling
from medrl.errors import LearnerLost
from medrl.evaluation import EvaluationSettings
from medrl.learners import Optimization, TorchLearner
from medrl.models import Policy
from medrl.rewards import Reward, RewardContext, Scorer, Verified
from medrl.rollouts import Ahead, Ordered, collect, undisturbed
from medrl.tracking import RunFolder, timeless
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Problem, Rollout, ScoredGroup, ask
from medrl.verifiers.protocol import verifier

MakePolicy = Callable[..., Policy]
PROBLEMS = [Problem(f"p{i}", ask(text)) for i, text in enumerate(("fever", "cough", "chest pain", "gout?"))]
SAMPLING = Sampling(max_tokens=8)


@verifier("few_vowels_ahead")
def few_vowels(problem: Problem, text: str) -> float:
    return 1.0 - min(1.0, sum(c in "aeiou" for c in text) / 4)


class Counted(InProcessEngine):
    """Remembers what it was asked for. It writes four responses at a time, so that groups end one after the other."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, max_rows=4)
        self.asked: list[tuple[str, int, int]] = []
        self.lock = threading.Lock()
        self.on_rollout: Callable[[], None] = lambda: None

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        self.asked += [(one.problem_id, one.seed, version) for one in requests]
        async for rollout in super().generate(requests, version):
            self.on_rollout()
            yield rollout

    def _step(self, *arguments: Any) -> Any:
        with self.lock:
            return super()._step(*arguments)


class Apart:
    """Engine and learner in one process, each with weights of its own, so that both can work at the same time."""

    concurrent = True

    def __init__(self, policy: Policy) -> None:
        sampled = Policy(copy.deepcopy(policy.model), policy.tokenizer)
        self.engine, self.learner, self.sync = Counted(sampled), TorchLearner(policy, Optimization(lr=1e-2)), self
        self.published: list[int] = []

    def scorer(self, reward: Reward) -> Scorer:
        return reward

    def restart_learner(self, lost: LearnerLost) -> None:
        raise lost

    def figures(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        pass

    def publish(self, version: int, kind: Literal["full", "adapter"] = "full") -> None:
        with self.engine.lock:
            self.engine.policy.model.load_state_dict(self.learner.model.state_dict())
        self.published.append(version)


def trainer(
    policy: Policy, *, apart: bool = True, run: RunFolder | None = None, k: int = 0, **settings: Any
) -> Trainer:
    sizes = {"steps": 6, "problems_per_step": 2, "rollouts_per_problem": 4, "evaluate_every": 0, "save_every": 0}
    return Trainer(
        policy, PROBLEMS, Verified(few_vowels), settings=TrainerSettings(**{**sizes, **settings}), sampling=SAMPLING,
        optimization=Optimization(lr=1e-2), evaluation=EvaluationSettings(samples=1), run=run, seed=3, max_staleness=k,
        placement=Apart(policy) if apart else None, max_rows=4,
    )  # fmt: skip


def folder(path: Path, resume: bool = False) -> RunFolder:
    return RunFolder.create(path, "name: test\n", resume=resume)


def same(left: Policy, right: Policy) -> bool:
    other = right.model.state_dict()
    return all(torch.equal(value, other[name]) for name, value in left.model.state_dict().items())


@pytest.mark.parametrize("k", [0, 1, 3])
def test_never_more_than_k_steps_are_under_way_beside_the_present_one(k: int) -> None:
    drawn: list[int] = []
    running: set[int] = set()
    most = 0

    def draw(step: int) -> Ordered:
        drawn.append(step)
        return Ordered(step, [], RewardContext(step))

    async def gather(ordered: Ordered) -> list[ScoredGroup]:
        nonlocal most
        running.add(ordered.step)
        most = max(most, len(running))
        await asyncio.sleep(0.001 * (10 - ordered.step))  # later steps would be done first
        running.discard(ordered.step)
        return []

    async def loop() -> None:
        ahead = Ahead(draw, gather, k)
        for step in range(1, 8):
            _, ordered = await ahead.next(step, 7)
            assert ordered.step == step
            assert max(drawn) == min(step + k, 7), "step s may begin once the policy has version s - 1 - k"
            assert len(ahead.ordered) == min(k, 7 - step)
        await ahead.close()

    asyncio.run(loop())
    assert drawn == list(range(1, 8)) and most == k + 1


def test_closed_and_put_back_it_goes_on_from_the_groups_that_were_finished(make_policy: MakePolicy) -> None:
    policy = make_policy()
    engine = Counted(policy)
    engine.max_rows = 1

    async def gather(ordered: Ordered) -> list[ScoredGroup]:
        return await collect(
            engine, policy, ordered.problems, Verified(few_vowels), samples=2, sampling=SAMPLING,
            seed=("test", ordered.step), version=0, context=ordered.context, kept=ordered.kept,
        )  # fmt: skip

    def draw(step: int) -> Ordered:
        return Ordered(step, list(PROBLEMS), RewardContext(step))

    async def interrupted() -> tuple[list[ScoredGroup], list[ScoredGroup]]:
        whole, _ = await Ahead(draw, gather).next(1, 1)
        first, second = Ahead(draw, gather), Ahead(draw, gather)
        engine.asked.clear()
        task = asyncio.ensure_future(first.next(1, 1))
        engine.on_rollout = lambda: task.cancel() if first.ordered[0].kept else None
        with pytest.raises(asyncio.CancelledError):
            await task
        await first.close()
        kept = dict(first.ordered[0].kept)
        assert 1 <= len(kept) < len(PROBLEMS)
        engine.on_rollout = lambda: None
        engine.asked.clear()
        second.put_back(first.ordered)
        scored, _ = await second.next(1, 1)
        assert {name for name, _, _ in engine.asked} == {p.id for i, p in enumerate(PROBLEMS) if i not in kept}
        assert all(scored[place] is group for place, group in kept.items())
        return whole, scored

    whole, scored = asyncio.run(interrupted())
    assert [g.group.rollouts for g in scored] == [g.group.rollouts for g in whole], "sampled again with the same seeds"


def test_with_k_0_engine_and_learner_apart_train_the_very_weights_of_one_module(make_policy: MakePolicy) -> None:
    together, apart = make_policy(), make_policy()
    trainer(together, apart=False).fit()
    trainer(apart).fit()
    assert same(together, apart) and not same(apart, make_policy())


@pytest.mark.parametrize("k", [1, 2])
def test_with_k_above_0_every_problem_is_asked_once_an_epoch_and_no_token_is_older_than_k(
    make_policy: MakePolicy, tmp_path: Path, k: int
) -> None:
    with folder(tmp_path / "run") as run:
        one = trainer(make_policy(), run=run, k=k)
        one.fit()
        rows = run.read_metrics("rl")
        traces = [trace for step in run.rollout_steps() for trace in run.read_rollouts(step)]
    placement = one.placement
    assert isinstance(placement, Apart) and placement.published == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    asked = Counter(trace.group.problem.id for trace in traces)
    assert asked == {p.id: 3 for p in PROBLEMS}, "12 groups are three epochs of four problems"
    assert len({(r.problem_id, r.seed) for t in traces for r in t.group.rollouts}) == 12 * 4  # type: ignore[attr-defined]
    behind = [row.get("staleness", 0.0) for row in rows]
    assert behind[0] == 0.0 and behind[-1] == max(behind) == k
    assert rows[-1][f"staleness/{k}"] == 1.0


def test_staleness_needs_a_placement_that_samples_while_it_trains(make_policy: MakePolicy) -> None:
    with pytest.raises(ValueError, match="samples and trains in turn; take 0"):
        trainer(make_policy(), apart=False, k=1)


@pytest.mark.parametrize("k", [0, 1])
def test_a_run_stopped_in_the_middle_of_a_step_keeps_what_is_finished_and_loses_nothing(
    make_policy: MakePolicy, tmp_path: Path, k: int
) -> None:
    undisturbed_policy = make_policy()
    with folder(tmp_path / "whole") as run:
        trainer(undisturbed_policy, run=run, k=k).fit()
        expected = [timeless(row) for row in run.read_metrics("rl")]

    with folder(tmp_path / "stopped") as run:
        one = trainer(make_policy(), run=run, k=k)
        stop_after_step_3_with_a_finished_group_ahead(one)
        with pytest.raises(asyncio.CancelledError):
            one.fit()
        checkpoint = run.latest_checkpoint()
        assert checkpoint == run.path / "checkpoints" / f"step-{one.step:06d}" and 3 <= one.step < 6
        ahead = sorted(path.name for path in checkpoint.glob("ahead-*"))
        assert ahead and set(ahead) <= {f"ahead-{step:06d}.jsonl" for step in range(one.step + 1, one.step + 2 + k)}

    resumed = make_policy()
    with folder(tmp_path / "stopped", resume=True) as run:
        other = trainer(resumed, run=run, k=k)
        assert other.resume() and other.step == one.step
        kept = [group for ordered in other.ahead.ordered for group in ordered.kept.values()]
        assert kept, "the group that was finished is not sampled again"
        seeds = {r.seed for group in kept for r in group.group.rollouts}  # type: ignore[attr-defined]
        other.fit()
        assert not seeds & {seed for _, seed, _ in other.placement.engine.asked}  # type: ignore[attr-defined]
        assert [row["step"] for row in run.read_metrics("rl")] == [1, 2, 3, 4, 5, 6]
        found = [timeless(row) for row in run.read_metrics("rl")]
    if k == 0:
        assert same(resumed, undisturbed_policy) and found == expected, "bit for bit as if it had never been stopped"


def stop_after_step_3_with_a_finished_group_ahead(one: Trainer) -> None:
    """What Ctrl-C does: the task of the run is cancelled."""
    engine = one.placement.engine
    assert isinstance(engine, Counted)
    main: list[asyncio.Task[Any]] = []
    fit = one._fit

    async def watched(steps: int) -> None:
        main.append(asyncio.current_task())  # type: ignore[arg-type]
        await fit(steps)

    one._fit = watched  # type: ignore[method-assign]

    def stop() -> None:
        if one.step >= 3 and any(ordered.kept for ordered in one.ahead.ordered):
            main[0].cancel()

    engine.on_rollout = stop


class Told:
    """A tracker that keeps what it was told of."""

    def __init__(self, rows: list[tuple[str, int]]) -> None:
        self.rows = rows

    def log(self, step: int, metrics: Any, *, phase: str = "rl") -> None:
        self.rows.append((phase, step))

    def close(self) -> None:
        pass


class Fragile(Apart):
    """A placement whose learner is lost at given steps, and that has new ones, as a group of ranks has."""

    def __init__(self, policy: Policy, lost_at: Sequence[int]) -> None:
        super().__init__(policy)
        self.start, self.left = copy.deepcopy(policy.model.state_dict()), list(lost_at)
        self._watch()

    def _watch(self) -> None:
        update = self.learner.update

        def fragile(batch: Any, algorithm: Any, seed: int) -> dict[str, float]:
            found = update(batch, algorithm, seed)  # the weights have moved: nothing of the learner can be kept
            if self.left and len(self.published) + 1 >= self.left[0]:
                self.left.pop(0)
                raise LearnerLost("rank 1 of 2 died in update", [1])
            return found

        self.learner.update = fragile  # type: ignore[method-assign]

    def restart_learner(self, lost: LearnerLost) -> None:
        policy = self.learner.policy
        policy.model.load_state_dict(self.start)
        self.learner = TorchLearner(policy, Optimization(lr=1e-2))
        self._watch()


@pytest.mark.slow
@pytest.mark.parametrize("lost_at", [(2,), (4,), (1, 4, 5)], ids=str)
def test_a_lost_learner_is_made_anew_and_the_run_ends_in_the_same_weights(
    make_policy: MakePolicy, tmp_path: Path, lost_at: tuple[int, ...]
) -> None:
    """Before the first checkpoint everything begins again, the evaluation before training too; later it goes back to one."""
    expected, policy = make_policy(), make_policy()
    held_out = [Problem("h0", ask("knee")), Problem("h1", ask("red?"))]
    knobs: dict[str, Any] = {"save_every": 3, "steps": 6}
    with folder(tmp_path / "whole") as run:
        whole = trainer(expected, run=run, **knobs)
        whole.held_out = held_out
        whole.fit()
        rows, evaluations = run.read_metrics("rl"), run.read_evaluations()
    with folder(tmp_path / "lost") as run:
        one = trainer(policy, run=run, **knobs)
        one.held_out, one.placement = held_out, Fragile(policy, lost_at)
        told: list[tuple[str, int]] = []
        one.trackers = [Told(told)]
        one.fit()
        assert [step for phase, step in told if phase == "rl"] == [1, 2, 3, 4, 5, 6], "trackers cannot be cut back"
        assert len(told) == len(set(told))
        assert not one.placement.left
        assert [timeless(row) for row in run.read_metrics("rl")] == [timeless(row) for row in rows]
        assert [timeless(row) for row in run.read_evaluations()] == [timeless(row) for row in evaluations]
        assert run.read_evaluations()[0]["step"] == 0
    assert same(policy, expected)


def test_a_learner_that_is_lost_while_the_last_checkpoint_is_written_is_made_anew(
    make_policy: MakePolicy, tmp_path: Path
) -> None:
    """The run stops by its patience, between two checkpoints; and later it is evaluated once more."""
    policies, held_out = (make_policy(), make_policy()), [Problem("h0", ask("knee"))]
    knobs: dict[str, Any] = {"save_every": 0, "steps": 6, "evaluate_every": 2, "patience": 1}
    for name, policy in zip(("whole", "lost"), policies, strict=True):
        with folder(tmp_path / name) as run:
            one = trainer(policy, run=run, **knobs)
            one.held_out, one.placement = held_out, Fragile(policy, ())
            one._should_stop = lambda one=one: one.step >= 2  # type: ignore[method-assign,misc]
            if name == "lost":
                lose_once(one, "save")
            one.fit()
            assert one.step == 2 and [path.name for path in run.checkpoints()] == ["step-000002"]
            assert [row["step"] for row in run.read_metrics("rl")] == [1, 2]
            one.best, one.evaluated_step = {}, -1
            if name == "lost":
                lose_once(one, "save_policy")
            one.fit()  # nothing is left to train: the evaluation that is missing, and the best policy
            assert one.evaluated_step == 2 and one.best and (run.best / "model.safetensors").is_file()
    assert same(*policies)


def lose_once(one: Trainer, method: str) -> None:
    """The learner is lost when this is called next."""
    learner = one.placement.learner

    def lost(*_: Any) -> None:
        raise LearnerLost(f"rank 0 of 2 died in {method}", [0])

    setattr(learner, method, lost)  # another learner takes its place


def test_a_learner_that_cannot_be_had_again_ends_the_run(make_policy: MakePolicy) -> None:
    one = trainer(make_policy())

    def lost(*_: Any) -> dict[str, float]:
        raise LearnerLost("rank 0 of 1 died in update", [0])

    one.placement.learner.update = lost  # type: ignore[method-assign]
    with pytest.raises(LearnerLost, match="rank 0 of 1 died"):
        one.fit()


def test_what_must_not_be_half_done_is_finished_before_a_cancellation_goes_on() -> None:
    done = []

    async def update() -> int:
        await asyncio.sleep(0.02)
        done.append("whole")
        return 7

    async def cancelled() -> None:
        task = asyncio.ensure_future(undisturbed(update()))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == ["whole"]

    asyncio.run(cancelled())
    assert asyncio.run(undisturbed(update())) == 7
