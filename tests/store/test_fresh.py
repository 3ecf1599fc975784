"""Texts that the transaction claims that made them: written once, and claimed as if they had been queued first."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from world import NOON, PHONE, World, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.core.errors import StoreError
from smsflow.store.batch import DueText
from smsflow.store.outbox import Outbox, Routes, Sent

PHONES = tuple(f"77{number % 3}10000{number:03}" for number in range(9))
LINKS = ("north", "south")
SEEDS = range(60)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


def add(world: World, phone: str, text: str = "a", **how: Any) -> None:
    send = Send(text, Urgency.ANSWER, how.get("not_before", NOON))
    world.store.outbox.add(how.get("case"), phone, send, how.get("wait"), NOON)


def statuses(world: World) -> list[tuple[int, str]]:
    return world.store._connection.execute("SELECT id, status FROM outbox ORDER BY id").fetchall()


# --- written once ------------------------------------------------------------------------------------------


def test_text_that_goes_out_at_once_is_written_once(world: World) -> None:
    """As `sending`: no row of it was ever queued."""
    connection = world.store._connection
    with world.store.transaction():
        before = connection.total_changes
        for phone in PHONES[:4]:
            add(world, phone)
        assert connection.total_changes == before
        world.store.outbox.claim("main", 3, NOON)
        assert connection.total_changes == before + 3
    assert connection.total_changes == before + 4
    assert statuses(world) == [(1, "sending"), (2, "sending"), (3, "sending"), (4, "queued")]


def test_text_that_is_not_claimed_is_on_the_disk(world: World) -> None:
    """Queued, or held until its time."""
    with world.store.transaction():
        add(world, PHONES[0])
        add(world, PHONES[1], not_before=NOON + timedelta(hours=1))
    assert statuses(world) == [(1, "queued"), (2, "held")]


def add_and_fail(world: World, *, claims: bool = False) -> None:
    add(world, PHONES[0], "lost" * 50)
    if claims:
        assert world.store.outbox.claim("main", 9, NOON)
    raise StoreError


@pytest.mark.parametrize("claims", [False, True])
def test_what_was_rolled_back_never_goes_out(world: World, claims: bool) -> None:
    """With a transaction that fails, whether it was claimed or not; the next text gets its number."""
    with pytest.raises(StoreError), world.store.transaction():
        add_and_fail(world, claims=claims)
    assert world.sending() == []
    assert statuses(world) == []
    with world.store.transaction():
        add(world, PHONES[1])
    assert statuses(world) == [(1, "queued")]


def test_what_a_failed_job_added_is_forgotten_alone(world: World) -> None:
    """What was added before it, and after it, is kept."""
    with world.store.transaction():
        add(world, PHONES[0])
        with pytest.raises(StoreError), world.store.savepoint():
            add_and_fail(world)
        with world.store.savepoint():
            add(world, PHONES[2], "b")
        assert [text.text for text in world.store.outbox.claim("main", 9, NOON)] == ["a", "b"]


# --- seen as if it were in the table -----------------------------------------------------------------------


def test_who_looks_at_texts_sees_those_that_were_just_added(world: World) -> None:
    """Whether they were sent, what must not go out, what falls due."""
    case = world.birth()
    world.sent()
    wait = world.case(case).wait
    outbox, later = world.store.outbox, NOON + timedelta(hours=1)

    with world.store.transaction():
        add(world, PHONE, case=case, wait=wait)
        assert outbox.find_sent(case, wait) is Sent.PERHAPS
        add(world, PHONE, case=case)
        outbox.drop(case, NOON)
        add(world, PHONE)
        outbox.drop_phone(PHONE, NOON)
        add(world, PHONE, not_before=later)
        assert world.store.find_next_due() == later
        add(world, PHONE, not_before=later)
        assert outbox.release_held(later, 9) == 2
    assert [status for _, status in statuses(world)][1:] == ["dropped"] * 3 + ["queued"] * 2


def test_texts_of_a_link_that_is_no_more_go_by_any(world: World) -> None:
    """Those too that were just added."""
    outbox = world.store.outbox
    with world.store.transaction():
        outbox.use_routes(Routes(frozenset(LINKS), (("77", "north"),)))
        add(world, PHONES[0])
        outbox.use_routes(Routes())
        assert len(outbox.claim("west", 9, NOON)) == 1


class Story:
    """A random day of an outbox, the same whatever the outbox does. With `flushes` each text is written at once."""

    def __init__(self, world: World, seed: int, *, flushes: bool) -> None:
        self.dice, self.world, self.outbox = random.Random(seed), world, world.store.outbox
        self.flushes = flushes
        self.now = NOON
        self.busy: set[str] = set()
        self.sending: list[DueText] = []
        self.told: list[Any] = []
        with world.store.transaction():
            self.outbox.use_routes(Routes(frozenset(LINKS), (("771", "north"), ("772", "south"))))
        world.birth("b1", msisdn=PHONES[0], mother_iin="950101400001")
        world.birth("b2", msisdn=PHONES[1], mother_iin="950101200002")

    def tell(self) -> list[Any]:
        for _ in range(15):
            self.now += timedelta(seconds=self.dice.randrange(90))
            with suppress(StoreError):
                with self.world.store.transaction():
                    claimed = self.write()
                self.sending += claimed
                self.busy |= {text.msisdn for text in claimed}
                self.told += [claimed, self.rows()]
        return self.told

    def write(self) -> list[DueText]:
        """What one transaction does, and what it claims. Raises: StoreError, seldom."""
        deeds = (self.add, self.settle, self.move_on, self.drop, self.ask, self.release)
        for deed in self.dice.choices(deeds, (9, 6, 2, 1, 1, 1), k=self.dice.randrange(9)):
            deed()
        busy = self.busy.copy()
        claimed = [text for link in self.dice.sample(LINKS, 2) for text in self.claim(link, busy)]
        if self.dice.random() < 0.1:
            raise StoreError
        return claimed

    def add(self) -> None:
        case = self.dice.choice((None, None, 1, 2))
        phone = PHONES[case - 1] if case else self.dice.choice(PHONES)
        wait = None
        if case and self.dice.choice((True, False)):
            wait = self.world.case(case).wait - self.dice.choice((0, 0, 1))
        later = timedelta(seconds=self.dice.choice((0, 0, 0, 60)))
        send = Send("x" * self.dice.choice((1, 200, 400)), self.dice.choice(list(Urgency)), self.now + later)
        self.outbox.add(case, phone, send, wait, self.now)
        if self.flushes:
            self.outbox.flush()

    def settle(self) -> None:
        if not self.sending:
            return
        text = self.sending.pop(self.dice.randrange(len(self.sending)))
        self.busy.discard(text.msisdn)
        later = self.now + timedelta(seconds=self.dice.choice((0, 30)))
        match self.dice.randrange(4):
            case 0:
                self.outbox.retry(text.id, "x", later, self.now, counts=True)
            case 1:
                self.outbox.doubt(text.id, self.now, not_before=later)
            case _:
                self.outbox.fail(text.id, "x", self.now)

    def move_on(self) -> None:
        case = self.dice.choice((1, 2))
        self.world.store._execute("UPDATE conversation SET wait = wait + 1 WHERE id = ?", (case,))

    def drop(self) -> None:
        if self.dice.choice((True, False)):
            self.outbox.drop(1, self.now)
        else:
            self.outbox.drop_phone(PHONES[2], self.now)

    def ask(self) -> None:
        case = self.dice.choice((1, 2))
        self.told.append(self.outbox.find_sent(case, self.world.case(case).wait))

    def release(self) -> None:
        self.outbox.release_held(self.now, 9)

    def claim(self, link: str, busy: set[str]) -> tuple[DueText, ...]:
        room, idle = self.dice.randrange(1, 12), self.dice.choice((True, False))
        routes = self.dice.choice((("",), ("", link), ("", *LINKS)))
        kept = self.dice.choice((busy, busy, busy, None))
        texts = self.outbox.claim(link, room, self.now, routes=routes, busy=kept, idle=idle)
        busy.update(text.msisdn for text in texts)
        return texts

    def rows(self) -> list[tuple[Any, ...]]:
        return self.world.store._connection.execute("SELECT * FROM outbox ORDER BY id").fetchall()


@pytest.mark.parametrize("seed", SEEDS)
def test_claims_are_those_of_an_outbox_that_writes_each_text_at_once(tmp_path: Path, seed: int) -> None:
    """Urgency, order for a phone, room, routes, waits that are over, refusals, doubts, failures: row for row."""
    told = []
    for flushes in (False, True):
        folder = tmp_path / str(flushes)
        folder.mkdir()
        with a_world(folder) as world:
            told.append(Story(world, seed, flushes=flushes).tell())
    assert told[0] == told[1]


def test_stories_have_fresh_texts_that_are_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside others, that were queued before them; else they would prove nothing."""
    fresh, real = Counter[bool](), Outbox._begin

    def begin(self: Outbox, due: Any, *how: Any) -> Any:
        fresh.update(text.id in self._fresh for text in due)
        return real(self, due, *how)

    monkeypatch.setattr(Outbox, "_begin", begin)
    for seed in range(5):
        (tmp_path / str(seed)).mkdir()
        with a_world(tmp_path / str(seed)) as world:
            Story(world, seed, flushes=False).tell()
    assert min(fresh[True], fresh[False]) > 20
