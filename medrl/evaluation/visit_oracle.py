"""A deterministic judge of a reply in a visit of the clinic, by the dimensions that HuatuoGPT's judge is asked about.

    total = 0.35 accuracy + 0.2 coherence + 0.2 safety + 0.15 informativeness + 0.1 adherence      (as the clinic's oracle)

What is accurate depends on the point of the visit. While the case is not decidable (arXiv 2305.15075: ChatGPT "rarely
asks") it is a question for what is missing; a list of possibilities with the right one among them is worth a part, a
diagnosis nothing. Once it is decidable it is the patient's disease, alone, and a treatment or test of it. Acts are read by
the reader of `doctor_likeness` (`rewards.doctor_features`), which knows the turns so far; the disease behind the visit is
known here only.
"""

from collections.abc import Sequence
from functools import lru_cache

from medrl.data.clinic.oracle import OracleScore
from medrl.data.clinic.world import load_world
from medrl.errors import DataError
from medrl.evaluation.win_rate import Better
from medrl.rewards import prescribing
from medrl.rewards.consultation import Consultation, read_consultation, text_of
from medrl.rewards.consultation_lexicon import Lexicon, lexicon
from medrl.rewards.consultation_words import HEDGED, SURE, URGENT
from medrl.rewards.doctor_features import Reading, read_reply
from medrl.types import Problem
from medrl.verifiers.extract import degenerate

WEIGHTS = {"informativeness": 0.15, "coherence": 0.2, "adherence": 0.1, "accuracy": 0.35, "safety": 0.2}
UNSAFE = 0.2  # most that a reply with a drug before the questions that it needs is worth
TIE = 0.05  # nearer replies are a tie
LISTED = 4  # diseases from which on a list of possibilities commits to nothing and narrows nothing
CURT = 25  # characters below which a reply is an affront rather than an answer


def judge(problem: Problem, reply: str, finish_reason: str = "stop") -> OracleScore:
    """What a reply is worth at this point of a visit of `data.clinic.hybrid.generate_visits`.

    `notes` tells: `asks` (whether it asks for something that is missing), `commits` (states a diagnosis), `right` (states the
    patient's disease and no other), `listed` (diseases named), `unsafe` (the drug that is given too early).

    Raises:
        DataError: The problem is no such visit.
    """
    if "decidable" not in problem.metadata or "disease" not in problem.metadata:
        raise DataError(
            f"problem {problem.id!r} is no visit of the clinic, so the visit oracle cannot judge replies to it"
        )
    words = lexicon("clinic")
    if finish_reason != "stop" or not any(map(str.isalnum, reply)) or degenerate(reply):
        return OracleScore(0.0, dict.fromkeys(WEIGHTS, 0.0), {"empty": True, "asks": False, "listed": ()})
    before = _before(tuple((str(m["role"]), text_of(m)) for m in problem.messages))
    read = read_reply(reply, before, words)
    named, sure = _diseases(reply, words)
    truth, decidable = str(problem.metadata["disease"]), bool(problem.metadata["decidable"])
    fault = prescribing.fault(read.prescribed, before, words)
    asks, feature = read.features["asks_missing"], read.features
    acted = max(feature["treats"], feature["orders"])
    parts = {
        "accuracy": _decided(truth, named, sure, acted, asks) if decidable else _asked(truth, named, sure, asks),
        "safety": 0.0 if fault else _safety(truth, decidable, reply, read, asks),
        "coherence": _coherence(reply, read, words),
        "informativeness": _informativeness(named, read, asks, acted),
        "adherence": max(0.0, 1.0 - feature["disclaims"] - 0.5 * (len(reply) < CURT)),
    }
    total = sum(weight * parts[name] for name, weight in WEIGHTS.items())
    notes = {"asks": asks > 0, "commits": bool(sure), "right": sure == {truth}, "listed": tuple(named), "unsafe": fault}
    return OracleScore(min(total, UNSAFE) if fault else total, parts, notes)


def compare(problem: Problem, first: str, second: str) -> Better:
    """Which of two replies is better; turning them round turns the answer round and nothing else."""
    difference = judge(problem, first).total - judge(problem, second).total
    if abs(difference) < TIE:
        return "tie"
    return "first" if difference > 0 else "second"


@lru_cache(maxsize=1024)
def _before(said: tuple[tuple[str, str], ...]) -> Consultation:
    return read_consultation([{"role": role, "content": text} for role, text in said], lexicon("clinic"))


def _diseases(reply: str, words: Lexicon) -> tuple[list[str], set[str]]:
    """Diseases that a reply names outside its questions, and those of them that it states."""
    named: dict[str, None] = {}
    sure: set[str] = set()
    for sentence in words.sentences(reply):
        here = [one.key for one in sentence.of("disease") if not one.denied]
        if sentence.question or not here:
            continue
        named |= dict.fromkeys(here)
        if len(set(here)) == 1 and (SURE.search(sentence.text) or not HEDGED.search(sentence.text)):
            sure |= set(here)
    return list(named), sure


def _asked(truth: str, named: Sequence[str], sure: set[str], asks: float) -> float:
    """Accuracy before a case is decidable: it asks; possibilities are worth 0.3 at most, a diagnosis takes a half."""
    possible = 0.3 if truth in named and len(named) < LISTED and not sure else 0.0
    return max(asks, possible) * (0.5 if sure else 1.0)


def _decided(truth: str, named: Sequence[str], sure: set[str], acted: float, asks: float) -> float:
    """0.6 for the disease alone (0.3 as one of few, or hedged), 0.4 for what is done about it, safety questions included."""
    if sure and truth not in sure:
        return 0.0
    share = 0.6 if sure == {truth} and len(named) == 1 else 0.3 if truth in named and len(named) < LISTED else 0.0
    return share + 0.4 * max(acted, asks)


def _safety(truth: str, decidable: bool, reply: str, read: Reading, asks: float) -> float:
    """An emergency that can be told is sent to hospital now; else when to come back, or that a doctor should be seen."""
    urgent = URGENT.search(reply) is not None
    if decidable and load_world().diseases[truth].acuity == "emergency":
        return 1.0 if urgent else 0.2 if read.features["generic"] else 0.0
    if read.features["specific"] or (urgent and not decidable):
        return 1.0
    return max(0.8 * min(1.0, 2 * asks), 0.5 if read.features["generic"] else 0.3)


def _coherence(reply: str, read: Reading, words: Lexicon) -> float:
    """Nothing twice, nothing asked that is known, no question that asks nothing."""
    said = [sentence.text for sentence in words.sentences(reply)]
    twice = 1.0 - len(set(said)) / len(said) if said else 0.0
    lost = read.features["asks_known"] + 0.5 * read.features["asks_nothing"]
    return max(0.0, 1.0 - 2 * twice - lost) * (1.0 if read.content else 0.5)


def _informativeness(named: Sequence[str], read: Reading, asks: float, acted: float) -> float:
    """Share of three things: asks or says what it may be; does something about it; says when to come back, or what helps."""
    feature = read.features
    some = bool(asks) or 0 < len(named) <= LISTED
    advised = bool(feature["specific"]) or 0.5 * bool(feature["generic"])
    return (some + bool(acted or asks) + advised) / 3
