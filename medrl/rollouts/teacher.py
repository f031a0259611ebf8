"""A teacher whose answers take a place in a group for as long as they are better, problem by problem (HuatuoGPT-3's OnePO).

A problem's teacher answer is scored by the run's own reward. Where it is strictly better than the best of the group, it
replaces one rollout, drawn evenly; where it is not, the teacher retires for that problem, for good. A judge that fails on it
says nothing: the teacher is asked again when the problem comes round. With `stop_window` the teacher retires altogether once
nearly all problems of a step have outgrown it, step after step.

Its tokens are marked (`Rollout.source`, `Batch.teacher_mask_BT`): nobody drew them, so the learner computes their old
log-probabilities, and figures of a step are of the policy's own rollouts. The replaced one is drawn evenly, so they stay
unbiased.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medrl.chat.base import ChatClient, ChatError, ChatRequest, Message, Role
from medrl.chat.config import build_chat
from medrl.errors import ProblemError
from medrl.models import Policy
from medrl.models.policy import images_of
from medrl.rewards import RewardContext, Scorer
from medrl.seeds import seed_of
from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, text_of


@dataclass(frozen=True)
class Teacher:
    """Where a teacher's answers come from, and when it has taught all it can."""

    field: str = "teacher_response"
    """Key of a problem's metadata (column of a row) that holds the teacher's answer, in the format that the reward wants."""

    client: Mapping[str, Any] | ChatClient | None = None
    """A chat model that answers problems without such a key: `{type: cached, client: {type: openai, model: ...}}` pays for
    each once, over all runs. Empty: those problems have no teacher."""

    temperature: float = 0.0
    """Of the chat model."""

    stop_window: int | None = None
    """Steps over which the share of retired problems must hold for the teacher to retire altogether, which saves its scoring;
    empty for never. Typical 5 to 20."""

    stop_rate: float = 0.9
    """That share, in each of those steps."""

    stop_spread: float = 0.01
    """Largest difference of the share between those steps."""

    def __post_init__(self) -> None:
        faults = [] if self.field else ["field is empty; name the key that holds the teacher's answer"]
        if self.temperature < 0:
            faults.append(f"temperature is {self.temperature}; it must not be below 0")
        if self.stop_window is not None and self.stop_window < 1:
            faults.append(f"stop_window is {self.stop_window}; it is a number of steps, or empty for never")
        faults += [f"{name} is {getattr(self, name)}; it is a share, from 0 to 1" for name in ("stop_rate", "stop_spread")
                   if not 0.0 <= getattr(self, name) <= 1.0]  # fmt: skip
        if faults:
            raise ValueError("teacher: " + "; ".join(faults))
        if self.client is not None:
            build_chat(self.client)  # faults of a config are told now


