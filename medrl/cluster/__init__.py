"""Placements: where engines and learners run, and how new weights reach the engines."""

from medrl.cluster.learners import LearnerGroup, RayLearners
from medrl.cluster.local import LocalPlacement
from medrl.cluster.placement import Placement, WeightSync

__all__ = ["LearnerGroup", "LocalPlacement", "Placement", "RayLearners", "WeightSync"]
