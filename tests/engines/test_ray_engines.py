"""vLLM engines in Ray actors: streams, kills, hangs, weights, and the probe that guards them."""

import asyncio
import copy
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from medrl.engines import Request, Sampling
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import EngineFailed, LearnerLost, WeightDrift
from medrl.learners import LoRA, Optimization, TorchLearner
from medrl.learners.trainable import adapter_off
from medrl.models import Policy
from medrl.models.buckets import LentBucket, lend
from medrl.rewards import Verified
from medrl.rollouts import collect
from medrl.types import Problem, Rollout, ask
from medrl.verifiers.protocol import verifier

if TYPE_CHECKING:
    from medrl.cluster.engines import RayEngines

pytestmark = [pytest.mark.engine, pytest.mark.slow]

HANG = 30.0  # seconds; a step takes milliseconds, but machines that run tests may be busy
SMALL = 1 / 16  # GiB of keys and values; a whole one takes a second to be zeroed, for each engine
PATIENCE = 240.0  # seconds that an engine may take to come back


@dataclass
class Side:
    """A torch policy in this process, and the engines that serve it."""

    policy: Policy
    engines: "RayEngines"

    def weights(self, kind: str = "full") -> Iterator[LentBucket]:
        return lend(self.policy.model.named_parameters())

    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        return logprobs(self.policy.model, token_ids)

    def move(self) -> None:
        with torch.no_grad():
            for parameter in self.policy.model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))

    def all_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not all(engine.ready for engine in self.engines.figures().engines):
            assert time.monotonic() < deadline, self.engines.figures()
            time.sleep(0.2)


def logprobs(model: Any, ids: Sequence[int]) -> list[float]:
    with torch.no_grad():
        all_TV = model(torch.tensor([list(ids)])).logits[0].float().log_softmax(-1)
    return [all_TV[place - 1, ids[place]].item() for place in range(1, len(ids))]


def gap(model: Any, rollout: Rollout, start: int = 0, end: int | None = None) -> float:
    ours = logprobs(model, rollout.prompt_ids + rollout.token_ids)[len(rollout.prompt_ids) - 1 :]
    return max((abs(a - b) for a, b in list(zip(ours, rollout.logprobs, strict=True))[start:end]), default=0.0)


def requests(groups: int, samples: int = 8, max_tokens: int = 100) -> list[Request]:
    return [
        Request(
            f"p{group}",
            index,
            1000 * group + index,
            tuple(5 + (group + i) % 50 for i in range(70)),
            Sampling(max_tokens=max_tokens),
        )
        for group in range(groups)
        for index in range(samples)
    ]


def sample(
    side: Side, asked: Sequence[Request], on_rollout: Callable[[int], None] = lambda count: None
) -> list[Rollout]:
    async def main() -> list[Rollout]:
        rollouts: list[Rollout] = []
        async for rollout in side.engines.generate(asked, side.engines.version):
            rollouts.append(rollout)
            on_rollout(len(rollouts))
        return rollouts

    return asyncio.run(main())


def once_each(rollouts: Sequence[Rollout], asked: Sequence[Request]) -> bool:
    wanted = Counter((request.problem_id, request.index) for request in asked)
    return Counter((rollout.problem_id, rollout.index) for rollout in rollouts) == wanted


