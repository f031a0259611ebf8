"""Do the algorithms learn the same task? Every one from the same SFT policy, several seeds: a table, JSON and a picture.

    python benchmarks/algorithms.py                                     3 seeds, all algorithms
    python benchmarks/algorithms.py --seeds 1 --only grpo ppo           some of them
    python benchmarks/algorithms.py --json out.json --picture out.png   goes on with what out.json already has

The task is that of examples/huatuogpt_o1/tiny.yaml, made smaller so that 30 runs end within an hour or two on one core: half
a million parameters, 20 diseases of the simulated clinic, 600 demonstrations of which half conclude wrong, 40 steps of 16
problems with 8 rollouts each. Per seed all algorithms start from one SFT policy, see the same problems in the same order, and
have the recipe's optimizer: learning rate, warm-up, four minibatches. What is their own is in ARMS: the KL of the papers that
have one. Nothing is tuned. Accuracy is the mean over 2 samples at temperature 1 on 200 held-out patients in held-out
wordings. Exits non-zero when something could not be measured.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import fail, machine, print_machine, print_table

from medrl.files import atomic_folder, write_atomic
from medrl.learners import CriticSettings
from medrl.models import Policy
from medrl.recipes import Recipe, load_recipe
from medrl.recipes.build import start_policy
from medrl.recipes.process import quiet_libraries, reproducible
from medrl.recipes.run import Parts, make_trainer, prepare
from medrl.seeds import seed_of
from medrl.tracking import RunConsole
from medrl.trainers import fine_tune
from medrl.verifiers import run_sync

RECIPE = Path(__file__).parents[1] / "examples" / "huatuogpt_o1" / "tiny.yaml"
CRITIC = {"lr": 2.0e-3, "alone_updates": 8}
# Name to the algorithm's section, and the critic's where there is one.
ARMS: Mapping[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "grpo": ({"type": "grpo", "clip_high": 0.28, "kl_coef": 0.01}, None),
    "rloo": ({"type": "rloo", "kl_coef": 0.01}, None),
    "reinforce_pp": ({"type": "reinforce_pp", "kl_coef": 0.01}, None),
    "ppo": ({"type": "ppo", "kl_coef": 0.01}, CRITIC),
    "ppo_shared": ({"type": "ppo", "kl_coef": 0.01, "value_coef": 0.1}, {**CRITIC, "trunk": "shared"}),
    "reinforce_pp_baseline": ({"type": "reinforce_pp_baseline", "kl_coef": 0.01}, None),
    "dapo": ({"type": "dapo"}, None),
    "dr_grpo": ({"type": "dr_grpo"}, None),
    "gspo": ({"type": "gspo"}, None),
    "cispo": ({"type": "cispo"}, None),
}
SIZE = (
    "policy.new.layers=2", "problems.count=2000", "problems.diseases=20", "held_out.diseases=20",
    "demonstrations.count=600", "trainer.problems_per_step=16", "trainer.evaluate_every=0",
    "trainer.rollouts_per_problem=8", "trainer.save_every=0", "trainer.log_rollouts=false",
    "evaluation={samples: 2, greedy: false}", "threads=1",
)  # fmt: skip


class Steps:
    """A tracker that keeps the figures of each step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def log(self, step: int, metrics: Mapping[str, Any], *, phase: str = "rl") -> None:
        """Keep a row."""
        self.rows.append({"step": step, **metrics})

    def close(self) -> None:
        """Nothing is open."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="which seeds")
    parser.add_argument("--only", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="ALGORITHM")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--looks", type=int, default=4, help="evaluations after the one of the SFT policy")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--merge", type=Path, nargs="+", default=[], metavar="FILE", help="JSON files of other runs to add"
    )
    parser.add_argument("--picture", type=Path)
    parser.add_argument(
        "--starts", type=Path, metavar="FOLDER", help="keep the SFT policies there, and take them from it"
    )
    parser.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    options = parser.parse_args()
    quiet_libraries()
    size = [*SIZE, f"trainer.steps={options.steps}"]
    rows: list[dict[str, Any]] = []
    if options.json and options.json.is_file():
        rows = json.loads(options.json.read_text())["runs"]
    for file in options.merge:
        rows += json.loads(file.read_text())["runs"]
    for seed in options.seeds:
        recipe = load_recipe(str(RECIPE), [*size, *options.overrides, f"seed={seed}"])
        missing = [name for name in options.only if not any((r["arm"], r["seed"]) == (name, seed) for r in rows)]
        if missing:
            one_seed(recipe, missing, rows, options)
    if not rows:
        fail("nothing was run")
    if options.json:
        write_atomic(options.json, json.dumps(summary(rows), indent=1) + "\n")
    show(rows)
    if options.picture:
        draw(rows, options.picture)
    return 0


def one_seed(recipe: Recipe, names: Sequence[str], rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Every arm of a seed; each is written down as soon as it is there."""
    with reproducible(recipe.threads, recipe.policy.torch_device()), TemporaryDirectory() as folder:
        parts = prepare(recipe)
        start = (options.starts or Path(folder)) / f"seed{recipe.seed}"
        if not start.is_dir():
            policy, begun_at = start_policy(recipe, parts.problems, parts.demonstrations), time.perf_counter()
            assert recipe.sft is not None
            fine_tune(policy, parts.demonstrations, recipe.sft, seed=seed_of(recipe.seed, "sft") % 2**31)
            with atomic_folder(start) as made:
                policy.save(made)
            print(f"# seed {recipe.seed} SFT: {time.perf_counter() - begun_at:.0f} s", flush=True)
        begun = [row["held_out"][0][1] for row in rows if row["seed"] == recipe.seed]  # the same for every arm
        before = begun[0] if begun else held_out(recipe, parts, Policy.load(str(start)))
        for name in names:
            rows.append(one_run(recipe, parts, start, name, before, options.looks))
            told = ", ".join(f"{accuracy:.1%}" for _, accuracy in rows[-1]["held_out"])
            print(f"# seed {recipe.seed} {name}: {told}; {rows[-1]['seconds']:.0f} s", flush=True)
            if options.json:
                write_atomic(options.json, json.dumps(summary(rows), indent=1) + "\n")


