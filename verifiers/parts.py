"""An answer in its pieces: which concepts each of them names, affirmed or denied, and the words beside them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from medrl.verifiers.concepts import Mention, Vocabulary
from medrl.verifiers.normalise import joined, tokens
from medrl.verifiers.opposites import NEGATIONS
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.scripts import without_gaps
from medrl.verifiers.wording import AFTER_NEGATION, BEFORE_NEGATION, PARENS

REFERENCE = -1  # the concept of the reference's own words, whether or not the vocabulary knows it
_PARTS = Pattern(
    r"(\s*(?:,? \b(?:or|and|i\.e\.)(?= )|或者?|和|及|还是|又称|又名|也称|即|[,;、，；:：()（）\n/])\s*)", re.IGNORECASE
)
# Kinds of thing, which answer no question that has a more special reference.
GENERIC = frozenset(
    joined(tokens(name))
    for name in (
        "cancer|carcinoma|tumor|neoplasm|malignancy|infection|inflammation|syndrome|disease|fracture|hernia|anemia|shock|"
        "poisoning|bacteria|virus|fungus|parasite|antibiotic|drug|surgery|"
        "癌|癌症|肿瘤|恶性肿瘤|感染|炎症|综合征|疾病|骨折|疝|贫血|休克|中毒|细菌|病毒|真菌|寄生虫|抗生素|药物|手术"
    ).split("|")
)
# The same, of nouns that no vocabulary need list by themselves.
LESS = GENERIC | frozenset(
    joined(tokens(name))
    for name in (
        "ulcer|enzyme|hydroxylase|dehydrogenase|synthase|reductase|kinase|oxidase|transferase|hematoma|hemorrhage|"
        "abscess|cyst|"
        "polyp|stone|infarction|embolism|thrombosis|effusion|nerve|artery|vein|muscle|ligament|bone|joint|gland|"
        "vitamin|hormone|"
        "antibody|receptor|neuropathy|nephropathy|myopathy|arthritis|vasculitis|leukemia|lymphoma|sarcoma|adenoma|"
        "溃疡|酶|羟化酶|脱氢酶|合成酶|合酶|还原酶|激酶|氧化酶|转移酶|血肿|出血|脓肿|囊肿|息肉|结石|梗死|栓塞|血栓|"
        "积液|神经|动脉|静脉|肌肉|"
        "韧带|骨|关节|腺体|维生素|激素|抗体|受体|神经病变|肾病|肌病|关节炎|血管炎|白血病|淋巴瘤|肉瘤|腺瘤|麻痹|畸形|狭窄|损伤"
    ).split("|")
)


_NAME = 24  # characters of a Chinese name, with room


class Part(NamedTuple):
    """A piece of an answer between two separators: what separates it, what it names, and the words beside."""

    before: str
    affirmed: tuple[Mention, ...]
    denied: tuple[Mention, ...]
    lead: tuple[str, ...]
    tail: tuple[str, ...]

    @property
    def rest(self) -> tuple[str, ...]:
        return self.lead + self.tail


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference as concepts: its names, which concepts they may be, and how its own words stand in a text.

    Where no vocabulary lists it, `base` is the concept that its last words name: STEMI of "anterior STEMI".
    """

    terms: tuple[str, ...]
    ids: frozenset[int]
    words: tuple[tuple[str, ...], ...]
    starts: frozenset[str]
    base: frozenset[int] = frozenset()
    several: frozenset[int] = frozenset()  # the concepts that it may be, where it is a name of several and of none else

    @classmethod
    def of(cls, terms: Sequence[str], known: Vocabulary) -> "Reference":
        terms = (*terms, *_twice_named(terms[0], known)) if len(terms) == 1 else terms
        found = [known.ids(term) for term in terms]
        # A name of several concepts is none, unless they are a substance and the test for it.
        ids = frozenset().union(*(one for one in found if len(one) == 1 or _with_its_test(one, known)))
        words = tuple(dict.fromkeys(tuple(tokens(term)) for term in terms))
        base = frozenset[int]() if any(found) or len(terms) > 1 else _base_of(terms[0], words[0], known)
        several = found[0] if len(found) == 1 and len(found[0]) > 1 else frozenset[int]()
        return cls(tuple(terms), ids, words, frozenset(own[0] for own in words if own), base, several)

    @property
    def generic(self) -> bool:
        """Whether the reference itself is no more than a kind of thing."""
        return any(joined(words) in LESS for words in self.words)

    def at(self, words: Sequence[str], position: int) -> int:
        """How many words of a text from `position` on are one of the reference's names; 0 for none."""
        here = words[position]
        return max(
            (
                len(own)
                for own in self.words
                if own and own[0] == here and tuple(words[position : position + len(own)]) == own
            ),
            default=0,
        )


