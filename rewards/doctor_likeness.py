"""The leaf `doctor_likeness`: how much a reply is what a doctor would say at this point of a consultation.

    value = p(doctor | features) * content        -1 where a drug is given before the questions that it needs

p is learned (`doctor_model`) from features that each name an act (`doctor_features`). `content` is 0 for a reply without any
question that is due, finding, diagnosis or treatment of this case, however short and doctorly it sounds: real doctors are
terse (the replies of HuatuoGPT-II's evaluation have a median of 20 characters), and a policy would learn only that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, TypeAlias

from medrl.errors import RecipeError
from medrl.rewards import doctor_model, prescribing
from medrl.rewards.consultation import Consultation, read_consultation, text_of
from medrl.rewards.consultation_lexicon import Lexicon, lexicon
from medrl.rewards.doctor_features import ENOUGH, read_reply
from medrl.rewards.doctor_model import DoctorModel
from medrl.rewards.tree import Reward, RewardContext, Scores, settle
from medrl.types import KINDS, Group, Message, Part, Problem, Response, Score, Verdict
from medrl.verifiers.extract import Format, check_format, degenerate, sections
from medrl.verifiers.scripts import is_latin

Judge: TypeAlias = Callable[[str, Sequence[Message]], Verdict]  # of a turn and the messages before it
READABLE = 0.5  # share of the letters of a history that must be Latin or Chinese


@dataclass(frozen=True)
class DoctorLikeness(Reward):
    """How doctor-like a reply in a consultation is, from 0 to 1; no number where there is no consultation.

    -1 where it gives a drug before the questions that the drug needs: the leaf tells danger, so a sum with it needs a veto.
    The verdict of its part has every feature (`parts`) and a line on what was found.
    """

    type_name: ClassVar[str] = "doctor_likeness"
    limits: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    tells_danger: ClassVar[bool] = True

    model: str = ""
    """File of a learned model (`medrl doctor-likeness --train FILE`). Empty: the one that medrl ships."""
    vocabulary: str | tuple[str, ...] = "medrl"
    """Names by which findings, diseases, drugs and tests are known: medrl, clinic, or files (see docs/verifiers.md)."""
    enough_findings: int = ENOUGH
    """Findings that must be known before a diagnosis counts as timely; 2 to 4."""
    kinds: tuple[str, ...] = ("dialogue",)
    """Kinds of problems that are consultations; add `open` where a patient's single question is one. Others: no number."""
    format: Format = "auto"
    """How reasoning is told from the visible reply: auto, o1, think, plain. Only the visible reply is read."""
    name: str = "doctor_likeness"
    """Name of this part in metrics and traces; unique in the tree."""

    def __post_init__(self) -> None:
        faults = []
        if (
            isinstance(self.enough_findings, bool)
            or not isinstance(self.enough_findings, int)
            or self.enough_findings < 1
        ):
            faults.append(f"`enough_findings` is {self.enough_findings!r}; it is a whole number from 1, mostly 3")
        if isinstance(self.kinds, str) or not self.kinds or not set(self.kinds) <= set(KINDS):
            faults.append(f"`kinds` is {self.kinds!r}; it is a list of some of {', '.join(KINDS)}")
        for name in ("kinds", "vocabulary"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        try:
            check_format(self.format)
        except RecipeError as error:
            faults += error.faults
        settle(self, "doctor_likeness", faults)
        doctor_model.load(self.model)
        lexicon(self.vocabulary)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        words = lexicon(self.vocabulary)
        model = doctor_model.load(self.model)
        return [self._group(group, words, model) for group in groups]

    def _group(self, group: Group, words: Lexicon, model: DoctorModel) -> list[Score]:
        @lru_cache(maxsize=64)
        def before(texts: tuple[tuple[str, str], ...]) -> Consultation:  # mostly one history for the whole group
            return read_consultation([{"role": role, "content": text} for role, text in texts], words)

        def judge(reply: str, messages: Sequence[Message]) -> Verdict:
            return self._judged(reply, before(tuple((m["role"], text_of(m)) for m in messages)), words, model)

        return [self._scored(group.problem, one, judge) for one in group.rollouts]

    def _scored(self, problem: Problem, response: Response, judge: Judge) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        verdict = unreadable(problem, self.kinds) or self._verdict(problem, response, judge)
        value = -1.0 if verdict.parts.get("veto") else verdict.score
        part = Part(value, verdict.status, replace(verdict, stage=self.name), verdict.reason)
        reason = verdict.reason if value is not None else f"{self.name}: {verdict.reason}"
        return Score(value, verdict.status, {self.name: part}, reason)

    def _verdict(self, problem: Problem, response: Response, judge: Judge) -> Verdict:
        """The mean over the turns that the policy spoke; one vetoed turn vetoes all."""
        if response.finish_reason == "length":
            return Verdict.wrong("the reply was cut at its token limit")
        judged = [judge(reply, before) for before, reply in turns_of(problem, response, self.format)]
        stopped = next((one for one in judged if one.parts.get("veto")), None)
        if stopped is not None:
            return stopped
        scores = [one.score or 0.0 for one in judged]
        last = judged[-1]
        return replace(last, score=sum(scores) / len(scores)) if len(judged) > 1 else last

    def _judged(self, reply: str, before: Consultation, words: Lexicon, model: DoctorModel) -> Verdict:
        if not any(map(str.isalnum, reply)):
            return Verdict.wrong("there is no visible reply")
        if degenerate(reply):
            return Verdict.wrong("the reply is stuck in a loop")
        read = read_reply(reply, before, words, self.enough_findings)
        parts = {**read.features, "content": read.content, "probability": model.probability(read.features)}
        if fault := prescribing.fault(read.prescribed, before, words):
            return Verdict.wrong(f"vetoed: {fault}", answer=reply, parts={**parts, "veto": 1.0})
        if not read.content:
            return Verdict.wrong(f"no medical content for this case: {read.reason}", answer=reply, parts=parts)
        return Verdict(parts["probability"] * read.content, answer=reply, reason=read.reason, parts=parts)


def unreadable(problem: Problem, kinds: Sequence[str]) -> Verdict | None:
    """Why a problem is no consultation that can be read; None where it is one."""
    if problem.kind not in kinds:
        return Verdict.abstain(f"a problem of kind {problem.kind} is no consultation (`kinds` says which are)")
    said = "\n".join(text_of(one) for one in problem.messages if one["role"] == "user")
    letters = [character for character in said[:4000] if character.isalpha()]
    if not letters:
        return Verdict.abstain("there is no history: the patient has said nothing")
    if sum(is_latin(one) or "\u3400" <= one <= "\u9fff" for one in letters) < READABLE * len(letters):
        return Verdict.abstain("the history is neither English nor Chinese")
    return None


def turns_of(problem: Problem, response: Response, format: Format = "auto") -> list[tuple[list[Message], str]]:
    """Each turn of the policy with the messages before it; only the visible part of a turn counts."""

    def visible(text: str) -> str:
        return sections(text, format).answer

    history = list(problem.messages)
    spoken = list(response.turns)
    if spoken[: len(history)] == history:
        spoken = spoken[len(history) :]
    found: list[tuple[list[Message], str]] = []
    for message in spoken:
        if message["role"] == "assistant":
            reply = visible(text_of(message))
            found.append((list(history), reply))
            message = {"role": "assistant", "content": reply}
        history.append(message)
    return found or [(list(problem.messages), visible(response.text))]
