"""A session and a message centre over real TCP, and a session against hand-written octets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from smsflow.core.errors import LocalViolation
from smsflow.smpp.backoff import Backoff, Pauses
from smsflow.smpp.codec import DeliverSm, EnquireLink, EnquireLinkResp, SubmitSm, decode
from smsflow.smpp.faults import Faults, make_rule
from smsflow.smpp.link import LinkSettings, SubmitAnswered
from smsflow.smpp.receipts import State, read_receipt
from smsflow.smpp.segments import join, read_part, segment, submits
from smsflow.smpp.session import Session, SessionState
from smsflow.smpp.smsc import MessageCentre, Text
from smsflow.smpp.statuses import Status
from smsflow.terminal import run_loop

PATIENCE_S = 10
KAZAKH = "Құттықтаймыз! Сіздің балаңыз өмірге келді. " * 4


class Recorder:
    """A listener that answers everything with `status`, and lets a test wait for what happens."""

    def __init__(self) -> None:
        self.status = 0
        self.happened: list[tuple] = []
        self.texts: list[DeliverSm] = []
        self._batch: list[tuple[DeliverSm, int]] = []
        self._changed = asyncio.Event()

    def _note(self, *what) -> None:
        self.happened.append(what)
        self._changed.set()

    async def wait(self, name: str, count: int = 1) -> list[tuple]:
        """Wait until `name` has happened `count` times; return what was told."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [what[1:] for what in self.happened if what[0] == name]) < count:
                self._changed.clear()
                await self._changed.wait()
        return found

    def count(self, name: str) -> int:
        return sum(what[0] == name for what in self.happened)

    def delivered(self, session, pdu, epoch) -> None:
        self._batch.append((pdu, epoch))

    def flush(self, session) -> None:
        batch, self._batch = self._batch, []
        for pdu, epoch in batch:
            self.texts.append(pdu)
            if self.status is not None:
                session.respond(pdu.sequence, self.status, epoch=epoch)
            self._note("delivered", pdu)

    def answered(self, session, answers) -> None:
        for answer in answers:
            self._note("answered", *answer)

    def in_doubt(self, session, tokens) -> None:
        self._note("in_doubt", tokens)

    def bound(self, session) -> None:
        self._note("bound", session.epoch)

    def lost(self, session, reason) -> None:
        self._note("lost", reason)

    def refused(self, session, status) -> None:
        self._note("refused", status)

    def throttled(self, session, status) -> None:
        self._note("throttled", status)

    def room(self, session) -> None:
        self._note("room")

    def undecodable(self, session, pdu, epoch) -> None:
        self._note("undecodable", pdu.raw, pdu.reason)
        session.refuse(pdu, pdu.answer, epoch=epoch)


class Phones:
    """Where a message centre's texts go."""

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self._changed = asyncio.Event()

    def __call__(self, text: Text) -> None:
        self.texts.append(text)
        self._changed.set()

    async def wait(self, count: int = 1) -> list[Text]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.texts) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.texts


def run(test: Callable[[], Coroutine]) -> None:
    """Run `test` to its end, in good time."""

    async def limited() -> None:
        async with asyncio.timeout(3 * PATIENCE_S):
            await test()

    asyncio.run(limited())


def make_settings(port: int, **changes) -> LinkSettings:
    defaults = {"name": "main", "host": "127.0.0.1", "port": port, "system_id": "id", "password": "pw"}
    return LinkSettings(**(defaults | changes))


@asynccontextmanager
async def running(port: int, **changes):
    """Run a session whose pauses are the shortest that jitter allows."""
    listener = Recorder()
    session = Session(make_settings(port, **changes), listener, backoff=Backoff(lambda: 0.0, refused={}))
    task = asyncio.create_task(session.run())
    try:
        yield session, listener
    finally:
        await session.stop(grace_s=2)
        await task


@asynccontextmanager
async def pair(*, centre: dict | None = None, **changes):
    """A message centre and a session bound to it."""
    phones = Phones()
    mc = MessageCentre(phones, **(centre or {}))
    port = await mc.start()
    try:
        async with running(port, **changes) as (session, listener):
            await listener.wait("bound")
            yield mc, phones, session, listener
    finally:
        await mc.stop()


