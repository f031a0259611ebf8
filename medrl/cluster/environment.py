"""The environment of medrl's actors, set here and nowhere else; nobody who runs medrl has to know of it."""

from collections.abc import Mapping

from medrl.engines.vllm_start import SETTINGS

QUIET: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def engine_environment(threads: int) -> dict[str, str]:
    """Variables of a process that runs vLLM; `threads` is how many its CPU kernels take."""
    return {**QUIET, **SETTINGS, "OMP_NUM_THREADS": str(threads)}
