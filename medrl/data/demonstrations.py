"""Worked answers for supervised fine-tuning: a question, a chain of reasoning, and the answer.

Takes the published schemas: medical-o1-reasoning-SFT (`Question`, `Complex_CoT`, `Response`; HuatuoGPT-o1, 2412.18925),
HuatuoGPT's lists of 问：/答： turns (`data`), HuatuoGPT-II's `conversations` of from/value turns, Med-dialog, and chat
`messages`. Replies in transcripts such as MTS-Dialog's come by `load_replies` and `Demonstration.of_reply`. The o1 text is
made in one place, `o1_text`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medrl.data.dialogue_rows import case_and_diagnosis, turns_of
from medrl.data.replies import LabelledReply
from medrl.data.rows import Row, RowFault, collect, language_of, pick_schema, read_rows, required
from medrl.types import Message

THINKING, FINAL_RESPONSE = "## Thinking", "## Final Response"
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


@dataclass(frozen=True)
class Demonstration:
    """Chat messages that end with the assistant's turn to learn from.

    Attributes:
        id: Unique within a data set.
        messages: The chat, the last message from the assistant.
        reasoning: Its chain of thought, empty where the data has none.
        answer: Its final answer or response.
        correct: False on a demonstration that was made wrong on purpose.
        problem_id: The problem it answers, where there is one.
        language: "en" or "zh".
    """

    id: str
    messages: tuple[Message, ...]
    reasoning: str
    answer: str
    correct: bool = True
    problem_id: str | None = None
    language: str = "en"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "messages": [dict(message) for message in self.messages]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Demonstration":
        return cls(**{**row, "messages": tuple(row["messages"])})

    @classmethod
    def of_reply(cls, reply: LabelledReply) -> "Demonstration":
        """A reply in a consultation, with all that was said before it."""
        problem, at = reply.problem, len(reply.problem.messages)
        messages = (*problem.messages, {"role": "assistant", "content": reply.text})
        return cls(f"{problem.id}-{at}", messages, "", reply.text, True, problem.id, problem.language)


def o1_text(reasoning: str, answer: str) -> str:
    """The output format of HuatuoGPT-o1: a thinking part, then the final response."""
    return f"{THINKING}\n\n{reasoning.strip()}\n\n{FINAL_RESPONSE}\n\n{answer.strip()}"


def load_demonstrations(
    source: str | Path,
    *,
    split: str = "train",
    config: str | None = None,
    schema: str = "auto",
    limit: int | None = None,
    language: str | None = None,
) -> list[Demonstration]:
    """Read demonstrations from a local file (.jsonl, .json, .csv, .parquet) or a data set of the hub.

    Args:
        source: File, or hub id such as "FreedomIntelligence/medical-o1-reasoning-SFT".
        split: Split of a hub data set; a local file is read whole.
        config: Configuration of a hub data set, e.g. "en" or "zh".
        schema: One of `SCHEMAS`, or "auto" to tell it by the columns.
        limit: Read only this many rows.
        language: Language of all rows; None tells it from each question.
    """
    name, rows = read_rows(source, split=split, config=config, limit=limit)
    chosen = pick_schema(name, rows, schema, {key: columns for key, (columns, _) in SCHEMAS.items()})
    parse = SCHEMAS[chosen][1]
    return collect(name, rows, lambda row, number: parse(row, number, language), "demonstration")


def _o1(row: Row, number: int, language: str | None) -> Demonstration:
    question, chain, answer = (required(row, column) for column in ("Question", "Complex_CoT", "Response"))
    messages = ({"role": "user", "content": question}, {"role": "assistant", "content": o1_text(chain, answer)})
    key = str(row.get("id", f"row-{number}"))
    return Demonstration(key, messages, chain, answer, language=language or language_of(question))


def _response(row: Row, number: int, language: str | None) -> Demonstration:
    """The rows of `medrl construct reasoning` in its arm `response`: an answer without reasoning, and so without headers."""
    question, answer = required(row, "Question"), required(row, "Response")
    messages = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    key = str(row.get("id", f"row-{number}"))
    return Demonstration(key, messages, "", answer, language=language or language_of(question))


def _conversations(row: Row, number: int, language: str | None) -> Demonstration:
    turns = row["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise RowFault("`conversations` must be a list of turns with `from` and `value`")
    messages = [{"role": _role(turn.get("from")), "content": required(turn, "value")} for turn in turns]
    return _chat(row, number, messages, language)


def _messages(row: Row, number: int, language: str | None) -> Demonstration:
    turns = row["messages"]
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise RowFault("`messages` must be a list of turns with `role` and `content`")
    messages = [{"role": _role(turn.get("role")), "content": required(turn, "content")} for turn in turns]
    return _chat(row, number, messages, language)


def _dialogue(read: Callable[[Row], list[Message]]) -> Callable[[Row, int, str | None], Demonstration]:
    """The schema of rows whose turns `read` finds."""

    def parse(row: Row, number: int, language: str | None) -> Demonstration:
        return _chat(row, number, read(row), language)

    return parse


def _own(row: Row, number: int, language: str | None) -> Demonstration:
    return Demonstration.from_json(row)


def _role(role: Any) -> str:
    if role not in _ROLES:
        raise RowFault(f"a turn is from {role!r}; known: {', '.join(_ROLES)}")
    return _ROLES[role]


def _chat(row: Row, number: int, messages: Sequence[Message], language: str | None) -> Demonstration:
    """A trailing user turn without an answer is dropped, as HuatuoGPT's trainer does."""
    while messages and messages[-1]["role"] != "assistant":
        messages = messages[:-1]
    first = next((str(message["content"]) for message in messages if message["role"] == "user"), None)
    if first is None:
        raise RowFault("the chat holds no assistant turn after a user turn; there is nothing to learn from")
    reasoning, answer = _halves(str(messages[-1]["content"]))
    key = str(row.get("id", f"row-{number}"))
    return Demonstration(key, tuple(messages), reasoning, answer, language=language or language_of(first))


def _halves(text: str) -> tuple[str, str]:
    """Reasoning and answer of a text in the o1 format; all of any other text is answer."""
    head, mark, answer = text.partition(FINAL_RESPONSE)
    if not mark or not head.lstrip().startswith(THINKING):
        return "", text.strip()
    return head.replace(THINKING, "", 1).strip(), answer.strip()


SCHEMAS: dict[str, tuple[tuple[str, ...], Callable[[Row, int, str | None], Demonstration]]] = {
    "demonstration": (("id", "messages", "reasoning", "answer"), _own),
    "o1_sft": (("Question", "Complex_CoT", "Response"), _o1),
    "response": (("Question", "Response"), _response),
    "conversations": (("conversations",), _conversations),
    "messages": (("messages",), _messages),
    "huatuogpt": (("data",), _dialogue(turns_of)),
    "huatuogpt_trainer": (("json_dialogue",), _dialogue(turns_of)),
    "med_dialog": (("medical_case", "doctor_diagnosis"), _dialogue(case_and_diagnosis)),
}
