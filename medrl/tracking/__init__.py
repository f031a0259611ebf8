"""What a run leaves behind: its folder, logs and rollouts, what the console shows of it, and its learning curve."""

from medrl.tracking.console import Phase, RunConsole
from medrl.tracking.curve import plot_curve
from medrl.tracking.run import RunFolder, timeless
from medrl.tracking.sinks import TensorBoardTracker, Tracker, WandbTracker, make_trackers
from medrl.tracking.traces import Trace

__all__ = [
    "Phase",
    "RunConsole",
    "RunFolder",
    "TensorBoardTracker",
    "Trace",
    "Tracker",
    "WandbTracker",
    "make_trackers",
    "plot_curve",
    "timeless",
]
