"""Births by the slice: what is looked up once for all of them stays true while they are recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from world import MOTHER, NOON, PHONE, QUIET, World, a_world

from smsflow.births import Births
from smsflow.core.errors import StoreError
from smsflow.engine import Refused
from smsflow.store.people import Birth

OTHER = "950101200002"
PHONES = (PHONE, "77017654321", "77020000001", None)
TABLES = {
    "birth": "birth_id", "conversation": "id", "journal": "id", "outbox": "id", "flag": "id", "phone": "msisdn",
    "case_count": "status, result",
}  # fmt: skip


def some_births(seed: int, count: int) -> list[Birth]:
    """Births among which ids, mothers and numbers come again: twins, corrections, records that differ."""
    random = Random(seed)
    return [
        Birth(
            birth_id=f"b{random.randrange(count // 2)}",
            mother_iin=random.choice((MOTHER, OTHER)),
            msisdn=random.choice(PHONES),
            born_at=(NOON - timedelta(days=random.choice((0, 0, 0, 40)))).isoformat(),
            sex="female",
            alive=random.random() < 0.8,
            birth_order=1,
            account="",
            address_kato="751110000",
        )
        for _ in range(count)
    ]


def prepare(world: World) -> None:
    """One mother is in the base, one number has said STOP, one has a case; what is older is forgotten."""
    with world.store.transaction():
        world.births.bind_citizen(MOTHER, PHONE, NOON - timedelta(days=90), NOON)
        world.store.people.mark_stopped("77020000001", frozenset(), NOON)
        world.store.retention.begin(NOON - timedelta(days=30))
    world.birth("before", mother_iin=OTHER, msisdn="77017654321")


def rows(world: World) -> dict[str, list[Any]]:
    execute = world.store._connection.execute
    return {table: execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall() for table, key in TABLES.items()}


def record(world: World, births: list[Birth], size: int) -> list[int | str]:
    """What became of each, in slices of `size`, each in its transaction."""
    recorded: list[int | Refused] = []
    for start in range(0, len(births), size):
        with world.store.transaction():
            recorded += world.births.record_births(births[start : start + size], NOON)
    return [each.reason if isinstance(each, Refused) else each for each in recorded]


@pytest.mark.parametrize("seed", range(20))
def test_a_slice_is_recorded_as_if_one_by_one(tmp_path: Path, seed: int) -> None:
    """Whatever comes twice in it, each row and each answer is the same, and the store is sound."""
    births = some_births(seed, 40)
    seen = []
    for name, size in (("alone", 1), ("few", 7), ("all", 40)):
        (tmp_path / name).mkdir()
        with a_world(tmp_path / name, QUIET) as world:
            prepare(world)
            seen.append((record(world, births, size), rows(world)))
            assert world.flaws() == []

    assert seen[0] == seen[1] == seen[2]
    assert {"differs", "too_old"} <= set(seen[0][0])


def record_and_fail(births: Births, some: list[Birth]) -> None:
    births.record_births(some, NOON)
    raise StoreError


def test_births_are_told_when_they_are_on_the_disk(tmp_path: Path) -> None:
    """Once, those that are new, each with its result; what was rolled back is never told."""
    with a_world(tmp_path) as world:
        told: list[tuple[int, str]] = []
        births = Births(world.engine, world.store, on_births=told.extend)
        first = replace(some_births(0, 2)[0], msisdn=PHONE, alive=True, born_at=NOON.isoformat())
        some = [first, replace(first, sex="male"), replace(first, birth_id="c", msisdn=None, mother_iin=OTHER)]
        with pytest.raises(StoreError), world.store.transaction():
            record_and_fail(births, some)
        with world.store.transaction():
            with pytest.raises(StoreError), world.store.savepoint():
                record_and_fail(births, some)
            births.record_births(some, NOON)
            assert told == []
        assert told == [(1, ""), (2, "no_phone")]


def test_number_of_the_base_that_has_said_stop_is_not_congratulated(tmp_path: Path) -> None:
    """It said so before anybody knew whose it was; the birth names no number."""
    with a_world(tmp_path) as world:
        world.reply("STOP")
        with world.store.transaction():
            world.births.bind_citizen(MOTHER, PHONE, NOON, NOON)
        birth = replace(some_births(0, 2)[0], mother_iin=MOTHER, msisdn=None, alive=True, born_at=NOON.isoformat())
        assert record(world, [birth], 1) == [1]
        assert world.case(1).result == "stopped"


def test_a_slice_that_is_refused_costs_the_others_nothing(tmp_path: Path) -> None:
    """A tenth open case of one number cannot be told apart; the births around it are taken."""
    with a_world(tmp_path) as world:
        birth = replace(some_births(0, 2)[0], msisdn=PHONE, alive=True, mother_iin=MOTHER, born_at=NOON.isoformat())
        births = [replace(birth, birth_id=f"t{number}") for number in range(10)]
        births.append(replace(birth, birth_id="u", msisdn="77017654321"))

        assert record(world, births, 11) == [*range(1, 10), "too_many_open_cases", 10]
        assert [world.case(case).child for case in range(1, 10)] == list("123456789")
        assert world.flaws() == []


def statements_of(world: World, work: Callable[[], object]) -> int:
    ran: list[str] = []
    world.store._connection.set_trace_callback(ran.append)
    work()
    world.store._connection.set_trace_callback(None)
    return len([each for each in ran if each.startswith("SELECT")])


def test_a_slice_is_looked_up_at_once(tmp_path: Path) -> None:
    """As many SELECTs for fifty mothers as for one."""
    with a_world(tmp_path) as world:
        world.birth("first", msisdn="77010000000")  # the first finds out what is kept from then on
        births = [
            replace(some_births(0, 2)[0], birth_id=f"b{number}", msisdn=f"770200{number:05}", alive=True)
            for number in range(51)
        ]
        one = statements_of(world, lambda: record(world, births[:1], 1))
        fifty = statements_of(world, lambda: record(world, births[1:], 50))

    assert one == fifty
