"""Where names of the clinic's concepts stand in a text, in both languages, longest first, in linear time.

English names match at word boundaries (a plural s aside), Chinese ones anywhere. A name of several concepts gives all.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from medrl.data.clinic.lay import lay_forms
from medrl.data.clinic.world import LANGUAGES, World

_WORD = re.compile(r"[a-z0-9]")
_START = re.compile(r"(?<![a-z0-9])[a-z0-9]|[^\x00-\x7f]")  # where a name may begin


@dataclass(frozen=True)
class Mention:
    """A name at [start, end) of the plain text, and the qualified ids of what it may mean."""

    start: int
    end: int
    concepts: tuple[str, ...]

    def of(self, table: str) -> tuple[str, ...]:
        """Those of its meanings that are rows of `table`, without the table's name."""
        return tuple(key.partition(":")[2] for key in self.concepts if key.startswith(f"{table}:"))


def plain(text: str) -> str:
    """A text as it is searched: compatibility forms, lower case, one space for any run of blanks within a line."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return re.sub(r"[^\S\n]+", " ", folded)


@dataclass(frozen=True)
class _Index:
    """Names by their first three characters (names of two by both), each list longest first."""

    names: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]


@lru_cache(maxsize=4)
def _index(world: World) -> _Index:
    meanings: dict[str, dict[str, None]] = {}
    for key, concept in world.concepts():
        forms = [form for language in LANGUAGES for form in (*concept.forms(language), *lay_forms(key, language))]
        for form in forms:
            if len(name := plain(form)) >= 2:
                meanings.setdefault(name, {})[key] = None
    names: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for name, keys in meanings.items():
        names.setdefault(name[:3], []).append((name, tuple(keys)))
    return _Index({head: sorted(found, key=lambda one: -len(one[0])) for head, found in names.items()})


def mentions(world: World, text: str) -> list[Mention]:
    """Every name in `text`, which must be `plain`, from left to right without overlap.

    At each place at most the names with the same first three characters are tried, so time is linear in the text.
    """
    names, found, free = _index(world).names, [], 0
    for place in _START.finditer(text):
        at = place.start()
        if at < free:
            continue
        for name, keys in (*names.get(text[at : at + 3], ()), *names.get(text[at : at + 2], ())):
            if text.startswith(name, at) and (end := _end(text, at + len(name))):
                found.append(Mention(at, end, keys))
                free = end
                break
    return found


def _end(text: str, end: int) -> int:
    """Where a name that was found up to `end` ends, a plural s with it; 0 where it is the beginning of a longer word."""
    if not _WORD.match(text[end - 1]) or not _WORD.match(text[end : end + 1]):
        return end
    return end + 1 if text[end] == "s" and not _WORD.match(text[end + 1 : end + 2]) else 0
