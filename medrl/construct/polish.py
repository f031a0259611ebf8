"""Real conversations polished: a chat model writes a doctor's terse reply kindly and whole, and may change no medicine.

HuatuoGPT (arXiv 2305.15075, section 3.1) has real doctors' replies polished because they are "short, inconsistent, less
patient-friendly". A rewriter also invents. So what came back is compared with what went in (`faithful.py`). What does not
agree is asked for again and then refused; the paper tells of no such check.
"""

from collections.abc import Mapping
from typing import Any

from medrl.chat.base import ChatBadReply, ChatClient
from medrl.construct.asking import asked, chat, on_one_line, text_of, texts_schema
from medrl.construct.faithful import unfaithful
from medrl.verifiers.judge_prompt import Language

VERSION = "polish-1"
TASK: Mapping[Language, str] = {
    "en": """\
DIALOGUE is a consultation, REPLY what the real doctor said next. Write REPLY again in whole, kind sentences that a \
patient understands. Keep every fact, number, question, drug and instruction; add no disease, drug, test, number or \
advice of your own; no disclaimers. "reply" is the new text.""",
    "zh": """\
DIALOGUE 是一段问诊，REPLY 是真实医生接下来的话。请把 REPLY 改写成患者能看懂的完整、体贴的句子。\
保留每一个事实、数字、问题、药物和医嘱；不要加入你自己的疾病、药物、检查、数字或建议；不要写免责声明。\
"reply" 为改写后的内容。""",
}  # fmt: skip
MOST = 3000  # characters


async def polished(client: ChatClient, row: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """A row with `id`, `data` (turns that begin with 问：and 答：, the last one the doctor's) with that last turn polished.

    Raises:
        ChatError: No reply that says the same could be had.
        ValueError: The row does not end with a doctor's turn.
    """
    turns = [str(turn) for turn in row["data"]]
    if len(turns) % 2 or not turns or not turns[-1].startswith("答"):
        raise ValueError(f"row {row.get('id')!r} does not end with a turn 答：, so there is no reply to polish")
    reply = turns[-1][2:].strip()
    language: Language = "zh" if row.get("language") == "zh" else "en"

    def check(found: Mapping[str, Any]) -> str:
        text = text_of(found, "reply", "the rewriter", MOST)
        if fault := unfaithful(reply, text):
            raise ChatBadReply(f"the rewriter changed the reply: {fault}")
        return text

    dialogue = "\n".join(map(on_one_line, turns[:-1]))
    text, about = await asked(
        client, chat(TASK[language], {"DIALOGUE": dialogue, "REPLY": reply}, language, seed),
        texts_schema(MOST, "reply"), "the rewriter", VERSION,
        seed=seed, temperature=0.7, max_tokens=2048, check=check,
    )  # fmt: skip
    made = {"source": "real_conversations", "from": row.get("provenance"), "original": reply, **about}
    return {**row, "data": [*turns[:-1], f"答：{text}"], "provenance": made}
