"""What a recipe says of the cluster: how many engines, ranks and reward actors there are, and what each may use."""

from dataclasses import dataclass, field

from medrl.cluster.fleet import FleetSettings, ProbeSettings, RewardFleet
from medrl.cluster.learners import LearnerGroup
from medrl.engines.vllm_settings import EngineSettings
from medrl.knobs import out_of_range
from medrl.learners.deepspeed_settings import DeepSpeedSettings


@dataclass(frozen=True)
class ClusterSettings:
    """Read with `placement: ray` alone."""

    address: str | None = None
    """A Ray cluster that runs: `auto` or `HOST:6379`. Empty takes the one that RAY_ADDRESS names, as in what
    `ray job submit` runs, and without it starts one on this machine."""

    cpus: int | None = None
    """Logical CPUs of a cluster that is started here; empty for as many as the actors below ask for, since on a small machine
    they share cores."""

    colocate: bool = False
    """Engines and ranks on the same GPUs, one of each on every GPU, in turn: engines sleep while the learner computes, and
    the learner keeps its states, for which `engine.gpu_memory_utilization` must leave room (typical 0.3 to 0.6). Only with
    `max_staleness: 0`. false gives each side GPUs of its own."""

    engines: FleetSettings = field(default_factory=FleetSettings)
    """How many vLLM engines there are, and on what."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    """Knobs of each engine."""

    learners: LearnerGroup = field(default_factory=LearnerGroup)
    """How many ranks of DeepSpeed there are, and on what."""

    deepspeed: DeepSpeedSettings = field(default_factory=DeepSpeedSettings)
    """How the policy is shared out over the ranks."""

    rewards: RewardFleet = field(default_factory=RewardFleet)
    """How many actors score, and on what; none scores in the driver."""

    adapters_only: bool = True
    """With LoRA, send adapters alone after each step; engines add them to the weights of the folder that they started from.
    false sends whole weights, as it is done where the policy is a hub id."""

    probe: ProbeSettings = field(default_factory=ProbeSettings)
    """How engines are compared with the learner after every sync."""

    max_learner_restarts: int = 4
    """How often a lost learner may be made anew from the latest checkpoint before the run ends with an error."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, from_0=("max_learner_restarts",))
        if self.cpus is not None:
            faults += out_of_range(self, above_0=("cpus",))
        if self.address and self.cpus is not None:
            faults.append("cpus is what a cluster that is started here has; with `address` leave it out")
        elif self.cpus is not None and self.cpus < self._asked_cpus:
            faults.append(
                f"cpus is {self.cpus}, and engines, ranks and reward actors ask for {self._asked_cpus:g} in all"
            )
        if self.colocate:
            faults += self._unfit_to_share()
        if faults:
            raise ValueError("; ".join(faults))

    def _unfit_to_share(self) -> list[str]:
        engines, ranks, faults = self.engines, self.learners, list[str]()
        if self.engine.tensor_parallel > 1:
            faults.append(
                f"engine.tensor_parallel is {self.engine.tensor_parallel}; with colocate each engine has the one GPU of a "
                "rank: take 1, or leave colocate out"
            )
        if engines.engines != ranks.ranks:
            faults.append(
                f"engines.engines is {engines.engines} and learners.ranks is {ranks.ranks}; with colocate an engine and a "
                "rank share each GPU: give both the same number"
            )
        if engines.gpus != ranks.gpus:
            faults.append(
                f"engines.gpus is {engines.gpus:g} and learners.gpus is {ranks.gpus}; with colocate it is the same GPU: give "
                "1 for both, or 0 for both on the CPU"
            )
        return faults

    @property
    def logical_cpus(self) -> int:
        """CPUs that all actors ask for together, and one for whatever Ray itself runs."""
        return int(self._asked_cpus) + 1

    @property
    def _asked_cpus(self) -> float:
        engines, ranks, rewards = self.engines, self.learners, self.rewards
        return engines.engines * engines.cpus + ranks.ranks * ranks.cpus + rewards.actors * rewards.cpus
