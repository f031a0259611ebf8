"""A reward tree in verl: as `compute_score`, or as a reward manager of its own.

A response without a number raises RewardFailed, with its reason. verl's v1 trainer takes that as a failed trajectory: it is
not stored, its siblings are, and the batch is filled up with rows of no loss; so the response leaves loss and baseline as it
does in medrl. `trainer.v1.sampler.sync_refill_failed_groups=true` replaces groups of which nothing is left. In the older
trainer and in validation the run stops. Nothing is ever scored 0 for want of a judge; verl's own manager `rate_limited`
does that, so do not put it around this function.

Every response gives the same keys, all numbers: verl takes the keys of the first and looks them up in all others. See
`medrl.interop.scoring.numbers` for what they mean. Read in verl 0.9.1: experimental/reward_loop, trainer/ppo/v1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medrl.interop.rows import BY_NAME, Columns, messages_of, packed, written
from medrl.interop.scoring import Scorer, number_or_raise, tree_of
from medrl.rewards import Reward
from medrl.types import Message, Problem, Response

ADVICE = (
    "verl leaves this response out where its trainer can (trainer.use_v1), and stops where it cannot; mend the judge or "
    "the row"
)


@dataclass(frozen=True)
class ScoreFunction:
    """`compute_score` for verl, and the judge of its manager."""

    reward: Reward
    """The tree."""
    columns: Columns = BY_NAME
    """Where `extra_info` holds problem, options and the like; the reference is verl's `ground_truth`."""
    retries: int = 4
    """How often a response whose judge failed is judged again before it is given up. Typical 2 to 6."""
    wait: float = 5.0
    """Seconds before the first of these; each next one waits twice as long. 4 retries from 5 s bridge 75 s."""

    def __post_init__(self) -> None:
        _ = self.scorer

    @cached_property
    def scorer(self) -> Scorer:
        """Who asks the tree."""
        return Scorer(self.reward, self.columns, self.retries, self.wait)

    async def __call__(
        self,
        data_source: str,
        solution_str: str,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> dict[str, float]:
        """`score`, and a number for every part and status.

        Raises:
            RewardFailed: There is no number for this response.
        """
        return await self.judged(Response(solution_str), ground_truth, extra_info or {})

    async def judged(
        self,
        response: Response,
        ground_truth: Any,
        extra_info: Mapping[str, Any],
        prompt: Sequence[Message] | None = None,
    ) -> dict[str, float]:
        """The numbers of a response to a row of verl's."""
        row = dict(extra_info)
        if ground_truth is not None:
            row[self.columns.reference] = ground_truth
        asked = messages_of(prompt if prompt is not None else extra_info.get("question") or "")
        score = await self.scorer.row(row, asked, response)
        number_or_raise(score, str(row.get(self.columns.id) or row.get("index") or "of this row"), ADVICE)
        return self.scorer.numbers(score)


def score_function(reward: Reward | str | Path, **knobs: Any) -> ScoreFunction:
    """What `compute_score` of a reward file awaits, from a tree or the path of its YAML; see `ScoreFunction`."""
    return ScoreFunction(tree_of(reward), **knobs)


def reward_manager(base: type, function: ScoreFunction) -> type:
    """A reward manager over verl's `RewardManagerBase`, given as `base`.

    Beside `compute_score` it sees the prompt's messages and whether the response was cut at its token limit.
    """

    class MedrlRewardManager(base):  # type: ignore[misc]  # a class of verl's, which is not imported here
        def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
            super().__init__(config, tokenizer, compute_score)

        async def run_single(self, data: Any) -> dict[str, Any]:
            item = data[-1:][0]  # of several sequences of one trajectory verl scores the last
            row = item.non_tensor_batch
            extra = {**(row.get("tool_extra_fields") or {}), **(row.get("extra_info") or {})}
            found = await function.judged(
                said(item, self.tokenizer), row["reward_model"]["ground_truth"], extra, _prompt(row.get("raw_prompt"))
            )
            return {"reward_score": found["score"], "reward_extra_info": found}

    return MedrlRewardManager


def said(item: Any, tokenizer: Any) -> Response:
    """The response of a row of verl's DataProto, without its padding."""
    ids = item.batch["responses"]
    count = int(item.batch["attention_mask"][-ids.shape[-1] :].sum())
    return written(tokenizer, ids[:count].tolist())


def _prompt(value: Any) -> list[Message] | None:
    return None if value is None else [dict(message) for message in value]


def rows(problems: Sequence[Problem], data_source: str = "medrl") -> list[dict[str, Any]]:
    """Rows of a verl data set: chat `prompt`, `ground_truth`, and the whole problem in `extra_info`."""
    return [
        {
            "data_source": data_source,
            "prompt": messages,
            "reward_model": {"style": "rule", "ground_truth": problem.reference or ""},
            "extra_info": {"index": index, "problem": text},
        }
        for index, (problem, messages, text) in enumerate(packed(problems, "verl"))
    ]
