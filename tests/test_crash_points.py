"""The daemon dies at each named point of the protocol and starts again: nothing lost, nothing twice.

The names are those of the tables in `smsflow.inbox`, `.sender`, `.gateways` and `.engine`. To die is to leave
without another word: what is not committed is gone, what was in memory too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_gateways import Body, apply
from test_inbox import LONG, mo, parts, receipt
from world import World, a_world

from smsflow import engine, gateways, inbox, sender
from smsflow.config import GatewayConfig
from smsflow.gateways import Gateways
from smsflow.inbox import Inbox
from smsflow.sender import Sender
from smsflow.smpp.codec import DeliverSm, Pdu, decode
from smsflow.smpp.link import LinkSettings, SubmitAnswered
from smsflow.smpp.session import SessionState
from smsflow.writer import Writer


class Died(BaseException):
    """Nothing may catch this and go on."""


class Session:
    """A bound session, seen from the inbox and the sender."""

    settings = LinkSettings("main", "h", 1, "id", "")
    state = SessionState.BOUND
    may_submit, held, epoch, in_flight = True, False, 1, 0

    def __init__(self, submit_all: Callable[..., None], respond: Callable[..., None]) -> None:
        self.submit_all = submit_all
        self.respond = respond

    def room(self) -> int:
        return 64


class Life:
    """One start of the daemon, bound to a centre that answers when it is told to. `dies` says where it ends."""

    def __init__(self, world: World, run: str) -> None:
        self.world = world
        self.submitted: list[tuple[object, Pdu]] = []
        self.responses: list[tuple[int, int]] = []
        self.dies = ""
        self.session = Session(self._submit_all, self._respond)
        self.sender = Sender(world.store, "1414", lambda: world.now)
        self.writer = Writer(world.store, last=self.sender.claim, after=self.sender.send)
        self.sender.writer = self.writer
        self.inbox = Inbox(world.replies, world.store, self.writer, lambda: world.now, run=run)
        self.inbox.add(self.session)
        self.sender.add(self.session)
        with world.store.transaction():
            world.store.outbox.doubt_all(world.now, {})

    def _submit_all(self, submits: Sequence[tuple[object, bytes]]) -> None:
        self.check("claimed")
        self.submitted += [(token, decode(octets)) for token, octets in submits]

    def _respond(self, sequence: int, status: int, *, epoch: int) -> None:
        self.check("committed")
        self.responses.append((sequence, int(status)))

    def check(self, point: str) -> None:
        if self.dies == point:
            raise Died(point)

    def die_in_commit(self) -> None:
        """The process ends in the middle of the next transaction."""

        def job() -> None:
            raise Died

        self.writer.submit(job, lambda *_: None)
        with pytest.raises(Died):
            self.writer.commit()

    def die_at(self, point: str) -> None:
        """Commit what waits, and die at `point` of what follows."""
        self.dies = point
        with pytest.raises(Died):
            self.writer.commit()

    def deliver(self, pdu: DeliverSm, sequence: int) -> None:
        octets = {name: getattr(pdu, name) for name in DeliverSm.__dataclass_fields__ if name != "sequence"}
        self.inbox.take(self.session, DeliverSm(**octets, sequence=sequence), 1, self.world.now)

    def answer(self, index: int) -> None:
        self.sender.answered(self.session, [SubmitAnswered(self.submitted[index][0], 0, f"m{index}")])


@contextmanager
def a_life(folder: Path, run: str) -> Iterator[Life]:
    with a_world(folder) as world:
        yield Life(world, run)


def rows(world: World, sql: str) -> list[tuple]:
    return world.store._connection.execute(sql).fetchall()


def outcomes(world: World) -> list[str]:
    return [row[0] for row in rows(world, "SELECT outcome FROM inbound ORDER BY id")]


def statuses(world: World) -> list[tuple]:
    return rows(world, "SELECT status, in_doubt FROM outbox ORDER BY id")


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer is told to commit by the test, never by a loop."""
    still = SimpleNamespace(call_soon=lambda *_: None, call_later=lambda *_: None)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: still)


