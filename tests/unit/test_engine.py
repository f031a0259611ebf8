"""The embedded engine: what it draws, with which log-probabilities, and in what state it leaves the model."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import Batch
from medrl.engines import InProcessEngine, Request, Sampling
from medrl.engines.gauge import Gauge
from medrl.engines.sampling import draw, process_logits, uniform
from medrl.errors import ProblemError
from medrl.learners import Optimization, TorchLearner
from medrl.models import Policy
from medrl.seeds import seed_of
from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, VersionSpan, ask

MakePolicy = Callable[..., Policy]
PROMPTS = ("fever", "give 500 mg of amoxicillin three times a day", "which colour is it?")


def requests(policy: Policy, sampling: Sampling, samples: int = 4, prompts: Sequence[str] = PROMPTS) -> list[Request]:
    made = []
    for place, prompt in enumerate(prompts):
        ids = policy.prompt_ids(Problem(f"p{place}", ask(prompt)))
        made += [Request(f"p{place}", i, 1000 * place + i, ids, sampling) for i in range(samples)]
    return made


def generate(policy: Policy, asked: Sequence[Request], **knobs: int) -> list[Rollout]:
    async def run() -> list[Rollout]:
        return [rollout async for rollout in InProcessEngine(policy, **knobs).generate(asked, version=3)]

    return asyncio.run(run())


def by_place(rollouts: Sequence[Rollout]) -> dict[tuple[str, int], tuple[int, ...]]:
    return {(r.problem_id, r.index): r.token_ids for r in rollouts}


def recomputed(policy: Policy, rollouts: Sequence[Rollout], temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of the engine and of the learner, and which of them count."""
    groups = [ScoredGroup(Group(Problem(r.problem_id, ask("?")), (r,)), (Score(1.0),)) for r in rollouts]
    batch = Batch.from_groups(groups, max_response_tokens=64, temperature=temperature)
    learnt = TorchLearner(policy, Optimization(microbatch_tokens=200)).forward(batch, {"old_logprobs"})
    assert batch.rollout_logprobs_BT is not None
    assert learnt.old_logprobs_BT is not None
    return batch.rollout_logprobs_BT, learnt.old_logprobs_BT, batch.loss_mask_BT


def ragged(policy: Policy) -> None:
    """Responses of very different lengths."""
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[policy.stop_ids[0]] *= 40.0


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("max_rows", [3, 64])
def test_engine_logprobs_equal_the_learners(make_policy: MakePolicy, temperature: float, max_rows: int) -> None:
    policy = make_policy()
    rollouts = generate(policy, requests(policy, Sampling(temperature, max_tokens=24)), max_rows=max_rows)
    engine, learner, mask = recomputed(policy, rollouts, temperature)
    assert mask.sum() == sum(len(r.token_ids) for r in rollouts) > 100
    assert torch.allclose(engine[mask], learner[mask], atol=1e-5)


def independent(logits: Tensor, temperature: float, top_k: int, top_p: float) -> dict[int, float]:
    """Probabilities of the tokens that stay, written as plainly as can be."""
    scaled = [float(x) / temperature for x in logits]
    order = sorted(range(len(scaled)), key=lambda i: -scaled[i])
    if top_k:
        order = order[:top_k]
    weights = {i: math.exp(scaled[i] - scaled[order[0]]) for i in order}
    total = sum(weights.values())
    kept: dict[int, float] = {}
    gone = 0.0
    for i in order:
        if gone >= top_p:
            break
        kept[i] = weights[i] / total
        gone += kept[i]
    return {i: p / sum(kept.values()) for i, p in kept.items()}


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(0.7, 5, 1.0), (1.0, 0, 0.3), (1.3, 20, 0.6), (1.0, 1, 1.0)]
)
def test_truncated_logprobs_equal_an_independent_computation(
    make_policy: MakePolicy, temperature: float, top_k: int, top_p: float
) -> None:
    policy = make_policy()
    sampling = Sampling(temperature, top_k, top_p, max_tokens=8)
    assert sampling.truncates
    for rollout in generate(policy, requests(policy, sampling, samples=2)):
        ids = torch.tensor([rollout.prompt_ids + rollout.token_ids])
        logits = policy.model(input_ids=ids).logits[0].detach()
        for t, (token, logprob) in enumerate(zip(rollout.token_ids, rollout.logprobs, strict=True)):
            kept = independent(logits[len(rollout.prompt_ids) + t - 1], temperature, top_k, top_p)
            assert token in kept, "a token outside top-k or top-p was drawn"
            assert logprob == pytest.approx(math.log(kept[token]), abs=1e-4)


