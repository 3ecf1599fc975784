"""A backup in the place of the store: the old one or the new one, whatever happens on the way."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from disks import small_disk
from world import NOON, ZONE, a_world

from smsflow.core.errors import StoreError
from smsflow.store.backup import backup_store
from smsflow.store.restore import restore_store
from smsflow.store.store import open_store

KEPT = "store.db.before-restore-20261118T070000.000Z"
CRASHED = 9


def restore(store, source, at=NOON):
    return restore_store(store, source, lambda *_: None, at=at)


@pytest.fixture
def folder(tmp_path):
    """A backup with one case, and a store that was killed with two more of them in its log."""
    (tmp_path / "live").mkdir()
    with a_world(tmp_path / "live") as world:
        world.birth()
        world.sending()
        backup_store(tmp_path / "live" / "store.db", tmp_path / "backup.db", lambda *_: None, at=NOON)
        world.birth("b2", msisdn="77010000002")
        world.birth("b3", msisdn="77010000003")
        (tmp_path / "killed").mkdir()
        for name in ("store.db", "store.db-wal", "store.db-shm"):
            shutil.copy(tmp_path / "live" / name, tmp_path / "killed" / name)
    shutil.rmtree(tmp_path / "live")
    return tmp_path


@pytest.fixture
def store(folder):
    return folder / "killed" / "store.db"


def births(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT birth_id FROM birth ORDER BY 1")]


def test_backup_takes_the_place_of_the_store(folder, store):
    """The former store is kept whole, with what was only in its log; nothing of the log reaches the new one."""
    done = restore(store, folder / "backup.db")

    assert (done.cases, done.journal, done.waiting, done.doubtful) == (1, 2, 0, 1)
    assert done.last_at == "2026-11-18T07:00:00.000+00:00"
    assert done.octets == store.stat().st_size
    assert done.kept == store.with_name(KEPT)
    assert {file.name for file in store.parent.iterdir()} == {"store.db", "store.db.lock", KEPT}
    assert births(store) == ["b1"]
    assert births(done.kept) == ["b1", "b2", "b3"]
    assert births(folder / "backup.db") == ["b1"]


def test_restored_store_is_opened_by_a_daemon(folder, store):
    """What was on its way when the backup was taken is in doubt, and is sent again."""
    restore(store, folder / "backup.db")

    with a_world(store.parent) as world:
        assert world.store._execute("SELECT status, in_doubt FROM outbox").fetchall() == [("sending", 0)]
        with world.store.transaction():
            world.store.outbox.doubt_all(NOON, {})
        assert world.store._execute("SELECT status, in_doubt FROM outbox").fetchall() == [("queued", 1)]


def crash_after(steps: int, store: Path, source: Path) -> bool:
    """Restore in a process that is gone after so many changes of names; whether it came to its end before."""
    child = os.fork()
    if not child:
        try:
            left = steps
            for name in ("rename", "replace", "unlink"):
                real = getattr(Path, name)

                def change(path, *arguments, real=real, **options):
                    nonlocal left
                    if left == 0:
                        os._exit(CRASHED)
                    left -= 1
                    return real(path, *arguments, **options)

                setattr(Path, name, change)
            restore(store, source)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, CRASHED)
    return code == 0


def test_crash_at_any_step_leaves_the_old_store_or_the_new(folder, store):
    """The daemon that starts next sees one of them, whole; the old one is never lost."""
    seen: list[list[str]] = []
    ended, steps = False, 0
    while not ended:
        place = folder / f"crash-{steps}"
        shutil.copytree(store.parent, place)
        ended = crash_after(steps, place / "store.db", folder / "backup.db")
        open_store(place / "store.db", ZONE).close()
        seen.append(births(place / "store.db"))
        kept = list(place.glob("store.db.before-restore-*Z"))
        assert [births(file) for file in kept] == ([["b1", "b2", "b3"]] if seen[-1] == ["b1"] else [])
        steps += 1

    assert seen[0] == ["b1", "b2", "b3"]
    assert seen == sorted(seen, key=len, reverse=True)
    assert len(seen) > 8


def test_restore_that_was_cut_short_is_finished_before_the_next(folder, store):
    """Two restores keep two former stores."""
    steps = 0
    while not store.with_name("store.db.restoring").exists():
        crash_after(steps, store, folder / "backup.db")
        steps += 1
    restore(store, folder / "backup.db", NOON.replace(hour=13))

    kept = sorted(store.parent.glob("store.db.before-restore-*"))
    assert [births(file) for file in kept] == [["b1", "b2", "b3"], ["b1"]]


def test_log_that_a_reader_made_meanwhile_does_not_replace_the_one_put_aside(folder, store):
    """Somebody looks at the old file while a restore that was cut short waits to be finished."""
    kept = store.with_name(KEPT)
    shutil.copy(folder / "backup.db", store.with_name("store.db.restoring"))
    os.utime(store.with_name("store.db.restoring"), (NOON.timestamp(), NOON.timestamp()))
    store.with_name("store.db-wal").rename(f"{kept}-wal")
    store.with_name("store.db-wal").touch()
    open_store(store, ZONE).close()

    assert births(store) == ["b1"]
    assert births(kept) == ["b1", "b2", "b3"]


def test_store_of_a_running_daemon_is_left_alone(folder, tmp_path):
    """Two owners would write into one name."""
    (tmp_path / "daemon").mkdir()
    with a_world(tmp_path / "daemon") as world:
        world.birth("b7")
        with pytest.raises(StoreError, match="is in use by another smsflow; stop that one first"):
            restore(tmp_path / "daemon" / "store.db", folder / "backup.db")
    assert births(tmp_path / "daemon" / "store.db") == ["b7"]


def test_restore_into_an_empty_place(folder, tmp_path):
    """A new machine: the folder is made, and nothing is kept."""
    done = restore(tmp_path / "new" / "store.db", folder / "backup.db")

    assert done.kept is None
    assert births(tmp_path / "new" / "store.db") == ["b1"]
    assert (tmp_path / "new" / "store.db").stat().st_mode & 0o777 == 0o600


def spoil(file: Path, how: str) -> None:
    if how == "text":
        file.write_text("a diary, not a database" * 400)
        return
    if how == "none":
        file.unlink()
        return
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        if how == "newer":
            connection.execute("UPDATE _sqlite_migrations SET name='later' WHERE id=2")
        elif how == "other":
            connection.execute("DROP TABLE journal")
        else:
            page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name='journal'").fetchone()[0]
            with file.open("r+b") as octets:
                octets.seek((page - 1) * 4096)
                octets.write(os.urandom(4096))


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("text", r"backup\.db .*it is not a store"),
        ("none", r"there is no backup at .*backup\.db"),
        ("newer", r"backup\.db was written by a newer smsflow"),
        ("other", r"backup\.db is not a backup of smsflow: no such table"),
        ("page", r"backup\.db is damaged \(.*\); restore another backup"),
    ],
)
def test_bad_backup_changes_nothing(folder, store, how, problem):
    """It is checked before anything of the store is touched."""
    before = {file.name: file.read_bytes() for file in store.parent.iterdir()}
    spoil(folder / "backup.db", how)

    with pytest.raises(StoreError, match=problem):
        restore(store, folder / "backup.db")
    after = {file.name: file.read_bytes() for file in store.parent.iterdir()}
    assert after == before | ({"store.db.lock": b""} if "store.db.lock" in after else {})


def test_store_is_not_restored_from_itself(store):
    """It would be read while it is put away."""
    with pytest.raises(StoreError, match="is the store itself"):
        restore(store, store)


def test_full_disk_leaves_the_store_as_it_was(folder, store):
    """There must be room for both."""
    with small_disk(folder / "disk", 4) as disk:
        place = disk.folder / "store.db"
        shutil.copy(store, place)
        shutil.copy(f"{store}-wal", f"{place}-wal")
        disk.fill(but=32 << 10)
        with pytest.raises(StoreError, match=r"disk .*full: .*space"):
            restore(place, folder / "backup.db")
        disk.free()

        assert {file.name for file in disk.folder.iterdir()} == {"store.db", "store.db-wal", "store.db.lock"}
        assert births(place) == ["b1", "b2", "b3"]


def test_owner_and_rights_of_the_store_stay(folder, store):
    """Root restores, and the daemon's user can still open it."""
    store.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(store, 65534, 65534)
    before = store.stat()
    restore(store, folder / "backup.db")
    after = store.stat()

    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
