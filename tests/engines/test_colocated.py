"""Engines and ranks on the same GPUs in turn: real vLLM, real DeepSpeed, and a Ray that believes in two GPUs.

There are none: Ray deals out GPUs as it is told that there are, and vLLM on the CPU falls asleep and wakes without freeing
memory. So what these tests see is who sits where, and who computes when.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rewards_of_actors import vowels

from medrl.engines import Request, Sampling
from medrl.errors import ClusterUnavailable
from medrl.evaluation.evaluate import EvaluationSettings
from medrl.learners import Optimization
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.models import Policy, PolicySpec
from medrl.rewards import Verified
from medrl.tracking import RunFolder
from medrl.trainers import Trainer
from medrl.trainers.settings import TrainerSettings
from medrl.types import Problem, Rollout, ask

if TYPE_CHECKING:
    from medrl.cluster.ray_placement import RayPlacement

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PATIENCE = 240.0  # seconds that an engine may take to come back
STEPS = 5
SAMPLING = Sampling(max_tokens=16)


@pytest.fixture(scope="module")
def placement(make_policy: Callable[..., Policy], tmp_path_factory: pytest.TempPathFactory) -> Iterator["RayPlacement"]:
    import ray

    from medrl.cluster.environment import module_path
    from medrl.cluster.fleet import FleetSettings
    from medrl.cluster.learners import LearnerGroup
    from medrl.cluster.ray_placement import RayPlacement
    from medrl.cluster.settings import ClusterSettings

    ray.init(
        address="local", include_dashboard=False, num_cpus=4, num_gpus=2, log_to_driver=False, logging_level="ERROR",
        runtime_env={"env_vars": {"RAY_USAGE_STATS_ENABLED": "0", **module_path()}},
    )  # fmt: skip
    policy, folder = policy_of(make_policy), tmp_path_factory.mktemp("start")
    policy.save(folder)
    settings = ClusterSettings(
        colocate=True,
        engines=FleetSettings(engines=2, gpus=1, heartbeat=0.5, hang_after=120.0),
        learners=LearnerGroup(ranks=2, gpus=1, beat_s=1.0),
        deepspeed=DeepSpeedSettings(stage=3),
    )
    found = RayPlacement(policy, PolicySpec(path=str(folder)), Optimization(lr=1e-2), settings, reference=False)
    yield found
    found.close()
    assert reserved(0), "the GPUs are given back"
    ray.shutdown()


def policy_of(make_policy: Callable[..., Policy]) -> Policy:
    return make_policy(hidden_size=64, heads=2, key_value_heads=1, context=256)


def reserved(groups: int) -> bool:
    """Whether the cluster comes to hold so many placement groups."""
    from ray.util import placement_group_table

    deadline = time.monotonic() + 10.0
    while sum(one["state"] != "REMOVED" for one in placement_group_table().values()) != groups:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def tell(actor: Any, question: Callable[[Any], Any]) -> Any:
    """What an actor's process says of the object in it."""
    import ray

    return ray.get(actor.__ray_call__.remote(question), timeout=60)


def asleep(placement: "RayPlacement") -> list[bool]:
    """Of each engine that is there."""
    slots = placement.engine._desk.slots
    return [tell(slot.actor, lambda one: one._engine.asleep) for slot in slots if slot.ready and slot.actor is not None]


@dataclass
class Watch:
    """Who computed, in order, with who was asleep; and what is done to whom at the n-th call of a method of the learner."""

    placement: "RayPlacement"
    calls: list[tuple[str, list[bool]]] = field(default_factory=list)
    deeds: dict[tuple[str, int], Callable[[], None]] = field(default_factory=dict)

    def of_learner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        learner = self.placement.learner
        wait = learner._wait

        def watched(refs: dict[Any, int], method: str) -> dict[int, Any]:
            if method != "open_store":
                self.calls.append((method, asleep(self.placement)))
                count = sum(name == method for name, _ in self.calls)
                self.deeds.pop((method, count), lambda: None)()
            return wait(refs, method)

        monkeypatch.setattr(learner, "_wait", watched)

    def of_engines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = self.placement.engine
        generate, probe = engine.generate, engine.probe

        async def watched(requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
            async for rollout in generate(requests, version):
                if not self.calls or self.calls[-1][0] != "generate":
                    self.calls.append(("generate", asleep(self.placement)))
                yield rollout

        def probed(token_ids: Sequence[int]) -> dict[str, list[float]]:
            answers = probe(token_ids)
            self.calls.append(("probe", asleep(self.placement)))
            return answers

        monkeypatch.setattr(engine, "generate", watched)
        monkeypatch.setattr(engine, "probe", probed)


def test_engine_n_and_rank_n_have_the_same_gpu_to_themselves(placement: "RayPlacement") -> None:
    def gpu(actor: Any) -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]

    engines = [tell(slot.actor, gpu) for slot in placement.engine._desk.slots]
    assert engines == [tell(actor, gpu) for actor in placement.learner._actors]
    assert sorted(engines) == ["0", "1"] and not placement.concurrent
    assert asleep(placement) == [True, True], "the learner's first turn is its start"


def test_a_cluster_without_room_for_all_pairs_says_so_and_keeps_nothing_reserved(placement: "RayPlacement") -> None:
    from medrl.cluster.seats import seats

    asked = replace(placement.settings, engines=replace(placement.settings.engines, start_timeout=1.0))
    with (
        pytest.raises(ClusterUnavailable, match=r"no room for 2 pairs .* in all it has 2 GPUs and 4 CPUs"),
        seats(asked),
    ):
        pass
    assert reserved(1), "that of the placement which is up"


