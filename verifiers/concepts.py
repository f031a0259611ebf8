"""A vocabulary: which names mean the same concept, which concepts are kinds of others, and where names stand in a text.

A name of two concepts (MS: multiple sclerosis, mitral stenosis) answers to both, so that no rule decides by it, unless it
nearly always means the one (`Concept.usual`). Names are matched in one spelling (`medrl.verifiers.normalise`);
abbreviations by their capitals, because ALL and all differ.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from medrl.verifiers.indexing import Concept, Index, index, letters, loose_key
from medrl.verifiers.normalise import joined, tokens
from medrl.verifiers.opposites import NEGATIONS, POLES
from medrl.verifiers.protocol import digest

OTHER = -2  # something that no vocabulary lists: what an ambiguous abbreviation may always mean
# Kinds whose members exclude each other as answers; across families two names may still speak of one thing.
_FAMILIES = {
    "disease": "condition", "finding": "condition", "process": "condition", "drug": "drug", "drug_class": "drug",
    "organism": "organism", "anatomy": "anatomy", "test": "procedure", "procedure": "procedure",
    "substance": "substance", "gene": "substance", "cell": "substance",
}  # fmt: skip
_ABBREVIATION = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{0,4}[A-Z][A-Za-z0-9/&.-]{0,12}[A-Za-z0-9](?![A-Za-z0-9])")
# Written small these are words; written large they may be abbreviations.
_WORDS = frozenset(
    "all men was his for cat ten age arm led aid can had has may pal sad tic rat and but not the she her him its out "
    "map gap rip lap tap bad mad car bar aim par pet pan pap ace ice dip hip lip tip sir air mid low cold star fast "
    "pain pass past gist cops cart dose test cure mess band safe hate ape".split()
)
_SHORT_WORDS = frozenset("he it is in an as at be or no we so if do my by of on to up us am go me".split())
_SMALL_WORDS = _WORDS | _SHORT_WORDS
# Abbreviations that doctors use for things that exclude each other, whatever a vocabulary knows of them.
_AMBIGUOUS = frozenset(
    "MI MS PE RA PD AS AR MR PR TR CP CA AD BS BA BPD CRF ARF DI ED EE FH GC HD HS IC IP LA LP MD MM MG NS "
    "OA OD OM PA PC PF PI PM PMS PT PV RS SA SC SS ST TOF TS TSS CHD PCP PCD".split()
)
_NO_POLES = frozenset("酸碱动静大小多少早晚轻重热寒深浅升降增减良恶")  # parts of many names
_PLURAL = re.compile(r"[A-Z]{3,8}s")


NOTHING: frozenset[int] = frozenset()


@lru_cache(maxsize=16_384)
def _ids(numbers: tuple[int, ...]) -> frozenset[int]:
    return frozenset(numbers)


_NOUNS = {"病": "disease", "综合征": "syndrome", "综合症": "syndrome", "征": "sign", "骨折": "fracture", "瘤": "tumor"}
_MIXED = re.compile(rf"(?P<name>[A-Za-zÀ-ÿ'’ -]{{3,40}}?)(?:氏)?(?P<noun>{'|'.join(_NOUNS)})")


_SORTS = dict(
    pair.split("/")
    for pair in (
        "急性/acute 慢性/chronic 亚急性/subacute 原发性/primary 继发性/secondary 先天性/congenital 转移性/metastatic "
        "化脓性/suppurative 细菌性/bacterial 病毒性/viral 结核性/tuberculous 左侧/left 右侧/right 双侧/bilateral "
        "恶性/malignant 良性/benign"
    ).split()
)
_HAN_SORTS = {latin: han for han, latin in _SORTS.items()}
_MIXED_SORT = re.compile(rf"(?P<sort>{'|'.join(_SORTS)}) ?(?P<name>[A-Za-z][A-Za-z' -]{{2,40}})")
_MIXED_HAN = re.compile(rf"(?P<sort>{'|'.join(_HAN_SORTS)}) ?(?P<name>[\u3400-\u9fff]{{2,12}})", re.IGNORECASE)


_TWICE = re.compile(
    r"(?P<before>[^()（）]{2,60}?) ?[（(](?P<inside>[^()（）]{2,40})[)）](?P<after>[^()（）,;.，。；]{2,40})"
)


class Mention(NamedTuple):
    """Where a text names something: words `start` to `end` of its tokens, and which concepts that may be."""

    start: int
    end: int
    ids: frozenset[int]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Concepts with indexes by name; made by `of`, read from files by `medrl.verifiers.vocabularies`."""

    concepts: tuple[Concept, ...] = field(repr=False)
    fingerprint: str
    index: Index = field(repr=False)
    others: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, concepts: Iterable[Concept], others: Iterable[str] = ()) -> "Vocabulary":
        """Index `concepts`; those that call each other by their preferred names are one.

        Args:
            concepts: What the vocabulary knows.
            others: Names of what it does not know, which are therefore no misspellings of what it knows.
        """
        found = index(concepts)
        rows = [[*c.names, "|", *c.abbreviations, "|", c.kind, *c.broader, "|", *c.usual] for c in found.concepts]
        return cls(found.concepts, digest(rows), found, frozenset(joined(tokens(name)) for name in others))

    def ids(self, name: str) -> frozenset[int]:
        """Every concept that a whole text may name; none where it is unknown."""
        found = self.named(tokens(name), name)
        if not found and not name.isascii():
            if mixed := _MIXED.fullmatch(name.strip()):
                return self.ids(f"{mixed['name']} {_NOUNS[mixed['noun']]}")  # Parkinson病
            if mixed := _MIXED_SORT.fullmatch(name.strip()):
                return self.ids(f"{_SORTS[mixed['sort']]} {mixed['name']}")  # 急性pancreatitis
            if mixed := _MIXED_HAN.fullmatch(name.strip()):
                return self.ids(_HAN_SORTS[mixed["sort"].lower()] + mixed["name"])  # acute 胰腺炎
        return found

    def one_name(self, text: str) -> str:
        """Of a name that says one word twice, "subacute (de Quervain) thyroiditis", the name; else the text as it is."""
        match = _TWICE.fullmatch(text) if len(text) < 120 else None
        if match is None:
            return text
        name = f"{match['before']}{match['after']}"
        ids = self.ids(name)
        kept = match["before"].rpartition(" ")[0]  # common peroneal (fibular) nerve
        others = (f"{match['inside']}{match['after']}", f"{kept} {match['inside']}{match['after']}")
        return name if ids and any(ids == self.ids(other) for other in others) else text

    def named(self, words: Sequence[str], name: str) -> frozenset[int]:
        """As `ids`, of a name whose `tokens` are at hand."""
        whole = joined(words)
        found = _ids(self.index.names.get(whole, ())) | self.abbreviated(name)
        return found or _ids(self.index.loose.get(loose_key(words) or whole, ()))

    def find(self, name: str) -> int | None:
        """The one concept that a whole text names, or None."""
        ids = self.ids(name)
        return next(iter(ids)) if len(ids) == 1 else None

    def abbreviated(self, text: str) -> frozenset[int]:
        """Every concept that a text abbreviates. Small letters count from three on, if they are no English word."""
        bare = text.strip().strip("()（）.")
        if not 2 <= len(bare) <= 14 or bare[-1] in "-−–－":  # HBsAg-
            return NOTHING
        if bare.islower() and (len(bare) < 3 or bare in _WORDS):
            return NOTHING
        return self._meant(bare)

    def _meant(self, abbreviation: str) -> frozenset[int]:
        if abbreviation[1:].islower() and abbreviation.lower() in _SMALL_WORDS:
            return NOTHING  # a word that opens a sentence: "All findings", "He has"
        ids = _ids(self.index.short.get(letters(abbreviation), ()))
        if not ids and abbreviation[-1] == "s" and _PLURAL.fullmatch(abbreviation):  # NSAIDs
            ids = _ids(self.index.short.get(letters(abbreviation[:-1]), ()))
        return ids | {OTHER} if ids and abbreviation in _AMBIGUOUS else ids

    def mentions(self, words: Sequence[str], text: str = "") -> list[Mention]:
        """The concepts named in a text, longest names first come, left to right, none inside another.

        Args:
            words: `tokens(text)`.
            text: The text itself, in which abbreviations are told by their capitals.
        """
        short = self._abbreviations(text)
        begins = self.index.lengths
        found: list[Mention] = []
        at = 0
        while at < len(words):
            mention = self._at(words, at, short) if short or words[at] in begins else None
            if mention:
                found.append(mention)
            at = mention.end if mention else at + 1
        return found

    def _at(self, words: Sequence[str], at: int, short: Mapping[str, frozenset[int]]) -> Mention | None:
        for length in self.index.lengths.get(words[at], ()):
            if at + length <= len(words):
                numbers = self.index.names.get(joined(words[at : at + length]))
                if numbers:
                    return Mention(at, at + length, _ids(numbers))
        for length in range(min(4, len(words) - at), 0, -1) if short else ():
            ids = short.get(joined(words[at : at + length]))
            if ids is not None:
                return Mention(at, at + length, ids)
        return None

    def _abbreviations(self, text: str) -> dict[str, frozenset[int]]:
        """Abbreviations that stand in a text, as they read after `tokens`."""
        found: dict[str, frozenset[int]] = {}
        if text == text.lower():
            return found
        for match in _ABBREVIATION.finditer(text[:2000]):
            ids = self._meant(match[0])
            if ids:
                found[joined(tokens(match[0]))] = ids
        return found

    def related(self, one: int, other: int) -> bool:
        """Whether one is the other, or a kind of it."""
        return one == other or one in self.index.above.get(other, ()) or other in self.index.above.get(one, ())

    def family(self, one: int) -> str:
        """Which family of concepts this is one of: condition, drug, organism and so on; "" where it is not known."""
        return _FAMILIES.get(self.concepts[one].kind, "") if one >= 0 else ""

    def broader(self, one: int) -> tuple[int, ...]:
        """Every concept that this one is a kind of."""
        return self.index.above.get(one, ())

    def apart(self, one: int, other: int) -> bool:
        """Whether two concepts exclude each other as answers.

        They do where they are of one family, neither is a kind of the other, and neither's name is a part of the other's.
        """
        if self.related(one, other) or min(one, other) < 0:
            return False
        return _apart(self, min(one, other), max(one, other))


