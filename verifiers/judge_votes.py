"""From the replies of a judge model to one verdict: strict reading, then a majority of the votes that were asked for."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from medrl.chat.base import BudgetSpent, ChatBadReply, ChatClient, ChatError, ChatRequest, CircuitOpen
from medrl.chat.strict import read_json
from medrl.seeds import seed_of
from medrl.types import Verdict
from medrl.verifiers.judge_prompt import VERDICTS

Unsure: TypeAlias = Literal["abstain", "no_match"]
_KEYS = {"answer", "reason", "verdict"}
WARMER = 0.3  # temperature that each further round adds to a judge that is greedy
_ROUNDS: ContextVar[int] = ContextVar("rounds of a judge", default=1)


@dataclass(frozen=True)
class Opinion:
    """What one reply says.

    Attributes:
        verdict: "match", "no_match" or "unsure".
        answer: What the judge took for the answer.
        reason: Its reason, one line.
    """

    verdict: str
    answer: str
    reason: str


def read_opinion(text: str) -> Opinion:
    """The opinion in a reply that is one JSON object of the schema from its first to its last character.

    Nothing is searched for: a verdict inside a quotation, after other words or beside a second one does not count.

    Raises:
        ChatBadReply: It is anything else.
    """
    found = read_json(text, "the judge")
    if not isinstance(found, dict) or set(found) != _KEYS or not all(isinstance(one, str) for one in found.values()):
        raise ChatBadReply(f"the judge's reply has not the texts answer, reason and verdict: {text!r:.120}")
    if found["verdict"] not in VERDICTS:
        raise ChatBadReply(f"the judge's verdict is {found['verdict']!r:.40}; it must be one of {', '.join(VERDICTS)}")
    return Opinion(found["verdict"], _line(found["answer"]), _line(found["reason"]))


def _line(text: str) -> str:
    return " ".join(text.encode(errors="replace").decode().split())[:300]


@dataclass(frozen=True)
class Vote:
    """What came of one request: an opinion, or the error that stands in its place.

    Attributes:
        opinion: What the judge said.
        error: Why there is no opinion.
        calls: Requests that were sent, retries included where the client tells them.
        tokens: Of prompt and reply.
        cached: 1 where a cache answered.
        seed: Of the request that was sent last.
    """

    opinion: Opinion | None = None
    error: Exception | None = None
    calls: int = 0
    tokens: int = 0
    cached: int = 0
    seed: int | None = None

    @property
    def kind(self) -> str:
        """What it says ("match", "no_match", "unsure"), or what failed."""
        return self.opinion.verdict if self.opinion else str(getattr(self.error, "kind", "error"))


@contextmanager
def asked_in_rounds(count: int) -> Iterator[None]:
    """Below this, a judge whose reply cannot be read is asked once more in each round but the first, with that round's seed.

    For work that is started again after a failure, with one round more each time: a judge that says the same again is then
    asked with a seed that is new. What a cache kept of earlier rounds is not asked for again.
    """
    token = _ROUNDS.set(count)
    try:
        yield
    finally:
        _ROUNDS.reset(token)


async def vote(
    client: ChatClient, request: ChatRequest, read: Callable[[str], Opinion] = read_opinion, rounds: int = 1
) -> Vote:
    """Ask, and where the reply cannot be read once more as the last of so many rounds does; a cache keeps neither then.

    A reply of any round that a cache has comes first, also of the last one, which may have been killed. Whatever the client
    raises becomes this vote's error, so that its neighbours are unharmed.
    """
    for number in range(rounds if rounds > 1 else 0):
        if await _has_readable(client, earlier := _in_round(request, number), read):
            return await _once(client, earlier, read)
    one = await _once(client, request, read)
    if rounds == 1 or not isinstance(one.error, ChatBadReply):
        return one
    again = await _once(client, _in_round(request, rounds - 1), read)
    return replace(again, calls=one.calls + again.calls, tokens=one.tokens + again.tokens)


def _in_round(request: ChatRequest, number: int) -> ChatRequest:
    """The request as round `number` (from 0) sends it: with another seed, and not greedily, in each but the first."""
    if number == 0:
        return request
    warmer = request.temperature or min(1.0, WARMER * number)
    return replace(request, temperature=warmer, seed=seed_of("judge again", request.seed or 0, number))


async def _has_readable(client: ChatClient, request: ChatRequest, read: Callable[[str], Opinion]) -> bool:
    try:
        reply = await client.kept(request)
        return reply is not None and bool(read(reply.text))
    except Exception:  # of a cache that is broken the next request tells
        return False


async def _once(client: ChatClient, request: ChatRequest, read: Callable[[str], Opinion]) -> Vote:
    try:
        reply = await client.complete(request)
    except (BudgetSpent, CircuitOpen) as error:  # nothing was sent
        return Vote(error=error, seed=request.seed)
    except Exception as error:
        return Vote(error=error, calls=1, seed=request.seed)
    sent = 0 if reply.cached else max(1, reply.attempts)
    tokens = 0 if reply.cached else reply.prompt_tokens + reply.completion_tokens
    try:
        return Vote(read(reply.text), None, sent, tokens, int(reply.cached), request.seed)
    except ChatBadReply as error:
        await client.forget(request, reply.text)  # else it would be an error for good
        return Vote(None, error, sent, tokens, int(reply.cached), request.seed)


async def votes_on(client: ChatClient, items: Sequence[Sequence[ChatRequest]]) -> list[list[Vote]]:
    """The votes on each item, in order. Equal requests are sent once, and only the first of them is charged."""
    distinct = {_key(request): request for requests in items for request in requests}
    rounds = _ROUNDS.get()
    asked = await asyncio.gather(*(vote(client, one, rounds=rounds) for one in distinct.values()))
    given = dict(zip(distinct, asked, strict=True))
    charged: set[Any] = set()
    found: list[list[Vote]] = []
    for requests in items:
        found.append([])
        for key in map(_key, requests):
            one = given[key]
            found[-1].append(
                one if key not in charged else replace(one, calls=0, tokens=0, cached=int(one.error is None))
            )
            charged.add(key)
    return found


def _key(request: ChatRequest) -> tuple[Any, ...]:
    return request.messages, request.seed, request.temperature, request.max_tokens


def decide(votes: Sequence[Vote], unsure: Unsure) -> Verdict:
    """One verdict from k votes: what more than half of the k say.

    Where none has that, the failed votes are looked at: if they could have made a majority the item has no number
    (`timeout` where all that failed timed out, else `error`); if not, the judge is unsure.
    """
    count = {name: sum(one.kind == name for one in votes) for name in VERDICTS}
    failed = [one for one in votes if one.error is not None]
    parts = {name: share / len(votes) for name, share in {**count, "failed": len(failed)}.items()}
    cost = {
        "calls": sum(one.calls for one in votes),
        "tokens": sum(one.tokens for one in votes),
        "cached": sum(one.cached for one in votes),
    }
    kept: dict[str, Any] = {"parts": parts, "cost": cost, "votes": tuple((one.seed, one.kind) for one in votes)}
    shares = f"{count['match']} of {len(votes)} votes for match: " if len(votes) > 1 else ""
    for name in VERDICTS[:2]:
        if 2 * count[name] > len(votes):
            reason = next(one.opinion.reason for one in votes if one.opinion and one.opinion.verdict == name)
            made = Verdict.right if name == "match" else Verdict.wrong
            return made(f"{shares}{name}: {reason}", **kept)
    if failed and 2 * (max(count["match"], count["no_match"]) + len(failed)) > len(votes):
        status: Literal["error", "timeout"] = "error"
        if all(isinstance(one.error, TimeoutError) for one in failed):
            status = "timeout"
        return Verdict.failed(f"{shares}{told(failed[0].error)}", status, **kept)
    said = next((one.opinion.reason for one in votes if one.opinion and one.opinion.verdict == "unsure"), "")
    reason = f"{shares}unsure: {said}" if said else f"{shares}the votes are split"
    if unsure == "no_match":
        return Verdict.wrong(reason, **kept)
    return Verdict.abstain(reason, **kept)


def told(error: Exception | None) -> str:
    """An error in one line, its kind first."""
    kind = error.kind if isinstance(error, ChatError) else "error"
    return f"{kind}: {type(error).__name__}: {' '.join(str(error).split())}"[:500]
