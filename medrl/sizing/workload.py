"""What a step of training asks for: problems, rollouts, how long they are, and how long scoring takes."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from medrl.knobs import out_of_range
from medrl.seeds import seed_of


@dataclass(frozen=True)
class Lengths:
    """Tokens of responses: lognormal with a long tail, or drawn from lengths that were seen; cut at a limit."""

    mean: float = 1500.0
    """Mean of the lognormal distribution before the limit cuts it."""

    spread: float = 0.8
    """Standard deviation of the logarithm: 0 makes all equal, 0.5 to 1.2 is usual of reasoning."""

    within: float = 0.5
    """Share of that variance inside a group; the rest is between problems, some of which take longer than others."""

    limit: int = 8192
    """Longest response; `sampling.max_tokens`."""

    seen: tuple[int, ...] = ()
    """Lengths of a run to draw from; where there are any, `mean`, `spread` and `within` say nothing."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("mean", "limit"), from_0=("spread",))
        if not 0 <= self.within <= 1:
            faults.append(f"within is {self.within}; it is a share, from 0 to 1")
        if any(length < 1 for length in self.seen):
            faults.append(f"seen has a length of {min(self.seen)}; a response has at least 1 token")
        if faults:
            raise ValueError("lengths: " + "; ".join(faults))

    def draw(self, groups: int, samples: int, seed: int) -> tuple[tuple[int, ...], ...]:
        """Lengths of `groups` groups of `samples` responses.

        ln L = ln(mean) - spread^2 / 2 + spread (sqrt(1 - within) a + sqrt(within) b), a and b standard normal, a being the
        group's and b the response's; so E[L] is `mean` before the cut.
        """
        return _drawn(self, groups, samples, seed)


@dataclass(frozen=True)
class Workload:
    """One step of training."""

    problems: int = 256
    """P, problems of a step."""

    samples: int = 16
    """G, rollouts of each."""

    prompt: int = 512
    """Tokens of a prompt."""

    lengths: Lengths = field(default_factory=Lengths)
    """Tokens of the responses."""

    scoring: float = 0.0
    """Seconds that scoring a whole group takes, beside others: 0 for rules, 1 to 30 for a judge."""

    scores_per_second: float | None = None
    """Rollouts that can be scored per second in all, e.g. a judge's limit; empty for no limit."""

    minibatches: int = 1
    """Optimizer updates of a step."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("problems", "samples", "minibatches"), from_0=("prompt", "scoring"))
        if self.scores_per_second is not None:
            faults += out_of_range(self, above_0=("scores_per_second",))
        if faults:
            raise ValueError("workload: " + "; ".join(faults))

    def draw(self, step: int, seed: int) -> tuple[tuple[int, ...], ...]:
        """Lengths of the groups of a step: the same for every cluster that is asked about."""
        return self.lengths.draw(self.problems, self.samples, seed_of(seed, "lengths", step))

    def rows(self, lengths: Sequence[Sequence[int]]) -> list[int]:
        """Tokens of each row that the learner sees."""
        return [self.prompt + length for group in lengths for length in group]


@lru_cache(maxsize=64)  # every split of a cluster is asked about the same steps
def _drawn(lengths: Lengths, groups: int, samples: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """See `Lengths.draw`."""
    chance = random.Random(seed)
    if lengths.seen:
        return tuple(
            tuple(min(chance.choice(lengths.seen), lengths.limit) for _ in range(samples)) for _ in range(groups)
        )
    middle = math.log(lengths.mean) - lengths.spread**2 / 2
    inside = lengths.spread * math.sqrt(lengths.within)
    drawn = []
    for _ in range(groups):
        own = middle + lengths.spread * math.sqrt(1 - lengths.within) * chance.gauss(0, 1)
        logs = [own + inside * chance.gauss(0, 1) for _ in range(samples)]
        drawn.append(tuple(max(1, min(lengths.limit, round(math.exp(min(log, 30.0))))) for log in logs))
    return tuple(drawn)
