"""The steps of the larger scales, laptop and paper: stage 0, stage 1, SFT with PPO, and an evaluation of what came out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from medrl.commands.run_steps import tell_or_run
from medrl.recipes import load_recipe
from medrl.recipes.construction import load_construction
from medrl.recipes.steps import Step, with_knobs

HERE = Path(__file__).parent
# Recipes: of stage 0, of stage 1, and of each model that is trained on their rows; the 70B is the 8B's with another base.
SCALES = {
    "laptop": ("laptop_problems", "laptop_reasoning", ("laptop",)),
    "paper": ("problems", "reasoning", ("paper_8b", "paper_70b")),
}
EVALUATED = "{source: GBaker/MedQA-USMLE-4-options, split: test}"


def steps(scale: str) -> list[Step]:
    """In the order in which they run; each reads what those before it wrote."""
    problems, reasoning, models = SCALES[scale]
    rows = {name: f"{{root}}/{name}/rows/rows.jsonl" for name in ("problems", "reasoning")}
    found = [
        _construct("problems", problems, ()),
        _construct("reasoning", reasoning, ("problems",), f"rows.source={rows['problems']}"),
    ]
    for name in models:
        chained = (f"problems.source={rows['problems']}", f"demonstrations.source={rows['reasoning']}")
        knobs = (f"folder={{root}}/{name}/run", "resume=true", *chained, "demonstrations.config=null")
        found.append(Step(name, "medrl run", load_recipe, HERE / f"{name}.yaml", knobs, ("problems", "reasoning")))
        for policy in ("sft", "latest"):
            evaluate = f"medrl eval {{root}}/{name}/run --policy {policy} --out {{root}}/{name}_{policy}/report"
            found.append(Step(f"{name}_{policy}", evaluate, knobs=(f"held_out={EVALUATED}",), after=(name,)))
    return found


def _construct(kind: str, file: str, after: tuple[str, ...], *knobs: str) -> Step:
    read = partial(load_construction, kind)
    return Step(
        kind, f"medrl construct {kind}", read, HERE / f"{file}.yaml", (f"folder={{root}}/{kind}/rows", *knobs), after
    )


def reproduce(scale: str, root: Path, run: bool, knobs: Sequence[str]) -> int:
    """Tell the commands of a scale, and with `run` carry out what is left of them."""
    return tell_or_run(with_knobs(steps(scale), knobs), root, run)
