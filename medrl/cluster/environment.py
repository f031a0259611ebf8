"""The environment of medrl's actors: what DeepSpeed and its kin read before they are imported, set here and nowhere else."""

import os
from collections.abc import Mapping

QUIET: Mapping[str, str] = {  # medrl sends no telemetry, nor does what it starts
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore::FutureWarning:torch.distributed.c10d_logger",  # of functions that DeepSpeed calls
}
PASSED_ON = ("HF_HUB_OFFLINE", "HF_HOME", "TRANSFORMERS_OFFLINE")


def learner_environment(cpus: int, gpus: int) -> dict[str, str]:
    """Environment variables of one rank of a learner with so many cores and GPUs."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    device = {} if gpus else {"DS_ACCELERATOR": "cpu"}
    return {**QUIET, **passed, **device, "OMP_NUM_THREADS": str(max(1, cpus))}
