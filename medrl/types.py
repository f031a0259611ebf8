"""The nouns of medrl: what a problem, a response, a rollout, a verdict and a score are.

Every other module speaks in these words, so this file imports only the standard library, its objects are plain, frozen
and picklable (they travel between processes), and each that is written to disk has `to_json` and `from_json`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from medrl.errors import InvalidScore, ProblemError

Kind = Literal["open", "choice", "numeric", "dialogue", "visual", "rubric"]
Status = Literal["ok", "abstain", "error", "timeout", "invalid"]
FinishReason = Literal["stop", "length", "abort"]
Message: TypeAlias = Mapping[str, Any]  # {"role": "user", "content": "text" or a list of typed parts}

KINDS: tuple[str, ...] = get_args(Kind)
STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True)
class Problem:
    """A question with what is needed to check an answer to it.

    Attributes:
        id: Unique within a data set; random seeds are derived from it.
        messages: Chat messages, the last one from the user. `content` is text, or a list of parts such as
            `{"type": "text", "text": ...}` and `{"type": "image", "path": ...}`.
        reference: The right answer as text (for a choice its label, e.g. "B"), or None where nothing can be checked.
        kind: What sort of answer is asked for; typed verifiers route on it.
        options: Label to text of a choice problem, in the order shown.
        aliases: Other texts that mean the same as the reference (synonyms, translations).
        language: ISO 639-1 code of the question, "en" or "zh".
        metadata: Anything else, kept in the traces: source row, topic, patient, tolerance, ...
    """

    id: str
    messages: tuple[Message, ...]
    reference: str | None = None
    kind: Kind = "open"
    options: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    language: str = "en"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise ProblemError("a problem has no id; every problem needs a unique, non-empty `id`")
        if not self.messages:
            raise ProblemError(f"problem {self.id!r} has no messages; give at least one user message")
        if self.kind not in KINDS:
            raise ProblemError(f"problem {self.id!r} has kind {self.kind!r}; it is one of {', '.join(KINDS)}")
        if not isinstance(self.messages, list | tuple) or not all(
            isinstance(m, Mapping)
            and isinstance(m.get("role"), str)
            and isinstance(m.get("content"), str | list | tuple)
            for m in self.messages
        ):
            raise ProblemError(f"problem {self.id!r}: messages are a list of {{'role': ..., 'content': ...}}")
        if self.reference is not None and not isinstance(self.reference, str):
            raise ProblemError(f"problem {self.id!r} has the reference {self.reference!r}; a reference is text")
        if isinstance(self.aliases, str) or not all(isinstance(alias, str) for alias in self.aliases):
            raise ProblemError(f"problem {self.id!r} has aliases {self.aliases!r}; they are a list of texts")
        if not isinstance(self.options, Mapping):
            raise ProblemError(f"problem {self.id!r} has options {self.options!r}; they are a mapping of label to text")

    @cached_property
    def question(self) -> str:
        """The text of the last user message, image parts left out."""
        user = next((m for m in reversed(self.messages) if m["role"] == "user"), self.messages[-1])
        content = user["content"]
        if isinstance(content, str):
            return content
        return "\n".join(part["text"] for part in content if part.get("type") == "text")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "messages": [dict(m) for m in self.messages], "aliases": list(self.aliases)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Problem":
        lists = {key: tuple(row[key]) for key in ("messages", "aliases") if isinstance(row.get(key), list | tuple)}
        return cls(**{**row, **lists})


def text_of(content: Any) -> str:
    """The words of a message's content; a part that is no text is named in parentheses, since text alone cannot show it."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part.get("type") == "text" else f"({part.get('type')})" for part in content)


def ask(text: str) -> tuple[Message, ...]:
    """One user message, the commonest prompt."""
    return ({"role": "user", "content": text},)


@dataclass(frozen=True)
class Response:
    """What a judge may see of an episode: no token ids, so that the same judge serves any framework.

    Attributes:
        text: The policy's last message, without special tokens.
        turns: All messages after the prompt when the episode had several turns; empty for a single turn.
        finish_reason: "stop" (it ended by itself), "length" (cut at the token limit), "abort".
        token_count: Tokens that the policy wrote, or None where nobody counted.
        measured: What the environment of the episode measured, as JSON data, for rewards to read; empty without one.
    """

    text: str
    turns: tuple[Message, ...] = ()
    finish_reason: FinishReason = "stop"
    token_count: int | None = None
    measured: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)