class Classroom:
    """The teacher of one run, and for which problems it has retired."""

    def __init__(self, teacher: Teacher | None, policy: Policy, problems: Sequence[Problem], max_tokens: int) -> None:
        """Nothing is asked yet.

        Args:
            teacher: None for a run without one.
            policy: Whose tokenizer makes tokens of its answers.
            problems: What the run trains on.
            max_tokens: Longest answer that is taken, as for rollouts.

        Raises:
            ProblemError: The teacher has no answer that can be used to any problem, and no model is asked.
        """
        self.teacher, self.policy, self.max_tokens = teacher, policy, max_tokens
        self._client = build_chat(teacher.client) if teacher is not None and teacher.client is not None else None
        self._asked: dict[str, str] = {}  # what the model answered
        self._retired: set[str] = set()
        self._rates: list[float] = []
        self.stopped = False
        self.unusable: dict[str, str] = {}  # problem to why its answer, which is there, cannot be taken
        self._ready: set[str] = set()
        for problem in problems if teacher is not None else ():
            if (text := self._kept(problem)) is not None:
                fault = self._tokens(text)[1]
                self.unusable |= {problem.id: fault} if fault else {}
                self._ready |= set() if fault else {problem.id}
            elif self._client is not None and not images_of(problem.messages):
                self._ready.add(problem.id)
        if teacher is not None and not self._ready:
            first = next((f"; of {name!r}, {fault}" for name, fault in self.unusable.items()), "")
            raise ProblemError(
                f"the teacher has no answer to any of {len(problems)} problems in `{teacher.field}` of their metadata{first}"
                "; name another `field`, give a `client`, or leave `teacher` out"
            )

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, JSON data."""
        return {"retired": sorted(self._retired), "rates": list(self._rates), "stopped": self.stopped}

    @state.setter
    def state(self, kept: Mapping[str, Any]) -> None:
        self._retired, self._rates = set(kept.get("retired", ())), list(kept.get("rates", ()))
        self.stopped = bool(kept.get("stopped", False))

    async def join(self, scored: ScoredGroup, reward: Scorer, context: RewardContext) -> ScoredGroup:
        """The group with the teacher in one place where it is better than all; else as it is. Retires nobody yet.

        Where no rollout has a score there is nothing to be better than, and the teacher is not asked.
        """
        problem = scored.group.problem
        best = max((score.value for score in scored.scores if score.value is not None), default=None)
        if best is None or not self._teaches(problem):
            return scored
        place = seed_of("teacher", scored.group.rollouts[0].seed, problem.id) % len(scored.group)  # type: ignore[attr-defined]
        try:
            answer = await self._answer(problem, scored.group.rollouts[place])  # type: ignore[arg-type]
        except ChatError as error:
            return replace(scored, teacher=Score(None, "error", reason=f"the teacher: {error}"))
        ((score,),) = await reward.score([Group(problem, (answer,))], context)
        if score.value is None or score.value <= best:
            return replace(scored, teacher=score)
        rollouts, scores = list(scored.group.rollouts), list(scored.scores)
        rollouts[place], scores[place] = answer, score
        return ScoredGroup(Group(problem, tuple(rollouts)), tuple(scores), score)

    def learn(self, scored: Sequence[ScoredGroup]) -> dict[str, float]:
        """Retire where a step showed that there is nothing to learn; called once a step, with all its groups.

        Returns:
            `teacher/retirement`, the share of the step's problems with a verdict on the teacher, of this step or an earlier
            one, for which it has retired; `teacher/seated` and `teacher/failed`, the shares of groups where it took a place
            and where its answer could not be had or scored; `teacher/retired_problems`, the share of all problems with a
            teacher.
        """
        if self.teacher is None:
            return {}
        fates = Counter(self._fate(group) for group in scored)
        self._retired |= {group.group.problem.id for group in scored if self._fate(group) == "retires"}
        retired, seated = fates["retired"] + fates["retires"], fates["seated"]
        figures = {"seated": seated / len(scored), "failed": fates["failed"] / len(scored)}
        if retired + seated:
            figures = {"retirement": retired / (retired + seated), **figures}
            # what failed, of the teacher or of the judge, may hide a teacher who is still better: it speaks against a stop
            silent = sum(g.group.problem.id in self._ready and self._fate(g) in ("failed", "unasked") for g in scored)
            self._rates = [*self._rates, retired / (retired + seated + silent)][-(self.teacher.stop_window or 1) :]
        window = self.teacher.stop_window
        if window is not None and len(self._rates) == window and min(self._rates) >= self.teacher.stop_rate:
            self.stopped |= max(self._rates) - min(self._rates) <= self.teacher.stop_spread
        figures["retired_problems"] = 1.0 if self.stopped else len(self._retired) / len(self._ready)
        return {f"teacher/{name}": value for name, value in figures.items()}

    def _fate(self, scored: ScoredGroup) -> str:
        name = scored.group.problem.id
        if name in self._ready and (self.stopped or name in self._retired) and scored.teacher is None:
            return "retired"
        if scored.teacher is None:
            return "unasked"
        if scored.teacher.value is None:
            return "failed"
        return "seated" if any(map(is_taught, scored.group.rollouts)) else "retires"

    def _teaches(self, problem: Problem) -> bool:
        return not self.stopped and problem.id in self._ready and problem.id not in self._retired

    def _kept(self, problem: Problem) -> str | None:
        assert self.teacher is not None
        text = problem.metadata.get(self.teacher.field)
        return text if isinstance(text, str) and text.strip() else None

    async def _answer(self, problem: Problem, replaced: Rollout) -> Rollout:
        """The teacher's answer, as a rollout in the place of another."""
        text = self._kept(problem) or self._asked.get(problem.id) or await self._ask(problem)
        ids, fault = self._tokens(text)
        if fault:
            raise ChatError(f"its answer cannot be taken: {fault}")
        nothing, all_of_it = (0.0,) * len(ids), (True,) * len(ids)
        return replace(
            replaced, text=self.policy.decode(ids), turns=(), finish_reason="stop", token_count=len(ids), seed=0,
            token_ids=ids, logprobs=nothing, loss_mask=all_of_it, versions=(), source="teacher",
        )  # fmt: skip

    async def _ask(self, problem: Problem) -> str:
        assert self.teacher is not None and self._client is not None
        roles: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
        chat = tuple(Message(roles.get(m["role"], "user"), text_of(m["content"])) for m in problem.messages)
        seed = seed_of("teacher", problem.id)
        reply = await self._client.complete(ChatRequest(chat, self.max_tokens, self.teacher.temperature, seed))
        self._asked[problem.id] = reply.text
        return reply.text

    def _tokens(self, text: str) -> tuple[tuple[int, ...], str]:
        """The answer as the policy would have written it, its end included, and why it cannot be taken, or ""."""
        ids = tuple(self.policy.tokenizer(text, add_special_tokens=False)["input_ids"])
        if {*ids} & {*self.policy.stop_ids, *self.policy.barred_ids}:
            return (), "it holds a token that ends a response or stands for an image"
        if len(ids) + 1 > self.max_tokens:
            return (), f"it has {len(ids) + 1} tokens and sampling.max_tokens is {self.max_tokens}"
        return (*ids, self.policy.end_id), ""


def is_taught(response: Any) -> bool:
    """Whether a teacher wrote it."""
    return getattr(response, "source", "policy") == "teacher"


def policy_written(scored: Sequence[ScoredGroup]) -> list[ScoredGroup]:
    """The groups without what a teacher wrote: what figures of the policy are taken of."""
    return [_without(group) if any(map(is_taught, group.group.rollouts)) else group for group in scored]


def _without(scored: ScoredGroup) -> ScoredGroup:
    pairs = zip(scored.group.rollouts, scored.scores, strict=True)
    rollouts, scores = zip(*((r, s) for r, s in pairs if not is_taught(r)), strict=True)
    return replace(scored, group=replace(scored.group, rollouts=rollouts), scores=scores)
