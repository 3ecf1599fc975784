"""A store that cannot be used: each reason is told in one line, with what to do, and nothing is touched."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from disks import small_disk
from world import ZONE, a_world

from smsflow.core.errors import StoreError
from smsflow.store.store import open_store

NOBODY = 65534


@pytest.fixture
def store(tmp_path):
    """A store that was closed in peace."""
    with a_world(tmp_path) as world:
        world.birth()
    return tmp_path / "store.db"


def reason(path: Path) -> str:
    """Why the store at `path` cannot be opened."""
    with pytest.raises(StoreError) as caught:
        open_store(path, ZONE)
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


@contextmanager
def a_place_of_nobody(store: Path) -> Iterator[Path]:
    """A copy of the store, while this process has no rights but those of an ordinary user."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(shutil.copy(store, folder))
        Path(folder).chmod(0o777)
        user = os.geteuid()
        try:
            if user == 0:
                os.chown(place, NOBODY, NOBODY)
                os.seteuid(NOBODY)
            yield place
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o700)


def test_folder_is_no_store(tmp_path):
    """A path in the configuration that stops too early."""
    assert reason(tmp_path) == f"cannot use {tmp_path}: it is a folder; name a file in it"


def test_folder_that_is_a_file(store):
    """Or goes too far."""
    assert "name a file in a folder that is one" in reason(store / "store.db") or "File exists" in reason(
        store / "x"
    )


@pytest.mark.parametrize("octets", [16, 100, 4096])
def test_header_of_rubbish(store, octets):
    """What was overwritten from its beginning."""
    with store.open("r+b") as file:
        file.write(os.urandom(octets))
    told = reason(store)

    assert told.startswith(f"cannot use {store}: it is ")
    assert "smsflow restore" in told


def test_file_that_was_cut_short(store):
    """Half of a copy."""
    os.truncate(store, store.stat().st_size // 2)
    told = reason(store)

    assert told == (
        f"cannot use {store}: it is damaged: stop the daemon and restore a backup with `smsflow restore`"
        " (database disk image is malformed)"
    )


def test_database_of_something_else_is_not_touched(tmp_path):
    """It does not get our tables, nor another journal mode."""
    other = tmp_path / "diary.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE diary (day, words)")
    before = other.read_bytes()

    assert reason(other) == f"{other} is a database of something else; name another file in `store`"
    assert other.read_bytes() == before


def test_newer_store_says_what_to_do(store):
    """It stays as it is."""
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("UPDATE _sqlite_migrations SET name = 'later' WHERE id = 2")
    before = store.read_bytes()

    assert reason(store) == f"{store} was written by a newer smsflow; use that one, or restore an older backup"
    assert store.read_bytes() == before


def test_store_that_another_program_holds(store, monkeypatch):
    """Somebody repairs something by hand."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options | {"timeout": 0}))
    with closing(connect(store, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")

        assert (
            reason(store) == f"cannot use {store}: another program holds it: end that program (database is locked)"
        )


def test_file_without_rights(store):
    """A file of another user's."""
    with a_place_of_nobody(store) as place:
        place.chmod(0)
        assert "it cannot be opened: let the user of smsflow read and write file and folder" in reason(place)
        place.chmod(0o400)
        assert "it cannot be written: let the user of smsflow write file, folder and disk" in reason(place)


def test_folder_without_rights(store, tmp_path):
    """Neither a lock nor a log can be made there."""
    with a_place_of_nobody(store) as place:
        os.seteuid(os.getuid())
        place.parent.chmod(0o555)
        if os.getuid() == 0:
            os.seteuid(NOBODY)
        told = reason(place)

    assert told == f"cannot use {place}: Permission denied; let the user of smsflow read and write file and folder"


def test_full_disk_at_the_start(tmp_path, store):
    """There must be room for the log at least; when there is, it opens."""
    with small_disk(tmp_path / "disk", 4) as disk:
        place = disk.folder / "store.db"
        shutil.copy(store, place)
        disk.folder.joinpath("store.db.lock").touch()
        disk.fill()
        for each in (place, disk.folder / "new.db"):
            told = reason(each)
            assert "free space there" in told or "space on it" in told
        disk.free()
        open_store(place, ZONE).close()
        open_store(disk.folder / "new.db", ZONE).close()


def read_only_folder() -> Path:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    found = [
        Path(place) for _, place, _, options, *_ in mounts if "ro" in options.split(",") and Path(place).is_dir()
    ]
    if not found:
        pytest.skip("nothing can be mounted here, and nothing is read-only")
    return found[0]


def test_read_only_disk(tmp_path, store):
    """A disk that the system has set read-only after errors."""
    with small_disk(tmp_path / "disk", 4) as disk:
        place = disk.folder / "store.db"
        if disk.mounted:
            shutil.copy(store, place)
            subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
        else:  # where nothing may be mounted, as in a container, something is read-only already
            place = read_only_folder() / "store.db"
        told = reason(place)

    assert told == f"cannot use {place}: Read-only file system; make the disk writable"
