"""Citations of given passages: whether what an answer cites exists, says so, and is quoted as it stands.

The passages are `metadata["passages"]`, a list of texts, or of {id, text}; a text without an id is cited by its number, from
1 on. An answer cites as [1], [1, 3], [2-4] or 【1】, at the end of the sentence that the passage is to support.

Support is overlap, not entailment: most content words of the sentence stand in the passage, so do all its figures, and no
clause of it denies what the clause of the passage that is nearest to it affirms, or affirms what that denies. It turns
away a free paraphrase and lets a reversal in other words pass ("worsens" for "relieves"), so it belongs behind a reward
that says whether the answer is right. The costs are counted and never shared out: no further citation, however good, makes
up for a bad one, and none is worth more than the first. So neither padding with citations nor padding with copies of the
passages pays.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

from medrl.rewards.prose import sentences, spelt
from medrl.rewards.textual import Signal, share, whole, words
from medrl.rewards.tree import number, settle
from medrl.types import Problem, Response, Score
from medrl.verifiers.extract import Sections
from medrl.verifiers.opposites import NEGATIONS

CLAIM = 3  # content words (pairs of characters) from which on a sentence claims enough for its citation to be good
QUOTE = 5  # words from which on a quoted span is a quotation rather than a term in quotes
CLAUSES = 40  # clauses of one sentence that are held against a passage
RANGE = 20  # passages that one range, as [1-20], may span
_MARK = re.compile(r"[\[【［]\s{0,3}([^\[\]【】［］\n]{1,60}?)\s{0,3}[\]】］](?!\()")
_LOOSE = re.compile(r"([.。！？!?])((?:[\"'”’」』]|[ \t]{0,2}\n?[\[【［][^\[\]【】［］\n]{1,60}[\]】］](?!\())+)")
_SPAN = re.compile(r"(\d{1,4})\s?[-–—~]\s?(\d{1,4})")
_ORDINAL = re.compile(r"\d{1,9}$")
_YEAR = re.compile(r"\b(?:19|20)\d\d[a-z]?$")  # "Smith et al., 2019"
_QUOTE = re.compile(r"“([^“”\n]{1,400})”|\"([^\"\n]{1,400})\"|「([^「」\n]{1,400})」|『([^『』\n]{1,400})』")
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[a-zà-ÿ]{2,}|[\u3400-\u9fff]+")
_STOP = frozenset(
    "the an is are was were be been being am do does did has have had will would should shall must may might can could of to "
    "for with by from at on in into as if when while because since although though however therefore thus but and or nor not "
    "no than then that this these those it its they their them he she his her him you your we our us my me which who what "
    "where why how there here also only very more most such any some each every all both per so about according passage "
    "source study states stated says said".split()
)


_CLAUSE = re.compile(
    r"[,，;；:：。.!?！？\n]\s|[，；：。！？\n]|\b(?:but|although|though|whereas|while|except)\b|但是?|不过|而(?!且)"
)
_NEGATED = re.compile(
    rf"\b(?:{'|'.join(sorted(one for one in NEGATIONS if one.isascii()))}|cannot|rarely|hardly|contraindicated)\b|n't\b"
    r"|[不未无没非勿禁]"
)
_UNNEGATED = re.compile(r"\bnot only\b|\bno(?:t)? (?:less|more|later) than\b|不仅|不但|不超过|不少于|无论|不管|非常")


class Cited(NamedTuple):
    """What the citations of an answer come to.

    Attributes:
        good: Citations of a passage that exists and supports their sentence, which makes a claim; one a sentence and passage.
        unknown: Citations of what was not given.
        unsupported: Citations of a passage that does not support their sentence.
        misquoted: Quoted spans that do not stand in what their sentence cites; where it cites nothing, in no passage and not
            in the question either.
        uncited: Words in sentences without a good citation.
    """

    good: int
    unknown: int
    unsupported: int
    misquoted: int
    uncited: int


@dataclass(frozen=True)
class Citation(Signal):
    """1.0 for an answer whose citations hold, less for each that does not and for each claim without one.

    value = max(0, 1 - cost * (unknown + unsupported + misquoted) - uncited_cost * max(0, uncited - uncited_free) / 20)
    where at least one citation is good, else 0; uncited and uncited_free are words. Values in [0, 1];
    0 without a visible answer. Abstains where the problem gives no passages; `invalid` where they cannot be read.
    """

    type_name: ClassVar[str] = "citation"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    cost: float = 0.34
    """What each citation that is unknown, unsupported or misquoted costs; from 1/3 on three leave nothing."""
    support: float = 0.5
    """Share of a sentence's content words (pairs of characters in Chinese) that a cited passage must hold; 0.4 to 0.7."""
    uncited_free: int = 40
    """Words (Chinese characters) without a good citation that cost nothing: an opening, advice, a conclusion."""
    uncited_cost: float = 0.1
    """What each further 20 words without a good citation cost."""

    def __post_init__(self) -> None:
        faults = self.format_faults() + share(cost=self.cost, uncited_cost=self.uncited_cost)
        faults += share(0.01, 1.0, support=self.support)
        settle(self, self.type_name, faults + whole(0, uncited_free=self.uncited_free))

    def unasked(self, problem: Problem) -> Score | None:
        given = problem.metadata.get("passages")
        if not given:
            return self.abstains("the problem gives no passages")
        try:
            passages(given)
        except ValueError as error:
            return Score(None, "invalid", reason=f"{self.name}: metadata['passages']: {error}")
        return None

    def measure(self, problem: Problem, response: Response, parts: Sections) -> Score:
        found = cited(parts.answer, passages(problem.metadata["passages"]), self.support, problem.question)
        bad = found.unknown + found.unsupported + found.misquoted
        value = 1.0 - self.cost * bad - self.uncited_cost * max(0, found.uncited - self.uncited_free) / 20
        reason = ", ".join(f"{count} {name}" for name, count in found._asdict().items() if count) or "nothing is cited"
        return number(max(0.0, value) if found.good else 0.0, self.name, reason=reason)


