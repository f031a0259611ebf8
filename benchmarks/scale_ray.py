"""Real runs with `placement: ray`, for the check of `scale.py`: one and two vLLM engines, one and two DeepSpeed ranks."""

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

from scale_check import LR, Bench, Comparison, Run, Setting, judge

SLOTS = 64
SETTINGS = (
    Setting(1, 4, slots=SLOTS, fits=True),
    Setting(4, 4, slots=SLOTS, fits=True),
    Setting(8, 8, slots=SLOTS, fits=True),
    Setting(4, 8, slots=SLOTS),
    Setting(16, 8, limit=96, slots=SLOTS),
    Setting(1, 4, slots=SLOTS, engines=2, ranks=2, fits=True),
    Setting(4, 8, slots=SLOTS, engines=2, ranks=2, fits=True),
    Setting(8, 8, slots=SLOTS, engines=2, ranks=2),
    Setting(16, 8, limit=96, slots=SLOTS, engines=2, ranks=2),
)


def place(policy: Any, folder: str, engines: int, ranks: int) -> Any:
    """So many engines and ranks in actors of a Ray that runs."""
    from medrl.algorithms import GRPO
    from medrl.cluster.fleet import FleetSettings
    from medrl.cluster.learners import LearnerGroup
    from medrl.cluster.ray_placement import RayPlacement
    from medrl.cluster.settings import ClusterSettings
    from medrl.engines.vllm_settings import EngineSettings
    from medrl.learners import Optimization
    from medrl.models import PolicySpec

    settings = ClusterSettings(
        engines=FleetSettings(engines=engines),
        engine=EngineSettings(max_num_seqs=SLOTS),
        learners=LearnerGroup(ranks=ranks),
    )
    source, reference = PolicySpec(path=folder), "ref_logprobs" in GRPO().needs
    return RayPlacement(policy, source, Optimization(lr=LR, share_prompts="off"), settings, reference=reference)


def check_on_ray(
    policy: Any, problems: Sequence[Any], rounds: int, warmup: int = 2
) -> tuple[dict[int, Any], list[Comparison]]:
    """Run all settings; fit engines to runs with one of them, learners to runs with as many ranks; compare."""
    from medrl.cluster.ray_start import ray_cluster

    sizes = sorted({(setting.engines, setting.ranks) for setting in SETTINGS})
    runs = [Run(setting) for setting in SETTINGS]
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        policy.save(folder)
        stack.enter_context(ray_cluster(cpus=2 * sum(engines + ranks for engines, ranks in sizes)))
        benches: dict[tuple[int, int], Bench] = {}
        for engines, ranks in sizes:
            own = copy.deepcopy(policy)
            placement = place(own, folder, engines, ranks)
            stack.callback(placement.close)
            benches[engines, ranks] = Bench(own, problems, placement)
        for _ in range(warmup + rounds):
            for run in runs:
                benches[run.setting.engines, run.setting.ranks].take(run)
    for run in runs:
        del run.steps[:warmup]
    return judge(runs, gate=0.0)
