"""The thirty behaviours of real message centres that a link must survive, each by its number.

The message centre is `raw`: octets by hand. The other side is the whole daemon, store and engine included.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from peers import raw
from peers.raw import (
    DATA_SM,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    NUMBER,
    PHONE,
    RESP,
    SUBMIT_SM,
    UNBIND,
    RawCentre,
    Wire,
    a_centre,
    data_sm,
    frame,
    read_sm,
    receipt,
    sm,
    tlv,
)
from peers.stack import GHOST_S, LOCKOUT_S, Stack, a_daemon, run

REPLACE_SM, CANCEL_SM = 0x07, 0x08
DELIVER_RESP, SUBMIT_RESP = DELIVER_SM | RESP, SUBMIT_SM | RESP
ROK, RSYSERR, RTHROTTLED, RMSGQFUL = 0, 0x08, 0x58, 0x14


@asynccontextmanager
async def a_link(folder: Path, **options: object) -> AsyncIterator[tuple[RawCentre, Wire, Stack]]:
    """A daemon that is bound to a raw message centre."""
    async with a_centre() as centre, a_daemon(folder, centre.port, **options) as stack:  # type: ignore[arg-type]
        yield centre, await centre.bound(), stack


Play = Callable[[RawCentre, Wire, Stack], Awaitable[None]]


def play(folder: Path, scene: Play, **options: object) -> None:
    """Bind, and play `scene`."""

    async def whole() -> None:
        async with a_link(folder, **options) as (centre, wire, stack):
            await scene(centre, wire, stack)

    run(whole())


@pytest.mark.parametrize("size", [1, 3, 17, 100_000])
def test_behaviour_01_bytes_split_anywhere(tmp_path: Path, size: int) -> None:
    """Octet by octet or all at once, the PDUs are the same."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.clear()  # an answer must not fall between two octets
        texts = [f"text {number}" for number in range(5)]
        octets = b"".join(frame(DELIVER_SM, 10 + n, sm(text.encode())) for n, text in enumerate(texts))
        await wire.trickle(octets + frame(ENQUIRE_LINK, 99), size)
        answers = [(await wire.next(DELIVER_RESP)).key for _ in texts]
        assert answers == [(DELIVER_RESP, ROK)] * 5
        assert (await wire.next(ENQUIRE_LINK | RESP)).sequence == 99
        assert stack.texts_in() == texts

    play(tmp_path, scene)


