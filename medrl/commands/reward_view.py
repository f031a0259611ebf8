"""Show a reward tree, what it says of answers in a file, or what it said of a run's stored rollouts (`medrl reward`)."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from medrl.commands.rescore import own_reward
from medrl.commands.verdict_table import without_label
from medrl.data import load_responses
from medrl.errors import DataError
from medrl.interop.scoring import read_reward
from medrl.rewards import Reward
from medrl.rewards.view import reward_tree, score_tree
from medrl.tracking import RunFolder
from medrl.types import Group, Problem, Response, Score

SHOWN = 400  # characters of a response: its end, where the answer stands


def show_reward(console: Console, path: str, answers: str | None, limit: int) -> list[dict[str, Any]]:
    """Print the tree of a YAML file and, with `answers`, what it says of the first `limit` of them.

    Each answer is scored alone, as a group of one. Returns a row for each.
    """
    reward = read_reward(path)
    console.print(reward_tree(reward))
    for fault in reward.faults():
        console.print(f"fault  {fault}", style="red")
    if answers is None:
        return []
    verifies = bool(reward.verifiers())  # else an answer needs no reference
    items = [without_label(item) for item in load_responses(answers, limit=limit, needs_reference=verifies)]
    scores = reward.score_sync([Group(problem, (response,)) for problem, response in items])
    rows = [(problem, response, score) for (problem, response), (score,) in zip(items, scores, strict=True)]
    return _show(console, reward, rows)


def show_run(
    console: Console, path: str | Path, step: int | None, problem: str | None, limit: int
) -> list[dict[str, Any]]:
    """Print the tree of a run's recipe and what it said of stored rollouts, by default of the last step of training.

    Raises:
        DataError: The run stored no rollouts of that step or problem.
    """
    run = RunFolder(path)
    steps = run.rollout_steps()
    if not steps or (step is not None and step not in steps):
        raise DataError(f"{run.path} has rollouts of the training steps {steps or 'none'}; name one with --step")
    reward, step = own_reward(run), steps[-1] if step is None else step
    console.print(reward_tree(reward))
    found = [
        (trace.group.problem, response, score)
        for trace in run.read_rollouts(step)
        if problem in (None, trace.group.problem.id)
        for response, score in zip(trace.group.rollouts, trace.scores, strict=True)
    ]
    if not found:
        raise DataError(f"{run.path} has no rollout of the problem {problem!r} at step {step}")
    console.print(f"step {step}", style="bold")
    return _show(console, reward, list(islice(found, limit)))


def _show(console: Console, reward: Reward, rows: Sequence[tuple[Problem, Response, Score]]) -> list[dict[str, Any]]:
    for problem, response, score in rows:
        reference = f", reference {problem.reference!r}" if problem.reference is not None else ""
        console.print(f"\n{problem.id}{reference}", style="bold")
        text = " ".join(response.text.split())
        console.print(Text(text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"))
        console.print(score_tree(reward, score))
    return [
        {"problem_id": problem.id, "reference": problem.reference, "text": response.text, **score.to_json()}
        for problem, response, score in rows
    ]
