"""A judge that is down for a while: the run goes on, and its failure moves no weight."""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from chat_server import ChatServer, Reply, failing
from torch import Tensor

from medrl.algorithms import GRPO
from medrl.chat import OpenAIChat
from medrl.engines import Sampling
from medrl.errors import RewardFailed
from medrl.learners import Optimization
from medrl.models import Policy
from medrl.rewards import Reward, RewardContext, RubricReward, Scores
from medrl.rollouts import Patient, believable
from medrl.tracking import RunConsole, RunFolder
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Group, Problem, Response, Score, ScoredGroup, ask
from medrl.verifiers.protocol import run_sync

pytestmark = pytest.mark.slow  # starts processes, or waits

MakePolicy = Callable[..., Policy]
RUBRIC = {"rubrics": [{"criterion": "Uses few vowels", "points": 1}]}
PROBLEMS = [
    Problem(f"p{i}", ask(text), kind="rubric", metadata=RUBRIC)
    for i, text in enumerate(("fever", "cough", "knee", "toe"))
]


@dataclass(frozen=True)
class Flaky(Reward):
    """Few vowels are good. At the steps `down` it fails on what `hit` says, as `failed` says."""

    down: tuple[int, ...] = ()
    share: int = 1  # of 1 or 2: fails on all, or on texts of even sum
    failed: str = "error"
    name: str = "flaky"
    stateful: ClassVar[bool] = False
    seen: dict[int, int] = field(default_factory=dict, compare=False)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self._score(rollout.text, context.step) for rollout in group.rollouts] for group in groups]

    def _score(self, text: str, step: int) -> Score:
        if step in self.down and sum(map(ord, text)) % self.share == 0:
            self.seen[step] = self.seen.get(step, 0) + 1
            if self.failed == "zero":
                return Score(0.0)
            return Score(None, self.failed, reason="the judge is down")  # type: ignore[arg-type]
        return Score(1.0 - min(1.0, sum(c in "aeiou" for c in text) / 4))


def fitted(
    policy: Policy, reward: Reward, steps: int = 5, *, console: RunConsole | None = None, **knobs: Any
) -> tuple[Trainer, list[dict[str, Tensor]]]:
    """A finished run, and the weights after each step."""
    weights: list[dict[str, Tensor]] = []

    class Snapshots:
        def log(self, step: int, row: dict[str, float], phase: str = "rl") -> None:
            weights.append({name: p.detach().clone() for name, p in policy.model.named_parameters()})

        def close(self) -> None: ...

    settings = TrainerSettings(
        **{
            "steps": steps,
            "problems_per_step": 2,
            "rollouts_per_problem": 6,
            "evaluate_every": 0,
            "save_every": 0,
            "outage_patience": 0.0,
            **knobs,
        }
    )
    trainer = Trainer(
        policy, PROBLEMS, reward, GRPO(kl_coef=0.0), settings=settings, sampling=Sampling(max_tokens=8),
        optimization=Optimization(lr=0.01), trackers=[Snapshots()], console=console,
    )  # fmt: skip
    trainer.fit()
    return trainer, weights


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_steps_of_an_outage_move_no_weight_and_the_run_goes_on(make_policy: MakePolicy) -> None:
    reward = Flaky(down=(3, 4))
    _, weights = fitted(make_policy(), reward, steps=6)
    assert reward.seen == {3: 12, 4: 12} and len(weights) == 6
    moved = [not same(a, b) for a, b in pairwise(weights)]
    assert moved == [True, False, False, True, True]


def test_what_an_outage_spares_trains_as_if_the_rest_were_never_sampled(make_policy: MakePolicy) -> None:
    """A failure, an abstention and a timeout are one to the policy; a 0 in their place would be another run."""
    ends = {}
    for failed in ("error", "timeout", "abstain", "zero"):
        reward = Flaky(down=(2, 3), share=2, failed=failed)
        _, weights = fitted(make_policy(), reward, steps=3, max_unscored=0.9)
        ends[failed] = weights[-1]
        assert 0 < reward.seen[2] < 12
    assert same(ends["error"], ends["timeout"]) and same(ends["error"], ends["abstain"])
    assert not same(ends["error"], ends["zero"])


def test_a_step_of_which_too_much_failed_trains_nothing(make_policy: MakePolicy) -> None:
    reward = Flaky(down=(3,), share=2)
    _, weights = fitted(make_policy(), reward, steps=4, max_unscored=0.2)
    assert 0.2 < reward.seen[3] / 12 < 1.0
    moved = [not same(a, b) for a, b in pairwise(weights)]
    assert moved == [True, False, True]


