"""A chat model as a verifier: does this answer say the same as the reference?

It reads what rules cannot, and unlike a rule it can be talked to. So the policy never gets to speak to it: the answer
stands in a slot as quoted data (`judge_prompt`), only a reply that is one whole JSON object counts (`judge_votes`), an
answer that is none is settled without asking, and a judge that falls for known tricks is refused before the first item
(`judge_self_test`). A server that fails gives `error` or `timeout`, never a score.

The module is not called `judge`, since `medrl.verifiers.judge` is the function that guards verifiers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from medrl.chat.base import ChatClient, ChatRequest
from medrl.chat.config import ChatConfig, build_chat
from medrl.errors import PluginError, RecipeError, VerifierUntrustworthy, did_you_mean
from medrl.seeds import seed_of
from medrl.types import Judged, Problem, Response, Verdict
from medrl.verifiers import judge_prompt, judge_self_test
from medrl.verifiers.extract import FORMATS, Extracted, Format, sections
from medrl.verifiers.judge_prompt import prompt_language
from medrl.verifiers.judge_self_test import SelfTestReport, Votes
from medrl.verifiers.judge_votes import Unsure, asked_in_rounds, decide, votes_on
from medrl.verifiers.protocol import Verifier, digest, failure, run_sync
from medrl.verifiers.reading import read

Shown: TypeAlias = Literal["final", "visible"]


@dataclass(frozen=True)
class _Question:
    """An item that the model must be asked about."""

    answer: Extracted
    requests: tuple[ChatRequest, ...]


@dataclass(frozen=True)
class Judge(Verifier):
    """A chat model that compares answers with references; right is 1, wrong is 0, "unsure" abstains."""

    name: ClassVar[str] = "judge"

    client: ChatConfig
    """The model: a `ChatClient`, or {type: openai, model: NAME, base_url: URL}. A key stands in the environment, never
    here."""
    cache: str | None = None
    """File of a cache of replies that is kept between runs; "default" is that of the user, empty is none."""
    votes: int = 1
    """How often each item is asked, an odd number; more than half of them decide. Cost grows in step. Typical 1 to 5."""
    temperature: float = 0.7
    """Of the sampled votes; a single vote is always taken at 0. Typical 0.5 to 1.0."""
    show_question: bool = True
    """Whether the judge sees the question. It is needed where the reference alone is ambiguous, and costs tokens."""
    show_answer: Shown = "final"
    """What the judge sees of a response, never its reasoning: "final" is the committed answer, with the whole visible
    answer only where something beside it may be a further answer; "visible" is always the whole visible answer."""
    max_answer_chars: int = 4000
    """Longest visible answer in characters; a longer one is wrong and is never sent. A character may cost up to four
    tokens: keep it so small that even then question, reference and answer fit the judge's context, or a policy learns
    to overflow it. Typical 1000 to 4000."""
    format: Format = "auto"
    """How responses are laid out: "o1" (## Thinking, ## Final Response), "think" (<think> tags), "plain", "auto"."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of the instructions; "auto" is the problem's own."""
    instructions: str | None = None
    """What counts as the same, instead of the built-in rubric. How slots are read and how to reply is always said."""
    unsure: Unsure = "abstain"
    """What "unsure" is: "abstain" leaves the item to the next stage, "no_match" scores it 0."""
    max_tokens: int = 1280
    """Longest reply in tokens; a reply that is cut off there is an error. The bounded schema allows 300 characters of text,
    and a rare character may cost four tokens: below 1280 a policy may learn to overflow it. Typical 768 to 1536."""
    bounded_schema: bool = True
    """Whether the schema limits the reply's texts (a `pattern`), so that no answer can make the judge write on and on.
    Switch it off for servers that refuse this keyword."""
    seed: int = 0
    """Of the votes and of the slots' codes; another seed asks afresh."""
    self_test: bool = True
    """Whether the judge must first pass answers of known worth, about 20 calls per process."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value!r}; it must be a whole number of at least 1"
            for name in ("votes", "max_answer_chars", "max_tokens")
            if not isinstance(value := getattr(self, name), int) or value < 1
        ]
        if isinstance(self.votes, int) and self.votes > 1:
            if self.votes % 2 == 0:
                faults.append(f"votes is {self.votes}; take an odd number, so that more than half can agree")
            if not self.temperature > 0:
                faults.append(f"temperature is {self.temperature} with {self.votes} votes, which would all be the same")
        for name, known in (
            ("show_answer", get_args(Shown)),
            ("language", ("auto", "en", "zh")),
            ("unsure", get_args(Unsure)),
            ("format", FORMATS),
        ):
            if (value := getattr(self, name)) not in known:
                faults.append(f"{name} is {value!r}{did_you_mean(str(value), known)}")
        if faults:
            raise RecipeError("verifier 'judge'", faults)
        object.__setattr__(self, "client", build_chat(self.client))

    @property
    def decides(self) -> bool:
        return self.unsure == "no_match"

    @property
    def model(self) -> str:
        """The judge model's name."""
        return build_chat(self.client).model

    @property
    def self_test_report(self) -> SelfTestReport | None:
        """What came of the self-test in this process; None before it ran, or while rows of it could not be asked."""
        return judge_self_test.report_of(self._identity)

    def check(self) -> SelfTestReport:
        """Run the self-test now, unless it has run.

        Raises:
            VerifierUntrustworthy: The judge may not judge.
            ConnectionError: It could not be asked; a TimeoutError where it did not answer in time.
        """
        report = run_sync(judge_self_test.once(self._identity, self.poll, self.unsure))
        fault = report.fault(self.model)
        if fault:
            raise fault
        return report

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        found = [self._look(problem, response) for problem, response in items]
        if self.self_test and any(isinstance(one, _Question) for one in found):
            report = await judge_self_test.once(self._identity, self.poll, self.unsure)
            fault = report.fault(self.model)
            if fault:
                refused = failure(fault, self.name)
                return [refused if isinstance(one, _Question) else one for one in found]
        verdicts: list[Verdict] = []
        for one, votes in zip(found, await self._ask(found), strict=True):
            verdict = votes if isinstance(votes, Verdict) else decide(votes, self.unsure)
            if isinstance(one, _Question):
                verdict = replace(verdict, answer=one.answer.text, span=one.answer.span)
            verdicts.append(verdict)
        return verdicts

    async def poll(self, items: Judged) -> list[Votes]:
        """The votes on each item, or its verdict where nobody need be asked; no self-test comes first."""
        with asked_in_rounds(1):  # a self-test is the same, whoever's work began it
            return await self._ask([self._look(problem, response) for problem, response in items])

    async def _ask(self, found: Sequence[_Question | Verdict]) -> list[Votes]:
        requests = [one.requests for one in found if isinstance(one, _Question)]
        votes = iter(await votes_on(self._asked, requests))
        return [next(votes) if isinstance(one, _Question) else one for one in found]

    def _look(self, problem: Problem, response: Response) -> _Question | Verdict:
        """What to ask about an item, or the verdict where its text alone settles it."""
        try:
            visible = sections(response.text, self.format).answer
            if (problem.reference or "").strip() and len(visible) > self.max_answer_chars:
                limit = f"{self.max_answer_chars:,}"
                return Verdict.wrong(
                    f"the answer has {len(visible):,} characters, more than the {limit} that are judged"
                )
            answer = read(problem, response, self.format)
            if isinstance(answer, Verdict):
                return answer
            return _Question(answer, self.requests(problem, self._shown(answer, visible)))
        except Exception as error:  # a broken problem hurts no neighbour
            return failure(error, self.name)

    def _shown(self, answer: Extracted, visible: str) -> str:
        alone = self.show_answer == "final" and answer.committed and not answer.earlier and not answer.after
        return answer.text if alone else visible

    def requests(self, problem: Problem, answer: str) -> tuple[ChatRequest, ...]:
        """The requests that are sent about an answer, one for each vote, each with its own seed.

        A seed is a hash of the judge's seed, the chat and the vote, so that the same item is asked the same anywhere.
        """
        language = prompt_language(self.language, problem.language)
        chat = judge_prompt.messages(problem, answer, language, self.instructions, self.show_question, self.seed)
        key = digest([message.content for message in chat])
        temperature = self.temperature if self.votes > 1 else 0.0
        schema = judge_prompt.schema(self.bounded_schema)
        return tuple(
            ChatRequest(chat, self.max_tokens, temperature, seed_of("judge", self.seed, key, vote), schema)
            for vote in range(self.votes)
        )

    @cached_property
    def _asked(self) -> ChatClient:
        client = build_chat(self.client)
        if self.cache is None:
            return client
        from medrl.chat.cache import CachedChat

        return CachedChat(client, None if self.cache == "default" else self.cache)

    @cached_property
    def _identity(self) -> str:
        """The fingerprint and, since two servers may claim one model name, where the client asks."""
        client = build_chat(self.client)
        try:
            place: Any = client.to_config()
        except PluginError:
            place = id(client)
        return digest([self.fingerprint(), repr(place)])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_asked", "_identity")}

    def to_config(self) -> dict[str, Any]:
        return {**super().to_config(), "client": build_chat(self.client).to_config()}

    def data_digest(self) -> str:
        return digest([dict(judge_prompt.FRAME), dict(judge_prompt.RUBRIC), dict(judge_prompt.REMINDER)])

    def fingerprint(self) -> str:
        knobs: Mapping[str, Any] = {**self.knobs(), "client": build_chat(self.client).fingerprint(), "cache": None}
        return digest([self.name, self.version, knobs, judge_prompt.schema(self.bounded_schema), self.data_digest()])


__all__ = ["Judge", "SelfTestReport", "VerifierUntrustworthy"]
