"""What is checked before any compute is spent on a run."""

from collections import Counter
from collections.abc import Sequence

from medrl.engines import Sampling
from medrl.errors import ProblemError, RecipeError
from medrl.models import Policy
from medrl.rewards import Reward, verified_leaf
from medrl.rollouts import Teacher
from medrl.trainers.settings import TrainerSettings
from medrl.types import Problem


def check_reward(reward: Reward, held_out: Sequence[Problem], teacher: Teacher | None = None) -> None:
    """Refuse a tree that would mislead, or that says nothing about accuracy when there is something to evaluate."""
    faults = reward.faults()
    if teacher is not None and (comparing := [node.name for node in reward.walk() if node.compares]):
        faults.append(
            f"{', '.join(comparing)} compares rollouts of a group, and a teacher's answer is scored alone; take a reward "
            "that scores each for itself, or leave `teacher` out"
        )
    if held_out and verified_leaf(reward) is None:
        faults.append(
            "it has no `verified` part, so held-out accuracy cannot be measured; add one, or leave held_out out"
        )
    if faults:
        raise RecipeError("the reward", faults)


def fitting_problems(
    policy: Policy, problems: Sequence[Problem], sampling: Sampling, settings: TrainerSettings, what: str,
    limit: str = "sampling.max_tokens", context: int | None = None,
) -> list[Problem]:  # fmt: skip
    """The problems whose prompts leave room for a response of `sampling.max_tokens` in `context`.

    `limit` is the knob that says how much room that is; with an environment the whole episode's. An empty `context` is the
    policy's own; engines may have less (`context_of`).

    Raises:
        ProblemError: Ids occur twice; prompts are too long (unless they are to be dropped); too few are left for a step.
    """
    twice = [name for name, count in Counter(p.id for p in problems).items() if count > 1]
    if twice:
        raise ProblemError(f"{len(twice)} ids occur more than once among the {what}, the first being {twice[0]!r}")
    context = policy.context if context is None else context
    room = context - sampling.max_tokens
    if room < 1:
        raise ProblemError(
            f"{limit} is {sampling.max_tokens} and the context {context}{_whose(policy, context)}: no room is left for "
            "a prompt; lower it"
        )
    lengths = {p.id: len(policy.prompt_ids(p)) for p in problems}
    long = sorted((name for name, n in lengths.items() if n > room), key=lambda name: -lengths[name])
    if long and settings.long_prompts == "error":
        raise ProblemError(
            f"{len(long)} of {len(problems)} {what} have prompts of more than {room} tokens (the longest, {long[0]!r}, has "
            f"{lengths[long[0]]}), which leaves no room for a response of {sampling.max_tokens} in a context of "
            f"{context}{_whose(policy, context)}; leave them out with trainer.long_prompts=drop, or lower {limit}"
        )
    fitting = [p for p in problems if lengths[p.id] <= room]
    if what != "held-out problems" and settings.steps and len(fitting) < settings.problems_per_step:
        raise ProblemError(
            f"there are {len(fitting)} {what}" + (f" ({len(long)} were too long)" if long else "")
            + f", fewer than trainer.problems_per_step, {settings.problems_per_step}"
        )  # fmt: skip
    return fitting


def _whose(policy: Policy, context: int) -> str:
    return "" if context >= policy.context else " (the engine's, cluster.engine.max_model_len)"
