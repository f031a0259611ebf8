"""Whether a cluster has what a recipe's actors ask for. Ray itself would wait for more machines without an end."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.cluster.ray_start import ray_cluster
from medrl.cluster.settings import ClusterSettings
from medrl.errors import ClusterUnavailable

ROUNDING = 1e-6  # of fractions of a CPU or GPU


@dataclass(frozen=True)
class Asked:
    """Actors of one kind.

    Attributes:
        what: For people.
        count: How many.
        needs: What Ray sets aside for each, CPU and GPU.
    """

    what: str
    count: int
    needs: Mapping[str, float]

    def room(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many of them alone fit on these nodes; each needs all that it asks for on one of them."""
        return sum(
            min((int((node.get(kind, 0.0) + ROUNDING) / need) for kind, need in self.needs.items()), default=self.count)
            for node in nodes
        )

    def __str__(self) -> str:
        each = " and ".join(f"{need:g} {kind}s" for kind, need in self.needs.items())
        return f"{self.count} {self.what} with {each or 'nothing'} each"


def asked(settings: ClusterSettings, *, sft_only: bool = False) -> list[Asked]:
    """What a run keeps for itself, all of it at the same time; `sft_only`: ranks alone, of a run that samples nothing."""
    return [one for one in _kinds(settings, sft_only) if one.count]


def total(actors: Sequence[Asked], kind: str) -> float:
    """How many CPUs or GPUs (`kind` as Ray names it) all of them take."""
    return sum(one.count * one.needs.get(kind, 0.0) for one in actors)


def _kinds(settings: ClusterSettings, sft_only: bool) -> Iterator[Asked]:
    engines, ranks, rewards = settings.engines, settings.learners, settings.rewards
    if sft_only:
        yield Asked("ranks", ranks.ranks, _needs(ranks.cpus, ranks.gpus))
        return
    if settings.colocate:
        yield Asked("pairs of engine and rank", ranks.ranks, _needs(engines.cpus + ranks.cpus, ranks.gpus))
    else:
        yield Asked("engines", engines.engines, _needs(engines.cpus, engines.gpus))
        yield Asked("ranks", ranks.ranks, _needs(ranks.cpus, ranks.gpus))
    yield Asked("reward actors", rewards.actors, _needs(rewards.cpus, rewards.gpus))


def _needs(cpus: float, gpus: float) -> dict[str, float]:
    return {kind: float(need) for kind, need in (("CPU", cpus), ("GPU", gpus)) if need}


def check_room(nodes: Sequence[Mapping[str, float]], settings: ClusterSettings, *, sft_only: bool = False) -> None:
    """See that nodes with these resources, whoever uses them now, have room for all actors; see `asked`.

    Raises:
        ClusterUnavailable: They do not; what is asked for and what is there are both told.
    """
    actors = asked(settings, sft_only=sft_only)
    faults = [f"{one} are asked for, and its nodes have room for {room}" for one in actors
              if (room := one.room(nodes)) < one.count]  # fmt: skip
    for kind in ("CPU", "GPU"):
        wanted = total(actors, kind)
        there = sum(node.get(kind, 0.0) for node in nodes)
        if wanted > there + ROUNDING:
            faults.append(f"all actors together ask for {wanted:g} {kind}s, and it has {there:g}")
    if faults:
        sizes = ", ".join(f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs" for node in nodes[:8])
        more = f" and {len(nodes) - 8} more" if len(nodes) > 8 else ""
        raise ClusterUnavailable(
            f"the cluster has too little for this recipe: {'; '.join(faults)}. Its nodes: {sizes or 'none'}{more}. Take "
            "fewer engines, ranks or reward actors (or less for each), or wait until all machines have joined"
        )


def check_cluster(settings: ClusterSettings, *, sft_only: bool = False) -> None:
    """Ask a cluster that runs whether it has room, before anything else is done; one that is yet to be started has none to
    ask. See `asked`.

    Raises:
        ClusterUnavailable: It cannot be reached, or has too little.
    """
    if settings.address or os.environ.get("RAY_ADDRESS"):
        with ray_cluster(settings.address) as ray:
            check_room(resources(ray), settings, sft_only=sft_only)


def resources(ray: Any) -> list[dict[str, float]]:
    """What Ray may give out on each living node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
