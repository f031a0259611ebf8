"""Machines that go away in the middle of a run: a Ray cluster of three nodes on this machine, two of which are removed."""

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from medrl.cli import main
from medrl.tracking import RunFolder

pytestmark = [pytest.mark.engine, pytest.mark.slow]
STEPS = 10
KNOBS = (
    "policy.new.hidden_size=64", "policy.new.intermediate_size=128", "held_out=null", "placement=ray", "max_staleness=1",
    "cluster.engines.engines=2", "cluster.engines.heartbeat=0.5", "cluster.learners.ranks=2", "cluster.deepspeed.stage=3",
    f"trainer.steps={STEPS}", "trainer.evaluate_every=0", "trainer.save_every=2",
)  # fmt: skip


@pytest.fixture
def chaos(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/chaos.py, which audits a run folder."""
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    spec = importlib.util.spec_from_file_location("chaos", repository / "benchmarks" / "chaos.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "chaos", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head with room for everything, and a Ray client on it."""
    import ray
    from ray.cluster_utils import Cluster

    from medrl.cluster.environment import QUIET

    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 8, "include_dashboard": False})
    ray.init(address=started.address, namespace="medrl", log_to_driver=False, logging_level="ERROR")
    yield started
    ray.shutdown()
    started.shutdown()


def when(step: int, run: Path, what: Callable[[], object], failures: list[BaseException]) -> threading.Thread:
    """A thread that does something once the run has logged so many steps."""

    def wait() -> None:
        try:
            while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b'"rl"') < step:
                time.sleep(0.1)
            what()
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_run_outlives_the_machine_of_an_engine_and_then_that_of_a_rank(
    chaos: Any, cluster: Any, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engine 1 and rank 1 stand on nodes of their own. What they held is had again elsewhere, and nothing twice."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from medrl.cluster import ray_placement

    of_engine, of_rank = (cluster.add_node(num_cpus=1) for _ in range(2))
    cluster.wait_for_nodes()

    def near(node: Any) -> Any:
        return NodeAffinitySchedulingStrategy(node.node_id, soft=True)  # another where it is gone

    engines, ranks = [near(cluster.head_node), near(of_engine)], [near(cluster.head_node), near(of_rank)]
    places = {"strategies": engines}, {"options": lambda rank: {"scheduling_strategy": ranks[rank]}}
    built: list[Any] = []

    class Engines(ray_placement.RayEngines):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named, **places[0])
            built.append([slot.card.node for slot in self._desk.slots if slot.card is not None])

    monkeypatch.setattr(ray_placement, "RayEngines", Engines)
    monkeypatch.setattr(ray_placement, "RayLearners", partial(ray_placement.RayLearners, **places[1]))
    monkeypatch.syspath_prepend(str(repository / "tests" / "end_to_end"))
    tiny, folder, failures = repository / "tests" / "end_to_end" / "tiny.yaml", tmp_path / "run", list[BaseException]()
    threads = [
        when(step, folder, partial(cluster.remove_node, node, allow_graceful=False), failures)
        for step, node in ((3, of_engine), (6, of_rank))
    ]
    assert main(["run", str(tiny), *KNOBS, f"folder={folder}"]) == 0
    for thread in threads:
        thread.join(timeout=60.0)
    assert not failures and built == [[cluster.head_node.node_id, of_engine.node_id]]
    rows = RunFolder(folder).read_metrics("rl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    # Until Ray knows that a machine is gone, it may put the next engine, or group, there.
    assert 1 <= rows[-1]["cluster/engine_restarts"] <= 4 and 1 <= rows[-1]["cluster/learner_restarts"] <= 2
    assert all(row["cluster/sync_gap"] < 1e-4 for row in rows)
    found = chaos.audit(chaos.Run(tiny, KNOBS, folder))
    assert set(found.values()) == {0}, found
