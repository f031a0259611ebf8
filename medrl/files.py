"""Write files and folders so that a kill, a full disk or a crash never leaves half of one under its real name.

What is new is written beside its place under a hidden name (`.NAME.partial-PID`), synced to the disk, and moved into
place by one rename. Leftovers of killed processes keep their hidden names, so nobody reads them, and the next writer of
the same name removes them. JSON lines files are appended one whole line at a time.
"""

import ctypes
import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medrl.errors import CheckpointError, DataError, MedrlError, MissingFile

LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<kind>partial|old)-(?P<pid>\d+)")
_BLOCK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomic(path: str | os.PathLike[str], content: str | bytes | Iterable[bytes], mode: int | None = None) -> None:
    """Write a file as a whole or not at all; an older one stays until the new one is safe on the disk.

    `mode` is the file's from its first byte on (0o600 for a secret); by default what the umask leaves. Content larger than
    memory comes in pieces.

    Raises:
        CheckpointError: It could not be written; the older one is untouched.
    """
    path = _absolute(path)
    partial = _hidden(path, "partial")
    content = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(
            partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o666 if mode is None else mode)
        ) as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)  # a leftover, or the umask, may have another
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync(path.parent)
    except OSError as error:
        raise CheckpointError(_cannot_write(path, error)) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill that takes the place of `path` when the block ends without an error.

    `with atomic_folder("runs/x/best") as folder: model.save_pretrained(folder)`. An older folder of that name stays
    whole until the new one is synced; the two are then exchanged by one system call where the system has it.

    Raises:
        CheckpointError: The block or the disk failed; `path` is as it was and the half-written folder is gone.
    """
    path = _absolute(path)
    partial = _hidden(path, "partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clean_leftovers(path.parent, path.name)
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise CheckpointError(f"{path} is a file or a link, not a folder; move it away or write to another folder")
        partial.mkdir()
        yield partial
        _sync_tree(partial)
        _put_in_place(partial, path)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        # Libraries wrap a full disk in errors of their own (torch: RuntimeError), so every Exception is translated.
        if isinstance(error, MedrlError) or not isinstance(error, Exception):
            raise
        raise CheckpointError(_cannot_write(path, error)) from error


def remove_folder(path: str | os.PathLike[str]) -> None:
    """Remove a folder so that a kill halfway leaves nothing that looks whole."""
    path = _absolute(path)
    doomed = _hidden(path, "partial")
    try:
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise CheckpointError(f"cannot remove {path}: {error.strerror or error}") from error


def clean_leftovers(folder: str | os.PathLike[str], name: str | None = None, *, alive: bool = False) -> list[Path]:
    """Remove what killed processes left half-written in `folder`; returns what was removed.

    Where the exchange of two folders was cut between its two renames, the older one gets its name back.

    Args:
        folder: Where to look (not below it).
        name: Only leftovers of this name; by default all.
        alive: Remove those of processes that still run too, for callers that hold a lock on the folder.
    """
    removed = []
    for entry in sorted(Path(folder).iterdir()):
        match = LEFTOVER.fullmatch(entry.name)
        if match is None or name not in (None, match["name"]):
            continue
        pid = int(match["pid"])
        if not alive and pid != os.getpid() and _runs(pid):
            continue
        home = entry.with_name(match["name"])
        if match["kind"] == "old" and not home.exists():
            os.rename(entry, home)
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
            removed.append(entry)
        else:
            entry.unlink()
            removed.append(entry)
    return removed


def json_line(row: Mapping[str, Any]) -> bytes:
    """One row as a line of UTF-8 JSON, its newline included."""
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which a byte-level tokenizer can produce
        return (json.dumps(row) + "\n").encode("ascii")
    except (TypeError, ValueError) as error:
        raise DataError(f"a row cannot be written as JSON: {error}; its keys: {', '.join(map(str, row))}") from error


def append_jsonl(path: str | os.PathLike[str], row: Mapping[str, Any]) -> None:
    """Append one row as one line and sync it: the line is there as a whole or not at all.

    A half-written last line (of a killed process) is dropped first, so that it cannot spoil the new one.
    """
    append_rows(path, [row])


def append_rows(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Append rows as `append_jsonl` does, with one sync for all; returns the file's new size in bytes.

    A kill may leave the first few of them, and a half-written line after these.
    """
    path, lines = _absolute(path), b"".join(json_line(row) for row in rows)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            end = _end_of_whole_lines(descriptor)
            os.ftruncate(descriptor, end)
            try:
                left = memoryview(lines)
                while left:  # one call writes 2 GiB at most
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CheckpointError(_cannot_write(path, error)) from error
    return end + len(lines)


