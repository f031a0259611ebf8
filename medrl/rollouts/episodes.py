"""Episodes of several turns over any engine: `Episodes` is itself an engine, whose rollouts are whole episodes.

Each round asks the engine for one turn of every episode that goes on; environments answer while other turns are still being
sampled. A later turn gets the token ids of the turns before, never text tokenised again; tokens of the environment have
loss mask False and log-probability 0. Draws of turn 0 are those of a rollout without an environment, those of later turns
have seeds of their own. A policy that runs over its turns or tokens is cut ("length": its fault); an environment that fails
ends the episode with "abort", which no reward scores.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medrl.engines import Engine, Request, Sampling, context_of
from medrl.environments import Environment, Episode
from medrl.models import Policy
from medrl.rollouts.turns import TurnTemplate
from medrl.seeds import seed_of
from medrl.types import FinishReason, Message, Problem, Rollout, VersionSpan

log = logging.getLogger(__name__)
STEP = 16  # tokens; where an episode has less left than a turn may have, the turn's limit is a multiple of it


@dataclass
class _Live:
    """An episode under way: `request` asks for its next turn."""

    first: Request
    problem: Problem
    episode: Episode | None  # None where the environment could not begin
    request: Request
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    versions: list[VersionSpan] = field(default_factory=list)
    turns: list[Message] = field(default_factory=list)
    finish: FinishReason | None = None
    fault: str = ""

    @property
    def key(self) -> tuple[str, int]:
        return self.first.problem_id, self.first.index


class Episodes:
    """An engine whose rollouts are episodes of an environment."""

    def __init__(self, engine: Engine, policy: Policy, environment: Environment, problems: Iterable[Problem]) -> None:
        """Bind an engine to an environment.

        Args:
            engine: What samples each turn.
            policy: What renders the messages between turns.
            environment: What answers.
            problems: Those that requests will name.

        Raises:
            TemplateError: The policy's chat template cannot carry several turns.
        """
        self.engine, self.policy, self.environment = engine, policy, environment
        self.problems = {problem.id: problem for problem in problems}
        self.context = context_of(policy.context, engine)
        self.template = TurnTemplate(policy) if environment.max_turns > 1 else None

    def exact(self, sampling: Sampling) -> bool:
        return self.engine.exact(sampling)

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        """Yield each episode as it ends. See `Engine.generate`."""
        live = [self._begin(request) for request in requests]
        for one in [one for one in live if one.finish]:
            yield self._rollout(one)
        live = [one for one in live if not one.finish]
        while live:
            places = {one.key: one for one in live}
            answering: set[asyncio.Task[_Live]] = set()
            # requests of one sampling in a row, so that an engine can batch them
            asked = sorted((one.request for one in live), key=lambda request: -request.sampling.max_tokens)
            stream = self.engine.generate(asked, version)
            try:
                async for turn in stream:
                    one = places[turn.problem_id, turn.index]
                    answering.add(asyncio.create_task(self._take(one, turn)))
                for task in asyncio.as_completed(answering):
                    one = await task
                    if one.finish:
                        yield self._rollout(one)
            finally:
                for waiting in answering:
                    waiting.cancel()  # no effect on those that are done
                if isinstance(stream, AsyncGenerator):
                    await stream.aclose()
            live = [one for one in live if not one.finish]

    def _begin(self, request: Request) -> _Live:
        problem = self.problems[request.problem_id]
        try:
            episode = self.environment.reset(problem, seed_of(request.seed, "environment"))
        except Exception as error:  # costs this rollout its score, never the run
            live = _Live(request, problem, None, request)
            self._failed(live, error)
            return live
        limit = min(request.sampling.max_tokens, self.environment.max_tokens)
        return _Live(request, problem, episode, replace(request, sampling=_limited(request.sampling, limit)))

    async def _take(self, live: _Live, turn: Rollout) -> _Live:
        """Add a turn of the policy and the environment's answer to it, and make the request for the next turn."""
        start = len(live.tokens)
        live.tokens += turn.token_ids
        live.logprobs += turn.logprobs
        live.mask += turn.loss_mask
        live.versions += [VersionSpan(s.start + start, s.end + start, s.version) for s in turn.versions]
        live.turns.append({"role": "assistant", "content": turn.text})
        if turn.finish_reason != "stop":
            live.finish = turn.finish_reason
            live.fault = "" if turn.finish_reason == "abort" else "a turn was cut at its token limit"
            return live
        assert live.episode is not None
        try:
            said = await live.episode.answer(turn.text)
            if said is None:
                live.finish = "stop"
            elif self._turn(live) >= self.environment.max_turns:
                live.finish, live.fault = "length", f"it did not end within {self.environment.max_turns} turns"
            else:
                self._ask_on(live, said)
        except Exception as error:  # costs this rollout its score, never the run
            self._failed(live, error)
        return live

    def _ask_on(self, live: _Live, said: str) -> None:
        """Make the request for the next turn; nothing of `live` has changed where this raises.

        Raises:
            TemplateError: The template cannot carry what the environment said.
            ValueError: It would put an image where there is none.
        """
        assert self.template is not None
        between = self.template.between(live.problem.messages, live.turns, said)
        if not set(between).isdisjoint(self.policy.barred_ids):
            raise ValueError("its words hold a token that the model takes for an image of the prompt")
        before = len(live.first.prompt_ids)
        used = len(live.tokens) + len(between)
        room = min(self.environment.max_tokens, self.context - before) - used
        if room < 1:
            live.finish, live.fault = "length", f"it did not end within {self.environment.max_tokens} tokens"
            return
        live.tokens += between
        live.logprobs += [0.0] * len(between)
        live.mask += [False] * len(between)
        live.turns.append({"role": "user", "content": said})
        most = live.first.sampling.max_tokens
        # Few different limits, so that engines which batch by sampling still have large batches near the end.
        limit = most if room >= most else room - room % STEP or room
        live.request = replace(
            live.first,
            seed=seed_of(live.first.seed, "turn", self._turn(live)),
            prompt_ids=live.first.prompt_ids + tuple(live.tokens),
            sampling=_limited(live.first.sampling, limit),
        )

    def _turn(self, live: _Live) -> int:
        """How many turns the policy has had."""
        return sum(message["role"] == "assistant" for message in live.turns)

    def _failed(self, live: _Live, error: Exception) -> None:
        log.warning("the environment failed on problem %r", live.problem.id, exc_info=error)
        message = " ".join(str(error).split())
        live.finish, live.fault = "abort", f"environment: {type(error).__name__}: {message}"[:500]

    def _rollout(self, live: _Live) -> Rollout:
        measured: dict[str, Any] = {}
        try:
            measured |= live.episode.measured() if live.episode is not None else {}
        except Exception as error:  # costs this rollout its score, never the run
            self._failed(live, error)
        assert live.finish is not None
        if live.fault:
            measured["fault"] = live.fault
        spoken = self._turn(live)
        return Rollout(
            text=live.turns[-1]["content"] if live.turns else "",
            turns=tuple(live.turns) if spoken > 1 else (),
            finish_reason=live.finish,
            token_count=sum(live.mask),
            measured=measured,
            problem_id=live.first.problem_id,
            index=live.first.index,
            seed=live.first.seed,
            prompt_ids=live.first.prompt_ids,
            token_ids=tuple(live.tokens),
            logprobs=tuple(live.logprobs),
            loss_mask=tuple(live.mask),
            versions=tuple(live.versions),
            images=live.first.images,
        )


def _limited(sampling: Sampling, tokens: int) -> Sampling:
    return sampling if tokens == sampling.max_tokens else replace(sampling, max_tokens=tokens)
