"""The learning curve is a picture of the logs, whatever they hold."""

import math
from pathlib import Path

import pytest

from medrl.errors import DataError
from medrl.tracking import RunFolder, plot_curve
from medrl.tracking.curve import moving_mean

pytest.importorskip("matplotlib")


def a_run(path: Path, rewards: list[float | None]) -> Path:
    with RunFolder.create(path, "name: x\n") as run:
        for step, reward in enumerate(rewards, start=1):
            run.log_metrics(step, {"reward": reward, "length": 500.0 + step, "kl": 0.001 * step})
        for step in (0, 20, 40):
            row = {"accuracy": 0.3 + step / 100, "format": 0.9, "length": 500.0}
            for name in ("held_out", "other_set"):
                run.log_evaluation(step, name, row | ({"accuracy_stderr": 0.02} if name == "held_out" else {}))
    return path


def size(picture: Path) -> tuple[int, int]:
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_a_curve_is_drawn_again_the_same(tmp_path: Path, scale: float) -> None:
    rewards = [None if step == 7 else scale * step / 40 for step in range(40)]
    run = a_run(tmp_path / "x", rewards)
    picture = plot_curve(run)
    assert picture == run / "curve.png" and size(picture) == (1080, 840)
    assert plot_curve(RunFolder(run), tmp_path / "again.png").read_bytes() == picture.read_bytes()


def test_few_numbers_are_enough_and_none_is_an_error(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "x", "name: x\n") as run:
        with pytest.raises(DataError, match="no curve to draw"):
            plot_curve(run)
        run.log_evaluation(0, "held_out", {"accuracy": 0.5})
        assert size(plot_curve(run))
        run.log_metrics(1, {"reward": None})
        assert size(plot_curve(run))


def test_moving_mean_leaves_out_what_has_no_number() -> None:
    assert moving_mean([1.0, 3.0, math.nan, 5.0], 2) == [1.0, 2.0, 3.0, 5.0]
    assert math.isnan(moving_mean([math.nan], 5)[0])
