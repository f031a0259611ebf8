"""Work in stages that is never done twice: each fills a folder of its own, and a killed run goes on with the same call.

    stages = Stages("runs/mine")
    data = stages.do(Stage("data", write_rows, {"rows": 2000, "seed": 0}))
    stages.do(Stage("sft", fine_tune, {"lr": 4e-3, "seed": 0}, after=("data",)))

or `stages.do_all([...], workers=2)`, which does each in a process of its own as soon as those before it are done. In the
folder of a stage, beside what its work writes, stand

    made_of.json   written first: the settings that the result depends on, and a fingerprint of each stage before it
    done.json      written last: when the work began, and what it took

A stage with both is skipped. One without `done.json` was killed: its work is called again with the folder as it is. A
stage whose folder is gone is done again. A stage that was begun with other settings, or after a stage that was, is refused,
and so is one that was begun before a stage that it reads was made again: its folder is to be removed too. `do` refuses the
stage that it is given; `check`, with which `do_all` begins, all of its stages before anything is done. One that failed and
left nothing may be begun with other settings. The code of the work is not among the settings: who changes what a stage
computes removes its folder and those of the stages after it, or puts a number into `made_of` and raises it.
"""

import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from graphlib import CycleError, TopologicalSorter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from medrl.errors import DataError, FolderTaken, MedrlError, StageFailed
from medrl.files import clean_leftovers, json_line, write_atomic
from medrl.tracking.changes import changes
from medrl.tracking.lock import RunLock
from medrl.verifiers.worker import end_with_parent

MADE_OF, DONE = "made_of.json", "done.json"
PAUSE = 0.1  # seconds between two looks at the processes
TOLD = 5  # changed settings that a refusal names
LAG = 0.1  # seconds by which the time of a file may be behind the clock


@dataclass(frozen=True)
class Stage:
    """One piece of work."""

    name: str
    """Its folder below the root; may have parts, `seed0/sft`."""

    work: Callable[[Path], object]
    """Fills the folder that it is given. After a kill that folder holds what it left: it goes on there, or begins anew."""

    made_of: Mapping[str, Any] = field(default_factory=dict)
    """All settings that the result depends on, as JSON: sizes, recipes, seeds. No paths: a root may be moved."""

    after: tuple[str, ...] = ()
    """Names of the stages whose results it reads."""

    def __post_init__(self) -> None:
        path = Path(self.name)
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise DataError(f"a stage is called {self.name!r}; its name is a folder below the root, such as seed0/sft")
        if "after" in self.made_of:
            raise DataError(
                f"made_of of {self.name} has a key `after`, where {MADE_OF} tells of other stages; rename it"
            )


@dataclass(frozen=True)
class Mark:
    """What a finished stage took."""

    began: float
    """When its last start was, in seconds since 1970."""

    seconds: float
    """By the clock, since then."""

    cpu_seconds: float
    """Of processor time, of the process that did it."""

    resumed: bool = False
    """Whether an earlier start had been killed or had failed; what that one took is not known, and in no figure."""

    @property
    def end(self) -> float:
        return self.began + self.seconds


