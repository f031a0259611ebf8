"""Episodes: the very tokens of earlier turns, masks, seeds, limits, environments that fail, templates that cannot serve."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from medrl.algorithms import Batch
from medrl.engines import InProcessEngine, Request, Sampling
from medrl.environments import Environment, Episode, SingleTurn
from medrl.errors import ProblemError, TemplateError
from medrl.models import Policy
from medrl.rewards import FunctionReward, reward
from medrl.rollouts import Episodes, TurnTemplate, collect, make_requests
from medrl.types import Problem, Response, Rollout, ask

PROBLEMS = [Problem(f"p{i}", ask(text)) for i, text in enumerate(("fever", "cough", "chest pain"))]
LONG = Sampling(max_tokens=300)


class Asking(Episode):
    def __init__(self, fault: str, draw: int) -> None:
        self.fault, self.draw, self.heard, self.say = fault, draw, [""][:0], ""

    async def answer(self, reply: str) -> str | None:
        self.heard.append(reply)
        if self.fault and len(self.heard) == 2:
            raise ConnectionError(self.fault)
        return self.say or f"go on {self.draw % 7}"

    def measured(self) -> Mapping[str, Any]:
        return {"heard": len(self.heard)}


@dataclass(frozen=True, kw_only=True)
class Endless(Environment):
    """Never has enough; breaks at the second turn of one problem, or at the beginning of one."""

    breaks: str = ""
    refuses: str = ""

    def reset(self, problem: Problem, seed: int) -> Episode:
        if problem.id == self.refuses:
            raise ProblemError("no such patient")
        return Asking("the line is dead" if problem.id == self.breaks else "", seed)


class Scripted:
    """An engine that writes given texts, one a turn, and keeps what it was asked. Its tokens end with EOS."""

    def __init__(self, policy: Policy, texts: Sequence[str], finish: str = "stop") -> None:
        self.policy, self.texts, self.asked, self.finish = policy, texts, list[Request](), finish
        self.turns: dict[tuple[str, int], int] = {}

    def exact(self, sampling: Sampling) -> bool:
        return True

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        for request in reversed(requests):
            self.asked.append(request)
            key = request.problem_id, request.index
            turn = self.turns[key] = self.turns.get(key, -1) + 1
            text = self.texts[turn % len(self.texts)]
            ids = (*self.policy.tokenizer(text, add_special_tokens=False)["input_ids"], self.policy.stop_ids[0])
            yield Rollout(
                text, (), self.finish, len(ids), *key, request.seed, request.prompt_ids, ids,  # type: ignore[arg-type]
                (-0.5,) * len(ids), (True,) * len(ids),
            )  # fmt: skip


def played(
    policy: Policy, engine: Any, environment: Environment, sampling: Sampling = LONG, samples: int = 2
) -> dict[tuple[str, int], Rollout]:
    requests = make_requests(policy, PROBLEMS, samples, sampling, 0, "t")
    episodes = Episodes(engine, policy, environment, PROBLEMS)

    async def run() -> list[Rollout]:
        return [one async for one in episodes.generate(requests, 3)]

    return {(one.problem_id, one.index): one for one in asyncio.run(run())}


def test_a_single_turn_is_a_rollout_without_environment_bit_for_bit(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy(context=512)
    plain, requests = InProcessEngine(policy), make_requests(policy, PROBLEMS, 2, LONG, 0, "t")

    async def run() -> list[Rollout]:
        return [one async for one in plain.generate(requests, 3)]

    bare = {(one.problem_id, one.index): one for one in asyncio.run(run())}
    found = played(policy, InProcessEngine(policy), SingleTurn(max_tokens=300))
    assert {key: replace(one, measured={}) for key, one in found.items()} == bare


def test_later_turns_get_the_tokens_of_earlier_ones_and_the_template_continues(
    make_policy: Callable[..., Policy],
) -> None:
    policy = make_policy(context=2048)
    texts = ("fe ver  and\ncough", "which colour? ")  # odd blanks: text tokenised again would differ from a template's
    engine = Scripted(policy, texts)
    found = played(policy, engine, Endless(max_turns=3), samples=1)
    rollout = found["p0", 0]
    said = [m["content"] for m in rollout.turns if m["role"] == "user"]
    messages = [*map(dict, PROBLEMS[0].messages), *map(dict, rollout.turns)]
    whole = policy.tokenizer.apply_chat_template(messages, tokenize=False).removesuffix("\n")
    assert policy.tokenizer.decode(list(rollout.prompt_ids + rollout.token_ids)) == whole
    assert len(said) == 2 and len(rollout.turns) == 5 and rollout.text == texts[0]
    by_turn = [r for r in engine.asked if r.problem_id == "p0"]
    for earlier, later in pairwise(by_turn):
        assert later.prompt_ids[: len(earlier.prompt_ids)] == earlier.prompt_ids
    spoken = [t for t, mine in zip(rollout.token_ids, rollout.loss_mask, strict=True) if mine]
    own = [i for turn in range(3) for i in [*policy.tokenizer(texts[turn % 2])["input_ids"], policy.stop_ids[0]]]
    assert spoken == own and rollout.token_count == len(own)
    assert all((logprob == 0.0) != mine for logprob, mine in zip(rollout.logprobs, rollout.loss_mask, strict=True))
    assert len({r.seed for r in engine.asked}) == len(engine.asked)  # each turn of each rollout draws anew


@pytest.mark.slow
def test_real_rollouts_of_several_turns_have_the_learners_logprobs_and_do_not_depend_on_order(
    make_policy: Callable[..., Policy],
) -> None:
    policy = make_policy(seed=1, context=512)
    environment = Endless(max_turns=3, max_tokens=400)
    found = played(policy, InProcessEngine(policy), environment, samples=4)
    several = [one for one in found.values() if len(one.versions) > 1]
    assert several, "no rollout went on to a second turn; draw more"
    for one in several[:3]:
        ids = torch.tensor([one.prompt_ids + one.token_ids])
        with torch.no_grad():
            logits = policy.model(ids).logits[0]
        want = logits.log_softmax(-1)[:-1].gather(-1, ids[0, 1:, None])[:, 0][len(one.prompt_ids) - 1 :]
        for got, due, mine in zip(one.logprobs, want.tolist(), one.loss_mask, strict=True):
            assert not mine or abs(got - due) < 1e-4
        for span in one.versions:
            assert span.version == 3 and all(one.loss_mask[span.start : span.end])
        assert sum(span.end - span.start for span in one.versions) == sum(one.loss_mask)
    again = played(policy, InProcessEngine(policy, max_rows=5), environment, samples=4)
    assert [one.token_ids for _, one in sorted(again.items())] == [one.token_ids for _, one in sorted(found.items())]


def test_environment_tokens_train_nothing(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy(context=2048)
    engine = Episodes(Scripted(policy, ["fever"]), policy, Endless(max_turns=3), PROBLEMS)
    (scored,) = asyncio.run(
        collect(engine, policy, PROBLEMS[:1], worth, samples=2, sampling=LONG, seed=(0,), version=0)
    )
    batch = Batch.from_groups([scored], 300)
    one = scored.group.rollouts[0]
    assert isinstance(one, Rollout)
    start = len(one.prompt_ids)
    assert batch.loss_mask_BT[0, start : start + len(one.token_ids)].tolist() == list(one.loss_mask)
    assert 0 < sum(one.loss_mask) < len(one.token_ids)


@reward("worth")
def worth(problem: Problem, response: Response) -> float:
    return float(response.measured["heard"])


def test_running_over_turns_tokens_or_a_turn_is_the_policys_fault(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy(context=2048)
    turns = played(policy, Scripted(policy, ["fever"]), Endless(max_turns=2))["p0", 0]
    assert turns.finish_reason == "length" and turns.measured == {"heard": 2, "fault": "it did not end within 2 turns"}
    tokens = played(policy, Scripted(policy, ["fever"]), Endless(max_turns=50, max_tokens=60))["p0", 0]
    assert tokens.finish_reason == "length" and len(tokens.token_ids) <= 60 and "60 tokens" in tokens.measured["fault"]
    context = played(make_policy(context=128), Scripted(policy, ["fever"]), Endless(max_turns=50))["p0", 0]
    assert len(context.prompt_ids + context.token_ids) <= 128
    short = Scripted(policy, ["fever"])
    short.longest = 100  # type: ignore[attr-defined]
    engine_s = played(policy, short, Endless(max_turns=50))["p0", 0]
    assert engine_s.finish_reason == "length" and len(engine_s.prompt_ids + engine_s.token_ids) <= 100
    assert all(len(request.prompt_ids) < 100 for request in short.asked) and len(short.asked) > len(PROBLEMS)
    cut = played(policy, Scripted(policy, ["fever"], "length"), Endless())["p0", 0]
    assert cut.finish_reason == "length" and cut.turns == () and cut.measured["heard"] == 0


def test_a_turn_never_has_more_tokens_than_the_episode_has_left(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy(context=2048)
    engine = Scripted(policy, ["fever"])
    played(policy, engine, Endless(max_turns=50, max_tokens=100), Sampling(max_tokens=64), samples=1)
    for request in engine.asked:
        used = len(request.prompt_ids) - len(policy.prompt_ids(next(p for p in PROBLEMS if p.id == request.problem_id)))
        assert used + request.sampling.max_tokens <= 100


def test_a_failing_environment_costs_its_own_rollouts_their_score(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy(context=2048)
    for environment, said in (
        (Endless(max_turns=3, breaks="p1"), "ConnectionError: the line is dead"),
        (Endless(max_turns=3, refuses="p1"), "ProblemError: no such patient"),
    ):
        engine = Episodes(Scripted(policy, ["fever"]), policy, environment, PROBLEMS)
        assert isinstance(worth, FunctionReward)
        scored = asyncio.run(collect(engine, policy, PROBLEMS, worth, samples=2, sampling=LONG, seed=(0,), version=0))
        values = [[score.value for score in group.scores] for group in scored]
        assert values == [[3.0, 3.0], [None, None], [3.0, 3.0]]
        broken = scored[1].group.rollouts[0]
        assert broken.finish_reason == "abort" and said in broken.measured["fault"]
        assert scored[1].scores[0].status == "error"
        assert not Batch.from_groups(scored, 300).loss_mask_BT[2:4].any()


def test_words_of_an_environment_that_cannot_be_sent_cost_that_rollout_alone(
    make_policy: Callable[..., Policy],
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Saying(Environment):
        words: str

        def reset(self, problem: Problem, seed: int) -> Episode:
            episode = Asking("", 0)
            if problem.id == "p1":
                episode.say = self.words
            return episode

    policy = make_policy(context=2048)
    (placeholder,) = policy.tokenizer("#", add_special_tokens=False)["input_ids"]
    policy.__dict__["barred_ids"] = (placeholder,)  # as a policy that sees has
    policy.tokenizer.chat_template = (
        "{% if messages[-1]['content'] == 'reject' %}{{ raise_exception('a word too many') }}{% endif %}"
        + policy.tokenizer.chat_template
    )
    for words, fault in (("reject", "a word too many"), ("see # here", "an image of the prompt")):
        found = played(policy, Scripted(policy, ["fever"]), Saying(words=words, max_turns=3), samples=1)
        assert [one.finish_reason for _, one in sorted(found.items())] == ["length", "abort", "length"]
        broken = found["p1", 0]
        assert fault in broken.measured["fault"] and placeholder not in broken.token_ids and broken.turns == ()


def test_templates_that_rewrite_earlier_turns_are_refused(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    TurnTemplate(policy)
    sound = policy.tokenizer.chat_template
    tokenizer = type(policy.tokenizer)(tokenizer_object=policy.tokenizer.backend_tokenizer, eos_token="<|im_end|>")
    other = replace(policy, tokenizer=tokenizer)
    last_only = (
        "{% for message in messages %}{% if loop.last or message['role'] != 'assistant' %}"
        + sound.removeprefix("{% for message in messages %}").replace(
            "{% endfor %}{% if add", "{% endif %}{% endfor %}{% if add", 1
        )
    )
    cases = {
        "renders earlier turns otherwise": last_only,
        "does not begin as the prompt": sound + "{% if add_generation_prompt %}{{ '<think>' }}{% endif %}",
        "none of the end tokens": sound.replace("<|im_end|>", "<|end|>"),
        "fails on a conversation": "{{ raise_exception('one turn only') if messages|length > 1 }}" + sound,
    }
    for said, template in cases.items():
        tokenizer.chat_template = template
        with pytest.raises(TemplateError, match=f"cannot carry a conversation.*{said}"):
            TurnTemplate(other)
