"""How large a cluster must be, before there is one: memory, a simulation of the training loop, and the best split.

Needs neither torch nor Ray. What it rests on, and what is assumed, is in docs/scaling.md.
"""

from medrl.sizing.loop import Simulated, simulate
from medrl.sizing.machines import MACHINES, Achieved, Machine, machine_of
from medrl.sizing.memory import Room, Training, cache_tokens, learner_room, zero_bytes
from medrl.sizing.plan import DoesNotFit, Plan, Site, Split, best_split, predict, rates_of, splits
from medrl.sizing.rates import EngineRates, LearnerRates, Rates, engine_rates, learner_rates, sync_seconds
from medrl.sizing.shapes import SHAPES, Shape, shape_of
from medrl.sizing.workload import Lengths, Workload

__all__ = [
    "MACHINES",
    "SHAPES",
    "Achieved",
    "DoesNotFit",
    "EngineRates",
    "LearnerRates",
    "Lengths",
    "Machine",
    "Plan",
    "Rates",
    "Room",
    "Shape",
    "Simulated",
    "Site",
    "Split",
    "Training",
    "Workload",
    "best_split",
    "cache_tokens",
    "engine_rates",
    "learner_rates",
    "learner_room",
    "machine_of",
    "predict",
    "rates_of",
    "shape_of",
    "simulate",
    "splits",
    "sync_seconds",
    "zero_bytes",
]
