"""Statements that wait for each other: what is read is as if none had."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from world import MOTHER, NOON, PHONE, World, a_world

from smsflow.core.conversation import Conversation, Status, changed
from smsflow.core.dialog import Dialog
from smsflow.core.effects import Outcome, Step
from smsflow.core.errors import StaleConversation, StoreError
from smsflow.core.events import HelpAsked
from smsflow.core.questions import question_of
from smsflow.core.render import open_address, shown_options
from smsflow.core.reply import spell
from smsflow.engine import Refused
from smsflow.store.people import Birth
from smsflow.store.statements import Row, Statements

ADD = "INSERT INTO said VALUES (?, ?)"
MOVE = "UPDATE said SET word = ? WHERE phone = ?"
ALL = "SELECT phone, word FROM said ORDER BY rowid"
A_BIRTH = Birth("b1", MOTHER, PHONE, "2026-11-18T08:00:00+05:00", "female", True, 1, "", "751110000")


class Desk:
    """Statements on a table of what phones have said."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE said (phone TEXT, word TEXT)")
        self.ran: list[str] = []
        connection.set_trace_callback(self.ran.append)
        self.connection = connection
        self.missed: list[list[Row]] = []
        self.statements = Statements(connection, lambda rows: self.missed.append(list(rows)))

    def on_disk(self) -> list[Any]:
        return self.connection.execute(ALL).fetchall()


@pytest.fixture(name="desk")
def _desk() -> Iterator[Desk]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield Desk(connection)


def test_what_was_put_is_written_before_the_next_statement(desk: Desk) -> None:
    """Each statement's rows in their order, a statement in the order in which it first came."""
    desk.statements.put(ADD, ("1", "a"))
    desk.statements.put(MOVE, ("b", "1"))
    desk.statements.put(ADD, ("2", "c"))
    assert desk.ran == []
    assert desk.statements.execute(ALL).fetchall() == [("1", "b"), ("2", "c")]
    assert desk.missed == []


def test_many_are_written_after_what_was_put(desk: Desk) -> None:
    desk.statements.put(ADD, ("1", "a"))
    desk.statements.executemany(MOVE, [("b", "1")])
    assert desk.on_disk() == [("1", "b")]


def test_look_waits_for_nothing(desk: Desk) -> None:
    """It is for what no row that was put can change."""
    desk.statements.put(ADD, ("1", "a"))
    assert desk.statements.look("SELECT 1").fetchall() == [(1,)]
    assert desk.on_disk() == []


def test_what_is_forgotten_is_not_written(desk: Desk) -> None:
    desk.statements.put(ADD, ("1", "a"))
    desk.statements.forget()
    assert desk.statements.execute(ALL).fetchall() == []


def test_row_that_writes_nothing_is_told(desk: Desk) -> None:
    """With those of its statement, and only then."""
    desk.statements.put(ADD, ("1", "a"))
    desk.statements.put(MOVE, ("b", "1"))
    desk.statements.put(MOVE, ("b", "2"))
    desk.statements.execute(ALL)
    assert desk.missed == [[("b", "1"), ("b", "2")]]


# --- in the store -------------------------------------------------------------------------------------------


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


def test_turns_of_one_transaction_are_written_together(world: World) -> None:
    """Three mothers, one statement for the journal; and the second reply of one sees what the first has left."""
    phones = [f"7701000000{digit}" for digit in range(3)]
    for phone in phones:
        world.birth(f"b{phone}", msisdn=phone)
    ran: list[str] = []
    world.store._connection.set_trace_callback(ran.append)
    for phone in phones:
        world.store.expect(phone)
    with world.store.transaction():
        before = world.store.writes
        for text in ("R 1 1 2", "R 1 1 2 Ахметов Нурлан"):
            for phone in phones:
                assert world.take(text, phone).outcome == "answered"
        assert world.store.writes == before + 1  # by which link the first wrote, before the others were looked up
    kinds = [line.split(" (")[0] for line in ran if line.startswith(("INSERT INTO journal", "INSERT INTO inbound"))]
    assert kinds == ["INSERT INTO journal"] * 6 + ["INSERT INTO inbound"] * 6
    assert {world.case(case).state for case in (1, 2, 3)} == {"education"}


def ask_all(world: World, held: Sequence[Conversation]) -> None:
    for conversation in held:
        world.store.conversations.record(
            conversation, HelpAsked(NOON, "R ?"), Step(changed(conversation, misread=1), (), Outcome.HELP)
        )


