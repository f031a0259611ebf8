"""What all tests share. Tests use models and data that they make themselves, and never a hub."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

# Before torch or transformers is imported anywhere: no network, and one thread (the models are tiny).
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real engines are tested where they are installed (`make test` sees to that), peers by `make test-interop`."""
    absent = [name for name in ("vllm", "ray", "deepspeed") if find_spec(name) is None]
    peers = any(Path(entry).name == ".interop" for entry in sys.path)
    for item in items:
        if absent and item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(absent)}; run `make test`"))
        if not peers and item.get_closest_marker("interop"):
            item.add_marker(pytest.mark.skip(reason="needs .interop; run `make test-interop`"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder with samples of published data sets, beside the repository; without it the test is skipped."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder
