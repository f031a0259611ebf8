"""Connect to a Ray cluster, or start one on this machine for as long as it is needed."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from medrl.cluster.environment import QUIET
from medrl.errors import ClusterUnavailable, MissingExtra, need


def require_cluster_packages() -> None:
    """See that what `placement: ray` runs is installed, without importing it.

    Raises:
        MissingExtra: With everything that is missing.
    """
    missing = [name for name in ("ray", "vllm", "deepspeed") if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"placement: ray needs {', '.join(missing)}; install what is missing: pip install 'medrl[{','.join(missing)}]'"
        )


@contextmanager
def ray_cluster(address: str | None = None, cpus: int | None = None) -> Iterator[Any]:
    """Ray, initialised: where this process is connected already, as it is; else by `address`; else one of our own.

    A cluster that is started here ends with the block. It has no dashboard, and as many logical CPUs as `cpus` says, since
    actors on a small machine share cores.

    Args:
        address: `auto` or `HOST:6379` of a cluster that runs; empty takes RAY_ADDRESS, and starts one where that is
            not set.
        cpus: Logical CPUs of a cluster that is started; empty for the machine's own number.

    Raises:
        MissingExtra: Ray is not installed.
        ClusterUnavailable: Nobody answers at the address, or Ray does not start.
    """
    os.environ.update(QUIET)  # before Ray reads it
    ray: Any = need("ray", "ray")
    address = address or os.environ.get("RAY_ADDRESS")  # set in what `ray job submit` runs
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(
            address=address or "local",
            **({} if address else {"num_cpus": cpus, "include_dashboard": False}),
            namespace="medrl",
            logging_level=logging.WARNING,
            log_to_driver=False,
            configure_logging=False,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"the Ray cluster at {address!r} cannot be reached" if address else "Ray cannot start on this machine"
        raise ClusterUnavailable(
            f"{where}: {error}. `ray status --address ADDRESS` says whether it is up; without an address one is started"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
