"""Where engines and ranks sit: wherever Ray likes, or (`cluster.colocate`) engine n and rank n on one GPU.

Then a placement group of Ray has a bundle for each such pair. Ray's fractions are book-keeping, no bounds: half a GPU for
each makes two actors fit into a bundle of one, and Ray shows both of them that GPU alone. How they divide its memory is
theirs: engines sleep while the learner computes (`turns.py`). A tensor-parallel engine would need the GPUs of several
bundles, which Ray gives to no single actor, so it is refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from medrl.cluster.fleet import FleetSettings
from medrl.cluster.settings import ClusterSettings
from medrl.engines.vllm_settings import EngineSettings
from medrl.errors import ClusterUnavailable, need

SHARE = 0.5  # of a GPU, for either of the two


@dataclass(frozen=True)
class Seats:
    """What engines and ranks are started with.

    Attributes:
        fleet: What Ray sets aside for each engine.
        engine: Knobs of each engine.
        of_engines: More for `RayEngines`.
        of_ranks: More for `RayLearners`.
    """

    fleet: FleetSettings
    engine: EngineSettings
    of_engines: Mapping[str, Any] = field(default_factory=dict)
    of_ranks: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def seats(settings: ClusterSettings) -> Iterator[Seats]:
    """Where the recipe wants them; what is reserved is given back with the block.

    Raises:
        ClusterUnavailable: The cluster has no room for all pairs within `engines.start_timeout`.
    """
    if not settings.colocate:
        yield Seats(settings.engines, settings.engine)
        return
    fleet, learners = settings.engines, settings.learners
    util: Any = need("ray.util", "ray")
    strategy: Any = need("ray.util.scheduling_strategies", "ray").PlacementGroupSchedulingStrategy
    pair = {"CPU": fleet.cpus + learners.cpus, "GPU": float(learners.gpus)}
    bundle = {name: count for name, count in pair.items() if count}
    group = util.placement_group([bundle] * learners.ranks, strategy="PACK")  # few machines are filled
    try:
        if not group.wait(fleet.start_timeout):
            there = need("ray", "ray").cluster_resources()
            raise ClusterUnavailable(
                f"within {fleet.start_timeout:g} s the cluster had no room for {learners.ranks} pairs of an engine and a "
                f"rank, each with {learners.gpus} GPUs and {pair['CPU']:g} CPUs of one machine; in all it has "
                f"{there.get('GPU', 0):g} GPUs and {there.get('CPU', 0):g} CPUs. Take fewer of both, or wait for others"
            )
        places, gpus = [strategy(group, index) for index in range(learners.ranks)], SHARE * learners.gpus
        yield Seats(
            replace(fleet, gpus=gpus),
            replace(settings.engine, sleep_mode=True),
            {"strategies": places},
            {"options": lambda rank: {"scheduling_strategy": places[rank], "num_gpus": gpus}},
        )
    finally:
        util.remove_placement_group(group)
