"""What all adapters share: a tree that is asked again where its judge failed, and its scores as flat numbers.

A framework that cannot leave a rollout out pays dearly for a judge that failed once, so the adapters for those ask again
before they give up. Only a failure is asked again (error, timeout): abstention and broken problems stay what they are.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from medrl.errors import DataError, MissingFile, RecipeError, RewardFailed
from medrl.interop.rows import BY_NAME, Columns, fault_of
from medrl.knobs import out_of_range
from medrl.rewards import Reward, RewardContext, build, verified_leaf
from medrl.rewards.tree import Scores
from medrl.types import STATUSES, Group, Part, Problem, Response, Score
from medrl.verifiers import run_sync

AGAIN = ("error", "timeout")  # statuses that another try may mend
NAN = float("nan")
log = logging.getLogger(__name__)


def read_source(path: str | Path, overrides: Sequence[str] = ()) -> tuple[Reward, Any]:
    """The reward tree in a YAML file, of itself or of a recipe; and that recipe, or None."""
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFile(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if isinstance(config, str) or (isinstance(config, Mapping) and "type" in config):
        if overrides:
            raise DataError(f"{path} is a reward tree, which takes no overrides; write them into it")
        return build(config), None
    from medrl.recipes import load_recipe  # brings in torch

    recipe = load_recipe(path, overrides)
    return build(recipe.reward), recipe


def read_reward(path: str | Path) -> Reward:
    """The reward tree in a YAML file, of itself or of a recipe."""
    return read_source(path)[0]


def tree_of(reward: Reward | str | Path) -> Reward:
    """A reward tree, given as it is or as its YAML file."""
    tree = read_reward(reward) if isinstance(reward, str | Path) else reward
    if not isinstance(tree, Reward):
        raise RecipeError("the reward", [f"{tree!r:.80} is no reward tree; give one, or the path of its YAML file"])
    return tree


def comparing(reward: Reward) -> list[str]:
    """Names of the nodes that compare the rollouts of a group, and so need it whole."""
    return [node.name for node in reward.walk() if node.compares]


def needs_reference(reward: Reward) -> bool:
    """Whether a row must say what is right: where nothing is verified it need not (verl's `ground_truth` is "" there)."""
    return bool(reward.verifiers())


def alone(reward: Reward) -> list[str]:
    """Why a tree cannot judge one response at a time without a training step and without running state; [] where it can."""
    todo = "leave it out, or train with medrl or TRL"
    kinds = (
        ("compares", f"compares the rollouts of a problem, and this framework shows one at a time; {todo}"),
        ("needs_step", f"depends on the training step, which this framework does not tell; {todo}"),
        ("stateful", f"keeps running state over training steps, which this framework does not tell; {todo}"),
    )
    found = [(", ".join(repr(n.name) for n in reward.walk() if getattr(n, kind)), why) for kind, why in kinds]
    return [f"{names} {why}" for names, why in found if names]


@dataclass(frozen=True)
class Scorer:
    """A reward tree for frameworks that ask about one response at a time."""

    reward: Reward
    """The tree."""
    columns: Columns = BY_NAME
    """Where a row holds its problem."""
    retries: int = 2
    """How often a response whose judge failed (error, timeout) is judged again. Typical 0 to 5."""
    wait: float = 5.0
    """Seconds before the first of these; each next one waits twice as long. Typical 1 to 30."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, from_0=("retries", "wait")) + alone(self.reward)
        if faults:
            raise RecipeError("the reward", faults)

    async def one(self, problem: Problem, response: Response) -> Score:
        """What one response is worth, after all tries."""
        (row,) = await again(self.reward, [Group(problem, (response,))], RewardContext(), self.retries, self.wait)
        return row[0]

    async def row(self, row: Mapping[str, Any], prompt: Sequence[Any], response: Response) -> Score:
        """What a response to the problem of a row is worth; a row that cannot be judged is `invalid`."""
        try:
            problem = self.columns.problem_of(row, prompt, needs_reference=needs_reference(self.reward))
        except (DataError, ValueError) as error:
            return invalid(self.reward, error)
        return await self.one(problem, response)

    def one_sync(self, problem: Problem, response: Response) -> Score:
        """`one` for plain code and worker threads."""
        return run_sync(self.one(problem, response))

    def numbers(self, score: Score) -> dict[str, float]:
        """See `numbers`."""
        return numbers(self.reward, score)


async def again(
    reward: Reward, groups: Sequence[Group], context: RewardContext, retries: int = 0, wait: float = 0.0
) -> Scores:
    """Scores of every group; rollouts whose judge failed are judged again, up to `retries` times.

    A tree that compares rollouts is asked about the whole group again, any other about the failed rollouts alone.
    """
    scores = await reward.score(groups, context)
    whole = bool(comparing(reward))
    for attempt in range(retries):
        failed = [[index for index, score in enumerate(row) if score.status in AGAIN] for row in scores]
        lost = [g for g, indices in enumerate(failed) if indices]
        if not lost:
            break
        await asyncio.sleep(wait * 2**attempt)
        places = [list(range(len(scores[g]))) if whole else failed[g] for g in lost]
        asked = [
            replace(groups[g], rollouts=tuple(groups[g].rollouts[i] for i in rows))
            for g, rows in zip(lost, places, strict=True)
        ]
        for g, rows, renewed in zip(lost, places, await reward.score(asked, context), strict=True):
            for i, score in zip(rows, renewed, strict=True):
                scores[g][i] = score
    return scores


def invalid(reward: Reward, error: Exception) -> Score:
    """The score of a response to a broken row: no number in any part."""
    reason = f"invalid row: {fault_of(error) if str(error) else type(error).__name__}"[:500]
    return Score(None, "invalid", {node.name: Part(None, "invalid", reason=reason) for node in reward.walk()}, reason)


def numbers(reward: Reward, score: Score) -> dict[str, float]:
    """A score as flat numbers, with the same keys for every response of a tree.

    score           the reward; NaN where there is none, so that nothing can take it for one
    status/NAME     1.0 for the one that holds, of ok, abstain, error, timeout and invalid, else 0.0
    part/NAME       the value of a node below the root; 0.0 where it has no number, so that means exist
    scored/NAME     1.0 where that node has a number, else 0.0: mean(part/NAME) / mean(scored/NAME) is its mean value
    """
    found = {"score": NAN if score.value is None else float(score.value)}
    found |= {f"status/{status}": float(score.status == status) for status in STATUSES}
    for node in list(reward.walk())[1:]:
        part = score.parts.get(node.name)
        value = part.value if part is not None else None
        found[f"part/{node.name}"] = 0.0 if value is None else float(value)
        found[f"scored/{node.name}"] = float(value is not None)
    return found


def told(reward: Reward, score: Score) -> dict[str, str]:
    """Why a score is what it is, in words: its status, the answer that was read, the reason."""
    leaf = verified_leaf(reward)
    part = score.parts.get(leaf.name) if leaf else None
    verdict = part.verdict if part else None
    reasons = (score.reason, part.reason if part else "", *(one.reason for one in score.parts.values()))
    return {
        "status": score.status,
        "answer": (verdict.answer if verdict else None) or "",
        "reason": next(filter(None, reasons), ""),
    }


def number_or_raise(score: Score, problem_id: str, todo: str) -> float:
    """The value of a score.

    Raises:
        RewardFailed: It has none. `todo` says what that does here.
    """
    if score.value is None:
        raise RewardFailed(
            f"no number for a response to problem {problem_id!r} ({score.status}: {score.reason}); {todo}"
        )
    return float(score.value)
