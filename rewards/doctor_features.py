"""What a doctor does in a reply and what an assistant does instead, as named numbers from 0 to 1.

Each feature is documented in `FEATURES` with the sign that it may have in a learned scorer. Good ones pay for an act that is
due at this point of the consultation; bad ones count sentences, and never shares of the text, so that words around a bad
sentence do not thin it out. No feature knows how long a reply is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medrl.rewards.consultation import Consultation, Lexicon, Named, Sentence, asked_in
from medrl.rewards.consultation_words import (
    AVOIDED,
    CLAUSES,
    COURTESY,
    CUE,
    DENIED,
    DISCLAIMER,
    DOSE,
    FREQUENCY,
    GENERIC,
    HEDGED,
    MARKUP,
    RETURN,
    SAFETY,
    SURE,
)

ENOUGH = 3  # findings that a diagnosis needs before it
PER_TURN = 2.0  # questions that are worth full credit
MANY = 4  # topics in one turn from which on it is a questionnaire
IDLE = {"en": 60, "zh": 20}  # characters of a sentence that says nothing


class Feature(NamedTuple):
    """A feature: which way it may count, and what it is."""

    sign: int
    about: str


FEATURES: Mapping[str, Feature] = {
    "asks_missing": Feature(+1, "asks for what is still missing: two questions are full credit; safety counts half while findings are few"),
    "commits": Feature(+1, "states one or two diagnoses without hedging, after enough findings, and none that the tables contradict"),
    "treats": Feature(+1, "names a drug with dose and frequency (1), with one of them (0.7) or neither (0.4), or a procedure (0.7)"),
    "orders": Feature(+1, "orders a named test"),
    "specific": Feature(+1, "says what to look out for by a named finding or a number: when to come back, what to do"),
    "asks_known": Feature(-1, "asks what the patient has told, or what was asked before"),
    "asks_nothing": Feature(-1, "asks without asking for anything: no topic, a finding that fits nothing, empty question marks"),
    "questionnaire": Feature(-1, "asks for more than four topics at once"),
    "premature": Feature(-1, "states a diagnosis before enough findings, or one that the tables contradict"),
    "hedges": Feature(-1, "names diseases or drugs as possibilities"),
    "generic": Feature(-1, "advice that fits everybody: see a doctor, rest, water, a healthy lifestyle"),
    "disclaims": Feature(-1, "says what it is not and what it cannot do"),
    "courtesy": Feature(-1, "thanks, understanding, transitions, offers of help, announcements of what comes"),
    "restates": Feature(-1, "says the patient's own words again and nothing else"),
    "idle": Feature(-1, "other sentences that ask nothing, name nothing and advise nothing"),
    "lists": Feature(-1, "lines that are items of a list"),
    "markup": Feature(-1, "headings and bold type"),
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """The features of a reply and what they were read from.

    Attributes:
        features: By name, all of `FEATURES`.
        content: From 0 to 1, how much medical content with regard to this case there is; 0 closes the content gate.
        prescribed: Drugs that the reply gives, by key.
        reason: One line on what was found.
    """

    features: Mapping[str, float]
    content: float
    prescribed: tuple[str, ...]
    reason: str


def part(count: float, full: float) -> float:
    """`count` as a share of `full`, from 0 to 1."""
    return max(0.0, min(1.0, count / full))


def read_reply(reply: str, before: Consultation, words: Lexicon, enough: int = ENOUGH) -> Reading:
    """The features of `reply` after `before`."""
    sentences = words.sentences(reply)
    asks = _questions(sentences, before, words, enough)
    said = [s for s in sentences if not s.question]
    diagnosed = _diagnoses(said, before, words, enough)
    acts = [_acts(s, before, words, diagnosed.committed) for s in said]
    empty = {**_emptiness(said, acts, diagnosed, before), **_empty_clauses(reply)}
    treats = max((act.treats for act in acts), default=0.0)
    orders = max((act.orders for act in acts), default=0.0)
    specific = part(sum(act.specific for act in acts), 1.0)
    features = {
        **asks,
        **empty,
        "commits": diagnosed.commits,
        "premature": diagnosed.premature,
        "hedges": part(diagnosed.hedged + sum(act.vague for act in acts), 3),
        "treats": treats,
        "orders": orders,
        "specific": specific,
        "lists": part(sum(s.listed for s in sentences) - 2, 4),
        "markup": part(len(MARKUP.findall(reply)), 3),
    }
    due = features["asks_missing"] * PER_TURN  # one question that is due opens the gate
    content = part(max(due, diagnosed.commits, treats, orders, specific, 0.5 * diagnosed.plausible), 0.5)
    drugs = tuple(dict.fromkeys(key for act in acts for key in act.drugs))
    good = [f"{name} {features[name]:.2g}" for name, one in FEATURES.items() if one.sign > 0 and features[name]]
    bad = [f"{name} {features[name]:.2g}" for name, one in FEATURES.items() if one.sign < 0 and features[name]]
    reason = f"{', '.join(good) or 'no act of a doctor'}; {', '.join(bad) or 'nothing empty'}"
    return Reading({name: features[name] for name in FEATURES}, content, drugs, reason)


# Questions


def _questions(
    sentences: Sequence[Sentence], before: Consultation, words: Lexicon, enough: int
) -> dict[str, float]:
    ready = len(before.positives) >= enough
    likely = words.candidates(before.positives)
    credit: dict[str, float] = {}
    known: set[str] = set()
    nothing = 0
    for sentence in (s for s in sentences if s.question):
        topics, named = asked_in(sentence), sentence.of("finding", "disease", "drug", "test")
        useful = 0
        for topic in topics:
            if topic == "pregnancy" and not before.may_be_pregnant:
                continue
            useful += 1
            if before.missing(topic):
                credit[topic] = _worth_asking(topic, ready)
            else:
                known.add(topic)
        for one in named:
            if one.key in before.heard:
                known |= {one.key} if not topics else set()
                useful += 1
            elif (worth := _relevant(one, likely, words)) > 0:
                credit[one.key] = worth * (0.5 if ready else 1.0)
                useful += 1
        nothing += not useful
    asked = len(credit) + len(known)
    return {
        "asks_missing": part(sum(credit.values()), PER_TURN),
        "asks_known": part(len(known), 3),
        "asks_nothing": part(nothing, 2),
        "questionnaire": part(asked - MANY, 4),
    }


def _worth_asking(topic: str, ready: bool) -> float:
    if topic in SAFETY:
        return 1.0 if ready or topic in ("age", "sex") else 0.5
    return 0.5 if ready or topic == "else" else 1.0


def _relevant(one: Named, likely: frozenset[str], words: Lexicon) -> float:
    """What a question about a concept is worth: 1 where a likely disease has the finding, 0 where none has it."""
    if one.kind != "finding":
        return 0.5
    if one.key not in words.world.findings or not likely:
        return 0.75
    return 1.0 if any(one.key in words.world.diseases[key].findings for key in likely) else 0.0


# Diagnoses


class _Diagnoses(NamedTuple):
    commits: float
    premature: float
    hedged: int
    plausible: bool
    committed: frozenset[str]
    sentences: frozenset[int]  # sentences that name a disease as the diagnosis


def _diagnoses(said: Sequence[Sentence], before: Consultation, words: Lexicon, enough: int) -> _Diagnoses:
    likely = words.candidates(before.positives)
    stated: dict[str, int] = {}
    hedged: set[str] = set()
    for at, sentence in enumerate(said):
        named = [one for one in sentence.of("disease") if one.key not in before.positives]
        if not named or DENIED.search(sentence.text):
            continue
        if len({one.key for one in named}) > 2 or (HEDGED.search(sentence.text) and not SURE.search(sentence.text)):
            hedged |= {one.key for one in named}
        elif CUE.search(sentence.text) or named[0].at <= 3:
            for one in named:
                stated.setdefault(one.key, at)
    stated = {key: at for key, at in stated.items() if key not in hedged}
    against = {key for key in stated if likely and key in words.world.diseases and key not in likely}
    held = frozenset(stated) - against
    one_or_two = 0 < len(stated) <= 2 and not against
    timely = len(before.positives) >= enough or bool(before.diagnosed & held)
    plausible = any(key not in words.world.diseases or key in likely for key in {*held, *hedged})
    return _Diagnoses(
        float(one_or_two and timely),
        float(bool(stated) and not (one_or_two and timely)),
        len(hedged) + (len(stated) if len(stated) > 2 else 0),
        plausible,
        held if one_or_two else frozenset(),
        frozenset(stated.values()),
    )


# Treatment, tests and advice


class _Acts(NamedTuple):
    treats: float = 0.0
    orders: float = 0.0
    specific: float = 0.0
    vague: int = 0
    drugs: tuple[str, ...] = ()


def _acts(sentence: Sentence, before: Consultation, words: Lexicon, committed: frozenset[str]) -> _Acts:
    text = sentence.text
    hedged = bool(HEDGED.search(text)) and not SURE.search(text)
    dose, frequency = bool(DOSE.search(text)), bool(FREQUENCY.search(text))
    drugs = [one.key for one in sentence.of("drug") if one.key not in before.heard or dose]
    if AVOIDED.search(text) and not dose:
        drugs = []
    about = committed | before.diagnosed | words.candidates(before.positives)
    given = tuple(drugs) if drugs and (dose or not hedged) else ()
    treats = max((_fits(key, about, words) for key in given), default=0.0)
    treats *= 1.0 if dose and frequency else 0.7 if dose or frequency else 0.4
    procedures = [one.key for one in sentence.of("procedure") if not one.denied]
    tests = [one.key for one in sentence.of("test") if not one.denied]
    if not hedged:
        treats = max([treats, *(0.7 * _fits(key, about, words) for key in procedures)])
    orders = max((_fits(key, about, words) for key in tests), default=0.0) if not hedged else 0.0
    concrete = bool(sentence.of("finding")) or any(map(str.isdigit, text))
    warned = bool(RETURN.search(text)) and concrete and not _empty_words(text)
    vague = len(set(drugs + procedures)) if hedged and not given else 0
    return _Acts(treats, orders, float(warned and not drugs), vague, given)


def _fits(key: str, about: frozenset[str], words: Lexicon) -> float:
    """1 where the tables give it for a disease in question, or do not know it; 0.25 where they give it for others only."""
    diseases = [words.world.diseases[one] for one in about if one in words.world.diseases]
    tabled = key in words.world.drugs or key in words.world.procedures or key in words.world.tests or key in words.world.labs
    if not diseases or not tabled:
        return 1.0 if about else 0.5
    return 1.0 if any(key in one.first_line or key in one.tests for one in diseases) else 0.25


# What is empty


def _empty_words(text: str) -> bool:
    return bool(GENERIC.search(text) or DISCLAIMER.search(text))


def _emptiness(
    said: Sequence[Sentence], acts: Sequence[_Acts], diagnosed: _Diagnoses, before: Consultation
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
        elif not sentence.named and not COURTESY.search(text):
            idle += len(text) / (IDLE["en"] if text.isascii() else IDLE["zh"])
    return {
        "restates": part(restated, 2),
        "idle": part(idle - 1, 4),  # a sentence of comfort is free
    }


def _empty_clauses(reply: str) -> dict[str, float]:
    """Clauses that thank, disclaim or advise everybody the same, wherever they stand: in questions too."""
    clauses = [clause for clause in CLAUSES.split(reply) if clause]
    return {
        name: part(sum(bool(pattern.search(clause)) for clause in clauses), full)
        for name, pattern, full in (("generic", GENERIC, 3), ("disclaims", DISCLAIMER, 2), ("courtesy", COURTESY, 3))
    }
