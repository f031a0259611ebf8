"""What a doctor does in a reply and what an assistant does instead, as named numbers from 0 to 1.

Each feature is documented in `FEATURES` with the sign that it may have in a learned scorer. Good ones pay for an act that is
due at this point of the consultation; bad ones count sentences, and never shares of the text, so that words around a bad
sentence do not thin it out. No feature knows how long a reply is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medrl.data.clinic.patients import carriers
from medrl.rewards.consultation import Consultation, asked_in, of_others
from medrl.rewards.consultation_lexicon import Lexicon, Named, Sentence
from medrl.rewards.consultation_topics import ASIDE, SAFETY
from medrl.rewards.consultation_words import MARKUP
from medrl.rewards.doctor_acts import acts_of, diagnoses, emptiness, empty_clauses, given_in_question, orders_of, part

ENOUGH = 3  # findings that a diagnosis needs before it
PER_TURN = 2.0  # questions that are worth full credit
MANY = 4  # topics in one turn from which on it is a questionnaire
ANYBODY = 0.6  # most credit, in questions, of what can be asked of everybody
COMMON = 0.08  # share of all diseases that have a finding, from which on it can be asked of everybody


class Feature(NamedTuple):
    """A feature: which way it may count, and what it is."""

    sign: int
    about: str


FEATURES: Mapping[str, Feature] = {
    "asks_missing": Feature(
        +1,
        "asks for what is still missing: two questions that fit the case are full credit, what fits everybody a third",
    ),
    "commits": Feature(
        +1, "states one or two diagnoses without hedging, after enough findings, by its support in the tables"
    ),
    "treats": Feature(
        +1,
        "names a drug with dose and frequency (1), with one of them (0.7) or neither (0.4), or a procedure (0.7); a drug "
        "that no diagnosis was named for counts 0.3 of that",
    ),
    "orders": Feature(+1, "orders a named test"),
    "specific": Feature(
        +1, "says when to come back, by a finding not named before or after a stated time; or to go at once, where due"
    ),
    "asks_known": Feature(-1, "asks what the patient has told, or what was asked before"),
    "asks_nothing": Feature(
        -1, "asks without asking for anything: no topic, a finding that fits nothing, empty question marks"
    ),
    "questionnaire": Feature(
        -1, "asks for more than four topics at once, by which the credit for questions also shrinks"
    ),
    "premature": Feature(-1, "states a diagnosis before enough findings, or one that the tables contradict"),
    "hedges": Feature(-1, "names diseases or drugs as possibilities"),
    "generic": Feature(-1, "advice that fits everybody: see a doctor, rest, water, a healthy lifestyle"),
    "disclaims": Feature(-1, "says what it is not and what it cannot do"),
    "courtesy": Feature(-1, "thanks, understanding, transitions, offers of help, announcements of what comes"),
    "restates": Feature(-1, "says the patient's own words again and nothing else"),
    "idle": Feature(-1, "other sentences that ask nothing, name nothing and advise nothing"),
    "lists": Feature(-1, "lines that are items of a list"),
    "markup": Feature(-1, "headings and bold type"),
}


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


def read_reply(reply: str, before: Consultation, words: Lexicon, enough: int = ENOUGH) -> Reading:
    """The features of `reply` after `before`."""
    sentences = words.sentences(reply)
    said = [s for s in sentences if not s.question]
    diagnosed = diagnoses(said, before, words, enough)
    # Safety is due before a drug, and so once there is a diagnosis to treat.
    treatable = bool(before.diagnosed) or diagnosed.commits > 0
    asks, fitting = _questions(sentences, before, words, enough, treatable)
    acts = [acts_of(s, before, words, diagnosed.committed) for s in said]
    empty = {**emptiness(said, acts, diagnosed, before), **empty_clauses(reply)}
    treats = max((act.treats for act in acts), default=0.0)
    orders = orders_of(acts)
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
    # One question that fits the case opens the gate; what can be asked of everybody opens it by half.
    due = min(features["asks_missing"] * PER_TURN, fitting + 0.25)
    sends = float(any(act.sends for act in acts))  # when to come back is no content by itself: it fits everybody
    content = part(max(due, diagnosed.commits, treats, orders, sends, 0.5 * diagnosed.plausible), 0.5)
    offered = [key for s in sentences if s.question for key in given_in_question(s)]
    drugs = tuple(dict.fromkeys([*(key for act in acts for key in act.drugs), *offered]))
    good = [f"{name} {features[name]:.2g}" for name, one in FEATURES.items() if one.sign > 0 and features[name]]
    bad = [f"{name} {features[name]:.2g}" for name, one in FEATURES.items() if one.sign < 0 and features[name]]
    reason = f"{', '.join(good) or 'no act of a doctor'}; {', '.join(bad) or 'nothing empty'}"
    return Reading({name: features[name] for name in FEATURES}, content, drugs, reason)


# Questions


def _questions(
    sentences: Sequence[Sentence], before: Consultation, words: Lexicon, enough: int, treatable: bool
) -> tuple[dict[str, float], float]:
    """The features of questions, and the credit of those that fit the case."""
    ready = before.evidence >= enough
    likely = words.candidates(before.positives)
    fitting: dict[str, float] = {}
    anybody: dict[str, float] = {}
    known: set[str] = set()
    nothing = 0
    for sentence in (s for s in sentences if s.question):
        topics, named = asked_in(sentence, before.patient), sentence.of("finding", "disease", "drug", "test", "anatomy")
        if of_others(sentence, before.patient):
            named = []
        useful = 0
        for topic in topics:
            if topic == "pregnancy" and not before.may_be_pregnant:
                continue
            useful += 1
            if before.missing(topic):
                due = treatable and topic in SAFETY
                (fitting if due else anybody)[topic] = 1.0 if due else _worth_asking(topic, ready)
            else:
                known.add(topic)
        for one in named:
            if topics and one.kind != "finding":
                continue  # "kidney" in a question about the kidneys
            if one.key in before.heard:
                known |= {one.key} if not topics else set()
                useful += 1
            elif (worth := _relevant(one, likely, words)) > 0:
                (fitting if worth == 1.0 else anybody)[one.key] = worth * (0.5 if ready else 1.0)
                useful += 1
        nothing += not useful
    asked = len(fitting.keys() | anybody.keys() | known)
    undiluted = 1.0 - part(asked - MANY, MANY)  # a questionnaire of eight topics has no credit left
    own = sum(fitting.values())
    features = {
        "asks_missing": undiluted * part(own + min(ANYBODY, sum(anybody.values())), PER_TURN),
        "asks_known": part(len(known), 3),
        "asks_nothing": part(nothing, 2),
        "questionnaire": part(asked - MANY, MANY),
    }
    return features, own


def _worth_asking(topic: str, ready: bool) -> float:
    """Less than a finding that fits the case: what can be asked of everybody."""
    if topic in SAFETY:
        return 0.5
    return 0.25 if ready else 0.5 if topic in ASIDE else 0.75


def _relevant(one: Named, likely: frozenset[str], words: Lexicon) -> float:
    """What a question about a concept is worth: 1 where a likely disease has the finding, 0 where none has it.

    Less where no table tells whether it fits, and where so many diseases have the finding that it fits nearly every case.
    """
    if one.kind != "finding":
        return 0.5
    if one.key not in words.world.findings or not likely:
        return 0.75
    if not any(one.key in words.world.diseases[key].findings for key in likely):
        return 0.0
    return 0.5 if len(carriers(words.world)[one.key]) > COMMON * len(words.world.diseases) else 1.0
