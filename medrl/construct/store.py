"""The folder of a construction: each row of the source ends in it exactly once, whatever kills the process.

    construction.json   what the rows are made of; another recipe is refused here
    rows.jsonl          finished rows          \\  whole lines only, synced to the disk before they count as done;
    dropped.jsonl       rows left out, and why /   a half line that a kill left is cut off at the next start
    failed.jsonl        rows that failed since the last start, and why; the next start tries them again
    index.sqlite        the ids of what is done, read from the two files above
    chat.sqlite         every reply that was paid for

The two files are the truth. The index only saves reading them as a whole, and it is disk, so that memory does not grow with
the rows: it knows up to which byte it has read each file, reads the rest at each start, and is made anew where it is gone.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from medrl.construct.roles import Bill
from medrl.errors import DataError
from medrl.files import append_rows, clean_leftovers, cut_half_line, json_line, write_atomic
from medrl.tracking.lock import RunLock

ROWS, DROPPED, FAILED = "rows.jsonl", "dropped.jsonl", "failed.jsonl"
KEPT = "kept"
FORM = 1
PORTION = 500
TABLES = """
CREATE TABLE done (id BLOB PRIMARY KEY, number INTEGER, outcome TEXT, bill TEXT) WITHOUT ROWID;
CREATE TABLE failures (id BLOB PRIMARY KEY, count INTEGER) WITHOUT ROWID;
CREATE TABLE files (name TEXT PRIMARY KEY, size INTEGER);
"""


@dataclass(frozen=True)
class Ended:
    """One row that is done: `outcome` is "kept" or why it was dropped; `line` holds `id` and `provenance`."""

    id: str
    number: int
    outcome: str
    bill: Bill
    line: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """One row that failed, to be tried again."""

    id: str
    number: int
    kind: str
    reason: str


class Store:
    """An open folder. Its methods block, and are called one at a time.

    Args:
        folder: Where; made if it is not there.
        made_of: All that the rows depend on, as JSON. A folder that was made of something else is refused.

    Raises:
        DataError: The folder is of another recipe, or its files were changed by hand so that they cannot be gone on with.
        CheckpointError: Another process writes it.
    """

    def __init__(self, folder: Path, made_of: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = RunLock(folder)
        try:
            clean_leftovers(folder, alive=True)
            self._claim(made_of)
            self.cut = sum(cut_half_line(folder / name) for name in (ROWS, DROPPED))
            self._index = self._opened()
            self._index.execute("CREATE TEMP TABLE failed_now (id BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID")
            (folder / FAILED).unlink(missing_ok=True)
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        self._index.close()
        self._lock.release()

    def known(self, ids: Sequence[str]) -> dict[str, int]:
        """Which of these ids are taken, each by which row of the source: one that is done, or that failed in this start."""
        keys = {key_of(one): one for one in ids}
        marks = ",".join("?" * len(keys))
        taken = " UNION ALL ".join(
            f"SELECT id, number FROM {name} WHERE id IN ({marks})" for name in ("failed_now", "done")
        )
        found = self._index.execute(taken, [*keys, *keys])
        return {keys[key]: number for key, number in found}

    def failures(self, ids: Sequence[str]) -> dict[str, int]:
        """How many earlier starts failed on these rows, where any did."""
        keys = {key_of(one): one for one in ids}
        marks = ",".join("?" * len(keys))
        found = self._index.execute(f"SELECT id, count FROM failures WHERE id IN ({marks})", list(keys))
        return {keys[key]: count for key, count in found}

    def totals(self) -> tuple[Counter[str], Bill]:
        """How many rows ended in which way, over all starts, and what they took."""
        outcomes: Counter[str] = Counter()
        total = Bill()
        for outcome, text in self._index.execute("SELECT outcome, bill FROM done"):
            outcomes[outcome] += 1
            total.add(Bill.from_json(json.loads(text)))
        return outcomes, total

    def kept(self) -> Iterator[Mapping[str, Any]]:
        """The finished rows, one after the other."""
        path = self.folder / ROWS
        if path.exists():
            with open(path, "rb") as file:
                for line in file:
                    yield json.loads(line)

    def end(self, rows: Sequence[Ended]) -> None:
        """Write rows down: each is done from the moment that its line is on the disk."""
        for name in (ROWS, DROPPED):
            some = [one for one in rows if (one.outcome == KEPT) == (name == ROWS)]
            if some:
                size = append_rows(self.folder / name, (one.line for one in some))
                with self._index:
                    self._insert((one.id, one.number, one.outcome, one.bill.to_json()) for one in some)
                    self._index.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (name, size))

    def fail(self, rows: Sequence[Failure]) -> None:
        """Write failures down, for people to read; the next start tries the rows again."""
        append_rows(self.folder / FAILED, (vars(one) for one in rows))
        with self._index:
            self._index.executemany(
                "INSERT INTO failures VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET count = count + 1",
                [(key_of(one.id),) for one in rows],
            )
            taken = [(key_of(one.id), one.number) for one in rows]
            self._index.executemany("INSERT OR IGNORE INTO failed_now VALUES (?, ?)", taken)

    def _claim(self, made_of: Mapping[str, Any]) -> None:
        path, wanted = self.folder / "construction.json", json.loads(json_line(made_of))
        if not path.exists():
            strangers = [name for name in (ROWS, DROPPED) if (self.folder / name).exists()]
            if strangers:
                raise DataError(f"{self.folder} holds {strangers[0]} and no construction.json; name another folder=")
            write_atomic(path, json.dumps(wanted, ensure_ascii=False, indent=1) + "\n")
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != wanted:
            names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            raise DataError(
                f"{self.folder} holds rows of another recipe ({', '.join(names)} changed since): rows of both would be "
                "mixed; name another folder=, or take the change back"
            )

    def _opened(self) -> sqlite3.Connection:
        """The index, caught up with the files; made anew where it is damaged or ahead of them."""
        path = self.folder / "index.sqlite"
        for fresh in (False, True):
            if fresh:
                for one in self.folder.glob("index.sqlite*"):
                    one.unlink()
            # Any thread may use it, one at a time. It is safe from a kill; a power cut may cost a rebuild.
            index = sqlite3.connect(path, check_same_thread=False)
            try:
                index.execute("PRAGMA journal_mode = WAL")
                index.execute("PRAGMA synchronous = OFF")
                (form,) = index.execute("PRAGMA user_version").fetchone()
                if form != FORM:
                    index.executescript(f"{TABLES} PRAGMA user_version = {FORM};")
                if self._catch_up(index, ROWS) and self._catch_up(index, DROPPED):
                    return index
            except sqlite3.DatabaseError as error:
                if fresh:
                    raise DataError(f"{path} cannot be written: {error}; see whether the disk is full") from error
            except BaseException:
                index.close()
                raise
            index.close()
        raise DataError(f"{self.folder} cannot be read: its files change while they are read")

    def _catch_up(self, index: sqlite3.Connection, name: str) -> bool:
        """Read what a file holds beyond the index; False where the index is ahead of the file."""
        self._index, path = index, self.folder / name
        size = path.stat().st_size if path.exists() else 0
        row = index.execute("SELECT size FROM files WHERE name = ?", (name,)).fetchone()
        at = row[0] if row else 0
        if at > size:
            return False
        if at == size:
            return True
        with open(path, "rb") as file, index:
            file.seek(at)
            portion = []
            for line in file:
                portion.append(_read(path, line))
                if len(portion) == PORTION:
                    self._insert(portion)
                    portion.clear()
            self._insert(portion)
            index.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (name, size))
        return True

    def _insert(self, rows: Iterable[tuple[str, int, str, Mapping[str, Any]]]) -> None:
        for key, number, outcome, bill in rows:
            try:
                self._index.execute(
                    "INSERT INTO done VALUES (?, ?, ?, ?)", (key_of(key), number, outcome, json.dumps(bill))
                )
            except sqlite3.IntegrityError as error:
                raise DataError(
                    f"{self.folder} holds the row {key!r} twice, which no construction writes; were files joined?"
                ) from error


def key_of(id: str) -> bytes:
    """16 bytes in place of an id of any length."""
    return blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _read(path: Path, line: bytes) -> tuple[str, int, str, Mapping[str, Any]]:
    try:
        row = json.loads(line)
        about = row["provenance"]
        return str(row["id"]), int(about["row"]), str(about["outcome"]), Bill.from_json(about["bill"]).to_json()
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds a line that no construction writes ({error!r}): {line[:80]!r}") from error
