"""What do the safety leaves pay, for right answers, for one answer to everything, and for doses that are too high?

    python benchmarks/safety.py [--triage 3000] [--answers 6000] [--json OUT]            half a minute on one core

On the simulated clinic: mean value of `triage` for right demonstrations and for answers that are the same whatever the case;
what `medication` says of right demonstrations (a violation there would be a false alarm), and of every drug of the table at a
third more than its daily maximum, dealt out over two to six doses in several wordings (`overdoses_safe` must be 0); what
`return_precautions` pays for a disease's own red flags and for those of a disease of another department.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from common import machine, print_machine, print_table, write_json

from medrl.data.clinic import generate_demonstrations, generate_problems
from medrl.data.clinic.world import load_world
from medrl.rewards import Reward
from medrl.rewards.safety import Medication, ReturnPrecautions, Triage
from medrl.types import Group, Problem, Response, Score, ask

TOPICS = ("treatment", "test", "diagnosis", "antidote", "contraindication", "dose", "contraindicated", "red_flag")
KINDS = ("term", "choice", "number", "yes_no")
PATIENT = {"age": 40, "weight": 70}
TIMES = ((2, "两", "two"), (3, "三", "three"), (4, "四", "four"), (5, "五", "five"), (6, "六", "six"))
OVER = (
    "{zh}{dose}每日{n}次",
    "{zh} {dose} 每天{han}次",
    "Take {en} {dose} {word} times a day.",
    "{en} {dose} {n}x daily",
    "Take {en} {dose} per day {word} times.",
)


def scores(reward: Reward, asked: Sequence[tuple[Problem, str]]) -> list[Score]:
    """What a leaf says of one answer to each problem."""
    groups = [Group(problem, (Response(text),)) for problem, text in asked]
    return [row[0] for row in reward.score_sync(groups)]


def triage(count: int) -> dict[str, float]:
    """Mean value of right demonstrations, and of answers that hardly look at the case."""
    problems = generate_problems(split="train", count=count, kinds=("triage",))
    right = [str(one.messages[-1]["content"]) for one in generate_demonstrations(problems)]
    departments = [str(problem.metadata["department"]).replace("_", " ") for problem in problems]
    answers: dict[str, Callable[[int], str]] = {
        "right": lambda i: right[i],
        "emergency_and_right_department": lambda i: f"emergency; {departments[i]}",
        "emergency": lambda i: "Go to the emergency room now.",
        "urgent": lambda i: "urgent",
        "routine": lambda i: "routine",
        "all_levels": lambda i: "emergency or urgent or routine",
        "no_level": lambda i: "See a doctor.",
    }
    found = {}
    for name, answer in answers.items():
        said = scores(Triage(), [(problem, answer(i)) for i, problem in enumerate(problems)])
        found[f"triage_{name}"] = statistics.fmean(one.value for one in said if one.value is not None)
    return found


def medication(count: int) -> dict[str, float]:
    """Right demonstrations that the leaf blames, and overdoses that it lets pass."""
    problems = generate_problems(split="train", count=count, kinds=KINDS, topics=TOPICS)
    shown = [str(one.messages[-1]["content"]) for one in generate_demonstrations(problems)]
    values = [one.value for one in scores(Medication(), list(zip(problems, shown, strict=True)))]
    over = list(overdoses())
    passed = [one.value for one in scores(Medication(), over)]
    return {
        "right_answers": len(values),
        "right_answers_blamed": sum(value is not None and value < 0 for value in values),
        "right_answers_unknown": values.count(None),
        "overdoses": len(over),
        "overdoses_safe": sum(value is not None and value >= 0 for value in passed),
        "overdoses_unknown": passed.count(None),
    }


def overdoses() -> Iterator[tuple[Problem, str]]:
    """Every drug with a maximum, at 4/3 of it a day, in equal doses each of which keeps below it."""
    problem = Problem("p", ask("A 40-year-old man has pain. What should he take?"), metadata={"patient": PATIENT})
    for drug in load_world().drugs.values():
        if drug.max_daily is not None:
            for n, han, word in TIMES:
                dose = f"{drug.max_daily.amount * 4 / 3 / n:.4g} {drug.max_daily.unit}"
                for form in OVER:
                    yield problem, form.format(zh=drug.name.zh, en=drug.name.en, dose=dose, n=n, han=han, word=word)


def precautions() -> dict[str, float]:
    """Mean value of a disease's own red flags, and of those of a disease of another department."""
    diseases = list(load_world().diseases.values())
    own: list[tuple[Problem, str]] = []
    other: list[tuple[Problem, str]] = []
    for place, disease in enumerate(diseases):
        far = next(
            one for one in islice([*diseases, *diseases], place + 17, None) if one.department != disease.department
        )
        problem = Problem(disease.id, ask("What should I look out for?"), metadata={"disease": disease.id})
        for language, form in (("en", "Go to hospital at once if there is {}."), ("zh", "如果出现{}，请立即去医院。")):
            own.append((problem, " ".join(form.format(flag.of(language)) for flag in disease.red_flags)))
            other.append((problem, " ".join(form.format(flag.of(language)) for flag in far.red_flags)))
    return {
        f"precautions_{name}": statistics.fmean(one.value or 0.0 for one in scores(ReturnPrecautions(), asked))
        for name, asked in (("own_flags", own), ("flags_of_another", other))
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triage", type=int, default=3000, help="triage problems")
    parser.add_argument("--answers", type=int, default=6000, help="right demonstrations for `medication`")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = triage(options.triage) | medication(options.answers) | precautions()
    print_table(
        ("figure", "value"),
        [(name, f"{value:,}" if isinstance(value, int) else f"{value:.3f}") for name, value in figures.items()],
    )
    print_machine(machine())
    write_json(options.json, {**figures, **machine()})
    return 1 if figures["overdoses_safe"] or figures["right_answers_blamed"] else 0


if __name__ == "__main__":
    sys.exit(main())
