"""Figures, table and shapes of HuatuoGPT at tiny scale, recomputed from the rows that the stages wrote.

Every difference is of replies to the same visit. Intervals are percentile bootstraps over visits, all seeds together. A shape
holds where its whole interval is on the right side; where it is not, fewer than five seeds refute nothing.
"""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medrl.evaluation import visit_oracle
from medrl.evaluation.win_rate import Better, Match, interval, length_controlled, match, win_rate
from medrl.files import read_jsonl
from medrl.seeds import seed_of

Row = Mapping[str, Any]
RESAMPLES = 1000
# Wins, ties and losses in per cent of HuatuoGPT-13B, as its repository shows them: judged by GPT-4, then by doctors.
PAPER = {
    "single-turn, against ChatGPT": ("47 / 21 / 32", "35 / 32 / 33"),
    "multi-turn, against ChatGPT": ("62 / 6 / 32", "54 / 16 / 30"),
}


def interval_of(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval."""
    rng = random.Random(seed_of("huatuogpt", len(values)))
    drawn = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return statistics.fmean(values), drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES) - 1]


class Answers:
    """All replies to the held-out visits, by policy, seed and visit."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.rows: dict[str, dict[tuple[int, str, str], Row]] = {}
        self.preferences: dict[str, list[Row]] = {}
        for seed, folder in enumerate(folders):
            for file in sorted(folder.glob("answers-*/answers.jsonl")):
                for row in read_jsonl(file):
                    self.rows.setdefault(row["policy"], {})[seed, row["id"], row["way"]] = row
            for file in sorted(folder.glob("reward*/preferences.jsonl")):
                self.preferences.setdefault(file.parent.name, []).extend(read_jsonl(file))

    def of(self, policy: str, way: str, keep: Callable[[Row], bool] = lambda row: True) -> list[Row]:
        return [row for key, row in sorted(self.rows[policy].items()) if key[2] == way and keep(row)]

    def matches(self, policy: str, other: str, way: str, keep: Callable[[Row], bool] = lambda row: True) -> list[Match]:
        """One match a visit, in both orders, by the visit oracle; a reply that did not end loses as an empty one."""
        mine, others = self.rows[policy], self.rows[other]
        keys = [key for key in sorted(mine) if key[2] == way and key in others and keep(mine[key])]
        return [
            match(partial(better, mine[key], others[key]), str(mine[key]["text"]), str(others[key]["text"]))
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


def figures(answers: Answers) -> dict[str, dict[str, dict[str, list[float]]]]:
    """policy, way, figure: mean, low, high."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for policy in answers.rows:
        for way in ("sampled", "greedy"):
            for name, (keep, value) in FIGURES.items():
                values = [v for row in answers.of(policy, way, keep) if (v := value(row)) is not None]
                if values:
                    found.setdefault(policy, {}).setdefault(way, {})[name] = list(interval_of(values))
    return found


def contest(answers: Answers, policy: str, other: str, way: str, keep: Callable[[Row], bool]) -> dict[str, Any]:
    """Win, tie and loss of one policy against another, plain and at equal length."""
    played = answers.matches(policy, other, way, keep)
    wins, losses = (sum(one.outcome == value for one in played) / len(played) for value in (1.0, 0.0))
    return {
        "policy": policy, "against": other, "way": way, "visits": len(played), "win": wins, "tie": 1.0 - wins - losses,
        "loss": losses, "win_rate": [win_rate(played), *interval(win_rate, played)],
        "length_controlled": [length_controlled(played), *interval(length_controlled, played, resamples=100)],
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


def difference(answers: Answers, policy: str, other: str, name: str, way: str) -> tuple[float, float, float]:
    """Mean of a figure of one policy less that of another, over the same visits."""
    keep, value = FIGURES[name]
    first, second = answers.rows[policy], answers.rows[other]
    pairs = [(value(first[key]), value(second[key])) for key in sorted(first)
             if key[2] == way and key in second and keep(first[key])]  # fmt: skip
    return interval_of([a - b for a, b in pairs if a is not None and b is not None])


def shapes(answers: Answers, seeds: int) -> dict[str, dict[str, Any]]:
    """Each shape of the paper: held or not, with its numbers."""
    found: dict[str, dict[str, Any]] = {}

    def tell(name: str, claim: str, measured: tuple[float, float, float], above: float = 0.0, **more: Any) -> None:
        held = measured[1] > above
        reversed_ = measured[2] < above
        verdict = "held" if held else ("reversed" if seeds >= 5 else "not held") if reversed_ else "not shown"
        found[name] = {"held": held, "verdict": verdict, "claim": claim, "mean": measured[0],
                       "low": measured[1], "high": measured[2], "against": above, "seeds": seeds, **more}  # fmt: skip

    def rate(policy: str, other: str) -> tuple[float, float, float]:
        row = contest(answers, policy, other, "sampled", lambda row: True)
        mean, low, high = row["win_rate"]
        return mean, low, high

    tell(
        "rlaif_raises_asking_back",
        "asking back, RLAIF less SFT",
        difference(answers, "ppo", "sft-both", "asking_back", "sampled"),
    )
    tell("rlaif_raises_win_rate", "win rate of RLAIF against SFT", rate("ppo", "sft-both"), 0.5,
         length_controlled=contest(answers, "ppo", "sft-both", "sampled", lambda row: True)["length_controlled"])  # fmt: skip
    tell("both_beats_real_only", "win rate of SFT on both against real only", rate("sft-both", "sft-real"), 0.5)
    tell(
        "both_beats_distilled_only",
        "win rate of SFT on both against distilled only",
        rate("sft-both", "sft-distilled"),
        0.5,
    )
    for name, text in (("reward", "with"), ("reward-blind", "without")):
        rows = [row for row in answers.preferences[name] if not row["decidable"]]
        shares = interval_of([float(row["doctor"] > row["assistant"]) for row in rows])
        if name == "reward":
            tell("reward_with_reference_prefers_asking", f"undecided visits at which the reward model {text} the doctor's "
                 "reference pays a doctor's question more than an assistant's reply", shares, 0.5)  # fmt: skip
        else:
            low = (1.0 - shares[0], 1.0 - shares[2], 1.0 - shares[1])
            tell(
                "reward_without_reference_prefers_lists",
                f"the same, {text}: the assistant's long reply gets more",
                low,
                0.5,
            )
    tell("reference_shifts_rl_to_asking", "asking back, RL on the reward model with the reference less without",
         difference(answers, "ppo", "ppo-blind", "asking_back", "sampled"))  # fmt: skip
    return found
