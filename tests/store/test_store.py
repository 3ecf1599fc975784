"""The store on a real file: all or nothing at every statement, and one owner."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from world import NOON, PHONE, ZONE, World, a_world

from smsflow.core.effects import Outcome, Send, Step, Urgency
from smsflow.core.errors import StaleConversation, StoreError
from smsflow.core.events import Resumed
from smsflow.store.arrivals import Part
from smsflow.store.inbound import Inbound
from smsflow.store.outbox import Taken
from smsflow.store.receipts import Report
from smsflow.store.schema import PERSONAL
from smsflow.store.store import open_store


class Failing:
    """Runs statements until one is due to fail, as a full disk would make it."""

    def __init__(self, connection: sqlite3.Connection, fail_at: int) -> None:
        self._connection = connection
        self.left = fail_at

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        self._count(statement)
        return self._connection.execute(statement, *arguments)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        self._count(statement)
        return self._connection.executemany(statement, rows)

    def _count(self, statement: str) -> None:
        if not statement.startswith("ROLLBACK"):
            self.left -= 1
            if self.left < 0:
                raise sqlite3.OperationalError("database or disk is full")


def run_with(world: World, disk: Failing | sqlite3.Connection) -> None:
    statements = world.store._statements
    statements._execute = disk.execute
    statements._execute_many = disk.executemany


def dump(world: World) -> list[str]:
    return list(world.store._connection.iterdump())


def test_failure_at_any_statement_leaves_all_or_nothing(tmp_path: Path) -> None:
    """A reply that cannot be committed has not happened; taken again, it happens once."""
    with a_world(tmp_path) as world:
        world.birth()
        world.sent()
        before, connection, statements = dump(world), world.store._connection, 0
        while True:
            failing = Failing(connection, statements)
            run_with(world, failing)
            try:
                outcome = world.reply("R 1 1 2").outcome
            except StoreError:
                run_with(world, connection)
                assert dump(world) == before, f"half a reply is on the disk after statement {statements}"
                statements += 1
                continue
            run_with(world, connection)
            break

        assert failing.left == 0
        assert statements >= 8
        assert outcome == "answered"
        assert world.sent() == ["name R 1 1 2"]


def test_second_daemon_is_kept_away(tmp_path: Path) -> None:
    """A lock keeps two daemons off one file, and says so."""
    with a_world(tmp_path), pytest.raises(StoreError, match="in use by another smsflow"):
        open_store(tmp_path / "store.db", ZONE)


def test_newer_store_is_not_touched(tmp_path: Path) -> None:
    """A file that a newer smsflow has migrated is refused."""
    with a_world(tmp_path) as world:
        world.store._connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('smsflow', 'later', 'x')"
        )

    with pytest.raises(StoreError, match="newer smsflow"):
        open_store(tmp_path / "store.db", ZONE)


def test_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """A file of something else is not overwritten."""
    (tmp_path / "store.db").write_text("a diary, not a database" * 100)

    with pytest.raises(StoreError, match="not a database"):
        open_store(tmp_path / "store.db", ZONE)


def test_commits_are_durable(tmp_path: Path) -> None:
    """WAL with synchronous FULL: what was acknowledged survives a power cut."""
    with a_world(tmp_path) as world:
        execute = world.store._connection.execute

        assert execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert execute("PRAGMA synchronous").fetchone() == (2,)


def test_case_that_has_moved_on_is_not_overwritten(tmp_path: Path) -> None:
    """The version of a conversation guards against a lost update."""
    with a_world(tmp_path) as world:
        stale = world.case(world.birth())
        world.reply("R 1 1 2")
        step = Step(world.case(stale.case), (), Outcome.MOVED)

        with pytest.raises(StaleConversation, match="has moved on"), world.store.transaction():
            world.store.conversations.record(stale, Resumed(NOON, NOON), step)


def test_personal_columns_exist() -> None:
    """What is named as personal is there: a renamed column must not fall out of the list."""
    connection = sqlite3.connect(":memory:")
    from sqlite_utils import Database

    from smsflow.store.schema import migrations

    database = Database(connection, execute_plugins=False)
    migrations.apply(database)
    for table, columns in PERSONAL.items():
        assert set(columns) <= {column.name for column in database[table].columns}, table
    connection.close()


def test_conversation_survives_the_store(tmp_path: Path) -> None:
    """Every field of a conversation comes back as it went in."""
    with a_world(tmp_path) as world:
        case = world.birth()
        for reply in ("R 1 1 2", "R 1 1 2 Ахметов Нурлан", "R 1 1 2 1", "R 1 1 2 1 9"):
            world.reply(reply)

        assert world.replay(case) == world.case(case)
        assert world.case(case).page == 1


# --- texts in ---------------------------------------------------------------------------------------


def part(number: int, payload: bytes, **changes: Any) -> Part:
    facts = {"at": NOON, "msisdn": PHONE, "destination": "1414", "reference": "udh8.7.3", "number": number}
    return Part(**(facts | {"total": 3, "data_coding": 8, "payload": payload} | changes))


def test_parts_come_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    """A long text is complete when every part has come, however they came."""
    with a_world(tmp_path) as world, world.store.transaction():
        assert world.store.arrivals.add_part(part(3, b"c")) == ()
        assert world.store.arrivals.add_part(part(1, b"a")) == ()
        assert world.store.arrivals.add_part(part(3, b"c")) == ()
        assert world.store.arrivals.add_part(part(2, b"?", msisdn="77017654321")) == ()

        assert [each.payload for each in world.store.arrivals.add_part(part(2, b"b"))] == [b"a", b"b", b"c"]
        assert world.store.arrivals.add_part(part(2, b"b")) == ()


def test_earlier_delivery_is_known_by_its_text_and_session(tmp_path: Path) -> None:
    """Another text, another phone, the same session, or long ago: not the same delivery."""
    with a_world(tmp_path) as world, world.store.transaction():
        first = Inbound(NOON, "main", "one", 1, PHONE, "1414", 8, b"\0R", "R")
        world.store.inbound.add(first, case=None, outcome="not_understood")

        def is_known(
            session: str, raw: bytes = b"\0R", phone: str = PHONE, minutes: int = 10, sequence: int = 2
        ) -> bool:
            again = Inbound(NOON, "main", session, sequence, phone, "1414", 8, raw, raw.decode("utf-16-be"))
            return world.store.inbound.is_delivered_again(again, NOON + timedelta(minutes=1 - minutes))

        assert is_known("two")
        assert not is_known("one")
        assert is_known("one", sequence=1)
        assert not is_known("two", raw=b"\0S")
        assert not is_known("two", phone="77017654321")
        assert not is_known("two", minutes=0)


# --- texts out --------------------------------------------------------------------------------------


def status(world: World, text: int = 1) -> str:
    row = world.store._connection.execute("SELECT status FROM outbox WHERE id=?", (text,)).fetchone()
    return str(row[0])


def report(key: str, state: str = "delivered", phone: str = PHONE) -> Report:
    return Report(NOON, "main", phone, (key,), (key,), state)


def taken(message_id: str) -> Taken:
    return Taken("main", message_id, message_id.lower())


def test_text_is_accepted_when_every_part_is_and_delivered_likewise(tmp_path: Path) -> None:
    """queued → sending → accepted → delivered, part by part."""
    with a_world(tmp_path) as world:
        world.birth()
        seen = [status(world)]
        world.sending()
        seen.append(status(world))
        with world.store.transaction():
            world.store.outbox.mark_segment(1, 0, 2, taken("A1"), NOON)
            seen.append(status(world))
            world.store.outbox.mark_segment(1, 1, 2, taken("A2"), NOON)
            seen.append(status(world))
            assert world.store.outbox.receipts.mark([report("a1")]) == [True]
            seen.append(status(world))
            assert world.store.outbox.receipts.mark([report("a2")]) == [True]
            seen.append(status(world))
            assert world.store.outbox.receipts.mark([report("a2", "failed")]) == [True]
            seen.append(status(world))

        assert seen == ["queued", "sending", "sending", "accepted", "accepted", "delivered", "delivered"]


def test_receipt_for_an_unknown_text_is_told_apart(tmp_path: Path) -> None:
    """Message centres send receipts for what was never ours."""
    with a_world(tmp_path) as world, world.store.transaction():
        assert world.store.outbox.receipts.mark([report("nobody")]) == [False]


@pytest.mark.parametrize("early", [(), (0,), (0, 1)])
def test_texts_taken_together_are_each_what_they_would_be_alone(tmp_path: Path, early: tuple[int, ...]) -> None:
    """Two texts of two parts are written down as one; receipts for some parts have come before."""
    parts = {text: [(part, taken(f"{text}{part}")) for part in (0, 1)] for text in (1, 2)}

    def tell(folder: Path, *, together: bool) -> list[str]:
        folder.mkdir()
        with a_world(folder) as world, world.store.transaction():
            outbox = world.store.outbox
            for _ in parts:
                outbox.add(None, PHONE, Send("long", Urgency.NOTICE, NOON), None, NOON)
            outbox.claim("main", 10, NOON)
            outbox.receipts.forget_parked(NOON, 1)  # and learns so whether any wait
            for part in early:
                assert outbox.receipts.mark([report(f"1{part}")]) == [False]
            if together:
                outbox.mark_whole([(text, PHONE, each) for text, each in parts.items()], NOON)
            else:
                for text, each in parts.items():
                    outbox.mark_taken(text, PHONE, 2, each, NOON)
            return [line for line in dump(world) if "_migrations" not in line]

    together = tell(tmp_path / "together", together=True)
    assert together == tell(tmp_path / "alone", together=False)
    assert sum("'accepted'" in line for line in together) == (1 if len(early) == 2 else 2)


def test_text_in_doubt_is_sent_again_and_marked(tmp_path: Path) -> None:
    """After a crash, what was being sent goes out again; what was accepted does not."""
    with a_world(tmp_path) as world:
        world.birth()
        world.sending()
        with world.store.transaction():
            world.store.outbox.doubt_all(NOON, {})
            again = world.store.outbox.claim("main", 10, NOON)
            assert [(text.doubts, text.attempts) for text in again] == [(1, 1)]
            world.store.outbox.mark_segment(1, 0, 1, taken("A1"), NOON)
            world.store.outbox.doubt_all(NOON, {})
            assert not world.store.outbox.claim("main", 10, NOON)


def test_claim_keeps_to_the_room_and_to_urgency(tmp_path: Path) -> None:
    """Answers go before greetings; segments are counted, not texts; one text goes whatever its size."""
    with a_world(tmp_path) as world:
        world.birth("b1")
        world.birth("b2", msisdn="77017654321", mother_iin="950101200002")
        world.reply("что?", phone="77017654321")
        with world.store.transaction():
            first = world.store.outbox.claim("main", 1, NOON)
            second = world.store.outbox.claim("main", 10, NOON)

        # The answer takes the greeting of its phone along, which was queued before it.
        assert [text.text for text in first] == ["greeting R 1 1 1 R 1 1 2"]
        assert [(text.msisdn, text.text[:8]) for text in second] == [
            ("77017654321", "hint for"),
            ("77011234567", "greeting"),
        ]


def queue(world: World, *texts: tuple[str, str]) -> None:
    with world.store.transaction():
        for phone, text in texts:
            world.store.outbox.add(None, phone, Send(text, Urgency.ANSWER, NOON), None, NOON)


def test_segments_are_counted_and_a_text_that_is_larger_than_the_room_goes_alone(tmp_path: Path) -> None:
    """Else a window would be overrun, and a text of more parts than the window would never leave."""
    with a_world(tmp_path) as world:
        queue(world, ("77010000001", "a" * 200), ("77010000002", "b" * 200), ("77010000003", "c" * 600))
        with world.store.transaction():
            claims = [world.store.outbox.claim("main", room, NOON) for room in (3, 2, 3, 3)]

        assert [[text.text[0] for text in claim] for claim in claims] == [["a"], ["b"], ["c"], []]


def test_parts_of_an_earlier_sending_count_for_the_next(tmp_path: Path) -> None:
    """One part was taken before the cut: the text is accepted when the other is, and both receipts are known."""
    with a_world(tmp_path) as world:
        queue(world, (PHONE, "a" * 200))
        assert [text.taken for text in world.sending()] == [frozenset()]
        with world.store.transaction():
            world.store.outbox.mark_segment(1, 0, 2, taken("A1"), NOON)
            world.store.outbox.doubt(1, NOON)
        assert [text.taken for text in world.sending()] == [frozenset({0})]
        with world.store.transaction():
            assert world.store.outbox.receipts.mark([report("a1", "delivered")]) == [True]
            assert status(world) == "sending"
            world.store.outbox.mark_segment(1, 1, 2, taken("B2"), NOON)
            assert status(world) == "accepted"
            assert world.store.outbox.receipts.mark([report("b2", "delivered")]) == [True]

        assert status(world) == "delivered"


def test_parts_that_another_link_took_do_not_count(tmp_path: Path) -> None:
    """Nor do those of a text in doubt that a person has sent again: both go whole."""
    with a_world(tmp_path) as world:
        case = world.birth()
        with world.store.transaction():
            world.store._connection.execute("DELETE FROM outbox")
            world.store.outbox.add(case, PHONE, Send("a" * 200, Urgency.ANSWER, NOON), None, NOON)
            outbox = world.store.outbox
            outbox.claim("main", 9, NOON)
            outbox.mark_segment(1, 0, 2, taken("A1"), NOON)
            outbox.retry(1, "ESME_RTHROTTLED", NOON, NOON)
            assert [text.taken for text in outbox.claim("other", 9, NOON)] == [frozenset()]
            outbox.mark_segment(1, 1, 2, Taken("other", "B2", "b2"), NOON)
            outbox.hold_in_doubt(1, NOON)
            assert outbox.resend(case, NOON) == 1
            assert [text.taken for text in outbox.claim("other", 9, NOON)] == [frozenset()]


def test_text_of_a_wait_that_is_over_is_dropped_when_it_would_go(tmp_path: Path) -> None:
    """The question was answered while its text was tried again: it would be untrue, and those after it go."""
    with a_world(tmp_path) as world:
        case = world.birth()
        wait = world.case(case).wait
        with world.store.transaction():
            world.store._connection.execute("DELETE FROM outbox")
            for text, of_wait in (("over", wait - 1), ("open", wait), ("notice", None)):
                world.store.outbox.add(case, PHONE, Send(text, Urgency.ANSWER, NOON), of_wait, NOON)

        assert [text.text for text in world.sending()] == ["open", "notice"]
        assert [status(world, text) for text in (1, 2, 3)] == ["dropped", "sending", "sending"]


def test_text_that_is_refused_for_good_is_flagged(tmp_path: Path) -> None:
    """A person must look; it is not tried again."""
    with a_world(tmp_path) as world:
        world.birth()
        world.sending()
        with world.store.transaction():
            world.store.outbox.fail(1, "ESME_RINVDSTADR", NOON)

        assert status(world) == "failed"
        assert world.flags() == ["text_failed"]
        assert world.sent() == []


def test_text_that_was_refused_for_now_waits(tmp_path: Path) -> None:
    """It is held until its time, then queued again."""
    with a_world(tmp_path) as world:
        world.birth()
        world.sending()
        with world.store.transaction():
            world.store.outbox.retry(1, "ESME_RSYSERR", NOON + timedelta(minutes=1), NOON)
        assert world.sent() == []

        world.wait(timedelta(minutes=2))
        assert len(world.sent()) == 1


def test_what_waits_for_one_body_is_not_looked_at_for_another(tmp_path: Path) -> None:
    """A body that is down for a day must not make each look longer: it takes as long as there are kinds."""
    steps: list[int] = []

    def add(world: World, kind: str, count: int) -> None:
        world.store._connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO application"
            " (conversation, kind, data, status, next_at, created_at) SELECT 1, ?, '{}', 'queued', '', '' FROM n",
            (count, kind),
        )

    def look(world: World) -> tuple[list[str], int]:
        steps.clear()
        world.store._connection.set_progress_handler(lambda: steps.append(1), 10)
        due = world.store.bodies.load_due(NOON, 2, but_of=("registration",))
        world.store._connection.set_progress_handler(None, 0)
        return [application.kind for application in due], len(steps)

    with a_world(tmp_path) as world:
        for kind, count in {"registration": 10, "allowance": 10, "queue": 1}.items():
            add(world, kind, count)
        kinds, few = look(world)
        add(world, "registration", 5000)
        add(world, "allowance", 5000)

        assert kinds == ["allowance", "allowance", "queue"]
        assert look(world) == (kinds, pytest.approx(few, abs=2))
