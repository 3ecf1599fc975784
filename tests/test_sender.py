"""From the outbox to the links: order for each phone, routes, doubt. Time is given; sessions are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from world import NOON, World, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.core.errors import StoreError
from smsflow.sender import Sender
from smsflow.smpp.codec import decode
from smsflow.smpp.link import LinkSettings, SubmitAnswered
from smsflow.smpp.session import SessionState
from smsflow.smpp.statuses import Rule, Status, Verdict
from smsflow.store.outbox import OnDoubt, Routes
from smsflow.writer import Writer

ANNA, BELA, CARA, DORA = "77010000001", "77020000002", "77050000003", "77010000004"


class Line:
    """A session that takes what it is given, with so much room."""

    def __init__(self, name: str = "main", room: int = 64, **settings) -> None:
        self.settings = LinkSettings(name, "h", 1, "id", "pw", **settings)
        self.may_submit = True
        self.held = False
        self.pause_left_s = 0.0
        self.epoch = 2
        self.state = SessionState.BOUND
        self.free = room
        self.taken: list[tuple] = []
        self.answered = 0

    @property
    def in_flight(self) -> int:
        return len(self.taken) - self.answered

    def room(self) -> int:
        return max(0, self.free) if self.may_submit else 0

    def submit_all(self, submits) -> None:
        assert len(submits) <= self.room()
        for token, octets in submits:
            self.free -= 1
            self.taken.append((token, decode(octets)))

    def texts(self) -> list[tuple[str, str]]:
        return [(pdu.destination_addr, pdu.short_message.decode()) for _, pdu in self.taken]


class Desk:
    """A sender with its lines, over a real store."""

    def __init__(self, world: World, *lines: Line, on_doubt: OnDoubt | None = None) -> None:
        self.world, self.lines = world, lines
        self.now = NOON
        policies = {line.settings.name: on_doubt for line in lines} if on_doubt else {}
        self.sender = Sender(world.store, "1414", lambda: self.now, policies)
        self.writer = Writer(world.store, last=self.sender.claim, after=self.sender.send)
        self.sender.writer = self.writer
        for line in lines:
            self.sender.add(line)
        if len({line.settings.name for line in lines}) > 1:
            prefixes = tuple((prefix, line.settings.name) for line in lines for prefix in line.settings.prefixes)
            with world.store.transaction():
                world.store.outbox.use_routes(Routes(frozenset(line.settings.name for line in lines), prefixes))

    def queue(self, *texts: tuple[str, str], urgency: Urgency = Urgency.ANSWER) -> None:
        with self.world.store.transaction():
            for msisdn, text in texts:
                self.world.store.outbox.add(None, msisdn, Send(text, urgency, self.now), None, self.now)
        self.writer.commit()

    def answer(self, line: Line, index: int, status: int = 0, message_id: str = "") -> None:
        """The centre answers what the line was given as number `index`."""
        line.free += 1
        line.answered += 1
        self.sender.answered(line, [SubmitAnswered(line.taken[index][0], status, message_id or f"m{index}")])
        self.writer.commit()

    def doubt(self, line: Line, *indexes: int) -> None:
        line.free += len(indexes)
        line.answered += len(indexes)
        self.sender.in_doubt(line, tuple(line.taken[index][0] for index in indexes))
        self.writer.commit()

    def lose(self, line: Line) -> None:
        line.may_submit = False
        self.sender.lost(line)
        self.writer.commit()

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        with self.world.store.transaction():
            self.world.store.outbox.release_held(self.now, 1000)
        self.writer.commit()

    def statuses(self) -> list[str]:
        rows = self.world.store._connection.execute("SELECT status FROM outbox ORDER BY id")
        return [row[0] for row in rows]


Make = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Make]:
    """Makes desks over one store."""
    with a_world(tmp_path) as world:
        yield lambda *lines, **changes: Desk(world, *lines, **changes)


@pytest.fixture(autouse=True)
def a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer is told to commit by the test, never by a loop."""

    class NoLoop:
        def call_soon(self, *_args) -> None:
            pass

        def call_later(self, *_args) -> None:
            pass

    monkeypatch.setattr(asyncio, "get_running_loop", NoLoop)