def cut_half_line(path: str | os.PathLike[str]) -> int:
    """Cut a last line without a newline off a file, as a kill leaves it; returns how many bytes went."""
    path = _absolute(path)
    if not path.exists():
        return 0
    try:
        descriptor = os.open(path, os.O_RDWR)
        try:
            size, end = os.fstat(descriptor).st_size, _end_of_whole_lines(descriptor)
            if end < size:
                os.ftruncate(descriptor, end)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CheckpointError(_cannot_write(path, error)) from error
    return size - end


def read_jsonl(path: str | os.PathLike[str], *, tolerate_half_line: bool = False) -> list[dict[str, Any]]:
    """The rows of a JSON lines file; blank lines are skipped.

    Args:
        path: The file.
        tolerate_half_line: Leave out a last line that breaks off (no newline, no JSON), as a kill may leave it.

    Raises:
        MissingFile: There is no such file.
        DataError: A line is no JSON object; the message says which.
    """
    return [row for _, row in _rows(_absolute(path), tolerate_half_line)]


def truncate_jsonl(path: str | os.PathLike[str], keep: Callable[[dict[str, Any]], bool]) -> int:
    """Drop the rows that `keep` refuses, and a half-written last line; returns how many rows went."""
    path = _absolute(path)
    if not path.exists():
        return 0
    rows = list(_rows(path, tolerate_half_line=True))
    kept = [line for line, row in rows if keep(row)]
    content = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in kept)
    if content != path.read_bytes():
        write_atomic(path, content)
    return len(rows) - len(kept)


def _rows(path: Path, tolerate_half_line: bool) -> Iterator[tuple[bytes, dict[str, Any]]]:
    if not path.is_file():
        raise MissingFile(f"{path} does not exist or is no file")
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, of what is nested too deeply
                if line.endswith(b"\n"):
                    raise DataError(f"{path}:{number}: this line is not JSON: {error}; mend or remove it") from error
                if tolerate_half_line:
                    return
                hint = "a process was killed while writing it; remove it"
                raise DataError(f"{path}:{number}: the last line breaks off ({error}); {hint}") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: a row must be a JSON object, this is a {type(row).__name__}")
            yield line, row


def _end_of_whole_lines(descriptor: int) -> int:
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    while size:  # from the end, a block at a time: the file may be larger than memory
        start = max(0, size - _BLOCK)
        if (found := os.pread(descriptor, size - start, start).rfind(b"\n")) >= 0:
            return start + found + 1
        size = start
    return 0


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(path))


def _hidden(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{os.getpid()}")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            if not os.path.islink(os.path.join(root, name)):
                _sync(Path(root, name))
        _sync(Path(root))


def _put_in_place(new: Path, path: Path) -> None:
    """Give the folder `new` the name `path`; an older `path` is removed afterwards."""
    if not path.exists():
        os.rename(new, path)
        _sync(path.parent)
        return
    if _exchange(new, path):
        old = new
    else:  # two renames; `clean_leftovers` gives the old one its name back if a kill falls between them
        old = _hidden(path, "old")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
        try:
            os.rename(new, path)
        except OSError:
            os.rename(old, path)
            raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names by one atomic call (Linux renameat2); False where the system or file system cannot."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of linux/fcntl.h and linux/fs.h
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def _cannot_write(path: Path, error: Exception) -> str:
    folder = next(parent for parent in path.parents if parent.exists())
    free = shutil.disk_usage(folder).free
    why = f"{type(error).__name__}: {error}"
    full = (isinstance(error, OSError) and error.errno in FULL) or "no space left" in str(error).lower()
    todo = "make room there or write to another disk" if full else "mend this and try again"
    state = "the older one is untouched" if path.exists() else "nothing was left in its place"
    return f"cannot write {path} ({why}; {free / 1e6:,.1f} MB free); {state}; {todo}"
