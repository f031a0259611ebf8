"""Is anything lost, doubled or trained twice when processes of a run are killed again and again?

    python benchmarks/chaos.py [--kills 12] [--drivers 3] [--seeds 3] [--steps 40] [--json OUT]      15 to 30 minutes

One run on a Ray cluster of this machine (vLLM engines, DeepSpeed ranks, a reward actor), which samples one version ahead and
so has buffered rollouts in its checkpoints, is disturbed by SIGKILLs: engines, ranks, reward actors by chance, and the driver
itself at most `--drivers` times, after which the run is resumed as a user would (`medrl run RECIPE resume=true`). It must
end. Then the run folder is read: each problem once an epoch, no problem skipped (`prompts_lost`, `prompts_doubled`), no
rollout in two steps (`rollouts_trained_twice`), and the held-out accuracy (`accuracy`)
beside that of undisturbed runs of the same recipe (`accuracy_undisturbed`, one for each seed).

All start from one SFT policy. Exits non-zero when anything is lost or doubled, the run does not end, or it learnt clearly
less than the worst of the undisturbed ones.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from common import fail, machine, print_machine, print_table, write_json

from medrl.data.mixtures import ProblemSampler
from medrl.recipes import load_recipe
from medrl.recipes.build import problems_of
from medrl.seeds import seed_of
from medrl.tracking import RunFolder

EXAMPLE = Path(__file__).parents[1] / "examples" / "huatuogpt_o1" / "tiny.yaml"
MARGIN = 0.075  # three standard errors of an accuracy of 100 problems, four answers each
TITLES = {"engine": "ray::EngineActor", "learner": "ray::LearnerActor", "reward": "ray::RewardActor"}
SMALL = (
    "policy.new.layers=2", "problems.count=200", "problems.diseases=20", "held_out.diseases=20", "held_out.count=100",
    "problems.languages=[en]", "held_out.languages=[en]", "demonstrations.count=600", "trainer.problems_per_step=16",
    "trainer.evaluate_every=0", "trainer.save_every=4", "threads=1",
)  # fmt: skip
CLUSTER = (
    "placement=ray", "cluster.engines.engines=1", "cluster.learners.ranks=2", "cluster.deepspeed.stage=2",
    "cluster.rewards.actors=1", "cluster.engines.max_restarts=100", "cluster.max_learner_restarts=100",
    "max_staleness=1", "algorithm.correction=token",
)  # fmt: skip


@dataclass
class Run:
    """A run as a user starts it, in a process of its own.

    Attributes:
        recipe: Of `medrl run`.
        overrides: Of the recipe.
        folder: Its run folder.
        kills: What was killed, and at which step.
    """

    recipe: Path
    overrides: Sequence[str]
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    kills: list[tuple[str, int]] = field(default_factory=list)

    def start(self) -> None:
        """Begin, or go on."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            command = [sys.executable, "-m", "medrl", "run", str(self.recipe), *self.overrides]
            self.process = subprocess.Popen(
                [*command, f"folder={self.folder}", "resume=true"],
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                cwd=self.recipe.parent,
                start_new_session=True,
            )

    @property
    def step(self) -> int:
        """The last step in its log."""
        try:
            rows = (self.folder / "metrics.jsonl").read_bytes().splitlines()
            return max((json.loads(row)["step"] for row in rows if b'"rl"' in row), default=0)
        except (OSError, ValueError):
            return 0

    def victims(self, kind: str) -> list[psutil.Process]:
        """Its living processes of a kind."""
        assert self.process is not None
        if kind == "driver":
            return [psutil.Process(self.process.pid)]
        found = []
        for one in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if one.cmdline()[:1] and one.cmdline()[0].startswith(TITLES[kind]):
                    found.append(one)
            except psutil.Error:
                continue
        return found

    def ended(self, limit: float) -> bool:
        """Wait for its end; whether it came within so many seconds, and well."""
        assert self.process is not None
        try:
            return self.process.wait(timeout=limit) == 0
        except subprocess.TimeoutExpired:
            self.stop()
            return False

    def stop(self) -> None:
        """Kill it and all that it started."""
        assert self.process is not None
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.Error:
            family = []
        self.process.kill()
        for one in family:
            try:
                one.kill()
            except psutil.Error:
                continue


def disturb(run: Run, kinds: Sequence[str], steps: int, draw: random.Random, limit: float) -> bool:
    """Start a run and kill one process after another, each at a step of its own; whether it ended well in time."""
    deadline = time.monotonic() + limit
    run.start()
    for number, kind in enumerate(kinds):
        due = 1 + (steps - 2) * number // max(1, len(kinds))
        while run.step < due or not run.victims(kind):
            assert run.process is not None
            if run.process.poll() is not None:
                return run.process.returncode == 0  # it was faster than the killer, or failed
            if time.monotonic() > deadline:
                run.stop()
                return False
            time.sleep(0.2)
        time.sleep(draw.uniform(0.0, 2.0))  # anywhere in a step
        victims = run.victims(kind)
        if not victims:
            continue
        draw.choice(victims).send_signal(signal.SIGKILL)
        run.kills.append((kind, run.step))
        print(f"# killed a{'n' if kind == 'engine' else ''} {kind} at step {run.step}", flush=True)
        if kind == "driver":
            assert run.process is not None
            run.process.wait()
            run.start()
    return run.ended(max(1.0, deadline - time.monotonic()))