def submit_text(session: Session, text: str, reference: int = 1) -> int:
    parts = submits(text, source_addr="1414", destination_addr="77011234567", reference=reference)
    for number, part in enumerate(parts):
        session.submit((reference, number), part)
    return len(parts)


# ----------------------------------------------------------------------------- against our message centre


def test_a_long_kazakh_text_arrives_whole_and_its_receipts_come_back():
    """Parts out, joined at the other side; one receipt for each part, with the id of its answer."""

    async def test() -> None:
        async with pair() as (_, phones, session, listener):
            count = submit_text(session, KAZAKH)
            assert count == 3
            (text,) = await phones.wait()
            assert (text.text, text.segments) == (KAZAKH, 3)
            assert (text.source, text.destination) == ("1414", "77011234567")
            answers = await listener.wait("answered", count)
            assert [status for _, status, _ in answers] == [0, 0, 0]
            await listener.wait("delivered", count)
            receipts = [read_receipt(pdu) for pdu in listener.texts]
            assert {receipt.message_id for receipt in receipts} == {message_id for *_, message_id in answers}
            assert {receipt.state for receipt in receipts} == {State.DELIVERED}

    run(test)


def test_no_receipt_is_sent_when_none_is_asked_for_or_they_are_off():
    """registered_delivery is honoured (§5.2.17)."""

    async def test() -> None:
        async with pair() as (mc, phones, session, listener):
            session.submit("a", SubmitSm(source_addr="1414", destination_addr="7701", short_message=b"Hi"))
            await phones.wait()
            assert await mc.send("7701", "R 1") == 0
            assert [read_receipt(pdu) for pdu in listener.texts] == [None]

    run(test)


@pytest.mark.parametrize("text", ["R 1 1 2", "R 1 1 2 Айгерім", "R 1 1 2 " + "ә" * 100, "", "😀" * 40])
def test_what_a_phone_writes_is_delivered_and_answered(text):
    """GSM and UCS-2, short and long."""

    async def test() -> None:
        async with pair() as (mc, _, _, listener):
            assert await mc.send("77011234567", text) == 0
            payloads = [read_part(pdu)[1] for pdu in listener.texts]
            assert join(listener.texts[0].data_coding, payloads) == text
            assert {(pdu.source_addr, pdu.destination_addr) for pdu in listener.texts} == {("77011234567", "1414")}

    run(test)


def test_parts_of_a_phones_text_are_joined_in_any_order():
    """What arrives as 3, 1, 2 reads as it was written."""

    async def test() -> None:
        async with pair() as (mc, _, _, listener):
            for order in itertools.permutations(segment(KAZAKH, reference=5)):
                listener.texts.clear()
                for each in order:
                    pdu = DeliverSm(
                        source_addr="7701",
                        destination_addr="1414",
                        esm_class=each.esm_class,
                        data_coding=each.data_coding,
                        short_message=each.short_message,
                    )
                    assert await mc.deliver(pdu) == 0
                read = sorted((read_part(pdu) for pdu in listener.texts), key=lambda pair: pair[0].number)
                assert join(8, [payload for _, payload in read]) == KAZAKH

    run(test)


def test_the_status_of_an_answer_reaches_the_message_centre():
    """A commit that fails is answered with a temporary error."""

    async def test() -> None:
        async with pair() as (mc, _, _, listener):
            listener.status = 0x08
            assert await mc.send("7701", "R 1") == 0x08

    run(test)


def test_a_text_that_was_not_answered_is_delivered_again():
    """As real centres do, under another sequence number."""

    async def test() -> None:
        async with pair(centre={"response_timeout_s": 0.05}) as (mc, _, _, listener):
            listener.status = None
            sending = asyncio.create_task(mc.send("7701", "R 1"))
            await listener.wait("delivered", 2)
            listener.status = 0
            assert await sending == 0
            assert len({pdu.sequence for pdu in listener.texts}) == len(listener.texts)

    run(test)


