"""The write side: the one connection that writes, and every statement that it runs.

SQLite in WAL mode with `synchronous=FULL`: what `transaction` has left is on the disk. A lock beside the file
keeps a second daemon away. Nothing here decides anything: what to write comes from the core as values.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from operator import attrgetter
from pathlib import Path
from typing import IO

from smsflow.core.conversation import Conversation, Due, Status, changed
from smsflow.core.dialog import Dialog
from smsflow.core.effects import Apply, Begin, DropTexts, Effect, Flag, Send, Step
from smsflow.core.errors import StaleConversation, StoreError
from smsflow.core.events import Event
from smsflow.store.arrivals import Arrivals
from smsflow.store.expected import Expected
from smsflow.store.files import explain, lock_store
from smsflow.store.inbound import InboundTexts
from smsflow.store.outbox import Outbox
from smsflow.store.people import People
from smsflow.store.recent import Recent
from smsflow.store.restore import finish_restore
from smsflow.store.retention import Retention
from smsflow.store.rows import (
    CONVERSATION_COLUMNS,
    conversation_row,
    dump,
    event_json,
    opening_json,
    place_row,
    read_conversation,
    read_time,
    reads_as_written,
    utc,
)
from smsflow.store.statements import Row, Statements

__all__ = ["Application", "Store", "open_store"]

_MOVE_ON = (
    "UPDATE conversation SET language=?, state=?, status=?, result=?, wait=?, misread=?, reminded=?, asked_at=?,"
    " due_kind=?, due_at=?, body=?, version=?, closed_at=coalesce(closed_at, ?) WHERE id=? AND version=?"
)
_MOVE_TO_PHONE = _MOVE_ON.replace(" SET ", " SET msisdn=?, ", 1)  # by itself: the index over it must be written

_ADD_LINE = (
    "INSERT INTO journal (at, conversation, event, outcome, from_state, to_state, revision)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_ADD_CONVERSATION = (
    "INSERT INTO conversation (id, dialog, revision, birth_id, msisdn, child, language, state, status, result,"
    " wait, misread, reminded, asked_at, due_kind, due_at, body, version, opened_at, closed_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_OF_PHONES = f"SELECT {CONVERSATION_COLUMNS} FROM conversation WHERE msisdn IN (SELECT value FROM json_each(?))"  # noqa: S608 - columns are ours
_by_case = attrgetter("case")
_WAITING_KINDS = (  # from one to the next in the index, however many wait of each
    "WITH RECURSIVE waiting(kind) AS (SELECT min(kind) FROM application WHERE status = 'queued' UNION ALL"
    " SELECT (SELECT min(kind) FROM application WHERE status = 'queued' AND kind > waiting.kind) FROM waiting"
    " WHERE waiting.kind IS NOT NULL) SELECT kind FROM waiting WHERE kind IS NOT NULL"
)
_DUE_OF_KIND = (
    "SELECT next_at, id, conversation, kind, data, attempts FROM application"
    " WHERE status = 'queued' AND kind = ? AND next_at <= ? ORDER BY next_at LIMIT ?"
)

_CACHE_KIB = 16_000  # with 10 million cases the inner pages of the indexes do not fit into SQLite's 2 MiB

_TOUCH = "PRAGMA user_version = 0"  # writes a page whether it changes or not; nothing reads it


@dataclass(frozen=True, slots=True)
class Application:
    """An application that is to be sent to a body; `attempts` counts the tries so far."""

    id: int
    case: int
    kind: str
    data: Mapping[str, str]
    attempts: int


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
        self._statements = Statements(connection, self._refuse_stale)
        self._execute = self._statements.execute
        self._lock = lock
        self._zone = zone
        self._then: list[Callable[[], object]] = []
        self._touches = 0
        self._recent = Recent()
        self._expected = Expected()
        self._last_case: int | None = None  # the number that was given last; None when it must be read
        self._kept_dialogs: set[str] = set()  # revisions
        self.on_flag: Callable[[int | None, str], object] = lambda *_: None  # told of each that is on the disk
        self.people = People(self._statements, zone, self._expected)
        self.outbox = Outbox(self._statements, self.add_flag, self.people.find_link)
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
        self._recent.clear()
        self._last_case = None
        self._kept_dialogs.clear()
        self.outbox.forget()
        self.people.forget_all()
        self.inbound.forget()

    def _forget_phone(self, msisdn: str) -> None:
        """Some of what is known of a phone was deleted."""
        self._recent.forget(msisdn)
        self.people.forget(msisdn)

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

    # --- conversations -----------------------------------------------------------------------------

    def expect(self, msisdn: str) -> None:
        """A phone will be asked for in the next transaction: it is then looked up together with others.

        To be called outside of a transaction. "" is no phone: under it are all cases of mothers without one.
        """
        if msisdn:
            self._expected.add(msisdn)

    def load_phone(self, msisdn: str) -> tuple[Conversation, ...]:
        """Every conversation of a phone, oldest first."""
        found = self._recent.find(msisdn)
        if found is None:
            found = self._load_unknown(self._expected.unknown(msisdn, self._recent))[msisdn]
        return found

    def load_phones(self, msisdns: Iterable[str]) -> None:
        """Read the conversations of many phones at once: what `load_phone` has to say of each is at hand then."""
        self._load_unknown([msisdn for msisdn in dict.fromkeys(msisdns) if msisdn not in self._recent])

    def _load_unknown(self, msisdns: Sequence[str]) -> dict[str, tuple[Conversation, ...]]:
        of_each: dict[str, list[Conversation]] = {msisdn: [] for msisdn in msisdns}
        for conversation in self._read(self._execute(_OF_PHONES, (dump(msisdns),))):
            of_each[conversation.msisdn].append(conversation)
        found = {msisdn: tuple(sorted(each, key=_by_case)) for msisdn, each in of_each.items()}
        for msisdn, conversations in found.items():
            self._recent.keep(msisdn, conversations)
        return found

    def load_birth(self, birth_id: str) -> tuple[Conversation, ...]:
        """Every conversation about a birth, oldest first."""
        return self._conversations("birth_id = ?", birth_id)

    def load_case(self, case: int) -> Conversation | None:
        """The conversation of a case, None when there is no such case."""
        return next(iter(self._conversations("id = ?", case)), None)

    def load_due(self, now: datetime, most: int) -> tuple[int, ...]:
        """Cases whose timer is due, the longest overdue first."""
        rows = self._execute(
            "SELECT id FROM conversation WHERE due_at <= ? ORDER BY due_at LIMIT ?", (utc(now), most)
        )
        return tuple(row[0] for row in rows.fetchall())

    def put_off(self, case: int, until: datetime) -> None:
        """Let the timer of a case rest until then."""
        self._execute(
            "UPDATE conversation SET due_at=?, version=version+1 WHERE id=? AND due_at IS NOT NULL",
            (utc(until), case),
        )
        self._recent.clear()  # it is seldom, and nobody says whose it is

    def find_next_due(self) -> datetime | None:
        """When the next timer, held text or application falls due; None when nothing waits for a time."""
        self.outbox.flush()
        row = self._execute(
            "SELECT min(at) FROM (SELECT min(due_at) AS at FROM conversation WHERE due_at IS NOT NULL"
            " UNION ALL SELECT min(not_before) FROM outbox WHERE status = 'held'"
            " UNION ALL SELECT min(next_at) FROM application WHERE status = 'queued')"
        ).fetchone()
        return read_time(row[0], self._zone) if row[0] else None

    def _conversations(self, where: str, value: str | int) -> tuple[Conversation, ...]:
        rows = self._execute(
            f"SELECT {CONVERSATION_COLUMNS} FROM conversation WHERE {where} ORDER BY id",  # noqa: S608 - columns and conditions are ours
            (value,),
        )
        return self._read(rows)

    def _read(self, rows: sqlite3.Cursor) -> tuple[Conversation, ...]:
        return tuple([read_conversation(row, self._zone) for row in rows.fetchall()])

    def next_case(self) -> int:
        """The number of the next new case; no number is given twice, though its case may be forgotten."""
        if self._last_case is None:
            row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'conversation'").fetchone()
            self._last_case = row[0] if row else 0
        self._last_case += 1
        return self._last_case

    def keep_dialog(self, dialog: Dialog, at: datetime) -> None:
        """Have the revision of a dialog to which a conversation is going to be pinned."""
        if dialog.revision in self._kept_dialogs:
            return
        self._execute(
            "INSERT OR IGNORE INTO dialog (revision, name, sources, first_used_at) VALUES (?, ?, ?, ?)",
            (dialog.revision, dialog.name, dump(dict(dialog.sources)), utc(at)),
        )
        self._kept_dialogs.add(dialog.revision)

    def add_conversation(self, opening: Conversation, event: Event, step: Step) -> None:
        """Store a new conversation, of `next_case`, as its first event has left it, with every effect.

        Its journal begins with a line for `opening`, from which it can be rebuilt. `Begin` is not written here.
        """
        after, at = step.conversation, utc(event.at)
        closed_at = at if after.status is Status.CLOSED else None
        row = (opening.case, *conversation_row(after), after.version, at, closed_at)
        self._statements.put(_ADD_CONVERSATION, row)
        self._recent.forget(after.msisdn)
        self._statements.put(
            _ADD_LINE, (at, opening.case, opening_json(opening), "opened", "", "", opening.revision)
        )
        for effect in step.effects:
            if not isinstance(effect, DropTexts):  # there are none yet
                self._record_effect(after, effect, event.at)
        self._add_line(opening, event, step)

    def record(self, before: Conversation, event: Event, step: Step) -> None:
        """Write what `event` did to `before`: the new state, every effect, and a line of the journal.

        `Begin` is not written here: another dialog is another step of the engine.
        Raises: StaleConversation, at the latest when the transaction ends, when the case has moved on since
        `before` was loaded.
        """
        after, at = step.conversation, utc(event.at)
        if after is not before:
            closed_at = at if after.status is Status.CLOSED else None
            place = (*place_row(after), after.version, closed_at, before.case, before.version)
            if after.msisdn == before.msisdn:
                self._statements.put(_MOVE_ON, place)
            elif self._execute(_MOVE_TO_PHONE, (after.msisdn, *place)).rowcount != 1:
                raise StaleConversation(before.case, before.version)
            self._recent.move_on(before, self._as_read(after))
        for effect in step.effects:
            self._record_effect(after, effect, event.at)
        self._add_line(before, event, step)

    def _add_line(self, before: Conversation, event: Event, step: Step) -> None:
        self._statements.put(
            _ADD_LINE,
            (
                utc(event.at),
                before.case,
                event_json(event),
                step.outcome._value_,
                before.state,
                step.conversation.state,
                before.revision,
            ),
        )

    def _refuse_stale(self, rows: Sequence[Row]) -> None:
        """Of the conversations that `rows` would move on, at least one has moved on before."""
        if len(rows) > 1:
            cases = ", ".join(sorted({str(case) for *_, case, _ in rows}))
            raise StoreError(f"one of the cases {cases} has moved on since it was read")
        *_, case, version = rows[0]
        raise StaleConversation(case, version)

    def _as_read(self, conversation: Conversation) -> Conversation:
        """What was written of `conversation`, as it would be read: times by way of UTC, in our zone.

        That is the very same as a rule: our clock gives the zone's times, cut as they are stored.
        """
        asked_at, due = conversation.asked_at, conversation.due
        if not (asked_at is None or reads_as_written(asked_at, self._zone)):
            conversation = changed(conversation, asked_at=read_time(utc(asked_at), self._zone))
        if not (due is None or reads_as_written(due.at, self._zone)):
            conversation = changed(conversation, due=Due(due.kind, read_time(utc(due.at), self._zone)))
        return conversation

    def _record_effect(self, conversation: Conversation, effect: Effect, at: datetime) -> None:
        match effect:
            case Send():
                wait = conversation.wait if effect.only_in_wait else None
                self.outbox.add(conversation.case, conversation.msisdn, effect, wait, at)
            case DropTexts():
                self.outbox.drop(conversation.case, at)
                if conversation.status is Status.CLOSED:
                    self._execute(
                        "UPDATE application SET status='dropped' WHERE conversation=? AND status='queued'",
                        (conversation.case,),
                    )
            case Apply():
                self._execute(
                    "INSERT INTO application (conversation, kind, data, status, next_at, created_at)"
                    " VALUES (?, ?, ?, 'queued', ?, ?)",
                    (conversation.case, effect.kind, dump(dict(effect.data)), utc(at), utc(at)),
                )
            case Flag():
                self.add_flag(conversation.case, effect.reason, at)
            case Begin():
                pass

    def add_flag(self, case: int | None, reason: str, at: datetime) -> None:
        """Ask a person to look, once until it is cleared."""
        cursor = self._execute(
            "INSERT INTO flag (conversation, reason, at) SELECT ?, ?, ? WHERE NOT EXISTS"
            " (SELECT 1 FROM flag WHERE conversation IS ? AND reason = ? AND cleared_at IS NULL)",
            (case, reason, utc(at), case, reason),
        )
        if cursor.rowcount:
            self.after_commit(lambda: self.on_flag(case, reason))

    def clear_flags(self, case: int, at: datetime) -> None:
        """A person has looked at a case."""
        self._execute("UPDATE flag SET cleared_at=? WHERE conversation=? AND cleared_at IS NULL", (utc(at), case))

    def used_dialog(self, revision: str) -> Mapping[str, str] | None:
        """The files of a revision that was ever used, None when it is not known."""
        row = self._execute("SELECT sources FROM dialog WHERE revision = ?", (revision,)).fetchone()
        return json.loads(row[0]) if row else None

    # --- bodies ------------------------------------------------------------------------------------

    def due_applications(
        self, now: datetime, most: int, *, but_of: Collection[str] = ()
    ) -> tuple[Application, ...]:
        """Applications that are to be tried now, the longest overdue first: at most `most` of each kind.

        None of the kinds in `but_of`: however many of them wait, they are not looked at.
        """
        kinds = [kind for (kind,) in self._execute(_WAITING_KINDS).fetchall() if kind not in but_of]
        rows = [row for kind in kinds for row in self._execute(_DUE_OF_KIND, (kind, utc(now), most)).fetchall()]
        return tuple(
            Application(number, case, kind, json.loads(data), attempts)
            for _, number, case, kind, data, attempts in sorted(rows)
        )

    def mark_application(
        self,
        application: int,
        status: str,
        now: datetime,
        *,
        next_at: datetime | None = None,
        error: str = "",
    ) -> None:
        """What became of a try: `taken`, `refused`, or `queued` again for `next_at`.

        What was dropped during the try is not tried again.
        """
        self._execute(
            "UPDATE application SET status=iif(status='dropped' AND ?1='queued', 'dropped', ?1),"
            " attempts=attempts+1, next_at=?2, error=?3 WHERE id=?4",
            (status, utc(next_at or now), error, application),
        )

    def find_body_event(self, case: int, event_id: str) -> str | None:
        """The outcome of an event of a body that has come before; None when it is new."""
        row = self._execute(
            "SELECT outcome FROM body_event WHERE conversation=? AND id=?", (case, event_id)
        ).fetchone()
        return row[0] if row else None

    def add_body_event(self, case: int, event_id: str, name: str, outcome: str, at: datetime) -> None:
        """Remember an event of a body by the body's own id."""
        self._execute(
            "INSERT INTO body_event (conversation, id, name, at, outcome) VALUES (?, ?, ?, ?, ?)",
            (case, event_id, name, utc(at), outcome),
        )
