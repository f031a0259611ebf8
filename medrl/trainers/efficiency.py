"""What a step cost its learner: tokens per second, and the share of the devices' peak."""

from collections.abc import Mapping, Set
from functools import cached_property

from torch import Tensor

from medrl.algorithms import Algorithm, Batch
from medrl.learners import Learner, Optimization
from medrl.learners.efficiency import Rows, StepCost, step_cost
from medrl.models import Policy


class Meter:
    """Figures of steps; asks the learner for its peak once, unless that is given."""

    def __init__(self, policy: Policy, optimization: Optimization, peak_tflops: float | None = None) -> None:
        self.policy, self.optimization = policy, optimization
        self.peak = None if peak_tflops is None else peak_tflops * 1e12

    def figures(
        self,
        learner: Learner,
        algorithm: Algorithm,
        batch: Batch,
        passes: Set[str],
        learned: Mapping[str, float],
        seconds: float,
    ) -> dict[str, float]:
        """`time/learner/tokens_per_second` and `time/learner/mfu` of a step.

        Empty where no row gave a gradient, and without MFU where the model's FLOPs are not known.

        Args:
            learner: Asked for its peak.
            algorithm: Says which rows gave a gradient, and how many epochs there were.
            batch: With its advantages.
            passes: What the learner's forward passes made: "old_logprobs", "ref_logprobs", "values".
            learned: What `Learner.update` told.
            seconds: Of the forward passes and the update, moving the batch counted.

        Tokens are those of prompt and response in all rows that gave a gradient, in each epoch. What a group shares and
        passes through the model once (`time/learner/shared_tokens`) is no work that was done: FLOPs are scaled down by it.
        """
        taught = rows_of(batch, algorithm.gradient_rows(batch))
        if not taught.tokens or seconds <= 0:
            return {}
        found = {"time/learner/tokens_per_second": algorithm.epochs * taught.tokens / seconds}
        if self._cost is not None:
            if self.peak is None:
                self.peak = learner.peak_flops()
            flops = self._cost.forward(rows_of(batch, batch.loss_mask_BT.any(-1)), passes)
            alone = learned.get("critic_alone", 0.0)
            flops += algorithm.epochs * self._cost.update(taught, self.optimization, alone)
            done = flops * (1.0 - learned.get("time/learner/shared_tokens", 0.0))
            found["time/learner/mfu"] = done / (seconds * self.peak)
        return found

    @cached_property
    def _cost(self) -> StepCost | None:
        return step_cost(self.policy.model, self.optimization.critic)


def rows_of(batch: Batch, chosen_B: Tensor) -> Rows:
    """The chosen rows of a batch, in numbers."""
    lengths = batch.lengths_B[chosen_B].double()
    return Rows(float(lengths.sum()), float(batch.loss_mask_BT[chosen_B].sum()), float((lengths**2).sum()))
