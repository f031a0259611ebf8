"""Distilled conversations: one model plays the patient, one the doctor, grounded in a real case (HuatuoGPT, section 3.1).

The patient alone is given the case and tells what is asked, a little at a time; the doctor alone is given the diagnosis
and the treatment of the real doctor, and must find its way there by asking. So the dialogue ends where the real one did,
and neither model invents the medicine. Each turn is one request, and the two may be different models. What models are
told is our own wording.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from medrl.chat.base import ChatBadReply
from medrl.construct.pipeline import Dropped, Kept, Stage, Work
from medrl.construct.roles import Role
from medrl.construct.slots import REMINDER, RULES, an_object, chat
from medrl.construct.turns import language_for, on_one_line, read_turn, text_schema
from medrl.data.rows import RowFault, required
from medrl.errors import RecipeError
from medrl.knobs import out_of_range
from medrl.verifiers.judge_prompt import Language
from medrl.verifiers.protocol import digest

PATIENT: Mapping[Language, str] = {
    "en": """\
You play the patient of CASE. DIALOGUE is what was said so far. Say what comes next in plain everyday words, one to three \
sentences: at first the main complaint alone, later an answer to what the doctor asked, from CASE alone; what CASE does \
not tell you do not know. Never name the diagnosis. Reply with one JSON object and nothing else: "say", what you say.""",
    "zh": """\
你扮演 CASE 中的患者。DIALOGUE 是目前的对话。请用日常口语说下一句，一到三句话：开头只说主要不适，\
之后只根据 CASE 回答医生的问题；CASE 没有写的你就不知道。绝不说出诊断。\
只回复一个 JSON 对象，不要其他内容："say"，即你要说的话。""",
}
DOCTOR: Mapping[Language, str] = {
    "en": """\
You play the doctor. DIALOGUE is what was said so far, FINDINGS what you will find in the end. Say what comes next: while \
something decisive was not told, ask for it, one or two questions at a time; then tell the diagnosis of FINDINGS, its \
treatment, and when to come at once. Nothing may contradict FINDINGS, and no disclaimers. Reply with one JSON object and \
nothing else: "say", what you say, then "ends", true once you have told diagnosis and treatment.""",
    "zh": """\
你扮演医生。DIALOGUE 是目前的对话，FINDINGS 是你最终的结论。请说下一句：关键信息还没有说到就追问，一次一两个问题；\
之后说明 FINDINGS 中的诊断、治疗以及何时立即就医。内容不得与 FINDINGS 矛盾，不要写免责声明。\
只回复一个 JSON 对象，不要其他内容："say"，即你要说的话，然后是 "ends"，说完诊断和治疗后为 true。""",
}
MOST = 1200  # characters of a turn
PATIENT_SCHEMA = an_object(say=text_schema(MOST))
DOCTOR_SCHEMA = an_object(say=text_schema(MOST), ends={"type": "boolean"})
VERSION = digest([dict(RULES), dict(REMINDER), dict(PATIENT), dict(DOCTOR), PATIENT_SCHEMA, DOCTOR_SCHEMA])
"""A hash of every text above: rows say which prompts made them."""


@dataclass(frozen=True)
class ConversationStage(Stage):
    """Has a conversation between a patient who knows the case and a doctor who knows how it ended."""

    patient: Role
    """Who plays the patient. Paper: ChatGPT. Temperature 0.7 to 1."""
    doctor: Role | None = None
    """Who plays the doctor, where not the same model."""
    case: str = "case"
    """Column of what the patient knows; `medical_case` in Med-dialog."""
    findings: str = "findings"
    """Column of the real doctor's diagnosis and treatment; `doctor_diagnosis` in Med-dialog."""
    exchanges: int = 6
    """Most exchanges (patient, doctor); a conversation without an end by then is never cut, but left out. Typical 3 to 8."""
    least: int = 2
    """Fewest: a doctor who ends sooner has asked nothing."""
    attempts: int = 2
    """How often a conversation is begun until one ends in time. Typical 1 to 3."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of prompts and turns; auto is the row's (`language`), or else that of its case."""
    name: ClassVar[str] = "conversations"

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("least", "attempts"))
        if self.least > self.exchanges:
            faults.append(f"least is {self.least} and exchanges {self.exchanges}; no conversation has both")
        if faults:
            raise RecipeError("the conversation stage", faults)

    @property
    def reasons(self) -> Sequence[str]:
        return ("broken_row", "too_short", "no_end")

    def cached(self, path: Path) -> "ConversationStage":
        return replace(self, patient=self.patient.cached(path), doctor=self.doctor and self.doctor.cached(path))

    def identity(self) -> Mapping[str, Any]:
        knobs = ("case", "findings", "exchanges", "least", "attempts", "language")
        return {
            "models": {"patient": self.patient.identity(), "doctor": (self.doctor or self.patient).identity()},
            "prompts": VERSION,
            "knobs": {name: getattr(self, name) for name in knobs},
        }

    async def run(self, work: Work) -> Kept | Dropped:
        try:
            case, findings = (required(work.item.row, column) for column in (self.case, self.findings))
        except RowFault as error:
            return Dropped("broken_row", str(error))
        language = language_for(self.language, work.item.row, case)
        fault: Dropped | None = None
        for attempt in range(self.attempts):
            talk = _Conversation(self, work, language, attempt)
            fault = await talk.held(case, findings)
            if fault is None:
                data = [f"{'问' if role == 'patient' else '答'}：{text}" for role, text in talk.said]
                return Kept({"data": data, "language": language}, {"attempts": attempt + 1})
        return fault or Dropped("no_end")


class _Conversation:
    """One conversation on its way."""

    def __init__(self, stage: ConversationStage, work: Work, language: Language, attempt: int) -> None:
        self.stage, self.work, self.language, self.attempt = stage, work, language, attempt
        self.said: list[tuple[str, str]] = []

    async def held(self, case: str, findings: str) -> Dropped | None:
        """What is wrong with it, once the doctor has told all (the patient's last word is not waited for), or never does."""
        stage = self.stage
        for exchange in range(1, stage.exchanges + 1):
            await self._turn("patient", stage.patient, PATIENT, {"CASE": case}, PATIENT_SCHEMA)
            told = await self._turn(
                "doctor", stage.doctor or stage.patient, DOCTOR, {"FINDINGS": findings}, DOCTOR_SCHEMA
            )
            if told["ends"]:
                short = exchange < stage.least
                words = f"the doctor ended after {exchange} exchanges; at least {stage.least} are asked for"
                return Dropped("too_short", words) if short else None
        return Dropped("no_end", f"the conversation did not end within {stage.exchanges} exchanges")

    async def _turn(
        self, who: str, role: Role, task: Mapping[Language, str], told: Mapping[str, str], schema: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The next turn, written down, and all that the reply says."""

        def read(text: str) -> tuple[str, Mapping[str, Any]]:
            turn, found = read_turn(text, schema, "say", f"the {who}", self.language)
            turn = on_one_line(turn)
            if who == "doctor" and (who, turn) in self.said:  # a patient may say "No." to two questions
                raise ChatBadReply(f"the doctor said the same before: {turn!r:.60}")
            return turn, found

        dialogue = "\n".join(f"{one}: {text}" for one, text in self.said) or "-"
        messages = chat(task[self.language], {**told, "DIALOGUE": dialogue}, self.language, self.work.seed)
        turn, found = await self.work.ask(role, messages, schema, read, self.attempt)
        self.said.append((who, turn))
        return found
