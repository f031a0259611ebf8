"""Figures, table and shapes of HuatuoGPT at tiny scale, recomputed from the rows that the stages wrote.

Every difference is of replies to the same visit. Intervals are 95 % percentile bootstraps over cases, and over seeds, and
with few seeds at least Student's over them. A case is one disease with the findings told: visits of one case differ in a word
or in the age of the patient, and are drawn together. A shape holds where its whole interval is on the right side; with one
seed that says nothing of other seeds, and fewer than five refute nothing.
"""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from medrl.evaluation import visit_oracle
from medrl.evaluation.statistics import student
from medrl.evaluation.win_rate import Better, Match, length_controlled, match, win_rate
from medrl.files import read_jsonl
from medrl.seeds import seed_of

Row = Mapping[str, Any]
RESAMPLES = 1000
# Wins, ties and losses in per cent of HuatuoGPT-13B, as its repository shows them: judged by GPT-4, then by doctors.
PAPER = {
    "single-turn, against ChatGPT": ("47 / 21 / 32", "35 / 32 / 33"),
    "multi-turn, against ChatGPT": ("62 / 6 / 32", "54 / 16 / 30"),
}


T = TypeVar("T")
Unit = tuple[int, str]  # the seed and the case that something belongs to
Measured = tuple[float, float, float]  # a figure and its 95 % interval


def measured(
    statistic: Callable[[Sequence[T]], float], of: Sequence[tuple[Unit, T]], resamples: int = RESAMPLES
) -> Measured:
    """A statistic and its 95 % interval: cases are drawn, the same for all seeds, and seeds, with all that belongs to both.

    Drawing a few seeds from themselves is too narrow, so the interval is at least Student's over them.
    """
    by_seed: dict[int, dict[str, list[T]]] = {}
    for (seed, case), value in of:
        by_seed.setdefault(seed, {}).setdefault(case, []).append(value)
    seeds, names = list(by_seed.values()), sorted({case for (_, case), _ in of})
    rng = random.Random(seed_of("huatuogpt", len(of)))

    def draw() -> list[T]:
        while True:  # a seed may have none of the cases
            cases, some = rng.choices(names, k=len(names)), rng.choices(seeds, k=len(seeds))
            if found := [value for seed in some for case in cases for value in seed.get(case, ())]:
                return found

    drawn = sorted(statistic(draw()) for _ in range(resamples))
    point, low, high = (
        statistic([one for _, one in of]),
        drawn[int(0.025 * resamples)],
        drawn[int(0.975 * resamples) - 1],
    )
    half = student([statistic([one for case in seed.values() for one in case]) for seed in seeds])
    return (point, min(low, point - half), max(high, point + half)) if half else (point, low, high)


def as_share(figure: Measured) -> Measured:
    """Student's interval may leave 0 to 1; no share does."""
    mean, low, high = figure
    return mean, max(0.0, low), min(1.0, high)


