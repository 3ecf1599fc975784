"""What links deliver, up to the store: parts, receipts, second deliveries, and what cannot be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import PHONE, World, a_world

from smsflow.core.encoding import Alphabet
from smsflow.inbox import Inbox
from smsflow.metrics import REGISTRY
from smsflow.smpp.codec import DeliverSm, decode
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.receipts import id_key
from smsflow.smpp.segments import LongTexts, segment
from smsflow.smpp.statuses import Status
from smsflow.store.outbox import Taken
from smsflow.store.receipts import Receipts, Report
from smsflow.writer import Writer

NAME = "Нұрмұхамбетова Айгерім Әбілмансұрқызы"
LONG = f"R 1 1 2 {NAME} {'!' * 40}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


class Line:
    """Links that deliver to an inbox, and what they are answered."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[tuple[int, int]] = []
        self.writer = Writer(world.store, last=lambda: None, after=lambda _: None)
        self._sequence = 0
        self.restart("first")

    def restart(self, run: str) -> None:
        """The daemon ends and starts again on the same store."""
        self.inbox = Inbox(self.world.replies, self.world.store, self.writer, lambda: self.world.now, run=run)
        self._sessions: dict[str, SimpleNamespace] = {}

    def session(self, name: str, alphabet: str = "gsm", **how: str) -> SimpleNamespace:
        if name not in self._sessions:
            self._sessions[name] = SimpleNamespace(
                settings=LinkSettings(name, "host", 2775, "id", "", alphabet=alphabet, **how),
                respond=lambda sequence, status, epoch: self.answers.append((sequence, int(status))),
                refuse=lambda pdu, status, epoch: self.answers.append((pdu.sequence, int(status))),
            )
            self.inbox.add(self._sessions[name])
        return self._sessions[name]

    def deliver(self, *pdus: DeliverSm, link: str = "main", epoch: int = 1, **how: str) -> None:
        """Deliver without waiting for an answer."""
        for pdu in pdus:
            self._sequence += 1
            octets = {name: getattr(pdu, name) for name in DeliverSm.__dataclass_fields__ if name != "sequence"}
            self.inbox.take(
                self.session(link, **how), DeliverSm(**octets, sequence=self._sequence), epoch, self.world.now
            )

    def say(self, *pdus: DeliverSm, **how) -> list[int]:
        """Deliver, one at a time; the answers."""
        before = len(self.answers)
        for pdu in pdus:
            self.deliver(pdu, **how)
            self.writer.commit()
        return [status for _, status in self.answers[before:]]

    def tick(self, by: timedelta = timedelta()) -> None:
        self.world.now += by
        self.inbox.tick()
        self.writer.commit()
        self.writer.commit()

    def rows(self, sql: str) -> list[tuple]:
        return self.world.store._connection.execute(sql).fetchall()

    def texts(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT text FROM inbound ORDER BY id")]

    def statuses(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT status FROM outbox ORDER BY id")]

    def submitted(self, *ids: str, link: str = "main") -> None:
        """The text that is queued was taken by a message centre in parts with these ids."""
        with self.world.store.transaction():
            (text,) = self.world.store.outbox.claim(link, 10, self.world.now)
        for part, each in enumerate(ids):
            self.accepted(text.id, part, len(ids), each, link)

    def accepted(self, text: int, part: int, total: int, message_id: str, link: str = "main") -> None:
        taken = Taken(link, message_id, id_key(message_id))
        with self.world.store.transaction():
            self.world.store.outbox.mark_segment(text, part, total, taken, self.world.now)


def play(world: World, story: Callable[[Line], None]) -> Line:
    """Tell `story` inside an event loop: the writer wants one."""
    line: Line | None = None

    async def run() -> None:
        nonlocal line
        line = Line(world)
        story(line)

    asyncio.run(run())
    assert line is not None
    return line


def mo(text: str, source: str = PHONE) -> DeliverSm:
    return DeliverSm(
        source_addr=source, destination_addr="1414", data_coding=8, short_message=text.encode("utf-16-be")
    )


def parts(text: str, reference: int = 7, source: str = PHONE, **how) -> list[DeliverSm]:
    return [
        DeliverSm(
            source_addr=source, destination_addr="1414", esm_class=each.esm_class, data_coding=each.data_coding,
            short_message=each.short_message, tlvs=each.tlvs,
        )
        for each in segment(text, reference, **how)
    ]  # fmt: skip


def receipt(message_id: str, state: str = "DELIVRD", source: str = PHONE, **how) -> DeliverSm:
    text = f"id:{message_id} sub:001 dlvrd:001 stat:{state} err:000 text:"
    return DeliverSm(source_addr=source, destination_addr="1414", esm_class=4, short_message=text.encode(), **how)


def test_octets_are_read_by_the_alphabet_of_their_link(world: World) -> None:
    """The same octets by two links, by each more than once."""

    def story(line: Line) -> None:
        for number, (link, alphabet) in enumerate((("one", "latin1"), ("two", "gsm")) * 2):
            pdu = DeliverSm(source_addr=f"7701000000{number}", short_message=b"R \x05")
            line.say(pdu, link=link, alphabet=alphabet)
        one, two, *again = line.texts()
        assert (one, two) == ("R \x05", "R é")
        assert again == [one, two]

    play(world, story)


# --- long texts in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("long_texts", [LongTexts.UDH8, LongTexts.UDH16, LongTexts.SAR, LongTexts.PAYLOAD])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 2, 1, 0), (0, 1, 1, 0, 2)])
def test_27_parts_of_any_kind_in_any_order_are_one_text(world, long_texts, order):
    """Out of order, duplicated: one text, once, each part answered with ROK."""
    text = "Ә" * 150 + "!"
    pdus = parts(text, long_texts=long_texts)
    chosen = [pdus[place] for place in order] if len(pdus) > 1 else pdus

    def story(line: Line) -> None:
        assert line.say(*chosen) == [Status.ROK] * len(chosen)

    assert play(world, story).texts() == [text]


@pytest.mark.parametrize(("udh", "texts"), [("guess", 1), ("flag", 2)])
def test_28_parts_whose_flag_was_lost_are_one_text_where_the_link_says_so(world, udh, texts):
    """Else each is a text by itself."""

    def story(line: Line) -> None:
        lost = [replace(each, esm_class=0) for each in parts(LONG)]
        assert line.say(*lost, udh=udh) == [Status.ROK] * 2
        assert len(line.texts()) == texts
        assert (line.texts() == [LONG]) is (texts == 1)

    play(world, story)


def test_27_parts_survive_a_restart_between_them(world):
    """They are in the store, not in the daemon."""
    first, second = parts(LONG)

    def story(line: Line) -> None:
        line.say(first)
        line.restart("second")
        line.say(second)

    assert play(world, story).texts() == [LONG]


def test_27_numbering_of_different_kinds_senders_and_totals_does_not_meet(world):
    """Keyed by sender, number, reference, total and kind."""
    a, b = parts(LONG), parts(LONG, long_texts=LongTexts.SAR)
    c, d = parts(LONG, source="77017654321"), parts("Ә" * 150)

    def story(line: Line) -> None:
        line.say(a[0], b[1], c[1], d[2], d[0])
        assert line.texts() == []
        line.say(a[1])
        assert line.texts() == [LONG]
        line.say(b[0], c[0], d[1])

    assert play(world, story).texts() == [LONG, LONG, LONG, "Ә" * 150]


@pytest.mark.parametrize("link", ["main", "other"])
def test_23_parts_that_are_delivered_again_are_no_second_text(world, link):
    """The responses were lost: every part comes once more, here or on another link."""
    pdus = parts(LONG)

    def story(line: Line) -> None:
        line.say(*pdus)
        assert line.say(*pdus, link=link, epoch=2) == [Status.ROK, Status.ROK]
        line.say(pdus[1], link=link, epoch=2)
        line.tick(timedelta(minutes=11))
        line.tick(timedelta(hours=2))

    line = play(world, story)
    assert line.texts() == [LONG]
    assert line.rows("SELECT * FROM part") == []


def test_27_a_reference_that_is_used_again_at_once_is_a_new_text(world):
    """Also when its first part is the same as before."""
    one, two = parts("Ә" * 70 + "1"), parts("Ә" * 70 + "2")
    three = parts("Қ" * 70 + "3")

    def story(line: Line) -> None:
        line.say(*one, *two, *three)

    assert play(world, story).texts() == ["Ә" * 70 + "1", "Ә" * 70 + "2", "Қ" * 70 + "3"]


def test_27_parts_of_two_texts_with_one_reference_never_mix(world):
    """The first text lost a part; the next one has the same reference."""
    old, new = parts("Ә" * 70 + "1"), parts("Қ" * 70 + "2")

    def story(line: Line) -> None:
        line.say(old[1], new[1], new[0])
        assert line.texts() == ["Қ" * 70 + "2"]
        line.tick(timedelta(minutes=11))

    assert play(world, story).texts()[1:] == ["ӘӘӘ1"]


def test_27_a_text_that_is_not_complete_is_taken_and_flagged_in_time(world):
    """What is there is taken ten minutes after the last part, once, and a person looks."""
    first, _, third = parts("R 1 1 2 " + "Ә" * 150)

    def story(line: Line) -> None:
        line.say(first)
        line.tick(timedelta(minutes=9))
        line.say(third)
        line.tick(timedelta(minutes=9))
        assert line.texts() == []
        line.tick(timedelta(minutes=2))
        line.tick(timedelta(minutes=2))

    line = play(world, story)
    assert line.texts() == ["R 1 1 2 " + "Ә" * 59 + "Ә" * (158 - 134)]
    assert world.flags() == ["parts_missing"]


def test_27_parts_that_come_long_after_a_text_was_released_are_not_lost(world):
    """The centre delivers again, part by part, what was taken without the rest: no part costs another."""
    text = "Ә" * 150 + "!"
    first, second, third = parts(text)

    def story(line: Line) -> None:
        assert line.say(second) == [Status.ROK]
        line.tick(timedelta(minutes=11))
        assert len(line.texts()) == 1
        line.tick(timedelta(minutes=14))
        assert line.say(first, second) == [Status.ROK] * 2
        assert line.say(third) == [Status.ROK]
        assert line.texts()[1:] == [text]

    play(world, story)


def test_27_a_new_text_keeps_the_parts_that_came_before_one_is_set_aside(world):
    """Its reference is that of a text which was released: what waits is the new one's."""
    old, new = parts("Ә" * 150 + "!"), parts("Ғ" * 150 + "?")

    def story(line: Line) -> None:
        line.say(old[1])
        line.tick(timedelta(minutes=11))
        line.say(new[0], new[1], new[2])
        assert line.texts()[1:] == ["Ғ" * 150 + "?"]

    play(world, story)


def test_27_a_name_that_is_cut_short_is_asked_for_again_and_completed_later(world):
    """Half a name is never accepted; a part that comes later still completes the text."""
    first, second = parts(LONG)

    def story(line: Line) -> None:
        case = world.birth()
        world.reply("R 1 1 2")
        line.say(first)
        line.tick(timedelta(minutes=11))
        assert world.case(case).state == "child_name"
        assert "parts_missing" in world.flags()
        line.say(second)
        assert world.case(case).state != "child_name"

    assert play(world, story).texts()[-1] == LONG


def test_27_a_choice_counts_though_the_thanks_are_missing(world):
    """The answer is whole, whatever came after it."""

    def story(line: Line) -> None:
        case = world.birth()
        line.say(parts("R 1 1 2" + " " * 100 + "рахмет")[0])
        line.tick(timedelta(minutes=11))
        assert world.case(case).state == "child_name"

    play(world, story)


def test_27_parts_may_go_by_different_codings(world):
    """A phone writes the part without Kazakh letters in the GSM alphabet."""
    gsm = DeliverSm(
        source_addr=PHONE, destination_addr="1414", esm_class=0x40, short_message=b"\5\0\3\7\2\1R 1 1 2 \0"
    )
    ucs2 = DeliverSm(
        source_addr=PHONE, destination_addr="1414", esm_class=0x40, data_coding=8,
        short_message=b"\5\0\3\7\2\2" + "Әлия".encode("utf-16-be"),
    )  # fmt: skip

    def story(line: Line) -> None:
        line.say(ucs2, gsm)

    assert play(world, story).texts() == ["R 1 1 2 @Әлия"]


@pytest.mark.parametrize("alphabet", ["gsm", "gsm-packed", "latin1", "ascii", "utf8"])
@pytest.mark.parametrize("long_texts", list(LongTexts))
def test_29_texts_in_the_alphabet_of_the_link(world, alphabet, long_texts):
    """Alone and in parts, whichever way the parts are told."""
    long = "R 1 1 2 " + "Aigerim " * 30 + "!"

    def story(line: Line) -> None:
        how = {"long_texts": long_texts, "alphabet": Alphabet(alphabet)}
        line.say(*parts("R 1 1 2", **how), *parts(long, **how), alphabet=alphabet)

    assert play(world, story).texts() == ["R 1 1 2", long]


@pytest.mark.parametrize("data_coding", [0, 3, 4, 8, 0xF0])
def test_30_nuls_at_the_end_are_no_part_of_the_text(world, data_coding):
    """They are padding, though the GSM alphabet has an `@` there; the octets are kept as they came."""
    octets = "R 1 1 2".encode("utf-16-be" if data_coding == 8 else "ascii") + b"\0\0"

    def story(line: Line) -> None:
        line.say(DeliverSm(source_addr=PHONE, data_coding=data_coding, short_message=octets))

    assert play(world, story).rows("SELECT text, raw FROM inbound") == [("R 1 1 2", octets)]


def test_30_a_single_nul_at_the_end_of_a_gsm_text_is_the_sign_that_it_is(world):
    """It stays in the text; a reply that ends so is understood all the same."""

    def story(line: Line) -> None:
        case = world.birth()
        for octets in (b"my mail: anna\0", b"R 1 1 1\0"):
            line.say(DeliverSm(source_addr=PHONE, short_message=octets))
        assert line.texts() == ["my mail: anna@", "R 1 1 1@"]
        outcomes = [row[0] for row in line.rows("SELECT outcome FROM inbound ORDER BY id")]
        assert outcomes == ["not_understood", "answered"], world.case(case)

    play(world, story)


@given(st.binary(max_size=160), st.integers(0, 255), st.integers(0, 255), st.sampled_from(list(Alphabet)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_29_whatever_comes_is_kept_and_answered(tmp_path_factory, octets, esm_class, data_coding, alphabet):
    """Any octets: ROK, and stored as they came, as a text, a part, or for a person."""
    with a_world(tmp_path_factory.mktemp("any")) as world:

        def story(line: Line) -> None:
            pdu = DeliverSm(
                source_addr=PHONE, esm_class=esm_class, data_coding=data_coding, short_message=octets, raw=b"frame"
            )
            assert line.say(pdu, alphabet=alphabet.value) == [Status.ROK]

        play(world, story)


# --- receipts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["main", "other"])
@pytest.mark.parametrize("written", ["A1F", "a1f", "000A1F", "2591"])
def test_26_a_receipt_before_the_response_is_parked_and_matched(world, link, written):
    """On this link or another, however its id is written; answered with ROK at once."""

    def story(line: Line) -> None:
        world.birth()
        assert line.say(receipt(written), link=link) == [Status.ROK]
        assert line.statuses() == ["queued"]
        line.submitted("A1F")
        assert line.statuses() == ["delivered"]
        assert line.rows("SELECT * FROM parked_key") == line.rows("SELECT * FROM parked_receipt") == []

    play(world, story)


def test_26_a_receipt_is_parked_and_matched_also_when_none_was_parked_for_long(world):
    """While none is parked nobody looks for one; the first that comes is looked for again."""

    def story(line: Line) -> None:
        world.birth()
        line.tick(timedelta(minutes=1))
        assert not world.store.outbox.receipts.may_be_parked
        line.say(receipt("A1F"))
        line.submitted("A1F")
        assert line.statuses() == ["delivered"]

    play(world, story)


@pytest.mark.parametrize(
    ("message_ids", "delivered"), [("auto", "10"), ("same", "10"), ("hex-decimal", "A"), ("decimal-hex", "16")]
)
def test_8_ids_that_can_be_read_in_two_ways_are_read_as_the_link_says(world, message_ids, delivered):
    """Three texts to one phone, whose ids are 10 in some base."""

    def story(line: Line) -> None:
        for number, message_id in enumerate(("10", "A", "16")):
            world.birth(f"b{number}", birth_order=number + 1)
            line.submitted(message_id)
        assert line.say(receipt("10"), message_ids=message_ids) == [Status.ROK]
        known = line.rows("SELECT message_id FROM segment WHERE state = 'delivered'")
        assert known == [(delivered,)]

    play(world, story)


def test_26_parked_receipts_survive_a_restart_and_go_away_in_time(world):
    """They wait an hour, in the store."""

    def story(line: Line) -> None:
        world.birth()
        line.say(receipt("early"), receipt("foreign"))
        line.restart("second")
        line.submitted("early")
        assert line.statuses() == ["delivered"]
        line.tick(timedelta(minutes=59))
        assert len(line.rows("SELECT * FROM parked_receipt")) == 1
        line.tick(timedelta(minutes=2))
        assert line.rows("SELECT * FROM parked_key") == line.rows("SELECT * FROM parked_receipt") == []

    play(world, story)


def test_26_the_first_final_state_stays(world):
    """Twice, contrary, under way, months late: ROK, and nothing changes."""

    def story(line: Line) -> None:
        world.birth()
        line.submitted("1", "2")
        for state in ("ACCEPTD", "ENROUTE", "UNDELIV", "DELIVRD", "EXPIRED"):
            assert line.say(receipt("1", state), receipt("2", state)) == [Status.ROK] * 2
        assert line.statuses() == ["failed"]
        line.tick(timedelta(days=60))
        assert line.say(receipt("1")) == [Status.ROK]
        assert line.statuses() == ["failed"]

    play(world, story)


def test_26_a_part_that_fails_before_the_last_is_taken_fails_the_text(world):
    """The receipt for one part comes before the response to another."""

    def story(line: Line) -> None:
        world.birth()
        with world.store.transaction():
            (text,) = world.store.outbox.claim("main", 10, world.now)
        line.accepted(text.id, 0, 2, "1")
        line.say(receipt("1", "UNDELIV"))
        assert line.statuses() == ["sending"]
        line.accepted(text.id, 1, 2, "2")
        assert line.statuses() == ["failed"]

    play(world, story)


def test_10_one_id_for_every_text_is_told_apart_by_the_phone(world):
    """Ids are never unique; a receipt that fits several texts and no phone is parked, not guessed."""

    def story(line: Line) -> None:
        phones = (PHONE, "77017654321", "77051234567")
        for number, phone in enumerate(phones):
            world.birth(f"b{number}", msisdn=phone, mother_iin=f"95010120010{number}")
            line.submitted("0")
        assert line.say(receipt("0", source="77017654321")) == [Status.ROK]
        assert line.statuses() == ["accepted", "delivered", "accepted"]
        assert line.say(receipt("0", source="77770000000")) == [Status.ROK]
        assert line.statuses() == ["accepted", "delivered", "accepted"]

    play(world, story)


def test_10_an_id_that_is_used_again_means_the_latest_text(world):
    """The older text with that id, to the same phone, has its state already."""

    def story(line: Line) -> None:
        world.birth()
        line.submitted("77")
        line.say(receipt("77"))
        line.tick(timedelta(days=3))
        world.birth("b2", birth_order=2)
        line.submitted("77")
        line.say(receipt("77", "UNDELIV"))
        assert line.statuses() == ["delivered", "failed"]

    play(world, story)


@pytest.mark.parametrize("source", [PHONE, "+77011234567", "87011234567", "1414", "hidden", ""])
def test_25_the_phone_of_a_receipt_may_be_written_in_any_way(world, source):
    """In any form, in the destination, masked, or not at all."""

    def story(line: Line) -> None:
        world.birth()
        line.submitted("A1")
        line.say(receipt("A1", source=source))
        assert line.statuses() == ["delivered"]

    play(world, story)


def test_receipt_finds_what_the_same_transaction_says_was_taken(world):
    """A quick centre sends it together with its answer: nothing is parked, and then looked for again."""

    def story(line: Line) -> None:
        world.birth()
        outbox = world.store.outbox
        with world.store.transaction():
            (text,) = outbox.claim("main", 10, world.now)
        line.deliver(receipt("A1"), receipt("A2"))
        whole = [(text.id, PHONE, [(0, Taken("main", "A1", "a1")), (1, Taken("main", "A2", "a2"))])]
        line.writer.submit(lambda: outbox.mark_whole(whole, world.now), lambda *_: None)
        ran: list[str] = []
        world.store._connection.set_trace_callback(ran.append)
        line.writer.commit()
        world.store._connection.set_trace_callback(None)
        assert [status for _, status in line.answers] == [Status.ROK] * 2
        assert line.statuses() == ["delivered"]
        assert not any("INTO parked" in statement for statement in ran)

    play(world, story)


def test_receipt_that_cannot_be_handled_costs_the_others_nothing(world, monkeypatch):
    """Our bug: each is tried by itself then, and all are answered."""
    real = Receipts.mark

    def mark(self: Receipts, reports: list[Report]) -> list[bool]:
        if any(report.keys[0] == "b" for report in reports):
            raise KeyError("ours")
        return real(self, reports)

    monkeypatch.setattr(Receipts, "mark", mark)

    def story(line: Line) -> None:
        world.birth()
        line.submitted("A1", "A2")
        line.deliver(receipt("A1"), receipt("B"), receipt("A2"))
        line.writer.commit()
        assert line.answers == []
        line.writer.commit()
        assert [status for _, status in line.answers] == [Status.ROK] * 3
        assert line.statuses() == ["delivered"]

    play(world, story)


def test_ids_of_texts_that_ended_long_ago_leave_their_index(world):
    """By themselves, as time passes; what became of the texts stays."""

    def story(line: Line) -> None:
        world.birth()
        line.submitted("A1")
        line.say(receipt("A1"))
        line.tick(timedelta(hours=23))
        kept = line.rows("SELECT key FROM segment")
        line.tick(timedelta(hours=2))
        assert (kept, line.rows("SELECT key, message_id FROM segment")) == ([("a1",)], [("", "A1")])
        assert line.statuses() == ["delivered"]

    play(world, story)


def test_26_a_receipt_is_answered_ok_though_the_store_does_not_take_it(world):
    """An error would make the message centre loop; it is written down when the store works again."""

    def story(line: Line) -> None:
        world.birth()
        line.submitted("A1")
        execute = world.store._connection.execute
        execute(
            "CREATE TEMP TRIGGER full BEFORE UPDATE ON segment"
            " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
        )
        assert line.say(receipt("A1")) == [Status.ROK]
        line.tick()
        assert line.statuses() == ["accepted"]
        execute("DROP TRIGGER full")
        line.tick()
        assert line.statuses() == ["delivered"]

    play(world, story)


def test_25_what_only_claims_to_be_a_receipt_is_kept_for_a_person(world):
    """The header says receipt, and there is nothing of one in it: ROK, no text of a mother, not thrown away."""

    def story(line: Line) -> None:
        pdu = DeliverSm(source_addr=PHONE, esm_class=4, short_message=b"R 1 1 2", raw=b"as it came")
        assert line.say(pdu) == [Status.ROK]
        assert line.texts() == []
        assert line.rows("SELECT raw FROM undecodable") == [(b"as it came",)]

    play(world, story)


# --- the same reply again -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data_coding", "octets"), [(0, b"1"), (8, b"\x001\0\0"), (8, b"\x001")], ids=["coding", "padding", "same"]
)
def test_23_a_bare_answer_that_another_link_delivers_otherwise_does_not_count_twice(world, data_coding, octets):
    """The next question has gone out meanwhile: the same digit would be an answer to it."""
    world.birth()
    again = DeliverSm(source_addr=PHONE, destination_addr="1414", data_coding=data_coding, short_message=octets)

    def story(line):
        for text in ("R 1 1 2", f"R 1 1 2 {NAME}"):
            line.say(mo(text))
            world.sent()
        line.say(mo("1"))
        world.sent()
        line.say(again, link="other")

    line = play(world, story)
    assert line.rows("SELECT outcome, reason FROM inbound ORDER BY id")[2:] == [
        ("answered", ""),
        ("not_understood", "delivered_again"),
    ]


def test_23_the_same_reply_before_the_first_is_answered_is_one_reply(world):
    """Same session, other sequence number, both answered with ROK; both are written down."""

    def story(line: Line) -> None:
        case = world.birth()
        line.deliver(mo("чепуха"), mo("чепуха"), mo("другое"))
        line.writer.commit()
        assert line.answers == [(1, 0), (2, 0), (3, 0)]
        assert world.case(case).misread == 2

    line = play(world, story)
    assert line.rows("SELECT outcome FROM inbound ORDER BY id")[1] == ("repeated",)


def test_23_a_reply_that_crossed_a_slow_answer_is_one_reply(world, monkeypatch):
    """The message centre lost patience while the store was slow; its second delivery was on its way already."""

    def story(line: Line) -> None:
        case = world.birth()
        line.deliver(mo("чепуха"))
        line.inbox.tick()
        time.sleep(0.55)
        line.writer.commit()
        assert line.say(mo("чепуха")) == [Status.ROK]
        assert world.case(case).misread == 1
        assert line.say(mo("другое")) == [Status.ROK]
        assert world.case(case).misread == 2

    play(world, story)


def test_the_same_words_after_an_answer_are_a_second_reply(world):
    """A mother may write the same twice."""

    def story(line: Line) -> None:
        case = world.birth()
        line.say(mo("чепуха"), mo("чепуха"))
        assert world.case(case).misread == 2

    play(world, story)


def test_23_both_deliveries_are_refused_when_the_store_takes_none(world):
    """A full disk: come again."""

    def story(line: Line) -> None:
        case = world.birth()
        execute = world.store._connection.execute
        execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON journal"
            " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
        )
        line.deliver(mo("R 1 1 2"), mo("R 1 1 2"))
        line.writer.commit()
        assert [status for _, status in line.answers] == [Status.RSYSERR] * 2
        execute("DROP TRIGGER full")
        assert line.say(mo("R 1 1 2")) == [Status.ROK]
        assert world.case(case).state == "child_name"

    play(world, story)


# --- what cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fails", "status"), [(False, Status.ROK), (True, Status.RSYSERR)])
def test_a_text_that_cannot_be_handled_is_kept_before_it_is_acknowledged(world, monkeypatch, fails, status):
    """Our bug: as it came, for a person; for the moment it is refused when that cannot be written down either."""

    def story(line: Line) -> None:
        monkeypatch.setattr(world.engine, "move", lambda *_: 1 / 0)
        if fails:
            world.store._connection.execute(
                "CREATE TEMP TRIGGER full BEFORE INSERT ON inbound"
                " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
            )
        line.deliver(mo("R 1 1 2"))
        line.writer.commit()
        assert line.answers == []
        line.writer.commit()
        assert line.answers == [(1, status)]
        assert line.texts() == ([] if fails else ["R 1 1 2"])
        assert world.flags() == ([] if fails else ["reply_failed"])

    world.birth()
    play(world, story)


@pytest.mark.parametrize(("fails", "status"), [(False, Status.RINVMSGLEN), (True, Status.RSYSERR)])
def test_8_a_frame_that_cannot_be_read_is_kept_before_it_is_answered(world, fails, status):
    """Once, with its own sequence; for the moment only, if it could not be kept."""

    def story(line: Line) -> None:
        frame = bytes.fromhex("0000001200000005000000000000002b0001")
        if fails:
            world.store._connection.execute(
                "CREATE TEMP TRIGGER full BEFORE INSERT ON undecodable"
                " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
            )
        line.inbox.refuse(line.session("main"), decode(frame), 1)
        assert line.answers == []
        line.writer.commit()
        assert line.answers == [(0x2B, status)]
        assert line.rows("SELECT raw FROM undecodable") == ([] if fails else [(frame,)])

    play(world, story)


def test_age_of_the_oldest_reply_without_an_answer(world):
    """From the first that came until its answer."""

    def story(line: Line) -> None:
        clock = [0.0]
        line.inbox._monotonic = lambda: clock[0]
        for _ in range(2):
            line.deliver(mo("R 1 1 2"))
            clock[0] += 2.0
        assert line.inbox.oldest_unanswered_s == 4.0

        line.writer.commit()
        assert line.inbox.oldest_unanswered_s == 0.0

    play(world, story)


def test_what_was_handled_is_told_at_the_end_of_the_turn(world):
    """Each reply in a line of its own, and counted once, with its time; nobody has to ask for it."""

    def count(sample: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(sample, labels) or 0.0

    def counts() -> list[float]:
        return [
            count("smsflow_replies_total", outcome="answered"),
            count("smsflow_replies_total", outcome="not_understood"),
            count("smsflow_coercions_total", name="lower_r"),
            count("smsflow_turn_seconds_count"),
            count("smsflow_turn_seconds_bucket", le="+Inf"),
        ]

    def story(line: Line) -> None:
        line.deliver(mo("r 1 1 2"), mo("чепуха", "77017654321"), mo("???", "77017654322"))
        line.writer.commit()
        assert lines == []

    world.birth()
    before = counts()
    with structlog.testing.capture_logs() as lines:
        play(world, story)

    told = [(line["event"], line["outcome"]) for line in lines]
    assert told == [("reply.handled", outcome) for outcome in ("answered", "not_understood", "not_understood")]
    assert [after - each for after, each in zip(counts(), before, strict=True)] == [1, 2, 1, 3, 3]


def test_lines_are_told_after_what_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers and questions leave at the end of the loop's turn; the log and its disk must not keep them."""
    seen: list[str] = []

    async def run() -> None:
        line, loop = Line(world), asyncio.get_running_loop()
        monkeypatch.setattr(line.inbox, "tell", lambda: seen.append("told"))
        line.deliver(mo("R 1 1 2"))
        line.writer.commit()
        assert line.answers
        loop.call_soon(seen.append, "sent")  # as a connection does that has answered
        for _ in range(3):
            await asyncio.sleep(0)

    world.birth()
    asyncio.run(run())
    assert seen == ["sent", "told"]