def test_stale_conversation_among_many_fails_all(world: World) -> None:
    """One case has moved on behind the store's back: nothing of the transaction stays."""
    first, second = world.birth("b1", msisdn="77010000001"), world.birth("b2", msisdn="77010000002")
    held = [world.case(case) for case in (first, second)]
    world.store._connection.execute("UPDATE conversation SET version = 7 WHERE id = ?", (second,))
    with pytest.raises(StoreError, match="one of the cases 1, 2 has moved on") as caught, world.store.transaction():
        ask_all(world, held)
    assert not isinstance(caught.value, StaleConversation)
    assert [world.case(case).version for case in (first, second)] == [1, 7]


def record_and_fail(world: World) -> None:
    world.births.record_birth(replace(A_BIRTH, birth_id="lost"), NOON)
    raise StoreError


def test_dialog_of_a_birth_that_was_rolled_back_is_kept_with_the_next(world: World) -> None:
    """Or the case could never be read again; and the number that was not used is given to it."""
    with pytest.raises(StoreError), world.store.transaction():
        record_and_fail(world)
    with world.store.transaction():
        with pytest.raises(StoreError), world.store.savepoint():
            record_and_fail(world)
        assert world.births.record_birth(A_BIRTH, NOON) == 1
    assert world.store.used_dialog(world.case(1).revision)
    assert world.flaws() == []


PHONES = [f"7701000000{digit}" for digit in range(9)]


class History:
    """What happens to some mothers, many things in one transaction: at random, and the same in every world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.dice = world, Random(seed)
        self.said = dict.fromkeys(PHONES, "")

    def tell(self) -> list[str]:
        """What came of each thing, and what the tables hold in the end."""
        told: list[str] = []
        deeds = (self.reply, self.bear, self.hear_body, self.change_hands, self.keep_silent)
        for _ in range(20):
            self.world.now += timedelta(hours=self.dice.choice((0, 0, 0, 8)))
            with self.world.store.transaction():
                chosen = self.dice.choices(deeds, (90, 10, 10, 1, 1), k=20)
                told += [repr(deed(self.dice.choice(PHONES))) for deed in chosen]
                told += map(repr, self.world.store.outbox.claim("main", 9, self.world.now))
        return [*told, *(row for row in self.world.store._connection.iterdump() if "_migrations" not in row)]

    def reply(self, phone: str) -> object:
        """What she is asked for, her last text again, or another, in one session or the other."""
        held = self.world.store.conversations.load_phone(phone)
        asking = [(self.world.engine.dialog_of(each), each) for each in held if each.status is Status.OPEN]
        right = [right_reply(self.dice, *each) for each in asking if question_of(*each)] or ["R 1"]
        texts = (self.dice.choice(right), self.said[phone], "R 9", "R ?", "STOP")
        self.said[phone] = self.dice.choices(texts, (120, 10, 20, 5, 1))[0]
        self.world.session = self.dice.choice(("one", "two"))
        return self.world.take(self.said[phone], phone)

    def bear(self, phone: str) -> object:
        birth = replace(A_BIRTH, birth_id=str(self.dice.random()), mother_iin=f"95{phone[1:]}", msisdn=phone)
        return self.world.births.record_births([birth], self.world.now)

    def hear_body(self, _: str) -> object:
        """Of any case, whether it waits for it or not."""
        name = self.dice.choice(("accepted", "registered", "refused", "granted"))
        with suppress(Refused):
            return self.world.engine.take_body_event(self.dice.randrange(1, 20), name, name, {}, self.world.now)

    def change_hands(self, phone: str) -> None:
        iin = f"95{self.dice.choice(PHONES)[1:]}"
        self.world.births.bind_citizen(iin, phone, self.world.now, self.world.now)

    def keep_silent(self, _: str) -> None:
        for case in self.world.engine.find_due(self.world.now, 9):
            self.world.engine.fire_timer(case, self.world.now)


def right_reply(dice: Random, dialog: Dialog, conversation: Conversation) -> str:
    address, shown = open_address(dialog, conversation), shown_options(dialog, conversation)
    if shown:
        return spell(address + dice.choice(shown)[0])
    return spell(address, "KZ86125KZT5004100100" if dialog.name == "money" else "Ахметов Нурлан")


@pytest.mark.parametrize("seed", range(10))
def test_history_is_what_it_would_be_if_no_row_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """No row that is put needs one of another statement, nor a look one that was put: row by row."""
    histories = []
    for folder in (tmp_path / "waits", tmp_path / "at once"):
        folder.mkdir()
        with a_world(folder) as world:
            histories.append(History(world, seed).tell())
        monkeypatch.setattr(Statements, "put", Statements.execute)
    assert histories[0] == histories[1]
