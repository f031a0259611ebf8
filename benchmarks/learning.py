"""Does reinforcement learning teach what more imitation does not? The o1 recipe, several seeds, with its two controls.

    python benchmarks/learning.py                         3 seeds, one after the other
    python benchmarks/learning.py --jobs 2                two seeds at a time, a thread each
    python benchmarks/learning.py --seeds 1 --json out.json

For each seed, from one SFT policy (few demonstrations, half of whose conclusions are wrong):

    SFT        that policy as it is
    RL         GRPO on problems with references, as in examples/huatuogpt_o1/tiny.yaml
    more SFT   SFT continued on the same demonstrations for the wall time that GRPO took, at a quarter of SFT's peak
               learning rate, constant; the better of its last and its half-way state counts, so that it is not charged
               for overfitting

and, for the first seed, GRPO with the references shuffled among the problems: a reward with nothing to learn from. Accuracy
is the mean over 4 samples at temperature 1 on held-out patients and wordings; greedy is printed beside it. Exits non-zero
when something could not be measured.
"""

import argparse
import json
import math
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from medrl.evaluation import Evaluation
from medrl.files import write_atomic
from medrl.models import Policy
from medrl.recipes import Recipe, load_recipe
from medrl.recipes.build import start_policy
from medrl.recipes.process import quiet_libraries
from medrl.recipes.run import Parts, make_trainer, prepare
from medrl.seeds import seed_of
from medrl.tracking import RunConsole
from medrl.trainers import fine_tune
from medrl.verifiers import run_sync

RECIPE = Path(__file__).parents[1] / "examples" / "huatuogpt_o1" / "tiny.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (0, 1, ...)")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time, with a thread of the CPU each")
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--no-control", action="store_true", help="leave the run with shuffled references out")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    options = parser.parse_args()
    threads = ["threads=1"] if options.jobs > 1 else []
    recipes = [load_recipe(options.recipe, [*threads, *options.overrides, f"seed={s}"]) for s in range(options.seeds)]
    controls = [recipe.seed == 0 and not options.no_control for recipe in recipes]
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            rows = list(pool.map(one_seed, recipes, controls))
    else:
        rows = [one_seed(recipe, control) for recipe, control in zip(recipes, controls, strict=True)]
    print_table(rows)
    figures = {**summary(rows), "threads": recipes[0].threads, "jobs": options.jobs}
    if options.json:
        write_atomic(options.json, json.dumps(figures, indent=1) + "\n")
    return 0


def one_seed(recipe: Recipe, control: bool) -> dict[str, Any]:
    """All arms of one seed; every arm starts from the same SFT weights, read from the disk."""
    import torch

    quiet_libraries()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    assert recipe.sft is not None
    started = time.perf_counter()
    parts = prepare(recipe)
    with TemporaryDirectory() as folder:
        policy = start_policy(recipe, parts.problems, parts.demonstrations)
        before = time.perf_counter()
        fine_tune(policy, parts.demonstrations, recipe.sft, seed=seed_of(recipe.seed, "sft") % 2**31)
        epoch_seconds = (time.perf_counter() - before) / recipe.sft.epochs
        policy.save(Path(folder))
        sft_seconds = time.perf_counter() - started
        sft = measure(recipe, parts, Policy.load(folder))
        rl, rl_seconds = reinforced(recipe, parts, Policy.load(folder))
        minutes = (time.perf_counter() - started) / 60
        more = more_sft(recipe, parts, Policy.load(folder), rl_seconds, epoch_seconds)
        row: dict[str, Any] = {"seed": recipe.seed, "sft": sft, "rl": rl, "more_sft": more, "minutes": minutes}
        row |= {"sft_seconds": sft_seconds, "rl_seconds": rl_seconds}
        if control:
            shuffled = prepare(replace(recipe, problems=replace(recipe.problems, shuffle_references=True)))
            row["shuffled"], _ = reinforced(recipe, shuffled, Policy.load(folder))
    print_table([row])
    return row


