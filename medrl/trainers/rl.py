"""The reinforcement-learning loop: sample, score, take advantages, update, publish. `Trainer._fit` is all of it.

The loop cannot tell where engine and learner run (`Placement`), nor which algorithm it runs.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from medrl.algorithms import GRPO, Algorithm, Batch
from medrl.cluster import LocalPlacement, Placement
from medrl.data.mixtures import ProblemSampler
from medrl.engines import Engine, Sampling, context_of
from medrl.environments import Environment, check_problems
from medrl.errors import LearnerLost, UpdateBrokenOff
from medrl.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate
from medrl.files import atomic_folder
from medrl.learners import Optimization
from medrl.models import Policy
from medrl.rewards import Reward, RewardContext
from medrl.rollouts import (
    Ahead,
    Classroom,
    Episodes,
    Ordered,
    Patient,
    Teacher,
    Timed,
    TurnTemplate,
    believable,
    collect,
    policy_written,
    undisturbed,
)  # fmt: skip
from medrl.seeds import seed_of
from medrl.tracking import RunConsole, RunFolder, Tracker
from medrl.trainers import checkpoints
from medrl.trainers.alarm import watch_unscored
from medrl.trainers.cards import card_warnings
from medrl.trainers.checks import check_reward, fitting_problems
from medrl.trainers.efficiency import Meter
from medrl.trainers.metrics import Laps, advantages_by_group, step_metrics, verifier_metrics
from medrl.trainers.settings import TrainerSettings
from medrl.trainers.stopping import bounded_by
from medrl.types import Problem, ScoredGroup
from medrl.verifiers.protocol import run_sync

T = TypeVar("T")


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
        console: Where progress is printed; None prints nothing, and logs warnings.
        placement: Where engine and learner run; the embedded one when empty.
        teacher: Whose answers may take places in groups, until the policy's are as good; none when empty.
        max_staleness: Versions by which rollouts may be behind the policy that trains on them; 0 is on-policy. Above 0 the
            placement must be able to sample and train at the same time, and the algorithm should correct for it.
        max_rows: Responses that the embedded engine writes at the same time.
        environment: What answers the policy between turns; None for a single turn.
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
        teacher: Teacher | None = None,
        max_staleness: int = 0,
        max_rows: int = 256,
        environment: Environment | None = None,
        seed: int = 0,
    ) -> None:
        self.policy = Policy.load(policy) if isinstance(policy, str) else policy
        self.reward, self.algorithm = reward, algorithm or GRPO()
        self.settings, self.sampling = settings or TrainerSettings(), sampling or Sampling()
        self.evaluation_settings = evaluation or EvaluationSettings()
        self.run, self.trackers, self.seed = run, trackers, seed
        self.console = console or RunConsole(quiet=True)
        check_reward(reward, held_out, teacher)
        self.policy.check()
        if teacher is not None and environment is not None:
            raise ValueError("a teacher answers in one turn, and an environment asks for several; give one of them")
        self.environment = environment
        turn = self.sampling.max_tokens
        self.longest = environment.longest(turn) if environment else turn  # tokens after a prompt
        whole = replace(self.sampling, max_tokens=self.longest)
        limit = "environment.max_tokens" if environment else "sampling.max_tokens"
        fits = limit, context_of(self.policy.context, placement.engine if placement else None)
        self.problems = fitting_problems(self.policy, problems, whole, self.settings, "problems to train on", *fits)
        self.held_out = fitting_problems(self.policy, held_out, whole, self.settings, "held-out problems", *fits)
        if environment is not None:
            check_problems(environment, [*self.problems, *self.held_out])
            if environment.max_turns > 1:
                TurnTemplate(self.policy)  # raises where the chat template cannot carry several turns
        self.classroom = Classroom(teacher, self.policy, self.problems, self.sampling.max_tokens)
        optimization = (optimization or Optimization()).for_algorithm(self.algorithm)
        self.meter = Meter(self.policy, optimization, self.settings.peak_tflops)
        self.placement: Placement = placement or LocalPlacement(
            self.policy,
            optimization.over(self.settings.updates(self.algorithm)),
            reference="ref_logprobs" in self.algorithm.needs,
            max_rows=max_rows,
        )
        patience = self.settings.outage_patience
        patient = Patient(self.placement.scorer(reward), self.settings.max_unscored, patience, self.console.say)
        self.scorer = Timed(patient)
        if max_staleness and not self.placement.concurrent:
            raise ValueError(f"max_staleness is {max_staleness}, but this placement samples and trains in turn; take 0")
        self.sampler = ProblemSampler(self.problems, seed=seed_of(seed, "order"))
        self.ahead = Ahead(self._order, self._sample, max_staleness)
        self.step = 0  # finished steps; also the version of the policy
        self.algorithm_state: dict[str, Any] = {}
        self.reward_state: dict[str, Any] = {}
        self.alarm_state: dict[str, Any] = {}
        self.unscored: list[list[int]] = []  # of the last steps, how many rollouts had no score, of how many
        self.best: dict[str, float] = {}  # step and accuracy of the best policy so far, the unscored taken as wrong
        self.evaluations_since_best = 0
        self.evaluated_step = -1
        self.tracked: dict[str, int] = {}  # the last step that trackers know, by phase
        self.last_evaluation: Evaluation | None = None
        self.beginning = json.loads(json.dumps(checkpoints.state_of(self)))  # a copy: states change in place

    def fit(self, steps: int | None = None) -> None:
        """Train up to `steps` finished steps (the settings' number when empty). Goes on where a resumed run stopped."""
        self.console.warn(*card_warnings(self.reward))
        run_sync(self._fit(self.settings.steps if steps is None else steps))

    async def _fit(self, steps: int) -> None:
        taken = self.step  # the last step whose rollouts were handed out
        stop = bounded_by(self.settings.stop_grace, lambda: self.placement.learner)
        try:
            with stop, self.console.phase("RL", total=steps, done=self.step) as progress:
                while True:
                    try:
                        await self._evaluate_first()
                        if self.step >= steps or self._should_stop():
                            return await self._finish()
                        self._machines()  # what evaluations and checkpoints did is no part of the step
                        laps, counted, before = Laps(), self.scorer.statistics(), checkpoints.step_state(self)
                        scored, ordered = await self.ahead.next(self.step + 1, steps)
                        taken = ordered.step
                        laps("rollout")
                        await undisturbed(self._train(scored, ordered.context, laps, counted))
                        await self._evaluate_and_save(last=self.step == steps)
                    except LearnerLost as lost:
                        await self._recover(lost)
                        taken = self.step
                    except UpdateBrokenOff as broken:
                        taken = await self._back(broken, before, ordered)
                        raise asyncio.CancelledError from broken
                    progress.advance(self.step - progress.done)
        except asyncio.CancelledError:  # Ctrl-C
            await self.ahead.close()
            if taken <= self.step:  # else half an update is done that cannot be undone: an older checkpoint is whole
                self._keep()
            raise
        finally:
            await self.ahead.close()

    async def _train(
        self, scored: list[ScoredGroup], context: RewardContext, laps: Laps, counted: Mapping[str, Mapping[str, Any]]
    ) -> None:
        learner, engine, step = self.placement.learner, self.placement.engine, self.step + 1

        # 1. P problems, G rollouts of each, all scored: what cannot be believed trains nothing
        self.reward.learn(policy_written(scored), self.reward_state)
        taught = self.classroom.learn(scored)
        scored = believable(scored, self.unscored, self.settings.max_unscored, self.settings.unscored_window)

        # 2. rewards become advantages
        groups = self.algorithm.select(scored) or scored
        batch = Batch.from_groups(groups, self.longest, self.sampling.temperature)
        exact = self.ahead.staleness == 0 and batch.teacher_mask_BT is None and engine.exact(self.sampling)
        batch = await self._away(learner.forward, batch, self.algorithm.needs, exact_rollouts=exact)
        batch = self.algorithm.advantages(batch, self.algorithm_state)
        laps("forward")

        # 3. advantages become weights, and the weights go back to the engine
        learned = await self._away(learner.update, batch, self.algorithm, seed_of(self.seed, "update", step))
        laps("update")
        await self._away(self.placement.sync.publish, step)
        self.step = step
        laps("sync")

        # 4. what happened
        spent, learned = laps.seconds | context.seconds, learned | self.algorithm.figures(batch) | taught
        metrics = step_metrics(scored, learned, spent, self.reward, self.settings.max_unscored, step - 1)
        metrics |= verifier_metrics(counted, self.scorer.statistics()) | self._machines()
        passes = self.algorithm.needs - ({"old_logprobs"} if exact else set())
        seconds = spent["forward"] + spent["update"]
        metrics |= await self._away(self.meter.figures, learner, self.algorithm, batch, passes, learned, seconds)
        self._log(metrics, scored, groups, batch)

    async def evaluate(self) -> Evaluation:
        """Evaluate on the held-out problems now; logs it, and keeps the policy in `best` when it is the best so far."""
        settings = self.evaluation_settings
        count = len(self.held_out[: settings.limit]) * (settings.samples + settings.greedy)
        with self.console.phase("evaluation", total=count) as progress:
            result = await evaluate(
                self._engine(self.held_out),
                self.policy,
                self.held_out,
                self.reward,
                settings=settings,
                sampling=self.sampling,
                seed=(self.seed,),
                version=self.step,
                context=RewardContext(self.step, self.reward_state),
                scorer=self.scorer,
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
        self._track(result.name, result.row())
        if self.run is not None:
            self.run.log_evaluation(self.step, result.name, result.row())
            for name, asked in ((result.name, result.sampled), (f"{result.name}_greedy", result.greedy)):
                if asked:
                    self.run.log_rollouts(self.step, [s.group for s in asked], [s.scores for s in asked], name=name)
            if improved:
                self.save(self.run.best)
        return result

    async def _recover(self, lost: LearnerLost) -> None:
        """A new learner for a lost one, and the loop where the latest checkpoint left it."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # Ctrl-C came first: the run is to end
            raise lost
        await self.ahead.close()
        checkpoints.recover(self, lost)

    async def _back(self, broken: UpdateBrokenOff, before: Mapping[str, Any], ordered: Ordered) -> int:
        """After an update that Ctrl-C broke off: the loop before it, if the learner is; the last step begun."""
        if not broken.whole:
            return ordered.step
        await self.ahead.close()
        checkpoints.take_back(self, before, ordered)
        return self.step

    async def _evaluate_first(self) -> None:
        """The evaluation before training, and one that a stop came before."""
        due = self.step == 0 or self._due(self.settings.evaluate_every)
        if self.held_out and self.evaluated_step != self.step and due:
            await self.evaluate()

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    async def _evaluate_and_save(self, *, last: bool) -> None:
        if self.held_out and (last or self._due(self.settings.evaluate_every)):
            await self.evaluate()
        if self.run is not None and (last or self._due(self.settings.save_every)):
            checkpoints.save(self, self.run)

    def _order(self, step: int) -> Ordered:
        problems = self.sampler.next(self.settings.problems_per_step)
        return Ordered(step, problems, RewardContext(step, self.reward_state))

    async def _sample(self, ordered: Ordered) -> list[ScoredGroup]:
        """The scored groups of a step, with more problems for those that the algorithm drops, up to its `rounds`."""
        scored, wanted = await self._collect(ordered), self.settings.problems_per_step
        while ordered.rounds < self.algorithm.rounds and (missing := wanted - len(self.algorithm.select(scored))) > 0:
            ordered.problems += self.sampler.next(missing)
            ordered.rounds += 1
            scored = await self._collect(ordered)
        return scored

    async def _collect(self, ordered: Ordered) -> list[ScoredGroup]:
        samples = self.settings.rollouts_per_problem
        left = (len(ordered.problems) - len(ordered.kept)) * samples
        with self.console.phase("rollouts", total=left) if self.ahead.staleness == 0 else nullcontext() as progress:
            return await collect(
                self._engine(ordered.problems),
                self.policy,
                ordered.problems,
                self.scorer,
                samples=samples,
                sampling=self.sampling,
                seed=(self.seed, "train", ordered.step),
                version=self.step,
                context=ordered.context,
                kept=ordered.kept,
                classroom=self.classroom,
                on_rollout=progress.advance if progress else lambda: None,
            )

    def _engine(self, problems: Sequence[Problem]) -> Engine:
        """The placement's engine; with an environment its rollouts are whole episodes."""
        engine = self.placement.engine
        return engine if self.environment is None else Episodes(engine, self.policy, self.environment, problems)

    def _machines(self) -> dict[str, float]:
        """How engines, queues and scoring did since the last call."""
        return self.placement.figures() | self.scorer.figures()

    async def _away(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """In a thread where rollouts of coming steps are under way, so that they go on."""
        if self.ahead.staleness == 0:
            return work(*arguments, **named)
        return await asyncio.to_thread(work, *arguments, **named)

    async def _finish(self) -> None:
        """The last checkpoint and the last evaluation, where the last step had none."""
        self._keep()
        if self.held_out and self.evaluated_step != self.step:
            await self.evaluate()

    def _keep(self) -> None:
        """Save where the run ends between two checkpoints, or with groups that the latest one does not have."""
        sampled = any(one.kept for one in self.ahead.ordered)
        if self.run is not None and (sampled or (self.step > 0 and checkpoints.latest_step(self.run) != self.step)):
            checkpoints.save(self, self.run)

    def _should_stop(self) -> bool:
        target, patience = self.settings.stop_at_accuracy, self.settings.patience
        if target is not None and self.best.get("accuracy", -1.0) >= target:
            return True
        return patience is not None and self.evaluations_since_best >= patience

    def _track(self, phase: str, row: Mapping[str, Any]) -> None:
        """Tell the trackers, who cannot be cut back as the run's own logs are: of a step that is done again, once."""
        if self.step > self.tracked.get(phase, -1):
            self.tracked[phase] = self.step
            for tracker in self.trackers:
                tracker.log(self.step, row, phase=phase)

    def _log(
        self, metrics: dict[str, float], scored: Sequence[ScoredGroup], groups: Sequence[ScoredGroup], batch: Batch
    ) -> None:
        metrics |= watch_unscored(
            policy_written(scored), self.reward, self.settings, self.alarm_state, self.console.say
        )
        asked = self.settings.show_machines
        on_cluster = any(name.startswith("cluster/") for name in metrics)
        self.console.row({"step": self.step, **metrics}, machines=on_cluster if asked is None else asked)
        self._track("rl", metrics)
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
            self.placement.learner.save_policy(folder)
