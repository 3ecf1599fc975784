"""What is forgotten, what never is, and that a store is sound after each statement of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from simulation.disk import Crash, Disk
from world import DIALOGS, NOON, PHONE, ZONE, World, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.engine import Refused
from smsflow.store import retention
from smsflow.store.inbound import Inbound
from smsflow.store.outbox import Taken
from smsflow.store.people import Birth
from smsflow.store.receipts import Report
from smsflow.store.retention import Place
from smsflow.store.store import open_store

YEAR, DAY, HOUR = timedelta(days=366), timedelta(days=1), timedelta(hours=1)
OTHER, NEW, STRANGER = "77010000002", "77010000003", "77010000009"
IIN, OTHER_IIN = "950101200109", "950101200002"
ANSWERS = ("R 1 1 2", "R 1 1 2 Ахметов Нурлан", "R 1 1 2 1", "R 1 1 2 1 2", "R 1 1 2 1 2 1")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


def rows(world: World, query: str) -> list[tuple]:
    return world.store._connection.execute(query).fetchall()


def deliver_all(world: World) -> None:
    """Every text that waits is taken and delivered."""
    for text in world.sending():
        taken = Taken("main", f"A{text.id}", f"a{text.id}")
        with world.store.transaction():
            world.store.outbox.mark_segment(text.id, 0, 1, taken, world.now)
            report = Report(world.now, "main", text.msisdn, (taken.key,), (taken.key,), "delivered")
            world.store.outbox.receipts.mark([report])


def live_through(world: World, phone: str = PHONE) -> int:
    """A birth from its greeting to its end: the registration, and the money that she never answers for."""
    case = world.birth(f"b-{phone}", msisdn=phone, mother_iin=IIN if phone == PHONE else OTHER_IIN)
    for reply in ANSWERS:
        deliver_all(world)
        world.reply(reply, phone)
    (due,) = world.store.bodies.load_due(world.now, 10)
    with world.store.transaction():
        world.store.bodies.mark(due.id, "taken", world.now)
        world.store.flags.add(case, "looked_at", world.now)
        world.store.flags.clear(case, world.now)
        world.store.flags.add(case, "still_open", world.now)
    world.body(case, "accepted", number="7")
    world.body(case, "registered", place="x", child_iin="991231500006")
    world.wait(5 * DAY)
    deliver_all(world)
    assert {each.result for each in world.store.conversations.load_phone(phone)} == {"done", "expired"}
    return case


def forget(world: World, before: datetime | None = None, *, most: int = 1) -> tuple[int, int]:
    """A pass in slices of `most`: how many cases went, and how many texts of none."""
    keep, cases, texts, place = world.store.retention, 0, 0, Place()
    before = before or world.now - YEAR
    with world.store.transaction():
        keep.begin(before)
    while place:
        with world.store.transaction():
            place, gone = keep.forget_cases(place, before, world.now, most)
        cases += gone
    while True:
        with world.store.transaction():
            gone = keep.forget_texts(before, world.now, most)
        texts += gone
        if not gone:
            return cases, texts


def test_case_goes_with_all_that_hangs_on_it(world: World) -> None:
    """Not a row that names her, or belongs to her, is left anywhere in the file."""
    live_through(world)
    world.reply("R 1 1 2 1")  # late
    deliver_all(world)
    before = {
        table: len(rows(world, f"SELECT 1 FROM {table}"))
        for table in (
            "journal",
            "inbound",
            "outbox",
            "segment",
            "application",
            "body_event",
            "flag",
            "birth",
            "phone",
        )
    }
    assert all(before.values()), before
    world.now += YEAR

    assert forget(world) == (2, 0)
    left = {table for (table,) in rows(world, "SELECT name FROM sqlite_schema WHERE type = 'table'")} - {
        "_sqlite_migrations", "sqlite_sequence", "case_count", "dialog", "forgotten",
    }  # fmt: skip
    assert {table: rows(world, f"SELECT * FROM {table}") for table in left} == {table: [] for table in left}
    assert rows(world, "SELECT sum(cases) FROM case_count") == [(0,)]
    assert not any(word in line for line in world.store._connection.iterdump() for word in (PHONE, IIN, "Ахметов"))
    assert world.flaws() == []


def test_what_is_forgotten_is_overwritten(world: World, tmp_path: Path) -> None:
    """No octet of her name stands in the file, not in a page that is free either."""
    live_through(world)
    world.store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert "Ахметов".encode() in (tmp_path / "store.db").read_bytes()
    world.now += YEAR + 6 * DAY
    forget(world)
    world.store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    octets = (tmp_path / "store.db").read_bytes()
    assert not any(word.encode() in octets for word in ("Ахметов", PHONE, IIN))


def test_others_are_as_they_were(world: World) -> None:
    """Of another mother not a row has changed, nor of who has said STOP, nor of the base of numbers."""
    live_through(world)
    world.now += YEAR
    with world.store.transaction():
        world.births.bind_citizen(OTHER_IIN, OTHER, world.now, world.now)
    live_through(world, OTHER)
    world.reply("STOP", STRANGER)
    deliver_all(world)
    theirs = [line for line in world.store._connection.iterdump() if OTHER in line or STRANGER in line]

    assert forget(world) == (2, 0)
    assert [line for line in world.store._connection.iterdump() if OTHER in line or STRANGER in line] == theirs
    assert world.flaws() == []


def test_open_and_suspended_cases_stay(world: World) -> None:
    """However old they are."""
    open_case = world.birth("b1")
    with world.store.transaction():
        other = Birth("b2", OTHER_IIN, OTHER, NOON.isoformat(), "female", True, 1, "", "")
        suspended = world.births.record_birth(other, NOON)
        world.births.bind_citizen("950101200010", OTHER, NOON, NOON)
    world.now += 9 * YEAR

    assert forget(world) == (0, 0)
    assert world.case(open_case).status.value == "open"
    assert world.case(suspended).status.value == "suspended"


def closed_case(world: World, birth_id: str = "b1", **facts: object) -> int:
    """A case that a person has ended, and nothing of it is under way."""
    case = world.birth(birth_id, **facts)
    with world.store.transaction():
        world.engine.operate(case, "end", world.now)
    deliver_all(world)
    return case


def test_case_stays_for_a_day_after_anything_that_happens_in_it(world: World) -> None:
    """A late reply may be delivered again, an answer of a centre may come late."""
    closed_case(world)
    world.now += 2 * YEAR
    world.reply("R 1 1 2")
    deliver_all(world)
    assert forget(world) == (0, 0)
    world.now += DAY - HOUR
    assert forget(world) == (0, 0)
    world.now += 2 * HOUR

    assert forget(world) == (1, 0)
    assert rows(world, "SELECT explained_at FROM phone") == []


def test_case_stays_while_a_text_or_an_application_of_it_is_under_way(world: World) -> None:
    """All links may be down for long; a body may."""
    case = closed_case(world)
    with world.store.transaction():
        world.store.outbox.add(case, PHONE, Send("x", Urgency.NOTICE, NOON), None, NOON)
    other = closed_case(world, "b2", msisdn=OTHER, mother_iin=OTHER_IIN)
    rows(world, f"INSERT INTO application VALUES (NULL, {other}, 'k', '{{}}', 'queued', 0, '', '', '')")
    world.now += 2 * YEAR
    for status in ("held", "queued", "sending"):
        rows(world, f"UPDATE outbox SET status = '{status}', changed_at = '2020' WHERE text = 'x'")
        assert forget(world) == (0, 0)
    rows(world, "UPDATE outbox SET status = 'delivered' WHERE text = 'x'")
    assert forget(world) == (1, 0)
    rows(world, "UPDATE application SET status = 'taken'")
    assert forget(world) == (1, 0)


def test_case_stays_that_gets_a_text_in_the_very_transaction(world: World) -> None:
    """Replies go before the slice: what they lead to is seen, wherever it is kept until the end."""
    closed_case(world)
    world.now += 2 * YEAR
    inbound = Inbound(world.now, "main", "s", 1, PHONE, "1414", 8, b"?", "кто это?")
    with world.store.transaction():
        assert world.replies.take_reply(inbound).reason == "no_open_case"
        assert world.store.retention.forget_cases(Place(), world.now - YEAR, world.now, 10) == (None, 0)

    assert world.flaws() == []
    assert world.sent() != []


def test_no_more_cases_are_looked_at_than_a_slice_has(world: World) -> None:
    """Those that stay are passed by, and come again in the next pass."""
    cases = [closed_case(world, f"b{number}", msisdn=f"7701000010{number}") for number in range(7)]
    world.now += 2 * YEAR
    world.reply("R 1 1 2", "77010000101")
    deliver_all(world)
    keep, before, seen = world.store.retention, world.now - YEAR, []
    place = Place()
    while place:
        with world.store.transaction():
            place, gone = keep.forget_cases(place, before, world.now, 3)
        seen.append(gone)

    assert seen == [2, 3, 1]
    assert rows(world, "SELECT id FROM conversation") == [(cases[1],)]


def test_birth_goes_with_the_last_of_its_cases(world: World) -> None:
    """Until then it names the first that is left; to record it again changes nothing."""
    first = live_through(world)
    second = first + 1
    rows(world, f"UPDATE conversation SET closed_at = '2027-12-01T00:00:00.000+00:00' WHERE id = {second}")
    world.now += YEAR + 6 * DAY
    assert forget(world) == (1, 0)

    assert rows(world, "SELECT birth_id, conversation FROM birth") == [(f"b-{PHONE}", second)]
    assert world.birth(f"b-{PHONE}") == second
    assert rows(world, "SELECT id FROM conversation") == [(second,)]
    world.now += 2 * YEAR
    assert forget(world) == (1, 0)
    assert rows(world, "SELECT * FROM birth") == []


def test_birth_that_was_forgotten_is_never_new_again(world: World) -> None:
    """Nobody is congratulated twice; also when the setting is taken out or made longer, or the clock steps back."""
    live_through(world)
    world.now += YEAR + 6 * DAY
    forget(world)
    forget(world, NOON - YEAR)

    with pytest.raises(Refused, match="too_old"):
        world.birth(f"b-{PHONE}")
    with pytest.raises(Refused, match="too_old"):
        world.birth("never-seen")
    assert rows(world, "SELECT * FROM conversation") == []
    assert world.birth("young", born_at=world.now.isoformat())


def test_birth_that_is_dated_later_than_it_was_recorded_is_kept_until_then(world: World) -> None:
    """It would be new again after its case was forgotten."""
    later = (NOON + 3 * YEAR).isoformat()
    closed_case(world, born_at=later)
    world.now += 2 * YEAR
    assert forget(world) == (0, 0)
    world.now = NOON + 4 * YEAR
    assert forget(world) == (0, 0)
    world.now += HOUR
    assert forget(world) == (1, 0)

    with pytest.raises(Refused, match="too_old"):
        world.birth("b1", born_at=later)


def test_store_that_forgets_nothing_takes_a_birth_of_any_age(world: World) -> None:
    """As before: how old a record may be is for those who hand it in to know."""
    assert world.birth(born_at="1999-01-01T00:00:00+05:00") == 1


def test_who_has_said_stop_is_never_congratulated(world: World) -> None:
    """Not by that number, nor by another, however long it is ago."""
    closed_case(world)
    world.reply("STOP")
    deliver_all(world)
    world.now += 9 * YEAR
    assert forget(world) == (1, 1)  # that STOP belonged to no case any more
    again = world.birth("b2", born_at=world.now.isoformat())
    elsewhere = world.birth("b3", born_at=world.now.isoformat(), mother_iin=OTHER_IIN)

    assert (world.case(again).result, world.case(elsewhere).result) == ("stopped", "stopped")
    assert rows(world, "SELECT msisdn, stopped_at IS NULL FROM phone") == [(PHONE, 0)]


def test_case_that_went_on_with_another_number_leaves_nothing_by_the_first(world: World) -> None:
    """Replies are found by the numbers that the case has had."""
    case = world.birth()
    world.reply("R 1 1 2")
    with world.store.transaction():
        world.births.bind_citizen(IIN, PHONE, NOON, NOON)
        world.births.bind_citizen(IIN, NEW, NOON + HOUR, NOON + HOUR)
        world.engine.operate(case, "resume", NOON + HOUR)
    world.reply("R 1 1 2 Ахметов Нурлан", NEW)
    world.wait(5 * DAY)
    deliver_all(world)
    assert {row[0] for row in rows(world, "SELECT DISTINCT msisdn FROM inbound")} == {PHONE, NEW}
    world.now += 2 * YEAR

    assert forget(world) == (1, 0)
    assert rows(world, "SELECT * FROM inbound UNION ALL SELECT * FROM inbound") == []
    assert rows(world, "SELECT * FROM phone") == []
    assert world.flaws() == []


def test_texts_of_no_case_go_by_their_age(world: World) -> None:
    """Strangers, texts that were delivered again, frames that could not be read; and then the phone."""
    for number in range(3):
        world.reply("who is this?", STRANGER)
        deliver_all(world)
        with world.store.transaction():
            world.store.arrivals.keep_frame("main", b"\1\2", "odd", world.now)
        world.now += 10 * DAY
        assert len(rows(world, "SELECT 1 FROM inbound WHERE conversation IS NULL")) == number + 1
    assert len(rows(world, "SELECT 1 FROM outbox WHERE conversation IS NULL")) == 3
    last = NOON + 20 * DAY

    assert forget(world, last) == (0, 6)
    for table in ("inbound", "outbox", "segment", "undecodable", "phone"):
        assert len(rows(world, f"SELECT 1 FROM {table}")) == 1, table
    world.now += 2 * DAY
    assert forget(world, last + DAY) == (0, 3)
    for table in ("inbound", "outbox", "segment", "undecodable", "phone", "long_text"):
        assert rows(world, f"SELECT * FROM {table}") == [], table


def test_text_of_no_case_stays_while_it_is_under_way(world: World) -> None:
    """And holds up none of those that came after it."""
    for text in ("who is this?", "and who are you?"):
        world.reply(text, STRANGER)
        world.now += 2 * DAY
    first, second = (text.id for text in world.sending())
    with world.store.transaction():
        world.store.outbox.mark_segment(second, 0, 1, Taken("main", "B", "b"), world.now)

    assert forget(world, world.now) == (0, 3)
    assert rows(world, "SELECT id, status FROM outbox") == [(first, "sending")]


def test_phone_that_was_told_something_today_is_told_no_more(world: World) -> None:
    """At most one explanation a day: also when her case is forgotten in between."""
    closed_case(world)
    world.now += 2 * YEAR
    world.reply("что это?")
    deliver_all(world)
    rows(world, "UPDATE outbox SET changed_at = '2020'")
    assert rows(world, "SELECT conversation IS NULL FROM inbound") == [(1,)]

    assert forget(world) == (1, 0)
    assert world.reply("кто это?").reason == "no_case"
    assert world.sent() == []


def test_late_reply_to_a_case_that_is_forgotten_is_a_text_to_nothing(world: World) -> None:
    """The store remembers no conversation of hers that it has forgotten."""
    closed_case(world)
    world.now += 2 * YEAR
    assert world.store.conversations.load_phone(PHONE)
    forget(world)

    assert world.store.conversations.load_phone(PHONE) == ()
    assert world.reply("R 1 1 2").reason == "no_case"
    assert world.flaws() == []


def dump(world: World) -> list[str]:
    return list(world.store._connection.iterdump())


@pytest.fixture(scope="module")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, datetime]:
    """A store of which everything is to be forgotten, and when."""
    folder = tmp_path_factory.mktemp("old")
    with a_world(folder) as world:
        live_through(world)
        world.reply("hello?", STRANGER)
        deliver_all(world)
    return (folder / "store.db").read_bytes(), world.now + 2 * YEAR


def die(world: World) -> bool:
    """Whether the process dies before it has forgotten everything; without another word."""
    with suppress(Crash):
        forget(world)
        return False
    world.store._connection.close()
    world.store._lock.close()
    return True


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_crash_at_any_statement_forgets_all_of_a_slice_or_nothing(
    tmp_path: Path, old_store: tuple[bytes, datetime], after: bool
) -> None:
    """The store is sound whenever the process dies, and the pass after the next start does the rest."""
    file, moments, statement = tmp_path / "store.db", set(), 0
    disk = Disk(lambda _: None)
    died = True
    while died:
        statement += 1
        file.write_bytes(old_store[0])
        with patch("smsflow.store.store._connect", disk.connect):
            world = World(open_store(file, ZONE), None, DIALOGS)
        world.now = old_store[1]
        disk.crash_at, disk.crash_after = disk.statements + statement, after
        died = die(world)
        disk.crash_at, disk.dead = 0, False
        if not died:
            world.store.close()
        with a_world(tmp_path) as world:
            world.now = old_store[1]
            moments.add("\n".join(dump(world)))
            assert world.flaws() == []
            forget(world)
            for table in ("conversation", "journal", "inbound", "outbox", "birth", "phone"):
                assert rows(world, f"SELECT * FROM {table}") == [], table
            assert world.flaws() == []

    assert statement > 50
    assert len(moments) == 5  # nothing; it has begun; one case; the other; the texts to and from nobody


@pytest.mark.parametrize("left_out", range(len(retention._OF_CASE) - 1), ids=lambda number: f"_OF_CASE[{number}]")
def test_verify_notices_what_is_left_of_a_forgotten_case(world: World, left_out: int) -> None:
    """Each statement is needed: without it something belongs to nothing."""
    live_through(world)
    world.now += 2 * YEAR
    fewer = retention._OF_CASE[:left_out] + retention._OF_CASE[left_out + 1 :]
    with patch.object(retention, "_OF_CASE", fewer):
        assert forget(world) == (2, 0)

    assert any("orphan" in flaw for flaw in world.flaws())


def test_journal_that_cannot_be_read_holds_nothing_up(world: World) -> None:
    """What is damaged is for `smsflow verify` to tell, and no reason to refuse replies."""
    closed_case(world)
    rows(world, "UPDATE journal SET event = 'rubbish {'")
    world.now += 2 * YEAR

    assert forget(world) == (1, 0)


def test_space_is_used_again(world: World, tmp_path: Path) -> None:
    """Year for year as many mothers: the file grows no more."""
    sizes = []
    for year in range(6):
        for number in range(40):
            closed_case(
                world, f"b{year}-{number}", msisdn=f"770100{year:02}{number:03}", born_at=world.now.isoformat()
            )
        world.now += YEAR + DAY
        forget(world, most=10)
        world.store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes.append((tmp_path / "store.db").stat().st_size)

    assert rows(world, "SELECT count(*) FROM conversation") == [(0,)]
    assert max(sizes[1:]) <= sizes[0] * 1.1


def test_case_numbers_are_never_used_again(world: World) -> None:
    """Bodies and people know a case by its number, an application by its own."""
    case = live_through(world)
    world.now += 2 * YEAR
    forget(world)

    assert world.birth("b9", born_at=world.now.isoformat()) == case + 2


def test_forgetting_on_a_store_that_is_locked_by_a_reader_is_no_trouble(world: World, tmp_path: Path) -> None:
    """A backup or a listing that is under way sees its moment to the end."""
    closed_case(world)
    world.now += 2 * YEAR
    reader = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM conversation").fetchone() == (1,)
    assert forget(world) == (1, 0)

    assert reader.execute("SELECT count(*) FROM conversation").fetchone() == (1,)
    reader.close()


def test_number_of_a_case_that_was_forgotten_is_not_given_again(world: World, tmp_path: Path) -> None:
    """Though it was the last, and the daemon has been started again since: a body may still speak of it."""
    case = live_through(world)
    last = rows(world, "SELECT max(id) FROM conversation")[0][0]
    world.now += 3 * YEAR
    forget(world)
    assert rows(world, "SELECT count(*) FROM conversation") == [(0,)]
    world.store.close()
    store = open_store(tmp_path / "store.db", ZONE)
    try:
        later = World(store, None, DIALOGS)
        later.now = world.now
        assert case < last < later.birth("new", born_at=world.now.isoformat())
    finally:
        store.close()
