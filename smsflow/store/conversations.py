"""Conversations, and the journal of what has moved them. Called inside the store's transactions.

Nothing here decides anything: what an event did to a conversation comes from the core as a `Step`, and is written
down with all its effects.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from operator import attrgetter

from smsflow.core.conversation import Conversation, Due, Status, changed
from smsflow.core.effects import Apply, Begin, DropTexts, Effect, Flag, Send, Step
from smsflow.core.errors import StaleConversation, StoreError
from smsflow.core.events import Event
from smsflow.store.bodies import Bodies
from smsflow.store.expected import Expected
from smsflow.store.flags import Flags
from smsflow.store.outbox import Outbox
from smsflow.store.recent import Recent
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

__all__ = ["Conversations", "refuse_stale"]

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


class Conversations:
    """The conversations; those of the phones that wrote last are remembered."""

    def __init__(
        self,
        statements: Statements,
        zone: tzinfo,
        *,
        expected: Expected,
        outbox: Outbox,
        bodies: Bodies,
        flags: Flags,
    ) -> None:
        self._statements = statements
        self._execute = statements.execute
        self._zone = zone
        self._expected = expected
        self._outbox = outbox
        self._bodies = bodies
        self._flags = flags
        self._recent = Recent()
        self._last_case: int | None = None  # the number that was given last; None when it must be read

    def forget(self, msisdn: str) -> None:
        """Some of the conversations of a phone were deleted."""
        self._recent.forget(msisdn)

    def forget_all(self) -> None:
        """What was written does not stay."""
        self._recent.clear()
        self._last_case = None

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
        return self._find("birth_id = ?", birth_id)

    def load_case(self, case: int) -> Conversation | None:
        """The conversation of a case, None when there is no such case."""
        return next(iter(self._find("id = ?", case)), None)

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

    def _find(self, where: str, value: str | int) -> tuple[Conversation, ...]:
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

    def add(self, opening: Conversation, event: Event, step: Step) -> None:
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
        self._add_line(opening, event, step, at)

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
        self._add_line(before, event, step, at)

    def _add_line(self, before: Conversation, event: Event, step: Step, at: str) -> None:
        self._statements.put(
            _ADD_LINE,
            (
                at,
                before.case,
                event_json(event),
                step.outcome._value_,
                before.state,
                step.conversation.state,
                before.revision,
            ),
        )

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
                self._outbox.add(conversation.case, conversation.msisdn, effect, wait, at)
            case DropTexts():
                self._outbox.drop(conversation.case, at)
                if conversation.status is Status.CLOSED:
                    self._bodies.drop(conversation.case)
            case Apply():
                self._bodies.apply(conversation.case, effect, at)
            case Flag():
                self._flags.add(conversation.case, effect.reason, at)
            case Begin():
                pass


def refuse_stale(rows: Sequence[Row]) -> None:
    """Of the conversations that `rows` would move on, at least one has moved on before: no other row can miss.

    Raises: StaleConversation when there is only one, else StoreError.
    """
    if len(rows) > 1:
        cases = ", ".join(sorted({str(case) for *_, case, _ in rows}))
        raise StoreError(f"one of the cases {cases} has moved on since it was read")
    *_, case, version = rows[0]
    raise StaleConversation(case, version)
