"""Duplicates in a file of problems, and the text that it shares with evaluation sets.

An evaluation problem counts as seen where any 64 characters in a row are shared with it, the rule of Med-PaLM 2 that
HuatuoGPT-o1 filters its problems by, or where a shorter question is equal as a whole. Texts are compared as runs of
letters and digits with single blanks between them, without case and width.

Time grows linearly with the texts. Of the evaluation sets every run of 64 characters is held as one number (about 100
bytes each), at most `HELD` at a time; beyond that the problems are read once more for each further `HELD`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medrl.construct.problem_flaws import Flaw, shown, stem
from medrl.types import Problem
from medrl.verifiers.normalise import normal
from medrl.verifiers.protocol import digest

RUN = 64  # characters
HELD = 4_000_000  # runs of evaluation sets held at a time
SKETCH = 12  # runs by which a near duplicate is looked for: those with the smallest hashes
CROWD = 20  # a run that more problems have than so many finds no near duplicate: it is a phrase
SAMPLE = 400  # problems among which phrases are counted
CONTAINED = 0.5  # share of a problem's runs that stand in evaluation problems from which it counts as contained
NEAR = 0.5  # share of the longer text's runs that near duplicates have in common
_BASE, _MODULUS = 1_000_003, (1 << 61) - 1
_TOP = pow(_BASE, RUN - 1, _MODULUS)


@dataclass(frozen=True)
class Passage:
    """The comparable text of one problem."""

    id: str
    text: str


def passage(problem: Problem) -> Passage:
    """The question of a problem, options left out, as it is compared."""
    return Passage(problem.id, plain(stem(problem)))


def plain(text: str) -> str:
    """Letters and digits, without case and width, with single blanks between words."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def runs(text: str) -> Iterator[int]:
    """A number for each run of 64 characters, in their order: a rolling hash of 61 bits, equal in every process."""
    if len(text) < RUN:
        return
    value = 0
    for letter in text[:RUN]:
        value = (value * _BASE + ord(letter)) % _MODULUS
    yield value
    for old, new in zip(text, text[RUN:], strict=False):
        value = ((value - ord(old) * _TOP) * _BASE + ord(new)) % _MODULUS
        yield value


def overlaps(problems: Sequence[Problem], against: Sequence[Problem]) -> dict[int, list[Flaw]]:
    """The problems (by place) that share 64 characters, or a whole short question, with one of `against`.

    Examiners' phrases alone may be so long; where half of a problem's text is shared, that is told too.
    """
    seen, held_out = [passage(one) for one in problems], [passage(one) for one in against]
    whole = {one.text: one for one in reversed(held_out) if one.text}
    found: dict[int, tuple[str, str]] = {}
    hits: dict[int, set[int]] = {}
    for part in _parts(held_out):
        index = {value: number for number in reversed(part) for value in runs(held_out[number].text)}
        for place, one in enumerate(seen):
            for start, value in enumerate(runs(one.text)):
                other = index.get(value)
                if other is None:
                    continue
                if place not in found and (words := _shared(one.text, start, held_out[other].text)):
                    found[place] = (words, held_out[other].id)
                hits.setdefault(place, set()).add(start)
    result: dict[int, list[Flaw]] = {}
    for place, one in enumerate(seen):
        equal = whole.get(one.text)
        words, other_id = (one.text, equal.id) if equal else found.get(place, ("", ""))
        if words:
            result[place] = [Flaw("overlap", shown(words), other_id)]
            share = 1.0 if equal else len(hits[place]) / (len(one.text) - RUN + 1)
            if share >= CONTAINED:
                result[place].append(Flaw("contained", f"{share:.0%} of it, with {shown(words)}", other_id))
    return result


class HeldOut:
    """Evaluation problems with which rows of a stream are compared one by one; about 100 bytes of memory a character."""

    def __init__(self, against: Sequence[Problem]) -> None:
        self._passages = [passage(one) for one in against]
        self._whole = {one.text: one for one in reversed(self._passages) if one.text}
        places = reversed(range(len(self._passages)))
        self._index = {value: number for number in places for value in runs(self._passages[number].text)}

    @property
    def digest(self) -> str:
        """16 hex digits of their texts."""
        return digest(sorted(one.text for one in self._passages))

    def shared(self, problem: Problem) -> tuple[str, str]:
        """The words that a problem shares with an evaluation problem, and the latter's id; empty where it shares none."""
        text = passage(problem).text
        if equal := self._whole.get(text):
            return text, equal.id
        for start, value in enumerate(runs(text)):
            other = self._index.get(value)
            if other is not None and (words := _shared(text, start, self._passages[other].text)):
                return words, self._passages[other].id
        return "", ""