def measure(recipe: Recipe, parts: Parts, policy: Policy) -> Evaluation:
    """Held-out figures of a policy; ends the benchmark when accuracy could not be measured."""
    found = replace(run_sync(make_trainer(recipe, parts, policy).evaluate()), sampled=(), greedy=())
    if found.accuracy is None:
        raise SystemExit(f"learning.py: no accuracy: the judge failed on {found.unscored:.0%} of the responses")
    return found


def accuracy(found: Evaluation) -> float:
    assert found.accuracy is not None  # see `measure`
    return found.accuracy


def reinforced(recipe: Recipe, parts: Parts, policy: Policy) -> tuple[Evaluation, float]:
    """The policy's evaluation after GRPO, and the seconds that its steps took."""
    quiet = replace(recipe, trainer=replace(recipe.trainer, evaluate_every=0))
    trainer = make_trainer(quiet, replace(parts, held_out=[]), policy, console=RunConsole())
    started = time.perf_counter()
    trainer.fit()
    seconds = time.perf_counter() - started
    return measure(recipe, parts, policy), seconds


def more_sft(recipe: Recipe, parts: Parts, policy: Policy, seconds: float, epoch_seconds: float) -> Evaluation:
    """SFT continued for as many epochs as fit into so many seconds, in two halves; the better half's end counts."""
    assert recipe.sft is not None
    settings = replace(recipe.sft, lr=recipe.sft.lr / 4, schedule="constant_with_warmup")
    settings = replace(settings, epochs=seconds / 2 / epoch_seconds)
    found = []
    for half in ("first half", "second half"):
        fine_tune(policy, parts.demonstrations, settings, seed=seed_of(recipe.seed, "more sft", half) % 2**31)
        found.append(measure(recipe, parts, policy))
    return max(found, key=accuracy)


def print_table(rows: list[dict[str, Any]]) -> None:
    """One line per seed and arm so far, then means with the spread over seeds."""
    print(
        f"\n{'seed':>4}  {'arm':<22}{'accuracy':>10}{'greedy':>9}{'format':>9}{'reward':>9}{'language':>10}{'tokens':>8}"
    )
    for row in rows:
        for arm in ("sft", "more_sft", "rl", "shuffled"):
            if arm in row:
                e: Evaluation = row[arm]
                print(
                    f"{row['seed']:>4}  {arm.replace('_', ' '):<22}{accuracy(e):>10.1%}{_or_nan(e.greedy_accuracy):>9.1%}"
                    f"{_or_nan(e.format):>9.1%}{_or_nan(e.reward):>9.3f}{e.language_kept:>10.1%}{e.length:>8.0f}"
                )
    for arm in ("sft", "more_sft", "rl"):
        values = [accuracy(row[arm]) for row in rows]
        spread = f" (standard deviation {statistics.stdev(values):.1%})" if len(values) > 1 else ""
        print(f"mean  {arm.replace('_', ' '):<22}{statistics.mean(values):>10.1%}{spread}")
    gain = statistics.mean(accuracy(row["rl"]) - accuracy(row["sft"]) for row in rows)
    over = statistics.mean(accuracy(row["rl"]) - accuracy(row["more_sft"]) for row in rows)
    print(f"RL over SFT {gain * 100:+.1f} points, over more SFT for the same time {over * 100:+.1f} points", flush=True)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The flat object for --json."""
    figures: dict[str, Any] = {
        "accuracy_sft": [row["sft"].accuracy for row in rows],
        "accuracy_rl": [row["rl"].accuracy for row in rows],
        "accuracy_more_sft": [row["more_sft"].accuracy for row in rows],
        "minutes_per_seed": statistics.mean(row["minutes"] for row in rows),
    }
    for arm in ("sft", "rl", "more_sft"):
        figures[f"greedy_{arm}"] = [row[arm].greedy_accuracy for row in rows]
        figures[f"format_{arm}"] = [row[arm].format for row in rows]
        figures[f"reward_{arm}"] = [row[arm].reward for row in rows]
    if "shuffled" in rows[0]:
        figures["accuracy_shuffled_references"] = rows[0]["shuffled"].accuracy
    return figures


if __name__ == "__main__":
    sys.exit(main())
