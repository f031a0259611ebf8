"""Distilled conversations: one model plays the patient, one the doctor, grounded in a real case (HuatuoGPT, section 3.1).

The patient alone is given the case and tells what is asked, a little at a time; the doctor alone is given the diagnosis
and the treatment of the real doctor, and must find its way there by asking. So the dialogue ends where the real one did,
and neither model invents the medicine. Each turn is one request, and the two may be different models. What models are
told is our own wording.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medrl.chat.base import ChatBadReply, ChatClient
from medrl.construct.asking import asked, chat, on_one_line, text_of, texts_schema
from medrl.verifiers.judge_prompt import Language

VERSION = "two-roles-1"
PATIENT: Mapping[Language, str] = {
    "en": """\
You play the patient of CASE. DIALOGUE is what was said so far. Say what comes next in plain everyday words, one to three \
sentences: at first the main complaint alone, later an answer to what the doctor asked, from CASE alone; what CASE does \
not tell you do not know. Never name the diagnosis. "say" is what you say; "ends" is true once the doctor has told you \
what it is and what to do, and you have nothing left to ask.""",
    "zh": """\
你扮演 CASE 中的患者。DIALOGUE 是目前的对话。请用日常口语说下一句，一到三句话：开头只说主要不适，\
之后只根据 CASE 回答医生的问题；CASE 没有写的你就不知道。绝不说出诊断。"say" 为你要说的话；\
医生已经说明病情和处理、你没有问题要问时，"ends" 为 true。""",
}
DOCTOR: Mapping[Language, str] = {
    "en": """\
You play the doctor. DIALOGUE is what was said so far, FINDINGS what you will find in the end. Say what comes next: while \
something decisive was not told, ask for it, one or two questions at a time; then tell the diagnosis of FINDINGS, its \
treatment, and when to come at once. Nothing may contradict FINDINGS, and no disclaimers. "say" is what you say; "ends" \
is true once you have told diagnosis and treatment.""",
    "zh": """\
你扮演医生。DIALOGUE 是目前的对话，FINDINGS 是你最终的结论。请说下一句：关键信息还没有说到就追问，一次一两个问题；\
之后说明 FINDINGS 中的诊断、治疗以及何时立即就医。内容不得与 FINDINGS 矛盾，不要写免责声明。\
"say" 为你要说的话；说完诊断和治疗后 "ends" 为 true。""",
}
ROLES = {"user": ("the patient", PATIENT), "assistant": ("the doctor", DOCTOR)}
MOST = 1200  # characters of a turn


@dataclass(frozen=True)
class TwoRoles:
    """How a conversation is led."""

    exchanges: int = 6
    """Most exchanges (patient, doctor); a conversation without an end by then is refused, not cut. Typical 3 to 8."""
    least: int = 2
    """Fewest: a doctor who ends sooner has asked nothing."""
    seed: int = 0
    """Another seed makes another conversation of the same case."""
    temperature: float = 0.8
    """Of both. Typical 0.7 to 1."""

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.exchanges:
            raise ValueError(
                f"two roles: least is {self.least} and exchanges {self.exchanges}; 1 <= least <= exchanges"
            )

    async def conversation(self, patient: ChatClient, doctor: ChatClient, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row with `id`, `case` and `findings` (and `language`) as a dialogue in the schema of HuatuoGPT-sft-data-v1.

        Raises:
            ChatError: A turn could not be had, or the conversation does not end.
        """
        language: Language = "zh" if row.get("language") == "zh" else "en"
        told = {"user": {"CASE": str(row["case"])}, "assistant": {"FINDINGS": str(row["findings"])}}
        clients = {"user": patient, "assistant": doctor}
        said: list[tuple[str, str]] = []
        turns: list[dict[str, Any]] = []
        for exchange in range(self.exchanges):
            ends = False
            for role, client in clients.items():
                (text, ends), about = await self._turn(client, role, told[role], said, language)
                said.append((role, text))
                turns.append({"role": role, **about})
            if ends:  # the doctor has told all; the patient's last word is not waited for
                if exchange + 1 < self.least:
                    raise ChatBadReply(
                        f"the doctor ended after {exchange + 1} exchanges; at least {self.least} are asked for"
                    )
                data = [f"{'问' if role == 'user' else '答'}：{text}" for role, text in said]
                made = {"source": "distilled_conversations", "case": row["id"], "turns": turns}
                return {"id": f"two-roles-{row['id']}", "data": data, "language": language, "provenance": made}
        raise ChatBadReply(f"the conversation did not end within {self.exchanges} exchanges")

    async def _turn(
        self, client: ChatClient, role: str, told: Mapping[str, str], said: list[tuple[str, str]], language: Language
    ) -> tuple[tuple[str, bool], dict[str, Any]]:
        who, task = ROLES[role]
        names = {"user": "patient", "assistant": "doctor"}
        dialogue = "\n".join(f"{names[one]}: {text}" for one, text in said) or "-"

        def check(found: Mapping[str, Any]) -> tuple[str, bool]:
            text = on_one_line(text_of(found, "say", who, MOST))
            if any(text == earlier for one, earlier in said if one == role):
                raise ChatBadReply(f"{who} said the same before: {text!r:.60}")
            return text, bool(found["ends"])

        return await asked(
            client, chat(task[language], {**told, "DIALOGUE": dialogue}, language, self.seed),
            texts_schema(MOST, "say", ends={"type": "boolean"}), who, VERSION,
            seed=self.seed, temperature=self.temperature, max_tokens=1024, check=check,
        )  # fmt: skip
