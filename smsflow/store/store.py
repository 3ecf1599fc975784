"""The write side: the one connection that writes, its transactions, and all that is written in them, part by part.

SQLite in WAL mode with `synchronous=FULL`: what `transaction` has left is on the disk. A lock beside the file
keeps a second daemon away. Nothing here decides anything: what to write comes from the core as values.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import IO

from smsflow.core.dialog import Dialog
from smsflow.core.errors import StoreError
from smsflow.store.arrivals import Arrivals
from smsflow.store.bodies import Bodies
from smsflow.store.conversations import Conversations, refuse_stale
from smsflow.store.expected import Expected
from smsflow.store.files import explain, lock_store
from smsflow.store.flags import Flags
from smsflow.store.inbound import InboundTexts
from smsflow.store.outbox import Outbox
from smsflow.store.people import People
from smsflow.store.restore import finish_restore
from smsflow.store.retention import Retention
from smsflow.store.rows import dump, read_time, utc
from smsflow.store.statements import Statements

__all__ = ["Store", "open_store"]

_CACHE_KIB = 16_000  # with 10 million cases the inner pages of the indexes do not fit into SQLite's 2 MiB

_TOUCH = "PRAGMA user_version = 0"  # writes a page whether it changes or not; nothing reads it


def open_store(path: Path, zone: tzinfo) -> Store:
    """Open the store in file `path`, make or migrate its tables, and lock it against a second daemon.

    Raises: StoreError when another daemon has it, or the file cannot be used.
    """
    from smsflow.store.schema import migrate  # 190 ms: not for those who only import this

    with ExitStack() as stack:
        lock = stack.enter_context(lock_store(path))
        finish_restore(path)
        try:
            connection = stack.enter_context(closing(_connect(path)))
            copy = migrate(connection, path)
            connection.execute(_TOUCH)  # a file that can only be read says so now, not at the first reply
        except sqlite3.Error as error:
            raise StoreError(f"cannot use {path}: {explain(error)}") from error
        stack.pop_all()
        return Store(connection, lock, zone, copy)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    try:
        _refuse_other_tables(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_other_tables(connection: sqlite3.Connection, path: Path) -> None:
    from smsflow.store.schema import applied_to, is_newer

    if is_newer(connection):
        raise StoreError(f"{path} was written by a newer smsflow; use that one, or restore an older backup")
    if not applied_to(connection) and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise StoreError(f"{path} is a database of something else; name another file in `store`")


class Store:
    """The one connection that writes. Everything but `transaction` must be called inside of one."""

    def __init__(
        self, connection: sqlite3.Connection, lock: IO[str], zone: tzinfo, copy: Path | None = None
    ) -> None:
        self.copy = copy  # of the store before it was migrated just now, None when it was not
        self._connection = connection
        self._statements = Statements(connection, refuse_stale)
        self._execute = self._statements.execute
        self._lock = lock
        self._zone = zone
        self._then: list[Callable[[], object]] = []
        self._touches = 0
        self._expected = Expected()
        self._kept_dialogs: set[str] = set()  # revisions
        self.flags = Flags(self._statements, self.after_commit)
        self.people = People(self._statements, zone, self._expected)
        self.outbox = Outbox(self._statements, self.flags.add, self.people.find_link)
        self.bodies = Bodies(self._statements)
        self.conversations = Conversations(
            self._statements,
            zone,
            expected=self._expected,
            outbox=self.outbox,
            bodies=self.bodies,
            flags=self.flags,
        )
        self.arrivals = Arrivals(self._statements, zone)
        self.inbound = InboundTexts(self._statements, self._expected)
        self.retention = Retention(self._statements, self._forget_phone, self.outbox.flush)

    def close(self) -> None:
        """Fold the write-ahead log into the file, close, and let go of the lock."""
        with suppress(sqlite3.Error):  # a full disk: the log is folded in at the next start
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is on the disk afterwards, or none of it.

        Raises: StoreError when the disk or the file does not take it.
        """
        self._then.clear()
        try:
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self.outbox.flush()
                self._execute("COMMIT")
            except BaseException:
                self._forget_all()
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"the store did not take it: {explain(error)}") from error
        finally:
            self._expected.clear()
        for tell in self._then:
            tell()

    @property
    def writes(self) -> int:
        """Counts what was written; it has grown in a transaction that was more than a look."""
        return self._connection.total_changes + self._touches

    def touch(self) -> None:
        """Write one page, and change nothing: to learn whether the disk takes it."""
        self._execute(_TOUCH)
        self._touches += 1

    def after_commit(self, tell: Callable[[], object]) -> None:
        """Call `tell` when what is being written is on the disk; never, when it is rolled back."""
        self._then.append(tell)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All that is written inside is kept, or none of it, within the transaction. Raises: StoreError."""
        told = len(self._then)
        try:
            self.outbox.flush()
            self._execute("SAVEPOINT job")
            try:
                yield
                self.outbox.flush()
                self._statements.flush()
            except BaseException:
                del self._then[told:]
                self._forget_all()
                if self._connection.in_transaction:
                    self._execute("ROLLBACK TO job")
                    self._execute("RELEASE job")
                raise
            self._execute("RELEASE job")
        except sqlite3.Error as error:
            raise StoreError(f"the store did not take it: {explain(error)}") from error

    def _forget_all(self) -> None:
        """What was written, and what is still to be written, does not stay."""
        self._statements.forget()
        self.conversations.forget_all()
        self._kept_dialogs.clear()
        self.outbox.forget()
        self.people.forget_all()
        self.inbound.forget()

    def _forget_phone(self, msisdn: str) -> None:
        """Some of what is known of a phone was deleted."""
        self.conversations.forget(msisdn)
        self.people.forget(msisdn)

    def find_next_due(self) -> datetime | None:
        """When the next timer, held text or application falls due; None when nothing waits for a time."""
        self.outbox.flush()
        row = self._execute(
            "SELECT min(at) FROM (SELECT min(due_at) AS at FROM conversation WHERE due_at IS NOT NULL"
            " UNION ALL SELECT min(not_before) FROM outbox WHERE status = 'held'"
            " UNION ALL SELECT min(next_at) FROM application WHERE status = 'queued')"
        ).fetchone()
        return read_time(row[0], self._zone) if row[0] else None

    def expect(self, msisdn: str) -> None:
        """A phone will be asked for in the next transaction: it is then looked up together with others.

        To be called outside of a transaction. "" is no phone: under it are all cases of mothers without one.
        """
        if msisdn:
            self._expected.add(msisdn)

    # --- links --------------------------------------------------------------------------------------

    def pause_link(self, name: str, at: datetime) -> None:
        """An operator has paused a link; the first time counts."""
        self._execute("INSERT OR IGNORE INTO paused_link (name, at) VALUES (?, ?)", (name, utc(at)))

    def resume_link(self, name: str) -> None:
        """A link is paused no more."""
        self._execute("DELETE FROM paused_link WHERE name = ?", (name,))

    def paused_links(self) -> Mapping[str, datetime]:
        """The links that are paused, and since when."""
        return {name: read_time(at, self._zone) for name, at in self._execute("SELECT name, at FROM paused_link")}

    # --- revisions of dialogs ----------------------------------------------------------------------

    def keep_dialog(self, dialog: Dialog, at: datetime) -> None:
        """Have the revision of a dialog to which a conversation is going to be pinned."""
        if dialog.revision in self._kept_dialogs:
            return
        self._execute(
            "INSERT OR IGNORE INTO dialog (revision, name, sources, first_used_at) VALUES (?, ?, ?, ?)",
            (dialog.revision, dialog.name, dump(dict(dialog.sources)), utc(at)),
        )
        self._kept_dialogs.add(dialog.revision)

    def used_dialog(self, revision: str) -> Mapping[str, str] | None:
        """The files of a revision that was ever used, None when it is not known."""
        row = self._execute("SELECT sources FROM dialog WHERE revision = ?", (revision,)).fetchone()
        return json.loads(row[0]) if row else None
