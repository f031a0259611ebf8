"""Open questions of simulated patients, replies of every quality, and preference pairs that the oracle labels.

A reply is made of sentences that are right or wrong on purpose: the diagnosis, the findings it rests on, test, treatment,
when to come back, boilerplate. Its length is drawn apart from its quality, so long bad and short good replies exist.
Training, calibration and test share no disease and no wording; their replies name diseases of their own side alone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from medrl.data.clinic import consultation_wording as wording
from medrl.data.clinic import oracle
from medrl.data.clinic.concepts import Disease
from medrl.data.clinic.oracle import Case
from medrl.data.clinic.patients import fraction, patient, suspects
from medrl.data.clinic.templates import SEX, article, listing, of_split
from medrl.data.clinic.vignettes import rivals
from medrl.data.clinic.world import LANGUAGES, World, load_world
from medrl.data.feedback import Candidate
from medrl.data.preferences import PreferencePair
from medrl.errors import DataError, did_you_mean
from medrl.seeds import seed_of
from medrl.types import Problem, ask

Split = Literal["train", "calibration", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SHOWN = (3, 5)  # findings that a patient reports
DENIED_SHARE, CONDITION_SHARE = 0.4, 0.4
TRIES = 200
FILLERS = 4  # most sentences that say nothing
LEAST_MARGIN = 0.1  # nearer replies are a tie, which makes no pair


@dataclass(frozen=True)
class Quality:
    """Which sentences a reply has; every field but `fillers` decides what it is worth.

    Attributes:
        diagnosis: right, wrong, vague, listed (many diseases), absent.
        findings: own (of this patient), strange (of another), denied (what the patient said to be absent), absent.
        test, treatment: right, wrong, absent; treatment also banned (contraindicated for this patient).
        precautions: right (its own red flag, and now to the emergency department where it is one), generic, absent.
        boilerplate: Whether it says that it is an AI.
        fillers: Sentences that say nothing.
    """

    diagnosis: str = "right"
    findings: str = "own"
    test: str = "right"
    treatment: str = "right"
    precautions: str = "right"
    boilerplate: bool = False
    fillers: int = 0


def generate_consultations(
    *, split: str, count: int, seed: int = 0, known: bool = False, languages: Sequence[str] = LANGUAGES,
    world: World | None = None,
) -> list[Problem]:  # fmt: skip
    """`count` questions of patients; a longer list begins with the shorter one.

    The reference is the diagnosis; `metadata["consultation"]` is the case, which `oracle.judge` needs.

    Args:
        split: "train", "calibration" or "test": which diseases and which wordings.
        count: How many.
        seed: Another seed draws other patients of the same side.
        known: Training's diseases with the wordings of `split`, so that patients and wordings alone are held out.
        languages: "en", "zh" or both.
        world: Other tables than the bundled ones.
    """
    world = world or load_world()
    _check(split, count, languages)
    pool = pools(world)["train" if known else split]
    problems = []
    for index in range(count):
        rng = random.Random(seed_of("clinic-consultations", seed, split, int(known), index))
        language = rng.choice(list(languages))
        name = f"consultation-{split}{'-known' if known else ''}-s{seed}-{index:06d}"
        problems.append(_problem(world, rng, name, split, language, pool))
    return problems


def generate_reply(problem: Problem, quality: Quality, *, seed: int = 0, world: World | None = None) -> str:
    """A reply of this quality to a question of `generate_consultations`, in the wordings of the question's split."""
    rng = random.Random(seed_of("clinic-reply", seed, problem.id, repr(quality)))
    return _Writer(world or load_world(), rng, problem).write(quality)


