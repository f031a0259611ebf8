"""Placements: where engines and learners run, and how new weights reach the engines; and shards of other work on Ray.

Nothing is imported here: a placement brings in torch, shards do not.
"""

from typing import TYPE_CHECKING

from medrl.lazy import lazy_names

if TYPE_CHECKING:
    from medrl.cluster.learners import LearnerGroup as LearnerGroup
    from medrl.cluster.learners import RayLearners as RayLearners
    from medrl.cluster.local import LocalPlacement as LocalPlacement
    from medrl.cluster.placement import Placement as Placement
    from medrl.cluster.placement import WeightSync as WeightSync

# Public name to the module it lives in.
_HOME = {
    "LearnerGroup": "medrl.cluster.learners",
    "LocalPlacement": "medrl.cluster.local",
    "Placement": "medrl.cluster.placement",
    "RayLearners": "medrl.cluster.learners",
    "WeightSync": "medrl.cluster.placement",
}

__all__ = [*_HOME]


__getattr__ = lazy_names(__name__, _HOME)
