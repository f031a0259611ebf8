"""The reinforcement-learning loop: sample, score, take advantages, update, publish. `Trainer._fit` is all of it.

The loop cannot tell where engine and learner run (`Placement`), nor which algorithm it runs.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medrl.algorithms import GRPO, Algorithm, Batch
from medrl.cluster import LocalPlacement, Placement
from medrl.data.mixtures import ProblemSampler
from medrl.engines import Sampling
from medrl.evaluation import Evaluation, EvaluationSettings, evaluate
from medrl.files import atomic_folder
from medrl.learners import Optimization
from medrl.models import Policy
from medrl.rewards import Reward, RewardContext
from medrl.rollouts import believable, collect
from medrl.seeds import seed_of
from medrl.tracking import RunConsole, RunFolder, Tracker
from medrl.trainers import checkpoints
from medrl.trainers.alarm import watch_unscored
from medrl.trainers.checks import check_reward, fitting_problems
from medrl.trainers.metrics import advantages_by_group, step_metrics
from medrl.trainers.settings import TrainerSettings
from medrl.types import Problem, ScoredGroup
from medrl.verifiers.protocol import run_sync


class Trainer:
    """Trains a policy on problems by a reward: `Trainer(policy, problems, reward).fit()`; all else has a default.

    Args:
        policy: What is trained, in place; a folder or hub id is loaded.
        problems: What it is trained on.
        reward: What says how much a response is worth.
        algorithm: How worth becomes gradients; GRPO when empty.
        held_out: What it is evaluated on; may be empty.
        settings: Length of the run, sizes, what is kept.
        sampling: How training responses are drawn.
        optimization: How gradients become weights.
        evaluation: How held-out problems are asked.
        run: Where logs and checkpoints go; None writes nothing.
        trackers: Further places for metrics.
        console: Where progress is printed; None prints nothing.
        placement: Where engine and learner run; the embedded one when empty.
        max_rows: Responses that the embedded engine writes at the same time.
        seed: Decides every draw.

    Raises:
        RecipeError: The reward tree would mislead (see `Reward.faults`).
        TemplateError: Chat template, EOS or vocabulary do not fit.
        ProblemError: No problems, ids used twice, or prompts too long.
    """

    def __init__(
        self,
        policy: Policy | str,
        problems: Sequence[Problem],
        reward: Reward,
        algorithm: Algorithm | None = None,
        *,
        held_out: Sequence[Problem] = (),
        settings: TrainerSettings | None = None,
        sampling: Sampling | None = None,
        optimization: Optimization | None = None,
        evaluation: EvaluationSettings | None = None,
        run: RunFolder | None = None,
        trackers: Sequence[Tracker] = (),
        console: RunConsole | None = None,
        placement: Placement | None = None,
        max_rows: int = 256,
        seed: int = 0,
    ) -> None:
        self.policy = Policy.load(policy) if isinstance(policy, str) else policy
        self.reward, self.algorithm = reward, algorithm or GRPO()
        self.settings, self.sampling = settings or TrainerSettings(), sampling or Sampling()
        self.evaluation_settings = evaluation or EvaluationSettings()
        self.run, self.trackers, self.seed = run, trackers, seed
        self.console = console or RunConsole(quiet=True)
        check_reward(reward, held_out)
        self.policy.check()
        self.problems = fitting_problems(self.policy, problems, self.sampling, self.settings, "problems to train on")
        self.held_out = fitting_problems(self.policy, held_out, self.sampling, self.settings, "held-out problems")
        optimization = (optimization or Optimization()).for_algorithm(self.algorithm)
        self.placement: Placement = placement or LocalPlacement(
            self.policy,
            optimization.over(self.settings.steps * self.algorithm.epochs * self.algorithm.minibatches),
            reference="ref_logprobs" in self.algorithm.needs,
            max_rows=max_rows,
        )
        self.sampler = ProblemSampler(self.problems, seed=seed_of(seed, "order"))
        self.step = 0  # finished steps; also the version of the policy
        self.algorithm_state: dict[str, Any] = {}
        self.reward_state: dict[str, Any] = {}
        self.alarm_state: dict[str, Any] = {}
        self.unscored: list[list[int]] = []  # of the last steps, how many rollouts had no score, of how many
        self.best: dict[str, float] = {}  # step and accuracy of the best policy so far, the unscored taken as wrong
        self.evaluations_since_best = 0
        self.evaluated_step = -1
        self.last_evaluation: Evaluation | None = None

    def fit(self, steps: int | None = None) -> None:
        """Train up to `steps` finished steps (the settings' number when empty). Goes on where a resumed run stopped."""
        run_sync(self._fit(self.settings.steps if steps is None else steps))

    async def _fit(self, steps: int) -> None:
        learner, engine = self.placement.learner, self.placement.engine
        if self.step == 0 and self.held_out:
            await self.evaluate()
        with self.console.phase("RL", total=steps, done=self.step) as progress:
            while self.step < steps and not self._should_stop():
                step, begun, counted = self.step + 1, time.perf_counter(), self.reward.statistics()

                # 1. P problems, G rollouts of each, scored as each group completes
                context = RewardContext(step, self.reward_state)
                scored = await self._sample(context)
                self.reward.learn(scored, self.reward_state)
                scored = self._believable(scored)
                sampled = time.perf_counter()

                # 2. rewards become advantages
                groups = self.algorithm.select(scored) or scored
                batch = Batch.from_groups(groups, self.sampling.max_tokens, self.sampling.temperature)
                batch = learner.forward(batch, self.algorithm.needs, exact_rollouts=engine.exact(self.sampling))
                batch = self.algorithm.advantages(batch, self.algorithm_state)

                # 3. advantages become weights, and the weights go back to the engine
                learned = learner.update(batch, self.algorithm, seed_of(self.seed, "update", step))
                self.placement.sync.publish(step)
                self.step = step

                # 4. what happened
                done = time.perf_counter()
                spent = {"rollout": sampled - begun, "update": done - sampled, "step": done - begun, **context.seconds}
                learned |= self.algorithm.figures(batch)
                metrics = step_metrics(scored, learned, spent, self.reward, self.settings.max_unscored, counted)
                self._log(metrics, scored, groups, batch)
                progress.advance()
                await self._evaluate_and_save(last=step == steps)
        if self.held_out and self.evaluated_step != self.step:
            await self.evaluate()
        if self.run is not None and 0 < self.step < steps and checkpoints.latest_step(self.run) != self.step:
            checkpoints.save(self, self.run)  # the stop criterion ended the run between two checkpoints

    async def _sample(self, context: RewardContext) -> list[ScoredGroup]:
        """The scored groups of a step, with more problems for those that the algorithm drops, up to its `rounds`."""
        wanted = self.settings.problems_per_step
        scored = await self._collect(self.sampler.next(wanted), context)
        for again in range(1, self.algorithm.rounds):
            missing = wanted - len(self.algorithm.select(scored))
            if missing <= 0:
                break
            scored += await self._collect(self.sampler.next(missing), context, "again", again)
        return scored

    async def _collect(
        self, problems: Sequence[Problem], context: RewardContext, *round_: str | int
    ) -> list[ScoredGroup]:
        samples = self.settings.rollouts_per_problem
        with self.console.phase("rollouts", total=len(problems) * samples) as progress:
            return await collect(
                self.placement.engine,
                self.policy,
                problems,
                self.reward,
                samples=samples,
                sampling=self.sampling,
                seed=(self.seed, "train", context.step, *round_),
                version=self.step,
                context=context,
                on_rollout=progress.advance,
            )

    def _believable(self, scored: list[ScoredGroup]) -> list[ScoredGroup]:
        return believable(scored, self.unscored, self.settings.max_unscored, self.settings.unscored_window)

    async def evaluate(self) -> Evaluation:
        """Evaluate on the held-out problems now; logs it, and keeps the policy in `best` when it is the best so far."""
        settings = self.evaluation_settings
        count = len(self.held_out[: settings.limit]) * (settings.samples + settings.greedy)
        with self.console.phase("evaluation", total=count) as progress:
            result = await evaluate(
                self.placement.engine,
                self.policy,
                self.held_out,
                self.reward,
                settings=settings,
                sampling=self.sampling,
                seed=(self.seed,),
                version=self.step,
                context=RewardContext(self.step, self.reward_state),
                on_rollout=progress.advance,
            )
        self.last_evaluation, self.evaluated_step = result, self.step
        self.console.evaluation({"step": self.step, "name": result.name, **result.row()})
        improved = False
        if result.accuracy is not None:  # a judge that was down says nothing of the policy: neither best nor patience
            sure = result.accuracy * (1 - result.unscored)  # what the judge could not score wins nothing
            improved = sure > self.best.get("accuracy", -1.0)
            self.evaluations_since_best = 0 if improved else self.evaluations_since_best + 1
            if improved:
                self.best = {"step": self.step, "accuracy": sure}
        for tracker in self.trackers:
            tracker.log(self.step, result.row(), phase=result.name)
        if self.run is not None:
            self.run.log_evaluation(self.step, result.name, result.row())
            for name, asked in ((result.name, result.sampled), (f"{result.name}_greedy", result.greedy)):
                if asked:
                    self.run.log_rollouts(self.step, [s.group for s in asked], [s.scores for s in asked], name=name)
            if improved:
                self.save(self.run.best)
        return result

    async def _evaluate_and_save(self, *, last: bool) -> None:
        def due(every: int) -> bool:
            return last or (every > 0 and self.step % every == 0)

        if self.held_out and due(self.settings.evaluate_every):
            await self.evaluate()
        if self.run is not None and due(self.settings.save_every):
            checkpoints.save(self, self.run)

    def _should_stop(self) -> bool:
        target, patience = self.settings.stop_at_accuracy, self.settings.patience
        if target is not None and self.best.get("accuracy", -1.0) >= target:
            return True
        return patience is not None and self.evaluations_since_best >= patience

    def _log(
        self, metrics: dict[str, float], scored: Sequence[ScoredGroup], groups: Sequence[ScoredGroup], batch: Batch
    ) -> None:
        metrics |= watch_unscored(scored, self.reward, self.settings, self.alarm_state, self.console.say)
        self.console.row({"step": self.step, **metrics})
        for tracker in self.trackers:
            tracker.log(self.step, metrics)
        if self.run is not None:
            self.run.log_metrics(self.step, metrics)
            if self.settings.log_rollouts:
                advantages = advantages_by_group(scored, groups, batch)
                self.run.log_rollouts(self.step, [s.group for s in scored], [s.scores for s in scored], advantages)

    def resume(self) -> bool:
        """Go back to the run's latest checkpoint and cut the logs back to it; False where there is none yet."""
        if self.run is None:
            raise ValueError("there is nothing to resume: the trainer was made without a run folder")
        return checkpoints.restore(self, self.run)

    def save(self, path: str | Path) -> None:
        """Write the policy as a Hugging Face folder, whole or not at all."""
        with atomic_folder(path) as folder:
            self.policy.save(folder)
