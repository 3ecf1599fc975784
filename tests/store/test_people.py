"""By which link a phone last wrote is answered from memory as from the table."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from world import MOTHER, NOON, PHONE, World, a_world

from smsflow.core.errors import StoreError
from smsflow.store import people as people_module
from smsflow.store.retention import Place

OTHER = "950101200002"


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


def links(world: World) -> list[Any]:
    return world.store._connection.execute("SELECT msisdn, link FROM phone ORDER BY msisdn").fetchall()


def note(world: World, link: str = "main", phone: str = PHONE) -> None:
    with world.store.transaction():
        world.store.people.note_link(phone, link)


def note_and_fail(world: World) -> None:
    world.store.people.note_link(PHONE, "other")
    raise StoreError


def test_link_that_was_rolled_back_is_not_known(world: World) -> None:
    """With the transaction, and with a savepoint in one; the next time it is written."""
    note(world)
    with pytest.raises(StoreError), world.store.transaction():
        note_and_fail(world)
    assert world.store.people.find_link(PHONE) == "main"
    with world.store.transaction():
        with pytest.raises(StoreError), world.store.savepoint():
            note_and_fail(world)
        assert world.store.people.find_link(PHONE) == "main"
        world.store.people.note_link(PHONE, "other")
    assert links(world) == [(PHONE, "other")]


def test_new_owner_of_a_number_has_no_link_yet(world: World) -> None:
    """And the one by which she writes first is noted, though the former owner wrote by the same."""
    with world.store.transaction():
        world.births.bind_citizen(MOTHER, PHONE, NOON - timedelta(days=2), NOON)
    note(world)
    with world.store.transaction():
        world.births.bind_citizen(OTHER, PHONE, NOON - timedelta(days=1), NOON)
    assert world.store.people.find_link(PHONE) is None
    note(world)
    assert links(world) == [(PHONE, "main")]


def test_link_is_forgotten_with_its_phone(world: World) -> None:
    """Who writes again after years is somebody new, and the link is noted again."""
    world.reply("hello")
    world.now += timedelta(days=800)
    with world.store.transaction():
        world.store.retention.forget_cases(Place(), world.now - timedelta(days=400), world.now, 10)
        assert world.store.retention.forget_texts(world.now - timedelta(days=400), world.now, 10)
    assert links(world) == []
    note(world)
    assert links(world) == [(PHONE, "main")]


def test_links_that_are_remembered_do_not_grow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_module, "_MOST_LINKS", 3)
    phones = [f"7701000000{digit}" for digit in range(8)]
    for phone in phones:
        note(world, phone=phone)
        assert len(world.store.people._links) <= 3
    assert {world.store.people.find_link(phone) for phone in phones} == {"main"}