class Source(NamedTuple):
    """A passage as claims are held against it."""

    content: frozenset[str]
    figures: frozenset[str]
    compact: str
    clauses: tuple[tuple[frozenset[str], bool], ...]


def passages(given: object) -> dict[str, Source]:
    """The passages of a problem by the id that an answer cites.

    Raises:
        ValueError: They are no list of texts or of {id, text}, or two have one id.
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError("it must be a list of texts, or of {id, text}")
    found: dict[str, str] = {}
    for i, one in enumerate(given, 1):
        text = one.get("text") if isinstance(one, Mapping) else one
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"passage {i} has no text")
        label = spelt(str(one.get("id", i) if isinstance(one, Mapping) else i)).strip()
        if label in found:
            raise ValueError(f"two passages have the id {label!r}")
        found[label] = text
    return {label: _source(text) for label, text in found.items()}


@lru_cache(maxsize=256)
def _source(text: str) -> Source:
    """One passage; remembered, for every rollout of a group is held against the same ones."""
    plain = spelt(text)
    return Source(frozenset(_content(plain)), frozenset(_figures(plain)), _compact(plain), _clauses(plain))


def cited(answer: str, given: Mapping[str, Source], support: float, question: str = "") -> Cited:
    """Hold every citation and quotation of an answer against the passages that were given."""
    anywhere = [_compact(spelt(question)), *(source.compact for source in given.values())]
    good = unknown = unsupported = misquoted = uncited = 0
    # A citation after a full stop belongs to the sentence before it.
    for sentence in dict.fromkeys(sentences(_LOOSE.sub(lambda m: f" {' '.join(m[2].split())}{m[1]}", answer))):
        plain = spelt(sentence)
        labels = list(dict.fromkeys(label for mark in _MARK.findall(plain) for label in _labels(mark, given)))
        claim = _MARK.sub(" ", plain)
        known = [label for label in labels if label in given]
        content, figures = set(_content(claim)), set(_figures(claim))
        # Long quotations are compared word for word.
        clauses = _clauses(_QUOTE.sub(_unquoted, claim)) if known else ()
        held = [
            label
            for label in known
            if _supports(given[label], content, figures, support) and not _denies(given[label], clauses)
        ]
        good += len(held) if len(content) >= CLAIM else 0
        unknown += len(labels) - len(known)
        unsupported += len(known) - len(held) if content else 0  # a list of sources at the end claims nothing
        quotes = {_compact(quote) for match in _QUOTE.findall(claim) for quote in match if words(quote) >= QUOTE}
        texts = [given[label].compact for label in known] if labels else anywhere
        misquoted += sum(not any(quote in text for text in texts) for quote in quotes)
        uncited += 0 if held else words(claim)
    return Cited(good, unknown, unsupported, misquoted, uncited)


def _labels(mark: str, given: Mapping[str, Source]) -> list[str]:
    """What a mark cites; [] where it is no citation ("[sic]", "[Na+]")."""
    if mark.strip() in given:
        return [mark.strip()]
    found: list[str] = []
    shapes = {_ORDINAL.sub("", label) for label in given}
    for part in re.split(r"[,，;；、]", mark):
        part = part.strip().lstrip("^#")
        between = _SPAN.fullmatch(part)
        alike = part[-1:].isdecimal() and _ORDINAL.sub("", part) in shapes  # "doc7" where "doc1" was given
        if part in given or part.isdecimal() or alike or _YEAR.search(part):
            found.append(part)
        elif between and 0 < int(between[2]) - int(between[1]) < RANGE:
            found += map(str, range(int(between[1]), int(between[2]) + 1))
        elif between:
            found.append(part)  # a range that spans too much, or nothing: unknown
    return found


def _supports(source: Source, content: set[str], figures: set[str], support: float) -> bool:
    """Whether a passage holds enough of a claim's content words, and all of its figures."""
    return bool(content) and len(content & source.content) >= support * len(content) and figures <= source.figures