def test_a_judge_that_stays_down_stops_the_run(make_policy: MakePolicy) -> None:
    with pytest.raises(RewardFailed, match=r"12 of 12 rollouts have no score \(12 error\)"):
        fitted(make_policy(), Flaky(down=(1,)))
    late = Flaky(down=tuple(range(3, 99)))
    with pytest.raises(
        RewardFailed, match=r"(?s)36 of 60 rollouts over the last 5 steps have no score.*the judge is down"
    ):
        fitted(make_policy(), late, steps=20)


def test_the_share_is_taken_over_the_window(tmp_path: Path, make_policy: MakePolicy) -> None:
    def step(lost: int) -> list[ScoredGroup]:
        scores = tuple(Score(None, "error", reason="down") if i < lost else Score(1.0) for i in range(4))
        return [ScoredGroup(Group(PROBLEMS[0], (Response("x"),) * 4), scores)]

    past: list[list[int]] = []
    for lost in (0, 0, 4, 2):
        kept = believable(step(lost), past, 0.5, 3)
        assert [score.value is None for score in kept[0].scores] == (
            [True] * 4 if lost == 4 else [i < lost for i in range(4)]
        )
    assert past == [[0, 4], [4, 4], [2, 4]]
    with pytest.raises(RewardFailed, match="over the last 3 steps"):
        believable(step(4), past, 0.5, 3)
    with RunFolder.create(tmp_path / "run", "name: x") as run:
        trainer, _ = fitted(make_policy(), Flaky(down=(2,)), steps=3)
        trainer.run = run
        from medrl.trainers import checkpoints

        checkpoints.save(trainer, run)
        kept_state = json.loads((run.latest_checkpoint() / "trainer.json").read_text())["unscored"]  # type: ignore[operator]
        assert kept_state == trainer.unscored == [[0, 12], [12, 12], [0, 12]]


@dataclass(frozen=True)
class Down(Flaky):
    """Few vowels are good. From its `fails`-th group on it fails for `seconds`; texts of `never` fail for good."""

    fails: int = 5
    seconds: float = 0.0
    never: str = ""
    asked: list[float] = field(default_factory=list, compare=False)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        self.asked.append(time.monotonic())
        if len(self.asked) >= self.fails and time.monotonic() < self.asked[self.fails - 1] + self.seconds:
            return [[Score(None, "timeout", reason="no answer") for _ in group.rollouts] for group in groups]
        return [
            [Score(None, "error", reason="cannot")] * len(group.rollouts)
            if group.problem.id == self.never
            else [self._score(rollout.text, 0) for rollout in group.rollouts]
            for group in groups
        ]


def test_an_outage_is_waited_for_and_the_weights_are_those_without_one(make_policy: MakePolicy) -> None:
    """More groups fail than `max_unscored` bears, in a client that never asks again."""
    lines: list[str] = []

    class Lines(RunConsole):
        def say(self, text: str, *, style: str | None = None) -> None:
            if text.startswith(("the judge", "scored again")):
                lines.append(text)

    ends = []
    for seconds in (0.0, 2.0):  # at the third step
        reward = Down(seconds=seconds)
        trainer, weights = fitted(make_policy(), reward, steps=4, outage_patience=60.0, console=Lines(quiet=True))
        ends.append(weights[-1])
        assert [lost for lost, _ in trainer.unscored] == [0, 0, 0, 0]
    assert same(*ends)
    assert len(reward.asked) > 9  # eight groups, and more than one of them again
    assert lines[0] == "the judge fails; scoring again for at most 60 seconds: no answer"
    assert lines[-1].startswith("scored again, ")


def test_what_can_never_be_scored_waits_once_and_not_at_each_step(make_policy: MakePolicy) -> None:
    started = time.monotonic()
    trainer, _ = fitted(make_policy(), Down(never="p0"), steps=8, outage_patience=1.5)
    assert sum(lost for lost, _ in trainer.unscored) == 4 * 6  # an epoch is two steps
    assert time.monotonic() - started < 8.0


