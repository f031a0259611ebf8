"""The paper's tables beside ours, and whether their shapes hold; all of it from the answers that `reproduce.py` keeps.

The unit is a problem under a seed: its value is the share of its samples that are right, failed judgements left out. The
intervals are of 95 %, by a bootstrap that draws seeds and problems, and at least the one of Student over seeds, being few;
with one seed they say nothing of other seeds.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medrl.evaluation.statistics import student

# Accuracies of the paper in percent. T1: mean of seven sets, 8B. T2: MedQA. T3: mean of five sets.
PAPER = {
    "sft_complex": "59.8 (T1), 69.0 (T2)", "complex_ppo": "63.9 (T1), 72.6 (T2), 66.6 (T3)",
    "sft_simple": "66.6 (T2)", "simple_ppo": "69.2 (T2)", "sft_response": "65.2 (T2)", "response_ppo": "66.3 (T2)",
    "complex_rloo": "65.7 (T3)", "complex_dpo": "64.2 (T3)", "complex_ppo_exact": "not told",
    "sft_search": "59.8 (T1), 69.0 (T2)",
}  # fmt: skip
TITLES = {
    "sft_complex": "SFT, complex chain", "complex_ppo": "  + PPO, verifier (the paper's)",
    "sft_simple": "SFT, simple chain", "simple_ppo": "  + PPO", "sft_response": "SFT, response only",
    "response_ppo": "  + PPO", "complex_rloo": "complex chain + RLOO", "complex_dpo": "complex chain + DPO, offline",
    "complex_ppo_exact": "complex chain + PPO, exact match", "sft_search": "SFT, chains of a search by a model",
}  # fmt: skip
# Each shape: a sum of accuracies, which holds where its whole interval is above 0 (or above -margin).
SHAPES: Mapping[str, Mapping[str, int]] = {
    "RL improves on SFT": {"complex_ppo": 1, "sft_complex": -1},
    "RL gains more with complex than with simple chains":
        {"complex_ppo": 1, "sft_complex": -1, "simple_ppo": -1, "sft_simple": 1},
    "RL gains more with simple chains than with responses only":
        {"simple_ppo": 1, "sft_simple": -1, "response_ppo": -1, "sft_response": 1},
    "PPO is no worse than RLOO": {"complex_ppo": 1, "complex_rloo": -1},
    "RLOO is better than DPO": {"complex_rloo": 1, "complex_dpo": -1},
    "the verifier is a better reward than exact match": {"complex_ppo": 1, "complex_ppo_exact": -1},
}  # fmt: skip
MARGINS = {"PPO is no worse than RLOO": 0.02}  # what counts as no worse
REFUTES = 5  # seeds that it takes to say that a shape is refuted
RESAMPLES = 2000

Values = list[dict[str, float]]  # by seed: problem id to the share of its samples that are right


def figures(answers: Mapping[str, Mapping[int, Path]]) -> dict[str, Any]:
    """`table` and `shapes`.

    Args:
        answers: Row name to seed to the answers.jsonl of its policy.
    """
    rows = {name: [read(path) for _, path in sorted(by_seed.items())] for name, by_seed in answers.items()}
    values = {name: [by_problem(answers) for answers in seeds] for name, seeds in rows.items()}
    order = [name for name in TITLES if name in rows]
    shapes = {
        shape: contrast(values, weights, MARGINS.get(shape, 0.0))
        for shape, weights in SHAPES.items()
        if all(name in values for name in weights)
    }
    return {"table": [table_row(name, rows[name], values[name]) for name in order], "shapes": shapes}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def by_problem(answers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for answer in answers:
        if answer["correct"] is not None:
            found.setdefault(answer["problem"], []).append(answer["correct"])
    return {problem: sum(given) / len(given) for problem, given in found.items()}


def table_row(name: str, answers: Sequence[Sequence[Mapping[str, Any]]], values: Values) -> dict[str, Any]:
    flat = [answer for seed in answers for answer in seed]
    topics = sorted({answer["topic"] for answer in flat})
    judged = {t: [a["correct"] for a in flat if a["topic"] == t and a["correct"] is not None] for t in topics}
    return {
        "name": name, "title": TITLES[name], "paper": PAPER[name],
        "accuracy": overall(values),
        "interval": tuple(np.clip(interval(values), 0.0, 1.0).tolist()),
        "by_seed": [float(np.mean(list(seed.values()))) for seed in values],
        "by_topic": {topic: sum(given) / len(given) for topic, given in judged.items() if given},
        "tokens": sum(answer["tokens"] for answer in flat) / len(flat),
        "unscored": sum(answer["correct"] is None for answer in flat) / len(flat),
    }  # fmt: skip


def contrast(values: Mapping[str, Values], weights: Mapping[str, int], margin: float = 0.0) -> dict[str, Any]:
    """A sum of accuracies, over the problems that all its rows could be judged on; it holds where it is above -margin."""
    parts = []
    for seeds in zip(*(values[name] for name in weights), strict=True):
        shared = sorted(set.intersection(*(set(seed) for seed in seeds)))
        signs = list(zip(weights.values(), seeds, strict=True))
        parts.append({problem: sum(weight * seed[problem] for weight, seed in signs) for problem in shared})
    difference, (low, high) = overall(parts), interval(parts)
    refuted = high < -margin
    holds = "holds" if len(parts) > 1 else "holds (one seed)"
    verdict = holds if low > -margin else "open" if not refuted else "refuted"
    if refuted and len(parts) < REFUTES:
        verdict = f"open ({REFUTES} seeds are needed to refute)"
    return {
        "held": low > -margin, "verdict": verdict, "difference": difference, "interval": (low, high), "margin": margin,
        "seeds": len(parts), "rows": {name: overall(values[name]) for name in weights},
    }  # fmt: skip


def overall(values: Values) -> float:
    """The mean over seeds of the mean over problems."""
    return float(np.mean([np.mean(list(seed.values())) for seed in values]))


def interval(by_seed: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """95 % of the mean: in each resample seeds are drawn, and problems once for all seeds, since all answer the same ones."""
    problems = sorted(set().union(*by_seed))
    values_SP = np.array([[seed.get(problem, np.nan) for problem in problems] for seed in by_seed])
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows, columns = rng.integers(len(by_seed), size=len(by_seed)), rng.integers(len(problems), size=len(problems))
        drawn.append(np.nanmean(np.nanmean(values_SP[rows][:, columns], axis=1)))
    low, high = map(float, np.quantile(drawn, (0.025, 0.975)))
    means = np.nanmean(values_SP, axis=1)
    point, half = float(means.mean()), student(means.tolist())
    return (min(low, point - half), max(high, point + half)) if half else (low, high)


def page(report: Mapping[str, Any]) -> str:
    """What is printed in the end."""
    topics = sorted({topic for row in report["table"] for topic in row["by_topic"]})
    lines = [("", "accuracy", "95 %", *topics, "tokens", "paper")]
    for row in report["table"]:
        low, high = (100 * bound for bound in row["interval"])
        by_topic = (f"{row['by_topic'].get(topic, float('nan')):.1%}" for topic in topics)
        tokens, paper = f"{row['tokens']:.0f}", row["paper"]
        lines.append((row["title"], f"{row['accuracy']:.1%}", f"{low:.1f}-{high:.1f}", *by_topic, tokens, paper))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    text += ["", f"shapes of the paper, over {report['seeds']} seed{'s' * (report['seeds'] > 1)}:"]
    for name, shape in report["shapes"].items():
        low, high = (100 * bound for bound in shape["interval"])
        text.append(
            f"  {shape['verdict']:>7}  {name}: {100 * shape['difference']:+.1f} points ({low:+.1f} to {high:+.1f})"
        )
    least = "at least " if report["at_least"] else ""  # what a start took that was killed is not known
    return "\n".join([*text, "", f"main path: {least}{report['minutes']:.1f} minutes a seed"])
