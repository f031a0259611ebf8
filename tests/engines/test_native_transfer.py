"""vLLM's own weight transfer from ranks to engines: its NCCL classes over gloo, with real vLLM, DeepSpeed and Ray.

NCCL and CUDA IPC need GPUs. What runs here is all that is around them: who meets whom, in which order, what every step does
in the engines, and what happens when one of them dies.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from medrl.algorithms import GRPO, Batch
from medrl.engines import Request, Sampling
from medrl.engines.vllm_settings import EngineSettings
from medrl.errors import LearnerLost
from medrl.learners import Optimization
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.models import Policy, PolicySpec
from medrl.types import Rollout

if TYPE_CHECKING:
    from medrl.cluster.learners import RayLearners
    from medrl.cluster.native import NativeEngines, NativeSync

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PATIENCE = 240.0  # seconds that an engine may take to come back
HANG = 15.0
ALGORITHM = GRPO()


@dataclass
class Run:
    """Two engines, two ranks, and what brings weights from these to those."""

    engines: "NativeEngines"
    learner: "RayLearners"
    sync: "NativeSync"
    policy: Policy
    batch: Batch
    version: int = 0

    def train_and_publish(self) -> None:
        self.learner.update(self.batch, ALGORITHM, self.version)
        self.version += 1
        self.sync.publish(self.version)

    def everyone_is_back(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not all(one.ready and one.version == self.version for one in self.engines.figures().engines):
            assert time.monotonic() < deadline, self.engines.figures()
            time.sleep(0.2)
        ids = self.sync.probe.token_ids
        assert self.sync.probe.learner is not None
        for answer in self.engines.probe(ids).values():
            assert answer == pytest.approx(self.sync.probe.learner, abs=1e-5)

    def sample(self, groups: int, on_rollout: Callable[[int], None] = lambda count: None) -> list[Rollout]:
        asked = [
            Request(
                f"p{group}", index, 100 * group + index, tuple(range(5 + group, 45 + group)), Sampling(max_tokens=60)
            )
            for group in range(groups)
            for index in range(4)
        ]

        async def main() -> list[Rollout]:
            rollouts: list[Rollout] = []
            async for rollout in self.engines.generate(asked, self.version):
                rollouts.append(rollout)
                on_rollout(len(rollouts))
            return rollouts

        rollouts = asyncio.run(main())
        assert Counter((r.problem_id, r.index) for r in rollouts) == Counter((r.problem_id, r.index) for r in asked)
        return rollouts

    def tell(self, number: int, question: Callable[[Any], Any]) -> Any:
        """What the process of an engine says."""
        import ray

        return ray.get(self.engines._desk.slots[number].actor.__ray_call__.remote(question), timeout=60)

    def tell_rank_0(self, question: Callable[[Any], Any]) -> Any:
        """What the process of the sender says."""
        import ray

        return ray.get(self.learner._actors[0].__ray_call__.remote(question), timeout=60)


@pytest.fixture(scope="module")
def run(
    ray: Any, make_policy: Callable[..., Policy], make_batch: Callable[..., Batch],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:  # fmt: skip
    from gloo_transfer import GlooEngine, GlooRank

    from medrl.cluster import engine_slots, learners
    from medrl.cluster.environment import module_path
    from medrl.cluster.fleet import FleetSettings
    from medrl.cluster.learners import LearnerGroup
    from medrl.cluster.native import NativeEngines, NativeSync
    from medrl.cluster.ray_placement import RayPlacement
    from medrl.cluster.settings import ClusterSettings

    policy, folder = (
        make_policy(hidden_size=64, heads=2, key_value_heads=1, context=256),
        tmp_path_factory.mktemp("start"),
    )
    policy.save(folder)
    settings = ClusterSettings(
        engines=FleetSettings(engines=2, heartbeat=0.5, hang_after=HANG),
        engine=EngineSettings(kv_cache_gib=1 / 16, transfer="nccl"),
        learners=LearnerGroup(ranks=2, beat_s=1.0),
        deepspeed=DeepSpeedSettings(stage=3),
    )
    slots: Any = engine_slots
    environment, found = slots.engine_environment, module_path()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "EngineActor", GlooEngine)
        patch.setattr(slots, "engine_environment", lambda threads: environment(threads) | found)
        patch.setattr(learners, "LearnerActor", GlooRank)
        placement = RayPlacement(policy, PolicySpec(path=str(folder)), Optimization(lr=1e-2), settings, reference=False)
        batch = make_batch(policy, [1.0, 0.0, 0.5, 0.25], 2)
        batch = ALGORITHM.advantages(placement.learner.forward(batch, ALGORITHM.needs), {})
        assert isinstance(placement.engine, NativeEngines) and isinstance(placement.sync, NativeSync)
        yield Run(placement.engine, placement.learner, placement.sync, policy, batch)
        placement.close()


def test_weights_go_to_all_engines_in_one_group_that_lasts(run: Run) -> None:
    from gloo_transfer import places

    before = run.engines.probe(run.sync.probe.token_ids)
    run.train_and_publish()
    assert run.sync.last is not None and run.sync.last.gap < 1e-5 and run.sync.version == 1
    size = sum(weight.nbytes for weight in run.policy.model.parameters())
    assert run.sync.last.mib == pytest.approx(size / 2**20), "a tied head is sent once"
    moved = run.engines.probe(run.sync.probe.token_ids)
    assert all(abs(a - b) > 1e-4 for name in before for a, b in zip(before[name][-1:], moved[name][-1:], strict=True))
    run.train_and_publish()
    groups = [run.tell(number, places) for number in range(2)]
    assert [[(rank, world) for _, rank, world in own] for own in groups] == [[(1, 3)], [(2, 3)]]
    for rollout in run.sample(4):
        assert {span.version for span in rollout.versions} == {2}
        ids = rollout.prompt_ids + rollout.token_ids
        ours = run.learner.probe_logprobs(ids)[-len(rollout.token_ids) :]
        assert rollout.logprobs == pytest.approx(ours, abs=1e-4)


def test_an_engine_that_dies_in_the_middle_of_an_update(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The other gets the weights all the same, and whoever takes its place at once when it is up."""
    from gloo_transfer import die, places

    name, before = run.engines._desk.slots[1].name, run.engines.figures().restarts
    run.tell(1, die)
    with caplog.at_level(logging.WARNING, "medrl.cluster"):
        run.train_and_publish()
    assert f"the weights did not arrive: {name} died in update_weights" in caplog.text
    assert run.engines.figures().engines[0].version == run.version
    run.sample(2)
    run.everyone_is_back()
    assert run.engines.figures().restarts == before + 1, "the other engine lived through it"
    assert [own[1:] for own in run.tell(0, places)] == [(1, 3), (1, 2)]
    assert [own[1:] for own in run.tell(1, places)] == [(1, 2)], "and was not disturbed afterwards"


