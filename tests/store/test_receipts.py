"""For how long the receipt of a text is waited for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from world import NOON, PHONE, World, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.store.outbox import Taken
from smsflow.store.receipts import Report

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def queue(world: World, *names: str, at: datetime = NOON) -> None:
    for name in names:
        world.store.outbox.add(None, PHONE, Send(name, Urgency.NOTICE, NOON), None, at)


def send(world: World, *, at: datetime = NOON) -> None:
    """Everything that is queued goes out, and the centre calls each text by its words."""
    for text in world.store.outbox.claim("main", 100, at):
        world.store.outbox.mark_taken(text.id, PHONE, 1, [(0, Taken("main", text.text, text.text))], at)


def receive(world: World, name: str, *, at: datetime = NOON) -> bool:
    """Whether the text is found that a receipt is for."""
    return world.store.outbox.mark_receipt(Report(at, "main", PHONE, (name,), (name,), "delivered"))


def indexed(world: World) -> int:
    """How many parts the index of ids holds."""
    rows = world.store._connection.execute("SELECT count(*) FROM segment INDEXED BY segment_key WHERE key <> ''")
    return int(rows.fetchone()[0])


@pytest.mark.parametrize(
    ("ended", "since", "found"),
    [(True, 23 * HOUR, True), (True, 25 * HOUR, False), (False, 6 * DAY, True), (False, 8 * DAY, False)],
    ids=["again the same day", "again later", "within a week", "after a week"],
)
def test_receipt_is_waited_for(tmp_path: Path, ended: bool, since: timedelta, found: bool) -> None:
    """A day after the end of a text, because it may come again; a week where none has come."""
    with a_world(tmp_path) as world, world.store.transaction():
        queue(world, "a")
        send(world)
        if ended:
            assert receive(world, "a")
        world.store.outbox.receipts.stop_waiting(NOON + since, 10)

        assert indexed(world) == found
        assert receive(world, "a", at=NOON + since) is found


def test_id_that_is_used_again_is_that_of_the_text_still_waited_for(tmp_path: Path) -> None:
    """Some centres begin anew every day, and name no phone: the text of long ago is out of the question."""
    with a_world(tmp_path) as world, world.store.transaction():
        queue(world, "1")
        send(world)
        world.store.outbox.receipts.stop_waiting(NOON + 8 * DAY, 10)
        queue(world, "1", at=NOON + 8 * DAY)
        send(world, at=NOON + 8 * DAY)
        assert world.store.outbox.mark_receipt(
            Report(NOON + 8 * DAY, "main", "77010000000", ("1",), ("1",), "delivered")
        )

        states = world.store._connection.execute("SELECT status FROM outbox ORDER BY id").fetchall()
        assert states == [("accepted",), ("delivered",)]


@pytest.mark.parametrize("under_way", ["held", "queued", "sending"])
def test_text_under_way_keeps_those_after_it(tmp_path: Path, under_way: str) -> None:
    """However long it waits: its own receipt is still to come, and nothing of it may be passed."""
    with a_world(tmp_path) as world, world.store.transaction():
        queue(world, "a", "b", "c")
        send(world)
        world.store._connection.execute("UPDATE outbox SET status = ? WHERE id = 2", (under_way,))

        assert world.store.outbox.receipts.stop_waiting(NOON + 30 * DAY, 10) == 1
        assert indexed(world) == 2
        world.store._connection.execute("UPDATE outbox SET status = 'accepted' WHERE id = 2")
        assert world.store.outbox.receipts.stop_waiting(NOON + 30 * DAY, 10) == 2
        assert indexed(world) == 0


def test_so_many_at_a_time_and_each_once(tmp_path: Path) -> None:
    """It goes on where it was, also after a restart; what was deleted leaves no hole to fall into."""
    with a_world(tmp_path) as world, world.store.transaction():
        queue(world, *"abcde")
        send(world)
        assert world.store.outbox.receipts.stop_waiting(NOON + 8 * DAY, 2) == 2
        world.store._connection.execute("DELETE FROM outbox WHERE id = 3")
    with a_world(tmp_path) as world:
        told = []
        for _ in range(3):
            with world.store.transaction():
                told.append(world.store.outbox.receipts.stop_waiting(NOON + 8 * DAY, 1))

        assert told == [1, 1, 0]
        assert indexed(world) == 0


def test_nothing_is_written_when_nothing_is_over(tmp_path: Path) -> None:
    """It is asked twice a second."""
    with a_world(tmp_path) as world:
        with world.store.transaction():
            queue(world, "a")
            send(world)
        before = world.store.writes
        with world.store.transaction():
            assert world.store.outbox.receipts.stop_waiting(NOON, 10) == 0

        assert world.store.writes == before
