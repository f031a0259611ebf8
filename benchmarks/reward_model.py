"""How right, how calibrated and how long-winded is a reward model, on diseases and wordings that it never saw?

    python benchmarks/reward_model.py                       two quiet cores, 6 to 8 minutes
    python benchmarks/reward_model.py --json out.json pairs.count=4000

Trains examples/reward_model/tiny.yaml, 15 % of whose training labels are wrong. In the arm `even noise` they are wrong
anywhere; in the others they are wrong where the better reply is the shorter, as raters err, once with nothing done about
it (`long wins`) and once with `length_bias: reweight`. Test labels are all true. A word for each column:

    accuracy        share of test pairs whose better reply gets the higher reward
    shorter, longer the same where the better reply is the shorter, the longer one
    bias            share of pairs whose longer reply gets the higher reward, less the share in which it is better
    r(length)       correlation of reward and length differences within a problem; that of the true labels is in the last line
    ECE             expected calibration error of sigmoid(difference / temperature)

The last table tells what the last arm has learnt: how often a faultless reply beats one with a single fault. What is absent
or generic shows without knowledge; which unseen disease is right cannot be known by a model from scratch. Exits non-zero
when a run fails.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import machine, print_machine, print_table, write_json

from medrl.commands.train_reward import TrainedReward, train_reward
from medrl.data.clinic.consultations import Quality, generate_consultations, generate_reply
from medrl.recipes.reward_model import RewardRecipe, load_reward_recipe
from medrl.rewards.reward_model import RewardModel, combined
from medrl.rewards.reward_model_layout import token_rows
from medrl.types import Response

RECIPE = Path(__file__).parents[1] / "examples" / "reward_model" / "tiny.yaml"
ARMS = {"even noise": (0.0, "none"), "long wins": (1.0, "none"), "reweight": (1.0, "reweight")}
QUESTIONS = 150
FAULTS: tuple[tuple[str, Any], ...] = (
    *(("diagnosis", kind) for kind in ("wrong", "vague", "listed")),
    *(("findings", kind) for kind in ("strange", "absent")),
    *(("test", kind) for kind in ("wrong", "absent")),
    *(("treatment", kind) for kind in ("wrong", "absent")),
    *(("precautions", kind) for kind in ("generic", "absent")),
    ("boilerplate", True),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    options = parser.parse_args()
    recipe = load_reward_recipe(options.recipe, options.overrides)
    report: dict[str, object] = {}
    rows, last = [], None
    for arm in options.arms:
        started = time.perf_counter()
        trained = run(recipe, arm)
        seconds = time.perf_counter() - started
        found, last = trained.settings["test"], trained
        key = arm.replace(" ", "_")
        report |= {f"{key}/{name}": value for name, value in flat(found).items()} | {f"{key}/seconds": seconds}
        rows.append(row(arm, found, seconds))
    header = ("arm", "accuracy", "95 %", "shorter", "longer", "bias", "r(length)", "ECE", "seconds")
    print_table(header, rows)
    if last is not None:
        length = last.settings["test"]["length"]
        print(
            f"\nlabels: r(length) {length['correlation_true']:+.2f}, the longer is better in {length['longer_better']:.1%}"
        )
        unseen, seen = (by_fault(last.model, known) for known in (False, True))
        print(f"\none fault against none ({options.arms[-1]}, {QUESTIONS} questions):")
        print_table(
            ("fault", "unseen diseases", "known ones"), [(k, f"{unseen[k]:.0%}", f"{seen[k]:.0%}") for k in unseen]
        )
        report |= {f"fault/{name}": share for name, share in unseen.items()}
    report |= headline(report)
    print_machine(machine())
    write_json(options.json, {**report, **machine()})
    return 0


def run(recipe: RewardRecipe, arm: str) -> TrainedReward:
    """One reward model of the recipe."""
    long_wins, way = ARMS[arm]
    pairs = replace(recipe.pairs, long_wins=long_wins)
    training = replace(recipe.training, length_bias=way)  # type: ignore[arg-type]
    with TemporaryDirectory() as folder:
        return train_reward(
            replace(recipe, pairs=pairs, training=training, folder=f"{folder}/rm"),
            lambda line: print(f"# {arm}: {line}"),
        )


def flat(found: dict[str, Any]) -> dict[str, float]:
    """The figures of an arm that are single numbers."""
    length = found["length"]
    return {
        "pair_accuracy": found["accuracy"],
        "calibration_error": found["calibration_error"],
        "length_bias": length["bias"],
        "length_correlation": length["correlation"],
        "accuracy_shorter_better": length["shorter_better"]["accuracy"],
        "accuracy_longer_better": length["longer_better_pairs"]["accuracy"],
    }


def row(arm: str, found: dict[str, Any], seconds: float) -> tuple[str, ...]:
    one, (low, high) = flat(found), found["interval"]
    shares = [f"{one[name]:.1%}" for name in ("accuracy_shorter_better", "accuracy_longer_better")]
    return (
        arm,
        f"{one['pair_accuracy']:.1%}",
        f"{low:.1%} to {high:.1%}",
        *shares,
        f"{one['length_bias']:+.1%}",
        f"{one['length_correlation']:+.2f}",
        f"{one['calibration_error']:.3f}",
        f"{seconds:.0f}",
    )


def by_fault(model: RewardModel, known: bool) -> dict[str, float]:
    """Share of faultless replies that get a higher reward than the same patient's reply with one fault."""
    questions = generate_consultations(split="test", count=QUESTIONS, known=known, seed=7)

    def rewards(quality: Quality) -> list[float]:
        asked = [(question, Response(generate_reply(question, quality))) for question in questions]
        rows = token_rows(model.tokenizer, asked, model.format)
        return [worth.mean for worth in combined(model.raw(rows, 64), model.scales)]

    best, found = rewards(Quality()), {}
    for knob, fault in FAULTS:
        worse = rewards(replace(Quality(), **{knob: fault}))
        found[f"{knob} {fault}"] = sum(a > b for a, b in zip(best, worse, strict=True)) / len(questions)
    return found


def headline(report: dict[str, object]) -> dict[str, object]:
    """The figures by which the reward model is followed: even noise, and the length bias without and with reweighting."""
    names = ("pair_accuracy", "calibration_error")
    main_figures = {name: report.get(f"even_noise/{name}") for name in names}
    bias = {arm: report.get(f"{arm}/length_bias") for arm in ("long_wins", "reweight")}
    return {**main_figures, "length_bias": bias["long_wins"], "length_bias_reweighted": bias["reweight"]}


if __name__ == "__main__":
    sys.exit(main())
