"""Whether a store is sound: the file itself, every conversation against its journal, and what must never be.

Only SELECTs, in one read transaction: a daemon may go on meanwhile. Cases are read one by one, so a store of any
size is looked at in the same memory. What is found names a case by its number and nothing that is personal.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import tzinfo
from pathlib import Path
from typing import Any, TypeAlias

from smsflow.core.conversation import Conversation, DueKind, Status
from smsflow.core.dialog import Dialog, End, Wait
from smsflow.core.errors import DialogError, StoreError
from smsflow.core.events import Ended, Stopped
from smsflow.core.reader import read_dialog
from smsflow.core.replay import replay
from smsflow.store.backup import Tell
from smsflow.store.files import connect_reader, reading
from smsflow.store.rows import CONVERSATION_COLUMNS, read_conversation, read_event, read_opening, utc
from smsflow.store.schema import applied_to, known

__all__ = ["Flaw", "find_flaws"]

_Texts: TypeAlias = Sequence[tuple[int | None, str, str]]
"""The texts of a case: the wait that each is meant for, status, when it was queued."""

_MOST = 20  # findings of SQLite's own check: one damaged page has hundreds
_LOOK = "look at it with `smsflow cases show`, and tell us: it is our bug"
_RESTORE = "stop the daemon and restore a backup with `smsflow restore`"
_END = "end it: POST /v1/cases/CASE/operate with end"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that must not be: which check found it, of which case (None: of none), what, and what to do."""

    check: str
    case: int | None
    problem: str
    advice: str

    def __str__(self) -> str:
        where = f"case {self.case}" if self.case else "store"
        return f"{where}: {self.problem} ({self.check}); {self.advice}"


def find_flaws(path: Path, zone: tzinfo, tell: Tell) -> Iterator[Flaw]:
    """Everything that is wrong in the store at `path`, as it is found; `tell(cases done, of)`.

    When the file itself is damaged, the rest is not looked at: it would say the same in many words.
    Raises: StoreError when there is no store, it cannot be read, or it was not made by this version's tables.
    """
    with closing(connect_reader(path)) as connection, reading():
        connection.execute("BEGIN")
        damage = _find_damage(connection)
        yield from damage
        if damage:
            return
        _refuse_other_tables(connection, path)
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            yield Flaw("foreign_key", None, f"row {row} of {table} refers to no row of {parent}", _RESTORE)
        yield from _find_bad_rows(connection)
        yield from _Cases(connection, zone).find_flaws(tell)


def _find_damage(connection: sqlite3.Connection) -> list[Flaw]:
    """What SQLite itself finds; some damage it tells, some it stumbles over."""
    try:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST})") if row[0] != "ok"]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        found = [str(error)]
    return [Flaw("integrity", None, words.replace("\n", " "), _RESTORE) for words in found]


def _refuse_other_tables(connection: sqlite3.Connection, path: Path) -> None:
    theirs, ours = applied_to(connection), known()
    if set(theirs) - set(ours):
        raise StoreError(f"{path} was written by a newer smsflow; verify it with that one")
    if len(theirs) < len(ours):
        raise StoreError(
            f"{path} was written by an older smsflow; verify it with that one, or after a daemon has opened it"
        )


# --- rows by themselves -------------------------------------------------------------------------------------

_LEGAL = (  # table, its column of the case, column, what may stand there
    ("conversation", "id", "status", ("open", "closed", "suspended")),
    ("conversation", "id", "due_kind", tuple(kind.value for kind in DueKind)),
    (
        "outbox", "conversation", "status",
        ("held", "queued", "sending", "in_doubt", "accepted", "delivered", "failed", "expired", "dropped"),
    ),
    ("application", "conversation", "status", ("queued", "taken", "refused", "dropped")),
)  # fmt: skip

