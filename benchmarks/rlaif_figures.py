"""The figures of benchmarks/rlaif.py: what the oracle makes of replies, who wins, and the tables."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common import print_table

from medrl.data.clinic import oracle
from medrl.evaluation.divergence import Divergence
from medrl.evaluation.reward_hacking import Watch, alarms
from medrl.evaluation.win_rate import Better, interval, length_controlled, near, play, win_rate
from medrl.types import Problem


@dataclass(frozen=True)
class Look:
    """A policy on the held-out patients.

    Attributes:
        step: Finished steps of GRPO.
        sampled, greedy: Replies at the training temperature and the likeliest, in the order of the problems.
        watched: Monitors of the sampled replies.
        scores: Means of the oracle's parts over the sampled replies, and of `diagnosis` (the one right disease),
            `committed` (one disease, whichever), `contraindicated`.
        greedy_scores: The same of the greedy replies.
        kl: From the SFT policy.
    """

    step: int
    sampled: tuple[str, ...]
    greedy: tuple[str, ...]
    watched: Watch
    scores: dict[str, float]
    greedy_scores: dict[str, float]
    kl: Divergence


def means(problems: Sequence[Problem], texts: Sequence[str]) -> dict[str, float]:
    """The oracle's figures over replies."""
    scores = [oracle.judge(problem, text) for problem, text in zip(problems, texts, strict=True)]
    named = [list(one.notes.get("diseases", ())) for one in scores]
    right = [diseases == [one.metadata["disease"]] for diseases, one in zip(named, problems, strict=True)]
    found = {name: statistics.fmean(one.parts[name] for one in scores) for name in oracle.WEIGHTS}
    return found | {
        "total": statistics.fmean(one.total for one in scores),
        "diagnosis": statistics.fmean(right),
        "committed": statistics.fmean(len(diseases) == 1 for diseases in named),
        "contraindicated": statistics.fmean(bool(one.notes.get("contraindicated")) for one in scores),
    }


def better(problem: Problem, first: str, second: str) -> Better:
    """Which of two replies the oracle prefers."""
    return oracle.compare(problem, first, second)[0]


def figures(looks: Sequence[Look], problems: Sequence[Problem]) -> dict[str, float | None]:
    """All single numbers of a seed; None for a rate of no pairs."""
    before, after = looks[0], looks[-1]
    played = play(better, problems, after.sampled, before.sampled)
    greedy = play(better, problems, after.greedy, before.greedy)
    low, high = interval(win_rate, played)
    low_lc, high_lc = interval(length_controlled, played)
    close, close_greedy = near(played), near(greedy)
    report: dict[str, float | None] = {
        "win_rate": win_rate(played), "win_rate_low": low, "win_rate_high": high,
        "win_rate_length_controlled": length_controlled(played),
        "win_rate_length_controlled_low": low_lc, "win_rate_length_controlled_high": high_lc,
        "win_rate_near": win_rate(close) if close else None, "near_pairs": float(len(close)),
        "win_rate_greedy": win_rate(greedy), "win_rate_greedy_length_controlled": length_controlled(greedy),
        "win_rate_greedy_near": win_rate(close_greedy) if close_greedy else None,
        "near_pairs_greedy": float(len(close_greedy)),
        "longer_greedy": statistics.fmean(one.longer > 0 for one in greedy),
        "kl": after.kl.reply, "kl_per_token": after.kl.token, "kl_per_token_k3": after.kl.token_k3,
    }  # fmt: skip
    for name, one in (("before", before), ("after", after)):
        report |= {f"{part}_{name}": value for part, value in one.scores.items()}
        report |= {
            f"greedy_{part}_{name}": one.greedy_scores[part] for part in ("accuracy", "safety", "diagnosis", "total")
        }
        watched = asdict(one.watched) | {"length": one.watched.characters}
        report |= {f"{part}_{name}": watched[part] for part in
                   ("reward", "correlation", "length", "repeated", "padding", "degenerate", "distinct")}  # fmt: skip
    return report


def print_look(looks: Sequence[Look]) -> None:
    """Monitors of the latest look, and a sentence for each thing that looks like an exploited reward."""
    one, watched = looks[-1], looks[-1].watched
    if len(looks) == 1:
        print(f"{'step':>4}{'reward':>8}{'oracle':>8}{'r':>7}{'kl':>7}{'chars':>7}{'repeat':>8}{'padding':>9}"
              f"{'degenerate':>12}{'distinct':>10}{'accuracy':>10}{'safety':>8}")  # fmt: skip
    reward, together = (float("nan") if v is None else v for v in (watched.reward, watched.correlation))
    print(
        f"{one.step:>4}{reward:>8.2f}{watched.judge:>8.3f}{together:>+7.2f}{one.kl.reply:>7.1f}{watched.characters:>7.0f}"
        f"{watched.repeated:>8.1%}{watched.padding:>9.1%}{watched.degenerate:>12.1%}{watched.distinct:>10.1%}"
        f"{one.scores['accuracy']:>10.1%}{one.scores['safety']:>8.1%}",
        flush=True,
    )
    for sentence in alarms(looks[0].watched, watched):
        print(f"     ! {sentence}", flush=True)


def print_result(report: Mapping[str, Any], looks: Sequence[Look], problems: Sequence[Problem]) -> None:
    """The tables of a seed."""
    print()
    rows = [
        ("all pairs", "win_rate", f"{len(problems)}"),
        ("length-controlled", "win_rate_length_controlled", f"{len(problems)}"),
        ("within 20 % of length", "win_rate_near", f"{report['near_pairs']:.0f}"),
        ("greedy", "win_rate_greedy", f"{len(problems)}"),
        ("greedy, within 20 % of length", "win_rate_greedy_near", f"{report['near_pairs_greedy']:.0f}"),
        ("greedy, length-controlled", "win_rate_greedy_length_controlled", f"{len(problems)}"),
    ]

    def spread(name: str) -> str:
        return f"{report[f'{name}_low']:.1%} to {report[f'{name}_high']:.1%}" if f"{name}_low" in report else ""

    print_table(
        ("RL against SFT, by the oracle", "win rate", "95 %", "pairs"),
        [
            (text, "--" if report[name] is None else f"{report[name]:.1%}", spread(name), pairs)
            for text, name, pairs in rows
        ],
    )
    print(
        f"greedy replies are longer than the SFT policy's in {report['longer_greedy']:.0%} of the pairs; near 0 or 100 % "
        "their length-controlled rate is read off where there are no pairs\n"
    )
    parts = ("total", *oracle.WEIGHTS, "diagnosis", "committed", "contraindicated")
    print_table(
        ("oracle's figures", "SFT", "RL", "greedy SFT", "greedy RL"),
        [(part, *(f"{value:.1%}" for value in
          (looks[0].scores[part], looks[-1].scores[part], looks[0].greedy_scores[part], looks[-1].greedy_scores[part])))
         for part in parts],
    )  # fmt: skip
    print(
        f"\nKL to SFT {report['kl']:.2f} nats a reply (k1), {report['kl_per_token']:.4f} a token (k1), "
        f"{report['kl_per_token_k3']:.4f} a token (k3)"
    )
    print(f"the same patient, SFT: {looks[0].sampled[0]}\n                   RL: {looks[-1].sampled[0]}\n", flush=True)
