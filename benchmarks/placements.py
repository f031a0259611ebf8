"""Does a run on a Ray cluster compute what a run in one process computes, and does it learn as much?

    python benchmarks/placements.py [--steps 20] [--seeds 0 1 2] [--train 40] [--json OUT]      about half an hour, two cores

First the numbers. A run with `placement: ray` (one vLLM engine, two DeepSpeed ranks, ZeRO-3, k = 0) records its rollouts; a
run with `placement: local` is given the very same ones. `max_loss_difference` is the largest difference of a step's loss
between the two over `--steps` steps, and `max_weight_difference` that of a weight afterwards; the weights move by
`weight_movement`.

Then the learning. Both placements train `--train` steps from one SFT policy, each sampling for itself (here Ray has two
engines), one run for each seed:
`accuracy_local`, `accuracy_ray`, and the accuracy of the start.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import machine, print_machine, print_table, write_json

from medrl.cluster import LocalPlacement
from medrl.cluster.ray_placement import RayPlacement
from medrl.engines import Request, Sampling
from medrl.learners import Optimization
from medrl.models import Policy
from medrl.recipes import Recipe, load_recipe
from medrl.recipes.load import read_algorithm
from medrl.recipes.process import quiet_libraries, reproducible
from medrl.recipes.run import make_trainer, prepare, run_recipe
from medrl.tracking import RunConsole
from medrl.types import Rollout

EXAMPLE = Path(__file__).parents[1] / "examples" / "huatuogpt_o1" / "tiny.yaml"
SMALL = (
    "policy.new.layers=2", "problems.count=2000", "problems.diseases=20", "held_out.diseases=20", "held_out.count=100",
    "problems.languages=[en]", "held_out.languages=[en]", "demonstrations.count=600", "trainer.problems_per_step=16",
    "trainer.evaluate_every=0", "trainer.save_every=0", "threads=1", "optimization.schedule=constant",
)  # fmt: skip
MARGIN = 0.075  # three standard errors of an accuracy of 100 problems, four answers each
CLUSTER = ("placement=ray", "cluster.learners.ranks=2", "cluster.deepspeed.stage=3")
LEARNS = (*CLUSTER, "cluster.engines.engines=2")  # which response which engine gives is left to chance


class Recording:
    """An engine whose rollouts are remembered by their seeds."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.kept = engine, dict[int, Rollout]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        async for rollout in self.engine.generate(requests, version):
            self.kept[rollout.seed] = rollout
            yield rollout


class Replaying:
    """An engine that gives what another gave to the same requests."""

    tokens, busy = 0, 0.0  # it samples nothing

    def __init__(self, kept: dict[int, Rollout]) -> None:
        self.kept = kept

    def exact(self, sampling: Sampling) -> bool:
        return False  # the learner computes its own log-probabilities, as it must where another engine sampled

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        for request in requests:
            yield self.kept[request.seed]


