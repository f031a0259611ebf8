"""Score the stored rollouts of a run again, with another reward or another version of medrl (`medrl rescore`).

Nothing is sampled and nothing in the run is changed. Each group is scored alone, as when it was sampled, with the step
that it belongs to. What a node keeps from step to step is not stored with the rollouts: a reward with running state
learns it anew from the run's training rollouts, step by step, as the trainer did.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

import yaml

from medrl import __version__
from medrl.errors import DataError, RewardFailed
from medrl.rewards import Reward, RewardContext, build, verified_leaf
from medrl.rollouts import policy_written
from medrl.tracking import RunFolder
from medrl.tracking.traces import Trace
from medrl.types import Group, Part, Problem, Response, Score, ScoredGroup
from medrl.verifiers import run_sync

Phase = Literal["train", "evaluation"]
SAME = 1e-9  # rewards that differ by less are equal
AT_ONCE = 16  # groups that are scored side by side
# How a rollout's worth may change, the gravest first. "paid" means taken for right by the reward's verifier.
CHANGES = (
    "paid -> unpaid",
    "unpaid -> paid",
    "paid -> no number",
    "unpaid -> no number",
    "no number -> paid",
    "no number -> unpaid",
    "another value",
    "another failure",
    "another answer read",
)


@dataclass(frozen=True)
class Rescored:
    """A rollout with the score that it was trained on (or evaluated by) and the new one."""

    name: str  # "train", or the name of the evaluation
    step: int
    problem: Problem
    index: int  # its place in the group
    response: Response
    old: Score
    new: Score
    old_leaf: str  # the part of the old score that says whether the answer is right; "" where there is none
    new_leaf: str

    @cached_property
    def change(self) -> str:
        """One of CHANGES, or "" where nothing changed but words."""
        before, after = state(self.old, self.old_leaf), state(self.new, self.new_leaf)
        if before != after:
            return f"{before} -> {after}"
        if self.old.value is None or self.new.value is None:
            return "" if self.old.status == self.new.status else "another failure"
        if abs(self.old.value - self.new.value) > SAME:
            return "another value"
        return (
            "another answer read"
            if self._answer(self.old, self.old_leaf) != self._answer(self.new, self.new_leaf)
            else ""
        )

    @staticmethod
    def _answer(score: Score, leaf: str) -> str | None:
        verdict = score.parts[leaf].verdict if leaf in score.parts else None
        return verdict.answer if verdict is not None else None

    def row(self) -> dict[str, Any]:
        """For the report: what was asked and said, and both scores with their reasons."""
        return {
            "change": self.change, "phase": self.name, "step": self.step, "problem_id": self.problem.id,
            "index": self.index, "reference": self.problem.reference, "text": self.response.text,
            "old": _told(self.old, self.old_leaf), "new": _told(self.new, self.new_leaf),
        }  # fmt: skip


@dataclass(frozen=True)
class Rescoring:
    """The flat object that `--json` writes, and the rollouts that it was computed from."""

    report: dict[str, Any]
    rollouts: tuple[Rescored, ...]

    @cached_property
    def changed(self) -> list[Rescored]:
        """Those whose worth or answer changed, by kind of change, the gravest first."""
        found = [one for one in self.rollouts if one.change]
        return sorted(found, key=lambda one: CHANGES.index(one.change))


def rescore(
    run: str | Path, reward: Reward | None = None, *, phase: Phase | None = None, limit: int | None = None
) -> Rescoring:
    """Score what a run stored with `reward`, or with the reward of its own recipe as this version of medrl has it.

    Args:
        run: The run folder.
        reward: The tree to score with.
        phase: Only the rollouts of training, or only those of evaluations; both when empty.
        limit: At most so many rollouts, the first ones, in whole groups.

    Raises:
        MissingFile: There is no such run.
        DataError: It stored no rollouts, or such as hold no problem.
        RecipeError: The reward of its recipe can no longer be built.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; score at least one rollout, or leave it out for all")
    folder = RunFolder(run)
    tree = own_reward(folder) if reward is None else reward
    traces = _limited(stored(folder, phase), limit)
    if not traces:
        what = {None: "rollouts", "train": "rollouts of training", "evaluation": "rollouts of evaluations"}[phase]
        raise DataError(f"{folder.path} has no {what}; a run keeps those of training with trainer.log_rollouts=true")
    scores = _replayed(tree, folder, phase, len(traces)) if _stateful(tree) else run_sync(_all(tree, traces))
    leaf = found.name if (found := verified_leaf(tree)) else ""
    old_leaf = leaf_of([trace for _, _, trace in traces])
    rollouts = tuple(
        Rescored(name, step, trace.group.problem, index, response, old, new, old_leaf, leaf)
        for (name, step, trace), row in zip(traces, scores, strict=True)
        for index, (response, old, new) in enumerate(zip(trace.group.rollouts, trace.scores, row, strict=True))
    )
    report: dict[str, Any] = {"run": folder.path.name, "reward": tree.describe(), **figures(rollouts)}
    changes = Counter(one.change for one in rollouts)
    report["changes"] = {kind: changes[kind] for kind in CHANGES if changes[kind]}
    steps: dict[tuple[str, int], list[Rescored]] = {}
    for one in rollouts:
        steps.setdefault((one.name, one.step), []).append(one)
    report["steps"] = [{"phase": name, "step": step, **figures(some)} for (name, step), some in steps.items()]
    report["medrl_version"] = __version__
    whole = Rescoring(report, rollouts)
    report["rows"] = [one.row() for one in whole.changed]
    return whole


