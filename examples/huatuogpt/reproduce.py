"""HuatuoGPT (arXiv 2305.15075) rebuilt whole, one command per scale.

    python examples/huatuogpt/reproduce.py --scale tiny --json out.json        the main path, one seed
    python examples/huatuogpt/reproduce.py --scale tiny --ablations --seeds 3  and the variants of the last stage
    python examples/huatuogpt/reproduce.py --scale paper                       check the recipes, and tell their commands

Hybrid SFT of four sources (arms real, distilled, both), AI feedback with and without the doctor's reference, reward models,
PPO with a critic on the last two layers, and replies of every policy to visits of held-out patients. The stages are in
stages.py, figures in measure.py. Each stage runs in a process of its own, two at a time, and is done when its `done.json` is
there; a run that was killed goes on where it was. Ends with a table beside the paper's and with which of its shapes hold.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from hashlib import sha256
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="false",
                  TRL_EXPERIMENTAL_SILENCE="1", CUDA_VISIBLE_DEVICES="")  # fmt: skip

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import torch  # noqa: E402
import trl  # noqa: E402, F401  (seconds of imports, once for all stages)
from measure import Answers, figures, shapes, table  # noqa: E402
from stages import Sizes, stages  # noqa: E402

from medrl.errors import MedrlError  # noqa: E402
from medrl.files import write_atomic  # noqa: E402

DONE = "done.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("tiny", "laptop", "paper"), default="tiny")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--ablations", action="store_true", help="the variants of the last stage too")
    parser.add_argument("--folder", type=Path, default=Path("runs/huatuogpt/tiny"), help="where all stages are kept")
    parser.add_argument("--workers", type=int, default=2, help="stages at the same time, one core each")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write minutes, table, shapes and all figures here")
    parser.add_argument("--size", nargs="+", default=[], metavar="KNOB=VALUE", help="sizes of stages.py, e.g. rows=200")
    options = parser.parse_args()
    try:
        sizes = sizes_of(options.size)
        if options.scale != "tiny":
            return tell_recipes(options.scale)
        folders = [options.folder / f"seed{seed}" for seed in range(options.seeds)]
        for seed, folder in enumerate(folders):
            if not drive(folder, seed, sizes, options):
                return 1
        return report(folders, options)
    except MedrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def sizes_of(words: Sequence[str]) -> Sizes:
    """Sizes with overrides; texts of recipes' knobs are given as JSON lists."""
    sizes = Sizes()
    known = {one.name for one in fields(Sizes)}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise MedrlError(f"there is no size {name!r}; known: {', '.join(sorted(known))}")
        try:
            read = json.loads(value)
        except ValueError as error:
            raise MedrlError(f"{name} is {value!r}; give a number, or a JSON list of overrides") from error
        sizes = replace(sizes, **{name: tuple(read) if isinstance(read, list) else read})
    return sizes


# Stages


def drive(folder: Path, seed: int, sizes: Sizes, options: argparse.Namespace) -> bool:
    """Run every stage of a seed that is not done, at most so many at a time; False when one failed."""
    todo = {name: stage for name, stage in stages(options.ablations).items() if not done(folder, name)}
    for mark in folder.glob(f"done/*/{DONE}"):
        if json.loads(mark.read_text()).get("made_of") != made_of(sizes):
            raise MedrlError(
                f"{mark.parent.name} in {folder} was made with other sizes or recipes; name another --folder"
            )
    running: dict[str, BaseProcess] = {}
    failed = False
    try:
        while running or (todo and not failed):
            for name in [one for one, stage in todo.items() if all(done(folder, need) for need in stage.after)]:
                if len(running) < options.workers and not failed:
                    del todo[name]
                    running[name] = start(name, folder, seed, sizes)
            for name, process in list(running.items()):
                if process.exitcode is not None:
                    del running[name]
                    failed |= process.exitcode != 0
                    about = json.loads((folder / "done" / name / DONE).read_text()) if done(folder, name) else {}
                    said = (
                        f"{about['seconds']:.0f} s, {about['cpu_seconds']:.0f} s of processor time"
                        if about
                        else "FAILED"
                    )
                    print(f"# seed {seed}: {name}: {said}", flush=True)
            time.sleep(0.2)
    finally:
        for process in running.values():
            process.terminate()
    return not failed


def start(name: str, folder: Path, seed: int, sizes: Sizes) -> BaseProcess:
    """A stage in a process of its own, which has the imports of this one; nothing was computed here that it could share."""
    process = multiprocessing.get_context("fork").Process(target=run_stage, args=(name, folder, seed, sizes), name=name)
    process.start()
    return process


