"""The reinforcement-learning loop: sample, score, take advantages, update, publish. `Trainer._fit` is all of it.

The loop cannot tell where engine and learner run (`Placement`), nor which algorithm it runs.
"""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from medrl.algorithms import GRPO, Algorithm, Batch
from medrl.cluster import LocalPlacement, Placement
from medrl.data.mixtures import ProblemSampler
from medrl.engines import Sampling
from medrl.errors import CheckpointError, ProblemError, RecipeError
from medrl.evaluation import Evaluation, EvaluationSettings, evaluate
from medrl.files import atomic_folder
from medrl.learners import Optimization
from medrl.models import Policy
from medrl.rewards import Reward, RewardContext
from medrl.rollouts import collect, unscored_share
from medrl.seeds import seed_of
from medrl.tracking import RunConsole, RunFolder, Tracker
from medrl.trainers.metrics import step_metrics
from medrl.trainers.settings import TrainerSettings
from medrl.types import Problem, ScoredGroup
from medrl.verifiers.protocol import run_sync


class Trainer:
    """Trains a policy on problems by a reward.

    `Trainer(policy, problems, reward).fit()` is enough; everything else has a default. Log-probabilities, KL and clipping
    are those of the algorithm; see its docstring.
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
        seed: int = 0,
    ) -> None:
        """Put the pieces together and check that they fit, before any compute is spent.

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
            seed: Decides every draw.

        Raises:
            RecipeError: The reward tree would mislead (see `Reward.faults`).
            TemplateError: Chat template, EOS or vocabulary do not fit.
            ProblemError: No problems, ids used twice, or prompts too long.
        """
        self.policy = Policy.load(policy) if isinstance(policy, str) else policy
        self.reward, self.algorithm = reward, algorithm or GRPO()
        self.settings, self.sampling = settings or TrainerSettings(), sampling or Sampling()
        self.evaluation_settings = evaluation or EvaluationSettings()
        self.run, self.trackers, self.seed = run, trackers, seed
        self.console = console or RunConsole(quiet=True)
        if faults := reward.faults():
            raise RecipeError("the reward", faults)
        self.policy.check()
        self.problems = self._fitting(problems, "problems to train on")
        self.held_out = self._fitting(held_out, "held-out problems") if held_out else []
        if self.settings.problems_per_step > len(self.problems):
            raise ProblemError(
                f"problems_per_step is {self.settings.problems_per_step}, and there are {len(self.problems)} problems"
            )
        reference = "ref_logprobs" in self.algorithm.needs
        self.placement: Placement = placement or LocalPlacement(
            self.policy, optimization or Optimization(), reference=reference
        )
        self.sampler = ProblemSampler(self.problems, seed=seed_of(seed, "order"))
        self.step = 0  # finished steps; also the version of the policy
        self.algorithm_state: dict[str, Any] = {}
        self.reward_state: dict[str, Any] = {}
        self.best: dict[str, float] = {}  # step and accuracy of the best policy so far
        self.evaluations_since_best = 0
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
                step, started = self.step + 1, time.perf_counter()

                # 1. P problems, G rollouts of each, scored as each group completes
                problems = self.sampler.next(self.settings.problems_per_step)
                scored = await self._collect(problems, step)
                unscored_share(scored, bound=self.settings.max_unscored)
                sampled = time.perf_counter()

                # 2. rewards become advantages
                groups = self.algorithm.select(scored)
                batch = Batch.from_groups(
                    groups, max_response_tokens=self.sampling.max_tokens, temperature=self.sampling.temperature or 1.0
                )
                wanted = set(self.algorithm.needs)
                if "old_logprobs" in wanted and engine.exact_logprobs and not self.sampling.truncates:
                    batch = batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT)
                    wanted.remove("old_logprobs")
                batch = self.algorithm.advantages(learner.forward(batch, wanted), self.algorithm_state)

                # 3. advantages become weights, and the weights go back to the engine
                metrics = learner.update(batch, self.algorithm, seed_of(self.seed, "update", step))
                self.placement.sync.publish(step)
                self.step = step

                # 4. what happened
                done = time.perf_counter()
                times = {"rollout": sampled - started, "update": done - sampled, "step": done - started}
                self._log(step_metrics(scored, metrics, times, self.reward), scored, groups, batch)
                progress.advance()
                await self._evaluate_and_save(steps)
        if self.held_out and (self.last_evaluation is None or self._evaluated_step != self.step):
            await self.evaluate()

    async def _collect(self, problems: Sequence[Problem], step: int) -> list[ScoredGroup]:
        samples = self.settings.rollouts_per_problem
        with self.console.phase("rollouts", total=len(problems) * samples) as progress:
            return await collect(
                self.placement.engine,
                self.policy,
                problems,
                self.reward,
                samples=samples,
                sampling=self.sampling,
                seed=(self.seed, "train", step),
                version=self.step,
                context=RewardContext(step, self.reward_state),
                on_rollout=progress.advance,
            )

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
                on_rollout=progress.advance,
            )
        self.last_evaluation, self._evaluated_step = result, self.step
        self.console.evaluation({"step": self.step, "name": result.name, **result.row()})
        improved = result.accuracy is not None and result.accuracy > self.best.get("accuracy", -1.0)
        self.evaluations_since_best = 0 if improved else self.evaluations_since_best + 1
        if improved:
            assert result.accuracy is not None
            self.best = {"step": self.step, "accuracy": result.accuracy}
        if self.run is not None:
            self.run.log_evaluation(self.step, result.name, result.row())
            groups, scores = [s.group for s in result.sampled], [s.scores for s in result.sampled]
            self.run.log_rollouts(self.step, groups, scores, name=result.name)
            if improved:
                with atomic_folder(self.run.best) as folder:
                    self.policy.save(folder)
                    (folder / "medrl.json").write_text(json.dumps(self.best))
        return result

    async def _evaluate_and_save(self, steps: int) -> None:
        every = self.settings.evaluate_every
        if self.held_out and every and (self.step % every == 0 or self.step == steps):
            await self.evaluate()
        if self.run is not None:
            every = self.settings.save_every
            if self.step == steps or (every and self.step % every == 0):
                self.save_checkpoint()

    def _should_stop(self) -> bool:
        target, patience = self.settings.stop_at_accuracy, self.settings.patience
        if target is not None and self.best.get("accuracy", -1.0) >= target:
            return True
        return patience is not None and self.evaluations_since_best >= patience

    def _log(
        self, metrics: dict[str, float], scored: list[ScoredGroup], groups: list[ScoredGroup], batch: Batch
    ) -> None:
        self.console.row({"step": self.step, **metrics})
        for tracker in self.trackers:
            tracker.log(self.step, metrics)
        if self.run is not None:
            self.run.log_metrics(self.step, metrics)
            if self.settings.log_rollouts:
                advantages = _advantages_by_group(scored, groups, batch)
                self.run.log_rollouts(self.step, [s.group for s in scored], [s.scores for s in scored], advantages)

    def save(self, path: str | Path) -> None:
        """Write the policy as a Hugging Face folder, whole or not at all."""
        with atomic_folder(path) as folder:
            self.policy.save(folder)

    def save_checkpoint(self) -> None:
        """Write all that `resume` needs. A kill in the middle leaves the previous checkpoint as the latest."""
        assert self.run is not None
        with self.run.checkpoint(self.step) as folder:
            self.placement.learner.save(folder)
            (folder / "trainer.json").write_text(json.dumps(self._state(), indent=1))
        self.run.prune(self.settings.keep_checkpoints)

    def resume(self) -> bool:
        """Go back to the run's latest checkpoint, if it has one, and cut its logs back to it."""
        assert self.run is not None
        checkpoint = self.run.latest_checkpoint()
        if checkpoint is None:
            self.run.cut_back(-1)
            return False
        try:
            state = json.loads((checkpoint / "trainer.json").read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{checkpoint} is not a whole checkpoint: {error}; remove it to use an older one") from error
        self.placement.learner.load(checkpoint)
        self.sampler.load_state_dict(state["sampler"])
        self.step, self.best = state["step"], state["best"]
        self.algorithm_state, self.reward_state = state["algorithm"], state["reward"]
        self.evaluations_since_best = state["evaluations_since_best"]
        self.placement.sync.publish(self.step)
        self.run.cut_back(self.step)
        return True

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "sampler": self.sampler.state_dict(),
            "algorithm": self.algorithm_state,
            "reward": self.reward_state,
            "best": self.best,
            "evaluations_since_best": self.evaluations_since_best,
        }

    def _fitting(self, problems: Sequence[Problem], what: str) -> list[Problem]:
        """The problems whose prompts leave room for a response.

        Raises:
            ProblemError: There are none, ids occur twice, or (unless told to drop them) prompts are too long.
        """
        ids = [p.id for p in problems]
        twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
        if twice:
            raise ProblemError(f"{len(twice)} ids occur more than once among the {what}, the first being {twice[0]!r}")
        room = self.policy.context - min(self.sampling.max_tokens, self.policy.context // 2)
        lengths = {p.id: len(self.policy.prompt_ids(p)) for p in problems}
        long = [i for i, n in lengths.items() if n > room]
        if long and self.settings.long_prompts == "error":
            raise ProblemError(
                f"{len(long)} of {len(problems)} {what} have prompts of more than {room} tokens (the longest, {long[0]!r}, has "
                f"{max(lengths.values())}), which leaves no room for a response of {self.sampling.max_tokens} in a "
                f"context of {self.policy.context}; leave them out with trainer.long_prompts=drop, or lower max_tokens"
            )
        fitting = [p for p in problems if lengths[p.id] <= room]
        if not fitting:
            raise ProblemError(f"there are no {what}" + (f": all {len(long)} prompts are too long" if long else ""))
        return fitting


def _advantages_by_group(
    scored: list[ScoredGroup], groups: list[ScoredGroup], batch: Batch
) -> list[list[float | None]] | None:
    """One advantage per rollout for the traces; None where it was not trained on."""
    if batch.advantages_BT is None:
        return None
    per_row = batch.advantages_BT.sum(-1) / batch.loss_mask_BT.sum(-1).clamp(min=1)
    values = iter(zip(per_row.tolist(), batch.loss_mask_BT.any(-1).tolist(), strict=True))
    trained = {s.group.problem.id: [a if kept else None for a, kept in (next(values) for _ in s.scores)] for s in groups}
    return [trained.get(s.group.problem.id, [None] * len(s.scores)) for s in scored]