@pytest.mark.parametrize("module", [inbox, sender, gateways, engine], ids=lambda module: module.__name__)
def test_every_point_of_the_protocol_is_tried(module):
    """What the documentation names is tried below, in that order, and nothing else is."""
    table = re.search(r"^    point .*\n((?:    .*\n)+)", module.__doc__, re.MULTILINE)
    assert table
    prefix = f"test_{module.__name__.removeprefix('smsflow.')}_"
    tried = [name.removeprefix(prefix) for name in globals() if name.startswith(prefix)]
    assert tried == re.findall(r"^    ([a-z_]+) ", table[1], re.MULTILINE)


# --- inbox -------------------------------------------------------------------------------------------------


def test_inbox_received(tmp_path, no_loop):
    """Nothing is on the disk, nothing was answered: the second delivery is the first that counts."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.world.sent()
        life.deliver(mo("R 1 1 2"), 1)
        life.die_in_commit()
    with a_life(tmp_path, "second") as life:
        assert outcomes(life.world) == []
        life.deliver(mo("R 1 1 2"), 9)
        life.writer.commit()
        assert outcomes(life.world) == ["answered"]
        assert life.responses == [(9, 0)]
        assert life.world.case(1).version == 2


@pytest.mark.parametrize(("text", "outcome"), [("R 1 1 2", "answered"), ("what?", "not_understood")])
def test_inbox_committed(tmp_path, no_loop, text, outcome):
    """The reply counts, though nobody was told; delivered again it changes nothing, and our text goes out."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.world.sent()
        life.deliver(mo(text), 1)
        life.die_at("committed")
    with a_life(tmp_path, "second") as life:
        before = life.world.case(1)
        life.deliver(mo(text), 9)
        life.writer.commit()
        assert outcomes(life.world) == [outcome, "repeated"]
        assert life.responses == [(9, 0)]
        assert life.world.case(1) == before
        assert len(life.submitted) == 1


def test_inbox_responded(tmp_path, no_loop):
    """The centre knows, or its connection broke before it read the answer: then as if nothing was answered."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.world.sent()
        life.deliver(mo("R 1 1 2"), 1)
        life.writer.commit()
        assert life.responses == [(1, 0)]
        after = life.world.case(1)
    with a_life(tmp_path, "second") as life:
        assert life.world.case(1) == after
        life.deliver(mo("R 1 1 2"), 9)
        life.writer.commit()
        assert outcomes(life.world) == ["answered", "repeated"]
        assert life.world.case(1) == after


def test_inbox_part_received(tmp_path, no_loop):
    """The part that was under way comes again, and completes the text."""
    first, last = parts(LONG)
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.deliver(first, 1)
        life.writer.commit()
        life.deliver(last, 2)
        life.die_in_commit()
    with a_life(tmp_path, "second") as life:
        life.deliver(last, 9)
        life.writer.commit()
        assert rows(life.world, "SELECT text FROM inbound") == [(LONG,)]


def test_inbox_part_committed(tmp_path, no_loop):
    """Each part comes again: there is no second text."""
    first, last = parts(LONG)
    for run, again in (("first", [first]), ("second", [first, last]), ("third", [first, last])):
        with a_life(tmp_path, run) as life:
            for sequence, pdu in enumerate(again, 1):
                life.deliver(pdu, sequence)
            life.die_at("committed")
    with a_life(tmp_path, "fourth") as life:
        assert rows(life.world, "SELECT text FROM inbound") == [(LONG,)]


def test_inbox_receipt_received(tmp_path, no_loop):
    """What became of the text is told again."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.writer.commit()
        life.answer(0)
        life.writer.commit()
        life.deliver(receipt("m0"), 1)
        life.die_in_commit()
    with a_life(tmp_path, "second") as life:
        assert statuses(life.world)[0] == ("accepted", 0)
        life.deliver(receipt("m0"), 9)
        life.writer.commit()
        assert statuses(life.world)[0] == ("delivered", 0)
        assert life.responses == [(9, 0)]


