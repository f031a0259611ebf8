"""Consultations of the clinic with replies of doctors and of assistants to the same patient, labelled.

A doctor asks for what is missing in few words, commits when the findings are there, and gives one drug with its dose after
the safety questions; in an emergency sends to hospital. An assistant restates, lists possibilities, advises everybody the
same and disclaims. Neither is pure: doctors sometimes list, comfort or refer, assistants sometimes ask or commit, and each
may be short or long. Training, calibration and held-out replies share no disease; held-out ones share no sentence either.
A matched pair says the same content in the two manners, at lengths that differ by at most a tenth.
"""

import random
from collections.abc import Callable, Sequence

from medrl.data.clinic.concepts import Drug
from medrl.data.clinic.speech import Speech
from medrl.data.clinic.visits import GENERAL, STAGES, Case, draw_case, history, name_of, reported, sex_of, strangers
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.data.replies import LabelledReply
from medrl.errors import DataError, did_you_mean
from medrl.seeds import seed_of
from medrl.types import Message, Problem

SPLITS = ("train", "calibration", "held_out")
FLAWS = ("unsafe", "premature", "asks again", "asks nothing", "terse")
WITHIN = 0.10  # how far the lengths of a matched pair may be apart, as a share of the longer one
TRIES = 60
EMERGENCY = "emergency"


def generate_replies(
    *, split: str, count: int, seed: int = 0, languages: Sequence[str] = ("en", "zh"), world: World | None = None
) -> list[LabelledReply]:
    """For each of `count` consultations one reply of a doctor and one of an assistant; deterministic.

    Args:
        split: train, calibration or held_out.
        count: Consultations; a longer list starts with the shorter one.
        seed: Another seed draws other consultations of the same split.
        languages: en, zh.
        world: Other tables than the bundled ones.
    """
    replies: list[LabelledReply] = []
    for index in range(_checked(split, count, languages)):
        scene = _scene("replies", split, seed, index, languages, world)
        replies += [scene.reply(scene.doctor(), True), scene.reply(scene.assistant(), False)]
    return replies


def generate_matched(
    *, split: str, count: int, seed: int = 0, languages: Sequence[str] = ("en", "zh"), world: World | None = None
) -> list[LabelledReply]:
    """`count` pairs of replies of the same content, a doctor's and an assistant's, within `WITHIN` of length.

    Arguments as of `generate_replies`. Consultations for which no such pair is found are left out and replaced.
    """
    replies: list[LabelledReply] = []
    index = 0
    while len(replies) < 2 * _checked(split, count, languages):
        scene = _scene("matched", split, seed, index, languages, world)
        replies += scene.matched()
        index += 1
        if index > 20 * count + 200:
            raise DataError(f"too few matched pairs are found in split {split}; give more languages or diseases")
    return replies


def generate_flawed(
    *, split: str, count: int, seed: int = 0, languages: Sequence[str] = ("en", "zh"), world: World | None = None
) -> list[LabelledReply]:
    """`count` pairs of a sound reply of a doctor and one with a flaw (see `FLAWS`) to the same patient.

    Arguments as of `generate_replies`.
    """
    replies: list[LabelledReply] = []
    for index in range(_checked(split, count, languages)):
        flaw = FLAWS[index % len(FLAWS)]
        stage = {"unsafe": "late", "premature": "opening", "asks again": "middle"}.get(flaw)
        scene = _scene("flawed", split, seed, index, languages, world, stage)
        sound = scene.reply(scene.doctor(pure=True), True)
        replies += [sound, scene.reply(scene.flawed(flaw), True, flaw=flaw)]
    return replies


def _checked(split: str, count: int, languages: Sequence[str]) -> int:
    for what, given, valid in (("split", (split,), SPLITS), ("languages", languages, LANGUAGES)):
        if isinstance(given, str) or not given:
            raise DataError(f"{what} is {given!r}; give a list with at least one of {', '.join(valid)}")
        for one in given:
            if one not in valid:
                raise DataError(f"{what} names {one!r}, which the clinic does not have{did_you_mean(str(one), valid)}")
    if count < 1:
        raise DataError(f"count is {count}; ask for at least one consultation")
    return count


