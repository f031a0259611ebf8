"""Dialogues of patient and doctor in the published schemas, as chat messages.

HuatuoGPT-sft-data-v1 (arXiv 2305.15075) is a list of texts that begin with 问：and 答： in turn, in the column `data`; its
trainer reads the same from `json_dialogue`, as JSON text. Every second text must be an answer, and a question at the end
that nobody answered is dropped, as that trainer does. Med-dialog has a case and what the doctor wrote.
"""

import json
import re
from collections.abc import Sequence

from medrl.data.rows import Row, RowFault, required
from medrl.types import Message

_MARK = re.compile(r"\s{0,8}(问|答)\s{0,4}[:：]")


def turns_of(row: Row) -> list[Message]:
    """The turns of a row of HuatuoGPT's set (`data`), or of its trainer's form (`json_dialogue`)."""
    column = "data" if "data" in row else "json_dialogue"
    turns = row[column]
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError) as error:
            raise RowFault(f"`{column}` is no JSON list: {error}") from error
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise RowFault(f"`{column}` must be a list of texts that begin with 问： and 答： in turn")
    return alternating(turns)


def alternating(turns: Sequence[str]) -> list[Message]:
    """Texts that begin with 问：and 答： in turn, as messages; a last question without an answer is left out."""
    messages: list[Message] = []
    for at, turn in enumerate(turns):
        due = "问答"[at % 2]
        mark = _MARK.match(turn)
        if mark is None or mark[1] != due:
            raise RowFault(f"turn {at + 1} must begin with {due}：, and is {turn!r:.60}")
        said = turn[mark.end() :].strip()
        if not said:
            raise RowFault(f"turn {at + 1} is empty behind {due}：")
        messages.append({"role": "user" if due == "问" else "assistant", "content": said})
    return messages[: len(messages) // 2 * 2]


def case_and_diagnosis(row: Row) -> list[Message]:
    """A row of Med-dialog: the case as the patient's message, what the doctor wrote as the reply."""
    case, diagnosis = required(row, "medical_case"), required(row, "doctor_diagnosis")
    return [{"role": "user", "content": case}, {"role": "assistant", "content": diagnosis}]