def test_a_text_in_flight_at_a_cut_is_delivered_on_the_next_connection():
    """An answer to the old one is dropped without a word."""

    async def test() -> None:
        async with pair() as (mc, _, session, listener):
            listener.status = None
            sending = asyncio.create_task(mc.send("7701", "R 1"))
            await listener.wait("delivered")
            mc.drop_connections()
            await listener.wait("lost")
            listener.status = 0
            await listener.wait("bound", 2)
            session.respond(listener.texts[0].sequence, 0, epoch=1)
            assert await sending == 0
            assert [pdu.short_message for pdu in listener.texts] == [b"R 1", b"R 1"]

    run(test)


def test_transmitter_and_receiver_are_two_sessions():
    """The one submits, the other is delivered to, receipts included."""

    async def test() -> None:
        phones = Phones()
        mc = MessageCentre(phones)
        port = await mc.start()
        async with (
            running(port, bind="transmitter") as (tx, tx_listener),
            running(port, bind="receiver") as (rx, rx_listener),
        ):
            await tx_listener.wait("bound")
            await rx_listener.wait("bound")
            assert rx.room() == 0
            submit_text(tx, "Hi")
            await phones.wait()
            assert await mc.send("7701", "R 1") == 0
            await rx_listener.wait("delivered", 2)
            assert tx_listener.count("delivered") == 0
        await mc.stop()

    run(test)


@pytest.mark.parametrize(("credentials", "status"), [({"id": "no"}, 0x0E), ({"other": "pw"}, 0x0F)])
def test_a_refused_bind_is_told_and_tried_again(credentials, status):
    """The status is ESME_RINVPASWD or ESME_RINVSYSID."""

    async def test() -> None:
        mc = MessageCentre(Phones(), credentials=credentials)
        port = await mc.start()
        async with running(port) as (session, listener):
            await listener.wait("lost", 2)
            assert await listener.wait("refused", 2) == [(status,), (status,)]
            assert session.bound_since is None
        await mc.stop()

    run(test)


def recorded(pauses: list[float]) -> Backoff:
    """Pauses without jitter, from 10 ms on; each is noted."""

    class Recording(Backoff):
        def next_s(self, status: int | None) -> float:
            pauses.append(super().next_s(status))
            return pauses[-1]

    return Recording(lambda: 0.5, ordinary=Pauses(0.01, 1.0))


def test_pauses_are_jittered_by_a_quarter():
    """Else all that a centre has thrown out come back in one moment."""
    low, high = Backoff(lambda: 0.0), Backoff(lambda: 1.0)

    assert [(low.next_s(None), high.next_s(None)) for _ in range(3)] == [(0.75, 1.25), (1.5, 2.5), (3.0, 5.0)]


def test_a_connection_that_was_bound_for_a_while_makes_the_pauses_short_again():
    """Five seconds; a centre that throws us out sooner is bound to ever more seldom."""
    pauses: list[float] = []

    async def test() -> None:
        raw, listener, now = RawCentre(), Recorder(), [0.0]
        settings = make_settings(await raw.start())
        session = Session(settings, listener, clock=lambda: now[0], backoff=recorded(pauses))
        task = asyncio.create_task(session.run())
        for count, bound_s in enumerate((0, 4.9, 5), 1):
            await raw.accept_bound()
            await listener.wait("bound", count)
            now[0] += bound_s
            raw._writer.transport.abort()
            await listener.wait("lost", count)
        await raw.accept_bound()
        await listener.wait("bound", 4)
        await session.stop(0)
        await task
        await raw.stop()
        assert pauses == [0.01, 0.02, 0.01]

    run(test)


def test_a_text_that_came_makes_the_pauses_short_again():
    """The connection was of use, however short it was."""
    pauses: list[float] = []

    async def test() -> None:
        raw, listener = RawCentre(), Recorder()
        session = Session(make_settings(await raw.start()), listener, backoff=recorded(pauses))
        task = asyncio.create_task(session.run())
        for count, octets in enumerate(("", MO, ""), 1):
            await raw.accept_bound()
            await listener.wait("bound", count)
            raw.write(octets)
            if octets:
                await listener.wait("delivered")
            raw._writer.transport.abort()
            await listener.wait("lost", count)
        await raw.accept_bound()
        await session.stop(0)
        await task
        await raw.stop()
        assert pauses == [0.01, 0.01, 0.02]

    run(test)


