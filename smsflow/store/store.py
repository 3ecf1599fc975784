"""The write side: the one connection that writes, and every statement that it runs.

SQLite in WAL mode with `synchronous=FULL`: what `transaction` has left is on the disk. A lock beside the file
keeps a second daemon away. Nothing here decides anything: what to write comes from the core as values.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import IO, Any

from smsflow.core.conversation import Conversation, Status
from smsflow.core.dialog import Dialog
from smsflow.core.effects import Apply, Begin, DropTexts, Effect, Flag, Send, Step
from smsflow.core.encoding import segments
from smsflow.core.errors import StaleConversation, StoreError
from smsflow.core.events import Event
from smsflow.store.rows import (
    CONVERSATION_COLUMNS,
    conversation_row,
    dump,
    event_json,
    opening_json,
    read_conversation,
    read_time,
    utc,
)

__all__ = ["Application", "Birth", "DueText", "Inbound", "Part", "Store", "Taken", "open_store"]


@dataclass(frozen=True, slots=True)
class Inbound:
    """One text as it came in. `session` tells one connection of `link` from the next."""

    at: datetime
    link: str
    session: str
    sequence: int
    msisdn: str
    destination: str
    data_coding: int
    raw: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a long text; `reference` names the text among those of the same sender and number."""

    at: datetime
    msisdn: str
    destination: str
    reference: str
    number: int
    total: int
    data_coding: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Birth:
    """A birth as the ward recorded it. `msisdn` is None when the mother has no phone that is known."""

    birth_id: str
    mother_iin: str
    msisdn: str | None
    born_at: str
    sex: str
    alive: bool
    birth_order: int
    account: str
    address_kato: str


@dataclass(frozen=True, slots=True)
class DueText:
    """A text that may go out now."""

    id: int
    msisdn: str
    text: str
    in_doubt: bool
    attempts: int  # before this one


