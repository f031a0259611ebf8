"""Engine n and rank n on one GPU (`cluster.colocate`): a placement group of Ray with a bundle for each such pair.

Ray's fractions are book-keeping, no bounds: half a GPU for each makes two actors fit into a bundle of one, and Ray shows both
of them that GPU alone. How they divide its memory is theirs: engines sleep while the learner computes (`turns.py`). A
tensor-parallel engine would need the GPUs of several bundles, which Ray gives to no single actor, so it is refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from medrl.cluster.settings import ClusterSettings
from medrl.errors import ClusterUnavailable, need

SHARE = 0.5  # of a GPU, for either of the two


@dataclass(frozen=True)
class Pairs:
    """Where engines and ranks go.

    Attributes:
        strategies: Ray's scheduling strategy of each pair.
        gpus: What either of a pair asks for.
    """

    strategies: tuple[Any, ...]
    gpus: float

    def options_of_rank(self, rank: int) -> Mapping[str, Any]:
        """Options of Ray for the actor of a rank."""
        return {"scheduling_strategy": self.strategies[rank], "num_gpus": self.gpus}


@contextmanager
def reserved_pairs(settings: ClusterSettings) -> Iterator[Pairs]:
    """Room for every pair on the cluster, given back with the block. Few nodes are filled rather than many begun.

    Raises:
        ClusterUnavailable: The cluster does not have it within `engines.start_timeout`.
    """
    engines, learners = settings.engines, settings.learners
    util: Any = need("ray.util", "ray")
    strategy: Any = need("ray.util.scheduling_strategies", "ray").PlacementGroupSchedulingStrategy
    bundle = {"CPU": engines.cpus + learners.cpus, "GPU": float(learners.gpus)}
    bundles = [{name: count for name, count in bundle.items() if count}] * learners.ranks
    group = util.placement_group(bundles, strategy="PACK")
    try:
        if not group.wait(engines.start_timeout):
            there = need("ray", "ray").cluster_resources()
            raise ClusterUnavailable(
                f"within {engines.start_timeout:g} s the cluster had no room for {learners.ranks} pairs of an engine and a "
                f"rank, each with {learners.gpus} GPUs and {bundle['CPU']:g} CPUs of one machine; in all it has "
                f"{there.get('GPU', 0):g} GPUs and {there.get('CPU', 0):g} CPUs. Take fewer of both, or wait for others"
            )
        yield Pairs(tuple(strategy(group, index) for index in range(learners.ranks)), SHARE * learners.gpus)
    finally:
        util.remove_placement_group(group)
