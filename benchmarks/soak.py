"""Does a long run need ever more memory?

    python benchmarks/soak.py [--placement local|ray] [--steps 1000] [--warmup 250] [--problems 400] [--json FILE]

Some fifteen minutes. A run of examples/huatuogpt_o1/tiny.yaml (smaller steps, few problems, of which verifiers remember what
they read) goes on for `--warmup` and then `--steps` steps, evaluations and checkpoints among them. Once a second the resident
memory of the run's process is read, and with `ray` that of all engine and learner processes too. The slope after the warm-up
is the median of those of all pairs of readings (Theil and Sen), which single peaks do not move. Over 200 steps it says
nothing: evaluations and the allocator move the readings by 10 MiB, which carried to two hours is half of the memory.

`growth_2h` is that slope, carried from the seconds that these steps took to two hours, over the memory after the warm-up: at
most 0.05 is wanted. `growth_measured` is the growth over the steps themselves, which nothing is extrapolated from.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from common import fail, machine, print_machine, print_table, write_json

EXAMPLE = Path(__file__).parents[1] / "examples" / "huatuogpt_o1" / "tiny.yaml"
LIMIT = 0.05
SMALL = (
    "policy.new.layers=2", "problems.diseases=20", "held_out.diseases=20", "held_out.count=50",
    "demonstrations.count=300", "trainer.problems_per_step=8", "trainer.evaluate_every=40", "trainer.save_every=20",
    "threads=1", "optimization.schedule=constant", "optimization.lr=1e-6",
)  # fmt: skip
CLUSTER = ("placement=ray", "cluster.learners.ranks=1")


def resident(process: psutil.Process) -> dict[str, float]:
    """MiB of a run's process and of its actors that are there now."""
    found = {"run": process.memory_info().rss / 2**20}
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(child.cmdline())
            for kind in ("EngineActor", "LearnerActor"):
                if title.startswith(f"ray::{kind}"):
                    found[kind] = found.get(kind, 0.0) + child.memory_info().rss / 2**20
    return found


def watched(arguments: Sequence[str], folder: Path, warmup: int) -> tuple[list[float], dict[str, list[float]]]:
    """Run `medrl run` to its end; seconds and MiB by process, looked at once a second from step `warmup` on."""
    times, mib = list[float](), dict[str, list[float]]()
    with (folder.parent / "log").open("w") as log:
        program = subprocess.Popen([sys.executable, "-m", "medrl", "run", *arguments], stdout=log, stderr=log)
    process, metrics = psutil.Process(program.pid), folder / "metrics.jsonl"
    while program.poll() is None:
        steps = metrics.read_text().count('"rl"') if metrics.is_file() else 0
        with contextlib.suppress(psutil.NoSuchProcess):
            found = resident(process)
            if steps >= warmup and (not mib or found.keys() == mib.keys()):
                times.append(time.monotonic())
                for name, size in found.items():
                    mib.setdefault(name, []).append(size)
        time.sleep(1.0)
    if program.returncode:
        fail((folder.parent / "log").read_text()[-2000:])
    return times, mib


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Theil and Sen's, per unit of time."""
    pairs = range(len(times))
    return statistics.median((values[b] - values[a]) / (times[b] - times[a]) for a in pairs for b in pairs if a < b)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--placement", choices=("local", "ray"), default="local")
    parser.add_argument("--steps", type=int, default=1000, help="steps that count")
    parser.add_argument("--warmup", type=int, default=250, help="steps before them: every problem seen, caches full")
    parser.add_argument("--problems", type=int, default=400, help="of which a step takes eight")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="medrl-soak-") as name:
        folder = Path(name) / "run"
        cluster = CLUSTER if options.placement == "ray" else ()
        size = (f"trainer.steps={options.warmup + options.steps}", f"problems.count={options.problems}")
        times, mib = watched([str(EXAMPLE), *SMALL, *cluster, *size, f"folder={folder}"], folder, options.warmup)
    seconds, rows, figures = times[-1] - times[0], [], dict[str, float]()
    for name, sizes in mib.items():
        grown = slope(times, sizes) * seconds / sizes[0]
        carried = grown * 7200 / seconds
        figures |= {f"{name}_mib": sizes[0], f"{name}_growth_measured": grown, f"{name}_growth_2h": carried}
        rows.append([name, f"{sizes[0]:.0f}", f"{sizes[-1]:.0f}", f"{grown:.2%}", f"{carried:.2%}"])
    print_table(["process", "MiB after warm-up", "at the end", "growth by the slope", "carried to 2 h"], rows)
    print(f"{options.steps} steps in {seconds:.0f} s")
    print_machine(machine())
    worst = max(value for name, value in figures.items() if name.endswith("_growth_2h"))
    write_json(options.json, {"growth_2h": worst, **figures, "seconds": seconds, "steps": options.steps, **machine()})
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
