"""Rows stream in, each goes through a stage of chat calls, and ends in its folder exactly once.

Rows are read as they are needed and written as they finish, so neither the source nor the result is ever held in memory.
What a kill leaves undone is done by the next start: done rows are passed over by id, and replies that were paid for come
from the cache. So a kill costs at most the calls that were under way.

Many machines: `shard` 0/4, 1/4, 2/4 and 3/4 take disjoint rows by a hash of their id, each in a folder of its own, and
need nothing of each other; their rows.jsonl together are the whole. `placement: ray` runs and joins them.
"""

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from medrl.chat.base import BudgetSpent, ChatError, Message
from medrl.construct.roles import Bill, Role
from medrl.construct.shards import belongs
from medrl.construct.store import KEPT, Ended, Failure, Store
from medrl.construct.tally import Tally
from medrl.errors import MedrlError
from medrl.seeds import seed_of
from medrl.types import Problem, Response, Verdict
from medrl.verifiers import Verifier, judge
from medrl.verifiers.judge_votes import asked_in_rounds

T = TypeVar("T")
Found = TypeVar("Found")
AHEAD = 64  # rows that are read at a time
SHARD = re.compile(r"(\d+)/(\d+)")


class RowFailed(MedrlError, RuntimeError):
    """A row that could not be finished, through no fault of its own; the next start tries it again."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class ConstructionStopped(MedrlError, RuntimeError):
    """So many rows failed one after the other that going on would only make more failures."""


@dataclass(frozen=True)
class Item:
    """One row of a source: its id, its place from 1, and what it holds."""

    id: str
    number: int
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """A finished row; `about` goes into its provenance."""

    row: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dropped:
    """A row that is left out for good: why, in a word that is counted and in words that are read."""

    reason: str
    words: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Work:
    """One row under way."""

    item: Item
    seed: int
    rounds: int = 1
    """1, and 1 more for each earlier start that failed on this row."""
    bill: Bill = field(default_factory=Bill)

    async def ask(
        self,
        role: Role,
        messages: tuple[Message, ...],
        schema: Mapping[str, Any],
        read: Callable[[str], Found],
        draw: int = 0,
    ) -> Found:
        """A reply of a role that `read` takes; another `draw` of the same messages is another reply."""
        seed = seed_of("row", self.seed, self.item.id)
        return await role.ask(messages, schema, read, seed=seed, bill=self.bill, rounds=self.rounds, draw=draw)

    async def verdict(self, verifier: Verifier, problem: Problem, text: str) -> Verdict:
        """A verdict on a text; a judge too has a round of its own in each start.

        Raises:
            RowFailed: The verifier failed, or ran out of time, which says nothing of the text.
        """
        with asked_in_rounds(self.rounds):
            (found,) = await judge(verifier, [(problem, Response(text))])
        self.bill.verifier_calls += int(found.cost.get("calls", 0))
        self.bill.verifier_tokens += int(found.cost.get("tokens", 0))
        if found.status in ("error", "timeout"):
            raise RowFailed(f"verifier_{found.status}", found.reason)
        return found


class Stage(ABC):
    """What becomes of one row. Safe to run on many rows at once."""

    name: ClassVar[str]
    """Of the construction, in provenance and on the console."""

    @property
    @abstractmethod
    def reasons(self) -> Sequence[str]:
        """Why it drops rows, in the order in which it looks."""

    @abstractmethod
    def cached(self, path: Path) -> "Stage":
        """The same stage whose chat clients, those of verifiers too, keep their replies in a file."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """All that a row depends on besides the row and the seed: models, prompts, knobs. JSON."""

    def begin(self, kept: Iterable[Mapping[str, Any]]) -> None:
        """Look at the rows that earlier starts kept, where rows depend on one another; most do not, and read none."""
        return None

    @abstractmethod
    async def run(self, work: Work) -> Kept | Dropped:
        """The outcome of one row.

        Raises:
            ChatError: A chat model gave no usable reply; the row is tried again by the next start.
            RowFailed: Something else that may pass.
        """


def items_of(rows: Iterable[Mapping[str, Any]], *, column: str, limit: int | None, shard: str) -> Iterator[Item]:
    """The items of a source: the first `limit` rows of it, and of these the ones that belong to this shard."""
    place, shards = shard_of(shard)
    for number, row in enumerate(islice(rows, limit), 1):
        name = row.get(column)
        item = Item(f"row-{number}" if name is None or name == "" else str(name), number, row)
        if belongs(item.id, place, shards):
            yield item


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON can say it: Parquet has dates and bytes, which become text."""
    found: dict[str, Any] = json.loads(json.dumps(dict(row), default=str))
    return found


def shard_of(text: str) -> tuple[int, int]:
    """`"1/4"` as (1, 4): the second of four.

    Raises:
        ValueError: It is no shard.
    """
    found = SHARD.fullmatch(text)
    place, shards = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 <= place < shards:
        raise ValueError(f"shard is {text!r}; write I/N with I from 0 to N-1, such as 0/4 for the first of four")
    return place, shards


