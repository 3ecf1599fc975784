"""Stores of former versions open, keep everything, and verify; a migration is whole or has not happened."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Migrations
from world import NOON, PHONE, ZONE, a_world

from smsflow.core.errors import StoreError
from smsflow.store import schema
from smsflow.store.restore import restore_store
from smsflow.store.store import open_store
from smsflow.store.verify import find_flaws

FORMER = sorted((Path(__file__).parent / "schemas").glob("*.sql"))  # one story, told by versions with those tables


@pytest.fixture
def place(tmp_path):
    return tmp_path / "store.db"


def make(place: Path, dump: Path) -> None:
    with closing(sqlite3.connect(place)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))


def rows_of(place: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(place)) as connection:
        return connection.execute(query).fetchall()


def schema_of(place: Path) -> list[tuple]:
    return rows_of(place, "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2")


@pytest.mark.parametrize("dump", FORMER, ids=lambda dump: dump.stem)
def test_former_store_is_opened_migrated_and_sound(tmp_path, place, dump):
    """The mothers in it go on where they were; nothing is missing."""
    make(place, dump)
    before = {
        table: rows_of(place, f"SELECT count(*) FROM {table}")
        for table in ("conversation", "journal", "inbound", "outbox", "application", "birth", "segment")
    }
    with a_world(tmp_path) as world:
        pending = set(schema.known()) != set(dump_migrations(dump))
        assert world.store.copy == (tmp_path / f"store.db.before-{after(dump)}" if pending else None)
        assert world.flaws() == []
        assert world.case(1).state == "child_name"
        assert world.case(2).result == "done"
        assert world.case(3).result == "stopped"
        assert world.case(4).dialog == "money"
        for table, count in before.items():
            assert rows_of(place, f"SELECT count(*) FROM {table}") == count
        assert rows_of(place, "SELECT * FROM case_count") == rows_of(
            place, "SELECT status, coalesce(result, ''), count(*) FROM conversation GROUP BY 1, 2 ORDER BY 1, 2"
        )
        world.now = NOON.replace(day=20)
        assert world.reply("R 1 1 2 Ахметов Нурлан", PHONE).outcome == "answered"
        assert world.flaws() == []
    with a_world(tmp_path) as world:
        assert world.store.copy is None


def dump_migrations(dump: Path) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
        return list(schema.applied_to(connection))


def after(dump: Path) -> str:
    """The first migration that a store of `dump` has not seen."""
    return next((name for name in schema.known() if name not in dump_migrations(dump)), "")


def test_former_stores_are_of_former_versions():
    """The oldest has the first tables only: every migration is run on data."""
    assert dump_migrations(FORMER[0]) == ["first_tables"]
    for dump in FORMER:
        assert dump_migrations(dump)[-1] == dump.stem.split("-")[1]


def test_migrated_store_has_the_tables_of_a_new_one(tmp_path, place):
    """Whichever way it came."""
    make(place, FORMER[0])
    (tmp_path / "new").mkdir()
    for file in (place, tmp_path / "new" / "store.db"):
        open_store(file, ZONE).close()

    assert [row[:2] for row in schema_of(place)] == [row[:2] for row in schema_of(tmp_path / "new" / "store.db")]


def add_migrations(monkeypatch, *functions):
    """This smsflow and one that comes after it: `functions` are its migrations."""
    later = Migrations("smsflow")
    for each in (*(each.fn for each in schema.migrations._migrations), *functions):
        later()(each)
    monkeypatch.setattr(schema, "migrations", later)


def adds_a_table(db):
    db.execute("CREATE TABLE added (x)")
    db.execute("UPDATE conversation SET language = 'kk'")


def fails(db):
    db.execute("CREATE TABLE never (x)")
    db.execute("SELECT nonsense FROM nowhere")


def test_migration_that_fails_changes_nothing(place, monkeypatch):
    """Neither do those before it; the copy is named, and the former version goes on."""
    make(place, FORMER[-1])
    before = schema_of(place)
    with monkeypatch.context() as newer:
        add_migrations(newer, adds_a_table, fails)
        with pytest.raises(StoreError) as caught:
            open_store(place, ZONE)
        copy = place.with_name(f"store.db.before-{after(FORMER[-1]) or 'adds_a_table'}")

    assert str(caught.value) == (
        f"{place} could not be migrated: no such table: nowhere; it is as it was; a copy of it is {copy};"
        " go on with the former smsflow"
    )
    assert schema_of(place) == schema_of(copy) == before
    assert rows_of(place, "SELECT DISTINCT language FROM conversation WHERE id = 1") == [("ru",)]
    open_store(place, ZONE).close()


def test_copy_before_a_migration_leads_back(place, monkeypatch):
    """It is a backup: the former version restores it. Only the latest is kept, and no other file is touched."""
    make(place, FORMER[0])
    other = place.with_name("store.db.before-restore-20200101T070000.000Z")
    other.write_text("precious")
    open_store(place, ZONE).close()
    first = place.with_name("store.db.before-receipts_and_long_texts")
    assert first.exists()
    with monkeypatch.context() as newer:
        add_migrations(newer, adds_a_table)
        open_store(place, ZONE).close()
        assert rows_of(place, "SELECT DISTINCT language FROM conversation") == [("kk",)]
    copy = place.with_name("store.db.before-adds_a_table")

    assert not first.exists()
    assert other.read_text() == "precious"
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="newer smsflow"):
        open_store(place, ZONE)
    restore_store(place, copy, lambda *_: None, at=NOON)
    open_store(place, ZONE).close()
    assert list(find_flaws(place, ZONE, lambda *_: None)) == []


def test_new_store_needs_no_copy(tmp_path, place):
    """There is nothing in it."""
    open_store(place, ZONE).close()

    assert {file.name for file in tmp_path.iterdir()} == {"store.db", "store.db.lock"}
