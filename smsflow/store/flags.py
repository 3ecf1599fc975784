"""Flags: where a person is asked to look. Called inside the store's transactions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from smsflow.store.rows import utc
from smsflow.store.statements import Statements

__all__ = ["Flags"]

_ADD = (
    "INSERT INTO flag (conversation, reason, at) SELECT ?, ?, ? WHERE NOT EXISTS"
    " (SELECT 1 FROM flag WHERE conversation IS ? AND reason = ? AND cleared_at IS NULL)"
)


class Flags:
    """The flags. `after_commit` calls what it is given when the transaction under way is on the disk."""

    def __init__(self, statements: Statements, after_commit: Callable[[Callable[[], object]], None]) -> None:
        self._execute = statements.execute
        self._after_commit = after_commit
        self.on_flag: Callable[[int | None, str], object] = lambda *_: None  # told of each that is on the disk

    def add(self, case: int | None, reason: str, at: datetime) -> None:
        """Ask a person to look, once until it is cleared."""
        if self._execute(_ADD, (case, reason, utc(at), case, reason)).rowcount:
            self._after_commit(lambda: self.on_flag(case, reason))

    def clear(self, case: int, at: datetime) -> None:
        """A person has looked at a case."""
        self._execute("UPDATE flag SET cleared_at=? WHERE conversation=? AND cleared_at IS NULL", (utc(at), case))
