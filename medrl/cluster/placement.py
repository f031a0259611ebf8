"""What the trainer sees of the machines: an engine, a learner, and a way to hand new weights from one to the other."""

from typing import Literal, Protocol

from medrl.engines import Engine
from medrl.learners import Learner


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
