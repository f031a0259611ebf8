"""Real training runs beside what the simulator predicts for them; a part of `scale.py`.

Rates are fitted to the steps of a few small settings, and the step time of other settings (more rollouts, shorter or longer
ones, fewer slots, more engines) is predicted before it is compared. All settings take their steps in turns, so that what else
runs on the machine slows all of them alike.
"""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
        fits: Whether the rates are fitted to it; what is predicted is not.
    """

    problems: int
    samples: int
    limit: int = 160
    slots: int = 256
    engines: int = 1
    fits: bool = False

    def __str__(self) -> str:
        few = f", {self.slots} slots" if self.slots < self.problems * self.samples else ""
        several = f", {self.engines} engines" if self.engines > 1 else ""
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
    """A setting's trainer, and its steps. It is the trainer's tracker and writes down what the reward sees."""

    setting: Setting
    trainer: Any = None
    cpu: bool = True  # seconds of this process's CPU clock instead of those on the wall
    steps: list[Step] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=dict)
    prompts: dict[str, int] = field(default_factory=dict)

    def log(self, step: int, metrics: Mapping[str, Any], *, phase: str = "rl") -> None:
        seconds = {name: metrics[f"time/{name}"] for name in ("rollout", "forward", "update", "sync", "step")}
        prompt = statistics.mean(self.prompts[problem] for problem in self.seen)
        self.steps.append(Step(list(self.seen.values()), prompt, seconds))
        self.seen = {}

    def take(self) -> None:
        """One step."""
        self.spent = {}
        begun = time.process_time()
        self.trainer.fit(self.trainer.step + 1)
        if self.cpu:
            step = time.process_time() - begun
            self.steps[-1].seconds = self.spent | {
                "step": step,
                "rollout": step - sum(self.spent.values()),
                "sync": 0.0,
            }

    def clocked(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, whose CPU seconds are counted under `name`."""

        def counted(*arguments: Any, **named: Any) -> Any:
            begun = time.process_time()
            try:
                return work(*arguments, **named)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begun

        return counted

    def close(self) -> None:
        """Nothing to close."""


def start(
    setting: Setting, policy: Any, problems: Sequence[Any], place: Callable[[Any, Setting], Any] | None = None
) -> Run:
    """A trainer of its own for a setting, with a copy of the policy; `place` says where engine and learner are.

    Without it they are in this process, and seconds are those of its CPU clock.
    """
    from medrl.algorithms import GRPO
    from medrl.engines import Sampling
    from medrl.learners import Optimization
    from medrl.rewards import reward
    from medrl.trainers.rl import Trainer
    from medrl.trainers.settings import TrainerSettings
    from medrl.types import Problem, Response

    run = Run(setting, prompts={p.id: len(policy.prompt_ids(p)) for p in problems}, cpu=place is None)

    @reward("vowels")
    def vowels(problem: Problem, response: Response) -> float:
        """Share of vowels, which differs between nearly all responses, so that all of them train."""
        run.seen.setdefault(problem.id, []).append(response.token_count or 0)
        return sum(c in "aeiou" for c in response.text) / max(len(response.text), 1)

    own = copy.deepcopy(policy)
    run.trainer = Trainer(
        own,
        problems,
        vowels,
        GRPO(),
        settings=TrainerSettings(
            steps=10_000, problems_per_step=setting.problems, rollouts_per_problem=setting.samples, evaluate_every=0
        ),
        sampling=Sampling(max_tokens=setting.limit),
        optimization=Optimization(lr=LR),
        trackers=[run],
        placement=place(own, setting) if place is not None else None,
        max_rows=setting.slots,
    )
    if run.cpu:
        learner = run.trainer.placement.learner
        learner.forward, learner.update = run.clocked("forward", learner.forward), run.clocked("update", learner.update)
    return run


def take_turns(runs: Sequence[Run], rounds: int, warmup: int) -> None:
    """One step of each run after the other, `warmup + rounds` times; what warms up is forgotten."""
    for _ in range(warmup + rounds):
        for run in runs:
            run.take()
    for run in runs:
        del run.steps[:warmup]


