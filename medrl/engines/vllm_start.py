"""vLLM's engine in this process: how it is started and ended, for judges and for policies alike.

The engine is stepped by a thread of ours. vLLM's own process beside it (`VLLM_ENABLE_V1_MULTIPROCESSING`) would start
ten times more slowly and put a copy between the learner's weights and the engine's.
"""

import contextlib
import gc
import os
import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from medrl.errors import need

# Set unless the user has set them: the engine in this process, and on the CPU a cache that fits and no pinned threads.
SETTINGS: Mapping[str, str] = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


def prepare() -> None:
    """Import vLLM with the environment that medrl wants of it.

    Raises:
        MissingExtra: vLLM is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch, from vLLM's own modules
        need("vllm", "vllm")


def on_cpu() -> bool:
    """Whether vLLM computes on the CPU here; call `prepare` before."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def start(**arguments: Any) -> Any:
    """An `LLMEngine` from arguments of `EngineArgs`; call `prepare` before."""
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    with _left_as_it_was():
        return LLMEngine.from_engine_args(EngineArgs(disable_log_stats=True, **arguments))


def end(engine: Any) -> None:
    """Free what the engine holds; it may be dead already. Drop your own reference to it, then call `collect`."""
    with contextlib.suppress(Exception):
        engine.engine_core.shutdown()


def collect() -> None:
    """Give back the memory of an engine that ended."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _left_as_it_was() -> Iterator[None]:
    """vLLM seeds the generators of its process while it loads, and disables `torch.set_num_threads`: undo both."""
    import numpy
    import torch

    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads = set_num_threads
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])
