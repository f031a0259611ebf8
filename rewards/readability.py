"""How hard an answer is to read, held against a band: neither a textbook for a patient, nor baby talk.

English: the Flesch-Kincaid grade (Kincaid, Fishburne, Rogers and Chissom 1975, Naval Technical Training Command, Research
Branch Report 8-75), 0.39 * words / sentences + 11.8 * syllables / words - 15.59, with the syllables of
`medrl.rewards.syllables` (its error is stated there). Words are runs of letters or digits, a number counts one syllable,
and a line's end ends a sentence, so lists read as easy as they look.

Chinese: two measures that formulas of Chinese readability share (Jing 1995 has sentence length and the share of common
words; its list of words and its term for the length of a school text are left out, so this is no grade): characters per
sentence, and the share of characters beyond the 3,755 common ones of GB 2312-80, level 1. The less readable one counts.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from medrl.rewards.prose import sentences
from medrl.rewards.syllables import syllables
from medrl.rewards.textual import Signal, share, whole, words
from medrl.rewards.tree import not_finite, number, settle
from medrl.types import Problem, Response, Score
from medrl.verifiers.extract import Sections
from medrl.verifiers.scripts import simplified

_ENGLISH = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?|\d+(?:[.,]\d+)*")
_HAN = re.compile("[\u4e00-\u9fff]")
_LAST_COMMON = 0xD7  # rows 16 to 55 of GB 2312 are its level 1; their first byte ends here


@dataclass(frozen=True)
class Readability(Signal):
    """1.0 inside the band of the problem's language, falling to 0.0 within `slack` of it.

    English: value = 1 - min(1, d / slack), d the distance of the Flesch-Kincaid grade from [low, high]. Chinese: the lesser
    of 1 - min(1, d / slack_zh), d the distance of the characters per sentence from [low_zh, high_zh], and
    1 - min(1, (rare - rare_zh) / rare_zh) for a share of rare characters above `rare_zh`. Values in [0, 1]; 0 without a
    visible answer, and for a long one that is hardly in the problem's language. A text of fewer than `enough` words has no
    reliable number: it abstains, or has the value `otherwise`.
    """

    type_name: ClassVar[str] = "readability"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    low: float = 4.0
    """Easiest grade that is worth 1.0; US school grade, 3 to 5."""
    high: float = 9.0
    """Hardest grade that is worth 1.0; 6 to 8 where a patient reads, as health authorities advise."""
    slack: float = 8.0
    """Over how many grades beyond the band the value falls to 0. Physicians write at grade 10 to 19 (see docs/signals.md): a
    narrow slack would give them all 0, and a policy that begins there nothing to climb."""
    low_zh: float = 6.0
    """Shortest sentences that are worth 1.0, in characters."""
    high_zh: float = 40.0
    """Longest sentences that are worth 1.0, in characters."""
    slack_zh: float = 30.0
    """Over how many characters a sentence beyond the band the value falls to 0."""
    rare_zh: float = 0.06
    """Share of characters outside the common 3,755 that costs nothing; at twice that the value is 0."""
    enough: int = 30
    """Words, or Chinese characters, below which there is no number; 30 to 100."""
    otherwise: float | None = None
    """Value of a text that is too short to measure, from 0 to 1; empty for none. Set it (to 0.0, say) where an answer of
    that length is the policy's choice and other parts would be rescaled."""

    def __post_init__(self) -> None:
        faults = self.format_faults() + whole(1, enough=self.enough) + share(0.001, 1.0, rare_zh=self.rare_zh)
        faults += share(otherwise=self.otherwise) if self.otherwise is not None else []
        for low, high, slack in (("low", "high", "slack"), ("low_zh", "high_zh", "slack_zh")):
            values = {knob: getattr(self, knob) for knob in (low, high, slack)}
            odd = not_finite(**values)
            if not odd and values[low] > values[high]:
                odd.append(f"`{low}` {values[low]} is above `{high}` {values[high]}")
            if not odd and values[slack] <= 0:
                odd.append(f"`{slack}` is {values[slack]}; it must be above 0")
            faults += odd
        settle(self, self.type_name, faults)

    def unasked(self, problem: Problem) -> Score | None:
        known = problem.language in ("en", "zh")
        return None if known else self.abstains(f"no measure for the language {problem.language!r}")

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        return self._chinese(parts.answer) if problem.language == "zh" else self._english(parts.answer)

    def _english(self, text: str) -> Score:
        grade, count = flesch_kincaid(text)
        if count < self.enough:
            return self._too_short(count, text)
        value = 1.0 - min(1.0, max(self.low - grade, grade - self.high, 0.0) / self.slack)
        return number(value, self.name, reason=f"grade {grade:.1f}")

    def _chinese(self, text: str) -> Score:
        per_sentence, rare, count = chinese_measures(text)
        if count < self.enough:
            return self._too_short(count, text)
        off = max(self.low_zh - per_sentence, per_sentence - self.high_zh, 0.0)
        sentence = 1.0 - min(1.0, off / self.slack_zh)
        common = 1.0 - min(1.0, max(0.0, rare - self.rare_zh) / self.rare_zh)
        reason = f"{per_sentence:.0f} characters a sentence, {rare:.1%} of them rare"
        return number(min(sentence, common), self.name, reason=reason)

    def _too_short(self, count: int, text: str) -> Score:
        if words(text) >= max(self.enough, 2 * count):
            return Score(0.0, reason="hardly any of it is in the language of the problem")
        reason = f"{count} words of the problem's language are too few to measure"
        return self.abstains(reason) if self.otherwise is None else Score(float(self.otherwise), reason=reason)


def flesch_kincaid(text: str) -> tuple[float, int]:
    """The Flesch-Kincaid grade of an English text, and its words; (0.0, 0) without any."""
    found = [_ENGLISH.findall(sentence) for sentence in sentences(text)]
    counted = [sentence for sentence in found if sentence]
    total = sum(map(len, counted))
    if not total:
        return 0.0, 0
    spoken = sum(syllables(word) for sentence in counted for word in sentence)
    return 0.39 * total / len(counted) + 11.8 * spoken / total - 15.59, total


def chinese_measures(text: str) -> tuple[float, float, int]:
    """Characters per sentence, the share of them beyond GB 2312-80 level 1, and how many characters there are."""
    found = [_HAN.findall(sentence) for sentence in sentences(text)]
    counted = [characters for characters in found if characters]
    total = sum(map(len, counted))
    if not total:
        return 0.0, 0.0, 0
    rare = sum(not common(character) for characters in counted for character in simplified("".join(characters)))
    return total / len(counted), rare / total, total


def common(character: str) -> bool:
    """Whether a simplified Chinese character is of level 1 of GB 2312-80."""
    try:
        return character.encode("gb2312")[0] <= _LAST_COMMON
    except UnicodeEncodeError:
        return False
