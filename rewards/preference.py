"""A learned reward model as a leaf: how much raters would prefer this response, as HuatuoGPT's RLAIF rewards replies.

The value is the mean over the ensemble's members, each at mean 0 and standard deviation 1 on the reference set of
`medrl train-reward`, less `uncertainty` times their standard deviation (after the uncertainty-weighted optimisation of
Coste et al., arXiv 2310.02743, there with the variance), clipped.

Only the visible answer is judged, as it was in training: a policy could praise its reply in its reasoning.

What the policy did wrong is paid `worst`, which lies below all that the clip allows: no words, a loop, text that the model
cannot hold, and text that was cut off at the token limit. Were such responses masked, a policy whose replies are worth
less than its average could leave the loss by never ending. What is not the policy's fault has no number: a prompt that leaves
the model no room for a reply is `invalid`, a failing model an `error`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from medrl.errors import DataError, RecipeError
from medrl.rewards.reward_model import Dtype, RewardModel, Scale, Worth, combined, loaded, source_of
from medrl.rewards.reward_model_layout import Row, prompt_tokens, token_rows, visible
from medrl.rewards.tree import Reward, RewardContext, Scores, failure, not_finite, number, settle
from medrl.types import Group, Part, Problem, Response, Score
from medrl.verifiers.classifier_model import folder_faults, local_folder
from medrl.verifiers.extract import Format, check_format, degenerate

ROOM = 16  # tokens that a prompt must leave for a reply
CHARACTERS = 32  # per token; a text longer than this times the context is too long whatever its tokens are


@dataclass(frozen=True)
class PreferenceModel(Reward):
    """The reward of a trained reward model, on the scale of its reference set."""

    type_name: ClassVar[str] = "preference"

    model: str
    """Folder that `medrl train-reward` wrote, or folder or hub id of any sequence classifier with one output and a chat
    template. Weights must be safetensors; code that comes along is never run."""
    name: str = "preference"
    """Name of this part in metrics and traces; unique in the tree. The members' disagreement is the part NAME_std."""
    revision: str | None = None
    """Branch, tag or commit on the hub; pin it, or the rewards may change under one name."""
    uncertainty: float = 0.0
    """How many standard deviations over the ensemble are taken off the mean, so that responses on which the members
    disagree, as they do on what none was trained on, are worth less. 0 for none. Typical 0.5 to 2."""
    clip: float | None = 4.0
    """Rewards lie between -clip and clip, in standard deviations of the reference set; empty for no bound. Typical 3 to 5."""
    worst: float = -5.0
    """What a response is worth that has no words, does not fit into the model, or was cut off at the token limit."""
    cut_off: Literal["worst", "judge"] = "worst"
    """A response that was cut off at the token limit is worth `worst`, or is judged as it stands."""
    mean: float | None = None
    """Mean of the raw rewards of a reference set, for models without reward_model.json; 0 with std 1 for raw rewards."""
    std: float | None = None
    """Standard deviation of the raw rewards of a reference set, for models without reward_model.json."""
    format: Format = "auto"
    """How reasoning is told from the visible answer, which alone is judged: o1, think, plain (all of it is read). `auto`:
    as in the model's training (reward_model.json; folders without a format were trained on whole texts), else whichever
    marks there are."""
    batch_size: int = 32
    """Responses in one forward pass; bounds memory. Typical 8 to 128."""
    max_length: int | None = None
    """Most tokens of prompt and response together; empty for what the model was trained on. Nothing is ever cut."""
    device: str = "auto"
    """cpu, cuda, cuda:1; `auto` takes the first GPU where there is one."""
    dtype: Dtype = "auto"
    """Type of the weights in memory; `auto` is float32 on the CPU and the checkpoint's own elsewhere."""

    def __post_init__(self) -> None:
        given = {knob: value for knob in ("clip", "mean", "std") if (value := getattr(self, knob)) is not None}
        faults = not_finite(uncertainty=self.uncertainty, worst=self.worst, **given)
        settle(self, "preference", faults or self._faults())

    def _faults(self) -> list[str]:
        faults = []
        if self.uncertainty < 0:
            faults.append(f"`uncertainty` is {self.uncertainty}; below 0 it would pay for what the members disagree on")
        if self.clip is not None and self.clip <= 0:
            faults.append(f"`clip` is {self.clip}; it must be above 0, or empty for no bound")
        elif self.clip is not None and self.worst >= -self.clip:
            faults.append(
                f"`worst` is {self.worst}, not below -clip ({-self.clip}): a reply could gain by never ending; lower it"
            )
        if (self.mean is None) != (self.std is None) or (self.std is not None and self.std <= 0):
            faults.append(f"`mean` is {self.mean} and `std` {self.std}; give both, std above 0, or neither")
        for knob in ("batch_size", "max_length"):
            value = getattr(self, knob)
            if value is not None and value < 1:
                faults.append(f"`{knob}` is {value}; it must be at least 1")
        if self.cut_off not in ("worst", "judge"):
            faults.append(f"`cut_off` is {self.cut_off!r}; it is worst or judge")
        try:
            check_format(self.format)
        except RecipeError as error:
            faults += [f"`format`: {fault}" for fault in error.faults]
        folder = local_folder(self.model) if isinstance(self.model, str) and self.model else None
        if not isinstance(self.model, str) or not self.model:
            faults.append(f"`model` is {self.model!r}; name a folder or hub id")
        return faults + ([f"`model`: {fault}" for fault in folder_faults(folder, outputs=1)] if folder else [])

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        asked = [(group.problem, rollout) for group in groups for rollout in group.rollouts]
        # In a thread, so that a model at work does not hold up the engine's event loop.
        found = iter(await asyncio.to_thread(self._judged, asked))
        return [[next(found) for _ in group.rollouts] for group in groups]

    def _judged(self, asked: Sequence[tuple[Problem, Response]]) -> list[Score]:
        model = loaded(source_of(self.model, self.revision, self.device, self.dtype))
        scales = self._scales(model)
        problems = {id(problem): problem for problem, _ in asked}
        broken = {key: self._broken(model, problem) for key, problem in problems.items()}
        read = [broken[id(problem)] or self._row(model, problem, response) for problem, response in asked]
        rows = [one for one in read if isinstance(one, dict)]
        try:
            worths = iter(combined(model.raw(rows, self.batch_size), scales))
        except Exception as error:  # out of memory, mostly; what was settled without the model stays settled
            failed = failure(self.name, error)
            return [one if isinstance(one, Score) else failed for one in read]
        return [one if isinstance(one, Score) else self._scored(next(worths)) for one in read]

    def _scales(self, model: RewardModel) -> Sequence[Scale]:
        if self.mean is not None and self.std is not None:
            return [Scale(self.mean, self.std)] * len(model.members)
        if model.scales is None:
            raise DataError(
                f"{self.model!r} has no reference set (reward_model.json), so its rewards have no known scale; give `mean` "
                "and `std` of its rewards on replies of yours (0 and 1 for raw rewards)"
            )
        return model.scales

    def _format(self, model: RewardModel) -> Format:
        return model.format if self.format == "auto" and model.settings else self.format

    def _most(self, model: RewardModel) -> int:
        return min(self.max_length or model.context, model.context)

    def _broken(self, model: RewardModel, problem: Problem) -> Score | None:
        """The score of every reply to a problem that leaves no room for one, whatever the policy wrote."""
        try:
            before, most = prompt_tokens(model.tokenizer, problem), self._most(model)
        except Exception as error:  # this problem's alone
            return failure(self.name, error)
        if before + ROOM <= most:
            return None
        reason = f"{self.name}: the prompt alone has {before} tokens, and the model takes {most} with the reply"
        return Score(None, "invalid", reason=reason)

    def _row(self, model: RewardModel, problem: Problem, response: Response) -> Row | Score:
        """What the model is given, or the score where there is nothing to ask it."""
        if response.finish_reason == "abort":
            return Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        format = self._format(model)
        text = visible(response.text, format)
        if not any(map(str.isalnum, text)):
            return self._worst("it has no words")
        if response.finish_reason == "length" and self.cut_off == "worst":
            return self._worst("it was cut off at the token limit")
        most = self._most(model)
        try:
            if len(text) <= CHARACTERS * most:
                row = token_rows(model.tokenizer, [(problem, response)], format)[0]
                if len(row["input_ids"]) <= most:
                    return self._worst("it is stuck in a loop") if degenerate(text) else row
        except Exception as error:  # this item's alone
            return failure(self.name, error)
        return self._worst(f"with its prompt it has more than the {most} tokens that the model takes")

    def _worst(self, reason: str) -> Score:
        return Score(self.worst, parts={self.name: Part(self.worst, reason=reason)}, reason=reason)

    def _scored(self, worth: Worth) -> Score:
        value = worth.mean - self.uncertainty * worth.std
        if self.clip is not None and value == value:  # NaN stays, for `number` to refuse
            value = max(-self.clip, min(self.clip, value))
        score = number(value, self.name)
        parts = {self.name: Part(score.value, score.status, reason=score.reason)}
        if score.value is not None:
            parts[f"{self.name}_std"] = Part(worth.std)
        return Score(score.value, score.status, parts, score.reason)