# --- order -------------------------------------------------------------------------------------------------


def test_21_a_throttled_text_goes_before_later_ones_to_the_same_phone(desk: Make) -> None:
    """The next text of a phone leaves only when the one before it is taken; other phones go on."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (ANNA, "a2"), (BELA, "b1"), (ANNA, "a3"))
    assert line.texts() == [(ANNA, "a1"), (BELA, "b1")]

    line.free = -99  # the link pauses
    desk.answer(line, 0, Status.RTHROTTLED)
    desk.answer(line, 1)
    line.free = 64
    desk.wait(0)
    desk.answer(line, 2)
    desk.answer(line, 3)
    assert line.texts()[2:] == [(ANNA, "a1"), (ANNA, "a2"), (ANNA, "a3")]


def test_22_a_text_that_is_refused_for_now_keeps_later_ones_waiting(desk: Make) -> None:
    """Also while it waits for its next try, and over several; the other phone is served."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (ANNA, "a2"))
    desk.answer(line, 0, Status.RSYSERR)
    desk.queue((ANNA, "a3"), (BELA, "b1"))
    desk.wait(29)
    assert line.texts() == [(ANNA, "a1"), (BELA, "b1")]
    desk.wait(1)
    desk.answer(line, 2, Status.RSYSERR)
    desk.wait(59)
    assert len(line.texts()) == 3
    desk.wait(1)
    desk.answer(line, 3)
    desk.answer(line, 4)
    assert line.texts()[2:] == [(ANNA, "a1"), (ANNA, "a1"), (ANNA, "a2"), (ANNA, "a3")]


class FailingDisk:
    """Refuses a transaction when it is told to; what the sender would do later, `later` does."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = desk
        self._waiting: list[Callable[[], object]] = []
        loop = SimpleNamespace(
            call_soon=lambda *_: None, call_later=lambda _, do, *how: self._waiting.append(partial(do, *how))
        )
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)

    def refuse(self) -> None:
        def job() -> None:
            raise StoreError("the disk is full")

        self.desk.writer.submit(job, lambda *_: None)
        self.desk.writer.commit()

    def later(self) -> None:
        waiting, self._waiting = self._waiting, []
        for do in waiting:
            do()
        self.desk.writer.commit()


def test_text_whose_refusal_could_not_be_written_is_not_overtaken(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk refuses, the store says of it that it is on its way: the next one waits."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (ANNA, "a2"))
    disk = FailingDisk(desk, monkeypatch)

    line.free += 1
    desk.sender.answered(line, [SubmitAnswered(line.taken[0][0], Status.RTHROTTLED, "")])
    disk.refuse()
    desk.writer.commit()  # the disk takes things again
    assert line.texts() == [(ANNA, "a1")]

    disk.refuse()
    disk.later()
    assert line.texts() == [(ANNA, "a1"), (ANNA, "a1")]


def test_22_refusals_are_bounded_and_throttling_does_not_count(desk: Make) -> None:
    """Five times refused for now is for good; then the next text of that phone goes."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (ANNA, "a2"))
    for index, status in enumerate([0x58] * 7 + [8] * 5):
        desk.wait(1000)
        assert line.texts()[index] == (ANNA, "a1")
        desk.answer(line, index, status)
    assert desk.statuses() == ["failed", "sending"]
    assert line.texts()[-1] == (ANNA, "a2")


def test_21_a_text_that_is_throttled_for_a_day_is_given_up(desk: Make) -> None:
    """Counted from its first try; a person is told."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"))
    desk.answer(line, 0, Status.RMSGQFUL)
    desk.wait(23 * 3600)
    desk.answer(line, 1, Status.RMSGQFUL)
    desk.wait(2 * 3600)
    desk.answer(line, 2, Status.RMSGQFUL)
    assert desk.statuses() == ["failed"]
    assert desk.world.flags() == ["text_failed"]


@pytest.mark.parametrize("status", [Status.RINVDSTADR, Status.RINVSRCADR, Status.RX_R_APPN])
def test_22_a_final_status_fails_the_text_at_once(desk: Make, status: int) -> None:
    """And only that one."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (ANNA, "a2"))
    desk.answer(line, 0, status)
    assert desk.statuses() == ["failed", "sending"]


