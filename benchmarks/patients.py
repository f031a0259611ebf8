"""How many whole consultations a second the patient simulator holds, and whether the better doctor is paid better.

    python benchmarks/patients.py [--count 1000] [--seeds 0 1 2] [--json OUT]

Four scripted doctors (`medrl.environments.scripted`) consult the same held-out patients of the clinic, in English and
in Chinese; the reward `consultation` scores them. `cases_per_second` counts whole consultations of the good doctor on
one core, both speakers, without any model, in CPU time; `cases_per_second_cold` the same where no sentence was ever
read before (what sentences say is remembered). `scripted_good`, `random`, `leading_questions` and `never_asks` are mean
scores, `NAME_en` and `NAME_zh` by language, `NAME_accuracy` the share of right diagnoses. Ends with status 1 where the
order is not good > leading, good > random, and never asking below all that ask, in each language and for each seed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from time import process_time

from common import fail, machine, print_machine, print_table, write_json

from medrl.data.clinic.consulting import generate_patients
from medrl.environments import PatientSimulator
from medrl.environments.questions import forget
from medrl.environments.scripted import Played, play
from medrl.rewards import Reward, build
from medrl.types import Group, Problem

NAMES = {"good": "scripted_good", "random": "random", "leading": "leading_questions", "silent": "never_asks"}
LANGUAGES = ("en", "zh")
REWARD = {
    "type": "consultation",
    "correct": {"type": "verified", "verifier": {"type": "text", "vocabulary": "clinic"}, "otherwise": 0.0},
}


def score(reward: Reward, played: Sequence[Played]) -> list[dict[str, float]]:
    """Score and figures of each consultation; a consultation without a score is an error here."""
    rows = reward.score_sync([Group(one.problem, (one.response,)) for one in played])
    found = []
    for (scored,), one in zip(rows, played, strict=True):
        if scored.value is None:
            fail(f"a consultation has no score: {scored.reason}")
        right = scored.parts["correct"].value
        found.append({"score": scored.value, "accuracy": float(right or 0.0), "gain": one.response.measured["gain"],
                      "turns": one.response.measured["turns"]})  # fmt: skip
    return found


def speed(environment: PatientSimulator, problems: Sequence[Problem]) -> tuple[float, float]:
    """Consultations of the good doctor a CPU second: where every sentence is new, and as in the middle of a run."""
    rates = []
    forget()
    for seed in (0, 1, 2, 3):
        began = process_time()
        for problem in problems:
            play(environment, problem, "good", seed)
        rates.append(len(problems) / (process_time() - began))
    return rates[0], max(rates[1:])


def run(count: int, seeds: Sequence[int]) -> tuple[dict[str, object], list[list[str]], list[str]]:
    environment, reward = PatientSimulator(), build(REWARD)
    figures: dict[str, object] = {}
    rows, broken = [], []
    means: dict[tuple[str, str, int], float] = {}
    for doctor, name in NAMES.items():
        every: list[dict[str, float]] = []
        by_language = {}
        for language in LANGUAGES:
            found: list[dict[str, float]] = []
            for seed in seeds:
                patients = generate_patients(split="held_out", count=count, seed=seed, languages=(language,))
                scored = score(reward, [play(environment, one, doctor, seed) for one in patients])
                means[doctor, language, seed] = fmean(one["score"] for one in scored)
                found += scored
            by_language[language] = fmean(one["score"] for one in found)
            every += found
        mean = {key: fmean(one[key] for one in every) for key in every[0]}
        figures |= {name: round(mean["score"], 4), f"{name}_accuracy": round(mean["accuracy"], 4)}
        figures |= {f"{name}_{language}": round(value, 4) for language, value in by_language.items()}
        rows.append([name, *(f"{by_language[one]:.3f}" for one in LANGUAGES), f"{mean['score']:.3f}",
                     f"{mean['accuracy']:.1%}", f"{mean['gain']:.1%}", f"{mean['turns']:.1f}"])  # fmt: skip
    for language in LANGUAGES:
        for seed in seeds:
            of = {doctor: means[doctor, language, seed] for doctor in NAMES}
            if not (of["good"] > of["leading"] and of["good"] > of["random"]):
                broken.append(f"{language}, seed {seed}: the good doctor does not score highest: {of}")
            if of["silent"] >= min(of["good"], of["random"], of["leading"]):
                broken.append(f"{language}, seed {seed}: never asking does not score lowest: {of}")
    cold, warm = speed(environment, generate_patients(split="held_out", count=count, seed=seeds[0]))
    figures |= {"cases_per_second": round(warm, 1), "cases_per_second_cold": round(cold, 1), "order_holds": not broken}
    return figures, rows, broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="patients of each language and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    if given.count < 1:
        fail("--count must be at least 1")
    figures, rows, broken = run(given.count, given.seeds)
    print_table(["doctor", *LANGUAGES, "score", "diagnosis", "gain", "turns"], rows)
    print(
        f"consultations a second on one core: {figures['cases_per_second']} "
        f"({figures['cases_per_second_cold']} where every sentence is new)"
    )
    print_machine(machine())
    write_json(given.json, figures)
    if broken:
        fail("; ".join(broken))


if __name__ == "__main__":
    main()
