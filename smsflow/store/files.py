"""The file of a store and what lies beside it: the lock, the log, how it is read, what its failures mean.

NAME is the database; NAME-wal, NAME-shm and NAME-journal belong to it and to no other content of NAME. NAME.lock
keeps a second daemon away.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from smsflow.core.errors import StoreError

__all__ = ["COMPANIONS", "beside", "connect_reader", "explain", "lock_store", "reading", "sync_folder"]

COMPANIONS = ("-wal", "-shm", "-journal")

_BY_SQLITE = {
    sqlite3.SQLITE_FULL: "the disk is full: free space there",
    sqlite3.SQLITE_NOTADB: "it is not a store: name another file, or restore a backup with `smsflow restore`",
    sqlite3.SQLITE_CORRUPT: "it is damaged: stop the daemon and restore a backup with `smsflow restore`",
    sqlite3.SQLITE_READONLY: "it cannot be written: let the user of smsflow write file, folder and disk",
    sqlite3.SQLITE_PERM: "it may not be used: let the user of smsflow read and write file and folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: let the user of smsflow read and write file and folder",
    sqlite3.SQLITE_IOERR: "the disk fails, or is full: look at the system's log and at the space on it",
    sqlite3.SQLITE_BUSY: "another program holds it: end that program",
}
_BY_SYSTEM = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or raise the quota",
    errno.EROFS: "make the disk writable",
    errno.EACCES: "let the user of smsflow read and write file and folder",
    errno.EPERM: "let the user of smsflow read and write file and folder",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a file in a folder that is one",
    errno.ENOENT: "make the folder first",
}


def beside(path: Path, suffix: str) -> Path:
    """The file beside the store that is named by `suffix`."""
    return path.with_name(path.name + suffix)


def explain(error: sqlite3.Error | OSError) -> str:
    """What a failure of the file means and what to do, with the words of SQLite or the system."""
    if isinstance(error, OSError):
        advice = _BY_SYSTEM.get(error.errno or 0, "look at the system's log")
        return f"{error.strerror}; {advice}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it tells kinds of one failure apart
    return f"{_BY_SQLITE[code]} ({error})" if code in _BY_SQLITE else str(error)


def lock_store(path: Path) -> IO[str]:
    """The lock of the store at `path`, held until it is closed. Makes the folder.

    Raises: StoreError when another process holds it, or the folder cannot be used.
    """
    if path.is_dir():
        raise StoreError(f"cannot use {path}: it is a folder; name a file in it")
    lock: IO[str] | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = beside(path, ".lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        assert lock  # noqa: S101 - it was there to be locked
        lock.close()
        raise StoreError(f"{path} is in use by another smsflow; stop that one first") from error
    except OSError as error:
        raise StoreError(f"cannot use {path}: {explain(error)}") from error
    return lock


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads. Raises: StoreError when there is no store, or it cannot be read."""
    if not path.is_file():
        raise StoreError(f"there is no store at {path}; has the daemon run?")
    with reading():
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        connection.execute("PRAGMA query_only=ON")
        return connection


@contextmanager
def reading() -> Iterator[None]:
    """Translate what SQLite raises. Raises: StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store cannot be read: {explain(error)}") from error


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on the disk: what was renamed stays renamed after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
