"""TensorBoard and W&B sinks, with the real packages where they are installed."""

import sys
import time
from pathlib import Path

import pytest

from medrl.errors import MissingExtra, PluginError
from medrl.tracking import WandbTracker, make_trackers


def test_tensorboard_files_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tracker,) = make_trackers(["tensorboard"], tmp_path)
    for step in (1, 2, 3):
        tracker.log(
            step, {"reward": step / 2, "kl": None, "accuracy": float("nan"), "part/correct": 0.5, "phase": "rl"}
        )
    tracker.log(1, {"loss": 2.0}, phase="sft")
    tracker.close()
    (resumed,) = make_trackers(["tensorboard"], tmp_path, first_step=3)
    resumed.log(3, {"reward": 9.0})
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars("rl/reward")] == [(1, 0.5), (2, 1.0), (3, 9.0)]
    assert set(events.Tags()["scalars"]) == {"rl/reward", "rl/part/correct", "sft/loss"}


def test_unknown_and_missing_sinks_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match="no tracker 'tensorbord'; did you mean 'tensorboard'"):
        make_trackers(["tensorbord"], tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "wandb")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "editable" not in repr(finder)])
    with pytest.raises(MissingExtra, match=r"medrl\[wandb\]"):
        make_trackers(["wandb"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_wandb_without_an_account_logs_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = WandbTracker(tmp_path, name="x", config={"seed": 1})
    assert tracker.mode == "offline"
    tracker.log(1, {"loss": 2.0}, phase="sft")
    tracker.log(1, {"reward": 0.5, "kl": None})
    tracker.close()
    (stored,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    deadline = time.monotonic() + 10  # W&B's own process may write it some milliseconds after finish() has returned
    while b"rl/reward" not in stored.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert b"rl/reward" in stored.read_bytes() and b"sft/loss" in stored.read_bytes()
    resumed = WandbTracker(tmp_path, name="x", config={"seed": 1})
    logged: list[dict[str, float]] = []
    monkeypatch.setattr(resumed._run, "log", logged.append)
    for step in (1, 2):
        resumed.log(step, {"reward": 0.75})
    resumed.close()
    assert logged == [{"rl/step": 2, "rl/reward": 0.75}], "what a resumed run does again is there already"
