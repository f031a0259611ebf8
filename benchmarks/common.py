"""What the benchmarks share: a process without surprises, and the table and the JSON that they end with.

Import it before torch: it switches off telemetry, hub look-ups, GPUs and warnings about what is not used here.
"""

import json
import os
import platform
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    DO_NOT_TRACK="1",
    TOKENIZERS_PARALLELISM="false",
    TRL_EXPERIMENTAL_SILENCE="1",
    DS_ACCELERATOR="cpu",
    CUDA_VISIBLE_DEVICES="",  # the CPU is what is measured, on a machine with a GPU too
)
warnings.filterwarnings("ignore", message="TRL currently supports vLLM")


def fail(message: str) -> NoReturn:
    """End with a message and exit status 1: nothing was measured."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)


def machine() -> dict[str, str | int | float]:
    """What figures of a benchmark depend on beside the code."""
    import torch

    return {
        "cores": os.cpu_count() or 0,
        "torch_threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "transformers", "trl")},
    }


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns under their header, the first one to the left and all others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def print_machine(of: Mapping[str, str | int | float]) -> None:
    """One line about the machine."""
    print("machine: " + ", ".join(f"{name} {value}" for name, value in of.items()))


def write_json(path: Path | None, figures: Mapping[str, object]) -> None:
    """Write flat figures where a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