def test_tokens_depend_on_the_seed_alone(make_policy: MakePolicy) -> None:
    policy = make_policy()
    ragged(policy)  # so that rows leave the batch, and others take their place
    asked = requests(policy, Sampling(max_tokens=40), 8)
    expected = by_place(generate(policy, asked))
    assert len(set(map(len, expected.values()))) > 8
    long = [tokens for tokens in expected.values() if len(tokens) > 3]
    assert len(set(long)) == len(long) > 10, "different seeds give different responses"
    for max_rows in (1, 2, 5):
        assert by_place(generate(policy, asked, max_rows=max_rows)) == expected
    assert by_place(generate(policy, asked[::-1])) == expected
    alone = by_place(generate(policy, asked[5:6]))
    assert alone.items() <= expected.items()
    other = by_place(generate(policy, [replace(asked[0], seed=99)]))
    assert not other.items() <= expected.items()


def test_each_token_of_a_response_has_a_draw_of_its_own(make_policy: MakePolicy) -> None:
    policy = make_policy()
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.zero_()  # tied to the head: all tokens equally likely
    for rollout in generate(policy, requests(policy, Sampling(max_tokens=30))):
        assert len(rollout.token_ids) < 20 or len(set(rollout.token_ids)) > 15


def test_requests_of_several_samplings_in_one_call(make_policy: MakePolicy) -> None:
    policy = make_policy()
    hot, cold = requests(policy, Sampling(max_tokens=6)), requests(policy, Sampling(0.0, max_tokens=4), samples=1)
    mixed = [*hot[:2], *[replace(r, index=50) for r in cold], *hot[2:]]
    found = by_place(generate(policy, mixed))
    assert by_place(generate(policy, hot)).items() <= found.items()
    assert len(found) == len(mixed)


@pytest.mark.parametrize("max_rows", [1, 2, 64])
def test_greedy_equals_transformers_generate(make_policy: MakePolicy, max_rows: int) -> None:
    policy = make_policy(seed=2)
    for rollout in generate(policy, requests(policy, Sampling(0.0, max_tokens=30), samples=1), max_rows=max_rows):
        ids = torch.tensor([rollout.prompt_ids])
        plain = policy.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=30, pad_token_id=0
        )
        assert rollout.token_ids == tuple(plain[0, ids.shape[1] :].tolist())


def test_sampled_tokens_follow_the_probabilities(make_policy: MakePolicy) -> None:
    policy = make_policy()
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.mul_(12.0)  # tied to the head: a distribution far from uniform
    ids = policy.prompt_ids(Problem("p", ask("fever")))
    count, sampling = 4000, Sampling(max_tokens=1)
    asked = [Request("p", i, seed_of("chi", i), ids, sampling) for i in range(count)]
    seen = Counter(r.token_ids[0] for r in generate(policy, asked, max_rows=count))
    probabilities = policy.model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1).tolist()
    cells = [i for i, p in enumerate(probabilities) if p * count >= 5]
    rest = 1 - sum(probabilities[i] for i in cells)
    assert 5 <= len(cells) <= 200
    chi = sum((seen[i] - count * probabilities[i]) ** 2 / (count * probabilities[i]) for i in cells)
    if rest * count > 1:
        others = count - sum(seen[i] for i in cells)
        chi += (others - count * rest) ** 2 / (count * rest)
    degrees = len(cells)
    assert chi < degrees + 4 * math.sqrt(2 * degrees), "four standard deviations of a chi-square"


def test_uniform_numbers_are_uniform_and_a_function_of_seed_and_step() -> None:
    seeds = torch.arange(20_000)
    numbers = uniform(seeds, torch.zeros_like(seeds))
    assert bool(((numbers >= 0) & (numbers < 1)).all())
    counts = torch.histc(numbers, bins=20, min=0, max=1)
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 19 + 4 * math.sqrt(38)
    later = uniform(seeds, torch.ones_like(seeds))
    assert abs(float(torch.corrcoef(torch.stack([numbers, later]))[0, 1])) < 0.03
    assert torch.equal(uniform(seeds[7:8], torch.tensor([0])), numbers[7:8])
    big = torch.tensor([2**63 - 1, 2**62])
    assert bool((uniform(big, torch.tensor([10**6, 0])) < 1).all())


