"""An annotation task: which items a rater sees, in what order, with what hidden, and the records that come of it.

Each rater has a file of their own, one feedback record per item, written as they go; whoever starts again goes on where
they stopped. What a rater sees names no author, and which response stands first is drawn for each rater and item, so that
neither the author's name nor the place can sway them.

An item's id is a hash of its problem and both texts, and a folder keeps one task (`task.json`): its own id, which is in the
id of every record, its mode and its number of items. So records of two tasks are never taken for one another.
"""

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from medrl.data.feedback import (
    Candidate,
    Comparison,
    Consent,
    FeedbackRecord,
    Preferred,
    Rater,
    Ratings,
    load_feedback,
    said,
    write_feedback,
)
from medrl.data.rows import Row, RowFault, collect, pick_schema, read_rows
from medrl.data.schemas import SCHEMAS, Reading, columns_of
from medrl.errors import DataError
from medrl.files import write_atomic
from medrl.seeds import seed_of
from medrl.types import Problem

Mode: TypeAlias = Literal["compare", "rate"]
PRIVATE = ("name", "address", "phone", "id number", "date", "other")  # personal information that can be flagged
GUIDE = "annotation-1"  # version of the page's questions, kept in each record
DIMENSIONS = ("informativeness", "coherence", "adherence", "accuracy", "safety")
LOW, HIGH = 1.0, 5.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Item:
    """Two responses to one problem that await a judgement.

    Attributes:
        id: Unique in the task; `item_id` where it was read from a file.
        problem: What was asked.
        responses: The two candidates, in the order of the file.
        consent: As in `FeedbackRecord`.
        settles: The records of two raters who disagree, where this item is to be adjudicated.
    """

    id: str
    problem: Problem
    responses: tuple[Candidate, Candidate]
    consent: Consent = "unknown"
    settles: tuple[FeedbackRecord, ...] = ()

    def __post_init__(self) -> None:
        if self.consent not in get_args(Consent):
            raise RowFault(f"consent is {self.consent!r}; it is one of {', '.join(get_args(Consent))}")


@dataclass(frozen=True)
class Answer:
    """What a rater said of an item.

    Attributes:
        preferred: Which of the two, by their places *as shown*; None in mode `rate`.
        strength: How much better, 1 slightly, 2 clearly, 3 much; None for a tie or where nobody said.
        ratings: In mode `rate`, one mapping of dimension to 1..5 for each response as shown.
        phi: Personal information that the rater saw, each one of `PRIVATE`.
        comment: Their own words.
        seconds: From the moment the item was shown.
    """

    preferred: Preferred | None = None
    strength: int | None = None
    ratings: tuple[Mapping[str, float], ...] = ()
    phi: tuple[str, ...] = ()
    comment: str = ""
    seconds: float = 0.0


def load_items(path: str | Path, limit: int | None = None) -> list[Item]:
    """Items of a file: rows with the columns of a problem schema, or feedback records, and two `responses`.

    A response is a text, or an object as `Candidate.to_json` writes it. Records of one problem with the same two responses
    are one item.

    Raises:
        DataError: The file cannot be read, or rows of it are no items; they are named together.
    """
    name, rows = read_rows(path, limit=limit)
    if all("judgement" in row for row in rows):
        found: dict[str, Item] = {}
        for record in load_feedback(path, limit=limit):
            if len(record.responses) == 2:
                item = Item(_identity(record), record.problem, _two(record.responses), record.consent)
                found.setdefault(item.id, item)
        if not found:
            raise DataError(f"{path} has no feedback record with two responses, so there is nothing to annotate")
        return list(found.values())
    plain = [{key: value for key, value in row.items() if key != "responses"} for row in rows]
    chosen = pick_schema(name, plain, "auto", columns_of(needs_reference=False))

    def made(row: Row, number: int) -> Item:
        listed = row.get("responses")
        if not isinstance(listed, list) or len(listed) != 2:
            raise RowFault("`responses` must be a list of two responses")
        problem = SCHEMAS[chosen][1](row, number, Reading(name, needs_reference=False))
        given = [Candidate(one) if isinstance(one, str) else Candidate.from_json(one) for one in listed]
        return Item(item_id(problem, given), problem, _two(given), row.get("consent", "unknown"))

    return collect(name, rows, made, "item to annotate")


def _two(responses: Sequence[Candidate]) -> tuple[Candidate, Candidate]:
    first, second = responses
    return first, second


def item_id(problem: Problem, responses: Sequence[Candidate]) -> str:
    """Hash of a problem and the texts of its responses, in their order: other items never share it.

    A problem's metadata are left out, for they say where its file was.
    """
    asked = {name: value for name, value in problem.to_json().items() if name != "metadata"}
    return _hash([asked, [one.text for one in responses]])


