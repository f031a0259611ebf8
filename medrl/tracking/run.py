"""The folder of a run: its recipe, logs, rollouts and checkpoints, written so that a killed run can go on.

    recipe.yaml  metrics.jsonl  evaluations.jsonl  rollouts/step-000012.jsonl  checkpoints/step-000020/
    best/  sft/  curve.png  summary.json

Everything that has its real name is whole (`medrl.files`). After a kill, `cut_back` takes the logs to the step of the
checkpoint, and from there they grow as if nothing had happened.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from medrl.errors import CheckpointError, DataError, FolderTaken, MissingFile, RecipeError
from medrl.files import (
    append_jsonl,
    atomic_folder,
    clean_leftovers,
    json_line,
    read_jsonl,
    remove_folder,
    truncate_jsonl,
    write_atomic,
)
from medrl.tracking.changes import changes
from medrl.tracking.lock import RunLock
from medrl.tracking.traces import Trace, plain, trace_rows, traces_from_rows
from medrl.types import Group, Score

STEP_FOLDER = re.compile(r"step-(\d{6,})")
STEP_FILE = re.compile(r"step-(\d{6,})(?:\.([^.]+))?\.jsonl")


def timeless(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of metrics or evaluations without what depends on the machines, for comparing two runs that should be equal."""
    machines = ("time/", "cluster/")
    return {key: value for key, value in row.items() if not key.startswith(machines) and key != "tokens_per_second"}


