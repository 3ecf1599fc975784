"""Copies of a store: a backup while the daemon goes on, and back again.

A copy is taken within one read transaction, page by page with SQLite's backup API. Without the transaction the API
begins anew whenever another process has written between two steps, so beside a busy daemon it would never end;
with it, the copy is one moment of the store. In WAL mode a reader blocks no writer; what it costs is that the
write-ahead log cannot be used again meanwhile and grows by what is written. So the copy rests as long as it works,
which leaves half of the disk to the daemon, and folds the log into the store by itself at the end, or the daemon
would have to, in the middle of a reply. `VACUUM INTO` reads one moment too, but neither rests nor says how far
it is.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import TypeAlias

from smsflow.core.errors import StoreError
from smsflow.store.files import COMPANIONS, beside, connect_reader, explain, sync_folder

__all__ = ["Backup", "Tell", "backup_store", "check_copy", "copy_store", "copying"]

Tell: TypeAlias = Callable[[int, int], object]
"""Is told how far it is: pages done, of how many."""

_STEP = 256  # pages: 1 MiB between two rests
_SYNC = 8192  # pages: what is written goes to the disk bit by bit, or one long flush would hold up the daemon's


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made and checked: what is in it, and when it was taken."""

    file: Path
    octets: int
    seconds: float
    cases: int
    journal: int
    taken_at: datetime


def backup_store(path: Path, target: Path, tell: Tell, *, at: datetime, overwrite: bool = False) -> Backup:
    """Copy the store at `path` into the file `target`, while the daemon goes on; `at` is now.

    `target` is there when the copy is whole, checked and on the disk, or it stays as it was. It can be read by its
    owner alone: it holds personal data.

    Raises: StoreError when there is no store, it is damaged, or the copy cannot be written; FileExistsError.
    """
    began = monotonic()
    _refuse_own_file(path, target)
    if target.exists() and not overwrite:
        raise FileExistsError(target)
    with copying(path, target, ".partial") as partial:
        copy_store(path, partial, tell, throttled=True)
        cases, journal = check_copy(partial, path)
        if target.exists() and not overwrite:
            raise FileExistsError(target)
        for suffix in COMPANIONS:  # of what was there before: SQLite would apply them to the new file
            beside(target, suffix).unlink(missing_ok=True)
        partial.replace(target)
        sync_folder(target.parent)
    return Backup(target, target.stat().st_size, monotonic() - began, cases, journal, at)


def _refuse_own_file(path: Path, target: Path) -> None:
    own = {beside(path.resolve(), suffix) for suffix in ("", ".lock", *COMPANIONS)}
    if target.resolve() in own or (target.exists() and path.exists() and target.samefile(path)):
        raise StoreError(f"{target} belongs to the store itself; choose another file")
    if target.is_dir():
        raise StoreError(f"{target} is a folder; name a file in it")


@contextmanager
def copying(source: Path, target: Path, suffix: str) -> Iterator[Path]:
    """A new file beside `target` to copy into, for its owner alone; whatever goes wrong, it is gone afterwards.

    Raises: StoreError when it cannot be made or written, or another copy to `target` is under way.
    """
    partial = beside(target, suffix)
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(beside(partial, each) for each in COMPANIONS)
            os.truncate(descriptor, 0)
            os.fchmod(descriptor, 0o600)
            try:
                yield partial
            finally:
                _remove(beside(partial, each) for each in ("", *COMPANIONS))
        finally:
            os.close(descriptor)  # not before SQLite is done with the file: it would lose its locks
    except BlockingIOError as error:
        raise StoreError(f"another copy to {target} is under way; wait for it") from error
    except FileExistsError:
        raise
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {explain(error)}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot copy {source} to {target}: {explain(error)}") from error


def _remove(files: Iterator[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def copy_store(source: Path, target: Path, tell: Tell, *, throttled: bool) -> None:
    """Copy one moment of the store `source` into the empty file `target`, to the disk.

    Raises: StoreError when there is no store; sqlite3.Error and OSError from either file.
    """
    descriptor = os.open(target, os.O_RDWR)
    try:
        with (
            closing(connect_reader(source)) as store,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            copy.execute("PRAGMA journal_mode=OFF")  # nothing can be half there: it counts when it is renamed
            copy.execute("PRAGMA synchronous=OFF")
            store.execute("BEGIN")
            store.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
            store.backup(copy, pages=_STEP, progress=_Pace(descriptor, tell, throttled=throttled))
            _fold(source, store)
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Pace:
    """Is called after each step: flushes now and then, rests as long as the step took, tells."""

    def __init__(self, descriptor: int, tell: Tell, *, throttled: bool) -> None:
        self._descriptor = descriptor
        self._tell = tell
        self._throttled = throttled
        self._began = monotonic()
        self._unsynced = 0

    def __call__(self, _status: int, left: int, total: int) -> None:
        self._unsynced += _STEP
        if self._unsynced >= _SYNC:
            os.fdatasync(self._descriptor)
            self._unsynced = 0
        self._tell(total - left, total)
        if self._throttled and left:
            sleep(monotonic() - self._began)
        self._began = monotonic()


def _fold(path: Path, reader: sqlite3.Connection) -> None:
    """End the snapshot of `reader`, and fold the log that grew meanwhile into the store; who may not, need not.

    PASSIVE: nobody is waited for, and the daemon's own turn at it is passed over while ours lasts.
    """
    with (
        suppress(sqlite3.Error),
        closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0)
        ) as store,
    ):
        store.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()  # be ready, to come before the daemon
        reader.execute("COMMIT")
        store.execute("PRAGMA wal_checkpoint(PASSIVE)")


def check_copy(copy: Path, source: Path) -> tuple[int, int]:
    """The cases and lines of the journal in `copy`. Raises: StoreError when it is damaged."""
    with closing(connect_reader(copy)) as connection:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            words = str(answer).replace("\n", " ")
            raise StoreError(f"{source} is damaged ({words}); what is wrong: smsflow verify")
        cases, journal = connection.execute(
            "SELECT (SELECT count(*) FROM conversation), (SELECT count(*) FROM journal)"
        ).fetchone()
    return cases, journal
