"""For how long the receipt of a text is waited for."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from random import Random

import pytest
from world import NOON, PHONE, World, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.store import receipts
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
    return world.store.outbox.receipts.mark([Report(at, "main", PHONE, (name,), (name,), "delivered")]) == [True]


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
        other = Report(NOON + 8 * DAY, "main", "77010000000", ("1",), ("1",), "delivered")
        assert world.store.outbox.receipts.mark([other]) == [True]

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


PHONES = (PHONE, "77010000002", "77010000003")
IDS = ("1", "2", "a", "10", "16")  # few, so that many texts have the same
STATES = ("delivered", "delivered", "delivered", "failed", "expired")


def tell_a_story(world: World, seed: int) -> list[object]:
    """Texts of one to three parts are taken by two links, and receipts come for them, or for nothing."""
    random, told = Random(seed), []
    for turn in range(12):
        at = NOON + turn * HOUR
        with world.store.transaction():
            outbox = world.store.outbox
            for _ in range(random.randrange(4)):
                outbox.add(None, random.choice(PHONES), Send("text", Urgency.NOTICE, NOON), None, at)
            whole = []
            for text in outbox.claim("main", 100, at):
                ids = [random.choice(IDS) for _ in range(random.randint(1, 3))]
                parts = [
                    (part, Taken(random.choice(("main", "other")), each, each)) for part, each in enumerate(ids)
                ]
                if random.random() < 0.7:
                    whole.append((text.id, text.msisdn, parts))
                else:
                    outbox.mark_taken(text.id, text.msisdn, len(ids), parts[: random.randint(1, len(ids))], at)
            outbox.mark_whole(whole, at)
        for _ in range(random.randrange(3)):
            with world.store.transaction():
                reports = [draw_report(random, at) for _ in range(random.randint(1, 9))]
                told.append(world.store.outbox.receipts.mark(reports))
    return [*told, *world.store._connection.iterdump()]


def draw_report(random: Random, at: datetime) -> Report:
    keys = random.sample(IDS, random.randint(1, 3))
    msisdn = random.choice((*PHONES, *PHONES, "77019999999", ""))
    at += timedelta(seconds=random.randrange(60))
    return Report(at, random.choice(("main", "other")), msisdn, tuple(keys), tuple(keys[:1]), random.choice(STATES))


@pytest.mark.parametrize("seed", range(30))
def test_receipts_together_say_what_each_would_by_itself(tmp_path: Path, seed: int) -> None:
    """However often ids are used again, whatever comes twice, early, of nobody, or for a part of a text."""
    stories = []
    for name in ("together", "alone"):
        (tmp_path / name).mkdir()
        with a_world(tmp_path / name) as world, pytest.MonkeyPatch.context() as patch:
            if name == "alone":
                patch.setattr(receipts._Places, "find", lambda *_: None)  # each is looked for by itself
            stories.append([line for line in tell_a_story(world, seed) if "_migrations" not in str(line)])

    together, alone = stories
    assert together == alone
    assert {True, False} <= set(chain(*(each for each in together if isinstance(each, list))))


def test_many_receipts_take_few_statements(tmp_path: Path) -> None:
    """As many for forty receipts as for four."""
    with a_world(tmp_path) as world:
        counts = []
        for size in (4, 40):
            names = [f"{size}-{number}" for number in range(size)]
            with world.store.transaction():
                queue(world, *names)
                send(world)
            ran: list[str] = []
            with world.store.transaction():
                world.store._connection.set_trace_callback(ran.append)
                reports = [Report(NOON, "main", PHONE, (name,), (name,), "delivered") for name in names]
                assert all(world.store.outbox.receipts.mark(reports))
                world.store._connection.set_trace_callback(None)
            counts.append(sum(line.startswith("SELECT") for line in ran))

        assert counts == [2, 2]