def generate_pairs(
    *, split: str, count: int, noise: float = 0.0, long_wins: float = 0.0, seed: int = 0, known: bool = False,
    replies: int = 4, languages: Sequence[str] = LANGUAGES, world: World | None = None,
) -> list[PreferencePair]:  # fmt: skip
    """`count` preference pairs: several replies to each question, two and two compared by the oracle.

    Args:
        split: As in `generate_consultations`.
        count: How many pairs.
        noise: Share of the labels that are wrong, 0 to 0.5; `provenance["noise"]` tells which.
        long_wins: From 0 (wrong labels fall anywhere) to 1 (they fall on pairs whose better reply is the shorter, as long as
            there are any): raters are known to err towards the longer (arXiv 2310.03716).
        seed: Another seed draws other questions and replies of the same side.
        known: As in `generate_consultations`.
        replies: Replies to each question; all pairs of them that are no tie are used.
        languages: "en", "zh" or both.
        world: Other tables than the bundled ones.
    """
    if not 0.0 <= noise <= 0.5 or not 0.0 <= long_wins <= 1.0 or replies < 2:
        raise DataError(
            f"noise is {noise}, long_wins {long_wins}, replies {replies}; noise is a share from 0 to 0.5, long_wins from 0 "
            "to 1, and a pair needs 2 replies"
        )
    world = world or load_world()
    _check(split, count, languages)
    pool = pools(world)["train" if known else split]
    pairs: list[PreferencePair] = []
    index = 0
    while len(pairs) < count:
        rng = random.Random(seed_of("clinic-pairs", seed, split, int(known), index))
        name = f"consultation-{split}{'-known' if known else ''}-p{seed}-{index:06d}"
        problem = _problem(world, rng, name, split, rng.choice(list(languages)), pool)
        pairs += _pairs(world, rng, problem, replies)
        index += 1
    return _noisy(pairs[:count], noise, long_wins, seed)


@lru_cache(maxsize=4)
def pools(world: World) -> dict[str, tuple[str, ...]]:
    """The diseases of each split: 70 % training, 15 % calibration, 15 % test, by a hash of their ids."""
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for key in world.diseases:
        share = fraction(f"clinic-consultations/{key}")
        found["train" if share < 0.7 else "calibration" if share < 0.85 else "test"].append(key)
    return {split: tuple(keys) for split, keys in found.items()}


def random_quality(rng: random.Random) -> Quality:
    """A reply's quality: one draw says how good it is on the whole, each sentence then follows it or not."""
    good = 0.05 + 0.9 * rng.random()

    def pick(right: str, wrong: Sequence[str], weights: Sequence[float]) -> str:
        return right if rng.random() < good else rng.choices(list(wrong), list(weights))[0]

    return Quality(
        diagnosis=pick("right", ("wrong", "vague", "listed", "absent"), (3, 3, 3, 1)),
        findings=pick("own", ("strange", "denied", "absent"), (4, 2, 4)),
        test=pick("right", ("wrong", "absent"), (2, 8)),
        treatment=pick("right", ("wrong", "banned", "absent"), (2, 1, 7)),
        precautions=pick("right", ("generic", "absent"), (5, 5)),
        boilerplate=rng.random() < 0.5 * (1 - good),
        fillers=rng.randint(0, FILLERS),
    )


def _problem(world: World, rng: random.Random, name: str, split: str, language: str, pool: Sequence[str]) -> Problem:
    disease = world.diseases[rng.choice(pool)]
    shown: list[str] = []
    for _ in range(TRIES):
        shown = rng.sample(disease.findings, min(rng.randint(*SHOWN), len(disease.findings)))
        if len(suspects(world, shown)) == 1:
            break
    who = patient(disease, rng, shown)
    denied = (rng.choice(disease.excludes),) if disease.excludes and rng.random() < DENIED_SHARE else ()
    case = Case(disease.id, tuple(shown), denied, _condition(world, rng, disease), who.age, who.sex, language)
    number, frame = rng.choice(of_split(wording.COMPLAINTS[language], split != "train"))
    text = frame.format(
        age=who.age,
        sex=SEX[language][who.sex, who.age >= 13],
        findings=listing([world.findings[key].name.of(language) for key in shown], language),
        denied="".join(wording.DENIED[language].format(finding=world.findings[k].name.of(language)) for k in denied),
        condition=_told(world, case),
    )
    about = {"topic": "consultation", "department": disease.department, "disease": disease.id, "split": split,
             "template": f"{language}-complaint-{number}", "consultation": case.to_json()}  # fmt: skip
    return Problem(
        name,
        ask(article(text)),
        disease.name.of(language),
        aliases=disease.aliases(language),
        language=language,
        metadata=about,
    )


