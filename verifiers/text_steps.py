"""The steps by which a term is held against a reference, in their order: the first that decides, decides.

A step takes a `Reading` and gives a verdict, or None where it has nothing to say. What was said as a whole comes first, then
its core: what it denies, which pole it takes, what the vocabulary calls it. Where no step decides, the rule abstains.
"""

import re
from collections.abc import Callable, Sequence

from medrl.types import Problem, Verdict
from medrl.verifiers.claims import OPEN_CHOICE, denies_its_kind
from medrl.verifiers.codes import by_code
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.directions import by_direction
from medrl.verifiers.ellipsis import (
    AFTER_NONE,
    by_ellipsis,
    by_none,
    several_of,
    spelt_by_question,
    spoken_of,
)
from medrl.verifiers.forms import by_form
from medrl.verifiers.han_ellipsis import by_han_ellipsis
from medrl.verifiers.normalise import compact, tokens
from medrl.verifiers.openers import NO_ANSWER, UNCERTAIN
from medrl.verifiers.opposites import opposed
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.poles import by_pole
from medrl.verifiers.predicates import speaks_elsewhere
from medrl.verifiers.presence import by_presence
from medrl.verifiers.relations import by_relation
from medrl.verifiers.stages import by_stage, denies_what_is_staged, of_another_scale
from medrl.verifiers.text_concepts import by_abbreviation, by_concept, by_measure, by_noun_of_question
from medrl.verifiers.text_reading import Reading
from medrl.verifiers.twofold import is_other_pair, names_two, withholds
from medrl.verifiers.wanted import Wanted, denied, mentions
from medrl.verifiers.wording import (
    DENIED,
    LIST,
    OR,
    REVERSED,
    TELLS_NOT_TO,
    TELLS_TO,
    after_denial,
    peel,
    without_cause,
)


def decide_text(problem: Problem, text: str, wanted: Wanted, known: Vocabulary | None) -> Verdict:
    """The verdict on one text, which may be an answer or a part of one."""
    return decide(Reading(problem, text, wanted, known))


def decide(reading: Reading) -> Verdict:
    """The verdict of the first step that decides."""
    for step in STEPS:
        if verdict := step(reading):
            return verdict
    return Verdict.abstain("the wording does not decide")


# What was said as a whole.


def _as_written(reading: Reading) -> Verdict | None:
    for shape in dict.fromkeys((reading.text, reading.whole)):
        if (key := compact(shape)) in reading.names or reading.wanted.says(shape, reading.known):
            return Verdict.right(f"it is {reading.names.get(key, reading.term)!r:.60}, as written")
    return None


def _behind_denial(reading: Reading) -> Verdict | None:
    """What follows "not Y but", or "Y is excluded."."""
    whole, text = reading.whole, reading.text
    left = after_denial(whole) or (after_denial(text.strip(" .。")) if text != whole else "")
    rest = decide(reading.of(left)) if left else None
    if rest is None or rest.score is None:
        return None
    decides = rest.score == 1.0 or not REVERSED.search(f"{reading.question} {reading.term}")
    return rest if decides else None


def _as_indexed(reading: Reading) -> Verdict | None:
    """A name as an index has it: "heart failure, left-sided"."""
    inverted = _INVERTED.fullmatch(reading.whole)
    first = decide(reading.of(f"{inverted[2]} {inverted[1]}")) if inverted else None
    return first if first and first.score == 1.0 else None


_INVERTED = re.compile(
    r"([A-Za-z][^,.;()]{2,50}), ((?:left|right|acute|chronic|type|primary|secondary|bilateral|congenital)[\w -]{0,16})",
    re.IGNORECASE,
)


def _with_cause(reading: Reading) -> Verdict | None:
    """The reference and a cause that the question tells: "insulin-induced X"."""
    alone = without_cause(reading.whole, reading.question)
    if not alone or (reading.known and reading.known.ids(reading.whole)):
        return None
    if decide(reading.of(alone)).score == 1.0:
        return Verdict.right(f"it is {reading.term!r:.60}, with the cause that the question tells")
    return None