def test_a_centre_that_never_knows_our_bind_is_bound_to_ever_more_seldom():
    """Each bind is accepted, each text refused with ESME_RINVBNDSTS; what is taken makes the pauses short again."""
    pauses: list[float] = []

    async def test() -> None:
        rule = make_rule("refuse", {"status": "ESME_RINVBNDSTS", "times": 3})
        mc = MessageCentre(Phones(), faults=Faults([rule]))
        listener = Recorder()
        session = Session(make_settings(await mc.start()), listener, backoff=recorded(pauses))
        task = asyncio.create_task(session.run())
        for count in range(1, 5):
            await listener.wait("bound", count)
            submit_text(session, "hello")
            await listener.wait("answered", count)
        mc.drop_connections()
        await listener.wait("bound", 5)
        await session.stop(1)
        await task
        await mc.stop()
        assert [each[1] for each in await listener.wait("answered")] == [4, 4, 4, 0]
        assert pauses == [0.01, 0.02, 0.04, 0.01]
        assert all("does not know our bind" in reason for (reason,) in (await listener.wait("lost"))[:3])

    run(test)


def test_one_text_that_is_taken_among_others_makes_the_pauses_short_again():
    """Answers that come in one read are told together; of them one may say that the bind is known after all."""
    refused, taken = (SubmitAnswered(0, status, "") for status in (Status.RINVBNDSTS, Status.ROK))
    for answers, pause_s in (((refused, refused), 2.0), ((refused, taken), 1.0), ((taken, refused), 1.0)):
        backoff = Backoff(lambda: 0.5)
        backoff.next_s(None)
        Session(make_settings(0), Recorder(), backoff=backoff)._tell(answers)
        assert backoff.next_s(None) == pause_s


def test_an_unreachable_message_centre_is_told_and_stop_does_not_wait():
    """Connection refused; the pause ends at once when we stop."""

    async def test() -> None:
        mc = MessageCentre(Phones())
        port = await mc.start()
        await mc.stop()
        async with running(port) as (session, listener):
            ((reason,),) = await listener.wait("lost")
            assert "cannot connect" in reason
            with pytest.raises(LocalViolation):
                session.submit("a", SubmitSm(destination_addr="7701"))
        assert session.state is SessionState.STOPPED

    run(test)


def test_stop_unbinds_and_the_message_centre_sees_no_cut():
    """The window is settled first."""

    async def test() -> None:
        async with pair() as (_, phones, session, listener):
            submit_text(session, "Hi")
            await session.stop(grace_s=5)
            assert listener.count("answered") == 1
            assert await listener.wait("lost") == [("unbound",)]
            assert len(phones.texts) == 1

    run(test)


def test_the_message_centre_unbinds_and_the_session_comes_back():
    """Agreed to, lost, bound again when there is something to bind to."""

    async def test() -> None:
        phones = Phones()
        mc = MessageCentre(phones)
        port = await mc.start()
        async with running(port) as (_, listener):
            await listener.wait("bound")
            await mc.stop()
            assert await listener.wait("lost") == [("the message centre unbound",)]
            again = MessageCentre(phones)
            await again.start(port=port)
            await listener.wait("bound", 2)
            await again.stop()

    run(test)


def test_the_message_centre_keeps_a_silent_session_that_answers():
    """enquire_link of the centre is answered, and so is ours."""

    async def test() -> None:
        centre = {"enquire_link_s": 0.02}
        async with pair(centre=centre, enquire_link_s=0.02) as (mc, phones, session, listener):
            submit_text(session, "Hi")
            await phones.wait()
            for _ in range(20):
                assert await mc.send("7701", "R 1") == 0
            assert listener.count("lost") == 0

    run(test)


# ------------------------------------------------------------------------------ against octets by hand


