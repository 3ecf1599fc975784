"""The outbox: texts on their way out, from `queued` to a final status. Called inside the store's transactions.

held → queued → sending → accepted → delivered | failed | expired; `dropped` what must not go out any more. A text
that was `sending` when its link or the process ended is in doubt: it is queued again, and marked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from smsflow.core.effects import Send
from smsflow.core.encoding import segments
from smsflow.store.rows import utc

__all__ = ["DueText", "Outbox", "Taken"]


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


_NEVER = -1  # a wait that no conversation is in


class Outbox:
    """The texts. `flag` asks a person to look at a case."""

    def __init__(self, connection: sqlite3.Connection, flag: Callable[[int | None, str, datetime], None]) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._flag = flag

    def add(self, case: int | None, msisdn: str, send: Send, wait: int | None, at: datetime) -> None:
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

    def claim(self, link: str, room: int, now: datetime) -> tuple[DueText, ...]:
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

    def fail(self, outbox: int, error: str, now: datetime) -> None:
        """The message centre will not take it, whatever we do: it has failed, and a person looks."""
        row = self._execute(
            "UPDATE outbox SET status='failed', error=?, changed_at=? WHERE id=? AND status='sending'"
            " RETURNING conversation",
            (error, utc(now), outbox),
        ).fetchone()
        if row:
            self._flag(row[0], "text_failed", now)

    def retry(self, outbox: int, error: str, not_before: datetime, now: datetime) -> None:
        """The message centre did not take it this time: once more, not before then."""
        status = "queued" if not_before <= now else "held"
        self._execute(
            "UPDATE outbox SET status=?, error=?, not_before=?, changed_at=? WHERE id=? AND status='sending'",
            (status, error, utc(not_before), utc(now), outbox),
        )

    def doubt(self, outbox: int, attempt: int, now: datetime) -> None:
        """The response to this attempt never came: it is sent again, marked as in doubt."""
        self._execute(
            "UPDATE outbox SET status='queued', in_doubt=1, changed_at=?"
            " WHERE id=? AND status='sending' AND attempts=?",
            (utc(now), outbox, attempt),
        )

    def doubt_all(self, now: datetime) -> int:
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

    def is_waiting(self, case: int, wait: int) -> bool:
        """Whether a text of this wait has not been taken by any message centre yet."""
        row = self._execute(
            "SELECT 1 FROM outbox WHERE conversation=? AND wait=? AND status IN ('held', 'queued', 'sending')",
            (case, wait),
        ).fetchone()
        return row is not None

    def drop(self, case: int, at: datetime) -> None:
        """What has not gone out for a case must not go out; what is on its way must not be tried again."""
        self._execute("UPDATE outbox SET wait=? WHERE conversation=? AND status='sending'", (_NEVER, case))
        self._execute(
            "UPDATE outbox SET status='dropped', changed_at=?"
            " WHERE conversation=? AND status IN ('queued', 'held')",
            (utc(at), case),
        )