def _commits_to_nothing(reading: Reading) -> Verdict | None:
    whole = reading.whole
    if len(whole) < 160 and NO_ANSWER.fullmatch(whole) and not UNCERTAIN.search(reading.term):
        return Verdict.wrong("it commits to nothing")
    if _MERELY.fullmatch(whole) and len(reading.term) > len(whole) + 1 and not _ASKS_SORT.search(reading.question):
        return Verdict.wrong("it says of what sort, and not what")
    return None


# A sort alone names nothing: 急性, of 急性阑尾炎.
_MERELY = re.compile("(?:亚?急|慢|原发|继发|特发|先天|后天|获得|良|恶|典型|常见|化脓|细菌|病毒)性?")
_ASKS_SORT = re.compile("性质|[型侧度期类级]|[急慢]性|还是|如何|怎样|特点|起病|病程")


def _stage(reading: Reading) -> Verdict | None:
    if denies_what_is_staged(reading.term, reading.text):
        return Verdict.abstain("it may deny that of which this is a stage")
    return by_stage(reading.question, reading.term, reading.text)


def _what_not_to_do(reading: Reading) -> Verdict | None:
    """Where the question asks what not to do: right is "do not perform X", wrong is "perform X"."""
    if not reading.asked.avoid or REVERSED.search(reading.term):
        return None
    no, yes = _NOT_TO.match(reading.text), TELLS_TO.match(reading.text)
    match = no or yes
    rest = reading.text[match.end() :] if match else ""
    while doing := _DOING.match(rest):
        rest = rest[doing.end() :]
    rest = _AT_ONCE.sub("", rest.strip(" .。"))
    if not rest or REVERSED.search(rest) or len(OR.split(reading.text)) > 1 or decide(reading.of(rest)).score != 1.0:
        return None
    if no:
        return Verdict.right(f"it says to avoid {reading.term!r:.60}, which is asked")
    return Verdict.wrong(f"it says to do {reading.term!r:.60}, which is to be avoided")


_DOING = re.compile(
    r" ?(?:to )?(?:perform|do|give|use|order|carry out|the use of|any|an?|行|做|进行|使用|给予)\b ?", re.IGNORECASE
)
_NOT_TO = re.compile(rf"{TELLS_NOT_TO.pattern}|no (?=\w)", re.IGNORECASE)
_AT_ONCE = re.compile(r" ?(?:immediately|at once|now|urgently|right away|first)$|^立即", re.IGNORECASE)


def _statement(reading: Reading) -> Verdict | None:
    """Of a reference that is no name but a statement: that one thing causes another, or that a thing is not there."""
    known, question, reference, whole = reading.known, reading.question, reading.term, reading.whole

    def same(one: str, other: str) -> bool:
        if compact(one) == compact(other):
            return True
        ours = known.ids(other) if known else frozenset[int]()
        theirs = known.ids(one) if known and ours else frozenset[int]()
        # An ambiguous abbreviation is the thing that the question spells out.
        sure = len(theirs) == 1 or compact(other) in compact(question)
        return len(ours) == 1 and ours <= theirs and sure

    def same_here(one: str, other: str) -> bool:
        """As `same`, also of what the question calls it at more length: intracranial hemorrhage."""
        if same(one, other):
            return True
        if len(other) > 30 or other.casefold() not in question.casefold():
            return False
        longer = re.search(rf"[A-Za-z-]{{4,20}} {re.escape(other)}\b", question, re.IGNORECASE)
        return longer is not None and known is not None and known.find(longer[0]) is not None and same(one, longer[0])

    stated = by_relation(reference, whole, same) or by_presence(reference, whole, same_here, reading.asked, question)
    return stated or by_form(reference, whole, same)


def _direction(reading: Reading) -> Verdict | None:
    return by_direction(reading.term, reading.text, reading.question)


# Its core.


def _several(reading: Reading) -> Verdict | None:
    several = several_of(reading.core, reading.wanted, reading.text)
    return Verdict.wrong(OPEN_CHOICE) if several and several.score is None and _offers(reading) else several