def test_one_failure_that_an_outage_leaves_behind_is_not_waited_for(make_policy: MakePolicy) -> None:
    """In an outage a group waits for each of its rollouts; once others are scored again, its own fault is its own."""
    down, sleeps = [1], list[float]()

    class Judge:
        async def score(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
            sleeps.append(time.monotonic())
            good = 0 if down and down.pop() else 5
            return [[Score(1.0)] * good + [Score(None, "error", reason="cannot")] * (6 - good) for _ in groups]

        def statistics(self) -> dict[str, dict[str, Any]]:
            return {}

    patient = Patient(Judge(), 0.5, 60.0, lambda text: None)
    patient.worked = True
    group = Group(PROBLEMS[0], (Response("x"),) * 6)
    ((*_, last),) = run_sync(patient.score([group]))
    assert last.status == "error" and len(sleeps) == 2 and patient.began is None


class Scripted:
    """A scorer that fails on the rollouts of a problem as `fails` says, by problem and try."""

    def __init__(self, fails: Callable[[str, int], int]) -> None:
        self.fails, self.tries = fails, Counter[str]()

    async def score(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
        return [self._row(group) for group in groups]

    def _row(self, group: Group) -> list[Score]:
        self.tries[group.problem.id] += 1
        bad = self.fails(group.problem.id, self.tries[group.problem.id])
        return [Score(None, "error", reason="500")] * bad + [Score(1.0)] * (len(group.rollouts) - bad)

    def statistics(self) -> dict[str, dict[str, Any]]:
        return {}


def failed(row: Sequence[Score]) -> int:
    return sum(score.value is None for score in row)


def test_a_judge_that_comes_and_goes_is_waited_for_as_long_as_one_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its failures go up and down from try to try; neither begins another patience, and the best try is kept."""
    clock, draws, seen = [0.0], random.Random(0), dict[str, list[int]]()

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    def fails(problem: str, attempt: int) -> int:
        seen.setdefault(problem, []).append(sum(draws.random() < 0.95 for _ in range(8)))
        return seen[problem][-1]

    monkeypatch.setattr("medrl.rollouts.outage.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr("medrl.rollouts.outage.asyncio", SimpleNamespace(sleep=sleep))
    patient = Patient(Scripted(fails), 0.5, 120.0, lambda text: None)
    patient.worked = True
    scores = run_sync(patient.score([Group(problem, (Response("x"),) * 8) for problem in PROBLEMS]))
    assert clock[0] == 120.0
    assert all(failed(row) == min(seen[p.id]) < 8 for p, row in zip(PROBLEMS, scores, strict=True))
    assert any(tries[-1] > min(tries) for tries in seen.values())


def test_groups_that_are_scored_again_buy_no_more_time_for_one_that_is_not() -> None:
    """Groups are scored at the same time, each by a call of its own."""
    judge = Scripted(lambda problem, attempt: 6 if problem == "p0" or attempt == 1 else 0)
    patient = Patient(judge, 0.5, 1.2, lambda text: None)
    patient.worked = True

    async def late(place: int) -> tuple[int, float]:
        await asyncio.sleep(0.4 * max(0, place - 1))
        (row,) = await patient.score([Group(PROBLEMS[place], (Response("x"),) * 6)])
        return failed(row), time.monotonic()

    async def step() -> list[tuple[int, float]]:
        return await asyncio.gather(*map(late, range(4)))

    began = time.monotonic()
    (lost, ended), *others = run_sync(step())
    assert lost == 6 and ended - began < 2.0 and [lost for lost, _ in others] == [0, 0, 0]
    tries = judge.tries["p0"]
    assert run_sync(late(0))[0] == 6 and judge.tries["p0"] == tries + 1  # it waited in vain, so it waits no more


def test_a_judge_that_never_worked_is_told_at_once(make_policy: MakePolicy) -> None:
    with pytest.raises(RewardFailed, match="12 of 12 rollouts have no score"):
        fitted(make_policy(), Flaky(down=(1,)), outage_patience=600.0)


@pytest.mark.slow
def test_a_judge_behind_http_that_is_down_for_a_while_ends_in_the_very_same_weights(
    chat_server: Callable[..., ChatServer], make_policy: MakePolicy
) -> None:
    """The client waits and asks again, so an outage that it outlasts changes nothing, to the bit."""
    down = threading.Event()

    def grader(request: dict[str, Any], number: int) -> Reply | str:
        if number == 6:
            down.set()
            threading.Timer(3.0, down.clear).start()
        if down.is_set():
            return failing(503)
        answer = request["messages"][-1]["content"].split("ANSWER ===")[-1].split("CRITERIA ===")[0]
        return json.dumps({"1": sum(c in "aeiou" for c in answer) < 3})

    ends = []
    for outage in (False, True):
        server = chat_server(grader if outage else lambda request, number: grader(request, -1))
        client = OpenAIChat(model="grader", base_url=server.url, max_retries=8, backoff=0.5, timeout=20.0)
        started = time.monotonic()
        trainer, weights = fitted(make_policy(), RubricReward(client, self_test=False), steps=4)
        ends.append(weights[-1])
        assert sum(lost for lost, _ in trainer.unscored) == 0
        assert server.count > 12 and not any(same(a, b) for a, b in pairwise(weights))
    assert time.monotonic() - started > 2.5  # the outage was waited for
    assert same(*ends)
