"""Which concepts of the clinic may stand against which: near enough to be confused, and surely not the same."""

import re
from dataclasses import dataclass
from functools import lru_cache

from medrl.data.clinic.concepts import Named
from medrl.data.clinic.world import LANGUAGES, World


@lru_cache(maxsize=4)
def concepts_of(world: World) -> dict[str, Named]:
    return dict(world.concepts())


@lru_cache(maxsize=8)
def words_of(world: World, pool: tuple[str, ...], language: str) -> tuple[str, ...]:
    """The words (in Chinese the pairs of characters) of the names that a side may use."""
    names = sorted({form for key in pool for form in concepts_of(world)[key].forms(language)})
    if language == "zh":
        pairs = (name[i : i + 2] for name in names for i in range(0, len(name) - 1, 2))
        return tuple(dict.fromkeys(pair for pair in pairs if re.fullmatch(r"[\u3400-\u9fff]{2}", pair)))
    return tuple(dict.fromkeys(word for name in names for word in name.split() if word.isalpha() and len(word) > 2))


@dataclass(frozen=True)
class _Names:
    """The names of a concept, casefolded, with their words, for comparing many of them."""

    forms: tuple[str, ...]
    words: tuple[frozenset[str], ...]


@lru_cache(maxsize=4)
def _names(world: World) -> dict[str, _Names]:
    found = {}
    for key, concept in world.concepts():
        forms = tuple(form.casefold() for language in LANGUAGES for form in concept.forms(language))
        found[key] = _Names(forms, tuple(frozenset(re.findall(r"\w+", form)) for form in forms))
    return found


def _apart(left: _Names, right: _Names) -> bool:
    """Whether no name of one is within a name of the other, in either language: neither broader nor narrower."""
    if any(a in b or b in a for a in left.forms for b in right.forms):
        return False
    return not any(a <= b or b <= a for a in left.words for b in right.words)


@lru_cache(maxsize=4096)
def others(world: World, pool: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Concepts of the same table that this side may name and that mean neither more nor less than this one."""
    table, names = key.partition(":")[0], _names(world)
    return tuple(k for k in pool if k.startswith(f"{table}:") and k != key and _apart(names[key], names[k]))


@lru_cache(maxsize=4096)
def near(world: World, pool: tuple[str, ...], qualified: str) -> tuple[str, ...]:
    """Those of them that are easily confused: diseases that share findings, drugs of one class."""
    found, (table, _, key) = others(world, pool, qualified), qualified.partition(":")
    if table == "disease":
        ours = set(world.diseases[key].findings)
        return tuple(k for k in found if ours & set(world.diseases[k.partition(":")[2]].findings))
    if table == "drug":
        return tuple(k for k in found if world.drugs[k.partition(":")[2]].class_id == world.drugs[key].class_id)
    return ()


@lru_cache(maxsize=8192)
def spelt_alike(world: World, pool: tuple[str, ...], key: str, language: str, reference: str) -> tuple[str, ...]:
    concepts, ours = concepts_of(world), _pairs(reference)
    names = [form for k in others(world, pool, key) for form in concepts[k].forms(language)]
    return tuple(sorted(names, key=lambda name: (-_dice(ours, _pairs(name)), name))[:3])


@lru_cache(maxsize=8192)
def _pairs(text: str) -> frozenset[str]:
    """Its pairs of neighbouring characters."""
    text = f"^{text.casefold()}$"
    return frozenset(text[i : i + 2] for i in range(len(text) - 1))


def _dice(left: frozenset[str], right: frozenset[str]) -> float:
    return 2 * len(left & right) / (len(left) + len(right))
