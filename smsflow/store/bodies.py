"""Applications to the state bodies, and what bodies say of a case. Called inside the store's transactions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from smsflow.core.effects import Apply
from smsflow.store.rows import dump, utc
from smsflow.store.statements import Statements

__all__ = ["Application", "Bodies"]

_WAITING_KINDS = (  # from one to the next in the index, however many wait of each
    "WITH RECURSIVE waiting(kind) AS (SELECT min(kind) FROM application WHERE status = 'queued' UNION ALL"
    " SELECT (SELECT min(kind) FROM application WHERE status = 'queued' AND kind > waiting.kind) FROM waiting"
    " WHERE waiting.kind IS NOT NULL) SELECT kind FROM waiting WHERE kind IS NOT NULL"
)
_DUE_OF_KIND = (
    "SELECT next_at, id, conversation, kind, data, attempts FROM application"
    " WHERE status = 'queued' AND kind = ? AND next_at <= ? ORDER BY next_at LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Application:
    """An application that is to be sent to a body; `attempts` counts the tries so far."""

    id: int
    case: int
    kind: str
    data: Mapping[str, str]
    attempts: int


class Bodies:
    """What goes out to bodies, and what has come from them."""

    def __init__(self, statements: Statements) -> None:
        self._execute = statements.execute

    def apply(self, case: int, effect: Apply, at: datetime) -> None:
        """Queue an application for a case."""
        self._execute(
            "INSERT INTO application (conversation, kind, data, status, next_at, created_at)"
            " VALUES (?, ?, ?, 'queued', ?, ?)",
            (case, effect.kind, dump(dict(effect.data)), utc(at), utc(at)),
        )

    def drop(self, case: int) -> None:
        """What was not taken yet of a case is not tried again."""
        self._execute("UPDATE application SET status='dropped' WHERE conversation=? AND status='queued'", (case,))

    def load_due(self, now: datetime, most: int, *, but_of: Collection[str] = ()) -> tuple[Application, ...]:
        """Applications that are to be tried now, the longest overdue first: at most `most` of each kind.

        None of the kinds in `but_of`: however many of them wait, they are not looked at.
        """
        kinds = [kind for (kind,) in self._execute(_WAITING_KINDS).fetchall() if kind not in but_of]
        rows = [row for kind in kinds for row in self._execute(_DUE_OF_KIND, (kind, utc(now), most)).fetchall()]
        return tuple(
            Application(number, case, kind, json.loads(data), attempts)
            for _, number, case, kind, data, attempts in sorted(rows)
        )

    def mark(
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

    def find_event(self, case: int, event_id: str) -> str | None:
        """The outcome of an event of a body that has come before; None when it is new."""
        row = self._execute(
            "SELECT outcome FROM body_event WHERE conversation=? AND id=?", (case, event_id)
        ).fetchone()
        return row[0] if row else None

    def add_event(self, case: int, event_id: str, name: str, outcome: str, at: datetime) -> None:
        """Remember an event of a body by the body's own id."""
        self._execute(
            "INSERT INTO body_event (conversation, id, name, at, outcome) VALUES (?, ?, ?, ?, ?)",
            (case, event_id, name, utc(at), outcome),
        )
