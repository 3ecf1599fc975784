"""Second deliveries are recognised from memory as they are from the table."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from world import NOON, World, a_world

from smsflow.core.errors import StoreError
from smsflow.replies import REDELIVERY
from smsflow.store import inbound as inbound_module
from smsflow.store.inbound import Inbound

MINUTE = timedelta(minutes=1)


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


def a_text(**changes: object) -> Inbound:
    first = Inbound(NOON, "main", "one", 1, "77011234567", "1414", 0, b"R 1 1 2", "R 1 1 2")
    return first._replace(**changes)  # type: ignore[arg-type]


def by_table(world: World, text: Inbound) -> bool:
    """What a store says that remembers nothing."""
    world.store.inbound.forget()
    return world.store.inbound.is_delivered_again(text, text.at - REDELIVERY)


@pytest.mark.parametrize("seed", range(20))
def test_memory_says_what_the_table_says(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Through a random history of few phones, texts, sessions and numbers; the clock goes back at times."""
    monkeypatch.setattr(inbound_module, "_MOST_PHONES", 3)
    monkeypatch.setattr(inbound_module, "_MOST_TEXTS", 6)
    monkeypatch.setattr(inbound_module, "_MANY_TEXTS", 5)
    chance = random.Random(seed)
    at, said, found = NOON, [], 0
    for _ in range(60):
        with world.store.transaction():
            for _ in range(chance.randint(1, 4)):
                at += chance.choice([timedelta(), MINUTE, 4 * MINUTE, -2 * MINUTE])
                word = chance.choice("ab")
                text = a_text(
                    at=at, session=chance.choice(["one", "two"]), sequence=chance.randint(1, 3), text=word,
                    msisdn=f"7701000000{chance.choice('0001234')}",
                    raw=chance.choice([word.encode(), word.encode("utf-16-be")]),
                )  # fmt: skip
                again = world.store.inbound.is_delivered_again(text, text.at - REDELIVERY)
                said.append((text, again))
                found += again
                world.store.inbound.add(text, case=None, outcome="answered")
    assert 10 < found < len(said) - 10
    world.store._connection.execute("DELETE FROM inbound")
    for text, again in said:
        assert by_table(world, text) == again, text
        world.store.inbound.add(text, case=None, outcome="answered")
    assert not [each for each in world.store.inbound._phones.values() if len(each.texts) > 6 + 4]


def take_and_fail(world: World) -> None:
    world.take("R 1 1 2")
    raise StoreError


def test_what_was_rolled_back_did_not_come(world: World) -> None:
    """A text that comes again after its transaction failed is the first."""
    with pytest.raises(StoreError), world.store.transaction():
        take_and_fail(world)
    later = a_text(session="two")
    assert not world.store.inbound.is_delivered_again(later, NOON - REDELIVERY)


def test_phone_that_writes_more_than_is_remembered_is_still_known(world: World) -> None:
    """The table is asked then, and what is remembered does not grow."""
    with world.store.transaction():
        for sequence in range(300):
            text = a_text(sequence=sequence, text=f"{sequence}", raw=b"%d" % sequence)
            assert not world.store.inbound.is_delivered_again(text, NOON - REDELIVERY)
            world.store.inbound.add(text, case=None, outcome="x")
    for sequence in (0, 299):
        again = a_text(session="two", text=f"{sequence}", raw=b"%d" % sequence)
        assert world.store.inbound.is_delivered_again(again, NOON - REDELIVERY)
    assert [each.texts for each in world.store.inbound._phones.values()] == [[]]


def test_phone_of_which_not_all_is_read_is_still_known(world: World) -> None:
    """One text more than is read at once: the table is asked, whichever end of them was cut off."""
    texts = [
        a_text(sequence=number, text=f"{number}", raw=b"%d" % number)
        for number in range(inbound_module._MOST_AT_ONCE + 1)
    ]
    with world.store.transaction():
        for text in texts:
            world.store.inbound.add(text, case=None, outcome="x")
    for text in (texts[0], texts[-1]):
        assert world.store.inbound.is_delivered_again(text._replace(session="two"), NOON - REDELIVERY)


def test_texts_whose_time_is_over_are_let_go_of(world: World) -> None:
    """A mother who writes all day long, minutes apart, is not remembered with all that she has written."""
    with world.store.transaction():
        for number in range(30):
            text = a_text(at=NOON + 3 * number * MINUTE, sequence=number, text=f"{number}", raw=b"%d" % number)
            assert not world.store.inbound.is_delivered_again(text, text.at - REDELIVERY)
            world.store.inbound.add(text, case=None, outcome="x")
    (phone,) = world.store.inbound._phones.values()
    assert len(phone.texts) <= 12
    assert world.store.inbound.is_delivered_again(a_text(session="two", text="0", raw=b"0"), NOON - REDELIVERY)
