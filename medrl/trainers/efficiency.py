"""What a step's update cost its learner: tokens per second, and the share of the devices' peak."""

from medrl.algorithms import Algorithm, Batch
from medrl.learners import Learner, Optimization
from medrl.learners.efficiency import update_flops
from medrl.models import Policy


class Meter:
    """Figures of updates; asks the learner for its peak once, unless that is given."""

    def __init__(self, policy: Policy, optimization: Optimization, peak_tflops: float | None = None) -> None:
        self.policy, self.optimization = policy, optimization
        self.peak = None if peak_tflops is None else peak_tflops * 1e12

    def figures(self, learner: Learner, algorithm: Algorithm, batch: Batch, seconds: float) -> dict[str, float]:
        """`time/learner/tokens_per_second` and `time/learner/mfu` of an update of a batch with its advantages.

        Tokens are those of prompt and response in all rows that gave a gradient, in each epoch. The time is all of the
        update's, that of moving the batch too. Empty where no row gave one, and without MFU where the model's FLOPs are not
        known.
        """
        lengths = batch.lengths_B[algorithm.gradient_rows(batch)].tolist() * algorithm.epochs
        if not lengths or seconds <= 0:
            return {}
        found = {"time/learner/tokens_per_second": sum(lengths) / seconds}
        flops = update_flops(self.policy.model, self.optimization, lengths)
        if flops is not None:
            if self.peak is None:
                self.peak = learner.peak_flops()
            found["time/learner/mfu"] = flops / (seconds * self.peak)
        return found
