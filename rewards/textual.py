"""What the textual signals share: a leaf that reads one response, its two parts, and how long a part is.

A signal needs no judge and no reference: it reads how an answer is written. Three things hold for all of them. A response
that the engine aborted has no number. A response without a visible answer (empty, or its reasoning never ends) has the
worst value of the signal: nothing that only counts what is wrong with a text may pay for writing none. And a signal that
does not apply to a problem abstains before it looks at the response, so that no response can bring that about.
"""

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from medrl.errors import did_you_mean, need
from medrl.rewards.tree import Reward, RewardContext, Scores, failure
from medrl.types import Group, Problem, Response, Score
from medrl.verifiers.extract import Sections, sections, strict_fault

Portion: TypeAlias = Literal["answer", "reasoning", "all"]
Unit: TypeAlias = Literal["words", "tokens"]
Layout: TypeAlias = Literal["auto", "o1", "think", "plain", "o1-strict", "think-strict"]
PORTIONS: tuple[str, ...] = get_args(Portion)
UNITS: tuple[str, ...] = get_args(Unit)
LAYOUTS: tuple[str, ...] = get_args(Layout)
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
LETTERS = (
    20  # letters or digits in a row that are one word; more are several, so that a text without blanks is not short
)
MARKS = 4  # other visible characters that are as long as one word

_CJK = re.compile(f"[{CJK}]")
_WORD = re.compile(rf"[^\W_{CJK}]+(?:[.,]\d+)*(?:['’](?:s|t|d|m|re|ll|ve)\b)?", re.IGNORECASE)
_PIECE = re.compile(rf"[{CJK}]|{_WORD.pattern}|\S", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class Signal(Reward):
    """A leaf that reads one response at a time. Subclasses write `measure`."""

    worst: ClassVar[float] = 0.0  # the value of a response without a visible answer

    format: Layout = "auto"
    """How responses are laid out: `o1`, `think`, `plain`, or `auto` for whichever markers there are. With `o1-strict` and
    `think-strict` a malformed response has no visible answer."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default: its type."""

    @abstractmethod
    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        """The score of a response that has a visible answer, which is `parts.answer`."""

    def unasked(self, problem: Problem) -> Score | None:
        """The score of every response to a problem that this signal does not apply to; None where it applies."""
        return None

    def lowest(self) -> float:
        """The value of a response without a visible answer."""
        return self.worst

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self._scored(group.problem, rollout) for rollout in group.rollouts] for group in groups]

    def _scored(self, problem: Problem, response: Response) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        try:
            unasked = self.unasked(problem)
            if unasked is not None:
                return unasked
            parts, fault = read_parts(response.text, self.format)
            if fault:
                return Score(self.lowest(), reason=fault)
            return self.measure(problem, response, parts)
        except Exception as error:  # becomes the status of this rollout alone
            return failure(self.name, error)

    def format_faults(self) -> list[str]:
        """What is wrong with the knob `format`."""
        return one_of("format", self.format, LAYOUTS)

    def abstains(self, reason: str) -> Score:
        """No number, because there is nothing that this signal could measure."""
        return Score(None, "abstain", reason=f"{self.name}: {reason}")


def read_parts(text: str, format: Layout) -> tuple[Sections, str]:
    """Reasoning and visible answer, and why there is no visible answer ("" where there is one)."""
    parts = sections(text, format)
    fault = strict_fault(parts, None, format)
    if not fault and not has_words(parts.answer):
        fault = parts.fault or "there are no words in the visible answer"
    return parts, f"no visible answer: {fault}" if fault else ""


def has_words(text: str) -> bool:
    """Whether a letter or digit of any script stands in the text."""
    return any(map(str.isalnum, text))


def words(text: str) -> int:
    """How long a text is in words.

    Each character of Chinese, Japanese or Korean is one; so is each run of up to 20 other letters or digits (a decimal
    part and an English ending such as 's belong to it; a longer run is one per 20 begun); so are every four other visible
    characters. Blanks count nothing.
    """
    characters = len(_CJK.findall(text))
    rest = _CJK.sub(" ", text)
    runs = [len(run) for run in _WORD.findall(rest)]
    other = sum(map(len, rest.split())) - sum(runs)
    return characters + sum(-(-run // LETTERS) for run in runs) + other // MARKS


def pieces(text: str) -> list[str]:
    """The text as a list: characters of Chinese, Japanese and Korean, words in small letters, other signs.

    Every number is "0", so that counting up does not make a repeated line a new one.
    """
    found: list[str] = []
    for piece in _PIECE.findall(text.casefold()):
        piece = _DIGITS.sub("0", piece)
        found += [piece] if len(piece) <= LETTERS else [piece[i : i + LETTERS] for i in range(0, len(piece), LETTERS)]
    return found


def mostly_cjk(text: str) -> bool:
    """Whether more than half of the words of a text are Chinese, Japanese or Korean characters."""
    characters = len(_CJK.findall(text))
    return characters > len(_WORD.findall(_CJK.sub(" ", text)))


def length(response: Response, parts: Sections, portion: Portion, unit: Unit, tokenizer: str = "") -> int | None:
    """How long a portion of a response is; None where its tokens were not counted and nothing here can count them.

    Tokens of the whole response are `Response.token_count`, which counts the ending token too; without it, and for the
    answer or the reasoning alone, the tokens of `tokenizer` in that portion of the text.
    """
    text = response.text if portion == "all" else getattr(parts, portion)
    if unit == "words":
        return words(text)
    if portion == "all" and response.token_count is not None:
        return response.token_count
    return len(_tokenizer(tokenizer).encode(text, add_special_tokens=False).ids) if tokenizer else None


def length_faults(portion: object, unit: object, tokenizer: object) -> list[str]:
    """What is wrong with the knobs that `length` is given."""
    faults = one_of("portion", portion, PORTIONS) + one_of("unit", unit, UNITS)
    if not isinstance(tokenizer, str):
        return [*faults, f"`tokenizer` is {tokenizer!r:.80}; give the path of a tokenizer.json or of its folder"]
    if tokenizer and not tokenizer_file(tokenizer).is_file():
        faults.append(f"`tokenizer`: there is no file {tokenizer_file(tokenizer)}")
    if unit == "tokens" and portion != "all" and not tokenizer:
        faults.append(
            f"nobody counts the tokens of the {portion} alone; give a `tokenizer` (the policy's folder), or unit: words"
        )
    return faults


def tokenizer_file(tokenizer: str) -> Path:
    """The tokenizer.json that a path names: itself, or the one in its folder."""
    path = Path(tokenizer)
    return path if path.suffix == ".json" else path / "tokenizer.json"


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> Any:
    return need("tokenizers", "train").Tokenizer.from_file(str(tokenizer_file(path)))


def one_of(knob: str, value: object, known: Sequence[str]) -> list[str]:
    """A fault where a knob is none of the known words."""
    return [] if value in known else [f"`{knob}` is {value!r:.80}{did_you_mean(str(value), known)}"]


def whole(least: int, **knobs: object) -> list[str]:
    """A fault for each knob that is no whole number from `least` on."""
    return [
        f"`{name}` is {value!r:.80}; it must be a whole number, {least} or more"
        for name, value in knobs.items()
        if isinstance(value, bool) or not isinstance(value, int) or value < least
    ]


def share(least: float = 0.0, most: float = 1.0, **knobs: object) -> list[str]:
    """A fault for each knob that is no number from `least` to `most`."""
    return [
        f"`{name}` is {value!r:.80}; it must be a number from {least:g} to {most:g}"
        for name, value in knobs.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most
    ]
