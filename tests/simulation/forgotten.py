"""What a daemon with `retention` forgets: only what is over, all of it, and never who has said STOP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol

from smsflow.store.rows import utc

_REST = timedelta(days=1)
_LATE = timedelta(hours=4)  # a pass an hour, and what may hold it up
_OF_CASE = ("journal", "inbound", "outbox", "application", "body_event", "flag", "birth")
_FREE = (  # nothing is under way in it, or was of late
    "NOT EXISTS (SELECT 1 FROM journal j WHERE j.conversation = c.id AND j.at >= :rested)"
    " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.conversation = c.id"
    " AND (o.changed_at >= :rested OR o.status IN ('held', 'queued', 'sending')))"
    " AND NOT EXISTS (SELECT 1 FROM application a WHERE a.conversation = c.id AND a.status = 'queued')"
)


class Rows(Protocol):
    def __call__(self, sql: str, *values: object) -> list[tuple[Any, ...]]: ...


class Forgotten:
    """Looks at what is gone, whenever something was committed; each look gives what is wrong."""

    def __init__(self, keep: timedelta, rows: Rows) -> None:
        self._keep = keep
        self._rows = rows
        self._known: dict[int, tuple[str, str | None, str]] = {}  # status, closed_at and birth of each case
        self._latest: datetime | None = None
        self.cases: set[int] = set()
        self.births: set[str] = set()

    def look(self, now: datetime) -> Iterator[str]:
        """What is wrong with what has gone since the last look. A clock that steps back makes nothing younger."""
        self._latest = max(now, self._latest or now)
        known = {row[0]: row[1:] for row in self._rows("SELECT id, status, closed_at, birth_id FROM conversation")}
        for case in sorted(set(self._known) - set(known)):
            status, closed_at, birth_id = self._known[case]
            self.cases.add(case)
            if status != "closed" or closed_at is None or closed_at >= utc(self._latest - self._keep):
                yield f"case {case} is gone, was {status} and closed at {closed_at}"
            for table in _OF_CASE:
                if self._rows(f"SELECT 1 FROM {table} WHERE conversation = ?", case):
                    yield f"case {case} is gone, and something of it is left in {table}"
            others = {row[0] for row in self._rows("SELECT id FROM conversation WHERE birth_id = ?", birth_id)}
            births = {row[0] for row in self._rows("SELECT conversation FROM birth WHERE birth_id = ?", birth_id)}
            if not others:
                self.births.add(birth_id)
            if (not births <= others) or (others and not births):
                yield f"case {case} is gone, and its birth names {births} of {others}"
        if self._rows("SELECT 1 FROM segment WHERE outbox NOT IN (SELECT id FROM outbox)"):
            yield "parts of texts are left that are gone"
        self._known = known

    def at_end(self, now: datetime, stopped: set[str]) -> Iterator[str]:
        """What should be gone by now and is not, and who has said STOP and is not known any more."""
        times = {"over": utc(now - self._keep - _LATE), "rested": utc(now - _REST - _LATE)}
        over = f"SELECT id FROM conversation c WHERE status = 'closed' AND closed_at < :over AND {_FREE}"
        for (case,) in self._rows(over, times):
            yield f"case {case} is over, and not forgotten"
        for table, at in (("inbound", "at"), ("outbox", "queued_at")):
            if self._rows(f"SELECT 1 FROM {table} WHERE conversation IS NULL AND {at} < :over", times):
                yield f"a text of no case is over, and not forgotten: {table}"
        for phone in sorted(stopped):
            if not self._rows("SELECT 1 FROM phone WHERE msisdn = ? AND stopped_at IS NOT NULL", phone):
                yield f"{phone} has said STOP, and nobody knows"
