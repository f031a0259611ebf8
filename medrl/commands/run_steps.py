"""Steps carried out: each is a stage that is done once, in a process of its own, and goes on where it was stopped.

Before a stage is begun it is looked for what it needs: data and models that can be had, servers that answer, GPUs with
enough memory by the arithmetic of `--dry-run`. Where something is missing it stops there, and says what.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medrl.cluster.room import asked, total
from medrl.commands.dry_run import memory_needed
from medrl.commands.dry_run_names import Hub, references, where
from medrl.commands.terminal import FAILED
from medrl.errors import RecipeError, StageFailed
from medrl.recipes import Recipe
from medrl.recipes.run import MACHINES
from medrl.recipes.schema import GENERATED
from medrl.recipes.stages import Stage, Stages
from medrl.recipes.steps import Step, tell_steps
from medrl.recipes.tree import override_knob, read_tree
from medrl.tracking.changes import among, leaves
from medrl.verifiers.worker import end_with_parent

STARTS = 3  # of a construction some of whose rows fail
LEFT_OUT = 0.02  # share of rows that may still fail then
# With `base_url` and `concurrency` of any client, what says where and how fast, and changes no result.
MACHINE_KNOBS = ("resume", *(f"cluster.{name}" for name in MACHINES))
UNSURE = {
    "gated": "the hub gives it to those alone whom its owner lets in",
    "not reached": "the hub does not say whether it has it",
    "offline": "the hub is switched off (HF_HUB_OFFLINE)",
}
ANSWER_SECONDS = 3.0  # that a server may take to accept a connection


def tell_or_run(steps: Sequence[Step], root: Path, run: bool) -> int:
    """Tell the commands of a scale, or carry out what is left of them; 1 where a recipe that was told of has faults."""
    if run:
        run_steps(steps, root)
        return 0
    status = tell_steps(steps, root)
    print("# `--run` carries them out, one after the other; each is done once, and goes on where it was stopped")
    return status


def run_steps(steps: Sequence[Step], root: Path) -> None:
    """Do every step that is not done; what will be missing later is told at the beginning.

    Raises:
        StageFailed: Something is missing for the next step, or its command failed.
        FolderTaken: A step was begun with other knobs, or before one that it reads.
    """
    stages = Stages(root)
    listed = {step.name: _stage(step, root) for step in steps}
    stages.check(list(listed.values()))
    todo = [step for step in steps if stages.mark(step.name) is None]
    hub = Hub(_note)
    for step in todo[1:]:
        for one in missing(step, root, hub):
            _warn(f"{step.name} will need what is not here: {one}")
    for step in steps:
        if step in todo and (found := missing(step, root, hub)):
            lines = "".join(f"\n  - {one}" for one in found)
            raise StageFailed(f"{step.name} cannot begin:{lines}\nwhat is done stays done: the same command goes on")
        stages.do(listed[step.name])
        if step in todo:
            hub = Hub(_note)  # hours later it may answer again


def missing(step: Step, root: Path, hub: Hub) -> list[str]:
    """What a step needs and this machine has not, in words; what earlier steps write below the root is left out.

    Of what the hub may have there is a warning only: the step itself will tell.
    """
    tree, found = _tree(step, root), list[str]()
    try:
        recipe = step.recipe(root)
    except RecipeError as error:
        recipe, found = None, list(error.faults)
    if isinstance(recipe, Recipe):
        found += _too_little(recipe)
    named = set(references(recipe) if isinstance(recipe, Recipe) else _names(tree, ""))
    for knob, name in sorted(one for one in named if not Path(one[1]).is_relative_to(root)):
        state = where(name, data=knob.endswith("source"), hub=hub)
        if state == "missing":
            found.append(f"{knob}: {name} is not there")
        elif state in UNSURE:
            _warn(f"{step.name} may lack {knob}: {name} is not in the cache, and {UNSURE[state]}")
    return found + [fault for address in sorted(set(_servers(tree))) if (fault := _silent(address))]


def _note(line: str) -> None:
    print(f"# {line}", flush=True)


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def _stage(step: Step, root: Path) -> Stage:
    # The same whatever the root, which may be moved, and wherever it goes on; what a command itself minds it says.
    recipe = {key: value for key, value in leaves(_tree(step, Path("root"))) if not _of_machines(key)}
    made_of = {"command": step.command, "recipe": recipe}
    return Stage(step.name, partial(_command, step.words(root)), made_of, step.after)


def _of_machines(knob: str) -> bool:
    return knob.rpartition(".")[2] in ("base_url", "concurrency") or among(knob, MACHINE_KNOBS)


def _command(words: Sequence[str], folder: Path) -> None:
    """Carry out a command; a construction some of whose rows fail is begun again, and goes on from what it left there."""
    for _ in range(STARTS):
        for report in folder.glob("*/report.json"):  # of an earlier start; one that is killed writes none
            report.unlink()
        code = _run(words)
        share = _failed(folder) if code == FAILED else None
        if share is None:
            break
    if share is not None and share <= LEFT_OUT:
        print(
            f"# {share:.1%} of the rows failed {STARTS} times, and are left out; see {folder}/*/failed.jsonl",
            flush=True,
        )
    elif code:
        raise StageFailed(
            f"`{shlex.join(words)}` ended with {code} and said why above; mend it, and the same call goes on"
        )


def _failed(folder: Path) -> float | None:
    """The share of failed rows of a construction that came to the end of its source; None for all else."""
    for path in folder.glob("*/report.json"):
        report = json.loads(path.read_text(encoding="utf-8"))
        failed = sum(report.get("failed", {}).values())
        return float(failed / (report["rows"] + failed)) if report.get("complete") and failed else None
    return None


def _run(words: Sequence[str]) -> int:
    """The exit status of a command."""
    print(f"$ {shlex.join(words)}", flush=True)
    process = subprocess.Popen([sys.executable, "-m", *words], preexec_fn=end_with_parent)
    interrupted = False
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:  # the terminal sent it to the command too, which writes down what it has
            interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode


def _tree(step: Step, root: Path) -> dict[str, Any]:
    tree: dict[str, Any] = read_tree(step.file, ()) if step.file else {}
    for knob in step.overrides(root):
        override_knob(tree, knob, [])
    return tree


def _names(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Folders, files and hub ids of a recipe of any kind, with the knobs that name them."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key in ("source", "path", "policy") and isinstance(one, str) and one not in GENERATED:
                yield f"{path}{key}", one
            else:
                yield from _names(one, f"{path}{key}.")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _names(one, f"{path}{number}.")


def _servers(value: Any) -> Iterator[str]:
    """Addresses of chat models that stand behind a server; "" for $OPENAI_BASE_URL."""
    if isinstance(value, Mapping):
        if value.get("type") == "openai":
            yield str(value.get("base_url") or "")
        for one in value.values():
            yield from _servers(one)
    elif isinstance(value, list):
        for one in value:
            yield from _servers(one)


def _silent(address: str) -> str | None:
    """What is wrong with a server; None where it takes a connection."""
    url = address or os.environ.get("OPENAI_BASE_URL", "")
    if not url:
        return "OPENAI_BASE_URL is not set; it is the address of the chat server, such as http://127.0.0.1:8000/v1"
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        return f"no chat server answers at {url} ({error}); start it, or name another one"
    return None


def _too_little(recipe: Recipe) -> list[str]:
    """GPUs, or memory, that a run needs and this machine lacks; of another Ray cluster Ray itself says it."""
    import torch

    if recipe.placement == "ray" and (recipe.cluster.address or os.environ.get("RAY_ADDRESS")):
        return []
    here, wanted = torch.cuda.device_count(), total(asked(recipe.cluster, sft_only=recipe.sft_only), "GPU")
    if recipe.placement == "ray" and wanted > here:
        return [f"{wanted:g} GPUs, by the recipe; this machine has {here}. A Ray cluster is named by cluster.address"]
    need = memory_needed(recipe)
    if (recipe.placement == "local" and recipe.policy.torch_device().type == "cpu") or not here:
        room, what = (
            float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
            "this machine, which has no GPU for it,",
        )
    else:
        room, what = float(torch.cuda.get_device_properties(0).total_memory), f"a {torch.cuda.get_device_name(0)}"
    if need is not None and need > room:
        return [
            f"{need / 1e9:.0f} GB of memory for a rank, by the arithmetic of --dry-run; {what} has {room / 1e9:.0f}"
        ]
    return []