class RunFolder:
    """A run on the disk. `RunFolder(path)` reads one; `RunFolder.create(path, ...)` writes one and holds its lock.

    Attributes:
        path: The folder.
        resumed: True where `create` went on with a run that had begun.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        self.resumed = False
        self._lock: RunLock | None = None
        if not self.path.is_dir():
            raise MissingFile(f"{self.path} is no run: there is no such folder")

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        recipe_text: str,
        resume: bool = False,
        *,
        may_change: Sequence[str] = (),
    ) -> "RunFolder":
        """Begin a run, or go on with one, as its only writer until `close`.

        Args:
            path: Made where it does not exist.
            recipe_text: The resolved recipe as YAML.
            resume: Go on with the run that is there; where there is none yet, begin one.
            may_change: Dotted fields that may differ from the recipe it was begun with, sections included
                (`("trainer.steps", "tracking")`).

        Raises:
            FolderTaken: The folder holds something else, or a run and `resume` is False.
            CheckpointError: Another process has it, or it cannot be made.
            RecipeError: The recipe differs from that of the run; every difference is listed.
        """
        folder = Path(os.path.abspath(path))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot make the run folder {folder}: {error.strerror or error}") from error
        run = cls(folder)
        run._lock = RunLock(folder)
        try:
            run._begin(recipe_text, resume, may_change)
        except BaseException:
            run.close()
            raise
        return run

    def _begin(self, recipe_text: str, resume: bool, may_change: Sequence[str]) -> None:
        for folder in (self.path, self.path / "checkpoints", self.path / "rollouts"):
            if folder.is_dir():
                clean_leftovers(folder, alive=True)
        content = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
        if content and "recipe.yaml" not in content:
            shown = ", ".join(content[:5]) + (", ..." if len(content) > 5 else "")
            raise FolderTaken(f"{self.path} is not empty and no run (it holds {shown}); give another folder")
        if content and not resume:
            raise FolderTaken(
                f"{self.path} holds a run already ({len(self.read_metrics())} rows of metrics, "
                f"{len(self.checkpoints())} checkpoints); pass resume=true to go on with it, or give another folder"
            )
        if content:
            check_same_recipe(self.path, self.recipe_text, recipe_text, may_change)
        write_atomic(self.path / "recipe.yaml", recipe_text)  # first, for it is what makes the folder a run
        for name in ("checkpoints", "rollouts"):
            (self.path / name).mkdir(exist_ok=True)
        self.resumed = bool(content)

    def close(self) -> None:
        """Let other processes write the run."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Paths ------------------------------------------------------------------------------------------------------------

    @property
    def best(self) -> Path:
        return self.path / "best"

    @property
    def sft(self) -> Path:
        return self.path / "sft"

    @property
    def curve(self) -> Path:
        return self.path / "curve.png"

    @property
    def recipe_text(self) -> str:
        try:
            return (self.path / "recipe.yaml").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise MissingFile(f"{self.path} is no run: it has no recipe.yaml") from error

    # Logs -------------------------------------------------------------------------------------------------------------

    def log_metrics(self, step: int, row: Mapping[str, Any], *, phase: str = "rl") -> None:
        """Append a row of numbers to metrics.jsonl; a value that is not finite is written as null and named."""
        self._append("metrics.jsonl", {"step": step, "phase": phase, **_numbers(row)})

    def log_evaluation(self, step: int, name: str, row: Mapping[str, Any]) -> None:
        """Append the results of evaluating the set `name` to evaluations.jsonl."""
        self._append("evaluations.jsonl", {"step": step, "name": name, **_numbers(row)})

    def log_rollouts(
        self,
        step: int,
        groups: Sequence[Group],
        scores: Sequence[Sequence[Score]],
        advantages: Sequence[Sequence[float | None]] | None = None,
        *,
        name: str | None = None,
        tokens: bool = False,
    ) -> Path:
        """Write the rollouts of a step, or of an evaluation where a `name` is given, one row each.

        With `tokens` the token ids and their log-probabilities too (about 10 bytes and 20 bytes each).
        """
        self._must_hold_lock()
        path = self._rollout_file(step, name)
        rows = trace_rows(step, groups, scores, advantages, tokens=tokens)
        write_atomic(path, b"".join(map(json_line, rows)))
        return path

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json, the run's results on one page."""
        self._must_hold_lock()
        write_atomic(self.path / "summary.json", json.dumps(plain(summary), indent=2, ensure_ascii=False) + "\n")

    def read_metrics(self, phase: str | None = None) -> list[dict[str, Any]]:
        rows = self._read("metrics.jsonl")
        return rows if phase is None else [row for row in rows if row.get("phase", "rl") == phase]

    def read_evaluations(self, name: str | None = None) -> list[dict[str, Any]]:
        rows = self._read("evaluations.jsonl")
        return rows if name is None else [row for row in rows if row.get("name") == name]

    def read_rollouts(self, step: int, name: str | None = None) -> list[Trace]:
        """The rollouts of a step (or of the evaluation `name` at it), ready to be scored again."""
        path = self._rollout_file(step, name)
        return traces_from_rows(read_jsonl(path), str(path))

    def rollout_steps(self, name: str | None = None) -> list[int]:
        """The steps that have rollouts on the disk, ascending."""
        suffix = f".{name}.jsonl" if name else ".jsonl"
        found = [(STEP_FILE.fullmatch(entry.name), entry) for entry in _entries(self.path / "rollouts")]
        return sorted(int(m[1]) for m, entry in found if m and entry.name == f"step-{m[1]}{suffix}")

    def rollout_names(self) -> list[str]:
        """The evaluations that have rollouts on the disk, by name."""
        found = [STEP_FILE.fullmatch(entry.name) for entry in _entries(self.path / "rollouts")]
        return sorted({match[2] for match in found if match and match[2]})

    def cut_back(self, step: int, *, phase: str = "rl", drop_checkpoints: bool = False) -> None:
        """Remove every log past `step`, as before going on from the checkpoint of that step.

        Metrics of other phases stay. Evaluations and rollouts count the steps of phase "rl", so for another phase
        they stay too.

        Args:
            step: The last step to keep; -1 for none at all, as when a run was killed before its first checkpoint.
            phase: Whose steps are counted.
            drop_checkpoints: Remove checkpoints past `step` too; without it they are an error, since after another
                kill the run would go on from one that its logs know nothing of.
        """
        self._must_hold_lock()
        later = [path for path in self.checkpoints() if step_of(path) > step] if phase == "rl" else []
        if later and not drop_checkpoints:
            todo = "go on from the latest one, or remove the later ones"
            raise CheckpointError(f"{self.path} has checkpoints past step {step}, up to {later[-1].name}; {todo}")
        for path in reversed(later):
            remove_folder(path)
        truncate_jsonl(
            self.path / "metrics.jsonl", lambda row: row.get("phase", "rl") != phase or bool(row["step"] <= step)
        )
        if phase != "rl":
            return
        truncate_jsonl(self.path / "evaluations.jsonl", lambda row: bool(row["step"] <= step))
        for entry in _entries(self.path / "rollouts"):
            match = STEP_FILE.fullmatch(entry.name)
            if match and int(match[1]) > step:
                entry.unlink()

    # Checkpoints ------------------------------------------------------------------------------------------------------

    def checkpoint(self, step: int) -> AbstractContextManager[Path]:
        """`with run.checkpoint(20) as folder:` fill it; it becomes checkpoints/step-000020 when the block ends well."""
        self._must_hold_lock()
        return atomic_folder(self.path / "checkpoints" / f"step-{step:06d}")

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        found = [entry for entry in _entries(self.path / "checkpoints") if STEP_FOLDER.fullmatch(entry.name)]
        return sorted((entry for entry in found if entry.is_dir()), key=step_of)

    def latest_checkpoint(self) -> Path | None:
        return next(reversed(self.checkpoints()), None)

    def prune(self, keep: int) -> list[Path]:
        """Remove all but the newest `keep` checkpoints; returns what was removed."""
        self._must_hold_lock()
        if keep < 1:
            raise CheckpointError(f"keep is {keep}; at least 1 checkpoint must stay, or the run could not go on")
        doomed = self.checkpoints()[:-keep]
        for path in doomed:
            remove_folder(path)
        return doomed

    # ------------------------------------------------------------------------------------------------------------------

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        self._must_hold_lock()
        append_jsonl(self.path / name, row)

    def _read(self, name: str) -> list[dict[str, Any]]:
        path = self.path / name
        return read_jsonl(path, tolerate_half_line=True) if path.exists() else []

    def _rollout_file(self, step: int, name: str | None) -> Path:
        if name is not None and not re.fullmatch(r"[\w-]+", name):
            raise DataError(f"{name!r} cannot name a set of rollouts; use letters, digits, _ and -")
        return self.path / "rollouts" / f"step-{step:06d}{f'.{name}' if name else ''}.jsonl"

    def _must_hold_lock(self) -> None:
        if self._lock is None:
            raise CheckpointError(f"{self.path} is open for reading only; RunFolder.create opens it for writing")


def step_of(path: Path) -> int:
    """The step of a checkpoint folder, from its name."""
    match = STEP_FOLDER.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path} is no checkpoint of a run; those are called step-000020")
    return int(match[1])


def check_same_recipe(run: Path, begun: str, given: str, may_change: Sequence[str] = ()) -> None:
    """Raise RecipeError with every field in which the recipe `given` differs from the one a run was `begun` with."""
    faults = changes(_sections(begun, f"{run}/recipe.yaml"), _sections(given, "the recipe given"), may_change)
    if faults:
        raise RecipeError(f"{run}: the recipe for going on (undo the changes or give another folder)", faults)


def _sections(text: str, source: str) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{source} is not YAML: {error}") from error
    return tree if isinstance(tree, dict) else {}


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as JSON has it: NaN and infinity, which JSON lacks, become null and are listed in `not_finite`."""
    flat = {key: plain(value) for key, value in row.items()}
    bad = [key for key, value in flat.items() if isinstance(value, float) and not math.isfinite(value)]
    return {**flat, **dict.fromkeys(bad), **({"not_finite": bad} if bad else {})}


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