@dataclass(frozen=True)
class VersionSpan:
    """Tokens `start` to `end` (exclusive, counted in `Rollout.token_ids`) were sampled by policy `version`."""

    start: int
    end: int
    version: int


@dataclass(frozen=True)
class Rollout(Response):
    """A response with what a learner needs to train on it.

    Attributes:
        problem_id: The problem that it answers.
        index: Its place in the group, 0 to G-1.
        seed: The seed of its random draws; the same seed and policy give the same tokens.
        prompt_ids: Token ids of the rendered prompt.
        token_ids: Token ids after the prompt, the ending token (EOS) included where one was sampled.
        logprobs: Log-probability of each of `token_ids` under the distribution it was drawn from, that is after
            temperature, top-k and top-p (natural logarithm). 0.0 where `loss_mask` is False.
        loss_mask: False on tokens that the policy did not write (tool output, another speaker).
        versions: Which policy version wrote which tokens.
        images: References of the images in the prompt, in order.
        source: Who wrote it. A "teacher" drew no tokens, so `logprobs` are 0.0 and say nothing, and `versions` is empty.
    """

    problem_id: str = ""
    index: int = 0
    seed: int = 0
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    loss_mask: tuple[bool, ...] = ()
    versions: tuple[VersionSpan, ...] = ()
    images: tuple[Any, ...] = ()
    source: Literal["policy", "teacher"] = "policy"

    def __post_init__(self) -> None:
        if not len(self.token_ids) == len(self.logprobs) == len(self.loss_mask):
            raise ValueError(
                f"rollout {self.index} of problem {self.problem_id!r} has {len(self.token_ids)} tokens, "
                f"{len(self.logprobs)} logprobs and {len(self.loss_mask)} mask entries; the three must agree"
            )


@dataclass(frozen=True)
class Group:
    """The G rollouts of one problem, the unit over which GRPO takes its baseline."""

    problem: Problem
    rollouts: tuple[Response, ...]

    def __len__(self) -> int:
        return len(self.rollouts)


@dataclass(frozen=True)
class Verdict:
    """What a verifier says of one answer.

    A `score` exists exactly when `status` is "ok". The other statuses say that there is no number:
    "abstain" (not mine to decide, ask the next stage), "error" and "timeout" (the judge failed), "invalid" (the problem
    is broken). What the *policy* did wrong (no answer, malformed, endless) is status "ok" with score 0.

    Attributes:
        score: In [0, 1], or None.
        status: See above.
        answer: The answer that was read out of the response, or None.
        span: Where it stands in the response text, as (start, end) character offsets.
        reason: One line on why.
        stage: The verifier that decided.
        cost: What it took, e.g. {"calls": 1, "tokens": 312}.
        parts: Named sub-scores, e.g. of a set answer. `whole` 0 says that the score is for a part of what was asked.
        votes: Seed and outcome of each vote, where a model was asked: ((81234, "match"), (5678, "timeout")).
    """

    score: float | None
    status: Status = "ok"
    answer: str | None = None
    span: tuple[int, int] | None = None
    reason: str = ""
    stage: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    votes: tuple[tuple[int | None, str], ...] = ()

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise InvalidScore(f"a verdict has status {self.status!r}; it is one of {', '.join(STATUSES)}")
        if (self.score is not None) != (self.status == "ok"):
            raise InvalidScore(f"a verdict has score {self.score!r} with status {self.status!r}; only `ok` has a score")
        if self.score is not None and not 0.0 <= self.score <= 1.0:  # also catches NaN
            raise InvalidScore(f"a verdict has score {self.score!r}; it must be a number from 0 to 1")

    @classmethod
    def right(cls, reason: str = "", **more: Any) -> "Verdict":
        return cls(1.0, reason=reason, **more)

    @classmethod
    def wrong(cls, reason: str = "", **more: Any) -> "Verdict":
        return cls(0.0, reason=reason, **more)

    @classmethod
    def abstain(cls, reason: str = "", **more: Any) -> "Verdict":
        return cls(None, "abstain", reason=reason, **more)

    @classmethod
    def failed(cls, reason: str, status: Literal["error", "timeout", "invalid"] = "error", **more: Any) -> "Verdict":
        return cls(None, status, reason=reason, **more)

    @property
    def decided(self) -> bool:
        return self.score is not None

    @property
    def partial(self) -> bool:
        """Whether its score is for a part of what was asked, such as half a list: never a right answer."""
        return self.parts.get("whole") == 0.0

    @property
    def accepted(self) -> bool:
        """Whether it takes the answer for right: a score of 0.5 or more, and not for a part of what was asked."""
        return self.score is not None and self.score >= 0.5 and not self.partial

    def by(self, stage: str) -> "Verdict":
        """The same verdict, signed by `stage` unless an inner stage has signed it already."""
        if self.stage:
            return self
        return Verdict(
            self.score, self.status, self.answer, self.span, self.reason, stage, self.cost, self.parts, self.votes
        )  # as `replace`, which is slow where there are thousands a second

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Verdict":
        span = row.get("span")
        votes = tuple((seed, outcome) for seed, outcome in row.get("votes", ()))
        return cls(**{**row, "span": tuple(span) if span else None, "votes": votes})