def test_draw_never_picks_a_token_of_probability_zero() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).expand(5, -1)
    edge = torch.tensor([0.0, 1e-300, 0.5, 1 - 2**-53, 0.26894142], dtype=torch.float64)
    tokens, logprobs = draw(logits, edge, greedy=False)
    assert set(tokens.tolist()) <= {1, 3}
    assert bool(logprobs.isfinite().all())


def test_process_logits_keeps_the_token_that_reaches_top_p() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    for top_p, kept in ((0.4, 1), (0.6, 2), (0.85, 3), (1.0, 4), (1e-9, 1)):
        assert int(process_logits(logits, 1.0, 0, top_p).isfinite().sum()) == kept
    assert int(process_logits(logits, 1.0, 3, 1.0).isfinite().sum()) == 3


def test_stop_length_and_context(make_policy: MakePolicy) -> None:
    policy = make_policy()
    stop = policy.stop_ids[0]
    ragged(policy)
    long_prompt = "fever cough " * 15
    room = policy.context - len(policy.prompt_ids(Problem("p2", ask(long_prompt))))
    assert 1 < room < 30
    rollouts = generate(policy, requests(policy, Sampling(max_tokens=30), 12, ("fever", "chest pain", long_prompt)))
    assert {r.finish_reason for r in rollouts} == {"stop", "length"}
    for r in rollouts:
        limit = room if r.problem_id == "p2" else 30
        assert stop not in r.token_ids[:-1]
        assert (r.token_ids[-1] == stop) == (r.finish_reason == "stop")
        assert len(r.token_ids) <= limit
        assert len(r.token_ids) == limit or r.finish_reason == "stop"
        assert (r.token_count, r.versions) == (len(r.token_ids), (VersionSpan(0, len(r.token_ids), 3),))
        assert r.text == policy.tokenizer.decode(r.token_ids, skip_special_tokens=True)
        assert all(r.loss_mask)


def test_a_prompt_longer_than_the_context_is_named(make_policy: MakePolicy) -> None:
    policy = make_policy()
    asked = requests(policy, Sampling(), 1, ("fever", "cough " * 300))
    with pytest.raises(ProblemError, match=r"problem 'p1' has \d+ tokens and the model's context is 128"):
        generate(policy, asked)


class Watched:
    """Rows of each forward pass, and how many rollouts had been handed out before it."""

    def __init__(self, policy: Policy) -> None:
        self.rows: list[int] = []
        self.tokens = 0
        policy.model.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, module: Any, args: Any, kwargs: Any) -> None:
        self.rows.append(kwargs["input_ids"].shape[0])
        self.tokens += kwargs["input_ids"].numel()


def test_ended_rows_leave_the_batch_and_are_handed_out_at_once(make_policy: MakePolicy) -> None:
    policy = make_policy()
    ragged(policy)
    watched = Watched(policy)
    seen_at: list[tuple[int, int]] = []

    async def run() -> list[Rollout]:
        found = []
        async for rollout in InProcessEngine(policy).generate(requests(policy, Sampling(max_tokens=60), 8), version=0):
            seen_at.append((len(watched.rows), len(rollout.token_ids)))
            found.append(rollout)
        return found

    rollouts = asyncio.run(run())
    lengths = [len(r.token_ids) for r in rollouts]
    assert max(lengths) > 3 * min(lengths)
    assert watched.rows[0] == 3, "each distinct prompt is computed once"
    decoding = watched.rows[1:]
    assert decoding == sorted(decoding, reverse=True)
    assert decoding[-1] < len(rollouts) / 2
    ideal, padded = sum(lengths), len(lengths) * max(lengths)
    assert sum(decoding) < (ideal + padded) / 2, "most of the padding is saved"
    assert all(passes == length for passes, length in seen_at), "handed out right after its last token"


