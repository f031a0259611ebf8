"""What single sentences of a reply do: state a diagnosis, give a drug, order a test, say when to come back, or nothing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medrl.rewards.consultation import Consultation, asked_in
from medrl.rewards.consultation_lexicon import Lexicon, Named, Sentence
from medrl.rewards.consultation_words import (
    AVOIDED,
    CLAUSES,
    CONDITION,
    COURTESY,
    CUE,
    DENIED,
    DISCLAIMER,
    DOSE,
    FREQUENCY,
    GENERIC,
    HEDGED,
    IF,
    RETURN,
    SURE,
    TAKE,
    URGENT,
    WITHIN_TIME,
)

SUPPORTED = 0.7  # share of the best disease's findings that another must explain to be as good a diagnosis
UNKNOWN = 0.5  # credit of what no table can confirm or contradict
UNSAID = 0.3  # credit of a drug that fits the findings where nobody named a diagnosis
FEW = 3  # tests in one reply from which on they are a list
UNNAMED = "a drug without a known name"
IDLE = {"en": 60, "zh": 20}  # characters of a sentence that says nothing


def part(count: float, full: float) -> float:
    """`count` as a share of `full`, from 0 to 1."""
    return max(0.0, min(1.0, count / full))


# Diagnoses


class Diagnoses(NamedTuple):
    commits: float
    premature: float
    hedged: int
    plausible: bool
    committed: frozenset[str]
    sentences: frozenset[int]  # sentences that name a disease as the diagnosis


def diagnoses(said: Sequence[Sentence], before: Consultation, words: Lexicon, enough: int) -> Diagnoses:
    stated: dict[str, int] = {}
    hedged: set[str] = set()
    support = words.support(before.positives)
    for at, sentence in enumerate(said):
        named = [one for one in sentence.of("disease") if one.key not in before.positives]
        if not named or DENIED.search(sentence.text) or CONDITION.search(sentence.text):
            continue
        if len({one.key for one in named}) > 2 or (HEDGED.search(sentence.text) and not SURE.search(sentence.text)):
            hedged |= {one.key for one in named}
        elif CUE.search(sentence.text) or named[0].at <= 3 or _is_plain(named, support):
            for one in named:
                stated.setdefault(one.key, at)
    stated = {key: at for key, at in stated.items() if key not in hedged}
    against = {key for key in stated if support and key in words.world.diseases and support.get(key, 0.0) < SUPPORTED}
    held = frozenset(stated) - against
    one_or_two = 0 < len(stated) <= 2 and not against
    credit = min((_credit(key, support, before.positives, words) for key in held), default=0.0)
    timely = before.evidence >= enough or bool(before.diagnosed & held)
    told = stated.keys() | hedged  # a possibility is content where the tables confirm it, and a list of many is none
    plausible = len(told) <= FEW and any(support.get(key, 0.0) >= SUPPORTED for key in told)
    return Diagnoses(
        credit / len(stated) if one_or_two and timely else 0.0,
        float(bool(stated) and not (one_or_two and timely)),
        len(hedged) + (len(stated) if len(stated) > 2 else 0),
        plausible,
        held if one_or_two else frozenset(),
        frozenset(stated.values()),
    )


def _is_plain(named: Sequence[Named], support: Mapping[str, float]) -> bool:
    """Whether a sentence that no cue announces states a diagnosis: it names one disease, and the findings speak for it."""
    return len({one.key for one in named}) == 1 and support.get(named[0].key, 0.0) >= SUPPORTED


def _credit(key: str, support: Mapping[str, float], positives: frozenset[str], words: Lexicon) -> float:
    """What a diagnosis is worth: its support; where the tables do not know it, a half if they know no other, else nothing."""
    if key in words.world.diseases and not support:
        return UNKNOWN if len(positives.intersection(words.world.diseases[key].findings)) > 1 else 0.0
    if key in words.world.diseases or not support:
        return support.get(key, UNKNOWN)
    return max((share for other, share in support.items() if words.related(key, other)), default=0.0)


# Treatment, tests and advice


class Acts(NamedTuple):
    treats: float = 0.0
    orders: tuple[float, ...] = ()
    specific: float = 0.0
    vague: int = 0
    drugs: tuple[str, ...] = ()
    sends: bool = False


def acts_of(sentence: Sentence, before: Consultation, words: Lexicon, committed: frozenset[str]) -> Acts:
    text = sentence.text
    hedged = bool(HEDGED.search(text)) and not SURE.search(text)
    dose, frequency = bool(DOSE.search(text)), bool(FREQUENCY.search(text))
    drugs = [one.key for one in sentence.of("drug") if one.key not in before.heard or dose]
    if AVOIDED.search(text) and not dose:
        drugs = []
    diagnosed = committed | before.diagnosed
    about = diagnosed or _supported(before, words)
    given = tuple(drugs) if drugs and (dose or not hedged or TAKE.search(text)) else ()
    if dose and frequency and not drugs and not AVOIDED.search(text):
        given = (UNNAMED,)
    treats = max((_fits(key, about, words) for key in given if key != UNNAMED), default=0.0) * (not hedged)
    treats *= 1.0 if dose and frequency else 0.7 if dose or frequency else 0.4
    treats *= 1.0 if diagnosed else UNSAID
    procedures = [one.key for one in sentence.of("procedure") if not one.denied]
    tests = [one.key for one in sentence.of("test") if not one.denied]
    if not hedged and not _empty_words(text) and not COURTESY.search(text):  # "a speedy recovery" treats nothing
        treats = max([treats, *(0.7 * _fits(key, about, words) for key in procedures)])
    orders = tuple(_fits(key, about, words) for key in tests) if not hedged else ()
    vague = len(set(drugs + procedures)) if hedged else 0
    sends = _sends(text, about, words)
    when = sends or (not drugs and _tells_when(sentence, before))
    return Acts(treats, orders, float(when), vague, given, sends)


def orders_of(acts: Sequence[Acts]) -> float:
    """The best of up to three tests; of a longer list the share that fits."""
    fitting = [fits for act in acts for fits in act.orders]
    if len(fitting) <= FEW:
        return max(fitting, default=0.0)
    return sum(fits == 1.0 for fits in fitting) / len(fitting)


def given_in_question(sentence: Sentence) -> tuple[str, ...]:
    """Drugs with a dose in a question that does not ask what is taken: "amoxicillin 500 mg, all right?" gives them."""
    if not DOSE.search(sentence.text) or asked_in(sentence) & {"drugs", "treated"}:
        return ()
    return tuple(one.key for one in sentence.of("drug"))


def _tells_when(sentence: Sentence, before: Consultation) -> bool:
    """Whether it says when to come: with a finding that nobody named yet, or after a stated time."""
    text = sentence.text
    if any(text.strip(" 。.") in said for said in before.patient):
        return False
    new = [one for one in sentence.of("finding", "disease") if one.key not in before.heard]
    return bool(RETURN.search(text) and (WITHIN_TIME.search(text) or (new and len(new) <= 3 and IF.search(text))))


def _sends(text: str, about: frozenset[str], words: Lexicon) -> bool:
    """Whether it sends to hospital at once, and most of the diseases in question need that."""
    diseases = [words.world.diseases[key] for key in about if key in words.world.diseases]
    urgent = sum(one.acuity == "emergency" for one in diseases) * 2 > len(diseases)
    return urgent and bool(URGENT.search(text))


def _supported(before: Consultation, words: Lexicon) -> frozenset[str]:
    return frozenset(key for key, share in words.support(before.positives).items() if share >= SUPPORTED)


def _fits(key: str, about: frozenset[str], words: Lexicon) -> float:
    """1 where the tables give it for a disease in question, 0.25 where they give it for others only, else `UNKNOWN`."""
    diseases = [words.world.diseases[one] for one in about if one in words.world.diseases]
    world = words.world
    if not diseases or not any(key in table for table in (world.drugs, world.procedures, world.tests, world.labs)):
        return UNKNOWN
    return 1.0 if any(key in one.first_line or key in one.tests for one in diseases) else 0.25


# What is empty


def _empty_words(text: str) -> bool:
    return bool(GENERIC.search(text) or DISCLAIMER.search(text))


def emptiness(
    said: Sequence[Sentence], acts: Sequence[Acts], diagnosed: Diagnoses, before: Consultation
) -> dict[str, float]:
    restated, idle = 0, 0.0
    for at, (sentence, act) in enumerate(zip(said, acts, strict=True)):
        text = sentence.text
        works = bool(act.treats or act.orders or act.specific or at in diagnosed.sentences)
        if works or _empty_words(text):
            continue
        echoed = sentence.of("finding", "disease")
        if echoed and all(one.key in before.heard for one in echoed):
            restated += 1
        elif not sentence.of("drug", "finding", "disease", "test", "procedure") and not COURTESY.search(text):
            idle += len(text) / (IDLE["en"] if text.isascii() else IDLE["zh"])
    return {
        "restates": part(restated, 2),
        "idle": part(idle - 1, 4),  # a sentence of comfort is free
    }


def empty_clauses(reply: str) -> dict[str, float]:
    """Clauses that thank, disclaim or advise everybody the same, wherever they stand: in questions too."""
    clauses = [clause for clause in CLAUSES.split(reply) if clause]
    return {
        name: part(sum(bool(pattern.search(clause)) and not URGENT.search(clause) for clause in clauses), full)
        for name, pattern, full in (("generic", GENERIC, 3), ("disclaims", DISCLAIMER, 2), ("courtesy", COURTESY, 3))
    }
