"""Placements: where engines and learners run, and how new weights reach the engines."""

from medrl.cluster.local import LocalPlacement
from medrl.cluster.placement import Placement, WeightSync

__all__ = ["LocalPlacement", "Placement", "WeightSync"]
