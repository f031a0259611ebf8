"""What an answer says in terms of known concepts, and whether that is the reference.

An answer is read as concepts, each affirmed or denied, and the words beside them. It is right where it affirms the
reference's concept and everything else says nothing more; it is wrong where it affirms others that exclude the
reference's, or less than was asked. Words that are neither known nor empty leave it to the next stage.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.concepts import OTHER, Mention, Vocabulary
from medrl.verifiers.normalise import joined, tokens
from medrl.verifiers.opposites import NEGATIONS, POLES
from medrl.verifiers.wording import AFTER_NEGATION, BEFORE_NEGATION, OR, Asked, is_glue, says_nothing

REFERENCE = -1  # the concept of the reference's own words, whether or not the vocabulary knows it
_PARTS = re.compile(
    r"(\s*(?:,? \b(?:or|and|i\.e\.)(?= )|或者?|和|及|还是|又称|又名|也称|即|[,;、，；:：()（）\n/])\s*)", re.IGNORECASE
)
_LEAST = frozenset(
    "acute primary essential idiopathic classic classical typical common simple 急 性 原 发 典 型".split()
)
# Kinds of thing, which answer no question that has a more special reference.
_GENERIC = frozenset(
    joined(tokens(name))
    for name in (
        "cancer|carcinoma|tumor|neoplasm|malignancy|infection|inflammation|syndrome|disease|fracture|hernia|anemia|shock|"
        "poisoning|bacteria|virus|fungus|parasite|antibiotic|drug|surgery|"
        "癌|癌症|肿瘤|恶性肿瘤|感染|炎症|综合征|疾病|骨折|疝|贫血|休克|中毒|细菌|病毒|真菌|寄生虫|抗生素|药物|手术"
    ).split("|")
)
MOST = 60  # words of a head that are read; a longer one commits to nothing


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


@dataclass(frozen=True)
class Reference:
    """The reference as concepts: its names, which concepts they may be, and how its own words stand in a text."""

    terms: tuple[str, ...]
    ids: frozenset[int]
    words: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, terms: Sequence[str], known: Vocabulary) -> "Reference":
        found = [known.ids(term) for term in terms]
        ids = frozenset().union(*(one for one in found if len(one) == 1))  # a name of several concepts is none
        return cls(tuple(terms), ids, tuple(dict.fromkeys(tuple(tokens(term)) for term in terms)))

    @property
    def generic(self) -> bool:
        """Whether the reference itself is no more than a kind of thing."""
        return any(joined(words) in _GENERIC for words in self.words)

    def at(self, words: Sequence[str], position: int) -> int:
        """How many words of a text from `position` on are one of the reference's names; 0 for none."""
        return max(
            (len(own) for own in self.words if own and tuple(words[position : position + len(own)]) == own), default=0
        )


def parts_of(text: str, known: Vocabulary, reference: Reference) -> list[Part]:
    """The pieces of an answer's head with the concepts that each names."""
    pieces = _PARTS.split(text)
    found: list[Part] = []
    for i in range(0, len(pieces), 2):
        words = tokens(pieces[i])
        if not words:
            continue
        mentions = _mentions(words, pieces[i], known, reference)
        denied = [m for m in mentions if _denied(words, m)]
        covered = {j for m in mentions for j in range(m.start, m.end)}
        first = min(covered, default=len(words))
        tail = tuple(word for j, word in enumerate(words) if j > first and j not in covered)
        affirmed = tuple(m for m in mentions if m not in denied)
        found.append(Part(pieces[i - 1] if i else "", affirmed, tuple(denied), tuple(words[:first]), tail))
    return found


def _mentions(words: list[str], text: str, known: Vocabulary, reference: Reference) -> list[Mention]:
    """Concepts that words name; the whole of them may be a name that is written loosely."""
    found = known.mentions(words, text)
    if len(found) != 1 or found[0].end - found[0].start < len(words):
        whole = known.ids(text)
        if whole:
            found = [Mention(0, len(words), whole)]
    own: list[Mention] = []
    at = 0
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
    before = _joined(" ".join(words[max(0, mention.start - 8) : mention.start]))
    after = _joined(" ".join(words[mention.end : mention.end + 8]))
    return bool(BEFORE_NEGATION.search(before) or AFTER_NEGATION.match(after))


def _joined(text: str) -> str:
    """Chinese characters without the spaces that tokens have between them."""
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", text.strip())


