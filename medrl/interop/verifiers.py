"""A reward tree in PrimeIntellect's verifiers, whose name ours happens to share: as the reward of a task.

verifiers 0.4 has no Rubric class any more: a task carries `@reward` and `@metric` methods, and others are plugged in by
config as functions `(task, trace) -> float`. `rubric` makes such a function: its total is the reward, and every part goes to
`trace.metrics`. A response without a number raises RewardFailed, which verifiers keeps as the trace's error and prime-rl
leaves out of training; its reward stays None.
"""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from medrl.interop.rows import BY_NAME, Columns, messages_of, packed, spoken
from medrl.interop.scoring import Scorer, number_or_raise, tree_of
from medrl.rewards import Reward
from medrl.types import Problem, Response

Hook = Callable[[Any, Any], Coroutine[Any, Any, float]]
ADVICE = "verifiers keeps this as the trace's error, and the trace trains nothing; mend the judge or the row"


def rubric(
    reward: Reward | str | Path,
    columns: Columns = BY_NAME,
    *,
    retries: int = 2,
    wait: float = 5.0,
    weight: float = 1.0,
) -> Hook:
    """An async function `(task, trace) -> float`, marked as `@vf.reward` marks one.

    Name it in a task's config (`rewards: {medrl: {fn: "rewards.py:medrl_reward"}}`), or hand it to `with_reward`.

    Args:
        reward: The tree, or the path of its YAML file.
        columns: Which fields of the task's data hold problem, reference and options.
        retries: How often a response whose judge failed is judged again.
        wait: Seconds before the first of these; each next one waits twice as long.
        weight: What verifiers multiplies the total by before it adds other rewards.
    """
    scorer = Scorer(tree_of(reward), columns, retries, wait)

    async def medrl_reward(task: Any, trace: Any) -> float:
        data = task.model_dump()
        prompt = messages_of(_messages(data.get("prompt"), data.get("system_prompt")))
        score = await scorer.row(data, prompt, response_of(trace))
        numbers = scorer.numbers(score)
        trace.record_metrics({name: value for name, value in numbers.items() if name != "score"})
        return number_or_raise(score, str(data.get("id") or data.get("idx")), ADVICE)

    for name, value in (("reward", True), ("reward_priority", 0), ("_vf_weight", weight)):
        setattr(medrl_reward, name, value)  # what the decorator sets; verifiers is not imported here
    return medrl_reward


def with_reward(base: type, hook: Hook) -> type:
    """A task class like `base` whose reward is `hook`."""

    async def medrl_reward(self: Any, task: Any, trace: Any) -> float:
        return await hook(task, trace)

    medrl_reward.__dict__.update(hook.__dict__)
    made = type(f"Medrl{base.__name__}", (base,), {"medrl_reward": medrl_reward, "__module__": base.__module__})
    return made


def response_of(trace: Any) -> Response:
    """What the policy said last in a trace, with reasoning that was split off put back."""
    said = trace.assistant_messages
    text = spoken(said[-1].model_dump()) if said else ""
    reasons = [call.finish_reason for call in trace.calls if call.finish_reason]
    return Response(text, finish_reason="length" if reasons and reasons[-1] == "length" else "stop")


def _messages(prompt: Any, system: str | None) -> Any:
    first = [{"role": "system", "content": system}] if system else []
    if isinstance(prompt, str):
        return [*first, {"role": "user", "content": prompt}]
    return [*first, *(prompt or [])]


def task_data(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Fields of a `TaskData` (with a field `problem: str` of your own) for each problem."""
    return [{"id": p.id, "prompt": messages, "problem": text} for p, messages, text in packed(problems, "verifiers")]
