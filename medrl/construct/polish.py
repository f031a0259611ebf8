"""Real conversations polished: a chat model writes a doctor's terse replies kindly and whole, and may change no medicine.

HuatuoGPT (arXiv 2305.15075, section 3.1) has real doctors' replies polished because they are "short, inconsistent, less
patient-friendly". A rewriter also invents. So what came back is compared with what went in (`faithful.py`), asked for again
where the two do not agree, and then refused; the paper tells of no such check.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from medrl.construct.faithful import unfaithful
from medrl.construct.pipeline import Dropped, Kept, Stage, Work
from medrl.construct.roles import Role
from medrl.construct.rows import read_dialogue
from medrl.construct.slots import REMINDER, RULES, an_object, chat
from medrl.construct.turns import language_for, on_one_line, read_turn, text_schema
from medrl.data import demonstrations
from medrl.data.rows import RowFault
from medrl.errors import RecipeError, did_you_mean
from medrl.knobs import out_of_range
from medrl.verifiers.judge_prompt import Language
from medrl.verifiers.protocol import digest

TASK: Mapping[Language, str] = {
    "en": """\
DIALOGUE is a consultation, REPLY what the real doctor said next. Write REPLY again in whole, kind sentences that a \
patient understands. Keep every fact, number, question, drug and instruction; add no disease, drug, test, number or \
advice of your own; no disclaimers. Reply with one JSON object and nothing else: "reply", the new text.""",
    "zh": """\
DIALOGUE 是一段问诊，REPLY 是真实医生接下来的话。请把 REPLY 改写成患者能看懂的完整、体贴的句子。\
保留每一个事实、数字、问题、药物和医嘱；不要加入你自己的疾病、药物、检查、数字或建议；不要写免责声明。\
只回复一个 JSON 对象，不要其他内容："reply"，即改写后的内容。""",
}
SCHEMA = an_object(reply=text_schema(3000))
LONGEST = 2000  # characters of a reply that is written again
VERSION = digest([dict(RULES), dict(REMINDER), dict(TASK), SCHEMA])
"""A hash of every text above: rows say which prompts made them."""


@dataclass(frozen=True)
class PolishStage(Stage):
    """Has the doctor's turns of a conversation written again, each faithfully or not at all."""

    rewriter: Role
    """Who writes them. Paper: ChatGPT."""
    turns: Literal["all", "last"] = "all"
    """Which turns of the doctor; the rewriter sees the ones before as they are by then."""
    draws: int = 3
    """How many rewritings of a turn are asked for until one is faithful; where none is, the turn stays as the doctor said it,
    and the row says so. A conversation of which no turn could be polished is left out. Typical 1 to 5."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of prompts and replies; auto is the row's (`language`), or else that of its first turn."""
    schema: str = "auto"
    """Published schema of the rows, as demonstrations have them; auto tells it by the columns of each."""
    name: ClassVar[str] = "polish"

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("draws",))
        known = ("auto", *demonstrations.SCHEMAS)
        if self.schema not in known:
            faults.append(f"there is no schema {self.schema!r}{did_you_mean(self.schema, known)}")
        if faults:
            raise RecipeError("the polish stage", faults)

    @property
    def reasons(self) -> Sequence[str]:
        return ("broken_row", "unfaithful")

    def cached(self, path: Path) -> "PolishStage":
        return replace(self, rewriter=self.rewriter.cached(path))

    def identity(self) -> Mapping[str, Any]:
        return {
            "models": {"rewriter": self.rewriter.identity()},
            "prompts": VERSION,
            "knobs": {name: getattr(self, name) for name in ("turns", "draws", "language", "schema")},
        }

    async def run(self, work: Work) -> Kept | Dropped:
        try:
            said = [str(message["content"]) for message in read_dialogue(work.item, self.schema)]
        except RowFault as error:
            return Dropped("broken_row", str(error))
        language = language_for(self.language, work.item.row, said[0])
        original: dict[str, str] = {}
        faults: dict[str, str] = {}
        for at in range(1, len(said), 2) if self.turns == "all" else [len(said) - 1]:
            text, fault = await self._polished(work, said[:at], said[at], language)
            if fault:
                faults[str(at + 1)] = fault
            else:
                original[str(at + 1)], said[at] = said[at], text
        if not original:
            return Dropped("unfaithful", "; ".join(f"turn {turn}: {fault}" for turn, fault in faults.items()))
        data = [f"{'答' if at % 2 else '问'}：{text}" for at, text in enumerate(said)]
        return Kept({"data": data, "language": language}, {"original": original, "left_as_said": faults})

    async def _polished(self, work: Work, before: Sequence[str], reply: str, language: Language) -> tuple[str, str]:
        """A faithful rewriting, or the last one and what it changed."""
        if len(reply) > LONGEST:
            return reply, f"it has {len(reply):,} characters, too many to be written again"
        marked = (f"{'答' if at % 2 else '问'}：{on_one_line(text)}" for at, text in enumerate(before))
        messages = chat(TASK[language], {"DIALOGUE": "\n".join(marked), "REPLY": reply}, language, work.seed)
        read = partial(read_turn, schema=SCHEMA, name="reply", who="the rewriter", language=language)
        text = fault = ""
        for draw in range(self.draws):
            text, _ = await work.ask(self.rewriter, messages, SCHEMA, read, draw)
            if not (fault := unfaithful(reply, text)):
                break
        return text, fault