def names_reference(text: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether a text affirms the reference somewhere."""
    affirmed = [m for part in parts_of(text, known, reference) for m in part.affirmed]
    return any(ids & (reference.ids | {REFERENCE}) for ids in _resolved(affirmed))


def by_concepts(head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """What the concepts in the head of an answer decide, or None: read from its beginning, else from its last verb on."""
    if len(head) > 12 * MOST:
        return None
    verdict = _stated(head, reference, known, asked) or _turned(head, reference, known, asked)
    if verdict is None:
        for cue in reversed(list(_COMMITS.finditer(head))[-3:]):
            before, after = head[: cue.start()], head[cue.end() :]
            if after.strip() and not _DENIES.search(before) and not _strangers(before, reference, known):
                verdict = _stated(after, reference, known, asked)
                if verdict:
                    break
    return verdict


# Words after which an answer names its thing, wherever they stand.
_COMMITS = re.compile(
    r"\b(?:is|are|was|be|suggests?|indicates?|means?|confirms?|identif(?:y|ies)|points? to|fits?(?: with)?|favou?rs?|expect|"
    r"(?:consistent|compatible) with|suspicious for|diagnostic of|typical of|called|named|known as|termed|give|use|choose|"
    r"prescribe|caused by|spells|reflects?|represents?|requires?|stands for|comes from)\b"
    r"(?: (?:the|an?|most likely|likely|probably))* |"
    r"考虑为?|诊断为|提示为?|即为|符合|支持|首选|选用|应用|给予|称为|又称|称作|属于|倾向于|个人倾向于|大概率是|多为|"
    r"表达|应是|为|是",
    re.IGNORECASE,
)
_EITHER = re.compile(
    r"也可能|[皆都均]有可能|\beither\b|\bboth are possible\b|\b(?:could|may|might) also be\b", re.IGNORECASE
)
_DENIES = re.compile(
    r"\b(?:not|no|never|neither|nor|without|cannot|unlikely|rul(?:e|es|ed|ing) out|exclud\w+|rather|than|mimics?|unlike|if|"
    r"but|although|except|against)\b|n't\b|不|非|无|未|排除|否认|但|虽|若|如果|除",
    re.IGNORECASE,
)
# After a thing that is named first, a predicate says of it that it is the answer.
_PREDICATES = frozenset("is was would should remain fit explain account best cause given".split())
_TURNING = frozenset(
    "not no never less least unlikely second rare rarely but excluded exclude ruled wrong incorrect contraindicated avoid "
    "avoided alternative neither nor without however although possible or versus if 不 非 无 未 否 除 但 或".split()
)


def _stated(head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """What a text decides that names its thing from the beginning."""
    parts = parts_of(head, known, reference)
    if not parts or sum(len(part.rest) for part in parts) > MOST:
        return None
    affirmed = [_meant(ids, reference, known) for ids in _resolved([m for part in parts for m in part.affirmed])]
    if not affirmed:
        return None
    if len(parts) == 1 and joined(tokens(head)) in _GENERIC and not reference.generic:
        return Verdict.wrong(f"less specific than {reference.terms[0]!r:.60}")
    wanted = reference.ids | {REFERENCE}
    hits = [m for m in affirmed if m & wanted]
    denied = any(m.ids & wanted for part in parts for m in part.denied)
    if not hits:
        return None if denied else _wrong(parts, affirmed, reference, known, asked)
    if denied or not all(m <= wanted for m in hits) or not all(_silent(part, asked) for part in parts):
        return None
    others = [m for m in affirmed if m not in hits]
    if all(_glosses(m, reference, known) for m in others):
        return Verdict.right(f"names {reference.terms[0]!r:.60}")
    between = [f" {part.before.strip()} " for part in parts[1:] if part.affirmed]
    offered = any(map(OR.search, between)) and all(OR.fullmatch(b) or b.strip() in ("、", ",", "，") for b in between)
    if (offered or _EITHER.search(head)) and all(_apart(m, reference, known) for m in others):
        return Verdict.wrong("an open choice between several answers")
    return None


def _turned(head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """Of a reference that is a known thing with a side, a stage or another pole: the same thing with the same one?"""
    if reference.ids or len(reference.terms) != 1:
        return None
    ours = _with_poles(reference.terms[0], known)
    theirs = _with_poles(head, known)
    if ours is None or theirs is None or ours.ids != theirs.ids or not ours.poles:
        return None
    if not says_nothing(ours.rest, asked) or not NEGATIONS.isdisjoint(theirs.rest):
        return None
    rows = {row for row, _ in ours.poles} & {row for row, _ in theirs.poles}
    if any(ours.of(row) != theirs.of(row) for row in rows):
        return Verdict.wrong(f"{reference.terms[0]!r:.60} turned round")
    if not theirs.poles and ours.of(_SIDES) and says_nothing(theirs.rest, asked) and asks_side(asked):
        return Verdict.wrong("it leaves out the side, which is asked")
    if theirs.poles == ours.poles and says_nothing(theirs.rest, asked):
        return Verdict.right(f"names {reference.terms[0]!r:.60}")
    return None


class _Turn(NamedTuple):
    """A known thing with the poles and the other words beside it."""

    ids: frozenset[int]
    poles: frozenset[tuple[int, str]]
    rest: tuple[str, ...]

    def of(self, row: int) -> set[str]:
        return {pole for where, pole in self.poles if where == row}


def _with_poles(text: str, known: Vocabulary) -> _Turn | None:
    """The one thing that a text names, with its poles; None where it names none, several, or an unsure one."""
    words = tokens(text)
    mentions = known.mentions(words, text)
    if len(mentions) != 1 or len(mentions[0].ids) != 1:
        return None
    beside = [word for i, word in enumerate(words) if not mentions[0].start <= i < mentions[0].end]
    poles = {(POLES[word][0], str(POLES[word][1])) for word in beside if word in POLES}
    poles |= {(-1, word) for word in beside if word[0].isdigit()}
    rest = [word for word in beside if word not in POLES and not word[0].isdigit() and word not in _SIDE_WORDS]
    return _Turn(mentions[0].ids, frozenset(poles), tuple(rest))


def asks_side(asked: Asked) -> bool:
    """Whether a question asks for left or right."""
    return "side" in asked.words or "侧" in asked.han


_SIDES = POLES["left"][0]
_SIDE_WORDS = frozenset("side sided on the in of 侧 性 期 级 型".split())


def _silent(part: Part, asked: Asked) -> bool:
    """Whether what stands beside the concepts of a piece says nothing of them, or only that they are the answer."""
    predicate = bool(part.tail) and part.tail[0] in _PREDICATES and _TURNING.isdisjoint(part.tail)
    return says_nothing(part.lead, asked) and (predicate or says_nothing(part.tail, asked))


def _strangers(text: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether a text affirms anything of the reference's kind."""
    kinds = {known.concepts[one].kind for one in reference.ids}
    return any(
        one < 0 or known.concepts[one].kind in kinds
        for part in parts_of(text, known, reference)
        for m in part.affirmed
        for one in m.ids
    )


def _resolved(mentions: list[Mention]) -> list[frozenset[int]]:
    """The concepts of each mention; one that may be several is the one that another mention names outright."""
    sure = frozenset().union(*(m.ids for m in mentions if len(m.ids - {REFERENCE}) == 1))
    return [m.ids & sure if len(m.ids) > 1 and len(m.ids & sure) == 1 else m.ids for m in mentions]


def _meant(ids: frozenset[int], reference: Reference, known: Vocabulary) -> frozenset[int]:
    """Of a name of several things the reference, where the others are of another family than what is asked for."""
    mine = ids & reference.ids
    if len(ids) < 2 or len(mine) != 1 or OTHER in ids or REFERENCE in ids:
        return ids
    family = known.family(next(iter(mine)))
    return mine if family and all(known.family(one) not in ("", family) for one in ids - mine) else ids


def _glosses(ids: frozenset[int], reference: Reference, known: Vocabulary) -> bool:
    """Whether a concept beside the reference's says nothing new: the reference's is a kind of it."""
    return bool(reference.ids) and all(any(one in known.broader(wanted) for one in ids) for wanted in reference.ids)


def _apart(ids: frozenset[int], reference: Reference, known: Vocabulary) -> bool:
    return bool(reference.ids) and all(
        known.apart(one, wanted) for one in ids for wanted in reference.ids if one != REFERENCE
    )


def _wrong(
    parts: Sequence[Part], affirmed: list[frozenset[int]], reference: Reference, known: Vocabulary, asked: Asked
) -> Verdict | None:
    """Wrong where every concept that is affirmed excludes the reference's, or the only one says less than it."""
    if not reference.ids:
        return None
    silent = all(says_nothing(part.rest, asked) for part in parts)
    if all(_apart(ids, reference, known) for ids in affirmed) and (silent or _plain(parts, reference, known, asked)):
        name = known.concepts[min(affirmed[0])].names[0]
        return Verdict.wrong(f"it is {name!r:.60}, known as something else than {reference.terms[0]!r:.60}")
    pairs = [(i, w) for i in affirmed[0] for w in reference.ids] if len(affirmed) == 1 and silent else []
    if pairs and all(i in known.broader(w) and _says_less(known, i, w) for i, w in pairs):
        return Verdict.wrong(f"less specific than {reference.terms[0]!r:.60}")
    return None


def _plain(parts: Sequence[Part], reference: Reference, known: Vocabulary, asked: Asked) -> bool:
    """Whether a sentence names another thing first of all, and no word of it denies, offers or touches the reference."""
    words = [word for part in parts for word in part.rest]
    own = {word for one in reference.ids for name in known.concepts[one].names for word in tokens(name)}
    own |= {word for term in reference.words for word in term}
    first = parts[0]
    return (
        bool(first.affirmed)
        and says_nothing(first.lead, asked)
        and _TURNING.isdisjoint(words)
        and own.isdisjoint(word for word in words if not is_glue(word))
        and not any(part.denied for part in parts)
    )


def _says_less(known: Vocabulary, broad: int, narrow: int) -> bool:
    """Whether a broader concept leaves out more than what goes without saying (acute, primary, classical)."""
    wide = {word for name in known.concepts[broad].names for word in tokens(name)}
    return not any(set(tokens(name)) - wide <= _LEAST for name in known.concepts[narrow].names)
