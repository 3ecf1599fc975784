"""The commands about the store as a file: what they print, and how they end."""

from __future__ import annotations

import json

import pytest
from test_cli_data import call, configure
from world import a_world


@pytest.fixture
def config(tmp_path):
    """A store with one case and no daemon."""
    with a_world(tmp_path) as world:
        world.birth()
        world.reply("R 1 1 2")
    return configure(tmp_path)


# --- backup -----------------------------------------------------------------------------------------------


def test_backup_tells_what_it_made(config, tmp_path):
    """Facts as JSON, or a sentence."""
    copy = tmp_path / "copy.db"
    done = call("backup", copy, "--config", config, "--json")
    facts = json.loads(done.stdout)
    again = call("backup", copy, "--config", config, "--force")

    assert done.exit_code == again.exit_code == 0
    assert facts.pop("seconds") > 0
    assert facts.pop("taken_at").endswith("+05:00")
    assert facts == {"file": str(copy), "bytes": copy.stat().st_size, "cases": 1, "journal": 3}
    assert again.stdout.startswith(f"{copy}: {copy.stat().st_size:,} bytes, 1 cases, 3 lines of the journal, in ")


def test_backup_overwrites_only_when_told(config, tmp_path):
    """Exit 1, one sentence."""
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    done = call("backup", copy, "--config", config)

    assert (done.exit_code, done.stderr) == (1, f"{copy} exists already; choose another name, or say --force\n")
    assert copy.read_text() == "precious"


def test_backup_without_a_store_or_configuration_is_told(tmp_path):
    """No store: exit 1. No usable configuration: exit 2."""
    missing = call("backup", tmp_path / "copy.db", "--config", configure(tmp_path))
    unreadable = call("backup", tmp_path / "copy.db", "--config", tmp_path / "none.yaml")

    assert (missing.exit_code, "has the daemon run?" in missing.stderr) == (1, True)
    assert (unreadable.exit_code, "none.yaml:1:1: cannot be read" in unreadable.stderr) == (2, True)


# --- restore ----------------------------------------------------------------------------------------------


def test_restore_says_what_follows(config, tmp_path):
    """Where the former store is, and what is not in the new one."""
    copy = tmp_path / "copy.db"
    call("backup", copy, "--config", config)
    done = call("restore", copy, "--config", config)
    facts = json.loads(call("restore", copy, "--config", config, "--json").stdout)

    assert done.exit_code == 0
    assert done.stdout.startswith(
        f"{tmp_path}/store.db: 1 cases, 3 lines of the journal\nThe former store is kept as "
    )
    assert "came at 2026-11-18T07:00:00.000+00:00: replies and births after that are not there" in done.stdout
    assert "2 texts go out that were waiting then, and 0 that were on their way are in doubt" in done.stdout
    assert facts.pop("kept").startswith(f"{tmp_path}/store.db.before-restore-")
    assert facts.pop("seconds") > 0
    assert facts == {
        "store": f"{tmp_path}/store.db", "bytes": copy.stat().st_size, "cases": 1, "journal": 3,
        "last_event_at": "2026-11-18T07:00:00.000+00:00", "texts_waiting": 2, "texts_in_doubt": 0,
    }  # fmt: skip


def test_restore_beside_a_daemon_is_refused(config, tmp_path):
    """Exit 1, and what to do."""
    copy = tmp_path / "copy.db"
    call("backup", copy, "--config", config)
    with a_world(tmp_path):
        done = call("restore", copy, "--config", config)

    assert (done.exit_code, done.stderr) == (
        1,
        f"{tmp_path}/store.db is in use by another smsflow; stop that one first\n",
    )


# --- verify -----------------------------------------------------------------------------------------------


def test_verify_says_what_is_wrong_beside_a_daemon(config, tmp_path):
    """One line each, and exit 1; a sound store is exit 0."""
    with a_world(tmp_path) as world:
        sound = call("verify", "--config", config)
        world.store._connection.execute("UPDATE conversation SET misread = 2")
        flawed = call("verify", "--config", config)
        facts = json.loads(call("verify", "--config", config, "--json").stdout)

    assert (sound.exit_code, sound.stdout) == (0, f"{tmp_path}/store.db: 0 flaws in 1 cases\n")
    assert flawed.exit_code == 1
    assert flawed.stdout.splitlines()[0].startswith("case 1: its journal leads elsewhere")
    assert flawed.stdout.splitlines()[1:] == [f"{tmp_path}/store.db: 1 flaws in 1 cases"]
    assert [(flaw["case"], flaw["check"]) for flaw in facts.pop("flaws")] == [(1, "journal")]
    assert facts == {"file": f"{tmp_path}/store.db", "cases": 1, "more": False}


def test_verify_looks_at_a_backup(config, tmp_path):
    """FILE instead of the store; what is no store is told in one line."""
    copy = tmp_path / "copy.db"
    call("backup", copy, "--config", config)
    sound = call("verify", copy, "--config", config)
    copy.write_text("a diary, not a database" * 100)
    other = call("verify", copy, "--config", config)

    assert (sound.exit_code, sound.stdout) == (0, f"{copy}: 0 flaws in 1 cases\n")
    assert (other.exit_code, "it is not a store" in other.stderr, len(other.stderr.splitlines())) == (1, True, 1)


def test_verify_ends_its_list_somewhere(config, tmp_path, monkeypatch):
    """Who has a million flaws is told so, in bounded memory."""
    monkeypatch.setattr("smsflow.cli_store._SHOWN", 1)
    with a_world(tmp_path) as world:
        world.birth("b2", msisdn="77010000002")
        world.store._connection.execute("UPDATE conversation SET misread = 2")
    done = call("verify", "--config", config)

    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path}/store.db: more than 1 flaws in ")
