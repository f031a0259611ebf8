"""Grading by a rubric: points for the criteria that an answer meets, as a chat model sees it (HealthBench, HuatuoGPT-3).

    value = sum of the points of met criteria / sum of the positive points

HuatuoGPT-3 (OnePO, onepo/reward.py) grades all criteria in one call and clips the share to 0 to 1; for length it takes
off factor * min(max(tokens - 200, 0), 4000) / 4000, factor 0.5 by default and 0 in its launcher. What differs: the
share is not clipped unless told, since clipping makes all bad answers equal; a grader that fails gives no number, where
OnePO's gives 0 and keeps the rollout in its group; answers are not cut before grading; an adjustment for length is of the
unclipped share, with factor 1, by words. Only the visible answer is graded.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

from medrl.chat.base import ChatClient, ChatReply, ChatRequest
from medrl.chat.config import ChatConfig, build_chat
from medrl.chat.readable import MOST_KEPT, first_readable
from medrl.data.rubrics import Rubric, rubric_of
from medrl.errors import PluginError, ProblemError, did_you_mean
from medrl.rewards import rubric_prompt, rubric_self_test
from medrl.rewards.rubric_prompt import Layout
from medrl.rewards.textual import words
from medrl.rewards.tree import Reward, RewardContext, Scores, failure, settle
from medrl.seeds import seed_of
from medrl.types import Group, Part, Problem, Response, Score, Verdict
from medrl.verifiers.extract import FORMATS, Format, sections
from medrl.verifiers.judge_prompt import prompt_language
from medrl.verifiers.protocol import digest

Scale = Literal["raw", "clipped", "length_adjusted"]
FREE, SPAN = 200, 4000  # of the length adjustment
WARMER = 0.2  # temperature that each further try of an unreadable reply adds, as in OnePO


def on_scale(share: float, answer: str, scale: Scale) -> float:
    """What a share of the points is worth on a scale, by the visible answer that earned it; see `RubricReward.scale`."""
    if scale == "length_adjusted":
        return share - min(max(words(answer) - FREE, 0), SPAN) / SPAN
    return max(share, 0.0) if scale == "clipped" else share


@dataclass(frozen=True)
class RubricReward(Reward):
    """The share of a rubric's points that an answer earns. Problems carry their criteria in `metadata["rubrics"]`."""

    type_name: ClassVar[str] = "rubric"

    client: ChatConfig
    """The grader: a `ChatClient`, or {type: openai, model: NAME, base_url: URL}. A key stands in the environment, never
    here."""
    cache: str | None = None
    """File of a cache of replies that is kept between runs; "default" is that of the user, empty is none."""
    scale: Scale = "raw"
    """`raw` (ours): 1.0 at best, below 0 where faults outweigh merits. `clipped` (HuatuoGPT-3's): not below 0.
    `length_adjusted` (after HuatuoGPT-3's): `raw` less min(max(n - 200, 0), 4000) / 4000, n the words of the visible answer
    (characters of Chinese). HuatuoGPT-3 takes half of that, or in its launcher none, off the clipped share, by tokens."""
    tries: int = 3
    """How often a reply that cannot be read is asked for, the later ones with a temperature. Typical 1 to 3."""
    ask_again: bool = False
    """Whether what the cache kept of an earlier start, and cannot be read, takes no try, so that a mended grader is asked
    anew. Evaluations do; in training a resumed run would meet other replies than the one that was killed."""
    reply: Layout = "numbered"
    """How the grader replies: `numbered` ({"1": true, ...}), or `list` ([true, ...], as HuatuoGPT-3's grader was trained)."""
    at_once: int = 40
    """Most criteria in one request; longer rubrics take several. Small graders lose count of long ones. Typical 20 to 40."""
    max_answer_chars: int = 6000
    """Longest visible answer in characters; a longer one earns the least that there is and is never sent. Keep it so small
    that conversation, criteria and answer fit the grader's context (a character may cost up to four tokens), or a policy
    learns to overflow it. Typical 4000 to 10000."""
    max_tokens: int = 1024
    """Longest reply in tokens; about 6 for each criterion."""
    format: Format = "auto"
    """How responses are laid out: "o1", "think", "plain", "auto"; only what follows the reasoning is graded."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of the instructions; "auto" is the problem's own."""
    self_test: bool = True
    """Whether the grader must first pass answers of known worth, orders to graders among them; a few calls per process."""
    seed: int = 0
    """Of the requests and of the slots' codes; another seed asks afresh."""
    name: str = "rubric"
    """Name of this part in metrics and traces; unique in the tree."""

    def __post_init__(self) -> None:
        faults = [
            f"`{name}` is {value!r}; it must be a whole number of at least 1"
            for name in ("tries", "at_once", "max_answer_chars", "max_tokens")
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int) or value < 1
        ]
        for name, known in (
            ("scale", get_args(Scale)),
            ("reply", get_args(Layout)),
            ("format", FORMATS),
            ("language", ("auto", "en", "zh")),
        ):
            if (value := getattr(self, name)) not in known:
                faults.append(f"`{name}` is {value!r}{did_you_mean(str(value), known)}")
        settle(self, "rubric", faults)
        object.__setattr__(self, "client", build_chat(self.client))

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        rows = [self._one(group.problem, rollout) for group in groups for rollout in group.rollouts]
        scores = iter(await asyncio.gather(*rows))
        return [[next(scores) for _ in group.rollouts] for group in groups]

    async def _one(self, problem: Problem, response: Response) -> Score:
        try:
            return await self._graded(problem, response)
        except Exception as error:  # becomes the status of this rollout alone
            return failure(self.name, error)

    async def _graded(self, problem: Problem, response: Response) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        try:
            rubric = rubric_of(problem)
        except ProblemError as error:
            return Score(None, "invalid", reason=f"{self.name}: {error}")
        answer = sections(response.text, self.format).answer.strip()
        fault = self.unsent(answer)
        if fault:  # the least that an answer can earn, so that saying nothing is never better than saying something bad
            return self._score(rubric.worst / rubric.best, answer, fault, {}, {})
        cost: dict[str, float] = {"calls": 0.0, "tokens": 0.0}
        try:
            if self.self_test:
                await rubric_self_test.once(self._identity, replace(self, ask_again=True).grade, self.model)
            met = await self._met(problem, answer, rubric, cost)
        except Exception as error:  # becomes the status of this rollout alone
            lost = failure(self.name, error)
            verdict = Verdict.failed(lost.reason, "timeout" if lost.status == "timeout" else "error", cost=cost)
            return replace(lost, parts={self.name: Part(None, lost.status, verdict, lost.reason)})
        points = sum(one.points for one, yes in zip(rubric.criteria, met, strict=True) if yes)
        reason = f"{sum(met)} of {len(met)} criteria met: {points:g} of {rubric.best:g} points"
        return self._score(
            rubric.share(met), answer, reason, {str(i): float(yes) for i, yes in enumerate(met, 1)}, cost
        )

    def unsent(self, answer: str) -> str:
        """Why a visible answer is never sent to the grader and earns the least that there is; "" for one that is sent."""
        if not any(map(str.isalnum, answer)):
            return "there is no visible answer"
        if len(answer) > self.max_answer_chars:
            return f"the answer has {len(answer):,} characters, more than the {self.max_answer_chars:,} that are graded"
        return ""

    def _score(self, share: float, answer: str, reason: str, met: dict[str, float], cost: dict[str, float]) -> Score:
        value = on_scale(share, answer, self.scale)
        verdict = Verdict(min(max(share, 0.0), 1.0), reason=reason, stage=self.name, cost=cost, parts=met)
        return Score(value, parts={self.name: Part(value, "ok", verdict, reason)}, reason=reason)

    async def _met(self, problem: Problem, answer: str, rubric: Rubric, cost: dict[str, float]) -> tuple[bool, ...]:
        """Which criteria are met; several requests for a long rubric. Counts what it spends in `cost`."""
        pieces = [rubric.criteria[i : i + self.at_once] for i in range(0, len(rubric.criteria), self.at_once)]
        found = await asyncio.gather(*(self._piece(problem, answer, Rubric(piece), cost) for piece in pieces))
        return tuple(yes for piece in found for yes in piece)

    async def grade(self, problem: Problem, answer: str) -> tuple[bool, ...]:
        """Which criteria of the problem's rubric the answer meets; no self-test comes first.

        Raises:
            ChatError: The grader gave no reply that can be read.
        """
        return await self._met(problem, answer, rubric_of(problem), {"calls": 0.0, "tokens": 0.0})

    async def _piece(self, problem: Problem, answer: str, piece: Rubric, cost: dict[str, float]) -> tuple[bool, ...]:
        language = prompt_language(self.language, problem.language)
        chat = rubric_prompt.messages(problem, answer, piece, self.reply, language, self.seed)
        key = digest([message.content for message in chat])
        schema = rubric_prompt.schema(self.reply, len(piece.criteria))

        def request(number: int) -> ChatRequest:
            seed = seed_of("rubric", self.seed, key, number)
            return ChatRequest(chat, self.max_tokens, min(1.0, WARMER * number), seed, schema)

        def charge(reply: ChatReply) -> None:
            cost["calls"] += 0 if reply.cached else max(1, reply.attempts)
            cost["tokens"] += 0 if reply.cached else reply.prompt_tokens + reply.completion_tokens

        def read(text: str) -> tuple[bool, ...]:
            return rubric_prompt.read_met(text, self.reply, len(piece.criteria))

        kept = MOST_KEPT if self.ask_again else 0
        return await first_readable(self._asked, request, read, tries=self.tries, kept=kept, heard=charge)

    @property
    def model(self) -> str:
        """The grader's name."""
        return build_chat(self.client).model

    @cached_property
    def _identity(self) -> str:
        """What the self-test's outcome holds for: the grader, where it is asked, and how."""
        client = build_chat(self.client)
        try:
            place: Any = client.to_config()
        except PluginError:
            place = id(client)
        return digest([client.fingerprint(), repr(place), self.reply, self.seed, self.language])

    @cached_property
    def _asked(self) -> ChatClient:
        client = build_chat(self.client)
        if self.cache is None:
            return client
        from medrl.chat.cache import CachedChat

        return CachedChat(client, None if self.cache == "default" else self.cache)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_asked", "_identity")}

    def to_config(self) -> dict[str, Any]:
        return {**super().to_config(), "client": build_chat(self.client).to_config()}