def _turned_round(reading: Reading) -> Verdict | None:
    core, head = reading.core, reading.head
    later = core != head and bool(mentions(core[len(head) :] if core.startswith(head) else "", reading.wanted.terms))
    for shape in (core,) if later or core == head else (core, head):
        words = tokens(shape)
        if any(opposed(words, term) or _opposed_but_for_sorts(words, term) for term in reading.wanted.words):
            return Verdict.wrong(
                f"{shape!r:.60} is {reading.term!r:.60} turned round (opposite, side, number or negation)"
            )
    return None


_SORTS = frozenset("antibody gene mutation syndrome disease protein virus".split())


def _opposed_but_for_sorts(words: Sequence[str], term: Sequence[str]) -> bool:
    """As `opposed`, without the sort of thing that they name, which one may leave out: anti-aquaporin-4 (antibody)."""
    if _SORTS.isdisjoint(words) and _SORTS.isdisjoint(term):
        return False  # nothing to leave out
    return opposed([word for word in words if word not in _SORTS], [word for word in term if word not in _SORTS])


def _denies(reading: Reading) -> Verdict | None:
    text, term, known = reading.text, reading.term, reading.known
    if not denied(text, reading.wanted.terms) and not (
        known and DENIED.search(text) and denies_its_kind(text, reading.reference, known)
    ):
        return None
    if reading.asked.avoid and TELLS_NOT_TO.match(text) and len(OR.split(text)) == 1:
        return Verdict.right(f"it says to avoid {term!r:.60}, which is asked")
    if REVERSED.search(reading.question) or REVERSED.search(term):
        return Verdict.abstain("the answer negates the reference, and the question asks in the negative")
    return Verdict.wrong(f"the answer denies {term!r:.60}")


def _none(reading: Reading) -> Verdict | None:
    none = by_none(reading.term, reading.head, reading.known, reading.asked)
    return None if none and none.score == 1.0 and AFTER_NONE.search(reading.text) else none


def _pole(reading: Reading) -> Verdict | None:
    """One of two poles (increased, left, benign), or a name that the question's noun completes."""
    term, core, head, question = reading.term, reading.core, reading.head, reading.question
    pole = by_pole(question, term, core, reading.text)
    if pole or not reading.explained:
        return pole
    pole = (by_pole(question, term, head, reading.text) if head != core else None) or by_ellipsis(
        head, term, reading.asked
    )
    if pole is None and reading.known:
        pole = by_han_ellipsis(head, reading.reference, reading.known, question, reading.asked)
    if pole and pole.score == 1.0 and of_another_scale(core, question, term):
        return Verdict.abstain("the answer names another scale")
    return pole


def _does_what_to_avoid(reading: Reading) -> Verdict | None:
    if reading.asked.avoid and TELLS_TO.match(reading.text) and mentions(reading.text, reading.wanted.terms):
        return Verdict.wrong(f"it says to do {reading.term!r:.60}, which is to be avoided")
    return None


def _two_things(reading: Reading) -> Verdict | None:
    """Wrong where two things are named: in a choice left open, as each other's names, or one after the other."""
    term, core, known = reading.term, reading.core, reading.known
    if _offers(reading):
        return Verdict.wrong(OPEN_CHOICE)
    if known and not reading.reference.ids and is_other_pair(reading.wanted.terms, core, known, reading.asked):
        return Verdict.wrong(f"both names are known as something else than those of {term!r:.60}")
    if withholds(core, term, reading.question):
        return Verdict.wrong(f"it withholds what {term!r:.60} gives")
    if known and names_two(core, reading.reference, reading.wanted, known):
        return Verdict.wrong("two answers, neither taken back")
    return None


def _offers(reading: Reading) -> bool:
    """Whether an answer is a list of names that ends in "or" one, of which one is the reference and each other is not."""
    core, known, ours = reading.core, reading.known, reading.reference.ids
    if known is None or len(core) > 200 or not _LAST_OR.search(core):
        return False
    parts = [peel(part) for part in LIST.split(core) if compact(part)]
    others = [known.ids(part) for part in parts if not reading.is_reference(part)]
    return (
        len(parts) == len(others) + 1
        and len(others) > 0
        and all(ids and all(known.apart(one, own) for one in ids for own in ours) for ids in others)
    )


