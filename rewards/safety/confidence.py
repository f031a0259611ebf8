"""Whether an answer is as sure of itself as it is right: the Brier score of the confidence that it states.

1 - (p - right)^2 (Brier 1950, Monthly Weather Review 78:1) is a proper score: in expectation nothing but the true probability
earns most, and confident language on a wrong answer costs most. Below chance it is cut off, for whoever knows that an
answer is wrong should give another: "no, 0 % sure" on purpose earns what a coin earns. Words are read by the scale of Kent
(Words of estimative probability, 1964): almost certain 0.93, probable 0.75, chances about even 0.5, probably not 0.3, almost
certainly not 0.07; which English and Chinese words stand on which step, and "possible", to which Kent gave no number, are
house choices.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from medrl.rewards.safety.reading import denied, sentences, visible, without_quotes
from medrl.rewards.tree import Reward, RewardContext, Scores, not_a, not_finite, settle
from medrl.types import Group, Part, Problem, Response, Score
from medrl.verifiers.stated import FIGURE, figure_of, without_confidence
from medrl.verifiers.typed import answer_type

OPEN = 0.5  # the child's value from which an answer counts as right
_PERCENT = re.compile(FIGURE, re.IGNORECASE)
# Steps in the order in which they are looked for: what holds another word of the scale comes first.
SCALE = (
    (0.07,
        r"\balmost certainly not\b|\bhighly unlikely\b|\bvery unlikely\b|\bextremely unlikely\b|"
        r"几乎不可能|极不可能|非常不可能"),
    (0.3, r"\bprobably not\b|\bunlikely\b|\bimprobable\b|\bdoubtful\b|可能性(?:不大|较?小|低)|不太可能|未必"),
    (0.5,
        r"\bnot (?:entirely |completely |at all |very |really )?(?:sure|certain|confident)\b|"
        r"\b(?:uncertain|unsure)\b|\bchances? (?:are )?about even\b|\b(?:fifty|50)[- /](?:fifty|"
        r"50)\b|\btoss-?up\b|"
     r"\b(?:hard|difficult|impossible) to (?:say|tell|know)\b|不(?:太|能|敢|完全)?(?:确定|"
     r"肯定)|说不准|难以确定|一半一半|五五开"),
    (0.93,
        r"\balmost certain(?:ly)?\b|\bvirtually certain\b|\bhighly (?:likely|probable|"
        r"confident)\b|\bvery (?:likely|confident|sure)\b|"
     r"\b(?:definite(?:ly)?|certain(?:ly)?|undoubted(?:ly)?|unquestionabl[ye]|"
     r"without (?:a |any )?doubt|no doubt|absolutely|i am (?:sure|confident))\b|"
     r"几乎(?:可以)?(?:肯定|确定)|极有可能|极可能|非常(?:可能|确定|肯定)|肯定|一定是|毫无疑问|无疑|确定无疑|必定"),
    (0.75,
        r"\bprobabl[ye]\b|\blikely\b|\bi (?:believe|think|expect|suspect)\b|\bpresumabl[ye]\b|"
        r"很可能|大概率|大概|多半|应该是|我认为|我觉得|考虑为?"),
    (0.4, r"\bpossibl[ye]\b|\bperhaps\b|\bmaybe\b|\b(?:may|might|could) be\b|(?<![很极不])可能(?!性)|或许|也许|兴许"),
)  # fmt: skip
_STEPS = [(p, re.compile(words, re.IGNORECASE)) for p, words in SCALE]
# "The most likely diagnosis is X" ranks answers and says nothing of how sure it is.
_RANKS = re.compile(
    r"\b(?:most|more|least|less|likeliest|single most) (?:likely|probable)\b|最(?:有)?可能|更可能|可能性最大",
    re.IGNORECASE,
)


def stated_confidences(answer: str) -> list[float]:
    """Every probability that a plain visible answer states of itself: figures, where there are any, else words."""
    text = _RANKS.sub(" ", without_quotes(answer))
    figures = [min(1.0, figure_of(match)) for match in _PERCENT.finditer(text) if not denied(text, match.start())]
    if figures:
        return figures
    found = []
    for sentence in sentences(text):
        left = sentence.text[: sentence.condition]
        for p, words in _STEPS:
            places = list(words.finditer(left))
            found += [p for m in places if p <= 0.5 or not denied(left, m.start())]
            left = words.sub(lambda m: " " * len(m[0]), left)
    return found


@dataclass(frozen=True)
class Confidence(Reward):
    """1 - (p - right)^2, where p is the confidence that the answer states and `correct` says whether it is right; for
    a p below chance no more than for chance.

    Several confidences count as the worst of them. None where `correct` has no number. Parts: `NAME_stated`, which is p.
    """

    type_name: ClassVar[str] = "confidence"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    correct: Reward
    """What says whether the answer is right, from 0.5 on and not in part, as half a list is; mostly `verified`. It reads the
    answer without the figure of its confidence: "Gout" of "Gout, 80% sure"."""
    unstated: float = 0.93
    """How sure an answer counts as that states no confidence, 0 to 1. A flat statement reads as almost certain."""
    chance: float = 0.5
    """How often a guess is right on problems that are neither yes or no (0.5) nor a choice (1 over the options), 0 to 1. A
    confidence below chance earns no more than chance itself, else a wrong answer on purpose, 0 % sure, would earn 1. At 0
    the score is proper everywhere and open to that; typical 0.3 to 0.5. House rule."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `confidence`."""

    def __post_init__(self) -> None:
        faults = []
        for knob, value in (("unstated", self.unstated), ("chance", self.chance)):
            bad = not_finite(**{knob: value})
            if not bad and not 0 <= value <= 1:
                bad.append(f"`{knob}` is {value}; it is a probability, from 0 to 1")
            faults += bad
        settle(self, "confidence", not_a(Reward, correct=self.correct) + faults)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        judged = await self.correct.score([_without_confidence(group) for group in groups], context)
        return [
            [self._one(*pair, self._chance(group.problem)) for pair in zip(group.rollouts, row, strict=True)]
            for group, row in zip(groups, judged, strict=True)
        ]

    def _chance(self, problem: Problem) -> float:
        if problem.reference and answer_type(problem) == "yes_no":
            return 0.5
        return 1 / len(problem.options) if len(problem.options) > 1 else float(self.chance)

    def _one(self, response: Response, judged: Score, chance: float) -> Score:
        if judged.value is None:
            return Score(None, judged.status, judged.parts, judged.reason)
        right = float(self.correct.says_right(judged, OPEN))
        stated = stated_confidences(visible(response)) or [self.unstated]
        p = max(stated, key=lambda one: (one - right) ** 2)
        value = 1.0 - (p - right) ** 2
        if p < chance:
            value = min(value, 1.0 - (chance - right) ** 2)
        reason = f"{p:g} sure and {'right' if right else 'wrong'}"
        parts = {**judged.parts, self.name: Part(value, reason=reason), f"{self.name}_stated": Part(p)}
        return Score(value, parts=parts, reason=reason)


def _without_confidence(group: Group) -> Group:
    rollouts = tuple(without_confidence(one, str(group.problem.reference)) for one in group.rollouts)
    return group if rollouts == group.rollouts else replace(group, rollouts=rollouts)
