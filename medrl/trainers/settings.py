"""The knobs of the reinforcement-learning loop."""

from dataclasses import dataclass
from typing import Literal

from medrl.algorithms import Algorithm


@dataclass(frozen=True)
class TrainerSettings:
    """How long, how much at a time, and what is kept."""

    steps: int = 100
    """Steps of sample, score, update."""

    problems_per_step: int = 32
    """P, problems sampled in a step. Typical 16 to 512."""

    rollouts_per_problem: int = 8
    """G, rollouts for each problem; the group's mean is the baseline. At least 2, typical 4 to 16."""

    evaluate_every: int = 20
    """Steps between evaluations on the held-out problems; 0 for none. They run before the first and after the last
    step too."""

    save_every: int = 20
    """Steps between checkpoints, from which a killed run goes on; 0 for the last step only."""

    stop_grace: float = 3.0
    """Seconds that an update may go on after Ctrl-C. Then it is broken off between two micro-batches, and the step before it
    is saved, with the step's rollouts. Typical 1 to 5; more where a step is dear and nothing waits for the machine."""

    keep_checkpoints: int = 2
    """Newest checkpoints kept. The best policy by held-out accuracy is kept apart, in `best`."""

    max_unscored: float = 0.5
    """A step trains nothing when more than this share of what its verifiers were asked about has no score, and the run stops
    with an error when more than this share has none over the last `unscored_window` steps. Typical 0.1 to 0.5."""

    outage_patience: float = 120.0
    """Seconds for which scoring waits where a judge that has worked before fails on more than `max_unscored` of a group: what
    it failed on is scored again, after pauses. 0 never waits; typical 60 to 600."""

    unscored_alarm: float | None = 0.3
    """Warn when having no score goes with short or long responses, or with danger, by a rank correlation of more than
    this over the last steps: a policy that gains by making its judge fail looks like that. 0.1 to 0.5; empty for never."""

    unscored_window: int = 20
    """Steps over which that correlation and the share of `max_unscored` are taken. Typical 10 to 50."""

    stop_at_accuracy: float | None = None
    """Stop when held-out accuracy reaches this; empty for never."""

    patience: int | None = None
    """Stop after so many evaluations without a better held-out accuracy; empty for never."""

    long_prompts: Literal["error", "drop"] = "error"
    """What to do with problems whose prompt leaves no room for a response in the model's context. Nothing is ever cut
    off a prompt: it would lose the assistant's header or the question."""

    peak_tflops: float | None = None
    """10^12 operations per second that the learner's devices can do together, as published, for `time/learner/mfu` (H100,
    dense bfloat16: 989 each). Empty measures a product of matrices at the first step, in less than a second."""

    show_machines: bool | None = None
    """Print a second row a step: how its time divided, queues, speeds of engines and learner, MFU, seconds of weight sync and
    of scoring, what verifiers cost, how old the tokens were. Empty prints it where engines and learner are apart."""

    log_rollouts: bool = True
    """Write every rollout with its verdicts to rollouts/."""

    def updates(self, algorithm: Algorithm) -> int:
        """Optimizer updates of the whole run, which learning rates that fall are spread over."""
        return self.steps * algorithm.epochs * algorithm.minibatches

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {getattr(self, name)}, below {least}"
            for name, least in (
                ("steps", 0), ("problems_per_step", 1), ("rollouts_per_problem", 2),
                ("evaluate_every", 0), ("stop_grace", 0), ("save_every", 0), ("keep_checkpoints", 1), ("unscored_window", 1),
                ("outage_patience", 0),
            )
            if getattr(self, name) < least
        ]  # fmt: skip
        if not 0.0 <= self.max_unscored < 1.0:
            faults.append(f"max_unscored is {self.max_unscored}; it must be at least 0 and below 1")
        if self.unscored_alarm is not None and not 0.0 < self.unscored_alarm < 1.0:
            faults.append(
                f"unscored_alarm is {self.unscored_alarm}; it must be above 0 and below 1, or empty for never"
            )
        if self.peak_tflops is not None and not self.peak_tflops > 0:
            faults.append(f"peak_tflops is {self.peak_tflops}; it must be above 0, or empty to be measured")
        if self.patience is not None and self.patience < 1:
            faults.append(f"patience is {self.patience}; it must be at least 1, or empty for never")
        if faults:
            raise ValueError("trainer: " + "; ".join(faults))
