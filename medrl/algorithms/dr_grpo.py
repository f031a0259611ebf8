"""Dr. GRPO: GRPO done right (arXiv 2503.20783, section 3.1).

    A[p, g] = r[p, g] - mean_g r[p]
    loss    = mean over responses of [ sum over tokens of the clipped surrogate / token limit ]

Dividing by the group's deviation favours problems that are nearly always or nearly never solved; the mean over a response's
own length lets wrong answers grow long, since each of their tokens then costs less. Both divisions are gone, and the KL.
Advantages are smaller by the deviation (0.1 to 0.5 for rewards from 0 to 1) and the sum by length / limit: with an optimizer
that is blind to the gradient's scale (Adam) neither matters, but the clipping of the gradient's norm binds less.
"""

from dataclasses import dataclass
from typing import ClassVar

from medrl.algorithms.advantages import Scale
from medrl.algorithms.grpo import GRPO
from medrl.algorithms.policy_gradient import Mean


@dataclass(frozen=True)
class DrGRPO(GRPO):
    """GRPO without its biases by length and difficulty."""

    kind: ClassVar[str] = "dr_grpo"

    mean: Mean = "limit"

    scale: Scale = "none"
