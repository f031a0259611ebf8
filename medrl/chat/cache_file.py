"""The file behind the cache of replies: one SQLite table that many processes and threads write at once.

SQLite in write-ahead mode lets readers read while one writes, and writers wait for each other; a killed process leaves
the file whole. Rows hold JSON. The first reply to a request stays: of two processes that asked the same at the same
time, both go on with the reply that was stored first. The file must lie on a disk of this machine: write-ahead mode
needs memory that all its processes share, which network file systems do not give.
"""

import json
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TypeVar

from medrl.chat.base import ChatReply
from medrl.errors import DataError

T = TypeVar("T")
SCHEMA = 1
APPLICATION = 0x6D656472  # "medr", which SQLite keeps in the file's header
BUSY_SECONDS = 60.0
TABLE = """
CREATE TABLE replies (
    key TEXT PRIMARY KEY, client TEXT NOT NULL, model TEXT NOT NULL, reply TEXT NOT NULL,
    created REAL NOT NULL, used REAL NOT NULL, hits INTEGER NOT NULL
) WITHOUT ROWID
"""
# What the disk or another process is to blame for; all other errors of SQLite mean that the file is no cache.
CANNOT = frozenset({"BUSY", "LOCKED", "READONLY", "IOERR", "FULL", "CANTOPEN", "PERM", "NOLFS", "PROTOCOL", "NOMEM"})


class CacheUnusable(Exception):
    """The disk does not let us read or write: it is full, read-only or not there. The file itself is not at fault."""


class CacheFile:
    """One open cache. Its methods block, and any thread may call them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Reading and writing have a connection each, so that a writer who waits holds up no reader on an event loop.
        self._reading, self._writing = _Handle(path), _Handle(path)
        self._lock = threading.Lock()
        self._hits: Counter[str] = Counter()

    @property
    def unwritten_hits(self) -> int:
        """How often entries were used since `write_hits`."""
        return self._hits.total()

    def get(self, key: str) -> ChatReply | None:
        """The reply that is stored under `key`."""
        with self._reading.use() as connection:
            row = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        reply = _read(row[0], self.path)
        with self._lock:
            self._hits[key] += 1
        return reply

    def put(self, key: str, client: str, reply: ChatReply) -> ChatReply:
        """Store `reply`, and give back the one that is stored now: another process may have been first."""
        text = json.dumps({name: value for name, value in asdict(reply).items() if name not in ("attempts", "cached")})
        now = time.time()

        def write(connection: sqlite3.Connection) -> str:
            model = reply.model.encode("utf-8", "replace").decode()  # a server may send half of a surrogate pair
            values = (key, client, model, text, now, now)
            connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, 0)", values)
            stored: str = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()[0]
            return stored

        with self._writing.use() as connection:
            return _read(transaction(connection, write), self.path)

    def drop(self, key: str, text: str) -> None:
        """Remove the reply under `key` if it is `text`."""

        def remove(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
            if row is not None and _read(row[0], self.path).text == text:
                connection.execute("DELETE FROM replies WHERE key = ?", (key,))

        with self._writing.use() as connection:
            transaction(connection, remove)

    def write_hits(self) -> None:
        """Write down how often entries were used; a disk that refuses costs these counts and nothing else."""
        with self._lock:
            hits, self._hits = self._hits, Counter()
        now = time.time()
        rows = [(count, now, key) for key, count in hits.items()]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE replies SET hits = hits + ?, used = ? WHERE key = ?", rows)

        if rows:
            try:
                with self._writing.use() as connection:
                    transaction(connection, write)
            except CacheUnusable:
                return

    def close(self) -> None:
        """Write what is left and let go of the file; it opens again when it is needed."""
        self.write_hits()
        self._reading.close()
        self._writing.close()


class _Handle:
    """One connection for one user at a time, opened when it is needed, and again after a fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._pid = os.getpid()

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        with self._lock, refusals(self._path):
            if self._connection is None or self._pid != os.getpid():
                self._connection, self._pid = connect(self._path), os.getpid()
            yield self._connection

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None


def connect(path: Path) -> sqlite3.Connection:
    """Open the cache at `path`, and make it where there is none.

    Raises:
        DataError: The file is something else, damaged, or of another version of medrl. It is left as it is.
        CacheUnusable: The disk does not let us.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; a cache is a file, for example {path / 'chat.sqlite'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CacheUnusable(f"{path} cannot be made ({error.strerror or error})") from error
    with refusals(path):
        try:
            return _open(path, "rwc")
        except sqlite3.OperationalError:
            if not path.is_file() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
                raise
            return _open(path, "ro")


def transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """`work` as a whole or not at all; waits for other writers first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
        return result
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back where the disk is full
            connection.execute("ROLLBACK")
        raise


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Errors of SQLite as what they mean for a cache."""
    try:
        yield
    except sqlite3.Error as error:
        name = (getattr(error, "sqlite_errorname", None) or "").removeprefix("SQLITE_")
        if name.split("_")[0] in CANNOT:
            raise CacheUnusable(f"{path}: {error} ({name})") from error
        raise DataError(_not_a_cache(path, str(error))) from error


def _open(path: Path, mode: Literal["rwc", "ro"]) -> sqlite3.Connection:
    new = not path.exists()
    connection = _raw(path, f"mode={mode}")
    try:
        try:
            connection.execute("PRAGMA application_id").fetchone()  # SQLite opens, and makes, the file only now
            if new:
                # Replies may speak of patients, so the file is its owner's alone; side files take over its mode. It must
                # not be opened here: closing it again would drop the locks that SQLite holds on it in this process.
                path.chmod(0o600)
            _check(connection, path)
        except sqlite3.OperationalError:
            if mode != "ro":
                raise
            # Write-ahead mode wants side files beside a cache even to read it; without a writer it can do without.
            connection.close()
            connection = _raw(path, "immutable=1")
            _check(connection, path)
        if mode != "ro":
            _write_ahead(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _raw(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """See that the file is a cache of this version, and make the table in an empty one."""

    def state() -> tuple[int, int, int]:
        what = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        application, version, tables = (connection.execute(one).fetchone()[0] for one in what)
        return application, version, tables

    def make(connection: sqlite3.Connection) -> None:
        if state() == (0, 0, 0):  # another process may have made it by now
            connection.execute(TABLE)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")

    if state() == (0, 0, 0):
        transaction(connection, make)
    application, version, _ = state()
    if application != APPLICATION:
        raise DataError(_not_a_cache(path, "it is a database of another program"))
    if version != SCHEMA:
        raise DataError(
            f"{path} is a cache of form {version}, and this medrl reads form {SCHEMA}; name another file, "
            "or move this one away; nothing was changed"
        )


def _write_ahead(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:  # SQLite does not wait here when another process does the same
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _read(text: str, path: Path) -> ChatReply:
    try:
        return ChatReply(**json.loads(text), attempts=0, cached=True)
    except (TypeError, ValueError) as error:
        raise DataError(_not_a_cache(path, f"an entry cannot be read: {error}")) from error


def _not_a_cache(path: Path, why: str) -> str:
    return (
        f"{path} is no cache of chat replies, or it is damaged ({why}); move it away or name another file "
        "($MEDRL_CACHE, or the knob `path`); nothing was changed"
    )