@dataclass
class Pipeline:
    """One construction, from its source to its folder.

    Attributes:
        stage: What becomes of a row.
        items: The rows, read as they are needed.
        store: Where they end.
        provenance: What each row's provenance begins with.
        seed: Of the construction; every draw depends on it and on the row's id.
        concurrency: Rows under way at once; the clients bound their requests themselves.
        stop_after: So many failures in a row, none finished between them, stop the construction.
        tally: What has happened so far.
        on_change: Called after each change of the tally.
    """

    stage: Stage
    items: Iterator[Item]
    store: Store
    provenance: Mapping[str, Any]
    seed: int = 0
    concurrency: int = 32
    stop_after: int = 50
    tally: Tally = field(default_factory=Tally)
    on_change: Callable[[Tally], None] = lambda tally: None
    _finished: list[Ended | Failure] = field(default_factory=list)
    _under_way: dict[str, int] = field(default_factory=dict)
    _failed_in_a_row: int = 0

    async def run(self) -> Tally:
        """Do what is left of the source.

        What finished is on the disk also when this raises, or is cancelled by Ctrl-C.

        Raises:
            BudgetSpent: A client's budget is used up.
            ConstructionStopped: Nothing but failures any more.
        """
        outcomes, bill = self.store.totals()
        self.tally.begin(outcomes, bill)
        self._writing = asyncio.Lock()
        self._disk = ThreadPoolExecutor(1, "medrl-construct")
        work: asyncio.Queue[Work | None] = asyncio.Queue(self.concurrency)
        tasks = [asyncio.create_task(self._feed(work))]
        tasks += [asyncio.create_task(self._worker(work)) for _ in range(self.concurrency)]
        try:
            await asyncio.gather(*tasks)
            self.tally.complete = True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._write()
            self._disk.shutdown()
        return self.tally

    async def _feed(self, work: "asyncio.Queue[Work | None]") -> None:
        """Hand out every row that is not done; the source is read beside the event loop, for it may be a network."""
        while chunk := await asyncio.to_thread(lambda: list(islice(self.items, AHEAD))):
            ids = [item.id for item in chunk]
            here = dict(self._under_way)  # before the disk is asked: a row that ends meanwhile stands in one of the two
            known = await self._on_disk(self.store.known, ids)
            failures = await self._on_disk(self.store.failures, ids)
            for item in chunk:
                number = known.get(item.id, here.get(item.id))
                if number is None:
                    here[item.id] = self._under_way[item.id] = item.number
                    await work.put(Work(item, self.seed, 1 + failures.get(item.id, 0)))
                else:
                    self.tally.pass_over(repeated=number != item.number)
        for _ in range(self.concurrency):
            await work.put(None)

    async def _worker(self, queue: "asyncio.Queue[Work | None]") -> None:
        while (work := await queue.get()) is not None:
            outcome = await self._outcome(work)  # before the list is looked up: a write puts another in its place
            self._finished.append(outcome)
            await self._write()
            del self._under_way[work.item.id]
            if self._failed_in_a_row >= self.stop_after:
                raise ConstructionStopped(
                    f"{self._failed_in_a_row} rows in a row failed, the last one with {self.tally.last_failure}; see "
                    f"{self.store.folder / 'failed.jsonl'}, mend it and start again: what is done stays done"
                )

    async def _outcome(self, work: Work) -> Ended | Failure:
        """What came of a row; only what may pass, and is nobody's mistake here, is a failure of the row."""
        item = work.item
        try:
            found = await self.stage.run(work)
        except BudgetSpent:
            raise
        except (ChatError, RowFailed) as error:
            self._failed_in_a_row += 1
            reason = error.reason if isinstance(error, RowFailed) else str(error)
            self.tally.failed(error.kind, reason, work.bill)
            self.on_change(self.tally)
            return Failure(item.id, item.number, error.kind, reason[:2000])
        except Exception as error:
            error.add_note(f"while row {item.number} of the source was under way, id {item.id!r}")
            raise
        self._failed_in_a_row = 0
        outcome = KEPT if isinstance(found, Kept) else found.reason
        about = {
            **self.provenance,
            "row": item.number,
            "seed": self.seed,
            "outcome": outcome,
            **found.about,
            "bill": work.bill.to_json(),
        }
        if isinstance(found, Kept):
            line = {"id": item.id, **found.row, "provenance": about}
        else:
            line = {"id": item.id, "reason": found.reason, "words": found.words, "row": plain(item.row)}
            line["provenance"] = about
        self.tally.ended(outcome, work.bill)
        self.on_change(self.tally)
        return Ended(item.id, item.number, outcome, work.bill, line)

    async def _write(self) -> None:
        """Write what has finished; while the disk is busy more rows finish, and go together in the next write."""
        async with self._writing:
            batch, self._finished = self._finished, []
            if batch:
                await asyncio.shield(self._on_disk(self._write_now, batch))

    def _write_now(self, batch: Sequence[Ended | Failure]) -> None:
        if ended := [one for one in batch if isinstance(one, Ended)]:
            self.store.end(ended)
        if failed := [one for one in batch if isinstance(one, Failure)]:
            self.store.fail(failed)

    def _on_disk(self, work: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)