@lru_cache(maxsize=16_384)
def _apart(known: Vocabulary, first: int, second: int) -> bool:
    families = {known.family(first), known.family(second)}
    if known.concepts[first].kind == known.concepts[second].kind and (
        families <= {"drug", "organism"} or known.concepts[first].kind == "cell"
    ):
        one_way, other_way = ({joined(words) for words in known.index.spelt[i]} for i in (first, second))
        return one_way.isdisjoint(other_way)  # another ingredient or species
    ours, theirs = known.index.spelt[first], known.index.spelt[second]
    if _words_of(ours).isdisjoint(_words_of(theirs)):
        return True
    one, other = _worded(ours), _worded(theirs)
    if len(families) > 1 and "" not in families and any(a.words & b.words for a in one for b in other):
        return False
    found = _besides(one, other)
    if "overlap" in found and "contrast" not in found and known.concepts[first].kind == known.concepts[second].kind:
        # A by-name is often too wide ("lupus"): of one kind only what two things are mostly called may make them one.
        found = _besides(_first(one), _first(other))
    return "contrast" in found or "overlap" not in found


class _Name(NamedTuple):
    """A name in its words: all of them, those that are no pole of a contrast, and the poles by their contrast."""

    words: frozenset[str]
    core: frozenset[str]
    poles: frozenset[tuple[int, str]]
    han: str