def _condition(world: World, rng: random.Random, disease: Disease) -> str:
    """What forbids one first-line drug of the disease and leaves another; "" mostly."""
    if rng.random() > CONDITION_SHARE:
        return ""
    drugs = [world.drugs[key] for key in disease.first_line if key in world.drugs]
    found = [
        one.en
        for drug in drugs
        for one in drug.contraindications
        if not one.en.startswith("age ")
        and any(
            key not in world.drugs or one.en not in {c.en for c in world.drugs[key].contraindications}
            for key in disease.first_line
        )
    ]
    return rng.choice(found) if found else ""


def _told(world: World, case: Case) -> str:
    if not case.condition:
        return ""
    texts = (one for drug in world.drugs.values() for one in drug.contraindications if one.en == case.condition)
    return wording.CONDITION[case.language].format(condition=next(texts).of(case.language))


class _Writer:
    """Writes the sentences of one reply."""

    def __init__(self, world: World, rng: random.Random, problem: Problem) -> None:
        self.world, self.rng, self.case = world, rng, oracle.case_of(problem)
        self.language, self.held_out = problem.language, problem.metadata["split"] != "train"
        self.disease = world.diseases[self.case.disease]
        self.pool = next(pool for pool in pools(world).values() if self.disease.id in pool)

    def write(self, quality: Quality) -> str:
        parts = [
            self._diagnosis(quality.diagnosis),
            self._findings(quality.findings),
            self._test(quality.test),
            self._treatment(quality.treatment),
            self._precautions(quality.precautions),
        ]
        if self.rng.random() < 0.5:
            parts[0], parts[1] = parts[1], parts[0]
        if quality.boilerplate:
            parts.insert(self.rng.randint(0, len(parts)), self._say(wording.BOILERPLATE))
        fillers = list(wording.FILLER[self.language][:-1])
        fillers = [wording.FILLER[self.language][-1]] * self.held_out + fillers
        for text in self.rng.sample(fillers, min(quality.fillers, len(fillers))):
            parts.insert(self.rng.randint(0, len(parts)), text)
        said = [part for part in parts if part] or [self._say(wording.VAGUE)]
        return ("" if self.language == "zh" else " ").join(said)

    def _say(self, texts: wording.Wording, **names: str) -> str:
        _, text = self.rng.choice(of_split(texts[self.language], self.held_out))
        return text.format(**names)

    def _others(self) -> list[Disease]:
        """Other diseases of this side, those that share findings first."""
        near = [key for key in rivals(self.world, self.disease.id, self.case.findings) if key in self.pool]
        far = [key for key in self.pool if key not in near and key != self.disease.id]
        self.rng.shuffle(far)
        return [self.world.diseases[key] for key in (*near, *far)]

    def _diagnosis(self, kind: str) -> str:
        if kind == "absent":
            return ""
        if kind == "vague":
            return self._say(wording.VAGUE)
        others = self._others()
        if kind == "listed":
            names = [one.name.of(self.language) for one in (self.disease, *others[: self.rng.randint(2, 4)])]
            self.rng.shuffle(names)
            return self._say(wording.LISTED, list=listing(names, self.language))
        chosen = self.disease if kind == "right" else self.rng.choice(others[:5])
        return self._say(wording.DIAGNOSIS, d=chosen.name.of(self.language))

    def _findings(self, kind: str) -> str:
        own, case = list(self.case.findings), self.case
        if kind == "denied" and not case.denied:
            kind = "strange"
        if kind == "absent":
            return ""
        if kind == "own":
            pair = self.rng.sample(own, 2)
        elif kind == "denied":
            pair = [case.denied[0], self.rng.choice(own)]
        else:
            strange = [f for one in self._others() for f in one.findings if f not in self.disease.findings]
            pair = self.rng.sample([f for f in dict.fromkeys(strange) if f not in case.denied], 2)
        self.rng.shuffle(pair)
        f, g = (self.world.findings[key].name.of(self.language) for key in pair)
        return self._say(wording.FINDINGS, f=f, g=g)

    def _test(self, kind: str) -> str:
        if kind == "absent":
            return ""
        keys = self.disease.tests
        if kind == "wrong":
            keys = tuple(key for one in self._others() for key in one.tests if key not in self.disease.tests)
        return self._say(wording.TEST, t=self.world.test(self.rng.choice(keys)).name.of(self.language))

    def _treatment(self, kind: str) -> str:
        drugs, case = self.world.drugs, self.case
        banned = [key for key in self.disease.first_line if key in drugs and oracle.contraindicated(drugs[key], case)]
        if kind == "banned" and not banned:
            kind = "wrong"
        if kind == "absent":
            return ""
        if kind == "wrong":
            keys = [k for one in self._others()[:8] for k in one.first_line if k not in self.disease.first_line]
        else:
            keys = banned if kind == "banned" else [key for key in self.disease.first_line if key not in banned]
        if not keys:
            return ""
        return self._say(wording.TREATMENT, t=self.world.treatment(self.rng.choice(keys)).name.of(self.language))

    def _precautions(self, kind: str) -> str:
        if kind == "absent":
            return ""
        if kind == "generic":
            return self._say(wording.GENERIC)
        flag = self.rng.choice(self.disease.red_flags).of(self.language)
        now = self._say(wording.EMERGENCY) if self.disease.acuity == "emergency" else ""
        return ("" if self.language == "zh" else " ").join(
            part for part in (now, self._say(wording.RED_FLAG, flag=flag)) if part
        )


