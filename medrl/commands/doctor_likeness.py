"""How doctor-like the replies of a file are, by who wrote them, with length held fast (`medrl doctor-likeness`).

Doctors write short and assistants write long, so an AUC over all replies may measure length alone. The report therefore
gives the AUC of brevity beside it, the AUC among replies of nearly equal length, and the rank correlation of score and
length within doctors and within assistants.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from medrl import __version__
from medrl.data.clinic.dialogues import WITHIN, generate_matched, generate_replies
from medrl.data.replies import LabelledReply
from medrl.errors import DataError
from medrl.rewards import DoctorLikeness
from medrl.rewards.consultation_words import DISCLAIMER, LIST_LINE
from medrl.rewards.doctor_features import FEATURES
from medrl.rewards.doctor_model import load
from medrl.rewards.logistic import auc
from medrl.types import Group, Response, Score

CLINIC = 300  # consultations of the clinic's own held-out replies


@dataclass(frozen=True)
class Measured:
    """The flat object that `--json` writes, and the scores that it was computed from."""

    report: dict[str, Any]
    replies: tuple[LabelledReply, ...]
    scores: tuple[Score, ...]


def clinic_replies(count: int = CLINIC, seed: int = 0) -> list[LabelledReply]:
    """The clinic's held-out replies: of as many consultations as matched pairs."""
    return [
        *generate_replies(split="held_out", count=count, seed=seed),
        *generate_matched(split="held_out", count=count, seed=seed),
    ]


def measure(reward: DoctorLikeness, replies: Sequence[LabelledReply]) -> Measured:
    """Score replies and compare the sources.

    Raises:
        DataError: There are no replies.
    """
    if not replies:
        raise DataError("there are no replies to measure")
    groups = [Group(one.problem, (Response(one.text),)) for one in replies]
    scores = tuple(row[0] for row in reward.score_sync(groups))
    values = [likeness(reward, score) for score in scores]
    known = [(one, value) for one, value in zip(replies, values, strict=True) if value is not None]
    labelled = [(one, value) for one, value in known if one.doctor is not None]
    free = [(one, value) for one, value in labelled if not one.pair]
    matched = length_matched(labelled)
    sources = sorted({one.source for one in replies})
    report: dict[str, Any] = {
        "replies": len(replies),
        "unscored": len(replies) - len(known),
        "auc": _auc(free or labelled),
        "auc_length_matched": _auc(matched),
        "length_matched_pairs": len(matched) // 2,
        "auc_of_brevity": _auc([(one, -float(one.length)) for one, _ in free or labelled]),
        "length_correlation_doctor": rank_correlation([(one.length, v) for one, v in labelled if one.doctor]),
        "length_correlation_assistant": rank_correlation([(one.length, v) for one, v in labelled if not one.doctor]),
        "by_source": {source: _of_source(reward, source, replies, scores) for source in sources},
        "model": load(reward.model).fingerprint,
        "vocabulary": reward.vocabulary,
        "medrl_version": __version__,
    }  # fmt: skip
    return Measured(report, tuple(replies), scores)


def likeness(reward: DoctorLikeness, score: Score) -> float | None:
    """p(doctor) of a reply, before gate and veto; None where there is no number."""
    verdict = score.parts[reward.name].verdict if reward.name in score.parts else None
    if score.value is None or verdict is None:
        return None
    return verdict.parts.get("probability", 0.0)


def length_matched(scored: Sequence[tuple[LabelledReply, float]]) -> list[tuple[LabelledReply, float]]:
    """Doctors' and assistants' replies two by two, their lengths within a tenth of each other, each used once.

    Pairs that were made so are taken as they are; where there are none, the nearest lengths of one language are matched.
    """
    pairs: dict[str, list[tuple[LabelledReply, float]]] = {}
    for one, value in scored:
        if one.pair:
            pairs.setdefault(one.pair, []).append((one, value))
    made = [
        each for pair in pairs.values() if len(pair) == 2 and pair[0][0].doctor != pair[1][0].doctor for each in pair
    ]
    if made:
        return made
    found: list[tuple[LabelledReply, float]] = []
    for language in sorted({one.problem.language for one, _ in scored}):
        sides: list[list[tuple[LabelledReply, float]]] = [
            sorted(
                (x for x in scored if x[0].problem.language == language and x[0].doctor is doctor),
                key=lambda x: x[0].length,
            )
            for doctor in (True, False)
        ]
        i = j = 0
        while i < len(sides[0]) and j < len(sides[1]):
            left, right = sides[0][i][0].length, sides[1][j][0].length
            if abs(left - right) <= WITHIN * max(left, right):
                found += [sides[0][i], sides[1][j]]
                i, j = i + 1, j + 1
            elif left < right:
                i += 1
            else:
                j += 1
    return found  # fmt: skip


def _auc(scored: Sequence[tuple[LabelledReply, float]]) -> float | None:
    return auc([value for _, value in scored], [bool(one.doctor) for one, _ in scored])


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rho, ties at their mean rank; None where a side does not vary."""
    if len(pairs) < 3:
        return None
    left, right = (_ranks([pair[side] for pair in pairs]) for side in (0, 1))
    a, b = fmean(left), fmean(right)
    spread = math.sqrt(sum((x - a) ** 2 for x in left) * sum((y - b) ** 2 for y in right))
    if not spread:
        return None
    return sum((x - a) * (y - b) for x, y in zip(left, right, strict=True)) / spread


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            ranks[i] = (start + end - 1) / 2
        start = end
    return ranks


def _of_source(
    reward: DoctorLikeness, source: str, replies: Sequence[LabelledReply], scores: Sequence[Score]
) -> dict[str, Any]:
    """What replies of one source are like, whatever their scores; and their features and scores where they have one."""
    own = [(one, score) for one, score in zip(replies, scores, strict=True) if one.source == source]
    verdicts = [v for _, s in own if (v := s.parts[reward.name].verdict) is not None and "probability" in v.parts]
    values = [score.value for _, score in own if score.value is not None]
    texts = [one.text for one, _ in own]
    return {
        "n": len(own),
        "median_chars": median(map(len, texts)),
        "lists": _share([any(LIST_LINE.match(line) for line in text.split("\n")) for text in texts]),
        "disclaimers": _share([bool(DISCLAIMER.search(text)) for text in texts]),
        "question_marks": _share(["?" in text or "？" in text for text in texts]),
        "reward": fmean(values) if values else None,
        "probability": fmean(v.parts["probability"] for v in verdicts) if verdicts else None,
        "vetoed": _share([bool(v.parts.get("veto")) for v in verdicts]),
        "no_content": _share([not v.parts["content"] for v in verdicts]),
        "features": {name: fmean(v.parts[name] for v in verdicts) if verdicts else None for name in FEATURES},
    }


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
