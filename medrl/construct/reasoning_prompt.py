"""What is said to the model that searches for reasoning, and how its replies are read (HuatuoGPT-o1, 2412.18925, section 2).

The paper's roles, in our own words: a first chain of thought in actions; four ways to go on from a conclusion that was found
wrong; one natural monologue made of the whole; the response that follows from it. A chain is a list of actions in one order:
Inner Thinking once or more, Final Conclusion once, Verification once. Anything else is no chain.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from medrl.chat.base import ChatBadReply, Message
from medrl.chat.strict import read_reply
from medrl.construct.slots import REMINDER, RULES, TEXT, an_object, chat
from medrl.data.rows import language_of
from medrl.verifiers.judge_prompt import Language
from medrl.verifiers.protocol import digest

THINK, CONCLUDE, CHECK = "Inner Thinking", "Final Conclusion", "Verification"
Strategy: TypeAlias = Literal["backtracking", "exploring_new_paths", "verification", "correction"]
Manner: TypeAlias = Literal["complex", "simple"]

CHAIN: Mapping[Language, str] = {
    "en": f"""\
Reply with one JSON object {{"chain": [...]}} and nothing else. Each element is {{"action", "title", "content"}}:
- one or more "{THINK}": one step of thought; "title" names it in a few words.
- then one "{CONCLUDE}": the answer you commit to, and nothing else; "title" is "".
- then one "{CHECK}": what speaks for and against that conclusion; "title" is "".""",
    "zh": f"""\
