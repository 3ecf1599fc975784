"""Phones that have written are looked up together, and what is found is what would be found one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from world import NOON, PHONE, World, a_world

from smsflow.store import expected
from smsflow.store import inbound as inbound_module
from smsflow.store.expected import Expected

PHONES = [f"7701000000{digit}" for digit in range(5)]


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


@contextmanager
def looking(world: World) -> Iterator[list[str]]:
    """The statements that read something."""
    ran: list[str] = []
    world.store._connection.set_trace_callback(lambda line: line.startswith("SELECT") and ran.append(line))
    yield ran
    world.store._connection.set_trace_callback(None)


def test_unknown_are_the_one_asked_for_and_those_expected() -> None:
    """Each once, the one that is asked for first."""
    phones = Expected()
    for phone in "abca":
        phones.add(phone)
    assert phones.unknown("b", {"c"}) == ["b", "a"]
    assert phones.unknown("x", {}) == ["x", "a", "b", "c"]
    phones.clear()
    assert phones.unknown("b", {}) == ["b"]


def test_no_more_are_expected_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are looked up one by one."""
    monkeypatch.setattr(expected, "_MOST", 2)
    phones = Expected()
    for phone in "abc":
        phones.add(phone)
    assert phones.unknown("x", {}) == ["x", "a", "b"]


def test_looks_do_not_grow_with_the_replies(world: World) -> None:
    """Link, earlier texts and conversations: one statement each, for five mothers as for one."""
    for phone in PHONES:
        world.birth(f"b{phone}", msisdn=phone)
    looks = []
    for phones in (PHONES[:1], PHONES[1:]):
        for phone in phones:
            world.store.expect(phone)
        with looking(world) as ran, world.store.transaction():
            for phone in phones:
                assert world.take("R 1 1 2", phone).outcome == "answered"
        looks.append(len(ran))
    assert looks[0] == looks[1]
    with looking(world) as ran, world.store.transaction():
        world.take("R 1 1 2 Ахметов Нурлан", PHONES[0])
    assert not [line for line in ran if "json_each" in line]


def test_what_changed_since_the_look_is_seen(world: World) -> None:
    """Of two mothers that are expected one gets a second child, moves to another number, and has written before."""
    world.birth("b1", msisdn=PHONES[0])
    world.birth("b2", msisdn=PHONES[1])
    for phone in PHONES[:3]:
        world.store.expect(phone)
    with world.store.transaction():
        assert world.take("R 1 1 2", PHONES[0]).case == 1
        assert [each.case for each in world.store.conversations.load_phone(PHONES[1])] == [2]
        world.births.bind_citizen("990101600008", PHONES[1], NOON, NOON)
        assert {each.status.value for each in world.store.conversations.load_phone(PHONES[1])} == {"suspended"}
        assert world.take("hello", PHONES[2]).reason == "no_case"
        world.session = "two"
        assert world.take("hello", PHONES[2]).outcome == "repeated"
        assert world.take("R 1 1 2", PHONES[0]).outcome == "repeated"


@pytest.mark.parametrize("spammer", PHONES[:4])
def test_who_writes_too_much_costs_the_others_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, spammer: str
) -> None:
    """More than is read at once: of the others everything is known all the same."""
    monkeypatch.setattr(inbound_module, "_MOST_AT_ONCE", 7)
    monkeypatch.setattr(inbound_module, "_MOST_TEXTS", 5)
    monkeypatch.setattr(inbound_module, "_MANY_TEXTS", 5)
    for number in range(9):
        world.reply(f"spam {number}", spammer)
    others = [phone for phone in PHONES[:4] if phone != spammer]
    for phone in others:
        world.reply("hello", phone)
        world.reply("hello again", phone)
    world.store.inbound.forget()
    world.session = "two"
    for phone in PHONES[:4]:
        world.store.expect(phone)
    with world.store.transaction():
        for phone in others:
            assert world.take("hello", phone).outcome == "repeated"
            assert len(world.store.inbound._phones[phone].texts) == 3
        assert world.take("spam 4", spammer).outcome == "repeated"
    assert world.store.inbound._phones[spammer].texts == []


def test_many_who_have_sent_much_are_read_in_halves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rollback nothing is remembered: all that cannot be read at once is not read for each phone again."""
    monkeypatch.setattr(inbound_module, "_MOST_AT_ONCE", 12)
    phones = [f"770100000{number:02}" for number in range(20)]
    for phone in phones:
        world.reply("hello", phone)
    world.store.inbound.forget()
    for phone in phones:
        world.store.expect(phone)
    world.session = "two"
    with looking(world) as ran, world.store.transaction():
        assert {world.take("hello", phone).outcome for phone in phones} == {"repeated"}
    assert len([line for line in ran if "FROM inbound" in line and "json_each" in line]) == 3


def test_sender_that_is_no_phone_is_not_looked_up(world: World) -> None:
    """A bank's advertisement must not have all cases of mothers without a phone read."""
    for number in range(3):
        world.birth(f"b{number}", msisdn=None)
    world.store.expect("")
    world.store.expect(PHONE)
    with world.store.transaction():
        assert world.take("hello", "").reason == "not_a_phone"
        assert world.take("hello").reason == "no_case"
        assert "" not in world.store.conversations._recent


def test_nobody_is_expected_any_more_after_a_transaction(world: World) -> None:
    """Neither when it was committed nor when it was not."""
    world.store.expect(PHONE)
    with world.store.transaction():
        pass
    assert world.store._expected.unknown("x", {}) == ["x"]
