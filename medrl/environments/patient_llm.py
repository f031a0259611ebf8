"""A patient whose words come from a chat model, under the same rules as the patient without one.

The rules (`patient.py`) still decide what may be answered: leading questions, lists and talk to whoever plays the patient are
turned down before the model is asked, and results come only when a test is ordered. The model is told what this patient knows
and never the diagnosis. What its replies name counts as found out.

Nothing that the policy says can make the episode fail: of a reply that is cut off the patient says what there is, and where
it is empty, filtered or names the diagnosis, the rules' words stand in its place. Only a model that cannot be reached
leaves the rollout without a score.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from medrl.chat import ChatClient, ChatRequest, build_chat
from medrl.chat import Message as ChatMessage
from medrl.chat.base import ChatBadReply
from medrl.data.clinic.mentions import plain
from medrl.data.patient_cases import PatientCase, case_of
from medrl.environments.patient import Item, PatientEpisode, PatientSimulator, concludes, source_of_key
from medrl.environments.questions import READ, names_fact, pieces_of, read_turn
from medrl.errors import MedrlError
from medrl.seeds import seed_of
from medrl.types import Problem

PROMPT = {
    "en": (
        "You play a patient who sees a doctor. This is all that you know of yourself:\n{known}\n"
        "Answer only what the doctor asks, in one or two short sentences and in a lay person's words, in English. Tell "
        "nothing that was not asked for. Say that you do not know what is not listed. You do not know your diagnosis and "
        "never guess it."
    ),
    "zh": (
        "你扮演一位来看病的患者。你对自己只知道这些：\n{known}\n"
        "只回答医生问到的内容，用一两句患者的口语，用中文。没有问到的不要说。没有列出的就说不清楚。你不知道自己的诊断，也不要猜。"
    ),
}
OF_THE_REPLY = ("empty", "refusal", "content_filter")  # faults that a doctor's words may bring about
_UNKNOWING = re.compile(
    r"\b(?:don't|do not|couldn't|could not|can't|cannot|wouldn't|not) (?:\w+ )?(?:know|say|tell|remember|recall|sure)\b"
    r"|\bno idea\b|不(?:太)?(?:清楚|知道|确定|记得)|说不(?:好|清|上来)|没(?:有)?印象"
)
_CLAUSE = re.compile(r"(?<=[,，;；。.!！?？])|(?=\bbut\b|但)")
_SAID = frozenset("ad add aids all am as cad gas his it me or sad so us who".split())  # words as well as diagnoses
HAVE = {"en": ("You have", "You do not have"), "zh": ("你有", "你没有")}


@dataclass(frozen=True, kw_only=True)
class LLMPatient(PatientSimulator):
    """A patient from a case whose words come from a chat model."""

    type_name: ClassVar[str] = "llm_patient"

    chat: Mapping[str, Any] = field(default_factory=dict)
    """The chat model: `{type: openai, model: ..., base_url: ...}`, `{type: cached, ...}` or `{type: vllm, ...}`."""

    reply_tokens: int = 120
    """Longest answer of the patient in the chat model's tokens."""

    temperature: float = 0.7
    """Of the chat model; its draws have seeds of their own, so a cache gives the same patient again."""

    def faults(self) -> list[str]:
        found = super().faults()
        if self.reply_tokens < 1 or self.temperature < 0:
            found.append(
                f"reply_tokens {self.reply_tokens} must be at least 1, temperature {self.temperature} at least 0"
            )
        if not self.chat:
            return [*found, "`chat` is missing: name the chat model that plays the patient"]
        try:
            build_chat(self.chat)
        except MedrlError as error:
            found.append(f"chat: {error}")
        return found

    @cached_property
    def client(self) -> ChatClient:
        return build_chat(self.chat)

    def reset(self, problem: Problem, seed: int) -> "LLMPatientEpisode":
        return LLMPatientEpisode(problem, seed, self)