class Answers:
    """All replies to the held-out visits, by policy, seed and visit."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.rows: dict[str, dict[tuple[int, str, str], Row]] = {}
        self.preferences: dict[str, list[tuple[Unit, Row]]] = {}
        for seed, folder in enumerate(folders):
            for file in sorted(folder.glob("answers-*/answers.jsonl")):
                for row in read_jsonl(file):
                    self.rows.setdefault(row["policy"], {})[seed, row["id"], row["way"]] = row
            for file in sorted(folder.glob("reward*/preferences.jsonl")):
                rows = [((seed, str(row["case"])), row) for row in read_jsonl(file)]
                self.preferences.setdefault(file.parent.name, []).extend(rows)

    def of(self, policy: str, way: str, keep: Callable[[Row], bool] = lambda row: True) -> list[tuple[Unit, Row]]:
        return [
            ((key[0], str(row["case"])), row)
            for key, row in sorted(self.rows[policy].items())
            if key[2] == way and keep(row)
        ]

    def matches(
        self, policy: str, other: str, way: str, keep: Callable[[Row], bool] = lambda row: True
    ) -> list[tuple[Unit, Match]]:
        """One match a visit, in both orders, by the visit oracle; a reply that did not end loses as an empty one."""
        mine, others = self.rows[policy], self.rows[other]
        keys = [key for key in sorted(mine) if key[2] == way and key in others and keep(mine[key])]
        return [
            (
                (key[0], str(mine[key]["case"])),
                match(partial(better, mine[key], others[key]), str(mine[key]["text"]), str(others[key]["text"])),
            )
            for key in keys
        ]


def better(row: Row, other: Row, first: str, second: str) -> Better:
    """Which of two replies the visit oracle called better, by the totals that it gave them when they were drawn."""
    totals = {str(other["text"]): float(other["total"]), str(row["text"]): float(row["total"])}
    difference = totals[first] - totals[second]
    return "tie" if abs(difference) < visit_oracle.TIE else "first" if difference > 0 else "second"


def undecided(row: Row) -> bool:
    return not row["decidable"]


def decided(row: Row) -> bool:
    return bool(row["decidable"])


FIGURES: Mapping[str, tuple[Callable[[Row], bool], Callable[[Row], float | None]]] = {
    "asking_back": (undecided, lambda row: float(row["asks"])),
    "diagnosis_right": (decided, lambda row: float(row["right"])),
    "total": (lambda row: True, lambda row: row["total"]),
    "accuracy": (lambda row: True, lambda row: row["accuracy"]),
    "safety": (lambda row: True, lambda row: row["safety"]),
    "unsafe": (lambda row: True, lambda row: float(row["unsafe"])),
    "doctor_likeness": (lambda row: True, lambda row: row["doctor_likeness"]),
    "diseases_listed": (lambda row: True, lambda row: float(row["listed"])),
    "characters": (lambda row: True, lambda row: float(len(row["text"]))),
    "unfinished": (lambda row: True, lambda row: float(row["finish_reason"] != "stop")),
}
COUNTS = ("diseases_listed", "characters")  # all others lie between 0 and 1


def figures(answers: Answers) -> dict[str, dict[str, dict[str, list[float]]]]:
    """policy, way, figure: mean, low, high."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for policy in answers.rows:
        for way in ("sampled", "greedy"):
            for name, (keep, value) in FIGURES.items():
                values = [(unit, v) for unit, row in answers.of(policy, way, keep) if (v := value(row)) is not None]
                if values:
                    figure = measured(statistics.fmean, values)
                    figure = figure if name in COUNTS else as_share(figure)
                    found.setdefault(policy, {}).setdefault(way, {})[name] = list(figure)
    return found


def contest(answers: Answers, policy: str, other: str, way: str, keep: Callable[[Row], bool]) -> dict[str, Any]:
    """Win, tie and loss of one policy against another, plain and at equal length."""
    played = answers.matches(policy, other, way, keep)
    wins, losses = (sum(one.outcome == value for _, one in played) / len(played) for value in (1.0, 0.0))
    return {
        "policy": policy, "against": other, "way": way, "visits": len(played), "win": wins, "tie": 1.0 - wins - losses,
        "loss": losses, "win_rate": list(as_share(measured(win_rate, played))),
        "length_controlled": list(as_share(measured(length_controlled, played, resamples=100))),
    }  # fmt: skip


PAIRS = (
    ("ppo", "sft-both"), ("ppo", "sft-distilled"), ("ppo", "sft-real"), ("sft-both", "sft-distilled"),
    ("sft-both", "sft-real"), ("ppo-blind", "sft-both"), ("ppo", "ppo-blind"),
)  # fmt: skip


