"""Many cases in little time, for measurements: copies of cases that the engine has made, with numbers of others.

A copy is whole: the conversation, its birth and phone, every line of its journal, every text each way with its
parts, its applications and what bodies have said; `smsflow verify` finds nothing wrong with it. As in life the
journal and the texts of one case lie apart, among those of others.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["copy_cases"]

_Row: TypeAlias = dict[str, Any]
_Model: TypeAlias = dict[str, list[tuple[_Row, int]]]
"""By table the rows of a case, and how often each stands there: a text has several parts, which are alike."""

_AT_ONCE = 20_000
_CACHE_KIB = 200_000
_MOST_PARTS = 8
_OF = {  # tables, and the rows of a case in them
    "conversation": "id = :case",
    "birth": "conversation = :case",
    "phone": "msisdn = :msisdn",
    "long_text": "msisdn = :msisdn",
    "journal": "conversation = :case ORDER BY id",
    "inbound": "conversation = :case ORDER BY id",
    "outbox": "conversation = :case ORDER BY id",
    "segment": "part = 0 AND outbox IN (SELECT id FROM outbox WHERE conversation = :case) ORDER BY outbox",
    "application": "conversation = :case",
    "body_event": "conversation = :case ORDER BY id",
}
_BIRTH = "printf('stock-%08d', :low + i)"  # sorts as the numbers do, so that each row is added at the end
_PHONE = "printf('77%07d02', :low + i)"  # apart, so that the numbers of those who play lie in between, as in life
_TEXT = ":low_text + i"
_MESSAGE = f"printf('%010x', ({_TEXT}) * {_MOST_PARTS} + part)"  # a centre that counts: new ids come after them
_NEW = {  # what differs from copy to copy, beside birth and phone: those do wherever they stand
    ("conversation", "id"): ":low_case + i",
    ("journal", "id"): "NULL",
    ("inbound", "id"): "NULL",
    ("outbox", "id"): _TEXT,
    ("segment", "outbox"): _TEXT,
    ("segment", "part"): "part",
    ("segment", "message_id"): _MESSAGE,
    ("segment", "key"): f"iif(:key = '', '', {_MESSAGE})",
    ("application", "id"): "NULL",
}


def copy_cases(path: Path, cases: Sequence[tuple[int, int]], tell: Callable[[int], None]) -> None:
    """Add to the store in file `path` so many copies of each of `cases`, in order: (case, how many).

    `tell` hears how many there are. The store must be closed, the texts of the cases in a final state: nobody is
    there to read them. At most ten million. Not durable until it is done: what breaks off is to be thrown away.
    Raises: sqlite3.Error.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in ("synchronous=OFF", "journal_mode=OFF", f"cache_size=-{_CACHE_KIB}"):
            connection.execute(f"PRAGMA {setting}")
        _number(connection, "copy", "i", _AT_ONCE)
        _number(connection, "parts", "part", _MOST_PARTS)
        first_case, low = _next(connection, "conversation"), 0
        models = [(_read(connection, case), count) for case, count in cases]
        with _no_indexes(connection):
            for model, count in models:
                for done in range(0, count, _AT_ONCE):
                    size = min(_AT_ONCE, count - done)
                    _copy(connection, model, {"low": low, "low_case": first_case + low, "size": size})
                    low += size
                    tell(low)
        connection.execute("PRAGMA journal_mode=WAL")
    with path.open("rb") as file:
        os.fsync(file.fileno())  # or whoever commits first would wait for all of it


def _number(connection: sqlite3.Connection, table: str, column: str, count: int) -> None:
    """Make a table that counts from 0."""
    connection.execute(f"CREATE TEMP TABLE {table} ({column} INTEGER PRIMARY KEY)")
    connection.executemany(f"INSERT INTO {table} VALUES (?)", [(number,) for number in range(count)])  # noqa: S608 - ours


def _next(connection: sqlite3.Connection, table: str) -> int:
    """The number that the next row of `table` would have."""
    (number,) = connection.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {table}").fetchone()  # noqa: S608 - ours
    return int(number)


def _read(connection: sqlite3.Connection, case: int) -> _Model:
    """The rows of a case, its birth and its phone left blank in them."""
    of = "SELECT birth_id, msisdn FROM conversation WHERE id = ?"
    birth, phone = connection.execute(of, (case,)).fetchone()
    model: _Model = {}
    for table, rows_of in _OF.items():
        query = f"SELECT * FROM {table} WHERE {rows_of}"  # noqa: S608 - tables and conditions are ours
        cursor = connection.execute(query, {"case": case, "msisdn": phone})
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, (_blank(value, birth, phone) for value in row), strict=True)) for row in cursor]
        model[table] = [(row, 1) for row in rows]
    texts = [row["segments"] for row, _ in model["outbox"]]
    model["segment"] = [(row, parts) for (row, _), parts in zip(model["segment"], texts, strict=True)]
    return model


def _blank(value: Any, birth: str, phone: str) -> Any:  # noqa: ANN401 - any value of a row
    return value.replace(birth, "{birth}").replace(phone, "{phone}") if isinstance(value, str) else value


def _copy(connection: sqlite3.Connection, model: _Model, numbers: dict[str, int]) -> None:
    """Add `size` copies from number `low` on: row by row of the model, each for all of them."""
    connection.execute("BEGIN")
    first_text = _next(connection, "outbox")
    for table, rows in model.items():
        for line, (row, parts) in enumerate(rows):
            names = ", ".join(row)
            values = ", ".join(_value(table, name, value) for name, value in row.items())
            connection.execute(
                f"INSERT INTO {table} ({names}) SELECT {values} FROM copy CROSS JOIN parts"  # noqa: S608 - ours
                " WHERE i < :size AND part < :parts",
                row | numbers | {"low_text": first_text + line * numbers["size"], "parts": parts},
            )
    connection.execute("COMMIT")


def _value(table: str, name: str, value: Any) -> str:  # noqa: ANN401 - any value of a row
    """The expression for a column of the copies of a row that has `value` there."""
    if name == "conversation":
        return ":low_case + i"
    if (table, name) in _NEW:
        return _NEW[table, name]
    filled = f":{name}"
    for blank, new in (("{birth}", _BIRTH), ("{phone}", _PHONE)):
        if isinstance(value, str) and blank in value:
            filled = f"replace({filled}, '{blank}', {new})"
    return filled


@contextmanager
def _no_indexes(connection: sqlite3.Connection) -> Iterator[None]:
    """Without the indexes meanwhile: to sort once takes a third of the time of adding row by row."""
    marks = ", ".join("?" * len(_OF))
    indexes = connection.execute(
        f"SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL AND tbl_name IN ({marks})",  # noqa: S608 - ours
        tuple(_OF),
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, sql in indexes:
        connection.execute(sql)