@lru_cache(maxsize=16_384)
def _worded(names: tuple[tuple[str, ...], ...]) -> tuple[_Name, ...]:
    found = []
    for words in names:
        turning = [w for w in words if w in _TURNING or w[0].isdigit()]
        poles = frozenset([(POLES[w][0], str(POLES[w][1])) if w in POLES else (-1, w) for w in turning])
        core = [w for w in words if w not in turning] if turning else words
        han = "".join(w for w in core if w > "\u3400" and w != "性")
        long = frozenset([w for w in words if len(w) > 3])
        found.append(_Name(long, frozenset([w for w in core if w < "\u3400"]), poles, han))
    return tuple(found)


def _first(names: Sequence[_Name]) -> list[_Name]:
    """What a thing is mostly called, in English and in Chinese."""
    return [*names[:1], *[name for name in names if name.han][:1]]


@lru_cache(maxsize=16_384)
def _words_of(names: tuple[tuple[str, ...], ...]) -> frozenset[str]:
    """The words and Chinese characters of names that are no poles; "" stands for a name that has none."""
    found = frozenset([word for word in set().union(*names) - _TURNING - _SILENT if not word[0].isdigit()])
    return found | {""} if any(map(found.isdisjoint, names)) else found


_TURNING = frozenset(POLES.keys() - _NO_POLES | NEGATIONS)  # as every figure does
_SILENT = frozenset("性\u3400")


