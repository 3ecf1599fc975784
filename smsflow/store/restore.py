"""A backup put in the place of the store: a crash at any moment leaves the old store or the new, never a mix.

The backup is copied beside the store and checked there. Then the copy gets the name NAME.restoring: from this
moment on it *is* the store, and whoever opens the store next finishes what is left. That is: the old file and its
log get names of their own, and only when no log lies there any more, which SQLite would apply to the new file,
NAME.restoring becomes NAME. Each step can be repeated.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from smsflow.core.errors import StoreError
from smsflow.store.backup import Tell, copy_store, copying
from smsflow.store.files import beside, connect_reader, explain, lock_store, sync_folder

__all__ = ["Restored", "finish_restore", "restore_store"]

_DECIDED = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """What the store holds now; `kept` is the former store, None when there was none.

    `last_at` is when the last event that it knows of came, "" when there is none. `waiting` texts go out as soon as
    a daemon starts; `doubtful` ones were on their way, and are sent again.
    """

    kept: Path | None
    octets: int
    seconds: float
    cases: int
    journal: int
    last_at: str
    waiting: int
    doubtful: int


def restore_store(path: Path, source: Path, tell: Tell, *, at: datetime) -> Restored:
    """Put the backup `source` in the place of the store at `path`; `at` is now.

    Raises: StoreError when a daemon has the store, or the backup is damaged or of a newer smsflow, or there is no
    room; the store is as it was then.
    """
    began = monotonic()
    if source.exists() and path.exists() and source.samefile(path):
        raise StoreError(f"{source} is the store itself; name a backup")
    if not source.is_file():
        raise StoreError(f"there is no backup at {source}; name a file that `smsflow backup` has made")
    with lock_store(path):
        finish_restore(path)  # of another restore that was cut short
        with copying(source, path, ".restore-partial") as staged:
            copy_store(source, staged, tell, throttled=False)
            found = _check(staged, source)
            _give_to_owner(staged, path)
            os.utime(staged, (at.timestamp(), at.timestamp()))
            staged.replace(beside(path, _DECIDED))
            sync_folder(path.parent)
        kept = finish_restore(path)
    cases, journal, last_at, waiting, doubtful = found
    octets = path.stat().st_size
    return Restored(kept, octets, monotonic() - began, cases, journal, last_at or "", waiting, doubtful)


def _check(staged: Path, source: Path) -> tuple[int, int, str | None, int, int]:
    """What is in the copy of a backup. Raises: StoreError when it is not whole, or not for us."""
    from smsflow.store.schema import is_newer  # 190 ms, and every daemon comes by here

    try:
        with closing(connect_reader(staged)) as copy:
            (answer,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if answer != "ok":
                words = str(answer).replace("\n", " ")
                raise StoreError(f"{source} is damaged ({words}); restore another backup")
            if is_newer(copy):
                raise StoreError(f"{source} was written by a newer smsflow; restore it with that one")
            found: tuple[int, int, str | None, int, int] = copy.execute(
                "SELECT (SELECT count(*) FROM conversation), (SELECT count(*) FROM journal),"
                " (SELECT at FROM journal ORDER BY id DESC LIMIT 1),"
                " (SELECT count(*) FROM outbox WHERE status IN ('queued', 'held')),"
                " (SELECT count(*) FROM outbox WHERE status = 'sending')"
            ).fetchone()
            return found
    except sqlite3.Error as error:
        raise StoreError(f"{source} is not a backup of smsflow: {error}; restore another one") from error


def _give_to_owner(staged: Path, path: Path) -> None:
    """Who could use the store before can use it afterwards, whoever restores it."""
    before = path.stat() if path.exists() else None
    owner = before or path.parent.stat()
    with suppress(PermissionError):  # only root gives files away, and nobody else needs to
        os.chown(staged, owner.st_uid, owner.st_gid)
    if before:
        staged.chmod(before.st_mode & 0o777)


def finish_restore(path: Path) -> Path | None:
    """Finish a restore of the store at `path` that was decided; the former store, None when there was none.

    To be called by whoever holds the lock, before the store is opened. Raises: StoreError.
    """
    decided = beside(path, _DECIDED)
    try:
        if not decided.exists():
            return None
        taken_at = datetime.fromtimestamp(decided.stat().st_mtime, UTC)
        kept = beside(path, f".before-restore-{taken_at:%Y%m%dT%H%M%S}.{taken_at.microsecond // 1000:03}Z")
        for suffix in ("-wal", "-journal", ""):  # the log first: the file alone would open as something older
            _put_aside(beside(path, suffix), beside(kept, suffix))
        beside(path, "-shm").unlink(missing_ok=True)  # an index of the log, made anew from it
        sync_folder(path.parent)
        decided.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot put {decided} in the place of {path}: {explain(error)}") from error
    if not kept.exists():
        return None
    with suppress(sqlite3.Error), closing(sqlite3.connect(kept, isolation_level=None)) as former:
        former.execute("PRAGMA journal_mode=DELETE")  # one file, where it is sound
    return kept


def _put_aside(file: Path, kept: Path) -> None:
    if not file.exists():
        return
    if not kept.exists():
        file.rename(kept)
    elif file.stat().st_size == 0:
        file.unlink()  # made by a reader since the log was put aside
    else:
        raise StoreError(f"{kept} is there already; move it elsewhere")
