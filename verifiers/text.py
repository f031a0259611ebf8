"""A term against the reference and its aliases: decided where the wording alone decides, left to a judge elsewhere.

Right: the committed answer is the reference once both are normalised, or clearly commits to it. Wrong: it is the
reference turned round (antonym, side, type number, negation), an open choice of several, or, with a vocabulary, a
different known concept. Similarity of strings decides nothing: "type 1" and "type 2 diabetes" are near in letters only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from medrl.types import Problem, Verdict
from medrl.verifiers.abbreviations import meaning_of
from medrl.verifiers.asides import (
    OFTEN_WITH,
    another_name,
    gives_cause,
    locates,
    only_describes,
    only_explains,
    says_it_is_a_name,
    without_exclusions,
)
from medrl.verifiers.claims import OPEN_CHOICE, by_concepts, denies_its_kind, says_another
from medrl.verifiers.codes import by_code
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.directions import by_direction
from medrl.verifiers.ellipsis import (
    ALL_MAY,
    by_asked_noun,
    by_ellipsis,
    by_none,
    in_full,
    several_of,
    spelt_by_question,
    spoken_of,
)
from medrl.verifiers.extract import Extracted
from medrl.verifiers.forms import by_form
from medrl.verifiers.han_ellipsis import by_han_ellipsis
from medrl.verifiers.levels import named_level, source_of
from medrl.verifiers.normalise import compact, tokens
from medrl.verifiers.openers import NO_ANSWER, UNCERTAIN
from medrl.verifiers.opposites import opposed
from medrl.verifiers.parts import Reference, names_reference
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.phrases import by_measures
from medrl.verifiers.poles import by_pole
from medrl.verifiers.predicates import speaks_elsewhere, takes_back
from medrl.verifiers.presence import by_presence, found_after_all
from medrl.verifiers.reading import VocabularyVerifier
from medrl.verifiers.relations import by_relation
from medrl.verifiers.scripts import has_han, simplified
from medrl.verifiers.stages import by_stage, of_another_scale
from medrl.verifiers.twofold import is_other_pair, names_two, touches, withholds
from medrl.verifiers.typos import misspelt, repaired
from medrl.verifiers.vocabularies import Sources, vocabulary
from medrl.verifiers.wanted import Wanted, denied, glossed, mentions, wanted_of
from medrl.verifiers.wording import (
    DENIED,
    DENIES,
    DIFFERENTIAL_ASIDE,
    LIST,
    OR,
    PARENS,
    REVERSED,
    TELLS_NOT_TO,
    TELLS_TO,
    Asked,
    after_denial,
    before_another,
    before_differential,
    contrasts,
    head_of,
    peel,
    says_nothing,
    without_cause,
)


@dataclass(frozen=True)
class Text(VocabularyVerifier):
    """Decides a named answer (a diagnosis, a drug, an organism); abstains where wording cannot decide."""

    name: ClassVar[str] = "text"

    vocabulary: Sources = None
    """Names that are known to mean one concept: "medrl" (medrl's own, English and Chinese), "clinic" (the simulated
    clinic's), a file (.jsonl, .csv, .tsv, .obo, .RRF), or a list of these. With it a synonym is right and a different
    known concept is wrong; without it both abstain."""

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        wanted = wanted_of(str(problem.reference), tuple(problem.aliases))
        if not wanted.names:
            return Verdict.abstain("the reference has no letters or digits to compare")
        if not answer.committed:
            return Verdict.abstain("a long answer without a statement that commits to one term")
        known = vocabulary(self.vocabulary)
        if known and not problem.aliases and (full := in_full(problem.question, wanted.terms[0], known)):
            wanted = wanted_of(str(problem.reference), (full,))
        verdict = _decide(problem, answer.text, wanted, known)
        if verdict.score == 1.0 and known and _spelt_out_as_another(answer.text, wanted, known):
            return Verdict.abstain("the abbreviation is spelt out as something else")
        if verdict.score == 1.0 and any(found_after_all(wanted.terms[0], one) for one in (answer.text, *answer.after)):
            return Verdict.abstain("what is said to be absent is found after all")
        return verdict if verdict.score != 1.0 else _beside(problem, answer, wanted, known) or verdict


def _spelt_out_as_another(text: str, wanted: Wanted, known: Vocabulary) -> bool:
    """Whether an abbreviation is followed by another thing's whole name in parentheses: PD（腹膜透析） of 帕金森病."""
    if compact(text) in wanted.names:
        return False
    for match in _SPELT_OUT.finditer(text) if "(" in text or "（" in text else ():
        ids = known.ids(match["name"].strip())
        if ids and not ids & _reference(wanted.terms, known).ids and compact(match["name"]) not in wanted.names:
            return True
    return False


_SPELT_OUT = re.compile(r"(?<![A-Za-z])[A-Z][A-Za-z]{0,2}[A-Z0-9]{1,4} ?[(（](?P<name>[^()（）]{1,60})[)）]")


def _beside(problem: Problem, answer: Extracted, wanted: Wanted, known: Vocabulary | None) -> Verdict | None:
    """What other statements of a response make of its right answer, if anything."""
    before = [_decide(problem, one, wanted, known).score for one in answer.earlier]
    if 0.0 in before and known:
        return Verdict.wrong("two answers, neither taken back")
    if any(score != 1.0 for score in before):
        return Verdict.abstain("an earlier statement, not taken back, names something else")
    if any(_decide(problem, one, wanted, known).score == 0.0 for one in answer.after) or (
        known and any(says_another(one, _reference(wanted.terms, known), known) for one in answer.after)
    ):
        return Verdict.abstain("something else that is known follows the answer")
    if any(_turns(problem, one, wanted, known) for one in answer.after):
        return Verdict.abstain("what follows the answer may take it back")
    return None


def _turns(problem: Problem, after: str, wanted: Wanted, known: Vocabulary | None) -> bool:
    """Whether a sentence behind an answer takes it back, or is so short that it may ("Excluded.", "His mother.")."""
    words = tokens(after)
    if takes_back(after):
        return True
    if contrasts(after) or (TELLS_TO.match(after) and not DENIES.search(after)):
        return False  # "Not Y.", "Start heparin."
    short = len(words) < (8 if has_han(after) else 4)
    silent = says_nothing(words, _asked(problem.question))
    return bool(words) and short and not silent and _decide(problem, after, wanted, known).score != 1.0


_ANTIBODY_TO = re.compile(
    r"\b(?:auto)?antibod(?:y|ies) (?:directed )?(?:against|to) (?:the )?"
    r"([A-Za-z0-9][^\s,.;()]*(?: [^\s,.;()]+){0,2})(?=[.,;(]| \(|$)",
    re.IGNORECASE,
)
_SIDE_BEHIND = Pattern(
    r"^(?:an? |the )?([^,;.]{3,60}?),? (?:on|to|of|in) the (left|right)(?: side)?(?=[.,;]|$)", re.IGNORECASE
)
_PLUS = re.compile(r"(?<=[征验体原]) ?[(（][+＋][)）]|(?<=[Ss]ign|test) ?[(（][+＋][)）]")  # Murphy征(+)


def _decide(problem: Problem, text: str, wanted: Wanted, known: Vocabulary | None) -> Verdict:
    terms, names, asked = wanted.terms, wanted.names, _asked(problem.question)
    text = before_another(simplified(text))
    if "ntibod" in text and not _ANTIBODY_TO.search(terms[0]):
        text = _ANTIBODY_TO.sub(r"anti-\1 antibody", text)
    text = _PLUS.sub("阳性" if has_han(text) else " positive", text) if "+" in text else text
    core = peel(_SIDE_BEHIND.sub(r"\2 \1", _without_asides(problem, text, wanted, known)))
    left = after_denial(core) or (after_denial(text.strip(" .。")) if text != core else "")
    rest = _decide(problem, left, wanted, known) if left else None
    if rest and (rest.score == 1.0 or (rest.score == 0.0 and not REVERSED.search(f"{problem.question} {terms[0]}"))):
        return rest
    if inverted := _INVERTED.fullmatch(core):
        first = _decide(problem, f"{inverted[2]} {inverted[1]}", wanted, known)
        if first.score == 1.0:
            return first
    alone = without_cause(core, problem.question) if not (known and known.ids(core)) else ""
    if alone and _decide(problem, alone, wanted, known).score == 1.0:
        return Verdict.right(f"it is {terms[0]!r:.60}, with the cause that the question tells")
    if _said_nothing(core, terms[0]):
        return Verdict.wrong("it commits to nothing")
    if _MERELY.fullmatch(core) and len(terms[0]) > len(core) + 1 and not _ASKS_SORT.search(problem.question):
        return Verdict.wrong("it says of what sort, and not what")
    for shape in (text, core) if core != text else (text,):
        if (key := compact(shape)) in names or wanted.says(tokens(shape)):
            return Verdict.right(f"it is {names.get(key, terms[0])!r:.60}, as written")
    staged = by_stage(problem.question, terms[0], text)
    if staged:
        return staged
    stated = _to_avoid(problem, text, wanted, known) or _by_statement(problem, core, wanted, known)
    stated = stated or by_direction(terms[0], peel(text), problem.question)
    if stated:
        return stated
    if _POSITIVE.search(core) and _IS_POSITIVE.search(terms[0]):
        core = _POSITIVE.sub("", core)
    cause = _CAUSE.search(core)
    if cause and says_nothing(tokens(core[cause.end() :]), asked):
        core = core[: cause.start()]
    elif known and (source := source_of(terms[0], core)):
        core = core if says_another(source, _reference(terms, known), known) else core[: -len(source)]
    several = several_of(core, wanted, all_may=bool(ALL_MAY.search(text)))
    if several:
        offered = known and several.score is None and _offers(core, _reference(terms, known), wanted, known)
        return Verdict.wrong(OPEN_CHOICE) if offered else several
    kept = head_of(core)
    head = core if kept == core else peel(kept)
    later = core != head and bool(mentions(core[len(head) :] if core.startswith(head) else "", terms))
    for shape in (core,) if later or core == head else (core, head):
        words = tokens(shape)
        if any(opposed(words, term) or _opposed_but_for_sorts(words, term) for term in wanted.words):
            return Verdict.wrong(f"{shape!r:.60} is {terms[0]!r:.60} turned round (opposite, side, number or negation)")
    if denied(text, terms) or (
        known and DENIED.search(text) and denies_its_kind(text, _reference(terms, known), known)
    ):
        if asked.avoid and TELLS_NOT_TO.match(text) and len(OR.split(text)) == 1:
            return Verdict.right(f"it says to avoid {terms[0]!r:.60}, which is asked")
        if REVERSED.search(problem.question) or REVERSED.search(terms[0]):
            return Verdict.abstain("the answer negates the reference, and the question asks in the negative")
        return Verdict.wrong(f"the answer denies {terms[0]!r:.60}")
    none = by_none(terms[0], head, known, asked)
    if none:
        return none
    tail = core[len(kept) :]
    explained = only_explains(core, kept) and not (tail and _may_undo(tail, wanted.terms, known))
    pole = by_pole(problem.question, terms[0], core)
    if pole is None and explained:
        pole = by_pole(problem.question, terms[0], head) if head != core else None
        pole = pole or by_ellipsis(head, terms[0], asked)
        if pole is None and known:
            pole = by_han_ellipsis(head, _reference(terms, known), known, problem.question, asked)
        if pole and pole.score == 1.0 and of_another_scale(core, f"{problem.question} {terms[0]}"):
            return Verdict.abstain("the answer names another scale")
    if pole:
        return pole
    if asked.avoid and TELLS_TO.match(text) and mentions(text, terms):
        return Verdict.wrong(f"it says to do {terms[0]!r:.60}, which is to be avoided")
    verdict = glossed(head, names, known)
    if verdict is None and known:
        reference = _reference(terms, known)
        whole = by_concepts(core, reference, known, asked) if core != head else None
        whole = None if whole and whole.score == 1.0 and DENIES.search(core) else whole
        if whole and whole.score == 1.0:
            return whole
        verdict = _by_head(core, head, reference, known, asked) or whole
    if verdict and verdict.score == 1.0:
        beside, excluded = without_exclusions(tail)
        again = known is not None and (
            (
                beside != ""
                and says_another(beside, _reference(terms, known), known)
                and not locates(beside, _reference(terms, known).ids, known)
            )
            or (excluded != "" and touches(excluded, _reference(terms, known), known))
        )
        verdict = None if again or not explained or DENIES.search(head) or denied(tail, terms) else verdict
    if verdict is None and known and explained:
        verdict = by_asked_noun(problem.question, head, _reference(terms, known), known)
    if verdict is None and known and (meaning := meaning_of(peel(head), problem.question)):
        meant = by_concepts(meaning, _reference(terms, known), known, asked) if explained else None
        verdict = meant if meant and meant.score == 1.0 else None
    if verdict is None and known:
        verdict = by_measures(terms[0], core, known, asked) if len(terms) == 1 else None
    if verdict is None and known and _offers(core, _reference(terms, known), wanted, known):
        return Verdict.wrong(OPEN_CHOICE)
    if verdict is None and known and not _reference(terms, known).ids and is_other_pair(terms, core, known, asked):
        return Verdict.wrong(f"both names are known as something else than those of {terms[0]!r:.60}")
    if verdict is None and withholds(core, terms[0], problem.question):
        return Verdict.wrong(f"it withholds what {terms[0]!r:.60} gives")
    if verdict is None and known and names_two(core, _reference(terms, known), wanted, known):
        return Verdict.wrong("two answers, neither taken back")
    verdict = (
        verdict
        or _said_again(problem, core, wanted, known)
        or _by_code(problem, head if explained else core, known, wanted)
    )
    if verdict is None and known and (spelt := spelt_by_question(problem.question, core, known)):
        return _decide(problem, spelt, wanted, known)
    return verdict or Verdict.abstain("the wording does not decide")


# A name as an index has it: "heart failure, left-sided".
_INVERTED = re.compile(
    r"([A-Za-z][^,.;()]{2,50}), ((?:left|right|acute|chronic|type|primary|secondary|bilateral|congenital)[\w -]{0,16})",
    re.IGNORECASE,
)


def _said_nothing(core: str, reference: str) -> bool:
    return len(core) < 160 and NO_ANSWER.fullmatch(core) is not None and not UNCERTAIN.search(reference)


# A sort alone names nothing: 急性, of 急性阑尾炎.
_MERELY = re.compile("(?:亚?急|慢|原发|继发|特发|先天|后天|获得|良|恶|典型|常见|化脓|细菌|病毒)性?")
_ASKS_SORT = re.compile("性质|[型侧度期类级]|[急慢]性|还是|如何|怎样|特点|起病|病程")
_DOING = re.compile(
    r" ?(?:to )?(?:perform|do|give|use|order|carry out|the use of|any|an?|行|做|进行|使用|给予)\b ?", re.IGNORECASE
)


def _to_avoid(problem: Problem, text: str, wanted: Wanted, known: Vocabulary | None) -> Verdict | None:
    """Where the question asks what not to do: right is "do not perform X", wrong is "perform X"."""
    if not _asked(problem.question).avoid or REVERSED.search(wanted.terms[0]):
        return None
    no, yes = _NOT_TO.match(text), TELLS_TO.match(text)
    match = no or yes
    rest = text[match.end() :] if match else ""
    while doing := _DOING.match(rest):
        rest = rest[doing.end() :]
    rest = _AT_ONCE.sub("", rest.strip(" .。"))
    if (
        not rest
        or REVERSED.search(rest)
        or len(OR.split(text)) > 1
        or _decide(problem, rest, wanted, known).score != 1.0
    ):
        return None
    if no:
        return Verdict.right(f"it says to avoid {wanted.terms[0]!r:.60}, which is asked")
    return Verdict.wrong(f"it says to do {wanted.terms[0]!r:.60}, which is to be avoided")


_NOT_TO = re.compile(rf"{TELLS_NOT_TO.pattern}|no (?=\w)", re.IGNORECASE)
_AT_ONCE = re.compile(r" ?(?:immediately|at once|now|urgently|right away|first)$|^立即", re.IGNORECASE)


def _by_statement(problem: Problem, core: str, wanted: Wanted, known: Vocabulary | None) -> Verdict | None:
    """Of a reference that is no name but a statement: that one thing causes another, or that a thing is not there."""
    asked = _asked(problem.question)

    def same(one: str, other: str) -> bool:
        if compact(one) == compact(other):
            return True
        ours = known.ids(other) if known else frozenset[int]()
        theirs = known.ids(one) if known and ours else frozenset[int]()
        # An ambiguous abbreviation is the thing that the question spells out.
        sure = len(theirs) == 1 or compact(other) in compact(problem.question)
        return len(ours) == 1 and ours <= theirs and sure

    def same_here(one: str, other: str) -> bool:
        """As `same`, also of what the question calls it at more length: intracranial hemorrhage."""
        if same(one, other) or len(other) > 30:
            return same(one, other)
        longer = re.search(rf"[A-Za-z-]{{4,20}} {re.escape(other)}\b", problem.question, re.IGNORECASE)
        return longer is not None and known is not None and known.find(longer[0]) is not None and same(one, longer[0])

    reference = wanted.terms[0]
    stated = by_relation(reference, core, same) or by_presence(reference, core, same_here, asked, problem.question)
    return stated or by_form(reference, core, same)


def _by_code(problem: Problem, text: str, known: Vocabulary | None, wanted: Wanted) -> Verdict | None:
    """As `by_code`, with what the vocabulary calls the reference or the question's own things left out."""

    def rest(words: Sequence[str]) -> list[str]:
        if known is None:
            return list(words)
        reference = _reference(wanted.terms, known)
        own = {" ".join(name) for one in reference.ids for name in known.index.spelt[one]}
        kept = list(words)
        for mention in reversed(known.mentions(words)):
            name = " ".join(words[mention.start : mention.end])
            theirs = bool(mention.ids & spoken_of(problem.question, known))
            if theirs or mention.ids & reference.ids or any(f" {name} " in f" {one} " for one in own):
                del kept[mention.start : mention.end]
        return kept

    return by_code(problem.question, wanted.terms[0], text, _asked(problem.question), rest)


_NAMELY = Pattern(
    r"(?:, (?:that is|i\.e\.,?|namely|in other words),? |[，,](?:即|也就是|亦即|换言之)(?:为|是)?)(?=[^即]{2,60}$)",
    re.IGNORECASE,
)


def _said_again(problem: Problem, core: str, wanted: Wanted, known: Vocabulary | None) -> Verdict | None:
    """Right where an answer ends in "that is" and the reference, and names no other thing before.

    So is the reference with its two parts in another order: 红斑狼疮，系统性.
    """
    if len(core) > 300:
        return None
    called = _ALSO_CALLED.fullmatch(core)
    if called and known:
        reference = _reference(wanted.terms, known)
        names = [known.ids(name) for name in LIST.split(called["names"] or called["han"])]
        if any(ids and not ids & reference.ids for ids in names) or _NO_ANSWER.search(called["names"] or called["han"]):
            return None
        first = _decide(problem, called["first"] or called["name"], wanted, known)
        return first if first.score is not None else None
    parts = _NAMELY.split(core)
    if len(parts) != 2:
        words = core.split("，")
        inverted = len(words) == 2 and compact(words[1] + words[0]) in wanted.names
        return Verdict.right(f"it is {wanted.terms[0]!r:.60}, its parts in another order") if inverted else None
    before, after = (_decide(problem, part, wanted, known) for part in parts)
    strange = (
        known is not None and before.score != 1.0 and says_another(parts[0], _reference(wanted.terms, known), known)
    )
    elsewhere = speaks_elsewhere(parts[0]) or _NO_ANSWER.search(parts[0])
    return after if after.score == 1.0 and before.score != 0.0 and not strange and not elsewhere else None


_ALSO_CALLED = Pattern(
    r"(?P<first>[^,;.\n]{3,60}),? (?:also|formerly|otherwise|commonly|previously|better) (?:called|known as|termed|named) "
    r"(?P<names>[^.;\n]{2,80})|"
    r"(?P<name>[^，。；,\n]{2,30})[，,]?(?:又称|又名|也称|亦称|俗称|旧称|简称|也叫|又叫)为?(?P<han>[^。；\n]{2,40})",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"错|不|非|误|干扰|鉴别|排除|否|另|次|最后|\b(?:not|no|without|unlikely|ruled out|least|second)\b", re.IGNORECASE
)


def _may_undo(tail: str, terms: tuple[str, ...], known: Vocabulary | None) -> bool:
    """Whether what follows an answer takes it back, or excludes something of which it is not known that it is another."""
    rest, excluded = without_exclusions(tail)
    if not excluded or takes_back(rest):
        return takes_back(rest)
    families = {known.family(one) for one in _reference(terms, known).ids} if known else set[str]()
    named = known.mentions(tokens(excluded), excluded) if known else []
    return not any(known and known.family(one) in families for mention in named for one in mention.ids)


_SORTS = frozenset("antibody gene mutation syndrome disease protein virus".split())


def _opposed_but_for_sorts(words: Sequence[str], term: Sequence[str]) -> bool:
    """As `opposed`, without the sort of thing that they name, which one may leave out: anti-aquaporin-4 (antibody)."""
    if _SORTS.isdisjoint(words) and _SORTS.isdisjoint(term):
        return False  # nothing to leave out
    return opposed([word for word in words if word not in _SORTS], [word for word in term if word not in _SORTS])


def _by_head(core: str, head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """What an answer's head says, unless the head names another thing as a step towards the reference."""
    verdict = _by_vocabulary(head, reference, known, asked)
    other = verdict is not None and verdict.score == 0.0 and verdict.reason != OPEN_CHOICE
    return None if other and names_reference(before_differential(core), reference, known) else verdict


def _by_vocabulary(head: str, reference: Reference, known: Vocabulary, asked: Asked) -> Verdict | None:
    """What the vocabulary says of the answer's head, as it is written or with one name's misspelling mended."""
    verdict = by_concepts(head, reference, known, asked)
    if verdict is None and (level := named_level(head)):
        return by_concepts(level, reference, known, asked)
    if verdict is None and not head.isascii():
        return _misspelt(head, reference, known)
    if verdict is None:
        mended = repaired(head, known)
        verdict = by_concepts(mended, reference, known, asked) if mended else None
        if verdict and verdict.score == 1.0:
            return Verdict.right(f"{head!r:.60} is a misspelling of {mended!r:.60}")
        verdict = None  # what is misspelt may be something that is not known
    return verdict


def _misspelt(head: str, reference: Reference, known: Vocabulary) -> Verdict | None:
    """Right where a name that nothing has is one of the reference's but for one character."""
    if len(head) > 20 or known.ids(head):
        return None
    names = (*reference.terms, *(name for one in reference.ids for name in known.concepts[one].names))
    meant = next((name for name in names if misspelt(head, name)), "")
    return Verdict.right(f"{head!r:.60} is a misspelling of {meant!r:.60}") if meant else None


@lru_cache(maxsize=4096)
def _reference(terms: tuple[str, ...], known: Vocabulary) -> Reference:
    return Reference.of(terms, known)


@lru_cache(maxsize=1024)
def _asked(question: str) -> Asked:
    return Asked.of(question)


_LAST_OR = Pattern(r"(?:,? \bor |或者?|还是)[^,，、或]{2,60}$", re.IGNORECASE)


def _offers(core: str, reference: Reference, wanted: Wanted, known: Vocabulary) -> bool:
    """Whether an answer is a list of names that ends in "or" one, of which one is the reference and each other is not."""
    if len(core) > 200 or not _LAST_OR.search(core):
        return False
    parts = [peel(part) for part in LIST.split(core) if compact(part)]
    own = [compact(part) in wanted.names or bool(known.ids(part) & reference.ids) for part in parts]
    others = [known.ids(part) for part, is_own in zip(parts, own, strict=True) if not is_own]
    return (
        sum(own) == 1
        and len(others) > 0
        and all(ids and all(known.apart(one, ours) for one in ids for ours in reference.ids) for ids in others)
    )


# Of an antibody, a sign or a test that is named, 阳性 says no more than that it is there.
_POSITIVE = re.compile(
    r"(?<=.)(?<![革兰弱强])呈?阳性(?:[是为](?:其|[本该]病)的?(?:主要|重要|典型)?(?:特征|特点|标志))?$"
)
_IS_POSITIVE = re.compile(r"(?:抗体|征|试验|[A-Za-z])$")
_CAUSE = Pattern(r",? (?:due to|secondary to|caused by|resulting from) ", re.IGNORECASE)


def _without_asides(problem: Problem, text: str, wanted: Wanted, known: Vocabulary | None) -> str:
    """A text without parentheses that only tell its answer apart from something.

    Others go too where all repeat the question, or announce another name or a cause and name nothing else.
    """
    if "(" not in text and "（" not in text:
        return text
    reference = _reference(wanted.terms, known) if known else Reference((), frozenset(), (), frozenset())

    def same(name: str) -> bool:
        return compact(name) in wanted.names or (known is not None and bool(known.ids(name) & reference.ids))

    for aside in PARENS.findall(text):
        if OFTEN_WITH.fullmatch(aside):
            continue
        echo = len(compact(aside)) > 3 and compact(aside) in compact(problem.question)
        name = another_name(aside)
        name_only = says_it_is_a_name(aside)
        again = (
            same(name)
            if name
            else name_only or (gives_cause(aside) and not (known and says_another(aside, reference, known)))
        )
        if not (echo or again or (known and only_describes(aside, reference.ids, known, _asked(problem.question)))):
            return DIFFERENTIAL_ASIDE.sub(" ", known.one_name(text) if known else text)
    return DIFFERENTIAL_ASIDE.sub(" ", PARENS.sub("", text))
