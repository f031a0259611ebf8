"""What the trainer sees of the machines: an engine, a learner, and a way to hand new weights from one to the other."""

from typing import Literal, Protocol

from medrl.engines import Engine
from medrl.errors import LearnerLost
from medrl.learners import Learner
from medrl.rewards import Reward, Scorer


class WeightSync(Protocol):
    """Brings the learner's weights to the engines. Tensors never travel through the trainer."""

    def publish(self, version: int, kind: Literal["full", "adapter"] = "full") -> None:
        """After it returns, engines sample from policy `version`, with no cache left from an older one."""
        ...


class Placement(Protocol):
    """Who computes what, where. The training loop is the same for all."""

    @property
    def concurrent(self) -> bool:
        """Whether the engine can sample while the learner trains."""
        ...

    def scorer(self, reward: Reward) -> Scorer:
        """What scores by this reward: itself, or actors that have it."""
        ...

    def restart_learner(self, lost: LearnerLost) -> None:
        """A new learner at the start policy, for one whose ranks died or hang.

        Raises:
            LearnerLost: `lost`, where there is none to be had, or too many were lost.
        """
        ...

    def figures(self) -> dict[str, float]:
        """How the parts did since the last call, for the log.

        `time/queue`, requests that no engine had, and `time/engine/N/load`, those that an engine had, each as mean over
        time and `.../peak`; `time/engine/N/tokens_per_second`; and what a placement of machines counts, as `cluster/...`.
        """
        ...

    def close(self) -> None:
        """End what was started. Nothing can be sampled or trained afterwards."""
        ...

    @property
    def engine(self) -> Engine:
        """What samples."""
        ...

    @property
    def learner(self) -> Learner:
        """What trains."""
        ...

    @property
    def sync(self) -> WeightSync:
        """What brings new weights from the learner to the engine."""
        ...