class RawCentre:
    """A peer that sends and reads octets, and knows no codec but the length of a frame."""

    def __init__(self) -> None:
        self._connected: asyncio.Queue = asyncio.Queue()

    async def start(self) -> int:
        self._server = await asyncio.start_server(
            lambda reader, writer: self._connected.put_nowait((reader, writer)), "127.0.0.1", 0
        )
        return self._server.sockets[0].getsockname()[1]

    async def accept(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            self._reader, self._writer = await self._connected.get()

    async def read(self) -> str:
        """Return the next frame in hexadecimal."""
        async with asyncio.timeout(PATIENCE_S):
            length = await self._reader.readexactly(4)
            return (length + await self._reader.readexactly(int.from_bytes(length, "big") - 4)).hex()

    def write(self, *octets: str) -> None:
        self._writer.write(bytes.fromhex("".join(octets)))

    async def accept_bound(self) -> None:
        await self.accept()
        assert (await self.read())[8:16] == "00000009"
        self.write("000000128000000900000000000000017300")

    async def stop(self) -> None:
        self._writer.close()
        self._server.close()
        await self._server.wait_closed()


@asynccontextmanager
async def by_hand(**changes):
    raw = RawCentre()
    port = await raw.start()
    try:
        async with running(port, **changes) as (session, listener):
            await raw.accept_bound()
            await listener.wait("bound")
            yield raw, session, listener
            await raw.stop()
    finally:
        raw._server.close()


MO_BODY = "0001013737000000313431340000000000000000000007522031203120320427000100ffffff"
MO = f"{16 + len(MO_BODY) // 2:08x}0000000500000000000000aa" + MO_BODY


def test_a_window_is_kept_on_the_wire():
    """Two unanswered at most; the third goes out when one is answered."""

    async def test() -> None:
        async with by_hand(window=2) as (raw, session, listener):
            waiting = ["a", "b", "c"]
            while session.room():
                session.submit(waiting.pop(0), SubmitSm(destination_addr="77"))
            assert waiting == ["c"]
            frames = [await raw.read(), await raw.read()]
            assert [frame[24:32] for frame in frames] == ["00000002", "00000003"]
            raw.write("00000013800000040000000000000003413100")
            assert await listener.wait("answered") == [("b", 0, "A1")]
            await listener.wait("room", 2)
            assert session.room() == 1

    run(test)


def test_answers_that_come_together_are_told_together_and_in_order():
    """Those between two texts at once; a text that came between two answers is told between them."""

    async def test() -> None:
        async with by_hand() as (raw, session, listener):
            told: list[list[str]] = []
            listener.answered = lambda _, answers: told.append([token for token, _, _ in answers])
            listener.delivered = lambda _, pdu, epoch: told.append([pdu.short_message.decode()])
            listener.flush = lambda _: listener._note("flush")
            for token in "abcd":
                session.submit(token, SubmitSm(destination_addr="77"))
            answers = [f"00000011800000040000000000000{number:03}00" for number in range(2, 6)]
            raw.write(answers[1] + answers[0] + MO + answers[3] + "000000108000000400000008" + answers[2][24:32])
            await listener.wait("flush")
            assert told == [["b", "a"], ["R 1 1 2"], ["d", "c"]]

    run(test)


def test_a_hand_written_text_with_junk_is_taken_and_answered():
    """Off-class parameter and junk at the end; deliver_sm_resp by hand."""

    async def test() -> None:
        async with by_hand() as (raw, _, listener):
            raw.write(MO)
            ((pdu,),) = await listener.wait("delivered")
            assert pdu.short_message == b"R 1 1 2"
            assert await raw.read() == "000000118000000500000000000000aa00"

    run(test)


def test_two_thousand_texts_in_one_write_are_all_answered():
    """A burst (smsc-behaviours §4, 24)."""

    async def test() -> None:
        async with by_hand() as (raw, _, listener):
            for sequence in range(2000):
                raw.write(MO[:24], f"{sequence:08x}", MO[32:])
            answered = [(await raw.read())[24:32] for _ in range(2000)]
            assert answered == [f"{sequence:08x}" for sequence in range(2000)]
            assert len(listener.texts) == 2000

    run(test)


def test_reading_stops_while_nothing_is_answered():
    """Back-pressure: a commit that takes long does not fill the memory."""

    async def test() -> None:
        async with by_hand() as (raw, session, listener):
            listener.status = None
            frame = bytes.fromhex(MO)
            raw._writer.write(frame * 60_000)
            await listener.wait("delivered", 4096)
            paused_at = len(listener.texts)
            assert paused_at < 20_000
            listener.status = 0
            for _ in range(paused_at):
                session.respond(0xAA, 0, epoch=1)
            await listener.wait("delivered", 60_000)

    run(test)


def test_35_a_centre_that_writes_and_never_reads_is_left():
    """Our answers do not leave: we read no more, give up when a silent one would be given up, and come again."""

    async def test() -> None:
        async with by_hand(enquire_link_s=0.1, response_timeout_s=0.2) as (raw, _, listener):
            raw._writer.write(bytes.fromhex("00000010000000150000000000000007") * 1_000_000)
            (reason,) = (await listener.wait("lost"))[0]
            assert reason == "the message centre reads nothing"
            assert raw._writer.transport.get_write_buffer_size() > 1_000_000
            await raw.accept_bound()
            await listener.wait("bound", 2)

    run(test)


def test_an_answer_for_an_earlier_connection_is_not_sent_on_the_next():
    """There the same sequence may be that of another text, which would be lost."""

    async def test() -> None:
        async with by_hand() as (raw, session, listener):
            listener.status = None
            raw.write(MO, "0000001000000777000000000000002a")
            await listener.wait("delivered")
            assert await raw.read() == "0000001080000000000000030000002a"
            unreadable = decode(bytes.fromhex("0000001000000777000000000000002a"))
            raw._writer.transport.abort()
            await raw.accept_bound()
            await listener.wait("bound", 2)
            raw.write(MO)
            await listener.wait("delivered", 2)
            session.respond(0xAA, 0, epoch=1)
            session.refuse(unreadable, 3, epoch=1)
            session.respond(0xAA, 8, epoch=2)
            assert await raw.read() == "000000118000000500000008000000aa00"

    run(test)


def test_what_cannot_be_read_is_told_answered_and_survived():
    """generic_nack with its own sequence; the bind is kept."""

    async def test() -> None:
        async with by_hand() as (raw, _, listener):
            raw.write("0000001000000777000000000000002a")
            assert await raw.read() == "0000001080000000000000030000002a"
            ((octets, reason),) = await listener.wait("undecodable")
            assert octets.hex().endswith("2a")
            assert "00000777" in reason
            raw.write(MO)
            await listener.wait("delivered")

    run(test)


def test_enquire_link_goes_both_ways_by_hand():
    """Theirs is answered; ours comes after silence."""

    async def test() -> None:
        async with by_hand(enquire_link_s=0.05) as (raw, _, _):
            raw.write("0000001000000015000000000000002a")
            frames = {await raw.read(), await raw.read()}
            assert "0000001080000015000000000000002a" in frames
            pdus = {type(decode(bytes.fromhex(frame))) for frame in frames}
            assert pdus == {EnquireLink, EnquireLinkResp}

    run(test)


def test_a_cut_leaves_what_was_submitted_in_doubt():
    """Told before `lost`; the session binds again."""

    async def test() -> None:
        async with by_hand() as (raw, session, listener):
            session.submit("a", SubmitSm(destination_addr="77"))
            await raw.read()
            raw._writer.transport.abort()
            await listener.wait("lost")
            names = [what[0] for what in listener.happened]
            assert names.index("in_doubt") < names.index("lost")
            assert await listener.wait("in_doubt") == [(("a",),)]
            await raw.accept_bound()
            await listener.wait("bound", 2)
            assert session.epoch == 2

    run(test)


def test_what_is_said_after_the_connection_was_cut_is_dropped_without_a_word():
    """A commit ends after the cut, before the loop has told of it: the answer has nowhere to go."""

    async def test() -> None:
        mishaps: list[dict] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
        async with pair() as (mc, _, session, listener):
            listener.status = None
            sending = asyncio.create_task(mc.send("7701", "R 1"))
            await listener.wait("delivered")
            session._connection._transport.abort()
            session.respond(listener.texts[0].sequence, 0, epoch=1)
            listener.status = 0
            assert await sending == 0
        assert mishaps == []

    run_loop(test())  # uvloop, where it is installed, is the strict one