def test_inbox_receipt_committed(tmp_path, no_loop):
    """Told again, even otherwise, it changes nothing."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.writer.commit()
        life.answer(0)
        life.writer.commit()
        life.deliver(receipt("m0"), 1)
        life.die_at("committed")
    with a_life(tmp_path, "second") as life:
        life.deliver(receipt("m0", "UNDELIV"), 9)
        life.writer.commit()
        assert statuses(life.world)[0] == ("delivered", 0)


# --- sender ------------------------------------------------------------------------------------------------


def test_sender_queued(tmp_path, no_loop):
    """A text that nobody has claimed is sent, and was never in doubt."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        assert statuses(life.world) == [("queued", 0)]
    with a_life(tmp_path, "second") as life:
        life.writer.commit()
        assert len(life.submitted) == 1
        assert statuses(life.world) == [("sending", 0)]


def test_sender_claimed(tmp_path, no_loop):
    """It never left, which nobody knows: sent again, marked."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.die_at("claimed")
        assert life.submitted == []
    with a_life(tmp_path, "second") as life:
        life.writer.commit()
        assert len(life.submitted) == 1
        assert statuses(life.world) == [("sending", 1)]


@pytest.mark.parametrize("times", [1, 5])
def test_sender_submitted(tmp_path, no_loop, times):
    """Sent once more at each death, marked, however many; then taken."""
    sent = []
    for run in range(times):
        with a_life(tmp_path, str(run)) as life:
            if not run:
                life.world.birth()
            life.writer.commit()
            sent += life.submitted
    with a_life(tmp_path, "last") as life:
        life.writer.commit()
        sent += life.submitted
        life.answer(0)
        life.writer.commit()
        assert statuses(life.world) == [("accepted", 1)]
    assert len(sent) == times + 1
    assert len({pdu for _, pdu in sent}) == 1


def test_sender_answered(tmp_path, no_loop):
    """The centre has taken it, and we did not write that down: the same as if it had not been answered."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.writer.commit()
        life.answer(0)
        life.die_in_commit()
    with a_life(tmp_path, "second") as life:
        life.writer.commit()
        assert len(life.submitted) == 1
        assert statuses(life.world) == [("sending", 1)]


