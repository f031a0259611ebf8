"""Answers to problems, whoever gave them: what every figure of an evaluation is computed from.

One line of an answers file is one problem with all its replies, complete in itself; so a report can be made again from the
file alone, to the same figures. A reply that could not be had (a server that failed) has an `error` in place of words: it
has no score, and is never a wrong answer. `answer_files.py` reads what others wrote.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from medrl.data.rows import RowFault
from medrl.errors import DataError
from medrl.files import json_line, write_atomic
from medrl.types import FinishReason, Problem, Response

_SET = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Reply:
    """One answer to one problem.

    Attributes:
        text: The whole reply, reasoning included; "" is an answer too, an empty one.
        finish_reason: "stop", "length" (cut at the token limit), "abort"; None where nobody said.
        token_count: Tokens, or None where nobody counted.
        error: Why there is no reply; "" where there is one.
        metadata: Anything else that came with it: seed, metrics of another scorer.
    """

    text: str
    finish_reason: FinishReason | None = None
    token_count: int | None = None
    error: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not isinstance(self.error, str):
            raise RowFault(f"a reply is {self.text!r:.80}; its `text` (and `error`) must be text")
        if self.finish_reason is not None and self.finish_reason not in get_args(FinishReason):
            raise RowFault(f"finish_reason is {self.finish_reason!r}; it is stop, length, abort or null")

    @property
    def response(self) -> Response:
        """What a verifier is given."""
        return Response(self.text, (), self.finish_reason or "stop", self.token_count)

    def to_json(self) -> dict[str, Any]:
        row = {"text": self.text, "finish_reason": self.finish_reason, "token_count": self.token_count}
        more = {"error": self.error, "metadata": dict(self.metadata)}
        return {**row, **{name: value for name, value in more.items() if value}}

    @classmethod
    def from_json(cls, row: Any) -> "Reply":
        if isinstance(row, str):
            return cls(row)
        if not isinstance(row, Mapping) or "text" not in row:
            raise RowFault(f"a reply is {row!r:.80}; it is a text, or an object with `text`")
        unknown = sorted(set(row) - set(cls.__dataclass_fields__))
        if unknown:
            raise RowFault(f"a reply has the unknown field {unknown[0]!r}")
        return cls(**row)


@dataclass(frozen=True)
class Answered:
    """A problem with the replies to it, and the set that it belongs to."""

    problem: Problem
    replies: tuple[Reply, ...]
    set: str = "problems"

    def __post_init__(self) -> None:
        if not self.replies:
            raise RowFault(f"problem {self.problem.id!r} has no reply; write an empty text for an empty answer")

    @property
    def key(self) -> tuple[str, str]:
        """Unique in an evaluation: ids are unique within a set."""
        return self.set, self.problem.id

    def to_json(self) -> dict[str, Any]:
        return {"set": self.set, "problem": self.problem.to_json(), "replies": [one.to_json() for one in self.replies]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Answered":
        if not isinstance(row.get("problem"), Mapping) or not isinstance(row.get("replies"), list):
            raise RowFault("it needs a `problem` (an object) and `replies` (a list)")
        replies = tuple(Reply.from_json(one) for one in row["replies"])
        return cls(Problem.from_json(row["problem"]), replies, set_name(str(row.get("set") or "problems")))


@dataclass(frozen=True)
class Answers:
    """All answers of one model.

    Attributes:
        name: What the model is called in reports.
        items: In the order in which they were asked.
        made: How they came about: sampling, endpoint, file.
    """

    name: str
    items: tuple[Answered, ...]
    made: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.items:
            raise DataError(f"{self.name} has no answers, so there is nothing to evaluate")
        twice = [key for key, count in Counter(one.key for one in self.items).items() if count > 1]
        if twice:
            raise DataError(
                f"{self.name}: {len(twice)} problems occur more than once, the first being {twice[0][1]!r} of the set "
                f"{twice[0][0]!r}; put all replies to a problem together, and give each problem its own id"
            )

    @property
    def sets(self) -> dict[str, list[Answered]]:
        """The answers by set, in order."""
        found: dict[str, list[Answered]] = {}
        for one in self.items:
            found.setdefault(one.set, []).append(one)
        return found

    def write(self, path: str | Path) -> None:
        """One problem a line, whole or not at all."""
        write_atomic(path, b"".join(json_line(one.to_json()) for one in self.items))


def json_text(row: Mapping[str, Any]) -> str:
    """A report as JSON that people can read; one that holds half of a surrogate pair is written in ASCII."""
    text = json.dumps(row, ensure_ascii=False, indent=1)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(row, indent=1)
    return text + "\n"


def set_name(source: str) -> str:
    """What a set of problems is called: the file's name without folder and ending."""
    name = source.rstrip("/").rsplit("/", 1)[-1]
    for ending in (".jsonl", ".json", ".csv", ".parquet"):
        name = name.removesuffix(ending)
    return _SET.sub("-", name).strip("-") or "problems"


def of_set(problems: Sequence[Problem], source: str) -> list[tuple[str, Problem]]:
    """Problems of one file with the name of their set."""
    name = set_name(source)
    return [(name, problem) for problem in problems]
