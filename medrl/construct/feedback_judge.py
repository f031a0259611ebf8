"""A chat model that judges responses and writes feedback records: HuatuoGPT's AI feedback (arXiv 2305.15075, section 3.2).

Each pair is shown in both orders, the only control of position bias that HuatuoGPT-II's evaluation has (and it works): where
the two verdicts differ the pair is a tie. What the judge fails to judge gives no record; it is counted, and never a tie.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

from medrl.chat.base import ChatClient, ChatError, ChatRequest, Message
from medrl.chat.config import ChatConfig, build_chat
from medrl.chat.readable import MOST_KEPT, first_readable
from medrl.construct import feedback_prompt as prompt
from medrl.data.feedback import Candidate, Comparison, Consent, FeedbackRecord, Preferred, Rater, Ratings
from medrl.errors import RecipeError
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers.extract import sections
from medrl.verifiers.judge_prompt import Language, prompt_language
from medrl.verifiers.protocol import digest

Found = TypeVar("Found")
WARMER = 0.2  # temperature that each further try adds
SIGN = {"first": 1, "second": -1, "equal": 0}


@dataclass(frozen=True)
class Task:
    """Responses to one problem that await a judgement: two to compare, or any number to rate."""

    problem: Problem
    responses: tuple[Candidate, ...]
    consent: Consent = "unknown"

    @property
    def key(self) -> str:
        """The same for the same problem and texts, so that a stopped construction knows what it has."""
        problem = self.problem.to_json()
        asked = [problem["id"], problem["messages"], problem["reference"]]
        return digest([asked, [one.text for one in self.responses]])


@dataclass(frozen=True)
class FeedbackJudge:
    """Asks a chat model which of two responses is better, or how good each is."""

    client: ChatConfig
    """The judge: a `ChatClient`, or {type: openai, model: NAME, base_url: URL}. A key stands in the environment, never
    here."""
    mode: Literal["compare", "rate"] = "compare"
    """`compare` two responses in both orders, or `rate` each by itself on four dimensions from 1 to 5."""
    show_reference: bool = True
    """Whether the judge sees the doctor's diagnosis. Without it a judge prefers long lists (HuatuoGPT)."""
    tries: int = 3
    """How often a reply that cannot be read is asked for, the later ones with a temperature. Typical 1 to 3."""
    max_chars: int = 8000
    """Longest visible response in characters; a task with a longer one is left out and counted."""
    max_tokens: int = 512
    """Longest reply in tokens."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of the instructions; "auto" is the problem's own."""
    seed: int = 0
    """Of the requests; another seed asks afresh."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value!r}; it must be a whole number of at least 1"
            for name in ("tries", "max_chars", "max_tokens")
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int) or value < 1
        ]
        if self.mode not in ("compare", "rate"):
            faults.append(f"mode is {self.mode!r}; it is compare or rate")
        if self.language not in ("auto", "en", "zh"):
            faults.append(f"language is {self.language!r}; it is auto, en or zh")
        if faults:
            raise RecipeError("the judge of feedback", faults)
        object.__setattr__(self, "client", build_chat(self.client))

    @property
    def rater(self) -> Rater:
        """Who judges, as records name it."""
        client = build_chat(self.client)
        knobs = [self.mode, self.show_reference, self.max_chars, self.language, self.seed, client.fingerprint()]
        return Rater("ai", client.model, prompt.VERSION, digest([prompt.VERSION, knobs]))

    async def judge(self, task: Task) -> FeedbackRecord:
        """The record of one task.

        Raises:
            ChatError: The judge could not be asked, or gave no reply that can be read.
            ValueError: The task cannot be judged: a response is empty or too long, or there are not two to compare.
        """
        texts = [sections(one.text).answer.strip() for one in task.responses]
        if self.mode == "compare" and len(texts) != 2:
            raise ValueError(f"problem {task.problem.id!r} has {len(texts)} responses; two are compared")
        for text in texts:
            if not text or len(text) > self.max_chars:
                raise ValueError(
                    f"a response to {task.problem.id!r} has {len(text):,} visible characters; it cannot be judged"
                )
        if self.mode == "rate":
            values = await _all(self._rating(task.problem, text) for text in texts)
            return self._record(task, Ratings(tuple(values), prompt.LOW, prompt.HIGH), {})
        there, back = await _all(self._comparison(task.problem, *pair) for pair in (texts, reversed(texts)))
        forward, backward = SIGN[there.better] * there.strength, -SIGN[back.better] * back.strength
        total = forward + backward
        agree = SIGN[there.better] == -SIGN[back.better]
        preferred: Preferred = "first" if total > 0 else "second" if total < 0 else "tie"
        if forward * backward < 0:  # it changed its mind with the order: whatever the strengths, it does not know
            preferred, total = "tie", 0
        comparison = Comparison(preferred, margin=abs(total) / 6, confidence=1.0 if agree else 0.5)
        orders = {"orders": [there.better, back.better], "reasons": [there.reason, back.reason]}
        return self._record(task, comparison, orders)

    def _record(self, task: Task, judgement: Ratings | Comparison, about: dict[str, Any]) -> FeedbackRecord:
        return FeedbackRecord(
            id=f"{digest([self.rater.name, self.rater.fingerprint])}-{task.key}",
            problem=task.problem,
            responses=task.responses,
            rater=self.rater,
            judgement=judgement,
            consent=task.consent,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            metadata={"task": task.key, **about},
        )

    async def _comparison(self, problem: Problem, first: str, second: str) -> prompt.Said:
        chat = prompt.compare_messages(problem, first, second, self._language(problem), self.show_reference, self.seed)
        return await self._asked(chat, prompt.compare_schema(), prompt.read_comparison)

    async def _rating(self, problem: Problem, text: str) -> dict[str, float]:
        chat = prompt.rate_messages(problem, text, self._language(problem), self.show_reference, self.seed)
        return await self._asked(chat, prompt.rate_schema(), prompt.read_ratings)

    async def _asked(self, chat: tuple[Message, ...], schema: dict[str, Any], read: Callable[[str], Found]) -> Found:
        key = digest([message.content for message in chat])

        def request(number: int) -> ChatRequest:
            seed = seed_of("ai-feedback", self.seed, key, number)
            return ChatRequest(chat, self.max_tokens, min(1.0, WARMER * number), seed, schema)

        return await first_readable(self._client, request, read, tries=self.tries, kept=MOST_KEPT)

    def _language(self, problem: Problem) -> Language:
        return prompt_language(self.language, problem.language)

    @cached_property
    def _client(self) -> ChatClient:
        return build_chat(self.client)


@dataclass
class Outcome:
    """What came of judging many tasks.

    Attributes:
        records: One for each task that was judged, in the order of the tasks.
        failed: What went wrong, by kind, and how often: kinds of `ChatError`, and "cannot be judged".
        reasons: The first message of each kind.
    """

    records: list[FeedbackRecord] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)


async def _all(asked: Iterable[Awaitable[Found]]) -> list[Found]:
    """All that is asked for. Where one fails, the others still come to their end: their replies are paid for, and kept."""
    found = await asyncio.gather(*asked, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return cast(list[Found], found)


async def judge_all(
    judge: FeedbackJudge,
    tasks: Sequence[Task],
    on_record: Callable[[FeedbackRecord], None] | None = None,
    at_once: int = 64,
) -> Outcome:
    """Judge every task; one that fails is counted and hurts no other.

    Args:
        judge: Who judges.
        tasks: What is judged.
        on_record: Called with each record as it comes, to be written at once.
        at_once: Tasks under way at the same time; the client itself bounds its requests.
    """
    gate = asyncio.Semaphore(at_once)
    outcome = Outcome()

    async def one(task: Task) -> FeedbackRecord | None:
        async with gate:
            try:
                record = await judge.judge(task)
            except (ChatError, ValueError) as error:
                kind = error.kind if isinstance(error, ChatError) else "cannot be judged"
                outcome.failed[kind] += 1
                outcome.reasons.setdefault(kind, str(error))
                return None
        if on_record is not None:
            on_record(record)
        return record

    found = await asyncio.gather(*(one(task) for task in tasks))
    outcome.records = [record for record in found if record is not None]
    return outcome