def test_sender_accepted(tmp_path, no_loop):
    """Never sent again; a receipt that comes after the start finds it."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        life.writer.commit()
        life.answer(0)
        life.writer.commit()
    with a_life(tmp_path, "second") as life:
        life.writer.commit()
        assert life.submitted == []
        life.deliver(receipt("m0"), 1)
        life.writer.commit()
        assert statuses(life.world) == [("delivered", 0)]


# --- gateways ----------------------------------------------------------------------------------------------


class Mortal(Writer):
    """A writer of a process that dies: what it is given then is never done, and counted."""

    lives: Callable[[], bool] = staticmethod(lambda: True)
    too_late = 0

    def submit(self, job: Callable[[], object], done: Callable[..., None]) -> None:
        if self.lives():
            super().submit(job, done)
        else:
            self.too_late += 1


async def apply_until(
    folder: Path, body: Body, died: Callable[[World, Mortal], bool], *, begin: bool = False, mute: bool = False
) -> None:
    """A life of the gateways, until `died`; with `mute` they write nothing down once the body was reached."""
    with a_world(folder) as world:
        if begin:
            apply(world)
        server = await asyncio.start_server(body.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
        writer = Mortal(world.store, last=lambda: None, after=lambda _: None)
        if mute:
            writer.lives = lambda: not body.requests
        configs = {"registration": GatewayConfig(url, None, 5.0)}
        running = asyncio.create_task(
            Gateways(configs, world.store, writer, lambda: world.now, jitter=lambda: 0.0).run()
        )
        async with asyncio.timeout(5):
            while not died(world, writer):  # noqa: ASYNC110 - what is awaited is a row, or a request
                await asyncio.sleep(0.002)
        running.cancel()
        await asyncio.wait([running])
        server.close()


def application(world: World) -> str:
    return rows(world, "SELECT status FROM application")[0][0]


def keys(body: Body) -> list[str]:
    return [headers["idempotency-key"] for headers, _ in body.requests]


def test_gateways_applied(tmp_path):
    """It is sent after the start."""
    body = Body([201])
    with a_world(tmp_path) as world:
        apply(world)
    asyncio.run(apply_until(tmp_path, body, lambda world, _: application(world) == "taken"))
    assert keys(body) == ["1"]


def test_gateways_posted(tmp_path):
    """The body has it and has not answered: it gets the same key again."""
    body = Body([0, 200])
    asyncio.run(apply_until(tmp_path, body, lambda *_: bool(body.requests), begin=True))
    asyncio.run(apply_until(tmp_path, body, lambda world, _: application(world) == "taken"))
    assert keys(body) == ["1", "1"]


def test_gateways_replied(tmp_path):
    """The body has answered, and we did not write it down: the same key again."""
    body = Body([200])
    asyncio.run(apply_until(tmp_path, body, lambda _, writer: writer.too_late > 0, begin=True, mute=True))
    with a_world(tmp_path) as world:
        assert application(world) == "queued"
    asyncio.run(apply_until(tmp_path, body, lambda world, _: application(world) == "taken"))
    assert keys(body) == ["1", "1"]


def test_gateways_settled(tmp_path):
    """Taken is taken."""
    body = Body([200])
    asyncio.run(apply_until(tmp_path, body, lambda world, _: application(world) == "taken", begin=True))
    with a_world(tmp_path) as world:
        assert world.applications() == []


# --- engine ------------------------------------------------------------------------------------------------


def awaits_body(world: World) -> int:
    apply(world)
    return 1


def test_engine_event_received(tmp_path, no_loop):
    """The body hears no answer and sends it again: now it counts."""
    with a_life(tmp_path, "first") as life:
        case = awaits_body(life.world)
        before = life.world.case(case)
        life.writer.submit(
            lambda: life.world.engine.take_body_event(case, "e1", "accepted", {"number": "7"}, life.world.now),
            lambda *_: None,
        )
        life.die_in_commit()
    with a_life(tmp_path, "second") as life:
        assert life.world.case(case) == before
        assert life.world.body(case, "accepted", "e1", number="7") == "moved"


def test_engine_event_committed(tmp_path, no_loop):
    """The body did not hear our answer and sends it again: the same answer, no second step."""
    with a_life(tmp_path, "first") as life:
        case = awaits_body(life.world)
        assert life.world.body(case, "accepted", "e1", number="7") == "moved"
        after = life.world.case(case)
    with a_life(tmp_path, "second") as life:
        assert life.world.body(case, "accepted", "e1", number="7") == "moved"
        assert life.world.case(case) == after


def test_engine_timer_due(tmp_path, no_loop):
    """It fires after the start, late and once."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        later = life.world.now + timedelta(days=30)
        assert life.world.engine.find_due(later, 10) == (1,)
        life.writer.submit(lambda: life.world.engine.fire_timer(1, later), lambda *_: None)
        life.die_in_commit()
    with a_life(tmp_path, "second") as life:
        assert life.world.engine.find_due(later, 10) == (1,)
        assert life.world.case(1).reminded == 0


def test_engine_timer_fired(tmp_path, no_loop):
    """Not a second time; the next timer is set."""
    with a_life(tmp_path, "first") as life:
        life.world.birth()
        due = life.world.case(1).due
        assert due
        with life.world.store.transaction():
            life.world.engine.fire_timer(1, due.at)
        after = life.world.case(1)
        assert after.reminded == 1
    with a_life(tmp_path, "second") as life:
        assert life.world.engine.find_due(due.at, 10) == ()
        assert life.world.case(1) == after