def test_21_a_link_says_itself_what_follows_from_a_vendors_status(desk: Make) -> None:
    """How often and how long, or never again."""
    rules = {0x400: Rule(Verdict.RETRY, times=2, pause_s=7), 0x401: Rule(Verdict.FINAL)}
    line = Line(rules=rules)
    desk = desk(line)
    desk.queue((ANNA, "a"), (BELA, "b"))
    desk.answer(line, 0, 0x400)
    desk.answer(line, 1, 0x401)
    desk.wait(6)
    assert len(line.taken) == 2
    desk.wait(1)
    desk.answer(line, 2, 0x400)
    assert desk.statuses() == ["failed", "failed"]


def test_urgent_text_takes_those_before_it_along(desk: Make) -> None:
    """Urgent before others, but never before an earlier one to the same phone."""
    line = Line(room=0)
    desk = desk(line)
    desk.queue((BELA, "b1"), (ANNA, "a1"), urgency=Urgency.BULK)
    desk.queue((ANNA, "a2"))
    line.free = 1
    desk.wait(0)
    desk.answer(line, 0)
    assert line.texts() == [(ANNA, "a1"), (ANNA, "a2")]


def test_parts_of_a_text_are_settled_together(desk: Make) -> None:
    """One part is throttled: it goes again when the others are answered, not before, and without them."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "x" * 400), (ANNA, "next"))
    assert len(line.taken) == 3
    desk.answer(line, 1, Status.RTHROTTLED)
    desk.answer(line, 0)
    assert len(line.taken) == 3
    desk.answer(line, 2)
    assert line.texts()[3:] == line.texts()[1:2]
    desk.answer(line, 3)
    assert line.texts()[4:] == [(ANNA, "next")]
    assert desk.statuses() == ["accepted", "sending"]


def test_a_centre_that_throttles_every_other_part_takes_each_once(desk: Make) -> None:
    """However often it refuses, what it has taken counts."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a" * 500))
    for index in range(8):
        desk.answer(line, index, Status.ROK if index % 2 else Status.RTHROTTLED)
    assert desk.statuses() == ["accepted"]
    assert len(line.taken) == 8
    assert sorted(part for (_, part), _ in line.taken[1::2]) == [0, 1, 2, 3]


def test_answers_that_come_together_are_as_if_one_by_one(desk: Make) -> None:
    """Taken, refused for now and for good, and one after its time, in one read."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a" * 300), (BELA, "b1"), (CARA, "c1"), (DORA, "d1"))
    desk.doubt(line, 4)
    statuses = [0, 0, Status.RTHROTTLED, Status.RINVDSTADR, 0]
    answers = [
        SubmitAnswered(token, status, f"m{index}")
        for index, (status, (token, _)) in enumerate(zip(statuses, line.taken, strict=True))
    ]
    line.free, line.answered = -99, 5
    desk.sender.answered(line, answers)
    desk.writer.commit()
    assert desk.statuses() == ["accepted", "queued", "failed", "accepted"]
    ids = desk.world.store._connection.execute("SELECT outbox, part, message_id FROM segment ORDER BY 1, 2")
    assert ids.fetchall() == [(1, 0, "m0"), (1, 1, "m1"), (4, 0, "m4")]


@pytest.mark.parametrize(("shown", "lines"), [(True, [(1, 2), (2, 1)]), (False, [])])
def test_what_was_sent_is_told_where_debug_is_shown(desk: Make, monkeypatch, shown: bool, lines: list) -> None:
    """Once for each text, when all of its parts are taken."""
    told: list[tuple[int, int]] = []
    log = SimpleNamespace(debug=lambda _, text_id, segments, link: told.append((text_id, segments)))
    monkeypatch.setattr("smsflow.sender._log", log)
    monkeypatch.setattr("smsflow.sender.tells_debug", lambda: shown)
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a" * 300), (BELA, "b1"))
    for index in range(3):
        desk.answer(line, index)
    assert told == lines


def test_a_text_that_goes_on_by_another_link_goes_whole(desk: Make) -> None:
    """Its parts may be cut otherwise there; and what is told of them would be told by two centres."""
    north, south = Line("north", prefixes=("7701",)), Line("south")
    desk = desk(north, south)
    desk.queue((ANNA, "x" * 300))
    desk.answer(north, 0)
    north.may_submit = False
    desk.answer(north, 1, Status.RTHROTTLED)
    assert len(south.taken) == 2
    desk.answer(south, 0)
    assert desk.statuses() == ["sending"]
    desk.answer(south, 1)
    assert desk.statuses() == ["accepted"]


def test_parts_cut_otherwise_than_before_go_all_again(desk: Make) -> None:
    """The configuration has changed between two tries: three parts of the one way are not two of the other."""
    narrow = Line(long_texts="udh8")
    first = desk(narrow)
    first.queue((ANNA, "x" * 307))
    first.answer(narrow, 0)
    first.answer(narrow, 1)
    narrow.free = -99
    first.answer(narrow, 2, Status.RTHROTTLED)
    wide = Line(long_texts="payload")
    second = desk(wide)
    second.wait(0)
    assert len(wide.taken) == 1


# --- doubt -------------------------------------------------------------------------------------------------


def test_11_a_late_answer_spares_the_second_sending(desk: Make) -> None:
    """The response comes after its time, and before the text is sent again: it is accepted, once sent."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (ANNA, "a2"))
    desk.doubt(line, 0)
    desk.wait(9)
    assert len(line.taken) == 1
    line.free -= 1
    desk.answer(line, 0)
    assert desk.statuses() == ["accepted", "sending"]
    desk.wait(60)
    assert line.texts() == [(ANNA, "a1"), (ANNA, "a2")]