def test_waiting_requests_take_the_place_of_ended_rows(make_policy: MakePolicy) -> None:
    policy = make_policy()
    ragged(policy)
    watched = Watched(policy)
    rollouts = generate(policy, requests(policy, Sampling(max_tokens=40), 8), max_rows=6)
    assert len(rollouts) == 24
    assert max(watched.rows) <= 6
    assert len(watched.rows) < sum(len(r.token_ids) for r in rollouts) / 2


def state(policy: Policy) -> tuple[Any, ...]:
    model = policy.model
    return (
        {name: module.training for name, module in model.named_modules()},
        {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)},
        model.is_gradient_checkpointing,
        {name: m.gradient_checkpointing for name, m in model.named_modules() if hasattr(m, "gradient_checkpointing")},
        model.config.use_cache,
        torch.is_grad_enabled(),
        torch.random.get_rng_state().tolist(),
        {name: p.requires_grad for name, p in model.named_parameters()},
    )


@pytest.mark.parametrize("ends", ["well", "abandoned", "raises", "consumer"])
def test_the_model_is_left_as_it_was(make_policy: MakePolicy, ends: str) -> None:
    policy = make_policy()
    policy.model.config.attention_dropout = 0.5
    policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    policy.model.train()
    policy.model.model.layers[1].eval()  # a part that was frozen by hand stays so
    torch.manual_seed(11)
    before = state(policy)
    asked = requests(policy, Sampling(max_tokens=12))
    inside: list[bool] = []
    handle = policy.model.register_forward_pre_hook(lambda module, _: inside.append(module.training))

    async def run() -> None:
        stream = InProcessEngine(policy).generate(asked, version=0)
        if ends == "raises":
            policy.model.register_forward_pre_hook(fail)
        if ends == "well":
            assert len([r async for r in stream]) == len(asked)
            return
        async for _ in stream:
            if ends == "consumer":
                raise KeyError("out of the loop")
            break
        await stream.aclose()

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    if ends == "raises":
        with pytest.raises(RuntimeError, match="out of memory"):
            asyncio.run(run())
    elif ends == "consumer":
        with pytest.raises(KeyError):
            asyncio.run(run())
    else:
        asyncio.run(run())
    handle.remove()
    assert not any(inside), "no dropout while sampling"
    assert state(policy) == before


def test_dropout_and_checkpointing_do_not_reach_the_samples(make_policy: MakePolicy) -> None:
    policy, plain = make_policy(), make_policy()
    policy.model.config.attention_dropout = 0.5
    for layer in policy.model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    policy.model.train()
    sampling = Sampling(max_tokens=12)
    assert by_place(generate(policy, requests(policy, sampling))) == by_place(
        generate(plain, requests(plain, sampling))
    )


@pytest.mark.parametrize(
    "knobs", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}, {"max_tokens": 0}]
)
def test_sampling_knobs_out_of_range_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        Sampling(**knobs)  # type: ignore[arg-type]


def test_a_gauge_tells_the_mean_over_time_and_the_peak_since_it_was_last_read() -> None:
    now = 0.0
    gauge = Gauge(lambda: now)
    assert gauge.read("n") == {"n": 0.0, "n/peak": 0.0}, "no time has passed"
    gauge.to(6)
    now = 1.0
    gauge.add(-4)
    now = 4.0
    assert gauge.read("n") == {"n": 3.0, "n/peak": 6.0}
    now = 5.0
    assert gauge.read("n") == {"n": 2.0, "n/peak": 2.0}


def test_the_engine_counts_what_waits_and_what_it_writes(make_policy: MakePolicy) -> None:
    policy = make_policy()
    engine = InProcessEngine(policy, max_rows=4)
    short, long = (requests(policy, Sampling(max_tokens=n), samples=3, prompts=PROMPTS[:2]) for n in (4, 8))

    async def run(asked: Sequence[Request], stop: bool) -> None:
        stream = engine.generate(asked, version=0)
        async for _ in stream:
            if stop:
                break
        await stream.aclose()  # type: ignore[attr-defined]

    for stop in (False, True):
        asyncio.run(run([*short, *long], stop))
        queue, load = engine.queue.read("q"), engine.load.read("l")
        assert (queue["q/peak"], load["l/peak"]) == (8.0, 4.0) and queue["q"] > 0 and load["l"] > 0
        assert engine.queue.read("q")["q/peak"] == engine.load.read("l")["l/peak"] == 0.0, "nothing is left"
