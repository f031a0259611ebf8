"""What an answer says in terms of known concepts, and whether that is the reference.

An answer is read as concepts, each affirmed or denied, and the words beside them. It is right where it affirms the
reference's concept and everything else says nothing more; it is wrong where it affirms others that exclude the
reference's, or less than was asked. Words that are neither known nor empty leave it to the next stage.
"""

import operator
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.concepts import OTHER, Vocabulary
from medrl.verifiers.normalise import compact, joined, tokens
from medrl.verifiers.opposites import NEGATIONS, POLES
from medrl.verifiers.parts import GENERIC, LESS, REFERENCE, Part, Reference, parts_of, resolved
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.predicates import COMMITS, calls_it_the_answer, introduces, relates
from medrl.verifiers.wording import OR, Asked, contrasts, is_glue, says_nothing

_LEAST = frozenset(
    "acute primary essential idiopathic classic classical typical common simple 急 性 原 发 典 型".split()
)
# An operation to see what there is, and the salt of a drug, which few orders name.
_LESS_YET = _LEAST | frozenset("exploratory sodium potassium hydrochloride 探 查 钠 钾 双 盐 酸".split())
OPEN_CHOICE = "an open choice between several answers"
MOST = 60  # words of a head that are read; a longer one commits to nothing


def by_concepts(head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """What the concepts in the head of an answer decide, or None: read from its beginning, else from its last verb on."""
    if len(head) > 12 * MOST:
        return None
    verdict = _stated(head, reference, known, asked) or _turned(head, reference, known, asked)
    if verdict is None:
        for cue in reversed(list(COMMITS.finditer(head))[-3:]):
            before, after = head[: cue.start()], head[cue.end() :]
            if after.startswith("口服") and before.endswith(("静脉", "肌内", "肌肉", "皮下")):
                return None
            if after.strip() and not _DENIES.search(before) and not _strangers(before, reference, known):
                verdict = _stated(after, reference, known, asked)
                if verdict and verdict.score == 1.0 and not introduces(before, cue[0], asked):
                    return None  # it names the reference as something else than the answer
                if verdict:
                    break
    return verdict


_EITHER = Pattern(
    r"也可能|[皆都均]有可能|\beither\b|\bboth are possible\b|\b(?:could|may|might) also be\b", re.IGNORECASE
)
_DENIES = Pattern(
    r"\b(?:not|no|never|neither|nor|without|cannot|unlikely|rul(?:e|es|ed|ing) out|exclud\w+|rather|than|mimics?|unlike|if|"
    r"but|although|except|against)\b|n't\b|不|非|无|未|难以|原诊|排除|否认|但|虽|若|如果|除",
    re.IGNORECASE,
)
_TURNING = frozenset(
    "not no never less least unlikely second rare rarely but excluded exclude ruled wrong incorrect contraindicated avoid "
    "avoided alternative neither nor without however although possible or versus if 不 非 无 未 否 除 但 或".split()
)


def _stated(head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """What a text decides that names its thing from the beginning."""
    if compact(head) in LESS and not reference.generic and not _in(asked, head, reference):
        return Verdict.wrong(f"less specific than {reference.terms[0]!r:.60}")
    parts = parts_of(head, known, reference)
    if not parts or sum(len(part.lead) + len(part.tail) for part in parts) > MOST:
        return None
    affirmed = [_meant(ids, reference, known, asked) for ids in resolved([m for part in parts for m in part.affirmed])]
    if not affirmed:
        return None
    if len(parts) == 1 and compact(head) in GENERIC and not reference.generic:
        return Verdict.wrong(f"less specific than {reference.terms[0]!r:.60}")
    wanted = reference.ids | {REFERENCE}
    hits = [m for m in affirmed if m & wanted]
    denied = any(m.ids & wanted for part in parts for m in part.denied)
    if not hits:
        return None if denied else _wrong(parts, affirmed, reference, known, asked)
    if denied or not all(m <= wanted for m in hits) or not all(_silent(part, asked) for part in parts):
        return None
    if any(part.tail and _of_another_kind(part.tail, reference, known) for part in parts):
        return None
    others = [m for m in affirmed if m not in hits]
    if all(_glosses(m, reference, known) or _asked_of(m, reference, known, asked) for m in others):
        return Verdict.right(f"names {reference.terms[0]!r:.60}")
    between = [f" {part.before.strip()} " for part in parts[1:] if part.affirmed]
    offered = any(map(OR.search, between)) and all(OR.fullmatch(b) or b.strip() in ("、", ",", "，") for b in between)
    if (offered or _EITHER.search(head)) and all(_apart(m, reference, known) for m in others):
        return Verdict.wrong(OPEN_CHOICE)
    return None


def _in(asked: Asked, head: str, reference: Reference) -> bool:
    """Whether a question offers what an answer leaves out, so that its noun alone may be told by it: "artery or nerve"."""
    words = tokens(head)
    if any(word > "\u3400" for word in words):
        return "".join(words) in asked.han
    return any(word in asked.words for word in words) or any(
        set(term) - set(words) <= asked.words for term in reference.words if set(words) < set(term)
    )


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
    if part.affirmed and relates(part.lead):
        return False
    return says_nothing(part.lead, asked) and (says_nothing(part.tail, asked) or calls_it_the_answer(part.tail))


def _of_another_kind(tail: Sequence[str], reference: Reference, known: Vocabulary) -> bool:
    """Whether a condition's name only qualifies the word behind it: gout medication, 高血压药物."""
    named = {known.family(one) for one in reference.ids}
    return "condition" in named and bool(_QUALIFIED.match(joined(tail)))


_QUALIFIED = re.compile(r"(?:drug|medication|agent|tablet|capsule|virus|organism|bacteri|species|[药片]|胶囊)")


def _strangers(text: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether a text affirms anything of the reference's kind."""
    kinds = {known.concepts[one].kind for one in reference.ids}
    return any(
        one < 0 or known.concepts[one].kind in kinds
        for part in parts_of(text, known, reference)
        for m in part.affirmed
        if not _glosses(m.ids, reference, known)
        for one in m.ids
    )


def _meant(ids: frozenset[int], reference: Reference, known: Vocabulary, asked: Asked) -> frozenset[int]:
    """Of a name of several things the reference, if it nearly always means that, or the others are of another family.

    So it is where an enzyme is asked for and only the reference is one: PAH.
    """
    mine = ids & reference.ids
    if len(ids) < 2 or len(mine) != 1 or OTHER in ids or REFERENCE in ids:
        return ids
    if known.index.usual.get(ids) in mine:
        return mine
    if "enzyme" in asked.words and [one for one in ids if _is_enzyme(one, known)] == list(mine):
        return mine
    family = known.family(next(iter(mine)))
    others = [known.concepts[one].kind for one in ids - mine if known.family(one) in ("", family)]
    return mine if family and all(kind == "person" for kind in others) else ids


def _is_enzyme(one: int, known: Vocabulary) -> bool:
    return any(word.endswith("ase") for name in known.index.spelt[one] for word in name)


def _glosses(ids: frozenset[int], reference: Reference, known: Vocabulary) -> bool:
    """Whether a concept beside the reference's says nothing new: the reference's is a kind of it."""
    return bool(reference.ids) and all(any(one in known.broader(wanted) for one in ids) for wanted in reference.ids)


def _asked_of(ids: frozenset[int], reference: Reference, known: Vocabulary, asked: Asked) -> bool:
    """Whether a concept beside a drug is a route or the like that the Chinese question names: 吸入, of a 吸入药物."""
    drugs = bool(reference.ids) and all(known.family(one) == "drug" for one in reference.ids)
    return drugs and all(
        one >= 0
        and known.concepts[one].kind == "other"
        and any(name in asked.han for name in known.concepts[one].names if name[:1] > "\u3400")
        for one in ids
    )


def _apart(ids: frozenset[int], reference: Reference, known: Vocabulary) -> bool:
    return bool(reference.ids) and all(
        known.apart(one, wanted) for one in ids for wanted in reference.ids if one != REFERENCE
    )


def _wrong(
    parts: Sequence[Part], affirmed: list[frozenset[int]], reference: Reference, known: Vocabulary, asked: Asked
) -> Verdict | None:
    """Wrong where every concept that is affirmed excludes the reference's, or the only one says less than it."""
    if reference.several and not reference.ids:  # whatever of these it is, the answer is none of them
        each = replace(reference, ids=reference.several, several=frozenset())
        verdict = _wrong(parts, affirmed, each, known, asked) if min(reference.several) >= 0 else None
        return verdict or _wrong_base(parts, affirmed, reference, known, asked)
    if not reference.ids:
        return _wrong_base(parts, affirmed, reference, known, asked)
    if any(_holds_reference(one, reference, known) for ids in affirmed for one in ids):
        return None
    apart = all(_apart(ids, reference, known) for ids in affirmed)
    if not apart and len(affirmed) > 1:
        return None
    silent = all(says_nothing(part.rest, asked) for part in parts)
    if apart and (silent or _plain(parts, reference, known, asked)):
        name = known.concepts[min(affirmed[0])].names[0]
        return Verdict.wrong(f"it is {name!r:.60}, known as something else than {reference.terms[0]!r:.60}")
    if len(affirmed) == 1 and silent and len(affirmed[0]) > 1 and not affirmed[0] & {OTHER, REFERENCE}:
        one_way = [_apart(frozenset({i}), reference, known) for i in affirmed[0]]
        less = [all(i in known.broader(w) for w in reference.ids) for i in affirmed[0]]
        if any(one_way) and all(map(operator.or_, one_way, less)):
            return Verdict.wrong(f"whatever it means, it is not {reference.terms[0]!r:.60}")  # a brand of two salts
    pairs = [(i, w) for i in affirmed[0] for w in reference.ids] if len(affirmed) == 1 and silent else []
    if pairs and all(i in known.broader(w) and _says_less(known, i, w) for i, w in pairs):
        return Verdict.wrong(f"less specific than {reference.terms[0]!r:.60}")
    return None


def _wrong_base(
    parts: Sequence[Part], affirmed: list[frozenset[int]], reference: Reference, known: Vocabulary, asked: Asked
) -> Verdict | None:
    """As `_wrong`, of a reference of which only the last words are known: the answer must share no word with it."""
    if not reference.base or any(part.denied for part in parts):
        return None
    ours = {word for words in reference.words for word in words if not is_glue(word) and word not in _LEAST}
    theirs = {word for one in set().union(*affirmed) if one >= 0 for name in known.index.spelt[one] for word in name}
    beside = [word for part in parts for word in part.rest]
    if not ours.isdisjoint(theirs | set(beside)) or not says_nothing(beside, asked):
        return None
    kinds = {known.concepts[one].kind for one in reference.base}
    if any(one < 0 or known.concepts[one].kind not in kinds for ids in affirmed for one in ids):
        return None
    if all(known.apart(one, base) for ids in affirmed for one in ids for base in reference.base):
        name = known.concepts[min(affirmed[0])].names[0]
        return Verdict.wrong(f"it is {name!r:.60}, known as something else than {reference.terms[0]!r:.60}")
    return None


def _holds_reference(one: int, reference: Reference, known: Vocabulary) -> bool:
    """Whether a concept of another family has the reference in its name: DMD, and the DMD gene."""
    families = {known.family(wanted) for wanted in reference.ids}
    if one < 0 or known.family(one) in families:
        return False
    names = [f" {' '.join(name)} " for name in known.index.spelt[one]]
    return any(f" {' '.join(own)} " in name for own in reference.words for name in names if own)


def _plain(parts: Sequence[Part], reference: Reference, known: Vocabulary, asked: Asked) -> bool:
    """Whether a sentence names another thing first of all, and no word of it denies, offers or touches the reference."""
    words = [word for part in parts for word in part.rest]
    own = {word for one in reference.ids for name in known.index.spelt[one] for word in name}
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
    """Whether a broader concept leaves out more than what goes without saying (acute, primary, classical).

    Its words must be among those of the narrow one. Where none of its names is a part of the other's, as of raised
    transaminases and elevated liver enzymes, a doctor may use the two for one another.
    """
    names = set(known.index.spelt[broad])
    if not any(set(name) < set(other) for name in names for other in known.index.spelt[narrow]):
        return False
    wide = {word for name in names for word in name}
    return not any(set(name) - wide <= _LESS_YET for name in known.index.spelt[narrow] if name not in names)


def says_another(tail: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether what follows an answer affirms another thing of its kind, and not in a reason or a contrast alone."""
    sentences = [one for one in _SENTENCES.split(tail)[:12] if one.strip()]
    if sentences and contrasts(tail):
        sentences[0] = _TO_COMMA.sub("", sentences[0])
    return any(
        _strangers(one, reference, known) and (not _REASONED.match(one) or bool(_CLAIMED.search(one)))
        for one in sentences
    )


def denies_its_kind(text: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether an answer denies what the reference is a kind of, and so the reference: "not appendicitis" of an acute one."""
    if not reference.ids or len(text) > 240:
        return False
    parts = parts_of(text, known, reference)
    wanted = reference.ids | {REFERENCE}
    if any(m.ids & wanted for part in parts for m in part.affirmed):
        return False
    above = [set(known.broader(one)) | {one} for one in reference.ids]
    return any(all(len(m.ids) == 1 and m.ids <= one for one in above) for part in parts for m in part.denied)


def denies(tail: str, reference: Reference, known: Vocabulary) -> bool:
    """Whether what follows an answer denies the reference, by whatever name."""
    wanted = reference.ids | {REFERENCE}
    return any(m.ids & wanted for part in parts_of(tail, known, reference) for m in part.denied)


_TO_COMMA = re.compile(r"^.[^,，]*")
_SENTENCES = re.compile(r"[\n。；;]|\.(?= |$)|(?:^|, )then ")
_REASONED = re.compile(
    r"[,，]? ?(?:(?:because|since|given|as|in contrast|whereas|watch (?:out )?for|beware of|to (?:prevent|avoid))\b|"
    r"因|由于|警惕|注意(?!排除|鉴别)|预防|防止|以防)",
    re.IGNORECASE,
)
# In a reason these say what the patient has, and so name an answer.
_CLAIMED = re.compile(
    r"\b(?:it|this|that|he|she|they|we|patient|diagnosis|answer|condition|picture)\b(?: \w+){0,2}"
    r"(?:'s| (?:is|has|was|be|have|are))\b|\b(?:diagnosis|answer)\W*$|(?:患者|病人|本例|其|诊断)(?:有|患|为|是)",
    re.IGNORECASE,
)
