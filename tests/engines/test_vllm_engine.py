"""vLLM as an engine of rollouts: its numbers against the learner's, versions, aborts, streams, faults.

Models are tiny and random. One engine with tied and one with untied embeddings serve all tests; each test publishes the
weights that it needs.
"""

import asyncio
import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.cluster.weights import Probe
from medrl.engines import InProcessEngine, Request, Sampling
from medrl.engines.sampling import process_logits
from medrl.engines.vllm_engine import VLLMEngine
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import EngineFailed, ProblemError, WeightDrift
from medrl.models import Policy
from medrl.models.buckets import Bucket, pack
from medrl.rewards import Verified
from medrl.rollouts import collect
from medrl.types import Problem, Rollout, VersionSpan, ask
from medrl.verifiers.protocol import verifier

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CONTEXT = 256
SMALL = 1 / 16  # GiB of keys and values; a whole one takes a second to be zeroed, for each engine
LONG = Sampling(max_tokens=120)
PROBE = tuple(5 + 7 * place % 200 for place in range(100))


@dataclass
class Side:
    """A torch policy and the engine that serves it."""

    policy: Policy
    engine: VLLMEngine

    def weights(self, kind: str = "full") -> Iterator[Bucket]:
        tied = self.policy.model.config.tie_word_embeddings
        state = self.policy.model.state_dict()
        return pack((name, tensor) for name, tensor in state.items() if not (tied and name == "lm_head.weight"))

    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        return logprobs(self.policy.model, token_ids)

    def publish(self) -> int:
        """The present weights, under the next version."""
        version = self.engine.version + 1
        self.engine.update(self.weights(), version)
        return version

    def proved(self, probe: Probe) -> float:
        """The same, and what the probe says of it: the largest gap."""
        version = self.publish()
        answer = self.engine.probe(probe.token_ids)
        return probe.check(version, self.probe_logprobs(probe.token_ids), {"the engine": answer})

    def move(self, by: float = 0.05) -> None:
        with torch.no_grad():
            for parameter in self.policy.model.parameters():
                parameter.add_(by * torch.randn_like(parameter))


def logprobs(model: Any, ids: Sequence[int]) -> list[float]:
    """Of each of `ids` but the first."""
    with torch.no_grad():
        all_TV = model(torch.tensor([list(ids)])).logits[0].float().log_softmax(-1)
    return [all_TV[place - 1, ids[place]].item() for place in range(1, len(ids))]


def gap(model: Any, rollout: Rollout, start: int = 0, end: int | None = None) -> float:
    """The largest difference between a rollout's log-probabilities and the model's."""
    ids = rollout.prompt_ids + rollout.token_ids
    ours = logprobs(model, ids)[len(rollout.prompt_ids) - 1 :]
    return max((abs(a - b) for a, b in list(zip(ours, rollout.logprobs, strict=True))[start:end]), default=0.0)


def requests(
    count: int, sampling: Sampling = LONG, problem: str = "p", prompt: int = 70, seed: int = 0
) -> list[Request]:
    ids = tuple(5 + place % 50 for place in range(prompt))
    return [Request(problem, index, 1000 * seed + index, ids, sampling) for index in range(count)]


async def take(engine: VLLMEngine | InProcessEngine, asked: Sequence[Request], version: int = 0) -> list[Rollout]:
    return [rollout async for rollout in engine.generate(asked, version)]


def sample(engine: VLLMEngine | InProcessEngine, asked: Sequence[Request], version: int = 0) -> list[Rollout]:
    return sorted(asyncio.run(take(engine, asked, version)), key=lambda r: (r.problem_id, r.index))


def untie(policy: Policy) -> Policy:
    from transformers import Qwen2ForCausalLM

    config = copy.deepcopy(policy.model.config)
    config.tie_word_embeddings = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Policy(Qwen2ForCausalLM(config).eval(), policy.tokenizer, name="untied")


