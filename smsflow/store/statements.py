"""The statements of the one connection that writes. Some rows wait, and are written many at a time.

To have SQLite run a statement takes longer than what it does. So a row that nobody asks for in a hurry is `put`
down here, and is written at once with the others of its statement: at the latest before the transaction or a
savepoint in it ends, and before any other statement, so that whoever looks finds it. What is rolled back is
forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

__all__ = ["Row", "Statements"]

Row: TypeAlias = Sequence[Any]


class Statements:
    """Runs statements. `on_miss` is told of rows of which each should have written one, when fewer were written."""

    def __init__(self, connection: sqlite3.Connection, on_miss: Callable[[Sequence[Row]], object]) -> None:
        self._execute = connection.execute
        self._execute_many = connection.executemany
        self._on_miss = on_miss
        self._rows: dict[str, list[Row]] = {}  # what waits, by statement

    def put(self, statement: str, values: Row) -> None:
        """Have a row written before any other statement is run.

        Rows of one statement are written in their order, statements in that in which their first rows came. So a
        row must need none that is put by another statement: who needs it looks first, and a look writes all.
        """
        rows = self._rows.get(statement)
        if rows is None:
            rows = self._rows[statement] = []
        rows.append(values)

    def look(self, statement: str, values: Row = ()) -> sqlite3.Cursor:
        """Read what no row that was put can change."""
        return self._execute(statement, values)

    def execute(self, statement: str, values: Row = ()) -> sqlite3.Cursor:
        """Run a statement after all that was put."""
        if self._rows:
            self.flush()
        return self._execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Row]) -> sqlite3.Cursor:
        """Run a statement for each of `rows`, after all that was put."""
        if self._rows:
            self.flush()
        return self._execute_many(statement, rows)

    def forget(self) -> None:
        """What was put was rolled back."""
        self._rows.clear()

    def flush(self) -> None:
        """Write all that was put, now."""
        waiting = list(self._rows.items())
        self.forget()
        for statement, rows in waiting:
            if self._execute_many(statement, rows).rowcount != len(rows):
                self._on_miss(rows)
