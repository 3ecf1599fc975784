"""The disk under the store: SQLite as it is, with a crash at any statement and times when it takes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITES = ("INSERT", "UPDATE", "DELETE", "COMMIT")


class Crash(KeyboardInterrupt):
    """The process dies here. Event loops and tasks let exactly this kind of exception through."""


class Disk:
    """Counts the statements of the daemon's writing connection, and fails them as it is told."""

    def __init__(self, on_stall: Callable[[float], None]) -> None:
        self.statements = 0
        self.crash_at = 0  # the statement at which the process dies, 0 for none
        self.crash_after = False  # dies after the statement was carried out
        self.full = (
            ""  # "" | "commit" | "flaky" | "write" | "rollback": what a full disk refuses, or undoes by itself
        )
        self.stall_s = 0.0  # how long the next commit takes
        self.dead = False
        self.refusals = 0  # how many of the next commits that write something fail
        self._commits = self._changes = 0
        self._on_stall = on_stall

    def connect(self, path: Path) -> sqlite3.Connection:
        """What `smsflow.store.store` does to connect, on this disk. Nothing is synced: power never fails here."""
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=512, factory=_Connection)
        connection.disk = self  # type: ignore[attr-defined]
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def before(self, connection: sqlite3.Connection, sql: str) -> bool:
        """Whether the process dies after this statement. Raises: Crash or OperationalError."""
        if self.dead:
            raise Crash
        self.statements += 1
        if self.crash_at and self.statements >= self.crash_at:
            self.crash_at = 0
            self.dead = True
            if not self.crash_after:
                raise Crash
            return True
        if sql.startswith("BEGIN"):
            self._changes = connection.total_changes
        if self.refusals and sql == "COMMIT" and connection.total_changes > self._changes:
            self.refusals -= 1
            raise sqlite3.OperationalError("disk I/O error")
        if self.full and sql.startswith(_WRITES):
            self._refuse(connection, sql)
        if self.stall_s and sql == "COMMIT":
            stall_s, self.stall_s = self.stall_s, 0.0
            self._on_stall(stall_s)
        return False

    def _refuse(self, connection: sqlite3.Connection, sql: str) -> None:
        if self.full in ("commit", "flaky") and sql != "COMMIT":
            return
        if self.full == "flaky":  # every other commit
            self._commits += 1
            if self._commits % 2:
                return
        if self.full == "rollback" and connection.in_transaction:
            sqlite3.Connection.execute(connection, "ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")


class _Connection(sqlite3.Connection):
    disk: Disk

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        dies = hasattr(self, "disk") and self.disk.before(self, sql)
        cursor = super().execute(sql, *parameters)
        if dies:
            raise Crash
        return cursor

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        dies = self.disk.before(self, sql)
        cursor = super().executemany(sql, parameters)
        if dies:
            raise Crash
        return cursor
