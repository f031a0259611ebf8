"""Cosine length scaling of a right-or-wrong reward (Yeo et al. 2025, arXiv:2502.03373, appendix C.1).

What differs from the paper: past `max_length` the value stays at its end (the cosine would rise again; TRL clamps it too),
and a wrong answer's value is flat by default. The paper, and TRL, pay a long wrong answer more than a short one, which keeps
a policy exploring, and which it learns to collect by padding; `wrong_short` and `wrong_long` bring that back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from medrl.rewards.length import UNCOUNTED
from medrl.rewards.textual import LAYOUTS, Layout, Portion, Unit, length, length_faults, one_of, read_parts, whole
from medrl.rewards.tree import Reward, RewardContext, Scores, failure, not_a, not_finite, number, settle
from medrl.types import Group, Response, Score


@dataclass(frozen=True)
class Cosine(Reward):
    """What an answer is worth, right or wrong, by its length.

    With t = min(length / max_length, 1) and (a, b) = (right_short, right_long) for a right answer, (wrong_short,
    wrong_long) for a wrong one: b + (a - b) * (1 + cos(pi * t)) / 2. Values between the least and the greatest of the four
    and `exceeded`. Without a visible answer the least, whatever `correct` says.
    """

    type_name: ClassVar[str] = "cosine"

    correct: Reward
    """What says whether the answer is right, mostly `verified`. Where it has no number, neither has the rollout."""
    max_length: int
    """Length at which the value reaches its end; the engine's token limit."""
    right_short: float = 1.0
    """Value of a right answer of length 0. The paper has 2, TRL 1."""
    right_long: float = 0.5
    """Value of a right answer of `max_length` and more. The paper has 1, TRL 0.5."""
    wrong_short: float = 0.0
    """Value of a wrong answer of length 0. The paper has -10, TRL -1."""
    wrong_long: float = 0.0
    """Value of a wrong answer of `max_length` and more. The paper has 0, TRL -0.5; above `wrong_short` padding pays."""
    exceeded: float | None = None
    """Value of a response that was cut off at the token limit; the paper has -10. Empty for none of its own, as TRL."""
    threshold: float = 0.5
    """An answer is right from this value of `correct` on, but for a part of it, such as half a list."""
    portion: Portion = "all"
    """What is measured: `all` of the response, as in the paper, the visible `answer`, or the `reasoning`."""
    unit: Unit = "tokens"
    """`tokens` that the engine counted (abstains where it did not, unless there is a `tokenizer`), or `words`."""
    tokenizer: str = ""
    """A tokenizer.json or its folder, for tokens of the answer or the reasoning alone, or that nobody counted."""
    format: Layout = "auto"
    """How responses are laid out: `o1`, `think`, `plain`, or `auto` for whichever markers there are. With `o1-strict` and
    `think-strict` a malformed response has no visible answer."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `cosine`."""

    def __post_init__(self) -> None:
        faults = not_a(Reward, correct=self.correct) + whole(1, max_length=self.max_length)
        faults += length_faults(self.portion, self.unit, self.tokenizer)
        faults += one_of("format", self.format, LAYOUTS)
        values = dict(right_short=self.right_short, right_long=self.right_long)
        values |= dict(wrong_short=self.wrong_short, wrong_long=self.wrong_long)
        unset = {} if self.exceeded is None else {"exceeded": self.exceeded}
        odd = not_finite(**values, **unset, threshold=self.threshold)
        if not odd and min(self.right_short, self.right_long) < max(self.wrong_short, self.wrong_long):
            odd.append(f"a wrong answer can be worth more than a right one: {values}")
        if not odd and self.right_long > self.right_short:
            odd.append(f"`right_long` {self.right_long} is above `right_short` {self.right_short}; padding would pay")
        if not odd and self.exceeded is not None and self.exceeded > self.right_long:
            odd.append(f"`exceeded` {self.exceeded} is above `right_long` {self.right_long}; never to end would pay")
        settle(self, self.type_name, faults + odd)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        judged = await self.correct.score(groups, context)
        return [
            [self._scored(rollout, score) for rollout, score in zip(group.rollouts, row, strict=True)]
            for group, row in zip(groups, judged, strict=True)
        ]

    def _scored(self, response: Response, judged: Score) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", judged.parts, f"{self.name}: the engine aborted this response")
        if judged.value is None:
            return judged
        try:
            parts, fault = read_parts(response.text, self.format)
            if fault:
                least = min(
                    self.wrong_short, self.wrong_long, self.right_long if self.exceeded is None else self.exceeded
                )
                return Score(float(least), parts=judged.parts, reason=fault)
            if response.finish_reason == "length" and self.exceeded is not None:
                return Score(float(self.exceeded), parts=judged.parts, reason="it was cut off at the token limit")
            count = length(response, parts, self.portion, self.unit, self.tokenizer)
            if count is None:
                return Score(None, "abstain", judged.parts, f"{self.name}: {UNCOUNTED}")
            right = self.correct.says_right(judged, self.threshold)
            ends = (self.right_short, self.right_long) if right else (self.wrong_short, self.wrong_long)
            reason = f"{'right' if right else 'wrong'}, {count} {self.unit} of {self.portion}"
            return number(cosine(count, self.max_length, *ends), self.name, judged.parts, reason=reason)
        except Exception as error:  # becomes the status of this rollout alone
            failed = failure(self.name, error)
            return Score(None, failed.status, judged.parts, failed.reason)


def cosine(count: int, max_length: int, short: float, long: float) -> float:
    """From `short` at 0 to `long` at `max_length` along half a cosine, and `long` beyond."""
    progress = min(count / max_length, 1.0)
    return long + 0.5 * (short - long) * (1.0 + math.cos(math.pi * progress))