def test_11_an_answer_that_is_too_late_changes_nothing(desk: Make) -> None:
    """The text is on its way again: its own answer counts."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"))
    desk.doubt(line, 0)
    desk.wait(10)
    assert line.texts() == [(ANNA, "a1")] * 2
    desk.answer(line, 0)
    assert desk.statuses() == ["sending"]
    desk.answer(line, 1)
    assert desk.statuses() == ["accepted"]


def test_11_a_late_answer_for_one_part_completes_the_text(desk: Make) -> None:
    """The other parts were answered in time."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "x" * 300))
    desk.answer(line, 1)
    desk.doubt(line, 0)
    line.free -= 1
    desk.answer(line, 0)
    assert desk.statuses() == ["accepted"]


def test_11_only_the_part_without_an_answer_is_sent_once_more(desk: Make) -> None:
    """The other was taken: that is not in doubt. A person who says `resend` has all of it sent."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "x" * 300))
    desk.answer(line, 0)
    desk.doubt(line, 1)
    desk.wait(10)
    assert line.texts()[2:] == line.texts()[1:2]
    desk.doubt(line, 2)
    assert desk.statuses() == ["in_doubt"]


def test_11_a_late_refusal_leaves_the_text_to_be_sent_again(desk: Make) -> None:
    """It was not taken, and is in doubt no longer than before."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"))
    desk.doubt(line, 0)
    line.free -= 1
    desk.answer(line, 0, Status.RSYSERR)
    desk.wait(10)
    assert line.texts() == [(ANNA, "a1")] * 2


def test_20_a_cut_sends_again_what_was_on_the_wire_and_nothing_else(desk: Make) -> None:
    """At once, marked, in order, one duplicate each at most; what had not left is no duplicate."""
    line = Line(room=4)
    desk = desk(line)
    desk.queue((ANNA, "a1"), (BELA, "b1"), (CARA, "x" * 600), (ANNA, "a2"))
    desk.answer(line, 0)
    unanswered = range(1, len(line.taken))
    before = line.texts()
    line.may_submit = False
    desk.sender.in_doubt(line, tuple(line.taken[index][0] for index in unanswered))
    desk.lose(line)
    assert desk.statuses()[0] == "accepted"
    line.may_submit, line.free = True, 64
    desk.writer.commit()
    again = line.texts()[len(before) :]
    assert again.count((BELA, "b1")) == 1
    assert (ANNA, "a1") not in again
    assert (ANNA, "a2") in again
    for index in range(len(before), len(line.taken)):
        desk.answer(line, index)
    assert set(desk.statuses()) == {"accepted"}
    marks = desk.world.store._connection.execute("SELECT in_doubt FROM outbox ORDER BY id").fetchall()
    assert [mark for (mark,) in marks] == [0, 1, 1, 0]


