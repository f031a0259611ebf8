"""One Ray cluster for all tests of actors; its logical CPUs are more than the machine's, since tests use them in turn."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """Ray, started once."""
    from medrl.cluster.ray_start import ray_cluster

    with ray_cluster(cpus=16) as started:
        yield started
