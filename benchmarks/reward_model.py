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

Some pairs differ in nothing but which unseen disease is named. A model from scratch cannot know that, and no figure here
is spared them. Exits non-zero when a run fails.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import machine, print_machine, print_table, write_json

from medrl.commands.reward_figures import Judged, accuracy
from medrl.commands.train_reward import TrainedReward, train_reward
from medrl.recipes.reward_model import RewardRecipe, load_reward_recipe

RECIPE = Path(__file__).parents[1] / "examples" / "reward_model" / "tiny.yaml"
ARMS = {"even noise": (0.0, "none"), "long wins": (1.0, "none"), "reweight": (1.0, "reweight")}


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
        print("by what else differs (" + options.arms[-1] + "): " + ", ".join(by_quality(last.test)))
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


def by_quality(judged: Sequence[Judged]) -> list[str]:
    """Accuracy on the pairs that agree on all but one sentence, by that sentence; of those that are at least ten."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        left, right = (side.metadata["quality"] for side in (one.pair.chosen, one.pair.rejected))
        differs = [name for name in left if name != "fillers" and left[name] != right[name]]
        if len(differs) == 1:
            groups.setdefault(differs[0], []).append(one)
    found = {name: accuracy(inside) for name, inside in sorted(groups.items()) if len(inside) >= 10}
    return [f"{name} {one['accuracy']:.0%} of {one['n']}" for name, one in found.items()]


def headline(report: dict[str, object]) -> dict[str, object]:
    """The figures by which the reward model is followed: even noise, and the length bias without and with reweighting."""
    names = ("pair_accuracy", "calibration_error")
    main_figures = {name: report.get(f"even_noise/{name}") for name in names}
    bias = {arm: report.get(f"{arm}/length_bias") for arm in ("long_wins", "reweight")}
    return {**main_figures, "length_bias": bias["long_wins"], "length_bias_reweighted": bias["reweight"]}


if __name__ == "__main__":
    sys.exit(main())