def _identity(record: FeedbackRecord) -> str:
    return item_id(record.problem, record.responses)


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def open_task(folder: Path, mode: Mode, items: Sequence[Item]) -> str:
    """The id of the task in a folder; made where there is none, and its number of items kept up to date.

    Raises:
        DataError: The folder holds a task of another mode, or `task.json` cannot be read.
    """
    path = folder / "task.json"
    kept = task_of(folder)
    if kept and kept["mode"] != mode:
        raise DataError(
            f"{folder} holds a task in mode {kept['mode']!r}, and this one is {mode!r}; name another --out folder, or "
            f"give --mode {kept['mode']}"
        )
    task = {"id": kept["id"] if kept else secrets.token_hex(8), "mode": mode, "items": len(items)}
    if task != kept:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(task) + "\n")
    return str(task["id"])


def task_of(folder: str | Path) -> dict[str, Any] | None:
    """What `task.json` of a folder says (`id`, `mode`, `items`); None where there is none."""
    path = Path(folder) / "task.json"
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {"id": str(kept["id"]), "mode": str(kept["mode"]), "items": int(kept["items"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}); restore it from a copy") from error


@dataclass
class Session:
    """One rater's way through the items; every answer is on the disk before the next item is shown.

    Threads may answer at the same time: what reads records to write them holds the session's lock. A second process on the
    folder is kept out by `medrl annotate` (`medrl.tracking.lock`).

    Attributes:
        rater: Their pseudonym.
        items: In the order of the file.
        folder: Where `<rater>.jsonl` is.
        mode: `compare` (which of two is better) or `rate` (each on five dimensions).
        seed: Of the order in which responses stand.
    """

    rater: str
    items: Sequence[Item]
    folder: Path
    mode: Mode = "compare"
    seed: int = 0
    records: dict[str, FeedbackRecord] = field(default_factory=dict)  # by item
    task: str = field(default="", init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.rater):
            raise DataError(f"the rater {self.rater!r} needs a short pseudonym of letters, digits, - and _")
        own = [item for item in self.items if self.rater.casefold() in {r.rater.name.casefold() for r in item.settles}]
        if own:
            raise DataError(f"{self.rater} is one of those who disagree on {len(own)} items; a third must settle them")
        self._check_folder()
        self.task = open_task(self.folder, self.mode, self.items)
        if self.path.is_file() and self.path.stat().st_size:
            self.records = {str(record.metadata["item"]): record for record in load_feedback(self.path)}

    def _check_folder(self) -> None:
        """Refuse a folder whose records, anybody's, are of other items or answer another question."""
        known = {item.id: item_id(item.problem, item.responses) for item in self.items}
        for item, records in judgements(self.folder).items():
            for record in records:
                where = f"{self.folder / record.rater.name}.jsonl"
                if known.get(item) != _identity(record):
                    raise DataError(
                        f"{where} holds judgements of items that are not in this task, the first being {record.id!r} on "
                        f"problem {record.problem.id!r}; name another --out folder for another task"
                    )
                if isinstance(record.judgement, Ratings) != (self.mode == "rate"):
                    raise DataError(
                        f"{where} was not judged in mode {self.mode!r}; name another --out folder, or give the other --mode"
                    )

    @property
    def path(self) -> Path:
        return self.folder / f"{self.rater}.jsonl"

    @property
    def first_open(self) -> int:
        """Place of the first item without an answer; the number of items when there is none."""
        return next((i for i, item in enumerate(self.items) if item.id not in self.records), len(self.items))

    @property
    def done(self) -> int:
        """How many of the items have an answer."""
        return sum(item.id in self.records for item in self.items)

    def shown(self, item: Item) -> tuple[int, int]:
        """The places of the two responses in the order in which this rater sees them."""
        return (1, 0) if seed_of("annotation", self.seed, self.rater, item.id) % 2 else (0, 1)

    def view(self, place: int) -> dict[str, Any]:
        """What the page shows of an item: no author, no reference to who said what before."""
        item = self.items[place]
        record = self.records.get(item.id)
        return {
            "place": place,
            "items": len(self.items),
            "done": self.done,
            "mode": self.mode,
            "adjudication": bool(item.settles),
            "messages": [{"role": m["role"], "text": _text(m["content"])} for m in item.problem.messages],
            "reference": item.problem.reference,
            "language": item.problem.language,
            "responses": [item.responses[at].text for at in self.shown(item)],
            "answer": None if record is None else self._as_shown(item, record),
        }

    def _as_shown(self, item: Item, record: FeedbackRecord) -> dict[str, Any]:
        """A stored judgement in the terms of the page, to be looked at and changed."""
        judgement, order = record.judgement, self.shown(item)
        common = {"comment": record.comment, "phi": list(record.phi)}
        if isinstance(judgement, Ratings):
            return {**common, "ratings": [dict(judgement.values[at]) for at in order]}
        swap: dict[str, str] = {"first": "second", "second": "first", "tie": "tie"}
        preferred = judgement.preferred if order == (0, 1) else swap[judgement.preferred]
        return {**common, "preferred": preferred, "strength": record.metadata.get("strength")}

    def answer(self, place: int, answer: Answer) -> FeedbackRecord:
        """Keep a rater's answer to an item; a second answer to it takes the place of the first.

        Raises:
            DataError: There is no such item, or the answer lacks what the mode asks for.
        """
        if not 0 <= place < len(self.items):
            raise DataError(f"there is no item {place}; the task has {len(self.items)}, counted from 0")
        item = self.items[place]
        if unknown := sorted(set(answer.phi) - set(PRIVATE)):
            raise DataError(f"item {place}: phi {unknown[0]!r:.60} is not known; it is one of {', '.join(PRIVATE)}")
        about = {"item": item.id, "strength": answer.strength, "seconds": round(answer.seconds, 1)}
        try:
            record = FeedbackRecord(
                id=f"{self.rater}-{_hash([self.task, self.rater, item_id(item.problem, item.responses), item.id])}",
                problem=item.problem,
                responses=item.responses,
                rater=Rater("human", self.rater, prompt=GUIDE),
                judgement=self._judgement(item, answer),
                consent=item.consent,
                phi=tuple(sorted(set(answer.phi))),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                adjudicates=tuple(one.id for one in item.settles),
                comment=answer.comment.strip(),
                metadata={**about, "task": self.task, "shown": list(self.shown(item))},
            )
        except RowFault as error:
            raise DataError(f"item {place}: {error}") from error
        with self._lock:
            records = {**self.records, item.id: record}
            write_feedback(self.path, records.values())
            self.records = records
        return record

    def _judgement(self, item: Item, answer: Answer) -> Ratings | Comparison:
        order = self.shown(item)
        if self.mode == "rate":
            if len(answer.ratings) != 2 or any(set(one) != set(DIMENSIONS) for one in answer.ratings):
                raise RowFault(f"each of the two responses needs a rating of {', '.join(DIMENSIONS)}")
            values = dict(zip(order, answer.ratings, strict=True))
            return Ratings((values[0], values[1]), LOW, HIGH)
        if answer.preferred is None:
            raise RowFault("the answer does not say which response is better")
        if answer.strength is not None and (answer.strength not in (1, 2, 3) or answer.preferred == "tie"):
            raise RowFault(f"the strength is {answer.strength!r}; it is 1, 2 or 3, and a tie has none")
        margin = None if answer.strength is None else answer.strength / 3
        swap: dict[Preferred, Preferred] = {"first": "second", "second": "first", "tie": "tie"}
        preferred = answer.preferred if order == (0, 1) else swap[answer.preferred]
        return Comparison(preferred, margin=margin, shown=order)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part.get("type") == "text" else f"[{part.get('type')}]" for part in content)