def made_of(sizes: Sizes) -> dict[str, Any]:
    """What a stage's result depends on beside its seed: sizes, and the texts of the recipes."""
    recipes = b"".join(path.read_bytes() for path in sorted((HERE / "tiny").glob("*.yaml")))
    found: dict[str, Any] = json.loads(json.dumps({"sizes": asdict(sizes), "recipes": sha256(recipes).hexdigest()}))
    return found


def done(folder: Path, name: str) -> bool:
    return (folder / "done" / name / DONE).is_file()


def run_stage(name: str, folder: Path, seed: int, sizes: Sizes) -> None:
    """One stage in this process; its mark is written last."""
    began = time.time()
    end_with_parent()
    torch.set_num_threads(1)
    stages(True)[name].run(folder, seed, sizes)
    used = resource.getrusage(resource.RUSAGE_SELF)
    about = {"began": began, "seconds": time.time() - began, "cpu_seconds": used.ru_utime + used.ru_stime,
             "made_of": made_of(sizes)}  # fmt: skip
    write_atomic(folder / "done" / name / DONE, json.dumps(about).encode())


def end_with_parent() -> None:
    """Linux ends this process with the driver, kill -9 of it included; two drivers would else write one stage."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


# Report


def report(folders: Sequence[Path], options: argparse.Namespace) -> int:
    """The tables, and the JSON."""
    answers = Answers(folders)
    marks = {f"{folder.name}/{file.parent.name}": json.loads(file.read_text())
             for folder in folders for file in sorted(folder.glob(f"done/*/{DONE}"))}  # fmt: skip
    main = [mark for name, mark in marks.items() if name.partition("/")[2] in stages(False)]
    found: dict[str, Any] = {
        "scale": options.scale, "seeds": len(folders),
        "minutes": minutes(main) / len(folders),
        "cpu_minutes": sum(mark["cpu_seconds"] for mark in main) / 60 / len(folders),
        "table": table(answers), "shapes": shapes(answers, len(folders)), "figures": figures(answers),
        "stages": {name: {key: mark[key] for key in ("seconds", "cpu_seconds")} for name, mark in marks.items()},
    }  # fmt: skip
    print_report(found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(options.json, (json.dumps(found, indent=1) + "\n").encode())
    return 0


def minutes(marks: Sequence[Mapping[str, Any]]) -> float:
    """By the clock: when at least one of these stages ran. A stage that was killed counts from its last start."""
    total, until = 0.0, 0.0
    for mark in sorted(marks, key=lambda one: float(one["began"])):
        end = mark["began"] + mark["seconds"]
        total, until = total + max(0.0, end - max(until, mark["began"])), max(until, end)
    return total / 60


def print_report(found: Mapping[str, Any]) -> None:
    print(f"\n{'policy':<16}{'way':<9}" + "".join(f"{name:>17}" for name in SHOWN))
    for policy, ways in found["figures"].items():
        for way, values in ways.items():
            cells = (f"{values[name][0]:.2f}" if name in values else "--" for name in SHOWN)
            print(f"{policy:<16}{way:<9}" + "".join(f"{cell:>17}" for cell in cells))
    print(
        f"\n{'win / tie / loss, %':<44}{'here':>16}{'length-controlled':>20}{'paper, GPT-4':>16}{'paper, doctors':>16}"
    )
    for row in found["table"]:
        here = " / ".join(f"{100 * row[name]:.0f}" for name in ("win", "tie", "loss"))
        even = "{:.0%} ({:.0%} to {:.0%})".format(*row["length_controlled"])
        name = f"{row['policy']} against {row['against']}, {row['turns']}"
        print(f"{name:<44}{here:>16}{even:>20}{row['paper_gpt4'] or '--':>16}{row['paper_doctors'] or '--':>16}")
    print()
    for name, shape in found["shapes"].items():
        print(f"{shape['verdict']:<10}{name}: {shape['mean']:.3f} ({shape['low']:.3f} to {shape['high']:.3f}), "
              f"wanted above {shape['against']:g}")  # fmt: skip
    print(f"\nmain path: {found['minutes']:.1f} minutes, {found['cpu_minutes']:.1f} of processor time, a seed")


SHOWN = (
    "asking_back",
    "diagnosis_right",
    "total",
    "safety",
    "unsafe",
    "doctor_likeness",
    "diseases_listed",
    "characters",
)


def tell_recipes(scale: str) -> int:
    """Load every recipe of a larger scale, and say how it is run."""
    from recipes import check

    return check(HERE / scale)


if __name__ == "__main__":
    sys.exit(main())
