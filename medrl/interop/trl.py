"""A reward tree as the reward function of TRL's trainers: GRPOTrainer, RLOOTrainer, AsyncGRPOTrainer.

TRL adds up the columns of its reward functions and takes a `None` as 0 there; only a row for which every function says
`None` is left out of the baseline and gets advantage 0. So the tree is one function with one total, and its parts go to
the log and the completions table instead of being functions of their own. Give TRL no other reward function beside it;
`check_trainer` looks, because a reward function cannot see its neighbours.

Contract read in trl 1.16, `GRPOTrainer._calculate_rewards`: keywords only, a list as long as `prompts` comes back.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from medrl.errors import DataError, ProblemError, RecipeError, RewardFailed
from medrl.interop.rows import BY_NAME, Columns, messages_of, packed, response_of, written
from medrl.interop.scoring import again, comparing, invalid, needs_reference, told, tree_of
from medrl.knobs import out_of_range
from medrl.rewards import Reward, RewardContext
from medrl.types import STATUSES, Group, Problem, Response, Score, ScoredGroup

Completion = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RewardFunction:
    """What TRL calls; made by `reward_function`.

    It is awaited on TRL's event loop, so that a judge that waits is asked about all responses at once.
    """

    reward: Reward
    """The tree."""
    columns: Columns = BY_NAME
    """Which columns of the data set hold what."""
    name: str = ""
    """What TRL calls it in its metrics, `rewards/NAME/mean`; the tree's own name when empty."""
    group_size: int | None = None
    """TRL's num_generations; needed where a node compares the rollouts of a group."""
    tokenizer: Any = None
    """The policy's tokenizer. With it the text is what the policy wrote, whatever a response parser made of it, and a
    response that was cut at the token limit is known for it."""
    max_unscored: float = 0.5
    """The run stops when more than this share of a batch's responses has no number. Typical 0.1 to 0.5."""
    retries: int = 0
    """How often a response whose judge failed is judged again before it is left out. Typical 0 to 3."""
    wait: float = 5.0
    """Seconds before the first of these; each next one waits twice as long."""
    state: dict[str, Any] = field(default_factory=dict, repr=False)
    """Running state of the tree's nodes in this process, learned from each batch when its scores are complete; save it
    beside TRL's checkpoints where the tree has any."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, from_0=("retries", "wait", "max_unscored"))
        if (nodes := comparing(self.reward)) and self.group_size is None:
            faults.append(f"{', '.join(map(repr, nodes))} compares a group's rollouts; set group_size=num_generations")
        if self.group_size is not None and self.group_size < 2:
            faults.append(f"group_size is {self.group_size}; it is TRL's num_generations, at least 2")
        if faults:
            raise RecipeError("the reward function for TRL", faults)
        object.__setattr__(self, "name", re.sub(r"\W+", "_", self.name or self.reward.name))

    @property
    def __name__(self) -> str:  # TRL's metrics are called by it
        return self.name

    async def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]] | None = None,
        trainer_state: Any = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One number per completion, in order; None where there is none.

        Raises:
            RewardFailed: More than `max_unscored` have none, or a node was told to raise.
            DataError: The data set lacks the columns, or TRL does not tell the step and a node depends on it.
        """
        if fault := self.columns.missing_from(columns, needs_reference=needs_reference(self.reward)):
            raise DataError(f"{self.name}: {fault}")
        ids = completion_ids if completion_ids is not None else [None] * len(prompts)
        responses = [self._response(one, tokens) for one, tokens in zip(completions, ids, strict=True)]
        context = RewardContext(self._step(trainer_state), self.state)
        scores = await self._scored(prompts, responses, columns, context)
        self._log(scores, log_extra, log_metric)
        self._check_share(scores)
        return [score.value for score in scores]

    def _step(self, trainer_state: Any) -> int:
        step = getattr(trainer_state, "global_step", None)
        names = [node.name for node in self.reward.walk() if node.needs_step]
        if step is None and names:
            raise DataError(
                f"{self.name}: {', '.join(map(repr, names))} depends on the training step, and no `trainer_state` came; "
                "hand it on, as TRL 1.x does"
            )
        return int(step or 0)

    def _response(self, completion: Completion, ids: Sequence[int] | None) -> Response:
        given = response_of(completion)
        if self.tokenizer is None or ids is None or given.turns:
            return given
        return written(self.tokenizer, ids)

    async def _scored(
        self, prompts: Sequence[Any], responses: Sequence[Response], columns: Mapping[str, Any], context: RewardContext
    ) -> list[Score]:
        scores: list[Score | None] = [None] * len(prompts)
        lists = {name: values for name, values in columns.items() if _aligned(values, len(prompts))}
        problems: list[Problem | None] = []
        needs = needs_reference(self.reward)
        for place, prompt in enumerate(prompts):
            try:
                row = {name: values[place] for name, values in lists.items()}
                problems.append(self.columns.problem_of(row, messages_of(prompt), needs_reference=needs))
            except (ProblemError, ValueError, TypeError) as error:  # of this row alone
                problems.append(None)
                scores[place] = invalid(self.reward, error)
        places = self._places(problems)
        groups = [
            Group(problem, tuple(responses[i] for i in row))
            for row in places
            if (problem := problems[row[0]]) is not None
        ]
        judged = await again(self.reward, groups, context, self.retries, self.wait)
        for spots, found in zip(places, judged, strict=True):
            for place, score in zip(spots, found, strict=True):
                scores[place] = score
        complete = [ScoredGroup(group, tuple(found)) for group, found in zip(groups, judged, strict=True)]
        self.reward.learn(complete, self.state)
        return [score for score in scores if score is not None]

    def _places(self, problems: Sequence[Problem | None]) -> list[list[int]]:
        """Where the responses of each group stand: runs of one problem, `group_size` each where that is known.

        A process of several may hold a part of a group only. No matter, unless a node compares its rollouts.
        """
        runs = [
            [place for place, _ in run]
            for problem, run in groupby(enumerate(problems), key=lambda one: one[1])
            if problem is not None
        ]
        size = self.group_size
        if size is None or not comparing(self.reward):
            return runs
        for run in runs:
            if len(run) % size:
                problem = problems[run[0]]
                raise RewardFailed(
                    f"{', '.join(map(repr, comparing(self.reward)))} compares the {size} rollouts of a problem, and "
                    f"{len(run)} of problem {problem.id if problem else '?'!r} came: groups straddle processes or "
                    "batches. Make per_device_train_batch_size x steps_per_generation a multiple of num_generations "
                    "(num_generations_eval must equal it too)"
                )
        return [run[start : start + size] for run in runs for start in range(0, len(run), size)]

    def _log(
        self,
        scores: Sequence[Score],
        log_extra: Callable[[str, list[Any]], None] | None,
        log_metric: Callable[[str, float], None] | None,
    ) -> None:
        names = [node.name for node in self.reward.walk()]
        if log_extra is not None:
            words = [told(self.reward, score) for score in scores]
            for column in ("status", "answer", "reason"):
                log_extra(f"{self.name}_{column}", [one[column] for one in words])
            values = [{name: score.parts[name].value for name in names if name in score.parts} for score in scores]
            log_extra(f"{self.name}_parts", [json.dumps(one, ensure_ascii=False) for one in values])
        if log_metric is not None:
            for name in names[1:]:  # the root is TRL's own rewards/NAME
                known = [part.value for s in scores if (part := s.parts.get(name)) and part.value is not None]
                if known:
                    log_metric(f"{self.name}/{name}", sum(known) / len(known))
            counts: Counter[str] = Counter(score.status for score in scores)
            for status in STATUSES:
                log_metric(f"{self.name}/status/{status}", counts[status] / max(len(scores), 1))

    def _check_share(self, scores: Sequence[Score]) -> None:
        from medrl.rollouts import unscored_share  # brings in torch, which TRL has too

        nobody = Group(Problem("batch", messages_of("?")), tuple(Response("") for _ in scores))
        unscored_share([ScoredGroup(nobody, tuple(scores))], self.max_unscored)


