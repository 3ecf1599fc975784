"""Copies of a real store: one moment of it, whole or not there at all."""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from contextlib import closing

import pytest
from disks import small_disk
from world import NOON, ZONE, a_world

from smsflow.core.errors import StoreError
from smsflow.store.backup import backup_store
from smsflow.store.queries import open_queries

MEGABYTES = 8


@pytest.fixture
def world(tmp_path):
    with a_world(tmp_path) as world:
        world.birth()
        with world.store.transaction():
            world.store._execute(
                "INSERT INTO undecodable (at, link, raw, reason) VALUES ('', '', zeroblob(?), '')",
                (MEGABYTES << 20,),
            )
        yield world


@pytest.fixture
def store(world, tmp_path):
    return tmp_path / "store.db"


def back_up(store, target, tell=lambda *_: None, **options):
    return backup_store(store, target, tell, at=NOON, **options)


def beside(folder, name):
    return {file.name for file in folder.iterdir() if file.name.startswith(name)}


def cases_in(file):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT count(*) FROM conversation").fetchone()[0]


def test_backup_is_one_moment_while_the_daemon_writes(world, store, tmp_path):
    """It does not begin anew at each write; it ends, in one file that only its owner can read."""
    told: list[tuple[int, int]] = []

    def tell(done: int, of: int) -> None:
        told.append((done, of))
        assert len(told) < 100, "it begins anew at each write"
        world.birth(f"while-{len(told)}", msisdn=f"770100000{len(told):02}")

    copy = tmp_path / "copy.db"
    made = back_up(store, copy, tell)

    assert (made.file, made.cases, made.journal, made.taken_at) == (copy, 1, 2, NOON)
    assert made.octets == copy.stat().st_size > MEGABYTES << 20
    assert len(told) > MEGABYTES
    assert told[-1][0] == told[-1][1]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert beside(tmp_path, "copy.db") == {"copy.db"}
    with closing(open_queries(copy, ZONE)) as queries:
        assert queries.case(1, full=True)["birth_id"] == "b1"
    assert cases_in(store) == 1 + len(told)


def test_writer_never_waits_for_a_backup(world, store, tmp_path):
    """Between two steps, and while one is under way, a commit goes through at once."""
    copying, written = threading.Event(), threading.Event()

    def tell(_done: int, _of: int) -> None:
        copying.set()
        assert written.wait(10)

    backup = threading.Thread(target=back_up, args=(store, tmp_path / "copy.db", tell))
    backup.start()
    assert copying.wait(10)
    world.store._connection.execute("PRAGMA busy_timeout=0")
    world.birth("meanwhile", msisdn="77010000009")
    written.set()
    backup.join()

    assert cases_in(tmp_path / "copy.db") == 1


def test_log_that_grew_meanwhile_is_folded_in(world, store, tmp_path):
    """The daemon must not have to, in the middle of a reply."""

    def tell(_done: int, _of: int) -> None:
        world.birth(f"while-{_done}", msisdn="77010000009")

    back_up(store, tmp_path / "copy.db", tell)
    index = store.with_name("store.db-shm").read_bytes()
    (frames,), (folded,) = struct.unpack_from("=I", index, 16), struct.unpack_from("=I", index, 96)

    assert (
        folded == frames > 0
    )  # mxFrame and nBackfill, https://sqlite.org/walformat.html#the_wal_index_file_format


def test_existing_file_is_kept_unless_told_otherwise(world, store, tmp_path):
    """What is there may be the only good backup."""
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(FileExistsError):
        back_up(store, target)
    assert target.read_text() == "precious"
    back_up(store, target, overwrite=True)
    assert cases_in(target) == 1


def test_log_of_a_replaced_backup_is_not_applied_to_the_new(world, store, tmp_path):
    """Somebody has written to the old backup and been killed: its log lies there still."""
    target, stale = tmp_path / "copy.db", tmp_path / "stale-wal"
    back_up(store, target)
    with closing(sqlite3.connect(target, isolation_level=None)) as old:
        old.execute("PRAGMA journal_mode=WAL")
        old.execute("UPDATE conversation SET state='nowhere'")
        stale.write_bytes((tmp_path / "copy.db-wal").read_bytes())
    stale.rename(tmp_path / "copy.db-wal")

    back_up(store, target, overwrite=True)
    with closing(sqlite3.connect(target)) as new:
        assert new.execute("SELECT state FROM conversation").fetchall() == [("greeting",)]


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm", "store.db.lock", "same.db"])
def test_store_is_not_replaced_by_its_own_backup(world, store, tmp_path, name):
    """Not even under another name, and not with --force."""
    (tmp_path / "same.db").hardlink_to(store)

    with pytest.raises(StoreError, match="belongs to the store itself"):
        back_up(store, tmp_path / name, overwrite=True)
    assert cases_in(store) == 1


def test_full_disk_leaves_no_half_file(world, store, tmp_path):
    """Neither a new one, nor in the place of an old one."""
    with small_disk(tmp_path / "disk", 2 * MEGABYTES) as disk:
        target = disk.folder / "copy.db"
        target.write_text("precious")
        disk.fill(but=MEGABYTES // 2 << 20)
        with pytest.raises(StoreError, match=r"cannot copy .*store\.db to .*copy\.db: the disk .*full: .*space"):
            back_up(store, target, overwrite=True)
        disk.free()

        assert beside(disk.folder, "copy") == {"copy.db"}
        assert target.read_text() == "precious"


def test_second_backup_to_one_file_waits_for_nobody(world, store, tmp_path):
    """Two at a time would write into one file; what a killed one left is taken over."""
    target, refused = tmp_path / "copy.db", []
    (tmp_path / "copy.db.partial").write_text("half")

    def tell(_done: int, _of: int) -> None:
        if not refused:
            with pytest.raises(StoreError, match=r"another copy to .*copy\.db is under way"):
                back_up(store, target)
            refused.append(True)

    back_up(store, target, tell)

    assert refused
    assert beside(tmp_path, "copy.db") == {"copy.db"}


def test_damaged_store_makes_no_backup(world, store, tmp_path):
    """A backup that cannot be restored is worse than none: an operator believes in it."""
    world.store._execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = world.store._execute("SELECT rootpage FROM sqlite_schema WHERE name='journal'").fetchone()[0]
    with store.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(os.urandom(2048))

    with pytest.raises(StoreError, match=r"(is damaged|malformed).*smsflow (verify|restore)"):
        back_up(store, tmp_path / "copy.db")
    assert beside(tmp_path, "copy") == set()


@pytest.mark.parametrize(
    ("target", "problem"),
    [("no/copy.db", "No such file or directory; make the folder first"), (".", "is a folder; name a file in it")],
)
def test_place_that_cannot_be_written_is_told(world, store, tmp_path, target, problem):
    """One sentence, with what to do."""
    with pytest.raises(StoreError, match=problem):
        back_up(store, tmp_path / target)


def test_missing_store_makes_no_backup(tmp_path):
    """Nothing is made, neither store nor copy."""
    with pytest.raises(StoreError, match="there is no store"):
        back_up(tmp_path / "none.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