def _with_its_test(ids: frozenset[int], known: Vocabulary) -> bool:
    return (
        len(ids) == 2
        and min(ids) >= 0
        and {known.concepts[one].kind for one in ids}
        in (
            {"substance", "test"},
            {"substance", ""},
        )
    )


def _twice_named(term: str, known: Vocabulary) -> tuple[str, ...]:
    """Both names of "abducens nerve (CN VI)", where the vocabulary knows them as one thing; none of any other term."""
    inside = PARENS.findall(term) if "(" in term or "（" in term else []
    outside = PARENS.sub("", term).strip() if len(inside) == 1 else ""
    same = known.ids(outside) & known.ids(inside[0]) if outside else frozenset[int]()
    return (outside, inside[0]) if len(same) == 1 and len(known.ids(outside)) == 1 else ()


def _base_of(term: str, words: Sequence[str], known: Vocabulary) -> frozenset[int]:
    """The one concept that a name's last words are, where what stands before only qualifies it."""
    mentions = known.mentions(words, term) if 1 < len(words) <= 12 else []
    if len(mentions) != 1 or mentions[0].end != len(words) or len(mentions[0].ids) != 1:
        return frozenset()
    return mentions[0].ids if _RELATING.isdisjoint(words[: mentions[0].start]) else frozenset()


_RELATING = NEGATIONS | frozenset(
    "of in to for with by due on from at after before and or than s post pre anti 抗 后 前 和 与 致 由".split()
)


@lru_cache(maxsize=1024)  # one text is read for what it says, and again for whether it names the reference
def parts_of(text: str, known: Vocabulary, reference: Reference) -> tuple[Part, ...]:
    """The pieces of an answer's head with the concepts that each names."""
    pieces = _PARTS.split(text)
    whole = known.ids(text) if len(text) <= _NAME and not text.isascii() else None
    if whole:  # 诺和力 is one name, and so is Parkinson病
        words = tokens(text)
        return (Part("", tuple(_mentions(words, text, known, reference, whole)), (), (), ()),)
    found: list[Part] = []
    for i in range(0, len(pieces), 2):
        words = tokens(pieces[i])
        if not words:
            continue
        mentions = _mentions(words, pieces[i], known, reference)
        denied = tuple(m for m in mentions if _denied(words, m))
        affirmed = tuple(m for m in mentions if m not in denied) if denied else tuple(mentions)
        found.append(Part(pieces[i - 1] if i else "", affirmed, denied, *_beside(words, mentions)))
    return tuple(found)


def _beside(words: list[str], mentions: list[Mention]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words before the first mention, and those after it that belong to none."""
    if not mentions:
        return tuple(words), ()
    first, end = mentions[0].start, mentions[0].end
    tail: list[str] = []
    for mention in mentions[1:]:
        tail += words[end : mention.start]
        end = max(end, mention.end)
    return tuple(words[:first]), (*tail, *words[end:])


def _mentions(
    words: list[str], text: str, known: Vocabulary, reference: Reference, whole: frozenset[int] = frozenset()
) -> list[Mention]:
    """Concepts that words name; the whole of them may be a name that is written loosely."""
    found = [] if whole else known.mentions(words, text)
    if len(found) != 1 or found[0].end - found[0].start < len(words):
        whole = whole or known.named(words, text)
        if whole:
            found = [Mention(0, len(words), whole)]
    own: list[Mention] = []
    at = len(words) if reference.starts.isdisjoint(words) else 0
    while at < len(words):
        length = reference.at(words, at)
        if length:
            own.append(Mention(at, at + length, reference.ids | {REFERENCE}))
        at += length or 1
    for mention in own:  # the reference's own words win over what stands inside them, and lose to a longer name
        over = [m for m in found if m.start < mention.end and mention.start < m.end]
        if all(mention.start <= m.start and m.end <= mention.end for m in over):
            found = [m for m in found if m not in over] + [mention]
    return sorted(found)


def _denied(words: Sequence[str], mention: Mention) -> bool:
    if mention.end - mention.start == len(words):
        return False
    before = without_gaps(" ".join(words[max(0, mention.start - 8) : mention.start]))
    after = without_gaps(" ".join(words[mention.end : mention.end + 8]))
    return bool(BEFORE_NEGATION.search(before) or AFTER_NEGATION.match(after))


def names_reference(text: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether a text affirms the reference somewhere."""
    affirmed = [m for part in parts_of(text, known, reference) for m in part.affirmed]
    return any(ids & (reference.ids | {REFERENCE}) for ids in resolved(affirmed))


def resolved(mentions: list[Mention]) -> list[frozenset[int]]:
    """The concepts of each mention; one that may be several is the one that another mention names outright."""
    if len(mentions) < 2:
        return [m.ids for m in mentions]
    sure = frozenset().union(*(m.ids for m in mentions if len(m.ids - {REFERENCE}) == 1))
    return [m.ids & sure if len(m.ids) > 1 and len(m.ids & sure) == 1 else m.ids for m in mentions]