def _aligned(values: Any, count: int) -> bool:
    return isinstance(values, list | tuple) and len(values) == count


def reward_function(reward: Reward | str | Path, **knobs: Any) -> RewardFunction:
    """The one reward function for TRL, from a tree or the path of its YAML file; see `RewardFunction` for the knobs.

    GRPOTrainer(model=..., reward_funcs=reward_function("reward.yaml"), train_dataset=Dataset.from_list(rows(problems)))
    """
    return RewardFunction(tree_of(reward), **knobs)


def rows(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Rows of a data set for TRL: a conversational `prompt`, and the whole problem beside it."""
    return [{"prompt": messages, "problem": text} for _, messages, text in packed(problems, "TRL")]


def check_trainer(trainer: Any) -> None:
    """Look at a trainer before it runs, for what would turn a missing number into a 0 or lose a column.

    Raises:
        RecipeError: With everything that is wrong.
    """
    functions = list(getattr(trainer, "reward_funcs", None) or [])
    ours = [function for function in functions if isinstance(function, RewardFunction)]
    faults = []
    if not ours:
        faults.append("none of its reward_funcs is medrl's; make one with medrl.interop.trl.reward_function")
    elif len(functions) > 1:
        others = [getattr(f, "__name__", type(f).__name__) for f in functions if f is not ours[0]]
        faults.append(
            f"beside {ours[0].name!r} it has {', '.join(map(repr, others))}: where medrl has no number TRL would add 0 "
            "for it; make the others parts of the tree (@reward, weighted_sum), or leave them out"
        )
    weights = getattr(trainer, "reward_weights", None)
    if weights is not None and len(ours) == len(functions) == 1 and not float(weights[0]) > 0:
        faults.append(f"reward_weights is {[float(w) for w in weights]}; a weight of 0 or less undoes the reward")
    faults += [fault for function in ours for fault in _faults_of_batches(trainer, function)]
    if faults:
        raise RecipeError("the trainer", faults)


def _faults_of_batches(trainer: Any, function: RewardFunction) -> list[str]:
    faults = []
    args, dataset = trainer.args, getattr(trainer, "train_dataset", None)
    columns = getattr(dataset, "column_names", None)
    needs = needs_reference(function.reward)
    if columns and (fault := function.columns.missing_from(columns, needs_reference=needs)):
        faults.append(fault)
    if getattr(args, "remove_unused_columns", False):
        faults.append("remove_unused_columns is on, which drops the columns that the reward reads; turn it off")
    if comparing(function.reward):
        size = int(trainer.num_generations)
        batch = int(args.per_device_train_batch_size) * int(getattr(args, "steps_per_generation", None) or 1)
        if function.group_size != size:
            faults.append(f"group_size is {function.group_size} and num_generations {size}; make them equal")
        if batch % size:
            faults.append(
                f"{batch} responses a process are no whole groups of {size}; raise the batch to a multiple of it"
            )
        if int(getattr(trainer, "num_generations_eval", None) or size) != size and getattr(
            trainer, "eval_dataset", None
        ):
            faults.append(
                "num_generations_eval differs from num_generations, and a part compares groups; make them equal"
            )
    return faults


__all__ = ["RewardFunction", "check_trainer", "reward_function", "rows"]
