"""The environment of actors: what Ray, vLLM and DeepSpeed read before they are imported, set here and nowhere else."""

import os
import sys
from collections.abc import Mapping

QUIET: Mapping[str, str] = {  # medrl sends no telemetry, nor does what it starts
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore::FutureWarning:torch.distributed.c10d_logger",  # of functions that DeepSpeed calls
}
PASSED_ON = ("HF_HUB_OFFLINE", "HF_HOME", "TRANSFORMERS_OFFLINE")


def engine_environment(threads: int) -> dict[str, str]:
    """Variables of a process that runs vLLM; `threads` is how many its CPU kernels take."""
    from medrl.engines.vllm_start import SETTINGS  # brings in torch, which what only asks chat models does without

    return {**QUIET, **SETTINGS, **_passed_on(), "OMP_NUM_THREADS": str(threads)}


def learner_environment(cpus: int, gpus: int) -> dict[str, str]:
    """Variables of one rank of a learner with so many cores and GPUs."""
    device = {} if gpus else {"DS_ACCELERATOR": "cpu"}
    return {**QUIET, **_passed_on(), **module_path(), **device, "OMP_NUM_THREADS": str(max(1, cpus))}


def reward_environment(cpus: float) -> dict[str, str]:
    """Variables of a process that scores."""
    return {**QUIET, **_passed_on(), **module_path(), "OMP_NUM_THREADS": str(max(1, int(cpus)))}


def shard_environment(cpus: float) -> dict[str, str]:
    """Variables of a process that asks chat models; keys, which Ray would log, stand in its node's own environment."""
    server = {name: os.environ[name] for name in ("OPENAI_BASE_URL",) if name in os.environ}
    return {**reward_environment(cpus), **server}


def module_path() -> dict[str, str]:
    """Where this process finds modules, for actors that are to find rewards and plugins of the user by their names."""
    places = [os.getcwd(), *(place for place in sys.path if place and os.path.isdir(place))]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(places))}


def _passed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
