"""What an engine is, whoever runs it: requests in, rollouts out as they finish."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medrl.types import Rollout


@dataclass(frozen=True)
class Sampling:
    """How responses are drawn."""

    temperature: float = 1.0
    """Divides the logits before the softmax; 0 takes the likeliest token. Typical 0.5 to 1.0 when training."""

    top_k: int = 0
    """Draw from the k likeliest tokens only; 0 is no limit. Limits make the learner recompute log-probabilities."""

    top_p: float = 1.0
    """Draw from the fewest tokens whose probabilities add up to this; 1 is no limit."""

    max_tokens: int = 256
    """Longest response in tokens; a longer one is cut and its finish reason is "length"."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0 or self.max_tokens < 1:
            raise ValueError(
                f"sampling: temperature {self.temperature} must be at least 0, top_p {self.top_p} in (0, 1], "
                f"top_k {self.top_k} at least 0 and max_tokens {self.max_tokens} at least 1"
            )

    @property
    def truncates(self) -> bool:
        """Whether tokens are drawn from less than the whole softmax."""
        return self.temperature == 0 or self.top_k > 0 or self.top_p < 1


@dataclass(frozen=True)
class Request:
    """One response to draw.

    Attributes:
        problem_id: The problem it answers.
        index: Its place in the group.
        seed: Decides its random draws, whatever else is in the batch.
        prompt_ids: Token ids of the rendered prompt; requests with the same prompt share its computation.
        sampling: How to draw.
        images: References of the prompt's images.
    """

    problem_id: str
    index: int
    seed: int
    prompt_ids: tuple[int, ...]
    sampling: Sampling
    images: tuple[Any, ...] = ()


class Engine(Protocol):
    """Makes rollouts."""

    def exact(self, sampling: Sampling) -> bool:
        """Whether log-probabilities of tokens drawn so equal the learner's own to rounding: it need not recompute them."""
        ...

    def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        """Yield each rollout as it finishes, in any order; `version` says which policy is writing."""
        ...


def context_of(context: int, engine: Engine | None) -> int:
    """Most tokens of a prompt and all that follows: the policy's `context`, or the engine's where that is less.

    An engine with a limit of its own has an attribute `longest`, in tokens; without one the policy's holds.
    """
    return min(context, getattr(engine, "longest", None) or context)
