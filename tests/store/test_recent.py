"""What the store remembers of the phones that wrote last: it is what it would read."""

from datetime import UTC, timedelta
from pathlib import Path

import pytest
from world import NOON, PHONE, World, a_world

from smsflow.core.effects import Outcome, Step
from smsflow.core.errors import StaleConversation, StoreError
from smsflow.core.events import HelpAsked
from smsflow.store import recent

OTHER = "77017654321"


def check(world: World) -> None:
    """Hold what is remembered of both phones against what is read; to the last type and zone."""
    remembered = [world.store.conversations.load_phone(phone) for phone in (PHONE, OTHER)]
    world.store.conversations._recent.clear()
    assert repr(remembered) == repr([world.store.conversations.load_phone(phone) for phone in (PHONE, OTHER)])


def test_what_is_remembered_is_what_is_read(tmp_path: Path) -> None:
    """Through every kind of step: answers, corrections, timers, bodies, numbers that change hands, the end."""
    with a_world(tmp_path) as world:
        check(world)
        case = world.birth()
        check(world)
        with world.store.transaction():
            world.store.conversations.put_off(case, NOON + timedelta(days=2))
        check(world)
        world.birth("b2", birth_order=2)
        check(world)
        for text in ("R 1 1 2", "R 1 1 2 1", "R ?", "R 1 1 1", "R 1 1 2 3", "R 1 1 2 Ахметова Айгуль", "what"):
            world.now += timedelta(hours=2, microseconds=1234)
            world.reply(text)
            check(world)
        world.wait(timedelta(days=1))
        check(world)
        with world.store.transaction():
            world.births.bind_citizen("950101200109", PHONE, NOON, NOON)
            world.births.bind_citizen("950101200002", PHONE, NOON + timedelta(hours=1), world.now)
            world.births.bind_citizen("950101200109", OTHER, NOON + timedelta(hours=2), world.now)
        check(world)
        assert {each.status.value for each in world.store.conversations.load_phone(PHONE)} == {"suspended"}
        world.body(case, "registered", place="x")
        check(world)
        with world.store.transaction():
            world.engine.operate(case, "resume", world.now)
        check(world)
        assert [each.case for each in world.store.conversations.load_phone(OTHER)] == [case]
        world.reply("STOP", phone=OTHER)
        check(world)


def test_times_of_another_zone_are_remembered_as_they_are_read(tmp_path: Path) -> None:
    """An event in UTC, finer than a millisecond, leaves the same times behind."""
    with a_world(tmp_path) as world:
        world.birth()
        world.now = NOON.astimezone(UTC) + timedelta(microseconds=7)
        check(world)

        world.reply("R 1 1 2")

        check(world)


def fail_after_end(world: World, case: int) -> None:
    """End a case, look at it, and fail."""
    world.engine.operate(case, "end", NOON)
    assert {each.status.value for each in world.store.conversations.load_phone(PHONE)} == {"closed"}
    world.store._execute("no statement")


def test_what_was_rolled_back_is_not_remembered(tmp_path: Path) -> None:
    """Neither of a transaction, nor of a job within one."""
    with a_world(tmp_path) as world:
        case = world.birth()
        before = world.store.conversations.load_phone(PHONE)

        with pytest.raises(StoreError), world.store.transaction():
            fail_after_end(world, case)
        assert world.store.conversations.load_phone(PHONE) == before

        with world.store.transaction():
            with pytest.raises(StoreError), world.store.savepoint():
                fail_after_end(world, case)
            assert world.store.conversations.load_phone(PHONE) == before


def test_what_was_remembered_wrongly_is_read_again(tmp_path: Path) -> None:
    """A version that is not the store's is refused, and forgotten."""
    with a_world(tmp_path) as world:
        world.birth()
        held = world.store.conversations.load_phone(PHONE)
        world.store._connection.execute("UPDATE conversation SET version = 7")

        with (
            pytest.raises(StaleConversation, match="case 1 has moved on since version 1"),
            world.store.transaction(),
        ):
            world.store.conversations.record(held[0], HelpAsked(NOON, "R ?"), Step(world.case(1), (), Outcome.HELP))

        assert [each.version for each in world.store.conversations.load_phone(PHONE)] == [7]


def test_no_more_phones_are_remembered_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were asked for last stay."""
    monkeypatch.setattr(recent, "_MOST", 2)
    with a_world(tmp_path) as world:
        for phone in ("1", "2", "1", "3"):
            world.store.conversations.load_phone(phone)

        assert list(world.store.conversations._recent._by_phone) == ["1", "3"]