def held_out(recipe: Recipe, parts: Parts, policy: Policy) -> float:
    """Held-out accuracy; ends the benchmark where it could not be measured."""
    found = run_sync(make_trainer(recipe, parts, policy).evaluate())
    if found.accuracy is None:
        fail(f"no accuracy: the judge failed on {found.unscored:.0%} of the responses")
    return found.accuracy


def one_run(recipe: Recipe, parts: Parts, start: Path, name: str, before: float, looks: int) -> dict[str, Any]:
    """One algorithm from the SFT policy in `start`, measured `looks` times on the way and at the end."""
    algorithm, critic = ARMS[name]
    optimization = replace(recipe.optimization, critic=CriticSettings(**critic) if critic else None)
    mine = replace(recipe, algorithm={**algorithm, "minibatches": 4}, optimization=optimization)
    policy, steps, seconds, curve = Policy.load(str(start)), Steps(), 0.0, [(0, before)]
    trainer = make_trainer(mine, replace(parts, held_out=[]), policy, trackers=[steps], console=RunConsole(quiet=True))
    for look in range(1, looks + 1):
        started = time.perf_counter()
        trainer.fit(round(look * recipe.trainer.steps / looks))
        seconds += time.perf_counter() - started
        curve.append((trainer.step, held_out(recipe, parts, policy)))
    kept = ("accuracy", "reward", "entropy", "length", "clip_share", "kl_old", "explained_variance", "equal_groups")
    last = steps.rows[-max(1, len(steps.rows) // 4) :]
    means = {k: statistics.fmean(v) for k in kept if (v := [row[k] for row in last if row.get(k) is not None])}
    return {
        "arm": name, "seed": recipe.seed, "seconds": seconds, "held_out": curve,
        "training": [row.get("accuracy") for row in steps.rows], "end": means,
    }  # fmt: skip


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`accuracy_ALGORITHM`: by seed, in the order of `seeds_ALGORITHM`; `sft` is where all of them start."""
    figures: dict[str, Any] = {}
    for name in ARMS:
        mine = sorted((row for row in rows if row["arm"] == name), key=lambda row: row["seed"])
        if mine:
            figures[f"accuracy_{name}"] = [row["held_out"][-1][1] for row in mine]
            figures[f"seeds_{name}"] = [row["seed"] for row in mine]
    starts = {row["seed"]: row["held_out"][0][1] for row in rows}
    figures["accuracy_sft"] = [starts[seed] for seed in sorted(starts)]
    return {**figures, **machine(), "runs": list(rows)}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line an algorithm: accuracy by seed, mean, and how its last quarter of steps looked."""
    figures = summary(rows)
    lines = []
    for name in ("sft", *(name for name in ARMS if f"accuracy_{name}" in figures)):
        values, mine = figures[f"accuracy_{name}"], [row for row in rows if row["arm"] == name]

        def mean(key: str, mine: Sequence[Mapping[str, Any]] = mine) -> str:
            found = [row["end"][key] for row in mine if key in row["end"]]
            return f"{statistics.fmean(found):.2f}" if found else ""

        spread = f"{statistics.stdev(values):.1%}" if len(values) > 1 else ""
        seconds = f"{statistics.fmean(row['seconds'] for row in mine):.0f}" if mine else ""
        lines.append(
            [name, ", ".join(f"{100 * value:.1f}" for value in values), f"{statistics.fmean(values):.1%}", spread,
             mean("reward"), mean("entropy"), mean("length"), mean("clip_share"), mean("explained_variance"), seconds]
        )  # fmt: skip
    header = ("algorithm", "accuracy by seed, %", "mean", "deviation", "reward", "entropy", "tokens", "clipped",
              "explained", "seconds")  # fmt: skip
    print_table(header, lines)
    print_machine(machine())


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Held-out accuracy over steps: a line an algorithm, the mean over seeds, thin lines the seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    names = [name for name in ARMS if any(row["arm"] == name for row in rows)]
    for place, name in enumerate(names):
        axes = panels[0 if name in list(ARMS)[:5] else 1]
        mine = [row for row in rows if row["arm"] == name]
        steps = [step for step, _ in mine[0]["held_out"]]
        for row in mine:
            axes.plot(steps, [100 * accuracy for _, accuracy in row["held_out"]], color=f"C{place}", alpha=0.2, lw=1)
        means = [100 * statistics.fmean(row["held_out"][i][1] for row in mine) for i in range(len(steps))]
        axes.plot(steps, means, color=f"C{place}", marker="o", label=f"{name} ({len(mine)} seeds)")
    for axes in panels:
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    panels[0].set_ylabel("held-out accuracy, %")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    write_atomic(path, picture.getvalue())


if __name__ == "__main__":
    sys.exit(main())