_OWNED = (  # table, column, the table and column that it refers to
    ("journal", "conversation", "conversation", "id"),
    ("inbound", "conversation", "conversation", "id"),
    ("outbox", "conversation", "conversation", "id"),
    ("application", "conversation", "conversation", "id"),
    ("body_event", "conversation", "conversation", "id"),
    ("flag", "conversation", "conversation", "id"),
    ("birth", "conversation", "conversation", "id"),
    ("conversation", "birth_id", "birth", "birth_id"),
    ("conversation", "revision", "dialog", "revision"),
    ("segment", "outbox", "outbox", "id"),
    ("parked_key", "receipt", "parked_receipt", "id"),
)


@dataclass(frozen=True, slots=True)
class _Never:
    """What must never be: the check's name, a SELECT of the cases, what is wrong with them, what to do."""

    check: str
    query: str
    problem: str
    advice: str


_NEVER = (
    _Never(
        "closed_case",
        "SELECT id FROM conversation WHERE status = 'closed'"
        " AND (result IS NULL OR closed_at IS NULL OR due_at IS NOT NULL)",
        "it is closed without result or time, or its timer runs on",
        _LOOK,
    ),
    _Never(
        "open_case",
        "SELECT id FROM conversation WHERE status <> 'closed' AND (result IS NOT NULL OR closed_at IS NOT NULL)",
        "it is not closed, and has the result or time of one that is",
        _LOOK,
    ),
    _Never(
        "timer",
        "SELECT id FROM conversation WHERE (due_at IS NULL) <> (due_kind IS NULL)"
        " OR (status = 'suspended' AND due_at IS NOT NULL)",
        "its timer is half there, or runs while it is suspended",
        _LOOK,
    ),
    _Never(
        "future_wait",
        "SELECT c.id FROM outbox o JOIN conversation c ON c.id = o.conversation WHERE o.wait > c.wait",
        "a text of it is meant for a wait that has not begun",
        _LOOK,
    ),
    _Never(
        "taken_text",
        "SELECT o.conversation FROM outbox o WHERE o.status IN ('accepted', 'delivered')"
        " AND NOT EXISTS (SELECT 1 FROM segment s WHERE s.outbox = o.id)",
        "a text of it was taken, and no message centre is known that took it",
        _LOOK,
    ),
    _Never(
        "delivered_text",
        "SELECT o.conversation FROM outbox o JOIN segment s ON s.outbox = o.id"
        " WHERE o.status = 'delivered' AND s.state IS NOT 'delivered'",
        "a text of it is delivered, and a part of it is not",
        _LOOK,
    ),
    _Never(
        "stopped",
        "SELECT c.id FROM phone p JOIN conversation c ON c.msisdn = p.msisdn"
        " WHERE p.stopped_at IS NOT NULL AND c.status = 'open'",
        "it is open, and its phone has said STOP",
        _END,
    ),
    _Never(
        "stillbirth",
        "SELECT c.id FROM birth b JOIN conversation c ON c.birth_id = b.birth_id"
        " WHERE b.alive = 0 AND c.status <> 'closed'",
        "it is not closed, and the child does not live",
        _END,
    ),
    _Never(
        "ambiguous",
        "SELECT max(id) FROM conversation WHERE status <> 'closed' AND msisdn <> ''"
        " GROUP BY msisdn, service_of(revision), child HAVING count(*) > 1",
        "another open case of its phone has the same address: replies cannot be told apart",
        _END,
    ),
    _Never(
        "reply_counts",
        "SELECT conversation FROM (SELECT conversation, 1 AS n FROM inbound"
        " WHERE outcome IN ('answered', 'amended') UNION ALL SELECT conversation, -1 FROM journal"
        " WHERE outcome IN ('answered', 'amended'))"
        " GROUP BY conversation HAVING sum(n) <> 0",
        "it was not moved once by each reply that answered it",
        _LOOK,
    ),
)


