"""What is said to the models that turn multiple-choice questions into verifiable problems, and how their replies are read.

The steps of HuatuoGPT-o1 (arXiv 2412.18925, section 2.1), in our own words: small models try the question, a judge says
whether it can stand without its options, a writer asks it openly.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from medrl.chat.base import ChatBadReply, Message
from medrl.chat.strict import read_reply
from medrl.construct.slots import REMINDER, RULES, TEXT, an_object, chat
from medrl.verifiers.judge_prompt import Language
from medrl.verifiers.protocol import digest

Grade: TypeAlias = Literal["pass", "too_simple", "ambiguous_answer", "not_reformulatable"]
GRADES: tuple[Grade, ...] = ("pass", "too_simple", "ambiguous_answer", "not_reformulatable")

TAKE: Mapping[Language, str] = {
    "en": 'Answer QUESTION by choosing one of OPTIONS. Reply with one JSON object and nothing else: "reason" (at most 60 '
    'words), then "answer" (the label of the option, such as "B").',
    "zh": '从 OPTIONS 中选择一项回答 QUESTION。只回复一个 JSON 对象，不要其他内容："reason"（不超过100字），然后是 "answer"'
    '（选项的标签，如 "B"）。',
}
GRADE: Mapping[Language, str] = {
    "en": """\
You decide whether a multiple-choice question can be asked without its options. ANSWER is its right option. Choose one:
- "too_simple": whoever knows one fact answers it at once; nothing has to be reasoned about.
- "ambiguous_answer": asked openly it would have several right answers, or no short one that all experts would give alike.
- "not_reformulatable": it has no meaning without the options, a figure or a table (such as "which of these is not", a \
statement to be judged, a comparison of the options).
- "pass": asked openly it still has to be reasoned about, and ANSWER is the one right answer.
Where more than one fits, take the first of this list that does.
Reply with one JSON object and nothing else: "reason" (at most 40 words), then "grade".""",
    "zh": """\
判断一道选择题去掉选项后能否成为开放式问题。ANSWER 是正确选项。从下列各项中选择一项：
- "too_simple"：知道某一事实即可直接作答，无需推理。
- "ambiguous_answer"：开放提问时有多个正确答案，或没有专家一致给出的简短答案。
- "not_reformulatable"：离开选项、图或表就没有意义（例如“以下哪项不是”、判断说法、比较选项）。
- "pass"：开放提问时仍需推理，且 ANSWER 是唯一正确答案。
如有多项符合，取上面顺序中的第一项。
只回复一个 JSON 对象，不要其他内容："reason"（不超过60字），然后是 "grade"。""",
}
REWRITE: Mapping[Language, str] = {
    "en": """\
Rewrite a multiple-choice question so that it is asked openly. Keep every fact of the case. Do not name, hint at or list \
any option, and do not speak of options or of "the following"; ask for what makes ANSWER the only right answer (a diagnosis, \
a drug, a mechanism, a value). Then give the answer: what ANSWER says, as a short phrase that stands by itself, nothing added.
Write in English. Reply with one JSON object and nothing else: "question", then "answer".""",
    "zh": """\
把一道选择题改写为开放式问题。保留病例中的每一个事实。不要提及、暗示或列出任何选项，不要出现“以下”“选项”等字样；\
所问的内容应使 ANSWER 成为唯一正确答案（诊断、药物、机制、数值等）。然后给出答案：即 ANSWER 的内容，\
写成可独立成立的简短短语，不添加内容。
用中文书写。只回复一个 JSON 对象，不要其他内容："question"，然后是 "answer"。""",
}
GRADE_SCHEMA = an_object(reason=TEXT, grade={"type": "string", "enum": list(GRADES)})
REWRITE_SCHEMA = an_object(question=TEXT, answer=TEXT)
VERSION = digest(
    [dict(RULES), dict(REMINDER), dict(TAKE), dict(GRADE), dict(REWRITE), GRADE_SCHEMA, REWRITE_SCHEMA]
)  # fmt: skip
"""A hash of every text above: rows say which prompts made them."""


def take_messages(question: str, options: Mapping[str, str], language: Language, seed: int) -> tuple[Message, ...]:
    """The chat that asks a small model to answer."""
    return chat(TAKE[language], {"QUESTION": question, "OPTIONS": listed(options)}, language, seed)


def grade_messages(
    question: str, options: Mapping[str, str], answer: str, language: Language, seed: int
) -> tuple[Message, ...]:
    """The chat that asks which of four grades a question gets."""
    slots = {"QUESTION": question, "OPTIONS": listed(options), "ANSWER": answer}
    return chat(GRADE[language], slots, language, seed)


def rewrite_messages(
    question: str, options: Mapping[str, str], answer: str, language: Language, seed: int
) -> tuple[Message, ...]:
    """The chat that asks for the open question and its answer."""
    slots = {"QUESTION": question, "OPTIONS": listed(options), "ANSWER": answer}
    return chat(REWRITE[language], slots, language, seed)


def listed(options: Mapping[str, str]) -> str:
    """Options as lines."""
    return "\n".join(f"{label}. {text}" for label, text in options.items())


def take_schema(options: Mapping[str, str]) -> dict[str, Any]:
    """The JSON schema of an answer: one label of those that there are."""
    return an_object(reason=TEXT, answer={"type": "string", "enum": list(options)})


def read_grade(text: str) -> tuple[Grade, str]:
    """The grade and its reason.

    Raises:
        ChatBadReply: The text is not one JSON object of the schema.
    """
    found = read_reply(text, GRADE_SCHEMA, "the grader")
    return found["grade"], " ".join(found["reason"].split())


def read_rewritten(text: str) -> tuple[str, str]:
    """The open question and its answer.

    Raises:
        ChatBadReply: The text is not one JSON object of the schema, or one of the two is empty.
    """
    found = read_reply(text, REWRITE_SCHEMA, "the rewriter")
    question, answer = found["question"].strip(), found["answer"].strip()
    if not question or not answer:
        raise ChatBadReply("the rewriter's question or answer is empty")
    return question, answer