@pytest.mark.parametrize("length", [0, 8, 15, 0x10001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_behaviour_02_command_length_that_cannot_be(tmp_path: Path, length: int) -> None:
    """What came before it counts; generic_nack ESME_RINVCMDLEN, close, bind again."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.write(frame(DELIVER_SM, 7, sm(b"before")), length.to_bytes(4, "big"), bytes(12))
        assert (await wire.next(GENERIC_NACK)).status == 0x02
        await wire.closed.wait()
        again = await centre.bound()
        await again.deliver(sm(b"after"))
        await stack.until(lambda: stack.texts_in() == ["before", "after"])

    play(tmp_path, scene)


def test_behaviour_03_header_arrives_and_the_body_never(tmp_path: Path) -> None:
    """Half a PDU is not waited for for ever: the connection is given up, and another one works."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.clear()
        wire.write(frame(DELIVER_SM, 7, sm(b"half"))[:-2])
        await wire.closed.wait()
        again = await centre.bound()
        assert (await again.deliver(sm(b"whole"))).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == ["whole"]

    play(tmp_path, scene, pdu_s=0.3)


@pytest.mark.parametrize("command", [0x03, 0x0000000A, 0x21, 0x00000111, 0x00010203, 0x7FFFFFFF])
def test_behaviour_04_unknown_command_id(tmp_path: Path, command: int) -> None:
    """generic_nack ESME_RINVCMDID under its own sequence, also to query_sm and submit_multi; the bind is kept."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.write(frame(command, 4711, b"whatever"))
        nack = await wire.next(GENERIC_NACK)
        assert (nack.status, nack.sequence) == (0x03, 4711)
        wire.write(frame(command | RESP, 4712, b"an answer to nothing"))
        await wire.alive()
        assert [f for f in wire.frames if f.command == GENERIC_NACK] == [nack]

    play(tmp_path, scene)


@pytest.mark.parametrize("command", [*raw.BINDS, SUBMIT_SM, REPLACE_SM, CANCEL_SM])
def test_behaviour_04_request_that_only_we_make(tmp_path: Path, command: int) -> None:
    """Answered in its own kind with an error, under its own sequence; the bind is kept."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.write(frame(command, 4711, bytes(40)))
        answer = await wire.next(command | RESP)
        assert (answer.status, answer.sequence) == (0x03, 4711)
        await wire.alive()

    play(tmp_path, scene)


TLVS = {
    "vendor": tlv(0x1400, b"operator"),
    "off_class": tlv(0x0302, b"\0") + tlv(0x0422, b"\1"),
    "wrong_length": tlv(0x0204, b"\1") + tlv(0x0005, b"\1\2\3\4") + tlv(0x0381, b""),
    "truncated_value": tlv(0x1400, b"ok") + b"\x04\x27\x00\x09\x02",
    "truncated_header": b"\x04\x27\x00",
    "empty": tlv(0x1401, b""),
    "many": b"".join(tlv(0x1400 + n, bytes(n)) for n in range(200)),
    "receipted_message_id_on_a_text": tlv(0x001E, b"abc\0"),
}


@pytest.mark.parametrize("tlvs", TLVS.values(), ids=TLVS)
def test_behaviour_05_tlv_unknown_off_class_wrong_or_truncated(tmp_path: Path, tlvs: bytes) -> None:
    """The parameter is passed over, the text is kept."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        assert (await wire.deliver(sm(b"R 1 1 2", tlvs=tlvs))).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == ["R 1 1 2"]

    play(tmp_path, scene)


@pytest.mark.parametrize("junk", [b"\0", b"\0\0\0\0\0\0\0\0\0", b"\xff", b"\xff" * 100, b"junk"])
def test_behaviour_06_junk_after_short_message(tmp_path: Path, junk: bytes) -> None:
    """It is padding."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        assert (await wire.deliver(sm(b"R 1 1 2", tlvs=junk))).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == ["R 1 1 2"]

    play(tmp_path, scene)


LENGTHS = {
    "more_than_there_is": (sm(b"R 1 1 2", length=200), "R 1 1 2"),
    "payload": (sm(b"", tlvs=tlv(0x0424, b"R 1 1 2")), "R 1 1 2"),
    "both": (sm(b"ignored", tlvs=tlv(0x0424, b"R 1 1 2")), "R 1 1 2"),
    "empty_payload": (sm(b"R 1 1 2", tlvs=tlv(0x0424, b"")), "R 1 1 2"),
    "neither": (sm(b""), ""),
    "longer_than_254": (sm(b"x" * 255), "x" * 255),
    "payload_of_60_000": (sm(b"", tlvs=tlv(0x0424, b"y" * 60_000)), "y" * 60_000),
}


@pytest.mark.parametrize(("body", "text"), LENGTHS.values(), ids=LENGTHS)
def test_behaviour_07_sm_length_that_lies(tmp_path: Path, body: bytes, text: str) -> None:
    """command_length is to be trusted, and message_payload before short_message."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == [text]

    play(tmp_path, scene)


def test_behaviour_08_c_string_without_nul(tmp_path: Path) -> None:
    """One answer, with an error and its own sequence; the frame is kept for a person, and the bind as well."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        for sequence, body in enumerate(
            [b"\0\1\1" + b"7" * 40, b"\0\1\1" + b"7" * 400 + b"\0", b"", b"\0\1\1777\0"]
        ):
            answer = await wire.deliver(body, sequence=50 + sequence)
            assert answer.command == DELIVER_RESP
            assert answer.status in (0x01, 0xC2, 0x0A), hex(answer.status)
        await wire.alive()
        assert len([f for f in wire.frames if f.command == DELIVER_RESP]) == 4
        await stack.until(lambda: len(stack.rows("SELECT raw FROM undecodable")) == 4)
        assert stack.texts_in() == []

    play(tmp_path, scene)


RESPONSES = {
    "without_body": (b"", ROK, "accepted"),
    "empty_id": (b"\0", ROK, "accepted"),
    "id_without_nul": (b"4711", ROK, "accepted"),
    "id_of_65": (b"9" * 65 + b"\0", ROK, "accepted"),
    "id_of_200": (b"9" * 200 + b"\0", ROK, "accepted"),
    "with_tlvs": (b"4711\0" + tlv(0x001D, b"fine\0") + tlv(0x1403, b"x"), ROK, "accepted"),
    "error_with_body": (b"4711\0", 0x0B, "failed"),
    "error_without_body": (b"", 0x0B, "failed"),
}


@pytest.mark.parametrize(("body", "status", "becomes"), RESPONSES.values(), ids=RESPONSES)
def test_behaviour_09_submit_sm_resp_of_any_shape(tmp_path: Path, body: bytes, status: int, becomes: str) -> None:
    """Its status counts, whatever follows."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("hello")
        wire.answer(await wire.next(SUBMIT_SM), body, status)
        await stack.until(lambda: stack.statuses() == [becomes])
        await wire.alive()
        assert len(wire.submits()) == 1

    play(tmp_path, scene)


def test_behaviour_10_same_message_id_for_every_text(tmp_path: Path) -> None:
    """A receipt with such an id is the receipt of that phone's text."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        for phone in ("77010000001", "77010000002", "77010000003"):
            stack.say("hello", to=phone)
            wire.accept(await wire.next(SUBMIT_SM), "1")
        await stack.until(lambda: stack.statuses() == ["accepted"] * 3)
        assert (await wire.deliver(receipt("1", source=b"77010000002"))).key == (DELIVER_RESP, ROK)
        assert stack.statuses() == ["accepted", "delivered", "accepted"]

    play(tmp_path, scene)


def test_behaviour_11_resp_to_nothing_and_resp_too_late(tmp_path: Path) -> None:
    """Neither costs the bind; the text that timed out is sent once more, and no third time."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        wire.write(frame(SUBMIT_RESP, 12345, b"id\0"), frame(GENERIC_NACK, 12346, b"", 3), frame(RESP | 0x15, 9))
        stack.say("hello")
        first = await wire.next(SUBMIT_SM)
        second = await wire.next(SUBMIT_SM)
        wire.accept(first, "late")
        wire.accept(second, "second")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        await wire.alive()
        assert len(wire.submits()) == 2

    play(tmp_path, scene, response_s=0.3)


def test_behaviour_12_resp_out_of_order_or_of_another_type(tmp_path: Path) -> None:
    """Each answer goes to the request whose sequence it bears; one of a wrong type is no answer."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        phones = stack.say_to_many(5)
        requests = [await wire.next(SUBMIT_SM) for _ in phones]
        wire.write(frame(DELIVER_RESP, requests[0].sequence, b"no\0"))
        for request in reversed(requests[1:]):
            wire.accept(request, "id-" + read_sm(request).destination[2])
        again = await wire.next(SUBMIT_SM)
        assert read_sm(again).destination == read_sm(requests[0]).destination
        wire.accept(again, "id-" + phones[0])
        await stack.until(lambda: stack.statuses() == ["accepted"] * 5)
        ids = dict(stack.rows("SELECT o.msisdn, s.message_id FROM outbox o JOIN segment s ON s.outbox = o.id"))
        assert ids == {phone: f"id-{phone}" for phone in phones}

    play(tmp_path, scene)


@pytest.mark.parametrize("sequence", [0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_behaviour_13_sequence_zero_huge_or_repeated(tmp_path: Path, sequence: int) -> None:
    """It is echoed as it came."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        for text in (b"one", b"two", b"three"):
            assert (await wire.deliver(sm(text), sequence=sequence)).key == (DELIVER_RESP, ROK)
        wire.write(frame(ENQUIRE_LINK, sequence))
        assert (await wire.next(ENQUIRE_LINK | RESP)).sequence == sequence
        assert stack.texts_in() == ["one", "two", "three"]

    play(tmp_path, scene)


def test_behaviour_14_sequences_of_both_sides_collide(tmp_path: Path) -> None:
    """A deliver_sm with the number of our unanswered submit_sm is no answer to it, and gets its own."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("hello")
        request = await wire.next(SUBMIT_SM)
        answer = await wire.deliver(sm(b"STOP"), sequence=request.sequence)
        assert answer.key == (DELIVER_RESP, ROK)
        wire.write(frame(ENQUIRE_LINK, request.sequence))
        await wire.next(ENQUIRE_LINK | RESP)
        assert stack.statuses()[0] == "sending"
        wire.accept(request)
        await stack.until(lambda: stack.statuses()[0] == "accepted")

    play(tmp_path, scene)


def test_behaviour_15_pdus_before_the_bind_is_answered(tmp_path: Path) -> None:
    """enquire_link is answered; a text is kept or refused for now, never lost; then the bind counts."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port) as stack:
            wire = await centre.connected()
            bind = await wire.next(*raw.BINDS)
            wire.write(frame(ENQUIRE_LINK, bind.sequence))
            assert (await wire.next(ENQUIRE_LINK | RESP)).sequence == bind.sequence
            early = await wire.deliver(sm(b"early"), sequence=bind.sequence)
            assert early.status in (ROK, 0x04, 0x14, 0x08, 0x64)
            assert stack.texts_in() == (["early"] if early.status == ROK else [])
            wire.answer(bind, b"raw\0")
            stack.say("hello")
            await wire.next(SUBMIT_SM)

    run(whole())


@pytest.mark.parametrize("word", ["silent", "enquiring"])
def test_behaviour_16_bind_resp_never_comes(tmp_path: Path, word: str) -> None:
    """The connection is closed after a while, whatever else is said on it, and made again."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port, bind_s=0.3):
            wire = await centre.connected()
            await wire.next(*raw.BINDS)
            if word == "enquiring":
                await wire.alive()
            await wire.closed.wait()
            await (await centre.bound()).alive()

    run(whole())


@pytest.mark.parametrize("status", [0x0D, 0x0E, 0x0F, 0x05, 0x08, 0x400])
def test_behaviour_17_bind_refused(tmp_path: Path, status: int) -> None:
    """Never given up, long pauses where an account may be locked; until it is let in, `health` says why."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port) as stack:
            refused = await centre.bound(status)
            await refused.closed.wait()
            closed_at = asyncio.get_running_loop().time()
            await stack.until(lambda: "refused" in stack.daemon.find_health().links[0].trouble)
            wire = await centre.bound()
            waited_s = asyncio.get_running_loop().time() - closed_at
            assert waited_s > {0x0D: LOCKOUT_S, 0x0E: LOCKOUT_S, 0x0F: LOCKOUT_S, 0x05: GHOST_S}.get(status, 0) / 2
            await wire.alive()
            await stack.until(lambda: stack.daemon.find_health().links[0].bound_since is not None)

    run(whole())


def test_behaviour_18_half_dead_link(tmp_path: Path) -> None:
    """Nothing is heard: enquire_link, then another connection. Anything heard is life."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.clear()
        for number in range(8):
            await asyncio.sleep(0.1)
            assert (await wire.deliver(sm(b"life %d" % number))).key == (DELIVER_RESP, ROK)
        assert not wire.closed.is_set()
        await wire.next(ENQUIRE_LINK)
        await wire.closed.wait()
        await (await centre.bound()).alive()

    play(tmp_path, scene, enquire_s=0.3, response_s=0.3)


def test_behaviour_19_unbind_in_the_middle_of_traffic(tmp_path: Path) -> None:
    """unbind_resp, nothing new after it, and on another connection the rest."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say_to_many(10)
        sent = [await wire.next(SUBMIT_SM) for _ in range(4)]
        wire.write(frame(UNBIND, 77))
        assert (await wire.next(UNBIND | RESP)).sequence == 77
        stack.say("late")
        for request in sent:
            wire.accept(request)
        await wire.closed.wait()
        assert len(wire.submits()) == 4
        again = await centre.bound()
        await stack.until(lambda: stack.statuses() == ["accepted"] * 11)
        assert len(again.submits()) == 7

    play(tmp_path, scene, window=4)


def test_behaviour_19_reset_without_unbind(tmp_path: Path) -> None:
    """As unbind, without the courtesy."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        for number in range(3):
            wire.cut()
            wire = await centre.bound()
            assert (await wire.deliver(sm(b"text %d" % number))).key == (DELIVER_RESP, ROK)
        assert len(stack.texts_in()) == 3

    play(tmp_path, scene)


def test_behaviour_20_cut_with_unanswered_submits(tmp_path: Path) -> None:
    """Every text arrives, at most one duplicate each, and the duplicates are no more than were unanswered."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        phones = stack.say_to_many(40)
        for _ in range(16):
            await wire.next(SUBMIT_SM)
        wire.cut()
        await centre.bound()
        await stack.until(lambda: stack.statuses() == ["accepted"] * 40)
        arrived = Counter(each.destination[2] for each in centre.submits())
        assert set(arrived) == set(phones)
        assert max(arrived.values()) == 2
        assert sum(arrived.values()) == 56
        assert stack.rows("SELECT count(*) FROM outbox WHERE in_doubt > 0") == [(16,)]

    play(tmp_path, scene, window=16)


@pytest.mark.parametrize("status", [RTHROTTLED, RMSGQFUL])
def test_behaviour_21_throttled(tmp_path: Path, status: int) -> None:
    """The link pauses, then goes on in order for each recipient; nothing is lost or failed."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say(*(f"text {number}" for number in range(6)))
        taken: list[str] = []
        refused = 0
        while len(taken) < 6:
            request = await wire.next(SUBMIT_SM)
            if refused < 2:
                refused += 1
                wire.answer(request, status=status)
                continue
            taken.append(read_sm(request).text.decode())
            wire.accept(request)
        assert taken == [f"text {number}" for number in range(6)]
        await stack.until(lambda: stack.statuses() == ["accepted"] * 6)

    play(tmp_path, scene, window=1)


@pytest.mark.parametrize("status", [0x0A, 0x0B, 0x66])
def test_behaviour_22_final_status(tmp_path: Path, status: int) -> None:
    """That text fails; the next goes out at once."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("bad")
        wire.answer(await wire.next(SUBMIT_SM), status=status)
        stack.say("good")
        wire.accept(await wire.next(SUBMIT_SM))
        await stack.until(lambda: stack.statuses() == ["failed", "accepted"])

    play(tmp_path, scene)


@pytest.mark.parametrize("status", [0x08, 0x64, 0xFF, 0x400, 0x4FF])
def test_behaviour_22_status_that_may_pass(tmp_path: Path, status: int) -> None:
    """The text is kept for another try, and others go out meanwhile."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("later")
        wire.answer(await wire.next(SUBMIT_SM), status=status)
        await stack.until(lambda: stack.statuses()[0] in ("queued", "held"))
        stack.say("now", to="77019999999")
        wire.accept(await wire.next(SUBMIT_SM, holds=lambda each: read_sm(each).text == b"now"))
        await stack.until(lambda: stack.statuses()[1] == "accepted")
        assert stack.statuses()[0] in ("queued", "held", "sending")

    play(tmp_path, scene)


def test_behaviour_22_bind_that_the_centre_has_forgotten(tmp_path: Path) -> None:
    """ESME_RINVBNDSTS, as often as it likes: bind again, send again, in order; no text fails."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.say("one", "two")
        for _ in range(7):
            wire.answering.discard(SUBMIT_SM)
            wire.answer(await wire.next(SUBMIT_SM), status=0x04)
            await wire.next(UNBIND)
            wire = await centre.bound()
        await stack.until(lambda: stack.statuses() == ["accepted", "accepted"])
        assert [each.text for each in wire.submits()] == [b"one", b"two"]
        assert stack.rows("SELECT refusals, in_doubt FROM outbox") == [(0, 0), (0, 0)]

    play(tmp_path, scene, window=1)


def test_behaviour_23_reply_delivered_again_after_a_lost_response(tmp_path: Path) -> None:
    """Another sequence on another connection: answered ROK, and the conversation moves but once."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.birth()
        await stack.until(lambda: stack.statuses() == ["accepted"])
        wire.write(frame(DELIVER_SM, 5, sm(b"R 1 1 2")))
        await stack.until(lambda: len(stack.texts_in()) == 1)
        for sequence in (1, 900):
            wire.cut()
            wire = await centre.bound()
            assert (await wire.deliver(sm(b"R 1 1 2"), sequence=sequence)).key == (DELIVER_RESP, ROK)
        outcomes = [row[0] for row in stack.rows("SELECT outcome FROM inbound ORDER BY id")]
        assert outcomes[0] == "answered"
        assert set(outcomes[1:]) <= {"repeated"}
        assert stack.rows("SELECT count(*) FROM journal WHERE outcome = 'answered'") == [(1,)]

    play(tmp_path, scene)


def test_behaviour_24_burst_of_two_thousand_texts(tmp_path: Path) -> None:
    """In one write: every one answered, none lost."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.write(*(frame(DELIVER_SM, n, sm(b"text %d" % n, source=b"7701%07d" % n)) for n in range(1, 2001)))
        answers = [await wire.next(DELIVER_RESP) for _ in range(2000)]
        assert {answer.status for answer in answers} == {ROK}
        assert {answer.sequence for answer in answers} == set(range(1, 2001))
        assert len(stack.texts_in()) == 2000

    play(tmp_path, scene)


def test_behaviour_24_burst_while_nothing_is_read(tmp_path: Path) -> None:
    """A centre that does not read its answers is not read either, and loses nothing when it does again."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.reading.clear()
        wire.write(*(frame(DELIVER_SM, n, sm(b"n%d" % n, source=b"7701%07d" % n)) for n in range(1, 5001)))
        await stack.until(lambda: len(stack.texts_in()) > 1000)
        wire.reading.set()
        answers = [await wire.next(DELIVER_RESP) for _ in range(5000)]
        assert {answer.status for answer in answers} == {ROK}
        assert len(stack.texts_in()) == 5000

    play(tmp_path, scene)


RECEIPTS = {
    "text_only": (DELIVER_SM, receipt("0A1F")),
    "other_case": (DELIVER_SM, receipt("0a1f")),
    "leading_zeros": (DELIVER_SM, receipt("00000A1F")),
    "without_zeros": (DELIVER_SM, receipt("A1F")),
    "decimal": (DELIVER_SM, receipt("2591")),
    "esm_0x44": (DELIVER_SM, sm(b"\x05\0\x03\1\1\1id:0A1F stat:DELIVRD", esm=0x44)),
    "esm_0x08": (DELIVER_SM, sm(b"id:0A1F stat:DELIVRD", esm=0x08)),
    "esm_0x10": (DELIVER_SM, sm(b"id:0A1F stat:DELIVRD", esm=0x10)),
    "tlvs_only": (DELIVER_SM, sm(b"", esm=4, tlvs=tlv(0x1E, b"0A1F\0") + tlv(0x427, b"\2"))),
    "tlv_without_nul": (DELIVER_SM, sm(b"", esm=4, tlvs=tlv(0x1E, b"0A1F") + tlv(0x427, b"\2"))),
    "tlvs_and_esm_0": (DELIVER_SM, sm(b"", tlvs=tlv(0x1E, b"0A1F\0") + tlv(0x427, b"\2"))),
    "tlv_decimal_text_hex": (DELIVER_SM, sm(b"id:0A1F stat:DELIVRD", esm=4, tlvs=tlv(0x1E, b"2591\0"))),
    "data_sm": (DATA_SM, data_sm(tlv(0x1E, b"0A1F\0") + tlv(0x427, b"\2"), esm=4)),
    "data_sm_payload": (DATA_SM, data_sm(tlv(0x424, b"id:0A1F stat:DELIVRD"), esm=4)),
    "ucs2": (DELIVER_SM, sm("id:0A1F sub:001 stat:DELIVRD err:000".encode("utf-16-be"), esm=4, coding=8)),
    "fields_reordered": (DELIVER_SM, sm(b"err:0F4 stat:DELIVRD done date: id:0A1F text:x", esm=4)),
    "seconds_in_dates": (DELIVER_SM, sm(b"id:0A1F submit date:261120080000 stat:DELIVRD", esm=4)),
    "long_state": (DELIVER_SM, sm(b"id:0A1F sub:1 dlvrd:1 stat:DELIVERED err:000", esm=4)),
    "short_state": (DELIVER_SM, sm(b"id:0A1F stat:DELIV err:0", esm=4)),
    "capitals": (DELIVER_SM, sm(b"ID:0A1F STAT:delivrd ERR:000", esm=4)),
}


@pytest.mark.parametrize(("command", "body"), RECEIPTS.values(), ids=RECEIPTS)
def test_behaviour_25_receipt_of_any_shape(tmp_path: Path, command: int, body: bytes) -> None:
    """It is matched, it is answered ROK, and it is no text from a mother."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("hello")
        wire.accept(await wire.next(SUBMIT_SM), "0A1F")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        assert (await wire.deliver(body, command=command)).key == (command | RESP, ROK)
        await stack.until(lambda: stack.statuses() == ["delivered"])
        assert stack.texts_in() == []

    play(tmp_path, scene)


def test_behaviour_25_intermediate_notification_is_not_final(tmp_path: Path) -> None:
    """esm_class 0x20: answered ROK, the text is still on its way."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.say("hello")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        [sent] = wire.submits()
        body = sm(f"id:m{sent.sequence} stat:ENROUTE".encode(), esm=0x20)
        assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert stack.statuses() == ["accepted"]

    play(tmp_path, scene)


def test_behaviour_25_text_that_looks_like_a_receipt_is_a_text(tmp_path: Path) -> None:
    """A mother may write anything."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        text = b"id:m2 sub:001 dlvrd:001 stat:DELIVRD err:000 text:"
        assert (await wire.deliver(sm(text))).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == [text.decode()]

    play(tmp_path, scene)


def test_behaviour_26_receipts_that_nobody_waits_for(tmp_path: Path) -> None:
    """Foreign, twice, after the final state, without an id: always ROK, and what is final stays."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.say("hello")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        own = f"m{wire.submits()[0].sequence}"
        for body in (
            receipt("foreign"), receipt(own), receipt(own), receipt(own, "EXPIRED"), receipt(own, "ACCEPTD"),
            receipt(""), receipt(own, "WHAT"), sm(b"", esm=4), sm(b"\xff\xfe\xfd", esm=4, coding=8),
        ):  # fmt: skip
            assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert stack.statuses() == ["delivered"]
        assert stack.texts_in() == []

    play(tmp_path, scene)


def test_behaviour_26_receipt_before_the_response(tmp_path: Path) -> None:
    """It is parked, and matched when the response brings the id."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("hello")
        request = await wire.next(SUBMIT_SM)
        assert (await wire.deliver(receipt("early"))).key == (DELIVER_RESP, ROK)
        wire.accept(request, "early")
        async with asyncio.timeout(3):
            await stack.until(lambda: stack.statuses() == ["delivered"])

    play(tmp_path, scene)


def udh8(ref: int, total: int, number: int) -> bytes:
    return bytes((5, 0, 3, ref, total, number))


def udh16(ref: int, total: int, number: int) -> bytes:
    return bytes((6, 8, 4, ref >> 8, ref & 0xFF, total, number))


def sar(ref: int, total: int, number: int) -> bytes:
    return tlv(0x20C, ref.to_bytes(2, "big")) + tlv(0x20E, bytes((total,))) + tlv(0x20F, bytes((number,)))


KAZ = "Сәбиіңіз құтты болсын, Ахметов Нұрлан Ерболұлы туылды".encode("utf-16-be")
LONGS = {
    "udh8": [sm(udh8(7, 2, 1) + b"one ", esm=0x40), sm(udh8(7, 2, 2) + b"two", esm=0x40)],
    "udh8_reversed": [sm(udh8(7, 2, 2) + b"two", esm=0x40), sm(udh8(7, 2, 1) + b"one ", esm=0x40)],
    "udh16": [sm(udh16(4660, 2, 2) + b"two", esm=0x40), sm(udh16(4660, 2, 1) + b"one ", esm=0x40)],
    "sar": [sm(b"two", tlvs=sar(9, 2, 2)), sm(b"one ", tlvs=sar(9, 2, 1))],
    "port_before": [
        sm(b"\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x07\x02" + bytes((n,)) + text, esm=0x40)
        for n, text in ((1, b"one "), (2, b"two"))
    ],
    "udhi_set_and_sar": [
        sm(udh8(7, 2, n) + t, esm=0x40, tlvs=sar(7, 2, n)) for n, t in ((1, b"one "), (2, b"two"))
    ],
    "duplicated": [sm(udh8(7, 2, n) + t, esm=0x40) for n, t in ((1, b"one "), (1, b"one "), (2, b"two"))],
    "payload": [sm(b"", esm=0x40, tlvs=tlv(0x424, udh8(7, 2, n) + t)) for n, t in ((1, b"one "), (2, b"two"))],
    "total_1": [sm(udh8(7, 1, 1) + b"one two", esm=0x40)],
    "total_0": [sm(udh8(7, 0, 0) + b"one two", esm=0x40)],
    "number_beyond_total": [sm(udh8(7, 2, 3) + b"one two", esm=0x40)],
}


@pytest.mark.parametrize("bodies", LONGS.values(), ids=LONGS)
def test_behaviour_27_long_text_in_any_form(tmp_path: Path, bodies: list[bytes]) -> None:
    """One text, once, its parts in order."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        for body in bodies:
            assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == ["one two"]

    play(tmp_path, scene)


def test_behaviour_27_two_mothers_with_the_same_reference(tmp_path: Path) -> None:
    """Their parts never mix."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        for number, text in ((1, b"I "), (2, b"am")):
            for phone in (b"77010000001", b"77010000002"):
                body = sm(udh8(7, 2, number) + text + phone[-1:], esm=0x40, source=phone)
                assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert sorted(stack.texts_in()) == ["I 1am1", "I 2am2"]

    play(tmp_path, scene)


def test_behaviour_27_parts_joined_before_they_are_decoded(tmp_path: Path) -> None:
    """A phone may cut within a character."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        for number, octets in ((1, KAZ[:41]), (2, KAZ[41:])):
            body = sm(udh8(9, 2, number) + octets, esm=0x40, coding=8)
            assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == [KAZ.decode("utf-16-be")]

    play(tmp_path, scene)


def test_behaviour_27_reference_used_again_at_once(tmp_path: Path) -> None:
    """The second text with the same reference is another text."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        for text in (b"first", b"second"):
            for number in (1, 2):
                await wire.deliver(sm(udh8(7, 2, number) + text, esm=0x40))
        assert stack.texts_in() == ["firstfirst", "secondsecond"]

    play(tmp_path, scene)


def test_behaviour_27_a_part_that_never_comes(tmp_path: Path) -> None:
    """The rest is taken when the configuration's parts_timeout has passed."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        await wire.deliver(sm(udh8(7, 2, 1) + b"one", esm=0x40))
        assert stack.texts_in() == []
        await stack.until(lambda: stack.texts_in() == ["one"])

    play(tmp_path, scene, api="parts_timeout: 1s\n")


UDHI = {
    "flag_missing": sm(b"\x05\x00\x03\x01\x02\x01text"),
    "flag_without_header": sm(b"text", esm=0x40),
    "header_beyond_the_text": sm(b"\xfftext", esm=0x40),
    "empty": sm(b"", esm=0x40),
    "header_only": sm(b"\x05\x00\x03\x01\x01\x01", esm=0x40),
    "element_beyond_the_header": sm(b"\x02\x00\xfftext", esm=0x40),
}


@pytest.mark.parametrize("body", UDHI.values(), ids=UDHI)
def test_behaviour_28_udhi_flag_that_lies(tmp_path: Path, body: bytes) -> None:
    """Kept, answered, one text; the octets stay to be read again."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        [(raw_text, text)] = stack.rows("SELECT raw, text FROM inbound")
        assert raw_text in body
        assert text.endswith("text") or not body.endswith(b"text")

    play(tmp_path, scene)


CODINGS = {
    "gsm_extension": (0, b"\x1b\x3c\x1b\x3e", "[]"),
    "gsm_at": (0, b"\0", "@"),
    "ascii": (1, b"R 1 1 2", "R 1 1 2"),
    "latin1": (3, b"\xe9", "é"),
    "ucs2": (8, "Ә".encode("utf-16-be"), "Ә"),
    "ucs2_bom_be": (8, b"\xfe\xff" + "Ә".encode("utf-16-be"), "Ә"),
    "ucs2_bom_le": (8, b"\xff\xfe" + "Ә".encode("utf-16-le"), "Ә"),
    "ucs2_surrogates": (8, "👶".encode("utf-16-be"), "👶"),
    "class_1": (0xF1, b"R 1 1 2", "R 1 1 2"),
    "class_0_ucs2": (0x18, "Ә".encode("utf-16-be"), "Ә"),
}


@pytest.mark.parametrize(("coding", "octets", "text"), CODINGS.values(), ids=CODINGS)
def test_behaviour_29_data_coding(tmp_path: Path, coding: int, octets: bytes, text: str) -> None:
    """What can be read is read."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        assert (await wire.deliver(sm(octets, coding=coding))).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == [text]

    play(tmp_path, scene)


def test_behaviour_29_every_data_coding_with_any_octets(tmp_path: Path) -> None:
    """All 256, with octets of an odd number: a lossy text, the raw octets, ROK, never an exception."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        octets = bytes(range(0, 255, 2)) + b"\xd8\x3d\x1b"
        assert len(octets) % 2
        for coding in range(256):
            body = sm(octets, coding=coding, source=b"7701%07d" % coding)
            assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert set(stack.rows("SELECT raw FROM inbound WHERE reason <> 'failed'")) == {(octets,)}
        assert len(stack.texts_in()) == 256

    play(tmp_path, scene)


ADDRESSES = {
    "plus": b"+77011234567", "double_zero": b"0077011234567", "international": b"77011234567",
    "national_8": b"87011234567", "national": b"7011234567", "blanks": b"77011234567  ",
}  # fmt: skip


@pytest.mark.parametrize("source", ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("kind", [(1, 1), (0, 0), (2, 1), (7, 9)], ids=str)
def test_behaviour_30_address_in_any_form(tmp_path: Path, source: bytes, kind: tuple[int, int]) -> None:
    """One mother, whatever the centre calls her."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.birth()
        await stack.until(lambda: stack.statuses() == ["accepted"])
        body = sm(b"R 1 1 2", source=source, ton=kind[0], npi=kind[1])
        assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert stack.rows("SELECT msisdn, outcome FROM inbound") == [("77011234567", "answered")]

    play(tmp_path, scene)


BODIES = {
    "nul_at_the_end": (0, b"R 1 1 2\0", "answered"),
    "non_breaking_blanks": (8, "R\xa01\xa01\xa02".encode("utf-16-be"), "answered"),
    "full_width": (8, "Ｒ　１　１　２".encode("utf-16-be"), "answered"),
    "keycaps": (8, "R 1️⃣ 1️⃣ 2️⃣".encode("utf-16-be"), "answered"),
    "empty": (0, b"", "not_understood"),
}


@pytest.mark.parametrize(("coding", "octets", "outcome"), BODIES.values(), ids=BODIES)
def test_behaviour_30_odd_bodies_go_to_the_parser(tmp_path: Path, coding: int, octets: bytes, outcome: str) -> None:
    """Not to an exception."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.birth()
        await stack.until(lambda: stack.statuses() == ["accepted"])
        assert (await wire.deliver(sm(octets, coding=coding))).key == (DELIVER_RESP, ROK)
        assert stack.rows("SELECT outcome FROM inbound") == [(outcome,)]

    play(tmp_path, scene)


ODD_SENDERS = {
    "alphanumeric": (b"KASPI", NUMBER),
    "empty": (b"", NUMBER),
    "no_destination": (PHONE, b""),
    "suffix": (PHONE, b"1414#77"),
    "latin1": (b"\xc4\xd6", NUMBER),
    "too_long": (b"7" * 30, NUMBER),
}


@pytest.mark.parametrize(("source", "destination"), ODD_SENDERS.values(), ids=ODD_SENDERS)
def test_behaviour_30_odd_addresses_are_answered_once(tmp_path: Path, source: bytes, destination: bytes) -> None:
    """Kept and ROK; what no phone can be asks for no answer."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        body = sm(b"hello", source=source, destination=destination)
        assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        await wire.alive()
        assert stack.texts_in() == ["hello"]
        assert all(sent.destination[2].isdigit() for sent in wire.submits())

    play(tmp_path, scene)