@pytest.fixture(scope="module")
def side(ray: Any, make_policy: Callable[..., Policy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    from medrl.cluster.engines import RayEngines
    from medrl.cluster.fleet import FleetSettings

    policy = make_policy(hidden_size=64, heads=2, key_value_heads=1, context=256)
    served = ServedModel.of(policy, tmp_path_factory.mktemp("served") / "model")
    fleet = FleetSettings(engines=2, heartbeat=0.5, hang_after=HANG, max_restarts=8)
    engines = RayEngines(served, EngineSettings(max_num_seqs=32, kv_cache_gib=SMALL), fleet)
    yield Side(policy, engines)
    engines.close()


def kill(side: Side, number: int) -> None:
    """End an engine's process."""
    card = side.engines._desk.slots[number].card
    assert card is not None
    os.kill(card.pid, signal.SIGKILL)


def all_ready(side: Side) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(one.ready for one in side.engines.figures().engines):
        assert time.monotonic() < deadline, side.engines.figures()
        time.sleep(0.2)


@verifier("long_enough")
def long_enough(problem: Problem, text: str) -> bool:
    return len(text) > 20


def test_all_groups_are_collected_and_both_engines_work(side: Side) -> None:
    problems = [Problem(f"p{i}", ask(f"fever cough {i}"), reference="x") for i in range(12)]
    before = side.engines.figures()
    scored = asyncio.run(
        collect(
            side.engines, side.policy, problems, Verified(long_enough),
            samples=8, sampling=Sampling(max_tokens=40), seed=(0, "train", 1), version=0,
        )
    )  # fmt: skip
    assert [len(group.group) for group in scored] == [8] * 12
    rollouts = [rollout for group in scored for rollout in group.group.rollouts]
    assert max(gap(side.policy.model, rollout) for rollout in rollouts if isinstance(rollout, Rollout)) < 1e-5
    time.sleep(1.5)  # a heartbeat brings the figures
    after = side.engines.figures()
    assert all(new.tokens > old.tokens for old, new in zip(before.engines, after.engines, strict=True))
    assert after.waiting == 0 and all(engine.load == 0 and engine.tokens_per_second > 0 for engine in after.engines)


def test_groups_stay_together_and_the_least_loaded_engine_takes_the_next(side: Side) -> None:
    from medrl.cluster.engine_desk import Desk

    desk: Desk = side.engines._desk
    homes: dict[str, set[int]] = {}

    def look(count: int) -> None:
        loads = []
        for slot in desk.slots:
            loads.append(len(slot.held))
            for ticket in list(slot.held.values()):
                homes.setdefault(ticket.request.problem_id, set()).add(slot.index)
        seen.append(loads)

    seen: list[list[int]] = []
    asked = requests(24, max_tokens=30)
    assert once_each(sample(side, asked, look), asked)
    assert all(len(places) == 1 for places in homes.values())
    assert max(max(loads) for loads in seen) <= 32 + 16
    first = seen[0]
    assert min(first) > 0 and abs(first[0] - first[1]) <= 16


def test_a_later_turn_goes_where_the_earlier_ones_are_cached(side: Side) -> None:
    first = requests(4, samples=2, max_tokens=10)
    wrote = {(one.problem_id, one.index): one for one in sample(side, first)}
    homes = dict(side.engines._desk.homes)
    assert {slot.index for slot in homes.values()} == {0, 1}
    later = [
        replace(one, prompt_ids=(*one.prompt_ids, *wrote[one.problem_id, one.index].token_ids, 7))
        for one in first[::-1]
    ]
    written = sample(side, later)
    assert side.engines._desk.homes == homes, "by load alone, the two of a problem would part"
    assert once_each(written, later) and max(gap(side.policy.model, one) for one in written) < 1e-5


def test_published_weights_arrive_in_all_engines_and_the_probe_proves_it(side: Side) -> None:
    from medrl.cluster.weights import RaySync

    sync = RaySync(side, side.engines)
    sync.publish(side.engines.version + 1)
    side.move()
    sync.publish(side.engines.version + 1)
    assert sync.last is not None and sync.last.gap < 1e-5 and sync.version == side.engines.version
    rollouts = sample(side, requests(4))
    assert max(gap(side.policy.model, rollout) for rollout in rollouts) < 1e-5
    assert {span.version for rollout in rollouts for span in rollout.versions} == {side.engines.version}


def test_a_skipped_sync_is_caught_at_once(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    from medrl.cluster.weights import RaySync

    sync = RaySync(side, side.engines)
    sync.publish(side.engines.version + 1)
    side.move()
    with monkeypatch.context() as patch:
        patch.setattr(side.engines, "update", lambda refs, version, proof, scale: None)
        with pytest.raises(WeightDrift, match=r"engine-0.* does not compute what the learner does"):
            sync.publish(side.engines.version + 1)
    sync.publish(side.engines.version + 1)


def test_errors_of_an_actor_are_the_errors_that_they_were(side: Side) -> None:
    import ray

    missing = [ray.put(bucket) for bucket in lend(list(side.policy.model.named_parameters())[:-1])]
    before = side.engines.version
    with pytest.raises(ValueError, match=r"left out 1 of the model's weights: model\.norm\.weight"):
        side.engines.update(missing, before + 1)
    assert side.engines.version == before
    with pytest.raises(EngineFailed, match="publish the weights first"):
        asyncio.run(anext(aiter(side.engines.generate(requests(1), before + 1))))
    side.engines.update([ray.put(bucket) for bucket in side.weights()], before + 1)
    assert once_each(sample(side, requests(1)), requests(1))


def test_weights_that_change_while_engines_sample(side: Side) -> None:
    import ray

    version, old = side.engines.version, copy.deepcopy(side.policy.model)
    side.move()
    refs = [ray.put(bucket) for bucket in side.weights()]
    thread = threading.Thread(target=lambda: side.engines.update(refs, version + 1))
    asked = requests(12, max_tokens=180)
    rollouts = sample(side, asked, lambda count: thread.start() if count == 3 else None)
    thread.join()
    assert once_each(rollouts, asked)
    crossing = [rollout for rollout in rollouts if len(rollout.versions) == 2]
    assert crossing
    for rollout in crossing:
        at = rollout.versions[1].start
        assert [span.version for span in rollout.versions] == [version, version + 1]
        assert gap(old, rollout, 0, at) < 1e-5 and gap(side.policy.model, rollout, at) < 1e-5


def test_aborts_reach_what_runs_and_what_waits(side: Side) -> None:
    asked = requests(30, max_tokens=180)
    chosen = {f"p{group}" for group in range(30) if group % 2}
    rollouts = sample(side, asked, lambda count: side.engines.abort(sorted(chosen)) and None if count == 1 else None)
    assert once_each(rollouts, asked)
    aborted = [rollout for rollout in rollouts if rollout.finish_reason == "abort"]
    assert len(aborted) > 60 and {rollout.problem_id for rollout in aborted} <= chosen


def test_closing_the_iterator_frees_the_engines(side: Side) -> None:
    async def main() -> None:
        stream = side.engines.generate(requests(20, max_tokens=180), side.engines.version)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        figures = side.engines.figures()
        if not figures.waiting and not any(engine.load for engine in figures.engines):
            break
        time.sleep(0.05)
    assert figures.waiting == 0 and all(engine.load == 0 for engine in figures.engines)


def test_a_killed_engine_loses_no_request_and_doubles_none(side: Side) -> None:
    from medrl.cluster.weights import RaySync

    side.move()
    RaySync(side, side.engines).publish(side.engines.version + 1)
    before = side.engines.figures()
    victim = side.engines._desk.slots[0]
    assert victim.card is not None
    pid, asked = victim.card.pid, requests(14)
    rollouts = sample(side, asked, lambda count: os.kill(pid, signal.SIGKILL) if count == 5 else None)
    assert once_each(rollouts, asked)
    after = side.engines.figures()
    assert after.restarts == before.restarts + 1 and after.resampled > before.resampled
    side.all_ready()
    # It came back with the weights of now, not with those of the folder.
    RaySync(side, side.engines).publish(side.engines.version + 1)
    assert max(gap(side.policy.model, rollout) for rollout in sample(side, requests(6))) < 1e-5


def test_a_hanging_engine_is_found_named_and_replaced(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    """Its thread is held between two steps; the process around it answers as ever."""
    victim = side.engines._desk.slots[1]
    name = victim.name

    def stall(actor: Any) -> None:
        def asleep_at_the_wheel(engine: Any) -> None:
            time.sleep(3600)

        actor._engine._loop.call(asleep_at_the_wheel)

    asked = requests(14)
    with caplog.at_level(logging.WARNING, "medrl.cluster"):
        rollouts = sample(
            side, asked, lambda count: victim.actor.__ray_call__.remote(stall) and None if count == 3 else None
        )
    assert once_each(rollouts, asked)
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert f"{name} has made no step for" in said and "asleep_at_the_wheel" in said
    side.all_ready()


def test_a_stopped_process_is_found_by_its_silence(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    victim = side.engines._desk.slots[0]
    assert victim.card is not None
    pid, asked = victim.card.pid, requests(14)
    with caplog.at_level(logging.WARNING, "medrl.cluster"):
        rollouts = sample(side, asked, lambda count: os.kill(pid, signal.SIGSTOP) if count == 3 else None)
    assert once_each(rollouts, asked)
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert f"{victim.name.split('.')[0]}" in said and "has given no sign of life" in said and "stopped" in said


def test_more_losses_than_allowed_end_the_run_with_the_last_words(
    ray: Any, make_policy: Callable[..., Policy], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from medrl.cluster.engines import RayEngines
    from medrl.cluster.fleet import FleetSettings

    policy = make_policy(hidden_size=64, heads=2, key_value_heads=1, context=256)
    served = ServedModel.of(policy, tmp_path_factory.mktemp("served") / "model")
    engines = RayEngines(served, EngineSettings(kv_cache_gib=SMALL), FleetSettings(max_restarts=0))
    try:
        card = engines._desk.slots[0].card
        assert card is not None
        with pytest.raises(EngineFailed, match=r"(?s)engine-0 died: .*one engine more than max_restarts=0 replaces"):
            sample(
                Side(policy, engines),
                requests(10),
                lambda count: os.kill(card.pid, signal.SIGKILL) if count == 1 else None,
            )
        with pytest.raises(EngineFailed, match="max_restarts=0"):
            sample(Side(policy, engines), requests(1))
    finally:
        engines.close()


def test_an_engine_that_cannot_start_says_why(
    ray: Any, make_policy: Callable[..., Policy], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from medrl.cluster.engines import RayEngines
    from medrl.cluster.fleet import FleetSettings

    policy = make_policy(hidden_size=32, heads=2, key_value_heads=1)  # heads of 16, for which there is no kernel
    served = ServedModel.of(policy, tmp_path_factory.mktemp("served") / "model")
    with pytest.raises(EngineFailed, match="vLLM cannot start with the model in"):
        RayEngines(served, EngineSettings(), FleetSettings())
    with pytest.raises(EngineFailed, match=r"was not loaded within 2 s.*ray status"):
        RayEngines(served, EngineSettings(), FleetSettings(cpus=64, start_timeout=2.0))


def test_adapters_alone_are_sent_and_an_engine_that_takes_anothers_place_gets_them_too(side: Side) -> None:
    """A learner with LoRA over the weights of the engines' own folder: a tenth of the bytes, the same log-probabilities."""
    from medrl.cluster.weights import RaySync

    lora = LoRA(rank=2, alpha=6.0)
    policy = Policy.load(side.engines.served.folder)
    learner = TorchLearner(policy, Optimization(lora=lora))
    with torch.no_grad():
        for index, weight in enumerate(w for w in policy.model.parameters() if w.requires_grad):
            weight += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(index))
    whole, sync, asked = RaySync(learner, side.engines), RaySync(learner, side.engines, lora=lora), requests(4)
    whole.publish(side.engines.version + 1)
    sync.publish(side.engines.version + 1)
    assert whole.last is not None and sync.last is not None
    assert sync.last.gap < 1e-5 and sync.last.mib < whole.last.mib / 5
    kill(side, 0)
    rollouts = sample(side, asked)
    all_ready(side)
    rollouts += sample(side, asked)
    with adapter_off(policy.model):
        assert max(gap(policy.model, rollout) for rollout in rollouts) > 1e-2
    assert max(gap(policy.model, rollout) for rollout in rollouts) < 1e-5


def test_weights_that_die_with_their_owner_are_a_lost_learner_and_not_a_broken_engine(side: Side) -> None:
    """The rank that had put them is gone, then every engine: who waits is told, and the next weights are taken."""
    import ray

    from medrl.cluster.weights import RaySync

    @ray.remote(num_cpus=0)
    class Rank:
        def put(self, buckets: list[Any]) -> list[Any]:
            return [ray.put(bucket) for bucket in buckets]

    rank = Rank.remote()
    version, before = side.engines.version + 1, side.engines.figures()
    side.engines.update(ray.get(rank.put.remote(list(side.weights()))), version)
    asked = requests(4, max_tokens=60)
    assert once_each(sample(side, asked), asked)
    ray.kill(rank)
    for number in range(2):
        kill(side, number)
    with pytest.raises(LearnerLost, match=f"the weights of version {version} are gone"):
        sample(side, asked)
    with pytest.raises(LearnerLost, match="are gone"):  # whoever asks before there are new ones is told as well
        sample(side, asked)
    assert side.engines.figures().restarts == before.restarts + 2, "no engine was given up for what is not its fault"
    RaySync(side, side.engines).publish(version + 1)
    rollouts = sample(side, asked)
    assert once_each(rollouts, asked) and max(gap(side.policy.model, rollout) for rollout in rollouts) < 1e-5


def test_an_engine_that_takes_anothers_place_is_probed_before_it_samples(side: Side) -> None:
    """Those that were killed above had a proof that holds, of RaySync. Last of this file: these engines' run is over."""
    import ray

    from medrl.cluster.fleet import Proof

    ids = tuple(range(5, 40))
    right = tuple(logprobs(side.policy.model, ids))
    all_ready(side)
    asked, version = requests(2, max_tokens=60), side.engines.version + 1
    refs = [ray.put(bucket) for bucket in side.weights()]
    side.engines.update(refs, version, Proof(ids, tuple(value - 0.01 for value in right), 1e-4))
    kill(side, 0)
    with pytest.raises(WeightDrift, match="took another's place"):
        while True:
            sample(side, asked)
