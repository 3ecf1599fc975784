"""Many cases in little time, for measurements: copies of cases that the engine has made, with numbers of others.

Of each copied case there are the conversation, its birth and phone, and its last text each way with its line in the
journal: a store of ten million cases is as deep as a real one, and still fits on a disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

__all__ = ["copy_cases"]

_AT_ONCE = 20_000
_PHONE = "printf('77%07d02', n)"  # apart, so that the numbers of those who play lie in between, as in life
_TABLES = ("conversation", "birth", "phone", "journal", "inbound", "outbox")


def copy_cases(path: Path, cases: Sequence[int], count: int, tell: Callable[[int], None]) -> None:
    """Add `count` copies of `cases`, each in turn, to the store in file `path`; `tell` hears how many there are.

    The store must be closed, the texts of `cases` in a final state: nobody is there to read them. At most ten
    million. Not durable until it is done: what breaks off is to be thrown away. Raises: sqlite3.Error.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA temp_store=MEMORY")
        base = connection.execute("SELECT max(id) + 1 FROM conversation").fetchone()[0]
        for table in _TABLES:
            _note_last(connection, table, cases)
        for first in range(0, count, _AT_ONCE):
            last = min(first + _AT_ONCE, count) - 1
            connection.execute("BEGIN")
            for table in _TABLES:
                _copy(connection, table, len(cases), (first, last), base)
            connection.execute("COMMIT")
            tell(last + 1)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _note_last(connection: sqlite3.Connection, table: str, cases: Sequence[int]) -> None:
    """Keep the last row of `table` of each case aside, with the place of the case in `cases`."""
    of = {"conversation": "t.id = ?", "phone": "t.msisdn = (SELECT msisdn FROM conversation WHERE id = ?)"}
    where = of.get(table, "t.conversation = ?")
    order = "" if table in ("birth", "phone") else "ORDER BY t.id DESC LIMIT 1"
    connection.execute(f"CREATE TEMP TABLE last_{table} AS SELECT 0 AS place, * FROM {table} WHERE 0")  # noqa: S608 - names of tables are ours
    for place, case in enumerate(cases):
        row = f"SELECT {place}, t.* FROM {table} t WHERE {where} {order}"  # noqa: S608 - names of tables are ours
        connection.execute(f"INSERT INTO last_{table} {row}", (case,))


def _copy(connection: sqlite3.Connection, table: str, places: int, span: tuple[int, int], base: int) -> None:
    """Add a copy to `table` for each number in `span`."""
    case = f"{base} + n"
    new = {"birth_id": "'stock-' || n", "msisdn": _PHONE, "conversation": case}
    if table not in ("birth", "phone"):
        new["id"] = case if table == "conversation" else "NULL"
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(new.get(name, name) for name in names)
    connection.execute(
        "WITH RECURSIVE number(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM number WHERE n < ?)"  # noqa: S608 - names of tables are ours
        f" INSERT INTO {table} ({', '.join(names)})"
        f" SELECT {values} FROM number JOIN last_{table} ON place = n % {places}",
        span,
    )
