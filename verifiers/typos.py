"""Mend a misspelt name against the vocabulary, and against nothing else.

Letters near to each other decide nothing by themselves: hydroxyzine and hydralazine are near. A name is mended only where
it is unknown, long enough, and near to one concept alone.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.normalise import joined, tokens
from medrl.verifiers.opposites import opposed

_DIGIT = re.compile(r"\d")
_SHORTEST = 6  # letters of a name that may be mended
_MARGIN = 2  # how many edits further off the next concept must be


def repaired(text: str, known: Vocabulary) -> str | None:
    """The name that a whole text misspells, or None where it is known, short, or could be two concepts' name.

    One edit (a letter more, less, other, or two swapped) is allowed up to eight letters, two from nine on. Digits and
    what turns a term round (hypo-, hyper-, left, right) are never edits.
    """
    words = tokens(text)
    name = joined(words)
    if len(words) > 5 or len(name) < _SHORTEST or len(name) > 60 or not name.isascii() or _DIGIT.search(name):
        return None
    if all(word in known.index.words for word in words) or known.ids(text):
        return None
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import extract

    most = 1 if len(name) < 9 else 2
    alike = _by_ends(known).get((name[0], name[-1], len(name)), ())
    closest = extract(name, alike, processor=None, scorer=OSA.distance, score_cutoff=most, limit=1)
    if not closest:
        return None
    near = _about_as_long(known).get(len(name), ())
    furthest = closest[0][1] + _MARGIN - 1  # what is further off than that is no rival
    found = extract(name, near, processor=None, scorer=OSA.distance, score_cutoff=furthest, limit=8)
    best, distance = str(found[0][0]), found[0][1]
    if best[-1] != name[-1] or ("rna" in best) != ("rna" in name):
        return None
    meant = known.ids(best)
    if len(meant) != 1 or any(off < distance + _MARGIN and known.ids(str(one)) != meant for one, off, _ in found):
        return None
    name = known.index.latin[best]
    return None if opposed(words, tokens(name)) else name


def prepare(known: Vocabulary) -> None:
    """Read what the first mending would else wait for."""
    from rapidfuzz import distance, process  # noqa: F401

    _by_ends(known)
    _about_as_long(known)


@lru_cache(maxsize=8)
def _by_ends(known: Vocabulary) -> dict[tuple[str, str, int], Sequence[str]]:
    """Names by their first letter, which is seldom misspelt, their last, and each length that is at most two off.

    Another ending is another word: schizophrenic, schizophrenia.
    """
    alike: dict[tuple[str, str, int], list[str]] = {}
    for name in known.index.latin:
        for length in range(len(name) - 2, len(name) + 3):
            alike.setdefault((name[:1], name[-1:], length), []).append(name)
    return {key: tuple(names) for key, names in alike.items()}


@lru_cache(maxsize=8)
def _about_as_long(known: Vocabulary) -> dict[int, Sequence[str]]:
    """For each length the names near enough to it that edits could make the one of the other."""
    lengths: dict[int, list[str]] = {}
    for name in known.index.latin:
        for length in range(len(name) - 2 - _MARGIN, len(name) + 3 + _MARGIN):
            lengths.setdefault(length, []).append(name)
    return {length: tuple(names) for length, names in lengths.items()}
