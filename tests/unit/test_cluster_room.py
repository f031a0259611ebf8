"""Whether a cluster has room for a recipe's actors, from what its nodes have."""

from typing import Any

import pytest

from medrl.cluster.fleet import FleetSettings, RewardFleet
from medrl.cluster.learners import LearnerGroup
from medrl.cluster.room import check_room
from medrl.cluster.settings import ClusterSettings
from medrl.engines.vllm_settings import EngineSettings
from medrl.errors import ClusterUnavailable

EIGHT = {"CPU": 64.0, "GPU": 8.0}


def settings(engines: int, parts: int, ranks: int, **more: Any) -> ClusterSettings:
    return ClusterSettings(
        engines=FleetSettings(engines, cpus=8, gpus=parts), engine=EngineSettings(tensor_parallel=parts),
        learners=LearnerGroup(ranks, cpus=4, gpus=1), **more,
    )  # fmt: skip


def test_what_fits_is_let_pass() -> None:
    check_room([EIGHT] * 4, settings(4, 4, 16))
    check_room([EIGHT], settings(5, 1, 5, colocate=True))
    check_room([{"CPU": 3.0}], ClusterSettings(rewards=RewardFleet(2, cpus=0.5)))
    check_room([{"CPU": 1.0}], ClusterSettings(engines=FleetSettings(cpus=0.0), learners=LearnerGroup()))


def test_sft_alone_asks_for_its_ranks_and_for_nothing_else() -> None:
    apart, shared = settings(8, 1, 8, rewards=RewardFleet(1, gpus=1)), settings(8, 1, 8, colocate=True)
    for run in (apart, shared):
        check_room([{"CPU": 32.0, "GPU": 8.0}], run, sft_only=True)
        with pytest.raises(ClusterUnavailable, match="too little"):
            check_room([{"CPU": 32.0, "GPU": 8.0}], run)
        with pytest.raises(ClusterUnavailable, match=r"8 ranks with 4 CPUs and 1 GPUs each .* room for 7"):
            check_room([{"CPU": 64.0, "GPU": 7.0}], run, sft_only=True)


@pytest.mark.parametrize(
    ("nodes", "asked", "said"),
    [
        ([EIGHT] * 4, settings(4, 4, 17), "all actors together ask for 33 GPUs, and it has 32"),
        ([{"CPU": 64.0, "GPU": 3.0}] * 8, settings(2, 4, 1), "2 engines with 8 CPUs and 4 GPUs each .* have room for 0"),
        ([EIGHT, {"CPU": 4.0, "GPU": 8.0}], settings(1, 1, 11), "it has 16|11 ranks .* room for 9"),
        ([EIGHT] * 2, settings(17, 1, 17, colocate=True), "17 pairs of .* for 10;.* 204 CPUs, and it has 128"),
        ([], ClusterSettings(), "1 engines with 1 CPUs each .* room for 0; .*Its nodes: none"),
        ([{"CPU": 2.0}], ClusterSettings(rewards=RewardFleet(1, gpus=0.5)), r"1 reward actors with 1 CPUs and 0.5 GPUs each"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_what_is_there(nodes: Any, asked: ClusterSettings, said: str) -> None:
    with pytest.raises(ClusterUnavailable, match=said):
        check_room(nodes, asked)