def sampling_features(step: Step) -> list[float]:
    """What the rates of an engine are multiplied with, where all rows run at once: call, steps, rows, context, rollouts."""
    lengths = [n for group in step.lengths for n in group]
    later = [n - 1 for n in lengths]  # the prompt's pass draws the first token
    context = sum(n * (step.prompt + 1) + n * (n - 1) / 2 for n in later)
    return [1.0, float(max(later)), float(sum(later)), context, float(len(lengths)), step.prompt * len(step.lengths)]


def learning_features(step: Step) -> list[float]:
    """What the rates of a learner are multiplied with: update, tokens."""
    return [1.0, sum(step.prompt + n for group in step.lengths for n in group)]


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


def measured_rates(runs: Sequence[Run], gate: float) -> Any:
    """Rates of the runs that are fitted to."""
    from medrl.sizing import EngineRates, LearnerRates, Rates

    steps = [step for run in runs if run.setting.fits for step in run.steps]
    call, each, row, context, rollout, prompt = fit(
        [sampling_features(step) for step in steps], [step.seconds["rollout"] for step in steps]
    )
    update, token = fit(
        [learning_features(step) for step in steps],
        [step.seconds["forward"] + step.seconds["update"] for step in steps],
    )
    return Rates(
        engine=EngineRates(
            step=each, row=row, context=context, rollout=rollout, call=call, prompt=prompt, slots=256, gate=gate
        ),
        learner=LearnerRates(token=token, update=update),
        sync=statistics.median(step.seconds["sync"] for step in steps),
    )


@dataclass(frozen=True)
class Comparison:
    """A setting that was predicted.

    Attributes:
        setting: Which.
        predicted: Seconds of a step, median, with lengths drawn from those of the fitted runs.
        measured: Seconds of a step, median.
        of_step: The prediction's relative error for each step by its own lengths, median of the absolute values.
    """

    setting: Setting
    predicted: float
    measured: float
    of_step: float

    @property
    def error(self) -> float:
        """Relative, with its sign."""
        return self.predicted / self.measured - 1


def compare(run: Run, rates: Any, seen: Sequence[int], prompt: float) -> Comparison:
    """Predict a setting from the rates and from lengths of other settings, and measure how far off that is."""
    from dataclasses import replace

    from medrl.sizing import Lengths, Workload, simulate

    setting = run.setting
    there = replace(rates, engine=replace(rates.engine, slots=setting.slots))
    work = Workload(setting.problems, setting.samples, round(prompt), Lengths(seen=tuple(seen), limit=setting.limit))
    steps = simulate(there, work, engines=setting.engines, steps=50, warmup=0).seconds
    own = simulate(
        there, work, engines=setting.engines, steps=len(run.steps), warmup=0, lengths=[s.lengths for s in run.steps]
    ).seconds
    errors = [abs(mine / step.seconds["step"] - 1) for mine, step in zip(own, run.steps, strict=True)]
    measured = statistics.median(step.seconds["step"] for step in run.steps)
    return Comparison(setting, statistics.median(steps), measured, statistics.median(errors))


def check(
    policy: Any,
    problems: Sequence[Any],
    settings: Sequence[Setting],
    rounds: int,
    warmup: int = 1,
) -> tuple[Any, list[Comparison]]:
    """Run all settings in this process, fit, and compare."""
    runs = [start(setting, policy, problems) for setting in settings]
    take_turns(runs, rounds, warmup)
    return judge(runs, gate=0.25)


def judge(runs: Sequence[Run], gate: float) -> tuple[Any, list[Comparison]]:
    """The rates of the runs that are fitted to, and how well all of them are predicted."""
    fitted = [step for run in runs if run.setting.fits for step in run.steps]
    rates = measured_rates(runs, gate)
    seen = [n for step in fitted for group in step.lengths for n in group]
    prompt = statistics.mean(step.prompt for step in fitted)
    return rates, [compare(run, rates, seen, prompt) for run in runs]
