"""DAPO: decoupled clip and dynamic sampling policy optimisation (arXiv 2503.14476).

GRPO's advantages and clipped loss, with four changes:

    clip-higher          ratio clipped to [1 - 0.2, 1 + 0.28], so that unlikely good tokens can grow (section 3.1)
    dynamic sampling     groups whose scores are all equal teach nothing and are replaced by others (section 3.2)
    token mean           the loss is a mean over all tokens of the batch (section 3.3), without a KL
    overlong shaping     a soft punishment of long responses: the reward `overlong` in the reward tree (section 3.4)

What differs: the paper draws whole batches until enough groups are left and throws the surplus away; the loop here asks for
as many problems as are missing, up to `max_rounds` times in a step, and then trains on what there is. `equal` is judged by
the score that trains, not by accuracy, and a group with fewer than two scored rollouts counts as equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from medrl.algorithms.grpo import GRPO
from medrl.algorithms.policy_gradient import Mean
from medrl.types import ScoredGroup


@dataclass(frozen=True)
class DAPO(GRPO):
    """GRPO with clip-higher, a token mean and dynamic sampling."""

    kind: ClassVar[str] = "dapo"

    clip_high: float | None = 0.28

    mean: Mean = "token"

    max_rounds: int = 4
    """How often a step may sample: once, and again for the groups that were dropped. 1 drops without asking for more.
    Each round costs the time of sampling it. Typical 2 to 10."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_rounds < 1:
            raise ValueError(f"dapo: max_rounds is {self.max_rounds}; it must be at least 1")

    @property
    def rounds(self) -> int:
        return self.max_rounds

    def select(self, groups: Sequence[ScoredGroup]) -> list[ScoredGroup]:
        return [group for group in groups if len({s.value for s in group.scores if s.value is not None}) > 1]
