"""Repeated n-grams as a penalty (Yeo et al. 2025, arXiv:2502.03373, appendix C.2), for English and Chinese.

What differs: it reads words and Chinese characters of the text rather than tokens, so that a response is worth the same in
training, behind a server and in a file; numbers are all alike, so that "step 1 … step 2 …" does not hide a loop; reasoning
and answer are looked at apart, and the worse one counts, so that long reasoning does not dilute an answer that repeats
itself; and a share that ordinary prose has is free. With `free: 0` and one portion it is the share that TRL's
`get_repetition_penalty_reward` and the authors' `get_repetition_penalty` take. The paper's other form, a penalty on each
token of a repeated 40-gram, needs token rewards and is not here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from medrl.rewards.textual import PORTIONS, Portion, Signal, mostly_cjk, one_of, pieces, share, whole
from medrl.rewards.tree import number, settle
from medrl.types import Problem, Response, Score
from medrl.verifiers.extract import Sections


@dataclass(frozen=True)
class Repetition(Signal):
    """-1 times the share of repeated n-grams above `free`, from 0 (nothing repeated) to -1.

    s = 1 - (different n-grams) / (n-grams); value = -max(0, s - free) / (1 - free). A text shorter than n has s = 0; without
    a visible answer the value is -1. Values in [-1, 0].
    """

    type_name: ClassVar[str] = "repetition"
    limits: ClassVar[tuple[float, float]] = (-1.0, 0.0)
    worst: ClassVar[float] = -1.0

    size: int = 4
    """n, in words and other signs, for text in letters; 3 to 6."""
    size_zh: int = 8
    """n, in characters and other signs, for text that is mostly Chinese, Japanese or Korean; about twice `size`."""
    free: float = 0.1
    """Share of repeated n-grams that costs nothing; 0.05 to 0.2."""
    portion: Portion = "all"
    """Where it looks: the visible `answer`, the `reasoning`, or `all`: both apart, and the worse one counts."""

    def __post_init__(self) -> None:
        faults = self.format_faults() + one_of("portion", self.portion, PORTIONS)
        faults += whole(1, size=self.size, size_zh=self.size_zh) + share(0.0, 0.99, free=self.free)
        settle(self, self.type_name, faults)

    def may_abstain(self) -> bool:
        return False

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        texts = {"answer": parts.answer, "reasoning": parts.reasoning}
        looked = texts if self.portion == "all" else {self.portion: texts[self.portion]}
        shares = {where: self.repeated(text) for where, text in looked.items()}
        where = max(shares, key=lambda one: shares[one])
        value = -max(0.0, shares[where] - self.free) / (1.0 - self.free)
        reason = f"{shares[where]:.0%} of the n-grams of the {where} are repeated"
        return number(value or 0.0, self.name, reason=reason)

    def repeated(self, text: str) -> float:
        """The share of a text's n-grams that stood in it before."""
        return repeated_share(pieces(text), self.size_zh if mostly_cjk(text) else self.size)


def repeated_share(units: Sequence[str], size: int) -> float:
    """1 - (different n-grams) / (n-grams) of a list, 0 where it is shorter than n. Linear in time and memory."""
    total = len(units) - size + 1
    if total < 1:
        return 0.0
    numbers: dict[str, int] = {}
    every = [numbers.setdefault(unit, len(numbers)) for unit in units]
    base = len(numbers)
    wrap = base**size
    seen: set[int] = set()
    key = 0
    for i, one in enumerate(every):  # an n-gram is a number of n digits to the base of the vocabulary: exact, and small
        key = (key * base + one) % wrap
        if i >= size - 1:
            seen.add(key)
    return 1.0 - len(seen) / total
