"""How long a response is, as rewards: a band, DAPO's buffer before the limit, HuatuoGPT-3's visible answer, the ending.

`Overlong` is equation 13 of DAPO (Yu et al. 2025, arXiv:2503.14476). What differs: a response that was cut off
(`finish_reason` length) has -1 whatever it counts, and so has one without a visible answer; TRL and verl look at the count
alone. `VisibleLength` is the optional length term of HuatuoGPT-3 (OnePO): the reasoning is free, the visible answer is
not. None of them pays for being shorter than another answer within its bounds.
"""

from dataclasses import dataclass
from typing import ClassVar

from medrl.rewards.textual import Portion, Signal, Unit, length, length_faults, whole
from medrl.rewards.tree import not_finite, number, settle
from medrl.types import Problem, Response, Score
from medrl.verifiers.extract import Sections

UNCOUNTED = "nobody counted the tokens of this response; count words (unit: words) or give a `tokenizer`"


@dataclass(frozen=True)
class Length(Signal):
    """1.0 from `at_least` to `at_most`, falling to 0.0 within `slack` on either side.

    value = 1 - min(1, d / slack), with d the distance of the length from the band; without slack 0 outside the band.
    Values in [0, 1]; 0 without a visible answer.
    """

    type_name: ClassVar[str] = "length"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    portion: Portion = "answer"
    """What is measured: the visible `answer`, the `reasoning` before it, or `all` of the text."""
    unit: Unit = "words"
    """`words`: characters of Chinese, words of other scripts (`medrl.rewards.textual.words`). `tokens`: what the engine
    counted, or `tokenizer`; where neither is there it abstains."""
    at_least: int = 1
    """Shortest length that is worth 1.0."""
    at_most: int = 400
    """Longest length that is worth 1.0; 300 to 800 words of answer."""
    slack: int = 200
    """Over how much more, or less, the value falls to 0."""
    tokenizer: str = ""
    """A tokenizer.json or its folder, for tokens of the answer or the reasoning alone."""

    def __post_init__(self) -> None:
        faults = self.format_faults() + length_faults(self.portion, self.unit, self.tokenizer)
        bounds = whole(0, at_least=self.at_least, at_most=self.at_most, slack=self.slack)
        if not bounds and self.at_least > self.at_most:
            bounds.append(f"`at_least` {self.at_least} is above `at_most` {self.at_most}")
        settle(self, self.type_name, faults + bounds)

    def may_abstain(self) -> bool:
        return self.unit == "tokens" and not self.tokenizer

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        count = length(response, parts, self.portion, self.unit, self.tokenizer)
        if count is None:
            return self.abstains(UNCOUNTED)
        off = max(self.at_least - count, count - self.at_most, 0)
        value = 1.0 - min(1.0, off / self.slack) if self.slack else float(not off)
        return number(value, self.name, reason=f"{count} {self.unit} of {self.portion}")


@dataclass(frozen=True)
class Overlong(Signal):
    """DAPO's soft punishment of long responses (equation 13), over reasoning and answer together.

    With L the length: 0 for L <= max_length - buffer; (max_length - buffer - L) / buffer up to max_length; -1 beyond.
    -1 also for a response that was cut off at the token limit, and without a visible answer. Values in [-1, 0].
    """

    type_name: ClassVar[str] = "overlong"
    limits: ClassVar[tuple[float, float]] = (-1.0, 0.0)
    worst: ClassVar[float] = -1.0

    max_length: int
    """Length from which on the value is -1; the engine's token limit, or less."""
    buffer: int
    """How far before `max_length` the value begins to fall; DAPO has 4096 before 20480. 0 for a bare limit."""
    unit: Unit = "tokens"
    """`tokens` that the engine counted (abstains where it did not, unless there is a `tokenizer`), or `words`."""
    tokenizer: str = ""
    """A tokenizer.json or its folder, for responses whose tokens nobody counted."""

    def __post_init__(self) -> None:
        faults = self.format_faults() + length_faults("all", self.unit, self.tokenizer)
        bounds = whole(1, max_length=self.max_length) + whole(0, buffer=self.buffer)
        if not bounds and self.buffer > self.max_length:
            bounds.append(f"`buffer` {self.buffer} is longer than `max_length` {self.max_length}")
        settle(self, self.type_name, faults + bounds)

    def may_abstain(self) -> bool:
        return self.unit == "tokens" and not self.tokenizer

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        if response.finish_reason == "length":
            return Score(-1.0, reason="it was cut off at the token limit")
        count = length(response, parts, "all", self.unit, self.tokenizer)
        if count is None:
            return self.abstains(UNCOUNTED)
        return number(soft_overlong(count, self.max_length, self.buffer), self.name, reason=f"{count} {self.unit}")


def soft_overlong(count: int, max_length: int, buffer: int) -> float:
    """Equation 13 of DAPO, in [-1, 0]."""
    free = max_length - buffer
    if count <= free:
        return 0.0
    return (free - count) / buffer if count <= max_length else -1.0


@dataclass(frozen=True)
class VisibleLength(Signal):
    """HuatuoGPT-3's length penalty: -factor * min(max(n - free, 0), span) / span, n the length of the visible answer.

    The reasoning costs nothing. Values in [-factor, 0]; -factor without a visible answer.
    """

    type_name: ClassVar[str] = "visible_length"

    factor: float = 1.0
    """What the longest answers lose."""
    free: int = 200
    """Length that costs nothing; HuatuoGPT-3 has 200 tokens."""
    span: int = 4000
    """How much more loses all of `factor`; HuatuoGPT-3 has 4000 tokens."""
    unit: Unit = "words"
    """`words` (characters of Chinese), or `tokens` of `tokenizer`, as HuatuoGPT-3 counts."""
    tokenizer: str = ""
    """A tokenizer.json or its folder; needed for tokens."""

    def __post_init__(self) -> None:
        faults = self.format_faults() + length_faults("answer", self.unit, self.tokenizer)
        faults += not_finite(factor=self.factor) or (
            [] if self.factor >= 0 else [f"`factor` is {self.factor}, below 0"]
        )
        settle(self, self.type_name, faults + whole(0, free=self.free) + whole(1, span=self.span))

    def lowest(self) -> float:
        return -float(self.factor)

    def bounds(self) -> tuple[float, float]:
        return self.lowest(), 0.0

    def may_abstain(self) -> bool:
        return False

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        count = length(response, parts, "answer", self.unit, self.tokenizer)
        if count is None:
            return self.abstains(UNCOUNTED)
        value = -self.factor * min(max(count - self.free, 0), self.span) / self.span
        return number(value or 0.0, self.name, reason=f"{count} {self.unit} of answer")


@dataclass(frozen=True)
class Truncation(Signal):
    """1.0 for a response that ended by itself and has a visible answer, 0.0 for one that was cut off. Opens gates."""

    type_name: ClassVar[str] = "truncation"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    gates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        settle(self, self.type_name, self.format_faults())

    def may_abstain(self) -> bool:
        return False

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        cut = response.finish_reason == "length"
        return Score(0.0 if cut else 1.0, reason="it was cut off at the token limit" if cut else "")
