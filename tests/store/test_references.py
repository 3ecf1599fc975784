"""The parts of two long texts that are on their way to one phone are never mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, a_world

from smsflow.core.errors import StoreError
from smsflow.store import references
from smsflow.store.references import References

ANNA, BELA = "77010000001", "77020000002"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


def reserved(world: World) -> list[tuple[str, int]]:
    return world.store._connection.execute("SELECT msisdn, reference FROM long_text ORDER BY 1").fetchall()


def test_references_of_a_phone_go_up_by_one(world: World) -> None:
    """From 1 to 65535, and again; each phone has its own. One in eight is a write."""
    given, connection = References(world.store._connection), world.store._connection
    before = connection.total_changes
    assert [given.give(ANNA) for _ in range(65_540)] == [*range(1, 65_536), *range(1, 6)]
    assert connection.total_changes - before == 65_544 // 8
    assert [given.give(BELA), given.give(ANNA)] == [1, 6]


def test_references_go_on_where_a_former_version_was(world: World) -> None:
    """It wrote down each that it gave."""
    world.store._connection.execute("INSERT INTO long_text VALUES (?, 65535), (?, 41)", (ANNA, BELA))
    given = References(world.store._connection)
    assert [given.give(ANNA), given.give(ANNA), given.give(BELA)] == [1, 2, 42]
    assert reserved(world) == [(ANNA, 8), (BELA, 49)]


@pytest.mark.parametrize("texts", [1, 3, 8, 11])
def test_no_start_gives_a_reference_again(world: World, texts: int) -> None:
    """However many texts went before it; in 8 bits, those of the last 28 texts differ, at worst."""
    rounds = 60
    given = [
        reference
        for _ in range(rounds)
        for references in [References(world.store._connection)]
        for reference in [references.give(ANNA) for _ in range(texts)]
    ]
    assert len(set(given)) == rounds * texts
    octets = [reference & 0xFF for reference in given]
    assert all(len(set(octets[begin : begin + 28])) == 28 for begin in range(len(octets) - 28))


def test_what_a_failed_transaction_reserved_is_not_used(world: World) -> None:
    """The disk says otherwise: who starts from it would give the same ones."""
    given = world.store.outbox._references

    def give_and_fail() -> None:
        given.give(ANNA)
        raise StoreError

    with pytest.raises(StoreError), world.store.transaction():
        give_and_fail()
    with world.store.transaction():
        assert given.give(ANNA) == 1
    assert reserved(world) == [(ANNA, 8)]


def test_no_more_phones_are_known_than_fit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was forgotten goes on behind what was reserved for her."""
    monkeypatch.setattr(references, "_KNOWN", 2)
    given = References(world.store._connection)
    assert [given.give(phone) for phone in (ANNA, BELA, "1", ANNA, BELA)] == [1, 1, 1, 9, 9]
    assert len(given._given) == 2