def cut(desk: Desk, line: Line, *, until: float = 0) -> None:
    """The connection ends with everything in flight, and is there again."""
    on_the_wire = tuple(token for token, _ in line.taken[line.answered :])
    line.answered = len(line.taken)
    line.may_submit = False
    desk.sender.in_doubt(line, on_the_wire)
    desk.lose(line)
    line.may_submit, line.free = True, 64
    desk.wait(until)


def test_text_that_is_not_answered_twice_waits_for_a_person(desk: Make) -> None:
    """Once more after the first silence; then nobody knows, which is not the same as failed."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (ANNA, "a2"))
    desk.doubt(line, 0)
    desk.wait(10)
    desk.doubt(line, 1)
    desk.wait(3600)
    assert line.texts() == [(ANNA, "a1"), (ANNA, "a1"), (ANNA, "a2")]
    assert desk.statuses() == ["in_doubt", "sending"]
    assert desk.world.flags() == ["text_in_doubt"]


def test_throttled_text_is_sent_again_after_its_first_silence(desk: Make) -> None:
    """A refusal is no doubt: the text was surely not taken."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"))
    desk.answer(line, 0, Status.RTHROTTLED)
    desk.doubt(line, 1)
    desk.wait(10)
    assert line.texts() == [(ANNA, "a1")] * 3
    desk.doubt(line, 2)
    assert desk.statuses() == ["in_doubt"]


def test_answer_that_comes_after_all_ends_the_doubt(desk: Make) -> None:
    """Also when the text was left to a person already."""
    line = Line()
    desk = desk(line, on_doubt=OnDoubt(hold_notices=True))
    desk.queue((ANNA, "a1"))
    desk.doubt(line, 0)
    assert desk.statuses() == ["in_doubt"]
    line.answered -= 1
    desk.answer(line, 0)
    assert desk.statuses() == ["accepted"]


@pytest.mark.parametrize(
    ("policy", "after_a_cut"),
    [
        (OnDoubt(), ["sending", "sending"]),
        (OnDoubt(hold_notices=True), ["sending", "in_doubt"]),
        (OnDoubt(hold_questions=True), ["in_doubt", "sending"]),
        (OnDoubt(hold_questions=True, hold_notices=True), ["in_doubt", "in_doubt"]),
    ],
)
def test_link_says_which_texts_are_held_in_doubt(desk: Make, policy: OnDoubt, after_a_cut: list[str]) -> None:
    """A question is asked again, an amount rather is not; after a cut and after a crash alike."""
    line = Line()
    desk = desk(line, on_doubt=policy)
    case = desk.world.birth()
    desk.world.store._connection.execute("DELETE FROM outbox")
    wait = desk.world.case(case).wait
    with desk.world.store.transaction():
        desk.world.store.outbox.add(case, ANNA, Send("which?", Urgency.ANSWER, NOON, True), wait, NOON)
        desk.world.store.outbox.add(None, BELA, Send("5000 tenge", Urgency.NOTICE, NOON), None, NOON)
    desk.writer.commit()
    assert desk.statuses() == ["sending", "sending"]
    cut(desk, line)
    assert desk.statuses() == after_a_cut

    with desk.world.store.transaction():
        desk.world.store._connection.execute("UPDATE outbox SET status='sending'")
        desk.world.store.outbox.doubt_all(NOON, {"main": policy})
    assert desk.statuses() == [status.replace("sending", "queued") for status in after_a_cut]


