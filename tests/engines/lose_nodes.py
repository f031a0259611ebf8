"""A run on a Ray cluster of three nodes, two of which go away in its middle; a program, since a process has one Ray only.

    python lose_nodes.py REPORT RECIPE FOLDER KNOB...

The head has room for everything. Engine 1 and rank 1 start on nodes of their own; that of the engine is removed once step 2
is logged, that of the rank once step 5 is. Writes where the engines were built first, and the run's exit status, to REPORT.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from medrl.cluster.environment import QUIET

os.environ.update(QUIET)  # before Ray reads it

import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from medrl.cli import main
from medrl.cluster import ray_placement

REMOVED_AT = (2, 5)
# A node that does not answer five times in a row is gone; Ray asks every 3 seconds if not told otherwise.
SOON_MISSED = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500}


def when(step: int, run: Path, what: Callable[[], object], failures: list[str]) -> threading.Thread:
    """A thread that does something once the run has logged so many steps."""

    def wait() -> None:
        try:
            while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b'"rl"') < step:
                time.sleep(0.1)
            what()
        except BaseException as error:
            failures.append(repr(error))
            raise

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def near(node: Any) -> NodeAffinitySchedulingStrategy:
    """This node, and another where it is gone."""
    return NodeAffinitySchedulingStrategy(node.node_id, soft=True)


def lose_nodes(cluster: Cluster, recipe: str, folder: Path, knobs: list[str]) -> dict[str, Any]:
    """Run, and lose nodes meanwhile."""
    head, (of_engine, of_rank) = cluster.head_node, (cluster.add_node(num_cpus=1) for _ in range(2))
    cluster.wait_for_nodes()
    engines, ranks = [near(head), near(of_engine)], [near(head), near(of_rank)]
    built: list[list[str]] = []

    class Engines(ray_placement.RayEngines):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named, strategies=engines)
            built.append([slot.card.node for slot in self._desk.slots if slot.card is not None])

    ray_placement.RayEngines = Engines  # type: ignore[misc]
    ray_placement.RayLearners = partial(  # type: ignore[misc, assignment]
        ray_placement.RayLearners, options=lambda rank: {"scheduling_strategy": ranks[rank]}
    )
    failures = list[str]()
    threads = [
        when(step, folder, partial(cluster.remove_node, node, allow_graceful=False), failures)
        for step, node in zip(REMOVED_AT, (of_engine, of_rank), strict=True)
    ]
    status = main(["run", recipe, *knobs, f"folder={folder}"])
    for thread in threads:
        thread.join(timeout=60.0)
    return {"status": status, "failures": failures, "built": built, "nodes": [head.node_id, of_engine.node_id]}


if __name__ == "__main__":
    report, recipe, folder, *knobs = sys.argv[1:]
    head = {"num_cpus": 8, "include_dashboard": False, "_system_config": SOON_MISSED}
    started = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=started.address, namespace="medrl", log_to_driver=False, logging_level="ERROR")
    try:
        Path(report).write_text(json.dumps(lose_nodes(started, recipe, Path(folder), knobs)))
    finally:
        ray.shutdown()
        started.shutdown()