class LLMPatientEpisode(PatientEpisode):
    """One consultation with the chat model under way."""

    def __init__(self, problem: Problem, seed: int, environment: LLMPatient) -> None:
        super().__init__(problem, case_of(problem), seed, environment.questions)
        self.environment, self.seed = environment, seed
        self.diagnosis = _searched((problem.reference or "", *problem.aliases))
        self.history = [ChatMessage("system", PROMPT[self.language].format(known=_known(self.case, self.language)))]
        # The patient is the assistant here, and its first words answer the doctor's first.
        hello = "请说。" if self.language == "zh" else "What brings you here?"
        self.history += [ChatMessage("user", hello), ChatMessage("assistant", str(problem.messages[-1]["content"]))]

    async def answer(self, reply: str) -> str | None:
        self.counts["turns"] += 1
        if len(reply) > READ:
            return self._refuse("too_long")
        sentences = read_turn(reply)
        if concludes(sentences):
            self.concluded = True
            return None
        if not sentences:
            return self._say("nothing")
        items, refusal = self._items(sentences)
        if refusal:
            return self._refuse(refusal)
        if len(items) > self.most:
            return self._refuse("too_many")
        done = [item for item in items if item.kind == "test" or item.examines]
        results = [self._told(item) for item in done]
        if not items or len(done) < len(items):
            results.append(await self._spoken(reply, [item for item in items if item not in done]))
        return (" " if self.language == "en" else "").join(results)

    async def _spoken(self, reply: str, items: list[Item]) -> str:
        """What the chat model says, after what it gives away is noted."""
        self.history.append(ChatMessage("user", reply))
        request = ChatRequest(
            tuple(self.history), self.environment.reply_tokens, self.environment.temperature,
            seed_of(self.seed, "reply", self.counts["turns"]) % 2**31,
        )  # fmt: skip
        try:
            text = (await self.environment.client.complete(request)).text.strip()
        except ChatBadReply as error:
            if error.why not in ("length", *OF_THE_REPLY):
                raise
            text = error.text.strip() if error.why == "length" else ""
        heard = text
        if any(one.search(_flat(text)) for one in self.diagnosis):
            text, heard = self._say("diagnosis"), ""
        elif not text:
            facts = [item.key for item in items if item.kind == "fact"]
            text = self._say("cannot_know", it=self._named(facts[0])) if facts else self._say("unknown")
        self.history.append(ChatMessage("assistant", text))
        self._note(items, heard)
        return text

    def _note(self, items: Sequence[Item], heard: str) -> None:
        """What was asked, and what became of it by the model's words; there are none where the rules spoke."""
        self.counts["asked"] += len(items)
        self.counts["repeats"] += sum(item.key in self.asked or f"topic:{item.key}" in self.asked for item in items)
        said = plain(heard)
        sure = "".join(clause for clause in _CLAUSE.split(said) if not _UNKNOWING.search(clause))
        for sentence in read_turn(sure):
            for key, fact in self.facts.items():
                named = key in sentence.findings or any(names_fact(sentence.pieces, one) for one in self.words(key))
                if named and fact.source == "patient":
                    self._becomes(key, "told" if fact.present else "denied")
        answered = bool(said) and not _UNKNOWING.search(said)
        for item in items:
            if item.kind == "topic":
                told = self.case.topics.get(item.key, "")
                known = bool(told) and (answered or not pieces_of(sure).isdisjoint(pieces_of(plain(told))))
                self._becomes(f"topic:{item.key}", "told" if known else "unknown")
            else:
                self._becomes(item.key, self._by(item.key) if answered and len(items) == 1 else "unknown")

    def _by(self, key: str) -> str:
        """What a plain yes or no to one question makes of it, as with the patient by rules."""
        fact = self.facts.get(key)
        if fact is None and not self.case.complete:
            return "unknown"
        if (fact.source if fact else source_of_key(key)) != "patient":
            return "unknown"
        return "told" if fact is not None and fact.present else "denied"

    def _becomes(self, key: str, what: str) -> None:
        if self.asked.get(key, "unknown") == "unknown":
            self.asked[key] = what


@lru_cache(maxsize=1 << 12)
def _searched(names: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Finds names as whole words or their plurals; Chinese ones anywhere, and those that spell another word as written."""
    found = []
    for name in map(_flat, names):
        parts = [re.escape(part) for part in re.split(r"[\s-]+", name) if part]
        if len(name) < 2 or not parts:
            continue
        before = r"(?<![A-Za-z0-9])" if re.match(r"[A-Za-z0-9]", name) else ""
        after = r"(?:e?s)?(?![A-Za-z0-9])" if re.search(r"[A-Za-z0-9]$", name) else ""
        case = 0 if name.casefold() in _SAID else re.IGNORECASE
        found.append(re.compile(before + r"[\s-]{1,3}".join(parts) + after, case))
    return tuple(found)


def _flat(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("’", "'").strip()


def _known(case: PatientCase, language: str) -> str:
    """What the patient knows, as lines: facts that an examination or a test shows are left out."""
    yes, no = HAVE[language]
    lines = [
        f"- {fact.said}" if fact.prose else f"- {yes if fact.present else no}: {fact.said}"
        for fact in case.facts
        if fact.source == "patient"
    ]
    return "\n".join([*lines, *(f"- {topic}: {told}" for topic, told in case.topics.items())])
