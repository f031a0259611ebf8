"""Looking into a cache of chat replies and making it smaller, for `medrl cache`."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from medrl.chat.cache_file import CacheUnusable, connect, refusals, transaction
from medrl.errors import DataError, MissingFile

DAY = 86_400.0


@dataclass(frozen=True)
class CacheFigures:
    """What a cache holds."""

    path: Path
    entries: int
    bytes: int
    """Of the file, its write-ahead log included."""
    models: Mapping[str, int]
    """Entries by the model that answered, most first."""
    oldest: float | None
    """When the oldest entry was stored, in seconds since 1970; None where there is none."""
    newest: float | None
    hits: int
    """How often its entries spared a request. A process writes this down now and then and at its end."""


def inspect(path: Path) -> CacheFigures:
    """What the cache at `path` holds.

    Raises:
        MissingFile: There is none.
        DataError: The file is no cache, or it is damaged.
    """
    with _opened(path) as connection:
        figures = "SELECT count(*), min(created), max(created), coalesce(sum(hits), 0) FROM replies"
        entries, oldest, newest, hits = connection.execute(figures).fetchone()
        by_model = "SELECT model, count(*) AS n FROM replies GROUP BY model ORDER BY n DESC, model"
        models = dict(connection.execute(by_model).fetchall())
    return CacheFigures(path, entries, _size(path), models, oldest, newest, hits)


def prune(
    path: Path, older_than: float | None = None, model: str | None = None, max_bytes: int | None = None
) -> tuple[int, int]:
    """Remove entries and give their room back; returns how many went and how many bytes the file lost.

    Args:
        path: The cache.
        older_than: Only entries that were stored more than so many days ago.
        model: Only entries that this model answered. With `older_than`, both must hold.
        max_bytes: After that, the entries that were unused for longest, until the file is no larger.

    Raises:
        DataError: It was not said what to remove.
    """
    if older_than is None and model is None and max_bytes is None:
        raise DataError("nothing says what to prune; give an age, a model or a size, or clear the whole cache")
    if older_than is not None and not older_than >= 0:
        raise DataError(f"an age of {older_than} days is none; give a number from 0")
    if max_bytes is not None and max_bytes < 0:
        raise DataError(f"a size of {max_bytes} bytes is none; give a number from 0")

    def remove(connection: sqlite3.Connection) -> int:
        gone = 0
        if older_than is not None or model is not None:
            before = time.time() - older_than * DAY if older_than is not None else float("inf")
            query = "DELETE FROM replies WHERE created < ? AND (? IS NULL OR model = ?)"
            gone += connection.execute(query, (before, model, model)).rowcount
        if max_bytes is not None:
            gone += _shrink(connection, max_bytes)
        return gone

    return _remove(path, remove)


def clear(path: Path) -> tuple[int, int]:
    """Remove all entries; returns how many went and how many bytes the file lost. Other processes may go on with it."""
    return _remove(path, lambda connection: connection.execute("DELETE FROM replies").rowcount)


def _shrink(connection: sqlite3.Connection, most: int) -> int:
    """Remove what was unused for longest until the pages that are in use take `most` bytes; how many went."""
    gone = 0
    while (used := _bytes_in_use(connection)) > most:
        entries = connection.execute("SELECT count(*) FROM replies").fetchone()[0]
        if not entries:
            break
        share = max(1, int(entries * (1.0 - most / used)))
        oldest = "DELETE FROM replies WHERE key IN (SELECT key FROM replies ORDER BY used, created LIMIT ?)"
        gone += connection.execute(oldest, (share,)).rowcount
    return gone


def _bytes_in_use(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {one}").fetchone()[0]) for one in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _remove(path: Path, work: Callable[[sqlite3.Connection], int]) -> tuple[int, int]:
    with _opened(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = _size(path)
        gone = transaction(connection, work)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone, max(0, before - _size(path))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise MissingFile(f"there is no cache at {path}; the first reply that a cached client stores makes it")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty and no cache; name another file, or remove it")
    try:
        with closing(connect(path)) as connection, refusals(path):
            yield connection
    except CacheUnusable as error:
        raise DataError(f"{error}; see whether the disk is full or read-only, or another process holds it") from error


def _size(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.is_file())
