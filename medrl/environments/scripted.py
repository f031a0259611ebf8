"""Doctors by rules, to measure the patient simulator with and to make demonstrations from.

`good` narrows the diagnosis down by the clinic's tables, confirms it, orders its test, asks for its danger signs and
concludes. The others are what must not pay: `random` asks anything and names any disease, `leading` asks for the
diagnosis, dumps lists and puts words into the patient's mouth, `silent` names the likeliest disease at once. All of
them know the tables and the words of the patient, never the case.
"""

import random
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from medrl.data.clinic.consulting import source_of, tellable
from medrl.data.clinic.mentions import mentions, plain
from medrl.data.clinic.speech import Speech
from medrl.data.clinic.world import World, load_world
from medrl.data.demonstrations import Demonstration
from medrl.environments.patient import PatientSimulator
from medrl.seeds import seed_of
from medrl.types import Message, Problem, Response

ASKING_TURNS = 3  # turns in which the good doctor narrows down and confirms
DENIED = 3  # findings that a disease may lack before it is given up
DUMPED = 30  # findings that the leading doctor lists at once
_NO = re.compile(r"\bno\b|\bnobody\b|没|不知道|说不上|清楚")
_BREAK = re.compile(r"(?<=[.!?。！？])")


@dataclass(frozen=True)
class Played:
    """A consultation from its first message on, as a response that rewards can score."""

    problem: Problem
    response: Response

    @property
    def messages(self) -> tuple[Message, ...]:
        return (*self.problem.messages, *self.response.turns)


class Doctor(ABC):
    """Speaks next, from what the patient has said."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.world = load_world()
        self.rng = random.Random(seed_of("doctor", seed, problem.id))
        self.speech = Speech(problem.language, problem.metadata.get("split") == "held_out", self.rng)
        self.positive: dict[str, None] = {}
        self.denied: dict[str, None] = {}
        self.asked: dict[str, None] = {}
        self.turn = 0
        self.hear(str(problem.messages[-1]["content"]))

    def hear(self, said: str) -> None:
        """Take in what the patient said."""
        for keys, no in (_heard(one) for one in _BREAK.split(said) if one):
            (self.denied if no else self.positive).update(dict.fromkeys(keys))

    @abstractmethod
    def speak(self) -> str:
        """The next turn."""

    def reply(self, said: str | None) -> str:
        if said is not None:
            self.hear(said)
        self.turn += 1
        return self.speak()

    # Words

    def ask(self, finding: str) -> str:
        self.asked[finding] = None
        return self.speech.say("ask.finding", finding=self.name("findings", finding))

    def name(self, table: str, key: str) -> str:
        return str(getattr(self.world, table)[key].name.of(self.speech.language))

    def conclude(self, disease: str) -> str:
        return ("诊断：{}。" if self.speech.language == "zh" else "Diagnosis: {}.").format(
            self.name("diseases", disease)
        )

    def likeliest(self) -> list[str]:
        """Diseases in the order of how well they go with what was heard."""
        carried, keys = _masks(self.world)
        candidates = (1 << len(keys)) - 1
        for finding in self.positive:
            candidates = candidates & carried[finding] or candidates
        left = []
        while candidates:
            lowest = candidates & -candidates
            left.append(keys[lowest.bit_length() - 1])
            candidates ^= lowest
        lacking = {key: len(self.denied.keys() & _findings(self.world, key)) for key in left}
        return sorted((key for key in left if lacking[key] <= DENIED), key=lambda key: lacking[key]) or left


class GoodDoctor(Doctor):
    """Asks what tells the likeliest diseases apart, then what confirms the likeliest."""

    def speak(self) -> str:
        ranked = self.likeliest()
        best = ranked[0]
        if self.turn <= ASKING_TURNS:
            questions = [self.speech.say("ask.onset")] if self.turn == 1 else []
            questions += [self.ask(key) for key in self._telling(ranked, 3 - len(questions))]
            if questions:
                return self.speech.join(questions)
        flags = self.world.diseases[best].red_flags
        if "final" not in self.asked:
            self.asked["final"] = None
            language = self.speech.language
            asks = [self.speech.say("ask.finding", finding=flag.of(language)) for flag in flags[:2]]
            test = self.world.test(self.world.diseases[best].tests[0]).name.of(language)
            return self.speech.join([*asks, self.speech.say("doctor.test", test=test)])
        return self.conclude(best)

    def _telling(self, ranked: list[str], count: int) -> list[str]:
        """Findings to ask for: those that split the candidates most evenly; of the likeliest ones first."""
        carried, _ = _masks(self.world)
        place = _places(self.world)
        candidates = sum(1 << place[key] for key in ranked)
        known = self.positive.keys() | self.denied.keys() | self.asked.keys()
        of_best = [f for f in self.world.diseases[ranked[0]].findings if f not in known and _tells(f)]
        found: dict[str, float] = {}
        for key in ranked[:6]:
            for finding in self.world.diseases[key].findings:
                if finding not in known and finding not in found and _tells(finding):
                    share = (carried[finding] & candidates).bit_count() / len(ranked)
                    found[finding] = abs(share - 0.5)
        splitting = sorted((f for f in found if found[f] < 0.5), key=lambda f: found[f])
        return list(dict.fromkeys([*splitting, *of_best]))[:count]


class RandomDoctor(Doctor):
    """Asks for anything, orders anything, names anything."""

    def speak(self) -> str:
        if self.turn <= ASKING_TURNS + 1:
            topic = self.rng.choice(("onset", "severity", "site", "past", "drugs", "allergy"))
            findings = self.rng.sample(list(self.world.findings), 2)
            return self.speech.join([self.speech.say(f"ask.{topic}"), *(self.ask(key) for key in findings)])
        if self.turn == ASKING_TURNS + 2:
            return self.speech.say("doctor.test", test=self.name("tests", self.rng.choice(list(self.world.tests))))
        return self.conclude(self.rng.choice(tellable(self.world)))


class LeadingDoctor(Doctor):
    """Asks for the diagnosis, lists everything at once, puts words into the patient's mouth."""

    def speak(self) -> str:
        best, chinese = self.likeliest()[0], self.speech.language == "zh"
        if self.turn == 1:
            return "你得的是什么病？请告诉我诊断。" if chinese else "What is your diagnosis? Tell me everything."
        if self.turn == 2:
            names = [self.name("findings", key) for key in self.rng.sample(list(self.world.findings), DUMPED)]
            return ("有没有" + "、".join(names) + "？") if chinese else f"Do you have {', '.join(names)}?"
        if self.turn <= ASKING_TURNS + 2:
            suggested = [
                self.name("findings", f) for f in self.world.diseases[best].findings[self.turn - 3 : self.turn]
            ]
            pattern = "你有{}，对吧？" if chinese else "You have {}, don't you?"
            return self.speech.join([pattern.format(one) for one in suggested])
        return self.conclude(best)


