"""Does a step cost no more than its slower half when rollouts run one version ahead?

    python benchmarks/overlap.py [--rounds N] [--steps N] [--json FILE]                      five minutes, two cores

One vLLM engine and one DeepSpeed rank, a process and a core each, train the policy of examples/huatuogpt_o1 (`placement:
ray`) from one SFT policy, by a learning rate so small that all steps are the same work.

generation  all rollouts of a step, sampled and scored, again and again, while the learner learns without pause.
learning    the forward pass and the update of a step, again and again, while the engine samples without pause.
step, k=1   a step of a run with `max_staleness: 1`, from the end of one step to the end of the next, weight sync included.
step, k=0   the same where sampling and learning take turns.

All are medians of seconds. Printed beside them: the two steps over the slower of the phases (`step_over_slower_phase`, which
is to be at most 1.15, and `synchronous_over_slower_phase`), and what no overlap can pass, (generation + learning) / slower.
Sequential time is taken with the other core idle, which is its due.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import machine, print_machine, print_table, write_json

EXAMPLE = Path(__file__).parents[1] / "examples" / "huatuogpt_o1" / "tiny.yaml"
LIMIT = 1.15
SMALL = (
    "problems.count=2000", "problems.diseases=20", "held_out.diseases=20", "held_out.count=50", "threads=1",
    "problems.languages=[en]", "held_out.languages=[en]", "demonstrations.count=600", "trainer.evaluate_every=0",
    "trainer.save_every=0", "optimization.schedule=constant",
)  # fmt: skip
CLUSTER = ("placement=ray", "cluster.engines.engines=1", "cluster.learners.ranks=1", "optimization.lr=1e-7")


class Clock:
    """A tracker that keeps when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.rows: list[dict[str, float]] = []

    def log(self, step: int, metrics: Mapping[str, float], *, phase: str = "rl") -> None:
        if phase == "rl":
            self.ends.append(time.perf_counter())
            self.rows.append(dict(metrics))

    def close(self) -> None:
        pass

    def seconds(self, warmup: int) -> list[float]:
        """Each step's, without the first ones and the last, beside which no other is sampled."""
        steps = [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]
        return steps[warmup:-1]


def together(works: Sequence[Callable[[int], None]], rounds: int) -> list[list[float]]:
    """Seconds of `rounds` rounds of each work while the others never pause: all go on until the last has done its rounds."""
    taken: list[list[float]] = [[] for _ in works]
    faults: list[BaseException] = []

    def again_and_again(work: Callable[[int], None], mine: list[float]) -> None:
        try:
            while not faults and any(len(one) <= rounds for one in taken):  # one more: the first warms up
                begun = time.perf_counter()
                work(len(mine))
                mine.append(time.perf_counter() - begun)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=again_and_again, args=pair) for pair in zip(works, taken, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return [one[1 : rounds + 1] for one in taken]


def phases_of(trainer: Any, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of sampling and scoring a step, and of learning from one, each while the other never pauses."""
    from medrl.algorithms import Batch
    from medrl.rollouts import collect

    settings = trainer.settings
    problems = trainer.problems[: settings.problems_per_step]

    def sample(number: int) -> Any:
        return asyncio.run(
            collect(
                trainer.placement.engine, trainer.policy, problems, trainer.scorer,
                samples=settings.rollouts_per_problem, sampling=trainer.sampling, seed=("phase", number), version=0,
            )
        )  # fmt: skip

    scored = sample(-1)

    def learn(number: int) -> None:
        learner, algorithm = trainer.placement.learner, trainer.algorithm
        batch = Batch.from_groups(scored, trainer.sampling.max_tokens, trainer.sampling.temperature)
        batch = learner.forward(batch, algorithm.needs, exact_rollouts=False)
        learner.update(algorithm.advantages(batch, {}), algorithm, number)

    generation, learning = together([sample, learn], rounds)
    return generation, learning


def measure(start: Sequence[str], staleness: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """The phases, and the steps of a run with this `max_staleness`, in one placement."""
    import torch

    from medrl.cluster.ray_placement import RayPlacement
    from medrl.models import Policy
    from medrl.recipes import load_recipe
    from medrl.recipes.load import read_algorithm
    from medrl.recipes.process import reproducible
    from medrl.recipes.run import make_trainer, prepare

    steps = options.warmup + options.steps + 2
    recipe = load_recipe(EXAMPLE, [*start, *CLUSTER, f"max_staleness={staleness}", f"trainer.steps={steps}"])
    parts = replace(prepare(recipe), held_out=[])
    algorithm, _ = read_algorithm(recipe.algorithm)
    assert algorithm is not None and recipe.policy.path is not None
    optimization = recipe.optimization.for_algorithm(algorithm).over(10**6)
    with reproducible(recipe.threads, torch.device("cpu")):
        policy = Policy.load(recipe.policy.path, recipe.policy, weights=False)
        reference = "ref_logprobs" in algorithm.needs
        placement = RayPlacement(policy, recipe.policy, optimization, recipe.cluster, reference=reference)
        try:
            clock = Clock()
            trainer = make_trainer(recipe, parts, policy, trackers=[clock], placement=placement)
            generation, learning = phases_of(trainer, options.rounds)
            trainer.fit()
        finally:
            placement.close()
    for name in ("rollout", "forward", "update", "sync"):
        taken = statistics.median(row[f"time/{name}"] for row in clock.rows[options.warmup :])
        print(f"#   k={staleness}: {name} {taken:.2f} s", flush=True)
    return {"generation": generation, "learning": learning, "step": clock.seconds(options.warmup)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each phase that count, before each run")
    parser.add_argument("--steps", type=int, default=10, help="steps of each run that count")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--problems", type=int, default=16, help="problems of a step")
    parser.add_argument("--sft", type=Path, help="an SFT policy of this benchmark to start from; made anew without")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()

    from medrl.recipes import load_recipe
    from medrl.recipes.process import quiet_libraries
    from medrl.recipes.run import run_recipe
    from medrl.tracking import RunConsole

    quiet_libraries()
    with tempfile.TemporaryDirectory(prefix="medrl-overlap-") as name:
        if options.sft is None:
            run_recipe(load_recipe(EXAMPLE, [*SMALL, "trainer.steps=0", f"folder={name}/sft"]), RunConsole(quiet=True))
        path = options.sft or Path(name) / "sft" / "sft"
        start = (*SMALL, f"policy.path={path}", "policy.new=null", "sft=null",
                 f"trainer.problems_per_step={options.problems}")  # fmt: skip
        ahead, turns = measure(start, 1, options), measure(start, 0, options)
    generation = statistics.median(ahead["generation"] + turns["generation"])
    learning = statistics.median(ahead["learning"] + turns["learning"])
    slower = max(generation, learning)
    steps = {"step, k=1": statistics.median(ahead["step"]), "step, k=0": statistics.median(turns["step"])}
    rows = {"generation": generation, "learning": learning, **steps}
    print_table(
        ("", "seconds", "over slower phase"),
        [(title, f"{seconds:.2f}", f"{seconds / slower:.2f}") for title, seconds in rows.items()],
    )
    print(f"one after the other, without any overhead: {(generation + learning) / slower:.2f}")
    print_machine(machine())
    figures = {
        "step_over_slower_phase": steps["step, k=1"] / slower,
        "synchronous_over_slower_phase": steps["step, k=0"] / slower,
        "phases_over_slower_phase": (generation + learning) / slower,
    }
    write_json(options.json, {**figures, "seconds": rows, "rounds": {"k=1": ahead, "k=0": turns}, **machine()})
    return int(figures["step_over_slower_phase"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