def audit(run: Run) -> dict[str, int]:
    """What was lost or doubled, by the run folder: every step's problems against the sampler's own order."""
    settings = load_recipe(run.recipe, run.overrides)
    steps = settings.trainer.steps
    sampler = ProblemSampler(problems_of(settings.problems), seed=seed_of(settings.seed, "order"))
    due = [problem.id for _ in range(steps) for problem in sampler.next(settings.trainer.problems_per_step)]
    kept = RunFolder(run.folder)
    logged = [row["step"] for row in kept.read_metrics("rl")]
    asked: list[str] = []
    seen: Counter[tuple[str, int]] = Counter()
    for step in kept.rollout_steps():
        for trace in kept.read_rollouts(step):
            asked.append(trace.group.problem.id)
            seen.update((one.problem_id, one.seed) for one in trace.group.rollouts)  # type: ignore[attr-defined]
    missing, extra = Counter(due) - Counter(asked), Counter(asked) - Counter(due)
    return {
        "prompts_lost": missing.total(),
        "prompts_doubled": extra.total(),
        "rollouts_trained_twice": sum(count - 1 for count in seen.values()),
        "steps_missing": len(set(range(1, steps + 1)) - set(logged)),
        "steps_doubled": len(logged) - len(set(logged)),
    }


def accuracy(folder: Path) -> float:
    """The last held-out accuracy of a run."""
    return float(RunFolder(folder).read_evaluations("held_out")[-1]["accuracy"])


def kinds_of(kills: int, drivers: int, draw: random.Random) -> list[str]:
    """Which kinds are killed, in a random order: the driver `drivers` times, all others in turn."""
    others = [("engine", "learner", "reward")[i % 3] for i in range(kills - drivers)]
    kinds = others + ["driver"] * drivers
    draw.shuffle(kinds)
    return kinds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--drivers", type=int, default=3, help="how many of them kill the driver")
    parser.add_argument("--seeds", type=int, default=3, help="undisturbed runs beside the disturbed one")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the killer")
    parser.add_argument("--limit", type=float, default=1500.0, help="seconds that the disturbed run may take")
    parser.add_argument("--folder", type=Path, help="keep all runs here, and go on with those that are there")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not 0 <= options.drivers <= options.kills:
        fail(f"--drivers is {options.drivers}; it is between 0 and --kills, {options.kills}")
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="medrl-chaos-") as name:
        root = (options.folder or Path(name)).absolute()
        begun = time.perf_counter()
        sft = Run(EXAMPLE, (*SMALL, "trainer.steps=0"), root / "sft")
        sft.start()
        if not sft.ended(600):
            fail(f"the SFT stage failed:\n{(root / 'sft.log').read_text()[-2000:]}")
        start = (*SMALL, f"policy.path={root}/sft/sft", "policy.new=null", "sft=null", f"trainer.steps={options.steps}")
        print(f"# SFT: {time.perf_counter() - begun:.0f} s", flush=True)
        undisturbed = []
        for seed in range(options.seeds):
            run = Run(EXAMPLE, (*start, f"seed={seed}"), root / f"local-{seed}")  # the embedded placement
            run.start()
            if not run.ended(600):
                fail(f"an undisturbed run failed:\n{(root / f'local-{seed}.log').read_text()[-2000:]}")
            undisturbed.append(accuracy(run.folder))
        before = float(RunFolder(root / "local-0").read_evaluations("held_out")[0]["accuracy"])
        run, begun = Run(EXAMPLE, (*start, *CLUSTER, "seed=0"), root / "chaos"), time.perf_counter()
        kinds = kinds_of(options.kills, options.drivers, draw)
        ended = disturb(run, kinds, options.steps, draw, options.limit)
        log = (root / "chaos.log").read_text(errors="replace")
        if not ended:
            print(log[-4000:], file=sys.stderr)
            fail(f"the disturbed run did not end well; {len(run.kills)} kills, step {run.step}")
        found: dict[str, object] = {
            "kills": len(run.kills),
            **{f"kills_{kind}": sum(one == kind for one, _ in run.kills) for kind in (*TITLES, "driver")},
            **audit(run),
            "accuracy_before": before,
            "accuracy": accuracy(run.folder),
            "accuracy_undisturbed": undisturbed,
            "seconds": time.perf_counter() - begun,
        }
    print_table(
        ("figure", "value"),
        [(k, f"{v:.3f}" if isinstance(v, float) else ", ".join(f"{x:.3f}" for x in v) if isinstance(v, list) else str(v))
         for k, v in found.items()],
    )  # fmt: skip
    if len(undisturbed) > 1:
        print(
            f"undisturbed: mean {statistics.fmean(undisturbed):.3f}, from {min(undisturbed):.3f} to {max(undisturbed):.3f}"
        )
    print_machine(machine())
    write_json(options.json, {**found, **machine()})
    if found["accuracy"] < min(undisturbed, default=0.0) - MARGIN:  # type: ignore[operator]
        fail(f"the disturbed run learnt less: {found['accuracy']:.3f} beside {min(undisturbed):.3f}")
    wrong = ("prompts_lost", "prompts_doubled", "rollouts_trained_twice", "steps_missing", "steps_doubled")
    return 1 if any(found[name] for name in wrong) or len(run.kills) < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