def _parts(passages: Sequence[Passage]) -> Iterator[list[int]]:
    """The places of passages in portions of at most HELD runs."""
    part: list[int] = []
    size = 0
    for number, one in enumerate(passages):
        if part and size + len(one.text) > HELD:
            yield part
            part, size = [], 0
        part.append(number)
        size += len(one.text)
    yield part


def _shared(text: str, start: int, other: str) -> str:
    """The longest common run that begins at `start`, or "" where equal hashes deceived."""
    at = other.find(text[start : start + RUN])
    if at < 0:
        return ""
    length = RUN
    while text[start + length : start + length + 1] and text[start : start + length + 1] == other[at : at + length + 1]:
        length += 1
    return text[start : start + length]


def answer_key(problem: Problem) -> str:
    """What a problem's reference says, for a choice the text of the option, so that reordered options are equal."""
    reference = problem.reference or ""
    return normal(problem.options.get(reference, reference)) or reference


def question_key(problem: Problem) -> str:
    """What a problem asks: its question with its options in any order."""
    options = sorted(normal(text) for text in problem.options.values())
    return "\x1f".join([plain(stem(problem)), *options])


def repeats(problems: Sequence[Problem]) -> dict[int, list[Flaw]]:
    """Duplicates, near duplicates and contradictions of problems (by place) with others of the same file."""
    found: dict[int, list[Flaw]] = {}
    by_question: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        by_question.setdefault(question_key(problem), []).append(place)
    for places in by_question.values():
        first: dict[str, int] = {}
        for place in places:
            key = answer_key(problems[place])
            original = first.setdefault(key, place)
            if original != place:
                words = shown(stem(problems[place]))
                found.setdefault(place, []).append(Flaw("duplicate", words, problems[original].id))
        if len(first) > 1 and not _aliased([problems[place] for place in first.values()]):
            for place in places:
                key = answer_key(problems[place])
                other = next(at for name, at in first.items() if name != key)
                words = f"{said(problems[place])} here, {said(problems[other])} there"
                found.setdefault(place, []).append(Flaw("contradiction", shown(words), problems[other].id))
    singles = [places[0] for places in by_question.values()]
    for place, flaw in _near(problems, singles):
        found.setdefault(place, []).append(flaw)
    return found


def said(problem: Problem) -> str:
    """The reference in words."""
    reference = problem.reference or ""
    return problem.options.get(reference, reference)


def _aliased(problems: Sequence[Problem]) -> bool:
    """Whether all references are names of one thing, by the problems' own aliases."""
    names = [{answer_key(one), *map(normal, one.aliases)} for one in problems]
    return bool(set.intersection(*names))


def _near(problems: Sequence[Problem], places: Sequence[int]) -> Iterator[tuple[int, Flaw]]:
    """Problems whose text is nearly that of an earlier one with the same reference."""
    texts = {place: passage(problems[place]).text for place in places}
    common = phrases(list(texts.values()))
    sketches = {place: sorted(set(runs(text)) - common)[:SKETCH] for place, text in texts.items()}
    owners: dict[int, list[int]] = {}
    for place in sorted(places):
        for value in sketches[place]:
            owners.setdefault(value, []).append(place)
    for place in sorted(places):
        earlier = {at for value in sketches[place] if len(owners[value]) <= CROWD for at in owners[value] if at < place}
        key = answer_key(problems[place])
        for at in sorted(earlier):
            if answer_key(problems[at]) == key and _alike(texts[place], texts[at], common) >= NEAR:
                yield place, Flaw("near_duplicate", shown(stem(problems[place])), problems[at].id)
                break


def phrases(texts: Sequence[str]) -> frozenset[int]:
    """The runs that more than CROWD of a sample of the texts have: instructions and examiners' phrases."""
    counts = Counter(value for text in texts[:: max(1, len(texts) // SAMPLE)] for value in set(runs(text)))
    return frozenset(value for value, count in counts.items() if count > CROWD)


def _alike(one: str, other: str, common: frozenset[int]) -> float:
    """The share of the longer text's runs, phrases left out, that the other has too."""
    here, there = set(runs(one)) - common, set(runs(other)) - common
    return len(here & there) / max(len(here), len(there), 1)