def test_an_engine_that_hangs_in_the_middle_of_an_update(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    from gloo_transfer import hang, places

    name, before = run.engines._desk.slots[0].name, run.engines.figures().restarts
    run.tell(0, hang)
    with caplog.at_level(logging.WARNING, "medrl.cluster"):
        run.train_and_publish()
    assert f"{name} has made no step for" in caplog.text and "receive_weights" in caplog.text
    assert run.engines.figures().restarts == before + 1
    assert [own[1:] for own in run.tell(1, places)] == [(1, 2), (2, 3), (1, 2)], "all met again, then without the one"
    run.sample(2)


def test_a_rank_that_dies_in_the_middle_of_an_update_leaves_no_engine_waiting(run: Run) -> None:
    """Last of these: a new learner would publish anew, as in test_learner_ray.py."""
    from gloo_transfer import die

    before = run.engines.figures().restarts
    run.tell_rank_0(die)
    with pytest.raises(LearnerLost, match="rank 0 of 2 died in send"):
        run.train_and_publish()
    assert run.tell(1, lambda actor: actor._engine._in_transfer is None)
    assert run.engines.figures().restarts == before


@dataclass
class Noted:
    """An engine that notes what it is asked, as an actor is called."""

    payloads: list[Any]

    @property
    def native(self) -> "Noted":
        return self

    def remote(self, step: str, payload: tuple[Any, ...], version: int | None) -> object:
        self.payloads.append((step, *payload, version))
        return object()


def test_each_engine_has_the_ranks_of_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from medrl.cluster.carrier import EngineSteps, Members

    engines = [Noted([]), Noted([])]
    steps = EngineSteps(Members("nccl", (("a", engines[0]), ("b", engines[1])), gpus=4, patience=1.0), lambda: None)
    monkeypatch.setattr(steps, "_wait", lambda asked, step: None)
    steps.init_weight_transfer_engine({"rank_offset": 1, "world_size": 9})
    steps.init_weight_transfer_engine({"packed": True})  # of CUDA IPC, which has no group
    steps.version = 3
    steps.finish_weight_update()
    steps.fault = "a died"
    steps.start_weight_update()
    first = "init_weight_transfer_engine"
    assert [one.payloads for one in engines] == [
        [
            (first, {"rank_offset": rank, "world_size": 9}, None),
            (first, {"packed": True}, None),
            ("finish_weight_update", 3),
        ]
        for rank in (1, 5)
    ]


def test_rank_0_is_given_up_where_it_does_not_leave_a_group_that_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    from medrl.cluster import carrier
    from medrl.cluster.carrier import Carrier, EngineSteps, Members

    monkeypatch.setattr(carrier, "GRACE_S", 0.1)
    rank, released = object.__new__(Carrier), threading.Event()
    rank.rank, rank._trainer, rank._learner = 0, None, SimpleNamespace(passes=7)  # type: ignore[assignment]
    rank.steps = EngineSteps(Members("nccl", (), 1, 1.0), lambda: None)
    rank.steps.fault, rank.steps.fault_at = "engine-3 died in init_weight_transfer_engine", time.monotonic()

    def stuck() -> None:
        released.wait()

    with pytest.raises(LearnerLost, match="rank 0 is caught in a transfer of weights, in which engine-3 died"):
        rank._bounded(stuck)
    released.set()
