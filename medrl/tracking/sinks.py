"""Where metrics go besides metrics.jsonl: TensorBoard and Weights & Biases, extras that are imported when asked for."""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from medrl.errors import PluginError, did_you_mean, need
from medrl.files import write_atomic


class Tracker(Protocol):
    """Takes the numbers of one step."""

    def log(self, step: int, metrics: Mapping[str, Any], *, phase: str = "rl") -> None:
        """Record a row; what is no finite number in it (None, text) is left out."""
        ...

    def close(self) -> None: ...


class TensorBoardTracker:
    """Writes event files that `tensorboard --logdir FOLDER` shows. Needs the package tensorboard alone, not torch.

    Args:
        folder: Where the event files go.
        first_step: The next step of a resumed run: what older event files hold from there on is hidden.
    """

    def __init__(self, folder: Path, *, first_step: int = 0) -> None:
        self._summary = need("tensorboard.compat.proto.summary_pb2", "tensorboard").Summary
        event = need("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._event = event.Event
        files = need("tensorboard.summary.writer.event_file_writer", "tensorboard")
        self._writer = files.EventFileWriter(str(folder))
        if first_step > 0:
            start = event.SessionLog(status=event.SessionLog.START)
            self._writer.add_event(self._event(step=first_step, wall_time=time.time(), session_log=start))

    def log(self, step: int, metrics: Mapping[str, Any], *, phase: str = "rl") -> None:
        values = [
            self._summary.Value(tag=f"{phase}/{name}", simple_value=value) for name, value in _finite(metrics).items()
        ]
        self._writer.add_event(self._event(step=step, wall_time=time.time(), summary=self._summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandbTracker:
    """Logs to Weights & Biases; without an account or a network it logs to the disk (`wandb sync` sends it later).

    Args:
        folder: The run folder; the W&B files and the id by which a resumed run goes on there are kept in it.
        name: The run's name there.
        config: The resolved recipe.
        project: The project there.
    """

    def __init__(
        self, folder: Path, *, name: str | None = None, config: Mapping[str, Any] | None = None, project: str = "medrl"
    ) -> None:
        self._wandb = need("wandb", "wandb")
        self._phases: set[str] = set()
        self._sent_file = folder / "wandb" / "sent.json"  # the last step sent, by phase
        id_file = folder / "wandb" / "id"
        id_file.parent.mkdir(parents=True, exist_ok=True)
        if not id_file.exists():
            id_file.write_text(os.urandom(8).hex())
        settings = {
            "project": os.environ.get("WANDB_PROJECT") or project,
            "name": name,
            "config": dict(config or {}),
            "dir": str(folder),
            "id": id_file.read_text(),
        }
        known = self._sent_file.exists()
        self._sent: dict[str, int] = json.loads(self._sent_file.read_text()) if known else {}
        self.mode = os.environ.get("WANDB_MODE") or ("online" if self._wandb.login(prompt=False) else "offline")
        try:
            resume = "allow" if self.mode == "online" else None  # what is offline cannot be resumed, only added to
            self._run = self._wandb.init(**settings, mode=self.mode, resume=resume)
        except (self._wandb.errors.CommError, self._wandb.errors.UsageError) as error:
            todo = "the run is logged on the disk; send it later with: wandb sync"
            print(f"W&B cannot be reached ({error}); {todo} {folder}/wandb/offline-run-*", file=sys.stderr)
            self.mode = "offline"
            self._run = self._wandb.init(**settings, mode="offline")

    def log(self, step: int, metrics: Mapping[str, Any], *, phase: str = "rl") -> None:
        if step <= self._sent.get(phase, -1):  # a resumed run does it again, and nothing can be cut back there
            return
        # Each phase counts its own steps, which W&B's one ascending counter would drop.
        if phase not in self._phases:
            self._phases.add(phase)
            self._run.define_metric(f"{phase}/step")
            self._run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")
        self._run.log({f"{phase}/step": step, **{f"{phase}/{name}": v for name, v in _finite(metrics).items()}})
        self._sent[phase] = step
        write_atomic(self._sent_file, json.dumps(self._sent))

    def close(self) -> None:
        self._run.finish()


SINKS = ("tensorboard", "wandb")


def make_trackers(
    names: Sequence[str],
    folder: Path,
    *,
    run_name: str | None = None,
    config: Mapping[str, Any] | None = None,
    first_step: int = 0,
) -> list[Tracker]:
    """The trackers that a recipe names. Every fault is found before the first one starts.

    Raises:
        PluginError: An unknown name.
        MissingExtra: Its package is not installed.
    """
    for name in names:
        if name not in SINKS:
            raise PluginError(f"there is no tracker {name!r}{did_you_mean(name, SINKS)}")
        need(name, name)
    trackers: list[Tracker] = []
    for name in dict.fromkeys(names):
        if name == "tensorboard":
            trackers.append(TensorBoardTracker(folder / "tensorboard", first_step=first_step))
        else:
            trackers.append(WandbTracker(folder, name=run_name, config=config))
    return trackers


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {}
    for name, value in metrics.items():
        if name in ("step", "phase") or value is None or isinstance(value, str | list | tuple | Mapping):
            continue
        if math.isfinite(number := float(value)):
            numbers[name] = number
    return numbers