只回复一个 JSON 对象 {{"chain": [...]}}，不要其他内容。每个元素为 {{"action", "title", "content"}}：
- 一个或多个 "{THINK}"：一步思考；"title" 用几个字概括。
- 然后一个 "{CONCLUDE}"：你最终给出的答案，不含其他内容；"title" 为 ""。
- 然后一个 "{CHECK}"：支持与反对该结论的理由；"title" 为 ""。""",
}
FIRST: Mapping[Language, str] = {
    "en": "You are an experienced physician. Think QUESTION through step by step before you answer it. Write in English.",
    "zh": "你是一位经验丰富的医生。请先逐步思考 QUESTION，再作答。用中文书写。",
}
AGAIN: Mapping[Language, str] = {
    "en": "You are an experienced physician. CHAIN is your thinking about QUESTION so far. Its last conclusion was reviewed "
    "and is wrong; the right answer was not told. {strategy} End with another conclusion. Write in English.",
    "zh": "你是一位经验丰富的医生。CHAIN 是你目前对 QUESTION 的思考。其最后的结论经复核是错误的，正确答案没有给出。"
    "{strategy}最后给出另一个结论。用中文书写。",
}
STRATEGIES: Mapping[Strategy, Mapping[Language, str]] = {
    "backtracking": {
        "en": "Go back to the earlier step from which your thinking went astray, name it, and continue from there.",
        "zh": "回到思路开始出错的较早一步，指出是哪一步，并从那里重新推理。",
    },
    "exploring_new_paths": {
        "en": "Leave this line of thought and approach the question from a side that you have not yet considered.",
        "zh": "放弃这条思路，从尚未考虑过的角度重新分析问题。",
    },
    "verification": {
        "en": "Check each step of the chain against the facts of the question, and say which hold and which do not.",
        "zh": "逐步将推理与题目中的事实核对，说明哪些成立、哪些不成立。",
    },
    "correction": {
        "en": "Find the errors in the chain, say what is wrong with each, and put them right.",
        "zh": "找出推理中的错误，逐一说明错在哪里并加以改正。",
    },
}
REVEALED: Mapping[Language, str] = {
    "en": "You are an experienced physician. Think QUESTION through step by step, and reach the answer in LABEL from the "
    "facts of the question alone, as somebody who does not know it. Never mention that it was given. Write in English.",
    "zh": "你是一位经验丰富的医生。请逐步思考 QUESTION，仅凭题目中的事实推导出 LABEL 中的答案，如同事先并不知道它。"
    "绝不要提及答案是给出的。用中文书写。",
}
REWRITE: Mapping[Manner, Mapping[Language, str]] = {
    "complex": {
        "en": "CHAIN is your thinking about QUESTION, in pieces. Write it as one inner monologue in the first person, in "
        "plain paragraphs without headings or lists: keep every idea, doubt, wrong turn and change of mind in their order, "
        "with natural transitions. Nobody reviewed anything: each turn is your own. End where you are sure. "
        "Write in English.",
        "zh": "CHAIN 是你对 QUESTION 的零散思考。请用第一人称把它写成一段连贯的内心独白，分成自然段，不用标题和列表："
        "按原有顺序保留每一个想法、疑问、弯路和转念，过渡自然。没有人复核过任何内容，每次转念都是你自己的。在确信之处结束。用中文书写。",
    },
    "simple": {
        "en": "CHAIN is your thinking about QUESTION. Write it as a short, straight line of reasoning in the first person, "
        "without doubts or detours. Write in English.",
        "zh": "CHAIN 是你对 QUESTION 的思考。请用第一人称把它写成一段简短、直接的推理，不含疑问和弯路。用中文书写。",
    },
}
MONOLOGUE: Mapping[Language, str] = {
    "en": 'Reply with one JSON object {"monologue": "..."} and nothing else.',
    "zh": '只回复一个 JSON 对象 {"monologue": "..."}，不要其他内容。',
}
RESPOND: Mapping[bool, Mapping[Language, str]] = {
    True: {
        "en": "You are an experienced physician. THOUGHTS is what you thought about QUESTION. Answer the question for "
        "whoever asked it: first the answer, then why, without mentioning the thoughts. Write in English.",
        "zh": "你是一位经验丰富的医生。THOUGHTS 是你对 QUESTION 的思考。请回答提问者：先给出答案，再说明理由，"
        "不要提及这段思考。用中文书写。",
    },
    False: {
        "en": "You are an experienced physician. Answer QUESTION: first the answer, then why. Write in English.",
        "zh": "你是一位经验丰富的医生。请回答 QUESTION：先给出答案，再说明理由。用中文书写。",
    },
}
RESPONSE: Mapping[Language, str] = {
    "en": 'Reply with one JSON object {"response": "..."} and nothing else.',
    "zh": '只回复一个 JSON 对象 {"response": "..."}，不要其他内容。',
}
_STEP = an_object(action={"type": "string", "enum": [THINK, CONCLUDE, CHECK]}, title=TEXT, content=TEXT)
CHAIN_SCHEMA = an_object(chain={"type": "array", "items": _STEP, "minItems": 3, "maxItems": 24})
MONOLOGUE_SCHEMA, RESPONSE_SCHEMA = an_object(monologue=TEXT), an_object(response=TEXT)
# What would tell a reader of the monologue or response that somebody had known the answer.
_REVIEWED = re.compile(
    r"(?i:\b(?:reviewed and (?:is|was|found)|reviewers?\b|the (?:reference answer|gold answer|ground[- ]truth)\b|"
    r"answer (?:that )?(?:was|is|has been) (?:given|provided|told|revealed)|(?:question|chain|label|thoughts) slot))|"
    r"\b(?:CHAIN|LABEL|THOUGHTS)\b|经复核|参考答案|标准答案|(?:给出|提供|已知)的(?:正确)?答案",
)
# What would be read as the headers or tags that SFT puts around reasoning and answer.
_HEADERS = re.compile(
    r"#[ \t]{0,8}\**(?:thinking|final response|思考|最终回答|最终回复)|</?think|"
    r"^[ \t]{0,8}\**final response\**[:：]?\**[ \t]{0,8}$",
    re.IGNORECASE | re.MULTILINE,
)
VERSION = digest(
    [dict(RULES), dict(REMINDER), dict(CHAIN), dict(FIRST), dict(AGAIN), [dict(one) for one in STRATEGIES.values()],
     dict(REVEALED), [dict(one) for one in REWRITE.values()], dict(MONOLOGUE), [dict(one) for one in RESPOND.values()],
     dict(RESPONSE), CHAIN_SCHEMA, MONOLOGUE_SCHEMA, RESPONSE_SCHEMA, _REVIEWED.pattern, _HEADERS.pattern]
)  # fmt: skip
"""A hash of every text above: rows say which prompts made them."""


@dataclass(frozen=True)
class Step:
    """One action of a chain."""

    action: str
    title: str
    content: str


def first_messages(question: str, language: Language, seed: int) -> tuple[Message, ...]:
    """The chat that asks for a first chain."""
    return chat(f"{FIRST[language]}\n\n{CHAIN[language]}", {"QUESTION": question}, language, seed)


def again_messages(
    question: str, steps: Sequence[Step], strategy: Strategy, language: Language, seed: int
) -> tuple[Message, ...]:
    """The chat that asks to go on, in one of four ways, from a conclusion that is wrong."""
    task = AGAIN[language].replace("{strategy}", STRATEGIES[strategy][language])
    return chat(f"{task}\n\n{CHAIN[language]}", {"QUESTION": question, "CHAIN": told(steps)}, language, seed)


def revealed_messages(question: str, label: str, language: Language, seed: int) -> tuple[Message, ...]:
    """The chat that shows the right answer and asks for a chain that leads to it."""
    slots = {"QUESTION": question, "LABEL": label}
    return chat(f"{REVEALED[language]}\n\n{CHAIN[language]}", slots, language, seed)


def rewrite_messages(
    question: str, steps: Sequence[Step], manner: Manner, language: Language, seed: int
) -> tuple[Message, ...]:
    """The chat that asks for one monologue."""
    task = f"{REWRITE[manner][language]}\n\n{MONOLOGUE[language]}"
    return chat(task, {"QUESTION": question, "CHAIN": told(steps)}, language, seed)


def response_messages(question: str, thoughts: str, language: Language, seed: int) -> tuple[Message, ...]:
    """The chat that asks for the response, from the thoughts where there are any."""
    slots = {"QUESTION": question, **({"THOUGHTS": thoughts} if thoughts else {})}
    return chat(f"{RESPOND[bool(thoughts)][language]}\n\n{RESPONSE[language]}", slots, language, seed)


def told(steps: Sequence[Step]) -> str:
    """A chain as text."""
    heads = (f"{one.action}: {one.title}" if one.title else one.action for one in steps)
    return "\n".join(f"[{i}] {head}\n{one.content}" for i, (head, one) in enumerate(zip(heads, steps, strict=True), 1))


def read_chain(text: str) -> tuple[Step, ...]:
    """A chain whose last but one step is its conclusion.

    Raises:
        ChatBadReply: It is no chain.
    """
    found = read_reply(text, CHAIN_SCHEMA, "the writer")["chain"]
    steps = tuple(Step(one["action"], one["title"].strip(), one["content"].strip()) for one in found)
    actions = [one.action for one in steps]
    if actions != [THINK] * (len(steps) - 2) + [CONCLUDE, CHECK]:
        raise ChatBadReply(
            f"the writer's actions are {', '.join(actions)}; {THINK} comes first, then {CONCLUDE}, {CHECK}"
        )
    if not all(one.content for one in steps):
        raise ChatBadReply("a step of the writer's chain is empty")
    return steps


def read_text(text: str, schema: Mapping[str, Any], language: Language) -> str:
    """The one text of a reply, in the wanted language, that does not speak of how it came about.

    Raises:
        ChatBadReply: It is anything else.
    """
    (found,) = (str(value).strip() for value in read_reply(text, schema, "the writer").values())
    if not found:
        raise ChatBadReply("the writer's text is empty")
    if language_of(found) != language:
        raise ChatBadReply(f"the writer's text is not in {language!r}: {found!r:.80}")
    if spoiled := _REVIEWED.search(found):
        raise ChatBadReply(f"the writer's text speaks of how it came about: {spoiled.group()!r}")
    if header := _HEADERS.search(found):
        raise ChatBadReply(f"the writer's text holds {header.group()!r}, which would end its part of a demonstration")
    return found
