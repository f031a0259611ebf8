"""HuatuoGPT (arXiv 2305.15075) rebuilt whole, one command per scale.

    python examples/huatuogpt/reproduce.py --scale tiny --json out.json        the main path, one seed
    python examples/huatuogpt/reproduce.py --scale tiny --ablations --seeds 3  and the variants of the last stage
    python examples/huatuogpt/reproduce.py --scale laptop                      check the recipes, and tell their commands
    python examples/huatuogpt/reproduce.py --scale laptop --run                and carry them out: hours of GPU time

Hybrid SFT of four sources (arms real, distilled, both), AI feedback with and without the doctor's reference, reward models,
PPO with a critic on the last two layers, and replies of every policy to visits of held-out patients. The stages are in
stages.py, figures in measure.py. Each stage runs in a process of its own, two at a time, and is done when its `done.json` is
there; a run that was killed goes on where it was. It ends with a table beside the paper's and with which of its shapes hold.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="false")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from medrl.errors import MedrlError  # noqa: E402


def main() -> int:
    options = read_options()
    try:
        if options.scale == "tiny":
            return rebuild(options)
        from recipes import reproduce

        root = options.folder or Path("runs/huatuogpt") / options.scale / "stages"
        return reproduce(HERE / options.scale, root, options.run, options.knobs)
    except MedrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("tiny", "laptop", "paper"), default="tiny")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--ablations", action="store_true", help="the variants of the last stage too")
    parser.add_argument(
        "--run", action="store_true", help="of a larger scale: carry its commands out, or what is left of them"
    )
    parser.add_argument("--folder", type=Path, help="where all stages are kept; default below runs/huatuogpt")
    parser.add_argument("--workers", type=int, default=2, help="stages at the same time, one core each")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write minutes, table, shapes and all figures here")
    parser.add_argument("--size", nargs="+", default=[], metavar="KNOB=VALUE", help="sizes of stages.py, e.g. rows=200")
    parser.add_argument(
        "knobs", nargs="*", metavar="STEP:KNOB=VALUE", help="of a larger scale, e.g. feedback:judge.client.model=M"
    )
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds is {options.seeds}; one at least is needed")
    if options.scale == "tiny" and (options.run or options.knobs):
        parser.error("--run and STEP:KNOB=VALUE are of the larger scales; tiny runs at once, and takes --size")
    of_tiny = [f"--{name}" for name in ("seeds", "ablations", "workers", "json", "size")
               if getattr(options, name) != parser.get_default(name)]  # fmt: skip
    if options.scale != "tiny" and of_tiny:
        parser.error(f"{', '.join(of_tiny)}: of --scale tiny alone; --scale {options.scale} takes STEP:KNOB=VALUE")
    return options


def rebuild(options: argparse.Namespace) -> int:
    """The tiny scale: all stages, and the report."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # these are read when torch and trl are imported
    os.environ.update(HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1", CUDA_VISIBLE_DEVICES="")
    import torch
    import trl  # noqa: F401  (seconds of imports, once for all stages)
    from stages import stages

    from medrl.recipes.stages import Stages

    sizes = sizes_of(options.size)
    torch.set_num_threads(1)
    options.folder = options.folder or Path("runs/huatuogpt/tiny")
    driver = Stages(options.folder)
    # Of every seed before the first is begun, with the variants of an earlier call, which are reported too.
    driver.check([stage for seed in range(options.seeds) for stage in stages(seed, sizes, True)])
    for seed in range(options.seeds):
        driver.do_all(stages(seed, sizes, options.ablations), options.workers)
    return report(driver, options)


def sizes_of(words: Sequence[str]) -> Any:
    """Sizes with overrides; texts of recipes' knobs are given as JSON lists."""
    from stages import Sizes

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


# Report


def report(driver: Any, options: argparse.Namespace) -> int:
    """The tables, and the JSON."""
    from measure import Answers, figures, shapes, table
    from stages import Sizes, stages

    from medrl.files import write_atomic
    from medrl.recipes.stages import minutes

    folders = [options.folder / f"seed{seed}" for seed in range(options.seeds)]
    answers = Answers(folders)
    of_main_path = {stage.name for seed in range(options.seeds) for stage in stages(seed, Sizes(), False)}
    main = [mark for name, mark in driver.marks.items() if name in of_main_path]
    found: dict[str, Any] = {
        "scale": options.scale, "seeds": len(folders),
        "minutes": minutes(main) / len(folders), "at_least": any(mark.resumed for mark in main),
        "cpu_minutes": sum(mark.cpu_seconds for mark in main) / 60 / len(folders),
        "table": table(answers), "shapes": shapes(answers, len(folders)), "figures": figures(answers),
        "stages": {name: asdict(mark) for name, mark in driver.marks.items()},
    }  # fmt: skip
    print_report(found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(options.json, (json.dumps(found, indent=1) + "\n").encode())
    return 0


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
    least = "at least " if found["at_least"] else ""  # what a start took that was killed is not known
    print(f"\nmain path: {least}{found['minutes']:.1f} minutes, {found['cpu_minutes']:.1f} of processor time, a seed")


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


if __name__ == "__main__":
    sys.exit(main())
