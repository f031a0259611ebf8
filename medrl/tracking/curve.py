"""The learning curve of a run as a picture: reward and held-out accuracy, response length, KL to the reference."""

import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medrl.errors import DataError, need
from medrl.files import write_atomic
from medrl.tracking.run import RunFolder

# Okabe and Ito (2008), told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
SET_COLOURS = (ORANGE, PURPLE, "#E69F00", "#56B4E9")
SET_MARKS = ("o", "s", "^", "D")


def plot_curve(run: RunFolder | str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Draw metrics.jsonl and evaluations.jsonl to a PNG, by default curve.png of the run; returns where it is.

    Raises:
        DataError: The run has nothing to draw yet.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    metrics, evaluations = folder.read_metrics("rl"), folder.read_evaluations()
    if not metrics and not evaluations:
        raise DataError(f"{folder.path} has neither RL steps nor evaluations yet, so there is no curve to draw")
    need("matplotlib", "plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, height_ratios=(2, 1))
    main, length, kl = (figure.add_subplot(grid[place]) for place in ((0, slice(None)), (1, 0), (1, 1)))
    _draw_main(main, metrics, evaluations)
    _draw_small(length, metrics, "length", "response length (tokens)", evaluations)
    _draw_small(kl, metrics, "kl", "KL to the reference", ())
    figure.suptitle(folder.path.name, fontsize=11)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    target = Path(path) if path is not None else folder.curve
    write_atomic(target, picture.getvalue())
    return target


def moving_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of the last `window` values at each place; what is NaN is left out of it."""
    means = []
    for end in range(1, len(values) + 1):
        known = [value for value in values[max(0, end - window) : end] if not math.isnan(value)]
        means.append(sum(known) / len(known) if known else math.nan)
    return means


def window_for(count: int) -> int:
    """A twentieth of the steps, at least 5 and at most 50."""
    return max(5, min(50, round(count / 20)))


def _draw_main(axes: Any, metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]) -> None:
    steps, rewards = _series(metrics, "reward")
    known = [reward for reward in rewards if not math.isnan(reward)]
    shares_fit = all(-0.02 <= reward <= 1.02 for reward in known)  # then reward and shares can have one axis
    if known:
        _draw_thin_and_mean(axes, steps, rewards, BLUE, "training reward")
    shares = axes if shares_fit else axes.twinx()
    names = dict.fromkeys(str(row.get("name", "held_out")) for row in evaluations)
    for name, colour, mark in zip(names, _cycle(SET_COLOURS, len(names)), _cycle(SET_MARKS, len(names)), strict=True):
        rows = [row for row in evaluations if str(row.get("name", "held_out")) == name]
        said = name.replace("_", "-")
        _draw_points(shares, rows, "accuracy", dict(color=colour, marker=mark, label=f"{said} accuracy"))
        _draw_points(
            shares, rows, "format", dict(color=GREEN, marker=mark, ls="--", lw=1, ms=4, label=f"{said} format kept")
        )
    axes.set_xlabel("RL step")
    if shares is not axes:
        axes.set_ylabel("reward")
        shares.set_ylabel("share")
        shares.set_ylim(-0.02, 1.02)
    else:
        axes.set_ylabel("reward, share" if known else "share")
        axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    parts = [one.get_legend_handles_labels() for one in dict.fromkeys((axes, shares))]
    handles, labels = ([item for part in parts for item in part[place]] for place in (0, 1))
    if handles:
        # Above the panel: inside, "best" would not see the lines of the other axis.
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, frameon=False)


def _draw_points(axes: Any, rows: Sequence[Mapping[str, Any]], key: str, style: Mapping[str, Any]) -> None:
    rows = [row for row in rows if row.get(key) is not None]
    if not rows:
        return
    errors = [row.get(f"{key}_stderr") or 0.0 for row in rows]
    style = {"lw": 1.5, "ms": 6, **style}
    if any(errors):
        style["label"] += " (bars: standard error)"
    steps, values = _series(rows, key)
    axes.errorbar(steps, values, yerr=errors if any(errors) else None, capsize=3, **style)


def _draw_small(
    axes: Any, metrics: Sequence[Mapping[str, Any]], key: str, label: str, evaluations: Sequence[Mapping[str, Any]]
) -> None:
    steps, values = _series(metrics, key)
    axes.set_xlabel("RL step")
    axes.set_ylabel(label, fontsize=9)
    axes.grid(alpha=0.3)
    if any(not math.isnan(value) for value in values):
        _draw_thin_and_mean(axes, steps, values, BLUE, "training")
        axes.set_ylim(bottom=min(0.0, *(value for value in values if not math.isnan(value))))
    else:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", color=GREY, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
    first_set = evaluations[0].get("name") if evaluations else None
    _draw_points(
        axes,
        [row for row in evaluations if row.get("name") == first_set],
        key,
        dict(color=ORANGE, marker="o", ms=4, lw=1, label=str(first_set).replace("_", "-")),
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=8, framealpha=0.9)


def _draw_thin_and_mean(axes: Any, steps: Sequence[int], values: Sequence[float], colour: str, label: str) -> None:
    window = window_for(len(values))
    smooth = len(values) > 2 * window
    axes.plot(steps, values, color=colour, lw=0.7, alpha=0.45 if smooth else 1.0, label=label)
    if smooth:
        axes.plot(steps, moving_mean(values, window), color=colour, lw=2, label=f"{label}, mean of the last {window}")


def _series(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values; NaN, a gap in the line, where a row has no number."""
    values = [row.get(key) for row in rows]
    return [row["step"] for row in rows], [math.nan if value is None else float(value) for value in values]


def _cycle(items: Sequence[str], count: int) -> list[str]:
    return [items[index % len(items)] for index in range(count)]