def _find_bad_rows(connection: sqlite3.Connection) -> Iterator[Flaw]:
    services = {
        revision: dialog.service if (dialog := _read(sources)) else revision
        for revision, sources in connection.execute("SELECT revision, sources FROM dialog")
    }
    connection.create_function("service_of", 1, services.get, deterministic=True)
    for table, case, column, legal in _LEGAL:
        marks = ",".join("?" * len(legal))
        query = f"SELECT {case}, {column} FROM {table} WHERE {column} NOT IN ({marks})"  # noqa: S608 - ours
        for number, value in connection.execute(query, legal):
            yield Flaw("legal_value", number, f"{table}.{column} is {value!r}, which means nothing", _LOOK)
    for table, column, parent, key in _OWNED:
        query = (
            f"SELECT {column} FROM {table} t WHERE {column} IS NOT NULL"  # noqa: S608 - ours
            f" AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = t.{column}) GROUP BY 1"
        )
        for (owner,) in connection.execute(query):
            if parent == "conversation":
                yield Flaw("orphan", owner, f"there is no such case, and a row of {table} belongs to it", _RESTORE)
            else:
                yield Flaw("orphan", None, f"a row of {table} belongs to no {parent}: {owner}", _RESTORE)
    for never in _NEVER:
        for (number,) in connection.execute(never.query):
            yield Flaw(never.check, number, never.problem, never.advice)


def _read(sources: str) -> Dialog | None:
    """The dialog of stored sources; None when this version cannot read it."""
    try:
        files = json.loads(sources)
        return read_dialog(files, next(iter(files)))
    except (DialogError, ValueError, StopIteration):
        return None


# --- case by case -------------------------------------------------------------------------------------------