class Losses:
    """A tracker that keeps the losses."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def log(self, step: int, metrics: Any, *, phase: str = "rl") -> None:
        if phase == "rl":
            self.rows.append(dict(metrics))

    def close(self) -> None:
        pass


def what_learns(recipe: Recipe) -> tuple[Optimization, bool]:
    """The knobs that `medrl run` would give the learner, and whether it keeps a reference."""
    algorithm, _ = read_algorithm(recipe.algorithm)
    assert algorithm is not None
    optimization = recipe.optimization.for_algorithm(algorithm).over(recipe.trainer.updates(algorithm))
    return optimization, "ref_logprobs" in algorithm.needs


def same_numbers(start: Sequence[str], steps: int) -> dict[str, float]:
    """Train on the same rollouts in both placements."""
    recipe = load_recipe(EXAMPLE, [*start, *CLUSTER, f"trainer.steps={steps}"])
    parts = replace(prepare(recipe), held_out=[])
    assert recipe.policy.path is not None
    optimization, reference = what_learns(recipe)
    with reproducible(recipe.threads, torch.device("cpu")):
        outline = Policy.load(recipe.policy.path, recipe.policy, weights=False)
        cluster = RayPlacement(outline, recipe.policy, optimization, recipe.cluster, reference=reference)
        try:
            recording = Recording(cluster.engine)
            cluster.engine = recording  # type: ignore[assignment]
            there, losses = Losses(), Losses()
            make_trainer(recipe, parts, outline, trackers=[there], placement=cluster).fit()
            far = {name: t.clone() for bucket in cluster.learner.weights() for name, t in bucket.tensors()}
        finally:
            cluster.close()
        policy = Policy.load(recipe.policy.path, recipe.policy)
        begun = {name: t.clone() for name, t in policy.model.named_parameters()}
        here = LocalPlacement(policy, optimization, reference=reference)
        here.engine = Replaying(recording.kept)  # type: ignore[assignment]
        local = replace(recipe, placement="local")
        make_trainer(local, parts, policy, trackers=[losses], placement=here).fit()
        near = dict(policy.model.named_parameters())
        found = [abs(a["loss"] - b["loss"]) for a, b in zip(there.rows, losses.rows, strict=True)]
    return {
        "steps_compared": len(found),
        "max_loss_difference": max(found),
        "largest_loss": max(abs(row["loss"]) for row in losses.rows),
        "max_weight_difference": max(float((near[name].detach() - far[name]).abs().max()) for name in near),
        "weight_movement": max(float((near[name].detach() - begun[name].detach()).abs().max()) for name in near),
    }


def learnt(start: Sequence[str], steps: int, seed: int, root: Path, placement: Sequence[str]) -> tuple[float, float]:
    """Held-out accuracy before and after a run that samples for itself."""
    name = "ray" if placement else "local"
    folder = root / f"{name}-{seed}"
    outcome = run_recipe(
        load_recipe(EXAMPLE, [*start, *placement, f"trainer.steps={steps}", f"seed={seed}", f"folder={folder}"]),
        RunConsole(quiet=True),
    )
    assert outcome.before is not None and outcome.after is not None
    found = float(outcome.before["accuracy"]), float(outcome.after["accuracy"])
    print(f"# {name}, seed {seed}: {found[0]:.3f} -> {found[1]:.3f}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="steps on the same rollouts; 0 for none")
    parser.add_argument("--train", type=int, default=40, help="steps of the runs that learn; 0 for none")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="which seeds learn")
    parser.add_argument("--sft", type=Path, help="an SFT policy of this benchmark to start from; made anew without")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory(prefix="medrl-placements-") as name:
        root = Path(name)
        if options.sft is None:
            run_recipe(load_recipe(EXAMPLE, [*SMALL, "trainer.steps=0", f"folder={root}/sft"]), RunConsole(quiet=True))
        start = (*SMALL, f"policy.path={options.sft or root / 'sft' / 'sft'}", "policy.new=null", "sft=null")
        numbers = same_numbers(start, options.steps) if options.steps else {}
        report: dict[str, object] = dict(numbers)
        if numbers:
            print("# " + ", ".join(f"{key} {value:.3g}" for key, value in numbers.items()), flush=True)
        rows: dict[str, list[float]] = {"local": [], "ray": []}
        before: list[float] = []
        for seed in options.seeds if options.train else ():
            for kind, placement in (("local", ()), ("ray", LEARNS)):
                first, last = learnt(start, options.train, seed, root, placement)
                rows[kind].append(last)
                before.append(first)
    report |= {"accuracy_before": statistics.fmean(before) if before else None}
    report |= {"accuracy_local": rows["local"], "accuracy_ray": rows["ray"]}
    print_table(
        ("placement", "accuracy by seed", "mean"),
        [
            (kind, ", ".join(f"{value:.3f}" for value in found), f"{statistics.fmean(found):.3f}")
            for kind, found in rows.items()
            if found
        ],
    )
    print_machine(machine())
    write_json(options.json, {**report, **machine()})
    same = not numbers or (
        numbers["max_loss_difference"] <= 1e-4 and numbers["max_weight_difference"] <= 0.05 * numbers["weight_movement"]
    )
    worse = [a < b - MARGIN for a, b in zip(rows["ray"], rows["local"], strict=True)]
    return int(not same or (bool(worse) and all(worse)))


if __name__ == "__main__":
    sys.exit(main())