class Stages:
    """The stages below one folder.

    Args:
        root: Where their folders are.
        tell: What takes a line when a stage begins and when it is done; by default `print`.

    Attributes:
        marks: Of every stage that was asked for and is done, by name.
    """

    def __init__(self, root: str | os.PathLike[str], tell: Callable[[str], None] | None = None) -> None:
        self.root, self.tell = Path(root), tell or partial(print, flush=True)
        self.marks: dict[str, Mark] = {}

    def do(self, stage: Stage) -> Path:
        """The folder of a stage, which is done first, in this process, if it is not done.

        Raises:
            FolderTaken: It was begun with other settings or before a stage that it reads, or its folder is not of a stage.
            CheckpointError: Another process is doing it.
            DataError: A stage before it is not done.
        """
        folder = self.root / stage.name
        waits = [name for name in stage.after if self.mark(name) is None]
        if waits:
            raise DataError(f"{folder} comes after {', '.join(waits)}, which is not done in {self.root}; do it first")
        settings = _settings(stage, {name: fingerprint(self._read(name, MADE_OF)) for name in stage.after})
        self._refuse_others(stage.name, settings)
        if older := self._older(stage, ()):
            self._refuse_older({stage.name: older})
        mark = self.mark(stage.name)
        if mark is None:
            folder.mkdir(parents=True, exist_ok=True)
            lock = RunLock(folder)
            try:
                clean_leftovers(folder, alive=True)
                self._refuse_others(stage.name, settings)
                mark = self.mark(stage.name) or self._worked(stage, folder, settings)  # done by another just now?
            finally:
                lock.release()
        self.marks[stage.name] = mark
        return folder

    def do_all(self, stages: Sequence[Stage], workers: int = 1) -> None:
        """Every stage that is not done, in processes of their own, at most so many at a time, the first listed first.

        The processes are forked: import what they need before, and compute nothing (torch's threads do not survive a
        fork). They end with this one, however it ends. Where one fails the others that run are waited for.

        Raises:
            FolderTaken: One of them was begun with other settings, or before a stage that it reads; nothing was done.
            DataError: They wait for each other, or for a stage that is neither among them nor done.
            StageFailed: The work of at least one failed.
        """
        if workers < 1:
            raise DataError(f"workers is {workers}; at least one is needed to do anything")
        self.check(stages)
        todo = {stage.name: stage for stage in stages if self.mark(stage.name) is None}
        running: dict[str, BaseProcess] = {}
        failed: list[str] = []
        try:
            while running or (todo and not failed):
                for stage in [one for one in todo.values() if all(map(self.mark, one.after))]:
                    if len(running) < workers and not failed:
                        running[stage.name] = _started(self, todo.pop(stage.name))
                for name, process in list(running.items()):
                    if process.exitcode is not None:
                        del running[name]
                        failed += [f"{name} (exit {process.exitcode})"] if self.mark(name) is None else []
                time.sleep(PAUSE)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.join()
        self.marks |= {stage.name: mark for stage in stages if (mark := self.mark(stage.name)) is not None}
        if failed:
            raise StageFailed(f"failed in {self.root}: {', '.join(failed)}; mend it, and the same call goes on")

    def check(self, stages: Sequence[Stage]) -> None:
        """Whether every one of these that was begun was begun with these settings, and after the stages that it reads.

        Raises:
            FolderTaken: One was not. All are named that were begun too early.
            DataError: They wait for each other, or for a stage that is neither among them nor done.
        """
        known = {stage.name: stage for stage in stages}
        if len(known) < len(stages):
            raise DataError(f"two stages have one name among {', '.join(stage.name for stage in stages)}")
        try:
            order = list(TopologicalSorter({stage.name: stage.after for stage in known.values()}).static_order())
        except CycleError as error:
            raise DataError(f"stages wait for each other: {' > '.join(error.args[1])}") from error
        prints: dict[str, str] = {}
        too_early: dict[str, str] = {}
        for name in order:
            settings: Mapping[str, Any] = {}
            if name in known:
                settings = _settings(known[name], {one: prints[one] for one in known[name].after})
                self._refuse_others(name, settings)
                if older := self._older(known[name], too_early):
                    too_early[name] = older
            elif self.mark(name) is None:
                raise DataError(f"there is no stage {name!r}, after which others come; known: {', '.join(known)}")
            # Settings may be equal and written in two ways, 1 and 1.0; those after it hold that of the file.
            begun = (self.root / name / MADE_OF).is_file()
            prints[name] = fingerprint(self._read(name, MADE_OF) if begun else settings)
        if too_early:
            self._refuse_older(too_early)

    def mark(self, name: str) -> Mark | None:
        """The mark of a stage that is done; None for any other."""
        if not all((self.root / name / one).is_file() for one in (MADE_OF, DONE)):
            return None
        found = self._read(name, DONE)
        try:
            return Mark(**found)
        except TypeError as error:
            path = self.root / name / DONE
            raise DataError(f"{path} is no mark ({error}); remove the folder, and the stage is done again") from error

    def _worked(self, stage: Stage, folder: Path, settings: Mapping[str, Any]) -> Mark:
        goes_on = (folder / MADE_OF).is_file()
        if not goes_on:  # else it stays: its time is that of the first start
            write_atomic(folder / MADE_OF, json.dumps(settings, ensure_ascii=False, indent=1) + "\n")
        self.tell(f"# {stage.name}: {'goes on' if goes_on else 'begins'}")
        began, clock, cpu = time.time(), time.perf_counter(), time.process_time()
        try:
            stage.work(folder)
        except BaseException:
            if _content(folder) == [MADE_OF]:  # a faulty recipe, say: nothing was made, so other settings may come
                (folder / MADE_OF).unlink()
            raise
        mark = Mark(began, time.perf_counter() - clock, time.process_time() - cpu, goes_on)
        write_atomic(folder / DONE, json.dumps(asdict(mark)) + "\n")
        since = ", since its last start" if mark.resumed else ""
        self.tell(f"# {stage.name}: done in {mark.seconds:.0f} s, {mark.cpu_seconds:.0f} s of processor time{since}")
        return mark

    def _refuse_others(self, name: str, settings: Mapping[str, Any]) -> None:
        folder = self.root / name
        if not (folder / MADE_OF).is_file():
            if found := _content(folder):
                raise FolderTaken(
                    f"{folder} holds {found[0]} and no {MADE_OF}, so it is no stage; remove it or give another folder"
                )
            return
        if changed := changes(self._read(name, MADE_OF), settings):
            told = "; ".join(changed[:TOLD]) + (f"; and {len(changed) - TOLD} more" if len(changed) > TOLD else "")
            raise FolderTaken(f"{folder} was made with other knobs ({told}); remove it, or give another folder")

    def _older(self, stage: Stage, too_early: Container[str]) -> str | None:
        """A stage that this one reads, and that was made, or is to be made, after this one was."""
        begun = self.root / stage.name / MADE_OF
        if not begun.is_file():
            return None
        mark = self.mark(stage.name)
        until = begun.stat().st_mtime + LAG  # of the first start; a copy of the folder may be younger than its work
        if mark is not None:
            until = min(until, mark.end)
        for name in stage.after:
            before = self.mark(name)
            if before is None or name in too_early or before.began > until:
                return name
        return None

    def _refuse_older(self, found: Mapping[str, str]) -> None:
        told = "; ".join(f"{name} was made of an earlier {before}" for name, before in found.items())
        raise FolderTaken(f"{self.root}: {told}; remove {', '.join(found)} too, and the same call makes them again")

    def _read(self, name: str, file: str) -> dict[str, Any]:
        path = self.root / name / file
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is not JSON ({error}); remove the folder, and the stage is done again") from error
        if not isinstance(found, dict):
            raise DataError(f"{path} holds no JSON object; remove the folder, and the stage is done again")
        return found


