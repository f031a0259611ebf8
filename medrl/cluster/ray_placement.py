"""`placement: ray`: vLLM engines, DeepSpeed ranks and, where asked for, reward actors on a Ray cluster.

The driver holds no weights. Engines and ranks read the start policy themselves, from a folder that all nodes share or from
the hub; later weights go from rank 0 to the engines through the object store, or by vLLM's own transfers.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from medrl.cluster.engines import RayEngines
from medrl.cluster.learners import RayLearners
from medrl.cluster.local import engine_speed
from medrl.cluster.native import NativeEngines, NativeSync
from medrl.cluster.ray_start import ray_cluster
from medrl.cluster.rewards import RayRewards
from medrl.cluster.room import check_room, resources
from medrl.cluster.seats import seats
from medrl.cluster.settings import ClusterSettings
from medrl.cluster.weights import RaySync
from medrl.engines.vllm_settings import ServedModel
from medrl.errors import LearnerLost
from medrl.learners import Optimization
from medrl.models import Policy, PolicySpec
from medrl.rewards import Reward, Scorer


class RayPlacement:
    """Engines and learner in actors: apart from each other, so that both can work at the same time, or on the same GPUs."""

    def __init__(
        self,
        policy: Policy,
        source: PolicySpec,
        optimization: Optimization,
        settings: ClusterSettings | None = None,
        *,
        reference: bool,
    ) -> None:
        """Start everything, engines and ranks at the same time, and wait until it is there.

        Args:
            policy: What renders prompts; an outline without weights will do (`Policy.load(..., weights=False)`).
            source: Where engines and ranks read the policy: `path` is a folder that every node can read, or a hub id.
            optimization: How gradients become weights.
            settings: Knobs of the cluster.
            reference: Keep the start policy for the KL to it.

        Raises:
            ClusterUnavailable: There is no Ray, or it has not what the actors ask for.
            EngineFailed, LearnerLost: One of them does not start.
        """
        settings = settings or ClusterSettings()
        source, optimization = absolute(source), _absolute_critic(optimization)
        self.settings, self._rewards, self._stack = settings, list[RayRewards](), ExitStack()
        self.concurrent = not settings.colocate
        self.learner_restarts, self._turning = 0, 0.0
        native = settings.engine.transfer != "buckets"
        self._before: dict[int, tuple[int, float]] = {}  # tokens and seconds of each engine when last asked
        try:
            ray = self._stack.enter_context(ray_cluster(settings.address, settings.cpus or settings.logical_cpus))
            check_room(resources(ray), settings)
            at = self._stack.enter_context(seats(settings))
            with ThreadPoolExecutor(2) as pool:
                engines: Future[RayEngines] = pool.submit(
                    NativeEngines if native else RayEngines,
                    served_model(policy, source, bf16=settings.deepspeed.bf16), at.engine, at.fleet, **at.of_engines,
                )  # fmt: skip
                learner = pool.submit(
                    RayLearners, policy, optimization, settings.deepspeed, settings.learners,
                    reference=reference, source=source, **at.of_ranks,
                    turn=(lambda: engines.result().sleep()) if settings.colocate else None,  # also to start, when they are up
                )  # fmt: skip
            for one in (engines, learner):
                if one.exception() is None:
                    self._stack.callback(one.result().close)
            self.engine, self.learner = engines.result(), learner.result()
            local = os.path.isdir(str(source.path))  # engines read its files again
            lora = optimization.lora if settings.adapters_only and local else None
            summed = optimization.lora is not None
            self.sync = (
                NativeSync(self.learner, self.engine, settings.probe, summed=summed)
                if isinstance(self.engine, NativeEngines)
                else RaySync(self.learner, self.engine, settings.probe, lora=lora, summed=summed)
            )
        except BaseException:
            self._stack.close()
            raise

    def scorer(self, reward: Reward) -> Scorer:
        """See `Placement.scorer`."""
        if not self.settings.rewards.actors:
            return reward
        self._rewards.append(RayRewards(reward, self.settings.rewards))
        self._stack.callback(self._rewards[-1].close)
        return self._rewards[-1]

    def restart_learner(self, lost: LearnerLost) -> None:
        """See `Placement.restart_learner`."""
        while True:
            self.learner_restarts += 1
            if self.learner_restarts > self.settings.max_learner_restarts:
                raise lost
            try:
                self.learner.restart()
                self.sync.probe.forget()  # the new ranks may be of other machines, and round otherwise
                return
            except LearnerLost as again:  # a rank died while the group was starting
                lost = again

    def figures(self) -> dict[str, float]:
        """See `Placement.figures`; `cluster/` counts losses since the start, `time/` is how the machines do."""
        fleet, found = self.engine.figures(), dict[str, float]()
        for number, one in enumerate(fleet.engines):
            tokens, busy = self._before.get(number, (0, 0.0))
            self._before[number] = one.tokens, one.busy
            found |= engine_speed(number, one.tokens - tokens, one.busy - busy)
        found |= self.engine.queues() | {
            "cluster/engine_restarts": float(fleet.restarts),
            "cluster/learner_restarts": float(self.learner_restarts),
            "cluster/resampled": float(fleet.resampled),
        }
        if self.settings.colocate:
            found["time/turns"] = fleet.turning - self._turning
            self._turning = fleet.turning
        if self.sync.last is not None:
            found |= {"time/sync_mib": self.sync.last.mib, "cluster/sync_gap": self.sync.last.gap}
        if self._rewards:
            found["cluster/reward_restarts"] = float(sum(one.replaced for one in self._rewards))
        return found

    def close(self) -> None:
        """End all actors, and Ray where it was started here."""
        self._stack.close()


def absolute(source: PolicySpec) -> PolicySpec:
    """Actors have other working folders than the driver."""
    known = source.path is not None and os.path.isdir(source.path)
    return replace(source, path=str(Path(str(source.path)).resolve())) if known else source


def _absolute_critic(optimization: Optimization) -> Optimization:
    critic = optimization.critic
    if critic is None or critic.path is None or not os.path.isdir(critic.path):
        return optimization
    return replace(optimization, critic=replace(critic, path=str(Path(critic.path).resolve())))


def served_model(policy: Policy, source: PolicySpec, *, bf16: bool = False) -> ServedModel:
    """The policy as engines need it, by the folder or hub id that they read; `bf16` where the learner computes in that."""
    assert source.path is not None
    served = replace(ServedModel.of(policy, source.path, write=False), folder=source.path)
    return replace(served, dtype="bfloat16") if bf16 else served