def _unquoted(match: re.Match[str]) -> str:
    return " " if words(match[0]) >= QUOTE else match[0]


def _clauses(plain: str) -> tuple[tuple[frozenset[str], bool], ...]:
    """The content words of each clause, and whether it is negated."""
    found = ((frozenset(_content(one)), one) for one in _CLAUSE.split(plain))
    return tuple((words, bool(_NEGATED.search(_UNNEGATED.sub(" ", one)))) for words, one in found if words)


def _denies(source: Source, claim: Sequence[tuple[frozenset[str], bool]]) -> bool:
    """Whether a clause of the claim is negated and each clause of the passage that is nearest to it is not, or so turned."""
    for content, negated in claim[:CLAUSES]:
        shared = [(len(content & theirs), other) for theirs, other in source.clauses]
        most = max((count for count, _ in shared), default=0)
        if most >= 2 and all(other != negated for count, other in shared if count == most):
            return True
    return False


def _content(plain: str) -> list[str]:
    """Content words of a text as `spelt` writes it: words without a plural's s, and pairs of Chinese characters."""
    found: list[str] = []
    for word in _WORD.findall(plain):
        if word[0] >= "\u3400":
            found += [word[i : i + 2] for i in range(len(word) - 1)] if len(word) > 1 else []
        elif word not in _STOP:
            found.append(word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word)
    return found


def _figures(plain: str) -> list[str]:
    """The numbers of a text, 7.50 as 7.5 and 1,000 as 1000."""
    found = [figure.replace(",", "") for figure in _FIGURE.findall(plain)]
    return [figure.rstrip("0").rstrip(".") if "." in figure else figure.lstrip("0") or "0" for figure in found]


def _compact(plain: str) -> str:
    """Letters and digits alone: how quotations are compared."""
    return "".join(filter(str.isalnum, plain))