def disagreements(items: Sequence[Item], folder: str | Path) -> list[Item]:
    """The items that raters judge differently, or did when they were settled, each with the records in question.

    A settled item stays where its raters came to agree, so that its adjudicator can go on in the same folder. That
    adjudication is then without object: `medrl.data.preferences` leaves it out, and the raters' own word counts.
    """
    by_item, settled = judgements(folder), judgements(Path(folder) / "adjudication")
    both = [(item, by_item.get(item.id, [])) for item in items]
    return [replace(item, settles=tuple(found)) for item, found in both if disagree(found) or item.id in settled]


def disagree(records: Sequence[FeedbackRecord]) -> bool:
    """Whether raters say different things of one item."""
    return len({said(one) for one in records}) > 1


def judgements(folder: str | Path) -> dict[str, list[FeedbackRecord]]:
    """Every record of the raters' files in a folder, by item, raters in alphabetical order."""
    found: dict[str, list[FeedbackRecord]] = {}
    for path in sorted(Path(folder).glob("*.jsonl")):
        for record in load_feedback(path) if path.stat().st_size else []:
            found.setdefault(str(record.metadata.get("item")), []).append(record)
    return found


def task_files(folder: str | Path) -> list[Path]:
    """The records of a task: a file for each rater, then those of its adjudicators.

    Raises:
        DataError: The folder holds no task, or nobody has judged anything in it yet.
    """
    if task_of(folder) is None:
        raise DataError(f"{folder} is a folder without task.json, so no task of `medrl annotate`; name the files in it")
    listed = [*sorted(Path(folder).glob("*.jsonl")), *sorted((Path(folder) / "adjudication").glob("*.jsonl"))]
    if not (found := [path for path in listed if path.stat().st_size]):
        raise DataError(f"{folder} holds no judgements yet")
    return found