class SilentDoctor(Doctor):
    """Never asks: names the likeliest disease at once."""

    def speak(self) -> str:
        return self.conclude(self.likeliest()[0])


DOCTORS: dict[str, type[Doctor]] = {
    "good": GoodDoctor,
    "random": RandomDoctor,
    "leading": LeadingDoctor,
    "silent": SilentDoctor,
}


def play(environment: PatientSimulator, problem: Problem, doctor: str, seed: int = 0) -> Played:
    """A whole consultation of a scripted doctor, as a rollout would have it but for tokens."""
    episode, mind = environment.reset(problem, seed_of("patient", seed, problem.id)), DOCTORS[doctor](problem, seed)
    turns: list[Message] = []
    said: str | None = None
    for _ in range(environment.max_turns):
        reply = mind.reply(said)
        turns.append({"role": "assistant", "content": reply})
        said = episode.respond(reply)
        if said is None:
            break
        turns.append({"role": "user", "content": said})
    if said is not None:
        turns.pop()  # as a rollout that is cut: the patient's last words come after it
    measured: dict[str, Any] = dict(episode.measured())
    text = str(turns[-1]["content"])
    shown = tuple(turns) if len(turns) > 1 else ()
    return Played(problem, Response(text, shown, "stop" if said is None else "length", measured=measured))


def demonstrations(
    environment: PatientSimulator, problems: list[Problem], *, doctor: str = "good", seed: int = 0
) -> list[Demonstration]:
    """Consultations to learn from, one demonstration a turn of the doctor.

    Its prompt is all that came before and its answer that turn alone, so a loss on answers falls on the doctor's words
    and never on the patient's, and on each of them once.
    """
    found = []
    for problem in problems:
        played = play(environment, problem, doctor, seed)
        turns = played.response.turns or ({"role": "assistant", "content": played.response.text},)
        for number, message in enumerate(turns):
            if message["role"] != "assistant":
                continue
            before = (*problem.messages, *turns[: number + 1])
            found.append(
                Demonstration(
                    f"{problem.id}-turn{number // 2}", before, "", str(message["content"]),
                    problem_id=problem.id, language=problem.language,
                )
            )  # fmt: skip
    return found


@lru_cache(maxsize=1 << 14)
def _heard(sentence: str) -> tuple[tuple[str, ...], bool]:
    """The findings that a sentence of the patient names, and whether it denies them or knows nothing of them."""
    text = plain(sentence)
    keys = tuple(key for one in mentions(load_world(), text) for key in one.of("finding")[:1])
    return keys, _NO.search(text) is not None


@lru_cache(maxsize=4)
def _masks(world: World) -> tuple[dict[str, int], tuple[str, ...]]:
    """Finding to the diseases that have it, as bits; and the diseases in the order of the bits."""
    keys = tellable(world)
    carried = dict.fromkeys(world.findings, 0)
    for number, key in enumerate(keys):
        for finding in world.diseases[key].findings:
            carried[finding] |= 1 << number
    return carried, keys


@lru_cache(maxsize=4)
def _places(world: World) -> dict[str, int]:
    return {key: number for number, key in enumerate(_masks(world)[1])}


@lru_cache(maxsize=4096)
def _findings(world: World, disease: str) -> frozenset[str]:
    return frozenset(world.diseases[disease].findings)


@lru_cache(maxsize=4096)
def _tells(finding: str) -> bool:
    return source_of(load_world(), finding) == "patient"
