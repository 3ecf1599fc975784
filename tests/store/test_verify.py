"""A store that is sound has no flaws; each thing that must never be is found, and named by its case."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from world import NOON, PHONE, ZONE, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.core.errors import StoreError
from smsflow.store.backup import backup_store
from smsflow.store.outbox import Taken
from smsflow.store.receipts import Report
from smsflow.store.verify import find_flaws

OTHER, THIRD = "77010000002", "77010000003"
HOUR = timedelta(hours=1)
OPEN, WAITING, STOPPED = 1, 2, 3


@pytest.fixture
def world(tmp_path):
    """Case 1 has an open question, case 2 waits for a body, case 3 has said STOP; texts in every status."""
    with a_world(tmp_path) as world:
        world.birth("b1")
        world.birth("b2", msisdn=OTHER, mother_iin="950101200002")
        world.birth("b3", msisdn=THIRD, mother_iin="950101200003")
        world.sent()
        for reply in ("R 1 1 2", "R 1 1 2 Ахметов Нурлан", "R 1 1 2 1", "R 1 1 2 1 2", "R 1 1 2 1 2 1"):
            world.reply(reply, OTHER)
        world.reply("STOP", THIRD)
        world.reply("чепуха")
        world.reply("R 1 1 2")
        with world.store.transaction():
            world.store.outbox.mark_segment(1, 0, 1, Taken("main", "A1", "a1"), NOON)
            assert world.store.outbox.receipts.mark(
                [Report(NOON, "main", PHONE, ("a1",), ("a1",), "delivered")]
            ) == [True]
            assert world.store.outbox.claim("main", 3, NOON)
        assert world.case(WAITING).state == "apply"
        assert world.case(STOPPED).result == "stopped"
        yield world


def flaws_of(world):
    file = Path(world.store._connection.execute("PRAGMA database_list").fetchone()[2])
    told: list[tuple[int, int]] = []
    flaws = list(find_flaws(file, ZONE, lambda done, of: told.append((done, of))))
    return flaws, told


def test_sound_store_has_no_flaws(world):
    """A daemon may have it open meanwhile; it is told how far it is."""
    flaws, told = flaws_of(world)

    assert flaws == []
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_backup_is_verified_like_the_store(world, tmp_path):
    """The copy that one would restore."""
    copy = tmp_path / "copy.db"
    backup_store(tmp_path / "store.db", copy, lambda *_: None, at=NOON)

    assert list(find_flaws(copy, ZONE, lambda *_: None)) == []
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE conversation SET misread = 2 WHERE id = 1")
    (flaw,) = find_flaws(copy, ZONE, lambda *_: None)
    assert str(flaw) == (
        "case 1: its journal leads elsewhere than to what is stored: misread (journal); look at it with"
        " `smsflow cases show`, and tell us: it is our bug"
    )


LAST = "(SELECT max(id) FROM journal WHERE conversation = 1)"
INBOUND = (
    "at, link, session, sequence, msisdn, destination, data_coding, raw, text, conversation, outcome, reason, ''"
)
UNSENT = "UPDATE outbox SET status = 'queued', wait = NULL, queued_at = '2026' WHERE conversation = 3"
APPLICATION = "SELECT NULL, 3, kind, data, 'queued', 0, next_at, created_at, '' FROM application"
SEGMENT = "SELECT 99, part, link, message_id, key, state, msisdn FROM segment LIMIT 1"
BREAKS = [  # what is done to a sound store, the check that finds it, the case that it names
    # replies: lost, or counted twice
    ("DELETE FROM journal WHERE conversation = 1", {"journal", "reply_counts"}, OPEN),
    (f"DELETE FROM journal WHERE id = {LAST}", {"journal", "reply_counts"}, OPEN),
    (f"UPDATE journal SET event = '{{}}' WHERE id = {LAST}", {"journal"}, OPEN),
    (f"UPDATE journal SET outcome = 'late' WHERE id = {LAST}", {"journal", "reply_counts"}, OPEN),
    ("DELETE FROM inbound WHERE conversation = 1", {"reply_counts"}, OPEN),
    (f"INSERT INTO inbound SELECT NULL, {INBOUND} FROM inbound WHERE conversation = 1", {"reply_counts"}, OPEN),
    ("UPDATE conversation SET state = 'education' WHERE id = 1", {"journal"}, OPEN),
    ("UPDATE conversation SET version = 9 WHERE id = 1", {"journal"}, OPEN),
    ("UPDATE conversation SET body = '[]' WHERE id = 1", {"conversation"}, OPEN),
    # a case from which nothing can come
    ("UPDATE conversation SET due_at = NULL, due_kind = NULL WHERE id = 1", {"journal", "stranded"}, OPEN),
    ("UPDATE conversation SET due_kind = NULL WHERE id = 1", {"conversation", "timer"}, OPEN),
    ("UPDATE conversation SET due_kind = 'sometime' WHERE id = 1", {"conversation", "legal_value"}, OPEN),
    ("UPDATE outbox SET status = 'dropped' WHERE conversation = 1 AND wait IS NOT NULL", {"stranded"}, OPEN),
    ("UPDATE conversation SET state = 'done' WHERE id = 1", {"journal", "stranded"}, OPEN),
    ("UPDATE conversation SET state = 'nowhere' WHERE id = 1", {"state"}, OPEN),
    ("UPDATE conversation SET state = '' WHERE id = 1", {"state"}, OPEN),
    ("DELETE FROM application", {"stranded"}, WAITING),
    ("UPDATE application SET status = 'dropped'", {"stranded"}, WAITING),
    # what was ended is not
    ("UPDATE conversation SET result = NULL WHERE id = 3", {"journal", "closed_case"}, STOPPED),
    ("UPDATE conversation SET closed_at = NULL WHERE id = 3", {"closed_case"}, STOPPED),
    ("UPDATE conversation SET closed_at = opened_at WHERE id = 1", {"open_case"}, OPEN),
    (UNSENT, {"silence"}, STOPPED),
    (f"INSERT INTO application {APPLICATION}", {"silence"}, STOPPED),
    ("UPDATE phone SET stopped_at = '2026' WHERE msisdn = '77011234567'", {"stopped"}, OPEN),
    ("UPDATE birth SET alive = 0 WHERE birth_id = 'b1'", {"stillbirth"}, OPEN),
    # texts
    ("UPDATE outbox SET wait = 99 WHERE conversation = 1 AND id = 1", {"future_wait"}, OPEN),
    ("UPDATE outbox SET status = 'lost' WHERE conversation = 1 AND id = 1", {"legal_value"}, OPEN),
    ("UPDATE application SET status = 'lost'", {"legal_value"}, WAITING),
    ("UPDATE conversation SET status = 'lost' WHERE id = 1", {"legal_value", "conversation"}, OPEN),
    ("DELETE FROM segment WHERE outbox = 1", {"taken_text"}, OPEN),
    ("UPDATE segment SET state = 'failed' WHERE outbox = 1", {"delivered_text"}, OPEN),
    (f"INSERT INTO segment {SEGMENT}", {"orphan"}, None),
    # rows that have lost what they belong to
    ("DELETE FROM birth WHERE birth_id = 'b1'", {"orphan"}, None),
    ("DELETE FROM dialog", {"orphan", "revision"}, None),
    ("UPDATE dialog SET sources = '{\"a.yaml\": \"dialog: {\"}'", {"revision"}, OPEN),
    ("INSERT INTO flag (conversation, reason, at) VALUES (77, 'x', '')", {"orphan"}, 77),
    ("INSERT INTO parked_key (key, msisdn, receipt) VALUES ('k', '', 77)", {"orphan"}, None),
    # replies that cannot be told apart
    ("UPDATE conversation SET msisdn = '77011234567' WHERE id = 2", {"ambiguous", "journal"}, WAITING),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "checks", "case"), BREAKS, ids=[each[0][:60] for each in BREAKS])
def test_what_must_never_be_is_found(world, statement, checks, case):
    """By the right check, of the right case, with something to do, and without a number or a name."""
    assert world.store._connection.execute(statement).rowcount
    flaws, _ = flaws_of(world)

    assert {flaw.check for flaw in flaws} == checks
    assert case in {flaw.case for flaw in flaws}
    for flaw in flaws:
        assert "smsflow" in flaw.advice or "operate" in flaw.advice
        assert not any(word in str(flaw) for word in (PHONE, OTHER, THIRD, "950101", "Ахметов", "чепуха"))


def test_text_to_a_suspended_case_is_found(world):
    """Nothing goes out until a person has looked."""
    with world.store.transaction():
        world.births.bind_citizen("950101200010", PHONE, NOON, NOON)
    assert world.case(OPEN).status.value == "suspended"
    assert flaws_of(world)[0] == []
    with world.store.transaction():
        world.store.outbox.add(OPEN, PHONE, Send("x", Urgency.NOTICE, NOON), None, NOON)

    assert [(flaw.check, flaw.case) for flaw in flaws_of(world)[0]] == [("silence", OPEN)]


def test_timer_that_was_put_off_is_no_flaw(world):
    """Our failure is flagged, and is no event of the conversation."""
    with world.store.transaction():
        world.engine.set_aside(OPEN, NOON + 24 * HOUR)

    assert flaws_of(world)[0] == []


def test_application_that_was_dropped_during_a_try_is_not_tried_again(world):
    """STOP came while the body was being asked, and the body did not answer."""
    (due,) = world.store.bodies.load_due(NOON, 10)
    world.reply("STOP", OTHER)
    with world.store.transaction():
        world.store.bodies.mark(due.id, "queued", NOON, next_at=NOON + HOUR, error="503")

    assert world.store.bodies.load_due(NOON + 2 * HOUR, 10) == ()
    assert flaws_of(world)[0] == []


def test_times_finer_than_the_store_keeps_are_no_flaw(tmp_path):
    """Stores of former versions have microseconds in their journals."""
    with a_world(tmp_path) as world:
        world.now = NOON.replace(microsecond=123_456)
        case = world.birth()
        world.reply("R 1 1 2")

        assert world.case(case).asked_at == NOON.replace(microsecond=123_000)
        assert world.flaws() == []


def test_damaged_page_is_found_and_nothing_else_is_said(world, tmp_path):
    """Whatever would follow from it would be noise."""
    world.store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = tmp_path / "copy.db"
    backup_store(tmp_path / "store.db", copy, lambda *_: None, at=NOON)
    with closing(sqlite3.connect(copy)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name='journal'").fetchone()[0]
    with copy.open("r+b") as octets:
        octets.seek((page - 1) * 4096)
        octets.write(os.urandom(4096))
    flaws = list(find_flaws(copy, ZONE, lambda *_: None))

    assert {flaw.check for flaw in flaws} == {"integrity"}
    assert "smsflow restore" in str(flaws[0])


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('smsflow', 'x', '')", "newer"),
        ("DELETE FROM _sqlite_migrations WHERE id = 2", "older"),
    ],
)
def test_store_with_other_tables_is_not_judged(world, tmp_path, statement, problem):
    """Its rows may mean something else."""
    world.store._connection.execute(statement)

    with pytest.raises(StoreError, match=f"was written by an? {problem} smsflow; verify it with that one"):
        flaws_of(world)