def own_reward(run: RunFolder) -> Reward:
    """The reward tree of a run's recipe, built by this version of medrl."""
    recipe = yaml.safe_load(run.recipe_text)
    if not isinstance(recipe, dict) or "reward" not in recipe:
        raise DataError(f"{run.path}/recipe.yaml names no reward; give one with --reward")
    return build(recipe["reward"])


def stored(run: RunFolder, phase: Phase | None) -> Iterator[tuple[str, int, Trace]]:
    """The groups of a run with the phase and step that they belong to: training first, then each evaluation."""
    names: list[str | None] = [None] if phase != "evaluation" else []
    names += run.rollout_names() if phase != "train" else []
    for name, step in [(one, step) for one in names for step in run.rollout_steps(one)]:
        try:
            traces = run.read_rollouts(step, name)
        except DataError as error:
            raise DataError(f"{error}; to score it again, each row needs its problem, response and score") from error
        for trace in traces:
            yield name or "train", step, trace


def state(score: Score, leaf: str) -> str:
    """Whether a score is "paid", "unpaid" or "no number"; without a verifier every reward above 0 is paid."""
    if score.value is None:
        return "no number"
    part = score.parts.get(leaf)
    paid = part.accepted if part and part.value is not None else not leaf and score.value > 0
    return "paid" if paid else "unpaid"


def leaf_of(traces: Sequence[Trace]) -> str:
    """The part that says whether an answer is right: the first with a verdict, since parts are stored in tree order."""
    for trace in traces:
        for score in trace.scores:
            for name, part in score.parts.items():
                if part.verdict is not None:
                    return name
    return ""


def figures(rollouts: Sequence[Rescored]) -> dict[str, Any]:
    """How many, how many changed, and the mean reward, share paid and share without a number, before and after."""
    found: dict[str, Any] = {"n": len(rollouts), "changed": sum(bool(one.change) for one in rollouts)}
    for when in ("before", "after"):
        pairs = [(one.old, one.old_leaf) if when == "before" else (one.new, one.new_leaf) for one in rollouts]
        values = [score.value for score, _ in pairs if score.value is not None]
        states = Counter(state(*pair) for pair in pairs)
        found[f"reward_{when}"] = sum(values) / len(values) if values else None
        found[f"paid_{when}"] = states["paid"] / len(values) if values else None
        found[f"unscored_{when}"] = len(rollouts) - len(values)
    return found


def _limited(traces: Iterator[tuple[str, int, Trace]], limit: int | None) -> list[tuple[str, int, Trace]]:
    """The first groups with at least `limit` rollouts together; what comes after them is not even read."""
    kept: list[tuple[str, int, Trace]] = []
    count = 0
    while (limit is None or count < limit) and (trace := next(traces, None)) is not None:
        kept.append(trace)
        count += len(trace[2].group)
    return kept


def _stateful(reward: Reward) -> bool:
    return any(node.stateful for node in reward.walk())


def _replayed(reward: Reward, run: RunFolder, phase: Phase | None, count: int) -> list[Sequence[Score]]:
    """Scores of the first `count` groups of a phase, by a tree that learns from all training steps, wanted or not."""
    everything = list(stored(run, None))
    scores = run_sync(_all(reward, everything))
    wanted = [row for (name, *_), row in zip(everything, scores, strict=True) if phase in (None, _phase(name))]
    return wanted[:count]


def _phase(name: str) -> Phase:
    return "train" if name == "train" else "evaluation"


async def _all(reward: Reward, traces: Sequence[tuple[str, int, Trace]]) -> list[Sequence[Score]]:
    """New scores for every group, in order; so many groups at once that a judge which waits is kept busy."""
    if not _stateful(reward):
        return await _some(reward, traces, {})
    found: list[Sequence[Score]] = []
    states: dict[int, dict[str, Any]] = {}  # after each training step
    for (name, step), members in groupby(traces, key=lambda trace: trace[:2]):
        block = list(members)
        known = max((one for one in states if one < step or (one == step and name != "train")), default=None)
        state = {} if known is None else dict(states[known])
        scores = await _some(reward, block, state)
        if name == "train":
            whole = [ScoredGroup(t.group, tuple(row)) for (*_, t), row in zip(block, scores, strict=True)]
            reward.learn(policy_written(whole), state)
            states[step] = state
        found += scores
    return found


async def _some(
    reward: Reward, traces: Sequence[tuple[str, int, Trace]], state: dict[str, Any]
) -> list[Sequence[Score]]:
    found: list[Sequence[Score]] = []
    rest = iter(traces)
    while batch := list(islice(rest, AT_ONCE)):
        found += await asyncio.gather(
            *(_group(reward, trace.group, RewardContext(step, state)) for _, step, trace in batch)
        )
    return found


async def _group(reward: Reward, group: Group, context: RewardContext) -> Sequence[Score]:
    try:
        return (await reward.score([group], context))[0]
    except RewardFailed as error:  # a reward that was told to stop the run where a part has no number
        return [Score(None, "error", reason=str(error))] * len(group)


def _told(score: Score, leaf: str) -> dict[str, Any]:
    part: Part | None = score.parts.get(leaf)
    verdict = part.verdict if part is not None else None
    told: Mapping[str, Any] = verdict.to_json() if verdict is not None else {}
    return {
        "value": score.value, "status": score.status, "reason": reason(score, leaf), "answer": told.get("answer"),
        "span": list(verdict.span) if verdict is not None and verdict.span else None,
        "verdict": told.get("status"), "stage": told.get("stage"),
    }  # fmt: skip


def reason(score: Score, leaf: str) -> str:
    """Why a score is what it is: the score's own reason, else its verifier's, else the first that a part has."""
    part = score.parts.get(leaf)
    said = [score.reason, part.reason if part else "", *(one.reason for one in score.parts.values())]
    return next(filter(None, said), "")
