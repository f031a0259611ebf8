"""Ask a model the problems of an evaluation: a policy in this process, or any chat model.

The seed of each reply is a hash of the set, the problem and the sample, never of the model; so two models are asked alike.
What a chat model does wrong (a reply that is empty, refused or cut off at its limit) is its answer. What its server does
wrong is a reply that could not be had.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medrl.chat.base import ChatBadReply, ChatClient, ChatError, ChatRequest, Message, Role
from medrl.errors import EngineFailed, ProblemError
from medrl.evaluation.answers import Answered, Reply
from medrl.knobs import out_of_range
from medrl.seeds import seed_of
from medrl.types import Problem, text_of

if TYPE_CHECKING:
    from medrl.models import Policy

Sets = Sequence[tuple[str, Problem]]
OWN = ("length", "empty", "refusal")  # faults of a reply that are the model's
AT_ONCE = 256


@dataclass(frozen=True)
class Asking:
    """How each problem is asked."""

    samples: int = 1
    """Replies to each problem. 1 for accuracy of the likeliest answer; 4 to 16 for pass@k."""
    temperature: float = 0.0
    """0 takes the likeliest tokens; with several samples it must be above 0, typically 0.6 to 1."""
    top_p: float = 1.0
    """Draw from the fewest tokens whose probabilities add up to this; 1 is no limit. Not sent to chat models."""
    max_tokens: int = 1024
    """Longest reply in tokens; what is cut there counts as it stands, and is counted as truncated."""
    seed: int = 0
    """Of the draws."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("samples", "top_p", "max_tokens"), from_0=("temperature",))
        if self.samples > 1 and self.temperature == 0:
            faults.append(f"{self.samples} samples at temperature 0 are one answer over again; raise the temperature")
        if faults:
            raise ValueError("how to ask: " + "; ".join(faults))


def ask_policy(
    policy: "Policy", problems: Sets, asking: Asking, on_reply: Callable[[], None] = lambda: None
) -> list[Answered]:
    """Replies of a policy, by the engine in this process.

    Raises:
        ProblemError: Prompts leave no room for a reply; nothing is cut off a prompt.
    """
    from medrl.engines import InProcessEngine, Sampling
    from medrl.rollouts.collect import make_requests
    from medrl.verifiers import run_sync

    policy.check()
    sampling = Sampling(asking.temperature, top_p=asking.top_p, max_tokens=asking.max_tokens)
    room = policy.context - asking.max_tokens
    long = [one.id for _, one in problems if len(policy.prompt_ids(one)) > room]
    if long:
        raise ProblemError(
            f"{len(long)} of {len(problems)} prompts (the first is {long[0]!r}) leave no room for {asking.max_tokens} tokens "
            f"in a context of {policy.context}; lower --max-tokens, or leave these problems out of the file"
        )
    engine, answered = InProcessEngine(policy), list[Answered]()

    async def drawn(name: str, some: list[Problem]) -> None:
        requests = make_requests(policy, some, asking.samples, sampling, asking.seed, "answers", name)
        replies: dict[tuple[str, int], Reply] = {}
        async for one in engine.generate(requests, 0):
            about = {"seed": one.seed}
            replies[one.problem_id, one.index] = Reply(one.text, one.finish_reason, one.token_count, metadata=about)
            on_reply()
        answered.extend(
            Answered(problem, tuple(replies[problem.id, number] for number in range(asking.samples)), name)
            for problem in some
        )

    for name in dict.fromkeys(name for name, _ in problems):
        run_sync(drawn(name, [problem for of, problem in problems if of == name]))
    return answered


async def ask_chat(
    client: ChatClient, problems: Sets, asking: Asking, on_reply: Callable[[], None] = lambda: None
) -> list[Answered]:
    """Replies of a chat model.

    Raises:
        EngineFailed: Not one reply could be had.
        ProblemError: A problem has images, which chat requests do not carry.
    """
    seen = [one.id for _, one in problems if one.kind == "visual"]
    if seen:
        raise ProblemError(
            f"{len(seen)} problems have images (the first is {seen[0]!r}), which chat models are not sent"
        )
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, problem: Problem, number: int) -> Reply:
        messages = tuple(Message(_role(m["role"]), text_of(m["content"])) for m in problem.messages)
        seed = seed_of(asking.seed, "answers", name, problem.id, number) % 2**31
        request = ChatRequest(messages, asking.max_tokens, asking.temperature, seed)
        async with gate:
            reply = await _reply(client, request)
        on_reply()
        return reply

    asked = [(name, problem, number) for name, problem in problems for number in range(asking.samples)]
    replies = await asyncio.gather(*(one(*each) for each in asked))
    if all(reply.error for reply in replies):
        raise EngineFailed(
            f"{client.model} gave no reply to any of {len(replies)} requests; the first: {replies[0].error}"
        )
    places = iter(replies)
    return [Answered(problem, tuple(next(places) for _ in range(asking.samples)), name) for name, problem in problems]


async def _reply(client: ChatClient, request: ChatRequest) -> Reply:
    about = {"seed": request.seed}
    try:
        reply = await client.complete(request)
    except ChatBadReply as error:
        if error.why not in OWN:
            return Reply("", error=f"{error.kind}: {error}", metadata=about)
        cut = error.why == "length"
        return Reply(error.text, "length" if cut else "stop", metadata={**about, "fault": error.why})
    except ChatError as error:
        return Reply("", error=f"{error.kind}: {error}", metadata=about)
    return Reply(reply.text, "stop", reply.completion_tokens or None, metadata=about)


def _role(role: str) -> Role:
    if role not in ("system", "user", "assistant"):
        raise ProblemError(f"a message has the role {role!r}; chat models take system, user and assistant")
    return role  # type: ignore[return-value]
