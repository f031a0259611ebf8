"""The embedded placement: engine and learner in this process, over one module. Nothing to start, always on-policy."""

from typing import Literal

from medrl.engines import InProcessEngine
from medrl.errors import LearnerLost
from medrl.learners import Optimization, TorchLearner
from medrl.models import Policy
from medrl.rewards import Reward, Scorer


class SharedModule:
    """No weights to move: the engine reads the very module that the learner trains, and keeps no cache between calls."""

    def __init__(self) -> None:
        self.version = 0

    def publish(self, version: int, kind: Literal["full", "adapter"] = "full") -> None:
        """Note the version; the new weights are in place already."""
        self.version = version


def engine_speed(number: int, tokens: int, busy: float) -> dict[str, float]:
    """An engine's tokens per second while it was at work, for the log; nothing where it was not."""
    return {f"time/engine/{number}/tokens_per_second": tokens / busy} if busy > 0 else {}


class LocalPlacement:
    """One process, one module: it samples and trains in turn."""

    concurrent = False

    def __init__(self, policy: Policy, optimization: Optimization, *, reference: bool, max_rows: int = 256) -> None:
        """Bind engine and learner to `policy`; `reference` keeps a frozen copy of it for the KL."""
        self.engine = InProcessEngine(policy, max_rows)
        self.learner = TorchLearner(policy, optimization, reference=reference)
        self.sync = SharedModule()
        self._before = 0, 0.0

    def scorer(self, reward: Reward) -> Scorer:
        return reward

    def restart_learner(self, lost: LearnerLost) -> None:
        raise lost

    def figures(self) -> dict[str, float]:
        """See `Placement.figures`."""
        (tokens, busy), self._before = self._before, (self.engine.tokens, self.engine.busy)
        held = self.engine.queue.read("time/queue") | self.engine.load.read("time/engine/0/load")
        return engine_speed(0, self.engine.tokens - tokens, self.engine.busy - busy) | held

    def close(self) -> None:
        pass