def table(answers: Answers) -> list[dict[str, Any]]:
    """Rows as in the paper, single-turn and multi-turn apart, then one for each variant of the last stage."""
    others = [
        (name, "sft-both") for name in sorted(answers.rows) if name not in {a for a, _ in PAIRS} | {b for _, b in PAIRS}
    ]
    found = []
    for policy, other in (*PAIRS, *others):
        if policy not in answers.rows or other not in answers.rows:
            continue
        for turns, keep in (
            ("single-turn", lambda row: row["stage"] == "opening"),
            ("multi-turn", lambda row: row["stage"] != "opening"),
        ):
            row = contest(answers, policy, other, "sampled", keep)
            paper = PAPER.get(f"{turns}, against ChatGPT") if (policy, other) == ("ppo", "sft-distilled") else None
            found.append({"turns": turns, **row, "paper_gpt4": paper and paper[0], "paper_doctors": paper and paper[1]})
    return found


def difference(answers: Answers, policy: str, other: str, name: str, way: str) -> Measured:
    """Mean of a figure of one policy less that of another, over the same visits."""
    keep, value = FIGURES[name]
    first, second = answers.rows[policy], answers.rows[other]
    pairs = [((key[0], str(first[key]["case"])), value(first[key]), value(second[key])) for key in sorted(first)
             if key[2] == way and key in second and keep(first[key])]  # fmt: skip
    return measured(statistics.fmean, [(unit, a - b) for unit, a, b in pairs if a is not None and b is not None])


def preferred(answers: Answers, model: str, first: str, second: str) -> Measured:
    """Share of the undecided visits at which a reward model pays what `first` says more than what `second` does."""
    rows = [(unit, row) for unit, row in answers.preferences[model] if undecided(row)]
    return as_share(measured(statistics.fmean, [(unit, float(row[first] > row[second])) for unit, row in rows]))


def shapes(answers: Answers, seeds: int) -> dict[str, dict[str, Any]]:
    """Each shape of the paper: held or not, with its numbers."""
    against_sft, against_real, against_distilled = (
        contest(answers, one, other, "sampled", lambda row: True)
        for one, other in (("ppo", "sft-both"), ("sft-both", "sft-real"), ("sft-both", "sft-distilled"))
    )
    claims = {
        "rlaif_raises_asking_back": (
            "asking back, RLAIF less SFT", 0.0, difference(answers, "ppo", "sft-both", "asking_back", "sampled")),
        "rlaif_raises_win_rate": ("win rate of RLAIF against SFT", 0.5, against_sft["win_rate"]),
        "both_beats_real_only": ("win rate of SFT on both against real only", 0.5, against_real["win_rate"]),
        "both_beats_distilled_only": ("win rate of SFT on both against distilled only", 0.5, against_distilled["win_rate"]),
        "reward_with_reference_prefers_asking": (
            "undecided visits at which the reward model with the doctor's reference pays a doctor's question more than an "
            "assistant's reply", 0.5, preferred(answers, "reward", "doctor", "assistant")),
        "reward_without_reference_prefers_lists": (
            "the same, without: the assistant's long reply gets more", 0.5,
            preferred(answers, "reward-blind", "assistant", "doctor")),
        "reference_shifts_rl_to_asking": (
            "asking back, RL on the reward model with the reference less without", 0.0,
            difference(answers, "ppo", "ppo-blind", "asking_back", "sampled")),
    }  # fmt: skip
    found = {name: shape(claim, above, figure, seeds) for name, (claim, above, figure) in claims.items()}
    at_equal_length = {"rlaif_raises_win_rate": against_sft, "both_beats_real_only": against_real,
                       "both_beats_distilled_only": against_distilled}  # fmt: skip
    for name, row in at_equal_length.items():
        found[name]["length_controlled"] = row["length_controlled"]
    return found


def shape(claim: str, above: float, figure: Sequence[float], seeds: int) -> dict[str, Any]:
    """What a figure says of a claim that it is above something."""
    mean, low, high = figure
    verdict = (
        "holds"
        if low > above
        else "open"
        if high >= above
        else "refuted"
        if seeds >= 5
        else "open (5 seeds are needed to refute)"
    )
    return {"held": low > above, "verdict": verdict, "claim": claim, "mean": mean, "low": low, "high": high,
            "against": above, "seeds": seeds}  # fmt: skip
