"""Replies in a consultation, with who wrote them: what a scorer of doctor-likeness learns from and is measured on.

A record is general: the history as a `Problem`, the reply, its source, and what is known of how it was made. Records of the
same problem can be paired (a doctor's reply against an assistant's, a sound one against one with a flaw).
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.errors import DataError, MissingFile, ProblemError
from medrl.types import Message, Problem

SHOWN_FAULTS = 10
ROLES = {"user": "user", "patient": "user", "guest_family": "user", "guest_clinician": "assistant",
         "assistant": "assistant", "doctor": "assistant", "患者": "user", "病人": "user", "医生": "assistant",
         "system": "system"}  # fmt: skip
_TURN = re.compile(r"(?:^|(?<=\s))(Doctor|Patient|Guest_family|Guest_clinician)(?:_\d)?:\s", re.IGNORECASE)
_CJK = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class LabelledReply:
    """One reply to one consultation so far.

    Attributes:
        problem: The consultation before the reply; its messages end with the patient.
        text: The reply.
        doctor: Whether a doctor wrote it; None where nobody said.
        source: Who wrote it: doctor, assistant, or a model's name.
        template: Which wordings it was made from; "" for a reply from a file.
        pair: Shared by two replies of the same medical content and nearly the same length; "" for others.
        content: What it says, as keys: topics asked, concepts named, such as `ask:onset`, `disease:asthma`.
        flaw: In which way a doctor's reply is worse than it should be; "" for a sound one.
    """

    problem: Problem
    text: str
    doctor: bool | None
    source: str = ""
    template: str = ""
    pair: str = ""
    content: tuple[str, ...] = ()
    flaw: str = ""

    @property
    def length(self) -> int:
        return len(self.text)

    def to_json(self) -> dict[str, Any]:
        """A row that `load_replies` reads."""
        return {
            "id": self.problem.id, "dialogue": [dict(message) for message in self.problem.messages],
            "reply": self.text, "doctor": self.doctor, "source": self.source, "language": self.problem.language,
            "template": self.template, "pair": self.pair, "content": list(self.content), "flaw": self.flaw,
            "metadata": dict(self.problem.metadata),
        }  # fmt: skip


def load_replies(path: str | Path, *, limit: int | None = None) -> list[LabelledReply]:
    """Replies from a file.

    Read are JSON lines with `dialogue` (messages, or texts that begin with the patient) and `reply`, and perhaps `doctor`
    (true or false) or `label` (1, 0, doctor, assistant) and `source`; rows of HuatuoGPT's Med-dialog (`medical_case`,
    `doctor_diagnosis`); and CSV files of MTS-Dialog (`dialogue`), of which every turn of the doctor is a reply.

    Raises:
        MissingFile, DataError: The file cannot be read, or rows of it are broken; they are named together.
    """
    path = Path(path)
    replies: list[LabelledReply] = []
    faults: list[str] = []
    for number, row in enumerate(_rows(path), 1):
        if limit is not None and number > limit:
            break
        try:
            replies += _replies(row, f"{path.stem}-{number}")
        except (DataError, ProblemError) as error:
            faults.append(f"row {number}: {error}")
    if faults:
        shown = "".join(f"\n  - {fault}" for fault in faults[:SHOWN_FAULTS])
        more = f"\n  and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise DataError(f"{path}: {len(faults)} rows cannot be read as replies in a consultation:{shown}{more}")
    if not replies:
        raise DataError(f"{path} holds no reply of a doctor or an assistant")
    return replies


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingFile(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if path.suffix.lower() == ".csv":
        try:
            return [dict(row) for row in csv.DictReader(text.splitlines(keepends=True))]
        except csv.Error as error:
            raise DataError(f"{path} is no CSV that can be read: {error}") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path} line {number} is no JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f"{path} line {number} is no object; write one JSON object a line")
            rows.append(row)
    return rows


def _replies(row: Mapping[str, Any], name: str) -> list[LabelledReply]:
    if "medical_case" in row and "doctor_diagnosis" in row:
        case, said = str(row["medical_case"]).strip(), str(row["doctor_diagnosis"]).strip()
        if not case or not said:
            raise DataError("`medical_case` or `doctor_diagnosis` is empty")
        problem = _problem(str(row.get("id", name)), ({"role": "user", "content": case},), {})
        return [LabelledReply(problem, said, True, "doctor")]
    dialogue = row.get("dialogue", row.get("messages"))
    if isinstance(dialogue, str) and "reply" not in row:
        return _turns(dialogue, name)
    if not isinstance(dialogue, list) or not dialogue or not isinstance(row.get("reply"), str):
        raise DataError("give `dialogue`, a list of messages, and `reply`, a text")
    messages = tuple(_message(one, at) for at, one in enumerate(dialogue))
    problem = _problem(str(row.get("id", name)), messages, row.get("metadata") or {})
    doctor = _doctor(row)
    source = str(row.get("source") or {True: "doctor", False: "assistant", None: "unknown"}[doctor])
    content = row.get("content") or ()
    if not isinstance(content, list | tuple):
        raise DataError(f"`content` is {content!r:.80}; it is a list of keys")
    return [
        LabelledReply(
            problem, row["reply"], doctor, source, str(row.get("template", "")), str(row.get("pair", "")),
            tuple(map(str, content)), str(row.get("flaw", "")),
        )
    ]  # fmt: skip


def _doctor(row: Mapping[str, Any]) -> bool | None:
    value = row.get("doctor", row.get("label"))
    if value is None:
        source = str(row.get("source") or "").casefold()
        return True if source in ("doctor", "医生") else None
    known = {True: True, False: False, "doctor": True, "医生": True, "assistant": False, "model": False}
    if isinstance(value, str):
        value = value.casefold()
    if not isinstance(value, bool | int | str) or value not in known:
        raise DataError(f"the label is {value!r:.80}; write true or false, 1 or 0, doctor or assistant")
    return known[value]


def _message(one: Any, at: int) -> Message:
    if isinstance(one, str):
        return {"role": "user" if at % 2 == 0 else "assistant", "content": one}
    if not isinstance(one, Mapping):
        raise DataError(f"message {at + 1} is {one!r:.80}; write {{role: user or assistant, content: text}}")
    role = ROLES.get(str(one.get("role", "")).casefold())
    content = one.get("content")
    if role is None or not isinstance(content, str):
        raise DataError(f"message {at + 1} has role {one.get('role')!r}; write role user or assistant, and content")
    return {"role": role, "content": content}


def _turns(dialogue: str, name: str) -> list[LabelledReply]:
    """Each turn of the doctor after the patient has spoken, as a reply to what was said before."""
    marks = list(_TURN.finditer(dialogue))
    ends = [mark.start() for mark in marks[1:]] + [len(dialogue)]
    messages: list[Message] = []
    replies: list[LabelledReply] = []
    for mark, end in zip(marks, ends, strict=True):
        role, said = ROLES[mark[1].casefold()], dialogue[mark.end() : end].strip()
        if role == "assistant" and said and messages and messages[-1]["role"] == "user":
            problem = _problem(f"{name}-{len(replies) + 1}", tuple(messages), {})
            replies.append(LabelledReply(problem, said, True, "doctor"))
        messages.append({"role": role, "content": said})
    return replies


def _problem(key: str, messages: Sequence[Message], metadata: Mapping[str, Any]) -> Problem:
    if not any(message["role"] == "user" for message in messages):
        raise DataError("nobody in the dialogue is the patient (role user)")
    said = "\n".join(str(message["content"]) for message in messages)
    language = "zh" if len(_CJK.findall(said)) * 4 > len(said) else "en"
    return Problem(key, tuple(messages), None, "dialogue", language=language, metadata=dict(metadata))
