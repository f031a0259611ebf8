"""A lock on a run folder, so that two processes never write one run. It ends with its process, even by SIGKILL."""

import fcntl
import os
import socket
from pathlib import Path

from medrl.errors import CheckpointError

_held: set[Path] = set()  # a POSIX lock does not keep out its own process, so that is remembered here


class RunLock:
    """An exclusive POSIX lock on `folder/.lock`, which forked children do not inherit.

    Raises:
        CheckpointError: Another process, or this one, writes the run already.
    """

    def __init__(self, folder: Path) -> None:
        self._path = (folder / ".lock").resolve()
        if self._path in _held:
            raise CheckpointError(f"{folder} is open for writing in this process already; close that one first")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError | PermissionError):
                raise CheckpointError(f"cannot lock {self._path}: {error}; put the run on a disk with locks") from error
            todo = "wait for it, stop it, or give another folder"
            raise CheckpointError(f"another process writes the run {folder} ({holder}); {todo}") from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        _held.add(self._path)

    def release(self) -> None:
        if self._path in _held:
            _held.discard(self._path)
            os.close(self._descriptor)