@pytest.fixture(scope="module", params=["tied", "untied"])
def side(
    request: pytest.FixtureRequest, make_policy: Callable[..., Policy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Side]:
    # Heads of 32: vLLM on the CPU has no kernel for 16.
    policy = make_policy(hidden_size=64, heads=2, key_value_heads=1, context=CONTEXT)
    policy = policy if request.param == "tied" else untie(policy)
    served = ServedModel.of(policy, tmp_path_factory.mktemp("served") / request.param)
    knobs: dict[str, Any] = {"max_num_seqs": 32, "max_batched_tokens": 64, "kv_cache_gib": SMALL}
    engine = VLLMEngine(served, EngineSettings(**knobs, sleep_mode=True))
    yield Side(policy, engine)
    engine.close()


# Numbers


def test_prompts_that_do_not_fit_into_one_step_together_are_computed_whole(side: Side) -> None:
    """In pieces, vLLM winds back the generator of a seeded request by an offset, which one on a CPU does not have."""
    version = side.publish()
    asked = [
        replace(one, prompt_ids=tuple(5 + (place + 7 * number) % 50 for place in range(90)))
        for number, one in enumerate(requests(24, replace(LONG, max_tokens=20)))
    ]
    rollouts = sample(side.engine, asked, version)
    assert [rollout.seed for rollout in rollouts] == [one.seed for one in asked]
    assert max(gap(side.policy.model, rollout) for rollout in rollouts) < 1e-5


def test_logprobs_are_the_learners(side: Side) -> None:
    version = side.publish()
    rollouts = sample(side.engine, requests(8), version)
    assert [rollout.index for rollout in rollouts] == list(range(8))
    assert max(gap(side.policy.model, rollout) for rollout in rollouts) < 1e-5
    assert side.engine.exact(LONG) and not side.engine.exact(replace(LONG, top_p=0.9))


def test_logprobs_are_of_the_distribution_that_was_drawn_from(side: Side) -> None:
    version = side.publish()
    sampling = Sampling(temperature=0.7, top_k=20, top_p=0.8, max_tokens=40)
    for rollout in sample(side.engine, requests(4, sampling), version):
        ids = torch.tensor([rollout.prompt_ids + rollout.token_ids])
        with torch.no_grad():
            logits_TV = side.policy.model(ids).logits[0, len(rollout.prompt_ids) - 1 : -1]
        wanted_TV = process_logits(logits_TV, 0.7, 20, 0.8).log_softmax(-1)
        wanted = wanted_TV.gather(-1, torch.tensor(rollout.token_ids)[:, None])[:, 0]
        assert (wanted - torch.tensor(rollout.logprobs)).abs().max() < 1e-5


def test_updates_arrive_whole_and_clear_every_cache(side: Side) -> None:
    side.publish()
    sample(side.engine, requests(2), side.engine.version)  # its prompt is cached under the old weights
    side.engine.probe(PROBE)
    side.move()
    assert worst(side) > 1e-2  # the learner has moved, the engine has not
    version = side.publish()
    assert worst(side) < 1e-5
    assert max(gap(side.policy.model, rollout) for rollout in sample(side.engine, requests(4), version)) < 1e-5


def worst(side: Side) -> float:
    ours, theirs = side.probe_logprobs(PROBE), side.engine.probe(PROBE)
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def test_greedy_takes_the_likeliest(side: Side) -> None:
    version = side.publish()
    greedy = Sampling(temperature=0.0, max_tokens=12)
    theirs = sample(side.engine, requests(1, greedy), version)[0]
    ours = sample(InProcessEngine(side.policy), requests(1, greedy))[0]
    assert theirs.token_ids == ours.token_ids and theirs.text == ours.text
    assert theirs.finish_reason == ours.finish_reason


def test_first_tokens_are_drawn_as_often_as_they_are_likely(side: Side) -> None:
    """Pearson's chi-square over 4,000 draws, for vLLM and, under the same weights, for the in-process engine."""
    version = side.publish()
    sampling = Sampling(temperature=0.8, top_k=12, max_tokens=1)
    asked = requests(4000, sampling, prompt=20, seed=7)
    with torch.no_grad():
        logits_1V = side.policy.model(torch.tensor([asked[0].prompt_ids])).logits[0, -1:]
    likely = process_logits(logits_1V, 0.8, 12, 1.0).softmax(-1)[0]
    for engine in (side.engine, InProcessEngine(side.policy, 512)):
        counts = Counter(rollout.token_ids[0] for rollout in sample(engine, asked, version))
        assert set(counts) <= set(likely.nonzero()[:, 0].tolist())
        expected = {token: likely[token].item() * len(asked) for token in likely.nonzero()[:, 0].tolist()}
        statistic = sum((counts[token] - n) ** 2 / n for token, n in expected.items())
        assert statistic < 36.0, type(engine)  # 11 degrees of freedom: one in 6,000


# Requests


def test_what_ends_a_response(side: Side) -> None:
    version = side.publish()
    stops = set(side.policy.stop_ids)
    asked = requests(32, Sampling(max_tokens=150)) + requests(1, Sampling(max_tokens=150), "full", prompt=CONTEXT - 3)
    rollouts = sample(side.engine, asked, version)
    reasons = Counter(rollout.finish_reason for rollout in rollouts)
    assert reasons["stop"] and reasons["length"] and not reasons["abort"]
    for rollout in rollouts:
        assert not stops & set(rollout.token_ids[:-1])
        assert (rollout.token_ids[-1] in stops) == (rollout.finish_reason == "stop")
        assert rollout.token_count == len(rollout.token_ids) and rollout.text == side.policy.decode(rollout.token_ids)
    full = next(rollout for rollout in rollouts if rollout.problem_id == "full")
    assert full.finish_reason == "stop" or full.token_count == 3


def test_draws_depend_on_the_seed_and_not_on_the_company(side: Side) -> None:
    version = side.publish()
    alone = sample(side.engine, requests(1, seed=5), version)[0]
    crowd = sample(side.engine, [*requests(1, seed=5), *requests(20, problem="q", prompt=33, seed=9)], version)
    assert alone.token_ids == next(rollout for rollout in crowd if rollout.problem_id == "p").token_ids
    assert len({rollout.token_ids for rollout in crowd}) == 21


def test_a_group_computes_its_prompt_once(side: Side) -> None:
    version = side.publish()
    computed = 0

    def watch(engine: Any) -> Callable[[], None]:
        scheduler = engine.engine_core.engine_core.scheduler
        plain = scheduler.schedule

        def schedule(*arguments: Any) -> Any:
            nonlocal computed
            output = plain(*arguments)
            computed += output.total_num_scheduled_tokens
            return output

        scheduler.schedule = schedule
        return lambda: scheduler.__dict__.pop("schedule")

    undo = side.engine._loop.call(watch).result()
    try:
        sample(side.engine, requests(8, Sampling(max_tokens=1), prompt=200), version)
    finally:
        undo()
    # Blocks of 32: 192 of the 200 tokens are shared.
    assert computed == 200 + 7 * 8


def test_rollouts_come_as_they_end_and_calls_share_the_engine(side: Side) -> None:
    version = side.publish()
    order: list[tuple[str, int]] = []

    async def one(name: str, asked: list[Request]) -> None:
        async for rollout in side.engine.generate(asked, version):
            order.append((name, side.engine.pulse().running))
            assert rollout.problem_id == name

    async def both() -> None:
        long = [replace(request, problem_id="long") for request in requests(4, Sampling(max_tokens=150), seed=2)]
        short = [replace(request, problem_id="short") for request in requests(4, Sampling(max_tokens=3), seed=3)]
        await asyncio.gather(one("long", long), one("short", short))

    asyncio.run(both())
    assert sorted(name for name, _ in order) == ["long"] * 4 + ["short"] * 4
    assert order[0][0] == "short" and order[0][1] >= 1  # while others were still being written


def test_more_requests_than_places_wait_their_turn(side: Side) -> None:
    version = side.publish()
    rollouts = sample(side.engine, requests(80, Sampling(max_tokens=5)), version)
    assert [rollout.index for rollout in rollouts] == list(range(80))


def test_aborted_rollouts_are_yielded_with_what_they_have(side: Side) -> None:
    version = side.publish()

    async def main() -> list[Rollout]:
        rollouts = []
        asked = [*requests(36, Sampling(max_tokens=150), "gone"), *requests(2, Sampling(max_tokens=4), "stays")]
        async for rollout in side.engine.generate(asked[::-1], version):
            if not rollouts:
                assert await asyncio.to_thread(side.engine.abort, ["gone"]) > 20
            rollouts.append(rollout)
        return rollouts

    rollouts = asyncio.run(main())
    assert Counter(rollout.problem_id for rollout in rollouts) == {"gone": 36, "stays": 2}
    aborted = [rollout for rollout in rollouts if rollout.finish_reason == "abort"]
    assert len(aborted) > 20 and all(rollout.problem_id == "gone" for rollout in aborted)
    begun = [rollout for rollout in aborted if rollout.token_ids]
    assert begun and len(begun) < len(aborted)  # some had no place yet
    assert max(gap(side.policy.model, rollout) for rollout in begun) < 1e-5
    assert all(rollout.versions == (VersionSpan(0, len(rollout.token_ids), version),) for rollout in begun)


def test_closing_the_iterator_ends_its_requests(side: Side) -> None:
    version = side.publish()

    async def main() -> None:
        stream = side.engine.generate(
            [*requests(40, Sampling(max_tokens=150)), *requests(1, Sampling(max_tokens=2), "q")], version
        )
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    deadline = time.monotonic() + 5
    while side.engine.pulse().running + side.engine.pulse().waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    pulse = side.engine.pulse()
    assert pulse.running == pulse.waiting == 0
    assert len(sample(side.engine, requests(2), version)) == 2


def test_what_is_asked_of_a_sleeping_engine_waits_or_is_refused(side: Side) -> None:
    version = side.publish()
    refused = []

    def fall_asleep() -> None:
        with pytest.raises(ValueError, match="unfinished; an engine sleeps between rollouts"):
            side.engine.sleep()
        refused.append(True)

    during(side, fall_asleep, LONG)
    assert refused
    side.engine.sleep()
    side.engine.sleep()  # it sleeps already
    for work in (side.publish, lambda: side.engine.probe(PROBE)):
        with pytest.raises(ValueError, match="is asleep; wake it first"):
            work()
    asked = requests(3, Sampling(max_tokens=5))
    with ThreadPoolExecutor(1) as pool:
        rollouts = pool.submit(sample, side.engine, asked, version)
        time.sleep(0.5)
        assert not rollouts.done() and side.engine.pulse().waiting == 3 and side.engine.pulse().quiet == 0.0
        side.engine.wake()
        assert max(gap(side.policy.model, rollout) for rollout in rollouts.result(30)) < 1e-5
    assert worst(side) < 1e-5


def test_a_command_that_hangs_shows_in_the_pulse_though_nothing_is_written(side: Side) -> None:
    go_on = threading.Event()
    stuck = side.engine._loop.call(lambda engine: go_on.wait(30))
    time.sleep(1.0)
    assert side.engine.pulse().quiet > 0.5
    go_on.set()
    assert stuck.result(10) and side.engine.pulse().quiet == 0.0


def test_prompts_without_room_are_refused(side: Side) -> None:
    with pytest.raises(ProblemError, match="256 tokens and the engine's context is 256"):
        sample(side.engine, requests(1, prompt=CONTEXT))
    with pytest.raises(ProblemError, match="images, and the policy takes text alone"):
        sample(side.engine, [replace(requests(1)[0], images=("x.png",))])


def test_a_request_that_vllm_refuses_harms_no_other(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    from medrl.engines import vllm_loop

    version, enter = side.publish(), vllm_loop.enter

    def refuse(engine: Any, name: str, request: Request, *rest: Any) -> None:
        if request.problem_id == "refused":
            raise ValueError("not this one")
        enter(engine, name, request, *rest)

    monkeypatch.setattr(vllm_loop, "enter", refuse)

    async def both() -> None:
        others = asyncio.create_task(take(side.engine, requests(4), version))
        with pytest.raises(ProblemError, match="does not take a prompt of problem 'refused': not this one"):
            await take(side.engine, requests(1, problem="refused"), version)
        assert len(await others) == 4

    asyncio.run(both())
    with pytest.raises(ProblemError, match="beyond the"):
        sample(side.engine, [replace(requests(1)[0], prompt_ids=(5, 100_000))], version)


@verifier("long_enough")
def long_enough(problem: Problem, text: str) -> bool:
    return len(text) > 20


def test_groups_are_collected_and_scored(side: Side) -> None:
    problems = [Problem(f"p{i}", ask(f"fever cough {i}"), reference="x") for i in range(4)]
    version = side.publish()
    scored = asyncio.run(
        collect(
            side.engine, side.policy, problems, Verified(long_enough),
            samples=3, sampling=Sampling(max_tokens=20), seed=(0, "train", 1), version=version,
        )
    )  # fmt: skip
    assert [len(group.group) for group in scored] == [3] * 4
    assert all(score.value is not None for group in scored for score in group.scores)


# Versions


def during(side: Side, work: Callable[[], None], sampling: Sampling, count: int = 6) -> list[Rollout]:
    """Rollouts in the middle of which `work` is done."""
    version, begun = side.engine.version, side.engine.pulse().steps

    def later() -> None:
        while side.engine.pulse().steps < begun + 30:
            time.sleep(0.001)
        work()

    thread = threading.Thread(target=later)
    thread.start()
    rollouts = sample(side.engine, requests(count, sampling), version)
    thread.join()
    return rollouts


def test_weights_that_change_in_the_middle_of_a_rollout(side: Side) -> None:
    old_version = side.publish()
    old = copy.deepcopy(side.policy.model)
    side.move()
    rollouts = during(side, lambda: side.engine.update(side.weights(), old_version + 1), Sampling(max_tokens=180))
    crossing = [rollout for rollout in rollouts if len(rollout.versions) == 2]
    assert crossing
    for rollout in crossing:
        before, after = rollout.versions
        assert (before.version, after.version) == (old_version, old_version + 1)
        assert before.start == 0 and before.end == after.start and after.end == len(rollout.token_ids)
        assert gap(old, rollout, 0, before.end) < 1e-5
        # Keys and values were computed again: every further token is drawn from the new policy exactly.
        assert gap(side.policy.model, rollout, after.start) < 1e-5
        assert gap(old, rollout, after.start) > 1e-2


def test_an_update_in_steps_holds_everything_until_one_succeeds(side: Side) -> None:
    """As vLLM's own transfers have it; here with buckets for payloads."""
    version, old, stood = side.publish(), copy.deepcopy(side.policy.model), list[int]()

    def steps(weights: Iterator[Bucket]) -> None:
        side.engine.native("start_weight_update")
        for bucket in weights:
            side.engine.native("update_weights", {"buckets": (bucket,)})
        side.engine.native("finish_weight_update", version=version + 1)

    def fail_then_succeed() -> None:
        side.move()
        with pytest.raises(ValueError, match=r"left out 1 of the model's weights: model\.norm\.weight"):
            steps(pack(drop(side, "model.norm.weight")))
        for _ in range(2):
            time.sleep(0.2)
            stood.append(side.engine.pulse().steps)
        steps(side.weights())

    rollouts = during(side, fail_then_succeed, Sampling(max_tokens=180))
    crossing = [rollout for rollout in rollouts if len(rollout.versions) == 2]
    assert len(rollouts) == 6 and crossing and stood[0] == stood[1], "nothing is drawn from a mixture"
    for rollout in crossing:
        at = rollout.versions[1].start
        assert gap(old, rollout, 0, at) < 1e-5 and gap(side.policy.model, rollout, at) < 1e-5


def test_keeping_old_keys_and_values(side: Side) -> None:
    old_version = side.publish()
    old = copy.deepcopy(side.policy.model)
    side.move()
    plain = side.engine.settings
    side.engine.settings = replace(plain, midway="keep")
    try:
        assert not side.engine.exact(LONG)
        rollouts = during(side, lambda: side.engine.update(side.weights(), old_version + 1), Sampling(max_tokens=180))
        crossing = [rollout for rollout in rollouts if len(rollout.versions) == 2]
        assert crossing
        for rollout in crossing:
            after = rollout.versions[1].start
            assert gap(old, rollout, 0, after) < 1e-5
            assert gap(side.policy.model, rollout, after) > 1e-4  # new weights over old keys: neither policy
        # What begins after the update shares nothing with the old prompt, which is still in the cache.
        assert max(gap(side.policy.model, r) for r in sample(side.engine, requests(4), old_version + 1)) < 1e-5
        assert worst(side) < 1e-5
    finally:
        side.engine.settings = plain


def test_an_update_may_be_refused_while_rollouts_are_unfinished(side: Side) -> None:
    version = side.publish()
    plain, said = side.engine.settings, []
    side.engine.settings = replace(plain, midway="refuse")

    def update() -> None:
        with pytest.raises(ValueError, match="6 responses are unfinished") as caught:
            side.engine.update(side.weights(), version + 1)
        said.append(caught.value)

    try:
        rollouts = during(side, update, Sampling(max_tokens=150), count=6)
        assert said and all(rollout.versions[-1].version == version for rollout in rollouts)
        assert worst(side) < 1e-5
    finally:
        side.engine.settings = plain


def test_a_version_that_is_not_there_yet_is_refused(side: Side) -> None:
    with pytest.raises(EngineFailed, match="publish the weights first"):
        sample(side.engine, requests(1), side.engine.version + 1)


# Faults


def test_a_weight_that_is_missing_is_told_and_nothing_is_sampled(side: Side) -> None:
    version = side.publish()
    with pytest.raises(ValueError, match=r"left out 1 of the model's weights: model\.norm\.weight"):
        side.engine.update(pack(drop(side, "model.norm.weight")), version + 1)
    with pytest.raises(EngineFailed, match="failed halfway"):
        sample(side.engine, requests(1), version)
    side.move()
    version = side.publish()
    assert worst(side) < 1e-5

    def spoil() -> None:
        with pytest.raises(ValueError, match="left out 1"):
            side.engine.update(pack(drop(side, "model.norm.weight")), version + 1)

    with pytest.raises(EngineFailed, match="failed halfway"):  # no response goes on over a mixture
        during(side, spoil, Sampling(max_tokens=180))
    assert side.engine.pulse().running == 0
    side.publish()


def drop(side: Side, name: str) -> list[tuple[str, torch.Tensor]]:
    return [(one, tensor) for bucket in side.weights() for one, tensor in bucket.tensors() if one != name]


def test_a_source_that_fails_halfway_leaves_an_engine_that_can_be_mended(side: Side) -> None:
    version = side.publish()

    def broken() -> Iterator[Bucket]:
        yield from pack(drop(side, "")[: len(drop(side, "")) // 2])
        raise OSError("the learner's node is gone")

    with pytest.raises(OSError, match="node is gone"):
        side.engine.update(broken(), version + 1)
    with pytest.raises(EngineFailed, match="failed halfway"):
        sample(side.engine, requests(1), version)
    side.publish()
    assert worst(side) < 1e-5


def test_the_probe_sees_a_head_that_was_not_packed_again(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    from medrl.engines import vllm_weights

    probe = Probe(side.engine.served, side.engine.settings)
    assert side.proved(probe) < 1e-5
    side.move()
    if side.policy.model.config.tie_word_embeddings:
        with monkeypatch.context() as patch:
            patch.setattr(vllm_weights, "repack_tied", lambda model: None)
            with pytest.raises(WeightDrift, match="differ by up to"):
                side.proved(probe)
    assert side.proved(probe) < 1e-5


def test_the_probe_sees_a_cache_that_outlived_its_weights(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(side.engine.served, side.engine.settings)
    side.proved(probe)
    side.move()

    def forget(engine: Any, version: int) -> None:
        """A commit that resets no cache."""
        side.engine._loop.version = version

    with monkeypatch.context() as patch:
        patch.setattr("medrl.engines.vllm_engine.salt", lambda version: "the same for all")
        side.engine.probe(probe.token_ids)
        patch.setattr(side.engine, "_commit", forget)
        with pytest.raises(WeightDrift, match="differ by up to"):
            side.proved(probe)
    side.proved(probe)


def test_a_skipped_sync_is_caught_however_small_the_step(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(side.engine.served, side.engine.settings)
    side.proved(probe)
    side.move(2e-5)  # below the tolerance, above rounding
    with monkeypatch.context() as patch:
        patch.setattr(side.engine, "update", lambda buckets, version: list(buckets))
        with pytest.raises(WeightDrift, match="answers as before the sync"):
            side.proved(probe)
    side.proved(probe)


def test_probing_disturbs_no_rollout(side: Side) -> None:
    version = side.publish()
    undisturbed = sample(side.engine, requests(6, Sampling(max_tokens=150)), version)
    rollouts = during(side, lambda: [side.engine.probe(PROBE) for _ in range(3)] and None, Sampling(max_tokens=150))
    assert [rollout.token_ids for rollout in rollouts] == [rollout.token_ids for rollout in undisturbed]
    assert max(gap(side.policy.model, rollout) for rollout in rollouts) < 1e-5


def test_made_up_weights_are_never_sampled_from(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    policy = make_policy(hidden_size=64, heads=2, key_value_heads=1, context=CONTEXT)
    served = ServedModel.of(policy, tmp_path / "served")
    engine = VLLMEngine(served, EngineSettings(from_checkpoint=False, kv_cache_gib=SMALL))
    try:
        with pytest.raises(EngineFailed, match="made up until a first update"):
            sample(engine, requests(1))
        engine.update(Side(policy, engine).weights(), 0)
        assert worst(Side(policy, engine)) < 1e-5 and len(sample(engine, requests(2))) == 2
    finally:
        engine.close()


def test_an_engine_over_two_processes(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    """Tensor parallelism: each part of a layer in a process of its own, stepped by the same thread of ours."""
    policy = make_policy(hidden_size=128, heads=4, key_value_heads=2, context=CONTEXT)
    engine = VLLMEngine(
        ServedModel.of(policy, tmp_path / "served"), EngineSettings(tensor_parallel=2, kv_cache_gib=SMALL)
    )
    side = Side(policy, engine)
    try:
        assert max(gap(policy.model, rollout) for rollout in sample(engine, requests(4))) < 1e-5
        side.move()
        version = side.publish()
        assert worst(side) < 1e-5
        assert max(gap(policy.model, rollout) for rollout in sample(engine, requests(4), version)) < 1e-5
    finally:
        engine.close()


def test_an_engine_that_dies_tells_all_who_wait(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    policy = make_policy(hidden_size=64, heads=2, key_value_heads=1, context=CONTEXT)
    engine = VLLMEngine(ServedModel.of(policy, tmp_path / "served"), EngineSettings(kv_cache_gib=SMALL))

    def sabotage(inner: Any) -> None:
        def step() -> None:
            raise MemoryError("no room for another block")

        inner.step = step

    engine._loop.call(sabotage).result()
    with pytest.raises(EngineFailed, match="has died: MemoryError: no room for another block"):
        sample(engine, requests(3))
    with pytest.raises(EngineFailed, match="has died"):
        sample(engine, requests(3))
    with pytest.raises(EngineFailed, match="has died"):
        engine.probe(PROBE)
    engine.close()


def test_a_folder_that_vllm_cannot_read_is_told(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    policy = make_policy(hidden_size=64, heads=2, key_value_heads=1)
    served = ServedModel.of(policy, tmp_path / "served")
    (tmp_path / "served" / "model.safetensors").unlink()
    with pytest.raises(EngineFailed, match="vLLM cannot start with the model in"):
        VLLMEngine(served)
