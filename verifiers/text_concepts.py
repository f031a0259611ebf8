"""Steps over an answer's core by the vocabulary: what it calls the core, its head, or a short form of the reference."""

from medrl.types import Verdict
from medrl.verifiers.abbreviations import meaning_of
from medrl.verifiers.asides import without_exclusions
from medrl.verifiers.claims import OPEN_CHOICE, by_concepts
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.ellipsis import by_asked_noun
from medrl.verifiers.levels import named_level
from medrl.verifiers.parts import names_reference
from medrl.verifiers.phrases import by_measures
from medrl.verifiers.text_reading import Reading
from medrl.verifiers.twofold import touches
from medrl.verifiers.typos import misspelt, repaired
from medrl.verifiers.wanted import denied, glossed
from medrl.verifiers.wording import DENIES, before_differential, peel


def by_concept(reading: Reading) -> Verdict | None:
    """What the vocabulary calls the core, or its head where the rest only explains it."""
    core, head, known = reading.core, reading.head, reading.known
    verdict = glossed(head, reading.names, known)
    if verdict is None and known:
        whole = by_concepts(core, reading.reference, known, reading.asked) if core != head else None
        whole = None if whole and whole.score == 1.0 and DENIES.search(core) else whole
        if whole and whole.score == 1.0:
            return whole
        verdict = _by_head(reading, known) or whole
    return None if verdict and verdict.score == 1.0 and _undone(reading) else verdict


def _undone(reading: Reading) -> bool:
    """Whether what stands around the head may take it back."""
    tail, known = reading.tail, reading.known
    if not tail:
        return bool(DENIES.search(reading.head))
    beside, excluded = without_exclusions(tail)
    if known and beside and reading.says_another(beside):
        return True
    if known and excluded and touches(excluded, reading.reference, known):
        return True
    return not reading.explained or bool(DENIES.search(reading.head)) or denied(tail, reading.wanted.terms)


def _by_head(reading: Reading, known: Vocabulary) -> Verdict | None:
    """What an answer's head says, unless the head names another thing as a step towards the reference."""
    verdict = _by_vocabulary(reading, known)
    other = verdict is not None and verdict.score == 0.0 and verdict.reason != OPEN_CHOICE
    on_the_way = other and names_reference(before_differential(reading.core), reading.reference, known)
    return None if on_the_way else verdict


def _by_vocabulary(reading: Reading, known: Vocabulary) -> Verdict | None:
    """What the vocabulary says of the head, as it is written or with one name's misspelling mended."""
    head, reference, asked = reading.head, reading.reference, reading.asked
    verdict = by_concepts(head, reference, known, asked)
    if verdict is None and (level := named_level(head, asked)):
        return by_concepts(level, reference, known, asked)
    if verdict is None and not head.isascii():
        return _misspelt(reading, known)
    if verdict is None:
        mended = repaired(head, known)
        verdict = by_concepts(mended, reference, known, asked) if mended else None
        if verdict and verdict.score == 1.0:
            return Verdict.right(f"{head!r:.60} is a misspelling of {mended!r:.60}")
        verdict = None  # what is misspelt may be something that is not known
    return verdict


def _misspelt(reading: Reading, known: Vocabulary) -> Verdict | None:
    """Right where a name that nothing has is one of the reference's but for one character."""
    head, reference = reading.head, reading.reference
    if len(head) > 20 or known.ids(head):
        return None
    names = (*reference.terms, *(name for one in reference.ids for name in known.concepts[one].names))
    meant = next((name for name in names if misspelt(head, name)), "")
    return Verdict.right(f"{head!r:.60} is a misspelling of {meant!r:.60}") if meant else None


def by_noun_of_question(reading: Reading) -> Verdict | None:
    if reading.known is None or not reading.explained:
        return None
    return by_asked_noun(reading.question, reading.head, reading.reference, reading.known)


def by_abbreviation(reading: Reading) -> Verdict | None:
    """Right where the question tells what an abbreviation means, and that is the reference."""
    known = reading.known
    meaning = meaning_of(peel(reading.head), reading.question) if known else ""
    if known is None or not meaning or not reading.explained:
        return None
    meant = by_concepts(meaning, reading.reference, known, reading.asked)
    return meant if meant and meant.score == 1.0 else None


def by_measure(reading: Reading) -> Verdict | None:
    if reading.known is None or len(reading.wanted.terms) > 1:
        return None
    return by_measures(reading.term, reading.core, reading.known, reading.asked)