@dataclass(frozen=True, slots=True)
class Taken:
    """A part that a message centre took: its own id, raw, and the form in which receipts are matched."""

    link: str
    message_id: str
    key: str


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
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(path.with_name(path.name + ".lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            connection = stack.enter_context(closing(_connect(path)))
            _migrate(connection, path)
        except BlockingIOError as error:
            raise StoreError(f"{path} is in use by another smsflow; stop that one first") from error
        except OSError as error:
            raise StoreError(f"cannot use {path}: {error.strerror}; make the folder writable") from error
        except sqlite3.Error as error:
            raise StoreError(f"cannot use {path}: {error}") from error
        stack.pop_all()
        return Store(connection, lock, zone)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    from sqlite_utils import Database  # 190 ms: not for those who only want --help

    from smsflow.store.schema import migrations

    database = Database(connection, execute_plugins=False)
    ours = {migration.name for migration in migrations.pending(Database(memory=True))}
    if any(migration.name not in ours for migration in migrations.applied(database)):
        raise StoreError(f"{path} was written by a newer smsflow; use that one")
    migrations.apply(database)


class Store:
    """The one connection that writes. Everything but `transaction` must be called inside of one."""

    def __init__(self, connection: sqlite3.Connection, lock: IO[str], zone: tzinfo) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._lock = lock
        self._zone = zone

    def close(self) -> None:
        """Fold the write-ahead log into the file, close, and let go of the lock."""
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is on the disk afterwards, or none of it.

        Raises: StoreError when the disk or the file does not take it.
        """
        try:
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"the store did not take it: {error}") from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All that is written inside is kept, or none of it, within the transaction. Raises: StoreError."""
        try:
            self._execute("SAVEPOINT job")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK TO job")
                    self._execute("RELEASE job")
                raise
            self._execute("RELEASE job")
        except sqlite3.Error as error:
            raise StoreError(f"the store did not take it: {error}") from error

    # --- conversations -----------------------------------------------------------------------------

    def load_phone(self, msisdn: str) -> tuple[Conversation, ...]:
        """Every conversation of a phone, oldest first."""
        return self._conversations("msisdn = ?", msisdn)

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

    def find_next_due(self) -> datetime | None:
        """When the next timer, held text or application falls due; None when nothing waits for a time."""
        row = self._execute(
            "SELECT min(at) FROM (SELECT min(due_at) AS at FROM conversation WHERE due_at IS NOT NULL"
            " UNION ALL SELECT min(not_before) FROM outbox WHERE status = 'held'"
            " UNION ALL SELECT min(next_at) FROM application WHERE status = 'queued')"
        ).fetchone()
        return read_time(row[0], self._zone) if row[0] else None

    def _conversations(self, where: str, value: str | int) -> tuple[Conversation, ...]:
        rows = self._execute(
            f"SELECT {CONVERSATION_COLUMNS} FROM conversation WHERE {where} ORDER BY id",  # noqa: S608
            (value,),
        )
        return tuple(read_conversation(row, self._zone) for row in rows.fetchall())

    def add_conversation(self, conversation: Conversation, dialog: Dialog, at: datetime) -> int:
        """Store a new conversation, and the revision of the dialog that it is pinned to; the case's number."""
        self._execute(
            "INSERT OR IGNORE INTO dialog (revision, name, sources, first_used_at) VALUES (?, ?, ?, ?)",
            (dialog.revision, dialog.name, dump(dict(dialog.sources)), utc(at)),
        )
        cursor = self._execute(
            "INSERT INTO conversation (dialog, revision, birth_id, msisdn, child, language, state, status,"
            " result, wait, misread, reminded, asked_at, due_kind, due_at, body, version, opened_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
            (*conversation_row(conversation), utc(at)),
        )
        case = cursor.lastrowid
        assert case  # noqa: S101 - an INSERT that did not fail has one
        self._execute(
            "INSERT INTO journal (at, conversation, event, outcome, from_state, to_state, revision)"
            " VALUES (?, ?, ?, 'opened', '', '', ?)",
            (utc(at), case, opening_json(conversation), conversation.revision),
        )
        return case

    def record(self, before: Conversation, event: Event, step: Step) -> None:
        """Write what `event` did to `before`: the new state, every effect, and a line of the journal.

        `Begin` is not written here: another dialog is another step of the engine.
        Raises: StaleConversation when the case has moved on since `before` was loaded.
        """
        after, at = step.conversation, utc(event.at)
        if after is not before:
            closed_at = at if after.status is Status.CLOSED else None
            cursor = self._execute(
                "UPDATE conversation SET dialog=?, revision=?, birth_id=?, msisdn=?, child=?, language=?,"
                " state=?, status=?, result=?, wait=?, misread=?, reminded=?, asked_at=?, due_kind=?, due_at=?,"
                " body=?, version=?, closed_at=coalesce(closed_at, ?) WHERE id=? AND version=?",
                (*conversation_row(after), before.version + 1, closed_at, before.case, before.version),
            )
            if cursor.rowcount != 1:
                raise StaleConversation(before.case, before.version)
        for effect in step.effects:
            self._record_effect(after, effect, event.at)
        self._execute(
            "INSERT INTO journal (at, conversation, event, outcome, from_state, to_state, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                at,
                before.case,
                event_json(event),
                step.outcome.value,
                before.state,
                after.state,
                before.revision,
            ),
        )

    def _record_effect(self, conversation: Conversation, effect: Effect, at: datetime) -> None:
        match effect:
            case Send():
                wait = conversation.wait if effect.only_in_wait else None
                self.add_text(conversation.case, conversation.msisdn, effect, wait, at)
            case DropTexts():
                self._execute(
                    "UPDATE outbox SET status='dropped', changed_at=? WHERE conversation=?"
                    " AND status IN ('queued', 'held')",
                    (utc(at), conversation.case),
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
        self._execute(
            "INSERT INTO flag (conversation, reason, at) SELECT ?, ?, ? WHERE NOT EXISTS"
            " (SELECT 1 FROM flag WHERE conversation IS ? AND reason = ? AND cleared_at IS NULL)",
            (case, reason, utc(at), case, reason),
        )

    def used_dialog(self, revision: str) -> Mapping[str, str] | None:
        """The files of a revision that was ever used, None when it is not known."""
        row = self._execute("SELECT sources FROM dialog WHERE revision = ?", (revision,)).fetchone()
        return json.loads(row[0]) if row else None

    # --- births, citizens, phones ------------------------------------------------------------------

    def find_birth(self, birth_id: str) -> tuple[Birth, int] | None:
        """A birth that was recorded, and its first case; None when it is new."""
        row = self._execute(
            "SELECT birth_id, mother_iin, msisdn, born_at, sex, alive, birth_order, account, address_kato,"
            " conversation FROM birth WHERE birth_id = ?",
            (birth_id,),
        ).fetchone()
        return (_birth(row), row[9]) if row else None

    def add_birth(self, birth: Birth, case: int, at: datetime) -> None:
        """Store a birth and the case that it began."""
        self._execute(
            "INSERT INTO birth (birth_id, mother_iin, msisdn, born_at, sex, alive, birth_order, account,"
            " address_kato, received_at, conversation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                birth.birth_id, birth.mother_iin, birth.msisdn, birth.born_at, birth.sex, birth.alive,
                birth.birth_order, birth.account, birth.address_kato, utc(at), case,
            ),
        )  # fmt: skip

    def mark_not_alive(self, birth_id: str) -> None:
        """Correct a birth: the child does not live."""
        self._execute("UPDATE birth SET alive = 0 WHERE birth_id = ?", (birth_id,))

    def find_msisdn(self, iin: str) -> str | None:
        """The number of a citizen, None when the base of mobile citizens does not know one."""
        row = self._execute("SELECT msisdn FROM citizen WHERE iin = ?", (iin,)).fetchone()
        return row[0] if row else None

    def find_iin(self, msisdn: str) -> str | None:
        """Whose number it is, None when nobody's."""
        row = self._execute("SELECT iin FROM citizen WHERE msisdn = ?", (msisdn,)).fetchone()
        return row[0] if row else None

    def bind_citizen(self, iin: str, msisdn: str, bound_at: datetime) -> None:
        """Tie a number to a citizen, in place of her former number and of the number's former owner.

        The number's new owner has not said STOP.
        """
        if self.find_iin(msisdn) not in (None, iin):
            self._execute("DELETE FROM phone WHERE msisdn = ?", (msisdn,))
        self._execute("DELETE FROM citizen WHERE msisdn = ? AND iin <> ?", (msisdn, iin))
        self._execute(
            "INSERT INTO citizen (iin, msisdn, bound_at) VALUES (?, ?, ?)"
            " ON CONFLICT (iin) DO UPDATE SET msisdn = excluded.msisdn, bound_at = excluded.bound_at",
            (iin, msisdn, utc(bound_at)),
        )

    def binding_time(self, iin: str) -> datetime | None:
        """Since when the citizen has had her number."""
        row = self._execute("SELECT bound_at FROM citizen WHERE iin = ?", (iin,)).fetchone()
        return read_time(row[0], self._zone) if row else None

    def is_stopped(self, msisdn: str) -> bool:
        """Whether the owner of the number has said STOP."""
        row = self._execute("SELECT stopped_at FROM phone WHERE msisdn = ?", (msisdn,)).fetchone()
        return bool(row and row[0])

    def mark_stopped(self, msisdn: str, at: datetime) -> None:
        """Remember that the owner of the number has said STOP."""
        self._execute(
            "INSERT INTO phone (msisdn, stopped_at) VALUES (?, ?)"
            " ON CONFLICT (msisdn) DO UPDATE SET stopped_at = coalesce(stopped_at, excluded.stopped_at)",
            (msisdn, utc(at)),
        )

    def may_explain(self, msisdn: str, at: datetime) -> bool:
        """Whether the number has had no explanation for a day; marks that it gets one now."""
        cursor = self._execute(
            "INSERT INTO phone (msisdn, explained_at) VALUES (?, ?) ON CONFLICT (msisdn) DO UPDATE"
            " SET explained_at = excluded.explained_at WHERE stopped_at IS NULL"
            " AND (explained_at IS NULL OR explained_at <= ?)",
            (msisdn, utc(at), utc(at - timedelta(days=1))),
        )
        return cursor.rowcount == 1

    # --- texts in ----------------------------------------------------------------------------------

    def add_inbound(
        self,
        inbound: Inbound,
        *,
        case: int | None,
        outcome: str,
        reason: str = "",
        coercions: Sequence[str] = (),
    ) -> None:
        """Store a text as it came in, and what it turned out to be."""
        self._execute(
            "INSERT INTO inbound (at, link, session, sequence, msisdn, destination, data_coding, raw, text,"
            " conversation, outcome, reason, coercions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                utc(inbound.at), inbound.link, inbound.session, inbound.sequence, inbound.msisdn,
                inbound.destination, inbound.data_coding, inbound.raw,
                inbound.text, case, outcome, reason, " ".join(coercions),
            ),
        )  # fmt: skip

    def find_earlier_delivery(self, inbound: Inbound, since: datetime) -> bool:
        """Whether the same text from the same phone has come since then in another session.

        A message centre that saw no response delivers again: on a new connection, on another link. A mother
        who writes the same again does so in the same session.
        """
        rows = self._execute(
            "SELECT raw, session FROM inbound WHERE msisdn = ? AND at >= ? ORDER BY id DESC LIMIT 8",
            (inbound.msisdn, utc(since)),
        )
        return any(raw == inbound.raw and session != inbound.session for raw, session in rows.fetchall())

    def add_part(self, part: Part) -> tuple[Part, ...]:
        """Store a part of a long text; all of its parts in order when it is complete, else none."""
        self._execute(
            "INSERT OR REPLACE INTO part (msisdn, destination, reference, number, total, data_coding, payload,"
            " at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                part.msisdn, part.destination, part.reference, part.number, part.total, part.data_coding,
                part.payload, utc(part.at),
            ),
        )  # fmt: skip
        key = (part.msisdn, part.destination, part.reference)
        rows = self._execute(
            "SELECT at, msisdn, destination, reference, number, total, data_coding, payload FROM part"
            " WHERE msisdn = ? AND destination = ? AND reference = ? ORDER BY number",
            key,
        ).fetchall()
        if len(rows) < part.total:
            return ()
        self._execute("DELETE FROM part WHERE msisdn = ? AND destination = ? AND reference = ?", key)
        return tuple(Part(read_time(row[0], self._zone), *row[1:]) for row in rows)

    def keep_frame(self, link: str, raw: bytes, reason: str, at: datetime) -> None:
        """Store a PDU that could not be read."""
        self._execute(
            "INSERT INTO undecodable (at, link, raw, reason) VALUES (?, ?, ?, ?)", (utc(at), link, raw, reason)
        )

    # --- texts out ---------------------------------------------------------------------------------

    def add_text(self, case: int | None, msisdn: str, send: Send, wait: int | None, at: datetime) -> None:
        """Queue a text, or hold it until it may go out."""
        status = "queued" if send.not_before <= at else "held"
        self._execute(
            "INSERT INTO outbox (conversation, msisdn, text, segments, urgency, wait, status, not_before,"
            " queued_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                case, msisdn, send.text, segments(send.text), int(send.urgency), wait, status,
                utc(send.not_before), utc(at), utc(at),
            ),
        )  # fmt: skip

    def release_held(self, now: datetime, most: int) -> int:
        """Queue held texts whose time has come; how many."""
        return self._execute(
            "UPDATE outbox SET status='queued' WHERE id IN"
            " (SELECT id FROM outbox WHERE status='held' AND not_before <= ? ORDER BY not_before LIMIT ?)",
            (utc(now), most),
        ).rowcount

    def claim_texts(self, link: str, room: int, now: datetime) -> tuple[DueText, ...]:
        """Texts of `room` segments in all (at least one text) that `link` is to send now, most urgent first.

        They are `sending` from here. A text that was meant for a wait which is over is dropped: it would be
        untrue.
        """
        rows = self._execute(
            "SELECT o.id, o.msisdn, o.text, o.in_doubt, o.attempts, o.segments, o.wait, c.wait FROM outbox o"
            " LEFT JOIN conversation c ON c.id = o.conversation WHERE o.status = 'queued'"
            " ORDER BY o.urgency, o.id LIMIT ?",
            (room,),
        ).fetchall()
        due: list[DueText] = []
        for text_id, msisdn, text, in_doubt, attempts, size, wait, current in rows:
            if wait is not None and wait != current:
                self._mark(text_id, "dropped", now)
                continue
            if due and size > room:
                break
            room -= size
            due.append(DueText(text_id, msisdn, text, bool(in_doubt), attempts))
            if attempts:
                self._execute("DELETE FROM segment WHERE outbox = ?", (text_id,))
        self._connection.executemany(
            "UPDATE outbox SET status='sending', link=?, attempts=attempts+1, changed_at=? WHERE id=?",
            [(link, utc(now), text.id) for text in due],
        )
        return tuple(due)

    def mark_segment(self, outbox: int, part: int, total: int, taken: Taken, now: datetime) -> None:
        """A message centre took one part of a text; the text is accepted when it has taken all."""
        self._execute(
            "INSERT OR REPLACE INTO segment (outbox, part, link, message_id, key) VALUES (?, ?, ?, ?, ?)",
            (outbox, part, taken.link, taken.message_id, taken.key),
        )
        if total > 1:
            count = self._execute("SELECT count(*) FROM segment WHERE outbox = ?", (outbox,)).fetchone()[0]
            if count < total:
                return
        self._execute(
            "UPDATE outbox SET status='accepted', changed_at=? WHERE id=? AND status='sending'",
            (utc(now), outbox),
        )

    def fail_text(self, outbox: int, error: str, now: datetime) -> None:
        """The message centre will not take it, whatever we do: it has failed, and a person looks."""
        row = self._execute(
            "UPDATE outbox SET status='failed', error=?, changed_at=? WHERE id=? AND status='sending'"
            " RETURNING conversation",
            (error, utc(now), outbox),
        ).fetchone()
        if row:
            self.add_flag(row[0], "text_failed", now)

    def retry_text(self, outbox: int, error: str, not_before: datetime, now: datetime) -> None:
        """The message centre did not take it this time: once more, not before then."""
        status = "queued" if not_before <= now else "held"
        self._execute(
            "UPDATE outbox SET status=?, error=?, not_before=?, changed_at=? WHERE id=? AND status='sending'",
            (status, error, utc(not_before), utc(now), outbox),
        )

    def doubt_text(self, outbox: int, now: datetime) -> None:
        """The response never came: it is sent again, marked as in doubt."""
        self._execute(
            "UPDATE outbox SET status='queued', in_doubt=1, changed_at=? WHERE id=? AND status='sending'",
            (utc(now), outbox),
        )

    def doubt_all_sending(self, now: datetime) -> int:
        """After a crash: every text that was being sent is in doubt; how many."""
        return self._execute(
            "UPDATE outbox SET status='queued', in_doubt=1, changed_at=? WHERE status='sending'", (utc(now),)
        ).rowcount

    def mark_receipt(self, keys: Sequence[str], msisdn: str, state: str, now: datetime) -> bool:
        """A receipt for the part whose id is among `keys`; False when no part is known by them.

        A text is `delivered` when all its parts are; final states never change.
        """
        marks = ",".join("?" * len(keys))
        row = self._execute(
            f"SELECT s.outbox, s.part FROM segment s JOIN outbox o ON o.id = s.outbox"  # noqa: S608
            f" WHERE s.key IN ({marks}) ORDER BY o.msisdn = ? DESC, s.outbox DESC LIMIT 1",
            (*keys, msisdn),
        ).fetchone()
        if row is None:
            return False
        outbox, part = row
        self._execute("UPDATE segment SET state=? WHERE outbox=? AND part=?", (state, outbox, part))
        if state != "delivered":
            self._finish(outbox, state, now)
        elif not self._execute(
            "SELECT 1 FROM segment WHERE outbox=? AND state IS NOT 'delivered' LIMIT 1", (outbox,)
        ).fetchone():
            self._finish(outbox, "delivered", now)
        return True

    def _finish(self, outbox: int, status: str, now: datetime) -> None:
        self._execute(
            "UPDATE outbox SET status=?, changed_at=? WHERE id=? AND status='accepted'",
            (status, utc(now), outbox),
        )

    def _mark(self, text: int, status: str, now: datetime) -> None:
        self._execute("UPDATE outbox SET status=?, changed_at=? WHERE id=?", (status, utc(now), text))

    # --- bodies ------------------------------------------------------------------------------------

    def due_applications(self, now: datetime, most: int) -> tuple[Application, ...]:
        """Applications that are to be tried now, the longest overdue first."""
        rows = self._execute(
            "SELECT id, conversation, kind, data, attempts FROM application"
            " WHERE status='queued' AND next_at <= ? ORDER BY next_at LIMIT ?",
            (utc(now), most),
        ).fetchall()
        return tuple(Application(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows)

    def mark_application(
        self,
        application: int,
        status: str,
        now: datetime,
        *,
        next_at: datetime | None = None,
        error: str = "",
    ) -> None:
        """What became of a try: `taken`, `refused`, or `queued` again for `next_at`."""
        self._execute(
            "UPDATE application SET status=?, attempts=attempts+1, next_at=?, error=? WHERE id=?",
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


def _birth(row: tuple[Any, ...]) -> Birth:
    birth_id, mother_iin, msisdn, born_at, sex, alive, birth_order, account, address_kato = row[:9]
    return Birth(
        birth_id,
        mother_iin,
        msisdn,
        born_at,
        sex,
        bool(alive),
        birth_order,
        account or "",
        address_kato or "",
    )