def _pairs(world: World, rng: random.Random, problem: Problem, replies: int) -> list[PreferencePair]:
    """All pairs of some replies to one question that the oracle calls no tie, truly labelled."""
    made: list[tuple[Candidate, oracle.OracleScore]] = []
    for place in range(replies):
        quality = random_quality(rng)
        text = _Writer(world, rng, problem).write(quality)
        score = oracle.judge(problem, text, world)
        about = {"quality": vars(quality), "oracle": score.total}
        made.append((Candidate(text, "assistant", "clinic", seed=place, metadata=about), score))
    pairs = []
    for i, (one, first) in enumerate(made):
        for j, (other, second) in enumerate(made[i + 1 :], i + 1):
            margin = abs(first.total - second.total)
            if margin < LEAST_MARGIN or one.text == other.text:
                continue
            chosen, rejected = (one, other) if first.total > second.total else (other, one)
            name = f"{problem.id}-{i}-{j}"
            pairs.append(
                PreferencePair(name, problem, chosen, rejected, min(1.0, margin), provenance={"rater": "rule:oracle"})
            )
    return pairs


def _noisy(pairs: list[PreferencePair], noise: float, long_wins: float, seed: int) -> list[PreferencePair]:
    """Exactly `noise` of the labels turned round, chosen by hashes of the pairs' ids."""

    def turn(pair: PreferencePair) -> tuple[int, float]:
        draw = fraction(f"clinic-pairs-noise/{seed}/{pair.id}")
        shorter = len(pair.chosen.text) < len(pair.rejected.text)
        return (0 if shorter and fraction(f"clinic-pairs-long/{seed}/{pair.id}") < long_wins else 1, draw)

    wrong = {pair.id for pair in sorted(pairs, key=turn)[: round(noise * len(pairs))]}
    return [_turned(pair) if pair.id in wrong else _marked(pair, False) for pair in pairs]


def _turned(pair: PreferencePair) -> PreferencePair:
    marked = _marked(pair, True)
    return PreferencePair(
        pair.id, pair.problem, pair.rejected, pair.chosen, pair.margin, pair.weight, pair.sources, marked.provenance
    )


def _marked(pair: PreferencePair, noise: bool) -> PreferencePair:
    about = {**pair.provenance, "noise": noise}
    return PreferencePair(
        pair.id, pair.problem, pair.chosen, pair.rejected, pair.margin, pair.weight, pair.sources, about
    )


def _check(split: str, count: int, languages: Sequence[str]) -> None:
    if split not in SPLITS:
        raise DataError(f"split is {split!r}{did_you_mean(split, SPLITS)}")
    if count < 1 or not languages or not set(languages) <= set(LANGUAGES):
        raise DataError(f"asked for {count} in {list(languages)}; ask for at least 1, in en, zh or both")
