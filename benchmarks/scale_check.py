"""Real training runs beside what the simulator predicts for them; a part of `scale.py`.

Rates are fitted to the steps of a few small settings, and the step time of other settings (more rollouts, shorter or longer
ones, fewer slots, more engines) is predicted before it is compared. All settings take their steps in turns, so that what else
runs on the machine slows all of them alike.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

LR = 1e-7  # so small that the model, and with it the lengths, stay as they are


@dataclass(frozen=True)
class Setting:
    """One training run.

    Attributes:
        problems: P.
        samples: G.
        limit: Longest response.
        slots: Rows that an engine writes at the same time.
        engines: Engines.
        ranks: Ranks of the learner.
        fits: Whether the rates are fitted to it; what is predicted is not.
    """

    problems: int
    samples: int
    limit: int = 160
    slots: int = 256
    engines: int = 1
    ranks: int = 1
    fits: bool = False

    def __str__(self) -> str:
        few = f", {self.slots} slots" if self.slots < self.problems * self.samples else ""
        several = f", {self.engines} engines + {self.ranks} ranks" if self.engines > 1 or self.ranks > 1 else ""
        return f"{self.problems} x {self.samples} of at most {self.limit} tokens{few}{several}"


LOCAL = (
    Setting(1, 4, fits=True),
    Setting(4, 4, fits=True),
    Setting(8, 8, fits=True),
    Setting(4, 8),
    Setting(16, 8, limit=96),
    Setting(2, 16, limit=64),
    Setting(8, 8, limit=128, slots=32),
)


@dataclass
class Step:
    """What one real step did.

    Attributes:
        lengths: Tokens of the responses, by group.
        prompt: Tokens of a prompt, as mean.
        seconds: By phase; see `medrl.trainers.metrics`. In one process they are of its CPU clock.
    """

    lengths: list[list[int]]
    prompt: float
    seconds: dict[str, float]


@dataclass
class Run:
    """A setting, and its steps."""

    setting: Setting
    steps: list[Step] = field(default_factory=list)


class Bench:
    """One trainer that takes steps of several settings in turns. It is the trainer's tracker, and sees what the reward sees.

    `placement` says where engine and learner are. Without one they are in this process, where nothing waits for anything,
    and seconds are those of its CPU clock.
    """

    def __init__(self, policy: Any, problems: Sequence[Any], placement: Any = None) -> None:
        from medrl.algorithms import GRPO
        from medrl.engines import Sampling
        from medrl.learners import Optimization
        from medrl.rewards import reward
        from medrl.trainers.rl import Trainer
        from medrl.trainers.settings import TrainerSettings
        from medrl.types import Problem, Response

        self.cpu = placement is None
        self.prompts = {p.id: len(policy.prompt_ids(p)) for p in problems}
        self.seen: dict[str, list[int]] = {}
        self.spent: dict[str, float] = {}
        self.steps: list[Step] = []

        @reward("vowels")
        def vowels(problem: Problem, response: Response) -> float:
            """Share of vowels, which differs between nearly all responses, so that all of them train."""
            self.seen.setdefault(problem.id, []).append(response.token_count or 0)
            return sum(c in "aeiou" for c in response.text) / max(len(response.text), 1)

        self.trainer = Trainer(
            policy,
            problems,
            vowels,
            GRPO(),
            settings=TrainerSettings(steps=1_000_000, evaluate_every=0),
            sampling=Sampling(),
            optimization=Optimization(lr=LR, share_prompts="off"),  # the simulator knows rows apart alone
            trackers=[self],
            placement=placement,
        )
        if self.cpu:
            learner = self.trainer.placement.learner
            learner.forward = self.clocked("forward", learner.forward)
            learner.update = self.clocked("update", learner.update)

    def take(self, run: Run) -> None:
        """One step as the run's setting has it."""
        setting, trainer = run.setting, self.trainer
        trainer.settings = replace(
            trainer.settings, problems_per_step=setting.problems, rollouts_per_problem=setting.samples
        )
        trainer.sampling = replace(trainer.sampling, max_tokens=setting.limit)
        if self.cpu:
            trainer.placement.engine.max_rows = setting.slots
        self.seen, self.spent = {}, {}
        begun = time.process_time()
        trainer.fit(trainer.step + 1)
        step = self.steps.pop()
        if self.cpu:
            whole = time.process_time() - begun
            step.seconds = {**self.spent, "step": whole, "rollout": whole - sum(self.spent.values()), "sync": 0.0}
        run.steps.append(step)

    def log(self, step: int, metrics: Mapping[str, Any], *, phase: str = "rl") -> None:
        """Take in what a step did."""
        seconds = {name: metrics[f"time/{name}"] for name in ("rollout", "forward", "update", "sync", "step")}
        prompt = statistics.mean(self.prompts[problem] for problem in self.seen)
        self.steps.append(Step(list(self.seen.values()), prompt, seconds))

    def close(self) -> None:
        """Nothing to close."""

    def clocked(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, whose CPU seconds are counted under `name`."""

        def counted(*arguments: Any, **named: Any) -> Any:
            begun = time.process_time()
            try:
                return work(*arguments, **named)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begun

        return counted


def sampling_features(step: Step) -> list[float]:
    """What the rates of an engine are multiplied with, where all rows run at once: call, steps, rows, context, rollouts."""
    lengths = [n for group in step.lengths for n in group]
    later = [n - 1 for n in lengths]  # the prompt's pass draws the first token
    context = sum(n * (step.prompt + 1) + n * (n - 1) / 2 for n in later)
    return [1.0, float(max(later)), float(sum(later)), context, float(len(lengths)), step.prompt * len(step.lengths)]


def learning_features(step: Step, ranks: int) -> list[float]:
    """What the rates of a learner are multiplied with: update, tokens of a rank."""
    return [1.0, sum(step.prompt + n for group in step.lengths for n in group) / ranks]


def fit(features: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Rates of at least 0 with the least squared relative error; every set of rates that are 0 is tried."""
    import numpy as np

    scaled = np.array(features) / np.array(seconds)[:, None]
    wanted = np.ones(len(seconds))
    best, rates = float("inf"), np.zeros(scaled.shape[1])
    for size in range(1, scaled.shape[1] + 1):
        for chosen in map(list, combinations(range(scaled.shape[1]), size)):
            found = np.linalg.lstsq(scaled[:, chosen], wanted, rcond=None)[0]
            error = float(((scaled[:, chosen] @ found - wanted) ** 2).sum())
            if (found >= 0).all() and error < best * (1 - 1e-6):
                best, rates = error, np.zeros(scaled.shape[1])
                rates[chosen] = found
    return [float(rate) for rate in rates]


def measured_rates(runs: Sequence[Run], gate: float) -> dict[int, Any]:
    """Rates by the number of ranks, from the runs that are fitted to.

    Those of an engine are of the runs with one engine; those of a learner of the runs with as many ranks, since what ranks
    exchange must be measured with so many.
    """
    from medrl.sizing import EngineRates, LearnerRates, Rates

    alone = [step for run in runs if run.setting.fits and run.setting.engines == 1 for step in run.steps]
    call, each, row, context, rollout, prompt = fit(
        [sampling_features(step) for step in alone], [step.seconds["rollout"] for step in alone]
    )
    engine = EngineRates(
        step=each, row=row, context=context, rollout=rollout, call=call, prompt=prompt, slots=256, gate=gate
    )
    rates = {}
    for ranks in sorted({run.setting.ranks for run in runs}):
        steps = [step for run in runs if run.setting.fits and run.setting.ranks == ranks for step in run.steps]
        update, token = fit(
            [learning_features(step, ranks) for step in steps],
            [step.seconds["forward"] + step.seconds["update"] for step in steps],
        )
        sync = statistics.median(step.seconds["sync"] for step in steps)
        rates[ranks] = Rates(engine, LearnerRates(token=token, update=update, ranks=ranks), sync=sync)
    return rates


@dataclass(frozen=True)
class Comparison:
    """A setting that was predicted.

    Attributes:
        setting: Which.
        predicted: Seconds of a step, median, with lengths drawn from those of the fitted runs.
        measured: Seconds of a step, median.
        of_step: The prediction's relative error for each step by its own lengths, median of the absolute values.
        phases: Seconds of sampling and of learning, predicted (mean) and measured (median).
    """

    setting: Setting
    predicted: float
    measured: float
    of_step: float
    phases: dict[str, tuple[float, float]]

    @property
    def error(self) -> float:
        """Relative, with its sign."""
        return self.predicted / self.measured - 1


def compare(run: Run, rates: Any, seen: Sequence[int], prompt: float) -> Comparison:
    """Predict a setting from the rates and from lengths of other settings, and measure how far off that is."""
    from medrl.sizing import Lengths, Workload, simulate

    setting = run.setting
    there = replace(rates, engine=replace(rates.engine, slots=setting.slots))
    work = Workload(setting.problems, setting.samples, round(prompt), Lengths(seen=tuple(seen), limit=setting.limit))
    simulated = simulate(there, work, engines=setting.engines, steps=50, warmup=0)
    own = simulate(
        there, work, engines=setting.engines, steps=len(run.steps), warmup=0, lengths=[s.lengths for s in run.steps]
    ).seconds
    errors = [abs(mine / step.seconds["step"] - 1) for mine, step in zip(own, run.steps, strict=True)]
    measured = statistics.median(step.seconds["step"] for step in run.steps)
    sampling = statistics.median(step.seconds["rollout"] for step in run.steps)
    learning = statistics.median(step.seconds["forward"] + step.seconds["update"] for step in run.steps)
    phases = {"sampling": (simulated.sampling, sampling), "learning": (simulated.learning, learning)}
    return Comparison(setting, statistics.median(simulated.seconds), measured, statistics.median(errors), phases)


def check(
    policy: Any, problems: Sequence[Any], rounds: int, warmup: int = 2
) -> tuple[dict[int, Any], list[Comparison]]:
    """Run all settings in this process, fit, and compare."""
    bench, runs = Bench(policy, problems), [Run(setting) for setting in LOCAL]
    for _ in range(warmup + rounds):
        for run in runs:
            bench.take(run)
    for run in runs:
        del run.steps[:warmup]
    return judge(runs, gate=0.25)


def judge(runs: Sequence[Run], gate: float) -> tuple[dict[int, Any], list[Comparison]]:
    """The rates of the runs that are fitted to, and how well all of them are predicted."""
    fitted = [step for run in runs if run.setting.fits for step in run.steps]
    rates = measured_rates(runs, gate)
    seen = [n for step in fitted for group in step.lengths for n in group]
    prompt = statistics.mean(step.prompt for step in fitted)
    return rates, [compare(run, rates[run.setting.ranks], seen, prompt) for run in runs]