@dataclass(frozen=True)
class Part:
    """One named node of a reward tree, as it came out for one rollout: its value (or None) and, for a leaf, why.

    `confidence`, from 0 to 1, is how far the node trusts its value; see `Score.weight`.
    """

    value: float | None
    status: Status = "ok"
    verdict: Verdict | None = None
    reason: str = ""
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise InvalidScore(f"a part has confidence {self.confidence!r}; it must be a number from 0 to 1")

    @property
    def accepted(self) -> bool:
        """Whether a leaf that says right or wrong took the answer for right: all of it, see `Verdict.accepted`."""
        partial = self.verdict is not None and self.verdict.decided and not self.verdict.accepted
        return self.value is not None and self.value >= 0.5 and not partial

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.to_json() if self.verdict else None}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Part":
        verdict = row.get("verdict")
        return cls(**{**row, "verdict": Verdict.from_json(verdict) if verdict else None})


@dataclass(frozen=True)
class Score:
    """What a reward tree says one rollout is worth: a number, or **no number**.

    Attributes:
        value: The reward, any finite number; None when it could not be had. A rollout without a value leaves both the
            loss and its group's baseline: it is never counted as 0.
        status: "ok" when there is a value, else why there is none.
        parts: Every named node of the tree, by its unique name.
        reason: One line, mostly on what failed.
        token_values: One value per token of the response, for rewards that have them (process rewards).
    """

    value: float | None
    status: Status = "ok"
    parts: Mapping[str, Part] = field(default_factory=dict)
    reason: str = ""
    token_values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.value is not None) != (self.status == "ok"):
            raise InvalidScore(f"a score has value {self.value!r} with status {self.status!r}; only `ok` has a value")
        if self.value is not None and not math.isfinite(self.value):
            raise InvalidScore(f"a score is {self.value!r}; a reward must be a finite number, or None for no number")
        if self.token_values is not None and not all(map(math.isfinite, self.token_values)):
            raise InvalidScore("a score has token values that are not finite numbers")

    @property
    def weight(self) -> float:
        """What the rollout's advantage is multiplied by: the smallest confidence of its parts, 1 where all are sure.

        It scales what a rollout teaches; its reward and its group's baseline stay as they are.
        """
        return min((part.confidence for part in self.parts.values()), default=1.0)

    def to_json(self) -> dict[str, Any]:
        row = asdict(replace(self, parts={}))
        return {**row, "parts": {name: part.to_json() for name, part in self.parts.items()}}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Score":
        values = row.get("token_values")
        parts = {name: Part.from_json(part) for name, part in row["parts"].items()}
        return cls(**{**row, "parts": parts, "token_values": tuple(values) if values is not None else None})


@dataclass(frozen=True)
class ScoredGroup:
    """A group with what each of its rollouts is worth, in the same order; `teacher` is what a teacher's answer to the problem
    was worth, whether or not it took a place in the group, and None where none was asked.
    """

    group: Group
    scores: tuple[Score, ...]
    teacher: Score | None = None

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.group):
            raise ValueError(
                f"problem {self.group.problem.id!r} has {len(self.group)} rollouts and {len(self.scores)} scores"
            )


Judged: TypeAlias = Sequence[tuple[Problem, Response]]  # what a verifier is given
