"""Where a text names drugs: the clinic's table, medrl's vocabulary beyond it, and names that nothing lists.

A name that is not in the clinic's table is a drug all the same, about which nothing is known here. Names that no list has
are told by their stems and by what stands around them (`unlisted`).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from medrl.data.clinic.concepts import Drug
from medrl.data.clinic.world import load_world
from medrl.rewards.safety.reading import plainly
from medrl.rewards.safety.unlisted import unlisted
from medrl.verifiers.vocabularies import MEDRL, concepts_of

# What care gives beside drugs; a house list.
_SUPPORT = frozenset(
    "oxygen water fluid fluids saline glucose sugar salt food milk air alcohol "
    "caffeine rest ice blood placebo drug drugs "
    "medicine medicines medication medications antidote antidotes 氧 氧气 水 "
    "盐水 生理盐水 葡萄糖 糖 药 药物 牛奶 血液 酒精".split()
)
_PREFIX = 3


class Named(NamedTuple):
    """Where a text names a drug, and the clinic's row of it; None for one that the table does not have."""

    start: int
    end: int
    name: str
    drug: Drug | None


class _Index(NamedTuple):
    forms: Mapping[str, Drug | None]
    others: frozenset[str]  # names of the clinic's tests, treatments, diseases and findings, which may hold a drug's
    lengths: Mapping[str, tuple[int, ...]]  # first letters to the lengths of the forms that begin so, longest first


@lru_cache(maxsize=1)
def _index() -> _Index:
    world = load_world()
    forms: dict[str, Drug | None] = {}
    for drug in world.drugs.values():
        for form in (*drug.forms("en"), *drug.forms("zh")):
            forms[_spelt(form)] = drug
    for concept in concepts_of(MEDRL):
        if concept.kind not in ("drug", "drug_class"):
            continue
        names = [_spelt(name) for name in (*concept.names, *concept.abbreviations)]
        rows = {forms[name].id: forms[name] for name in names if forms.get(name)}  # type: ignore[union-attr]
        drug_here = next(iter(rows.values())) if len(rows) == 1 and concept.kind == "drug" else None
        for name in names:
            if (len(name) > 3 or (len(name) > 1 and not name.isascii())) and name not in _SUPPORT:
                forms.setdefault(name, drug_here)
    for word in _SUPPORT:
        forms.pop(word, None)
    named = [one for kind, one in world.concepts() if not kind.startswith(("drug:", "department:"))]
    every = {_spelt(form) for one in named for form in (*one.forms("en"), *one.forms("zh"))}
    others = frozenset(form for form in every if form not in forms or forms[form] is None)
    forms |= dict.fromkeys(others)
    lengths: dict[str, set[int]] = {}
    for form in forms:
        lengths.setdefault(form[:_PREFIX], set()).add(len(form))
    return _Index(forms, others, {key: tuple(sorted(found, reverse=True)) for key, found in lengths.items()})


def _spelt(text: str) -> str:
    return plainly(text).lower().replace("-", " ").replace("/", " ")


def row_of(name: str) -> Drug | None:
    """The clinic's row of a drug's name, or None."""
    return _index().forms.get(_spelt(name))


def named_drugs(text: str) -> list[Named]:
    """The drugs that a plain text names, in order; of two names at one place the longer."""
    spelt = text.lower()
    if len(spelt) != len(text):  # a letter whose small form is longer
        spelt = text
    spelt = spelt.replace("-", " ").replace("/", " ")
    taken = bytearray(len(text))
    found = _listed(text, spelt, taken)
    for start, end in unlisted(text, taken, [(one.start, one.end) for one in found]):
        name = text[start:end]
        if not any(taken[start:end]) and _spelt(name) not in _SUPPORT:
            found.append(Named(start, end, name, None))
            taken[start:end] = b"\1" * (end - start)
    return sorted(found, key=lambda one: one.start)


def _listed(text: str, spelt: str, taken: bytearray) -> list[Named]:
    """The listed drugs; `taken` gets 1 where any listed name stands, a drug's or not."""
    index, found, at = _index(), [], 0
    while at < len(spelt):
        if not spelt[at].isalnum() or (
            spelt[at].isascii() and at and spelt[at - 1].isascii() and spelt[at - 1].isalnum()
        ):
            at += 1
            continue
        end = _longest(index, spelt, at)
        if end:
            form = spelt[at:end] if spelt[at:end] in index.forms else spelt[at : end - 1]  # without the s of a plural
            taken[at:end] = b"\1" * (end - at)
            if form not in index.others:
                found.append(Named(at, end, text[at:end], index.forms[form]))
        at = end or at + 1
    return found


def _longest(index: _Index, spelt: str, at: int) -> int:
    """Where the longest listed name that begins at `at` ends; 0 where none does."""
    for size in range(_PREFIX, 0, -1):
        for length in index.lengths.get(spelt[at : at + size], ()):
            if (size < _PREFIX) != (length < _PREFIX):
                continue
            end = at + length
            if spelt[at:end] in index.forms:
                plural = end + 1 if spelt[end : end + 1] == "s" and spelt[end - 1].isascii() else end
                after = spelt[plural : plural + 1]
                dosed = after.isdigit() and not spelt[at:end].isascii()  # 阿维A20mg
                if dosed or not (after.isascii() and after.isalnum() and spelt[end - 1].isascii()):
                    return plural
    return 0
