"""Real training runs over vLLM engines in Ray actors, for the check of `scale.py`: one and two engines, the torch learner."""

from collections.abc import Sequence
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
    Setting(8, 8, slots=SLOTS, engines=2),
    Setting(16, 8, limit=96, slots=SLOTS, engines=2),
)


class Served:
    """Engines in actors and a learner in this process, as a placement. It samples and trains in turn."""

    concurrent = False

    def __init__(self, policy: Any, folder: str, engines: int) -> None:
        from medrl.algorithms import GRPO
        from medrl.cluster.engines import RayEngines
        from medrl.cluster.fleet import FleetSettings
        from medrl.cluster.weights import RaySync
        from medrl.engines.vllm_settings import EngineSettings, ServedModel
        from medrl.learners import Optimization, TorchLearner

        served = ServedModel.of(policy, folder)
        self.engine = RayEngines(served, EngineSettings(max_num_seqs=SLOTS), FleetSettings(engines=engines))
        self.learner = TorchLearner(policy, Optimization(lr=LR), reference="ref_logprobs" in GRPO().needs)
        self.sync = RaySync(self.learner, self.engine)

    def scorer(self, reward: Any) -> Any:
        return reward

    def figures(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        self.engine.close()


def check_on_ray(policy: Any, problems: Sequence[Any], rounds: int, warmup: int = 2) -> tuple[Any, list[Comparison]]:
    """Run all settings, fit to those of one engine, and compare."""
    import copy

    from medrl.cluster.ray_start import ray_cluster

    benches: dict[int, Bench] = {}
    runs = [Run(setting) for setting in SETTINGS]
    with TemporaryDirectory() as folder, ray_cluster(cpus=8):
        try:
            for engines in sorted({setting.engines for setting in SETTINGS}):
                own = copy.deepcopy(policy)
                benches[engines] = Bench(own, problems, Served(own, f"{folder}/{engines}", engines))
            for _ in range(warmup + rounds):
                for run in runs:
                    benches[run.setting.engines].take(run)
        finally:
            for bench in benches.values():
                bench.trainer.placement.close()
    for run in runs:
        del run.steps[:warmup]
    return judge(runs, gate=0.0)