def test_person_lets_a_text_in_doubt_be_sent_again(desk: Make) -> None:
    """By the case; a question whose wait is over is not."""
    line = Line()
    desk = desk(line, on_doubt=OnDoubt(hold_questions=True, hold_notices=True))
    case = desk.world.birth()
    desk.writer.commit()
    cut(desk, line)
    assert set(desk.statuses()) == {"in_doubt"}
    assert desk.world.flags() == ["text_in_doubt"]
    sent = len(line.taken)
    desk.writer.submit(lambda: desk.world.engine.operate(case, "resend", NOON), lambda *_: None)
    desk.writer.commit()
    while len(line.taken) > line.answered:
        desk.answer(line, line.answered)
    assert line.texts()[sent:] == line.texts()[:sent]
    assert set(desk.statuses()) == {"accepted"}
    with desk.world.store.transaction():
        assert desk.world.engine.operate(case, "resend", NOON).value == "stale"


@pytest.mark.parametrize(("policy", "status"), [(OnDoubt(), "sending"), (OnDoubt(hold_notices=True), "in_doubt")])
def test_part_in_doubt_is_so_though_another_was_refused(desk: Make, policy: OnDoubt, status: str) -> None:
    """The refused part is tried again; the other may come twice, which is written down, or waits for a person."""
    line = Line()
    desk = desk(line, on_doubt=policy)
    desk.queue((ANNA, "x" * 300))
    desk.answer(line, 0, Status.RSYSERR)
    desk.doubt(line, 1)
    desk.wait(30)
    assert desk.statuses() == [status]
    assert desk.world.store._connection.execute("SELECT in_doubt FROM outbox").fetchall() == [(1,)]


def test_stop_is_the_end_of_what_is_in_doubt(desk: Make) -> None:
    """A person who sends it again all the same does not reach her with it; what she wrote stands."""
    line = Line()
    desk = desk(line, on_doubt=OnDoubt(hold_questions=True, hold_notices=True))
    case = desk.world.birth()
    desk.writer.commit()
    cut(desk, line)
    desk.world.reply("STOP")
    desk.writer.submit(lambda: desk.world.engine.operate(case, "resend", NOON), lambda *_: None)
    sent = len(line.taken)
    desk.writer.commit()
    assert len(line.taken) == sent + 1  # that it has ended
    assert sorted(desk.statuses()) == ["dropped", "sending"]


def test_text_that_cuts_every_connection_goes_alone_and_then_waits_for_a_person(desk: Make) -> None:
    """What was on the wire with it is sent with it three times at most, and is no suspect when it is taken."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "poison"), (BELA, "b1"), (CARA, "c1"))
    for _ in range(3):
        cut(desk, line)
    assert line.texts()[9:] == [(ANNA, "poison")]
    desk.queue(("77059999999", "later"), urgency=Urgency.ANSWER)
    assert len(line.taken) == 10
    cut(desk, line)
    assert desk.statuses() == ["in_doubt", "sending", "queued", "queued"]
    assert line.texts()[10:] == [(BELA, "b1")]
    desk.answer(line, 10)
    desk.answer(line, 11)
    desk.answer(line, 12)
    assert line.texts()[11:] == [(CARA, "c1"), ("77059999999", "later")]
    assert desk.statuses() == ["in_doubt", "accepted", "accepted", "accepted"]


def test_suspect_waits_until_the_link_is_idle(desk: Make) -> None:
    """And nothing that was queued behind it goes before."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"))
    for _ in range(3):
        cut(desk, line)
    line.free = 0
    cut(desk, line)  # it went alone: held
    assert desk.statuses() == ["in_doubt"]
    desk.world.store._connection.execute("UPDATE outbox SET status='queued', urgency=3, in_doubt=3")
    desk.queue((BELA, "b1"), (CARA, "c1"))
    desk.wait(0)
    sent = len(line.taken)
    assert line.texts()[-2:] == [(BELA, "b1"), (CARA, "c1")]
    desk.answer(line, sent - 2)
    assert len(line.taken) == sent
    desk.answer(line, sent - 1)
    assert line.texts()[sent:] == [(ANNA, "a1")]