def test_a_run_in_turns_with_an_engine_killed_asleep_and_a_rank_killed_at_work(
    placement: "RayPlacement", make_policy: Callable[..., Policy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(placement)
    watch.of_learner(monkeypatch)
    watch.of_engines(monkeypatch)
    desk = placement.engine._desk

    def kill_a_sleeping_engine() -> None:
        assert desk.slots[0].card is not None
        os.kill(desk.slots[0].card.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while not placement.engine.figures().restarts:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1.0)
        assert desk.slots[0].actor is None, "nobody comes up while the learner has the GPU"

    def kill_a_rank() -> None:
        placement.learner.look()
        os.kill(placement.learner.beats[1].process, signal.SIGKILL)

    watch.deeds = {("update", 2): kill_a_sleeping_engine, ("update", 4): kill_a_rank}
    problems = [Problem(f"p{i}", ask(f"fever cough {i}"), reference="x") for i in range(8)]
    with RunFolder.create(tmp_path / "run", "name: t\n") as run:
        Trainer(
            policy_of(make_policy), problems, Verified(vowels),
            held_out=[Problem(f"h{i}", ask(f"swollen knee {i}"), reference="x") for i in range(2)],
            settings=TrainerSettings(
                steps=STEPS, problems_per_step=4, rollouts_per_problem=4, evaluate_every=2, save_every=1
            ),
            sampling=SAMPLING, optimization=Optimization(lr=1e-2), evaluation=EvaluationSettings(samples=2),
            run=run, placement=placement,
        ).fit()  # fmt: skip
        rows, evaluated = run.read_metrics("rl"), run.read_evaluations("held_out")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert [row["step"] for row in evaluated] == [0, 2, 4, 5] and not watch.deeds
    assert all(row["cluster/sync_gap"] < 1e-4 and row.get("staleness", 0.0) == 0.0 for row in rows)
    assert (rows[-1]["cluster/engine_restarts"], rows[-1]["cluster/learner_restarts"]) == (1, 1)
    assert all(row["time/turns"] > 0 for row in rows) and any(row.get("grad_norm", 0.0) > 0 for row in rows)

    from medrl.cluster.learners import ASIDE

    engines, seen = {"generate", "probe"}, Counter(name for name, _ in watch.calls)
    assert seen["update"] == STEPS + 1 and seen["save"] >= STEPS and seen["load"] == 1 and seen["start"] == 1
    for name, states in watch.calls:
        assert name in ASIDE or set(states) <= {name not in engines}, (name, states)
    order = [name for name, _ in watch.calls if name in ("generate", "update", "weights", "probe")]
    turns = [
        order[i : i + 4] for i, name in enumerate(order) if name == "generate" and order[i + 1 : i + 2] == ["update"]
    ]
    assert turns == [["generate", "update", "weights", "probe"]] * (STEPS + 1), "in one the rank died"


def all_ready(placement: "RayPlacement") -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(one.ready for one in placement.engine.figures().engines):
        assert time.monotonic() < deadline, placement.engine.figures()
        time.sleep(0.2)


def test_a_turn_that_comes_in_the_middle_of_rollouts_loses_none_of_them(placement: "RayPlacement") -> None:
    """As after Ctrl-C, when a checkpoint is saved at once; and as no run does it, with requests that somebody waits for."""
    engine = placement.engine
    placement.sync.publish(engine.version + 1)
    all_ready(placement)
    before, token_ids = engine.figures(), placement.sync.probe.token_ids
    asked = [
        Request(f"p{group}", index, 100 * group + index, tuple(range(5, 40)), Sampling(max_tokens=150))
        for group in range(6)
        for index in range(8)
    ]

    async def broken_off() -> None:
        stream = engine.generate(asked, engine.version)
        await anext(aiter(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        placement.learner.probe_logprobs(token_ids)

    asyncio.run(broken_off())
    assert asleep(placement) == [True, True]

    async def went_on() -> list[Rollout]:
        rollouts: list[Rollout] = []
        async for rollout in engine.generate(asked, engine.version):
            rollouts.append(rollout)
            if len(rollouts) == 2:
                await asyncio.to_thread(placement.learner.probe_logprobs, token_ids)
                assert asleep(placement) == [True, True]
                await asyncio.to_thread(engine.wake)
        return rollouts

    rollouts = asyncio.run(went_on())
    assert Counter((one.problem_id, one.index) for one in rollouts) == {(one.problem_id, one.index): 1 for one in asked}
    after = engine.figures()
    assert after.restarts == before.restarts and after.resampled > before.resampled


def test_an_engine_that_comes_up_is_waited_for_and_then_sleeps(placement: "RayPlacement", tmp_path: Path) -> None:
    engine = placement.engine
    engine.wake()
    all_ready(placement)
    card, restarts = engine._desk.slots[1].card, engine.figures().restarts
    assert card is not None
    os.kill(card.pid, signal.SIGKILL)
    while engine.figures().restarts == restarts:
        time.sleep(0.05)
    placement.learner.save(tmp_path)
    assert not engine._desk.slots[1].ready, "a checkpoint waits for nobody, so that Ctrl-C does not either"
    placement.learner.probe_logprobs(placement.sync.probe.token_ids)
    assert asleep(placement) == [True, True] and engine.figures().restarts == restarts + 1