def _content(folder: Path) -> list[str]:
    """What stands in a folder, but for hidden files: our lock, and what a killed writer left."""
    return sorted(one.name for one in folder.iterdir() if not one.name.startswith(".")) if folder.exists() else []


def minutes(marks: Iterable[Mark]) -> float:
    """By the clock: when at least one of these stages ran. Where one was resumed, it is at least so much."""
    total, until = 0.0, 0.0
    for mark in sorted(marks, key=lambda one: one.began):
        total, until = total + max(0.0, mark.end - max(until, mark.began)), max(until, mark.end)
    return total / 60


def fingerprint(settings: Mapping[str, Any]) -> str:
    """The same for equal settings, in any order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _settings(stage: Stage, before: Mapping[str, str]) -> dict[str, Any]:
    """What stands in made_of.json: as JSON has it, so that it compares equal when it is read back."""
    found: dict[str, Any] = json.loads(json_line({**stage.made_of, **({"after": dict(before)} if before else {})}))
    return found


def _started(stages: Stages, stage: Stage) -> BaseProcess:
    work = partial(_in_process, stages, stage, os.getpid())
    process = multiprocessing.get_context("fork").Process(target=work, name=stage.name)
    process.start()
    return process


def _in_process(stages: Stages, stage: Stage, parent: int) -> None:
    end_with_parent()
    if os.getppid() != parent:  # it ended before we could ask to end with it
        os._exit(1)
    try:
        stages.do(stage)
    except MedrlError as error:
        print(f"error: {stage.name}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
