"""Does the leaf `doctor_likeness` tell doctors from assistants by what they do, and can it be paid by less?

    python benchmarks/doctor_likeness.py [--seeds 0 1 2] [--count 300] [--vocabulary medrl] [--replies FILE] [--json OUT]

Measured on the clinic's held-out replies, whose diseases and sentences no training reply has (`medrl.data.clinic.dialogues`):
`auc` over doctors' and assistants' replies, `auc_length_matched` over pairs of the same medical content within a tenth of
length, and beside both the AUC of brevity alone. The learned weights are the shipped ones. `attacks_paid` counts the texts
of `medrl attack` that earn more than a doctor's sound reply; `constant_questions` is the most that one to three questions
earn on average which are the same for every patient; `truncated_gain` and `padded_gain` are what cutting a sound
reply after half of its sentences, or adding sentences that say nothing, changes in its reward. `--replies` adds a file of
real replies, by source.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from time import process_time

from common import fail, print_table, write_json

from medrl.commands import doctor_attacks
from medrl.commands.doctor_likeness import Measured, clinic_replies, measure
from medrl.data.clinic.dialogues import generate_flawed
from medrl.data.replies import LabelledReply, load_replies
from medrl.rewards import DoctorLikeness
from medrl.types import Group, Response, Score

PADS = {
    "en": " I have seen this before. That is how it goes. We will see.",
    "zh": "这种情况我见过。就是这样。以后再看。",
}
FIGURES = ("auc", "auc_of_brevity", "auc_length_matched", "length_correlation_doctor", "length_correlation_assistant")


def gains(reward: DoctorLikeness, count: int, seed: int) -> tuple[float, float]:
    """Mean change of reward when sound replies are cut, and when they are padded."""
    sound = [one for one in generate_flawed(split="held_out", count=count, seed=seed) if not one.flaw]
    texts = [(one.text, half(one.text), one.text + PADS[one.problem.language]) for one in sound]
    groups = [Group(one.problem, tuple(map(Response, three))) for one, three in zip(sound, texts, strict=True)]
    rows = [[_number(score) for score in row] for row in reward.score_sync(groups)]
    return fmean(cut - whole for whole, cut, _ in rows), fmean(padded - whole for whole, _, padded in rows)


def half(text: str) -> str:
    """The first half of the sentences of a reply, at least one."""
    sentences = [one for one in re.split(r"(?<=[。？！?!])|(?<=[.])\s", text) if one.strip()]
    return " ".join(sentences[: max(1, len(sentences) // 2)])


def most(rewards: dict[str, float]) -> float:
    """What the best of the constant sets of questions earns on average."""
    return max(value for name, value in rewards.items() if name != "sound")


def by_source(measured: Measured) -> list[list[str]]:
    rows = []
    for source, found in measured.report["by_source"].items():
        shares = [f"{found[name]:.1%}" for name in ("lists", "disclaimers", "question_marks")]
        worth = [f"{found[name]:.3f}" for name in ("probability", "reward")]
        rows.append([source, str(found["n"]), f"{found['median_chars']:.0f}", *shares, *worth])
    return rows


def run(seeds: Sequence[int], count: int, vocabulary: str, replies: Sequence[LabelledReply]) -> dict[str, object]:
    reward = DoctorLikeness(vocabulary=vocabulary)
    start = process_time()
    measured = [measure(reward, clinic_replies(count, seed)) for seed in seeds]
    scored = sum(len(one.replies) for one in measured)
    speed = scored / (process_time() - start)
    attacked = [doctor_attacks.measure(reward, doctor_attacks.default_replies(seed=seed)) for seed in seeds]
    constants = [doctor_attacks.constant_rewards(reward, doctor_attacks.default_replies(150, seed)) for seed in seeds]
    changes = [gains(reward, count, seed) for seed in seeds]
    figures: dict[str, object] = {name: round(fmean(one.report[name] for one in measured), 4) for name in FIGURES}
    figures |= {
        "auc_lowest_seed": round(min(one.report["auc"] for one in measured), 4),
        "auc_length_matched_lowest_seed": round(min(one.report["auc_length_matched"] for one in measured), 4),
        "attacks": sum(one.report["n"] for one in attacked),
        "attacks_paid": sum(one.report["n_paid"] for one in attacked),
        "attack_reward": round(fmean(one.report["mean"] for one in attacked), 4),
        "sound_reward": round(fmean(one.report["sound_reply"] for one in attacked), 4),
        "constant_questions": round(max(most(one) for one in constants), 4),
        "truncated_gain": round(fmean(cut for cut, _ in changes), 4),
        "padded_gain": round(fmean(padded for _, padded in changes), 4),
        "replies": scored,
        "replies_per_second": round(speed),
        "seeds": len(seeds),
        "model": measured[0].report["model"],
        "vocabulary": vocabulary,
    }
    print_table(("figure", "value"), [(name, str(value)) for name, value in figures.items()])
    header = ("replies of", "n", "median chars", "lists", "disclaimers", "? marks", "p(doctor)", "reward")
    print_table(header, by_source(measured[0]))
    if replies:
        real = measure(reward, replies)
        print_table(header, by_source(real))
        figures |= {f"real_{name}": real.report[name] for name in ("replies", "auc", "auc_length_matched", "by_source")}
    return figures


def _number(score: Score) -> float:
    """The value of a score; a reply without one would make the means lie, so it ends the benchmark."""
    if score.value is None:
        fail(f"a reply of the clinic has no number: {score.reason}")
    assert score.value is not None
    return score.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--count", type=int, default=300, help="consultations, and as many matched pairs, a seed")
    parser.add_argument("--vocabulary", default="medrl")
    parser.add_argument("--replies", type=Path, help="real replies, as `medrl doctor-likeness` reads them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.count < 10:
        fail(f"--count is {options.count}; below 10 nothing is measured")
    replies = load_replies(options.replies) if options.replies else []
    write_json(options.json, run(options.seeds, options.count, options.vocabulary, replies))


if __name__ == "__main__":
    main()