def test_crash_of_ours_is_not_counted_against_a_text(desk: Make) -> None:
    """However often we die, it is sent again, and with the others."""
    line = Line()
    desk = desk(line)
    desk.queue((ANNA, "a1"), (BELA, "b1"))
    with desk.world.store.transaction():
        for _ in range(9):
            desk.world.store._connection.execute("UPDATE outbox SET status='sending'")
            desk.world.store.outbox.doubt_all(NOON, {})
    assert desk.world.store._connection.execute("SELECT DISTINCT in_doubt FROM outbox").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("replace", "text", "flags"), [(True, "a", [0, 1]), (True, "x" * 300, [0, 0, 0, 0]), (False, "a", [0, 0])]
)
def test_second_sending_replaces_the_first_where_the_link_can(
    desk: Make, replace: bool, text: str, flags: list[int]
) -> None:
    """Only a text of one part: parts would replace each other."""
    line = Line()
    desk = desk(line, on_doubt=OnDoubt(replace=replace))
    desk.queue((ANNA, text))
    cut(desk, line)
    assert [pdu.replace_if_present_flag for _, pdu in line.taken] == flags


def test_nothing_is_replaced_that_the_phone_has_not_received(desk: Make) -> None:
    """The centre still holds another text for her: it would be lost."""
    line = Line()
    desk = desk(line, on_doubt=OnDoubt(replace=True))
    case = desk.world.birth()
    phone = desk.world.case(case).msisdn
    desk.writer.commit()
    while len(line.taken) > line.answered:
        desk.answer(line, line.answered)
    sent = len(line.taken)
    desk.queue((phone, "more"))
    cut(desk, line)
    assert [pdu.replace_if_present_flag for _, pdu in line.taken[sent:]] == [0, 0]
    desk.world.store._connection.execute("UPDATE outbox SET status='delivered' WHERE status='accepted'")
    cut(desk, line)
    assert line.taken[-1][1].replace_if_present_flag == 1


# --- routes ------------------------------------------------------------------------------------------------


def wrote(desk: Desk, msisdn: str, link: str) -> None:
    with desk.world.store.transaction():
        desk.world.store.people.note_link(msisdn, link)


def test_text_goes_by_the_link_by_which_the_person_last_wrote(desk: Make) -> None:
    """Else by prefix, the longest first; else by any."""
    north, south = Line("north", prefixes=("7702",)), Line("south", prefixes=("7701", "77", "77020"))
    desk = desk(north, south)
    wrote(desk, ANNA, "north")
    desk.queue((ANNA, "last wrote north"), ("77021111111", "north's"), (BELA, "south's"), ("79990000000", "any"))
    assert (ANNA, "last wrote north") in north.texts()
    assert ("77021111111", "north's") in north.texts()
    assert (BELA, "south's") in south.texts()
    assert len(north.taken) + len(south.taken) == 4


def test_throttled_link_keeps_nobody_elses_text_waiting(desk: Make) -> None:
    """Its own wait for it, however many; the others go."""
    north, south = Line("north", room=0, prefixes=("7701",)), Line("south", prefixes=("7702",))
    desk = desk(north, south)
    desk.queue(*((f"7701{number:07}", "n") for number in range(500)), (BELA, "s"), (CARA, "any"))
    assert south.texts() == [(BELA, "s"), (CARA, "any")]
    north.free = 64
    desk.wait(0)
    assert len(north.taken) == 64


def test_link_that_is_down_is_stood_in_for(desk: Make) -> None:
    """What waits for it goes by another that is bound, what was on its wire too; if none is bound all waits."""
    north, south = Line("north", prefixes=("7701",)), Line("south", prefixes=("7702",))
    desk = desk(north, south)
    desk.queue((ANNA, "a1"), (ANNA, "a2"))
    assert north.texts() == [(ANNA, "a1")]
    north.may_submit = False
    desk.doubt(north, 0)
    desk.lose(north)
    desk.answer(south, 0)
    assert south.texts() == [(ANNA, "a1"), (ANNA, "a2")]

    desk.answer(south, 1)
    desk.lose(south)
    desk.queue((BELA, "b1"))
    assert desk.statuses()[-1] == "queued"
    north.may_submit = True
    desk.writer.commit()
    assert north.texts()[1:] == [(BELA, "b1")]


def test_link_that_is_just_beginning_is_waited_for(desk: Make) -> None:
    """After a start, texts do not rush to whichever link is bound first."""
    north, south = Line("north", prefixes=("7701",)), Line("south")
    north.may_submit, north.epoch, north.state = False, 1, SessionState.BINDING
    desk = desk(north, south)
    desk.queue((ANNA, "a1"))
    assert south.texts() == []
    north.epoch = 2
    desk.writer.commit()
    assert south.texts() == [(ANNA, "a1")]