class _Cases:
    """Looks at every conversation, in the order of their numbers."""

    def __init__(self, connection: sqlite3.Connection, zone: tzinfo) -> None:
        self._execute = connection.execute
        self._zone = zone
        self._dialogs: dict[str, Dialog | None] = {}

    def find_flaws(self, tell: Tell) -> Iterator[Flaw]:
        (total,) = self._execute("SELECT count(*) FROM conversation").fetchone()
        rows = self._execute(f"SELECT {CONVERSATION_COLUMNS} FROM conversation ORDER BY id")  # noqa: S608 - the columns are ours
        for done, row in enumerate(rows, 1):
            yield from self._find_in(row)
            tell(done, total)

    def _find_in(self, row: tuple[Any, ...]) -> Iterator[Flaw]:
        try:
            conversation = read_conversation(row, self._zone)
        except (ValueError, KeyError, TypeError) as error:
            yield Flaw("conversation", row[0], f"it cannot be read: {type(error).__name__}", _RESTORE)
            return
        case, dialog = conversation.case, self._dialog(conversation.revision)
        if dialog is None:
            yield Flaw("revision", case, "the revision of its dialog cannot be read", _RESTORE)
            return
        if conversation.state not in dialog.states and not self._ended_before_it_began(conversation):
            yield Flaw("state", case, f"its dialog has no state {conversation.state!r}", _LOOK)
            return
        texts = self._execute(
            "SELECT wait, status, queued_at FROM outbox WHERE conversation = ? ORDER BY id", (case,)
        ).fetchall()
        cut_off_at = yield from self._replay(dialog, conversation)
        yield from self._waits(dialog, conversation, texts)
        yield from self._is_silent(conversation, texts, cut_off_at)

    def _dialog(self, revision: str) -> Dialog | None:
        if revision not in self._dialogs:
            row = self._execute("SELECT sources FROM dialog WHERE revision = ?", (revision,)).fetchone()
            self._dialogs[revision] = _read(row[0]) if row else None
        return self._dialogs[revision]

    def _ended_before_it_began(self, conversation: Conversation) -> bool:
        return conversation.state == "" and conversation.status is Status.CLOSED

    def _replay(self, dialog: Dialog, stored: Conversation) -> Generator[Flaw, None, str | None]:
        """Whether the journal alone leads to what is stored; when the case was cut off from outside, if it was."""
        case, cut_off_at = stored.case, None
        lines = self._execute(
            "SELECT id, event, outcome FROM journal WHERE conversation = ? ORDER BY id", (case,)
        ).fetchall()
        if not lines:
            yield Flaw("journal", case, "it has no journal", _RESTORE)
            return None
        try:
            now = read_opening(lines[0][1], case)
            events = [read_event(event, self._zone) for _, event, _ in lines[1:]]
            for line, event, done in zip(lines[1:], events, replay(dialog, now, events), strict=True):
                if done.outcome.value != line[2]:
                    problem = f"line {line[0]} of its journal was {line[2]}, and would be {done.outcome.value} now"
                    yield Flaw("journal", case, problem, _LOOK)
                    return None
                if isinstance(event, Stopped | Ended) and now.status is not Status.CLOSED:
                    cut_off_at = utc(event.at)
                now = done.conversation
        except Exception as error:  # noqa: BLE001 - whatever stands in the journal
            yield Flaw("journal", case, f"its journal cannot be replayed: {type(error).__name__}", _LOOK)
            return None
        differing = self._differing(now, stored)
        if differing:
            problem = f"its journal leads elsewhere than to what is stored: {', '.join(differing)}"
            yield Flaw("journal", case, problem, _LOOK)
        return cut_off_at

    def _differing(self, replayed: Conversation, stored: Conversation) -> list[str]:
        """The names of the fields in which the two differ."""
        names = [
            each.name for each in fields(Conversation) if getattr(replayed, each.name) != getattr(stored, each.name)
        ]
        if set(names) <= {"due", "version"} and names and self._was_put_off(stored.case):
            return []
        return names

    def _was_put_off(self, case: int) -> bool:
        """Whether the timer of a case was put off after a failure of ours, which is no event and not journalled."""
        row = self._execute(
            "SELECT 1 FROM flag WHERE conversation = ? AND reason = 'timer_failed'", (case,)
        ).fetchone()
        return row is not None

    def _waits(self, dialog: Dialog, conversation: Conversation, texts: _Texts) -> Iterator[Flaw]:
        """Something can still come: a question that has a text and a timer, or a body that was asked."""
        if conversation.status is Status.CLOSED:
            return
        case, state = conversation.case, dialog.states[conversation.state]
        if isinstance(state, End):
            yield Flaw("stranded", case, "it stands at an end and is not closed", _END)
        elif isinstance(state, Wait):
            if state.send and not self._has_application(case, state.send):
                yield Flaw("stranded", case, f"it waits for a body that was sent no {state.send}", _END)
        elif conversation.status is Status.OPEN:
            if conversation.asked_at is None or conversation.due is None:
                yield Flaw("stranded", case, "its question has no timer: silence would last for ever", _END)
            if all(status == "dropped" for wait, status, _ in texts if wait == conversation.wait):
                yield Flaw("stranded", case, "its open question has no text: she was never asked", _END)

    def _has_application(self, case: int, kind: str) -> bool:
        row = self._execute(
            "SELECT 1 FROM application WHERE conversation = ? AND kind = ? AND status <> 'dropped'", (case, kind)
        ).fetchone()
        return row is not None

    def _is_silent(self, conversation: Conversation, texts: _Texts, cut_off_at: str | None) -> Iterator[Flaw]:
        """Nothing that was queued before a case was cut off, or suspended, goes out any more."""
        if conversation.status is Status.OPEN or (conversation.status is Status.CLOSED and not cut_off_at):
            return
        case = conversation.case
        would_go = [
            queued_at for wait, status, queued_at in texts
            if status in ("queued", "held") and wait in (None, conversation.wait)
        ]  # fmt: skip
        if any(cut_off_at is None or queued_at < cut_off_at for queued_at in would_go):
            yield Flaw("silence", case, "it was ended or suspended, and an older text would still go out", _LOOK)
        row = self._execute(
            "SELECT 1 FROM application WHERE conversation = ? AND status = 'queued'", (case,)
        ).fetchone()
        if cut_off_at and row:
            yield Flaw("silence", case, "it was ended, and an application would still be sent", _LOOK)
