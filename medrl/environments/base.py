"""What an environment is: it answers the policy between turns, says when an episode is over, and measures it.

An environment knows words alone: no tokens, no engine, no torch. `medrl.rollouts.episodes` drives it over any engine. What it
measures goes to `Response.measured`, where rewards read it. An environment that fails raises; the rollout then has no score.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar

from medrl.errors import ProblemError
from medrl.types import Problem

GROUP = "medrl.environments"


class Episode(ABC):
    """One episode under way: the state between the policy's turns."""

    @abstractmethod
    async def answer(self, reply: str) -> str | None:
        """The next user message after a turn of the policy, or None where the episode is over."""

    def measured(self) -> Mapping[str, Any]:
        """What is known of the episode so far, as JSON data; asked for once, when it has ended or was cut."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Environment(ABC):
    """Makes episodes. Concrete environments are frozen dataclasses: their fields are their knobs."""

    type_name: ClassVar[str] = ""  # what a recipe calls this class; empty: module:attribute

    max_turns: int = 8
    """Turns of the policy in an episode; one that wants more is cut, as the policy's fault. Typical 4 to 20."""

    max_tokens: int = 1024
    """Tokens of an episode after its prompt, those of the environment among them; beyond, it is cut as the policy's
    fault. One turn of the policy has at most `sampling.max_tokens`."""

    def __post_init__(self) -> None:
        faults = self.faults()
        if faults:
            raise ValueError("; ".join(faults))

    def faults(self) -> list[str]:
        """What is wrong with the knobs; subclasses add theirs."""
        given = {"max_turns": self.max_turns, "max_tokens": self.max_tokens}
        return [f"{name} is {value}; it must be at least 1" for name, value in given.items() if value < 1]

    @abstractmethod
    def reset(self, problem: Problem, seed: int) -> Episode:
        """A new episode of `problem`, whose first messages are the problem's own. The same seed gives the same environment.

        Raises:
            ProblemError: The problem lacks what this environment needs.
        """

    def longest(self, turn: int) -> int:
        """Most tokens of an episode after its prompt, where a turn of the policy has at most `turn`."""
        return min(self.max_tokens, turn) if self.max_turns == 1 else self.max_tokens

    def to_config(self) -> dict[str, Any]:
        """`{"type": ..., knob: value}`, which a recipe can hold."""
        kind = type(self).type_name or f"{type(self).__module__}:{type(self).__qualname__}"
        return {"type": kind, **{knob.name: getattr(self, knob.name) for knob in knobs_of(self)}}


def knobs_of(environment: Environment) -> list["Field[Any]"]:
    """The fields that a recipe may set."""
    return [knob for knob in fields(environment) if knob.init]


class _Over(Episode):
    async def answer(self, reply: str) -> str | None:
        return None


@dataclass(frozen=True, kw_only=True)
class SingleTurn(Environment):
    """The trivial environment: the first reply ends the episode, as without any environment."""

    type_name: ClassVar[str] = "single_turn"

    max_turns: int = 1

    def reset(self, problem: Problem, seed: int) -> Episode:
        return _Over()


def check_problems(environment: Environment, problems: Sequence[Problem]) -> None:
    """See that each problem can be played, before any compute is spent.

    Raises:
        ProblemError: Some cannot; the first ten are named.
    """
    faults = []
    for problem in problems:
        try:
            environment.reset(problem, 0)
        except ProblemError as error:
            faults.append(str(error))
    if faults:
        shown = "".join(f"\n  - {fault}" for fault in faults[:10])
        kind = type(environment).type_name or type(environment).__name__
        raise ProblemError(f"{len(faults)} of {len(problems)} problems do not fit the environment {kind!r}:{shown}")