def test_two_links_never_have_two_texts_of_one_phone(desk: Make) -> None:
    """She wrote by another link meanwhile: the first text first, by whichever link."""
    north, south = Line("north", prefixes=("7701",)), Line("south")
    desk = desk(north, south)
    desk.queue((ANNA, "a1"))
    wrote(desk, ANNA, "south")
    desk.queue((ANNA, "a2"))
    assert (north.texts(), south.texts()) == ([(ANNA, "a1")], [])
    desk.answer(north, 0)
    assert south.texts() == [(ANNA, "a2")]


def test_texts_of_a_link_that_is_no_more_go_by_any(desk: Make) -> None:
    """The configuration has changed between two starts."""
    north, south = Line("north", room=0, prefixes=("7701",)), Line("south", room=0)
    first = desk(north, south)
    first.queue((ANNA, "a1"))
    only = Line("west")
    second = desk(only)
    with second.world.store.transaction():
        second.world.store.outbox.use_routes(Routes(frozenset({"west"})))
    second.writer.commit()
    assert only.texts() == [(ANNA, "a1")]


def test_addresses_have_the_types_that_the_operator_wants(desk: Make) -> None:
    """TON and NPI by link."""
    line = Line(source=(3, 0), destination=(0, 8))
    desk(line).queue((ANNA, "a1"))
    pdu = line.taken[0][1]
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.dest_addr_ton, pdu.dest_addr_npi) == (3, 0, 0, 8)


@pytest.mark.parametrize(("phone", "text"), [(ANNA, "x" * 40_000), ("7" * 21, "a1")])
def test_text_that_fits_into_no_pdu_fails_alone(desk: Make, phone: str, text: str) -> None:
    """The link and the other texts go on."""
    line = Line()
    desk = desk(line)
    desk.queue((phone, text), (BELA, "b1"))
    desk.writer.commit()
    assert desk.statuses() == ["failed", "sending"]
    assert line.texts() == [(BELA, "b1")]


@pytest.mark.parametrize(("pause_s", "moved"), [(30.0, 1), (1.0, 0)])
def test_what_was_claimed_for_a_link_leaves_by_another_when_it_is_throttled_for_long(
    desk: Make, pause_s: float, moved: int
) -> None:
    """Not what was begun; and not for a pause that is soon over."""
    north, south = Line("north", 2, prefixes=("7701",), alphabet="ascii"), Line("south")
    desk = desk(north, south)
    desk.queue((ANNA, "é" * 90), (DORA, "é" * 90))  # two parts each, where one was reckoned with
    assert [pdu.destination_addr for _, pdu in north.taken] == [ANNA, ANNA]
    north.pause_left_s = pause_s
    desk.sender.throttled(north)
    desk.writer.commit()
    assert [pdu.destination_addr for _, pdu in south.taken] == [DORA] * moved


def test_what_was_claimed_goes_out_until_the_session_has_said_that_there_is_no_room(desk: Make) -> None:
    """`tps` makes room while parts go out; a session calls `room` only after it has told that there is none."""

    class Filling(Line):
        def submit_all(self, submits) -> None:
            super().submit_all(submits)
            self.free += len(self.taken) == 1  # a little time has passed

    line = Filling(room=1)

    desk(line).queue((ANNA, "ж" * 130))

    assert len(line.taken) == 2


def test_the_rest_of_a_text_that_was_begun_waits_for_its_own_link(desk: Make) -> None:
    """One part is on its way when the link is throttled for long: the other does not leave by another."""
    north, south = Line("north", 1, prefixes=("7701",)), Line("south")
    desk = desk(north, south)
    desk.queue((ANNA, "x" * 300))
    assert len(north.taken) == 1
    north.pause_left_s = 30.0
    desk.sender.throttled(north)
    desk.answer(north, 0)
    assert south.taken == []
    assert desk.statuses() == ["sending"]
    desk.sender.room(north)
    assert len(north.taken) == 2
