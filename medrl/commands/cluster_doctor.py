"""What a Ray cluster can run: `medrl doctor --cluster [ADDRESS]`.

Each node answers for itself (`medrl/cluster/survey.py`): its versions, whether it sees the folder that runs are kept in, and
how fast it fetches an object from here. Without an address a cluster of this machine is started and looked at.
"""

from collections.abc import Mapping
from pathlib import Path

from medrl.cluster.ray_start import ray_cluster
from medrl.cluster.survey import Node, marked, survey, versions
from medrl.commands.doctor import Check, State, print_table
from medrl.errors import ClusterUnavailable, MissingExtra, MissingFile

NEEDED = ("torch", "vllm", "deepspeed")  # by engines and ranks, on whatever node Ray puts them


def report(address: str | None, folder: Path, seconds: float = 120.0) -> list[Check]:
    """One check for the cluster, and some for each of its nodes; those that do not answer in time are said to be silent."""
    try:
        with marked(folder) as mark, ray_cluster(address) as ray:
            nodes = survey(ray, mark, seconds)
    except MissingFile as error:
        return [Check("cluster", "folder", "broken", str(error), "make it, on a disk that all nodes share")]
    except (ClusterUnavailable, MissingExtra) as error:
        return [Check("cluster", "ray", "broken", str(error))]
    cpus, gpus = (sum(node.resources.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    what = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}, {cpus:g} CPUs, {gpus:g} GPUs"
    here = versions()
    found = [Check("cluster", address or "on this machine", "ok", what)]
    return found + [check for node in nodes for check in _checks(node, here, folder, seconds)]


def _checks(node: Node, here: Mapping[str, str], folder: Path, seconds: float) -> list[Check]:
    name, has = f"node {node.address}", node.resources
    memory, store = has.get("memory", 0) / 2**30, has.get("object_store_memory", 0) / 2**30
    size = f"{has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs, {memory:.0f} GiB, object store {store:.1f} GiB"
    if node.fault:
        return [
            Check(name, "answer", "broken", f"{node.fault} ({size})", "install medrl there as it is installed here")
        ]
    if node.answer is None:
        return [Check(name, "answer", "broken", f"none within {seconds:g} s ({size})", "see `ray status`, `ray logs`")]
    there = node.answer.versions
    other = [f"{k} {v or 'missing'} (here {here[k] or 'missing'})" for k, v in there.items() if v != here[k]]
    lacks = [name for name in NEEDED if not there[name]]
    advice = "engines, ranks and the driver should have the same versions" if other else ""
    if lacks:
        advice = f"install {', '.join(lacks)} there, as here"
    said = "; ".join(other or [f"{name} is missing" for name in lacks]) or "as here"
    shared: State = "ok" if node.answer.shared else "broken"
    where = f"{folder.absolute()} {'is seen' if node.answer.shared else 'is not there'}"
    remedy = "" if node.answer.shared else "keep runs on a disk that all nodes share"
    return [
        Check(name, "size", "ok", size),
        Check(name, "versions", "broken" if lacks else "note" if other else "ok", said, advice),
        Check(name, "object store", "ok", f"{node.answer.mib_per_second:,.0f} MiB/s from here"),
        Check(name, "folder", shared, where, remedy),
    ]


def main(address: str | None, folder: Path) -> int:
    """Print the report; 1 when something does not work."""
    checks = report(address, folder)
    print_table(checks)
    return int(any(check.state == "broken" for check in checks))