_LAST_OR = Pattern(r"(?:,? \bor |或者?|还是)[^,，、或]{2,60}$", re.IGNORECASE)


_NAMELY = Pattern(
    r"(?:, (?:that is|i\.e\.,?|namely|in other words),? |[，,](?:即|也就是|亦即|换言之)(?:为|是)?)(?=[^即]{2,60}$)",
    re.IGNORECASE,
)


def _said_again(reading: Reading) -> Verdict | None:
    """Right where an answer ends in "that is" and the reference, and names no other thing before.

    So is the reference with its two parts in another order: 红斑狼疮，系统性.
    """
    core, known = reading.core, reading.known
    if len(core) > 300:
        return None
    called = _ALSO_CALLED.fullmatch(core)
    if called and known:
        names = called["names"] or called["han"]
        others = [known.ids(name) for name in LIST.split(names)]
        if any(ids and not ids & reading.reference.ids for ids in others) or _NO_ANSWER.search(names):
            return None
        first = decide(reading.of(called["first"] or called["name"]))
        return first if first.score is not None else None
    parts = _NAMELY.split(core)
    if len(parts) != 2:
        words = core.split("，")
        inverted = len(words) == 2 and compact(words[1] + words[0]) in reading.names
        return Verdict.right(f"it is {reading.term!r:.60}, its parts in another order") if inverted else None
    before, after = (decide(reading.of(part)) for part in parts)
    if after.score != 1.0 or before.score == 0.0 or (before.score != 1.0 and reading.says_another(parts[0])):
        return None
    return None if speaks_elsewhere(parts[0]) or _NO_ANSWER.search(parts[0]) else after


_ALSO_CALLED = Pattern(
    r"(?P<first>[^,;.\n]{3,60}),? (?:also|formerly|otherwise|commonly|previously|better) (?:called|known as|termed|named) "
    r"(?P<names>[^.;\n]{2,80})|"
    r"(?P<name>[^，。；,\n]{2,30})[，,]?(?:又称|又名|也称|亦称|俗称|旧称|简称|也叫|又叫)为?(?P<han>[^。；\n]{2,40})",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"错|不|非|误|干扰|鉴别|排除|否|另|次|最后|\b(?:not|no|without|unlikely|ruled out|least|second)\b", re.IGNORECASE
)


def _code(reading: Reading) -> Verdict | None:
    """By a code (T790M, CD20), with what the vocabulary calls the reference or the question's own things left out."""
    known, reference = reading.known, reading.reference

    def rest(words: Sequence[str]) -> list[str]:
        if known is None:
            return list(words)
        own = {" ".join(name) for one in reference.ids for name in known.index.spelt[one]}
        kept = list(words)
        for mention in reversed(known.mentions(words)):
            name = " ".join(words[mention.start : mention.end])
            theirs = bool(mention.ids & spoken_of(reading.question, known))
            if theirs or mention.ids & reference.ids or any(f" {name} " in f" {one} " for one in own):
                del kept[mention.start : mention.end]
        return kept

    text = reading.head if reading.explained else reading.core
    return by_code(reading.question, reading.term, text, reading.asked, rest)


def _spelt_by_question(reading: Reading) -> Verdict | None:
    """What an answer's short form says once the question's words stand for it."""
    spelt = spelt_by_question(reading.question, reading.core, reading.known) if reading.known else ""
    return decide(reading.of(spelt)) if spelt else None


STEPS: tuple[Callable[[Reading], Verdict | None], ...] = (
    _as_written,
    _behind_denial,
    _as_indexed,
    _with_cause,
    _commits_to_nothing,
    _stage,
    _what_not_to_do,
    _statement,
    _direction,
    _several,
    _turned_round,
    _denies,
    _none,
    _pole,
    _does_what_to_avoid,
    by_concept,
    by_noun_of_question,
    by_abbreviation,
    by_measure,
    _two_things,
    _said_again,
    _code,
    _spelt_by_question,
)