def _scene(
    purpose: str, split: str, seed: int, index: int, languages: Sequence[str], world: World | None,
    stage: str | None = None,
) -> "Scene":  # fmt: skip
    rng = random.Random(seed_of("clinic-dialogue", purpose, split, seed, index))
    language = rng.choice(list(languages))
    speech = Speech(language, split == "held_out", rng)
    case = draw_case(world or load_world(), split, speech)
    return Scene(case, speech, stage or rng.choice(STAGES), split, f"clinic-{purpose}-{split}-s{seed}-{index:05d}")


class Scene:
    """A consultation at one point, and what each speaker says then."""

    def __init__(self, case: Case, speech: Speech, stage: str, split: str, key: str) -> None:
        self.case, self.speech, self.stage, self.split, self.key = case, speech, stage, split, key
        self.rng = speech.rng
        self.messages, self.told, self.answered = history(case, stage, speech)
        self.content = self._content()

    def at(self, stage: str, messages: Sequence[Message], told: Sequence[str], answered: Sequence[str]) -> None:
        """Move to another point of the consultation: what was said, told and answered by then."""
        self.stage, self.messages, self.told, self.answered = stage, list(messages), tuple(told), tuple(answered)
        self.content = self._content()

    def reported(self, finding: str) -> str:
        """The patient tells a finding."""
        return reported(self.case, finding, self.speech)

    def who(self) -> str:
        """The patient tells age and sex."""
        return self.speech.say("who", age=self.case.person.age, sex=sex_of(self.case, self.speech))

    def reply(self, text: str, doctor: bool, *, pair: str = "", flaw: str = "") -> LabelledReply:
        case, side = self.case, "held_out" if self.speech.held_out else "train"
        facts = {
            "disease": case.disease.id, "findings": list(self.told), "answered": list(self.answered),
            "stage": self.stage, "split": self.split, "patient": {"age": case.person.age, "sex": case.person.sex},
        }  # fmt: skip
        messages: tuple[Message, ...] = tuple(self.messages)
        problem = Problem(self.key, messages, None, "dialogue", language=self.speech.language, metadata=facts)
        source = "doctor" if doctor else "assistant"
        template = f"{self.speech.language}-{side}-{source}-{self.stage}"
        return LabelledReply(problem, text, doctor, source, template, pair, self.content, flaw)

    # What there is to say, the same for both speakers

    def _content(self) -> tuple[str, ...]:
        """Keys of what is due: questions (`ask:`), then what is named (`disease:`, `drug:`, `test:`, `flag:`)."""
        case, rng = self.case, self.rng
        general = [topic for topic in GENERAL if topic not in self.answered]
        rng.shuffle(general)
        hidden = [f"finding:{key}" for key in case.told if key not in self.told]
        if self.stage in ("opening", "middle"):
            asks = [*hidden[: rng.randint(0, 2)], *general]
            return tuple(f"ask:{one}" for one in asks[: rng.randint(1, 3)])
        named = [f"disease:{case.disease.id}"]
        if case.disease.acuity == EMERGENCY:
            return (*named, "urgent", *self._tested(0.6))
        if self.stage == "late":
            safety = [topic for topic in case.topics if topic not in self.answered]
            return (*(named if rng.random() < 0.6 else ()), *(f"ask:{one}" for one in safety[: rng.randint(1, 3)]))
        drug = case.drug
        treated = f"drug:{drug.id}" if drug else self._procedure()
        flagged = ("flag",) if case.disease.red_flags and rng.random() < 0.6 else ()
        return (*named, *((treated,) if treated else self._tested(1.0)), *self._tested(0.3), *flagged)

    def _tested(self, share: float) -> tuple[str, ...]:
        return (f"test:{self.case.disease.tests[0]}",) if self.rng.random() < share else ()

    def _procedure(self) -> str:
        found = [key for key in self.case.disease.first_line if key in self.case.world.procedures]
        return f"procedure:{found[0]}" if found else ""

    # How each says it

    def doctor(self, *, pure: bool = False) -> str:
        """A doctor's reply; unless `pure`, now and then with what assistants do."""
        rng, say = self.rng, self.speech.say
        parts = [self._said("doctor", one) for one in self.content]
        if rng.random() < 0.3:
            parts.insert(0, say("doctor.small"))
        if rng.random() < 0.2:
            parts.insert(0, say("doctor.lead"))
        if not pure and rng.random() < 0.2:
            parts.append(say("doctor.rare"))
        if not pure and rng.random() < 0.06 and self.answered:
            parts.append(self._said("doctor", f"ask:{rng.choice(self.answered)}"))
        if not pure and len(parts) > 2 and rng.random() < 0.12:
            return numbered([one for one in parts if one])
        return self.speech.join(parts)

    def assistant(self) -> str:
        """An assistant's reply: mostly at length, sometimes in two sentences, sometimes nearly as a doctor."""
        rng, say = self.rng, self.speech.say
        short = rng.random() < 0.2
        opening = [] if short else [say("assistant.thanks"), *([self._restated()] if rng.random() < 0.7 else [])]
        body: list[str] = []
        if rng.random() < 0.7:
            body.append(self._causes() if rng.random() < 0.6 else self._said("assistant", self._diagnosis()))
        shared = [one for one in self.content if one.startswith(("drug:", "test:", "procedure:"))]
        body += [self._said("assistant", one) for one in shared if rng.random() < 0.5]
        if rng.random() < 0.35:
            asks = [one for one in self.content if one.startswith("ask:")]
            body += (
                [self._said("doctor", one) for one in asks] if asks and rng.random() < 0.5 else [say("assistant.ask")]
            )
        advice = [say("assistant.advice") for _ in range(rng.randint(0, 1) if short else rng.randint(1, 4))]
        if len(advice) > 1 and rng.random() < 0.6:
            advice = ["\n" + say("assistant.steps") + "\n" + numbered(list(dict.fromkeys(advice))) + "\n"]
        closing = [say("assistant.refer"), *([] if short else [say("assistant.disclaim"), say("assistant.close")])]
        if rng.random() < 0.06:  # nearly as a doctor: it commits
            body = [self._said("doctor", one) for one in self.content]
        text = self.speech.join([*opening, *body, *list(dict.fromkeys(advice)), *closing])
        return "\n".join(line.strip() for line in text.split("\n")).strip()

    def matched(self) -> list[LabelledReply]:
        """The content of this scene in both manners at nearly one length; nothing where none is found."""
        best: tuple[float, str, str] = (1.0, "", "")
        sides = [[self._full(who) for _ in range(TRIES // 4)] for who in ("doctor", "assistant")]
        for left in sides[0]:
            for right in sides[1]:
                apart = abs(len(left) - len(right)) / max(len(left), len(right))
                best = min(best, (apart, left, right))
        apart, left, right = best
        if apart > WITHIN:
            return []
        return [self.reply(left, True, pair=self.key), self.reply(right, False, pair=self.key)]

    def polished(self) -> str:
        """A doctor's reply after a rewriter made it kinder: the same acts, with courtesies and reasons around them."""
        return self._full("doctor")

    def _full(self, who: str) -> str:
        """All of the content, in the manner of `who`, with more or fewer of the words that go with it."""
        rng, say = self.rng, self.speech.say
        parts = [self._said(who, one) for one in self.content]
        if who == "doctor":
            before = [piece for piece in ("doctor.small", "doctor.lead") if rng.random() < 0.6]
            after = ["doctor.why"] if rng.random() < 0.7 and any(one.startswith("ask:") for one in self.content) else []
            after += ["doctor.rare"] if rng.random() < 0.2 else []
            return self.speech.join([*(say(one) for one in before), *parts, *(say(one) for one in after)])
        asks = any(one.startswith("ask:") for one in self.content)
        thanks = say("assistant.thanks") if rng.random() < 0.3 else ""
        polite = say("assistant.polite") if rng.random() < 0.4 and asks else ""
        after = [say(one) for one in ("assistant.refer", "assistant.disclaim", "assistant.close") if rng.random() < 0.3]
        if asks and not any((thanks, polite, *after)):
            polite = say("assistant.polite")  # else the two might say the same words
        return self.speech.join([thanks, polite, *parts, *after])

    def _said(self, who: str, key: str) -> str:
        """One item of content in the words of one speaker. Both ask with the same words."""
        case, rng, say = self.case, self.rng, self.speech.say
        kind, _, name = key.partition(":")
        if kind == "ask" and name.startswith("finding:"):
            return say("ask.finding", finding=name_of(case, name.removeprefix("finding:"), self.speech))
        if kind == "ask":
            return say(f"ask.{name}")
        if kind == "urgent":
            return say(f"{who}.urgent")
        days = rng.choice((3, 5, 7, 10))
        if kind == "flag":
            return say(f"{who}.return", flag=rng.choice(case.disease.red_flags).of(self.speech.language), days=days)
        if kind == "disease":
            disease = case.world.diseases[name].name.of(self.speech.language)
            return say(f"{who}.diagnose", disease=disease, findings=self._findings(2))
        if kind == "drug":
            drug = case.world.drugs[name]
            piece = (
                "doctor.drug" if who == "doctor" else rng.choice(("assistant.dose", "assistant.dose", "assistant.drug"))
            )
            return say(piece, drug=drug.name.of(self.speech.language), days=days, **dose_of(drug, self.speech.language))
        concept = case.world.test(name) if kind == "test" else case.world.procedures[name]
        return say(f"{who}.{kind}", **{kind: concept.name.of(self.speech.language)})

    def _findings(self, count: int) -> str:
        return self.speech.listing([name_of(self.case, key, self.speech) for key in self.told[:count]])

    def _restated(self) -> str:
        return self.speech.say("assistant.restate", findings=self._findings(3))

    def _causes(self) -> str:
        others = strangers(self.case, self.rng, self.rng.randint(2, 3))
        names = [one.name.of(self.speech.language) for one in [self.case.disease, *others]]
        self.rng.shuffle(names)
        return self.speech.say("assistant.causes", diseases=self.speech.listing(names))

    def _diagnosis(self) -> str:
        return f"disease:{self.case.disease.id}"

    def flawed(self, flaw: str) -> str:
        """A doctor's reply that is worse than it should be."""
        case, rng = self.case, self.rng
        made: dict[str, Callable[[], Sequence[str]]] = {
            "unsafe": lambda: [self._diagnosis(), *([f"drug:{case.drug.id}"] if case.drug else [])],
            "premature": lambda: [self._diagnosis()],
            "asks again": lambda: [f"ask:{one}" for one in (self.answered or ("onset",))[:2]],
        }
        if flaw in made:
            return self.speech.join([self._said("doctor", one) for one in made[flaw]()])
        if flaw == "asks nothing":
            return self.speech.say("assistant.ask")
        return rng.choice(
            ("好的。", "多喝水。", "嗯", "去医院看看")
            if self.speech.language == "zh"
            else ("ok.", "Rest.", "Hmm.", "See a doctor.")
        )


def numbered(items: Sequence[str]) -> str:
    return "\n".join(f"{number}. {one}" for number, one in enumerate(items, 1))


def dose_of(drug: Drug, language: str) -> dict[str, str]:
    """Dose and frequency of a drug in words."""
    return {"dose": f"{drug.dose.amount:g} {drug.dose.unit}", "frequency": drug.dose.frequency.of(language)}