def _besides(ours: Sequence[_Name], theirs: Sequence[_Name]) -> set[str]:
    """How the names of two things stand to each other, those left out that share too little to be more than strange."""
    return {_beside(a, b) for a in ours for b in theirs if a.core <= b.core or b.core <= a.core}


def _beside(one: _Name, other: _Name) -> Literal["contrast", "overlap", "strange"]:
    """How two names stand to each other.

    "contrast": one name but for a contrast in it, as left and right heart failure, types 1 and 2. Words that are poles part
    them even where the one says more: chronic hepatitis, acute viral hepatitis.
    "overlap": they may speak of one thing, since but for poles all words of the one stand in the other: acute and inferior
    myocardial infarction.
    """
    if not _nested(one, other):
        return "strange"
    if any(a in one.words and b in other.words for a, b in _APART):
        return "contrast"
    if one.poles == other.poles:
        return "overlap"
    rows = {row for row, _ in one.poles} & {row for row, _ in other.poles}
    parted = {row for row in rows if _of(one, row) != _of(other, row)}
    if parted - {-1}:
        return "contrast"
    if parted or _of(one, -1) & NEGATIONS != _of(other, -1) & NEGATIONS:  # other numbers, or a negation
        return "contrast" if one.core == other.core and one.han == other.han else "strange"
    return "overlap"


_UNLIKE = frozenset("假 伪 副 类 拟 荨 促 抗".split())  # 假性 is here without its 性
# Words of two contrasts that exclude each other all the same.
_APART = frozenset(
    pair
    for one, other in (("central", "obstructive"), ("central", "branch"), ("cytoplasmic", "perinuclear"))
    for pair in ((one, other), (other, one))
)


def _of(name: _Name, row: int) -> set[str]:
    return {pole for where, pole in name.poles if where == row}


def _nested(one: _Name, other: _Name) -> bool:
    """Whether the words of one name are among the other's, in each script that they are written in."""
    if bool(one.core) != bool(other.core) or bool(one.han) != bool(other.han):
        return False
    longer, shorter = (one.han, other.han) if len(one.han) > len(other.han) else (other.han, one.han)
    if longer.removesuffix(shorter) in _UNLIKE and shorter:
        return False  # what is 假性, 副 or 类 something is another thing
    latin = one.core <= other.core or other.core <= one.core
    return latin and (one.han in other.han or other.han in one.han)
