"""Shards of one piece of work as Ray tasks, on whatever nodes have room; one whose process or node is lost is begun again.

A shard keeps what it has done in files, and goes on from them wherever it is begun again; so all nodes must see the folder
of the work, and the one that the command was started in, to which relative paths belong. A node that does not is a fault.
"""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from medrl.cluster.environment import shard_environment
from medrl.cluster.fleet import ShardSettings
from medrl.cluster.ray_start import ray_cluster
from medrl.errors import CheckpointError, ClusterUnavailable
from medrl.files import write_atomic

T = TypeVar("T")
log = logging.getLogger("medrl.cluster")
MARK = ".shared"  # in the folder: what every node must read there
LOOK = 0.5  # seconds between two looks at the shards
GRACE = 30.0  # seconds that shards have to write down what they hold when they are stopped


class FolderUnseen(ClusterUnavailable):
    """A node does not see a folder that all nodes must see."""


def run_shards(
    work: Callable[[T], object],
    shards: Sequence[T],
    folder: Path,
    settings: ShardSettings,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Do all shards; returns when each is done.

    Args:
        work: Does a shard, or what is left of it; importable by its name on every node.
        shards: What `work` is given, pickled.
        folder: Where shards write. It exists.
        settings: Knobs.
        look: Called twice a second, to tell how far they are.

    Raises:
        FolderUnseen: A shard came to a node that does not see the folder; all shards were stopped.
        ClusterUnavailable: There is no Ray, no node with room for a shard, or a shard was lost too often.
        Exception: What a shard raised; the others were done first.
    """
    folder, token = folder.absolute(), secrets.token_hex(8)
    write_atomic(folder / MARK, token)
    try:
        with ray_cluster(settings.address, cpus=int(len(shards) * settings.cpus) + 1) as ray:
            _require_room(ray, settings)
            options = {
                "num_cpus": settings.cpus, "num_gpus": settings.gpus, "max_retries": 0,
                "runtime_env": {"env_vars": shard_environment(settings.cpus)},
            }  # fmt: skip
            task, place = ray.remote(**options)(_shard), os.getcwd()
            _Shards(ray, lambda shard: task.remote(work, shard, folder, token, place), shards, settings).run(look)
    finally:
        (folder / MARK).unlink(missing_ok=True)


class _Shards:
    """Those under way, those to be begun again, and what became of the others."""

    def __init__(self, ray: Any, begin: Callable[[Any], Any], shards: Sequence[Any], settings: ShardSettings) -> None:
        self._ray, self._begin, self._shards, self._settings = ray, begin, shards, settings
        self._running: dict[Any, int] = {}
        self._waiting = dict.fromkeys(range(len(shards)), 0.0)  # number to the time from which on it may begin
        self._lost = [0] * len(shards)
        self._failed: dict[int, Exception] = {}

    def run(self, look: Callable[[], None]) -> None:
        try:
            while self._running or self._waiting:
                for number in [one for one, at in self._waiting.items() if at <= time.monotonic()]:
                    del self._waiting[number]
                    self._running[self._begin(self._shards[number])] = number
                if self._running:
                    for ref in self._ray.wait(list(self._running), num_returns=1, timeout=LOOK)[0]:
                        self._end(ref, self._running.pop(ref))
                else:
                    time.sleep(LOOK)
                look()
        finally:
            self._stop()
        for number, error in sorted(self._failed.items()):
            error.add_note(f"in shard {number} of {len(self._shards)}")
            raise error

    def _end(self, ref: Any, number: int) -> None:
        exceptions = self._ray.exceptions
        try:
            self._ray.get(ref)
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, FolderUnseen):
                raise cause from None
            if isinstance(cause, CheckpointError):  # the disk, or its folder is still locked by a process that is dying
                self._again(number, str(cause), cause)
            else:
                self._fail(number, cause)
        except exceptions.RayError as error:  # died, was out of memory, lost its node
            self._again(number, " ".join(str(error).split())[:500], None)

    def _again(self, number: int, why: str, cause: Exception | None) -> None:
        self._lost[number] += 1
        times, allowed = self._lost[number], self._settings.max_restarts
        if times > allowed:
            said = f"shard {number} was lost {times} times, which is more than cluster.max_restarts allows ({allowed}): {why}"
            gone = ClusterUnavailable(f"{said}. What is done stays done: the same command goes on")
            gone.__cause__ = cause
            return self._fail(number, gone)
        log.warning("shard %d was lost: %s; it is begun again where it was (%d of %d)", number, why, times, allowed)
        self._waiting[number] = time.monotonic() + 2.0 ** (times - 1)

    def _fail(self, number: int, error: Exception) -> None:
        """Told at once: the others go on, maybe for hours, and of several that fail one is raised."""
        log.warning("shard %d failed: %s: %s", number, type(error).__name__, error)
        self._failed[number] = error

    def _stop(self) -> None:
        """Interrupt what runs as Ctrl-C would, so that what is finished is written down; then end it."""
        for ref in self._running:
            self._ray.cancel(ref)
        if self._running:
            _, left = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE)
            for ref in left:
                self._ray.cancel(ref, force=True)


def _shard(work: Callable[[T], object], shard: T, folder: Path, token: str, place: str) -> None:
    """On a node."""
    try:
        seen = (folder / MARK).read_text(encoding="utf-8") == token
    except OSError:
        seen = False
    if not seen or not os.path.isdir(place):
        raise FolderUnseen(
            f"node {socket.gethostname()} does not see {place if seen else folder} as this machine does; put it on storage "
            "that all nodes share under one path, or keep that node out of the cluster"
        )
    os.chdir(place)
    work(shard)


def _require_room(ray: Any, settings: ShardSettings) -> None:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(one.get("CPU", 0) >= settings.cpus and one.get("GPU", 0) >= settings.gpus for one in nodes):
        raise ClusterUnavailable(
            f"no node of the Ray cluster has {settings.cpus:g} CPUs and {settings.gpus:g} GPUs, which a shard asks for: "
            "lower cluster.cpus and cluster.gpus, or add a node"
        )
