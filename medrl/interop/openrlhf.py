"""A reward tree in OpenRLHF: as an agent, as a reward file, and (with `medrl serve`) behind its remote reward URL.

OpenRLHF has no way to leave one response out, and its own executor turns any exception of a reward into `reward=None`, of
which it dies later and elsewhere. What medrl does instead, by the way that it is attached:

    agent          (`AgentExecutor`) a response without a number is thrown away and drawn again, up to `resample` times; after
                   that RewardFailed, with its reason, stops the run. It leaves baseline and loss, and the group stays whole.
    reward file    (`reward_func`) its score is NaN and its reward None. With `--algo.dynamic_filtering_enable`, a NaN mean is
                   in no range: the whole group is dropped and another prompt takes its place. Without that flag the run dies
                   of the None, which is bad, but never trains on it. The command line that medrl writes sets the flag, and a
                   range so wide that no other group is dropped.

Both draw responses from those that could be judged, as masking does. Read in openrlhf 0.11.2: utils/agent.py,
trainer/ppo_utils/samples_generator.py, experience.py.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medrl.errors import ProblemError, RecipeError, RewardFailed
from medrl.interop.rows import packed, unpack
from medrl.interop.scoring import NAN, Scorer, invalid, tree_of
from medrl.knobs import out_of_range
from medrl.rewards import Reward
from medrl.types import Problem, Response, Score
from medrl.verifiers import run_sync

# Special tokens of the families of chat models that are trained with it, for a model whose tokenizer is not at hand.
SPECIALS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",
    "<s>", "</s>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<|end|>", "<|return|>",
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
)  # fmt: skip
log = logging.getLogger(__name__)


def response_of(query: str, prompt: str, ends: Sequence[str] = (), specials: Sequence[str] = SPECIALS) -> Response:
    """The response in a query, which is prompt and response decoded together with their special tokens.

    Args:
        query: What OpenRLHF decoded.
        prompt: The rendered prompt; the query begins with it.
        ends: The special tokens that end a response of this model. A response without one was cut at its token limit;
            where they are not known, no response counts as cut.
        specials: Special tokens to take out. Nothing else that looks like one is touched.

    Raises:
        ProblemError: The query does not begin with the prompt: a guess where it ends could be steered by the policy.
    """
    if not prompt or not query.startswith(prompt):
        raise ProblemError(
            "the query does not begin with its prompt: the tokenizer does not give back the text that it was given, or "
            "the prompt was longer than data.max_len allows and was cut; raise data.max_len, or attach medrl as an agent, "
            "which reads the response's own tokens"
        )
    return said_in(query[len(prompt) :], ends, specials)


def said_in(tail: str, ends: Sequence[str] = (), specials: Sequence[str] = SPECIALS) -> Response:
    """The response in what stands behind the prompt, for the reward file and the service alike.

    Special tokens are taken out wherever they stand, as `decode(..., skip_special_tokens=True)` does; where one ends the
    text, so are the line ends behind it, which some templates write. For `ends` see `response_of`.
    """
    tokens = tuple(filter(None, (*ends, *specials)))
    end, ended = len(tail), not ends
    while True:
        bare = end
        while bare and tail[bare - 1] == "\n":
            bare -= 1
        token = next((token for token in tokens if tail.endswith(token, 0, bare)), None)
        if token is None:
            break
        end, ended = bare - len(token), ended or token in ends
    return Response(without(tail[:end], tokens), finish_reason="stop" if ended else "length")


def for_filter(values: Sequence[float | None]) -> list[float]:
    """`scores`, by which OpenRLHF's dynamic filter keeps or drops groups: the rewards as they are, NaN where there is none.

    They are not held to the filter's usual range of 0 to 1: a clipped mean would keep and drop other groups than the
    rewards say.
    """
    return [NAN if value is None else value for value in values]


def without(text: str, tokens: Sequence[str]) -> str:
    """The text without these special tokens, as `decode(..., skip_special_tokens=True)` gives it."""
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), "", text) if longest_first else text


@dataclass(frozen=True)
class RewardFunction:
    """`reward_func(queries, prompts, labels)` of a reward file, and the judge of an agent."""

    reward: Reward
    """The tree."""
    ends: tuple[str, ...] = ()
    """Reward file: special tokens that end a response of the policy; see `response_of`."""
    specials: tuple[str, ...] = SPECIALS
    """Reward file: special tokens of its tokenizer."""
    resample: int = 4
    """As an agent: how often a response without a number is drawn again before the run stops. Typical 2 to 8."""
    retries: int = 4
    """How often a response whose judge failed is judged again before it counts as one without a number. Typical 2 to 6."""
    wait: float = 5.0
    """Seconds before the first of these; each next one waits twice as long. 4 retries from 5 s bridge 75 s."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, from_0=("resample", "retries", "wait"))
        faults += [
            f"`{name}` must be a list of texts" for name in ("ends", "specials") if isinstance(getattr(self, name), str)
        ]
        if faults:
            raise RecipeError("the reward for OpenRLHF", faults)
        _ = self.scorer  # its faults now, not at the first response

    @cached_property
    def scorer(self) -> Scorer:
        """Who asks the tree."""
        return Scorer(self.reward, retries=self.retries, wait=self.wait)

    def __call__(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
        """What OpenRLHF 0.11.2 wants of a reward file: rewards, scores for the dynamic filter, and numbers for its logs."""
        scores = run_sync(self._all(list(zip(queries, prompts, labels, strict=True))))
        rows = [self.scorer.numbers(score) for score in scores]
        for score in scores:
            if score.value is None:
                log.error("no number for a response, so its group must be dropped: %s: %s", score.status, score.reason)
        rewards = [score.value for score in scores]
        filtered = for_filter(rewards)
        logs = {name: [row[name] for row in rows] for name in rows[0] if name != "score"} if rows else {}
        if len(scores) != 1:
            return {"rewards": rewards, "scores": filtered, "extra_logs": logs}
        return {
            "rewards": rewards[0],
            "scores": filtered[0],
            "extra_logs": {name: one[0] for name, one in logs.items()},
        }

    async def _all(self, items: Sequence[tuple[str, str, Any]]) -> list[Score]:
        return list(await asyncio.gather(*(self._one(*item) for item in items)))

    async def _one(self, query: str, prompt: str, label: Any) -> Score:
        try:
            problem, response = unpack(label), response_of(query, prompt, self.ends, self.specials)
        except ValueError as error:
            return invalid(self.reward, error)
        try:
            return await self.scorer.one(problem, response)
        except RewardFailed as error:  # a node that was told to raise: here OpenRLHF would swallow it
            return Score(None, "error", reason=str(error))

    def judged(self, label: Any, response: Response) -> Score:
        """What a response to the problem in `label` is worth."""
        try:
            problem = unpack(label)
        except ValueError as error:
            return invalid(self.reward, error)
        return self.scorer.one_sync(problem, response)


def reward_function(reward: Reward | str | Path, **knobs: Any) -> RewardFunction:
    """`reward_func` for a reward file, from a tree or the path of its YAML; see `RewardFunction` for the knobs."""
    return RewardFunction(tree_of(reward), **knobs)


def agent_executor(base: type, function: RewardFunction) -> type:
    """A class `AgentExecutor` for an agent file, over OpenRLHF's own `SingleTurnAgentExecutor`, given as `base`.

    That one samples and keeps the books; this one judges the response's own tokens, and draws again where there is no
    number for them.
    """

    class AgentExecutor(base):  # type: ignore[misc]  # a class of OpenRLHF's, which is not imported here
        async def execute(self, prompt: str, label: Any, *arguments: Any, **more: Any) -> dict[str, Any]:
            tokenizer = more["hf_tokenizer"] if "hf_tokenizer" in more else arguments[2]
            drawn = 0
            while True:
                output: dict[str, Any] = await super().execute(prompt, label, *arguments, **more)
                drawn += 1
                # In a thread, for this loop is the one that vLLM samples on.
                score = await asyncio.to_thread(function.judged, label, _said(output, tokenizer))
                if score.value is not None:
                    logs = {k: v for k, v in function.scorer.numbers(score).items() if k != "score"}
                    output.update(reward=score.value, scores=score.value, extra_logs=logs)
                    return output
                if drawn > function.resample or score.status == "invalid":  # another response mends no broken row
                    raise RewardFailed(
                        f"no number for a prompt, responses drawn: {drawn} ({score.status}: {score.reason}); the run "
                        "stops, since OpenRLHF would take what is missing for something else. Mend the judge or the "
                        "row, or raise `resample`"
                    )
                log.warning("medrl draws a response again: %s: %s", score.status, score.reason)

    return AgentExecutor


def _said(output: dict[str, Any], tokenizer: Any) -> Response:
    """What the policy wrote, from the tokens of an executor's output."""
    tokens = output["observation_tokens"]
    ours = [token for start, end in output["action_ranges"] for token in tokens[start:end]]
    text = str(tokenizer.decode(ours, skip_special_tokens=True))
    return Response(text, finish_reason="length" if output["truncated"] else "stop", token_count=len(ours))


def rows(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Prompt rows for OpenRLHF: chat messages under `input`, and the whole problem as `label`, all that it hands on."""
    return [{"input": messages, "label": text} for _, messages, text in packed(problems, "OpenRLHF")]
