"""What a process is set to before it trains or evaluates: threads, kernels that add in a fixed order, quiet libraries."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(threads: int | None, device: torch.device) -> Iterator[None]:
    """A fixed number of torch threads and, for the CPU, kernels that add in a fixed order; put back afterwards.

    On a GPU such kernels are slow, or there are none.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def quiet_libraries() -> None:
    """Progress bars and notes of other libraries would tear our own apart; their warnings of errors stay."""
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    for name in ("DeepSpeed", "accelerate", "httpx"):
        logger = logging.getLogger(name)  # a filter, since DeepSpeed sets its level when accelerate imports it
        if _only_errors not in logger.filters:
            logger.addFilter(_only_errors)
    warnings.filterwarnings("ignore", message=r"TRL currently supports vLLM|.*experimental", category=UserWarning)
