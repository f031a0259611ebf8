"""The reference of a problem as answers are held against it: its names, where a text mentions them, and glosses of them."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.concepts import NOTHING, Vocabulary
from medrl.verifiers.indexing import loose_key
from medrl.verifiers.normalise import compact, normal, tokens
from medrl.verifiers.opposites import equivalent
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.scripts import has_han, without_gaps
from medrl.verifiers.wording import AFTER_NEGATION, BEFORE_NEGATION, LIST, OR, PARENS, peel


class Wanted(NamedTuple):
    """The reference of a problem as answers are held against it.

    Attributes:
        terms: It and its other names; "X (Y)" also counts as X where Y abbreviates it, and each of "X, Y or Z" counts.
        names: Each by its `compact`.
        words: Each in its `tokens`.
        loose: Each in a loose form (`loose_key`), where it has one.
        listed: Whether it is itself a list or a choice.
    """

    terms: tuple[str, ...]
    names: Mapping[str, str]
    words: tuple[list[str], ...]
    loose: frozenset[str]
    listed: bool

    def says(self, text: str, known: Vocabulary | None) -> bool:
        """Whether a text is one of the terms but for words for one pole, or an order of words that does not matter.

        Two names that the vocabulary has for two things are two, however little parts them: 结节硬化型, 结节性硬化.
        """
        words = tokens(text)
        if any(equivalent(words, term) for term in self.words):
            return True
        if not self.loose or loose_key(words) not in self.loose or not any(_one_head(words, one) for one in self.words):
            return False
        ours = [known.named(term, name) for term, name in zip(self.words, self.terms, strict=True)] if known else []
        theirs = known.named(words, text) if known else NOTHING
        return not theirs or not any(ours) or any(theirs & one for one in ours)


def _one_head(words: Sequence[str], term: Sequence[str]) -> bool:
    """Whether two orders of the same words leave one the head: "X of Y" and "Y X", a number that may stand anywhere.

    "Weight gain causes hypothyroidism" has another one than "hypothyroidism causes weight gain".
    """
    if any(word > "\u3400" for word in words) or ("of" in words) != ("of" in term):
        return True
    if [*words[1:], *words[:1]] == [*term]:
        return True  # "carcinoma, basal cell"
    return _head(words) == _head(term)


def _head(words: Sequence[str]) -> str:
    named = [word for word in words if len(word) > 1 and not word[0].isdigit() and word != "type"]
    return named[-1] if named else ""


@lru_cache(maxsize=4096)
def wanted_of(reference: str, aliases: tuple[str, ...]) -> Wanted:
    """A reference and its other names, read once for all answers to a problem."""
    terms = _terms(reference, aliases)
    names = {key: term for term in terms if (key := compact(term))}
    words = tuple(map(tokens, terms))
    loose = frozenset(key for term in words if (key := loose_key(term)) and "," not in reference)
    return Wanted(terms, names, words, loose, any(LIST.search(name) for name in names.values()))


def _terms(reference: str, aliases: tuple[str, ...]) -> tuple[str, ...]:
    choices = [peel(part) for part in LIST.split(reference)] if OR.search(reference) and len(reference) < 120 else []
    if len(choices) > 1 and all(len(choice) > 2 for choice in choices):
        return tuple(dict.fromkeys((reference, *choices, *aliases)))
    inside = PARENS.findall(reference)
    if not inside:
        return tuple(dict.fromkeys((reference, *aliases)))
    outside = PARENS.sub("", reference).strip()
    others = [match for one in inside if (match := _ALTERNATIVE.fullmatch(one))]
    if outside and len(inside) == len(others) == 1 and not LIST.search(outside):
        alternatives = [peel(part) for part in LIST.split(others[0]["names"])]
        if all(len(one) > 2 or has_han(one) for one in alternatives):
            return tuple(dict.fromkeys((outside, *alternatives, *aliases)))
    more = [outside, *inside] if outside and all(_abbreviates(one, outside) for one in inside) else []
    return tuple(dict.fromkeys((reference, *more, *aliases)))


_ALTERNATIVE = re.compile(
    r"(?:or|alternatives?:?|also (?:acceptable|accepted|correct)?:?|acceptable:|或者?|亦可为?|也可为?|备选[:：]?|"
    r"替代[:：]?) ?(?P<names>.{2,80})",
    re.IGNORECASE,
)


def mentions(text: str, terms: tuple[str, ...]) -> list[tuple[str, str]]:
    """What stands before and after each mention of a term as whole words, normalised, 60 characters a side.

    "|" stands where a clause ends, so that what is denied in one is not in the next: "X excluded; Y".
    """
    clauses = f" {' | '.join(map(normal, _CLAUSES.split(text)))} "
    found: list[tuple[str, str]] = []
    for term in terms:
        whole = f" {normal(text)} " if _CLAUSES.search(term) else clauses
        needle, at = f" {normal(term)} ", -1
        while needle.strip() and len(found) < 64 and (at := whole.find(needle, at + 1)) >= 0:
            found.append(
                (
                    without_gaps(whole[max(0, at - 60) : at]),
                    without_gaps(whole[at + len(needle) : at + len(needle) + 60]),
                )
            )
    return found


_CLAUSES = Pattern(r"[;；。！？!?，\n()（）]|,(?=\s)|\.(?=\s)|(?<=\b[Nn]o):")


def denied(text: str, terms: tuple[str, ...]) -> bool:
    """Whether the terms are mentioned and every mention is negated."""
    found = mentions(text, terms)
    return bool(found) and all(
        (BEFORE_NEGATION.search(before) and not after.startswith("莫属")) or AFTER_NEGATION.match(after.lstrip("| "))
        for before, after in found
    )


def glossed(head: str, names: Mapping[str, str], known: Vocabulary | None) -> Verdict | None:
    """Of "X (Y)", where one of the two is the reference and the other only says it again: right."""
    found = PARENS.findall(head) if "(" in head or "（" in head else []
    if len(found) > 1:
        return None
    if not found:
        core = compact(head)
        return Verdict.right(f"it commits to {names[core]!r:.60}") if core in names else None
    outside, inside = peel(PARENS.sub(" ", head)), peel(found[0])
    first, second = compact(outside), compact(inside)
    if first + second in names or second + first in names:
        return Verdict.right(f"it commits to {names.get(first + second) or names[second + first]!r:.60}, in two parts")
    one, other = (known.ids(outside), known.ids(inside)) if known else (frozenset[int](), frozenset[int]())
    if one and other and one.isdisjoint(other):
        return None
    # Of a name that is known its translation is known too; what stands there else may say anything ("(excluded)").
    translated = bool(one & other) if one else _translates(inside, outside)
    if first in names and (second in names or _abbreviates(inside, outside) or translated):
        return Verdict.right(f"it commits to {names[first]!r:.60}, with another name for it")
    if second in names and (_abbreviates(outside, inside) or first in names):
        return Verdict.right(f"it commits to {names[second]!r:.60}, with another name for it")
    if known and first in names and known.find(outside) is not None and known.find(outside) == known.find(inside):
        return Verdict.right(f"it commits to {names[first]!r:.60}, with another name for it")
    return None


def _abbreviates(short: str, long: str) -> bool:
    """Whether `short` is made of the initials of `long` in order: SLE, DVT, T1DM."""
    letters = _NO_LETTER.sub("", short)
    if not 2 <= len(letters) <= 8 or sum(c.isupper() or c.isdigit() for c in letters) < 2:
        return False
    words = [w for w in _WORD.findall(long) if w.lower() not in ("of", "the", "and", "in")]
    return letters.casefold() == "".join(w[0] for w in words).casefold()


_NO_LETTER, _WORD = re.compile("[^A-Za-z0-9]"), re.compile(r"[A-Za-z]+|\d+")


def _translates(inside: str, outside: str) -> bool:
    """Whether the one is Chinese and the other Latin, without a digit or a negation: a gloss, not a detail."""
    return has_han(inside) != has_han(outside) and not _DETAIL.search(inside)


_DETAIL = re.compile(
    r"\d|\b(?:not?|or|type|stage|grade|left|right|exclu\w+|unlikely|negative|denied|differential|ddx|history|past|"
    r"alternative|wrong|old|mother|family)\b|[或非不型期级左右疑无未否误错史母父]|可能|排除|除外|阴性|鉴别",
    re.IGNORECASE,
)
